/*
 * pv-iommu: a host that does not lie
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "pv-iommu.h"

void pv_iommu_hostile_init(PvIommuState *s)
{
}

void pv_iommu_hostile_reset(PvIommuState *s)
{
}

uint32_t pv_iommu_hostile_reg(PvIommuState *s, hwaddr reg, uint32_t val)
{
    return val;
}

bool pv_iommu_hostile_silent(PvIommuState *s)
{
    return false;
}

bool pv_iommu_hostile_pretends(PvIommuState *s, uint32_t opcode)
{
    return false;
}

bool pv_iommu_hostile_copies_not(PvIommuState *s)
{
    return false;
}

void pv_iommu_hostile_block(PvIommuState *s, hwaddr block)
{
}
