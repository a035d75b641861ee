# SPDX-License-Identifier: GPL-2.0
"""The page tables of a guest's Intel IOMMU, read where the guest has them: the tables
that the hardware walks, in memory, and not what a kernel says of them. Numbers are
those of Intel's specification of VT-d, section 9, in legacy mode."""

import re
from collections import Counter

from vm import Failed

# QEMU's intel-iommu has its registers here
ROOT_TABLE = 0xfed90020

PAGE_SHIFT = 12
LEVEL_BITS = 9
ENTRIES = 1 << LEVEL_BITS

ADDRESS = 0x000ffffffffff000
PRESENT = 1                     # of root and context entries
ACCESS = 3                      # of second-level entries: read, write
LARGE = 1 << 7


def words(vm, address, count):
    """So many times 64 bits of the guest's physical memory."""
    text = vm.qmp("human-monitor-command",
                  **{"command-line": f"xp /{count}gx {address:#x}"})
    found = re.findall(r"0x([0-9a-f]{16})", text)
    if len(found) != count:
        raise Failed(f"no {count} words at {address:#x}: {text[:80]}")
    return [int(word, 16) for word in found]


def present(entry, mask, what):
    """An entry that leads on."""
    if not entry & mask:
        raise Failed(f"{what} is not present: {entry:#x}")
    return entry & ADDRESS


def leaves(vm, device, address, size):
    """The leaves that cover SIZE bytes of a device's DMA addresses, by their size."""
    bus, slot, function = (int(part, 16) for part in re.split("[:.]", device))
    root = words(vm, ROOT_TABLE, 1)[0]
    if root & 0xc00:
        raise Failed(f"not in legacy mode: {root:#x}")
    context = present(words(vm, (root & ADDRESS) + 16 * bus, 1)[0], PRESENT,
                      "the root entry")
    low, high = words(vm, context + 16 * (slot << 3 | function), 2)
    table = present(low, PRESENT, "the context entry")
    # 1: three levels, 2: four
    return walk(vm, table, (high & 7) + 1, address, size)


def walk(vm, table, level, address, size):
    """The leaves below one table, whose entries are of one level."""
    shift = PAGE_SHIFT + LEVEL_BITS * level
    first = address >> shift & (ENTRIES - 1)
    last = (address + size - 1) >> shift & (ENTRIES - 1)
    found = Counter()
    for index, entry in enumerate(words(vm, table + 8 * first, last - first + 1),
                                  first):
        if not entry & ACCESS:
            continue
        if not level or entry & LARGE:
            found[1 << shift] += 1
            continue
        # Of that table, what of the addresses is there
        base = (address >> (shift + LEVEL_BITS) << LEVEL_BITS | index) << shift
        begin = max(address, base)
        end = min(address + size, base + (1 << shift))
        found += walk(vm, entry & ADDRESS, level - 1, begin, end - begin)
    return found
