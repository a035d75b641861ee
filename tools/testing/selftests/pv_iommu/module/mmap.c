// SPDX-License-Identifier: GPL-2.0
/*
 * DMA memory in user space. The test maps it into the address space of whoever
 * runs the case, and reads and writes it there as user memory.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "pvt.h"

#define MMAP_LEN	SZ_16K

enum mmap_kind { MMAP_COHERENT, MMAP_PAGES, MMAP_NONCONTIGUOUS };

struct mmap_memory {
	struct device *dev;
	enum mmap_kind kind;
	dma_addr_t dma;
	void *cpu;
	struct page *page;
	struct sg_table *sgt;
};

static int mmap_file(struct file *file, struct vm_area_struct *vma)
{
	struct mmap_memory *m = file->private_data;

	switch (m->kind) {
	case MMAP_COHERENT:
		return dma_mmap_coherent(m->dev, vma, m->cpu, m->dma, MMAP_LEN);
	case MMAP_PAGES:
		return dma_mmap_pages(m->dev, vma, MMAP_LEN, m->page);
	case MMAP_NONCONTIGUOUS:
		return dma_mmap_noncontiguous(m->dev, vma, MMAP_LEN,
					      m->sgt);
	}
	return -EINVAL;
}

static const struct file_operations mmap_fops = {
	.owner = THIS_MODULE,
	.mmap = mmap_file,
};

static bool mmap_alloc(struct mmap_memory *m)
{
	switch (m->kind) {
	case MMAP_COHERENT:
		m->cpu = dma_alloc_coherent(m->dev, MMAP_LEN, &m->dma,
					    GFP_KERNEL);
		break;
	case MMAP_PAGES:
		m->page = dma_alloc_pages(m->dev, MMAP_LEN, &m->dma,
					  DMA_BIDIRECTIONAL, GFP_KERNEL);
		m->cpu = m->page ? page_address(m->page) : NULL;
		break;
	case MMAP_NONCONTIGUOUS:
		m->sgt = dma_alloc_noncontiguous(m->dev, MMAP_LEN,
						 DMA_BIDIRECTIONAL, GFP_KERNEL,
						 0);
		if (!m->sgt)
			return false;
		m->cpu = dma_vmap_noncontiguous(m->dev, MMAP_LEN, m->sgt);
		break;
	}
	return m->cpu;
}

static void mmap_free(struct mmap_memory *m)
{
	switch (m->kind) {
	case MMAP_COHERENT:
		if (m->cpu)
			dma_free_coherent(m->dev, MMAP_LEN, m->cpu, m->dma);
		break;
	case MMAP_PAGES:
		if (m->page)
			dma_free_pages(m->dev, MMAP_LEN, m->page, m->dma,
				       DMA_BIDIRECTIONAL);
		break;
	case MMAP_NONCONTIGUOUS:
		if (m->cpu)
			dma_vunmap_noncontiguous(m->dev, m->cpu);
		if (m->sgt)
			dma_free_noncontiguous(m->dev, MMAP_LEN, m->sgt,
					       DMA_BIDIRECTIONAL);
		break;
	}
}

static void mmap_use(struct pvt *t, struct mmap_memory *m, struct file *file)
{
	u8 *data = kmalloc(MMAP_LEN, GFP_KERNEL);
	unsigned long at;

	if (!pvt_expect(t, data, "no memory"))
		return;
	pvt_fill(m->cpu, MMAP_LEN, pvt_random(t));
	at = vm_mmap(file, 0, MMAP_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (!pvt_expect(t, !IS_ERR_VALUE(at), "no mapping: %ld", (long)at))
		goto out;
	if (pvt_expect(t, !copy_from_user(data, (void __user *)at, MMAP_LEN),
		       "cannot read"))
		pvt_same(t, data, m->cpu, MMAP_LEN, "user space reads");
	pvt_fill(data, MMAP_LEN, pvt_random(t));
	if (pvt_expect(t, !copy_to_user((void __user *)at, data, MMAP_LEN),
		       "cannot write"))
		pvt_same(t, m->cpu, data, MMAP_LEN, "user space wrote");
	vm_munmap(at, MMAP_LEN);

	/* past the end is refused */
	at = vm_mmap(file, 0, 2 * MMAP_LEN, PROT_READ, MAP_SHARED, 0);
	if (!pvt_expect(t, IS_ERR_VALUE(at), "more than exists was mapped"))
		vm_munmap(at, 2 * MMAP_LEN);
out:
	kfree(data);
}

static void mmap_test(struct pvt *t, enum mmap_kind kind)
{
	struct mmap_memory m = { .dev = t->dev, .kind = kind };
	struct file *file;

	if (pvt_expect(t, mmap_alloc(&m), "no memory")) {
		file = anon_inode_getfile("pviommu_test", &mmap_fops, &m,
					  O_RDWR);
		if (pvt_expect(t, !IS_ERR(file), "no file")) {
			mmap_use(t, &m, file);
			fput(file);
		}
	}
	mmap_free(&m);
}

static void mmap_coherent(struct pvt *t)
{
	mmap_test(t, MMAP_COHERENT);
}

static void mmap_pages(struct pvt *t)
{
	mmap_test(t, MMAP_PAGES);
}

static void mmap_noncontiguous(struct pvt *t)
{
	mmap_test(t, MMAP_NONCONTIGUOUS);
}

static const struct pvt_case mmap_cases[] = {
	{ "coherent", mmap_coherent },
	{ "pages", mmap_pages },
	{ "noncontiguous", mmap_noncontiguous },
};

PVT_GROUP(mmap);
