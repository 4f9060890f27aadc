/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How much memory this process may still take: what is free on the machine, what its control groups
 * leave, and what its own limits leave.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* Of the kernel's files below @root ("" for the machine's own; a test has its own tree).
 * @data_limit and @address_limit are RLIMIT_DATA and RLIMIT_AS in bytes, G_MAXUINT64: none.  Page
 * cache counts as free, on the machine and in a group alike: model files that were read or mapped
 * are in it. */
guint64 sora_memory_available_below (const char *root, guint64 data_limit, guint64 address_limit);
/* Of this process. */
guint64 sora_memory_available (void);

G_END_DECLS
