/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Starts jobs, and does what their owners want of them.
 */
#include "config.h"
#include "sorad-scheduler-private.h"

#include "sorad-disk.h"

#define DISK_SECONDS 2    /* between two looks at a full disk */
#define MAX_SHORTAGES 10 /* a second apart; then the job fails */

static void start_next (SoradScheduler *scheduler);

guint
sorad_scheduler_position (SoradScheduler *scheduler, const SoradJob *job)
{
  return sorad_queue_position (scheduler->queue, job, g_get_monotonic_time ());
}

guint
sorad_scheduler_queue_length (SoradScheduler *scheduler)
{
  return sorad_queue_length (scheduler->queue);
}

guint
sorad_scheduler_running (SoradScheduler *scheduler)
{
  return scheduler->job ? 1 : 0;
}

static void
tell_position (gpointer data, gpointer user_data)
{
  SoradJob *job = data;
  SoradScheduler *scheduler = user_data;
  if (g_hash_table_size (job->subscribers) > 0)
    scheduler->callbacks.job_changed (scheduler->data, job, SORAD_JOB_CHANGED_POSITION);
}

/* Positions moved: told to those who listen. */
void
sorad_scheduler_queue_changed (SoradScheduler *scheduler)
{
  sorad_queue_foreach (scheduler->queue, tell_position, scheduler);
  scheduler->callbacks.queue_changed (scheduler->data);
}

/* -- Shares */

/* Between the monotonic clock, by which they are counted, and that of the wall, which goes on while
 * the daemon and the machine are off.  What is yet to come, by a clock that was set back, is now. */
static void
move_share (SoradShare *share, gint64 from, gint64 to)
{
  share->halved = to - MAX (from - share->halved, 0);
  share->stopped = to - MAX (from - share->stopped, 0);
}

/* With the next write of a job of this user. */
void
sorad_scheduler_keep_share (SoradScheduler *scheduler, guint32 uid)
{
  SoradShare share = sorad_queue_get_share (scheduler->queue, uid);
  move_share (&share, g_get_monotonic_time (), g_get_real_time ());
  sorad_store_set_share (scheduler->store, &share);
}

static void
take_up_shares (SoradScheduler *scheduler)
{
  g_autoptr (GArray) shares = sorad_store_shares (scheduler->store);
  for (guint i = 0; i < shares->len; i++)
    {
      SoradShare *share = &g_array_index (shares, SoradShare, i);
      move_share (share, g_get_real_time (), g_get_monotonic_time ());
      sorad_queue_set_share (scheduler->queue, share);
    }
}

/* -- The worker */

void
sorad_scheduler_close_process (SoradScheduler *scheduler)
{
  g_clear_handle_id (&scheduler->idle_timer, g_source_remove);
  g_clear_handle_id (&scheduler->grace_timer, g_source_remove);
  g_clear_handle_id (&scheduler->stall_timer, g_source_remove);
  sorad_process_close (g_steal_pointer (&scheduler->process));
}

static gboolean
on_idle (gpointer data)
{
  SoradScheduler *scheduler = data;
  scheduler->idle_timer = 0;
  sorad_scheduler_close_process (scheduler);
  return G_SOURCE_REMOVE;
}

static gboolean
on_next (gpointer data)
{
  SoradScheduler *scheduler = data;
  scheduler->next_source = 0;
  start_next (scheduler);
  return G_SOURCE_REMOVE;
}

/* From the loop, so that a chain of jobs that cannot start is no recursion. */
void
sorad_scheduler_start_soon (SoradScheduler *scheduler)
{
  if (scheduler->process && !scheduler->job && !scheduler->idle_timer)
    scheduler->idle_timer
        = g_timeout_add_seconds (scheduler->config->idle_seconds, on_idle, scheduler);
  if (!scheduler->next_source)
    scheduler->next_source = g_idle_add_full (G_PRIORITY_DEFAULT, on_next, scheduler, NULL);
}

/* -- Starting */

static gboolean
on_stall (gpointer data)
{
  SoradScheduler *scheduler = data;
  gint64 quiet = g_get_monotonic_time () - scheduler->last_sign;
  if (quiet < (gint64)scheduler->config->stall_seconds * G_USEC_PER_SEC)
    return G_SOURCE_CONTINUE;
  scheduler->stall_timer = 0;
  scheduler->stalled = TRUE;
  g_autofree char *reason = g_strdup_printf ("no progress for %u s, the worker process was killed",
                                             scheduler->config->stall_seconds);
  sorad_process_kill (scheduler->process, reason);
  return G_SOURCE_REMOVE;
}

static gboolean
prepare_process (SoradScheduler *scheduler, guint32 uid, GError **error)
{
  g_clear_handle_id (&scheduler->idle_timer, g_source_remove);
  if (scheduler->process && scheduler->process_uid == uid
      && sorad_process_is_current (scheduler->process))
    return TRUE;
  sorad_scheduler_close_process (scheduler);
  /* A session's worker has the user's own folders, as soractl --local has. */
  g_autofree char *user_dir = sorad_config_user_dir (scheduler->config, uid);
  scheduler->process = sorad_process_spawn (scheduler->config, scheduler->store, TRUE, user_dir,
                                            sorad_scheduler_events (), scheduler, error);
  scheduler->process_uid = uid;
  return scheduler->process != NULL;
}

static GVariant *
run_options (const SoradConfig *config, SoradStore *store, const SoradJob *job)
{
  GVariantDict options;
  g_variant_dict_init (&options, NULL);
  g_variant_dict_insert (&options, "job", "s", job->id);
  if (job->submission->name)
    g_variant_dict_insert (&options, "name", "s", job->submission->name);
  /* One user's service, one user's cache. */
  if (config->session)
    g_variant_dict_insert (&options, "cache", "b", TRUE);
  sorad_disk_add_options (config, store, sorad_job_uid (job), &options);
  return g_variant_dict_end (&options);
}

static void
add_note (SoradScheduler *scheduler, SoradJob *job, const char *note)
{
  if (job->notes->len >= SORAD_JOB_MAX_NOTES)
    return;
  g_ptr_array_add (job->notes, g_strdup (note));
  scheduler->callbacks.job_changed (scheduler->data, job, SORAD_JOB_CHANGED_NOTES);
}

/* Once, however often it is started. */
static void
note_limits (SoradScheduler *scheduler, SoradJob *job)
{
  const char *limits = scheduler->config->limits;
  if (limits && !g_ptr_array_find_with_equal_func (job->notes, limits, g_str_equal, NULL))
    add_note (scheduler, job, limits);
}

/* No fault of the job, whoever filled the disk: it waits as the first, and says why once. */
static gboolean
wait_for_disk (SoradScheduler *scheduler, SoradJob *job)
{
  g_autoptr (GError) error = NULL;
  gboolean waited = scheduler->disk_job == job->number;
  if (sorad_disk_check (scheduler->config, scheduler->store, &error))
    {
      if (waited)
        add_note (scheduler, job, "there is room on the disk again");
      scheduler->disk_job = 0;
      return FALSE;
    }
  if (!waited)
    {
      g_autofree char *note = g_strconcat ("it waits: ", error->message, NULL);
      if (!scheduler->disk_job)
        g_message ("jobs wait: %s", error->message);
      add_note (scheduler, job, note);
    }
  scheduler->disk_job = job->number;
  scheduler->next_source = g_timeout_add_seconds (DISK_SECONDS, on_next, scheduler);
  return TRUE;
}

/* With a process, or else with why there is none.  That it started need not be durable before it
 * does: if it is not, the next daemon finds it in the queue. */
static void
start_job (SoradScheduler *scheduler, SoradJob *job, const GError *error)
{
  gint64 now = g_get_monotonic_time ();
  scheduler->job = job;
  scheduler->begun = now;
  scheduler->stalled = FALSE;
  sorad_queue_served (scheduler->queue, sorad_job_uid (job), now);
  sorad_scheduler_keep_share (scheduler, sorad_job_uid (job));
  job->state = SORAD_JOB_RUNNING;
  job->started = g_get_real_time ();
  job->attempts++;
  sorad_store_save (scheduler->store, job, NULL, NULL);
  if (error)
    {
      sorad_scheduler_finish_running (scheduler, SORAD_JOB_FAILED, error);
      return;
    }
  job->sandbox = sorad_process_sandbox (scheduler->process);
  note_limits (scheduler, job);
  /* Older results make room for this one, but for what waits or runs there is no other place. */
  guint64 stored = sorad_store_bytes (scheduler->store, sorad_job_uid (job), SORAD_JOB_ACTIVE);
  guint64 limit = scheduler->config->max_stored_bytes;
  sorad_process_expect_result (scheduler->process, job->number, job->id,
                               limit > stored ? limit - stored : 0);
  sorad_process_send_inputs (scheduler->process, job->number, job->submission->inputs);
  sorad_process_send_checkpoints (scheduler->process, job->number, job->id);
  sorad_process_send (
      scheduler->process, SORA_MESSAGE_RUN, job->number,
      g_variant_new ("(@a{sv}@a{sv})", job->submission->request, run_options (scheduler->config, scheduler->store, job)));
  if (job->preview_wanted)
    sorad_process_send (scheduler->process, SORA_MESSAGE_WANT_PREVIEW, job->number,
                        g_variant_new ("(b)", TRUE));
  scheduler->last_sign = now;
  if (scheduler->config->stall_seconds > 0)
    scheduler->stall_timer = g_timeout_add_seconds (1, on_stall, scheduler);
  scheduler->callbacks.job_changed (scheduler->data, job,
                                    SORAD_JOB_CHANGED_STATE | SORAD_JOB_CHANGED_POSITION
                                        | SORAD_JOB_CHANGED_SANDBOX);
}

static void
start_next (SoradScheduler *scheduler)
{
  SoradJob *next
      = scheduler->job ? NULL : sorad_queue_next (scheduler->queue, g_get_monotonic_time ());
  if (!next || wait_for_disk (scheduler, next))
    return;
  g_autoptr (GError) error = NULL;
  if (!prepare_process (scheduler, sorad_job_uid (next), &error)
      && g_error_matches (error, SORA_ERROR, SORA_ERROR_BUSY)
      && ++scheduler->shortages <= MAX_SHORTAGES)
    { /* no fault of the job: it stays the first, and a shortage does not empty the queue */
      if (scheduler->shortages == 1)
        g_message ("%s; trying again", error->message);
      scheduler->next_source = g_timeout_add_seconds (1, on_next, scheduler);
      return;
    }
  scheduler->shortages = 0;
  SoradJob *job = sorad_job_ref (next);
  sorad_queue_remove (scheduler->queue, job);
  start_job (scheduler, job, error);
  sorad_scheduler_queue_changed (scheduler);
}

/* -- What owners want */

static void
submit (SoradScheduler *scheduler, SoradJob *job, gint64 since)
{
  if (job->paused)
    return;
  sorad_queue_add (scheduler->queue, job, since);
  sorad_scheduler_start_soon (scheduler);
  sorad_scheduler_queue_changed (scheduler);
}

void
sorad_scheduler_submit (SoradScheduler *scheduler, SoradJob *job)
{
  submit (scheduler, job, g_get_monotonic_time ());
}

void
sorad_scheduler_take_up (SoradScheduler *scheduler, SoradJob *job)
{
  gint64 waited = MAX (g_get_real_time () - job->submitted, 0);
  submit (scheduler, job, g_get_monotonic_time () - waited);
}

void
sorad_scheduler_want_preview (SoradScheduler *scheduler, SoradJob *job)
{
  if (job->preview_wanted)
    return;
  job->preview_wanted = TRUE;
  if (scheduler->job == job)
    sorad_process_send (scheduler->process, SORA_MESSAGE_WANT_PREVIEW, job->number,
                        g_variant_new ("(b)", TRUE));
}

static gboolean
on_grace_over (gpointer data)
{
  SoradScheduler *scheduler = data;
  scheduler->grace_timer = 0;
  sorad_process_kill (scheduler->process,
                      scheduler->job->cancel_requested
                          ? "the job was cancelled and did not stop, the worker process was killed"
                          : "the job was paused and did not stop, the worker process was killed");
  return G_SOURCE_REMOVE;
}

static void
stop_running (SoradScheduler *scheduler, SoradJob *job)
{
  sorad_process_send_cancel (scheduler->process, job->number);
  if (!scheduler->grace_timer)
    scheduler->grace_timer
        = g_timeout_add (scheduler->config->cancel_grace_ms, on_grace_over, scheduler);
}

void
sorad_scheduler_cancel (SoradScheduler *scheduler, SoradJob *job)
{
  if (sorad_job_is_over (job) || job->cancel_requested || job->ending)
    return;
  job->cancel_requested = TRUE;
  if (scheduler->job == job)
    {
      stop_running (scheduler, job);
      return;
    }
  g_autoptr (GError) error
      = g_error_new (SORA_ERROR, SORA_ERROR_CANCELLED, "the job was cancelled");
  sorad_queue_remove (scheduler->queue, job); /* not there if it is paused */
  sorad_scheduler_finish (scheduler, job, SORAD_JOB_CANCELLED, error);
  sorad_scheduler_queue_changed (scheduler);
}

static void
on_paused_stored (SoradJob *job, const GError *error, gpointer data)
{
  SoradScheduler *scheduler = data;
  scheduler->callbacks.job_paused (scheduler->data, job, error);
}

static void
tell_order (SoradScheduler *scheduler, SoradJob *job)
{
  scheduler->callbacks.job_changed (scheduler->data, job,
                                    SORAD_JOB_CHANGED_ORDER | SORAD_JOB_CHANGED_POSITION);
  sorad_scheduler_queue_changed (scheduler);
}

void
sorad_scheduler_pause (SoradScheduler *scheduler, SoradJob *job)
{
  if (scheduler->job == job)
    {
      job->pause_requested = TRUE;
      stop_running (scheduler, job);
      return;
    }
  job->paused = TRUE;
  sorad_queue_remove (scheduler->queue, job);
  sorad_store_save (scheduler->store, job, on_paused_stored, scheduler);
  tell_order (scheduler, job);
}

void
sorad_scheduler_resume (SoradScheduler *scheduler, SoradJob *job, SoradStored stored, gpointer data)
{
  gboolean was_paused = job->paused;
  job->paused = FALSE;
  sorad_store_save (scheduler->store, job, stored, data);
  if (was_paused)
    sorad_scheduler_submit (scheduler, job);
  tell_order (scheduler, job);
}

void
sorad_scheduler_set_priority (SoradScheduler *scheduler, SoradJob *job, int priority,
                              SoradStored stored, gpointer data)
{
  gboolean queued = sorad_queue_remove (scheduler->queue, job);
  job->priority = priority;
  if (queued)
    sorad_queue_add (scheduler->queue, job, g_get_monotonic_time ());
  sorad_store_save (scheduler->store, job, stored, data);
  tell_order (scheduler, job);
}

/* -- Life */

SoradScheduler *
sorad_scheduler_new (const SoradConfig *config, SoradStore *store,
                     const SoradSchedulerCallbacks *callbacks, gpointer data)
{
  SoradScheduler *scheduler = g_new0 (SoradScheduler, 1);
  scheduler->config = config;
  scheduler->store = store;
  scheduler->callbacks = *callbacks;
  scheduler->data = data;
  scheduler->queue = sorad_queue_new ();
  take_up_shares (scheduler);
  return scheduler;
}

void
sorad_scheduler_free (SoradScheduler *scheduler)
{
  if (!scheduler)
    return;
  g_clear_handle_id (&scheduler->next_source, g_source_remove);
  sorad_scheduler_close_process (scheduler);
  g_clear_pointer (&scheduler->job, sorad_job_unref);
  sorad_queue_free (scheduler->queue);
  g_free (scheduler);
}
