/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every header of the kernel is here: the Makefile makes a file of each
 * name that the code under test includes, with nothing in it but this.
 */
#ifndef _SHIM_KERNEL_H
#define _SHIM_KERNEL_H

#include "dma.h"

#endif /* _SHIM_KERNEL_H */
