/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests do with the kernel in user space, beside calling it.
 */
#ifndef _SHIM_CONTROL_H
#define _SHIM_CONTROL_H

#include "kernel.h"

/**
 * struct shim_log - what the code under test has said
 * @errors: at the level of an error
 * @warnings: of a warning
 * @warns: WARN()s, and uses of the kernel where it may not be used
 * @last: the last message of the level of an error or a warning, or the WARN()
 */
struct shim_log {
	unsigned long errors;
	unsigned long warnings;
	unsigned long warns;
	char last[256];
};

extern struct shim_log shim_log;
extern bool shim_verbose;

/*
 * What is allocated and not freed; the @shim_fail-th allocation from now fails, and with
 * @shim_fail_rest all after it
 */
extern long shim_allocated;
extern long shim_pages_used;
extern long shim_fail;
extern bool shim_fail_rest;
bool shim_fails(void);

void shim_init(unsigned int cpus, unsigned long ram);
void shim_exit(void);
void shim_panic(const char *fmt, ...) __attribute__((__noreturn__)) __printf(1, 2);
extern void (*shim_panic_hook)(const char *why);

/* Called while a lock cannot be had; NULL: another thread has it */
extern void (*shim_wait_hook)(void);
/* Called by who sleeps */
extern void (*shim_sleep_hook)(void);
/* Around what takes this CPU into the host: no other may spin for it with IRQs off */
void shim_exit_begin(void);
void shim_exit_end(void);
void shim_lock_classes(void (*show)(struct shim_class *class));

/* A thread that runs what the kernel runs says which CPU it is */
void shim_thread_init(unsigned int cpu);

/* Poison for the address sanitizer, where there is one */
void shim_poison(const void *p, size_t n);
void shim_unpoison(const void *p, size_t n);

/* ---- devices ---- */

extern struct pci_bus shim_root_bus;
struct pci_dev *shim_device_add(unsigned int bus, unsigned int devfn, u32 class);
void shim_device_del(struct pci_dev *pdev);
/* A driver comes, as dd.c has it: the notifiers are told, then it is there */
void shim_bind(struct pci_dev *pdev);
void shim_unbind(struct pci_dev *pdev);
void shim_free_devices(void);

/* The host device's driver, when it has registered */
extern struct pci_driver *shim_driver;
extern int shim_probe_result;

#endif /* _SHIM_CONTROL_H */
