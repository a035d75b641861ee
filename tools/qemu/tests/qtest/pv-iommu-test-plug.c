/*
 * QTest testcase for the pv-iommu device: devices that come and go
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqos/libqos-malloc.h"
#include "libqos/virtio.h"
#include "libqos/virtio-pci.h"
#include "hw/pci/pci_regs.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_ring.h"
#include "pv-iommu-test.h"

#define CHUNK(n)        (WINDOW_ADDR + (uint64_t)(n) * CHUNK_SIZE)
#define CHUNK_DMA(n)    (WINDOW_DMA + (uint64_t)(n) * CHUNK_SIZE)

#define ROUNDS          10

/* q35: where configuration is mapped is said there, and is up to us */
#define MCH_PCIEXBAR    0x60
#define MMCFG           0xb0000000

/* A bridge of each kind, and what is plugged behind it */
static const struct {
    const char *bus;
    uint16_t bridge;            /* its requester ID */
    uint8_t secondary, last;    /* buses behind it */
    uint32_t mem;
    bool port;                  /* with a slot that has a switch */
    int addr;                   /* the device's place on the bus */
    uint32_t domain;            /* one behind a pcie-pci-bridge */
} place[] = {
    { "rp", 0x38, 1, 1, 0xd0000000, true, 0, 1 },
    { "conv", 0x40, 2, 3, 0xd1000000, false, 1, 2 },
    { "conv2", 0x210, 3, 3, 0xd1200000, false, 1, 2 },
    { "pxbport", 0x4000, 65, 65, 0xd3000000, true, 0, 3 },
};

#define BRIDGES                                                             \
    "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off "            \
    "-device pcie-root-port,id=rp,addr=7,chassis=1,slot=1 "               \
    "-device pcie-pci-bridge,id=conv,addr=8 "                               \
    "-device pci-bridge,id=conv2,bus=conv,addr=2,chassis_nr=9,shpc=on "     \
    "-device pxb-pcie,id=pxb,addr=9,bus_nr=64 "                             \
    "-device pcie-root-port,id=pxbport,bus=pxb,chassis=2,slot=2"

typedef struct Hot {
    Edu edu;
    uint16_t rid;
} Hot;

static Hot plug(Vm *vm, int i)
{
    g_autofree char *id = g_strdup_printf("hot%d", i);
    g_autofree char *addr = g_strdup_printf("%d", place[i].addr);
    Hot hot = {
        .rid = place[i].secondary << 8 | QPCI_DEVFN(place[i].addr, 0),
    };

    qtest_qmp_device_add(vm->qts, "edu", id, "{'bus': %s, 'addr': %s, "
                         "'dma_mask': %u}", place[i].bus, addr, UINT32_MAX);
    if (place[i].port) {
        slot_power(vm, place[i].bridge, true);
    }
    vm->bus->mmio_alloc_ptr = place[i].mem;
    hot.edu = edu_at(vm, hot.rid);
    return hot;
}

/* As a guest does that is asked to let go of it, or needs not be asked */
static void unplug(Vm *vm, int i, Hot *hot)
{
    g_autofree char *id = g_strdup_printf("hot%d", i);

    qtest_qmp_device_del_send(vm->qts, id);
    if (place[i].port) {
        slot_power(vm, place[i].bridge, false);
    }
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
    g_free(hot->edu.dev);
    g_assert_cmpuint(attach_to(vm, hot->rid, place[i].domain), ==,
                     PV_IOMMU_S_NODEV);
}

static bool reaches(Vm *vm, Hot *hot, int chunk)
{
    return dma_reaches(vm, &hot->edu, CHUNK_DMA(chunk), CHUNK(chunk));
}

/* Served by its domain, which has the chunk of that number, and nothing else */
static void check_served(Vm *vm, int i, Hot *hot)
{
    for (int chunk = 1; chunk <= 3; chunk++) {
        g_assert(reaches(vm, hot, chunk) == (chunk == place[i].domain));
    }
    g_assert(!dma_reaches(vm, &hot->edu, WILD, WILD));
}

static void serve(Vm *vm, int i, Hot *hot)
{
    uint32_t group, offers, domain = place[i].domain;

    /* whoever was there before */
    g_assert(!reaches(vm, hot, domain) || domain == 2);
    g_assert(!dma_reaches(vm, &hot->edu, WILD, WILD));
    g_assert_cmpuint(probe(vm, hot->rid, &group, &offers), ==, PV_IOMMU_S_OK);
    g_assert(offers & PV_IOMMU_PROBE_WINDOW);
    g_assert_cmpuint(attach_to(vm, hot->rid, domain), ==, PV_IOMMU_S_OK);
    g_assert_cmpuint(grant_to(vm, domain, domain, 1, 0), ==,
                     i == 2 ? PV_IOMMU_S_CHUNK : PV_IOMMU_S_OK);
}

/* Bridges have their numbers */
static Vm *bridges_start(const char *more)
{
    Vm *vm = vm_start_on("q35", ",hw-iommu=on,boot-bypass=on,arena-size=1M",
                         more);

    for (int i = 0; i < ARRAY_SIZE(place); i++) {
        bridge_number(vm, place[i].bridge, place[i].secondary, place[i].last,
                      place[i].mem);
    }
    return vm;
}

/* and pv-iommu is enabled */
static Vm *plug_start(void)
{
    Vm *vm = bridges_start(BRIDGES);

    enable_chunks(vm);
    return vm;
}

/*
 * Behind bridges of all kinds, again and again, in a machine that runs: what
 * comes is served, what stays is not disturbed, and what went leaves nothing.
 */
static void test_plug(void)
{
    Vm *vm = plug_start();
    Hot hot[ARRAY_SIZE(place)];
    int spaces = 0;

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < ARRAY_SIZE(place); i++) {
            g_test_message("round %d: %s", round, place[i].bus);
            hot[i] = plug(vm, i);
            serve(vm, i, &hot[i]);
            for (int k = 0; k <= i; k++) {
                check_served(vm, k, &hot[k]);
            }
        }
        /* none but those that went have lost anything, of those all is free */
        for (int i = 0; i < ARRAY_SIZE(place); i++) {
            unplug(vm, i, &hot[i]);
            for (int k = i + 1; k < ARRAY_SIZE(place); k++) {
                check_served(vm, k, &hot[k]);
            }
        }
        g_assert_cmphex(reg64(vm, PV_IOMMU_REG_WINDOW_GRANTED), ==, 0);
        g_assert_cmpint(nr_spaces(vm), ==, round ? spaces : nr_spaces(vm));
        spaces = nr_spaces(vm);
    }
    vm_stop(vm);
}

/* A device that is exempt, and goes: the next one in its place is not */
static void test_plug_exempt(void)
{
    Vm *vm = plug_start();

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < ARRAY_SIZE(place); i++) {
            Hot hot = plug(vm, i);

            g_assert(!dma_reaches(vm, &hot.edu, WILD, WILD));
            for (int k = 0; k < 3; k++) {
                g_assert_cmpuint(attach(vm, hot.rid, PV_IOMMU_ATTACH_BYPASS),
                                 ==, PV_IOMMU_S_OK);
                g_assert(dma_reaches(vm, &hot.edu, WILD, WILD));
            }
            unplug(vm, i, &hot);
        }
    }
    vm_stop(vm);
}

#define common_writew(d, field, value)                                      \
    qpci_io_writew((d)->pdev, (d)->bar, (d)->common_cfg_offset +            \
                   offsetof(struct virtio_pci_common_cfg, field), value)

/*
 * A device is unplugged while it is attached: memory changes by that, a virtio
 * device finds that its ring is bad, and its interrupt switches the slot off.
 */
static void test_plug_in_attach(void)
{
    const uint16_t off = PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF;
    QPCIAddress where = { .devfn = QPCI_DEVFN(0xa, 0) };
    Vm *vm = bridges_start(BRIDGES " -device virtio-rng-pci,bus=pcie.0,"
                           "addr=0xa,disable-legacy=on");
    QPCIDevice *port = qpci_device_find(vm->bus, place[0].bridge);
    QGuestAllocator alloc;
    QVirtioPCIDevice *d;
    QVirtQueue *vq;
    uint64_t slot;
    Hot hot;

    hot = plug(vm, 0);
    g_assert_cmpuint(attach(vm, hot.rid, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    g_assert_cmpuint(attach(vm, where.devfn, PV_IOMMU_ATTACH_BYPASS), ==,
                     PV_IOMMU_S_OK);
    enable_chunks(vm);

    /* where all of configuration is, and the port's slot control in it */
    qtest_outl(vm->qts, 0xcf8, 0x80000000 | MCH_PCIEXBAR);
    qtest_outl(vm->qts, 0xcfc, MMCFG | 1);
    slot = MMCFG + (place[0].bridge << 12) + PCI_EXP_SLTCTL +
           qpci_find_capability(port, PCI_CAP_ID_EXP, 0);

    alloc_init(&alloc, 0, 0x1000000, 0x2000000, GRANULE);
    vm->bus->mmio_alloc_ptr = 0xd8000000;
    d = virtio_pci_new(vm->bus, &where);
    qvirtio_pci_device_enable(d);
    qpci_msix_enable(d->pdev);
    qvirtio_start_device(&d->vdev);
    qvirtio_set_features(&d->vdev, 1ULL << VIRTIO_F_VERSION_1);
    qvirtio_pci_set_msix_configuration_vector(d, &alloc, 0);
    vq = qvirtqueue_setup(&d->vdev, &alloc, 0);
    qvirtio_set_driver_ok(&d->vdev);

    /* the ring ends where memory does; then it is longer, seen later */
    common_writew(d, queue_select, 0);
    common_writew(d, queue_size, 8);
    qpci_io_writel(d->pdev, d->bar, d->common_cfg_offset +
                   offsetof(struct virtio_pci_common_cfg, queue_desc_lo),
                   RAM_SIZE - 8 * sizeof(struct vring_desc));
    common_writew(d, queue_enable, 1);
    common_writew(d, queue_size, 16);
    if (d->vdev.bus->get_status(&d->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET) {
        g_test_skip("this QEMU judges a ring as soon as its size changes");
        goto out;
    }
    qpci_io_writel(d->pdev, d->pdev->msix_table_bar, d->pdev->msix_table_off +
                   PCI_MSIX_ENTRY_LOWER_ADDR, slot);
    qpci_io_writel(d->pdev, d->pdev->msix_table_bar, d->pdev->msix_table_off +
                   PCI_MSIX_ENTRY_UPPER_ADDR, 0);
    qpci_io_writel(d->pdev, d->pdev->msix_table_bar, d->pdev->msix_table_off +
                   PCI_MSIX_ENTRY_DATA, off);

    g_assert_cmpuint(attach_to(vm, hot.rid, 1), ==, PV_IOMMU_S_NODEV);
    qtest_qmp_eventwait(vm->qts, "DEVICE_DELETED");
    /* nothing of it is left, so that there is nothing to be released */
    g_assert_cmpuint(grant_to(vm, 1, 1, 1, 0), ==, PV_IOMMU_S_DOMAIN);
    enable_chunks(vm);
    g_assert_cmpuint(attach_to(vm, RID, 1), ==, PV_IOMMU_S_OK);
out:
    g_free(hot.edu.dev);
    qvirtqueue_cleanup(d->vdev.bus, vq, &alloc);
    qos_object_destroy((QOSGraphObject *)d);
    alloc_destroy(&alloc);
    g_free(port);
    vm_stop(vm);
}

void add_plug_tests(void)
{
    qtest_add_func("/pv-iommu/plug/in-attach", test_plug_in_attach);
    qtest_add_func("/pv-iommu/plug/bridges", test_plug);
    qtest_add_func("/pv-iommu/plug/exempt", test_plug_exempt);
}
