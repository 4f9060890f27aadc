/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: entries of the cache, and what a task does with them.
 */
#pragma once
#include "sora-cache.h"
#include "sora-runner-private.h"

G_BEGIN_DECLS

/* Entries may take so much together, where SORA_CACHE_MAX says nothing else; the ones that were used longest ago go first. */
#define SORA_CACHE_BYTES (256u << 20)
/* A single one. */
#define SORA_CACHE_ENTRY_BYTES (64u << 20)

/* A file of a folder of kept things. */
typedef struct
{
  char *path;
  guint64 bytes;
  gint64 used; /* ns: its time is when it was used last */
} SoraCacheFile;

/* Those whose names have one of @marks in them; free with g_ptr_array_unref(). */
GPtrArray *sora_cache_files (const char *dir, const char *const *marks);
/* Removes the ones that were used longest ago, until the rest takes at most @limit bytes. */
void sora_cache_evict (const char *dir, const char *const *marks, guint64 limit);
/* Removes all of them. */
gboolean sora_cache_remove (const char *dir, const char *const *marks, GError **error);

/* The entry of @key (64 hexadecimal digits), or NULL.  One that cannot be used is removed, and @why (yours) tells why. */
GBytes *sora_cache_load (const char *dir, const char *key, char **why);
/* Writes it beside, syncs and renames; then removes what is above @limit bytes. */
gboolean sora_cache_save (const char *dir, const char *key, GBytes *entry, guint64 limit,
                          GError **error);

/* Bytes that the environment's @variable allows ("20G"), else @usual. */
gboolean sora_cache_read_limit (const char *variable, guint64 usual, guint64 *limit, GError **error);

/* Before any stage has its instance: reads what earlier jobs' stages gave, and leaves out what only leads to them. */
void sora_runner_find_kept (SoraRunner *runner);
/* It needs no instance: its outputs are there already, or nobody wants them. */
gboolean sora_task_is_spared (const SoraTask *task);
/* Instead of run: gives what an earlier job's stage gave. */
int sora_task_replay (SoraTask *task);
/* What goes out is kept, too, if the stage is one whose outputs are. */
void sora_task_note_output (SoraTask *task, guint output, SoraTensor *tensor);
/* After a run that succeeded: writes what was noted. */
void sora_task_keep (SoraTask *task);
/* It asked for what is this job's alone: provenance, files. */
void sora_task_is_personal (SoraTask *task);
/* It asked for the seed, or for random numbers that come of it. */
void sora_task_is_seeded (SoraTask *task);

G_END_DECLS
