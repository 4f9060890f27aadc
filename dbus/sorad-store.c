/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table of jobs in memory, by id, by user and by key, and its writing.
 */
#include "config.h"
#include "sorad-store-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sorad-store-rows.h"

static void
user_free (gpointer data)
{
  GQueue *jobs = data;
  g_queue_free (jobs);
}

SoradStore *
sorad_store_open (const char *state_dir, GError **error)
{
  g_autoptr (SoradStore) store = g_new0 (SoradStore, 1);
  store->jobs
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify)sorad_job_unref);
  store->users = g_hash_table_new_full (NULL, NULL, NULL, user_free);
  store->shares = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  store->keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  if (!sorad_store_open_folders (store, state_dir, error))
    return NULL;
  store->database = sorad_database_open (store->root, error);
  if (!store->database || !sorad_store_load (store, error))
    return NULL;
  return g_steal_pointer (&store);
}

void
sorad_store_close (SoradStore *store)
{
  if (!store)
    return;
  sorad_database_close (store->database);
  g_hash_table_unref (store->shares);
  g_hash_table_unref (store->keys);
  g_hash_table_unref (store->users);
  g_hash_table_unref (store->jobs);
  sorad_store_close_folders (store);
  g_free (store);
}

int
sorad_store_root (SoradStore *store)
{
  return store->root_fd;
}

char *
sorad_store_models_dir (SoradStore *store)
{
  return g_build_filename (store->root, "models", NULL);
}

/* -- The table */

static GQueue *
user_jobs (SoradStore *store, guint32 uid)
{
  return g_hash_table_lookup (store->users, GUINT_TO_POINTER (uid));
}

static char *
key_name (guint32 uid, const char *key)
{
  return g_strdup_printf ("%u %s", uid, key);
}

void
sorad_store_insert (SoradStore *store, SoradJob *job)
{
  const SoradSubmission *submission = job->submission;
  g_hash_table_insert (store->jobs, job->id, job);
  GQueue *jobs = user_jobs (store, submission->uid);
  if (!jobs)
    g_hash_table_insert (store->users, GUINT_TO_POINTER (submission->uid), jobs = g_queue_new ());
  g_queue_push_tail (jobs, job);
  if (submission->key)
    g_hash_table_insert (store->keys, key_name (submission->uid, submission->key), job);
  store->last_number = MAX (store->last_number, job->number);
}

SoradJob *
sorad_store_add (SoradStore *store, SoradSubmission *submission)
{
  SoradJob *job = sorad_job_new (store->last_number + 1, NULL, submission);
  while (g_hash_table_contains (store->jobs, job->id)) /* 50 bits; but never twice */
    {
      job->submission = NULL;
      sorad_job_unref (job);
      job = sorad_job_new (store->last_number + 1, NULL, submission);
    }
  sorad_store_insert (store, job);
  return job;
}

SoradJob *
sorad_store_find (SoradStore *store, const char *id)
{
  return g_hash_table_lookup (store->jobs, id);
}

SoradJob *
sorad_store_find_key (SoradStore *store, guint32 uid, const char *key)
{
  g_autofree char *name = key_name (uid, key);
  return g_hash_table_lookup (store->keys, name);
}

gboolean
sorad_store_needs_daemon (SoradStore *store)
{
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, store->jobs);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const SoradJob *job = value;
      if (job->submission->ephemeral || job->pending || job->ending
          || (!sorad_job_is_over (job) && !job->paused))
        return TRUE;
    }
  return FALSE;
}

GPtrArray *
sorad_store_list (SoradStore *store, guint32 uid, guint states)
{
  GPtrArray *list = g_ptr_array_new ();
  GQueue *jobs = user_jobs (store, uid);
  for (GList *l = jobs ? jobs->head : NULL; l; l = l->next)
    if (SORAD_JOB_STATE_BIT (((SoradJob *)l->data)->state) & states)
      g_ptr_array_add (list, l->data);
  return list;
}

guint
sorad_store_count (SoradStore *store, guint32 uid, guint states)
{
  g_autoptr (GPtrArray) list = sorad_store_list (store, uid, states);
  return list->len;
}

guint64
sorad_store_bytes (SoradStore *store, guint32 uid, guint states)
{
  guint64 bytes = 0;
  GQueue *jobs = user_jobs (store, uid);
  for (GList *l = jobs ? jobs->head : NULL; l; l = l->next)
    {
      const SoradJob *job = l->data;
      if ((SORAD_JOB_STATE_BIT (job->state) & states) || job->kept)
        bytes += job->stored_bytes + job->submission->bytes;
    }
  return bytes;
}

guint
sorad_store_inputs (SoradStore *store, guint32 uid)
{
  guint inputs = 0;
  GQueue *jobs = user_jobs (store, uid);
  for (GList *l = jobs ? jobs->head : NULL; l; l = l->next)
    {
      const SoradJob *job = l->data;
      if (SORAD_JOB_STATE_BIT (job->state) & SORAD_JOB_ACTIVE)
        inputs += job->submission->inputs->len;
    }
  return inputs;
}

GPtrArray *
sorad_store_all (SoradStore *store)
{
  GPtrArray *list = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer job;
  g_hash_table_iter_init (&iter, store->jobs);
  while (g_hash_table_iter_next (&iter, NULL, &job))
    g_ptr_array_add (list, job);
  return list;
}

/* -- Writing */

typedef struct
{
  SoradStore *store;
  SoradRow *row;
  SoradShareRow *share; /* goes with it; or NULL */
  SoradStored stored;
  gpointer data;
} Saving;

static void
saving_free (gpointer data)
{
  Saving *saving = data;
  sorad_row_free (saving->row);
  g_free (saving->share);
  g_free (saving);
}

static Saving *
saving_new (SoradStore *store, SoradJob *job, SoradStored stored, gpointer data)
{
  Saving *saving = g_new0 (Saving, 1);
  saving->store = store;
  saving->row = sorad_row_new (job);
  saving->stored = stored;
  saving->data = data;
  return saving;
}

static void
on_written (const GError *error, gpointer data)
{
  Saving *saving = data;
  if (saving->stored)
    saving->stored (sorad_row_job (saving->row), error, saving->data);
}

/* Their names are durable before the row is that says that they are there. */
static gboolean
link_inputs (SoradStore *store, const SoradJob *job, GError **error)
{
  const GPtrArray *inputs = job->submission->inputs;
  gboolean ok = TRUE;
  for (guint i = 0; ok && i < inputs->len; i++)
    {
      const SoradInput *input = g_ptr_array_index (inputs, i);
      g_autofree char *from = g_strdup_printf ("/proc/self/fd/%d", input->fd);
      g_autofree char *to = g_strdup_printf ("%s.%u", job->id, i);
      ok = linkat (AT_FDCWD, from, store->inputs_fd, to, AT_SYMLINK_FOLLOW) == 0
           || errno == EEXIST; /* the transaction is tried again */
    }
  if (ok && (inputs->len == 0 || fsync (store->inputs_fd) == 0))
    return TRUE;
  g_set_error (error, SORA_ERROR,
               sora_error_is_full (errno) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED,
               "state folder: the input files cannot be kept: %s", g_strerror (errno));
  return FALSE;
}

static gboolean
write_new (sqlite3 *handle, gpointer data, GError **error)
{
  Saving *saving = data;
  return link_inputs (saving->store, sorad_row_job (saving->row), error)
         && sorad_row_insert (handle, saving->row, error);
}

static gboolean
write_change (sqlite3 *handle, gpointer data, GError **error)
{
  Saving *saving = data;
  return sorad_row_update (handle, saving->row, error)
         && (!saving->share || sorad_share_row_write (handle, saving->share, error));
}

static gboolean
write_removal (sqlite3 *handle, gpointer data, GError **error)
{
  return sorad_row_delete (handle, ((Saving *)data)->row, error);
}

static void
on_new_written (const GError *error, gpointer data)
{
  Saving *saving = data;
  SoradJob *job = sorad_row_job (saving->row);
  for (guint i = 0; !error && i < job->submission->inputs->len; i++)
    {
      SoradInput *input = g_ptr_array_index (job->submission->inputs, i);
      close (input->fd);
      input->fd = -1;
      input->file = g_strdup_printf ("%s.%u", job->id, i);
    }
  on_written (error, data);
}

void
sorad_store_save_new (SoradStore *store, SoradJob *job, SoradStored stored, gpointer data)
{
  if (job->submission->ephemeral)
    stored (job, NULL, data);
  else
    sorad_database_push (store->database, FALSE, write_new, on_new_written,
                         saving_new (store, job, stored, data), saving_free);
}

void
sorad_store_save (SoradStore *store, SoradJob *job, SoradStored stored, gpointer data)
{
  if (job->submission->ephemeral)
    {
      if (stored)
        stored (job, NULL, data);
      return;
    }
  Saving *saving = saving_new (store, job, stored, data);
  saving->share = sorad_share_row_copy (store, sorad_job_uid (job));
  sorad_database_push (store->database, TRUE, write_change, on_written, saving, saving_free);
}

static void
discard_files (SoradStore *store, SoradJob *job)
{
  sorad_store_drop_working_files (store, job);
  if (job->files)
    sorad_store_discard_later (store, store->results_fd, job->id);
}

/* The daemon that ends before leaves them to the next one's start. */
static void
on_removed (const GError *error, gpointer data)
{
  Saving *saving = data;
  if (!error)
    discard_files (saving->store, sorad_row_job (saving->row));
  on_written (error, data);
}

void
sorad_store_remove (SoradStore *store, SoradJob *job, SoradStored stored, gpointer data)
{
  g_autoptr (SoradJob) held = sorad_job_ref (job);
  const SoradSubmission *submission = job->submission;
  GQueue *jobs = user_jobs (store, submission->uid);
  g_queue_remove (jobs, job);
  if (g_queue_is_empty (jobs))
    g_hash_table_remove (store->users, GUINT_TO_POINTER (submission->uid));
  if (submission->key)
    {
      g_autofree char *name = key_name (submission->uid, submission->key);
      g_hash_table_remove (store->keys, name);
    }
  g_hash_table_remove (store->jobs, job->id);
  if (!submission->ephemeral)
    {
      sorad_database_push (store->database, TRUE, write_removal, on_removed,
                           saving_new (store, job, stored, data), saving_free);
      return;
    }
  discard_files (store, job);
  if (stored)
    stored (job, NULL, data);
}

void
sorad_store_drop_working_files (SoradStore *store, SoradJob *job)
{
  for (guint i = 0; i < job->submission->inputs->len; i++)
    {
      SoradInput *input = g_ptr_array_index (job->submission->inputs, i);
      if (input->fd >= 0)
        close (input->fd);
      input->fd = -1;
      if (input->file)
        sorad_store_discard_later (store, store->inputs_fd, input->file);
      g_clear_pointer (&input->file, g_free);
    }
  sorad_store_discard_later (store, store->checkpoints_fd, job->id);
}

void
sorad_store_flush (SoradStore *store)
{
  sorad_database_flush (store->database);
}
