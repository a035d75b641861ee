// SPDX-License-Identifier: GPL-2.0
/*
 * pattern MIB
 *
 * Takes so much of this host's memory, locked, and fills it so that each word
 * says where it is. It prints "filled", and the physical address of one of its
 * pages below 4 GiB, or 0. For each line of input it looks whether all of it is as it
 * was, and says "same", or where the first and how many words have changed.
 *
 * A host without an IOMMU runs it to see whether a device has written where it
 * should not.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Not what anybody would leave there by chance */
#define WORD(i)		(((uint64_t)(i) + 1) * 0x9e3779b97f4a7c15ULL)

/* From /proc/self/pagemap: its lower 55 bits are the frame's number */
static uint64_t low_page(const void *memory, size_t size)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry, found = 0;
	size_t pos;

	for (pos = 0; fd >= 0 && !found && pos < size; pos += 4096) {
		off_t at = ((uintptr_t)memory + pos) / 4096 * sizeof(entry);

		if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
			break;
		entry &= (1ULL << 55) - 1;
		if (entry < 1 << 20)
			found = entry << 12;
	}
	close(fd);
	return found;
}

int main(int argc, char **argv)
{
	size_t words, i, changed, first;
	uint64_t *memory;
	char line[16];

	if (argc != 2) {
		fprintf(stderr, "usage: pattern MIB\n");
		return 2;
	}
	words = strtoul(argv[1], NULL, 0) << 17;
	memory = mmap(NULL, words * 8, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || mlock(memory, words * 8)) {
		perror("pattern: memory");
		return 1;
	}
	for (i = 0; i < words; i++)
		memory[i] = WORD(i);
	printf("filled %#" PRIx64 "\n", low_page(memory, words * 8));
	fflush(stdout);

	while (fgets(line, sizeof(line), stdin)) {
		changed = 0;
		first = 0;
		for (i = 0; i < words; i++) {
			if (((volatile uint64_t *)memory)[i] == WORD(i))
				continue;
			if (!changed++)
				first = i;
		}
		if (changed)
			printf("changed %zu words, the first at %#zx: %#" PRIx64 "\n",
			       changed, first * 8, memory[first]);
		else
			printf("same\n");
		fflush(stdout);
	}
	return 0;
}
