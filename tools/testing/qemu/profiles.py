# SPDX-License-Identifier: GPL-2.0
"""The virtual machines that tests run in, one entry each.

A test names its profile in its header ("# VM: NAME"). Every device has an id,
by which QMP and tests find it.
"""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Profile:
    """A virtual machine: what differs from one to the next."""

    about: str
    devices: tuple = ()
    netdevs: tuple = ()
    # Disk images by id: MiB
    disks: dict = field(default_factory=dict)
    # MiB
    memory: int = 384
    # MiB of window; 0: no pv-iommu device at all
    window: int = 64
    # Slots for memory that could be plugged: QEMU has more addresses for each
    slots: int = 0
    # MiB for which the guest's address space has room, to be plugged there
    pluggable: int = 0
    cpus: int = 2
    # Properties of the pv-iommu device, in addition
    iommu: str = "boot-bypass=off"
    # For the kernel command line, in addition
    append: str = ""
    # One instruction is one nanosecond, and idle time passes at once
    icount: bool = False
    # Existing images by id, read-only: the path below the build directory,
    # {kernel} stands for the kernel
    images: dict = field(default_factory=dict)
    # QEMU's machine: a version of it is the same in each QEMU that has it
    machine: str = "q35"
    # The guest is to run guests: its processor has virtualization
    nested: bool = False
    # Instead of SeaBIOS
    firmware: str = ""
    # The kernel unpacks itself. It then looks for a place that memmap= has not
    # taken, and no reset writes it anew, as QEMU does with one that is unpacked:
    # a guest that suspends to RAM would wake up without what it knew. UEFI knows
    # no other.
    packed: bool = False
    # A guest that reboots does; elsewhere that is its end
    reboots: bool = False
    # The host drives devices itself (witness.py)
    driven: bool = False
    # QEMU's options in addition
    options: tuple = ()
    # A device that not every QEMU has; without it, tests are skipped
    wants: str = ""


def nvme(name="nvme0", more=""):
    return f"nvme,id={name},drive={name}-disk,serial={name}{more}"


def e1000e(netdev, name="net0", mac="52:54:00:00:00:10"):
    return f"e1000e,id={name},netdev={netdev},mac={mac},romfile="


def igb(netdev, name="net1", mac="52:54:00:00:00:11"):
    return f"igb,id={name},netdev={netdev},mac={mac},romfile="


def virtio_net(netdev, name="net1", mac="52:54:00:00:00:11"):
    return (f"virtio-net-pci,id={name},netdev={netdev},mac={mac},romfile=,"
            "disable-legacy=on,iommu_platform=on")


def virtio_blk(name="vblk0"):
    return (f"virtio-blk-pci,id={name},drive={name}-disk,serial={name},"
            "disable-legacy=on,iommu_platform=on")


# From Debian's package ovmf
OVMF = "/usr/share/ovmf/OVMF.fd"


def host(iommu, append, swap=""):
    """A guest that is a host: an IOMMU, and devices to assign to guests of its
    own. Its own disks are past the IOMMU: QEMU, and swap space, which has the
    properties SWAP in addition."""
    return Profile(
        about=f"a host with KVM and VFIO, behind {iommu.split(',')[0]}",
        nested=True,
        # Each start and end of a KVM guest patches the running kernel, and each
        # page that goes is taken from other CPUs' TLBs. TCG with a thread for
        # each CPU does not always get over either.
        cpus=1,
        memory=3072,
        window=0,
        disks={"nvme0": 512, "swap0": 1024},
        images={"host0": "guest/{kernel}/host.img"},
        devices=(
            iommu,
            nvme(more=",addr=10"),
            "edu,id=edu0,addr=11",
            *(f"e1000e,id=card{i},romfile=,addr={0x18 + i:x}"
              for i in range(5)),
            "virtio-blk-pci,id=host0,drive=host0-disk,serial=host0,"
            "disable-legacy=on",
            "virtio-blk-pci,id=swap0,drive=swap0-disk,serial=swap0,"
            f"disable-legacy=on{swap}",
        ),
        append=append,
    )


# A host with more disks: two that are functions of one device, which nothing keeps
# from each other's memory on the bus, so that they are one IOMMU group; and others.
KVM = host("intel-iommu,intremap=on", "intel_iommu=on")
KVM_GROUPS = replace(
    KVM,
    about="a host with KVM and VFIO, and a group of two functions",
    disks={**KVM.disks, **{f"nvme{i}": 64 for i in range(1, 6)}},
    devices=(*KVM.devices,
             nvme("nvme1", ",addr=12.0,multifunction=on"),
             nvme("nvme2", ",addr=12.1"),
             *(nvme(f"nvme{i}", f",addr=1{i}") for i in range(3, 6))),
)

# A host that no IOMMU protects. Of its memory, it keeps a huge page and two
# pieces for devices: one below 256 MiB, which edu's 28 address bits reach, and
# one above. Its first edu can be reset, by the port that it is behind, and the
# other cannot be.
NO_IOMMU = Profile(
    about="a host with KVM and VFIO, and no IOMMU at all",
    nested=True,
    cpus=1,
    memory=4096,
    window=0,
    disks={"nvme0": 512, "swap0": 1024},
    images={"host0": "guest/{kernel}/host.img"},
    devices=(
        nvme(more=",addr=10"),
        "pcie-root-port,id=port0,slot=1,addr=11,hotplug=off",
        "edu,id=edu0,bus=port0",
        "edu,id=edu1,addr=12,dma_mask=0xffffffff",
        "virtio-blk-pci,id=host0,drive=host0-disk,serial=host0,"
        "disable-legacy=on",
        "virtio-blk-pci,id=swap0,drive=swap0-disk,serial=swap0,"
        "disable-legacy=on",
    ),
    append="hugepagesz=1G hugepages=1 memmap=64M!128M memmap=128M!256M",
)

# QEMU says that the I/O APIC is at 00:14.0, where it has nothing. Linux 7.3
# remaps interrupts only if a south bridge is there: an SMBus, by its class.
AT_SOUTHBRIDGE = ",addr=14.0,class=0x0c05"


def firmware(about, image, memory, window):
    """What the firmware says of memory types differs; a disk to see it by."""
    return Profile(about=f"{about}, {memory} MiB, a window of {window} MiB",
                   firmware=image, packed=bool(image),
                   memory=memory, window=window,
                   disks={"nvme0": 64}, devices=(nvme(),))


# Two cards on one wire: the guest talks to itself, from one network namespace
# to the other, and depends on nothing outside
WIRE = ("hubport,id=port0,hubid=0", "hubport,id=port1,hubid=0")

# And the host on that wire; {sockets} is where the guest's are
OUTSIDE = ("dgram,id=outside,local.type=unix,local.path={sockets}/flood,"
           "remote.type=unix,remote.path={sockets}/nobody",
           "hubport,id=port9,hubid=0,netdev=outside")


# A page that the kernel leaves alone, and whose number is a DMA address of the
# window as well; and one whose number is one of the arena
PAGES = "memmap=64K$0x3f00000 memmap=64K$0x5f00000"

# A device that pv_iommu is told not to attach, behind all others
APART = "edu,id=edu2,addr=1c"
NOT_APART = "pv_iommu.devices=!0000:00:1c.0"


def again(iommu, append="", memory=1024, window=64):
    """A guest that may boot again, and has what kexec needs to do so."""
    return Profile(
        about=f"a guest that may boot again, {iommu}, {window} MiB of window",
        memory=memory,
        window=window,
        iommu=iommu,
        append=append,
        reboots=True,
        disks={"nvme0": 256, "vblk0": 64},
        images={"kernel0": "kernel/{kernel}/vmlinuz",
                "initrd0": "guest/{kernel}/initrd"},
        netdevs=WIRE,
        devices=(nvme(), e1000e("port0"), virtio_net("port1"),
                 virtio_blk(), virtio_blk("kernel0"), virtio_blk("initrd0")),
    )


def kdump(iommu, window):
    """The same with room for a crash kernel, and a disk for all of its memory; and
    with devices that the host drives, of as many address bits as an arena behind a
    large window takes."""
    guest = again(iommu, f"pviommu_test.mask_bits=32 {PAGES} {NOT_APART} "
                  "crashkernel=192M", 768, window)
    return replace(
        guest,
        driven=True,
        packed=True,
        disks={**guest.disks, "nvme0": guest.memory},
        netdevs=(*guest.netdevs, *OUTSIDE),
        devices=(*guest.devices, "edu,id=edu0,dma_mask=0xffffffff",
                 "edu,id=edu1,dma_mask=0xffffffff", APART),
    )


def confined(iommu):
    """Devices that the host drives, and pages to see where they write. The first can
    have direct mappings, if its driver says so, and there is a slot for one more."""
    return Profile(
        about=f"devices that write where they are told to, {iommu}",
        devices=("edu,id=edu0,dma_mask=0xffffffffffffffff", "edu,id=edu1", APART,
                 "pcie-root-port,id=port0,slot=1"),
        iommu=iommu,
        append=f"{PAGES} {NOT_APART}",
        packed=True,
        driven=True,
    )


def confined_again(iommu):
    """The same in a guest that boots again."""
    guest = again(iommu, f"{PAGES} {NOT_APART}")
    return replace(guest, driven=True, packed=True,
                   devices=(*guest.devices, "edu,id=edu0", "edu,id=edu1", APART))


def bench(about, iommu=(), window=0):
    """One of the guests of the benchmark: they differ in the IOMMU alone."""
    return Profile(
        about=f"instructions counted, one CPU, {about}",
        memory=512,
        window=window,
        cpus=1,
        devices=(*iommu, "edu,id=edu0,dma_mask=0xffffffffffffffff"),
        icount=True,
    )


def bench_io(about, iommu=(), window=0, counted=False):
    """The same with a disk and two network cards, by the clock or counted."""
    return Profile(
        about=f"real I/O, {'counted, ' if counted else ''}{about}",
        memory=512,
        window=window,
        cpus=1 if counted else 2,
        icount=counted,
        disks={"nvme0": 256},
        netdevs=WIRE,
        devices=(*iommu, nvme(), e1000e("port0"), virtio_net("port1")),
    )


# As wide as cards whose drivers never sync
WIDE_EDUS = tuple(f"edu,id=edu{n},addr={0x10 + n:x},dma_mask=0xffffffffffffffff"
                  for n in range(2))


def edu(about, iommu="boot-bypass=off", window=64):
    """Three edu devices."""
    return Profile(
        about=about,
        memory=384,
        window=window,
        iommu=iommu,
        devices=("edu,id=edu0", "edu,id=edu1,dma_mask=0xffffffffffff",
                 "edu,id=edu2,dma_mask=0xffffffffffff"),
        # Each DMA of edu takes 100 ms, which need not be waited for. With two
        # CPUs and instructions counted, Linux waits for the second for ever.
        icount=True,
        cpus=1,
    )


# Devices that QEMU can migrate
MOVING = (
    virtio_blk(),
    "virtio-scsi-pci,id=vscsi0,disable-legacy=on,iommu_platform=on",
    "scsi-hd,bus=vscsi0.0,drive=vscsi0-disk",
    e1000e("port0"), virtio_net("port1"),
)
MOVING_DISKS = {"vblk0": 256, "vscsi0": 256}

MIGRATE = Profile(
    about="devices that QEMU can migrate, which its nvme is not",
    # Else SeaBIOS waits a minute for a disk on AHCI that reaches no memory
    iommu="boot-bypass=on",
    disks={"sata0": 256, **MOVING_DISKS},
    netdevs=WIRE,
    devices=("ich9-ahci,id=ahci0", "ide-hd,bus=ahci0.0,drive=sata0-disk", *MOVING),
)

PROFILES = {
    "main": Profile(
        about="an NVMe disk, two network cards and a virtio disk",
        memory=512,
        disks={"nvme0": 1024, "vblk0": 256},
        netdevs=WIRE,
        devices=(nvme(), e1000e("port0"), virtio_net("port1"), virtio_blk()),
        packed=True,
    ),
    "hostile": Profile(
        about="disks and cards among twelve DMA engines, of which eleven go wild",
        memory=512,
        disks={"nvme0": 64, "vblk0": 64},
        netdevs=WIRE,
        iommu="boot-bypass=off,direct-limit=64M",
        devices=(nvme(), e1000e("port0"), virtio_net("port1"), virtio_blk(),
                 *(f"edu,id=edu{n},dma_mask=0xffffffffffffffff"
                   for n in range(12))),
    ),
    # Drivers give up soon on devices that do not answer; memory that is freed is
    # poisoned. The host may say that it does not serve a device, and edu's own mask
    # is more than dma-direct can do.
    "hostile-host": Profile(
        about="a disk, a card and DMA engines whose host lies",
        memory=512,
        disks={"nvme0": 64},
        netdevs=WIRE,
        iommu="boot-bypass=off,direct-limit=64M",
        devices=(nvme(), e1000e("port0"), "edu,id=edu0,dma_mask=0xffffffff",
                 "edu,id=edu1,dma_mask=0xffffffff", APART),
        # DMA_API_DEBUG knows mappings by their addresses, which the host gives twice
        append="slub_debug=FZP page_poison=1 nvme_core.io_timeout=2 "
               "nvme_core.admin_timeout=2 pviommu_test.mask_bits=32 dma_debug=off",
    ),
    "edu": edu("DMA engines that do what a test tells them: three edu devices"),
    "edu-shared": edu("the same, all in one domain",
                      "boot-bypass=off,isolation=off"),
    "edu-old-host": edu("the same on a host that knows no chunks",
                        "boot-bypass=off,x-chunks=off"),
    # The second is of another kind
    "edu-direct": replace(
        edu("the same with 64 address bits, of which one has its memory direct"),
        devices=WIDE_EDUS,
        append="pv_iommu.direct=00:10.0 pviommu_test.mask_bits=48"),
    # In bounce mode, where direct mappings are not offered unless it is said
    "edu-direct-copied": replace(
        edu("the same for a host that copies what is not direct",
            "boot-bypass=off,direct-limit=16M"),
        devices=WIDE_EDUS,
        append="pv_iommu.direct=00:10.0 pviommu_test.mask_bits=48"),
    "edu-256": replace(
        edu("the same with a window of 256 MiB, and addresses to choose from",
            window=256), slots=1),
    # What is around mappings may stay granted, 8 MiB of it
    "edu-cached": replace(
        edu("the same, with what is around it, 8 MiB of which may be kept"),
        memory=768,
        devices=WIDE_EDUS,
        append="pv_iommu.direct=00:10.0 pviommu_test.mask_bits=48 "
               "pv_iommu.direct_cache=8 pv_iommu.direct_min=64"),
    "direct-disk": Profile(
        about="a disk whose mappings are direct, and 256 MiB that may be kept",
        memory=512,
        disks={"nvme0": 256},
        devices=(nvme(),),
        iommu="boot-bypass=off,direct-limit=384M",
        append="pv_iommu.direct=1b36:0010 pv_iommu.direct_cache=256"),
    "direct-gpu": Profile(
        about="a display, and what says that it is an accelerator, whose memory is "
              "direct for what they are",
        memory=512,
        disks={"accel0": 64},
        devices=("virtio-gpu-pci,id=gpu0,iommu_platform=on,"
                 "xres=640,yres=480",
                 virtio_blk("accel0") + ",class=0x1200"),
    ),
    "xsk": Profile(
        about="two network cards, of which one may be mapped by a program",
        memory=384,
        netdevs=WIRE,
        devices=(e1000e("port0"), igb("port1")),
        wants="igb",
    ),
    "direct-dimm": Profile(
        about="the same with memory that comes and goes, for what may move only",
        memory=512,
        slots=1,
        pluggable=256,
        disks={"nvme0": 256},
        devices=(nvme(), WIDE_EDUS[0]),
        iommu="boot-bypass=off,direct-limit=768M",
        append="pv_iommu.direct=1b36:0010,1234:11e8 pv_iommu.direct_cache=768 "
               "pviommu_test.mask_bits=48 memhp_default_state=online_movable"),
    "pressure": Profile(
        about="five disks of four kinds, which want more than they will get",
        memory=768,
        disks={"nvme0": 64, "nvme1": 64, "sata0": 64, "vblk0": 64, "usb0": 64},
        iommu="boot-bypass=on",
        devices=(
            nvme(), nvme("nvme1"), virtio_blk(),
            "ich9-ahci,id=ahci0", "ide-hd,bus=ahci0.0,drive=sata0-disk",
            "qemu-xhci,id=xhci0", "usb-storage,bus=xhci0.0,drive=usb0-disk",
        ),
    ),
    "pressure-nics": Profile(
        about="four network cards, and a disk beside them",
        memory=512,
        icount=True,
        cpus=1,
        disks={"nvme0": 128},
        netdevs=(*WIRE, "hubport,id=port2,hubid=1", "hubport,id=port3,hubid=1"),
        devices=(*(e1000e(f"port{n}", f"net{n}", f"52:54:00:00:00:1{n}")
                   for n in range(4)), nvme()),
    ),
    "scale": Profile(
        about="as many CPUs as a large machine has",
        memory=2048,
        window=512,
        cpus=64,
        devices=("edu,id=edu0,dma_mask=0xffffffffffffffff",),
    ),
    "elastic": Profile(
        about="six devices and far more window than they need",
        memory=768,
        window=1024,
        disks={"nvme0": 64, "sata0": 64, "vblk0": 64, "usb0": 64},
        netdevs=WIRE,
        iommu="boot-bypass=on",
        devices=(
            nvme(), virtio_blk(),
            "ich9-ahci,id=ahci0", "ide-hd,bus=ahci0.0,drive=sata0-disk",
            "qemu-xhci,id=xhci0", "usb-storage,bus=xhci0.0,drive=usb0-disk",
            e1000e("port0"), virtio_net("port1"),
        ),
    ),
    "disk": Profile(
        about="every kind of disk controller",
        memory=512,
        disks={"nvme0": 1024, "sata0": 256, "cd0": 64, "vscsi0": 256,
               "vblk0": 256, "usb0": 128, "mega0": 128},
        # SeaBIOS has a driver for each of them, and waits for ever for what
        # virtio-scsi never hears of with boot-bypass=off
        iommu="boot-bypass=on",
        devices=(
            nvme(),
            "ich9-ahci,id=ahci0",
            "ide-hd,bus=ahci0.0,drive=sata0-disk",
            "ide-cd,bus=ahci0.1,drive=cd0-disk",
            virtio_blk(),
            "virtio-scsi-pci,id=vscsi0,disable-legacy=on,iommu_platform=on",
            "scsi-hd,bus=vscsi0.0,drive=vscsi0-disk",
            "qemu-xhci,id=xhci0",
            "usb-storage,bus=xhci0.0,drive=usb0-disk",
            # Not pvscsi: QEMU's reads its rings past any IOMMU
            "megasas,id=mega0",
            "scsi-hd,bus=mega0.0,drive=mega0-disk",
            "virtio-rng-pci,id=rng0,disable-legacy=on,iommu_platform=on",
        ),
    ),
    "net": Profile(
        about="network cards: e1000e and virtio-net on a wire, e1000 and "
              "virtio-net on another",
        netdevs=(*WIRE, "hubport,id=port2,hubid=1", "hubport,id=port3,hubid=1"),
        devices=(
            e1000e("port0"),
            virtio_net("port1"),
            "e1000,id=net2,netdev=port2,mac=52:54:00:00:00:12,romfile=",
            virtio_net("port3", "net3", "52:54:00:00:00:13"),
        ),
    ),
    "stress": Profile(
        about="two CPUs that share a window, and two edu devices",
        devices=("edu,id=edu0", "edu,id=edu1"),
    ),
    "tiny": Profile(
        about="the same with the smallest window that there is",
        window=2,
        devices=("edu,id=edu0", "edu,id=edu1"),
    ),
    "wide": Profile(
        about="more window than devices with short masks reach",
        window=512,
        devices=("edu,id=edu0", "edu,id=edu1"),
        icount=True,
        cpus=1,
    ),
    "wide-arena": Profile(
        about="more arena than devices with short masks reach",
        iommu="boot-bypass=off,arena-size=512M",
        devices=("edu,id=edu0", "edu,id=edu1"),
        icount=True,
        cpus=1,
    ),
    "low": Profile(
        about="a window above 4 GiB, and an arena below 16 MiB for who does "
              "not reach it",
        iommu="boot-bypass=off,dma-base=0x100000000,arena-base=0x800000,"
              "arena-size=8M,arena-coherent=3M",
        disks={"nvme0": 64},
        devices=("edu,id=edu0", "edu,id=edu1", nvme()),
        icount=True,
        cpus=1,
    ),
    "formats": Profile(
        about="an NVMe disk with name spaces of both usual block sizes",
        disks={"ns512": 64, "ns4k": 64},
        devices=(
            "nvme,id=nvme0,serial=nvme0",
            "nvme-ns,bus=nvme0,nsid=1,drive=ns512-disk",
            "nvme-ns,bus=nvme0,nsid=2,drive=ns4k-disk,"
            "logical_block_size=4096,physical_block_size=4096",
        ),
    ),
    "small": Profile(
        about="a window that is always full",
        window=4,
        disks={"nvme0": 512},
        devices=(nvme(more=",max_ioqpairs=2"), "edu,id=edu0"),
    ),
    "fragment": Profile(
        about="64 MiB of window for one device that reaches all of it",
        cpus=1,
        devices=("edu,id=edu0,dma_mask=0xffffffffffffffff",),
    ),
    "nomodule": Profile(
        about="a disk that only pv_iommu can make usable",
        disks={"nvme0": 64},
        devices=(nvme(),),
    ),
    "bypass": Profile(
        about="devices that work before pv_iommu is loaded",
        # An image of it, as hibernation makes it, takes the half
        memory=640,
        disks={"nvme0": 256},
        devices=(nvme(), "edu,id=edu0"),
        iommu="boot-bypass=on",
        # pv_iommu comes and goes here, and what it frees is poisoned: whoever
        # uses it all the same is found out with any kernel
        append="slub_debug=FZP",
    ),
    "late": Profile(
        about="the same, for what has to come before pv_iommu is ever loaded",
        disks={"nvme0": 256},
        devices=(nvme(),),
        iommu="boot-bypass=on",
        append="slub_debug=FZP",
    ),
    "confined": confined("boot-bypass=on,direct-limit=16M"),
    "confined-off": confined("boot-bypass=off,direct-limit=16M"),
    # A host that can be made to refuse a guest
    "confined-old-host": confined("boot-bypass=on,x-chunks=off"),
    "confined-again": confined_again("boot-bypass=on"),
    "confined-again-off": confined_again("boot-bypass=off"),
    # Not after a kexec, whose kernel lets the test load pv_iommu
    "confined-reboot": confined_again("boot-bypass=on"),
    "confined-reboot-off": confined_again("boot-bypass=off"),
    "no-window": Profile(
        about="a host that lets no streaming DMA into the window",
        disks={"nvme0": 256},
        devices=(nvme(), "edu,id=edu0"),
        iommu="boot-bypass=on,hw-iommu=off",
        append="slub_debug=FZP",
    ),
    "migrate": MIGRATE,
    "migrate-builds": replace(
        MIGRATE, about="the same, as every version of QEMU that is built has it",
        machine="pc-q35-7.2"),
    "soak": replace(
        MIGRATE,
        about="the same with a slot for an NVMe disk, which is empty while it migrates",
        memory=512,
        packed=True,
        disks={**MIGRATE.disks, "nvme0": 256},
        devices=(*MIGRATE.devices, "pcie-root-port,id=port0,slot=1"),
        # By the port itself: ACPI has no interrupt any more after a suspend to RAM
        options=("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"),
    ),
    "withheld": Profile(
        # QEMU's nvme keeps a reference to itself for each answer that it could
        # not write, and is never deleted after it was unplugged
        about="an NVMe disk whose DMA will be refused",
        disks={"nvme0": 256},
        devices=(nvme(),),
    ),
    # As in a field report: Linux takes memory in blocks of 128 MiB
    "memory": Profile(
        about="room for memory beside the window, up to 4 GiB in all",
        memory=512,
        slots=2,
        pluggable=4096 - 512 - 64,
        disks={"nvme0": 64, "vblk0": 256},
        devices=(nvme(), virtio_blk(), "pcie-root-port,id=port0,slot=1"),
        append="memhp_default_state=online_movable",
    ),
    "hotplug": Profile(
        about="an NVMe disk in a slot from which it can be pulled",
        disks={"nvme0": 256},
        devices=("pcie-root-port,id=port0,slot=1", nvme(more=",bus=port0")),
    ),
    "again": again("boot-bypass=off"),
    "again-bypass": again("boot-bypass=on"),
    "kdump": kdump("boot-bypass=on", 64),
    "kdump-large": kdump("boot-bypass=off", 1024),
    "served": Profile(
        about="disks at all kinds of places in the PCI hierarchy",
        memory=512,
        packed=True,
        disks={name: 64 for name in ("root0", "pxb0", "port0", "conv0",
                                     "class0", "past0")},
        devices=(
            "pxb-pcie,id=pxb,bus_nr=64,bus=pcie.0",
            "pxb-pcie,id=past,bus_nr=96,bus=pcie.0,bypass_iommu=on",
            "pcie-root-port,id=pxbport,slot=1,chassis=1,bus=pxb",
            "pcie-root-port,id=pastport,slot=2,chassis=2,bus=past",
            "pcie-root-port,id=rootport,slot=3,chassis=3,bus=pcie.0",
            "pcie-pci-bridge,id=conv,bus=pcie.0",
            nvme("root0", ",bus=pcie.0"),
            nvme("pxb0", ",bus=pxbport"),
            nvme("port0", ",bus=rootport"),
            nvme("past0", ",bus=pastport"),
            virtio_blk("conv0") + ",bus=conv,addr=1",
            # An endpoint that has the class of a bridge
            virtio_blk("class0") + ",bus=pcie.0,class=0x0680",
        ),
    ),
    "kvm": KVM,
    # The same again, for what can run beside
    "kvm-emulated": KVM,
    "kvm-groups": KVM_GROUPS,
    "kvm-amd": host("amd-iommu,intremap=on", "", AT_SOUTHBRIDGE),
    "noiommu": NO_IOMMU,
    "bios-large": firmware("SeaBIOS", "", 5120, 1024),
    "uefi": firmware("OVMF", OVMF, 512, 64),
    "uefi-large": firmware("OVMF", OVMF, 5120, 1024),
}

# The guests of the benchmark: for counting, and for real I/O
for _name, _about, _iommu, _window in (
        ("", "pv-iommu", (), 64),
        ("-plain", "no IOMMU", (), 0),
        ("-intel", "intel-iommu", ("intel-iommu",), 0),
        ("-virtio", "virtio-iommu", ("virtio-iommu-pci",), 0)):
    PROFILES[f"bench{_name}"] = bench(_about, _iommu, _window)
    PROFILES[f"bench-io{_name}"] = bench_io(_about, _iommu, _window)
    PROFILES[f"bench-io-counted{_name}"] = bench_io(_about, _iommu, _window,
                                                    counted=True)
for _kind in ("bench", "bench-io", "bench-io-counted"):
    PROFILES[f"{_kind}-direct"] = replace(
        PROFILES[_kind], about=f"{PROFILES[_kind].about}, direct mappings",
        iommu="boot-bypass=off,direct-limit=512M")

# Machines whose devices are all direct, and have something kept. The one that moves
# has no AHCI, and devices that reach nothing until they are attached.
for _name, _from in (
        ("main", PROFILES["main"]),
        ("migrate", replace(MIGRATE, about="the same but for AHCI",
                            iommu="boot-bypass=off", disks=MOVING_DISKS,
                            devices=MOVING))):
    PROFILES[f"{_name}-direct"] = replace(
        _from, about=f"{_from.about}, direct mappings",
        iommu=f"{_from.iommu},direct-limit=256M",
        append="pv_iommu.direct=all pv_iommu.direct_cache=64")
