/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The store: jobs that outlive the daemon, and their files.  The table is in memory, for the main
 * loop, and behind it stands the database; what is saved is durable when it is told so.
 *
 * In the state folder: `lock`; `sorad.db`, the table; `inputs/ID.N`, input files of jobs that are
 * not over; `staging/ID/`, files of a result that come in; `results/ID/`, published ones, by one
 * rename; `checkpoints/ID/`; `work/N/`, a worker's private folder; `trash/`, what is being removed;
 * `models/`, models that were added.  What belongs to no job is removed at the start.
 */
#pragma once
#include "sorad-job.h"
#include "sorad-share.h"

G_BEGIN_DECLS

typedef struct SoradStore SoradStore;

/* Makes and locks @state_dir: a second daemon on it is refused.  Jobs that ran are queued again. */
SoradStore *sorad_store_open (const char *state_dir, GError **error);
void sorad_store_close (SoradStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoradStore, sorad_store_close)

/* -- The table; main loop */
SoradJob *sorad_store_add (SoradStore *store,
                           SoradSubmission *submission); /* takes it; not a reference of yours */
SoradJob *sorad_store_find (SoradStore *store, const char *id);
/* The one that came with this key of the user's; also one that is pending. */
SoradJob *sorad_store_find_key (SoradStore *store, guint32 uid, const char *key);
/* Something waits for its turn or runs, or would end with the daemon. */
gboolean sorad_store_needs_daemon (SoradStore *store);
/* Of one user, oldest first; (transfer container), of SoradJob.  @states: SORAD_JOB_STATE_BIT()s.
 */
GPtrArray *sorad_store_list (SoradStore *store, guint32 uid, guint states);
guint sorad_store_count (SoradStore *store, guint32 uid, guint states);
/* Stored and submitted bytes of the jobs in @states, and of those that are kept. */
guint64 sorad_store_bytes (SoradStore *store, guint32 uid, guint states);
guint sorad_store_inputs (SoradStore *store, guint32 uid); /* input files of jobs not over */
GPtrArray *sorad_store_all (SoradStore *store);            /* (transfer container), of SoradJob */

/* -- Durability; main loop.  Jobs that are ephemeral are never written: for them it is told at
 * once. */
typedef void (*SoradStored) (SoradJob *job, const GError *error, gpointer data);

/* A new job with its input files.  It fails at once when it cannot be stored: then drop it with
 * sorad_store_remove(). */
void sorad_store_save_new (SoradStore *store, SoradJob *job, SoradStored stored, gpointer data);
/* How it stands now.  Tried until it can be written; @stored (nullable) hears an error only when
 * the daemon ends. */
void sorad_store_save (SoradStore *store, SoradJob *job, SoradStored stored, gpointer data);
/* What its user has used: written with the next job of the user's that is saved.  Times are of the
 * wall clock. */
void sorad_store_set_share (SoradStore *store, const SoradShare *share);
/* As set last, or by a former daemon: (element-type SoradShare) (transfer full). */
GArray *sorad_store_shares (SoradStore *store);
/* Out of the table at once; out of the database, then its files.  @stored: nullable */
void sorad_store_remove (SoradStore *store, SoradJob *job, SoradStored stored, gpointer data);
/* Files that serve a job only until it is over. */
void sorad_store_drop_working_files (SoradStore *store, SoradJob *job);
/* Waits for all of these, and tells them. */
void sorad_store_flush (SoradStore *store);

/* -- Files; any thread */
/* The folder of the models that were added to the daemon. */
int sorad_store_root (SoradStore *store); /* the state folder; the store's */
char *sorad_store_models_dir (SoradStore *store);
/* 1 to @max bytes, no '/', no control characters, no '.' in front. */
gboolean sorad_is_plain_name (const char *name, gsize max);
char *sorad_store_work_dir (SoradStore *store,
                            guint64 number); /* the path of a worker's folder; not made */
void sorad_store_remove_work_dir (SoradStore *store, const char *path); /* in a thread */
int sorad_store_make_input (SoradStore *store, GError **error);         /* a nameless file */
int sorad_store_open_input (SoradStore *store, const char *file, GError **error);

/* A result that comes in. */
typedef struct SoradResult SoradResult;
SoradResult *sorad_result_new (SoradStore *store, const char *id, guint64 max_bytes);
const char *sorad_result_id (const SoradResult *result);
/* Bytes that may still come. */
guint64 sorad_result_left (const SoradResult *result);
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
