// SPDX-License-Identifier: GPL-2.0
/*
 * pv-iommu-stat: what the paravirtual IOMMU does, device by device
 *
 * Reads the sysfs files of the pv_iommu driver (Documentation/ABI/testing/
 * sysfs-driver-pv-iommu and sysfs-bus-pci-devices-pv-iommu), nothing else.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HOSTS	"bus/pci/drivers/pv_iommu"
#define DEVICES	"bus/pci/devices"

enum {
	MAPS, MAPS_DIRECT, UNMAPS, SYNCS, TO_DEVICE, FROM_DEVICE, FAILURES, HYPERCALLS,
	DOMAIN, DOMAIN_GRANTED, DOMAIN_GRANTED_MAX, DOMAIN_USED, DOMAIN_GRANTS,
	DOMAIN_GRANTS_LATE, DOMAIN_REVOKES,
	NR_COUNTERS
};

static const char * const counter_names[NR_COUNTERS] = {
	"maps", "maps_direct", "unmaps", "syncs", "bytes_to_device",
	"bytes_from_device", "failures", "hypercalls", "domain", "domain_granted",
	"domain_granted_max", "domain_used", "domain_grants",
	"domain_grants_late", "domain_revokes",
};

enum {
	WINDOW_SIZE, WINDOW_USED, WINDOW_HIGH_WATER, WINDOW_GRANTED,
	WINDOW_LIMIT, CHUNK_SIZE, DIRECT_GRANTED, DIRECT_LIMIT, DIRECT_CACHED,
	HOST_HYPERCALLS, REFUSED_DMAS,
	NR_VALUES
};

static const char * const value_names[NR_VALUES] = {
	"window_size", "window_used", "window_high_water", "window_granted",
	"window_limit", "chunk_size", "direct_granted", "direct_limit",
	"direct_cached", "hypercalls", "refused_dmas",
};

/**
 * struct device - an attached device
 * @name: its PCI address
 * @driver: the driver that is bound to it
 * @counters: what its files said, its domain's too
 */
struct device {
	char name[32];
	char driver[64];
	unsigned long long counters[NR_COUNTERS];
};

/**
 * struct sample - all that there was to read at one time
 * @when: seconds, monotonic
 * @host: PCI address of the host device
 * @mode: how it serves streaming DMA
 * @values: what its files said
 * @devices: the attached devices
 * @nr_devices: how many
 */
struct sample {
	double when;
	char host[32];
	char mode[16];
	unsigned long long values[NR_VALUES];
	struct device *devices;
	size_t nr_devices;
};

static const char *sysfs = "/sys";

static void copy(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
}

/* The first line of a file; false if there is none */
static bool read_line(char *line, size_t size, const char *dir,
		      const char *device, const char *file)
{
	char path[PATH_MAX];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s/%s/%s", sysfs, dir, device, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fgets(line, size, f);
	fclose(f);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

static bool read_number(unsigned long long *value, const char *dir, const char *device,
			const char *file)
{
	char line[32], *end;

	if (!read_line(line, sizeof(line), dir, device, file))
		return false;
	errno = 0;
	*value = strtoull(line, &end, 10);
	return !errno && end != line && !*end;
}

static void read_driver(struct device *d)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name = "-";
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s/%s/driver", sysfs, DEVICES, d->name);
	len = readlink(path, target, sizeof(target) - 1);
	if (len > 0) {
		target[len] = '\0';
		name = strrchr(target, '/');
		name = name ? name + 1 : target;
	}
	copy(d->driver, sizeof(d->driver), name);
}

/* PCI addresses are all that these folders hold besides the driver's own files */
static int is_address(const struct dirent *entry)
{
	return strlen(entry->d_name) < sizeof(((struct device *)0)->name) &&
	       strchr(entry->d_name, ':') && strchr(entry->d_name, '.');
}

/* false: the device is not attached, or is not any more */
static bool read_device(struct device *d, const char *name)
{
	char file[64];
	size_t i;

	memset(d, 0, sizeof(*d));
	copy(d->name, sizeof(d->name), name);
	for (i = 0; i < NR_COUNTERS; i++) {
		snprintf(file, sizeof(file), "pv_iommu/%s", counter_names[i]);
		if (!read_number(&d->counters[i], DEVICES, name, file))
			return false;
	}
	read_driver(d);
	return true;
}

static void free_entries(struct dirent **entries, int n)
{
	while (n-- > 0)
		free(entries[n]);
	free(entries);
}

/* 0, or what the program is to exit with */
static int read_host(struct sample *s)
{
	char path[PATH_MAX];
	struct dirent **entries;
	int n, i;

	snprintf(path, sizeof(path), "%s/%s", sysfs, HOSTS);
	n = scandir(path, &entries, is_address, alphasort);
	if (n < 0) {
		fprintf(stderr, "pv-iommu-stat: %s: %s; is the module pv_iommu loaded?\n",
			path, strerror(errno));
		return 2;
	}
	if (!n) {
		fprintf(stderr, "pv-iommu-stat: the driver serves no pv-iommu device; dmesg says why\n");
		free_entries(entries, n);
		return 2;
	}
	copy(s->host, sizeof(s->host), entries[0]->d_name);
	free_entries(entries, n);

	if (!read_line(s->mode, sizeof(s->mode), HOSTS, s->host, "mode"))
		copy(s->mode, sizeof(s->mode), "?");
	for (i = 0; i < NR_VALUES; i++)
		if (!read_number(&s->values[i], HOSTS, s->host, value_names[i])) {
			fprintf(stderr, "pv-iommu-stat: no %s of %s; is the module another version?\n",
				value_names[i], s->host);
			return 2;
		}
	return 0;
}

static int read_sample(struct sample *s)
{
	char path[PATH_MAX];
	struct dirent **entries;
	struct timespec now;
	int n, i, ret;

	memset(s, 0, sizeof(*s));
	clock_gettime(CLOCK_MONOTONIC, &now);
	s->when = now.tv_sec + now.tv_nsec / 1e9;
	ret = read_host(s);
	if (ret)
		return ret;

	snprintf(path, sizeof(path), "%s/%s", sysfs, DEVICES);
	n = scandir(path, &entries, is_address, alphasort);
	if (n < 0) {
		fprintf(stderr, "pv-iommu-stat: %s: %s\n", path, strerror(errno));
		return 2;
	}
	s->devices = calloc(n ? n : 1, sizeof(*s->devices));
	if (!s->devices) {
		perror("pv-iommu-stat");
		free_entries(entries, n);
		return 2;
	}
	for (i = 0; i < n; i++)
		if (read_device(&s->devices[s->nr_devices], entries[i]->d_name))
			s->nr_devices++;
	free_entries(entries, n);
	return 0;
}

static void free_sample(struct sample *s)
{
	free(s->devices);
	s->devices = NULL;
	s->nr_devices = 0;
}

/* A driver's name may be anything that a file may be called */
static void print_json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void print_json(const struct sample *s)
{
	size_t d, i;

	printf("{\n  \"host\": \"%s\",\n  \"mode\": ", s->host);
	print_json_string(s->mode);
	for (i = 0; i < NR_VALUES; i++)
		printf(",\n  \"%s\": %llu", value_names[i], s->values[i]);
	printf(",\n  \"devices\": [");
	for (d = 0; d < s->nr_devices; d++) {
		printf("%s\n    {\n      \"device\": \"%s\",\n      \"driver\": ",
		       d ? "," : "", s->devices[d].name);
		print_json_string(s->devices[d].driver);
		for (i = 0; i < NR_COUNTERS; i++)
			printf(",\n      \"%s\": %llu", counter_names[i],
			       s->devices[d].counters[i]);
		printf("\n    }");
	}
	printf("%s]\n}\n", s->nr_devices ? "\n  " : "");
}

static const struct device *find(const struct sample *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->nr_devices; i++)
		if (!strcmp(s->devices[i].name, name))
			return &s->devices[i];
	return NULL;
}

/* A device that was attached anew counts from zero */
static double rate(const struct device *now, const struct device *then, int i,
		   double seconds)
{
	unsigned long long before = then ? then->counters[i] : 0;

	if (before > now->counters[i])
		before = 0;
	return (now->counters[i] - before) / seconds;
}

static void print_table(const struct sample *s, const struct sample *last,
			double seconds)
{
	const double mib = 1 << 20;
	size_t d;

	printf("%s: %s mode, window %.1f MiB, granted %.1f of %.1f MiB, ",
	       s->host, s->mode, s->values[WINDOW_SIZE] / mib,
	       s->values[WINDOW_GRANTED] / mib, s->values[WINDOW_LIMIT] / mib);
	printf("in use %.1f MiB, high water %.1f MiB, refused DMAs %llu\n",
	       s->values[WINDOW_USED] / mib, s->values[WINDOW_HIGH_WATER] / mib,
	       s->values[REFUSED_DMAS]);
	printf("direct: granted %.1f of %.1f MiB of guest memory, %.1f MiB to be kept\n",
	       s->values[DIRECT_GRANTED] / mib, s->values[DIRECT_LIMIT] / mib,
	       s->values[DIRECT_CACHED] / mib);
	printf("%-13s %-14s %6s %11s %10s %10s %10s %10s %10s %10s %8s %8s\n",
	       "device", "driver", "domain", "granted MiB", "maps/s", "direct/s",
	       "unmaps/s", "syncs/s", "to MiB/s", "from MiB/s", "fail/s", "exits/s");
	for (d = 0; d < s->nr_devices; d++) {
		const struct device *now = &s->devices[d];
		const struct device *then = last ? find(last, now->name) : NULL;

		printf("%-13s %-14s %6llu %11.1f %10.1f %10.1f %10.1f %10.1f %10.2f %10.2f %8.1f %8.1f\n",
		       now->name, now->driver, now->counters[DOMAIN],
		       now->counters[DOMAIN_GRANTED] / mib,
		       rate(now, then, MAPS, seconds),
		       rate(now, then, MAPS_DIRECT, seconds),
		       rate(now, then, UNMAPS, seconds),
		       rate(now, then, SYNCS, seconds),
		       rate(now, then, TO_DEVICE, seconds) / mib,
		       rate(now, then, FROM_DEVICE, seconds) / mib,
		       rate(now, then, FAILURES, seconds),
		       rate(now, then, HYPERCALLS, seconds));
	}
	putchar('\n');
	fflush(stdout);
}

/* The first table is of all the time since the devices were attached */
static int watch(double interval, unsigned long count)
{
	struct sample last = { }, now;
	bool forever = !count, first = true;
	int ret;

	for (;;) {
		ret = read_sample(&now);
		if (ret)
			break;
		if (first) {
			struct timespec boot;

			clock_gettime(CLOCK_BOOTTIME, &boot);
			print_table(&now, NULL, boot.tv_sec + boot.tv_nsec / 1e9);
		} else {
			print_table(&now, &last, now.when - last.when);
		}
		free_sample(&last);
		last = now;
		first = false;
		if (!forever && !--count)
			break;
		usleep(interval * 1e6);
	}
	free_sample(&last);
	return ret;
}

static void help(FILE *to)
{
	fputs("usage: pv-iommu-stat [-j] [INTERVAL [COUNT]]\n"
	      "\n"
	      "What the paravirtual IOMMU does: of each device its rates and what is\n"
	      "granted to its domain, and the window.\n"
	      "The first report is of the time since boot, others of the last INTERVAL\n"
	      "seconds. Without INTERVAL there is one report.\n"
	      "\n"
	      "  -j, --json  print the counters once, as JSON\n"
	      "  -h, --help  print this\n", to);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	unsigned long count = 1;
	double interval = 0;
	bool json = false;
	char *end;
	int c;

	if (getenv("PV_IOMMU_STAT_SYSFS"))
		sysfs = getenv("PV_IOMMU_STAT_SYSFS");

	while ((c = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'h':
			help(stdout);
			return 0;
		default:
			help(stderr);
			return 1;
		}
	}

	if (optind < argc) {
		interval = strtod(argv[optind], &end);
		if (*end || !(interval >= 0.01 && interval <= 1000)) {
			fprintf(stderr, "pv-iommu-stat: INTERVAL is %s; it has to be from 0.01 to 1000 seconds\n",
				argv[optind]);
			return 1;
		}
		count = 0;
		optind++;
	}
	if (optind < argc) {
		errno = 0;
		count = strtoul(argv[optind], &end, 10);
		if (errno || *end || !count || *argv[optind] == '-') {
			fprintf(stderr, "pv-iommu-stat: COUNT is %s; it has to be a number from 1 up\n",
				argv[optind]);
			return 1;
		}
		optind++;
	}
	if (optind < argc || (json && interval)) {
		help(stderr);
		return 1;
	}

	if (json) {
		struct sample s;
		int ret = read_sample(&s);

		if (!ret)
			print_json(&s);
		free_sample(&s);
		return ret;
	}
	return watch(interval, count);
}
