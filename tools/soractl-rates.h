/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How fast this machine ran each plugin on each model last: operations a second, kept in the user's
 * cache by bench, read by check.  By model, because a small one spends its time on overheads and
 * tells nothing of a large one; and by the threads and the precision that were asked for.
 */
#pragma once
#include "sora-request.h"

/* 0: never measured here. */
double soractl_rates_get (const char *plugin, const SoraRequest *request);
void soractl_rates_set (const char *plugin, const SoraRequest *request, double flops_per_second);
