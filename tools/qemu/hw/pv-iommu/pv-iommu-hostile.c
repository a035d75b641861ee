/*
 * pv-iommu: a host that lies, for tests of the guest
 *
 * x-hostile=SEED has registers, answers and all else in a request's block lie
 * at random, requests stay undone or without an answer, and the doorbell take
 * its time. What is random follows from the seed and what the guest does.
 *
 * No host can be kept from writing to the guest's memory, so that would be a
 * test of nothing: this one writes to request blocks only. It does not copy to
 * a mapping's buffer until the guest has reset it, as the two may not agree
 * any more on what is mapped; and it does take back guest RAM when it is to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "pv-iommu.h"
#include "trace.h"

/* One in so many doorbells that lie is slow as well, and by so much */
#define SLOW_RATE               16
#define SLOW_MAX_US             5000

/* One register pair of so many is never the same */
#define FLICKER_RATE            32
#define NO_REG                  UINT32_MAX

/* splitmix64: the next number, which no seed makes a bad one */
static uint64_t hostile_rnd(PvIommuState *s)
{
    uint64_t z = s->hostile_state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static uint32_t hostile_below(PvIommuState *s, uint32_t n)
{
    return hostile_rnd(s) % n;
}

/* To lie, or not: the seed also says how often, one time in 2 to 32 */
static bool hostile_now(PvIommuState *s)
{
    if (!s->hostile || hostile_below(s, 2 << s->hostile % 5)) {
        return false;
    }
    s->nr_lies++;
    return true;
}

/* What may take somebody in, more often than what is out of the question */
static uint64_t hostile_value(PvIommuState *s, uint64_t val)
{
    switch (hostile_below(s, 8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return val ^ 1ULL << hostile_below(s, 64);
    case 3:
        return val << hostile_below(s, 8);
    case 4:
        return val >> hostile_below(s, 8);
    case 5:
        return val + PV_IOMMU_GRANULE * (hostile_rnd(s) % 1024);
    case 6:
        return hostile_rnd(s) >> hostile_below(s, 64);
    default:
        return hostile_rnd(s);
    }
}

/* Reads of the register pair are different each time, until another is read */
static bool hostile_flickers(PvIommuState *s, hwaddr reg)
{
    if ((reg & ~4ULL) != s->hostile_flicker) {
        s->hostile_flicker = hostile_below(s, FLICKER_RATE) ? NO_REG
                                                            : reg & ~4ULL;
    }
    return s->hostile_flicker != NO_REG;
}

/* A register of 32 bits that reads as @val */
uint32_t pv_iommu_hostile_reg(PvIommuState *s, hwaddr reg, uint32_t val)
{
    /* Nobody would get past the first two, if they were as bad as others */
    if (!s->hostile ||
        (reg <= PV_IOMMU_REG_VERSION && hostile_below(s, 8))) {
        return val;
    }
    if (!hostile_flickers(s, reg) && !hostile_now(s)) {
        return val;
    }
    val = s->hostile_flicker == NO_REG ? hostile_value(s, val)
                                       : hostile_rnd(s);
    trace_pv_iommu_hostile_reg(reg, val);
    return val;
}

/* Is the request one that the host says it has done, and has not? */
bool pv_iommu_hostile_pretends(PvIommuState *s, uint32_t opcode)
{
    /* What is revoked may be anybody's by the time that a device writes */
    return opcode != PV_IOMMU_OP_REVOKE_RAM && hostile_now(s);
}

/* Until the guest begins anew, nothing is copied to where it once mapped */
bool pv_iommu_hostile_copies_not(PvIommuState *s)
{
    return s->hostile_mappings;
}

static void hostile_put(hwaddr block, size_t offset, uint64_t val, size_t size)
{
    uint64_t le = cpu_to_le64(val);

    address_space_write(&address_space_memory, block + offset,
                        MEMTXATTRS_UNSPECIFIED, &le, size);
}

static uint64_t hostile_dma(PvIommuState *s)
{
    uint64_t base, size;

    if (hostile_below(s, 4)) {
        base = s->arena_base;
        size = s->arena_size;
    } else {
        base = s->dma_base;
        size = s->window_size;
    }
    if (!size || !hostile_below(s, 8)) {
        return hostile_value(s, base + size);
    }
    return base + QEMU_ALIGN_DOWN(hostile_rnd(s) % size, PV_IOMMU_GRANULE);
}

static void hostile_answer(PvIommuState *s, hwaddr block)
{
    switch (hostile_below(s, 8)) {
    case 0:
    case 1:
        hostile_put(block, offsetof(struct pv_iommu_req, status),
                    hostile_below(s, 16), 4);
        break;
    case 2:
    case 3:
        hostile_put(block, offsetof(struct pv_iommu_req, dma_addr),
                    hostile_dma(s), 8);
        hostile_put(block, offsetof(struct pv_iommu_req, status),
                    PV_IOMMU_S_OK, 4);
        break;
    case 4:
        hostile_put(block, offsetof(struct pv_iommu_req, unmap_errors),
                    hostile_value(s, 1), 4);
        break;
    case 5:
        hostile_put(block, offsetof(struct pv_iommu_req, revoke_errors),
                    hostile_value(s, 1), 4);
        break;
    case 6:
        hostile_put(block, offsetof(struct pv_iommu_req, group),
                    hostile_below(s, 4), 4);
        hostile_put(block, offsetof(struct pv_iommu_req, offers),
                    hostile_value(s, 0), 4);
        break;
    default:
        hostile_put(block, offsetof(struct pv_iommu_req, status),
                    hostile_rnd(s), 4);
        break;
    }
}

/* All of the block, of which the guest may have something to send later */
static void hostile_scribble(PvIommuState *s, hwaddr block)
{
    const size_t status = offsetof(struct pv_iommu_req, status);
    size_t pos;

    for (pos = 0; pos < PV_IOMMU_REQ_SIZE; pos += sizeof(uint64_t)) {
        hostile_put(block, pos, hostile_rnd(s), sizeof(uint64_t));
    }
    hostile_put(block, status, hostile_below(s, 2) ? hostile_rnd(s)
                                                   : PV_IOMMU_S_OK, 4);
}

/* The doorbell has been rung. Will there be no answer? */
bool pv_iommu_hostile_silent(PvIommuState *s)
{
    bool silent = hostile_now(s) && !hostile_below(s, 4);

    if (s->hostile && !hostile_below(s, 4 * SLOW_RATE)) {
        g_usleep(hostile_below(s, SLOW_MAX_US));
    }
    if (silent) {
        trace_pv_iommu_hostile_silent();
    }
    return silent;
}

/* The answer is in the block, which is RAM; the guest will look at it next */
void pv_iommu_hostile_block(PvIommuState *s, hwaddr block)
{
    if (!hostile_now(s)) {
        return;
    }
    trace_pv_iommu_hostile_block(block);
    if (hostile_below(s, 8)) {
        hostile_answer(s, block);
    } else {
        hostile_scribble(s, block);
    }
}

/* The guest has reset the device, and all mappings are gone */
void pv_iommu_hostile_reset(PvIommuState *s)
{
    s->hostile_mappings = s->hostile;
}

static void get_hostile(Object *obj, Visitor *v, const char *name, void *opaque,
                        Error **errp)
{
    visit_type_uint64(v, name, &PV_IOMMU_PCI(obj)->hostile, errp);
}

static void set_hostile(Object *obj, Visitor *v, const char *name, void *opaque,
                        Error **errp)
{
    PvIommuState *s = PV_IOMMU_PCI(obj);

    if (visit_type_uint64(v, name, &s->hostile, errp)) {
        s->hostile_state = s->hostile;
        s->hostile_flicker = NO_REG;
        s->hostile_mappings |= s->hostile != 0;
    }
}

void pv_iommu_hostile_init(PvIommuState *s)
{
    Object *obj = OBJECT(s);

    object_property_add(obj, "x-hostile", "uint64", get_hostile, set_hostile,
                        NULL, NULL);
    object_property_set_description(obj, "x-hostile",
        "lie to the guest, at random from this seed (default: 0, do not)");
    object_property_add_uint32_ptr(obj, "x-lies", &s->nr_lies,
                                   OBJ_PROP_FLAG_READ);
}
