// SPDX-License-Identifier: GPL-2.0
/*
 * A model of the host device. Its judgement is as strict as the
 * specification's, so that a request that the module gets wrong is seen.
 */
#include <pthread.h>

#include "host.h"

/**
 * struct host_mapping - a block of the arena
 * @dma: where it begins; 0: none
 * @len: bytes
 * @rid: whose it is
 * @flags: the directions in which it may be copied
 * @nr_segs: pieces of guest memory
 * @segs: they
 */
struct host_mapping {
	u64 dma;
	u64 len;
	u16 rid;
	u32 flags;
	unsigned int nr_segs;
	struct pv_iommu_seg *segs;
};

/**
 * struct host_domain - devices that reach the same chunks
 * @id: the guest's number for it; 0: none
 * @group: whose it is
 * @nr_devices: attached ones
 * @ram: of each page of RAM, PV_IOMMU_RANGE_*: how it is granted; NULL: none is
 */
struct host_domain {
	u32 id;
	u32 group;
	unsigned int nr_devices;
	u8 *ram;
};

#define HOST_MAX_DOMAINS	64

#define HOST_MAX_ARENA		SZ_16M

/* Devices are on the first buses */
#define HOST_MAX_RID		1024

/**
 * struct host_device - a device behind pv-iommu
 * @attached: PV_IOMMU_ATTACH_*, or 0
 * @group: which devices it cannot be told from; 0: no such device
 * @domain: only with chunks, and where it is attached: what it reaches
 */
struct host_device {
	u8 attached;
	u32 group;
	struct host_domain *domain;
};

static struct {
	struct host_config config;
	u32 regs[PV_IOMMU_REGS_SIZE / 4];
	u64 features;
	bool enabled;
	/* By requester ID */
	struct host_device devices[HOST_MAX_RID];
	struct host_domain domains[HOST_MAX_DOMAINS];
	/* Of each chunk: who has it, and whether somebody has left something */
	struct host_domain **owner;
	bool *left;
	unsigned long granted;
	/* Pages of RAM, in all domains together */
	unsigned long ram_granted;
	unsigned char *arena;
	/* by the arena's page in which they begin */
	struct host_mapping *mappings;
	unsigned long *busy;
	unsigned long next;
	unsigned int nr_mappings;
	u32 errors;
	struct pci_dev *pdev;
} host;

/* BAR 0 and BAR 2: what the guest maps, and only gives back to us */
static char host_bar0[PV_IOMMU_REGS_SIZE];
static char host_bar2[PV_IOMMU_DOORBELL_SIZE];
static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;

struct host_counters host_counters;
void (*host_tamper)(struct pv_iommu_req *req);
u32 (*host_refuse)(const struct pv_iommu_req *req);
u32 (*host_tamper_reg)(unsigned int reg, u32 value);
unsigned int host_slow;
void (*host_asked)(const struct pv_iommu_req *req);

void (*host_revoked)(unsigned long chunk);

/* One that is not there, if there is none: never attached */
static struct host_device *host_device(u16 rid)
{
	static struct host_device none;

	return rid < HOST_MAX_RID ? &host.devices[rid] : &none;
}

static bool host_chunks(void)
{
	return host.features & PV_IOMMU_F_CHUNKS;
}

static unsigned long host_nr_chunks(void)
{
	return host.config.chunk ? host.config.window_size / host.config.chunk : 0;
}

static unsigned long host_arena_pages(void)
{
	return host.config.arena_size >> PAGE_SHIFT;
}

static struct host_mapping *host_find(u16 rid, u64 dma)
{
	u64 offset = dma - host.config.arena_dma;
	struct host_mapping *m;

	if (!host.mappings || offset >= host.config.arena_size || offset & ~PAGE_MASK)
		return NULL;
	m = &host.mappings[offset >> PAGE_SHIFT];
	return m->dma == dma && m->len && m->rid == rid ? m : NULL;
}

static bool host_is_ram(u64 addr, u64 len)
{
	u64 end;

	return !__builtin_add_overflow(addr, len, &end) && len && end <= shim_ram_size;
}

static unsigned char *host_block(struct host_mapping *m)
{
	return host.arena + (m->dma - host.config.arena_dma);
}

/* Copies what of a mapping lies in @from..@to */
static void host_copy(struct host_mapping *m, u64 from, u64 to, bool to_device)
{
	unsigned int i;

	for (i = 0; i < m->nr_segs; i++) {
		struct pv_iommu_seg *s = &m->segs[i];
		u64 start = max_t(u64, from, s->pos);
		u64 end = min_t(u64, to, (u64)s->pos + s->len);
		unsigned char *mine = host_block(m) + start;
		unsigned char *guest = phys_to_virt(s->addr + (start - s->pos));

		if (start >= end)
			continue;
		if (to_device)
			memcpy(mine, guest, end - start);
		else
			memcpy(guest, mine, end - start);
	}
}

static void host_drop(struct host_mapping *m)
{
	unsigned long page = (m->dma - host.config.arena_dma) >> PAGE_SHIFT;

	memset(host_block(m), 0, PAGE_ALIGN(m->len));
	bitmap_clear(host.busy, page, PFN_UP(m->len));
	free(m->segs);
	memset(m, 0, sizeof(*m));
	host.nr_mappings--;
}

static void host_drop_all(int rid)
{
	unsigned long i;

	for (i = 0; i < host_arena_pages(); i++)
		if (host.mappings[i].len && (rid < 0 || host.mappings[i].rid == rid))
			host_drop(&host.mappings[i]);
}

static bool host_fits(const struct pv_iommu_req *req, unsigned long page)
{
	unsigned long n = PFN_UP(req->length);
	u64 dma = host.config.arena_dma + ((u64)page << PAGE_SHIFT);
	u64 last = dma + req->length - 1;

	if (dma & req->align_mask || last > req->dma_limit ||
	    page + n > host_arena_pages())
		return false;
	if (req->length - 1 <= req->boundary_mask && (dma ^ last) & ~req->boundary_mask)
		return false;
	return find_next_bit(host.busy, page + n, page) >= page + n;
}

/* Not always the same place: where the last one was given goes on */
static bool host_place(const struct pv_iommu_req *req, unsigned long *page)
{
	unsigned long npages = host_arena_pages(), i;

	for (i = 0; i < npages; i++) {
		*page = (host.next + i) % npages;
		if (host_fits(req, *page)) {
			host.next = *page + PFN_UP(req->length);
			return true;
		}
	}
	return false;
}

static u32 host_map(struct pv_iommu_req *req)
{
	u64 end = 0, align = req->align_mask;
	struct host_mapping *m;
	unsigned long page;
	unsigned int i;

	if (host_device(req->rid)->attached != PV_IOMMU_ATTACH_BOUNCE)
		return PV_IOMMU_S_STATE;
	if (req->flags & ~(PV_IOMMU_DIR_TO_DEVICE | PV_IOMMU_DIR_FROM_DEVICE) ||
	    !req->flags || !req->nr_segs || req->nr_segs > PV_IOMMU_MAX_SEGS ||
	    !req->length || req->offset || req->dma_addr || align & (align + 1) ||
	    align < PV_IOMMU_GRANULE - 1 ||
	    req->boundary_mask & (req->boundary_mask + 1))
		return PV_IOMMU_S_INVAL;
	for (i = 0; i < req->nr_segs; i++) {
		struct pv_iommu_seg *s = &req->segs[i];

		if (!s->len || s->pos < end || (u64)s->pos + s->len > req->length)
			return PV_IOMMU_S_INVAL;
		if (!host_is_ram(s->addr, s->len))
			return PV_IOMMU_S_RANGE;
		end = (u64)s->pos + s->len;
	}
	if (!host_place(req, &page))
		return PV_IOMMU_S_NOSPC;

	m = &host.mappings[page];
	m->dma = host.config.arena_dma + ((u64)page << PAGE_SHIFT);
	m->len = req->length;
	m->rid = req->rid;
	m->flags = req->flags;
	m->nr_segs = req->nr_segs;
	m->segs = malloc(m->nr_segs * sizeof(*m->segs));
	memcpy(m->segs, req->segs, m->nr_segs * sizeof(*m->segs));
	bitmap_set(host.busy, page, PFN_UP(m->len));
	host.nr_mappings++;
	host_copy(m, 0, m->len, true);
	req->dma_addr = m->dma;
	return PV_IOMMU_S_OK;
}

static u32 host_unmap(struct pv_iommu_req *req)
{
	struct host_mapping *m = host_find(req->rid, req->dma_addr);

	if (req->flags & ~PV_IOMMU_DIR_FROM_DEVICE)
		return PV_IOMMU_S_INVAL;
	if (!m)
		return PV_IOMMU_S_HANDLE;
	if (req->flags && !(m->flags & PV_IOMMU_DIR_FROM_DEVICE))
		return PV_IOMMU_S_INVAL;
	if (req->flags)
		host_copy(m, 0, m->len, false);
	host_drop(m);
	return PV_IOMMU_S_OK;
}

static u32 host_sync(struct pv_iommu_req *req)
{
	struct host_mapping *m = host_find(req->rid, req->dma_addr);

	if (req->flags != PV_IOMMU_DIR_TO_DEVICE && req->flags != PV_IOMMU_DIR_FROM_DEVICE)
		return PV_IOMMU_S_INVAL;
	if (!m)
		return PV_IOMMU_S_HANDLE;
	if (!(m->flags & req->flags) || req->offset > m->len ||
	    req->length > m->len - req->offset)
		return PV_IOMMU_S_INVAL;
	host_copy(m, req->offset, req->offset + req->length,
		  req->flags == PV_IOMMU_DIR_TO_DEVICE);
	return PV_IOMMU_S_OK;
}

/* ---- domains and chunks ---- */

static struct host_domain *host_domain_find(u32 id)
{
	unsigned int i;

	for (i = 0; id && i < HOST_MAX_DOMAINS; i++)
		if (host.domains[i].id == id)
			return &host.domains[i];
	return NULL;
}

/* The domain of a device that is attached; it may be new. NULL: it may not be */
/* Nobody has the domain any more */
static void host_ram_end(struct host_domain *d)
{
	unsigned long i;

	for (i = 0; d->ram && i < PHYS_PFN(shim_ram_size); i++)
		host.ram_granted -= d->ram[i] != 0;
	free(d->ram);
	d->ram = NULL;
}

static struct host_domain *host_domain_get(u32 id, u32 group)
{
	struct host_domain *d = host_domain_find(id);
	unsigned int i;

	for (i = 0; !d && id && i < HOST_MAX_DOMAINS; i++) {
		if (host.domains[i].id)
			continue;
		d = &host.domains[i];
		*d = (struct host_domain){ .id = id, .group = group };
	}
	/* A group is in one domain; here, also a domain of one group */
	for (i = 0; d && i < HOST_MAX_DOMAINS; i++)
		if (host.domains[i].id && &host.domains[i] != d &&
		    host.domains[i].group == group)
			return NULL;
	if (!d || d->group != group)
		return NULL;
	d->nr_devices++;
	return d;
}

static void host_domain_put(struct host_domain *d)
{
	unsigned long i;

	if (!d || --d->nr_devices)
		return;
	for (i = 0; i < host_nr_chunks(); i++) {
		if (host.owner[i] != d)
			continue;
		host.owner[i] = NULL;
		host.left[i] = true;
		host.granted--;
	}
	host_ram_end(d);
	d->id = 0;
}

static bool host_chunks_of(u32 first, u32 count, struct host_domain *d)
{
	u32 i;

	if (!count || first >= host_nr_chunks() || count > host_nr_chunks() - first)
		return false;
	for (i = first; i < first + count; i++)
		if (host.owner[i] != d)
			return false;
	return true;
}

static void *host_chunk_virt(u32 chunk)
{
	return phys_to_virt(host.config.window_phys + chunk * host.config.chunk);
}

static u32 host_grant(struct pv_iommu_req *req)
{
	struct host_domain *d = host_domain_find(req->domain);
	u32 i;

	if (req->flags & ~PV_IOMMU_GRANT_KEEP)
		return PV_IOMMU_S_INVAL;
	if (!d)
		return PV_IOMMU_S_DOMAIN;
	if (!host_chunks_of(req->first, req->count, NULL))
		return PV_IOMMU_S_CHUNK;
	if (host.granted + req->count > host.config.limit / host.config.chunk)
		return PV_IOMMU_S_LIMIT;
	for (i = req->first; i < req->first + req->count; i++) {
		shim_unpoison(host_chunk_virt(i), host.config.chunk);
		if (!(req->flags & PV_IOMMU_GRANT_KEEP) && host.left[i])
			memset(host_chunk_virt(i), 0, host.config.chunk);
		host.left[i] = false;
		host.owner[i] = d;
		host.granted++;
	}
	return PV_IOMMU_S_OK;
}

/* What was in them is gone; who touches them is told on, by the sanitizer */
static u32 host_revoke(u32 domain, u32 first, u32 count)
{
	struct host_domain *d = host_domain_find(domain);
	u32 i;

	if (!d)
		return PV_IOMMU_S_DOMAIN;
	if (!host_chunks_of(first, count, d))
		return PV_IOMMU_S_CHUNK;
	for (i = first; i < first + count; i++) {
		if (host_revoked)
			host_revoked(i);
		host.owner[i] = NULL;
		host.granted--;
		memset(host_chunk_virt(i), 0, host.config.chunk);
		if (!host.config.no_poison)
			shim_poison(host_chunk_virt(i), host.config.chunk);
	}
	return PV_IOMMU_S_OK;
}

/* ---- guest RAM, page by page ---- */

#define HOST_RAM_PERM	(PV_IOMMU_RANGE_READ | PV_IOMMU_RANGE_WRITE)

static u32 host_ram_judge(const struct pv_iommu_range *r, bool grant)
{
	u32 flags = grant ? HOST_RAM_PERM : 0;

	if (grant && host.features & PV_IOMMU_F_LARGE)
		flags |= PV_IOMMU_RANGE_LARGE;
	if (!r->count || r->flags & ~flags || (grant && !(r->flags & HOST_RAM_PERM)))
		return PV_IOMMU_S_INVAL;
	if (r->flags & PV_IOMMU_RANGE_LARGE &&
	    (r->first % PV_IOMMU_LARGE_PAGES || r->count % PV_IOMMU_LARGE_PAGES))
		return PV_IOMMU_S_INVAL;
	return PV_IOMMU_S_OK;
}

static bool host_ram_there(const struct pv_iommu_range *r)
{
	u64 pages = PHYS_PFN(shim_ram_size);

	return r->first < pages && r->count <= pages - r->first;
}

static u32 host_ram_grant(struct host_domain *d, const struct pv_iommu_range *r)
{
	u64 i;

	if (!host_ram_there(r))
		return PV_IOMMU_S_RANGE;
	for (i = r->first; i < r->first + r->count; i++)
		if (d->ram[i])
			return PV_IOMMU_S_PAGE;
	if (host.ram_granted + r->count > host.config.direct_limit >> PAGE_SHIFT)
		return PV_IOMMU_S_LIMIT;
	memset(d->ram + r->first, r->flags, r->count);
	host.ram_granted += r->count;
	return PV_IOMMU_S_OK;
}

static void host_ram_clear(struct host_domain *d, u64 first, u64 count)
{
	memset(d->ram + first, 0, count);
	host.ram_granted -= count;
}

/* Is all of it granted, and of no large piece only a part in it? */
static bool host_ram_whole(struct host_domain *d, const struct pv_iommu_range *r)
{
	u64 i, end = r->first + r->count;

	if (!host_ram_there(r))
		return false;
	for (i = r->first; i < end; i++)
		if (!d->ram[i])
			return false;
	return !(d->ram[r->first] & PV_IOMMU_RANGE_LARGE && r->first % PV_IOMMU_LARGE_PAGES) &&
	       !(d->ram[end - 1] & PV_IOMMU_RANGE_LARGE && end % PV_IOMMU_LARGE_PAGES);
}

static u32 host_ram_revoke(u32 domain, const struct pv_iommu_range *r)
{
	struct host_domain *d = host_domain_find(domain);

	if (!d)
		return PV_IOMMU_S_DOMAIN;
	if (!d->ram || !host_ram_whole(d, r))
		return PV_IOMMU_S_PAGE;
	host_ram_clear(d, r->first, r->count);
	return PV_IOMMU_S_OK;
}

/* All of them, or none */
static u32 host_ram(struct pv_iommu_req *req, bool grant)
{
	struct host_domain *d = host_domain_find(req->domain);
	u32 status = req->nr_segs ? PV_IOMMU_S_OK : PV_IOMMU_S_INVAL;
	u64 total = 0;
	unsigned int i;

	if (!(host.features & PV_IOMMU_F_DIRECT))
		return PV_IOMMU_S_OPCODE;
	for (i = 0; i < req->nr_segs; i++) {
		status = status ?: host_ram_judge(&req->ranges[i], grant);
		total += req->ranges[i].count;
	}
	if (status || req->flags || total > PV_IOMMU_MAX_PAGES)
		return PV_IOMMU_S_INVAL;
	if (!d)
		return PV_IOMMU_S_DOMAIN;
	if (!d->ram)
		d->ram = calloc(PHYS_PFN(shim_ram_size), 1);
	for (i = 0; i < req->nr_segs && !status; i++)
		status = grant ? host_ram_grant(d, &req->ranges[i]) :
				 host_ram_revoke(req->domain, &req->ranges[i]);
	/* The module never asks for a revoke of which a part cannot be */
	if (status && grant)
		while (i-- > 1)
			host_ram_clear(d, req->ranges[i - 1].first, req->ranges[i - 1].count);
	return status;
}

u32 host_ram_perm(u16 rid, u64 phys)
{
	struct host_domain *d;
	u32 perm;

	pthread_mutex_lock(&host_lock);
	d = host_device(rid)->domain;
	perm = d && d->ram ? d->ram[PHYS_PFN(phys)] & HOST_RAM_PERM : 0;
	pthread_mutex_unlock(&host_lock);
	return perm;
}

unsigned long host_ram_granted(void)
{
	return host.ram_granted;
}

static u32 host_probe(struct pv_iommu_req *req)
{
	if (req->flags)
		return PV_IOMMU_S_INVAL;
	if (!host_device(req->rid)->group)
		return PV_IOMMU_S_NODEV;
	req->group = host_device(req->rid)->group;
	req->offers = PV_IOMMU_PROBE_WINDOW |
		      (host.config.arena_size ? PV_IOMMU_PROBE_BOUNCE : 0);
	return PV_IOMMU_S_OK;
}

static u32 host_attach(struct pv_iommu_req *req)
{
	bool bounce = req->flags == PV_IOMMU_ATTACH_BOUNCE;
	struct host_domain *d = NULL;

	/* It is not attached by that, and here there is nothing to bypass */
	if (req->flags == PV_IOMMU_ATTACH_BYPASS)
		return host_device(req->rid)->attached ? PV_IOMMU_S_STATE : PV_IOMMU_S_OK;
	if (!bounce && req->flags != PV_IOMMU_ATTACH_WINDOW)
		return PV_IOMMU_S_INVAL;
	if (!(host.features & (bounce ? PV_IOMMU_F_BOUNCE : PV_IOMMU_F_WINDOW)))
		return PV_IOMMU_S_UNSUPP;
	if (!host_device(req->rid)->group)
		return PV_IOMMU_S_NODEV;
	if (host_device(req->rid)->attached)
		return PV_IOMMU_S_STATE;
	if (host_chunks()) {
		d = host_domain_get(req->domain, host_device(req->rid)->group);
		if (!d)
			return PV_IOMMU_S_DOMAIN;
	}
	host_device(req->rid)->domain = d;
	host_device(req->rid)->attached = req->flags;
	return PV_IOMMU_S_OK;
}

static u32 host_detach(struct pv_iommu_req *req)
{
	if (!host_device(req->rid)->attached)
		return PV_IOMMU_S_STATE;
	host_drop_all(req->rid);
	host_domain_put(host_device(req->rid)->domain);
	host_device(req->rid)->domain = NULL;
	host_device(req->rid)->attached = 0;
	return PV_IOMMU_S_OK;
}

static void host_revokes(struct pv_iommu_req *req)
{
	unsigned int i;

	for (i = 0; i < req->nr_revokes; i++) {
		struct pv_iommu_revoke *r = &req->revokes[i];

		struct pv_iommu_range ram = { .first = r->first, .count = r->count };

		if (r->flags == PV_IOMMU_REVOKE_RAM && host.features & PV_IOMMU_F_DIRECT ?
		    host_ram_revoke(r->domain, &ram) :
		    r->flags || host_revoke(r->domain, r->first, r->count))
			req->revoke_errors++;
	}
	host_counters.revokes += req->nr_revokes;
	host_counters.refused += req->revoke_errors;
}

/* Without chunks, their part of the head is reserved */
static bool host_head_is_good(const struct pv_iommu_req *req)
{
	const u8 *p = (const u8 *)req;
	size_t from = host_chunks() ? offsetof(struct pv_iommu_req, reserved) :
				      offsetof(struct pv_iommu_req, domain);

	for (; from < offsetof(struct pv_iommu_req, segs); from++)
		if (p[from])
			return false;
	return req->nr_segs <= PV_IOMMU_MAX_SEGS &&
	       (!req->nr_segs || req->opcode == PV_IOMMU_OP_MAP ||
		req->opcode == PV_IOMMU_OP_GRANT_RAM ||
		req->opcode == PV_IOMMU_OP_REVOKE_RAM) &&
	       req->nr_unmaps <= PV_IOMMU_MAX_UNMAPS &&
	       req->nr_revokes <= PV_IOMMU_MAX_REVOKES && !req->reserved_revokes &&
	       !req->unmap_errors && !req->revoke_errors;
}

static void host_unmaps(struct pv_iommu_req *req)
{
	unsigned int i;

	for (i = 0; i < min_t(unsigned int, req->nr_unmaps, PV_IOMMU_MAX_UNMAPS); i++) {
		struct host_mapping *m = host_find(req->unmaps[i].rid,
						   req->unmaps[i].dma_addr);

		host_counters.unmaps++;
		if (m)
			host_drop(m);
		else
			req->unmap_errors++;
	}
	host_counters.refused += req->unmap_errors;
}

static u32 host_answer(struct pv_iommu_req *req)
{
	if (!host.enabled)
		return PV_IOMMU_S_STATE;
	if (!host_head_is_good(req))
		return PV_IOMMU_S_INVAL;
	host_unmaps(req);
	host_revokes(req);
	if (!host_chunks() && req->opcode >= PV_IOMMU_OP_PROBE)
		return PV_IOMMU_S_OPCODE;

	switch (req->opcode) {
	case PV_IOMMU_OP_NOP:
		return PV_IOMMU_S_OK;
	case PV_IOMMU_OP_ATTACH:
		return host_attach(req);
	case PV_IOMMU_OP_DETACH:
		return host_detach(req);
	case PV_IOMMU_OP_MAP:
		return host_map(req);
	case PV_IOMMU_OP_UNMAP:
		return host_unmap(req);
	case PV_IOMMU_OP_SYNC:
		return host_sync(req);
	case PV_IOMMU_OP_PROBE:
		return host_probe(req);
	case PV_IOMMU_OP_GRANT:
		return host_grant(req);
	case PV_IOMMU_OP_REVOKE:
		return req->flags ? PV_IOMMU_S_INVAL :
		       host_revoke(req->domain, req->first, req->count);
	case PV_IOMMU_OP_GRANT_RAM:
		return host_ram(req, true);
	case PV_IOMMU_OP_REVOKE_RAM:
		return host_ram(req, false);
	default:
		return PV_IOMMU_S_OPCODE;
	}
}

static void host_takes(unsigned int points)
{
	while (points--)
		shim_point();
}

static void host_ring(u32 frame)
{
	u64 addr = (u64)frame << PV_IOMMU_REQ_SHIFT;
	struct pv_iommu_req *req = phys_to_virt(addr);
	u32 status;

	if (host_asked)
		host_asked(req);
	/* It may take long, before and after it does what it is asked for */
	host_takes(1 + host_slow);
	pthread_mutex_lock(&host_lock);
	if (!host_is_ram(addr, PV_IOMMU_REQ_SIZE)) {
		host.errors++;
		pthread_mutex_unlock(&host_lock);
		return;
	}
	__atomic_fetch_add(&host_counters.requests[min_t(u16, req->opcode, 15)], 1,
			   __ATOMIC_RELAXED);
	status = host_refuse ? host_refuse(req) : PV_IOMMU_S_OK;
	if (status == PV_IOMMU_S_OK)
		status = host_answer(req);
	if (status != PV_IOMMU_S_OK && status != PV_IOMMU_S_NOSPC &&
	    status != PV_IOMMU_S_LIMIT) {
		host_counters.refused++;
		host.errors++;
	}
	req->status = status;
	if (host_tamper)
		host_tamper(req);
	pthread_mutex_unlock(&host_lock);
	host_takes(1 + host_slow);
}

static void host_reset(void)
{
	unsigned long chunk;
	unsigned int rid;

	if (host.mappings)
		host_drop_all(-1);
	for (rid = 0; rid < HOST_MAX_RID; rid++) {
		host.devices[rid].attached = 0;
		host.devices[rid].domain = NULL;
	}
	for (rid = 0; rid < HOST_MAX_DOMAINS; rid++)
		host_ram_end(&host.domains[rid]);
	memset(host.domains, 0, sizeof(host.domains));
	for (chunk = 0; host.owner && chunk < host_nr_chunks(); chunk++) {
		host.left[chunk] |= host.owner[chunk] != NULL;
		host.owner[chunk] = NULL;
	}
	host.granted = 0;
	host.enabled = false;
	host.features = 0;
}

/* The machine is reset, as in a suspend to RAM; memory is as it was */
void host_machine_reset(void)
{
	host_reset();
}

static void host_control(u32 value)
{
	if (value & PV_IOMMU_CTL_RESET)
		host_reset();
	if (value & PV_IOMMU_CTL_ENABLE && host.features &&
	    !(host.features & ~host.config.features))
		host.enabled = true;
	/* What was granted before a suspend is the guest's to look at still */
	if (host.enabled && !host_chunks())
		shim_unpoison(phys_to_virt(host.config.window_phys), host.config.window_size);
}

static u64 host_reg(unsigned int reg)
{
	switch (reg) {
	case PV_IOMMU_REG_MAGIC:
		return PV_IOMMU_MAGIC | (u64)PV_IOMMU_VERSION << 32;
	case PV_IOMMU_REG_HOST_FEATURES:
		return host.config.features;
	case PV_IOMMU_REG_GUEST_FEATURES:
		return host.features;
	case PV_IOMMU_REG_CONTROL:
		return (host.enabled ? PV_IOMMU_CTL_ENABLE : 0) | (u64)host.errors << 32;
	case PV_IOMMU_REG_WINDOW_ADDR:
		return host.config.window_phys;
	case PV_IOMMU_REG_WINDOW_SIZE:
		return host.config.window_size;
	case PV_IOMMU_REG_WINDOW_DMA:
		return host.config.window_dma;
	case PV_IOMMU_REG_ARENA_DMA:
		return host.config.arena_dma;
	case PV_IOMMU_REG_ARENA_SIZE:
		return host.config.arena_size;
	case PV_IOMMU_REG_FAULT_COUNT:
		return host_counters.faults;
	case PV_IOMMU_REG_CHUNK_SIZE:
		return host.config.chunk;
	case PV_IOMMU_REG_WINDOW_LIMIT:
		return host.config.limit;
	case PV_IOMMU_REG_WINDOW_GRANTED:
		return host.granted * host.config.chunk;
	case PV_IOMMU_REG_DIRECT_DMA:
		return host.config.direct_dma;
	case PV_IOMMU_REG_DIRECT_SIZE:
		return host.config.direct_limit ? shim_ram_size : 0;
	case PV_IOMMU_REG_DIRECT_LIMIT:
		return host.config.direct_limit;
	case PV_IOMMU_REG_DIRECT_GRANTED:
		return host.ram_granted << PAGE_SHIFT;
	default:
		return 0;
	}
}

u32 ioread32(const void __iomem *addr)
{
	unsigned int reg = (const char *)addr - host_bar0;
	u32 value;

	if (reg >= PV_IOMMU_REGS_SIZE || reg % 4)
		shim_panic("read of register %#x", reg);
	value = host_reg(reg & ~7u) >> (reg & 4 ? 32 : 0);
	return host_tamper_reg ? host_tamper_reg(reg, value) : value;
}

void iowrite32(u32 value, void __iomem *addr)
{
	unsigned int reg = (char *)addr - host_bar0;

	if (addr == host_bar2)
		reg = PV_IOMMU_REG_DOORBELL;
	if (reg >= PV_IOMMU_REGS_SIZE || reg % 4)
		shim_panic("write of register %#x", reg);
	switch (reg) {
	case PV_IOMMU_REG_DOORBELL:
		shim_exit_begin();
		host_ring(value);
		shim_exit_end();
		break;
	case PV_IOMMU_REG_CONTROL:
		host_control(value);
		break;
	case PV_IOMMU_REG_GUEST_FEATURES:
		host.features = (host.features & ~0xffffffffULL) | value;
		break;
	case PV_IOMMU_REG_GUEST_FEATURES + 4:
		host.features = (u32)host.features | (u64)value << 32;
		break;
	}
}

void __iomem *pcim_iomap(struct pci_dev *pdev, int bar, unsigned long max)
{
	return bar == PV_IOMMU_BAR_REGS ? host_bar0 : host_bar2;
}

/* No device is told where its registers are; there is no memory in a BAR */
u64 pci_resource_start(struct pci_dev *pdev, int bar)
{
	return 0;
}

u64 pci_resource_len(struct pci_dev *pdev, int bar)
{
	return bar == PV_IOMMU_BAR_REGS ? PV_IOMMU_REGS_SIZE : PV_IOMMU_DOORBELL_SIZE;
}

unsigned long pci_resource_flags(struct pci_dev *pdev, int bar)
{
	return IORESOURCE_MEM;
}

/**
 * host_create - plug the host device in
 * @config: what it offers; window and arena are filled with what a device must
 *	never see
 *
 * Return: its PCI function.
 */
struct pci_dev *host_create(const struct host_config *config)
{
	memset(&host, 0, sizeof(host));
	memset(&host_counters, 0, sizeof(host_counters));
	host.config = *config;
	if (config->arena_size) {
		/* One for all, so that its pages need not come and go */
		static unsigned char *arena;

		if (!arena)
			arena = malloc(HOST_MAX_ARENA);
		if (!arena || config->arena_size > HOST_MAX_ARENA)
			shim_panic("no arena of %llu bytes", config->arena_size);
		host.arena = arena;
		memset(host.arena, 0, config->arena_size);
		host.mappings = calloc(host_arena_pages(), sizeof(*host.mappings));
		host.busy = calloc(BITS_TO_LONGS(host_arena_pages()), sizeof(long));
	}
	if (config->features & PV_IOMMU_F_CHUNKS) {
		host.owner = calloc(host_nr_chunks(), sizeof(*host.owner));
		host.left = calloc(host_nr_chunks(), sizeof(*host.left));
		/* The memory was somebody's before */
		memset(host.left, 1, host_nr_chunks());
		if (!config->no_poison)
			shim_poison(phys_to_virt(config->window_phys),
				    config->window_size);
	}
	host.pdev = shim_device_add(0, PCI_DEVFN(31, 7), 0x088000);
	host.pdev->vendor = PV_IOMMU_PCI_VENDOR_ID;
	host.pdev->device = PV_IOMMU_PCI_DEVICE_ID;
	return host.pdev;
}

void host_destroy(void)
{
	unsigned int i;

	for (i = 0; i < HOST_MAX_DOMAINS; i++)
		host_ram_end(&host.domains[i]);
	if (host.mappings)
		host_drop_all(-1);
	free(host.mappings);
	free(host.busy);
	free(host.owner);
	free(host.left);
	memset(&host, 0, sizeof(host));
}

static void *host_translate(u16 rid, u64 dma, size_t len)
{
	u64 offset = dma - host.config.window_dma;

	if (!host_device(rid)->attached || !len)
		return NULL;
	if (offset < host.config.window_size && len <= host.config.window_size - offset) {
		u64 chunk;

		for (chunk = host_chunks() ? offset / host.config.chunk : 1;
		     host_chunks() && chunk <= (offset + len - 1) / host.config.chunk; chunk++)
			if (host.owner[chunk] != host_device(rid)->domain)
				return NULL;
		return phys_to_virt(host.config.window_phys + offset);
	}
	offset = dma - host.config.arena_dma;
	if (host_device(rid)->attached == PV_IOMMU_ATTACH_BOUNCE &&
	    offset < host.config.arena_size && len <= host.config.arena_size - offset)
		return host.arena + offset;
	offset = dma - host.config.direct_dma;
	if (host.config.direct_limit && offset < shim_ram_size && len <= shim_ram_size - offset) {
		u64 page;

		for (page = offset & PAGE_MASK; page < offset + len; page += PAGE_SIZE)
			if (!(host_ram_perm(rid, page) & PV_IOMMU_RANGE_READ))
				return NULL;
		return phys_to_virt(offset);
	}
	return NULL;
}

void *host_dma(u16 rid, u64 dma, size_t len)
{
	void *p = host_translate(rid, dma, len);

	if (!p)
		host_counters.faults++;
	return p;
}

bool host_reaches(u16 rid, u64 dma, size_t len)
{
	return host_translate(rid, dma, len) != NULL;
}

unsigned int host_mappings(void)
{
	return host.nr_mappings;
}

bool host_attached(u16 rid)
{
	return host_device(rid)->attached;
}

u64 host_chunk_size(u64 window_size, u64 window_dma)
{
	u64 size = SZ_2M;

	while (size > SZ_64K && (window_dma % size || size > window_size / 32))
		size /= 2;
	return size;
}

void host_set_group(u16 rid, u32 group)
{
	host_device(rid)->group = group;
}

void host_set_limit(u64 limit)
{
	host.config.limit = limit;
}

u32 host_chunk_group(unsigned long chunk)
{
	return host.owner && host.owner[chunk] ? host.owner[chunk]->group : 0;
}

unsigned long host_chunks_granted(void)
{
	return host.granted;
}
