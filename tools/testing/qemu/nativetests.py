# SPDX-License-Identifier: GPL-2.0
"""Tests of the module's code in user space: tools/testing/user/README.rst."""

import os
import subprocess
import threading

from hosttests import hosttest
from vm import FACTOR, Failed, Skipped

USER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../user")
# The exit status by which a program says that it cannot run here
SKIP = 4
STEPS = 10_000_000
# The same worlds each time, so that a change is what makes a test fail; others are
# for runs by hand
SEED = 1
# Inputs of each fuzzer
LAYOUTS = 1_000_000
ANSWERS = 100_000
# The same inputs each time; "make fuzz" goes beyond them
FUZZ = ("-seed=1", "-max_len=512")
BUILDING = threading.Lock()


def seeds(machine, name):
    """The inputs that a fuzzer begins with, as a directory of files."""
    directory = machine.build.resolve() / "user" / f"seeds-{name}"
    subprocess.run([os.path.join(USER, "make-seeds"),
                    os.path.join(USER, "seeds", name), directory], check=True)
    return str(directory)


def native(machine, program, *arguments, timeout=600):
    """Builds a program of tools/testing/user and runs it."""
    build = machine.build.resolve()
    target = build / "user" / program
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C",
                   "TSAN_OPTIONS": "history_size=4",
                   "UBSAN_OPTIONS": os.environ["UBSAN_OPTIONS"]}
    # Programs have objects in common: one make at a time
    with BUILDING:
        made = subprocess.run(
            ["make", "--no-print-directory", "-s", "-C", USER,
             f"BUILD={build}", str(target)], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
            errors="replace")
    if made.returncode:
        raise Failed(f"{program} does not build\n{made.stdout}")
    try:
        done = subprocess.run(
            [target, *arguments], env=environment, cwd=target.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, errors="replace", timeout=timeout * FACTOR)
    except subprocess.TimeoutExpired:
        raise Failed(f"no end after {timeout * FACTOR:.0f} s") from None
    if done.returncode == SKIP:
        raise Skipped(done.stdout.strip().split("\n")[-1])
    if done.returncode:
        raise Failed(f"status {done.returncode}\n{done.stdout}")
    return done.stdout


@hosttest("properties", modes=("native",))
def properties(machine, _):
    """10^7 random steps of drivers keep to a model of the DMA API's contract"""
    native(machine, "properties", f"--steps={STEPS}", f"--seed={SEED}",
           f"--jobs={os.cpu_count() or 1}")


@hosttest("threads", modes=("native",))
def threads(machine, _):
    """Six CPUs that are threads: no race, no page twice, no byte of another's"""
    native(machine, "threads", "--rounds=3000")


@hosttest("fibers", modes=("native",))
def fibers(machine, _):
    """The same on CPUs that take turns at every lock, by 20 seeds"""
    native(machine, "fibers", "--fibers")


@hosttest("direct-threads", modes=("native",))
def direct_threads(machine, _):
    """Six CPUs that grant few pages: granted while mapped, and not a moment longer"""
    native(machine, "direct-threads", "--rounds=2000")


@hosttest("direct-fibers", modes=("native",))
def direct_fibers(machine, _):
    """The same on CPUs that take turns, also while another is in the host"""
    native(machine, "direct-fibers", "--fibers")


@hosttest("direct-lists", modes=("native",))
def direct_lists(machine, _):
    """Lists of whole pages and parts of all kinds: each byte right on both sides"""
    native(machine, "direct-lists")


@hosttest("order", modes=("native",))
def order(machine, _):
    """Whatever a CPU does, another may come in between wherever it sees anything"""
    native(machine, "order")


@hosttest("domains", modes=("native",))
def domains(machine, _):
    """Chunks change hands in time, and none is lost, whatever the host refuses"""
    native(machine, "domains")


@hosttest("errors", modes=("native",))
def errors(machine, _):
    """No memory at any one point, refusals and wild answers: nothing lost, nothing left"""
    native(machine, "errors")


@hosttest("scale", modes=("native",))
def scale(machine, _):
    """8 to 64 CPUs find blocks in their caches, and no map fails with room free"""
    native(machine, "scale", "--steps=500000", "--max=64")


@hosttest("fuzz-layout", modes=("native",))
def fuzz_layout(machine, _):
    """10^6 lists are laid out so that every limit is kept, whatever they are"""
    native(machine, "fuzz-layout", f"-runs={LAYOUTS}", *FUZZ,
           seeds(machine, "layout"))


@hosttest("fuzz-host", modes=("native",))
def fuzz_host(machine, _):
    """100,000 hosts that lie cost no memory, no lock, no page and no time"""
    native(machine, "fuzz-host", f"-runs={ANSWERS}", *FUZZ,
           "-len_control=0", seeds(machine, "host"))
