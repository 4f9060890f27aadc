/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Checkpoints of jobs in the store.  Any thread; one at a time for each job.
 */
#pragma once
#include "sorad-store.h"

G_BEGIN_DECLS

typedef struct SoradCheckpoint SoradCheckpoint;

/* @name: a plain name.  What was there under it stays until sorad_checkpoint_end(). */
SoradCheckpoint *sorad_checkpoint_begin (SoradStore *store, const char *id, const char *name,
                                         GError **error);
gboolean sorad_checkpoint_write (SoradCheckpoint *checkpoint, gconstpointer data, gsize size,
                                 GError **error);
gboolean sorad_checkpoint_end (SoradCheckpoint *checkpoint, GError **error); /* durable then */
void sorad_checkpoint_free (SoradCheckpoint *checkpoint);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradCheckpoint, sorad_checkpoint_free)

/* FALSE ends it. */
typedef gboolean (*SoradCheckpointFunc) (const char *name, int fd, guint64 size, gpointer data);
/* All of a job, by name; FALSE if @function said so. */
gboolean sorad_checkpoint_foreach (SoradStore *store, const char *id, SoradCheckpointFunc function,
                                   gpointer data);

G_END_DECLS
