/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The store: the table of jobs and their result files.  The table is in memory: jobs do not survive
 * the daemon yet, and what a former one left is removed at the start.  Callers see no more than
 * this header, so that a durable table can take its place.
 *
 * On disk, in the state folder: `lock`; `staging/ID/` files of a result that come in; `results/ID/`
 * published ones, by one rename; `work/N/` a worker's private folder; inputs are unlinked from
 * birth.
 */
#pragma once
#include "sorad-job.h"

G_BEGIN_DECLS

typedef struct SoradStore SoradStore;

/* Makes and locks @state_dir: a second daemon on it is refused. */
SoradStore *sorad_store_open (const char *state_dir, GError **error);
void sorad_store_close (SoradStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradStore, sorad_store_close)

/* -- The table; main loop */
SoradJob *sorad_store_add (SoradStore *store,
                           SoradSubmission *submission); /* takes it; not a reference of yours */
SoradJob *sorad_store_find (SoradStore *store, const char *id);
void sorad_store_remove (SoradStore *store, SoradJob *job); /* and its result, in a thread */
guint sorad_store_size (SoradStore *store);
/* Of one user, oldest first; (transfer container), of SoradJob.  @states: SORAD_JOB_STATE_BIT()s.
 */
GPtrArray *sorad_store_list (SoradStore *store, guint32 uid, guint states);
guint sorad_store_count (SoradStore *store, guint32 uid, guint states);
/* Stored and submitted bytes of the jobs in @states. */
guint64 sorad_store_bytes (SoradStore *store, guint32 uid, guint states);
guint sorad_store_inputs (SoradStore *store, guint32 uid); /* input files that are held open */
GPtrArray *sorad_store_all (SoradStore *store);            /* (transfer container), of SoradJob */

/* -- Files; any thread */
/* The folder of the models that were added to the daemon. */
char *sorad_store_models_dir (SoradStore *store);
/* 1 to @max bytes, no '/', no control characters, no '.' in front. */
gboolean sorad_is_plain_name (const char *name, gsize max);
char *sorad_store_work_dir (SoradStore *store,
                            guint64 number); /* the path of a worker's folder; not made */
void sorad_store_remove_work_dir (SoradStore *store, const char *path); /* in a thread */
int sorad_store_make_input (SoradStore *store, GError **error);         /* an unlinked file */

/* A result that comes in. */
typedef struct SoradResult SoradResult;
SoradResult *sorad_result_new (SoradStore *store, const char *id, guint64 max_bytes);
void sorad_result_free (SoradResult *result); /* removes what was not published */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradResult, sorad_result_free)
gboolean sorad_result_begin_file (SoradResult *result, const char *name, guint64 size,
                                  GError **error);
gboolean sorad_result_write (SoradResult *result, gconstpointer data, gsize size, GError **error);
/* Durable when it returns.  @details: stage, port and media-type as the worker told. */
gboolean sorad_result_end_file (SoradResult *result, const char *sha256, GVariant *details,
                                GError **error);
/* All files appear at once.  @files: (out): aa{sv} as GetResult gives it; not floating */
gboolean sorad_result_publish (SoradResult *result, GVariant **files, guint64 *bytes,
                               GError **error);
/* Read-only. */
int sorad_store_open_result (SoradStore *store, const char *id, const char *name, GError **error);

G_END_DECLS
