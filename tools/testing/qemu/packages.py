#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Tests the Debian packages as an administrator uses them.

An installed Debian with its root on an NVMe disk behind pv-iommu gets the
packages, a later version of them, and loses them again; after each step it has
to boot. By the firmware the host device lets devices through until they are
attached (boot-bypass=on); with the kernel given to QEMU it does not (off).

Prints TAP. Takes a while, so it is not a part of "make test".
"""

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import helps

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[2]
BUILD = Path(os.environ.get("BUILD", TOP / "build"))
IMAGE = TOP / "scripts" / "image"
# The directory of the disks, here and in a system that runs on one of them
DISKS = BUILD / "image"
INSIDE = "/mnt/image"
TIMEOUT = 600 * float(os.environ.get("TIMEOUT_FACTOR", "1"))
CMDLINE = " ".join(re.findall(
    "^[^#].*", (HERE / "image" / "cmdline").read_text(encoding="utf-8"),
    re.MULTILINE))
WINDOW = 64
MEMORY = 1024


class Failed(Exception):
    """A step did not come out as it has to."""


def script(*command):
    """Runs one of the scripts; what it says is shown when it fails."""
    done = subprocess.run([str(word) for word in command], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          errors="replace")
    if done.returncode:
        raise Failed(" ".join(map(str, command)) + f": status "
                     f"{done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def build(*command, **environment):
    """Runs one of the scripts that build; they say how far they are."""
    sys.stdout.flush()
    subprocess.run([str(word) for word in command], check=True,
                   env={**os.environ, **environment},
                   stdin=subprocess.DEVNULL, stdout=sys.stderr)


def in_image(name, *command):
    """Runs a command in the system on the disk."""
    return script(IMAGE, "run", name, *command)


def bare(name, disks):
    """What QEMU is started with in any case."""
    return ["-nodefaults", "-no-user-config", "-display", "none",
            "-vga", "none", "-no-reboot",
            # With a second CPU, which may run what the first one patches, a
            # kernel does not always survive its start under TCG
            "-accel", "tcg", "-smp", "1",
            "-drive", "if=none,id=disk0,format=raw,cache=unsafe,"
            f"file={disks}/{name}.img",
            # The firmware leaves a disk alone that it is not to boot from
            "-boot", "strict=on",
            "-chardev", f"file,id=console,path={disks}/{name}-console.log",
            "-serial", "chardev:console",
            "-chardev", f"file,id=results,path={disks}/{name}-results",
            "-serial", "chardev:results"]


def given(name, disks, append):
    """The kernel, where it is not the firmware that loads it."""
    return ["-kernel", f"{disks}/{name}-vmlinuz",
            "-initrd", f"{disks}/{name}-initrd", "-append", f"{CMDLINE} {append}"]


def qemu(name, bypass, disks, append):
    """What QEMU is started with, whose disks are in that directory."""
    line = [*bare(name, disks),
            # Its disk controller would be what the firmware tries
            "-machine", "q35,sata=off", "-cpu", "Nehalem",
            "-m", f"{MEMORY}M,maxmem={MEMORY + WINDOW}M",
            "-object", f"memory-backend-ram,id=win0,size={WINDOW}M",
            "-device", "pv-iommu-pci,memdev=win0,hw-iommu=on,"
            f"boot-bypass={bypass}",
            "-device", "nvme,drive=disk0,serial=disk0" +
            (",bootindex=1" if bypass == "on" else "")]
    return line if bypass == "on" else line + given(name, disks, append)


def libvirt_host(name, _, disks, append):
    """The same for a host: of guests, which get its second disk."""
    return [*bare(name, disks),
            "-machine", "q35,sata=off,kernel-irqchip=off", "-m", "2G",
            # TCG's SVM does not intercept what XSAVE needs
            "-cpu", "EPYC,+svm,+npt,+nrip-save,-xsave,-avx,-avx2,-fma,-f16c",
            "-device", "intel-iommu,intremap=on",
            "-device", "virtio-blk-pci,drive=disk0,disable-legacy=on",
            "-drive", "if=none,id=disk1,format=raw,cache=unsafe,"
            f"file={disks}/{name}-assigned.img",
            "-device", "nvme,drive=disk1,serial=disk1,addr=10",
            *given(name, disks, append)]


def run(name, bypass, packaged=False, append="", limit=TIMEOUT):
    """Boots the disk; returns what the system reported, by key, and the last
    lines of its console. QEMU is the one that was built, or that of the
    package, in the system on the disk "host"."""
    if bypass == "off":
        for file in "vmlinuz", "initrd":
            path = "/vmlinuz" if file == "vmlinuz" else "/initrd.img"
            with open(DISKS / f"{name}-{file}", "wb") as copy:
                subprocess.run([str(IMAGE), "run", name, "cat", path],
                               check=True, stdout=copy)
    results = DISKS / f"{name}-results"
    results.unlink(missing_ok=True)
    if packaged:
        where, program = INSIDE, "qemu-system-x86_64-pv-iommu"
        command = [str(IMAGE), "run", "host"]
    else:
        where, program = DISKS, BUILD / "qemu" / "obj" / "qemu-system-x86_64"
        command = []
    words = libvirt_host if name == "libvirt" else qemu
    command += ["timeout", "--foreground", str(limit), str(program),
                *words(name, bypass, where, append)]
    with open(DISKS / f"{name}-qemu.log", "w+", encoding="utf-8",
              errors="replace") as log:
        status = subprocess.run(command, check=False, stdout=log, stderr=log,
                                stdin=subprocess.DEVNULL).returncode
        log.seek(0)
        said = log.read()
    if status not in (0, 124):
        raise Failed(f"QEMU ended with status {status}:\n{said}")
    text = results.read_text(encoding="utf-8", errors="replace")
    report = {}
    for key, value in re.findall(r"^(\w+) ?(.*?)\r?$", text, re.MULTILINE):
        report.setdefault(key, []).append(value)
    console = (DISKS / f"{name}-console.log").read_text(errors="replace")
    tail = console.replace("\r", "").split("\n")[-20:]
    if status == 124:
        tail.append(f"(ended after {limit:.0f} s)")
    return {key: "\n".join(lines) for key, lines in report.items()}, tail


def boot(name, bypass, packaged=False):
    """Boots the disk, which has to come to its report; returns that."""
    report, tail = run(name, bypass, packaged)
    if "end" not in report:
        raise Failed("it did not boot:\n" + "\n".join(tail))
    print("# " + ", ".join(f"{k} {v}" for k, v in report.items()
                           if k not in ("live", "stat", "said", "end")), flush=True)
    if report["root"] != "/dev/nvme0n1":
        raise Failed(f"root is {report['root']}")
    if report["bad"] != "0":
        raise Failed("the kernel's log has warnings")
    if report.get("data") != "same":
        raise Failed("what was written was not read again")
    return report


def not_served(report):
    """Nothing of pv-iommu may be there."""
    for key in "loaded", "attached", "mode", "maps":
        if report.get(key):
            raise Failed(f"{key} {report[key]}")
    if report["module"] != "0":
        raise Failed("the module is there")


def served(report, version):
    """The module has to have come with the initial RAM disk, before nvme, and
    to serve the disk."""
    if report["version"] != f"installed {version}":
        raise Failed(f"the package is {report['version']}")
    if report["module"] != "1" or report.get("mode") != "window":
        raise Failed("the module is not loaded, or serves no window")
    # The order in which it happened; root is what the disk has, and nothing
    # can have come from there before it was mounted
    order = "loaded", "attached", "probed", "mounted"
    lines = [int((report.get(key) or "0").split()[0]) for key in order]
    if not all(a < b for a, b in zip([0, *lines], lines)):
        raise Failed("not in this order: " + ", ".join(
            f"{key} {report.get(key)}" for key in order))
    if not int(report["maps"]):
        raise Failed("the disk makes no mappings")
    if report["refused"] != "0":
        raise Failed(f"{report['refused']} DMAs were refused")


def in_initrd(name, wanted):
    """Whether the initial RAM disk has the module has to be as wanted."""
    lister = {"dracut": "lsinitrd"}.get(name, "lsinitramfs")
    # Its zstd leaves symbolic links alone
    names = in_image(name, "sh", "-c", f"{lister} $(readlink -f /initrd.img)")
    if "nvme.ko" not in names:
        raise Failed(f"{lister} shows no nvme.ko")
    found = "pv_iommu.ko" in names
    if found != wanted:
        raise Failed("the initial RAM disk has " +
                     ("it still" if found else "no pv_iommu.ko"))


def does_not_boot(name):
    """Without the module and with boot-bypass=off, nothing reaches the disk."""
    # The driver need not wait for a minute for the disk's answer
    report, tail = run(name, "off", append="nvme_core.admin_timeout=10")
    if report:
        raise Failed(f"it did boot: {report}")
    if not any("LABEL=root does not exist" in line for line in tail):
        raise Failed("it did not miss its root:\n" + "\n".join(tail))


COUNTERS = {"maps", "maps_direct", "unmaps", "syncs", "bytes_to_device",
            "bytes_from_device", "failures", "hypercalls", "domain", "domain_granted",
            "domain_granted_max", "domain_used", "domain_grants",
            "domain_grants_late", "domain_revokes"}
VALUES = {"window_size", "window_used", "window_high_water", "window_granted",
          "window_limit", "chunk_size", "direct_granted", "direct_limit",
          "direct_cached", "hypercalls", "refused_dmas"}
ADDRESS = r"0000:00:[0-9a-f]{2}\.[0-7]"


def check_json(text):
    """What pv-iommu-stat --json printed when the disk had read for a while."""
    stat = json.loads(text)
    devices = stat["devices"]
    if set(stat) != VALUES | {"host", "mode", "devices"}:
        raise Failed(f"pv-iommu-stat has {stat}")
    for device in devices:
        if set(device) != COUNTERS | {"device", "driver"} or \
                not re.fullmatch(ADDRESS, device["device"]):
            raise Failed(f"pv-iommu-stat has {device}")
    disks = [device for device in devices if device["driver"] == "nvme"]
    if len(disks) != 1:
        raise Failed(f"pv-iommu-stat has not one disk in {devices}")
    disk = disks[0]
    numbers = [stat[key] for key in VALUES] + [
        device[key] for device in devices for key in COUNTERS]
    if (not all(type(number) is int for number in numbers)
            or stat["mode"] != "window"
            or not re.fullmatch(ADDRESS, stat["host"])
            or stat["window_size"] != WINDOW << 20
            or not 0 < stat["window_used"] <= stat["window_high_water"]
            or stat["window_high_water"] > stat["window_size"]
            or not 0 < stat["window_granted"] <= stat["window_limit"]
            or stat["window_limit"] > stat["window_size"]
            or not disk["domain"]
            or not 0 < disk["domain_granted"] <= stat["window_granted"]
            or stat["refused_dmas"]
            or not 0 < disk["unmaps"] <= disk["maps"]
            # The data that was written, and read again
            or disk["bytes_to_device"] < 8 << 20
            or disk["bytes_from_device"] < 8 << 20
            or disk["failures"] or disk["hypercalls"]):
        raise Failed(f"pv-iommu-stat has {stat}")


def check_live(text):
    """What pv-iommu-stat printed while the disk was read from."""
    reports = [part.split("\n") for part in text.strip("\n").split("\n\n")]
    if len(reports) != 3:
        raise Failed(f"pv-iommu-stat has {len(reports)} reports, not 3")
    for number, (host, direct, head, *rows) in enumerate(reports):
        if not re.fullmatch(
                ADDRESS + r": window mode, window 64\.0 MiB, granted [\d.]+ of "
                r"64\.0 MiB, in use [\d.]+ MiB, high water [\d.]+ MiB, "
                "refused DMAs 0", host):
            raise Failed(f"pv-iommu-stat has {host}")
        if direct != ("direct: granted 0.0 of 0.0 MiB of guest memory, 0.0 MiB "
                      "to be kept"):
            raise Failed(f"pv-iommu-stat has {direct}")
        # Names have spaces, but before a unit only
        names = re.sub(r" (?=MiB)", "_", head).split()
        disk = [row for row in (dict(zip(names, row.split())) for row in rows)
                if row["driver"] == "nvme"]
        if len(disk) != 1:
            raise Failed(f"pv-iommu-stat has not one disk in {rows}")
        rate = {name: float(disk[0][name]) for name in names[2:]}
        if (not rate["granted_MiB"] or not rate["maps/s"] or rate["exits/s"]
                or rate["fail/s"]):
            raise Failed(f"pv-iommu-stat has {disk[0]}")
        # A mapping of dd's is 64 KiB, and is undone; the first report is of
        # all that was since the start
        if number and not (0.8 < rate["from_MiB/s"] * 16 / rate["maps/s"] < 1.2
                           and 0.8 < rate["unmaps/s"] / rate["maps/s"] < 1.2):
            raise Failed(f"pv-iommu-stat has {disk[0]}")


def tools(name, which):
    """Installs the tools, and boots once with the examples of the docs."""
    examples = "/usr/local/sbin/examples"
    in_image(name, "dpkg", "-i",
             f"/mnt/packages/pv-iommu-tools_{which}_amd64.deb")
    in_image(name, "sh", "-c", "apt-get -q update && apt-get -q -y "
             "--no-install-recommends install trace-cmd bpftrace")
    in_image(name, "cp", "/usr/local/share/examples", examples)
    report = boot(name, "off")
    in_image(name, "rm", examples)
    in_image(name, "dpkg", "--purge", "pv-iommu-tools")
    served(report, which)
    for line in report["live"].split("\n") + [report["stat"]]:
        print(f"# {line}")
    check_live(report["live"])
    check_json(report["stat"])
    for tool in "trace_cmd", "bpftrace":
        if int(report[tool] or 0) < 16:
            raise Failed(f"{tool} saw {report[tool]} maps of 16 and more:\n" +
                         report["said"])
    if report["udev"] != report["mode"]:
        raise Failed(f"by udev's rule the mode is {report['udev']!r}")


def version():
    """The version that packaging/debian/changelog has."""
    text = (TOP / "packaging/debian/changelog").read_text(encoding="utf-8")
    return re.search(r"\((.*?)\)", text)[1]


def host_steps(name):
    """The packages of QEMU, in a system that has the distribution's."""
    debs = [f"/mnt/packages/qemu-system-x86-pv-iommu{part}_{version()}_amd64.deb"
            for part in ("", "-extra")]
    theirs, ours = "qemu-system-x86_64", "qemu-system-x86_64-pv-iommu"

    def install():
        before = in_image(name, "dpkg", "-L", "qemu-system-x86")
        in_image(name, "apt-get", "-q", "-y", "--no-install-recommends",
                 "install", *debs)
        if in_image(name, "dpkg", "-L", "qemu-system-x86") != before:
            raise Failed("the distribution's package has other files")
        if in_image(name, "dpkg", "--verify", "qemu-system-x86"):
            raise Failed("the distribution's package is not what it was")

    def has_device():
        if 'name "pv-iommu-pci"' not in in_image(name, ours, "-device", "help"):
            raise Failed("it has no pv-iommu-pci")
        if "pv-iommu" in in_image(name, theirs, "-device", "help"):
            raise Failed("the distribution's has it, too")

    def says(program):
        # Some help ends with status 1
        return lambda *words: in_image(name, "sh", "-c", f'{program} "$@" || :',
                                       "sh", *words)

    def has_all():
        in_image(name, "apt-get", "-q", "-y", "--no-install-recommends",
                 "install", "qemu-system-gui", "qemu-block-extra")
        lacks = []
        for kind, count, missing, _ in helps.compare(says(theirs), says(ours)):
            print(f"# {kind}: {count}, of which it lacks {len(missing)}")
            lacks += [f"{kind} {word}" for word in helps.unnamed(kind, missing)]
            if not count:
                raise Failed(f"the distribution's says nothing of {kind}")
        if lacks:
            raise Failed("it lacks " + ", ".join(lacks))

    def alone():
        # What only the distribution's package wanted goes with it
        in_image(name, "apt-get", "-q", "-y", "purge", "qemu-system-x86",
                 "qemu-system-gui", "qemu-block-extra")
        in_image(name, "apt-get", "-q", "-y", "autoremove", "--purge",
                 "-o", "APT::AutoRemove::RecommendsImportant=false")
        # Machine, network cards and displays want firmware that is in other
        # packages; qxl, virtio's displays and what is redirected are modules
        in_image(name, "sh", "-c", f"echo quit | {ours} -nodefaults -S "
                 "-machine q35 -monitor stdio -vnc none "
                 "-spice unix=on,addr=/run/spice,disable-ticketing=on "
                 "-device VGA -device qxl -device virtio-gpu-pci -device qemu-xhci "
                 "-chardev spicevmc,id=usb,name=usbredir "
                 "-device usb-redir,chardev=usb "
                 "-device e1000e -device e1000 -device virtio-net-pci")

    yield "QEMU is installed beside the distribution's", install
    yield "QEMU has the device, the distribution's does not", has_device
    yield "QEMU has all that the distribution's has", has_all
    yield "QEMU works without the distribution's", alone


def guest_steps(name, packaged):
    """The package of the module, in a guest that boots after each step."""
    first = version()
    later = f"{first}+1"

    def install(which):
        in_image(name, "dpkg", "-i",
                 f"/mnt/packages/pv-iommu-dkms_{which}_all.deb")
        in_initrd(name, True)

    def sign():
        # As Documentation/pv-iommu/packages.rst says, up to where a firmware
        # would have to be told
        in_image(name, "sh", "-euc", "apt-get -q update; apt-get -q -y "
                 "--no-install-recommends install openssl; "
                 # In a chroot, the running kernel is another one
                 "kernel=$(ls /lib/modules); "
                 f"dkms build --force pv-iommu/{first} -k $kernel; "
                 f"dkms install --force pv-iommu/{first} -k $kernel; "
                 "update-initramfs -u -k $kernel")
        in_initrd(name, True)
        signed()

    def signed():
        in_image(name, "sh", "-c", "modinfo -k $(ls /lib/modules) -F signer "
                 "pv_iommu | grep -x 'DKMS module signing key'")

    def upgrade():
        install(later)
        if name == "initramfs-tools":
            signed()

    def remove():
        in_image(name, "dpkg", "--remove", "pv-iommu-dkms")
        in_initrd(name, False)

    def purge():
        in_image(name, "dpkg", "--purge", "pv-iommu-dkms")
        in_image(name, "sh", "-c", "! find / -xdev -path /mnt -prune -o "
                 "-path /var/log -prune -o -path /tmp -prune -o "
                 "-iname '*pv[-_]iommu*' -print | grep .")

    yield ("boots by firmware, before anything is installed",
           lambda: not_served(boot(name, "on")))
    if name == "initramfs-tools":
        yield ("does not boot with boot-bypass=off and without the module",
               lambda: does_not_boot(name))
    yield ("is installed; DKMS builds it, the initial RAM disk has it",
           lambda: install(first))
    yield ("boots by firmware, the disk served",
           lambda: served(boot(name, "on"), first))
    if name == "initramfs-tools":
        yield "is signed, as it has to be for Secure Boot", sign
    yield ("boots directly, with boot-bypass=off",
           lambda: served(boot(name, "off"), first))
    if name == "initramfs-tools":
        yield ("has tools that work: pv-iommu-stat, trace-cmd, bpftrace",
               lambda: tools(name, first))
    yield "is upgraded", upgrade
    if packaged:
        yield ("boots with the later version, in the packaged QEMU",
               lambda: served(boot(name, "on", packaged=True), later))
    else:
        yield ("boots with the later version, with boot-bypass=off",
               lambda: served(boot(name, "off"), later))
    yield "is removed; the initial RAM disk is without it", remove
    yield ("boots by firmware when it is removed",
           lambda: not_served(boot(name, "on")))
    yield "is purged, and leaves no file", purge
    yield ("boots by firmware when it is purged",
           lambda: not_served(boot(name, "on")))


def documented(start, end=None):
    """An example of the host's guide: the lines from one on to another one, or
    all that go on with a backslash."""
    lines = (TOP / "Documentation" / "pv-iommu" / "host-guide.rst").read_text(
        encoding="utf-8").split("\n")
    first = last = [line.strip().startswith(start) for line in lines].index(True)
    while lines[last].strip() != end if end else lines[last].endswith("\\"):
        last += 1
    return textwrap.dedent("\n".join(lines[first:last + 1])) + "\n"


# Of libvirt's guests, for a system that is emulated itself
LITTLE = [(r"guest1", "{name}"), (r">8192<", ">192<"), (r"'8192'", "'192'"),
          (r">8256<", f">{192 + WINDOW}<"), (r"<vcpu>2<", "<vcpu>1<"),
          (r"'0-1'", "'0'"), (r"<devices>", "<devices>\n"
                              "    <controller type='usb' model='none'/>"),
          (r"<cmdline>.*<", "<cmdline>console=ttyS0 quiet panic=-1 "
           "no_timer_check mitigations=off pci=lastbus=8<")]
# What is at 0000:01:00.0 in the example is here at 0000:00:10.0
THERE = [(r"bus='0x01' slot='0x00'", "bus='0x00' slot='0x10'")]
NO_HOSTDEV = (r"(?s) *<hostdev.*</hostdev>\n", "")
VIRTIO = """\
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' iommu='on'/>
      <source file='/var/lib/libvirt/images/virtio.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <video><model type='virtio'/></video>
"""


def domain(name):
    """A guest of libvirt's by the XML that is documented: with the assigned
    device that it has, with the emulated NVMe that is said to go in its place, or
    with a disk that QEMU can migrate."""
    xml = documented("<domain", "</domain>")
    edits = LITTLE + {
        "hostdev": THERE,
        "nvme": [NO_HOSTDEV, (r" *</qemu:commandline>", documented(
            "<qemu:arg value='-drive'/>",
            "<qemu:arg value='nvme,drive=disk0,serial=disk0,addr=1d.0'/>") +
            r"\g<0>")],
        "virtio": [NO_HOSTDEV, (r" *</devices>", VIRTIO + r"\g<0>")],
    }[name]
    for pattern, text in edits:
        xml, count = re.subn(pattern, text.replace("{name}", name), xml)
        if not count:
            raise Failed(f"the documented XML has no {pattern}")
    return xml


def write_in_image(name, path, text):
    """Makes a file in the system on the disk."""
    in_image(name, "sh", "-c", 'mkdir -p "${1%/*}" && printf %s "$2" >"$1"', "sh",
             path, text)


def run_libvirt():
    """Boots the disk "libvirt", which runs the guests; returns the report."""
    disk = DISKS / "libvirt-assigned.img"
    disk.write_bytes(os.urandom(4 << 20))
    patience = round(TIMEOUT / 2)
    report, tail = run(
        "libvirt", "off", limit=6 * TIMEOUT,
        append="systemd.unit=libvirt-report.service intel_iommu=on "
        f"libvirt_patience={patience} "
        f"systemd.default_timeout_start_sec={patience}")
    # For when it was not as it should be
    (BUILD / "log" / "image-libvirt-guests.log").write_text(
        report.pop("log", ""), encoding="utf-8")
    for key, value in report.items():
        for line in value.split("\n"):
            print(f"# {key} {line}", flush=True)
    if "end" not in report:
        raise Failed("it did not come to its end:\n" + "\n".join(tail))
    return report


def check_guest(report, name, driver, first):
    """What every guest has to have done: the driver is of its disk, of which it
    has read that sum."""
    for step in "define", "start", "shutdown":
        if report.get(f"{name}_{step}") != "done":
            raise Failed(f"{step}: {report.get(f'{name}_{step}')}")
    uuid = report[f"{name}_uuid"]
    for key, want in (("user", "libvirt-qemu"), ("state", "shut off"),
                      ("program", "/usr/bin/qemu-system-x86_64-pv-iommu"),
                      ("label", f"libvirt-{uuid} (enforce)")):
        if report[f"{name}_{key}"] != want:
            raise Failed(f"{key} is {report[f'{name}_{key}']}")
    said = report.get(f"{name}_said", "").split("\n")
    if "mode window" not in said or "button" not in said or not any(
            re.match(f"attached .*{driver}.*pv_iommu: attached", line)
            for line in said):
        raise Failed(f"the guest said {said}")
    refused = [line.split()[1:] for line in said if line.startswith("refused ")]
    if len(refused) != 1 or refused[0][0] != refused[0][-1]:
        raise Failed(f"DMA was refused: {refused}")
    if f"read {first}" not in said:
        raise Failed(f"it did not read {first}: {said}")
    last = report[f"{name}_sum"][:32]
    if last == first or f"wrote {last}" not in said:
        raise Failed(f"the host has {last} on the disk: {said}")


def libvirt_steps(name):
    """libvirt's guests, by the documented XML, all in one boot of their host."""
    sums, report = {}, {}

    def install():
        in_image(name, "apt-get", "-q", "-y", "--no-install-recommends", "install",
                 f"/mnt/packages/qemu-system-x86-pv-iommu_{version()}_amd64.deb",
                 f"/mnt/packages/pv-iommu-dkms_{version()}_all.deb")
        in_image(name, "/usr/local/share/make-guest")
        for guest in "nvme", "hostdev", "virtio":
            write_in_image(name, f"/usr/local/share/libvirt/{guest}.xml",
                           domain(guest))
        images = "/var/lib/libvirt/images"
        for guest in "nvme", "virtio":
            sums[guest] = in_image(
                name, "sh", "-euc", f"head -c 4M /dev/urandom >{images}/{guest}.img;"
                f" md5sum <{images}/{guest}.img")[:32]
        in_image(name, "sh", "-euc",
                 documented("echo 'include if exists <abstractions/libvirt-qemu.d>'")
                 + documented("chown libvirt-qemu:")
                 + documented("echo '/var/lib/libvirt/images/nvme.img"))

    def runs():
        report.update(run_libvirt())
        if "denied" in report:
            # Not libvirt's own
            ours = [line for line in report["denied"].split("\n")
                    if 'profile="libvirt-' in line]
            if ours:
                raise Failed("AppArmor denied:\n" + "\n".join(ours))
        if report["bad"] != "0":
            raise Failed("the kernel's log has warnings")

    def emulated():
        check_guest(report, "nvme", "nvme", sums["nvme"])
        if "nvme" not in report["nvme_managedsave"]:
            raise Failed(f"managedsave: {report['nvme_managedsave']}")

    def assigned():
        check_guest(report, "hostdev", "nvme", report["hostdev_before"][:32])
        if report["hostdev_driver"] != "vfio-pci":
            raise Failed(f"the device's driver is {report['hostdev_driver']}")
        # In kB: the window, and what QEMU locks besides
        if not 0 < int(report["hostdev_locked"]) <= (WINDOW + 1) << 10:
            raise Failed(f"{report['hostdev_locked']} kB are locked")
        if report["hostdev_managedsave"] == "done":
            raise Failed("managedsave was not refused")

    def saved():
        check_guest(report, "virtio", "virtio-pci", sums["virtio"])
        if "/usr/lib/pv-iommu/qemu/" not in report["virtio_modules"]:
            raise Failed(f"it loaded {report['virtio_modules']}")
        for step in "managedsave", "again", "save", "restore":
            if report[f"virtio_{step}"] != "done":
                raise Failed(f"{step}: {report[f'virtio_{step}']}")
        if report["virtio_saved"] != "shut off, yes":
            raise Failed(f"it was {report['virtio_saved']}")
        for ticks in report["virtio_ticks"].split("\n"):
            before, after = map(int, ticks.split())
            if after <= before:
                raise Failed(f"it went on from {before} with {after}")
        # It would say all of this again
        if report["virtio_said"].split("\n").count("mode window") != 1:
            raise Failed("it was booted anew")

    yield "QEMU is installed, and made known to AppArmor as documented", install
    yield "the guests ran", runs
    yield "an emulated NVMe: confined, served, shut down; not saved", emulated
    yield "a <hostdev> behind pv-iommu: the same, little locked", assigned
    yield "a virtio disk: saved and restored, twice", saved


def main():
    """Runs the steps for each disk that is asked for."""
    names = sys.argv[1:] or ["host", "initramfs-tools", "dracut", "libvirt"]
    number = failed = 0
    build(TOP / "scripts" / "build-qemu")
    build(TOP / "scripts" / "build-deb")
    build(TOP / "scripts" / "build-deb", REVISION="1")
    print("TAP version 13")
    for name in names:
        build(IMAGE, "build", name)
        steps = host_steps(name) if name == "host" else \
            libvirt_steps(name) if name == "libvirt" else guest_steps(
                name, name == "initramfs-tools" and "host" in names)
        for about, step in steps:
            number += 1
            start = time.monotonic()
            try:
                step()
            except Failed as failure:
                failed += 1
                print(f"not ok {number} - {name}: {about}")
                for line in str(failure).split("\n"):
                    print(f"#   {line}")
                sys.stdout.flush()
                # The steps build on each other
                break
            print(f"ok {number} - {name}: {about} # "
                  f"{time.monotonic() - start:.0f} s", flush=True)
    print(f"1..{number}\n{number - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        # It has said why
        sys.exit(f"{error.cmd[0]}: status {error.returncode}")
