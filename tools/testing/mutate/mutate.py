#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Break the module and the device in small ways, and see whether the tests notice.

mutate.py [--build DIR] [--cache DIR] [--tests PATTERNS] [--check] [PATTERN...]

Works on a copy of the tree. Each mutant of the file "mutants" is built, and the
tests that it names are run: if none fails, it has survived.
"""

import argparse
import fnmatch
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[2]


@dataclass
class Mutant:
    """A change, and the tests that have to see it."""
    name: str
    path: str
    tests: list
    old: list = field(default_factory=list)
    new: list = field(default_factory=list)
    # Why nothing can see it, if so
    reason: str = ""
    # It has no end, and that is how it is seen
    endless: bool = False

    def of(self, text):
        """The text of the file, changed."""
        old = "".join(f"{line}\n" for line in self.old)
        if not old or text.count(old) != 1:
            raise ValueError(f"{self.name}: {self.path} has its lines "
                             f"{text.count(old) if old else 0} times")
        return text.replace(old, "".join(f"{line}\n" for line in self.new))


def read_mutants(path):
    """The mutants of a file, whose head says how it is written."""
    mutants = []
    for line in path.read_text().splitlines():
        if line.startswith("mutant "):
            _, name, file, *tests = line.split()
            mutants.append(Mutant(name, file, tests))
        elif line.startswith("reason "):
            mutants[-1].reason = line[len("reason "):]
        elif line == "endless":
            mutants[-1].endless = True
        elif line.startswith("-"):
            mutants[-1].old.append(line[1:])
        elif line.startswith("+"):
            mutants[-1].new.append(line[1:])
        elif line and not line.startswith("#"):
            sys.exit(f"mutants: what is this: {line}")
    return mutants


def check(mutants):
    """Does each of them fit the tree as it is? Returns the exit status."""
    status = 0
    for mutant in mutants:
        try:
            mutant.of((TOP / mutant.path).read_text())
        except ValueError as error:
            print(error)
            status = 1
    return status


class Runner:
    """A copy of the tree with a build directory of its own."""

    def __init__(self, build, cache):
        self.tree = build / "tree"
        self.log = build / "log"
        self.make = ["make", "--no-print-directory", "-C", str(self.tree),
                     f"BUILD={build / 'build'}", f"CACHE={cache}"]
        self.copy()

    def copy(self):
        """What git knows of, as it is just now; what has not changed stays."""
        self.log.mkdir(parents=True, exist_ok=True)
        files = subprocess.run(
            ["git", "-C", str(TOP), "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"],
            check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
        for name in filter(None, files):
            source, target = TOP / name, self.tree / name
            if not source.exists() or (target.exists() and
                                       source.read_bytes() ==
                                       target.read_bytes()):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            # A link may point to what has been copied just now, or will be
            target.unlink(missing_ok=True)
            # As new as now: a mutant that was interrupted has been built
            shutil.copy(source, target, follow_symlinks=False)

    def test(self, name, tests):
        """Run tests; returns the failed ones, or None if they did not run."""
        log = self.log / f"{name}.log"
        native = all(test.startswith("native/") for test in tests)
        with open(log, "w", encoding="utf-8") as output:
            status = subprocess.run(
                [*self.make, "test-native" if native else "test",
                 f"TESTS={' '.join(tests)}"],
                stdin=subprocess.DEVNULL, stdout=output, check=False,
                stderr=subprocess.STDOUT).returncode
        lines = log.read_text(errors="replace").splitlines()
        failed = [line.split(" - ")[1].split(" # ")[0]
                  for line in lines if line.startswith("not ok ")]
        passed = sum(line.startswith("ok ") and "# SKIP" not in line
                     for line in lines)
        if not failed and (status or not passed):
            return None
        return failed

    def out_of_time(self, mutant):
        """Was a test ended by its own alarm()? None of its checks has failed."""
        log = (self.log / f"{mutant.name}.log").read_text(errors="replace")
        return f"status {-signal.SIGALRM}" in log

    def judge(self, mutant):
        """What became of a mutant, in a line."""
        path = self.tree / mutant.path
        before = path.read_text()
        path.write_text(mutant.of(before))
        try:
            failed = self.test(mutant.name, mutant.tests)
        finally:
            path.write_text(before)
        if failed is None or \
                failed and self.out_of_time(mutant) and not mutant.endless:
            return "invalid", f"see {self.log / mutant.name}.log"
        if failed:
            return "killed", " ".join(failed)
        return "survived", mutant.reason or "no test sees it"


def main():
    """Returns the exit status: whether one has survived without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=TOP / "build/mutate")
    parser.add_argument("--cache", type=Path, default=TOP / "build/cache")
    parser.add_argument("--tests", default="*",
                        help="only those of the tests that are so called")
    parser.add_argument("--check", action="store_true",
                        help="only see whether they all fit")
    parser.add_argument("patterns", nargs="*")
    arguments = parser.parse_args()
    mutants = [mutant for mutant in read_mutants(HERE / "mutants")
               if not arguments.patterns or
               any(fnmatch.fnmatch(mutant.name, pattern)
                   for pattern in arguments.patterns)]
    if arguments.check:
        return check(mutants)
    for mutant in mutants:
        mutant.tests = [test for test in mutant.tests
                        if any(fnmatch.fnmatch(test, pattern)
                               for pattern in arguments.tests.split())]
    mutants = [mutant for mutant in mutants if mutant.tests]
    if not mutants:
        sys.exit("mutate: there is no such mutant")

    runner = Runner(arguments.build.resolve(), arguments.cache.resolve())
    # What fails without a mutant does not tell of one
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    print(f"{len(mutants)} mutants; first their tests without one", flush=True)
    failed = runner.test("none", tests)
    if failed is None or failed:
        sys.exit(f"mutate: see {runner.log / 'none.log'}")
    count = {"killed": 0, "survived": 0, "invalid": 0}
    bad = 0
    for mutant in mutants:
        verdict, text = runner.judge(mutant)
        count[verdict] += 1
        bad += verdict == "invalid" or \
            verdict == "survived" and not mutant.reason
        print(f"{verdict:9} {mutant.name}: {text}", flush=True)
    print(", ".join(f"{number} {verdict}" for verdict, number in count.items()))
    return 1 if bad else 0


if __name__ == "__main__":
    os.environ.setdefault("TIMEOUT_FACTOR", "3")
    sys.exit(main())
