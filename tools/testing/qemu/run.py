#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Runs tests in virtual machines and reports in TAP; see README.rst."""

import argparse
import fnmatch
import os
import queue
import re
import shlex
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import actions
import benchtests
import hosttests
import mails
import nativetests
from profiles import PROFILES
from vm import FACTOR, SET, VM, Failed, GuestDied, Machine, Skipped

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "selftests" / "pv_iommu"
MODES = ("window", "bounce", "direct", "none")
# Where @hosttest is used: importing them is what adds their tests to the list
HOST_TESTS = (hosttests, benchtests, nativetests, mails)
# The exit status by which a test says that it cannot run here, and that its
# guest's guest had a triple fault
SKIP = 4
TRIPLE_FAULT = 5
# A guest that died is started again for the tests after the one that killed
# it; not for ever
MAX_BOOTS = 4


@dataclass(frozen=True)
class Test:
    """One test in one mode."""

    id: str
    name: str
    mode: str
    about: str
    profile: str = ""
    timeout: int = 60
    # How often the guest boots in it
    boots: int = 1
    # For how many hours it is told to go on; None: it is not, and is skipped
    hours: float | None = 0
    # Tests that need no guest of the runner's bring a function instead
    function: object = None


def read_header(path):
    """The header lines of a test, by name."""
    header = {}
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("#"):
            break
        if match := re.match(r"# (Test|VM|Modes|Timeout|Boots|Hours): +(.*)", line):
            header[match[1]] = match[2].strip()
    return header


def hours_of(path, header):
    """For how many hours SET has a test go on, if its header says that it asks."""
    if "Hours" not in header:
        return 0
    settings = dict(word.partition("=")[::2] for word in SET)
    try:
        hours = settings.get(header["Hours"])
        return float(hours) if hours else None
    except ValueError:
        sys.exit(f"{path}: {header['Hours']}={hours}: no number")


def guest_tests():
    """The tests that are scripts for a guest."""
    for path in sorted(TESTS.glob("*.sh")):
        header = read_header(path)
        if "Test" not in header:
            # A library
            continue
        profile = header.get("VM", "main")
        modes = header.get("Modes", "window bounce").split()
        if profile not in PROFILES or not set(modes) <= set(MODES):
            sys.exit(f"{path}: VM: {profile}, Modes: {modes}: no such thing")
        for mode in modes:
            yield Test(f"{mode}/{path.stem}", path.stem, mode, header["Test"],
                       profile, int(header.get("Timeout", "60")),
                       int(header.get("Boots", "1")), hours_of(path, header))


def all_tests(machine):
    """Every test that there is, in the order in which they run."""
    for case in hosttests.qtest_cases(machine):
        yield Test("qtest" + re.sub("^/[^/]*/pv-iommu", "", case), case,
                   "qtest", "QEMU's own test of the device",
                   function=lambda m, _, case=case: hosttests.qtest_run(m, case))
    yield from guest_tests()
    for test in hosttests.TESTS:
        for mode in test.modes:
            yield Test(f"{mode}/{test.name}", test.name, mode, test.about,
                       function=test.function)


def matching(tests, patterns):
    """Those whose id or name one of the patterns matches."""
    return [test for test in tests
            if any(fnmatch.fnmatchcase(test.id, pattern)
                   or fnmatch.fnmatchcase(test.name, pattern)
                   or fnmatch.fnmatchcase(test.id, pattern + "/*")
                   for pattern in patterns)]


class Report:
    """TAP on standard output, as results come."""

    def __init__(self, total, prefix):
        self.lock = threading.Lock()
        self.prefix = prefix
        self.count = {"passed": 0, "failed": 0, "skipped": 0}
        self.number = 0
        print(f"TAP version 13\n1..{total}", flush=True)

    def result(self, kernel, test, verdict, seconds, reason="", tail=()):
        """One test's end. The reason's first line goes with the result."""
        with self.lock:
            self.number += 1
            self.count[verdict] += 1
            line = "not ok" if verdict == "failed" else "ok"
            line += f" {self.number} - {self.prefix.get(kernel, '')}{test.id}"
            first, *rest = reason.split("\n") or [""]
            if verdict == "skipped":
                line += f" # SKIP {first}"
            else:
                line += f" # {seconds:.1f} s"
            print(line)
            if verdict == "failed":
                print(f"# {test.about}")
                for text in [first, *rest[-30:]]:
                    print(f"#   {text}")
                for text in tail:
                    print(f"#   | {text}")
                print(f"#   again: make test TESTS='{test.id}' KERNEL={kernel}")
            sys.stdout.flush()

    def note(self, text):
        """A line for who watches."""
        with self.lock:
            print(f"# {text}", flush=True)

    def end(self):
        """The totals; returns the exit status."""
        print(", ".join(f"{number} {verdict}"
                        for verdict, number in self.count.items()), flush=True)
        return 1 if self.count["failed"] else 0


class Group:
    """Tests that share a boot: same kernel, profile and mode."""

    def __init__(self, machine, report, tests):
        self.machine = machine
        self.report = report
        self.tests = list(tests)
        # The test that failed by the emulator, and runs once more
        self.again = None

    def run(self):
        for test in [test for test in self.tests if test.hours is None]:
            self.tests.remove(test)
            self.done(test, "skipped", 0, "takes as long as SET= says")
        boots = 0
        while self.tests:
            boots += 1
            if boots > MAX_BOOTS:
                self.end_rest("the guest has died too often to go on")
                return
            try:
                self.boot()
            except Skipped as skip:
                self.end_rest(str(skip), verdict="skipped")
            except (Failed, OSError) as error:
                self.end_rest(str(error))

    def end_rest(self, reason, tail=(), verdict="failed"):
        for test in self.tests:
            self.done(test, verdict, 0, reason, tail)
        self.tests = []

    def done(self, test, verdict, seconds, reason="", tail=()):
        self.report.result(self.machine.kernel, test, verdict, seconds,
                           reason, tail)

    def boot(self):
        """One guest, and as many of the tests as it survives."""
        first = self.tests[0]
        wants = PROFILES[first.profile].wants
        if wants and not self.machine.has(wants):
            raise Skipped(f"this QEMU has no {wants}")
        start = time.monotonic()
        with VM(self.machine, first.profile, first.mode) as vm:
            try:
                vm.start()
                vm.wait_ready()
            except GuestDied as death:
                self.end_rest(f"no boot: {death}", vm.tail(40))
                return
            self.report.note(
                f"{first.profile}, {first.mode}, Linux {self.machine.kernel}: "
                f"booted in {time.monotonic() - start:.1f} s, "
                f"{len(self.tests)} tests")
            while self.tests:
                test = self.tests[0]
                start = time.monotonic()
                since = vm.console.stat().st_size
                try:
                    status, reason = self.run_test(vm, test)
                except GuestDied as death:
                    self.tests.pop(0)
                    seconds = time.monotonic() - start
                    tail = vm.tail(40, since)
                    self.done(test, "failed", seconds, str(death),
                              [*tail, *vm.stuck()])
                    return
                if status == TRIPLE_FAULT and self.once_more(vm, test, reason):
                    continue
                self.tests.pop(0)
                verdict = {0: "passed", SKIP: "skipped"}.get(status, "failed")
                tail = vm.tail(40, since) if verdict == "failed" else ()
                if verdict == "failed":
                    reason = f"status {status}: {reason}"
                # The guest's last act counts with its last test
                if not self.tests:
                    try:
                        for late in vm.poweroff():
                            verdict, reason = "failed", " ".join(late)
                            tail = vm.tail(20)
                    except GuestDied as death:
                        verdict, reason = "failed", f"at the end: {death}"
                        tail = vm.tail(20)
                self.done(test, verdict, time.monotonic() - start, reason, tail)

    def once_more(self, vm, test, why):
        """Whether a test has a second attempt, where TCG runs guests of guests.

        Once in some 190 boots, long before pv_iommu was loaded, page tables that
        nobody had changed were not present for a moment: a triple fault. Why is
        not known; the host had two CPUs then, and has one since. Only where
        nothing of this project is in the QEMU that emulates: with a window, it
        is a failure.
        """
        if self.again == test or vm.profile.window or vm.machine.kvm or \
                not vm.profile.nested:
            return False
        self.again = test
        self.report.note(f"{test.id}: {why}; once more")
        return True

    @staticmethod
    def run_test(vm, test):
        """Runs a test; returns its status and last words."""
        end = time.monotonic() + test.timeout * FACTOR + test.hours * 3600
        boots = 1
        vm.send(f"run {test.name}")
        while True:
            words = vm.read_line(end)
            if words[0] == "host":
                answer = actions.perform(vm, words[1:])
                if answer:
                    vm.send(answer)
            elif words[0] == "result" and words[1] == test.name:
                return int(words[2]), " ".join(words[4:])
            elif words[0] == "ready":
                if boots == test.boots:
                    raise GuestDied("the guest booted again")
                boots += 1
                vm.send(f"run {test.name}")


class HostGroup:
    """A test that needs no guest, or brings its own."""

    def __init__(self, machine, report, test):
        self.machine = machine
        self.report = report
        self.test = test

    def run(self):
        start = time.monotonic()
        verdict, reason = "passed", ""
        try:
            self.test.function(self.machine, self.test.mode)
        except Skipped as skip:
            verdict, reason = "skipped", str(skip)
        except (Failed, GuestDied) as failure:
            verdict, reason = "failed", str(failure)
        self.report.result(self.machine.kernel, self.test, verdict,
                           time.monotonic() - start, reason)


def groups_of(machine, report, tests):
    """The tests as pieces of work."""
    shared = {}
    for test in tests:
        if not test.function:
            shared.setdefault((test.profile, test.mode), []).append(test)
    for test in tests:
        if test.function:
            yield HostGroup(machine, report, test)
    # What may take longest begins first, and nothing waits for it at the end
    for together in sorted(shared.values(), reverse=True,
                           key=lambda tests: sum(t.timeout for t in tests)):
        yield Group(machine, report, together)


def command_test(machines, arguments):
    """make test"""
    patterns = arguments.tests or ["*"]
    chosen = []
    for machine in machines:
        chosen += [(machine, test)
                   for test in matching(all_tests(machine), patterns)
                   if not arguments.mode or test.mode == arguments.mode]
    if arguments.list:
        for _, test in chosen:
            print(f"{test.id:40} {test.about}")
        return 0
    if not chosen:
        print(f"no test matches {' '.join(patterns)}", file=sys.stderr)
        return 1
    prefix = {machine.kernel: f"{machine.kernel}/" for machine in machines} \
        if len(machines) > 1 else {}
    report = Report(len(chosen), prefix)
    work = queue.Queue()
    for machine in machines:
        mine = [test for owner, test in chosen if owner is machine]
        for group in groups_of(machine, report, mine):
            work.put(group)

    broken = []

    def worker():
        while True:
            try:
                group = work.get_nowait()
            except queue.Empty:
                return
            try:
                group.run()
            except BaseException as error:  # pylint: disable=broad-except
                broken.append(error)
                raise

    threads = [threading.Thread(target=worker, daemon=True)
               for _ in range(arguments.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = report.end()
    # An error in the runner itself, or a test that was forgotten
    return 1 if broken or report.number != len(chosen) else status


def command_run(machines, arguments):
    """make run: the guest's own script decides, its lines are shown"""
    with VM(machines[0], "main", arguments.mode or "window", do="run.sh",
            name="run") as vm:
        try:
            vm.start()
            end = time.monotonic() + 900 * FACTOR
            while True:
                words = vm.read_line(end)
                if words[0] == "say":
                    print(" ".join(words[1:]), flush=True)
                elif words[0] == "result":
                    status = int(words[2])
                    break
        except GuestDied as death:
            print(f"run: {death}; the end of {vm.console}:", file=sys.stderr)
            print("\n".join(vm.tail(30)), file=sys.stderr)
            return 1
        if status:
            print(f"run: failed; all of it: {vm.console}", file=sys.stderr)
        return 1 if status else 0


# What is shown of hosts in a virtual machine: a test, and what happens in it
DEMOS = {
    "demo-vfio": (
        "none/kvm-table",
        "a host with KVM, VFIO and an IOMMU is up; three guests, one after the "
        "other, get its NVMe disk"),
    "demo-noiommu": (
        "none/noiommu-table",
        "a host with KVM and VFIO, but without an IOMMU is up; two guests, one "
        "after the other, get its NVMe disk and a device with 28 address bits"),
}


def demo(machine, name):
    """A test, and what it has to say; returns the exit status."""
    test_id, what = DEMOS[name]
    test = next(test for test in guest_tests() if test.id == test_id)
    with VM(machine, test.profile, test.mode, name=name) as vm:
        try:
            vm.start()
            vm.wait_ready()
            print(what, flush=True)
            status, reason = Group.run_test(vm, test)
        except GuestDied as death:
            status, reason = 1, "\n".join([str(death), *vm.tail(30)])
        if status:
            print(f"{name}: {reason}; all of it: {vm.console}",
                  file=sys.stderr)
        return 1 if status else 0


def command_demo(machines, arguments):
    """make demo-..."""
    return demo(machines[0], arguments.command)


def command_shell(machines, arguments):
    """make shell"""
    with VM(machines[0], arguments.vm, arguments.mode or "window", do="shell",
            interactive=True, name="shell") as vm:
        command = vm.command()
        print(shlex.join(command), file=sys.stderr)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return os.spawnv(os.P_WAIT, command[0], command)


def main():
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--kernel", action="append", required=True)
    parser.add_argument("--accel", default="auto",
                        choices=("auto", "tcg", "kvm"))
    parser.add_argument("--mode", choices=(*MODES, "auto"), default=None)
    parser.add_argument("--window", type=int, default=None,
                        help="MiB of window, instead of the profile's")
    parser.add_argument("--memory", type=int, default=None,
                        help="MiB of memory, instead of the profile's")
    parser.add_argument("--isolation", choices=("on", "off"), default=None,
                        help="of the pv-iommu device, where the profile does "
                        "not say")
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--qemu", default=None, metavar="SUITE",
                        help="the QEMU of this suite, not the default one's")
    commands = parser.add_subparsers(dest="command", required=True)
    test = commands.add_parser("test")
    test.add_argument("--jobs", type=int, default=1)
    test.add_argument("--list", action="store_true")
    test.add_argument("tests", nargs="*")
    commands.add_parser("run")
    for demo in DEMOS:
        commands.add_parser(demo)
    shell = commands.add_parser("shell")
    shell.add_argument("--vm", default="main", choices=PROFILES)
    arguments = parser.parse_args()

    # Whoever ends this program ends the guests with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    machines = [Machine(Path(arguments.build).resolve(), kernel,
                        arguments.accel, arguments.window, arguments.memory,
                        arguments.isolation, arguments.sanitize,
                        arguments.qemu)
                for kernel in arguments.kernel]
    command = {"test": command_test, "run": command_run,
               "shell": command_shell,
               **dict.fromkeys(DEMOS, command_demo)}[arguments.command]
    sys.exit(command(machines, arguments))


if __name__ == "__main__":
    main()
