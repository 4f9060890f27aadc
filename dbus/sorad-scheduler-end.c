/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The ends of jobs and of attempts.  A job is over when that is durable, and not before: nobody is
 * told of a result that a power cut could take back.
 */
#include "config.h"
#include "sorad-scheduler-private.h"

#include <string.h>
#include <unistd.h>

/* -- Over */

static void
on_end_stored (SoradJob *job, const GError *error, gpointer data)
{
  SoradScheduler *scheduler = data;
  if (error)
    return; /* the daemon ends: the next one does the job again */
  job->ending = FALSE;
  job->state = job->next_state;
  if (job->state == SORAD_JOB_DONE)
    job->progress = 1;
  sorad_store_drop_working_files (scheduler->store, job);
  scheduler->callbacks.job_changed (scheduler->data, job,
                                    SORAD_JOB_CHANGED_STATE | SORAD_JOB_CHANGED_PROGRESS
                                        | SORAD_JOB_CHANGED_POSITION | SORAD_JOB_CHANGED_ORDER);
  scheduler->callbacks.job_paused (scheduler->data, job, NULL);
  scheduler->callbacks.job_over (scheduler->data, job);
}

void
sorad_scheduler_finish (SoradScheduler *scheduler, SoradJob *job, SoradJobState state,
                        const GError *error)
{
  job->ending = TRUE;
  job->next_state = state;
  job->finished = g_get_real_time ();
  job->expected_end = 0;
  job->paused = FALSE;
  if (error)
    g_set_error_literal (&job->error, error->domain, error->code, error->message);
  g_free (job->outcome);
  job->outcome = error ? g_strdup (error->message) : NULL;
  if (job->preview_fd >= 0)
    close (job->preview_fd);
  job->preview_fd = -1;
  for (guint i = 0; i < job->submission->inputs->len; i++)
    job->submission->bytes -= ((SoradInput *)g_ptr_array_index (job->submission->inputs, i))->size;
  sorad_store_save (scheduler->store, job, on_end_stored, scheduler);
}

/* -- Waiting again */

static void
on_pause_stored (SoradJob *job, const GError *error, gpointer data)
{
  SoradScheduler *scheduler = data;
  scheduler->callbacks.job_paused (scheduler->data, job, error);
}

/* Its place is where it was: before whatever came later. */
static void
queue_again (SoradScheduler *scheduler, SoradJob *job, const char *outcome)
{
  job->state = SORAD_JOB_QUEUED;
  job->progress = 0;
  job->step = job->steps = 0;
  job->expected_end = 0;
  g_free (job->stage);
  job->stage = g_strdup ("");
  g_free (job->outcome);
  job->outcome = g_strdup (outcome);
  if (job->pause_requested)
    job->paused = TRUE;
  gboolean pausing = job->pause_requested;
  job->pause_requested = FALSE;
  if (!job->paused)
    sorad_queue_add (scheduler->queue, job, g_get_monotonic_time ());
  scheduler->callbacks.job_changed (scheduler->data, job,
                                    SORAD_JOB_CHANGED_STATE | SORAD_JOB_CHANGED_PROGRESS
                                        | SORAD_JOB_CHANGED_POSITION | SORAD_JOB_CHANGED_ORDER);
  sorad_store_save (scheduler->store, job, pausing ? on_pause_stored : NULL, scheduler);
}

/* -- The one that runs */

static SoradJob *
take_running (SoradScheduler *scheduler)
{
  SoradJob *job = g_steal_pointer (&scheduler->job);
  gint64 now = g_get_monotonic_time ();
  g_clear_handle_id (&scheduler->grace_timer, g_source_remove);
  g_clear_handle_id (&scheduler->stall_timer, g_source_remove);
  sorad_queue_charge (scheduler->queue, sorad_job_uid (job), now - scheduler->begun, now);
  sorad_scheduler_keep_share (scheduler, sorad_job_uid (job));
  return job;
}

static void
go_on (SoradScheduler *scheduler)
{
  sorad_scheduler_start_soon (scheduler);
  sorad_scheduler_queue_changed (scheduler);
}

void
sorad_scheduler_finish_running (SoradScheduler *scheduler, SoradJobState state, const GError *error)
{
  g_autoptr (SoradJob) job = take_running (scheduler);
  if (state == SORAD_JOB_FAILED && job->cancel_requested)
    {
      g_autoptr (GError) cancelled
          = g_error_new (SORA_ERROR, SORA_ERROR_CANCELLED, "the job was cancelled");
      sorad_scheduler_finish (scheduler, job, SORAD_JOB_CANCELLED, cancelled);
    }
  else if (state == SORAD_JOB_FAILED && job->pause_requested
           && g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED))
    queue_again (scheduler, job, "paused");
  else
    sorad_scheduler_finish (scheduler, job, state, error);
  go_on (scheduler);
}

static void
add_warning (SoradScheduler *scheduler, SoradJob *job, const char *reason)
{
  if (job->warnings->len >= SORAD_JOB_MAX_WARNINGS)
    return;
  g_ptr_array_add (job->warnings,
                   g_strdup_printf ("attempt %u: %s; it was started again", job->attempts, reason));
  scheduler->callbacks.job_changed (scheduler->data, job, SORAD_JOB_CHANGED_WARNINGS);
}

void
sorad_scheduler_worker_died (SoradScheduler *scheduler, const GError *error)
{
  SoradJob *running = scheduler->job;
  guint limit = scheduler->config->max_crashes;
  gboolean crashed = error->code == SORA_ERROR_WORKER_DIED && !scheduler->stalled;
  if (running->cancel_requested || !crashed)
    {
      sorad_scheduler_finish_running (scheduler, SORAD_JOB_FAILED, error);
      return;
    }
  g_autoptr (SoradJob) job = take_running (scheduler);
  if (job->pause_requested)
    queue_again (scheduler, job, error->message); /* killed by us, when its grace was over */
  else if (++job->crashes < limit)
    {
      add_warning (scheduler, job, error->message);
      queue_again (scheduler, job, error->message);
    }
  else
    {
      g_autoptr (GError) poison = g_error_copy (error);
      if (limit > 1)
        {
          g_free (poison->message);
          poison->message = g_strdup_printf (
              "%s; it has ended %u workers so and is not tried again", error->message, job->crashes);
        }
      sorad_scheduler_finish (scheduler, job, SORAD_JOB_FAILED, poison);
    }
  go_on (scheduler);
}
