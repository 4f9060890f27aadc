/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the two halves of the store, table and files, share.
 */
#pragma once
#include "sorad-store.h"

#include <dirent.h>
#include <stdlib.h>

struct SoradStore
{
  char *root; /* by malloc */
  int root_fd, lock_fd, staging_fd, results_fd, work_fd, models_fd;
  GThreadPool *remover;
  guint64 last_number;
  GHashTable *jobs;  /* id -> SoradJob, owned */
  GHashTable *users; /* uid -> GQueue of SoradJob, oldest first */
};

void sorad_store_remove_tree (int dir, const char *name);
void sorad_store_push_removal (SoradStore *store, int dir, const char *name);
void sorad_store_remover (gpointer removal, gpointer store);
