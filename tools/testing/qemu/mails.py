# SPDX-License-Identifier: GPL-2.0
"""The series of patches for the projects that this would be a part of: they can be
made, apply to what the distribution has, and suit those projects' checkpatch."""

import os
import re
import subprocess

from hosttests import hosttest
from vm import Failed

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")


def make(*command):
    """Runs a script that makes a series; BUILD and CACHE are what they are here."""
    done = subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, errors="replace", timeout=1800)
    if done.returncode:
        raise Failed(f"status {done.returncode}\n{done.stdout}")
    if not re.search(r": [1-9][0-9]* patches, and they apply$", done.stdout, re.M):
        raise Failed(f"it says of no patch that it applies\n{done.stdout}")


@hosttest("qemu", modes=("series",))
def series_qemu(_, __):
    """make qemu-series: each patch applies to the distribution's QEMU"""
    make("scripts/make-qemu-series")


@hosttest("kernel", modes=("series",))
def series_kernel(_, __):
    """make kernel-series: each patch applies to the distribution's kernel"""
    make("scripts/make-kernel-patch", "--series")
