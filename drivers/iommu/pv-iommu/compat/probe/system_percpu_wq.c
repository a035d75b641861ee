// SPDX-License-Identifier: GPL-2.0
/* workqueue: Add system_percpu_wq and system_dfl_wq (6.17) */
#include <linux/workqueue.h>
void *probe(void)
{
	return system_percpu_wq;
}
