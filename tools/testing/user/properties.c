// SPDX-License-Identifier: GPL-2.0
/*
 * properties [--steps N] [--seed S] [--jobs J] [--length L] [--no-shrink] [--runs]
 * properties --world SEED [--length L]
 *
 * Worlds of L random steps each, until N steps are done; world.c says what is
 * checked, with --runs more than the module keeps to. A world that fails is run again with fewer and fewer steps; then it is
 * told, step by step.
 */
#include <getopt.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

#define MAX_LENGTH	100000

/* What a child tells its parent, also when it dies */
static struct shared {
	u64 world;
	u64 worlds;
	unsigned int at;
	char why[1024];
} *shared;

static struct step steps[MAX_LENGTH];
static unsigned int length = 2000;
static bool no_shrink;

static void failed(const char *why)
{
	snprintf(shared->why, sizeof(shared->why), "%s", why);
	shared->at = world_at;
	_exit(3);
}

/* Sanitizers and crashes say themselves what it is, on standard error */
static void crashed(int sig)
{
	shared->at = world_at;
	snprintf(shared->why, sizeof(shared->why), "step %u: signal %d", world_at, sig);
	_exit(3);
}

static void run_world(u64 seed, const struct step *list, unsigned int n)
{
	unsigned int i;

	world_at = 0;
	shared->world = seed;
	world_begin(seed);
	for (i = 0; i < n; i++) {
		world_at = i;
		/* Read back when a sanitizer ends us */
		shared->at = i;
		world_step(&list[i]);
	}
	world_at = n;
	shared->at = n;
	world_end();
	shared->worlds++;
}

/* In a child: does it fail? Its complaints are shown only if told to */
static bool fails(u64 seed, const struct step *list, unsigned int n, bool show)
{
	int status;
	pid_t pid;

	shared->why[0] = 0;
	pid = fork();
	if (!pid) {
		alarm(20);
		world_trace = show;
		shim_verbose = show;
		if (!show && !freopen("/dev/null", "w", stderr))
			_exit(1);
		run_world(seed, list, n);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status != 0;
}

/* Leave out what is not needed, in ever smaller pieces */
static unsigned int shrink(u64 seed, unsigned int n)
{
	static struct step fewer[MAX_LENGTH];
	unsigned int piece = n / 2, from, tries = 0;

	while (piece && tries < 3000) {
		bool any = false;

		for (from = 0; from < n && tries < 3000; ) {
			unsigned int out = min(piece, n - from);

			memcpy(fewer, steps, from * sizeof(*steps));
			memcpy(fewer + from, steps + from + out,
			       (n - from - out) * sizeof(*steps));
			tries++;
			if (fails(seed, fewer, n - out, false)) {
				n -= out;
				memcpy(steps, fewer, n * sizeof(*steps));
				any = true;
			} else {
				from += out;
			}
		}
		if (!any || piece > n)
			piece /= 2;
	}
	return n;
}

static int report(u64 seed)
{
	unsigned int n = length;

	printf("FAILED in world %#llx, of %u steps\n", seed, length);
	fflush(stdout);
	if (no_shrink) {
		printf("%s\n", shared->why);
		return 1;
	}
	world_make_steps(seed, steps, length);
	if (!fails(seed, steps, n, false)) {
		printf("it does not fail again\n");
		return 1;
	}
	n = min(shared->at + 1, n);
	if (!fails(seed, steps, n, false))
		n = length;
	n = shrink(seed, n);
	printf("%u steps are enough:\n", n);
	fflush(stdout);
	fails(seed, steps, n, true);
	fflush(stderr);
	printf("%s\nagain: properties --world %#llx --length %u\n",
	       shared->why[0] ? shared->why : "see above", seed, length);
	return 1;
}

/* One of several children; each has its own worlds */
static pid_t start(u64 seed, u64 nr_worlds, unsigned int job, unsigned int jobs)
{
	pid_t pid = fork();
	u64 i;

	if (pid)
		return pid;
	shared += job;
	if (!freopen("/dev/null", "w", stderr))
		_exit(1);
	for (i = job; i < nr_worlds; i += jobs) {
		u64 r = seed + i * 0x632be59bd9b4e019ULL;
		u64 world = world_random(&r);

		world_make_steps(world, steps, length);
		run_world(world, steps, length);
	}
	/* Not _exit(): gcov counts what a process has executed when it ends so */
	exit(0);
}

static int run(u64 seed, u64 total, unsigned int jobs)
{
	u64 nr_worlds = DIV_ROUND_UP(total, length), done = 0;
	bool bad = false;
	unsigned int i;
	pid_t pids[64];

	printf("seed %llu: %llu worlds of %u steps\n", seed, nr_worlds, length);
	fflush(stdout);
	for (i = 0; i < jobs; i++)
		pids[i] = start(seed, nr_worlds, i, jobs);
	for (i = 0; i < jobs; i++) {
		int status;

		waitpid(pids[i], &status, 0);
		done += shared[i].worlds;
		if (!status)
			continue;
		if (!bad) {
			memcpy(shared->why, shared[i].why, sizeof(shared->why));
			report(shared[i].world);
		}
		bad = true;
	}
	printf("%llu worlds, %llu steps: %s\n", done, done * length,
	       bad ? "FAILED" : "all is as it should be");
	return bad;
}

/* A smaller quarantine, or most of the time goes into fresh pages */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=8:detect_leaks=0";
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "steps", 1, NULL, 'n' }, { "seed", 1, NULL, 's' },
		{ "jobs", 1, NULL, 'j' }, { "length", 1, NULL, 'l' },
		{ "world", 1, NULL, 'w' },
		{ "no-shrink", 0, NULL, 'k' }, { "runs", 0, NULL, 'r' }, { }
	};
	u64 steps_wanted = 1000000, seed = time(NULL), world = 0;
	unsigned int jobs = 1;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			steps_wanted = strtod(optarg, NULL);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'j':
			jobs = clamp_t(unsigned int, atoi(optarg), 1, 64);
			break;
		case 'l':
			length = clamp_t(unsigned int, atoi(optarg), 1, MAX_LENGTH);
			break;
		case 'w':
			world = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			world_check_runs = true;
			break;
		case 'k':
			no_shrink = true;
			break;
		default:
			return 2;
		}
	}
	shared = mmap(NULL, 64 * sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shim_panic_hook = failed;
#if !defined(__SANITIZE_ADDRESS__)
	signal(SIGSEGV, crashed);
	signal(SIGBUS, crashed);
#else
	(void)crashed;
#endif
	return world ? report(world) : run(seed, steps_wanted, jobs);
}
