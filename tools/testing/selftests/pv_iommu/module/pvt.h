/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pviommu_test: drives the DMA API as drivers do, with QEMU's edu device as
 * the DMA engine, and checks every byte that arrives on either side.
 *
 * The module knows nothing of pv_iommu's inside: the same cases pass on
 * swiotlb=force. What only pv-iommu promises is asked for when the parameter
 * "mode" says that it serves the devices.
 */
#ifndef _PVT_H
#define _PVT_H

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/types.h>

struct pvt_edu;

/**
 * struct pvt - what a test case works with
 * @edu: the device under test
 * @other: a second one, or NULL
 * @dev: the first one's struct device
 * @rnd: random numbers, the same for every run with one seed
 * @failures: expectations that did not hold
 * @skip: why the case cannot run here; empty if it can
 */
struct pvt {
	struct pvt_edu *edu;
	struct pvt_edu *other;
	struct device *dev;
	struct rnd_state rnd;
	unsigned int failures;
	char skip[80];
};

struct pvt_case {
	const char *name;
	void (*run)(struct pvt *t);
};

struct pvt_group {
	const char *name;
	const struct pvt_case *cases;
	unsigned int nr;
};

#define PVT_GROUP(_name)					\
	const struct pvt_group pvt_group_##_name = {		\
		.name = #_name,					\
		.cases = _name##_cases,				\
		.nr = ARRAY_SIZE(_name##_cases),		\
	}

/* main.c */
__printf(2, 3) void pvt_fail(struct pvt *t, const char *fmt, ...);
__printf(2, 3) void pvt_skip(struct pvt *t, const char *fmt, ...);
__printf(1, 2) void pvt_log(const char *fmt, ...);
bool pvt_on_pviommu(void);
bool pvt_on_window(void);
bool pvt_on_bounce(void);
bool pvt_shared(void);
bool pvt_whole(void);
bool pvt_direct(struct pvt *t);
u32 pvt_seed(void);
u32 pvt_steps(void);

/* The value of @cond; a false one is a failure, described by the rest */
#define pvt_expect(t, cond, fmt, ...) ({				\
	bool __ok = !!(cond);						\
									\
	if (!__ok)							\
		pvt_fail(t, "%s:%d: " fmt, __func__, __LINE__,		\
			 ##__VA_ARGS__);				\
	__ok;								\
})

/* A number in [0, n) */
static inline u32 pvt_below(struct pvt *t, u32 n)
{
	return prandom_u32_state(&t->rnd) % n;
}

static inline u32 pvt_random(struct pvt *t)
{
	return prandom_u32_state(&t->rnd);
}

/*
 * Where something begins that is mapped, and its length; with the parameter whole, as
 * many pages instead. Up to PVT_PIECE bytes, where both are up to a page.
 */
#define PVT_PIECE	(5 * PAGE_SIZE)

static inline size_t pvt_off(size_t off)
{
	return pvt_whole() ? off % 3 * PAGE_SIZE : off;
}

static inline size_t pvt_len(size_t len)
{
	return pvt_whole() ? (1 + len % 3) * PAGE_SIZE : len;
}

/* pattern.c */
int pvt_pattern_init(void);
void pvt_pattern_exit(void);
void pvt_fill(void *buf, size_t len, u32 seed);
bool pvt_same(struct pvt *t, const void *got, const void *want, size_t len,
	      const char *what);
bool pvt_zero(struct pvt *t, const void *got, size_t len, const char *what);
bool pvt_contains(const void *hay, size_t len, const void *needle, size_t nlen);

struct seq_file;

/* edu.c */
#define PVT_EDU_MASK	DMA_BIT_MASK(28)	/* what the device reaches */

u64 pvt_edu_mask(void);

int pvt_edu_init(void);
void pvt_edu_exit(void);
struct pvt_edu *pvt_edu_get(unsigned int index);
struct device *pvt_edu_dev(struct pvt_edu *edu);
dma_addr_t pvt_edu_scratch(struct pvt_edu *edu);
void pvt_edu_begin(struct pvt_edu *edu, u64 dma, size_t len, bool write);
int pvt_edu_end(struct pvt_edu *edu);
void pvt_edu_show_scratch(struct seq_file *m);
void pvt_edu_show_held(struct seq_file *m);
int pvt_edu_hold(bool movable);
void pvt_edu_release(void);
void pvt_edu_defaults(struct pvt_edu *edu);
int pvt_edu_in_irq(struct pvt_edu *edu, void (*fn)(void *arg), void *arg);
int pvt_edu_load(struct pvt_edu *edu, dma_addr_t dma, size_t pos, size_t len);
int pvt_edu_store(struct pvt_edu *edu, dma_addr_t dma, size_t pos, size_t len);
bool pvt_dev_read(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma,
		  void *buf, size_t len);
bool pvt_dev_write(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma,
		   const void *buf, size_t len);
bool pvt_dev_read_sg(struct pvt *t, struct pvt_edu *edu,
		     struct scatterlist *sgl, int nents, void *buf, size_t len);
bool pvt_dev_write_sg(struct pvt *t, struct pvt_edu *edu,
		      struct scatterlist *sgl, int nents, const void *buf,
		      size_t len);

/* host.c */
int pvt_host_init(void);
void pvt_host_exit(void);
bool pvt_host_present(void);
u64 pvt_host_faults(void);
u64 pvt_host_fault_addr(void);
bool pvt_host_serves(u64 mask);
bool pvt_host_reaches(dma_addr_t dma);
void *pvt_host_backdoor(dma_addr_t dma, size_t len);
u64 pvt_host_room(void);
bool pvt_host_fault_is(struct device *dev, bool write);
u64 pvt_host_chunk(void);
u64 pvt_host_granted(void);
u64 pvt_host_window_dma(void);
u64 pvt_host_window_size(void);
u64 pvt_host_arena_dma(void);
u64 pvt_host_arena_size(void);
u64 pvt_host_direct_dma(void);
u64 pvt_host_direct_limit(void);
u64 pvt_host_direct_granted(void);
bool pvt_host_direct(struct device *dev);
void *pvt_host_memory(dma_addr_t dma, size_t len);

/* pm.c */
int pvt_pm_init(void);
void pvt_pm_exit(void);

/* direct.c */
bool pvt_direct_start(struct pvt *t);
u64 pvt_direct_granted(void);
bool pvt_direct_same(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma, void *mem,
		     size_t len);
void pvt_direct_refused(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma, void *mem);
void pvt_direct_stranger(struct pvt *t, dma_addr_t dma, void *mem);

/* sg.c */
bool pvt_sg_legal(struct pvt *t, struct device *dev, struct scatterlist *sgl,
		  int nents, size_t total);

extern const struct pvt_group pvt_group_coherent;
extern const struct pvt_group pvt_group_single;
extern const struct pvt_group pvt_group_sg;
extern const struct pvt_group pvt_group_sync;
extern const struct pvt_group pvt_group_attrs;
extern const struct pvt_group pvt_group_limits;
extern const struct pvt_group pvt_group_masks;
extern const struct pvt_group pvt_group_context;
extern const struct pvt_group pvt_group_pages;
extern const struct pvt_group pvt_group_mmap;
extern const struct pvt_group pvt_group_pool;
extern const struct pvt_group pvt_group_kept;
extern const struct pvt_group pvt_group_full;
extern const struct pvt_group pvt_group_wild;
extern const struct pvt_group pvt_group_count;
extern const struct pvt_group pvt_group_isolation;
extern const struct pvt_group pvt_group_inherit;
extern const struct pvt_group pvt_group_large;
extern const struct pvt_group pvt_group_scale;
extern const struct pvt_group pvt_group_pressure;
extern const struct pvt_group pvt_group_direct;
extern const struct pvt_group pvt_group_once;
extern const struct pvt_group pvt_group_cached;
extern const struct pvt_group pvt_group_hostile;
extern const struct pvt_group pvt_group_stress;
extern const struct pvt_group pvt_group_race;

#endif /* _PVT_H */
