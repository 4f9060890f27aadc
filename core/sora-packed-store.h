/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The folder of packed weights: a file a key (sora-packed-header.h), which appears whole, is never
 * changed, and goes when it was not used for longest.
 */
#pragma once
#include "sora-cache.h"
#include "sora-runner.h"

G_BEGIN_DECLS

/* A file that is mapped. */
typedef struct
{
  void *map;
  gsize map_size;
  const guint8 *data;
  guint64 size;
} SoraPackedMap;

/* A file that is written. */
typedef struct SoraPackedWriter SoraPackedWriter;

/* Maps the file of @key after looking at all of it: owner, mode, head, and the sum of the data, which reads it from the
 * disk as far as it is not in memory.  NOT_FOUND: there is none.  Another error: it is not to be used, and was removed
 * where it is ours; CANCELLED as soon as @stopped says so. */
gboolean sora_packed_map (const char *dir, SoraPackedUse use, const char *key,
                          gboolean (*stopped) (gpointer data), gpointer data, SoraPackedMap *map,
                          GError **error);
void sora_packed_unmap (SoraPackedMap *map);

/* Makes room for @size bytes and takes it; NULL where the folder cannot be written or the disk is full. */
SoraPackedWriter *sora_packed_writer_new (const char *dir, SoraPackedUse use, const char *key,
                                          const char *label, guint64 size, GError **error);
/* Writes, syncs and names it; may take minutes.  @give_up (atomic) ends it. */
gboolean sora_packed_writer_run (SoraPackedWriter *writer, const guint8 *data, const int *give_up,
                                 GError **error);
/* What has no name yet is gone. */
void sora_packed_writer_free (SoraPackedWriter *writer);

G_END_DECLS
