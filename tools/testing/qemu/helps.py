#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Compares two QEMUs by what they say that they have.

helps.py THEIRS OURS prints a line for each kind of thing: how many of them the
first program has, what the second lacks of them, and what it has besides. The status is
1 when something is missing that MISSING does not name.
"""

import re
import subprocess
import sys

# What has to be said on the command line, and how a line of the answer begins that has a
# name
KINDS = {
    "option": (("-help",), r"-([\w-]+)"),
    "machine": (("-machine", "help"), r"(?!Supported )([\w.-]+) +\S"),
    "accel": (("-accel", "help"), r"([\w-]+)$"),
    "cpu": (("-cpu", "help"), r"x86 ([\w-]+)"),
    "device": (("-device", "help"), r'name "([^"]+)"'),
    "object": (("-object", "help"), r" {2}([\w-]+)$"),
    "netdev": (("-netdev", "help"), r"([\w-]+)$"),
    "chardev": (("-chardev", "help"), r" {2}([\w-]+)$"),
    "display": (("-display", "help"), r"([\w-]+)$"),
    "audiodev": (("-audiodev", "help"), r"([\w-]+)$"),
    "tpmdev": (("-tpmdev", "help"), r" +([\w-]+) +\S"),
    "drive": (("-drive", "format=?"), r"Supported formats: (.*)"),
    "trace": (("-trace", "help"), r"([\w-]+)$"),
}

# What may be missing in ours, by kind and name, and why; Documentation/pv-iommu/host-guide.rst
# has the same as a table
MISSING: dict[tuple[str, str], str] = {}


def names(kind, call):
    """The names of that kind; call(arguments) runs the program."""
    arguments, pattern = KINDS[kind]
    found = re.findall("^" + pattern, call(*arguments), re.MULTILINE)
    return set(" ".join(found).split())


def compare(theirs, ours):
    """Yields kind, how many there are of it, what ours lacks and has besides. Both are
    functions that run a QEMU with some arguments."""
    for kind in KINDS:
        wanted, found = names(kind, theirs), names(kind, ours)
        yield kind, len(wanted), sorted(wanted - found), sorted(found - wanted)


def unnamed(kind, missing):
    """Those of the missing that nothing excuses."""
    return [name for name in missing if (kind, name) not in MISSING]


def runner(program):
    """What runs the program, and returns what it printed."""
    def call(*arguments):
        done = subprocess.run([program, *arguments], check=False, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.stdout
    return call


def main():
    """Prints the table."""
    theirs, ours = sys.argv[1:]
    bad = False
    print(f"{'kind':10}{'theirs':>8}  missing in ours, and besides (+)")
    for kind, count, missing, more in compare(runner(theirs), runner(ours)):
        words = missing + ["+" + name for name in more]
        print(f"{kind:10}{count:8}  {' '.join(words) or '-'}")
        bad = bad or not count or bool(unnamed(kind, missing))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
