# SPDX-License-Identifier: GPL-2.0
"""Tests of what mappings cost: by budget, and against other schemes."""

from bench import SCHEMES, Guest
from benchio import Runner
from budget import read_budget
from hosttests import hosttest
from vm import Failed, Skipped

# Room for another compiler of the same series
TOLERANCE = 1.05
BUDGET_SIZES = (64, 512, 2048, 4096, 65536)
BUDGET_LISTS = (1, 32, 128)
# The same of direct mappings, which have no copy: exact, and cached
DIRECT_SIZES = (4096, 65536)
DIRECT_LISTS = (32,)
# A multiple of how many unmaps are collected, so that these are paid for
FEW = 128


def measure(machine, name, sizes=(), lists=(), directions=("to", "from")):
    """Boots a scheme and measures some rows of it."""
    with Guest(machine, SCHEMES[name]) as guest:
        for op, list_of in (("single", sizes), ("sg", lists)):
            for size in list_of:
                for direction in directions:
                    guest.measure(op, size, direction, mappings=FEW)
    for row in guest.rows:
        if row.failures:
            raise Failed(f"{row}: mappings failed")
    return guest.rows


def budget_of(machine, mode):
    """Kernels whose code is made for debugging, not for speed, have none."""
    budget = read_budget(machine.kernel, f"pv-iommu {mode}")
    if not budget:
        raise Skipped(f"there is no budget for Linux {machine.kernel}")
    return budget


# Instructions of a map and unmap to the device, up to a page, beyond what the copy and
# direct mapping cost
PAGE_TARGET = 230
# Kernels whose map takes a physical address leave it to us to see that there is a
# page of it: pfn_valid() is that much
PAGE_VALID = 45
# Which part of what a list costs with swiotlb
LIST_TARGET = {"to": 0.02, "from": 0.04}


def fail_if(wrong):
    """A line for each thing that is wrong, all of them."""
    if wrong:
        raise Failed("\n".join(wrong))


def beyond_budget(rows, budget):
    """A line for each row that costs too much, or that only one of the two has."""
    wrong = []
    for row in rows:
        allowed = budget.pop(row.key, None)
        if allowed is None:
            wrong.append(f"{row.title}: no budget, {row.pair:.0f} measured")
        elif row.pair > allowed * TOLERANCE:
            wrong.append(f"{row.title}: {row.pair:.0f} instructions, "
                         f"the budget has {allowed}")
    return wrong + [f"{key}: in the budget, but not measured" for key in budget]


@hosttest("bench-budget")
def bench_budget(machine, mode):
    """No mapping costs more instructions than its budget, by 5% at the most"""
    budget = budget_of(machine, mode)
    rows = measure(machine, f"pv-iommu {mode}", BUDGET_SIZES, BUDGET_LISTS)
    fail_if(beyond_budget(rows, budget))


@hosttest("bench-direct-budget", modes=("direct",))
def bench_direct_budget(machine, _mode):
    """No direct mapping that is kept costs more than its budget, by 5% at the most"""
    # Exact ones are bench-direct-exits', which has them anyway
    budget = budget_of(machine, "cached")
    rows = measure(machine, "pv-iommu direct cached", DIRECT_SIZES, DIRECT_LISTS)
    fail_if(beyond_budget(rows, budget))


@hosttest("bench-targets", modes=("window",))
def bench_targets(machine, mode):
    """To the device 230 instructions a page, 2% of swiotlb's a list; back 10% and 4%"""
    budget_of(machine, mode)
    rows = {}
    for name in ("dma-direct", "swiotlb=force", "pv-iommu window"):
        for row in measure(machine, name, (64, 2048, 4096), (32,)):
            rows[name, row.key] = row

    wrong = []
    for (name, key), ours in rows.items():
        if name != "pv-iommu window":
            continue
        direct = rows["dma-direct", key]
        swiotlb = rows["swiotlb=force", key].beyond(direct)
        limit = swiotlb / 10
        if ours.entries > 1:
            limit = swiotlb * LIST_TARGET[ours.direction]
        elif ours.direction == "to":
            limit = min(limit, PAGE_TARGET)
        if tuple(map(int, machine.kernel.split("."))) >= (6, 19):
            limit += PAGE_VALID
        beyond = ours.beyond(direct)
        print(f"# {ours.title}: {beyond:.0f} beyond, {limit:.0f} allowed",
              flush=True)
        if beyond > limit:
            wrong.append(f"{ours.title}: {beyond:.0f} instructions beyond "
                         f"memcpy and direct mapping, {limit:.0f} allowed")
        if any(ours.exits.values()):
            wrong.append(f"{ours.title}: exits: {ours.exits}")
        if ours.segments != 1:
            wrong.append(f"{ours.title}: {ours.segments} DMA segments")
    fail_if(wrong)


@hosttest("bench-exits", modes=("bounce",))
def bench_exits(machine, _mode):
    """One exit per map, at most one per unmap, a sixteenth to a device"""
    wrong = []
    for row in measure(machine, "pv-iommu bounce", (64, 4096), (1, 32, 128),
                       ("to", "from", "both")):
        allowed = {"map": 1, "sync": 2 if row.direction == "both" else 1,
                   "unmap": 1 / 16 if row.direction == "to" else 1}
        wrong += [f"{row.title}: {row.exits[phase]} exits per {phase}, "
                  f"{limit} allowed" for phase, limit in allowed.items()
                  if row.exits[phase] > limit]
        # One that counts nothing proves nothing
        if row.exits["map"] != 1:
            wrong.append(f"{row.title}: {row.exits['map']} exits per map")
    fail_if(wrong)


# PV_IOMMU_MAX_RANGES and _MAX_REVOKES: pieces in a request, those that it grants or takes
# back, and those that ride along
RANGES, REVOKES = 128, 48


@hosttest("bench-direct-exits", modes=("direct",))
def bench_direct_exits(machine, _mode):
    """Exact: one exit to map up to 128 pieces, at most one to unmap them; the budget"""
    sizes = (*DIRECT_SIZES, 4 << 20)
    lists = (1, 2, *DIRECT_LISTS, REVOKES, REVOKES + 1, RANGES - 1, RANGES, RANGES + 1,
             2 * RANGES)
    rows = measure(machine, "pv-iommu direct", sizes, lists, ("to", "from", "both"))
    # Kernels that have none are measured all the same
    budget = read_budget(machine.kernel, "pv-iommu direct")
    wrong = beyond_budget([row for row in rows if row.key in budget], budget)
    for row in rows:
        requests = -(-row.entries // RANGES)
        rides = row.direction == "to" and row.entries <= REVOKES
        allowed = {"map": requests, "sync": 0, "unmap": 0 if rides else requests}
        print(f"# {row.title}, {row.segments} segments: {row.exits['map']:.2f} exits "
              f"to map, {row.exits['unmap']:.2f} to unmap", flush=True)
        wrong += [f"{row.title}: {row.exits[phase]} exits per {phase}, {limit} allowed"
                  for phase, limit in allowed.items() if row.exits[phase] > limit]
        # One that counts nothing proves nothing
        if row.exits["map"] != requests or row.segments != row.entries:
            wrong.append(f"{row.title}: {row.exits['map']} exits per map of "
                         f"{row.segments} segments")
    fail_if(wrong)


def rival(machine):
    """The other paravirtual IOMMU, as strict as exact direct mappings are."""
    scheme = SCHEMES["virtio-iommu"]
    if machine.kernel not in scheme.kernels:
        raise Skipped(f"Linux {machine.kernel} has no virtio-iommu for this "
                      "machine; KERNEL=6.12 has")
    return scheme.name


@hosttest("bench-direct", modes=("direct",))
def bench_direct(machine, _mode):
    """Exact: fewer instructions than virtio-iommu, to the device half its exits"""
    sizes, lists = (4096, 65536), (32, 128)
    theirs = {row.key: row
              for row in measure(machine, rival(machine), sizes, lists)}
    wrong = []
    for row in measure(machine, "pv-iommu direct", sizes, lists):
        other = theirs[row.key]
        exits, limit = (r.exits["map"] + r.exits["unmap"] for r in (row, other))
        # What the device can write is back when the unmap returns, as with the
        # other; what it can read goes along with the next map, as far as there
        # is room in its request
        if row.direction == "to" and row.entries <= REVOKES:
            limit /= 2
        print(f"# {row.title}: {row.pair:.0f} instructions, virtio-iommu "
              f"{other.pair:.0f}; {exits:.2f} exits, {limit:.2f} allowed",
              flush=True)
        if row.pair > other.pair:
            wrong.append(f"{row.title}: {row.pair:.0f} instructions, "
                         f"{other.pair:.0f} allowed")
        if exits > limit:
            wrong.append(f"{row.title}: {exits:.2f} exits, {limit:.2f} allowed")
        if not row.exits["map"]:
            wrong.append(f"{row.title}: nothing was granted")
    for row in measure(machine, "pv-iommu direct cached", sizes, lists):
        if any(row.exits.values()):
            wrong.append(f"{row.title}: exits: {row.exits}")
    fail_if(wrong)


# Of dma-direct's, for writes of 128 KiB
CACHED_WRITE = 1.1


@hosttest("bench-direct-io", modes=("direct",))
def bench_direct_io(machine, mode):
    """Cached: 128 KiB writes at most 1.1 x dma-direct, 4 KiB reads as in the window"""
    budget_of(machine, "window")
    figures = {}
    for name in ("dma-direct", "pv-iommu window", "pv-iommu direct cached"):
        with Runner(machine, SCHEMES[name], "-io-counted") as guest:
            for workload in ("fio 4k randread", "fio 128k write"):
                # Once for what is to be granted. Instructions are the same in
                # each turn, but for one in a hundred.
                guest.turn(workload)
                guest.turn(workload)
                figure = guest.instructions[workload][-1]
                figures[name, workload] = figure
                print(f"# {name}, {workload}: {figure} instructions a KiB",
                      flush=True)
    wrong = []
    for workload, other, factor in (
            ("fio 128k write", "dma-direct", CACHED_WRITE),
            ("fio 4k randread", "pv-iommu window", 1)):
        ours = figures["pv-iommu direct cached", workload]
        limit = figures[other, workload] * factor
        if ours > limit:
            wrong.append(f"{mode}, cached: {workload}: {ours:.0f} instructions "
                         f"a KiB, {limit:.0f} allowed")
    fail_if(wrong)
