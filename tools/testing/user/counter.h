/* SPDX-License-Identifier: GPL-2.0 */
/* See counter.c */
#ifndef _USER_COUNTER_H
#define _USER_COUNTER_H

/* Of the calling thread; what is read is 0 where there is none */
int counter_open(void);
unsigned long counter_read(int fd);

#endif /* _USER_COUNTER_H */
