/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What stages gave, kept for later jobs: the embeddings of prompts.  A folder of one user, of bounded
 * size.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/**
 * sora_cache_default_dir:
 *
 * Returns: (transfer full): this user's folder, `~/.cache/sorad/stages`; it need not exist
 */
char *sora_cache_default_dir (void);

/**
 * sora_cache_measure:
 * @dir: a folder
 * @bytes: (out): of its entries
 *
 * Returns: how many entries there are; 0 as well where there is no such folder
 */
guint sora_cache_measure (const char *dir, guint64 *bytes);

/**
 * sora_cache_clear:
 * @dir: a folder
 *
 * Removes all entries, and the secret that their names were made with.
 *
 * Returns: TRUE, or FALSE if one could not be removed
 */
gboolean sora_cache_clear (const char *dir, GError **error);

G_END_DECLS
