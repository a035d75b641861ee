# SPDX-License-Identifier: GPL-2.0
"""Tests that the host drives: several boots, QMP, or no guest at all.

A test is a function with @hosttest; it gets the Machine and its mode, returns
when all is well, and raises Failed or Skipped otherwise.
"""

import os
import socket
import subprocess
from dataclasses import dataclass
from typing import Callable

from vm import FACTOR, Failed, Qmp, Skipped


@dataclass(frozen=True)
class HostTest:
    """A test, with what the runner must know of it."""

    name: str
    modes: tuple
    function: Callable
    about: str


TESTS = []


def hosttest(name, modes=("window", "bounce")):
    """Registers a function as the test MODE/NAME of each of the modes."""
    def register(function):
        TESTS.append(HostTest(name, modes, function,
                              function.__doc__.split("\n", maxsplit=1)[0]))
        return function
    return register


# QEMU's own test of the device: each of its cases is a test of ours, in the
# group qtest

QTEST_TIMEOUT = 60


def qtest_program(machine):
    return machine.qemu.parent / "tests/qtest/pv-iommu-test"


def qtest_call(machine, *arguments):
    # No name of this project in the environment may change what is tested
    environment = {"PATH": os.environ["PATH"],
                   "UBSAN_OPTIONS": os.environ["UBSAN_OPTIONS"],
                   "QTEST_QEMU_BINARY": str(machine.qemu)}
    return subprocess.run([qtest_program(machine), *arguments],
                          cwd=machine.qemu.parent, env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False,
                          errors="replace", timeout=QTEST_TIMEOUT * FACTOR)


def qtest_cases(machine):
    """The paths of the cases that the program has."""
    if not qtest_program(machine).exists():
        return []
    output = qtest_call(machine, "-l").stdout
    return [line for line in output.split("\n") if line.startswith("/")]


def qtest_run(machine, path):
    """Runs one case."""
    try:
        done = qtest_call(machine, "-p", path)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end after {QTEST_TIMEOUT * FACTOR:.0f} s") from None
    if f"ok 1 {path} # SKIP" in done.stdout:
        raise Skipped(done.stdout.split("# SKIP", 1)[1].split("\n")[0].strip())
    if done.returncode or f"\nok 1 {path}" not in done.stdout:
        raise Failed(f"status {done.returncode}\n{done.stdout}")


# The runner's own

@hosttest("events", modes=("runner",))
def events(_machine, _mode):
    """An event of QEMU's that comes together with an answer is not lost"""
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b'{"QMP": {}}\r\n{"return": {}}\r\n'
                      b'{"return": {}}\r\n{"event": "RESUME"}\r\n'
                      b'{"return": {}}\r\n')
        try:
            qmp = Qmp(here)
            qmp("cont")
            qmp.wait_event("RESUME", 1)
        except (Failed, TimeoutError) as error:
            raise Failed(f"it is: {error}") from None
