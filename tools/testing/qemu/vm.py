# SPDX-License-Identifier: GPL-2.0
"""A test guest: QEMU's command line, its serial ports and its monitor."""

import atexit
import json
import math
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from profiles import PROFILES

# How much longer than its own idea anything may take on this machine
FACTOR = float(os.environ.get("TIMEOUT_FACTOR", "1"))
# What tests in the guest have in their environment, by hand: CYCLES=100
SET = os.environ.get("SET", "").split()

# Of a QEMU that is built with it: a report ends it, as ASan's do anyway
os.environ.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
BOOT_TIMEOUT = 240


class GuestDied(Exception):
    """The guest ended, or went silent, when it should not have."""


class Failed(Exception):
    """A test, or an action for one, did not succeed."""


class Skipped(Exception):
    """A test cannot run here."""


def kvm_usable():
    """/dev/kvm can be there and be of no use; the processor knows."""
    flags = re.findall(r"^flags\s*:(.*)", Path("/proc/cpuinfo").read_text(),
                       re.MULTILINE)
    names = flags[0].split() if flags else []
    return (("vmx" in names or "svm" in names)
            and os.access("/dev/kvm", os.R_OK | os.W_OK))


class Machine:
    """What is the same for all guests of a run: build results and choices."""

    def __init__(self, build, kernel, accel="auto", window=None, memory=None,
                 isolation=None, sanitize=False, suite=None):
        self.build = Path(build)
        self.kernel = kernel
        self.qemu = self.build / "qemu" / (suite or "") / \
            ("obj-sanitize" if sanitize else "obj") / "qemu-system-x86_64"
        self.vmlinuz = self.build / "kernel" / kernel / "vmlinuz"
        self.vmlinux = self.build / "kernel" / kernel / "vmlinux"
        self.initrd = self.build / "guest" / kernel / "initrd"
        self.kvm = kvm_usable() if accel == "auto" else accel == "kvm"
        self.window = window
        self.memory = memory
        self.isolation = isolation

    def has(self, device):
        """Whether this QEMU has such devices."""
        return f'name "{device}",' in subprocess.run(
            [self.qemu, "-device", "help"], check=True, text=True,
            stdout=subprocess.PIPE).stdout


class Qmp:
    """QEMU's monitor protocol, just enough of it."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(30 * FACTOR)
        # For reading alone: what writes to it, too, loses what it has read ahead, which
        # is an event that comes with an answer
        self.file = self.socket.makefile("r", encoding="utf-8")
        self.events = []
        # For what happens while the guest cannot ask
        self.lock = threading.Lock()
        self.file.readline()
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        """Runs a command; returns its result or raises Failed."""
        with self.lock:
            asked = json.dumps({"execute": command, "arguments": arguments})
            self.socket.sendall(asked.encode() + b"\n")
            while True:
                answer = self._read()
                if "error" in answer:
                    raise Failed(f"{command}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]

    def _read(self):
        line = self.file.readline()
        if not line:
            raise GuestDied("QEMU closed its monitor")
        answer = json.loads(line)
        if "event" in answer:
            self.events.append(answer)
        return answer

    def wait_event(self, name, timeout=30, **data):
        """Waits for an event with that name and those data."""
        end = time.monotonic() + timeout * FACTOR
        while time.monotonic() < end:
            for event in self.events:
                have = event.get("data", {})
                if event["event"] == name and \
                        all(have.get(k) == v for k, v in data.items()):
                    self.events.remove(event)
                    return have
            # Any command makes QEMU hand out the events of before
            self("query-status")
            time.sleep(0.1)
        raise Failed(f"no event {name} {data} within {timeout} s")


# Guests that run. Whoever ends the runner while a thread has one ends the
# guest with it; that thread's own clean-up does not happen.
RUNNING = set()


@atexit.register
def stop_all():
    """Ends all guests."""
    for one in list(RUNNING):
        one.kill()


# MiB of guest RAM that may be granted, in the mode for it
DIRECT_LIMIT = 16


class VM:
    """One guest, from start to end; a context manager."""

    # pylint: disable=too-many-instance-attributes
    def __init__(self, machine, profile, mode, *, do="agent", append="",
                 arguments=(), interactive=False, name=None):
        self.machine = machine
        # The program; another build of it after a migration, maybe
        self.qemu = machine.qemu
        self.profile = PROFILES[profile]
        # on or off, if it was asked for; a profile that says it is about it
        self.isolation = None if "isolation=" in self.profile.iommu \
            else machine.isolation
        self.mode = mode
        self.do = do
        self.append = append
        self.arguments = tuple(arguments)
        self.interactive = interactive
        self.directory = machine.build / "run" / \
            (name or f"{machine.kernel}-{profile}-{mode}")
        self.console = self.directory / "console.log"
        self.process = None
        self.results = None
        self.qmp = None
        self.pending = b""
        self.sockets = None
        # MiB
        self.window = machine.window or self.profile.window
        # Of actions that go on while the guest does something else
        self.driver = None
        self.waker = None
        self.slept = threading.Event()
        self.flood = None

    def command(self):
        """QEMU's command line."""
        profile, machine = self.profile, self.machine
        memory = machine.memory or profile.memory
        window = self.window
        kvm = machine.kvm and not profile.icount
        line = [
            str(self.qemu), "-nodefaults", "-no-user-config",
            "-display", "none", "-vga", "none",
            "-action", "reboot=" + ("reset" if profile.reboots else "shutdown"),
            # strict: the firmware leaves the disks alone. Before they are
            # attached they reach no memory, and it would wait for them.
            "-machine", self.machine_type(kvm), "-boot", "strict=on",
            "-accel", "kvm" if kvm else
            "tcg,thread=single" if profile.icount else "tcg,thread=multi",
            "-cpu", self.cpu(kvm),
            "-smp", str(profile.cpus),
            "-m", f"{memory}M,slots={profile.slots},"
            f"maxmem={memory + window + profile.pluggable}M",
            "-kernel", str(machine.vmlinuz if profile.packed
                           else machine.vmlinux),
            "-initrd", str(machine.initrd),
            "-append", self.kernel_line(),
        ]
        if profile.icount:
            line += ["-icount", "shift=0,sleep=off"]
        if window:
            offer = "off" if self.mode == "bounce" else "on"
            line += ["-object", f"memory-backend-ram,id=win0,size={window}M",
                     "-device", "pv-iommu-pci,id=iommu0,memdev=win0,"
                     f"hw-iommu={offer},{profile.iommu}" +
                     (f",direct-limit={DIRECT_LIMIT}M"
                      if self.mode == "direct" and
                      "direct-limit=" not in profile.iommu else "") +
                     (f",isolation={self.isolation}" if self.isolation else "")]
        line += profile.options
        if profile.firmware:
            line += ["-bios", profile.firmware]
        for netdev in profile.netdevs:
            line += ["-netdev", netdev.format(sockets=self.sockets)]
        for name in profile.disks:
            # unsafe: nothing here need survive this machine
            line += ["-drive", f"if=none,id={name}-disk,format=raw,"
                     f"discard=unmap,cache=unsafe,file={self.disk(name)}"]
        for name, path in profile.images.items():
            path = machine.build / path.format(kernel=machine.kernel)
            line += ["-drive", f"if=none,id={name}-disk,format=raw,"
                     f"readonly=on,file={path}"]
        for device in profile.devices:
            line += ["-device", device]
        if self.interactive:
            line += ["-serial", "mon:stdio", "-serial", "null"]
        else:
            line += ["-chardev",
                     # A socket for stuck() only
                     "socket,id=console,server=on,wait=off,"
                     f"path={self.sockets}/console,"
                     f"logfile={self.console},logappend=on",
                     "-serial", "chardev:console",
                     "-chardev", "socket,id=results,server=on,wait=off,"
                     f"path={self.sockets}/results",
                     "-serial", "chardev:results",
                     "-qmp", f"unix:{self.sockets}/qmp,server=on,wait=off"]
        if profile.driven:
            line += ["-qtest", f"unix:{self.sockets}/qtest,server=on,wait=off",
                     "-qtest-log", "none"]
        return [*line, *self.arguments]

    def machine_type(self, kvm):
        if not self.profile.nested:
            return self.profile.machine
        # An IOMMU that remaps interrupts wants the I/O APIC in QEMU
        return "q35,kernel-irqchip=" + ("split" if kvm else "off")

    def cpu(self, kvm):
        if kvm:
            return "host"
        # Not max: its memcpy is "rep movsb", which TCG does bytewise
        return "EPYC,+svm,+npt,+nrip-save" if self.profile.nested \
            else "Nehalem"

    def kernel_line(self):
        factor = math.ceil(FACTOR)
        settings = [*SET, *([f"ISOLATION={self.isolation}"]
                            if self.isolation else [])]
        words = ["console=ttyS0", "panic=-1", "panic_on_warn=1",
                 "oops=panic", "log_buf_len=4M", f"pvtest.run={self.do}",
                 f"pvtest.factor={factor}",
                 # A guest that its host keeps waiting is none that hangs
                 f"watchdog_thresh={min(60, 10 * factor)}",
                 f"rcupdate.rcu_cpu_stall_timeout={min(300, 21 * factor)}",
                 *(["pvtest.set=" + ",".join(settings)] if settings else []),
                 # What devices reach of each other's
                 *(["pviommu_test.shared=1"] if self.isolation == "off" else []),
                 # On a busy machine the watchdog takes the TSC for unstable, and what
                 # there is instead costs an exit for each look
                 "tsc=nowatchdog",
                 # For stuck()
                 "sysrq_always_enabled",
                 # On a busy machine the timer can miss its test under TCG
                 "no_timer_check",
                 # The kernel patches its own code while it boots. Under TCG
                 # with a thread for each CPU, another one can go on to run
                 # the breakpoint that was there meanwhile ("Oops: int3").
                 # /init starts the others.
                 "maxcpus=1"]
        # Another page table for each system call is a TLB that TCG has to fill
        # anew. Where instructions are counted it counts, as users have it.
        if not self.profile.icount:
            words.append("mitigations=off")
        if not self.interactive:
            words.append("loglevel=6")
        if self.mode == "none":
            words.append("pvtest.load=no")
        else:
            # What is not direct is bounced by the window
            mode = "window" if self.mode == "direct" else self.mode
            words.append(f"pv_iommu.mode={mode}")
        return " ".join([*words, self.profile.append, self.append]).strip()

    def disk(self, name):
        return self.directory / f"{name}.img"

    def __enter__(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        for name, size in self.profile.disks.items():
            with open(self.disk(name), "wb") as image:
                image.truncate(size << 20)
        # Paths of sockets are short; the build directory's may not be
        self.sockets = tempfile.mkdtemp(prefix="pvtest-")
        return self

    def __exit__(self, *exception):
        self.stop()
        shutil.rmtree(self.sockets, ignore_errors=True)
        for name in self.profile.disks:
            self.disk(name).unlink(missing_ok=True)

    def start(self, *more):
        command = [*self.command(), *more]
        (self.directory / "command").write_text(" \\\n\t".join(
            f"'{word}'" if re.search(r"[^\w=,./:-]", word) else word
            for word in command) + "\n", encoding="utf-8")
        self.console.touch()
        # pylint: disable=consider-using-with
        log = open(self.directory / "qemu.log", "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log)
        log.close()
        RUNNING.add(self.process)
        self.results = self._connect("results")
        try:
            self.qmp = Qmp(self._connect("qmp"))
        except OSError:
            # It listens before it looks at what else it is told
            raise GuestDied("QEMU did not start: " +
                            self.how_ended()) from None

    def migrate(self, qemu=None, postcopy=False, timeout=120):
        """Moves the guest to a new QEMU process, which is this VM from then on, and
        may be another build; returns for how many milliseconds it stood still."""
        end = time.monotonic() + timeout * FACTOR
        sockets, process, qmp = self.sockets, self.process, self.qmp
        self.results.close()
        self.sockets = tempfile.mkdtemp(prefix="pvtest-")
        self.qemu = qemu or self.qemu
        try:
            self.start("-incoming", "defer")
            for side in (self.qmp, qmp):
                side("migrate-set-capabilities", capabilities=[
                    {"capability": "postcopy-ram", "state": postcopy}])
            self.qmp("migrate-incoming", uri=f"unix:{self.sockets}/incoming")
            # As fast as it goes, and so that it has an end on any machine. Of what is
            # to come after the guest, little comes before it.
            qmp("migrate-set-parameters", **{
                "max-bandwidth": 1 << 20 if postcopy else 1 << 40,
                "downtime-limit": 2000})
            qmp("migrate", uri=f"unix:{self.sockets}/incoming")
            if postcopy:
                qmp("migrate-start-postcopy")
            while (now := qmp("query-migrate"))["status"] != "completed":
                if now["status"] == "failed" or time.monotonic() > end:
                    raise Failed(f"migration: {now}; {self.qemu_log()}")
                time.sleep(0.1)
            if postcopy and not now["ram"]["postcopy-requests"]:
                raise Failed(f"migration: nothing came after the guest: {now}")
            while self.qmp("query-status")["status"] != "running":
                if time.monotonic() > end:
                    raise Failed("migration: the destination does not run")
                time.sleep(0.1)
        except Failed as error:
            raise GuestDied(str(error)) from None
        finally:
            self._end(process)
            shutil.rmtree(sockets, ignore_errors=True)
        return now["downtime"]

    def _connect(self, name):
        connection = socket.socket(socket.AF_UNIX)
        for _ in range(round(200 * FACTOR)):
            try:
                connection.connect(f"{self.sockets}/{name}")
                return connection
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise GuestDied("QEMU did not start: " + self.qemu_log())

    def qemu_log(self):
        text = (self.directory / "qemu.log").read_text(errors="replace")
        return " ".join(text.split()) or "it said nothing"

    def how_ended(self):
        """What is known about a QEMU that is gone, or seems so."""
        status = self.wait_end()
        how = "runs still" if status is None else \
            f"got signal {-status}" if status < 0 else f"exited with {status}"
        return f"QEMU {how}; {self.qemu_log()}"

    def stop(self):
        """Ends QEMU, whatever it is doing."""
        if self.results:
            self.results.close()
            self.results = None
        if self.process:
            self._end(self.process)

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        RUNNING.discard(process)

    def wait_end(self, timeout=10):
        """The status with which QEMU ended by itself, if it has."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def send(self, line):
        self.results.sendall(line.encode() + b"\n")

    def read_line(self, end):
        """The next line of results, as words; until the time END."""
        while b"\n" not in self.pending:
            left = end - time.monotonic()
            if left <= 0:
                raise GuestDied("it took too long, and was given up")
            self.results.settimeout(left)
            try:
                data = self.results.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                raise GuestDied("the guest ended too early: " + self.how_ended())
            self.pending += data
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode(errors="replace").replace("\r", "").split(" ")

    def stuck(self):
        """What a guest that went silent was doing: its blocked tasks, as lines. What
        its processors and all other tasks did is on its console as well."""
        # One that has ended has said so
        if self.process.poll() is not None:
            return []
        # 9: all of it goes to the console
        for key in "9tlw":
            since = self.console.stat().st_size
            try:
                with self._connect("console") as port:
                    self.qmp("chardev-send-break", id="console")
                    port.sendall(key.encode())
                    # It may need a while to begin, and is through when it pauses
                    port.settimeout(10 * FACTOR)
                    end = time.monotonic() + 120 * FACTOR
                    while port.recv(4096) and time.monotonic() < end:
                        port.settimeout(1 * FACTOR)
            except TimeoutError:
                pass
            except (Failed, GuestDied, OSError) as why:
                return [f"SysRq {key}: {why}"]
            if self.console.stat().st_size == since:
                return [f"no answer to SysRq {key}"]
        return self.tail(60, since)

    def wait_ready(self, timeout=BOOT_TIMEOUT):
        end = time.monotonic() + timeout * FACTOR
        while self.read_line(end)[0] != "ready":
            pass

    def poweroff(self, timeout=60):
        """Lets the guest end by itself; returns what it still reports."""
        end = time.monotonic() + timeout * FACTOR
        since = self.console.stat().st_size
        self.send("poweroff")
        late = []
        try:
            while True:
                words = self.read_line(end)
                if words[0] == "result":
                    late.append(words)
        except GuestDied:
            if self.process.poll() is None:
                try:
                    self.process.wait(max(0.1, end - time.monotonic()))
                except subprocess.TimeoutExpired:
                    raise GuestDied("the guest did not power off") from None
        # Which ends it, too
        if any("Kernel panic" in line for line in self.tail(200, since)):
            raise GuestDied("the guest panicked when it powered off")
        return late

    def tail(self, lines=10, since=0):
        """The last lines on the console."""
        data = self.console.read_bytes()[since:]
        text = data.decode(errors="replace").replace("\r", "")
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
        return [line for line in text.split("\n") if line.strip()][-lines:]
