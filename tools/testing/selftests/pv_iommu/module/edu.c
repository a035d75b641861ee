// SPDX-License-Identifier: GPL-2.0
/*
 * Driver for QEMU's edu device (docs/specs/edu in QEMU's tree), whose DMA
 * engine moves bytes between memory and a buffer of 4 KiB that the CPU cannot
 * see. So the device "reads" memory in two transfers, into its buffer and out
 * to a coherent scratch page, and "writes" it in two. A transfer takes 100 ms
 * of the guest's time and ends with an MSI, which shows that interrupts get
 * through as well.
 */
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "pvt.h"

#define EDU_REG_IRQ_STATUS	0x24
#define EDU_REG_IRQ_RAISE	0x60
#define EDU_REG_IRQ_ACK		0x64
#define EDU_REG_DMA_SRC		0x80
#define EDU_REG_DMA_DST		0x88
#define EDU_REG_DMA_COUNT	0x90
#define EDU_REG_DMA_CMD		0x98

#define EDU_DMA_RUN		0x1
#define EDU_DMA_TO_MEMORY	0x2
#define EDU_DMA_IRQ		0x4

#define EDU_IRQ_DMA		0x100
#define EDU_IRQ_TEST		0x1

#define EDU_BUF			0x40000
#define EDU_BUF_SIZE		4096
/* QEMU 7.2 stops the machine when a transfer ends at the buffer's very end */
#define EDU_XFER_MAX		(EDU_BUF_SIZE - 1)

#define EDU_TIMEOUT		(20 * HZ)

/**
 * struct pvt_edu - one edu device
 * @node: in pvt_edus
 * @pdev: the PCI device
 * @regs: its BAR 0
 * @lock: serialises the transfers
 * @done: completed by the interrupt
 * @scratch: coherent memory, EDU_BUF_SIZE bytes
 * @scratch_dma: its DMA address
 * @streaming: it is ordinary memory, mapped and synced: the device reaches none
 *	that is coherent
 * @held_dma: where it has pvt_held mapped, until its driver goes
 * @holds: whether it has
 * @irq_fn: called by the interrupt handler when it was raised by hand
 * @irq_arg: its argument
 */
struct pvt_edu {
	struct list_head node;
	struct pci_dev *pdev;
	void __iomem *regs;
	struct mutex lock;	/* one transfer, or pair of them, at a time */
	struct completion done;
	void *scratch;
	dma_addr_t scratch_dma;
	bool streaming;
	dma_addr_t held_dma;
	bool holds;
	void (*irq_fn)(void *arg);
	void *irq_arg;
};

static uint mask_bits = 28;
module_param(mask_bits, uint, 0444);
MODULE_PARM_DESC(mask_bits, "Address bits of the devices (28, as QEMU has it without dma_mask=)");

u64 pvt_edu_mask(void)
{
	return DMA_BIT_MASK(mask_bits);
}

static LIST_HEAD(pvt_edus);
static DEFINE_MUTEX(pvt_edus_lock);

/* A page that is nobody else's while this module is there, whoever has it mapped */
static struct page *pvt_held;

struct pvt_edu *pvt_edu_get(unsigned int index)
{
	struct pvt_edu *edu, *found = NULL;

	mutex_lock(&pvt_edus_lock);
	list_for_each_entry(edu, &pvt_edus, node) {
		if (!index--) {
			found = edu;
			break;
		}
	}
	mutex_unlock(&pvt_edus_lock);
	return found;
}

void pvt_edu_show_scratch(struct seq_file *m)
{
	struct pvt_edu *edu;

	mutex_lock(&pvt_edus_lock);
	list_for_each_entry(edu, &pvt_edus, node)
		seq_printf(m, "%s %pad\n", pci_name(edu->pdev), &edu->scratch_dma);
	mutex_unlock(&pvt_edus_lock);
}

void pvt_edu_show_held(struct seq_file *m)
{
	struct pvt_edu *edu;

	mutex_lock(&pvt_edus_lock);
	list_for_each_entry(edu, &pvt_edus, node) {
		if (edu->holds)
			seq_printf(m, "%s %pad\n", pci_name(edu->pdev), &edu->held_dma);
	}
	mutex_unlock(&pvt_edus_lock);
}

/* What user memory is there for, and can be taken offline, if nobody has it */
static struct page *pvt_held_movable(void)
{
	struct page *page = alloc_page(GFP_HIGHUSER_MOVABLE);

	if (page && page_zonenum(page) != ZONE_MOVABLE) {
		__free_page(page);
		page = NULL;
	}
	return page;
}

/* The first device maps the page, and keeps it so */
int pvt_edu_hold(bool movable)
{
	struct pvt_edu *edu;
	struct device *dev;
	int ret = -EBUSY;

	mutex_lock(&pvt_edus_lock);
	edu = list_first_entry_or_null(&pvt_edus, struct pvt_edu, node);
	if (!edu || edu->holds || (movable && pvt_held))
		goto out;
	ret = -ENOMEM;
	if (!pvt_held)
		pvt_held = movable ? pvt_held_movable() :
				     alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!pvt_held)
		goto out;
	dev = &edu->pdev->dev;
	edu->held_dma = dma_map_page(dev, pvt_held, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	edu->holds = !dma_mapping_error(dev, edu->held_dma);
	ret = edu->holds ? 0 : -EIO;
out:
	mutex_unlock(&pvt_edus_lock);
	return ret;
}

static void pvt_edu_unhold(struct pvt_edu *edu)
{
	if (edu->holds)
		dma_unmap_page(&edu->pdev->dev, edu->held_dma, PAGE_SIZE,
			       DMA_BIDIRECTIONAL);
	edu->holds = false;
}

/* And now nobody does any more, and it is free */
void pvt_edu_release(void)
{
	struct pvt_edu *edu;

	mutex_lock(&pvt_edus_lock);
	list_for_each_entry(edu, &pvt_edus, node)
		pvt_edu_unhold(edu);
	if (pvt_held)
		__free_page(pvt_held);
	pvt_held = NULL;
	mutex_unlock(&pvt_edus_lock);
}

struct device *pvt_edu_dev(struct pvt_edu *edu)
{
	return &edu->pdev->dev;
}

/* The DMA address of what its driver holds all the time */
dma_addr_t pvt_edu_scratch(struct pvt_edu *edu)
{
	return edu->scratch_dma;
}

/* What a driver of the device would set, and what every case starts with */
void pvt_edu_defaults(struct pvt_edu *edu)
{
	struct device *dev = &edu->pdev->dev;

	if (dma_set_mask_and_coherent(dev, pvt_edu_mask()))
		dev_err(dev, "cannot restore the DMA mask\n");
	dma_set_max_seg_size(dev, SZ_64K);
	dma_set_seg_boundary(dev, U32_MAX);
	dma_set_min_align_mask(dev, 0);
}

static irqreturn_t pvt_edu_irq(int irq, void *data)
{
	struct pvt_edu *edu = data;
	u32 status = readl(edu->regs + EDU_REG_IRQ_STATUS);

	if (!status)
		return IRQ_NONE;
	writel(status, edu->regs + EDU_REG_IRQ_ACK);
	if ((status & EDU_IRQ_TEST) && edu->irq_fn)
		edu->irq_fn(edu->irq_arg);
	complete(&edu->done);
	return IRQ_HANDLED;
}

/* Call @fn in the device's interrupt handler */
int pvt_edu_in_irq(struct pvt_edu *edu, void (*fn)(void *arg), void *arg)
{
	int ret = 0;

	mutex_lock(&edu->lock);
	reinit_completion(&edu->done);
	edu->irq_arg = arg;
	edu->irq_fn = fn;
	writel(EDU_IRQ_TEST, edu->regs + EDU_REG_IRQ_RAISE);
	if (!wait_for_completion_timeout(&edu->done, EDU_TIMEOUT))
		ret = -ETIMEDOUT;
	edu->irq_fn = NULL;
	mutex_unlock(&edu->lock);
	return ret;
}

static void pvt_edu_run(struct pvt_edu *edu, u64 src, u64 dst, size_t len, u32 cmd)
{
	reinit_completion(&edu->done);
	writeq(src, edu->regs + EDU_REG_DMA_SRC);
	writeq(dst, edu->regs + EDU_REG_DMA_DST);
	writeq(len, edu->regs + EDU_REG_DMA_COUNT);
	writeq(cmd | EDU_DMA_RUN | EDU_DMA_IRQ, edu->regs + EDU_REG_DMA_CMD);
}

/*
 * A transfer of up to EDU_XFER_MAX bytes, from or to wherever the device can: it ends
 * with pvt_edu_end(). Nobody else drives the device meanwhile.
 */
void pvt_edu_begin(struct pvt_edu *edu, u64 dma, size_t len, bool write)
{
	if (write)
		pvt_edu_run(edu, EDU_BUF, dma, len, EDU_DMA_TO_MEMORY);
	else
		pvt_edu_run(edu, dma, EDU_BUF, len, 0);
}

int pvt_edu_end(struct pvt_edu *edu)
{
	return wait_for_completion_timeout(&edu->done, EDU_TIMEOUT) ? 0 : -ETIMEDOUT;
}

static int pvt_edu_xfer(struct pvt_edu *edu, u64 src, u64 dst, size_t len,
			u32 cmd)
{
	while (len) {
		size_t n = min_t(size_t, len, EDU_XFER_MAX);

		pvt_edu_run(edu, src, dst, n, cmd);
		if (pvt_edu_end(edu))
			return -ETIMEDOUT;
		src += n;
		dst += n;
		len -= n;
	}
	return 0;
}

/* Memory to the device's buffer */
int pvt_edu_load(struct pvt_edu *edu, dma_addr_t dma, size_t pos, size_t len)
{
	/* the second half of what cannot be one transfer must fit as well */
	if (WARN_ON_ONCE(pos + len > EDU_BUF_SIZE))
		return -EINVAL;
	return pvt_edu_xfer(edu, dma, EDU_BUF + pos, len, 0);
}

/* The device's buffer to memory */
int pvt_edu_store(struct pvt_edu *edu, dma_addr_t dma, size_t pos, size_t len)
{
	if (WARN_ON_ONCE(pos + len > EDU_BUF_SIZE))
		return -EINVAL;
	return pvt_edu_xfer(edu, EDU_BUF + pos, dma, len, EDU_DMA_TO_MEMORY);
}

static void pvt_edu_sync_scratch(struct pvt_edu *edu, bool for_device)
{
	struct device *dev = &edu->pdev->dev;

	if (!edu->streaming)
		return;
	if (for_device)
		dma_sync_single_for_device(dev, edu->scratch_dma, EDU_BUF_SIZE,
					   DMA_BIDIRECTIONAL);
	else
		dma_sync_single_for_cpu(dev, edu->scratch_dma, EDU_BUF_SIZE,
					DMA_BIDIRECTIONAL);
}

/*
 * Move @len bytes between @buf and the pieces of @sgl, as many pieces at a time
 * as the device's buffer holds. @load: the device reads memory.
 */
static int pvt_edu_move(struct pvt_edu *edu, struct scatterlist *sgl, int nents,
			void *buf, size_t len, bool load)
{
	struct scatterlist *sg = sgl;
	size_t sg_pos = 0;
	int ret = 0;

	while (len && !ret) {
		/* short of the end: see EDU_XFER_MAX */
		size_t room = min_t(size_t, len, EDU_XFER_MAX), pos = 0;

		if (!load) {
			memcpy(edu->scratch, buf, room);
			pvt_edu_sync_scratch(edu, true);
			ret = pvt_edu_load(edu, edu->scratch_dma, 0, room);
		}
		while (pos < room && !ret) {
			dma_addr_t dma;
			size_t n;

			if (sg_pos == sg_dma_len(sg)) {
				if (--nents <= 0)
					return -EMSGSIZE;
				sg = sg_next(sg);
				sg_pos = 0;
			}
			n = min_t(size_t, room - pos, sg_dma_len(sg) - sg_pos);
			dma = sg_dma_address(sg) + sg_pos;
			ret = load ? pvt_edu_load(edu, dma, pos, n) :
				     pvt_edu_store(edu, dma, pos, n);
			pos += n;
			sg_pos += n;
		}
		if (load && !ret) {
			ret = pvt_edu_store(edu, edu->scratch_dma, 0, room);
			pvt_edu_sync_scratch(edu, false);
			memcpy(buf, edu->scratch, room);
		}
		buf += room;
		len -= room;
	}
	return ret;
}

bool pvt_dev_read_sg(struct pvt *t, struct pvt_edu *edu,
		     struct scatterlist *sgl, int nents, void *buf, size_t len)
{
	int ret;

	mutex_lock(&edu->lock);
	ret = pvt_edu_move(edu, sgl, nents, buf, len, true);
	mutex_unlock(&edu->lock);
	return pvt_expect(t, !ret, "device cannot read: %d", ret);
}

bool pvt_dev_write_sg(struct pvt *t, struct pvt_edu *edu,
		      struct scatterlist *sgl, int nents, const void *buf,
		      size_t len)
{
	int ret;

	mutex_lock(&edu->lock);
	ret = pvt_edu_move(edu, sgl, nents, (void *)buf, len, false);
	mutex_unlock(&edu->lock);
	return pvt_expect(t, !ret, "device cannot write: %d", ret);
}

bool pvt_dev_read(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma,
		  void *buf, size_t len)
{
	struct scatterlist sg;

	sg_init_table(&sg, 1);
	sg_dma_address(&sg) = dma;
	sg_dma_len(&sg) = len;
	return pvt_dev_read_sg(t, edu, &sg, 1, buf, len);
}

bool pvt_dev_write(struct pvt *t, struct pvt_edu *edu, dma_addr_t dma,
		   const void *buf, size_t len)
{
	struct scatterlist sg;

	sg_init_table(&sg, 1);
	sg_dma_address(&sg) = dma;
	sg_dma_len(&sg) = len;
	return pvt_dev_write_sg(t, edu, &sg, 1, buf, len);
}

static int pvt_edu_setup_irq(struct pvt_edu *edu)
{
	struct pci_dev *pdev = edu->pdev;
	int ret;

	ret = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI);
	if (ret < 0)
		return ret;
	ret = request_irq(pci_irq_vector(pdev, 0), pvt_edu_irq, 0,
			  "pviommu_test", edu);
	if (ret)
		pci_free_irq_vectors(pdev);
	return ret;
}

static int pvt_edu_alloc_scratch(struct pvt_edu *edu)
{
	struct device *dev = &edu->pdev->dev;

	edu->scratch = dma_alloc_coherent(dev, EDU_BUF_SIZE, &edu->scratch_dma,
					  GFP_KERNEL);
	if (edu->scratch)
		return 0;

	edu->scratch = kmalloc(EDU_BUF_SIZE, GFP_KERNEL);
	if (!edu->scratch)
		return -ENOMEM;
	edu->scratch_dma = dma_map_single(dev, edu->scratch, EDU_BUF_SIZE,
					  DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, edu->scratch_dma)) {
		kfree(edu->scratch);
		return -ENOMEM;
	}
	edu->streaming = true;
	return 0;
}

static void pvt_edu_free_scratch(struct pvt_edu *edu)
{
	struct device *dev = &edu->pdev->dev;

	if (!edu->streaming) {
		dma_free_coherent(dev, EDU_BUF_SIZE, edu->scratch,
				  edu->scratch_dma);
		return;
	}
	dma_unmap_single(dev, edu->scratch_dma, EDU_BUF_SIZE, DMA_BIDIRECTIONAL);
	kfree(edu->scratch);
}

static int pvt_edu_start(struct pvt_edu *edu)
{
	struct pci_dev *pdev = edu->pdev;
	int ret;

	ret = dma_set_mask_and_coherent(&pdev->dev, pvt_edu_mask());
	if (ret)
		return ret;
	pvt_edu_defaults(edu);
	edu->regs = pci_iomap(pdev, 0, 0);
	if (!edu->regs)
		return -ENOMEM;
	ret = pvt_edu_alloc_scratch(edu);
	if (ret)
		goto err_unmap;
	pci_set_master(pdev);
	ret = pvt_edu_setup_irq(edu);
	if (ret)
		goto err_free;
	return 0;

err_free:
	pci_clear_master(pdev);
	pvt_edu_free_scratch(edu);
err_unmap:
	pci_iounmap(pdev, edu->regs);
	return ret;
}

static int pvt_edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct pvt_edu *edu;
	int ret;

	edu = kzalloc(sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	edu->pdev = pdev;
	mutex_init(&edu->lock);
	init_completion(&edu->done);
	ret = pci_enable_device(pdev);
	if (ret)
		goto err_free;
	ret = pci_request_regions(pdev, "pviommu_test");
	if (ret)
		goto err_disable;
	ret = pvt_edu_start(edu);
	if (ret)
		goto err_release;
	pci_set_drvdata(pdev, edu);
	mutex_lock(&pvt_edus_lock);
	list_add_tail(&edu->node, &pvt_edus);
	mutex_unlock(&pvt_edus_lock);
	return 0;

err_release:
	pci_release_regions(pdev);
err_disable:
	pci_disable_device(pdev);
err_free:
	kfree(edu);
	return ret;
}

static void pvt_edu_remove(struct pci_dev *pdev)
{
	struct pvt_edu *edu = pci_get_drvdata(pdev);

	mutex_lock(&pvt_edus_lock);
	list_del(&edu->node);
	mutex_unlock(&pvt_edus_lock);
	free_irq(pci_irq_vector(pdev, 0), edu);
	pci_free_irq_vectors(pdev);
	pci_clear_master(pdev);
	pvt_edu_unhold(edu);
	pvt_edu_free_scratch(edu);
	pci_iounmap(pdev, edu->regs);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
	kfree(edu);
}

static const struct pci_device_id pvt_edu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{ }
};
MODULE_DEVICE_TABLE(pci, pvt_edu_ids);

/* As most drivers do */
static int pvt_edu_resume(struct device *dev)
{
	pci_set_master(to_pci_dev(dev));
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(pvt_edu_pm_ops, NULL, pvt_edu_resume);

/*
 * Tests unbind devices only between runs, so that no run has to hold on to
 * them.
 */
static struct pci_driver pvt_edu_driver = {
	.name = "pviommu_test",
	.id_table = pvt_edu_ids,
	.probe = pvt_edu_probe,
	.remove = pvt_edu_remove,
	.driver.pm = pm_sleep_ptr(&pvt_edu_pm_ops),
};

int pvt_edu_init(void)
{
	return pci_register_driver(&pvt_edu_driver);
}

void pvt_edu_exit(void)
{
	pci_unregister_driver(&pvt_edu_driver);
	pvt_edu_release();
}
