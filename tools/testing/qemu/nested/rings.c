// SPDX-License-Identifier: GPL-2.0
/*
 * rings pio PORT COUNT VALUE | mmio ADDRESS COUNT VALUE | peek ADDRESS |
 *	 poke ADDRESS COUNT VALUE [STRIDE] | dump ADDRESS BYTES
 *
 * Writes 32 bits to an I/O port or to a register, COUNT times: what a doorbell
 * costs, and nothing else; or prints the 32 bits of a register; or writes to memory that
 * is cached, each time STRIDE bytes further, or copies some, of one page at the most, to
 * its output: who reads /dev/mem gets to RAM that was there at boot. Runs in the nested
 * guest, as root; the memory must be no driver's, or the kernel started with
 * iomem=relaxed.
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
	unsigned long where, count = 0, stride = 0, size, i;
	volatile uint32_t *reg;
	uint32_t value = 0;
	int peek, dump;
	char *page;
	int fd;

	peek = argc == 3 && !strcmp(argv[1], "peek");
	dump = argc == 4 && !strcmp(argv[1], "dump");
	if (argc != 5 && !peek && !dump &&
	    !(argc == 6 && !strcmp(argv[1], "poke"))) {
		fprintf(stderr, "usage: rings pio|mmio|poke WHERE COUNT VALUE\n"
				"       rings poke ADDRESS COUNT VALUE STRIDE\n"
				"       rings peek ADDRESS\n"
				"       rings dump ADDRESS BYTES\n");
		return 2;
	}
	where = strtoul(argv[2], NULL, 0);
	if (argc >= 5) {
		count = strtoul(argv[3], NULL, 0);
		value = strtoul(argv[4], NULL, 0);
	}
	if (argc == 6)
		stride = strtoul(argv[5], NULL, 0) / sizeof(value);
	size = stride ? (where & 4095UL) + count * stride * sizeof(value) : 4096;

	if (!strcmp(argv[1], "pio")) {
		if (iopl(3)) {
			perror("rings: iopl");
			return 1;
		}
		for (i = 0; i < count; i++)
			outl(value, where);
		return 0;
	}

	/* Not cached, but for memory, of which the kernel has it mapped otherwise */
	fd = open("/dev/mem", dump || !strcmp(argv[1], "poke") ? O_RDWR :
			      O_RDWR | O_SYNC);
	page = fd < 0 ? MAP_FAILED :
	       mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    where & ~4095UL);
	if (page == MAP_FAILED) {
		perror("rings: /dev/mem");
		return 1;
	}
	reg = (volatile uint32_t *)(page + (where & 4095));
	for (i = 0; i < count; i++)
		reg[i * stride] = value;
	if (peek)
		printf("0x%x\n", *reg);
	for (i = 0; dump && i < strtoul(argv[3], NULL, 0) / sizeof(value); i++) {
		if ((where & 4095UL) + (i + 1) * sizeof(value) > 4096)
			return 1;
		value = reg[i];
		fwrite(&value, sizeof(value), 1, stdout);
	}
	return 0;
}
