/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's headers, as far as the module needs them, in user space: types,
 * the compiler, bits and arithmetic. Only what the code under test uses; the
 * meaning is the kernel's, the words are not.
 */
#ifndef _SHIM_BASE_H
#define _SHIM_BASE_H

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef u16 __le16;
typedef u32 __le32;
typedef u64 __le64;
typedef u64 phys_addr_t;
typedef u64 dma_addr_t;
typedef u64 resource_size_t;
typedef unsigned int gfp_t;
typedef unsigned short umode_t;

/*
 * Where time is measured, the kernel's memcpy() on a processor that has ERMS; other
 * copies, and those whose size the compiler knows, are the compiler's.
 */
#ifdef SHIM_BENCH
void *shim_memcpy(void *to, const void *from, size_t n);
void *shim_memset(void *to, int c, size_t n);
#define memcpy(t, f, n)							\
	(__builtin_constant_p(n) ? __builtin_memcpy(t, f, n) : shim_memcpy(t, f, n))
#define memset(t, c, n)							\
	(__builtin_constant_p(n) ? __builtin_memset(t, c, n) : shim_memset(t, c, n))
#endif

/* ---- the compiler ---- */

#undef __always_inline
#define __always_inline		inline __attribute__((__always_inline__))
#define noinline		__attribute__((__noinline__))
#define __maybe_unused		__attribute__((__unused__))
#define __aligned(n)		__attribute__((__aligned__(n)))
#define __packed		__attribute__((__packed__))
#define __printf(f, a)		__attribute__((__format__(printf, f, a)))
#define __must_check		__attribute__((__warn_unused_result__))
#define __cold			__attribute__((__cold__))
#define __percpu
#define __iomem
#define __init
#define __exit
#define __initdata
#define __ro_after_init
#define __read_mostly
#define __acquires(x)
#define __releases(x)
#define __must_hold(x)
#define __user
#define __rcu
#define __force
#define __ref
#define asmlinkage
#define fallthrough		__attribute__((__fallthrough__))
#define ____cacheline_aligned_in_smp	__aligned(64)
#define ____cacheline_aligned		__aligned(64)
#define SMP_CACHE_BYTES		64
#define L1_CACHE_BYTES		64
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define barrier()		__asm__ __volatile__("" : : : "memory")
#define typeof			__typeof__

#ifdef __SANITIZE_THREAD__
#define SHIM_TSAN		1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHIM_TSAN		1
#endif
#endif

void shim_race_begin(void);
void shim_race_end(void);

/*
 * Before what others are to see: one of them may look just then. And after it, as they
 * may see it before what was stored earlier, if nothing orders the two.
 */
#ifdef SHIM_CHECK
extern void (*shim_store_hook)(void);
extern void (*shim_stored_hook)(void *at, u64 before, unsigned int size);
static inline void shim_store_point(void)
{
	if (shim_store_hook)
		shim_store_hook();
}

#define shim_store(p, v, order)						\
do {									\
	typeof(p) __at = (p);						\
	typeof(*__at) __before;						\
	shim_store_point();						\
	__before = __atomic_load_n(__at, __ATOMIC_RELAXED);		\
	__atomic_store_n(__at, v, order);				\
	if (shim_stored_hook)						\
		shim_stored_hook((void *)__at, (u64)__before, sizeof(*__at)); \
} while (0)

/* What is stored from here on is seen after what was stored before */
static inline void shim_ordered(void)
{
	if (shim_stored_hook)
		shim_stored_hook(NULL, 0, 0);
}
#else
#define shim_store(p, v, order)	__atomic_store_n(p, v, order)
static inline void shim_ordered(void) { }
#endif

/*
 * Relaxed atomics, as the kernel's memory model has them: TSan knows these, and is as
 * strict as KCSAN can be. A plain write is not taken for one that no reader sees halves
 * of.
 */
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, val)	shim_store(&(x), val, __ATOMIC_RELAXED)
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)						\
do {									\
	shim_ordered();							\
	shim_store(p, v, __ATOMIC_RELEASE);				\
} while (0)
#define smp_mb()		(shim_ordered(), __atomic_thread_fence(__ATOMIC_SEQ_CST))
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb()		(shim_ordered(), __atomic_thread_fence(__ATOMIC_RELEASE))
#define dma_wmb()		smp_wmb()
#define dma_rmb()		smp_rmb()
#define mb()			smp_mb()

/* The shim's own accesses are atomic where KCSAN is told to look away */
#define kcsan_disable_current()	do { } while (0)
#define kcsan_enable_current()	do { } while (0)

/* What may race by design; TSan cannot be told of an expression but by this */
#ifdef SHIM_TSAN
#define data_race(expr)							\
({									\
	typeof(expr) __race;						\
	shim_race_begin();						\
	__race = (expr);						\
	shim_race_end();						\
	__race;								\
})
#else
#define data_race(expr)		(expr)
#endif

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define sizeof_field(t, m)	sizeof(((t *)0)->m)
#define offsetofend(t, m)	(offsetof(t, m) + sizeof_field(t, m))
#define container_of(p, t, m)	((t *)((char *)(p) - offsetof(t, m)))
#define BUILD_BUG_ON(c)		_Static_assert(!(c), #c)
#define BUILD_BUG_ON_MSG(c, m)	_Static_assert(!(c), m)
#define static_assert		_Static_assert
#define struct_size(p, m, n)	(sizeof(*(p)) + sizeof(*(p)->m) * (n))
#define struct_group(name, ...)	struct { __VA_ARGS__ } name
#define DECLARE_FLEX_ARRAY(t, n)	struct { struct { } __empty_##n; t n[]; }

/* 1 for what is defined as 1, 0 for what is not defined at all */
#define __SHIM_ARG_1		0,
#define __SHIM_SECOND(a, b, ...)	b
#define __SHIM_DEFINED2(x)	__SHIM_SECOND(x 1, 0, 0)
#define __SHIM_DEFINED1(v)	__SHIM_DEFINED2(__SHIM_ARG_##v)
#define __SHIM_DEFINED(v)	__SHIM_DEFINED1(v)
#define IS_ENABLED(c)		__SHIM_DEFINED(c)
#define IS_BUILTIN(c)		__SHIM_DEFINED(c)
#define IS_MODULE(c)		0
#define CONFIG_64BIT		1
#define CONFIG_SMP		1
#define CONFIG_ARCH_HAS_DMA_OPS	1
#define CONFIG_DMA_OPS		1
#define CONFIG_DEBUG_FS		1

/* ---- arithmetic ---- */

#define __shim_same(a, b)	((void)(&(a) == &(b)))
#define min(a, b)							\
({									\
	__auto_type __ma = (a);						\
	__auto_type __mb = (b);						\
	__shim_same(__ma, __mb);					\
	__ma < __mb ? __ma : __mb;					\
})
#define max(a, b)							\
({									\
	__auto_type __ma = (a);						\
	__auto_type __mb = (b);						\
	__shim_same(__ma, __mb);					\
	__ma > __mb ? __ma : __mb;					\
})
#define min_t(t, a, b)		({ t __a = (a), __b = (b); __a < __b ? __a : __b; })
#define max_t(t, a, b)		({ t __a = (a), __b = (b); __a > __b ? __a : __b; })
#define min3(a, b, c)		min((typeof(a))min(a, b), c)
#define max3(a, b, c)		max((typeof(a))max(a, b), c)
#define clamp(v, lo, hi)	min((typeof(v))max(v, lo), hi)
#define clamp_t(t, v, lo, hi)	min_t(t, max_t(t, v, lo), hi)
#define min_not_zero(a, b)						\
({									\
	__auto_type __na = (a);						\
	__auto_type __nb = (b);						\
	__na == 0 ? __nb : (__nb == 0 ? __na : min(__na, __nb));	\
})
#define swap(a, b)		do { typeof(a) __t = (a); (a) = (b); (b) = __t; } while (0)

#define U8_MAX			((u8)~0U)
#define U16_MAX			((u16)~0U)
#define U32_MAX			((u32)~0U)
#define U64_MAX			((u64)~0ULL)
#define S64_MAX			((s64)(U64_MAX >> 1))

#define BITS_PER_LONG		64
#define BITS_PER_BYTE		8
#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define BIT_MASK(n)		(1UL << ((n) % BITS_PER_LONG))
#define BIT_WORD(n)		((n) / BITS_PER_LONG)
#define GENMASK(h, l)		((~0UL << (l)) & (~0UL >> (63 - (h))))
#define GENMASK_ULL(h, l)	((~0ULL << (l)) & (~0ULL >> (63 - (h))))
#define BITS_TO_LONGS(n)	(((n) + BITS_PER_LONG - 1) / BITS_PER_LONG)
#define DECLARE_BITMAP(name, n)	unsigned long name[BITS_TO_LONGS(n)]
#define DIV_ROUND_UP(a, b)	(((a) + (b) - 1) / (b))
#define DIV_ROUND_UP_ULL(a, b)	DIV_ROUND_UP((u64)(a), b)
#define round_up(x, y)		((((x) - 1) | ((typeof(x))(y) - 1)) + 1)
#define round_down(x, y)	((x) & ~((typeof(x))(y) - 1))
#define roundup(x, y)		((((x) + (y) - 1) / (y)) * (y))
#define rounddown(x, y)		((x) - (x) % (y))
#define ALIGN(x, a)		(((x) + ((typeof(x))(a) - 1)) & ~((typeof(x))(a) - 1))
#define ALIGN_DOWN(x, a)	((x) & ~((typeof(x))(a) - 1))
#define PTR_ALIGN(p, a)		((typeof(p))ALIGN((unsigned long)(p), (a)))
#define IS_ALIGNED(x, a)	(((x) & ((typeof(x))(a) - 1)) == 0)
#define lower_32_bits(n)	((u32)(n))
#define upper_32_bits(n)	((u32)((u64)(n) >> 32))
#define do_div(n, base)		({ u32 __r = (n) % (base); (n) /= (base); __r; })
#define div_u64(a, b)		((u64)(a) / (b))
#define check_add_overflow(a, b, d)	__builtin_add_overflow(a, b, d)
#define check_sub_overflow(a, b, d)	__builtin_sub_overflow(a, b, d)
#define check_mul_overflow(a, b, d)	__builtin_mul_overflow(a, b, d)
#define size_add(a, b)							\
({									\
	size_t __sum;							\
	__builtin_add_overflow((size_t)(a), (size_t)(b), &__sum) ? SIZE_MAX : __sum; \
})
#define size_mul(a, b)							\
({									\
	size_t __prod;							\
	__builtin_mul_overflow((size_t)(a), (size_t)(b), &__prod) ? SIZE_MAX : __prod; \
})
#define array_size(a, b)	size_mul(a, b)

#define SZ_1K			0x400
#define SZ_4K			0x1000
#define SZ_64K			0x10000
#define SZ_128K			0x20000
#define SZ_256K			0x40000
#define SZ_512K			0x80000
#define SZ_1M			0x100000
#define SZ_2M			0x200000
#define SZ_4M			0x400000
#define SZ_8M			0x800000
#define SZ_16M			0x1000000
#define SZ_32M			0x2000000
#define SZ_64M			0x4000000
#define SZ_128M			0x8000000
#define SZ_256M			0x10000000
#define SZ_512M			0x20000000
#define SZ_1G			0x40000000
#define SZ_2G			0x80000000
#define SZ_4G			0x100000000ULL

#define __ffs(x)		((unsigned long)__builtin_ctzl(x))
#define __fls(x)		((unsigned long)(63 - __builtin_clzl(x)))
#define __ffs64(x)		((unsigned long)__builtin_ctzll(x))
#define ffz(x)			__ffs(~(x))
static inline int fls64(u64 x) { return x ? 64 - __builtin_clzll(x) : 0; }
static inline int fls(unsigned int x) { return x ? 32 - __builtin_clz(x) : 0; }
#define fls_long(x)		fls64(x)
#define ilog2(x)		(fls64(x) - 1)
#define is_power_of_2(x)	((x) && !((x) & ((x) - 1)))
#define order_base_2(x)		((x) > 1 ? fls64((u64)(x) - 1) : 0)
#define roundup_pow_of_two(x)	(1UL << order_base_2(x))
#define rounddown_pow_of_two(x)	(1UL << ilog2(x))
#define hweight_long(x)		((unsigned int)__builtin_popcountl(x))
#define hweight64(x)		((unsigned int)__builtin_popcountll(x))
#define cpu_to_le16(x)		((u16)(x))
#define cpu_to_le32(x)		((u32)(x))
#define cpu_to_le64(x)		((u64)(x))
#define le32_add_cpu(p, v)	(*(p) += (v))
#define le16_add_cpu(p, v)	(*(p) += (v))
#define le16_to_cpu(x)		((u16)(x))
#define le32_to_cpu(x)		((u32)(x))
#define le64_to_cpu(x)		((u64)(x))

/* Atomic on bitmaps where the kernel's are */
static inline void set_bit(unsigned long n, unsigned long *p)
{
	__atomic_fetch_or(&p[BIT_WORD(n)], BIT_MASK(n), __ATOMIC_RELAXED);
}

static inline void clear_bit(unsigned long n, unsigned long *p)
{
	__atomic_fetch_and(&p[BIT_WORD(n)], ~BIT_MASK(n), __ATOMIC_RELAXED);
}

static inline void __set_bit(unsigned long n, unsigned long *p)
{
	p[BIT_WORD(n)] |= BIT_MASK(n);
}

static inline void __clear_bit(unsigned long n, unsigned long *p)
{
	p[BIT_WORD(n)] &= ~BIT_MASK(n);
}

static inline bool test_bit(unsigned long n, const unsigned long *p)
{
	return __atomic_load_n(&p[BIT_WORD(n)], __ATOMIC_RELAXED) & BIT_MASK(n);
}

static inline bool test_and_set_bit(unsigned long n, unsigned long *p)
{
	return __atomic_fetch_or(&p[BIT_WORD(n)], BIT_MASK(n), __ATOMIC_SEQ_CST) &
	       BIT_MASK(n);
}

static inline bool test_and_clear_bit(unsigned long n, unsigned long *p)
{
	return __atomic_fetch_and(&p[BIT_WORD(n)], ~BIT_MASK(n), __ATOMIC_SEQ_CST) &
	       BIT_MASK(n);
}

static inline bool __test_and_set_bit(unsigned long n, unsigned long *p)
{
	bool old = p[BIT_WORD(n)] & BIT_MASK(n);

	p[BIT_WORD(n)] |= BIT_MASK(n);
	return old;
}

static inline bool __test_and_clear_bit(unsigned long n, unsigned long *p)
{
	bool old = p[BIT_WORD(n)] & BIT_MASK(n);

	p[BIT_WORD(n)] &= ~BIT_MASK(n);
	return old;
}

unsigned long shim_find_bit(const unsigned long *map, unsigned long size,
			    unsigned long from, bool want);
#define find_next_bit(map, size, from)		shim_find_bit(map, size, from, true)
#define find_next_zero_bit(map, size, from)	shim_find_bit(map, size, from, false)
#define find_first_bit(map, size)		shim_find_bit(map, size, 0, true)
#define find_first_zero_bit(map, size)		shim_find_bit(map, size, 0, false)
#define for_each_set_bit(bit, map, size)				\
	for ((bit) = find_first_bit(map, size); (bit) < (size);		\
	     (bit) = find_next_bit(map, size, (bit) + 1))
#define for_each_clear_bit(bit, map, size)				\
	for ((bit) = find_first_zero_bit(map, size); (bit) < (size);	\
	     (bit) = find_next_zero_bit(map, size, (bit) + 1))
unsigned long find_last_bit(const unsigned long *map, unsigned long size);
void bitmap_set(unsigned long *map, unsigned int start, unsigned int n);
void bitmap_clear(unsigned long *map, unsigned int start, unsigned int n);
unsigned int bitmap_weight(const unsigned long *map, unsigned int n);
unsigned long bitmap_find_next_zero_area_off(unsigned long *map, unsigned long size,
					     unsigned long start, unsigned int nr,
					     unsigned long align_mask,
					     unsigned long align_offset);
static inline void bitmap_zero(unsigned long *map, unsigned int n)
{
	memset(map, 0, BITS_TO_LONGS(n) * sizeof(long));
}

static inline void bitmap_fill(unsigned long *map, unsigned int n)
{
	memset(map, 0xff, BITS_TO_LONGS(n) * sizeof(long));
}

#define bitmap_full(map, n)	(find_first_zero_bit(map, n) >= (n))
#define bitmap_empty(map, n)	(find_first_bit(map, n) >= (n))

/* ---- errors ---- */

#define MAX_ERRNO		4095
#define ENOTSUPP		524
#define IS_ERR_VALUE(x)		((unsigned long)(void *)(x) >= (unsigned long)-MAX_ERRNO)
static inline void *ERR_PTR(long error) { return (void *)error; }
static inline long PTR_ERR(const void *p) { return (long)p; }
static inline bool IS_ERR(const void *p) { return IS_ERR_VALUE(p); }
static inline bool IS_ERR_OR_NULL(const void *p) { return !p || IS_ERR_VALUE(p); }

/* ---- strings ---- */

ssize_t strscpy(char *to, const char *from, size_t size);
int match_string(const char * const *array, size_t n, const char *string);
int kstrtouint(const char *s, unsigned int base, unsigned int *res);
int kstrtou64(const char *s, unsigned int base, u64 *res);
bool sysfs_streq(const char *a, const char *b);
#define kstrtoull(s, base, res)	kstrtou64(s, base, res)
int scnprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);

/* ---- messages: see log.c; "%pa" in them is printed as the pointer ---- */

enum shim_level { SHIM_ERR, SHIM_WARN, SHIM_INFO, SHIM_DEBUG, SHIM_BUG };
void shim_print(enum shim_level level, const char *who, const char *fmt, ...);
void shim_warn_at(const char *file, int line, const char *cond);

#ifndef pr_fmt
#define pr_fmt(fmt)		fmt
#endif
#define pr_err(fmt, ...)	shim_print(SHIM_ERR, "", pr_fmt(fmt), ##__VA_ARGS__)
#define pr_warn(fmt, ...)	shim_print(SHIM_WARN, "", pr_fmt(fmt), ##__VA_ARGS__)
#define pr_info(fmt, ...)	shim_print(SHIM_INFO, "", pr_fmt(fmt), ##__VA_ARGS__)
#define pr_notice(fmt, ...)	shim_print(SHIM_INFO, "", pr_fmt(fmt), ##__VA_ARGS__)
#define pr_debug(fmt, ...)	shim_print(SHIM_DEBUG, "", pr_fmt(fmt), ##__VA_ARGS__)
#define pr_err_ratelimited	pr_err
#define pr_warn_ratelimited	pr_warn
#define pr_warn_once		pr_warn
#define pr_info_once		pr_info
#define pr_err_once		pr_err

/* _ONCE warns every time: each is a failure unless the test provoked it */
#define WARN_ON(c)							\
({									\
	bool __warn = !!(c);						\
	if (unlikely(__warn))						\
		shim_warn_at(__FILE__, __LINE__, #c);			\
	unlikely(__warn);						\
})
#define WARN(c, fmt, ...)						\
({									\
	bool __warn = !!(c);						\
	if (unlikely(__warn)) {						\
		shim_print(SHIM_INFO, "", fmt, ##__VA_ARGS__);		\
		shim_warn_at(__FILE__, __LINE__, #c);			\
	}								\
	unlikely(__warn);						\
})
#define WARN_ON_ONCE(c)		WARN_ON(c)
#define WARN_ONCE(c, ...)	WARN(c, __VA_ARGS__)
#define BUG_ON(c)		do { if (c) shim_bug(__FILE__, __LINE__, #c); } while (0)
#define BUG()			shim_bug(__FILE__, __LINE__, "BUG")
#define panic(...)		shim_bug(__FILE__, __LINE__, "panic")
void shim_bug(const char *file, int line, const char *what)
	__attribute__((__noreturn__));

#endif /* _SHIM_BASE_H */
