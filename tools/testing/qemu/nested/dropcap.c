// SPDX-License-Identifier: GPL-2.0
/*
 * dropcap NUMBER PROGRAM [ARGUMENT...]
 *
 * Runs a program without one capability that root otherwise has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: dropcap NUMBER PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	if (prctl(PR_CAPBSET_DROP, strtoul(argv[1], NULL, 0), 0, 0, 0)) {
		perror("dropcap");
		return 1;
	}
	execv(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
