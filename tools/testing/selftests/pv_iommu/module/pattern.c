// SPDX-License-Identifier: GPL-2.0
/*
 * Bytes to send through a device, and their comparison. Patterns are cut from
 * one table of noise: writing and checking them is a memcpy and a memcmp, as
 * the guests that run this are emulated.
 */
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "pvt.h"

#define PVT_CHUNK	SZ_64K
#define PVT_START_BITS	17
#define PVT_NOISE	((1U << PVT_START_BITS) + PVT_CHUNK)

static u8 *pvt_noise;

int pvt_pattern_init(void)
{
	struct rnd_state rnd;

	pvt_noise = vmalloc(PVT_NOISE);
	if (!pvt_noise)
		return -ENOMEM;
	prandom_seed_state(&rnd, 2008);
	prandom_bytes_state(&rnd, pvt_noise, PVT_NOISE);
	return 0;
}

void pvt_pattern_exit(void)
{
	vfree(pvt_noise);
}

/* Fill @buf with bytes that another seed, or an offset, does not give */
void pvt_fill(void *buf, size_t len, u32 seed)
{
	size_t pos, n;
	u32 chunk = 0;

	for (pos = 0; pos < len; pos += n) {
		n = min_t(size_t, len - pos, PVT_CHUNK);
		memcpy(buf + pos,
		       pvt_noise + hash_32(seed + 7919 * chunk++, PVT_START_BITS),
		       n);
	}
}

bool pvt_same(struct pvt *t, const void *got, const void *want, size_t len,
	      const char *what)
{
	const u8 *g = got, *w = want;
	size_t i, first = 0, bad = 0;

	if (!memcmp(got, want, len))
		return true;
	for (i = 0; i < len; i++) {
		if (g[i] == w[i])
			continue;
		if (!bad++)
			first = i;
	}
	pvt_fail(t, "%s: %zu of %zu bytes differ, first at %zu: got %02x, want %02x",
		 what, bad, len, first, g[first], w[first]);
	return false;
}

bool pvt_zero(struct pvt *t, const void *got, size_t len, const char *what)
{
	const u8 *wrong = memchr_inv(got, 0, len);

	if (!wrong)
		return true;
	pvt_fail(t, "%s: byte %zu of %zu is %02x, not zero", what,
		 (size_t)(wrong - (const u8 *)got), len, *wrong);
	return false;
}

bool pvt_contains(const void *hay, size_t len, const void *needle, size_t nlen)
{
	size_t i;

	for (i = 0; i + nlen <= len; i++) {
		if (!memcmp(hay + i, needle, nlen))
			return true;
	}
	return false;
}
