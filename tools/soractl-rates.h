/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How fast this machine ran each plugin last: operations a second, kept in the user's cache by
 * bench, read by check.
 */
#pragma once
#include <glib.h>

/* 0: never measured here. */
double soractl_rates_get (const char *plugin);
void soractl_rates_set (const char *plugin, double flops_per_second);
