/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is kept for later jobs: what stages gave (the embeddings of prompts), and what they made of a
 * model's weights.  Two folders of bounded size.
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

/**
 * SoraPackedFile:
 * @label: what it is, for people: "dit-wan: transformer of wan13"; "damaged" where it cannot be told
 * @bytes: its size
 * @used: when it was used last, in microseconds since 1970
 *
 * A file of packed weights.
 */
typedef struct
{
  char *label;
  guint64 bytes;
  gint64 used;
} SoraPackedFile;

/**
 * sora_packed_default_dir:
 *
 * Returns: (transfer full): this user's folder of packed weights, `~/.cache/sorad/packed`; it need not exist
 */
char *sora_packed_default_dir (void);

/**
 * sora_packed_system_dir:
 *
 * Returns: (transfer full): the folder of packed weights that the service of the machine reads, and that the
 *   administrator alone writes; it need not exist
 */
char *sora_packed_system_dir (void);

/**
 * sora_packed_check_system_dir:
 * @dir: a folder
 *
 * Looks whether root alone can say what is in @dir: before a process gives its rights away and takes packed weights from there
 * (SORA_PACKED_READ).
 *
 * Returns: TRUE, or FALSE with %SORA_ERROR_NOT_FOUND where there is none, else %SORA_ERROR_FAILED
 */
gboolean sora_packed_check_system_dir (const char *dir, GError **error);

/**
 * sora_packed_list:
 * @dir: a folder
 *
 * Returns: (transfer full) (element-type SoraPackedFile): what is there, the one used last first; unref it
 */
GPtrArray *sora_packed_list (const char *dir);

/**
 * sora_packed_clear:
 * @dir: a folder
 *
 * Removes all of it.  Who has one mapped keeps it until the mapping ends.
 *
 * Returns: TRUE, or FALSE if one could not be removed
 */
gboolean sora_packed_clear (const char *dir, GError **error);

G_END_DECLS
