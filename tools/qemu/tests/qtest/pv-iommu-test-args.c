/*
 * QTest testcase for the pv-iommu device: command lines
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pv-iommu-test.h"

typedef struct BadArgs {
    const char *name;
    const char *args;
    const char *message;
    const char *remedy;
} BadArgs;

#define M   "-machine q35 -m 64M,maxmem=1G "
#define WIN "-object memory-backend-ram,id=win0,size=4M "
#define PV  "-device pv-iommu-pci,memdev=win0"

static const BadArgs bad_args[] = {
    { "memdev/none", M "-device pv-iommu-pci",
      "memdev= is not set", "-object memory-backend-ram" },
    { "memdev/size", M "-object memory-backend-ram,id=win0,size=5M " PV,
      "memdev=win0 has 0x500000 bytes, not a multiple of 2 MiB", "size=" },
    { "memdev/in-use", M "-machine memory-backend=win0 "
      "-object memory-backend-ram,id=win0,size=64M " PV,
      "memdev=win0 is in use already", "a memory backend of its own" },
    { "dma-base/msi", M WIN PV ",dma-base=0xfec00000",
      "dma-base=0xfec00000 puts a window of 0x400000 bytes across the MSI "
      "range 0xfee00000-0xfeefffff", "dma-base=0x100000000" },
    { "dma-base/msi-inside", M WIN PV ",dma-base=0xfeef0000",
      "across the MSI range 0xfee00000-0xfeefffff", "dma-base=0x100000000" },
    { "dma-base/align", M WIN PV ",dma-base=0x800",
      "dma-base=0x800 is not a multiple of 64 KiB", "2 MiB" },
    { "dma-base/bit-63", M WIN PV ",dma-base=0x8000000000000000",
      "dma-base=0x8000000000000000 is not a multiple of 64 KiB with room",
      "2 MiB" },
    { "dma-base/end", M WIN PV ",dma-base=0xfffffffe00000",
      "dma-base=0xfffffffe00000 is not", "2 MiB" },
    { "dma-base/wrap", M WIN PV ",dma-base=0xffffffffffe00000",
      "dma-base=0xffffffffffe00000 is not", NULL },
    { "arena-size/align", M WIN PV ",arena-size=4097",
      "arena-size=0x1001 is not a multiple of 4 KiB", NULL },
    { "arena-size/huge", M WIN PV ",arena-size=1T",
      "arena-size=0x10000000000 is not", NULL },
    { "arena-size/large", M WIN PV ",arena-size=4097M",
      "arena-size=0x100100000 is not a multiple of 4 KiB up to 4 GiB",
      "The default" },
    { "arena-base/window", M WIN PV ",arena-base=0x200000",
      "arena-base=0x200000 is not a multiple of 4 KiB clear of the window",
      "arena-base= out" },
    { "arena-base/msi", M WIN PV ",arena-base=0xfd000000",
      "arena-base=0xfd000000 is not", "arena-base= out" },
    { "arena-coherent/align", M WIN PV ",arena-coherent=6K",
      "arena-coherent=0x1800 is not a multiple of 4 KiB",
      "arena-coherent= out" },
    { "arena-coherent/all", M WIN PV ",arena-size=1M,arena-coherent=516K",
      "arena-coherent=0x81000 is not a multiple of 4 KiB up to half of the "
      "arena, which has 0x100000 bytes", "arena-coherent= out" },
    { "arena-coherent/no-arena", M WIN PV ",arena-size=0,arena-coherent=4K",
      "up to half of the arena, which has 0x0 bytes", "arena-coherent= out" },
    { "host-phys/anonymous", M WIN PV ",host-phys=on,boot-bypass=off",
      "memdev=win0 cannot be used with host-phys=on: anonymous memory",
      "mem-path=/dev/daxN.M" },
    { "host-phys/memfd", M "-object memory-backend-memfd,id=win0,size=4M " PV
      ",host-phys=on,boot-bypass=off",
      "memdev=win0 cannot be used with host-phys=on: it is neither on "
      "hugetlbfs nor devdax", "hugetlbfs whose pages are 1 GiB" },
    { "host-phys/private", M "-object memory-backend-file,id=win0,size=4M,"
      "mem-path=/tmp " PV ",host-phys=on,boot-bypass=off",
      "host-phys=on: share=off makes private copies", "share=on" },
    { "host-phys/file", M "-object memory-backend-file,id=win0,size=4M,"
      "mem-path=/tmp,share=on " PV ",host-phys=on,boot-bypass=off",
      "it is neither on hugetlbfs nor devdax", "mem-path=/dev/daxN.M" },
    { "host-phys/discard-data", M "-object memory-backend-file,id=win0,size=4M,"
      "mem-path=/tmp,share=on,discard-data=on " PV
      ",host-phys=on,boot-bypass=off",
      "discard-data=on gives its pages back", "mem-path=/dev/daxN.M" },
    { "host-phys/dma-base", M WIN PV
      ",host-phys=on,boot-bypass=off,dma-base=0x100000",
      "dma-base=0x100000 and host-phys=on contradict each other",
      "Leave dma-base= out" },
    { "host-phys/bypass", M WIN PV ",host-phys=on",
      "host-phys=on does not go with boot-bypass=on", "Set boot-bypass=off" },
    { "arena-memdev/alone", M WIN "-object memory-backend-ram,id=a0,size=4M "
      PV ",arena-memdev=a0",
      "arena-memdev= is for host-phys=on", "arena-size=" },
    { "direct-limit/small", M WIN PV ",direct-limit=100",
      "direct-limit=100 is less than a page", "direct-limit=1G" },
    { "direct-limit/chunks", M WIN PV ",direct-limit=1G,x-chunks=off",
      "direct-limit= cannot be with x-chunks=off", "Leave direct-limit= out" },
    { "direct-base/align", M WIN PV ",direct-limit=1G,direct-base=0x100100000",
      "direct-base=0x100100000 is not a multiple of 2 MiB",
      "Leave direct-base= out" },
    { "direct-base/msi", M WIN PV ",direct-limit=1G,direct-base=0x80000000",
      "direct-base=0x80000000 is not", "Leave direct-base= out" },
    { "direct-base/window", M WIN PV ",direct-limit=1G,direct-base=0x400000",
      "direct-base=0x400000 is not", "Leave direct-base= out" },
    { "direct-base/end", M WIN PV
      ",direct-limit=1G,direct-base=0xfffff00000000",
      "direct-base=0xfffff00000000 is not", "Leave direct-base= out" },
    { "direct-base/wrap", M WIN PV
      ",direct-limit=1G,direct-base=0xffffffffffe00000",
      "direct-base=0xffffffffffe00000 is not", "Leave direct-base= out" },
    { "direct-limit/maxmem",
      "-machine q35 -m 64M,maxmem=16T -cpu max,phys-bits=48 " WIN PV
      ",direct-limit=1G",
      "direct-limit= cannot be with guest memory up to", "Lower maxmem=" },
    { "hw-iommu/no-way", M WIN PV ",hw-iommu=off,arena-size=0",
      "with hw-iommu=off and arena-size=0 there is no way for streaming DMA",
      "arena-size=" },
    { "maxmem/missing", "-machine q35 -m 64M " WIN PV,
      "no place for the window (memdev=win0, 0x400000 bytes)",
      "-m 64M,maxmem=68M" },
    { "maxmem/small", "-machine q35 -m 64M,maxmem=66M " WIN PV,
      "no place for the window (memdev=win0, 0x400000 bytes): not enough "
      "space", "-m 64M,maxmem=68M" },
    { "memaddr/outside", M WIN PV ",memaddr=0x1000000",
      "no place for the window", "memaddr=" },
    { "bus", M WIN "-device pcie-root-port,id=rp0 "
      "-device pv-iommu-pci,memdev=win0,bus=rp0",
      "bus=rp0 is not the machine's root bus", "bus=pcie.0" },
    { "bus/bypass", "-machine q35,default-bus-bypass-iommu=on "
      "-m 64M,maxmem=1G " WIN PV,
      "it bypasses IOMMUs", "default-bus-bypass-iommu=off" },
    { "second", M WIN PV " -object memory-backend-ram,id=win1,size=4M "
      "-device pv-iommu-pci,memdev=win1",
      "there can be one pv-iommu-pci only", "Remove this one" },
    /* what fails when all of the device is there, and has to be undone */
    { "romfile", M WIN PV ",direct-limit=32M,romfile=pv-iommu-none.rom",
      "failed to find romfile \"pv-iommu-none.rom\"", NULL },
    { "iommu/before", M WIN "-device intel-iommu " PV,
      "bus 'pcie.0' has another IOMMU already", "intel-iommu" },
    { "iommu/after", M WIN PV " -device intel-iommu",
      "another IOMMU has taken bus 'pcie.0' from it", "intel-iommu" },
    { "iommu/virtio", M WIN "-device virtio-iommu-pci " PV,
      "bus 'pcie.0' has another IOMMU already", "virtio-iommu-pci" },
};

#undef M
#undef WIN
#undef PV

static void test_bad_args(const void *data)
{
    const BadArgs *t = data;
    int status;
    g_autofree char *out = qemu_stderr(t->args, true, &status);

    g_test_message("%s", out);
    g_assert_cmpint(status, !=, 0);
    g_assert_nonnull(strstr(out, t->message));
    if (t->remedy) {
        g_assert_nonnull(strstr(strstr(out, t->message), t->remedy));
    }
}

static void test_good_args(void)
{
    int status;
    g_autofree char *quiet = NULL;
    g_autofree char *warned = NULL;
    g_autofree char *pc = NULL;

    /* with iommu_platform=on, no word; without it, a warning that names it */
    quiet = qemu_stderr("-machine q35 -m 64M,maxmem=1G "
                        "-object memory-backend-ram,id=win0,size=4M "
                        "-device pv-iommu-pci,memdev=win0 "
                        "-device virtio-rng-pci,id=rng0,iommu_platform=on,"
                        "disable-legacy=on", true, &status);
    g_assert_cmpint(status, ==, 0);
    g_assert_null(strstr(quiet, "pv-iommu"));

    warned = qemu_stderr("-machine q35 -m 64M,maxmem=1G "
                         "-object memory-backend-ram,id=win0,size=4M "
                         "-device pv-iommu-pci,memdev=win0 "
                         "-device pcie-root-port,id=rp0 "
                         "-device virtio-rng-pci,id=rng0,bus=rp0", true,
                         &status);
    g_assert_cmpint(status, ==, 0);
    g_assert_nonnull(strstr(warned, "'rng0' bypasses pv-iommu-pci"));
    g_assert_nonnull(strstr(warned, "iommu_platform=on"));

    /* exactly the room that the message asks for */
    pc = qemu_stderr("-machine pc -m 64M,maxmem=68M "
                     "-object memory-backend-ram,id=win0,size=4M "
                     "-device pv-iommu-pci,memdev=win0,arena-size=0,"
                     "hw-iommu=on,memaddr=0x100000000", true, &status);
    g_assert_cmpint(status, ==, 0);
    g_assert_null(strstr(pc, "pv-iommu"));
}

/* It cannot be plugged or unplugged while the machine runs */
static void test_hotplug(void)
{
    Vm *vm = vm_start_on("pc", "", "-object memory-backend-ram,id=win1,"
                         "size=2M");
    g_autofree char *hmp = NULL;
    QDict *rsp;

    rsp = qtest_qmp(vm->qts, "{'execute': 'device_add', 'arguments': "
                    "{'driver': 'pv-iommu-pci', 'memdev': 'win1'}}");
    g_assert(qdict_haskey(rsp, "error"));
    qobject_unref(rsp);
    rsp = qtest_qmp(vm->qts, "{'execute': 'device_del', 'arguments': "
                    "{'id': 'pv0'}}");
    g_assert(qdict_haskey(rsp, "error"));
    qobject_unref(rsp);
    rsp = qtest_qmp(vm->qts, "{'execute': 'object-del', 'arguments': "
                    "{'id': 'win0'}}");
    g_assert(qdict_haskey(rsp, "error"));
    qobject_unref(rsp);

    /* the machine knows the window as one of its memory devices */
    hmp = qtest_hmp(vm->qts, "info memory-devices");
    g_assert_nonnull(strstr(hmp, "\"pv0\""));
    g_assert_nonnull(strstr(hmp, "memaddr: 0x100000000"));
    g_assert_nonnull(strstr(hmp, "memdev: /objects/win0"));
    vm_stop(vm);
}

void add_args_tests(void)
{
    qtest_add_func("/pv-iommu/hotplug", test_hotplug);
    qtest_add_func("/pv-iommu/args/good", test_good_args);
    for (int i = 0; i < ARRAY_SIZE(bad_args); i++) {
        g_autofree char *path = g_strdup_printf("/pv-iommu/args/%s",
                                                bad_args[i].name);

        qtest_add_data_func(path, &bad_args[i], test_bad_args);
    }
}
