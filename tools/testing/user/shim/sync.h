/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's headers in user space: CPUs that are threads or pretended,
 * locks that count, lists, deferred work.
 *
 * Two ways to have several CPUs: threads, each of which says once which CPU it
 * is; or one thread that says so before each step, or whenever it comes to a
 * point (shim_point) where another CPU or an interrupt may come in between.
 */
#ifndef _SHIM_SYNC_H
#define _SHIM_SYNC_H

#include "base.h"

/* ---- CPUs and their memory ---- */

#define SHIM_MAX_CPUS		256
#define SHIM_PERCPU_SIZE	(256UL << 10)
#define NR_CPUS			SHIM_MAX_CPUS

/**
 * struct shim_cpu - what a thread is at the moment
 * @offset: of its CPU's area
 * @id: its CPU
 * @irqs_off: how deep IRQs are disabled
 * @preempt_off: how deep preemption is, locks included
 * @locks: how many spinlocks it holds
 */
struct shim_cpu {
	unsigned long offset;
	unsigned int id;
	unsigned int irqs_off;
	unsigned int preempt_off;
	unsigned int locks;
};

extern __thread struct shim_cpu shim_cpu;
extern unsigned int nr_cpu_ids;
extern unsigned int shim_present_cpus;

static inline void shim_set_cpu(unsigned int cpu)
{
	shim_cpu.id = cpu;
	shim_cpu.offset = cpu * SHIM_PERCPU_SIZE;
}

#define num_possible_cpus()	nr_cpu_ids
#define num_present_cpus()	shim_present_cpus
#define num_online_cpus()	shim_present_cpus
#define for_each_possible_cpu(c)	for ((c) = 0; (c) < nr_cpu_ids; (c)++)
#define for_each_present_cpu(c)	for ((c) = 0; (c) < shim_present_cpus; (c)++)
#define for_each_online_cpu(c)	for_each_present_cpu(c)
#define cpumask_next_wrap_all(c)	(((c) + 1) % nr_cpu_ids)
#define smp_processor_id()	(shim_cpu.id)
#define raw_smp_processor_id()	(shim_cpu.id)
#define get_cpu()		({ preempt_disable(); shim_cpu.id; })
#define put_cpu()		preempt_enable()
#define cpu_to_node(cpu)	0
#define numa_node_id()		0

void *shim_alloc_percpu(size_t size, size_t align);
void free_percpu(void *p);
#define alloc_percpu(t)		((t *)shim_alloc_percpu(sizeof(t), __alignof__(t)))
#define alloc_percpu_gfp(t, g)	alloc_percpu(t)
#define __alloc_percpu(s, a)	shim_alloc_percpu(s, a)
#define per_cpu_ptr(p, cpu)						\
	((typeof(p))((char *)(p) + (cpu) * SHIM_PERCPU_SIZE))
#define raw_cpu_ptr(p)		((typeof(p))((char *)(p) + shim_cpu.offset))

#ifdef SHIM_CHECK
void shim_check_pinned(const char *file, int line);
#define this_cpu_ptr(p)							\
	(shim_check_pinned(__FILE__, __LINE__), raw_cpu_ptr(p))
#else
#define this_cpu_ptr(p)		raw_cpu_ptr(p)
#endif

/* One instruction in the kernel, so that no other reads half of it */
#define this_cpu_add(x, n)						\
do {									\
	typeof(&(x)) __pc = raw_cpu_ptr(&(x));				\
	__atomic_store_n(__pc, *__pc + (n), __ATOMIC_RELAXED);		\
} while (0)
#define this_cpu_inc(x)		this_cpu_add(x, 1)
#define this_cpu_dec(x)		this_cpu_add(x, -1)
#define this_cpu_sub(x, n)	this_cpu_add(x, -(n))
#define this_cpu_read(x)	READ_ONCE(*raw_cpu_ptr(&(x)))
#define this_cpu_write(x, v)	WRITE_ONCE(*raw_cpu_ptr(&(x)), v)
#define __this_cpu_inc(x)	this_cpu_inc(x)
#define __this_cpu_add(x, n)	this_cpu_add(x, n)
#define raw_cpu_inc(x)		this_cpu_inc(x)
#define raw_cpu_add(x, n)	this_cpu_add(x, n)

/* ---- points where something may come in between ---- */

#ifdef SHIM_CHECK
extern void (*shim_point_hook)(void);
static inline void shim_point(void)
{
	if (shim_point_hook)
		shim_point_hook();
}
#else
static inline void shim_point(void) { }
#endif

/* ---- interrupts and preemption ---- */

/*
 * Where time is measured, what the kernel pays for asking is paid here, too:
 * PUSHF and POP. CLI and STI are not for us.
 */
static __always_inline unsigned long shim_irq_save(void)
{
	unsigned long flags = shim_cpu.irqs_off;

#ifdef SHIM_BENCH
	unsigned long real;

	__asm__ __volatile__("pushfq; popq %0" : "=r" (real) : : "memory");
#else
	if (!flags)
		shim_point();
#endif
	shim_cpu.irqs_off = flags + 1;
	barrier();
	return flags;
}

static __always_inline void shim_irq_restore(unsigned long flags)
{
	barrier();
	shim_cpu.irqs_off = flags;
	if (!flags)
		shim_point();
}

#define local_irq_save(flags)	do { (flags) = shim_irq_save(); } while (0)
#define local_irq_restore(flags)	shim_irq_restore(flags)
#define local_irq_disable()	((void)shim_irq_save())
#define local_irq_enable()	shim_irq_restore(0)
#define irqs_disabled()		(shim_cpu.irqs_off != 0)
#define preempt_disable()	do { shim_cpu.preempt_off++; barrier(); } while (0)
#define preempt_enable()	do { barrier(); shim_cpu.preempt_off--; } while (0)
#define migrate_disable()	preempt_disable()
#define migrate_enable()	preempt_enable()
#define in_task()		(!irqs_disabled())
#define in_interrupt()		irqs_disabled()
#define in_atomic()		(shim_cpu.preempt_off != 0)
#define preemptible()		(!irqs_disabled() && !in_atomic())
#define cond_resched()		might_sleep()
void shim_relax(void);
#define cpu_relax()		shim_relax()
#define lockdep_assert_irqs_disabled()	((void)WARN_ON(!irqs_disabled()))

#ifdef SHIM_CHECK
void shim_might_sleep(const char *file, int line);
#define might_sleep()		shim_might_sleep(__FILE__, __LINE__)
#else
#define might_sleep()		do { } while (0)
#endif
#define might_sleep_if(c)	do { if (c) might_sleep(); } while (0)

/* ---- locks ---- */

/**
 * struct shim_class - all locks that were initialised at one place
 * @name: the lock's name there
 * @acquired: how often one of them was taken
 * @contended: how often that had to wait
 * @moved: how often the CPU that took it was another than the one before: the
 *	cache line with it has then come from there
 */
struct shim_class {
	const char *name;
	u64 acquired;
	u64 contended;
	u64 moved;
	struct shim_class *next;
};

/**
 * struct raw_spinlock - a lock that counts
 * @held: one more than the number of the CPU that holds it, or 0
 * @last: one more than the number of the CPU that held it last
 * @class: where it counts
 */
typedef struct raw_spinlock {
	unsigned int held;
#ifndef SHIM_BENCH
	unsigned int last;
	struct shim_class *class;
#endif
} raw_spinlock_t;
typedef raw_spinlock_t spinlock_t;

#ifdef SHIM_CHECK
#define shim_locked()		(shim_ordered(), (void)shim_cpu.locks++)
#define shim_unlocked()		(shim_ordered(), (void)shim_cpu.locks--)
#else
#define shim_locked()		do { } while (0)
#define shim_unlocked()		do { } while (0)
#endif

void shim_lock_init(raw_spinlock_t *lock, struct shim_class *class);
void shim_lock(raw_spinlock_t *lock);
bool shim_trylock(raw_spinlock_t *lock);
void shim_unlock(raw_spinlock_t *lock);
bool shim_lock_held(raw_spinlock_t *lock);
struct shim_class *shim_lock_class(const char *name);
void shim_lock_reset(void);

#define raw_spin_lock_init(l)						\
do {									\
	static struct shim_class __class = { .name = #l };		\
	shim_lock_init(l, &__class);					\
} while (0)
#define raw_spin_lock(l)	shim_lock(l)
#define raw_spin_trylock(l)	shim_trylock(l)
#define raw_spin_unlock(l)	shim_unlock(l)
#define raw_spin_is_locked(l)	(READ_ONCE((l)->held) != 0)
#define raw_spin_lock_irqsave(l, f)	do { local_irq_save(f); shim_lock(l); } while (0)
#define raw_spin_unlock_irqrestore(l, f)				\
	do { shim_unlock(l); local_irq_restore(f); } while (0)
#define raw_spin_trylock_irqsave(l, f)					\
({									\
	bool __got;							\
	local_irq_save(f);						\
	__got = shim_trylock(l);					\
	if (!__got)							\
		local_irq_restore(f);					\
	__got;								\
})
#define raw_spin_lock_irq(l)	do { local_irq_disable(); shim_lock(l); } while (0)
#define raw_spin_unlock_irq(l)	do { shim_unlock(l); local_irq_enable(); } while (0)
#define spin_lock_init		raw_spin_lock_init
#define spin_lock		raw_spin_lock
#define spin_trylock		raw_spin_trylock
#define spin_unlock		raw_spin_unlock
#define spin_lock_irqsave	raw_spin_lock_irqsave
#define spin_unlock_irqrestore	raw_spin_unlock_irqrestore
#define spin_lock_irq		raw_spin_lock_irq
#define spin_unlock_irq		raw_spin_unlock_irq
#define spin_lock_bh		raw_spin_lock
#define spin_unlock_bh		raw_spin_unlock
#define DEFINE_RAW_SPINLOCK(n)	raw_spinlock_t n
#define DEFINE_SPINLOCK(n)	spinlock_t n
/* A mutex begins with its lock */
#define lockdep_assert_held(l)	((void)WARN_ON(!shim_lock_held((raw_spinlock_t *)(l))))

/* A mutex is a lock under which one may sleep */
struct mutex {
	raw_spinlock_t lock;
};

#define mutex_init(m)		raw_spin_lock_init(&(m)->lock)
void mutex_lock(struct mutex *m);
bool mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);
#define mutex_destroy(m)	do { } while (0)
#define DEFINE_MUTEX(n)		struct mutex n
#define mutex_is_locked(m)	raw_spin_is_locked(&(m)->lock)

#define lockdep_assert_held_once	lockdep_assert_held
#define lockdep_set_class(l, k)	do { } while (0)
struct lock_class_key { };
#define lock_map_acquire(m)	do { } while (0)
#define lock_map_release(m)	do { } while (0)
#define lockdep_init_map_wait(m, n, k, s, w)	((void)(k))

/* Bit locks have no name; they count together */
extern struct shim_class shim_bit_class;
void shim_bit_wait(unsigned long *word);

static __always_inline void bit_spin_lock(int bit, unsigned long *word)
{
	preempt_disable();
	shim_point();
	while (unlikely(__atomic_fetch_or(word, BIT(bit), __ATOMIC_ACQUIRE) & BIT(bit)))
		shim_bit_wait(word);
	shim_locked();
}

static __always_inline bool bit_spin_trylock(int bit, unsigned long *word)
{
	preempt_disable();
	if (!(__atomic_fetch_or(word, BIT(bit), __ATOMIC_ACQUIRE) & BIT(bit))) {
		shim_locked();
		return true;
	}
	preempt_enable();
	return false;
}

/* Not atomic, as in the kernel: nobody else writes the word */
static __always_inline void __bit_spin_unlock(int bit, unsigned long *word)
{
	shim_unlocked();
	__atomic_store_n(word, READ_ONCE(*word) & ~BIT(bit), __ATOMIC_RELEASE);
	preempt_enable();
	shim_point();
}

static __always_inline void bit_spin_unlock(int bit, unsigned long *word)
{
	shim_unlocked();
	__atomic_fetch_and(word, ~BIT(bit), __ATOMIC_RELEASE);
	preempt_enable();
	shim_point();
}

#define bit_spin_is_locked(bit, word)	((READ_ONCE(*(word)) & BIT(bit)) != 0)

/* ---- atomics ---- */

typedef struct { int counter; } atomic_t;
typedef struct { s64 counter; } atomic64_t;
typedef struct { long counter; } atomic_long_t;
#define ATOMIC_INIT(i)		{ (i) }
#define ATOMIC64_INIT(i)	{ (i) }
#define ATOMIC_LONG_INIT(i)	{ (i) }
#define __shim_add(v, n, o)	__atomic_add_fetch(&(v)->counter, n, o)
#define atomic_set(v, i)	WRITE_ONCE((v)->counter, i)
#define atomic_read(v)		READ_ONCE((v)->counter)
#define atomic_add(n, v)	((void)__shim_add(v, n, __ATOMIC_RELAXED))
#define atomic_sub(n, v)	((void)__shim_add(v, -(n), __ATOMIC_RELAXED))
#define atomic_inc(v)		atomic_add(1, v)
#define atomic_dec(v)		atomic_sub(1, v)
#define atomic_add_return(n, v)	__shim_add(v, n, __ATOMIC_SEQ_CST)
#define atomic_sub_return(n, v)	__shim_add(v, -(n), __ATOMIC_SEQ_CST)
#define atomic_inc_return(v)	atomic_add_return(1, v)
#define atomic_dec_return(v)	atomic_sub_return(1, v)
#define atomic_dec_and_test(v)	(atomic_sub_return(1, v) == 0)
#define atomic_sub_and_test(n, v)	(atomic_sub_return(n, v) == 0)
#define atomic_add_unless(v, n, u)	shim_add_unless(&(v)->counter, n, u)
#define atomic_inc_not_zero(v)	atomic_add_unless(v, 1, 0)
#define atomic_set_release(v, i)	smp_store_release(&(v)->counter, i)
#define atomic_xchg(v, n)	__atomic_exchange_n(&(v)->counter, n, __ATOMIC_SEQ_CST)
#define atomic_cmpxchg(v, o, n)	cmpxchg(&(v)->counter, o, n)
#define atomic_try_cmpxchg(v, o, n)	try_cmpxchg(&(v)->counter, o, n)
#define atomic64_set		atomic_set
#define atomic64_read		atomic_read
#define atomic64_add		atomic_add
#define atomic64_sub		atomic_sub
#define atomic64_inc		atomic_inc
#define atomic64_dec		atomic_dec
#define atomic64_add_return	atomic_add_return
#define atomic64_sub_return	atomic_sub_return
#define atomic64_inc_return	atomic_inc_return
#define atomic64_cmpxchg	atomic_cmpxchg
#define atomic64_try_cmpxchg	atomic_try_cmpxchg
#define atomic_long_set		atomic_set
#define atomic_long_read	atomic_read
#define atomic_long_add		atomic_add
#define atomic_long_sub		atomic_sub
#define atomic_long_inc		atomic_inc
#define atomic_long_dec		atomic_dec
#define atomic_long_add_return	atomic_add_return
#define atomic_long_sub_return	atomic_sub_return
#define atomic_long_inc_return	atomic_inc_return
#define atomic_long_try_cmpxchg	atomic_try_cmpxchg
#define atomic_long_cmpxchg	atomic_cmpxchg

#define cmpxchg(p, old, new)						\
({									\
	typeof(*(p)) __old = (old);					\
	shim_point();							\
	shim_ordered();							\
	__atomic_compare_exchange_n(p, &__old, new, false,		\
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	__old;								\
})
#define try_cmpxchg(p, oldp, new)					\
({									\
	shim_point();							\
	shim_ordered();							\
	__atomic_compare_exchange_n(p, oldp, new, false,		\
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
})
#define cmpxchg_relaxed		cmpxchg
#define xchg(p, new)							\
({									\
	shim_point();							\
	shim_ordered();							\
	__atomic_exchange_n(p, new, __ATOMIC_SEQ_CST);			\
})

static inline bool shim_add_unless(int *counter, int n, int unless)
{
	int old = READ_ONCE(*counter);

	while (old != unless)
		if (__atomic_compare_exchange_n(counter, &old, old + n, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return true;
	return false;
}

typedef struct { atomic_t refs; } refcount_t;
#define REFCOUNT_INIT(n)	{ ATOMIC_INIT(n) }
#define refcount_set(r, n)	atomic_set(&(r)->refs, n)
#define refcount_read(r)	atomic_read(&(r)->refs)
#define refcount_inc(r)		atomic_inc(&(r)->refs)
#define refcount_inc_not_zero(r)	atomic_inc_not_zero(&(r)->refs)
#define refcount_dec_and_test(r)	atomic_dec_and_test(&(r)->refs)

/* ---- RCU: who changes things waits until each CPU has left its read section ---- */

void rcu_read_lock(void);
void rcu_read_unlock(void);
void synchronize_rcu(void);
#define rcu_dereference(p)	smp_load_acquire(&(p))
#define rcu_access_pointer(p)	READ_ONCE(p)
#define rcu_assign_pointer(p, v)	smp_store_release(&(p), v)
#define synchronize_rcu_tasks()	might_sleep()
#define rcu_dereference_protected(p, c)	(p)
#define rcu_read_lock_held()	in_atomic()
struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};
void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head));
void rcu_barrier(void);

/* ---- lists ---- */

struct list_head {
	struct list_head *next, *prev;
};

struct hlist_node {
	struct hlist_node *next, **pprev;
};

struct hlist_head {
	struct hlist_node *first;
};

#define LIST_HEAD_INIT(n)	{ &(n), &(n) }
#define LIST_HEAD(n)		struct list_head n = LIST_HEAD_INIT(n)

static inline void INIT_LIST_HEAD(struct list_head *l)
{
	l->next = l;
	l->prev = l;
}

static inline void __list_insert(struct list_head *e, struct list_head *prev,
				 struct list_head *next)
{
	e->prev = prev;
	e->next = next;
	prev->next = e;
	next->prev = e;
}

static inline void list_add(struct list_head *e, struct list_head *l)
{
	__list_insert(e, l, l->next);
}

static inline void list_add_tail(struct list_head *e, struct list_head *l)
{
	__list_insert(e, l->prev, l);
}

/* What has left a list points nowhere: its use is seen */
static inline void list_del(struct list_head *e)
{
	e->next->prev = e->prev;
	e->prev->next = e->next;
	e->next = NULL;
	e->prev = NULL;
}

static inline void list_del_init(struct list_head *e)
{
	list_del(e);
	INIT_LIST_HEAD(e);
}

static inline void list_move(struct list_head *e, struct list_head *l)
{
	list_del(e);
	list_add(e, l);
}

static inline void list_move_tail(struct list_head *e, struct list_head *l)
{
	list_del(e);
	list_add_tail(e, l);
}

static inline bool list_empty(const struct list_head *l)
{
	return READ_ONCE(l->next) == l;
}

static inline bool list_is_singular(const struct list_head *l)
{
	return !list_empty(l) && l->next == l->prev;
}

static inline void list_splice_init(struct list_head *from, struct list_head *to)
{
	if (list_empty(from))
		return;
	from->next->prev = to;
	from->prev->next = to->next;
	to->next->prev = from->prev;
	to->next = from->next;
	INIT_LIST_HEAD(from);
}

#define list_entry(p, t, m)	container_of(p, t, m)
#define list_first_entry(l, t, m)	list_entry((l)->next, t, m)
#define list_last_entry(l, t, m)	list_entry((l)->prev, t, m)
#define list_first_entry_or_null(l, t, m)				\
	(list_empty(l) ? NULL : list_first_entry(l, t, m))
#define list_next_entry(p, m)	list_entry((p)->m.next, typeof(*(p)), m)
#define list_is_last(e, l)	((e)->next == (l))
#define list_entry_is_head(p, l, m)	(&(p)->m == (l))
#define list_for_each(p, l)	for (p = (l)->next; p != (l); p = p->next)
#define list_for_each_entry(p, l, m)					\
	for (p = list_first_entry(l, typeof(*p), m); &p->m != (l);	\
	     p = list_next_entry(p, m))
#define list_for_each_entry_reverse(p, l, m)				\
	for (p = list_last_entry(l, typeof(*p), m); &p->m != (l);	\
	     p = list_entry(p->m.prev, typeof(*p), m))
#define list_for_each_entry_safe(p, n, l, m)				\
	for (p = list_first_entry(l, typeof(*p), m), n = list_next_entry(p, m); \
	     &p->m != (l); p = n, n = list_next_entry(n, m))
/* Who reads may stand on an entry while it is taken out: it still leads on */
#define list_for_each_entry_rcu(p, l, m, ...)				\
	for (p = list_entry(smp_load_acquire(&(l)->next), typeof(*p), m); &p->m != (l); \
	     p = list_entry(smp_load_acquire(&p->m.next), typeof(*p), m))
static inline void list_add_tail_rcu(struct list_head *e, struct list_head *l)
{
	struct list_head *prev = l->prev;

	e->prev = prev;
	WRITE_ONCE(e->next, l);
	l->prev = e;
	smp_store_release(&prev->next, e);
}

static inline void list_del_rcu(struct list_head *e)
{
	e->next->prev = e->prev;
	smp_store_release(&e->prev->next, e->next);
	e->prev = NULL;
}

/* ---- time, and work that is put off: shim_run_work() ---- */

#define HZ			250
extern unsigned long shim_jiffies;
#define jiffies			READ_ONCE(shim_jiffies)
#define msecs_to_jiffies(ms)	DIV_ROUND_UP((unsigned long)(ms) * HZ, 1000UL)
#define jiffies_to_msecs(j)	((unsigned int)((j) * 1000UL / HZ))
#define time_after(a, b)	((long)((b) - (a)) < 0)
#define time_before(a, b)	time_after(b, a)
#define time_after_eq(a, b)	((long)((a) - (b)) >= 0)
#define time_before_eq(a, b)	time_after_eq(b, a)
u64 ktime_get_ns(void);
#define ktime_get()		((s64)ktime_get_ns())
#define local_clock()		ktime_get_ns()
void udelay(unsigned long us);
void msleep(unsigned int ms);
#define usleep_range(a, b)	msleep(DIV_ROUND_UP(a, 1000))

struct work_struct;
typedef void (*work_func_t)(struct work_struct *work);

/**
 * struct work_struct - work that is put off
 * @func: what to do
 * @due: when, in jiffies
 * @pending: it is queued
 * @running: and is being done
 */
struct work_struct {
	work_func_t func;
	unsigned long due;
	bool pending;
	bool running;
	struct work_struct *next;
};

/*
 * An array that grows: what readers may be looking at stays where it is, and is freed
 * with the rest
 */
#define XA_FLAGS_LOCK_IRQ	0

struct xa_part {
	struct xa_part *before;
	unsigned long size;
	void *slot[];
};

struct xarray {
	raw_spinlock_t lock;
	struct xa_part *part;
};

#define xa_init_flags(xa, f)							\
do {										\
	raw_spin_lock_init(&(xa)->lock);					\
	(xa)->part = NULL;							\
} while (0)
/* Not a raw one: memory may be allocated under it */
#define xa_lock_irqsave(xa, f)							\
	do { raw_spin_lock_irqsave(&(xa)->lock, f); shim_unlocked(); } while (0)
#define xa_unlock_irqrestore(xa, f)						\
	do { shim_locked(); raw_spin_unlock_irqrestore(&(xa)->lock, f); } while (0)
#define xa_is_err(p)			((p) == (void *)-2L)
void *xa_load(struct xarray *xa, unsigned long index);
void *__xa_cmpxchg(struct xarray *xa, unsigned long index, void *old, void *entry,
		   gfp_t gfp);
void *xa_next(struct xarray *xa, unsigned long *index);
void xa_destroy(struct xarray *xa);

#define xa_for_each(xa, index, entry)						\
	for ((index) = 0; ((entry) = xa_next(xa, &(index))); (index)++)

struct delayed_work {
	struct work_struct work;
};

struct workqueue_struct {
	const char *name;
};

extern struct workqueue_struct *system_wq, *system_percpu_wq, *system_long_wq,
	*system_dfl_wq, *system_unbound_wq, *system_highpri_wq, *system_freezable_wq,
	*system_power_efficient_wq;
#define INIT_WORK(w, f)		do { memset(w, 0, sizeof(*(w))); (w)->func = (f); } while (0)
#define INIT_DELAYED_WORK(w, f)	INIT_WORK(&(w)->work, f)
#define INIT_DEFERRABLE_WORK(w, f)	INIT_DELAYED_WORK(w, f)
#define to_delayed_work(w)	container_of(w, struct delayed_work, work)
bool shim_queue(struct work_struct *w, unsigned long delay, bool again);
bool shim_cancel(struct work_struct *w);
#define queue_work(q, w)	((void)(q), shim_queue(w, 0, false))
#define queue_work_on(c, q, w)	queue_work(q, w)
#define schedule_work(w)	shim_queue(w, 0, false)
#define queue_delayed_work(q, w, d)	((void)(q), shim_queue(&(w)->work, d, false))
#define queue_delayed_work_on(c, q, w, d)	queue_delayed_work(q, w, d)
#define schedule_delayed_work(w, d)	shim_queue(&(w)->work, d, false)
#define mod_delayed_work(q, w, d)	((void)(q), shim_queue(&(w)->work, d, true))
#define cancel_work_sync(w)	shim_cancel(w)
#define cancel_work(w)		shim_cancel(w)
#define cancel_delayed_work(w)	shim_cancel(&(w)->work)
#define cancel_delayed_work_sync(w)	shim_cancel(&(w)->work)
#define disable_delayed_work_sync(w)	shim_cancel(&(w)->work)
#define delayed_work_pending(w)	READ_ONCE((w)->work.pending)
#define work_pending(w)		READ_ONCE((w)->pending)
bool shim_flush(struct work_struct *w);
#define flush_work(w)		shim_flush(w)
#define flush_delayed_work(w)	shim_flush(&(w)->work)
#define alloc_workqueue(...)	(system_wq)
#define alloc_ordered_workqueue(...)	(system_wq)
#define destroy_workqueue(q)	shim_run_work(0)
#define flush_workqueue(q)	shim_run_work(0)
unsigned int shim_run_work(unsigned long ticks);
bool shim_work_due(void);

/* irq_work runs as soon as IRQs are on: here, at the next point */
struct irq_work {
	struct work_struct work;
	void (*func)(struct irq_work *work);
};

void init_irq_work(struct irq_work *w, void (*func)(struct irq_work *w));
#define irq_work_queue(w)	shim_queue(&(w)->work, 0, false)
#define irq_work_sync(w)	((void)shim_flush(&(w)->work))

struct completion {
	unsigned int done;
};

#define init_completion(c)	((c)->done = 0)
#define complete(c)		__atomic_fetch_add(&(c)->done, 1, __ATOMIC_RELEASE)

struct ratelimit_state { int unused; };
#define DEFINE_RATELIMIT_STATE(n, i, b)	struct ratelimit_state n
#define __ratelimit(r)		((void)(r), true)

#endif /* _SHIM_SYNC_H */
