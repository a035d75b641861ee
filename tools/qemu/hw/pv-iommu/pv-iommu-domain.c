/*
 * pv-iommu: domains, and the chunks of the window that are granted to them
 *
 * A chunk belongs to one domain or to none. What a domain leaves in its chunks
 * when it ends is the guest's, which may want it back; whoever else is granted
 * them gets them cleared.
 *
 * Granted chunks are not discarded, whoever asks: an assigned device may have
 * them pinned. The RAM block asks the table here each time, so that there is no
 * second account to drift.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/misc.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/log.h"
#include "pv-iommu.h"
#include "trace.h"

/* The most that may be granted, in whole chunks, at least one */
uint64_t pv_iommu_limit(PvIommuState *s)
{
    uint64_t limit = MIN(s->limit, s->window_size);

    return MAX(QEMU_ALIGN_DOWN(limit, s->chunk_size), s->chunk_size);
}

/*
 * Clearing
 */

static RAMBlock *window_block(PvIommuState *s)
{
    return host_memory_backend_get_memory(s->memdev)->ram_block;
}

/*
 * May memory be given back to the host, and does it read as zero then? Not if
 * it shall stay allocated, or is locked, which the kernel refuses; nor if a
 * device has all of memory pinned, nor if there is a file behind a private
 * mapping; nor with host-phys=on, as what came in its place would be elsewhere;
 * nor while a page that is not there is one that has still to come from the
 * source, or to be saved as it was.
 */
static bool may_discard(PvIommuState *s)
{
    RAMBlock *rb = window_block(s);

    return !s->host_phys && !s->memdev->prealloc &&
           !pv_iommu_memory_is_locked() &&
           !ram_block_discard_is_disabled() &&
           !migration_in_incoming_postcopy() && !migration_in_bg_snapshot() &&
           (qemu_ram_get_fd(rb) < 0 || qemu_ram_is_shared(rb)) &&
           QEMU_IS_ALIGNED(s->chunk_size, qemu_ram_pagesize(rb));
}

static void clear_chunks(PvIommuState *s, uint32_t first, uint32_t count)
{
    MemoryRegion *window = host_memory_backend_get_memory(s->memdev);
    const uint64_t offset = first * s->chunk_size;
    const uint64_t size = count * s->chunk_size;
    bool discarded = may_discard(s) &&
                     !ram_block_discard_range(window->ram_block, offset, size);

    if (!discarded) {
        memset((uint8_t *)memory_region_get_ram_ptr(window) + offset, 0, size);
    }
    memory_region_set_dirty(window, offset, size);
    bitmap_clear(s->chunk_left, first, count);
    trace_pv_iommu_clear(first, count, discarded);
}

/* Clear those of the chunks that somebody has left something in */
static void clear_left(PvIommuState *s, uint32_t first, uint32_t count)
{
    const unsigned long end = first + count;
    unsigned long i = first, n;

    while ((i = find_next_bit(s->chunk_left, end, i)) < end) {
        n = find_next_zero_bit(s->chunk_left, end, i);
        clear_chunks(s, i, n - i);
        i = n;
    }
}

/* For filters of discards: this much stays resident because of a grant */
bool pv_iommu_keep(PvIommuState *s, uint64_t length)
{
    stat64_add(&s->kept, length);
    return true;
}

static bool keep_granted(void *opaque, uint64_t start, uint64_t length)
{
    PvIommuState *s = opaque;
    uint64_t i = start / s->chunk_size;
    uint64_t end;

    if (!length || start >= s->window_size) {
        return false;
    }
    end = (start + MIN(length, s->window_size - start) - 1) / s->chunk_size;
    while (i <= end) {
        if (qatomic_read(&s->chunk_owner[i++])) {
            return pv_iommu_keep(s, length);
        }
    }
    return false;
}

/*
 * Domains
 */

PvIommuDomain *pv_iommu_domain_find(PvIommuState *s, uint32_t id)
{
    return g_hash_table_lookup(s->domains, GUINT_TO_POINTER(id));
}

static void set_owner(PvIommuState *s, uint32_t first, uint32_t count,
                      PvIommuDomain *d)
{
    for (uint32_t i = first; i < first + count; i++) {
        qatomic_set(&s->chunk_owner[i], d);
    }
}

/* A guest that does not know chunks has one domain, and all of them in it */
static bool grant_all(PvIommuState *s, PvIommuDomain *d)
{
    if (pv_iommu_limit(s) < s->window_size) {
        qemu_log_mask(LOG_GUEST_ERROR, "pv-iommu: all of the window is more "
                      "than limit=0x%" PRIx64 "\n", pv_iommu_limit(s));
        return false;
    }
    set_owner(s, 0, s->nr_chunks, d);
    d->nr_chunks = s->nr_granted = s->nr_chunks;
    trace_pv_iommu_grant(d->id, 0, s->nr_chunks, true, PV_IOMMU_S_OK);
    return true;
}

/* For one more device; makes the domain if there is none; NULL: not allowed */
PvIommuDomain *pv_iommu_domain_get(PvIommuState *s, uint32_t id)
{
    PvIommuDomain *d = pv_iommu_domain_find(s, id);

    if (!d) {
        d = g_new0(PvIommuDomain, 1);
        d->id = id;
        if (!(s->guest_features & PV_IOMMU_F_CHUNKS) && !grant_all(s, d)) {
            g_free(d);
            return NULL;
        }
        g_hash_table_insert(s->domains, GUINT_TO_POINTER(id), d);
        trace_pv_iommu_domain_new(id);
    }
    d->nr_devices++;
    return d;
}

/* A device went, and no space shows the domain for it any more */
void pv_iommu_domain_put(PvIommuState *s, PvIommuDomain *d)
{
    if (--d->nr_devices) {
        return;
    }
    trace_pv_iommu_domain_end(d->id, d->nr_chunks);
    for (uint32_t i = 0; d->nr_chunks && i < s->nr_chunks; i++) {
        if (s->chunk_owner[i] == d) {
            set_owner(s, i, 1, NULL);
            set_bit(i, s->chunk_left);
        }
    }
    s->nr_granted -= d->nr_chunks;
    pv_iommu_direct_end(s, d);
    g_hash_table_remove(s->domains, GUINT_TO_POINTER(d->id));
    /* translate() may be looking at it */
    g_free_rcu(d, rcu);
}

/*
 * Grant and revoke
 */

/* Are there such chunks, and do they all belong to d, or to nobody if NULL? */
static bool chunks_belong_to(PvIommuState *s, uint32_t first, uint32_t count,
                             PvIommuDomain *d)
{
    if (!count || first >= s->nr_chunks || count > s->nr_chunks - first) {
        return false;
    }
    for (uint32_t i = first; i < first + count; i++) {
        if (s->chunk_owner[i] != d) {
            return false;
        }
    }
    return true;
}

/* The next of all spaces that shows the domain */
PvIommuSpace *pv_iommu_domain_next_space(PvIommuDomain *d,
                                         GHashTableIter *iter)
{
    PvIommuSpace *sp;

    while (g_hash_table_iter_next(iter, (gpointer *)&sp, NULL)) {
        if (sp->domain == d && !sp->iommu->withhold) {
            return sp;
        }
    }
    return NULL;
}

static void hide(PvIommuState *s, PvIommuDomain *d, uint32_t first,
                 uint32_t count)
{
    PvIommuSpace *sp;
    GHashTableIter iter;

    PV_IOMMU_FOREACH_SPACE(sp, s, d, iter) {
        pv_iommu_reach_unmap(sp, first, count);
    }
}

/* All of the domain's spaces show the chunks, or false and some may */
static bool show(PvIommuState *s, PvIommuDomain *d, uint32_t first,
                 uint32_t count)
{
    PvIommuSpace *sp;
    GHashTableIter iter;

    PV_IOMMU_FOREACH_SPACE(sp, s, d, iter) {
        if (!pv_iommu_reach_map(sp, first, count)) {
            return false;
        }
    }
    return true;
}

static uint32_t grant_chunks(PvIommuState *s, uint32_t domain, uint32_t first,
                             uint32_t count, bool keep)
{
    const uint32_t limit = pv_iommu_limit(s) / s->chunk_size;
    PvIommuDomain *d = pv_iommu_domain_find(s, domain);

    if (!d) {
        return PV_IOMMU_S_DOMAIN;
    }
    if (!chunks_belong_to(s, first, count, NULL)) {
        return PV_IOMMU_S_CHUNK;
    }
    /* a limit that was lowered since may be less than what is granted */
    if (s->nr_granted >= limit || count > limit - s->nr_granted) {
        return PV_IOMMU_S_LIMIT;
    }

    if (!keep) {
        clear_left(s, first, count);
    }
    set_owner(s, first, count, d);
    if (!show(s, d, first, count)) {
        set_owner(s, first, count, NULL);
        hide(s, d, first, count);
        /* the device had a moment to write to those that it was shown */
        bitmap_set(s->chunk_left, first, count);
        return PV_IOMMU_S_IO;
    }
    d->nr_chunks += count;
    s->nr_granted += count;
    return PV_IOMMU_S_OK;
}

uint32_t pv_iommu_grant(PvIommuState *s, uint32_t domain, uint32_t first,
                        uint32_t count, bool keep)
{
    uint32_t status = grant_chunks(s, domain, first, count, keep);

    trace_pv_iommu_grant(domain, first, count, keep, status);
    return status;
}

static uint32_t revoke_chunks(PvIommuState *s, uint32_t domain, uint32_t first,
                              uint32_t count)
{
    PvIommuDomain *d = pv_iommu_domain_find(s, domain);

    if (!d) {
        return PV_IOMMU_S_DOMAIN;
    }
    if (!chunks_belong_to(s, first, count, d)) {
        return PV_IOMMU_S_CHUNK;
    }
    set_owner(s, first, count, NULL);
    hide(s, d, first, count);
    if (s->host_phys) {
        /*
         * Nothing keeps a device from writing to them still: who is granted
         * them gets them cleared, then and not now.
         */
        bitmap_set(s->chunk_left, first, count);
    } else {
        clear_chunks(s, first, count);
    }
    d->nr_chunks -= count;
    s->nr_granted -= count;
    return PV_IOMMU_S_OK;
}

uint32_t pv_iommu_revoke(PvIommuState *s, uint32_t domain, uint32_t first,
                         uint32_t count)
{
    uint32_t status = revoke_chunks(s, domain, first, count);

    trace_pv_iommu_revoke(domain, first, count, status);
    return status;
}

/*
 * Life
 */

/* The largest power of two that divides dma-base=, to a 32nd of the window */
static uint64_t chunk_size(PvIommuState *s)
{
    uint64_t size = PV_IOMMU_CHUNK_MAX;

    while (size > PV_IOMMU_CHUNK_MIN &&
           (!QEMU_IS_ALIGNED(s->dma_base, size) ||
            size > s->window_size / PV_IOMMU_CHUNKS_MIN)) {
        size /= 2;
    }
    return size;
}

/* The window's memory and place were checked by the caller */
void pv_iommu_chunks_init(PvIommuState *s)
{
    RAMBlock *rb = window_block(s);

    s->chunk_size = chunk_size(s);
    s->nr_chunks = s->window_size / s->chunk_size;
    s->chunk_owner = g_new0(PvIommuDomain *, s->nr_chunks);
    s->chunk_left = bitmap_new(s->nr_chunks);
    s->domains = g_hash_table_new(NULL, NULL);
    if (qemu_ram_get_fd(rb) >= 0) {
        /* a file may hold something */
        bitmap_set(s->chunk_left, 0, s->nr_chunks);
    }
    ram_block_set_discard_filter(rb, keep_granted, s);
}

void pv_iommu_chunks_cleanup(PvIommuState *s)
{
    ram_block_set_discard_filter(window_block(s), NULL, NULL);
    g_clear_pointer(&s->domains, g_hash_table_destroy);
    g_clear_pointer(&s->chunk_left, g_free);
    g_clear_pointer(&s->chunk_owner, g_free);
}
