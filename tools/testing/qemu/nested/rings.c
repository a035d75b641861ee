// SPDX-License-Identifier: GPL-2.0
/*
 * rings pio PORT | mmio ADDRESS, COUNT, VALUE
 *
 * Writes 32 bits to an I/O port or to a register, COUNT times: what a doorbell
 * costs, and nothing else. Runs in the nested guest, as root; the memory must
 * be no driver's.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	unsigned long where, count, i;
	volatile uint32_t *reg;
	uint32_t value;
	char *page;
	int fd;

	if (argc != 5) {
		fprintf(stderr, "usage: rings pio|mmio WHERE COUNT VALUE\n");
		return 2;
	}
	where = strtoul(argv[2], NULL, 0);
	count = strtoul(argv[3], NULL, 0);
	value = strtoul(argv[4], NULL, 0);

	if (!strcmp(argv[1], "pio")) {
		if (iopl(3)) {
			perror("rings: iopl");
			return 1;
		}
		for (i = 0; i < count; i++)
			outl(value, where);
		return 0;
	}

	fd = open("/dev/mem", O_RDWR | O_SYNC);
	page = fd < 0 ? MAP_FAILED :
	       mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    where & ~4095UL);
	if (page == MAP_FAILED) {
		perror("rings: /dev/mem");
		return 1;
	}
	reg = (volatile uint32_t *)(page + (where & 4095));
	for (i = 0; i < count; i++)
		*reg = value;
	return 0;
}
