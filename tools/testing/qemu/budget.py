# SPDX-License-Identifier: GPL-2.0
"""The budget file: what each row of pv-iommu may cost.

One line a row: kernel, mode, operation, direction, bytes, entries, and the
instructions of a map with its unmap, the memcpy included. The mode is the last word
of the scheme's name: window, bounce, direct, or cached.
"""

from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / \
    "selftests/pv_iommu/bench/budget"


def _lines():
    for line in FILE.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("#"):
            yield line.split()


def read_budget(kernel, scheme):
    """Instructions by Row.key, for one scheme on one kernel."""
    mode = scheme.split()[-1]
    return {(words[2], words[3], int(words[4]), int(words[5]), 1): int(words[6])
            for words in _lines() if words[:2] == [kernel, mode]}


def write_budget(kernel, scheme, rows):
    """Replaces one scheme's lines for one kernel by what was measured."""
    mode = scheme.split()[-1]
    text = FILE.read_text(encoding="utf-8").split("\n")
    head = [line for line in text if line.startswith("#")]
    lines = [words for words in _lines() if words[:2] != [kernel, mode]]
    lines += [[kernel, mode, row.op, row.direction, str(row.bytes),
               str(row.entries), str(round(row.pair))] for row in rows]
    lines.sort(key=lambda w: (w[0].zfill(5), w[1], w[2], int(w[4]), w[3]))
    body = ["{:6}{:8}{:8}{:6}{:>8}{:>5}{:>9}".format(*w) for w in lines]
    FILE.write_text("\n".join([*head, *body]) + "\n", encoding="utf-8")
