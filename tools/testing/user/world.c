// SPDX-License-Identifier: GPL-2.0
/*
 * The model, and the operations on it and on the module side by side.
 *
 * A mapping has two images: what the CPU has in the driver's buffer, and what
 * the device finds at the DMA address. Every operation does to them what the
 * DMA API promises, no more, and then memory is compared with the images: so a
 * copy too many is seen as well as one too few. Around each buffer the address
 * sanitizer watches. Each page of the window and of the arena has at most one
 * owner. What the module may refuse, and how it has to say so, is in the model
 * too.
 */
#include "guest.h"
#include "world.h"

#define MAX_DEVICES	4
#define MAX_MAPS	112
#define MAX_PIECES	300
#define RAM_SIZE	(96UL << 20)
/* A page of another device's memory, which must not be bounced */
#define P2P_PHYS	0x100000000ULL

enum {
	OP_MAP, OP_MAP_SG, OP_UNMAP, OP_SYNC, OP_SYNC_SG, OP_CPU_WRITE,
	OP_DEV_WRITE, OP_ALLOC, OP_WRONG_DEVICE, OP_WILD, OP_REFUSED, OP_TIME,
	OP_UNBIND, OP_BIND, OP_CHECK, OP_LIMIT, OP_UNMAP_ALL, OP_SUSPEND, OP_NR
};

/* How often each is done, in 1024 */
static const u16 op_weight[OP_NR] = {
	[OP_MAP] = 262, [OP_MAP_SG] = 120, [OP_UNMAP] = 300, [OP_SYNC] = 100,
	[OP_SYNC_SG] = 30, [OP_CPU_WRITE] = 40, [OP_DEV_WRITE] = 70,
	[OP_ALLOC] = 30, [OP_WRONG_DEVICE] = 12, [OP_WILD] = 8,
	[OP_REFUSED] = 10, [OP_TIME] = 10, [OP_UNBIND] = 6, [OP_BIND] = 12,
	[OP_CHECK] = 6, [OP_LIMIT] = 4,
	[OP_UNMAP_ALL] = 2, [OP_SUSPEND] = 2,
};

/**
 * struct device_model - a device and what it asks for
 * @pdev: the device
 * @rid: its requester ID
 * @group: which other devices the host cannot tell it from
 * @bound: a driver is bound to it
 * @limit: highest DMA address that it reaches
 * @align: low bits that have to be kept
 * @boundary: what no segment crosses
 * @max_seg: most bytes in one
 */
struct device_model {
	struct pci_dev *pdev;
	u16 rid;
	u32 group;
	bool bound;
	u64 limit;
	u64 align;
	u64 boundary;
	u32 max_seg;
};

struct piece {
	u8 *cpu;
	u32 len;
};

struct segment {
	u64 dma;
	u32 len;
	u8 *mem;
};

enum kind { KIND_NONE, KIND_SINGLE, KIND_SG, KIND_COHERENT };

/**
 * struct map_model - a mapping, or coherent memory
 * @kind: which of them
 * @orphan: coherent, and its driver is gone
 * @dev: whose
 * @dir: direction
 * @attrs: attributes of the map
 * @total: bytes
 * @pieces: the driver's memory
 * @nr_pieces: how many pieces it has
 * @segs: where the device finds it
 * @nr_segs: how many segments it has there
 * @cpu: image of the driver's memory
 * @dma: image of what the device finds
 * @page: what the pieces are in
 * @npages: its size
 * @sgl: SG: the list
 * @vaddr: COHERENT: where the driver sees it
 * @block: window: first page of the block, from the window's start
 * @block_pages: how many; 0: not known
 */
struct map_model {
	enum kind kind;
	bool orphan;
	unsigned int dev;
	enum dma_data_direction dir;
	unsigned long attrs;
	size_t total;
	struct piece pieces[MAX_PIECES];
	unsigned int nr_pieces;
	struct segment segs[MAX_PIECES];
	unsigned int nr_segs;
	u8 *cpu;
	u8 *dma;
	struct page *page;
	unsigned long npages;
	struct scatterlist *sgl;
	void *vaddr;
	unsigned long block;
	unsigned long block_pages;
};

static struct {
	struct host_config config;
	struct pci_dev *host;
	bool bounce;
	struct device_model devices[MAX_DEVICES];
	unsigned int nr_devices;
	struct map_model maps[MAX_MAPS];
	unsigned int nr_lists;
	/* Who has a page of the window, of the arena: 0 or one more than the map */
	u8 *window_owner;
	/* How many blocks it may be in */
	u8 *window_block;
	u8 *arena_owner;
	size_t max_mapping;
	bool limit_fixed, limit_changed;
	u64 fill;
	u64 maps_done, unmaps_done;
	unsigned long warnings_seen;
} world;

bool world_trace;
bool world_check_runs;
unsigned int world_at;

#define trace(fmt, ...)							\
	do {								\
		if (world_trace)					\
			fprintf(stderr, "  %5u: " fmt "\n", world_at, ##__VA_ARGS__); \
	} while (0)

#define require(cond, fmt, ...)						\
	do {								\
		if (!(cond))						\
			shim_panic("step %u: %s: " fmt, world_at, #cond, ##__VA_ARGS__); \
	} while (0)

/* ---- helpers ---- */

static void fill(void *p, size_t n)
{
	u8 *to = p;

	while (n >= 8) {
		u64 v;

		world.fill += 0x9e3779b97f4a7c15ULL;
		v = world.fill ^ world.fill >> 29;
		memcpy(to, &v, 8);
		to += 8;
		n -= 8;
	}
	while (n--)
		*to++ = (world.fill += 0x9e3779b97f4a7c15ULL) >> 56;
}

static u64 log_size(u64 *r, unsigned int max_bits)
{
	unsigned int bits = world_random(r) % max_bits;

	return 1 + (world_random(r) & ((2UL << bits) - 1));
}

/* Owner, and block, of the pages from @offset to @offset + @len */
static void own(u8 *owner, u64 offset, u64 len, u8 from, u8 to)
{
	u64 page;

	for (page = offset >> PAGE_SHIFT; page <= (offset + len - 1) >> PAGE_SHIFT; page++) {
		require(owner[page] == from || owner[page] == to,
			"page %#llx belongs to mapping %d, not %d", page, owner[page], from);
		owner[page] = to;
	}
}

static void own_segment(const struct segment *s, u8 from, u8 to)
{
	u64 offset = s->dma - world.config.window_dma;

	if (offset < world.config.window_size)
		own(world.window_owner, offset, s->len, from, to);
	else
		own(world.arena_owner, s->dma - world.config.arena_dma, s->len, from, to);
}

static void own_map(struct map_model *m, bool mine)
{
	u8 id = m - world.maps + 1;
	unsigned int i;

	for (i = 0; i < m->nr_segs; i++)
		own_segment(&m->segs[i], mine ? 0 : id, mine ? id : 0);
	/* At most so much: blocks that cost just what they hold are smaller */
	for (i = 0; i < m->block_pages; i++)
		world.window_block[m->block + i] += mine ? 1 : -1;
}

static struct map_model *map_of(struct step *s, bool live)
{
	unsigned int i;

	for (i = 0; i < MAX_MAPS; i++) {
		struct map_model *m = &world.maps[(s->a + i) % MAX_MAPS];

		if (live == (m->kind != KIND_NONE))
			return m;
	}
	return NULL;
}

/* The operations of a device, in the context that the step asks for */
#define CALL(d, s, call)						\
({									\
	struct device *dev = &(d)->pdev->dev;				\
	const struct dma_map_ops *ops = dev->dma_ops;			\
	unsigned long flags = 0;					\
									\
	require(ops, "the device has no operations");			\
	if ((s)->how & 1)						\
		local_irq_save(flags);					\
	call;								\
	require((s)->how & 1 ? irqs_disabled() : !irqs_disabled(), "IRQs"); \
	if ((s)->how & 1)						\
		local_irq_restore(flags);				\
	require(preemptible(), "preemption is off");			\
})

/* Nothing may have been said but what the step expects */
static void quiet(unsigned long warns, bool warnings)
{
	unsigned long w = shim_log.warnings - world.warnings_seen;

	require(!shim_log.errors, "%s", shim_log.last);
	require(shim_log.warns == warns, "%lu WARN()s, %lu expected: %s",
		shim_log.warns, warns, shim_log.last);
	require(!w || warnings, "%lu warnings that nobody asked for", w);
	shim_log.warns = 0;
	world.warnings_seen = shim_log.warnings;
}

/* ---- images and memory ---- */

static void compare(const u8 *mem, const u8 *image, size_t n, struct map_model *m,
		    const char *what, size_t at)
{
	size_t i;

	if (!memcmp(mem, image, n))
		return;
	for (i = 0; mem[i] == image[i]; i++)
		;
	shim_panic("step %u: mapping %td, %s: byte %#zx of %#zx is %#x and not %#x",
		   world_at, m - world.maps, what, at + i, m->total, mem[i], image[i]);
}

static void verify_cpu(struct map_model *m)
{
	size_t at = 0;
	unsigned int i;

	for (i = 0; i < m->nr_pieces; i++) {
		compare(m->pieces[i].cpu, m->cpu + at, m->pieces[i].len, m,
			"driver's memory", at);
		at += m->pieces[i].len;
	}
}

static bool chunks(void)
{
	return world.config.features & PV_IOMMU_F_CHUNKS;
}

static void verify_dev(struct map_model *m)
{
	struct device_model *d = &world.devices[m->dev];
	unsigned int i, other;
	size_t at = 0;

	if (m->orphan)
		return;
	for (i = 0; i < m->nr_segs; i++) {
		struct segment *s = &m->segs[i];

		require(host_dma(d->rid, s->dma, s->len) == s->mem,
			"the device does not reach %#llx, %#x bytes", s->dma, s->len);
		compare(s->mem, m->dma + at, s->len, m, "device's view", at);
		at += s->len;
		/* And others do not, neither its first byte nor its last */
		for (other = 0; other < world.nr_devices; other++) {
			struct device_model *o = &world.devices[other];

			if (!chunks() || s->dma - world.config.window_dma >=
					 world.config.window_size)
				break;

			require(o->group == d->group ||
				(!host_reaches(o->rid, s->dma, 1) &&
				 !host_reaches(o->rid, s->dma + s->len - 1, 1)),
				"%#llx, of dev %u, is reached by dev %u", s->dma, m->dev, other);
		}
	}
}

static void verify(struct map_model *m)
{
	verify_cpu(m);
	verify_dev(m);
}

/* Goes over the parts of pieces or segments that lie in @from..@from + @n */
static void write_range(struct map_model *m, size_t from, size_t n, bool device)
{
	u8 *image = device ? m->dma : m->cpu;
	unsigned int i, nr = device ? m->nr_segs : m->nr_pieces;
	size_t at = 0;

	fill(image + from, n);
	for (i = 0; i < nr; i++) {
		u8 *mem = device ? m->segs[i].mem : m->pieces[i].cpu;
		size_t len = device ? m->segs[i].len : m->pieces[i].len;
		size_t start = max(at, from), end = min(at + len, from + n);

		if (start < end)
			memcpy(mem + start - at, image + start, end - start);
		at += len;
	}
}

static void forget(struct map_model *m)
{
	unsigned int i;

	if (m->kind == KIND_SG)
		world.nr_lists--;
	own_map(m, false);
	if (m->page) {
		for (i = 0; i < m->nr_pieces; i++)
			shim_unpoison(m->pieces[i].cpu, m->pieces[i].len);
		shim_free_pages(m->page, m->npages);
	}
	if (m->kind != KIND_COHERENT)
		free(m->dma);
	free(m->cpu);
	free(m->sgl);
	memset(m, 0, offsetof(struct map_model, pieces));
	m->kind = KIND_NONE;
	m->nr_pieces = m->nr_segs = 0;
	m->page = NULL;
	m->sgl = NULL;
	m->block_pages = 0;
}

/* ---- buffers ---- */

/*
 * The driver's memory: pieces of @len bytes each, the first of which begins at
 * @offset in its page. What lies between them is poisoned.
 */
static bool get_buffer(struct map_model *m, u64 *r, u32 offset)
{
	unsigned long pages = 0, at;
	unsigned int i;
	u8 *mem;

	/* A piece may begin where the one before it ended, as merged bios do */
	for (i = 0; i < m->nr_pieces; i++)
		pages += PFN_UP(PAGE_SIZE + m->pieces[i].len) + 1;
	m->npages = pages;
	m->page = shim_alloc_pages(GFP_ATOMIC, pages);
	if (!m->page)
		return false;
	mem = page_address(m->page);
	shim_poison(mem, pages << PAGE_SHIFT);
	at = offset;
	for (i = 0; i < m->nr_pieces; i++) {
		m->pieces[i].cpu = mem + at;
		shim_unpoison(mem + at, m->pieces[i].len);
		at += m->pieces[i].len;
		switch (world_random(r) % 4) {
		case 0:
			break;
		case 1:
			at = PAGE_ALIGN(at);
			break;
		default:
			at = PAGE_ALIGN(at) + world_random(r) % PAGE_SIZE;
			if (world_random(r) & 1)
				at &= ~511UL;
		}
	}
	m->total = 0;
	for (i = 0; i < m->nr_pieces; i++)
		m->total += m->pieces[i].len;
	m->cpu = malloc(m->total);
	m->dma = malloc(m->total);
	write_range(m, 0, m->total, false);
	memcpy(m->dma, m->cpu, m->total);
	return true;
}

/* ---- what a mapping has to be ---- */

static bool zeroes(const u8 *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

/* No bytes but the mapping's and zeroes in the pages that its data is in */
static void check_padding(struct map_model *m)
{
	unsigned int i;

	for (i = 0; i < m->nr_segs; i++) {
		struct segment *s = &m->segs[i];
		struct segment *before = i ? s - 1 : NULL;
		u64 start = s->dma & PAGE_MASK, end = s->dma + s->len;
		u64 stop = PAGE_ALIGN(end);

		if (s->dma - world.config.window_dma >= world.config.window_size)
			continue;
		if (before && before->dma < s->dma && before->dma + before->len > start)
			start = before->dma + before->len;
		if (i + 1 < m->nr_segs && m->segs[i + 1].dma >= end)
			stop = min(stop, m->segs[i + 1].dma);
		require(zeroes(s->mem - (s->dma - start), s->dma - start),
			"from %#llx to the data at %#llx not all is zero", start, s->dma);
		require(zeroes(s->mem + s->len, stop - end),
			"from the end of the data, %#llx, not all is zero", end);
	}
}

static void check_segments(struct map_model *m, struct device_model *d)
{
	size_t total = 0;
	unsigned int i;

	for (i = 0; i < m->nr_segs; i++) {
		struct segment *s = &m->segs[i];
		u64 last = s->dma + s->len - 1;

		require(s->len, "segment %u of %u is empty", i, m->nr_segs);
		require(last <= d->limit && last >= s->dma,
			"segment %#llx..%#llx, the limit is %#llx", s->dma, last, d->limit);
		s->mem = host_dma(d->rid, s->dma, s->len);
		require(s->mem, "the device does not reach %#llx, %#x bytes", s->dma, s->len);
		total += s->len;
	}
	require(total == m->total, "%#zx of %#zx bytes are mapped", total, m->total);
	m->kind = m->kind ?: KIND_SG;
	own_map(m, true);
	verify_dev(m);
	verify_cpu(m);
	check_padding(m);
}

/* The low bits of each entry's address are kept, and limits where they can be */
static void check_list(struct map_model *m, struct device_model *d)
{
	size_t at = 0, seg_at = 0;
	unsigned int i, seg = 0;

	for (i = 0; i < m->nr_segs; i++) {
		struct segment *s = &m->segs[i];

		require(s->len <= d->max_seg || m->nr_pieces == 1,
			"segment of %#x bytes, %#x at most", s->len, d->max_seg);
		require(!((s->dma ^ (s->dma + s->len - 1)) & ~d->boundary),
			"segment %#llx, %#x bytes, crosses %#llx", s->dma, s->len, d->boundary);
	}
	for (i = 0; i < m->nr_pieces; i++) {
		u64 dma;

		while (at >= seg_at + m->segs[seg].len)
			seg_at += m->segs[seg++].len;
		dma = m->segs[seg].dma + (at - seg_at);
		require(!((dma ^ virt_to_phys(m->pieces[i].cpu)) & d->align),
			"entry %u at %#llx, memory at %#llx: bits %#llx", i, dma,
			virt_to_phys(m->pieces[i].cpu), d->align);
		require(at + m->pieces[i].len <= seg_at + m->segs[seg].len,
			"entry %u is cut", i);
		at += m->pieces[i].len;
	}
}

/* Does a driver that is gone have coherent memory still? */
static bool orphans(void)
{
	unsigned int i;

	for (i = 0; i < MAX_MAPS; i++) {
		if (world.maps[i].kind && world.maps[i].orphan)
			return true;
	}
	return false;
}

/*
 * Was there room for a block of that order after all? With chunks, in one that the
 * domain has; or might the domain, which has less than its share, have had another?
 */
static void check_full(struct device_model *d, unsigned int order, const char *what)
{
	u64 first = world.config.window_dma >> PAGE_SHIFT;
	unsigned long npages = world.config.window_size >> PAGE_SHIFT, page, i, mine = 0, none = 0;
	unsigned long chunk = chunks() ? world.config.chunk >> PAGE_SHIFT : npages;
	unsigned long share, domains = 1, seen = 0, reached = npages;
	long emptied;

	/* Chunks in a row are another matter: see world_check_runs */
	if (world.bounce || world.nr_lists ||
	    (!world_check_runs && BIT(order) > world.config.chunk >> PAGE_SHIFT))
		return;
	/* What is beside it in a chunk is nobody's, and the host does not know which that is */
	if (!chunks() && orphans())
		return;
	emptied = chunks() ? guest_emptied(d->group) : -1;
	/* Of a chunk that its limit cuts through it is given nothing */
	if (d->limit < world.config.window_dma + world.config.window_size - 1)
		reached = ALIGN_DOWN(d->limit + 1 - min(d->limit + 1, world.config.window_dma),
				     world.config.chunk) >> PAGE_SHIFT;
	for (page = ALIGN(first, BIT(order)) - first; page + BIT(order) <= reached;
	     page += BIT(order)) {
		if (chunks() && (host_chunk_group(page / chunk) != d->group ||
				 (long)(page / chunk) == emptied))
			continue;
		for (i = 0; i < BIT(order) && !world.window_block[page + i]; i++)
			;
		require(i < BIT(order), "%s of order %u failed, but page %#lx is free",
			what, order, page);
	}
	if (!chunks() || d->limit != U64_MAX)
		return;

	for (i = 0; i < world.nr_devices; i++) {
		if (world.devices[i].bound && !(seen & BIT(world.devices[i].group))) {
			seen |= BIT(world.devices[i].group);
			domains++;
		}
	}
	for (i = 0; i < npages / chunk; i++) {
		mine += host_chunk_group(i) == d->group;
		none += !host_chunk_group(i) && !world.window_block[i * chunk];
	}
	share = max(world.config.limit / world.config.chunk / (2 * domains), 1ULL);
	require(mine >= share || world.limit_changed || !none ||
		host_chunks_granted() >= world.config.limit / world.config.chunk,
		"%s of order %u failed: %lu chunks, a share is %lu, %lu are free", what, order,
		mine, share, none);
}

/* ---- operations ---- */

static enum dma_data_direction direction(struct step *s)
{
	static const enum dma_data_direction dirs[] = {
		DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_FROM_DEVICE, DMA_BIDIRECTIONAL
	};

	return dirs[(s->how >> 1) & 3];
}

static unsigned long attributes(struct step *s)
{
	return ((s->how >> 3) & 7 ? 0 : DMA_ATTR_SKIP_CPU_SYNC) |
	       ((s->how >> 6) & 1 ? DMA_ATTR_NO_WARN : 0);
}

static void op_map(struct step *s, struct device_model *d)
{
	struct map_model *m = map_of(s, false);
	unsigned int order;
	u64 r = s->b;
	u32 off, max = 20;
	dma_addr_t dma;
	u64 phys;

	if (!m)
		return;
	/* Few are large */
	if (world_random(&r) % 8)
		max = 13;
	m->nr_pieces = 1;
	m->pieces[0].len = min_t(u64, log_size(&r, max), world.max_mapping);
	if (!(world_random(&r) % 4))
		m->pieces[0].len = PAGE_SIZE << world_random(&r) % 5;
	if (m->pieces[0].len > world.max_mapping)
		m->pieces[0].len = world.max_mapping;
	m->dev = d - world.devices;
	m->dir = direction(s);
	m->attrs = attributes(s);
	off = world_random(&r) % PAGE_SIZE;
	if (world_random(&r) & 1)
		off &= ~511U;
	if (!get_buffer(m, &r, off))
		return;

	phys = virt_to_phys(m->pieces[0].cpu);
	off = phys & d->align;
	/* A driver's buffer does not cross what its device cannot */
	if (off + m->total - 1 > d->boundary) {
		forget(m);
		return;
	}
	order = fls64(max_t(u64, off + m->total - 1, d->align) >> PAGE_SHIFT);
	CALL(d, s, dma = ops->map_phys(dev, phys, m->total, m->dir, m->attrs));
	trace("cpu %u dev %u map %#llx+%#zx dir %d attrs %#lx -> %#llx",
	      s->cpu, m->dev, phys, m->total, m->dir, m->attrs, dma);
	quiet(0, dma == DMA_MAPPING_ERROR && !(m->attrs & DMA_ATTR_NO_WARN));
	if (dma == DMA_MAPPING_ERROR) {
		check_full(d, order, "map");
		forget(m);
		return;
	}
	world.maps_done++;
	m->kind = KIND_SINGLE;
	m->nr_segs = 1;
	m->segs[0] = (struct segment){ dma, m->total };
	require(!((dma ^ phys) & d->align), "map of %#llx at %#llx: bits %#llx",
		phys, dma, d->align);
	require(!((dma ^ (dma + m->total - 1)) & ~d->boundary),
		"%#llx, %#zx bytes, crosses %#llx", dma, m->total, d->boundary);
	if (!world.bounce) {
		m->block = ((dma >> PAGE_SHIFT) & ~(BIT(order) - 1)) -
			   (world.config.window_dma >> PAGE_SHIFT);
		m->block_pages = BIT(order);
	}
	check_segments(m, d);
}

static void op_map_sg(struct step *s, struct device_model *d)
{
	struct map_model *m = map_of(s, false);
	unsigned int i, n, chain, slots, at;
	struct scatterlist *sg;
	size_t total = 0;
	u64 r = s->b;
	u32 off, max;
	int ret;

	if (!m)
		return;
	n = 1 + world_random(&r) % (world_random(&r) % 16 ? 12 : MAX_PIECES);
	max = n > 40 ? 12 : 14;
	m->nr_pieces = n;
	off = world_random(&r) % 2 ? 0 : world_random(&r) % PAGE_SIZE;
	for (i = 0; i < n; i++) {
		u32 len = world_random(&r) % 3 ? PAGE_SIZE : log_size(&r, max);

		/* What the block layer would not make */
		len = min_t(u64, len, d->max_seg);
		len = min_t(u64, len, d->boundary + 1 - min(d->boundary,
			    (u64)(d->align | ~PAGE_MASK)));
		m->pieces[i].len = max_t(u32, len, 1);
		total += m->pieces[i].len;
	}
	m->dev = d - world.devices;
	m->dir = direction(s);
	m->attrs = attributes(s);
	if (!get_buffer(m, &r, off))
		return;

	/* Now and then the array is chained, as that of the block layer is */
	chain = world_random(&r) % 4 ? n + 1 : 2 + world_random(&r) % 8;
	slots = n + n / (chain - 1) + 2;
	m->sgl = calloc(slots, sizeof(*m->sgl));
	for (i = 0, at = 0; i < n; i++, at++) {
		u64 phys = virt_to_phys(m->pieces[i].cpu);

		if (at % chain == chain - 1) {
			m->sgl[at].page_link = (unsigned long)&m->sgl[at + 1] | SG_CHAIN;
			at++;
		}
		sg_set_page(&m->sgl[at], phys_to_page(phys), m->pieces[i].len,
			    offset_in_page(phys));
		/* Left by an earlier use of the list */
		m->sgl[at].dma_length = 0x5a5a;
		m->sgl[at].dma_address = 0x5a5a5a5a;
		if (i == n - 1)
			sg_mark_end(&m->sgl[at]);
	}

	CALL(d, s, ret = ops->map_sg(dev, m->sgl, n, m->dir, m->attrs));
	trace("cpu %u dev %u map_sg of %u, %#zx bytes, dir %d attrs %#lx -> %d",
	      s->cpu, m->dev, n, m->total, m->dir, m->attrs, ret);
	quiet(0, ret < 0 && !(m->attrs & DMA_ATTR_NO_WARN));
	if (ret < 0) {
		require(ret == -ENOMEM || (ret == -EINVAL && total > world.max_mapping),
			"map_sg of %#zx bytes says %d", total, ret);
		free(m->sgl);
		m->sgl = NULL;
		forget(m);
		return;
	}
	require(ret && ret <= (int)n, "%d segments of %u entries", ret, n);
	world.maps_done++;
	world.nr_lists++;
	m->kind = KIND_SG;
	m->nr_segs = ret;
	for (i = 0, sg = m->sgl; i < m->nr_segs; i++, sg = sg_next(sg))
		m->segs[i] = (struct segment){ sg_dma_address(sg), sg_dma_len(sg) };
	require(!sg || !sg_dma_len(sg), "the entry after the last segment is not empty");
	check_segments(m, d);
	check_list(m, d);
}

static void do_unmap(struct map_model *m, struct step *s, unsigned long attrs)
{
	struct device_model *d = &world.devices[m->dev];
	bool back = m->dir != DMA_TO_DEVICE && !(attrs & DMA_ATTR_SKIP_CPU_SYNC);

	verify(m);
	trace("cpu %u dev %u unmap %#llx+%#zx, mapping %td, attrs %#lx", s->cpu, m->dev,
	      m->segs[0].dma, m->total, m - world.maps, attrs);
	if (m->kind == KIND_COHERENT) {
		CALL(d, s, ops->free(dev, m->total, m->vaddr, m->segs[0].dma, 0));
	} else if (m->kind == KIND_SINGLE) {
		CALL(d, s, ops->unmap_phys(dev, m->segs[0].dma, m->total, m->dir, attrs));
		world.unmaps_done++;
	} else {
		CALL(d, s, ops->unmap_sg(dev, m->sgl, m->nr_pieces, m->dir, attrs));
		world.unmaps_done++;
	}
	quiet(0, false);
	if (m->kind != KIND_COHERENT) {
		if (back)
			memcpy(m->cpu, m->dma, m->total);
		verify_cpu(m);
	}
	forget(m);
}

static void op_unmap(struct step *s)
{
	struct map_model *m = map_of(s, true);
	unsigned long attrs;

	if (!m)
		return;
	attrs = m->attrs & DMA_ATTR_SKIP_CPU_SYNC;
	/* Error paths skip the copy that the map did not */
	if (!(s->c % 16))
		attrs |= DMA_ATTR_SKIP_CPU_SYNC;
	do_unmap(m, s, attrs);
}

/* A queue that is emptied at once: more unmaps in a row than a request has room for */
static void op_unmap_all(struct step *s)
{
	unsigned int i;

	for (i = 0; i < MAX_MAPS; i++)
		if (world.maps[i].kind)
			do_unmap(&world.maps[i], s, DMA_ATTR_SKIP_CPU_SYNC);
}

/* The image that a sync changes, if it copies at all */
static void sync_image(struct map_model *m, size_t from, size_t n, bool to_device)
{
	if (m->kind == KIND_COHERENT)
		return;
	if (to_device && m->dir != DMA_FROM_DEVICE)
		memcpy(m->dma + from, m->cpu + from, n);
	if (!to_device && m->dir != DMA_TO_DEVICE)
		memcpy(m->cpu + from, m->dma + from, n);
}

/*
 * Another mapping of the device that follows without a gap. Drivers may take both as one if
 * they are for both directions; what goes on past others is left alone
 */
static struct map_model *neighbour(struct map_model *m)
{
	unsigned int i;

	for (i = 0; i < MAX_MAPS; i++) {
		struct map_model *o = &world.maps[i];

		if (o->kind == KIND_SINGLE && o->dev == m->dev && o->dir == m->dir &&
		    o->segs[0].dma == m->segs[0].dma + m->total &&
		    !(o->segs[0].dma & ~PAGE_MASK))
			return o;
	}
	return NULL;
}

/* Part of a segment, and sometimes more than there is of the mapping */
static void op_sync(struct step *s)
{
	struct map_model *m = map_of(s, true);
	struct map_model *next = NULL;
	bool to_device = s->how & 2;
	size_t off, n, more = 0, at = 0;
	struct device_model *d;
	struct segment *seg;
	unsigned int i;
	u64 r = s->b;

	if (!m || m->orphan)
		return;
	d = &world.devices[m->dev];
	i = world_random(&r) % m->nr_segs;
	seg = &m->segs[i];
	while (i--)
		at += m->segs[i].len;
	off = world_random(&r) % 2 ? 0 : world_random(&r) % seg->len;
	n = world_random(&r) % 2 ? seg->len - off : 1 + world_random(&r) % (seg->len - off);
	/* Clamped to the mapping; only where that leaves no doubt what is asked */
	if (m->kind == KIND_SINGLE && !(s->c % 32) && off + n == seg->len &&
	    ((seg->dma + seg->len) & ~PAGE_MASK))
		n = PAGE_ALIGN(seg->dma + seg->len) - seg->dma - off;
	if (m->kind == KIND_SINGLE && off + n == seg->len)
		next = neighbour(m);
	if (next)
		more = 1 + world_random(&r) % next->total;

	if (to_device)
		CALL(d, s, ops->sync_single_for_device(dev, seg->dma + off, n + more, m->dir));
	else
		CALL(d, s, ops->sync_single_for_cpu(dev, seg->dma + off, n + more, m->dir));
	trace("cpu %u dev %u sync %#llx+%#zx to %s, mapping %td", s->cpu, m->dev,
	      seg->dma + off, n + more, to_device ? "device" : "cpu", m - world.maps);
	quiet(0, false);
	sync_image(m, at + off, min(n, seg->len - off), to_device);
	if (next) {
		if (m->dir == DMA_BIDIRECTIONAL)
			sync_image(next, 0, more, to_device);
		verify(next);
	}
	verify(m);
}

static void op_sync_sg(struct step *s)
{
	struct map_model *m = map_of(s, true);
	bool to_device = s->how & 2;
	struct device_model *d;

	if (!m || m->kind != KIND_SG)
		return;
	d = &world.devices[m->dev];
	if (to_device)
		CALL(d, s, ops->sync_sg_for_device(dev, m->sgl, m->nr_pieces, m->dir));
	else
		CALL(d, s, ops->sync_sg_for_cpu(dev, m->sgl, m->nr_pieces, m->dir));
	trace("cpu %u dev %u sync_sg to %s, mapping %td", s->cpu, m->dev,
	      to_device ? "device" : "cpu", m - world.maps);
	quiet(0, false);
	sync_image(m, 0, m->total, to_device);
	verify(m);
}

static void op_write(struct step *s, bool device)
{
	struct map_model *m = map_of(s, true);
	size_t from, n;
	u64 r = s->b;

	if (!m || (device && m->orphan))
		return;
	from = world_random(&r) % m->total;
	n = 1 + world_random(&r) % (m->total - from);
	if (world_random(&r) & 1)
		n = min_t(size_t, n, 64);
	trace("dev %u %s writes %#zx+%#zx, mapping %td", m->dev,
	      device ? "device" : "driver", from, n, m - world.maps);
	write_range(m, from, n, device);
	verify(m);
}

static void op_alloc(struct step *s, struct device_model *d)
{
	struct map_model *m = map_of(s, false);
	u64 r = s->b, limit;
	dma_addr_t dma = 0;
	unsigned int order;

	if (!m)
		return;
	m->total = log_size(&r, world_random(&r) % 4 ? 14 : 20);
	limit = min_not_zero(d->pdev->dev.coherent_dma_mask, d->pdev->dev.bus_dma_limit);
	CALL(d, s, m->vaddr = ops->alloc(dev, m->total, &dma, GFP_ATOMIC,
					 (s->how >> 1) & 1 ? DMA_ATTR_NO_WARN : 0));
	trace("cpu %u dev %td alloc %#zx -> %#llx", s->cpu, d - world.devices, m->total,
	      m->vaddr ? dma : DMA_MAPPING_ERROR);
	quiet(0, !m->vaddr && !((s->how >> 1) & 1));
	order = order_base_2(PFN_UP(m->total));
	if (!m->vaddr) {
		struct device_model reach = *d;

		reach.limit = limit;
		check_full(&reach, order, "alloc");
		return;
	}
	m->kind = KIND_COHERENT;
	m->dev = d - world.devices;
	m->dir = DMA_BIDIRECTIONAL;
	m->nr_pieces = m->nr_segs = 1;
	m->pieces[0] = (struct piece){ m->vaddr, m->total };
	m->segs[0] = (struct segment){ dma, m->total };
	require(zeroes(m->vaddr, PAGE_ALIGN(m->total)), "coherent memory is not zeroed");
	require(IS_ALIGNED(dma, PAGE_SIZE << order), "%#zx bytes at %#llx", m->total, dma);
	require(dma + m->total - 1 <= limit, "%#llx, the mask is %#llx", dma, limit);
	require(host_dma(d->rid, dma, PAGE_ALIGN(m->total)) == m->vaddr,
		"driver and device do not see the same");
	/* One memory, one image */
	m->cpu = calloc(1, m->total);
	m->dma = m->cpu;
	m->block = (dma - world.config.window_dma) >> PAGE_SHIFT;
	m->block_pages = PFN_UP(m->total);
	/* What is larger than a chunk costs whole ones */
	if (m->total > world.config.chunk)
		m->block_pages = round_up(m->block_pages, world.config.chunk >> PAGE_SHIFT);
	check_segments(m, d);
}

/* One device's address in another's hands: nothing happens but a WARN() */
static void op_wrong_device(struct step *s, struct device_model *d)
{
	struct map_model *m = map_of(s, true);
	enum dma_data_direction dir = direction(s);

	if (!m || &world.devices[m->dev] == d || m->orphan)
		return;
	trace("dev %td touches mapping %td of dev %u", d - world.devices,
	      m - world.maps, m->dev);
	switch (s->c % 4) {
	case 0:
		CALL(d, s, ops->unmap_phys(dev, m->segs[0].dma, m->total, dir, 0));
		break;
	case 1:
		CALL(d, s, ops->sync_single_for_cpu(dev, m->segs[0].dma, m->total,
						    DMA_BIDIRECTIONAL));
		break;
	case 2:
		CALL(d, s, ops->free(dev, m->total, m->vaddr, m->segs[0].dma, 0));
		break;
	case 3:
		if (m->kind != KIND_SG)
			return;
		CALL(d, s, ops->unmap_sg(dev, m->sgl, m->nr_pieces, dir, 0));
		break;
	}
	quiet(1, true);
	/* An unmap of a list that is refused counts all the same where it began */
	verify(m);
}

/* Addresses at which nothing is */
static void op_wild(struct step *s, struct device_model *d)
{
	u64 offset = (u64)s->b << 5, dma;
	u64 size = world.config.window_size;

	offset %= size;
	if (world.window_owner[offset >> PAGE_SHIFT] || world.window_block[offset >> PAGE_SHIFT] ||
	    world.nr_lists)
		return;
	dma = s->c & 1 ? world.config.window_dma + offset : world_random(&offset);
	if (world.bounce && dma - world.config.arena_dma < world.config.arena_size)
		return;
	trace("dev %td wild address %#llx", d - world.devices, dma);
	if (s->c & 2)
		CALL(d, s, ops->unmap_phys(dev, dma, 64, direction(s), 0));
	else
		CALL(d, s, ops->sync_single_for_cpu(dev, dma, 64, DMA_FROM_DEVICE));
	quiet(1, true);
}

/* What has to be refused */
static void op_refused(struct step *s, struct device_model *d)
{
	u64 phys = virt_to_phys(shim_memory + RAM_SIZE / 2);
	enum dma_data_direction dir = direction(s);
	dma_addr_t dma = 0;
	void *p;

	trace("dev %td refused %u", d - world.devices, s->c % 6);
	switch (s->c % 6) {
	case 0:
		CALL(d, s, dma = ops->map_phys(dev, phys, 0, dir, 0));
		break;
	case 1:
		CALL(d, s, dma = ops->map_phys(dev, phys, SZ_64M, dir, 0));
		break;
	case 2:
		CALL(d, s, dma = ops->map_phys(dev, phys, 64, dir, DMA_ATTR_MMIO));
		break;
	case 3:
		CALL(d, s, dma = ops->map_phys(dev, P2P_PHYS, 64, dir, 0));
		break;
	case 4:
		CALL(d, s, dma = ops->map_phys(dev, phys, ~0UL - 100, dir, 0));
		break;
	case 5:
		CALL(d, s, p = ops->alloc(dev, ~0UL - (s->b & 0xffff), &dma, GFP_ATOMIC, 0));
		require(!p, "coherent memory of all there is");
		dma = DMA_MAPPING_ERROR;
		break;
	}
	require(dma == DMA_MAPPING_ERROR, "mapped at %#llx", dma);
	quiet(0, true);
}

static void op_unbind(struct step *s, struct device_model *d, bool leave)
{
	unsigned int i, left = 0;

	trace("unbind dev %td%s", d - world.devices, leave ? ", with all that it has" : "");
	for (i = 0; i < MAX_MAPS; i++) {
		struct map_model *m = &world.maps[i];

		if (m->kind == KIND_NONE || &world.devices[m->dev] != d)
			continue;
		if (!leave) {
			do_unmap(m, s, m->attrs & DMA_ATTR_SKIP_CPU_SYNC);
		} else if (m->kind == KIND_COHERENT) {
			m->orphan = true;
		} else {
			left++;
			forget(m);
		}
	}
	shim_unbind(d->pdev);
	d->bound = false;
	quiet(0, left);
	require(!host_attached(d->rid), "the device is attached still");
}

/* To RAM and back, devices silent: mappings of the window are what they were */
static void op_suspend(struct step *s)
{
	const struct dev_pm_ops *pm = shim_driver->driver.pm;
	struct device *dev = &world.host->dev;
	unsigned int i;

	/* A host that grants less than before takes the guest's memory away */
	if (world.bounce || (chunks() && host_chunks_granted() * world.config.chunk >
					 world.config.limit))
		return;
	trace("suspend %s", s->c & 1 ? "to RAM" : "to idle");
	require(!pm->suspend_noirq(dev), "no suspend");
	if (s->c & 1)
		host_machine_reset();
	require(!pm->resume_noirq(dev), "no resume");
	quiet(0, false);
	for (i = 0; i < MAX_MAPS; i++)
		if (world.maps[i].kind)
			verify(&world.maps[i]);
}

/* The host changes its mind; what is granted stays so */
static void op_limit(struct step *s)
{
	u64 n = world.config.window_size / world.config.chunk, limit = 1 + s->a % n;

	/* The module notices, but not at once */
	world.limit_changed = true;
	world.config.limit = limit * world.config.chunk;
	trace("limit %llu of %llu chunks", limit, n);
	host_set_limit(world.config.limit);
}

static void op_bind(struct device_model *d)
{
	trace("bind dev %td", d - world.devices);
	shim_bind(d->pdev);
	d->bound = true;
	quiet(0, false);
	require(host_attached(d->rid), "the device is not attached");
	require(d->pdev->dev.dma_ops && d->pdev->dev.dma_ops->map_phys, "no operations");
}

static void op_check(void)
{
	char why[256];
	unsigned int i;
	int ret;

	ret = shim_debugfs_read("check", why, sizeof(why));
	require(ret == 3 && !strcmp(why, "ok\n"), "check says %s", why);
	for (i = 0; i < MAX_MAPS; i++)
		if (world.maps[i].kind)
			verify(&world.maps[i]);
	require(!host_counters.refused, "the host has refused %llu requests",
		host_counters.refused);
	require(!host_counters.faults, "%llu DMAs were refused", host_counters.faults);
	quiet(0, false);
}

/**
 * world_step - do one step
 * @step: what
 *
 * Panics when anything is not as it should be.
 */
void world_step(const struct step *step)
{
	struct step copy = *step, *s = &copy;
	struct device_model *d = &world.devices[s->dev % world.nr_devices];

	s->cpu %= nr_cpu_ids;
	shim_set_cpu(s->cpu);
	if (!d->bound && s->op != OP_UNMAP && s->op != OP_SYNC && s->op != OP_SYNC_SG &&
	    s->op != OP_CPU_WRITE && s->op != OP_DEV_WRITE && s->op != OP_TIME &&
	    s->op != OP_CHECK && s->op != OP_BIND && s->op != OP_LIMIT &&
	    s->op != OP_UNMAP_ALL && s->op != OP_SUSPEND)
		return;
	switch (s->op) {
	case OP_MAP:
		op_map(s, d);
		break;
	case OP_MAP_SG:
		op_map_sg(s, d);
		break;
	case OP_UNMAP:
		op_unmap(s);
		break;
	case OP_SYNC:
		op_sync(s);
		break;
	case OP_SYNC_SG:
		op_sync_sg(s);
		break;
	case OP_CPU_WRITE:
		op_write(s, false);
		break;
	case OP_DEV_WRITE:
		op_write(s, true);
		break;
	case OP_ALLOC:
		op_alloc(s, d);
		break;
	case OP_WRONG_DEVICE:
		op_wrong_device(s, d);
		break;
	case OP_WILD:
		op_wild(s, d);
		break;
	case OP_REFUSED:
		op_refused(s, d);
		break;
	case OP_TIME:
		shim_run_work(s->c % 4 ? s->a % 20 : s->a % (8 * HZ));
		quiet(0, false);
		break;
	case OP_UNBIND:
		op_unbind(s, d, !(s->c % 4));
		break;
	case OP_BIND:
		if (!d->bound)
			op_bind(d);
		break;
	case OP_CHECK:
		op_check();
		break;
	case OP_UNMAP_ALL:
		op_unmap_all(s);
		break;
	case OP_SUSPEND:
		op_suspend(s);
		break;
	case OP_LIMIT:
		if (chunks() && !world.limit_fixed)
			op_limit(s);
		break;
	}
}

/* ---- beginning and end ---- */

/* Nobody may have anything in a chunk that is given back */
static void revoked(unsigned long chunk)
{
	unsigned long pages = world.config.chunk >> PAGE_SHIFT, i;

	for (i = chunk * pages; i < (chunk + 1) * pages; i++)
		require(!world.window_owner[i], "chunk %lu is revoked, but page %#lx is mapping %d's",
			chunk, i, world.window_owner[i]);
}

static u64 pick(u64 *r, const u64 *from, unsigned int n)
{
	return from[world_random(r) % n];
}

#define PICK(r, ...)							\
	({ static const u64 __f[] = { __VA_ARGS__ }; pick(r, __f, ARRAY_SIZE(__f)); })

static void make_device(struct device_model *d, u64 *r, unsigned int n)
{
	struct pci_dev *pdev;

	d->rid = PCI_DEVID(n & 1, PCI_DEVFN(1 + n, world_random(r) % 8));
	pdev = shim_device_add(d->rid >> 8, d->rid & 0xff, 0x00ff00);
	d->pdev = pdev;
	/* Mostly one of its own */
	d->group = world_random(r) % 4 ? n + 1 : 1;
	host_set_group(d->rid, d->group);
	d->align = PICK(r, 0, 0, 511, 4095, 4095, 63, 8191, 65535);
	d->boundary = PICK(r, ~0ULL, ~0ULL, 0xffff, 0xffffffff, 0xfff, 0xfffff);
	d->boundary = max_t(u64, d->boundary, d->align);
	d->max_seg = PICK(r, SZ_64K, SZ_64K, SZ_4K, SZ_4M, U32_MAX, 12288);
	pdev->dma_parms.min_align_mask = d->align;
	pdev->dma_parms.segment_boundary_mask = d->boundary;
	pdev->dma_parms.max_segment_size = d->max_seg;
	pdev->dev.bus_dma_limit = PICK(r, 0, 0, 0, 0, 0xffffffffff);
	/* A bus may end anywhere, in the middle of a block as well */
	if (!(world_random(r) % 8))
		pdev->dev.bus_dma_limit = world.config.window_dma +
					  world.config.window_size / 2 + 0x5432;
}

/* As dma_set_mask_and_coherent() of a driver's probe does */
static void set_mask(struct device_model *d, u64 *r)
{
	u64 mask = DMA_BIT_MASK(PICK(r, 64, 64, 64, 32, 36, 24));
	struct device *dev = &d->pdev->dev;

	if (!dev->dma_ops->dma_supported(dev, mask))
		mask = DMA_BIT_MASK(64);
	*dev->dma_mask = mask;
	dev->coherent_dma_mask = mask;
	d->limit = min_not_zero(mask, dev->bus_dma_limit);
}

static void make_host(u64 *r)
{
	struct host_config *c = &world.config;

	c->features = PICK(r, PV_IOMMU_F_WINDOW, PV_IOMMU_F_WINDOW,
			   PV_IOMMU_F_WINDOW | PV_IOMMU_F_BOUNCE, PV_IOMMU_F_BOUNCE);
	c->window_phys = PICK(r, 0x8000000, 0x100200000, 0x1f0000000 - SZ_64M);
	c->window_size = SZ_2M * PICK(r, 1, 2, 3, 4, 8);
	/* Interrupt messages end what is just below them */
	c->window_dma = PICK(r, SZ_1M, SZ_2M, SZ_4M, 15 * SZ_1M, 0xfde00000ULL, SZ_4G - SZ_1M,
			     1ULL << 38, (1ULL << 40) + SZ_64K);
	c->chunk = host_chunk_size(c->window_size, c->window_dma);
	c->limit = c->window_size;
	world.limit_fixed = world_random(r) & 1;
	if (world_random(r) & 1)
		c->limit = (2 + world_random(r) % (c->window_size / c->chunk - 1)) * c->chunk;
	if (world_random(r) & 1)
		c->features |= PV_IOMMU_F_CHUNKS;
	else
		c->limit = c->window_size;
	c->arena_dma = PICK(r, SZ_64M, SZ_512M, SZ_4G * 3);
	c->arena_size = SZ_1M * PICK(r, 1, 2, 4, 6);
	world.bounce = !(c->features & PV_IOMMU_F_WINDOW);
	/* The memory was another's before: nothing of it may be seen */
	shim_unpoison(phys_to_virt(c->window_phys), c->window_size);
	memset(phys_to_virt(c->window_phys), 0xa5, c->window_size);
}

/**
 * world_begin - make a world
 * @seed: which
 */
void world_begin(u64 seed)
{
	unsigned int i;
	u64 r = seed;

	memset(&world, 0, sizeof(world));
	shim_init(1 + world_random(&r) % 8, RAM_SIZE);
	shim_pages[PHYS_PFN(P2P_PHYS)].flags = SHIM_PG_RAM | SHIM_PG_DEVICE | SHIM_PG_P2P;
	make_host(&r);
	world.fill = world_random(&r);
	world.window_owner = calloc(1, world.config.window_size >> PAGE_SHIFT);
	world.window_block = calloc(1, world.config.window_size >> PAGE_SHIFT);
	world.arena_owner = calloc(1, world.config.arena_size >> PAGE_SHIFT);
	world.host = host_create(&world.config);
	world.nr_devices = 1 + world_random(&r) % MAX_DEVICES;
	for (i = 0; i < world.nr_devices; i++)
		make_device(&world.devices[i], &r, i);
	host_revoked = revoked;
	trace("window %#llx+%#llx at %#llx, arena %#llx+%#llx, chunk %#llx, limit %#llx, features %#llx, %u CPUs",
	      world.config.window_dma, world.config.window_size, world.config.window_phys,
	      world.config.arena_dma, world.config.arena_size, world.config.chunk,
	      world.config.limit, world.config.features,
	      nr_cpu_ids);

	require(!shim_module_init() && !shim_probe_result, "probe says %d: %s",
		shim_probe_result, shim_log.last);
	for (i = 0; i < world.nr_devices; i++) {
		struct device_model *d = &world.devices[i];

		op_bind(d);
		set_mask(d, &r);
		trace("dev %u: rid %#x limit %#llx align %#llx boundary %#llx max_seg %#x",
		      i, d->rid, d->limit, d->align, d->boundary, d->max_seg);
	}
	world.max_mapping = world.devices[0].pdev->dev.dma_ops->max_mapping_size(
				&world.devices[0].pdev->dev);
	require(world.max_mapping >= PAGE_SIZE, "%zu bytes at most", world.max_mapping);
}

/* The row of the totals in debugfs */
static void check_totals(void)
{
	unsigned long long maps, unmaps;
	char text[4096], *row;

	if (shim_debugfs_read("devices", text, sizeof(text)) < 0)
		return;
	row = strstr(text, "total");
	require(row && sscanf(row, "total - %llu %llu", &maps, &unmaps) == 2,
		"no totals in %s", text);
	require(maps == world.maps_done, "%llu maps counted, %llu done", maps,
		world.maps_done);
}

/**
 * world_end - take it down, and see that nothing is left
 */
void world_end(void)
{
	struct step s = { };
	unsigned int i;

	shim_set_cpu(0);
	op_check();
	for (i = 0; i < MAX_MAPS; i++)
		if (world.maps[i].kind)
			do_unmap(&world.maps[i], &s, 0);
	for (i = 0; i < world.nr_devices; i++)
		if (world.devices[i].bound)
			op_unbind(&s, &world.devices[i], false);
	check_totals();
	op_check();
	require(!host_mappings(), "the host has %u mappings still", host_mappings());
	for (i = 0; i < world.nr_devices; i++)
		require(!world.devices[i].pdev->dev.dma_ops, "dev %u has operations still", i);
	shim_module_exit();
	require(!shim_module.refs, "%d references to the module", shim_module.refs);
	quiet(0, false);
	shim_free_devices();
	host_destroy();
	shim_exit();
	free(world.window_owner);
	free(world.window_block);
	free(world.arena_owner);
}

/**
 * world_make_steps - what happens in a world
 * @seed: which
 * @steps: where they go
 * @n: how many
 */
void world_make_steps(u64 seed, struct step *steps, unsigned int n)
{
	u64 r = ~seed;
	unsigned int i;

	for (i = 0; i < n; i++) {
		unsigned int w = world_random(&r) % 1024, op = 0;
		u64 x = world_random(&r), y = world_random(&r);

		while (w >= op_weight[op] && op < OP_NR - 1)
			w -= op_weight[op++];
		steps[i] = (struct step){ op, x, x >> 8, x >> 16, x >> 32, y, y >> 32 };
	}
}
