// SPDX-License-Identifier: GPL-2.0
/*
 * dma_sync_*: the right bytes, in the right direction, and no others. @cpu and
 * @devmem model what either side holds while a mapping lives; they are the same where
 * what is mapped is the memory itself.
 */
#include <linux/kernel.h>
#include <linux/slab.h>

#include "pvt.h"

#define SYNC_LEN	3001
#define SYNC_OFF	777
#define SYNC_MANY	16

struct sync_map {
	dma_addr_t dma;
	enum dma_data_direction dir;
	size_t len;
	u8 *area;	/* the buffer that is mapped */
	u8 *buf;	/* the mapped bytes in it */
	u8 *cpu;	/* model: what @buf must hold */
	u8 *devmem;	/* model: what the device must see */
	u8 *tmp;
};

static void sync_free(struct sync_map *m)
{
	kfree(m->area);
	if (m->devmem != m->cpu)
		kfree(m->devmem);
	kfree(m->cpu);
	kfree(m->tmp);
}

static bool sync_map(struct pvt *t, struct sync_map *m,
		     enum dma_data_direction dir)
{
	m->dir = dir;
	m->len = pvt_len(SYNC_LEN);
	m->area = kmalloc(PVT_PIECE, GFP_KERNEL);
	m->cpu = kmalloc(m->len, GFP_KERNEL);
	m->devmem = pvt_direct(t) ? m->cpu : kmalloc(m->len, GFP_KERNEL);
	m->tmp = kmalloc(m->len, GFP_KERNEL);
	if (!pvt_expect(t, m->area && m->cpu && m->devmem && m->tmp,
			"no memory"))
		goto err;
	m->buf = m->area + pvt_off(SYNC_OFF);
	pvt_fill(m->buf, m->len, pvt_random(t));
	memcpy(m->cpu, m->buf, m->len);
	memcpy(m->devmem, m->buf, m->len);
	m->dma = dma_map_single(t->dev, m->buf, m->len, dir);
	if (pvt_expect(t, !dma_mapping_error(t->dev, m->dma), "cannot map"))
		return true;
err:
	sync_free(m);
	return false;
}

static void sync_unmap(struct pvt *t, struct sync_map *m)
{
	dma_unmap_single(t->dev, m->dma, m->len, m->dir);
	if (m->dir != DMA_TO_DEVICE)
		memmove(m->cpu, m->devmem, m->len);
	pvt_same(t, m->buf, m->cpu, m->len, "memory after unmap");
	sync_free(m);
}

static void sync_check(struct pvt *t, struct sync_map *m, const char *when)
{
	pvt_same(t, m->buf, m->cpu, m->len, when);
	if (pvt_dev_read(t, t->edu, m->dma, m->tmp, m->len))
		pvt_same(t, m->tmp, m->devmem, m->len, when);
}

static void sync_cpu_writes(struct pvt *t, struct sync_map *m)
{
	pvt_fill(m->buf, m->len, pvt_random(t));
	memcpy(m->cpu, m->buf, m->len);
}

static void sync_dev_writes(struct pvt *t, struct sync_map *m)
{
	pvt_fill(m->tmp, m->len, pvt_random(t));
	pvt_dev_write(t, t->edu, m->dma, m->tmp, m->len);
	/* The memory itself it may not write then: that is refused */
	if (m->dir != DMA_TO_DEVICE || !pvt_direct(t))
		memcpy(m->devmem, m->tmp, m->len);
}

static void sync_for_cpu(struct pvt *t)
{
	struct sync_map m;

	if (!sync_map(t, &m, DMA_FROM_DEVICE))
		return;
	sync_dev_writes(t, &m);
	sync_check(t, &m, "before the sync for the CPU");
	dma_sync_single_for_cpu(t->dev, m.dma, m.len, m.dir);
	memmove(m.cpu, m.devmem, m.len);
	sync_check(t, &m, "after the sync for the CPU");
	dma_sync_single_for_device(t->dev, m.dma, m.len, m.dir);
	sync_dev_writes(t, &m);
	sync_unmap(t, &m);
}

static void sync_for_device(struct pvt *t)
{
	struct sync_map m;

	if (!sync_map(t, &m, DMA_TO_DEVICE))
		return;
	dma_sync_single_for_cpu(t->dev, m.dma, m.len, m.dir);
	sync_cpu_writes(t, &m);
	sync_check(t, &m, "before the sync for the device");
	dma_sync_single_for_device(t->dev, m.dma, m.len, m.dir);
	memmove(m.devmem, m.cpu, m.len);
	sync_check(t, &m, "after the sync for the device");
	sync_unmap(t, &m);
}

/* To the device is not from the device */
static void sync_wrong_way(struct pvt *t)
{
	struct sync_map m;

	if (!sync_map(t, &m, DMA_FROM_DEVICE))
		return;
	sync_dev_writes(t, &m);
	sync_cpu_writes(t, &m);
	dma_sync_single_for_device(t->dev, m.dma, m.len, m.dir);
	sync_check(t, &m, "sync_for_device of FROM_DEVICE");
	sync_unmap(t, &m);

	if (!sync_map(t, &m, DMA_TO_DEVICE))
		return;
	sync_dev_writes(t, &m);
	sync_cpu_writes(t, &m);
	dma_sync_single_for_cpu(t->dev, m.dma, m.len, m.dir);
	sync_check(t, &m, "sync_for_cpu of TO_DEVICE");
	sync_unmap(t, &m);
}

/* Any part of the mapping, and only that part */
static void sync_partial(struct pvt *t)
{
	struct sync_map m;
	int i;

	if (!sync_map(t, &m, DMA_BIDIRECTIONAL))
		return;
	for (i = 0; i < 24 && !t->failures; i++) {
		size_t off = pvt_below(t, m.len);
		size_t len = 1 + pvt_below(t, m.len - off);

		if (!i)
			off = m.len - 1, len = 1;
		if (i & 1) {
			sync_cpu_writes(t, &m);
			dma_sync_single_range_for_device(t->dev, m.dma, off,
							 len, m.dir);
			memmove(m.devmem + off, m.cpu + off, len);
		} else {
			sync_dev_writes(t, &m);
			dma_sync_single_for_cpu(t->dev, m.dma + off, len,
						m.dir);
			memmove(m.cpu + off, m.devmem + off, len);
		}
		sync_check(t, &m, i & 1 ? "partial sync_for_device" :
					  "partial sync_for_cpu");
	}
	sync_unmap(t, &m);
}

/* A network driver's: FROM_DEVICE, only the packet's part for the CPU */
static void sync_packet(struct pvt *t)
{
	struct sync_map m;
	int i;

	if (!sync_map(t, &m, DMA_FROM_DEVICE))
		return;
	for (i = 0; i < 6 && !t->failures; i++) {
		size_t off = pvt_below(t, 64);
		size_t len = 1 + pvt_below(t, 1500);

		sync_dev_writes(t, &m);
		dma_sync_single_range_for_cpu(t->dev, m.dma, off, len, m.dir);
		memmove(m.cpu + off, m.devmem + off, len);
		sync_check(t, &m, "packet");
		dma_sync_single_range_for_device(t->dev, m.dma, off, len,
						 m.dir);
	}
	dma_unmap_single_attrs(t->dev, m.dma, m.len, m.dir,
			       DMA_ATTR_SKIP_CPU_SYNC);
	pvt_same(t, m.buf, m.cpu, m.len, "unmap without sync");
	sync_free(&m);
}

#define SYNC_SG		9

/* dma_sync_sg_* take the number of entries that was given to dma_map_sg */
static void sync_sg(struct pvt *t)
{
	struct scatterlist sgl[SYNC_SG];
	u8 *buf[SYNC_SG] = {}, *flat, *got;
	size_t len = pvt_whole() ? PAGE_SIZE : 700, total = SYNC_SG * len;
	int i, nents;

	flat = kmalloc(total, GFP_KERNEL);
	got = kmalloc(total, GFP_KERNEL);
	sg_init_table(sgl, SYNC_SG);
	for (i = 0; i < SYNC_SG; i++) {
		buf[i] = kzalloc(len, GFP_KERNEL);
		if (!pvt_expect(t, buf[i] && flat && got, "no memory"))
			goto out;
		sg_set_buf(&sgl[i], buf[i], len);
	}
	nents = dma_map_sg(t->dev, sgl, SYNC_SG, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, nents > 0, "cannot map"))
		goto out;
	pvt_fill(flat, total, pvt_random(t));
	if (pvt_dev_write_sg(t, t->edu, sgl, nents, flat, total)) {
		dma_sync_sg_for_cpu(t->dev, sgl, SYNC_SG, DMA_BIDIRECTIONAL);
		for (i = 0; i < SYNC_SG; i++)
			pvt_same(t, buf[i], flat + i * len, len, "for the CPU");
	}
	pvt_fill(flat, total, pvt_random(t));
	for (i = 0; i < SYNC_SG; i++)
		memcpy(buf[i], flat + i * len, len);
	dma_sync_sg_for_device(t->dev, sgl, SYNC_SG, DMA_BIDIRECTIONAL);
	if (pvt_dev_read_sg(t, t->edu, sgl, nents, got, total))
		pvt_same(t, got, flat, total, "for the device");
	dma_unmap_sg(t->dev, sgl, SYNC_SG, DMA_BIDIRECTIONAL);
out:
	for (i = 0; i < SYNC_SG; i++)
		kfree(buf[i]);
	kfree(flat);
	kfree(got);
}

/*
 * dma_sync_single_* on a part of a list, as by drivers that keep the segments'
 * addresses only
 */
static void sync_in_list(struct pvt *t)
{
	struct scatterlist sgl[SYNC_SG];
	u8 *buf = kmalloc(SZ_64K, GFP_KERNEL), *got = kmalloc(SZ_8K, GFP_KERNEL);
	size_t len = pvt_whole() ? PAGE_SIZE : 1500, total = SYNC_SG * len;
	size_t off = 2900, n = 3100;
	int i, nents;

	if (!pvt_expect(t, buf && got, "no memory"))
		goto out;
	pvt_fill(buf, SZ_64K, pvt_random(t));
	sg_init_table(sgl, SYNC_SG);
	for (i = 0; i < SYNC_SG; i++)
		sg_set_buf(&sgl[i], buf + i * SZ_4K, len);
	nents = dma_map_sg(t->dev, sgl, SYNC_SG, DMA_BIDIRECTIONAL);
	if (!pvt_expect(t, nents > 0, "cannot map"))
		goto out;
	if (nents > 1 && sg_dma_len(sgl) < off + n) {
		/* not merged: a part of the second segment will do */
		dma_addr_t dma = sg_dma_address(sgl + 1) + 100;

		pvt_fill(got, 500, pvt_random(t));
		pvt_dev_write(t, t->edu, dma, got, 500);
		dma_sync_single_for_cpu(t->dev, dma, 500, DMA_BIDIRECTIONAL);
		pvt_same(t, buf + SZ_4K + 100, got, 500, "part of an entry");
	} else if (pvt_whole()) {
		/* from within the first entry into the second */
		dma_addr_t dma = sg_dma_address(sgl) + off;

		pvt_fill(got, n, pvt_random(t));
		pvt_dev_write(t, t->edu, dma, got, n);
		dma_sync_single_for_cpu(t->dev, dma, n, DMA_BIDIRECTIONAL);
		pvt_same(t, buf + off, got, n, "first and second entry");
	} else if (pvt_expect(t, sg_dma_len(sgl) <= total, "too long")) {
		/* from the second entry's end into the fifth's beginning */
		dma_addr_t dma = sg_dma_address(sgl) + off;

		pvt_fill(got, n, pvt_random(t));
		pvt_dev_write(t, t->edu, dma, got, n);
		dma_sync_single_for_cpu(t->dev, dma, n, DMA_BIDIRECTIONAL);
		pvt_same(t, buf + SZ_4K + 1400, got, 100, "second entry");
		pvt_same(t, buf + 2 * SZ_4K, got + 100, 1500, "third entry");
		pvt_same(t, buf + 3 * SZ_4K, got + 1600, 1500, "fourth entry");
	}
	dma_unmap_sg(t->dev, sgl, SYNC_SG, DMA_BIDIRECTIONAL);
out:
	kfree(buf);
	kfree(got);
}

/*
 * Mappings that follow one another are synced as one: AF_XDP's pool does so
 * with pages. The second of them is reached from the middle of the first. The
 * kernel's own checks know each mapping by itself, and warn.
 */
static void sync_neighbours(struct pvt *t)
{
	u8 *buf[SYNC_MANY] = {}, *got;
	int i, n, a = -1, b = -1;
	dma_addr_t dma[SYNC_MANY];

	if (IS_ENABLED(CONFIG_DMA_API_DEBUG)) {
		pvt_skip(t, "DMA_API_DEBUG warns of it");
		return;
	}
	got = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!pvt_expect(t, got, "no memory"))
		return;
	for (n = 0; n < SYNC_MANY && a < 0; n++) {
		buf[n] = (u8 *)get_zeroed_page(GFP_KERNEL);
		if (!pvt_expect(t, buf[n], "no memory"))
			break;
		dma[n] = dma_map_single(t->dev, buf[n], PAGE_SIZE,
					DMA_BIDIRECTIONAL);
		if (!pvt_expect(t, !dma_mapping_error(t->dev, dma[n]), "cannot map")) {
			free_page((unsigned long)buf[n]);
			break;
		}
		for (i = 0; i < n; i++) {
			if (dma[i] + PAGE_SIZE == dma[n])
				a = i, b = n;
			else if (dma[n] + PAGE_SIZE == dma[i])
				a = n, b = i;
		}
	}
	if (a < 0) {
		pvt_skip(t, "no two of %d pages are neighbours", n);
		goto out;
	}

	pvt_fill(got, PAGE_SIZE, pvt_random(t));
	pvt_dev_write(t, t->edu, dma[a] + PAGE_SIZE / 2, got, PAGE_SIZE / 2);
	pvt_dev_write(t, t->edu, dma[b], got + PAGE_SIZE / 2, PAGE_SIZE / 2);
	dma_sync_single_for_cpu(t->dev, dma[a] + PAGE_SIZE / 2, PAGE_SIZE,
				DMA_BIDIRECTIONAL);
	pvt_same(t, buf[a] + PAGE_SIZE / 2, got, PAGE_SIZE / 2, "first page's end");
	pvt_same(t, buf[b], got + PAGE_SIZE / 2, PAGE_SIZE / 2, "second page's start");
	pvt_zero(t, buf[a], PAGE_SIZE / 2, "first page's start");
	pvt_zero(t, buf[b] + PAGE_SIZE / 2, PAGE_SIZE / 2, "second page's end");

	pvt_fill(buf[a], PAGE_SIZE, pvt_random(t));
	pvt_fill(buf[b], PAGE_SIZE, pvt_random(t));
	dma_sync_single_for_device(t->dev, dma[a] + 100, 2 * PAGE_SIZE - 100,
				   DMA_BIDIRECTIONAL);
	if (pvt_dev_read(t, t->edu, dma[b], got, PAGE_SIZE))
		pvt_same(t, got, buf[b], PAGE_SIZE, "second page, for the device");
	/* and what is beyond the last of them is left alone */
	dma_sync_single_for_cpu(t->dev, dma[n - 1] + PAGE_SIZE - 1, SZ_1M,
				DMA_BIDIRECTIONAL);
out:
	while (n--) {
		dma_unmap_single(t->dev, dma[n], PAGE_SIZE, DMA_BIDIRECTIONAL);
		free_page((unsigned long)buf[n]);
	}
	kfree(got);
}

static const struct pvt_case sync_cases[] = {
	{ "for_cpu", sync_for_cpu },
	{ "for_device", sync_for_device },
	{ "wrong_way", sync_wrong_way },
	{ "partial", sync_partial },
	{ "packet", sync_packet },
	{ "sg", sync_sg },
	{ "in_list", sync_in_list },
	{ "neighbours", sync_neighbours },
};

PVT_GROUP(sync);
