/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: key files (pipelines, manifests) read strictly.  GKeyFile merges groups of one name and
 * lets the last of two equal keys win; both are a slip of the hand, and are refused here with the line.
 */
#pragma once
#include <glib.h>
#include "sora-error.h"

G_BEGIN_DECLS

#define SORA_KEYFILE_MAX_SIZE (1u << 20)

/* @name is for messages. */
GKeyFile *sora_keyfile_parse (const char *text, gsize length, const char *name, SoraError code, GError **error);
/* A text that must be there and not be empty. */
char *sora_keyfile_require (GKeyFile *file, const char *group, const char *key, const char *name, SoraError code,
                            GError **error);
/* The first key of @group that is not in @known (NULL-terminated; one that ends in a dot stands for all that begin
 * so), or NULL. */
char *sora_keyfile_unknown_key (GKeyFile *file, const char *group, const char *const *known);

/* A letter or digit, then letters, digits, '-' and '_': at most 64 bytes. */
gboolean sora_name_is_valid (const char *name);
/* A GCompareFunc of arrays of char*. */
int sora_compare_names (gconstpointer a, gconstpointer b);
/* Is it a plain file name: no slash, not hidden, not empty? */
gboolean sora_name_is_plain_file (const char *name);
/* The folders of a search path: those of @variable (colon-separated), the user's data folder, the system's. */
char **sora_search_path (gboolean user, const char *variable, const char *user_base, const char *user_part,
                         const char *system_dir);

G_END_DECLS
