/*
 * pv-iommu: guest RAM that is granted to domains, page by page
 *
 * Where data must not be copied the guest has its own pages granted. They are
 * at the DMA address direct-base= + guest-physical address, so that there is
 * nothing to allocate, and the region that pv-iommu-reach.c has anyway shows
 * them: it spans all DMA addresses.
 *
 * Who follows is told of each page by itself: a part of what VFIO was told at
 * once could not be taken back without a gap in the rest. Or of a large piece,
 * which the guest has granted and takes back as one.
 *
 * Granted pages are not discarded, whoever asks. RAM blocks ask by their own
 * offsets, and the guest may have a block in several places; so for each block
 * it is counted how many domains have a page of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/boards.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/host-utils.h"
#include "qemu/log.h"
#include "qemu/range.h"
#include "qemu/rcu.h"
#include "pv-iommu.h"
#include "trace.h"

#define GRANULE         PV_IOMMU_GRANULE

/* The frame numbers of riding revokes have 32 bits */
#define DIRECT_END_MAX  ((uint64_t)GRANULE << 32)

#define RANGE_PERM      (PV_IOMMU_RANGE_READ | PV_IOMMU_RANGE_WRITE)
#define LARGE           PV_IOMMU_LARGE_PAGES

QEMU_BUILD_BUG_ON(PV_IOMMU_RANGE_READ != IOMMU_RO ||
                  PV_IOMMU_RANGE_WRITE != IOMMU_WO);

/* What a domain has of the guest's RAM; bit by bit, a page of DMA addresses */
struct PvIommuRam {
    struct rcu_head rcu;
    uint64_t nr;                /* pages that are granted */
    uint64_t end;               /* behind all pages that ever were */
    unsigned long *read;        /* read by translate() with no lock */
    unsigned long *write;
    unsigned long *large;       /* bit by bit, LARGE pages that are one piece */
};

/* Of one RAM block: how many domains have each of its pages */
typedef struct PvIommuPins {
    PvIommuState *s;
    RAMBlock *rb;
    uint64_t nr_pages;
    uint32_t *domains;          /* read by the filter with no lock */
} PvIommuPins;

/*
 * What must not be discarded
 */

static bool keep_pinned(void *opaque, uint64_t start, uint64_t length)
{
    PvIommuPins *pins = opaque;
    uint64_t i = start / GRANULE;
    uint64_t end;

    if (!length || i >= pins->nr_pages) {
        return false;
    }
    length = MIN(length, pins->nr_pages * GRANULE - start);
    for (end = (start + length - 1) / GRANULE; i <= end; i++) {
        if (qatomic_read(&pins->domains[i])) {
            return pv_iommu_keep(pins->s, length);
        }
    }
    return false;
}

static void pins_free(gpointer opaque)
{
    PvIommuPins *pins = opaque;

    g_free(pins->domains);
    g_free(pins);
}

/* A block's pages, or NULL; a table that is not used costs no memory */
static PvIommuPins *pins_of(PvIommuState *s, RAMBlock *rb)
{
    PvIommuPins *pins = g_hash_table_lookup(s->direct_pins, rb);
    const uint64_t nr_pages = DIV_ROUND_UP(rb->max_length, GRANULE);
    uint32_t *domains;

    /* or it is of a block that went, and asks nothing any more */
    if (pins && rb->discard_filter_opaque == pins) {
        return pins;
    }
    /* a thousandth of the block at once: there may be no room for it */
    domains = g_try_new0(uint32_t, nr_pages);
    if (!domains) {
        return NULL;
    }
    pins = g_new0(PvIommuPins, 1);
    pins->s = s;
    pins->rb = rb;
    pins->nr_pages = nr_pages;
    pins->domains = domains;
    g_hash_table_insert(s->direct_pins, rb, pins);
    ram_block_set_discard_filter(rb, keep_pinned, pins);
    return pins;
}

/* A part of a range, which is all RAM, that lies in one block */
static bool pin_section(PvIommuState *s, RAMBlock *rb, uint64_t offset,
                        uint64_t count, int delta)
{
    PvIommuPins *pins = pins_of(s, rb);
    uint64_t i = offset / GRANULE;

    if (!pins) {
        return false;
    }
    while (count-- && i < pins->nr_pages) {
        qatomic_set(&pins->domains[i], pins->domains[i] + delta);
        i++;
    }
    return true;
}

/* All of the range, or as much of it as is returned if there is no memory */
static uint64_t pin(PvIommuState *s, uint64_t first, uint64_t count, int delta)
{
    uint64_t done = 0;

    while (done < count) {
        MemoryRegionSection sec = memory_region_find(get_system_memory(),
                                                     (first + done) * GRANULE,
                                                     (count - done) * GRANULE);
        uint64_t n;
        bool ok;

        if (!sec.mr) {
            break;
        }
        n = MIN(DIV_ROUND_UP(int128_get64(sec.size), GRANULE), count - done);
        ok = !sec.mr->ram_block ||
             pin_section(s, sec.mr->ram_block, sec.offset_within_region, n,
                         delta);
        memory_region_unref(sec.mr);
        if (!ok) {
            break;
        }
        done += n;
    }
    return done;
}

/*
 * The tables
 */

static void ram_free(PvIommuRam *ram)
{
    g_free(ram->read);
    g_free(ram->write);
    g_free(ram->large);
    g_free(ram);
}

static PvIommuRam *ram_new(PvIommuState *s)
{
    PvIommuRam *ram = g_new0(PvIommuRam, 1);

    /* 2 bits for each page that there may be, of which none is touched yet */
    ram->read = bitmap_try_new(s->direct_pages);
    ram->write = bitmap_try_new(s->direct_pages);
    ram->large = bitmap_try_new(DIV_ROUND_UP(s->direct_pages, LARGE));
    if (!ram->read || !ram->write || !ram->large) {
        ram_free(ram);
        return NULL;
    }
    return ram;
}

/* translate() looks at them while others are set */
static bool is_set(const unsigned long *map, uint64_t i)
{
    return qatomic_read(&map[BIT_WORD(i)]) & BIT_MASK(i);
}

static IOMMUAccessFlags perm_of(PvIommuRam *ram, uint64_t page)
{
    return (is_set(ram->read, page) ? IOMMU_RO : 0) |
           (is_set(ram->write, page) ? IOMMU_WO : 0);
}

/* How many pages come and go with this one, which is at their start */
static uint64_t piece_of(PvIommuRam *ram, uint64_t page)
{
    return is_set(ram->large, page / LARGE) ? LARGE : 1;
}

/*
 * The first page from there on that is granted. Both tables at once: one may
 * have nothing up to its end, which is not to be looked through for each page
 * of the other.
 */
static uint64_t next_granted(PvIommuRam *ram, uint64_t end, uint64_t page)
{
    /* No further than there ever was one: there may be room for very many */
    while (page < MIN(end, ram->end)) {
        const uint64_t i = BIT_WORD(page);
        const unsigned long bits = (ram->read[i] | ram->write[i]) &
                                   BITMAP_FIRST_WORD_MASK(page);

        if (bits) {
            return MIN(i * BITS_PER_LONG + ctzl(bits), end);
        }
        page = (i + 1) * BITS_PER_LONG;
    }
    return end;
}

/* The first that is not */
static uint64_t next_other(PvIommuRam *ram, uint64_t end, uint64_t page)
{
    while (page < end && perm_of(ram, page)) {
        page++;
    }
    return page;
}

static void set_range(PvIommuState *s, PvIommuRam *ram,
                      const PvIommuRange *r)
{
    if (r->flags & PV_IOMMU_RANGE_LARGE) {
        bitmap_set_atomic(ram->large, r->first / LARGE, r->count / LARGE);
    }
    if (r->flags & PV_IOMMU_RANGE_READ) {
        bitmap_set_atomic(ram->read, r->first, r->count);
    }
    if (r->flags & PV_IOMMU_RANGE_WRITE) {
        bitmap_set_atomic(ram->write, r->first, r->count);
    }
    ram->nr += r->count;
    ram->end = MAX(ram->end, r->first + r->count);
    s->nr_direct += r->count;
}

static void clear_range(PvIommuState *s, PvIommuRam *ram, uint64_t first,
                        uint64_t count)
{
    bitmap_test_and_clear_atomic(ram->read, first, count);
    bitmap_test_and_clear_atomic(ram->write, first, count);
    ram->nr -= count;
    s->nr_direct -= count;
}

/*
 * Telling who follows
 */

/* Of what comes and goes with the page, which may be in the midst of it */
static IOMMUTLBEntry piece_entry(PvIommuState *s, PvIommuRam *ram,
                                 uint64_t page, IOMMUAccessFlags perm)
{
    const uint64_t count = piece_of(ram, page);
    const uint64_t first = QEMU_ALIGN_DOWN(page, count);

    return (IOMMUTLBEntry) {
        .target_as = &address_space_memory,
        .iova = s->direct_base + first * GRANULE,
        .translated_addr = first * GRANULE,
        .addr_mask = count * GRANULE - 1,
        .perm = perm,
    };
}

/* For those that follow: see forget_pages() */
static void unmap_pages(PvIommuSpace *sp, PvIommuRam *ram, uint64_t first,
                        uint64_t count)
{
    for (uint64_t i = 0; i < count; i += piece_of(ram, first + i)) {
        pv_iommu_reach_unmap_entry(sp, piece_entry(sp->iommu, ram, first + i,
                                                   IOMMU_NONE));
    }
}

/* For those that remember: all that went of the pages, when it has */
static void forget_pages(PvIommuSpace *sp, uint64_t first, uint64_t count)
{
    const hwaddr start = sp->iommu->direct_base + first * GRANULE;

    pv_iommu_reach_forget(sp, start, start + count * GRANULE - 1);
}

/* All of the pages, which are granted, or false and none of them */
static bool map_pages(PvIommuSpace *sp, PvIommuRam *ram, uint64_t first,
                      uint64_t count)
{
    for (uint64_t i = 0; i < count; i += piece_of(ram, first + i)) {
        IOMMUTLBEntry entry = piece_entry(sp->iommu, ram, first + i,
                                          perm_of(ram, first + i));

        if (!pv_iommu_reach_map_entry(sp, entry)) {
            unmap_pages(sp, ram, first, i);
            return false;
        }
    }
    return true;
}

static void hide(PvIommuState *s, PvIommuDomain *d, uint64_t first,
                 uint64_t count)
{
    PvIommuSpace *sp;
    GHashTableIter iter;

    PV_IOMMU_FOREACH_SPACE(sp, s, d, iter) {
        unmap_pages(sp, d->ram, first, count);
    }
}

static void forget(PvIommuState *s, PvIommuDomain *d, uint64_t first,
                   uint64_t count)
{
    PvIommuSpace *sp;
    GHashTableIter iter;

    PV_IOMMU_FOREACH_SPACE(sp, s, d, iter) {
        forget_pages(sp, first, count);
    }
}

/* All of the domain's spaces show the range, or false and some may */
static bool show(PvIommuState *s, PvIommuDomain *d, uint64_t first,
                 uint64_t count)
{
    PvIommuSpace *sp;
    GHashTableIter iter;

    PV_IOMMU_FOREACH_SPACE(sp, s, d, iter) {
        if (!map_pages(sp, d->ram, first, count)) {
            return false;
        }
    }
    return true;
}

void pv_iommu_direct_hide(PvIommuSpace *sp, PvIommuDomain *d)
{
    const uint64_t end = sp->iommu->direct_pages;
    uint64_t first, next;

    if (!d->ram) {
        return;
    }
    for (first = next_granted(d->ram, end, 0); first < end;
         first = next_granted(d->ram, end, next)) {
        next = next_other(d->ram, end, first);
        unmap_pages(sp, d->ram, first, next - first);
    }
    forget_pages(sp, 0, end);
}

bool pv_iommu_direct_show(PvIommuSpace *sp, PvIommuDomain *d)
{
    const uint64_t end = sp->iommu->direct_pages;
    uint64_t first, next;

    if (!d->ram) {
        return true;
    }
    for (first = next_granted(d->ram, end, 0); first < end;
         first = next_granted(d->ram, end, next)) {
        next = next_other(d->ram, end, first);
        if (!map_pages(sp, d->ram, first, next - first)) {
            /* who was not told of some does not mind */
            pv_iommu_direct_hide(sp, d);
            return false;
        }
    }
    return true;
}

void pv_iommu_direct_replay(PvIommuSpace *sp, PvIommuDomain *d,
                            IOMMUNotifier *n)
{
    const uint64_t end = sp->iommu->direct_pages;
    uint64_t i;

    if (!d->ram) {
        return;
    }
    for (i = next_granted(d->ram, end, 0); i < end;
         i = next_granted(d->ram, end, i + piece_of(d->ram, i))) {
        IOMMUTLBEvent event = {
            .type = IOMMU_NOTIFIER_MAP,
            .entry = piece_entry(sp->iommu, d->ram, i, perm_of(d->ram, i)),
        };

        memory_region_notify_iommu_one(n, &event);
    }
}

/* In any thread, without the big lock, and in an RCU read section */
bool pv_iommu_direct_translate(PvIommuState *s, PvIommuDomain *d, hwaddr addr,
                               IOMMUAccessFlags access, IOMMUTLBEntry *entry)
{
    const uint64_t page = (addr - s->direct_base) / GRANULE;
    PvIommuRam *ram;
    IOMMUAccessFlags perm;

    if (addr < s->direct_base || page >= s->direct_pages) {
        return false;
    }
    ram = qatomic_rcu_read(&d->ram);
    if (!ram) {
        return false;
    }
    perm = perm_of(ram, page);
    /* what it may not do is refused, and counted, like anything else */
    if (perm == IOMMU_NONE || access & ~perm) {
        return false;
    }
    *entry = piece_entry(s, ram, page, perm);
    return true;
}

/*
 * Grant and revoke
 */

uint64_t pv_iommu_direct_limit(PvIommuState *s)
{
    return QEMU_ALIGN_DOWN(s->direct_limit, GRANULE);
}

/* Is each large piece of the range RAM of one block, one behind the other? */
static bool is_in_pieces(const PvIommuRange *r)
{
    for (uint64_t i = 0; i < r->count; i += LARGE) {
        MemoryRegionSection sec = memory_region_find(get_system_memory(),
                                                     (r->first + i) * GRANULE,
                                                     LARGE * GRANULE);
        bool whole = sec.mr &&
                     int128_get64(sec.size) == (uint64_t)LARGE * GRANULE;

        if (sec.mr) {
            memory_region_unref(sec.mr);
        }
        if (!whole) {
            return false;
        }
    }
    return true;
}

/*
 * Has the guest all of the range, which is RAM? virtio-mem has all that there
 * may be in the address space, and knows what the guest has been given of it.
 */
static bool is_populated(const PvIommuRange *r)
{
    const hwaddr end = (r->first + r->count) * GRANULE;
    hwaddr addr = r->first * GRANULE;
    bool populated = true;

    while (populated && addr < end) {
        MemoryRegionSection sec = memory_region_find(get_system_memory(),
                                                     addr, end - addr);
        RamDiscardManager *rdm;

        if (!sec.mr) {
            return false;
        }
        rdm = memory_region_get_ram_discard_manager(sec.mr);
        populated = !rdm || ram_discard_manager_is_populated(rdm, &sec);
        addr += int128_get64(sec.size);
        memory_region_unref(sec.mr);
    }
    return populated;
}

/* Pages that are RAM, and not the window's: its chunks are granted otherwise */
static bool is_grantable(PvIommuState *s, const PvIommuRange *r)
{
    return r->first < s->direct_pages &&
           r->count <= s->direct_pages - r->first &&
           !ranges_overlap(r->first * GRANULE, r->count * GRANULE, s->memaddr,
                           s->window_size) &&
           pv_iommu_is_ram(s, r->first * GRANULE, r->count * GRANULE) &&
           is_populated(r) &&
           (!(r->flags & PV_IOMMU_RANGE_LARGE) || is_in_pieces(r));
}

/* The flags that the guest may give a range that is to be granted */
static uint32_t range_flags(PvIommuState *s)
{
    return RANGE_PERM | (s->guest_features & PV_IOMMU_F_LARGE ?
                         PV_IOMMU_RANGE_LARGE : 0);
}

/* Large pieces begin and end where large pieces may */
static bool is_aligned(const PvIommuRange *r)
{
    return !(r->flags & PV_IOMMU_RANGE_LARGE) ||
           QEMU_IS_ALIGNED(r->first | r->count, LARGE);
}

/* What is wrong with ranges whatever is granted; flags: those they may have */
static uint32_t judge(uint32_t nr, const PvIommuRange *ranges, uint32_t flags,
                      uint64_t *total)
{
    *total = 0;
    for (uint32_t i = 0; i < nr; i++) {
        if (!ranges[i].count || ranges[i].flags & ~flags ||
            !(ranges[i].flags & RANGE_PERM) != !flags ||
            !is_aligned(&ranges[i])) {
            return PV_IOMMU_S_INVAL;
        }
        *total += ranges[i].count;      /* 128 times 32 bits */
    }
    return nr && *total <= PV_IOMMU_MAX_PAGES ? PV_IOMMU_S_OK
                                              : PV_IOMMU_S_INVAL;
}

/* Nobody is told any more of the pieces in there, which are not granted */
static void forget_pieces(PvIommuRam *ram, uint64_t first, uint64_t count)
{
    bitmap_test_and_clear_atomic(ram->large, first / LARGE, count / LARGE);
}

/* Take back the first so many of the ranges, which nobody is shown */
static void undo(PvIommuState *s, PvIommuDomain *d, uint32_t nr,
                 const PvIommuRange *ranges)
{
    for (uint32_t i = 0; i < nr; i++) {
        clear_range(s, d->ram, ranges[i].first, ranges[i].count);
        if (ranges[i].flags & PV_IOMMU_RANGE_LARGE) {
            forget_pieces(d->ram, ranges[i].first, ranges[i].count);
        }
        pin(s, ranges[i].first, ranges[i].count, -1);
    }
}

/*
 * Take back what comes and goes with a granted page, the first of it; who
 * remembers it is left to the caller
 */
static uint64_t take_piece(PvIommuState *s, PvIommuDomain *d, uint64_t page)
{
    const uint64_t count = piece_of(d->ram, page);

    clear_range(s, d->ram, page, count);
    hide(s, d, page, count);
    if (count > 1) {
        forget_pieces(d->ram, page, count);
    }
    return count;
}

/* The ranges have been judged, each by itself: all of them, or none */
static uint32_t take_ranges(PvIommuState *s, PvIommuDomain *d, uint32_t nr,
                            const PvIommuRange *ranges)
{
    uint64_t pinned;
    uint32_t i;

    if (!d->ram) {
        PvIommuRam *ram = ram_new(s);

        if (!ram) {
            return PV_IOMMU_S_IO;
        }
        qatomic_rcu_set(&d->ram, ram);
    }

    for (i = 0; i < nr; i++) {
        const PvIommuRange *r = &ranges[i];
        const uint64_t end = r->first + r->count;

        /* also the one that two of the ranges have in common */
        if (next_granted(d->ram, end, r->first) < end) {
            undo(s, d, i, ranges);
            return PV_IOMMU_S_PAGE;
        }
        /* before anybody can use it */
        pinned = pin(s, r->first, r->count, 1);
        if (pinned < r->count) {
            pin(s, r->first, pinned, -1);
            undo(s, d, i, ranges);
            return PV_IOMMU_S_IO;
        }
        set_range(s, d->ram, r);
    }
    for (i = 0; i < nr; i++) {
        if (!show(s, d, ranges[i].first, ranges[i].count)) {
            for (uint32_t k = 0; k <= i; k++) {
                hide(s, d, ranges[k].first, ranges[k].count);
            }
            undo(s, d, nr, ranges);
            for (uint32_t k = 0; k <= i; k++) {
                forget(s, d, ranges[k].first, ranges[k].count);
            }
            return PV_IOMMU_S_IO;
        }
    }
    return PV_IOMMU_S_OK;
}

static uint32_t grant(PvIommuState *s, uint32_t domain, uint32_t nr,
                      const PvIommuRange *ranges, uint64_t *total)
{
    const uint64_t limit = pv_iommu_direct_limit(s) / GRANULE;
    PvIommuDomain *d = pv_iommu_domain_find(s, domain);
    uint32_t status = judge(nr, ranges, range_flags(s), total);
    uint32_t i;

    if (status) {
        return status;
    }
    if (!d) {
        return PV_IOMMU_S_DOMAIN;
    }
    for (i = 0; i < nr; i++) {
        if (!is_grantable(s, &ranges[i])) {
            return PV_IOMMU_S_RANGE;
        }
    }
    /* a limit that was lowered since may be less than what is granted */
    if (s->nr_direct >= limit || *total > limit - s->nr_direct) {
        return PV_IOMMU_S_LIMIT;
    }
    return take_ranges(s, d, nr, ranges);
}

uint32_t pv_iommu_grant_ram(PvIommuState *s, uint32_t domain, uint32_t nr,
                            const PvIommuRange *ranges)
{
    uint64_t total;
    uint32_t status = grant(s, domain, nr, ranges, &total);

    trace_pv_iommu_grant_ram(domain, nr, total, status);
    return status;
}

/* One run of a migration stream, of any length */
uint32_t pv_iommu_direct_load(PvIommuState *s, uint32_t domain,
                              const PvIommuRange *r)
{
    PvIommuDomain *d = pv_iommu_domain_find(s, domain);

    if (!d || !r->count || !(r->flags & RANGE_PERM) ||
        r->flags & ~range_flags(s) || !is_aligned(r) || !is_grantable(s, r)) {
        return PV_IOMMU_S_INVAL;
    }
    if (s->nr_direct + r->count > pv_iommu_direct_limit(s) / GRANULE) {
        return PV_IOMMU_S_LIMIT;
    }
    return take_ranges(s, d, 1, r);
}

/* Is all of the range granted, and of no large piece only a part in it? */
static bool is_whole(PvIommuState *s, PvIommuRam *ram, const PvIommuRange *r)
{
    const uint64_t end = r->first + r->count;

    return r->first < s->direct_pages &&
           r->count <= s->direct_pages - r->first &&
           next_other(ram, end, r->first) == end &&
           QEMU_IS_ALIGNED(r->first, piece_of(ram, r->first)) &&
           QEMU_IS_ALIGNED(end, piece_of(ram, end - 1));
}

static uint32_t take_back(PvIommuState *s, uint32_t domain, uint32_t nr,
                          const PvIommuRange *ranges, uint64_t *total)
{
    PvIommuDomain *d = pv_iommu_domain_find(s, domain);
    uint32_t status = judge(nr, ranges, 0, total);
    uint32_t i;

    if (status) {
        return status;
    }
    if (!d) {
        return PV_IOMMU_S_DOMAIN;
    }
    for (i = 0; i < nr; i++) {
        if (!d->ram || !is_whole(s, d->ram, &ranges[i])) {
            return PV_IOMMU_S_PAGE;
        }
    }
    for (i = 0; i < nr; i++) {
        const uint64_t end = ranges[i].first + ranges[i].count;

        /* two of them may have some in common */
        for (uint64_t page = next_granted(d->ram, end, ranges[i].first);
             page < end; page = next_granted(d->ram, end, page)) {
            pin(s, page, take_piece(s, d, page), -1);
        }
        forget(s, d, ranges[i].first, ranges[i].count);
    }
    return PV_IOMMU_S_OK;
}

uint32_t pv_iommu_revoke_ram(PvIommuState *s, uint32_t domain, uint32_t nr,
                             const PvIommuRange *ranges)
{
    uint64_t total;
    uint32_t status = take_back(s, domain, nr, ranges, &total);

    trace_pv_iommu_revoke_ram(domain, nr, total, status);
    return status;
}

/* The domain ends, and no space shows it any more */
void pv_iommu_direct_end(PvIommuState *s, PvIommuDomain *d)
{
    const uint64_t end = s->direct_pages;
    PvIommuRam *ram = d->ram;
    uint64_t first, next;

    if (!ram) {
        return;
    }
    qatomic_rcu_set(&d->ram, NULL);
    for (first = next_granted(ram, end, 0); first < end;
         first = next_granted(ram, end, next)) {
        next = next_other(ram, end, first);
        pin(s, first, next - first, -1);
    }
    s->nr_direct -= ram->nr;
    call_rcu(ram, ram_free, rcu);
}

/* All domains have their chunks still, and devices that use them */
void pv_iommu_direct_end_all(PvIommuState *s)
{
    GHashTableIter domains, spaces;
    PvIommuDomain *d;
    PvIommuSpace *sp;

    g_hash_table_iter_init(&domains, s->domains);
    while (g_hash_table_iter_next(&domains, NULL, (gpointer *)&d)) {
        PV_IOMMU_FOREACH_SPACE(sp, s, d, spaces) {
            pv_iommu_direct_hide(sp, d);
        }
        pv_iommu_direct_end(s, d);
    }
}

/* Runs of pages with the same permission; with NULL, how many there are */
uint32_t pv_iommu_direct_runs(PvIommuState *s, PvIommuDomain *d,
                              PvIommuRange *runs)
{
    const uint64_t end = s->direct_pages;
    uint64_t first, next;
    uint32_t nr = 0;

    if (!d->ram) {
        return 0;
    }
    for (first = next_granted(d->ram, end, 0); first < end;
         first = next_granted(d->ram, end, next)) {
        IOMMUAccessFlags perm = perm_of(d->ram, first);
        uint64_t piece = piece_of(d->ram, first);

        for (next = first + piece; next < end &&
             next - first + piece <= UINT32_MAX &&
             perm_of(d->ram, next) == perm &&
             piece_of(d->ram, next) == piece; next += piece) {
            /* one more */
        }
        if (runs) {
            runs[nr] = (PvIommuRange) {
                .first = first, .count = next - first,
                .flags = perm | (piece > 1 ? PV_IOMMU_RANGE_LARGE : 0),
            };
        }
        nr++;
    }
    return nr;
}

/*
 * Life
 */

/*
 * RAM goes, be it that its device was unplugged. Or what is about it changes,
 * as firmware's memory is opened or closed below it: then all of the old range
 * goes, and most of it comes again at once. Which of both is known when all has
 * its place.
 */
static void ram_gone(MemoryListener *listener, MemoryRegionSection *sec)
{
    PvIommuState *s = container_of(listener, PvIommuState, direct_listener);

    if (s->nr_direct && memory_region_is_ram(sec->mr)) {
        g_ptr_array_add(s->direct_gone, memory_region_section_new_copy(sec));
    }
}

/* Is what was at these pages there still, to be written as before? */
static bool is_back(const MemoryRegionSection *was, uint64_t page,
                    uint64_t count)
{
    MemoryRegionSection sec = memory_region_find(get_system_memory(),
                                                 page * GRANULE,
                                                 count * GRANULE);
    bool back = sec.mr == was->mr && !sec.readonly &&
                int128_get64(sec.size) == count * GRANULE &&
                sec.offset_within_region - was->offset_within_region ==
                page * GRANULE - was->offset_within_address_space;

    if (sec.mr) {
        memory_region_unref(sec.mr);
    }
    return back;
}

/* What is granted of the section ends, unless it is back */
static void section_gone(PvIommuState *s, PvIommuDomain *d,
                         const MemoryRegionSection *sec)
{
    const uint64_t start = sec->offset_within_address_space / GRANULE;
    const uint64_t end = MIN(start + int128_get64(sec->size) / GRANULE,
                             s->direct_pages);
    uint64_t page;

    if (!d->ram || start >= end) {
        return;
    }
    for (page = next_granted(d->ram, end, start); page < end;
         page = next_granted(d->ram, end, page)) {
        const uint64_t count = piece_of(d->ram, page);

        if (is_back(sec, page, count)) {
            page += count;
            continue;
        }
        pin_section(s, sec->mr->ram_block, sec->offset_within_region +
                    (page - start) * GRANULE, take_piece(s, d, page), -1);
        trace_pv_iommu_direct_gone(d->id, page);
    }
    forget(s, d, start, end - start);
}

/* All that changes at once has changed */
static void ram_settled(MemoryListener *listener)
{
    PvIommuState *s = container_of(listener, PvIommuState, direct_listener);

    for (unsigned i = 0; i < s->direct_gone->len; i++) {
        GHashTableIter iter;
        PvIommuDomain *d;

        g_hash_table_iter_init(&iter, s->domains);
        while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&d)) {
            section_gone(s, d, g_ptr_array_index(s->direct_gone, i));
        }
    }
    g_ptr_array_set_size(s->direct_gone, 0);
}

static bool find_base(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();
    const uint64_t size = s->direct_pages * GRANULE;

    if (!s->direct_base) {
        s->direct_base = QEMU_ALIGN_UP(MAX(s->dma_base + s->window_size,
                                           s->arena_base + s->arena_size),
                                       4 * GiB);
    }
    if (!QEMU_IS_ALIGNED(s->direct_base, PV_IOMMU_WINDOW_ALIGN) ||
        s->direct_base >= PV_IOMMU_DMA_END ||
        size > PV_IOMMU_DMA_END - s->direct_base ||
        ranges_overlap(s->direct_base, size, PV_IOMMU_MSI_BASE,
                       PV_IOMMU_MSI_SIZE) ||
        ranges_overlap(s->direct_base, size, s->dma_base, s->window_size) ||
        (s->arena_size && ranges_overlap(s->direct_base, size, s->arena_base,
                                         s->arena_size))) {
        error_setg(errp, "direct-base=0x%" PRIx64 " is not a multiple of 2 MiB "
                   "with 0x%" PRIx64 " bytes behind it that are clear of "
                   "window, arena and the MSI range 0xfee00000-0xfeefffff",
                   s->direct_base, size);
        error_append_hint(errp, "Leave direct-base= out to have it placed "
                          "above them.\n");
        return false;
    }
    return true;
}

/* Window and arena have their places */
bool pv_iommu_direct_check(PvIommuState *s, Error **errp)
{
    ERRP_GUARD();
    MachineState *ms = MACHINE(qdev_get_machine());
    uint64_t end;

    if (!s->direct_limit) {
        s->direct_base = 0;
        return true;
    }
    if (s->host_phys || !s->offer_chunks) {
        error_setg(errp, "direct-limit= cannot be with %s", s->host_phys ?
                   "host-phys=on: guest RAM is not at its host-physical "
                   "address" : "x-chunks=off");
        error_append_hint(errp, "Leave direct-limit= out.\n");
        return false;
    }
    if (s->direct_limit < GRANULE) {
        error_setg(errp, "direct-limit=%" PRIu64 " is less than a page",
                   s->direct_limit);
        error_append_hint(errp, "Say how much guest RAM devices may have at "
                          "once, as direct-limit=1G, or 0 for none.\n");
        return false;
    }
    if (!ms->device_memory) {
        return true;        /* so there is no place for the window either */
    }
    end = ms->device_memory->base +
          memory_region_size(&ms->device_memory->mr);
    if (end > DIRECT_END_MAX) {
        error_setg(errp, "direct-limit= cannot be with guest memory up to 0x%"
                   PRIx64 ": frame numbers have 32 bits", end);
        error_append_hint(errp, "Lower maxmem=, or leave direct-limit= out.\n");
        return false;
    }
    s->direct_pages = DIV_ROUND_UP(end, GRANULE);
    return find_base(s, errp);
}

void pv_iommu_direct_init(PvIommuState *s)
{
    if (!s->direct_pages) {
        return;
    }
    s->direct_pins = g_hash_table_new_full(NULL, NULL, NULL, pins_free);
    s->direct_gone = g_ptr_array_new_with_free_func(
        (GDestroyNotify)memory_region_section_free_copy);
    s->direct_listener.region_del = ram_gone;
    s->direct_listener.commit = ram_settled;
    s->direct_listener.name = "pv-iommu-direct";
    memory_listener_register(&s->direct_listener, &address_space_memory);
}

/* No device is attached, so nothing is granted */
void pv_iommu_direct_cleanup(PvIommuState *s)
{
    GHashTableIter iter;
    RAMBlock *rb;
    PvIommuPins *pins;

    if (!s->direct_pins) {
        return;
    }
    memory_listener_unregister(&s->direct_listener);
    g_clear_pointer(&s->direct_gone, g_ptr_array_unref);
    g_hash_table_iter_init(&iter, s->direct_pins);
    while (g_hash_table_iter_next(&iter, (gpointer *)&rb, (gpointer *)&pins)) {
        if (rb->discard_filter_opaque == pins) {
            ram_block_set_discard_filter(rb, NULL, NULL);
        }
    }
    g_clear_pointer(&s->direct_pins, g_hash_table_destroy);
}
