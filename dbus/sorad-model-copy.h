/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Copies the files of a model that a caller hands over as descriptors into a folder of the daemon's
 * own.  Plain regular files alone are taken, and no symbolic link leads out of the descriptor.
 */
#pragma once
#include <gio/gio.h>

G_BEGIN_DECLS

/* Where it comes from: one folder, or files by name. */
typedef struct
{
  int folder;               /* -1: there are files */
  const char *const *names; /* of the files; NULL-terminated */
  const int *fds;           /* as many */
} SoradModelSource;

/* Told for each block; FALSE stops. */
typedef gboolean (*SoradModelProgress) (guint64 done, guint64 total, gpointer data);

/* Into the empty folder @to: by reflink where that is possible, else by copying, and durable when
 * it returns TRUE.  Of a folder, hidden files and pickles are left out.  May take minutes, and
 * reads what may never answer: for a thread. */
gboolean sorad_model_copy (const SoradModelSource *source, int to, SoradModelProgress progress,
                           gpointer data, GError **error);

/* "pytorch_model.bin": weights that run code when they are read. */
gboolean sorad_model_is_pickle (const char *name);

G_END_DECLS
