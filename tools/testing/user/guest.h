/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest with the module, a host device and some devices, for the programs
 * that measure or run many CPUs. world.c has its own, random ones.
 */
#ifndef _USER_GUEST_H
#define _USER_GUEST_H

#include "host.h"

#define GUEST_MAX_DEVICES	8

/* What has no end fails, too: a case is given so many seconds, by alarm() */
#define GUEST_SECONDS		120

/* The module's parameters */
extern char **const shim_param_direct;
extern unsigned int *const shim_param_direct_cache;
extern unsigned int *const shim_param_direct_cache_idle;

/**
 * struct guest - what was made
 * @config: what the host offers
 * @limit: bytes of window that the host grants, set before guest_begin(); 0: all
 * @host: the host device
 * @devices: attached devices
 * @rids: their requester IDs
 * @nr_devices: how many
 */
struct guest {
	struct host_config config;
	u64 limit;
	struct pci_dev *host;
	struct device *devices[GUEST_MAX_DEVICES];
	u16 rids[GUEST_MAX_DEVICES];
	unsigned int nr_devices;
};

void guest_begin(struct guest *g, unsigned int cpus, unsigned int devices,
		 u64 window, u64 arena, bool chunks, unsigned long ram);
void guest_begin_direct(struct guest *g, unsigned int cpus, unsigned int devices,
			u64 window, u64 arena, bool chunks, unsigned long ram, u64 limit);
void guest_end(struct guest *g);
/* The same without the module, which may then be short of something */
void guest_plug(struct guest *g, unsigned int cpus, unsigned int devices,
		u64 window, u64 arena, bool chunks, unsigned long ram, u64 limit);
void guest_unplug(void);
/* A number in a file of debugfs; -1 where it is not there */
long long guest_number(const char *file, const char *name);
/* The chunk that a group's domain empties; -1: none */
long guest_emptied(unsigned int group);
/* Dies unless the allocator's own check finds every page just once */
void guest_check(void);

#endif /* _USER_GUEST_H */
