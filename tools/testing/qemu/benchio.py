# SPDX-License-Identifier: GPL-2.0
"""Real I/O with each scheme: instructions of the guest, and the wall's clock.

Instructions are those of all that the guest does, the drivers and the network
stack included, in a guest of one CPU whose instructions are counted. By the
clock, TCG exaggerates copies and flatters exits, so only ratios of guests that
take turns on the same machine are shown: all are booted first, one runs at a
time, the others stand still.
"""

import csv
from contextlib import ExitStack
from statistics import median

from bench import SchemeVM
from vm import Failed

# What is run, and how bench-io.sh calls it
WORKLOADS = {
    "fio 4k randread": "randread",
    "fio 128k write": "write",
    "net to e1000e": "net-in",
    "net from e1000e": "net-out",
}
REFERENCES = ("swiotlb=force", "virtio-iommu", "intel-iommu strict",
              "intel-iommu lazy")


class Runner(SchemeVM):
    """A guest that does real I/O when it is its turn."""

    def __init__(self, machine, scheme, kind):
        super().__init__(machine, scheme, kind)
        # By workload, one of each per turn
        self.speed = {}
        self.instructions = {}

    def prepare(self):
        answer = self.ask("sh bash /guest/bench-io.sh setup 2>&1 | tail -n 1")
        if answer != "ok":
            raise Failed(f"{self.scheme.name}: {answer}")
        self.vm.qmp("stop")

    def turn(self, workload):
        """One run of a workload."""
        self.vm.qmp("cont")
        answer = self.ask(f"sh bash /guest/bench-io.sh "
                          f"{WORKLOADS[workload]} 2>/dev/null", 300)
        self.vm.qmp("stop")
        try:
            speed, instructions = (int(word) for word in answer.split())
        except ValueError:
            speed = instructions = 0
        # Each has a meaning in one kind of guest: the clock of the other jumps
        if (instructions if self.vm.profile.icount else speed) <= 0:
            raise Failed(f"{self.scheme.name}: {workload}: '{answer}'")
        self.speed.setdefault(workload, []).append(speed)
        self.instructions.setdefault(workload, []).append(instructions)

    def footprint(self):
        """Of pv-iommu: figures by name."""
        self.vm.qmp("cont")
        words = self.ask("show /sys/kernel/debug/pv_iommu/window").split()
        self.vm.qmp("stop")
        return dict(zip(words[::2], words[1::2]))


def take_turns(machine, schemes, kind, rounds):
    """Boots all schemes and runs all workloads; returns the Runners, with what
    the windows' allocators say at the end."""
    schemes = [scheme for scheme in schemes
               if not scheme.kernels or machine.kernel in scheme.kernels]
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(machine, scheme, kind))
                   for scheme in schemes]
        for number in range(rounds):
            for workload in WORKLOADS:
                # Who goes first changes
                first = number % len(runners)
                for runner in runners[first:] + runners[:first]:
                    runner.turn(workload)
        return runners, {runner.scheme.name: runner.footprint()
                         for runner in runners if runner.scheme.mode != "none"}


def table(say, figures):
    """A line for each workload and scheme: median, spread, ratios."""
    middle = {key: median(values) for key, values in figures.items()}
    schemes = {scheme: None for scheme, _ in figures}
    references = [name for name in REFERENCES if name in schemes]
    say(f"{'':37}  median  spread  ratio to " + ", ".join(references))
    for workload in WORKLOADS:
        for name in schemes:
            values = figures[name, workload]
            ratios = " ".join(
                f"{middle[name, workload] / middle[reference, workload]:6.2f}"
                for reference in references)
            say(f"{workload:16} {name:20} {middle[name, workload]:7.0f}"
                f"{100 * (max(values) / min(values) - 1):7.0f}%  {ratios}")


def show(machine, kind, unit, better, figures, out, say):
    """A half of the second table, and the file of it."""
    rounds = len(next(iter(figures.values())))
    say()
    say(f"Real I/O, Linux {machine.kernel}: {unit}, median of {rounds}; "
        f"{better} are better")
    table(say, figures)
    with open(out / f"io-{kind}-{machine.kernel}.csv", "w", encoding="utf-8",
              newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("scheme", "kernel", "workload", "figure", "median",
                         "runs"))
        for (scheme, workload), values in figures.items():
            writer.writerow((scheme, machine.kernel, workload, unit,
                             round(median(values)), *values))


def by_workload(runners, name):
    """That figure of each, by scheme and workload."""
    return {(runner.scheme.name, workload): values for runner in runners
            for workload, values in getattr(runner, name).items()}


def counted(machine, schemes, rounds, out, say):
    """The second table's half that is the same on every machine, and what the
    windows cost in the guest."""
    runners, prints = take_turns(machine, schemes, "-io-counted", rounds)
    show(machine, "counted", "instructions of the guest per KiB", "fewer",
         by_workload(runners, "instructions"), out, say)

    say()
    say("Footprint in the guest")
    for name, words in prints.items():
        size, metadata = int(words["size"]), int(words["metadata"])
        hits, misses = int(words["cache_hits"]), int(words["cache_misses"])
        say(f"{name:20} window {size >> 20} MiB, metadata "
            f"{metadata / (size >> 20):.0f} bytes per MiB = "
            f"{100 * metadata / size:.2f}%; maps served by the CPU's cache: "
            f"{100 * hits / max(1, hits + misses):.2f}%")


def timed(machine, schemes, rounds, out, say):
    """The other half, by the clock on the wall."""
    runners, _ = take_turns(machine, schemes, "-io", rounds)
    show(machine, "timed", "KiB/s on this machine", "more",
         by_workload(runners, "speed"), out, say)
