/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sora-libraries: what a loaded plugin's numbers depend on beside its own file.  Another build of
 * oneDNN or of the C library's functions may give other bits for the same call, without a change of
 * the plugin.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* The shared libraries that the module at @path needs, and those that they need, sorted: a line for
 * each with its name and build id ("libm.so.6 5b0f..."), or where it has none, size and time of its
 * file.  What else is loaded does not matter.  NULL: the module is not loaded in this process. */
char *sora_libraries_describe (const char *path);

G_END_DECLS
