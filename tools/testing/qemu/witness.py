# SPDX-License-Identifier: GPL-2.0
"""What a host does to a guest, and sees of it, whatever the guest itself does.

Devices that are told by the host to write, frames that come in from outside, and
the guest's memory: all of it goes on while the guest has crashed or sleeps, or its
next kernel boots.
"""

import mmap
import socket
import struct
import threading
import time

from vm import FACTOR, Failed

# What the host writes where a device shall not, or shall, write its zeroes
BLANK = 0x6b6c4261

# Registers of QEMU's edu device, what the first one reads as, and offsets in the PCI
# header
EDU_ID, EDU_SRC, EDU_DST, EDU_COUNT, EDU_COMMAND = 0, 0x80, 0x88, 0x90, 0x98
EDU_IS = 0x010000ed
EDU_BUFFER = 0x40000
PCI_COMMAND, PCI_CACHE_LINE = 0x4, 0xc
# Memory space and bus mastering
PCI_ON = 6
# What a driven device has as its cache line size until the machine is reset
OURS = 0x5a

# Where q35's host bridge says where PCI configuration is mapped, its south bridge where
# ACPI's ports are, and the ports by which one gets there without
PCIEXBAR = 0x60
SOUTH, PMBASE, ACPI_CNTL = 0x1f << 11, 0x40, 0x44
CONFIG_ADDRESS, CONFIG_DATA = 0xcf8, 0xcfc


class Bus:
    """Reads and writes the guest's physical addresses, by QEMU's qtest protocol."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60 * FACTOR)
        self.socket.connect(path)
        self.file = self.socket.makefile("rw", encoding="ascii")

    def close(self):
        """QEMU serves one at a time."""
        self.file.close()
        self.socket.close()

    def _do(self, *words):
        self.file.write(" ".join(words) + "\n")
        self.file.flush()
        answer = self.file.readline().split()
        if not answer or answer[0] != "OK":
            raise Failed(f"qtest {words}: {answer}")
        return int(answer[1], 0) if answer[1:] else 0

    def read(self, size, address):
        return self._do(f"read{size}", hex(address))

    def write(self, size, address, value):
        self._do(f"write{size}", hex(address), hex(value))

    def port_in(self, port):
        return self._do("inl", hex(port))

    def port_out(self, port, value):
        self._do("outl", hex(port), hex(value))


# Of pv-iommu's registers
REG_MAGIC, REG_CONTROL, REG_WINDOW_GRANTED = 0, 0x18, 0x78
MAGIC = 0x4f495650
PCI_BAR0 = 0x10


def host_registers(vm, config):
    """Whether pv-iommu is enabled, and how many bytes of the window are granted."""
    bus = Bus(f"{vm.sockets}/qtest")
    try:
        registers = bus.read("l", config + PCI_BAR0) & ~0xf
        magic = bus.read("l", registers + REG_MAGIC)
        if magic != MAGIC:
            raise Failed(f"no pv-iommu at {registers:#x}: {magic:#x}")
        return (f"control={bus.read('l', registers + REG_CONTROL)} "
                f"granted={bus.read('l', registers + REG_WINDOW_GRANTED)}")
    finally:
        bus.close()


class Device:
    """An edu device that the host drives: where its configuration, its registers
    and the DMA address are that its driver has mapped, 0 if nothing is. One that
    reaches all of memory says where that is there, and writes to nothing else."""

    # pylint: disable=too-few-public-methods,too-many-instance-attributes
    def __init__(self, text):
        self.config, self.registers, self.open, *rest = \
            (int(word, 0) for word in text.split(","))
        self.bypass = bool(rest)
        self.place = rest[0] if rest else None
        # DMAs begun, where the last one goes, whether what is mapped is reached no
        # more, and whether a reset has taken the device away
        self.begun = 0
        self.target = None
        self.shut = False
        self.down = False


class Driver(threading.Thread):
    """Has devices write to a page that is no device's, and in turns to what their
    drivers have mapped, until it is told to stop. One whose bus mastering the guest
    ends has it back at once: no guest can rely on that. One that was reset is left
    alone, unless the guest, which has slept, gives it back what it had."""

    # pylint: disable=too-many-instance-attributes
    def __init__(self, vm, page, devices):
        super().__init__(daemon=True)
        self.vm = vm
        self.bus = bus = Bus(f"{vm.sockets}/qtest")
        self.page = page
        self.devices = devices
        iommu = {name: vm.qmp("qom-get", path="/machine/peripheral/iommu0",
                              property=name)
                 for name in ("memaddr", "dma-base", "direct-base", "direct-limit")}
        # The window is above the guest's RAM
        self.window = iommu["memaddr"]
        # From here on, DMA addresses are that
        direct = iommu["direct-base"] if iommu["direct-limit"] else 1 << 64
        for one in devices:
            if not one.bypass:
                one.place = one.open - direct if one.open >= direct else \
                    one.open - iommu["dma-base"] + self.window
        self.stopping = threading.Event()
        self.woken = threading.Event()
        # It has been, and configuration is where it was
        self.back = False
        self.error = None
        self.reset = False
        # How often all devices have been looked at
        self.rounds = 0
        # Writes to the page; those to what is mapped that have arrived, and so after a
        # reset; how many devices have lost it; writes since
        self.writes = self.arrived = self.again = self.shut = self.since = 0
        # All of configuration is in one piece, and begins with the host bridge's
        self.bridge = devices[0].config & ~0xfffffff
        self.bridge_is = bus.read("l", self.bridge)
        self.mapped = {n: bus.read("l", self.bridge + (n >> 8 << 12) + (n & 0xff))
                       for n in (PCIEXBAR + 4, PCIEXBAR, SOUTH + PMBASE,
                                 SOUTH + ACPI_CNTL)}
        bus.write("l", page, BLANK)
        for one in devices:
            bus.write("b", one.config + PCI_CACHE_LINE, OURS)
            if bus.read("b", one.config + PCI_CACHE_LINE) != OURS:
                raise Failed(f"no PCI configuration at {one.config:#x}")

    def map_config(self):
        """Configuration where it was before the guest slept, and ACPI's ports, without
        which it would not sleep a second time, and take that for a short sleep. Linux
        does not miss the former. SeaBIOS means to do both as it wakes up, but by
        configuration as it is mapped: what it writes is lost, or, if it is mapped
        already, the first that it writes takes it away. So it may take more than
        once. The ports are the guest's own, so that it stands still meanwhile.
        False: it is there, or there still, as the guest has not been reset yet."""
        bus = self.bus
        if bus.read("l", self.bridge) == self.bridge_is:
            return False
        self.vm.qmp("stop")
        before = bus.port_in(CONFIG_ADDRESS)
        for where, value in self.mapped.items():
            bus.port_out(CONFIG_ADDRESS, 1 << 31 | where)
            bus.port_out(CONFIG_DATA, value)
        bus.port_out(CONFIG_ADDRESS, before)
        self.vm.qmp("cont")
        # By that it is known, also to who looks so late that devices are back already
        self.reset = True
        for one in self.devices:
            one.down = True
            one.target = None
        return True

    def ours(self, one):
        """Whether it is as it was, or as the guest has made it again."""
        ours = self.bus.read("b", one.config + PCI_CACHE_LINE) == OURS
        if ours and one.down:
            ours = self.bus.read("w", one.config + PCI_COMMAND) & PCI_ON == PCI_ON
        if ours != one.down:
            return ours
        one.down = not ours
        if one.down:
            self.reset = True
        one.target = None
        return False

    def idle(self, one):
        """Whether its last DMA has ended; the device is made to go on."""
        bus = self.bus
        running = bus.read("l", one.registers + EDU_COMMAND) & 1
        # After that: a DMA that has ended may have done so while this was off
        command = bus.read("w", one.config + PCI_COMMAND)
        # All that counts only if the device is there afterwards
        there = bus.read("l", one.registers + EDU_ID) == EDU_IS
        if not self.ours(one):
            return False
        if command & PCI_ON != PCI_ON:
            bus.write("w", one.config + PCI_COMMAND, command | PCI_ON)
            # Its DMA may have ended meanwhile, and come to nothing for that
            one.target = None
        return there and not running

    def start_dma(self, one, target):
        one.target = target
        one.begun += 1
        for register, value in ((EDU_SRC, EDU_BUFFER), (EDU_DST, target),
                                (EDU_COUNT, 64), (EDU_COMMAND, 3)):
            self.bus.write("q", one.registers + register, value)

    def opened(self, one):
        """The end of a DMA to what is mapped."""
        if self.bus.read("l", one.place) != BLANK:
            if one.shut:
                raise Failed(f"memory at {one.place:#x} was written to after "
                             f"it was taken back, after {self}")
            self.arrived += 1
            self.again += self.reset
        elif not one.shut:
            one.shut = True
            self.shut += 1
            # The window's may be another's from here on, and is left alone; a page
            # of RAM is not (pviommu_test, PAGES in profiles.py)
            if one.place >= self.window:
                one.open = 0
        else:
            self.since += 1

    def step(self, one):
        """The end of one DMA and the start of the next."""
        if not self.idle(one):
            return
        last = one.target
        if last == self.page:
            self.writes += 1
            self.since += bool(self.shut)
        elif last is not None:
            self.opened(one)
        if one.bypass or (one.open and last in (None, self.page)):
            if not one.shut:
                self.bus.write("l", one.place, BLANK)
            self.start_dma(one, one.open)
        else:
            self.start_dma(one, self.page)

    def run(self):
        try:
            while not self.stopping.is_set():
                woken = self.woken.is_set()
                if (woken or self.back) and self.map_config():
                    self.back = True
                for one in self.devices:
                    self.step(one)
                if woken and self.back:
                    # and it is known who is back
                    self.woken.clear()
                self.rounds += 1
                # After a reset it may be anybody's, as long as no device is back
                if not all(one.down for one in self.devices):
                    self.look()
                time.sleep(0.002)
        except (Failed, OSError, ValueError) as error:
            self.error = error

    def look(self):
        found = self.bus.read("l", self.page)
        if found != BLANK:
            raise Failed(f"memory at {self.page:#x} was written to: {found:#x}, "
                         f"after {self}")

    def __str__(self):
        return (f"writes={self.writes} arrived={self.arrived} again={self.again} "
                f"shut={self.shut} since={self.since} reset={int(self.reset)}")

    def settle(self, more=8):
        """Until each device has begun so many DMAs more, or none does any more."""
        want = [one.begun + more for one in self.devices]
        # What is known of them may be of before they came back
        rounds = self.rounds + 2
        end = time.monotonic() + 60 * FACTOR
        while self.is_alive() and (
                self.woken.is_set() or self.rounds < rounds or any(
                    one.begun < least and not one.down
                    for one, least in zip(self.devices, want))):
            if time.monotonic() > end:
                raise Failed(f"a device does nothing any more, after {self}")
            time.sleep(0.01)

    def end(self):
        self.stopping.set()
        self.join(60 * FACTOR)
        self.bus.close()

    def finish(self):
        """Ends it; returns what it did, unless a write has come through."""
        self.settle()
        self.end()
        if self.error:
            raise Failed(str(self.error))
        return self


class Flood(threading.Thread):
    """Frames for the network cards, from outside, without an end. When the guest
    crashes there are none until its crash kernel is there: the cards' rings, which
    nobody fills any more, are for those that come then, which say so, and are few."""

    CRASH, BOOT = b"sysrq: Trigger a crash", b"Linux version "
    LATE = b"to the dead kernel; "

    def __init__(self, vm):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(1)
        self.path = f"{vm.sockets}/flood"
        self.stopping = threading.Event()
        # What the guest says, from now on; what of that has been looked for
        self.console = vm.console.open("rb")
        self.console.seek(0, 2)
        self.said = b""
        self.awaited = [self.CRASH, self.BOOT]
        self.sent = self.late = 0

    def follow(self):
        """Whether the guest has crashed, and its crash kernel is not there."""
        self.said += self.console.read()
        while self.awaited:
            before, found, rest = self.said.partition(self.awaited[0])
            if not found:
                self.said = before[-64:]
                break
            self.awaited.pop(0)
            self.said = rest
        return len(self.awaited) == 1

    def run(self):
        # To all, from an address of its own, of a type for experiments
        head = b"\xff" * 6 + b"\x52\x54\0\0\0\x99" + b"\x88\xb5"
        try:
            while not self.stopping.is_set():
                if self.follow():
                    time.sleep(0.01)
                    continue
                frame = self.LATE * 70 if not self.awaited else b"\xa5" * 1400
                try:
                    self.socket.sendto(head + frame, self.path)
                except TimeoutError:
                    # nobody takes them now
                    continue
                self.sent += 1
                self.late += not self.awaited
                time.sleep(0.002 if self.awaited else 0.1)
        except OSError:
            # QEMU has ended
            return

    def await_late(self, count=8):
        """Until so many have been sent to the crash kernel."""
        end = time.monotonic() + 60 * FACTOR
        while self.late < count:
            if time.monotonic() > end or not self.is_alive():
                raise Failed(f"{self.late} frames were sent after the crash")
            time.sleep(0.05)

    def finish(self):
        self.stopping.set()
        self.join(10)
        self.console.close()
        return self.sent


def frames_in(path):
    """How many frames that came after the crash are in that file; each has its text
    more than once."""
    with open(path, "rb") as file, \
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        number, at = 0, data.find(Flood.LATE * 2)
        while at >= 0:
            number += 1
            at = data.find(Flood.LATE * 2, at + 70 * len(Flood.LATE))
        return number


def window_frames(vm):
    """How many there are in the window."""
    path = vm.directory / "memory-window"
    address = vm.qmp("qom-get", path="/machine/peripheral/iommu0", property="memaddr")
    vm.qmp("stop")
    try:
        vm.qmp("pmemsave", val=address, size=vm.window << 20, filename=str(path))
    finally:
        vm.qmp("cont")
    found = frames_in(path)
    path.unlink()
    return found


def memory_to(vm, name):
    """The guest's memory as it is now, into a file."""
    path = vm.directory / f"memory-{name}"
    size = vm.profile.memory << 20
    # Its clock stands still with it: otherwise it has missed its timers, and says so
    vm.qmp("stop")
    try:
        vm.qmp("pmemsave", val=0, size=size, filename=str(path))
    finally:
        vm.qmp("cont")
    return path


def segments(core):
    """The pieces of memory of an ELF core: offset, address, size."""
    if core[:4] != b"\x7fELF":
        raise Failed("what is on the disk is no ELF file")
    start, = struct.unpack_from("<Q", core, 0x20)
    size, count = struct.unpack_from("<HH", core, 0x36)
    for n in range(count):
        kind, _, offset, _, address, length = \
            struct.unpack_from("<IIQQQQ", core, start + n * size)
        if kind == 1 and length:
            yield offset, address, length


# Below, a crash kernel has its trampolines
LOW = 1 << 20


def differ(one, at, other, there, length):
    """The offset of the first page in which two pieces differ, or None."""
    step = LOW
    for offset in range(0, length, step):
        size = min(step, length - offset)
        if one[at + offset:at + offset + size] == \
                other[there + offset:there + offset + size]:
            continue
        for page in range(offset, offset + size, 4096):
            if one[at + page:at + page + 4096] != \
                    other[there + page:there + page + 4096]:
                return page
    return None


def known_page(tag, number):
    """As kdump-lib.sh writes them."""
    return "".join(f"{tag}-{number:08d}-{line:02d} {'known page':>14}\n"
                   for line in range(64)).encode()


def compare(core, before, after, tag, number):
    """An ELF core against the memory that it is of, early and late in the crash
    kernel; returns how much was compared, and how many known pages were in it."""
    total, found = 0, set()
    start = f"{tag}-".encode()
    for offset, address, length in segments(core):
        skip = min(length, max(0, LOW - address))
        offset, address, length = offset + skip, address + skip, length - skip
        if address + length > len(before) or offset + length > len(core):
            raise Failed(f"{length:#x} bytes at {address:#x}: not all on the disk")
        for what, other in (("memory has changed in the crash kernel", after),
                            ("what was saved is not what memory had", core)):
            there = offset if other is core else address
            page = differ(before, address, other, there, length)
            if page is not None:
                old = before[address + page:address + page + 4096]
                new = other[there + page:there + page + 4096]
                first = next(i for i in range(4096) if old[i] != new[i])
                raise Failed(f"{what}: at {address + page + first:#x} "
                             f"{new[first:first + 16].hex()}, and was "
                             f"{old[first:first + 16].hex()}")
        place = core.find(start, offset, offset + length)
        while place >= 0:
            if (place - offset) % 4096 == 0:
                which = int(core[place + len(start):place + len(start) + 8])
                if core[place:place + 4096] == known_page(tag, which):
                    found.add(which)
            place = core.find(start, (place | 4095) + 1, offset + length)
        total += length
    if found != set(range(number)):
        raise Failed(f"{len(found)} of {number} known pages are in the core")
    return total


def check_core(vm, disk, tag, number):
    """What a crash kernel has saved to a disk: all of it, as memory has it still."""
    before, after = vm.directory / "memory-before", memory_to(vm, "after")
    maps = []
    try:
        for path in (before, after):
            if frames_in(path):
                raise Failed(f"{frames_in(path)} frames that came after the crash are "
                             f"in memory: {path.name}")
        for path in (vm.disk(disk), before, after):
            with open(path, "rb") as file:
                maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return compare(*maps, tag, number)
    finally:
        for one in maps:
            one.close()
        before.unlink()
        after.unlink()
