/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the parts of the store share: folders, table, files.
 */
#pragma once
#include "sorad-database.h"
#include "sorad-store.h"

#include <dirent.h>
#include <stdlib.h>

struct SoradStore
{
  char *root; /* by malloc */
  int root_fd, lock_fd, staging_fd, results_fd, work_fd, models_fd;
  int inputs_fd, checkpoints_fd, trash_fd;
  GThreadPool *remover;
  GQueue undone; /* the remover's: what could not be removed yet */
  SoradDatabase *database;
  guint64 last_number;
  gint last_trash;   /* atomic */
  GHashTable *jobs;  /* id -> SoradJob, owned */
  GHashTable *users; /* uid -> GQueue of SoradJob, oldest first */
  GHashTable *keys;  /* "UID KEY" -> SoradJob */
  GHashTable *shares; /* uid -> SoradShareRow, owned */
};

/* -- Folders */
gboolean sorad_store_open_folders (SoradStore *store, const char *state_dir, GError **error);
void sorad_store_close_folders (SoradStore *store);
/* Out of sight at once, by a rename into `trash`; removed in a thread.  Any thread, but the main
 * loop's only at the start. */
void sorad_store_discard (SoradStore *store, int dir, const char *name);
/* All of it in the thread. */
void sorad_store_discard_later (SoradStore *store, int dir, const char *name);
/* Every name in @dir but `.` and `..` for which @keep is FALSE is discarded. */
void sorad_store_sweep (SoradStore *store, int dir,
                        gboolean (*keep) (SoradStore *store, const char *name));

/* -- The table */
void sorad_store_insert (SoradStore *store, SoradJob *job); /* takes it */

/* -- sorad-store-shares.c: what users have used, as rows */
typedef struct SoradShareRow SoradShareRow;
/* NULL: nothing is known of this user.  g_free() */
SoradShareRow *sorad_share_row_copy (SoradStore *store, guint32 uid);
/* In the writer's thread; nothing if a newer revision stands there. */
gboolean sorad_share_row_write (sqlite3 *handle, const SoradShareRow *row, GError **error);
gboolean sorad_store_load_shares (SoradStore *store, GError **error);

/* -- The start: jobs of the database, held against the files */
gboolean sorad_store_load (SoradStore *store, GError **error);
