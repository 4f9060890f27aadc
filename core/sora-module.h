/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Modules that were opened: they stay in the process as they were, whatever lies at their path since.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* Before the module at @path is opened.  The first time counts: after it the loader gives what it has. */
void sora_module_note (const char *path);
/* The file that was opened, where another one lies at @path by now; else NULL. */
char *sora_module_describe_replaced (const char *path);

G_END_DECLS
