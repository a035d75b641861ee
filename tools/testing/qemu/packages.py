#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Tests the Debian packages as an administrator uses them.

An installed Debian with its root on an NVMe disk behind pv-iommu gets the
packages, a later version of them, and loses them again; after each step it has
to boot. By the firmware the host device lets devices through until they are
attached (boot-bypass=on); with the kernel given to QEMU it does not (off).

Prints TAP. Takes a while, so it is not a part of "make test".
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[2]
BUILD = Path(os.environ.get("BUILD", TOP / "build"))
IMAGE = TOP / "scripts" / "image"
TIMEOUT = 600 * float(os.environ.get("TIMEOUT_FACTOR", "1"))
WINDOW = 64
MEMORY = 1024


class Failed(Exception):
    """A step did not come out as it has to."""


def script(*command, **environment):
    """Runs one of the scripts; what it says is shown when it fails."""
    done = subprocess.run([str(word) for word in command], check=False,
                          env={**os.environ, **environment},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failed(" ".join(map(str, command)) + f": status "
                     f"{done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def in_image(name, *command):
    """Runs a command in the system on the disk."""
    return script(IMAGE, "run", name, *command)


def qemu(name, bypass):
    """QEMU's command line, from the package with the device if there is one."""
    program = BUILD / "qemu" / "obj" / "qemu-system-x86_64"
    disk = BUILD / "image" / f"{name}.img"
    return [str(program), "-nodefaults", "-no-user-config", "-display", "none",
            "-vga", "none", "-no-reboot",
            # Its disk controller would be what the firmware tries
            "-machine", "q35,sata=off",
            "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2",
            "-m", f"{MEMORY}M,maxmem={MEMORY + WINDOW}M",
            "-object", f"memory-backend-ram,id=win0,size={WINDOW}M",
            "-device", "pv-iommu-pci,memdev=win0,hw-iommu=on,"
            f"boot-bypass={bypass}",
            "-drive", f"if=none,id=disk0,format=raw,cache=unsafe,file={disk}",
            "-device", "nvme,drive=disk0,serial=disk0" +
            (",bootindex=1" if bypass == "on" else ""),
            # The firmware leaves a disk alone that it is not to boot from
            "-boot", "strict=on"]


def boot(name, bypass):
    """Boots the disk; returns what the system reported, by key."""
    with tempfile.TemporaryDirectory(prefix="pvtest-") as tmp:
        command = qemu(name, bypass)
        if bypass == "off":
            for file in "vmlinuz", "initrd.img":
                with open(f"{tmp}/{file}", "wb") as copy:
                    subprocess.run([str(IMAGE), "run", name, "cat", f"/{file}"],
                                   check=True, stdout=copy)
            command += ["-kernel", f"{tmp}/vmlinuz",
                        "-initrd", f"{tmp}/initrd.img",
                        "-append", "root=LABEL=root console=ttyS0 "
                        "systemd.unit=report.service nowatchdog "
                        # A slow machine is no fault of the guest's
                        "rcupdate.rcu_cpu_stall_suppress=1"]
        console = BUILD / "image" / f"{name}-console.log"
        results = f"{tmp}/results"
        command += ["-chardev", f"file,id=console,path={console}",
                    "-serial", "chardev:console",
                    "-chardev", f"file,id=results,path={results}",
                    "-serial", "chardev:results"]
        try:
            with open(BUILD / "image" / f"{name}-qemu.log", "wb") as log:
                subprocess.run(command, check=True, timeout=TIMEOUT, stdout=log,
                               stderr=log, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            pass
        text = Path(results).read_text(encoding="utf-8", errors="replace") \
            if os.path.exists(results) else ""
        report = dict(re.findall(r"^(\w+) ?(.*?)\r?$", text, re.MULTILINE))
        if "end" not in report:
            tail = console.read_text(errors="replace").split("\n")[-20:]
            raise Failed("it did not boot:\n" + "\n".join(tail))
        return report


def expect(report, served, version=""):
    """What the report has to say where the module serves the disk, or not."""
    print("# " + ", ".join(f"{k} {v}" for k, v in report.items()), flush=True)
    if not re.fullmatch(r"/dev/nvme0n1", report["root"]):
        raise Failed(f"root is {report['root']}")
    if report["bad"] != "0":
        raise Failed("the kernel's log has warnings")
    if not served:
        if report["module"] != "0":
            raise Failed("the module is there")
        return
    if report["module"] != "1":
        raise Failed("the module is not loaded")
    if not report.get("attached", "").endswith("window"):
        raise Failed("the disk is not attached")
    if "stat" in report:
        disk = json.loads(report["stat"])["devices"][0]
        if disk["driver"] != "nvme" or not disk["maps"]:
            raise Failed(f"pv-iommu-stat says {disk}")
    when = float(report["attached"].split()[0])
    if when > float(report["mounted"]):
        raise Failed("it was attached after root was mounted")
    if report["refused"] != "0":
        raise Failed(f"{report['refused']} DMAs were refused")
    if version and report["version"] != f"installed {version}":
        raise Failed(f"the package is {report['version']}")


def tools(name, which):
    """Installs the tools, and boots once with the examples of the docs."""
    example = "/usr/local/sbin/tracing"
    in_image(name, "dpkg", "-i",
             f"/mnt/packages/pv-iommu-tools_{which}_amd64.deb")
    in_image(name, "sh", "-c", "apt-get -q update && apt-get -q -y "
             "--no-install-recommends install trace-cmd bpftrace")
    in_image(name, "cp", "/usr/local/share/tracing", example)
    report = boot(name, "off")
    expect(report, True, which)
    in_image(name, "rm", example)
    in_image(name, "dpkg", "--purge", "pv-iommu-tools")
    if "stat" not in report:
        raise Failed("no pv-iommu-stat")
    for tool in "trace_cmd", "bpftrace":
        if int(report[tool] or 0) < 16:
            raise Failed(f"{tool} saw {report[tool]} maps of 16 and more")


def version():
    """The version that packaging/debian/changelog has."""
    text = (TOP / "packaging/debian/changelog").read_text(encoding="utf-8")
    return re.search(r"\((.*?)\)", text)[1]


def steps(name):
    """The tests of one image: what to say, and what to do."""
    first = version()
    later = f"{first}+1"

    def install(which):
        in_image(name, "dpkg", "-i",
                 f"/mnt/packages/pv-iommu-dkms_{which}_all.deb")

    yield ("boots by firmware, before anything is installed",
           lambda: expect(boot(name, "on"), False))
    yield ("is installed; DKMS builds it", lambda: install(first))
    yield ("boots by firmware, the disk served",
           lambda: expect(boot(name, "on"), True, first))
    yield ("boots with boot-bypass=off",
           lambda: expect(boot(name, "off"), True, first))
    if name == "initramfs-tools":
        yield ("has tools that work: pv-iommu-stat, trace-cmd, bpftrace",
               lambda: tools(name, first))
    yield ("is upgraded", lambda: install(later))
    yield ("boots with the later version",
           lambda: expect(boot(name, "off"), True, later))
    yield ("is removed",
           lambda: in_image(name, "dpkg", "--remove", "pv-iommu-dkms"))
    yield ("boots without it", lambda: expect(boot(name, "on"), False))
    yield ("is purged, and leaves no file",
           lambda: (in_image(name, "dpkg", "--purge", "pv-iommu-dkms"),
                    in_image(name, "sh", "-c", "! find / -xdev "
                             "-path /mnt -prune -o -path /var/log -prune -o "
                             "-path /tmp -prune -o "
                             "-iname '*pv[-_]iommu*' -print | grep .")))
    yield ("boots when it is gone", lambda: expect(boot(name, "on"), False))


def main():
    """Runs the steps for each image that is asked for."""
    names = sys.argv[1:] or ["initramfs-tools", "dracut"]
    number = failed = 0
    script(TOP / "scripts" / "build-deb")
    script(TOP / "scripts" / "build-deb", REVISION="1")
    print("TAP version 13")
    for name in names:
        script(IMAGE, "build", name)
        for about, step in steps(name):
            number += 1
            start = time.monotonic()
            try:
                step()
            except Failed as failure:
                failed += 1
                print(f"not ok {number} - {name}: {about}")
                for line in str(failure).split("\n"):
                    print(f"#   {line}")
                sys.stdout.flush()
                # The steps build on each other
                break
            print(f"ok {number} - {name}: {about} # "
                  f"{time.monotonic() - start:.0f} s", flush=True)
    print(f"1..{number}\n{number - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
