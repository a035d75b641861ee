#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Sourced by dracut
/sbin/pv-iommu-early
