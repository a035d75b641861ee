# SPDX-License-Identifier: GPL-2.0
"""Measures what a mapping costs: instructions, and exits to the host.

A guest of one CPU under -icount shift=0: what its clocks count is
instructions, the same on every machine.
"""

import itertools
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass

from vm import FACTOR, VM, Failed

# Of pviommu_bench.c
PHASES = {3: "map", 4: "sync", 5: "unmap"}
ACCESS = re.compile(r"memory_region_ops_(?:read|write) .* value 0x([0-9a-f]+) "
                    r"size \d+ name '(.*)'")

SIZES = (64, 512, 2048, 4096, 65536, 262144, 1 << 20, 4 << 20)
LISTS = (1, 8, 32, 128)
DIRECTIONS = ("to", "from", "both")
# Mappings in flight: one, as upstream's dma_map_benchmark has it per thread
DEPTHS = (1,)
# Mappings of a row. Some schemes collect unmaps, by 256 at the most.
MAPPINGS = 512
# Bytes of a row, at the most, where that is fewer
VOLUME = 64 << 20


@dataclass(frozen=True)
class Scheme:
    """A way to serve the DMA API."""

    name: str
    profile: str
    # What the guest has to answer when asked what serves the device
    answer: str
    mode: str = "none"
    append: str = ""
    modules: str = ""
    kernels: tuple = ()


SCHEMES = {scheme.name: scheme for scheme in (
    Scheme("dma-direct", "bench-plain", "direct"),
    Scheme("pv-iommu window", "bench", "pv-iommu window", mode="window"),
    Scheme("pv-iommu direct", "bench-direct", "pv-iommu window, direct",
           mode="direct", append="pv_iommu.direct=all"),
    Scheme("pv-iommu direct cached", "bench-direct", "pv-iommu window, direct",
           mode="direct",
           append="pv_iommu.direct=all pv_iommu.direct_cache=512"),
    Scheme("pv-iommu bounce", "bench", "pv-iommu bounce", mode="bounce"),
    Scheme("swiotlb=force", "bench-plain", "direct forced",
           append="swiotlb=force"),
    Scheme("intel-iommu strict", "bench-intel", "dmar DMA",
           append="intel_iommu=on iommu.passthrough=0 iommu.strict=1"),
    Scheme("intel-iommu lazy", "bench-intel", "dmar DMA-FQ",
           append="intel_iommu=on iommu.passthrough=0 iommu.strict=0"),
    # A module from 6.12 on, absent before
    Scheme("virtio-iommu", "bench-virtio", "virtio-pci DMA",
           append="iommu.passthrough=0 iommu.strict=1",
           modules="virtio_iommu virtio_pci", kernels=("6.12", "7.3")),
)}


@dataclass
class Row:
    """What one measurement gave; costs are of one mapping."""

    # pylint: disable=too-many-instance-attributes
    scheme: str
    kernel: str
    op: str
    direction: str
    bytes: int
    entries: int
    depth: int
    failures: int
    segments: int
    mappings: int
    number: int
    # Instructions by phase, without what the measuring itself costs
    cost: dict
    exits: dict

    @property
    def key(self):
        return (self.op, self.direction, self.bytes, self.entries, self.depth)

    @property
    def pair(self):
        """Map and unmap."""
        return self.cost["map"] + self.cost["unmap"]

    @property
    def title(self):
        """For people."""
        what = f"{self.entries} pages" if self.op == "sg" \
            else f"{self.bytes} bytes"
        return f"{self.scheme}: {self.op} {what} {self.direction}"

    def beyond(self, direct):
        """What a pair costs beyond direct mapping and the copies as such: one
        towards the device in any direction, and one back unless only that."""
        copies = 1 if self.direction == "to" else 2
        return self.pair - direct.pair - copies * self.cost["copy"]


class SchemeVM:
    """A guest with one of the schemes, which does as it is told (bench.sh)."""

    # Two tests may measure the same scheme at once: each guest has files of its own
    number = itertools.count(1)

    def __init__(self, machine, scheme, kind=""):
        self.machine = machine
        self.scheme = scheme
        name = re.sub(r"\W+", "-", f"{scheme.name} {next(self.number)}")
        self.vm = VM(machine, scheme.profile.replace("bench", f"bench{kind}"),
                     scheme.mode, do="bench.sh", append=scheme.append,
                     name=f"bench{kind}-{machine.kernel}-{name}")

    def __enter__(self):
        self.vm.__enter__()
        try:
            self.vm.start()
            self.vm.wait_ready()
            if self.scheme.modules:
                self.ask(f"load {self.scheme.modules}")
            self.prepare()
        except BaseException:
            self.vm.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exception):
        self.vm.__exit__(*exception)

    def prepare(self):
        """What is to be done once the guest is up."""

    def ask(self, line, timeout=120):
        self.vm.send(line)
        return " ".join(self.vm.read_line(time.monotonic() +
                                          timeout * FACTOR)).strip()


class Guest(SchemeVM):
    """A guest that measures."""

    def __init__(self, machine, scheme, trace=True):
        super().__init__(machine, scheme)
        self.trace = self.vm.directory / "trace" if trace else None
        if trace:
            self.vm.arguments = ("-D", str(self.trace))
        self.rows = []

    def prepare(self):
        if self.ask("load pviommu_bench") != "ok":
            raise Failed("pviommu_bench could not be loaded")
        answer = self.ask("scheme")
        if answer != self.scheme.answer:
            raise Failed(f"{self.scheme.name}: the device is served by "
                         f"'{answer}', not by '{self.scheme.answer}'")
        self.tracing(True)

    def __exit__(self, *exception):
        super().__exit__(*exception)
        if self.trace:
            self.count_exits()

    def tracing(self, enable):
        for event in ("memory_region_ops_read", "memory_region_ops_write"):
            if self.trace:
                self.vm.qmp("trace-event-set-state", name=event, enable=enable)

    def upstream(self):
        """Instructions of a map and of an unmap of 4 KiB to the device by the
        kernel's dma_map_benchmark, reading of the clock included; the last
        thing that the guest does."""
        self.tracing(False)
        words = self.ask("upstream", 600).split()
        if len(words) != 2:
            return None
        return tuple(round(float(word) * 1000) for word in words)

    def measure(self, op, size, direction, depth=1, mappings=MAPPINGS):
        """One row; op is single (size: bytes) or sg (size: pages)."""
        length = size if op == "single" else size * 4096
        rounds = max(1, min(mappings, VOLUME // length) // depth)
        answer = self.ask(f"row {op} {size} {direction} {depth} {rounds}")
        got = dict(word.split("=") for word in answer.split(" ")
                   if "=" in word)
        if "row" not in got:
            raise Failed(f"row {op} {size} {direction}: '{answer}'")
        if int(got["identity"]) != (self.scheme.name == "dma-direct"):
            raise Failed(f"{self.scheme.name}: it is another that is served")
        mappings = int(got["mappings"])
        loop = int(got["loop"])
        cost = {phase: (int(got[phase]) - loop) / mappings
                for phase in ("copy", *PHASES.values())} if mappings else {}
        row = Row(self.scheme.name, self.machine.kernel, op, direction,
                  int(got["bytes"]), int(got["entries"]), int(got["depth"]),
                  int(got["failures"]), int(got["segments"]), mappings,
                  int(got["row"]), cost, {})
        self.rows.append(row)
        return row

    def count_exits(self):
        """Each access of the guest to a device's registers is an exit on a
        real processor; QEMU's trace has them, with markers of the phases."""
        count = defaultdict(Counter)
        at = (0, 0)
        with open(self.trace, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if not (match := ACCESS.search(line)):
                    continue
                value, name = int(match[1], 16), match[2]
                if name == "edu-mmio":
                    at = (value >> 8, value & 255)
                else:
                    count[at][name] += 1
        for row in self.rows:
            if row.mappings:
                row.exits = {phase: sum(count[row.number, number].values())
                             / row.mappings for number, phase in PHASES.items()}
        self.trace.unlink()
