/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The start: what the database says, held against the files.  A job that ran is queued again; what
 * no job owns is removed; a job whose files are gone says so.
 */
#include "config.h"
#include "sorad-store-private.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sorad-store-rows.h"

static SoradJob *
owner (SoradStore *store, const char *name)
{
  g_autofree char *id = g_strndup (name, strcspn (name, "."));
  return sorad_store_find (store, id);
}

static gboolean
is_of_active (SoradStore *store, const char *name)
{
  const SoradJob *job = owner (store, name);
  return job && !sorad_job_is_over (job);
}

static gboolean
is_of_done (SoradStore *store, const char *name)
{
  const SoradJob *job = sorad_store_find (store, name);
  return job && job->state == SORAD_JOB_DONE;
}

/* Input files have one size and one name: whoever was here changed or removed one. */
static gboolean
has_files (SoradStore *store, SoradJob *job, GError **error)
{
  struct stat st;
  if (job->state == SORAD_JOB_DONE
      && fstatat (store->results_fd, job->id, &st, AT_SYMLINK_NOFOLLOW) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED,
                   "the files of the result are gone from the state folder");
      return FALSE;
    }
  for (guint i = 0; !sorad_job_is_over (job) && i < job->submission->inputs->len; i++)
    {
      SoradInput *input = g_ptr_array_index (job->submission->inputs, i);
      input->file = g_strdup_printf ("%s.%u", job->id, i);
      if (fstatat (store->inputs_fd, input->file, &st, AT_SYMLINK_NOFOLLOW) == 0
          && S_ISREG (st.st_mode) && (guint64)st.st_size == input->size)
        continue;
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED,
                   "parameter '%s': its file is gone from the state folder", input->parameter);
      return FALSE;
    }
  return TRUE;
}

static void
reconcile (SoradStore *store, SoradJob *job)
{
  g_autoptr (GError) error = NULL;
  if (!has_files (store, job, &error))
    {
      job->state = SORAD_JOB_FAILED;
      job->finished = g_get_real_time ();
      g_clear_pointer (&job->files, g_variant_unref);
      job->stored_bytes = 0;
      g_set_error_literal (&job->error, SORA_ERROR, error->code, error->message);
      g_warning ("job '%s' fails: %s", job->id, error->message);
    }
  else if (job->state == SORAD_JOB_RUNNING)
    {
      job->state = SORAD_JOB_QUEUED;
      job->outcome = g_strdup ("the daemon ended");
    }
  else
    return;
  sorad_store_save (store, job, NULL, NULL);
}

gboolean
sorad_store_load (SoradStore *store, GError **error)
{
  g_autoptr (GPtrArray) jobs = sorad_rows_load (sorad_database_handle (store->database), error);
  if (!jobs || !sorad_store_load_shares (store, error))
    return FALSE;
  for (guint i = 0; i < jobs->len; i++)
    sorad_store_insert (store, sorad_job_ref (g_ptr_array_index (jobs, i)));
  for (guint i = 0; i < jobs->len; i++)
    reconcile (store, g_ptr_array_index (jobs, i));
  sorad_store_sweep (store, store->inputs_fd, is_of_active);
  sorad_store_sweep (store, store->checkpoints_fd, is_of_active);
  sorad_store_sweep (store, store->results_fd, is_of_done);
  return TRUE;
}
