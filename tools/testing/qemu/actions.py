# SPDX-License-Identifier: GPL-2.0
"""What a test in a guest may ask of its host ("host WORDS..." in a test).

Each action gets the VM and the words that follow its name; what it returns is
the answer, and Failed is the answer that it did not work.
"""

import contextlib
import hashlib
import json
import threading
import time

import vtd
import witness
from vm import FACTOR, Failed, GuestDied


def action_qmp(vm, *words):
    """host qmp COMMAND [JSON]: any monitor command; answers its result"""
    arguments = json.loads(" ".join(words[1:])) if words[1:] else {}
    return json.dumps(vm.qmp(words[0], **arguments))


def typed(value):
    """What QEMU from 9.2 on does not take for a word: on, off, and MiB"""
    if value in ("on", "off"):
        return value == "on"
    if value[:-1].isdecimal() and value[-1] == "M":
        return int(value[:-1]) << 20
    return value


def action_plug(vm, driver, *properties):
    """host plug DRIVER KEY=VALUE...: device_add"""
    arguments = {}
    for one in properties:
        key, value = one.split("=", 1)
        arguments[key] = typed(value)
    vm.qmp("device_add", driver=driver, **arguments)
    return "plugged"


def action_unplug(vm, name):
    """host unplug ID: device_del, and wait until the guest has let go"""
    vm.qmp("device_del", id=name)
    vm.qmp.wait_event("DEVICE_DELETED", 60, device=name)
    return "unplugged"


def action_disk_used(vm, name):
    """host disk_used ID: how many bytes of the disk's image are not zero"""
    used = 0
    with open(vm.disk(name), "rb") as image:
        while block := image.read(1 << 20):
            used += len(block) - block.count(0)
    return str(used)


def action_resident(vm, size):
    """host resident SIZE: kB in the host's memory, of what QEMU has mapped in one
    piece of SIZE bytes: a memory backend"""
    found, here = None, False
    with open(f"/proc/{vm.process.pid}/smaps", encoding="ascii") as smaps:
        for line in smaps:
            key, value, *_ = line.split()
            if key == "Size:":
                here = int(value) << 10 == int(size)
            elif key == "Rss:" and here:
                found = (found or 0) + int(value)
    if found is None:
        raise Failed(f"QEMU has mapped nothing of {size} bytes")
    return str(found)


def action_reset(vm):
    """host reset: what the reset button does; nobody is there to hear of it"""
    vm.qmp("system_reset")


def action_migrate(vm, suite=""):
    """host migrate [SUITE]: to another QEMU process, while the guest runs, or to the
    QEMU of another Debian release; answers for how many milliseconds it did not"""
    return str(vm.migrate(build_of(vm, suite) if suite else None))


def action_postcopy(vm):
    """host postcopy: the same, but the guest goes on at once in the other process,
    and its memory comes after it"""
    return str(vm.migrate(postcopy=True))


def build_of(vm, suite):
    """The QEMU of a Debian release."""
    directory = vm.machine.build / "qemu" / suite
    return directory / vm.machine.qemu.parent.name / vm.machine.qemu.name


def action_builds(vm):
    """host builds: the Debian releases whose QEMUs are built, this one's first"""
    here = vm.qemu.resolve().parent.parent.name
    others = sorted(path.name for path in (vm.machine.build / "qemu").iterdir()
                    if path.name != here and build_of(vm, path.name).exists())
    return " ".join([here, *others])


def wake_from_ram(vm):
    """As soon as it sleeps."""
    end = time.monotonic() + 120 * FACTOR
    while time.monotonic() < end:
        if vm.qmp("query-status")["status"] == "suspended":
            vm.slept.set()
            vm.qmp("system_wakeup")
            if vm.driver:
                vm.driver.woken.set()
            return
        time.sleep(0.2)


def wake_from_idle(vm, seconds):
    """By the power button. QEMU does not know whether it sleeps."""
    time.sleep(seconds)
    vm.qmp("system_powerdown")


def action_wake(vm, state, seconds="0"):
    """host wake STATE [SECONDS]: what will wake the guest that is about to
    suspend: "mem", or "freeze" after SECONDS"""
    def wake():
        with contextlib.suppress(Failed, GuestDied, OSError):
            if state == "mem":
                wake_from_ram(vm)
            else:
                wake_from_idle(vm, int(seconds))

    vm.slept.clear()
    vm.waker = threading.Thread(target=wake, daemon=True)
    vm.waker.start()
    return "later"


def action_slept(vm):
    """host slept: whether the guest has been suspended to RAM since the last host wake; by
    whom it was woken does not matter, as one of an attempt before may be at it still"""
    if not vm.slept.wait(5 * FACTOR):
        raise Failed("the guest was never suspended")
    return "slept"


def action_drive(vm, page, *devices):
    """host drive PAGE CONFIG,REGISTERS,MAPPED[,PLACE]...: edu devices write to a page
    that is none of theirs, and to what is mapped for them, by the host's hand; those
    that reach all of memory, where PLACE is, to that alone"""
    # Of a test that has failed meanwhile
    if vm.driver:
        vm.driver.end()
    vm.driver = witness.Driver(vm, int(page, 0),
                               [witness.Device(text) for text in devices])
    vm.driver.start()
    vm.driver.settle()
    return "driven"


def action_drive_on(vm):
    """host drive_on: until each of the driven devices has begun some more DMAs"""
    vm.driver.settle()
    return "driven on"


def action_driven(vm):
    """host driven: the end of that; answers how often, or where memory was hit"""
    driver = vm.driver
    # Who has woken the guest may not be through yet
    if vm.waker:
        vm.waker.join(60 * FACTOR)
    try:
        return str(driver.finish())
    finally:
        driver.end()
        vm.driver = None


def action_registers(vm, config):
    """host registers CONFIG: what the host device, whose PCI configuration is there, has in
    its registers, without a word of the guest's"""
    return witness.host_registers(vm, int(config, 0))


def action_flood(vm):
    """host flood: frames for the network cards, from now on"""
    vm.flood = witness.Flood(vm)
    vm.flood.start()
    return "sending"


def action_dry(vm):
    """host dry: the end of them; answers how many there were"""
    flood, vm.flood = vm.flood, None
    return str(flood.finish())


def action_remember(vm):
    """host remember: all of the guest's memory as it is now, for host core, with frames
    on their way to the kernel that has crashed; answers how many of these there were,
    and how many are in the window, or -1 for one that is large"""
    vm.flood.await_late()
    found = witness.window_frames(vm) if vm.window <= 64 else -1
    witness.memory_to(vm, "before")
    return f"late={vm.flood.late} landed={found}"


def action_core(vm, disk, tag, number):
    """host core DISK TAG NUMBER: whether the ELF core on a disk is what memory was
    and is, with so many known pages; answers how many bytes were compared"""
    return str(witness.check_core(vm, disk, tag, int(number)))


def action_picture(vm, name):
    """host picture ID: what a display shows, "WIDTH HEIGHT SHA256"; the sum is of
    its pixels as the guest has them in memory, blue, green, red and an X"""
    file = vm.directory / "picture.ppm"
    vm.qmp("screendump", filename=str(file), device=name)
    data = file.read_bytes()
    kind, width, height, depth = data[:32].split()[:4]
    pixels = data[-int(width) * int(height) * 3:]
    file.unlink()
    if (kind, depth) != (b"P6", b"255"):
        raise Failed(f"a picture of kind {kind}, {depth}")
    memory = bytearray(b"X") * (len(pixels) // 3 * 4)
    for there, here in enumerate((2, 1, 0)):
        memory[there::4] = pixels[here::3]
    return f"{int(width)} {int(height)} {hashlib.sha256(memory).hexdigest()}"


def action_dma_entries(vm, device, address, size):
    """host dma_entries BUS:SLOT.FUNCTION ADDRESS SIZE: how many leaves of the IOMMU's
    page tables cover these DMA addresses, "4096:NUMBER 2097152:NUMBER ..." """
    leaves = vtd.leaves(vm, device, int(address, 0), int(size, 0))
    return " ".join(f"{size}:{number}" for size, number in sorted(leaves.items()))


def action_note(_, *words):
    """host note WORDS...: a line for who watches"""
    print("# " + " ".join(words), flush=True)
    return "noted"


def perform(vm, words):
    """Runs the action that the words name; returns the line of answer, or None
    where it was the guest's last word."""
    function = globals().get("action_" + words[0])
    if not function:
        return f"failed there is no action {words[0]}"
    try:
        answer = function(vm, *words[1:])
        return None if answer is None else f"ok {answer}"
    except (Failed, TypeError, ValueError, OSError) as error:
        return "failed " + " ".join(str(error).split())
