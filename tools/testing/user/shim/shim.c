// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel in user space: messages, bits, CPUs, locks, memory, work.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include "control.h"

#if defined(__SANITIZE_ADDRESS__)
#define SHIM_ASAN	1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHIM_ASAN	1
#endif
#endif

#ifdef SHIM_ASAN
#include <sanitizer/asan_interface.h>
void shim_poison(const void *p, size_t n)
{
	__asan_poison_memory_region(p, n);
}

void shim_unpoison(const void *p, size_t n)
{
	__asan_unpoison_memory_region(p, n);
}
#else
void shim_poison(const void *p, size_t n) { }
void shim_unpoison(const void *p, size_t n) { }
#endif

#ifdef SHIM_TSAN
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void shim_race_begin(void)
{
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

void shim_race_end(void)
{
	AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
void shim_race_begin(void) { }
void shim_race_end(void) { }
#endif

#ifdef SHIM_BENCH
noinline void *shim_memcpy(void *to, const void *from, size_t n)
{
	void *p = to;

	__asm__ __volatile__("rep movsb" : "+D" (p), "+S" (from), "+c" (n) : : "memory");
	return to;
}

noinline void *shim_memset(void *to, int c, size_t n)
{
	void *p = to;

	__asm__ __volatile__("rep stosb" : "+D" (p), "+c" (n) : "a" (c) : "memory");
	return to;
}
#endif

/* ---- messages ---- */

struct shim_log shim_log;
bool shim_verbose;
void (*shim_panic_hook)(const char *why);

void shim_panic(const char *fmt, ...)
{
	char why[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	if (shim_panic_hook)
		shim_panic_hook(why);
	fprintf(stderr, "%s\n", why);
	abort();
}

/* printf() does not know "%pad": the value behind a pointer */
static void shim_format(char *buf, size_t size, const char *fmt, va_list args)
{
	char copy[512];
	char *p;

	snprintf(copy, sizeof(copy), "%s", fmt);
	while ((p = strstr(copy, "%pa"))) {
		char *rest = p + 3 + (p[3] == 'd' || p[3] == 'p');

		memmove(p + 2, rest, strlen(rest) + 1);
	}
	vsnprintf(buf, size, copy, args);
}

void shim_print(enum shim_level level, const char *who, const char *fmt, ...)
{
	char text[256];
	va_list args;

	/* The console may be a network card's, whose DMA may want that very lock */
	if (shim_cpu.locks)
		shim_panic("CPU %u prints with a spinlock held: %s", shim_cpu.id, fmt);
	if (level == SHIM_ERR)
		__atomic_fetch_add(&shim_log.errors, 1, __ATOMIC_RELAXED);
	if (level == SHIM_WARN)
		__atomic_fetch_add(&shim_log.warnings, 1, __ATOMIC_RELAXED);
	if (!shim_verbose && level != SHIM_ERR)
		return;
	va_start(args, fmt);
	shim_format(text, sizeof(text), fmt, args);
	va_end(args);
	if (shim_verbose)
		fprintf(stderr, "%s: %s", who, text);
	if (level == SHIM_ERR)
		snprintf(shim_log.last, sizeof(shim_log.last), "%s: %s", who, text);
}

void shim_warn_at(const char *file, int line, const char *cond)
{
	__atomic_fetch_add(&shim_log.warns, 1, __ATOMIC_RELAXED);
	snprintf(shim_log.last, sizeof(shim_log.last), "%s:%d: WARN_ON(%s)",
		 file, line, cond);
	if (shim_verbose)
		fprintf(stderr, "%s\n", shim_log.last);
}

void shim_bug(const char *file, int line, const char *what)
{
	shim_panic("%s:%d: BUG: %s", file, line, what);
}

/* ---- bits and strings ---- */

unsigned long shim_find_bit(const unsigned long *map, unsigned long size,
			    unsigned long from, bool want)
{
	while (from < size) {
		unsigned long word = map[BIT_WORD(from)] ^ (want ? 0 : ~0UL);

		word &= ~0UL << (from % BITS_PER_LONG);
		from = round_down(from, BITS_PER_LONG);
		if (word)
			return min(from + __ffs(word), size);
		from += BITS_PER_LONG;
	}
	return size;
}

unsigned long find_last_bit(const unsigned long *map, unsigned long size)
{
	unsigned long i;

	for (i = size; i > 0; i--)
		if (test_bit(i - 1, map))
			return i - 1;
	return size;
}

void bitmap_set(unsigned long *map, unsigned int start, unsigned int n)
{
	while (n--)
		__set_bit(start++, map);
}

void bitmap_clear(unsigned long *map, unsigned int start, unsigned int n)
{
	while (n--)
		__clear_bit(start++, map);
}

unsigned int bitmap_weight(const unsigned long *map, unsigned int n)
{
	unsigned int i, sum = 0;

	for (i = 0; i < n; i++)
		sum += test_bit(i, map);
	return sum;
}

unsigned long bitmap_find_next_zero_area_off(unsigned long *map, unsigned long size,
					     unsigned long start, unsigned int nr,
					     unsigned long align_mask,
					     unsigned long align_offset)
{
	unsigned long at, next;

	for (;;) {
		at = find_next_zero_bit(map, size, start);
		at = ((at + align_offset + align_mask) & ~align_mask) - align_offset;
		if (at + nr > size)
			return at + nr;
		next = find_next_bit(map, at + nr, at);
		if (next >= at + nr)
			return at;
		start = next + 1;
	}
}

ssize_t strscpy(char *to, const char *from, size_t size)
{
	size_t len = strnlen(from, size);

	if (!size)
		return -E2BIG;
	if (len == size) {
		memcpy(to, from, size - 1);
		to[size - 1] = 0;
		return -E2BIG;
	}
	memcpy(to, from, len + 1);
	return len;
}

int match_string(const char * const *array, size_t n, const char *string)
{
	size_t i;

	for (i = 0; i < n && array[i]; i++)
		if (!strcmp(array[i], string))
			return i;
	return -EINVAL;
}

bool sysfs_streq(const char *a, const char *b)
{
	size_t n = strcspn(a, "\n");

	return n == strcspn(b, "\n") && !strncmp(a, b, n);
}

int kstrtou64(const char *s, unsigned int base, u64 *res)
{
	char *end;

	errno = 0;
	*res = strtoull(s, &end, base);
	return errno || end == s || (*end && *end != '\n') ? -EINVAL : 0;
}

int kstrtouint(const char *s, unsigned int base, unsigned int *res)
{
	u64 val;
	int ret = kstrtou64(s, base, &val);

	if (ret || val > UINT_MAX)
		return ret ?: -ERANGE;
	*res = val;
	return 0;
}

int scnprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(buf, size, fmt, args);
	va_end(args);
	return min_t(int, n, size ? size - 1 : 0);
}

/* ---- CPUs ---- */

__thread struct shim_cpu shim_cpu;
unsigned int nr_cpu_ids = 1;
unsigned int shim_present_cpus = 1;
void (*shim_point_hook)(void);
void (*shim_store_hook)(void);
void (*shim_stored_hook)(void *at, u64 before, unsigned int size);
void (*shim_wait_hook)(void);
void (*shim_sleep_hook)(void);

/*
 * Every CPU's area looks alike; where a piece of it is allocated is noted in
 * units of a cache line, of the first CPU's.
 */
#define SHIM_PERCPU_UNIT	64UL
#define SHIM_PERCPU_UNITS	(SHIM_PERCPU_SIZE / SHIM_PERCPU_UNIT)

static unsigned char *shim_percpu;
static u32 shim_percpu_size[SHIM_PERCPU_UNITS];
static pthread_mutex_t shim_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Is it the turn of this allocation to fail? */
bool shim_fails(void)
{
	long left = READ_ONCE(shim_fail);

	if (left > 1 || (left && !shim_fail_rest))
		shim_fail = left - 1;
	return left == 1;
}

void *shim_alloc_percpu(size_t size, size_t align)
{
	unsigned long units = DIV_ROUND_UP(size, SHIM_PERCPU_UNIT), i, run = 0;
	unsigned int cpu;
	void *p = NULL;

	might_sleep();
	if (shim_fails())
		return NULL;
	pthread_mutex_lock(&shim_mutex);
	/* A unit between two keeps them apart, and is where overruns are seen */
	for (i = 0; i < SHIM_PERCPU_UNITS; ) {
		if (shim_percpu_size[i]) {
			i += shim_percpu_size[i] + 1;
			run = 0;
			continue;
		}
		i++;
		if (++run > units) {
			shim_percpu_size[i - run] = units;
			p = shim_percpu + (i - run) * SHIM_PERCPU_UNIT;
			break;
		}
	}
	if (!p)
		shim_panic("no room for %zu bytes per CPU: raise SHIM_PERCPU_SIZE", size);
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		shim_unpoison(per_cpu_ptr(p, cpu), size);
		memset(per_cpu_ptr(p, cpu), 0, size);
	}
	__atomic_fetch_add(&shim_allocated, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&shim_mutex);
	return p;
}

void free_percpu(void *p)
{
	unsigned long unit;
	unsigned int cpu;

	if (!p)
		return;
	pthread_mutex_lock(&shim_mutex);
	unit = ((unsigned char *)p - shim_percpu) / SHIM_PERCPU_UNIT;
	if (!shim_percpu_size[unit])
		shim_panic("free_percpu(%p): not allocated", p);
	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		shim_poison(per_cpu_ptr(p, cpu), shim_percpu_size[unit] * SHIM_PERCPU_UNIT);
	shim_percpu_size[unit] = 0;
	__atomic_fetch_sub(&shim_allocated, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&shim_mutex);
}

void shim_thread_init(unsigned int cpu)
{
	memset(&shim_cpu, 0, sizeof(shim_cpu));
	shim_set_cpu(cpu);
}

void shim_check_pinned(const char *file, int line)
{
	if (preemptible())
		shim_warn_at(file, line, "this_cpu_ptr() while preemptible");
}

void shim_might_sleep(const char *file, int line)
{
	if (!preemptible())
		shim_warn_at(file, line, "sleeps in atomic context");
}

/* ---- locks ---- */

struct shim_class shim_bit_class = { .name = "bit locks" };
static struct shim_class shim_static_class = { .name = "static locks" };
static struct shim_class *shim_classes = &shim_static_class;

void shim_lock_init(raw_spinlock_t *lock, struct shim_class *class)
{
	lock->held = 0;
#ifndef SHIM_BENCH
	lock->last = 0;
	lock->class = class;
	pthread_mutex_lock(&shim_mutex);
	if (!class->next && class != &shim_static_class) {
		class->next = shim_classes;
		shim_classes = class;
	}
	pthread_mutex_unlock(&shim_mutex);
#endif
}

void shim_lock_classes(void (*show)(struct shim_class *class))
{
	struct shim_class *class;

	for (class = shim_classes; class; class = class->next)
		show(class);
	show(&shim_bit_class);
}

struct shim_class *shim_lock_class(const char *name)
{
	struct shim_class *class;

	for (class = shim_classes; class; class = class->next)
		if (strstr(class->name, name))
			return class;
	return NULL;
}

void shim_lock_reset(void)
{
	struct shim_class *class;

	for (class = shim_classes; class; class = class->next)
		class->acquired = class->contended = class->moved = 0;
	shim_bit_class.contended = 0;
}

/* Somebody else has to go on first */
static void shim_wait(unsigned int tries)
{
	if (shim_wait_hook)
		shim_wait_hook();
	else if (tries % 128 == 127)
		sched_yield();
	else
		__builtin_ia32_pause();
}

/* In a loop that waits for what another CPU does */
void shim_relax(void)
{
	shim_wait(127);
}

static bool shim_get(raw_spinlock_t *lock)
{
	unsigned int none = 0;

	return __atomic_compare_exchange_n(&lock->held, &none, shim_cpu.id + 1,
					   false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static void shim_count(raw_spinlock_t *lock, bool waited)
{
#ifndef SHIM_BENCH
	struct shim_class *class = lock->class ?: &shim_static_class;

	__atomic_fetch_add(&class->acquired, 1, __ATOMIC_RELAXED);
	if (waited)
		__atomic_fetch_add(&class->contended, 1, __ATOMIC_RELAXED);
	if (lock->last && lock->last != shim_cpu.id + 1)
		__atomic_fetch_add(&class->moved, 1, __ATOMIC_RELAXED);
	lock->last = shim_cpu.id + 1;
#endif
}

/* Of each CPU: whether it is inside the host, which may take long */
static bool shim_exits[SHIM_MAX_CPUS];

void shim_exit_begin(void)
{
	__atomic_store_n(&shim_exits[shim_cpu.id], true, __ATOMIC_RELAXED);
	shim_point();
}

void shim_exit_end(void)
{
	shim_point();
	__atomic_store_n(&shim_exits[shim_cpu.id], false, __ATOMIC_RELAXED);
}

/* May this CPU wait for the one that has the lock? */
static void shim_check_wait(raw_spinlock_t *lock)
{
	unsigned int held = READ_ONCE(lock->held);

	if (held == shim_cpu.id + 1)
		shim_panic("CPU %u takes a lock that it holds", shim_cpu.id);
	if (held && irqs_disabled() && READ_ONCE(shim_exits[held - 1]) &&
	    READ_ONCE(lock->held) == held)
		shim_panic("CPU %u spins with IRQs off for CPU %u, which is in the host",
			   shim_cpu.id, held - 1);
}

noinline void shim_lock(raw_spinlock_t *lock)
{
	unsigned int tries = 0;

	preempt_disable();
	shim_point();
	if (unlikely(!shim_get(lock))) {
		do {
			shim_check_wait(lock);
			shim_wait(tries++);
		} while (!shim_get(lock));
	}
	shim_count(lock, tries);
	shim_locked();
}

bool shim_trylock(raw_spinlock_t *lock)
{
	preempt_disable();
	shim_point();
	if (shim_get(lock)) {
		shim_count(lock, false);
		shim_locked();
		return true;
	}
	preempt_enable();
	return false;
}

noinline void shim_unlock(raw_spinlock_t *lock)
{
#ifdef SHIM_CHECK
	if (READ_ONCE(lock->held) != shim_cpu.id + 1)
		shim_panic("CPU %u gives up a lock that it does not hold", shim_cpu.id);
#endif
	shim_unlocked();
	__atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
	preempt_enable();
	shim_point();
}

bool shim_lock_held(raw_spinlock_t *lock)
{
	return READ_ONCE(lock->held) == shim_cpu.id + 1;
}

void shim_bit_wait(unsigned long *word)
{
	__atomic_fetch_add(&shim_bit_class.contended, 1, __ATOMIC_RELAXED);
	shim_wait(127);
}

void mutex_lock(struct mutex *m)
{
	might_sleep();
	shim_lock(&m->lock);
	shim_unlocked();
	preempt_enable();
}

bool mutex_trylock(struct mutex *m)
{
	bool got = shim_trylock(&m->lock);

	if (got) {
		shim_unlocked();
		preempt_enable();
	}
	return got;
}

void mutex_unlock(struct mutex *m)
{
	preempt_disable();
	shim_locked();
	shim_unlock(&m->lock);
}

/* ---- RCU ---- */

/* How often each CPU went into a read section, and out of it: odd while in one */
static struct {
	unsigned long count;
	unsigned int nesting;
} ____cacheline_aligned shim_rcu[SHIM_MAX_CPUS];

/* IRQs may be on, but nobody changes the CPU under us */
void rcu_read_lock(void)
{
	preempt_disable();
	if (!shim_rcu[shim_cpu.id].nesting++)
		__atomic_fetch_add(&shim_rcu[shim_cpu.id].count, 1, __ATOMIC_SEQ_CST);
}

void rcu_read_unlock(void)
{
	if (!--shim_rcu[shim_cpu.id].nesting)
		__atomic_fetch_add(&shim_rcu[shim_cpu.id].count, 1, __ATOMIC_SEQ_CST);
	preempt_enable();
	shim_point();
}

void synchronize_rcu(void)
{
	unsigned int cpu;

	might_sleep();
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		unsigned long *count = &shim_rcu[cpu].count;
		unsigned long seen = __atomic_load_n(count, __ATOMIC_SEQ_CST);

		while (seen % 2 && __atomic_load_n(count, __ATOMIC_SEQ_CST) == seen)
			shim_wait(127);
	}
}

static struct rcu_head *shim_rcu_queue;
static pthread_mutex_t shim_rcu_mutex = PTHREAD_MUTEX_INITIALIZER;

static void shim_rcu_end(struct rcu_head *head)
{
	while (head) {
		struct rcu_head *next = head->next;

		head->func(head);
		head = next;
	}
}

/* What was queued before is over if no CPU is in a read section now */
void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	struct rcu_head *over = NULL;
	unsigned int cpu;

	head->func = func;
	pthread_mutex_lock(&shim_rcu_mutex);
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		if (__atomic_load_n(&shim_rcu[cpu].count, __ATOMIC_SEQ_CST) % 2)
			break;
	}
	if (cpu == nr_cpu_ids)
		swap(over, shim_rcu_queue);
	head->next = shim_rcu_queue;
	shim_rcu_queue = head;
	pthread_mutex_unlock(&shim_rcu_mutex);
	shim_rcu_end(over);
}

void rcu_barrier(void)
{
	struct rcu_head *over = NULL;

	pthread_mutex_lock(&shim_rcu_mutex);
	swap(over, shim_rcu_queue);
	pthread_mutex_unlock(&shim_rcu_mutex);
	synchronize_rcu();
	shim_rcu_end(over);
}

/* ---- time and work ---- */

unsigned long shim_jiffies = 1000;
static struct workqueue_struct shim_wq = { "events" };
struct workqueue_struct *system_wq = &shim_wq, *system_percpu_wq = &shim_wq,
	*system_long_wq = &shim_wq, *system_dfl_wq = &shim_wq,
	*system_unbound_wq = &shim_wq, *system_highpri_wq = &shim_wq,
	*system_freezable_wq = &shim_wq, *system_power_efficient_wq = &shim_wq;
static struct work_struct *shim_work;
static pthread_mutex_t shim_work_mutex = PTHREAD_MUTEX_INITIALIZER;

u64 ktime_get_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

void udelay(unsigned long us)
{
}

void msleep(unsigned int ms)
{
	might_sleep();
	__atomic_fetch_add(&shim_jiffies, msecs_to_jiffies(ms), __ATOMIC_RELAXED);
	/* Who waits for another CPU so lets it go on */
	if (shim_sleep_hook)
		shim_sleep_hook();
}

static void shim_work_unlink(struct work_struct *w)
{
	struct work_struct **p;

	for (p = &shim_work; *p; p = &(*p)->next) {
		if (*p == w) {
			*p = w->next;
			break;
		}
	}
	__atomic_store_n(&w->pending, false, __ATOMIC_RELAXED);
}

bool shim_queue(struct work_struct *w, unsigned long delay, bool again)
{
	bool queued;

	pthread_mutex_lock(&shim_work_mutex);
	queued = !w->pending || again;
	if (queued) {
		if (w->pending)
			shim_work_unlink(w);
		__atomic_store_n(&w->pending, true, __ATOMIC_RELAXED);
		w->due = jiffies + delay;
		w->next = shim_work;
		shim_work = w;
	}
	pthread_mutex_unlock(&shim_work_mutex);
	return queued;
}

bool shim_cancel(struct work_struct *w)
{
	bool was;

	pthread_mutex_lock(&shim_work_mutex);
	was = w->pending;
	if (was)
		shim_work_unlink(w);
	pthread_mutex_unlock(&shim_work_mutex);
	while (READ_ONCE(w->running))
		shim_wait(127);
	return was;
}

static void shim_work_do(struct work_struct *w)
{
	w->func(w);
	__atomic_store_n(&w->running, false, __ATOMIC_RELEASE);
}

bool shim_flush(struct work_struct *w)
{
	bool was;

	pthread_mutex_lock(&shim_work_mutex);
	was = w->pending;
	if (was) {
		shim_work_unlink(w);
		__atomic_store_n(&w->running, true, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&shim_work_mutex);
	if (was)
		shim_work_do(w);
	return was;
}

/* The earliest that is due, and not later than @end; then it is that time */
static struct work_struct *shim_work_next(unsigned long end)
{
	struct work_struct *w, *first = NULL;

	pthread_mutex_lock(&shim_work_mutex);
	for (w = shim_work; w; w = w->next)
		if (!time_after(w->due, end) && (!first || time_before(w->due, first->due)))
			first = w;
	if (first) {
		shim_work_unlink(first);
		__atomic_store_n(&first->running, true, __ATOMIC_RELAXED);
		if (time_after(first->due, jiffies))
			__atomic_store_n(&shim_jiffies, first->due, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&shim_work_mutex);
	return first;
}

/* Time goes on, and what falls due in it is done; returns how many that were */
unsigned int shim_run_work(unsigned long ticks)
{
	unsigned long end = jiffies + ticks;
	unsigned int n = 0, limit = 1000;
	struct work_struct *w;

	while (limit-- && (w = shim_work_next(end))) {
		shim_work_do(w);
		n++;
	}
	WRITE_ONCE(shim_jiffies, end);
	return n;
}

bool shim_work_due(void)
{
	return READ_ONCE(shim_work) != NULL;
}

static void shim_irq_work(struct work_struct *work)
{
	struct irq_work *w = container_of(work, struct irq_work, work);

	w->func(w);
}

void init_irq_work(struct irq_work *w, void (*func)(struct irq_work *work))
{
	INIT_WORK(&w->work, shim_irq_work);
	w->func = func;
}

/* ---- memory ---- */

unsigned char *shim_memory;
unsigned long shim_ram_size;
struct page *shim_pages;
long shim_allocated;
long shim_pages_used;
long shim_fail;
bool shim_fail_rest;
static unsigned long shim_next_pfn;

/* Not from frame 0: a physical address of 0 shall be a mistake */
#define SHIM_FIRST_PFN		256UL

static void *shim_reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		shim_panic("no %zu bytes of address space", size);
	return p;
}

/**
 * shim_init - begin anew, with so many CPUs and so much RAM
 * @cpus: possible and present ones
 * @ram: bytes
 */
void shim_init(unsigned int cpus, unsigned long ram)
{
	unsigned long pfn;

	if (!shim_memory) {
		shim_memory = shim_reserve(SHIM_MEMORY_SIZE);
		shim_pages = shim_reserve((SHIM_MEMORY_SIZE >> PAGE_SHIFT) *
					  sizeof(*shim_pages));
		shim_percpu = shim_reserve(SHIM_PERCPU_SIZE * SHIM_MAX_CPUS);
	}
	if (!shim_ram_size) {
		shim_poison(shim_memory, ram);
		shim_poison(shim_percpu, SHIM_PERCPU_SIZE * cpus);
	}
	shim_ram_size = ram;
	for (pfn = 0; pfn < ram >> PAGE_SHIFT; pfn++)
		shim_pages[pfn].flags = SHIM_PG_RAM;
	nr_cpu_ids = cpus;
	shim_present_cpus = cpus;
	shim_next_pfn = SHIM_FIRST_PFN;
	shim_thread_init(0);
	memset(&shim_log, 0, sizeof(shim_log));
}

/* Everything is given back, or it is a leak */
void shim_exit(void)
{
	if (shim_allocated || shim_pages_used || shim_work)
		shim_panic("leaked: %ld allocations, %ld pages%s", shim_allocated,
			   shim_pages_used, shim_work ? ", and work is queued" : "");
}

/* Not even atomically: the allocator's own locks sleep where the kernel is PREEMPT_RT */
static void shim_check_memory(void)
{
	if (shim_cpu.locks)
		shim_panic("CPU %u allocates or frees memory with a raw spinlock held",
			   shim_cpu.id);
}

void *shim_kmalloc(size_t size, gfp_t gfp, const char *file, int line)
{
	void *p;

#ifdef SHIM_CHECK
	if (gfp & GFP_KERNEL)
		shim_might_sleep(file, line);
#endif
	shim_check_memory();
	if (size > 1UL << 40)
		return NULL;
	if (shim_fails())
		return NULL;
	/* Larger ones are aligned to a line, as the kernel's are */
	if (gfp & __GFP_ZERO) {
		p = size >= 64 ? aligned_alloc(64, ALIGN(size, 64)) : malloc(size ?: 1);
		if (p)
			memset(p, 0, size);
	} else {
		p = malloc(size ?: 1);
		if (p)
			memset(p, 0x5a, size);
	}
	if (!p)
		shim_panic("out of memory: %zu bytes", size);
	__atomic_fetch_add(&shim_allocated, 1, __ATOMIC_RELAXED);
	return p;
}

void kfree(const void *p)
{
	if (!p)
		return;
	shim_check_memory();
	__atomic_fetch_sub(&shim_allocated, 1, __ATOMIC_RELAXED);
	free((void *)p);
}

char *kasprintf(gfp_t gfp, const char *fmt, ...)
{
	char buf[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(buf, sizeof(buf), fmt, args);
	va_end(args);
	return kstrdup(buf, gfp);
}

void *kmemdup(const void *p, size_t size, gfp_t gfp)
{
	void *copy = kmalloc(size, gfp);

	return copy ? memcpy(copy, p, size) : NULL;
}

char *kstrdup(const char *s, gfp_t gfp)
{
	return kmemdup(s, strlen(s) + 1, gfp);
}

static unsigned long shim_find_pages(unsigned long npages, unsigned long align)
{
	unsigned long pfn = ALIGN(shim_next_pfn, align), end = shim_ram_size >> PAGE_SHIFT;
	unsigned long i, wraps = 0;

	for (;;) {
		if (pfn + npages > end) {
			if (wraps++)
				return 0;
			pfn = ALIGN(SHIM_FIRST_PFN, align);
			continue;
		}
		for (i = 0; i < npages && !(shim_pages[pfn + i].flags & SHIM_PG_USED); i++)
			;
		if (i == npages)
			return pfn;
		pfn = ALIGN(pfn + i + 1, align);
	}
}

struct page *shim_alloc_pages(gfp_t gfp, unsigned long npages)
{
	unsigned long pfn, i, align = is_power_of_2(npages) ? npages : 1;

	if (gfp & GFP_KERNEL)
		might_sleep();
	if (shim_fails())
		return NULL;
	pthread_mutex_lock(&shim_mutex);
	pfn = shim_find_pages(npages, align);
	if (!pfn) {
		pthread_mutex_unlock(&shim_mutex);
		return NULL;
	}
	for (i = 0; i < npages; i++)
		shim_pages[pfn + i].flags |= SHIM_PG_USED;
	shim_next_pfn = pfn + npages;
	shim_pages_used += npages;
	pthread_mutex_unlock(&shim_mutex);
	shim_unpoison(phys_to_virt(PFN_PHYS(pfn)), npages << PAGE_SHIFT);
	if (gfp & __GFP_ZERO)
		memset(phys_to_virt(PFN_PHYS(pfn)), 0, npages << PAGE_SHIFT);
	return pfn_to_page(pfn);
}

void shim_free_pages(struct page *page, unsigned long npages)
{
	unsigned long i;

	if (!page)
		return;
	shim_poison(page_address(page), npages << PAGE_SHIFT);
	pthread_mutex_lock(&shim_mutex);
	for (i = 0; i < npages; i++) {
		if (!(page[i].flags & SHIM_PG_USED))
			shim_panic("page %#lx is freed twice", page_to_pfn(page + i));
		page[i].flags &= ~SHIM_PG_USED;
	}
	shim_pages_used -= npages;
	pthread_mutex_unlock(&shim_mutex);
}

unsigned long __get_free_pages(gfp_t gfp, unsigned int order)
{
	struct page *page = alloc_pages(gfp, order);

	return page ? (unsigned long)page_address(page) : 0;
}

void free_pages(unsigned long addr, unsigned int order)
{
	if (addr)
		shim_free_pages(virt_to_page((void *)addr), 1UL << order);
}

int region_intersects(u64 start, size_t size, unsigned long flags, unsigned long desc)
{
	return start < shim_ram_size ? REGION_INTERSECTS : REGION_DISJOINT;
}

struct resource *request_mem_region(u64 start, u64 n, const char *name)
{
	static struct resource resource;

	resource = (struct resource){ start, start + n - 1, name, IORESOURCE_MEM };
	return &resource;
}

void release_mem_region(u64 start, u64 n)
{
}

void *memremap_pages(struct dev_pagemap *pgmap, int nid)
{
	unsigned long pfn;

	might_sleep();
	if (pgmap->range.end >= SHIM_MEMORY_SIZE)
		return ERR_PTR(-EINVAL);
	for (pfn = PHYS_PFN(pgmap->range.start); pfn <= PHYS_PFN(pgmap->range.end); pfn++) {
		shim_pages[pfn].flags = SHIM_PG_DEVICE;
		shim_pages[pfn].pgmap = pgmap;
	}
	return phys_to_virt(pgmap->range.start);
}

void memunmap_pages(struct dev_pagemap *pgmap)
{
	unsigned long pfn;

	for (pfn = PHYS_PFN(pgmap->range.start); pfn <= PHYS_PFN(pgmap->range.end); pfn++)
		shim_pages[pfn].flags = 0;
}

/* ---- xarray ---- */

void *xa_load(struct xarray *xa, unsigned long index)
{
	struct xa_part *part = smp_load_acquire(&xa->part);

	return part && index < part->size ? READ_ONCE(part->slot[index]) : NULL;
}

void *__xa_cmpxchg(struct xarray *xa, unsigned long index, void *old, void *entry,
		   gfp_t gfp)
{
	struct xa_part *part = xa->part, *more;
	void *was;

	if (!part || index >= part->size) {
		more = kzalloc(sizeof(*more) + 2 * (index + 1) * sizeof(void *), gfp);
		if (!more)
			return (void *)-2L;
		more->size = 2 * (index + 1);
		more->before = part;
		if (part)
			memcpy(more->slot, part->slot, part->size * sizeof(void *));
		smp_store_release(&xa->part, more);
		part = more;
	}
	was = part->slot[index];
	if (was == old)
		WRITE_ONCE(part->slot[index], entry);
	return was;
}

void *xa_next(struct xarray *xa, unsigned long *index)
{
	struct xa_part *part = xa->part;

	for (; part && *index < part->size; ++*index) {
		if (part->slot[*index])
			return part->slot[*index];
	}
	return NULL;
}

void xa_destroy(struct xarray *xa)
{
	struct xa_part *before;

	for (; xa->part; xa->part = before) {
		before = xa->part->before;
		kfree(xa->part);
	}
}
