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

# Registers of QEMU's edu device, and offsets in the PCI header
EDU_SRC, EDU_DST, EDU_COUNT, EDU_COMMAND = 0x80, 0x88, 0x90, 0x98
EDU_BUFFER = 0x40000
PCI_COMMAND, PCI_CACHE_LINE = 0x4, 0xc
# Memory space and bus mastering
PCI_ON = 6


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


class Device:
    """An edu device that the host drives: where its configuration, its registers
    and the DMA address are that its driver has mapped, 0 if nothing is."""

    def __init__(self, text):
        self.config, self.registers, self.open = \
            (int(word, 0) for word in text.split(","))
        self.targets = 0


class Driver(threading.Thread):
    """Has devices write to a page that is no device's, and in turns to what their
    drivers have mapped, until it is told to stop or the machine is reset. One whose
    bus mastering the guest ends has it back at once: no guest can rely on that."""

    # pylint: disable=too-many-instance-attributes
    def __init__(self, vm, page, devices):
        super().__init__(daemon=True)
        self.bus = Bus(f"{vm.sockets}/qtest")
        self.page = page
        self.devices = devices
        iommu = {name: vm.qmp("qom-get", path="/machine/peripheral/iommu0",
                              property=name) for name in ("memaddr", "dma-base")}
        self.window = iommu["memaddr"] - iommu["dma-base"]
        self.stopping = threading.Event()
        self.error = None
        self.reset = False
        # Writes to the page; those to what is mapped that have arrived; whether the
        # last of them has not; writes to the page since then
        self.writes = self.arrived = self.shut = self.since = 0
        bus = self.bus
        bus.write("l", page, BLANK)
        for one in devices:
            bus.write("b", one.config + PCI_CACHE_LINE, 0x5a)

    def idle(self, one):
        """Whether its last DMA has ended; the device is made to go on."""
        bus = self.bus
        if bus.read("b", one.config + PCI_CACHE_LINE) != 0x5a:
            self.reset = True
            return False
        command = bus.read("w", one.config + PCI_COMMAND)
        if command & PCI_ON != PCI_ON:
            bus.write("w", one.config + PCI_COMMAND, command | PCI_ON)
        return not bus.read("l", one.registers + EDU_COMMAND) & 1

    def start_dma(self, one, address):
        for register, value in ((EDU_SRC, EDU_BUFFER), (EDU_DST, address),
                                (EDU_COUNT, 64), (EDU_COMMAND, 3)):
            self.bus.write("l", one.registers + register, value)

    def step(self, one):
        """The end of one DMA and the start of the next."""
        if not self.idle(one):
            return
        if one.targets % 2 and one.open:
            if self.bus.read("l", one.open + self.window) == BLANK:
                # From here on it may be another's, and is left alone
                one.open = 0
                self.shut += 1
            else:
                self.arrived += 1
        elif one.targets:
            self.writes += 1
            self.since += bool(self.shut)
        one.targets += 1
        if one.targets % 2 and one.open:
            self.bus.write("l", one.open + self.window, BLANK)
            self.start_dma(one, one.open)
        else:
            self.start_dma(one, self.page)

    def run(self):
        try:
            while not self.stopping.is_set() and not self.reset:
                for one in self.devices:
                    self.step(one)
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
        return (f"writes={self.writes} arrived={self.arrived} shut={self.shut} "
                f"since={self.since} reset={int(self.reset)}")

    def settle(self, more=8):
        """Until each device has begun so many DMAs more, or none does any more."""
        want = [one.targets + more for one in self.devices]
        end = time.monotonic() + 60 * FACTOR
        while self.is_alive() and any(one.targets < least for one, least
                                      in zip(self.devices, want)):
            if time.monotonic() > end:
                raise Failed(f"a device does nothing any more, after {self}")
            time.sleep(0.01)

    def finish(self):
        """Ends it; returns what it did, unless a write has come through."""
        self.settle()
        self.stopping.set()
        self.join(60 * FACTOR)
        self.bus.close()
        if self.error:
            raise Failed(str(self.error))
        return self


class Flood(threading.Thread):
    """Frames for the network cards, from outside, without an end."""

    def __init__(self, vm):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(1)
        self.path = f"{vm.sockets}/flood"
        self.stopping = threading.Event()
        self.sent = 0

    def run(self):
        # To all, from an address of its own, of a type for experiments
        frame = b"\xff" * 6 + b"\x52\x54\0\0\0\x99" + b"\x88\xb5" + b"\xa5" * 1400
        try:
            while not self.stopping.is_set():
                try:
                    self.socket.sendto(frame, self.path)
                    self.sent += 1
                    time.sleep(0.002)
                except TimeoutError:
                    # nobody takes them now
                    continue
        except OSError:
            # QEMU has ended
            return

    def finish(self):
        self.stopping.set()
        self.join(10)
        return self.sent


def memory_to(vm, name):
    """The guest's memory as it is now, into a file."""
    path = vm.directory / f"memory-{name}"
    size = vm.profile.memory << 20
    vm.qmp("pmemsave", val=0, size=size, filename=str(path))
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
        for path in (vm.disk(disk), before, after):
            with open(path, "rb") as file:
                maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return compare(*maps, tag, number)
    finally:
        for one in maps:
            one.close()
        before.unlink()
        after.unlink()
