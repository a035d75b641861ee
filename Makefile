# SPDX-License-Identifier: GPL-2.0
#
# pv-iommu: builds, demonstrates and tests it. `make help` says how.

# Choices, for the command line
KERNEL ?= 6.1
ACCEL ?= auto
MODE ?=
WINDOW ?=
MEM ?=
ISOLATION ?=
TESTS ?=
VM ?= main
# One more than there are processors: a test waits now and then
JOBS ?= $(shell expr $$(nproc) + 1)
TIMEOUT_FACTOR ?= 1
SET ?=
SANITIZE ?= 0
QEMU ?=
BUILD ?= $(CURDIR)/build
CACHE ?= $(BUILD)/cache

# On the kernel that looks for data races: what several CPUs do at once, and what comes
# and goes meanwhile. TESTS='*' is all there is.
RACES = kcsan map-benchmark stress stress-tiny rebind hotplug unload attach-rounds pressure edu-context
ifeq ($(KERNEL)$(TESTS),kcsan)
TESTS := $(RACES)
endif

export BUILD CACHE SANITIZE SET TIMEOUT_FACTOR
export QEMU_SUITE = $(QEMU)
export PYTHONDONTWRITEBYTECODE = 1

# The kernels to build for and test with
KNOWN := $(shell . scripts/versions && echo "$$KERNELS" | cut -f 1)
KERNELS := $(if $(filter all,$(KERNEL)),$(KNOWN),$(KERNEL))

runner = /usr/bin/python3 tools/testing/qemu/run.py --build $(BUILD) \
	$(KERNELS:%=--kernel %) --accel $(ACCEL) $(MODE:%=--mode %) \
	$(WINDOW:%=--window %) $(MEM:%=--memory %) $(ISOLATION:%=--isolation %) \
	$(if $(filter-out 0,$(SANITIZE)),--sanitize) \
	$(QEMU:%=--qemu %)

.DEFAULT_GOAL := help

.PHONY: help
help:
	@echo 'make run      real I/O through pv-iommu in a virtual machine, and a table of it'
	@echo 'make shell    the same guest with a prompt'
	@echo 'make demo-vfio  a disk assigned on real KVM: what is locked, swapped and asked of the host'
	@echo 'make demo-noiommu  the same on a host without an IOMMU: an NVMe disk and another'
	@echo 'make test     all tests; TESTS="GLOB..." some of them (make list: which)'
	@echo 'make test KERNEL=kcsan  those in which CPUs race, with the detector of data races'
	@echo 'make test-short  some of them, in minutes: does another kernel do?'
	@echo 'make soak     HOURS=$(HOURS) of load while all comes and goes, and a report (MODE=window)'
	@echo 'make test-native  the module in user space: properties, threads, fuzzing'
	@echo 'make fuzz     the device, and the module in user space, SECONDS=$(SECONDS) each of four'
	@echo 'make mutate   breaks the code in small ways, and says what no test saw'
	@echo 'make coverage  which lines of both the tests without a guest execute'
	@echo 'make bench    what mappings cost, with this and with other schemes'
	@echo 'make bench-native  the same in ns on this machine, beside swiotlb and memcpy'
	@echo 'make check    what can be seen without running it: style, types, shell, docs'
	@echo 'make module   the guest module alone, in build/module/'
	@echo 'make qemu     QEMU with the device alone, in build/qemu/'
	@echo 'make deb      Debian packages, in build/deb/; test-packages: installs and boots them'
	@echo 'make compare-qemu  what the packaged QEMU lacks of the one of the distribution'
	@echo 'make kernel-patch  the driver as a part of the kernel, in build/'
	@echo 'make kernel-series, qemu-series  the same as mails to submit, in build/'
	@echo 'make clean    removes what was built; distclean: and what was downloaded'
	@echo
	@echo 'KERNEL=$(KERNEL)    $(strip $(KNOWN)) or all; debug, kcsan, builtin: built from source'
	@echo 'ACCEL=$(ACCEL)   tcg, kvm or auto (KVM where it works)'
	@echo 'MODE=         window, bounce, direct, none: for test only those; run, shell: window'
	@echo 'WINDOW= MEM=  MiB of window and of memory, instead of what a test asks for'
	@echo 'ISOLATION=off  all devices in one domain; tests of what they do not share are skipped'
	@echo 'VM=$(VM)       which machine make shell starts (tools/testing/qemu/profiles.py)'
	@echo 'JOBS=$(JOBS)        how many guests run at once'
	@echo 'TIMEOUT_FACTOR=$(TIMEOUT_FACTOR)  for slow machines'
	@echo 'SET=CYCLES=100  what tests that ask for it are told (kvm-elastic, elastic)'
	@echo 'QEMU=trixie   with the QEMU of another Debian release; or sid'
	@echo 'SANITIZE=1    with a QEMU built with the address and UB sanitizers'
	@echo 'CACHE=DIR     where downloads are kept (build/cache)'

.PHONY: prepare
prepare:
	@scripts/build-qemu
	@set -e; for kernel in $(KERNELS); do scripts/build-initramfs $$kernel; done

.PHONY: qemu
qemu:
	@scripts/build-qemu

.PHONY: module
module:
	@set -e; for kernel in $(KERNELS); do scripts/build-module $$kernel; done

.PHONY: deb
deb:
	@scripts/build-deb

.PHONY: compare-qemu
compare-qemu:
	@scripts/compare-qemu

.PHONY: test-packages
test-packages:
	@tools/testing/qemu/packages.py

.PHONY: kernel-patch
kernel-patch:
	@scripts/make-kernel-patch

# The same as mails for the projects that it would be a part of
.PHONY: kernel-series
kernel-series:
	@scripts/make-kernel-patch --series

.PHONY: qemu-series
qemu-series:
	@scripts/make-qemu-series

.PHONY: run
run: prepare
	@$(runner) run

# What the guests that are hosts themselves need
.PHONY: prepare-host
prepare-host: prepare
	@set -e; for kernel in $(KERNELS); do scripts/build-host-image $$kernel; done

.PHONY: demo-vfio
demo-vfio: prepare-host
	@$(runner) demo-vfio

.PHONY: demo-noiommu
demo-noiommu: prepare-host
	@$(runner) demo-noiommu

.PHONY: shell
shell: prepare
	@$(runner) shell --vm $(VM)

.PHONY: test
test: prepare-host
	@$(runner) test --jobs $(JOBS) -- $(foreach t,$(TESTS),'$(t)')

# For other kernels than the first: each row of the DMA API's contract, a real
# driver, and the module's coming and going, in both modes
SHORT = edu-* nvme-fio counters rebind load-late unload

.PHONY: test-short
test-short: prepare
	@$(runner) test --jobs $(JOBS) -- $(SHORT:%='%')

# For hours, which may be a fraction: disks and cards at work while devices, drivers and
# the machine come and go. SET='SEED=1 EVENTS=ram+migrate' for what is not at random
HOURS ?= 4
.PHONY: soak
soak: prepare
	@SET='HOURS=$(HOURS) $(SET)' $(runner) test --jobs 1 -- $(or $(MODE),window)/soak

# The module's code in user space: no guest, no QEMU
.PHONY: test-native
test-native:
	@$(runner) test --jobs 1 -- $(if $(TESTS),$(foreach t,$(TESTS),'$(t)'),'native/*')

# Inputs that coverage leads: requests to the device, and whatever; lists and answers to
# the module
SECONDS ?= 60
.PHONY: fuzz
fuzz:
	@scripts/fuzz $(SECONDS)
	@$(MAKE) --no-print-directory -s -C tools/testing/user fuzz SECONDS=$(SECONDS)

# Break the code in small ways and see the tests fail; MUTANTS: patterns of names;
# TESTS: only these, of those that each of them names
MUTANTS ?=
.PHONY: mutate
mutate:
	@tools/testing/mutate/mutate.py --build $(BUILD)/mutate --cache $(CACHE) \
		$(if $(TESTS),--tests='$(TESTS)') $(foreach m,$(MUTANTS),'$(m)')

# Which lines are executed, by the tests that need no guest
.PHONY: coverage
coverage:
	@scripts/coverage

.PHONY: list
list: prepare
	@$(runner) test --list -- $(foreach t,$(TESTS),'$(t)')

# BENCH: arguments of benchrun.py, as --only=instructions or --scheme="dma-direct"
BENCH ?=
bench = /usr/bin/python3 tools/testing/qemu/benchrun.py --build $(BUILD) \
	$(KERNELS:%=--kernel %) $(BENCH)

.PHONY: bench
bench: prepare-host
	@$(bench)

# On this machine itself, in user space, beside the kernel's swiotlb and memcpy
.PHONY: bench-native
bench-native:
	@$(MAKE) --no-print-directory -s -C tools/testing/user bench BUILD=$(BUILD) \
		CACHE=$(CACHE) KERNEL=$(firstword $(KERNELS)) BENCH='$(BENCH)'

# What is measured becomes what is allowed
.PHONY: bench-budget
bench-budget: prepare
	@$(bench) --only=budget

.PHONY: check
check:
	@scripts/check

.PHONY: clean
clean:
	@find $(BUILD) -mindepth 1 -maxdepth 1 ! -path $(CACHE) -exec rm -rf {} +

.PHONY: distclean
distclean: clean
	@rm -rf $(BUILD)
