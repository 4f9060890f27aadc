/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * "Did you mean ...?" for names that are unknown.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* ": did you mean 'width'?" if one of @names (of char*) is near @name; else, if there are few, ";
 * there are a, b"; else "".  Free with g_free. */
char *sora_suggest (const char *name, GPtrArray *names);

G_END_DECLS
