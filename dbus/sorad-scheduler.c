/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Starts jobs, follows them, and ends them: by their result, their error, a cancel, or the death of
 * their worker.
 */
#include "config.h"
#include "sorad-scheduler.h"

#include <string.h>
#include <unistd.h>

#include "dbus/sora-bus-error.h"
#include "sorad-process.h"
#include "core/sora-plugin.h"

#define MAX_SHORTAGES 10 /* a second apart; then the job fails */
#define MAX_LINE 2048    /* bytes of a warning or note */

typedef struct
{
  guint32 uid;
  GQueue jobs;    /* of SoradJob, referenced */
  guint64 served; /* when a job of this user started last, in starts */
} User;

struct SoradScheduler
{
  const SoradConfig *config;
  SoradStore *store;
  SoradSchedulerCallbacks callbacks;
  gpointer data;
  GHashTable *users; /* uid -> User; kept when the queue is empty, for `served` */
  guint queue_length;
  guint64 starts;

  SoradProcess *process; /* warm or working */
  guint32 process_uid;
  SoradJob *job;    /* that runs on it */
  gint64 last_sign; /* of progress; monotonic */
  guint stall_timer, idle_timer, grace_timer, next_source;
  guint shortages; /* how often in a row no worker could be started, for want of descriptors or
                      memory */
};

static void start_next (SoradScheduler *scheduler);

static void
user_free (gpointer data)
{
  User *user = data;
  g_queue_clear_full (&user->jobs, (GDestroyNotify)sorad_job_unref);
  g_free (user);
}

/* -- The queue */

static User *
find_user (SoradScheduler *scheduler, guint32 uid)
{
  User *user = g_hash_table_lookup (scheduler->users, GUINT_TO_POINTER (uid));
  if (user)
    return user;
  user = g_new0 (User, 1);
  user->uid = uid;
  g_queue_init (&user->jobs);
  g_hash_table_insert (scheduler->users, GUINT_TO_POINTER (uid), user);
  return user;
}

static gboolean
comes_before (const User *a, const User *b)
{
  return a->served != b->served ? a->served < b->served : a->uid < b->uid;
}

static User *
next_user (SoradScheduler *scheduler)
{
  GHashTableIter iter;
  gpointer value;
  User *next = NULL;
  g_hash_table_iter_init (&iter, scheduler->users);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      User *user = value;
      if (!g_queue_is_empty (&user->jobs) && (!next || comes_before (user, next)))
        next = user;
    }
  return next;
}

/* Users take turns: before the k-th job of one, each other has had at most k, and k + 1 if its turn
 * is first. */
guint
sorad_scheduler_position (SoradScheduler *scheduler, const SoradJob *job)
{
  if (job->state != SORAD_JOB_QUEUED)
    return 0;
  const User *mine = find_user (scheduler, sorad_job_uid (job));
  gint index = g_queue_index ((GQueue *)&mine->jobs, job);
  if (index < 0)
    return 0;
  GHashTableIter iter;
  gpointer value;
  guint position = (guint)index + 1;
  g_hash_table_iter_init (&iter, scheduler->users);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const User *user = value;
      if (user != mine)
        position += MIN (user->jobs.length, (guint)index + (comes_before (user, mine) ? 1u : 0u));
    }
  return position;
}

guint
sorad_scheduler_queue_length (SoradScheduler *scheduler)
{
  return scheduler->queue_length;
}

guint
sorad_scheduler_running (SoradScheduler *scheduler)
{
  return scheduler->job ? 1 : 0;
}

/* Positions moved: told to those who listen. */
static void
queue_changed (SoradScheduler *scheduler)
{
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init (&iter, scheduler->users);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    for (GList *l = ((User *)value)->jobs.head; l; l = l->next)
      if (g_hash_table_size (((SoradJob *)l->data)->subscribers) > 0)
        scheduler->callbacks.job_changed (scheduler->data, l->data, SORAD_JOB_CHANGED_POSITION);
  scheduler->callbacks.queue_changed (scheduler->data);
}

/* -- The worker */

static void
close_process (SoradScheduler *scheduler)
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
  close_process (scheduler);
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
static void
start_next_soon (SoradScheduler *scheduler)
{
  if (!scheduler->next_source)
    scheduler->next_source = g_idle_add_full (G_PRIORITY_DEFAULT, on_next, scheduler, NULL);
}

static void
finish (SoradScheduler *scheduler, SoradJob *job, SoradJobState state, const GError *error)
{
  job->state = state;
  job->finished = g_get_real_time ();
  job->expected_end = 0;
  if (state == SORAD_JOB_DONE)
    job->progress = 1;
  if (error)
    job->error = g_error_copy (error);
  if (job->preview_fd >= 0)
    close (job->preview_fd);
  job->preview_fd = -1;
  for (guint i = 0; i < job->submission->inputs->len; i++)
    {
      SoradInput *input = g_ptr_array_index (job->submission->inputs, i);
      close (input->fd); /* unlinked: its bytes are given back */
      input->fd = -1;
      job->submission->bytes -= input->size;
    }
  scheduler->callbacks.job_changed (scheduler->data, job,
                                    SORAD_JOB_CHANGED_STATE | SORAD_JOB_CHANGED_PROGRESS
                                        | SORAD_JOB_CHANGED_POSITION);
  scheduler->callbacks.job_over (scheduler->data, job);
}

static void
finish_running (SoradScheduler *scheduler, SoradJobState state, const GError *error)
{
  g_autoptr (SoradJob) job = g_steal_pointer (&scheduler->job);
  g_clear_handle_id (&scheduler->grace_timer, g_source_remove);
  g_clear_handle_id (&scheduler->stall_timer, g_source_remove);
  if (state == SORAD_JOB_FAILED && job->cancel_requested)
    {
      g_autoptr (GError) cancelled
          = g_error_new (SORA_ERROR, SORA_ERROR_CANCELLED, "the job was cancelled");
      finish (scheduler, job, SORAD_JOB_CANCELLED, cancelled);
    }
  else
    finish (scheduler, job, state, error);
  if (scheduler->process)
    scheduler->idle_timer
        = g_timeout_add_seconds (scheduler->config->idle_seconds, on_idle, scheduler);
  start_next_soon (scheduler);
  queue_changed (scheduler);
}

/* -- What the worker says */

static void
take_progress (SoradScheduler *scheduler, SoradJob *job, GVariant *payload)
{
  double fraction, remaining;
  const char *stage;
  g_variant_get (payload, "(du&suud)", &fraction, &job->run, &stage, &job->step, &job->steps,
                 &remaining);
  if (fraction >= job->progress && fraction <= 1) /* FALSE for a NaN */
    job->progress = fraction;
  if (g_strcmp0 (job->stage, stage) != 0)
    {
      g_free (job->stage);
      job->stage = g_strdup (stage);
    }
  gboolean known = remaining >= 0 && remaining < 1e9;
  job->expected_end = known ? g_get_real_time () + (gint64)(remaining * G_USEC_PER_SEC) : 0;
  scheduler->callbacks.job_changed (scheduler->data, job, SORAD_JOB_CHANGED_PROGRESS);
}

static void
take_log (SoradScheduler *scheduler, SoradJob *job, GVariant *payload)
{
  int level;
  const char *stage, *text;
  g_variant_get (payload, "(i&s&s)", &level, &stage, &text);
  gboolean is_note = level == SORA_LOG_INFO;
  GPtrArray *lines = is_note ? job->notes : job->warnings;
  if (level < SORA_LOG_INFO
      || lines->len >= (is_note ? SORAD_JOB_MAX_NOTES : SORAD_JOB_MAX_WARNINGS))
    return;
  gboolean prefix = *stage && !g_str_has_prefix (text, "stage '");
  char *line = prefix ? g_strdup_printf ("stage '%s': %s", stage, text) : g_strdup (text);
  if (strlen (line) > MAX_LINE)
    {
      *g_utf8_find_prev_char (line, line + MAX_LINE + 1) = '\0';
      line = g_realloc (line, strlen (line) + 1);
    }
  g_ptr_array_add (lines, line);
  scheduler->callbacks.job_changed (scheduler->data, job,
                                    is_note ? SORAD_JOB_CHANGED_NOTES : SORAD_JOB_CHANGED_WARNINGS);
}

static void
take_error (SoradScheduler *scheduler, GVariant *payload)
{
  g_autoptr (GError) error = sora_bus_error_from_message (payload);
  finish_running (scheduler, SORAD_JOB_FAILED, error);
}

static void
on_message (gpointer data, SoraMessage *message)
{
  SoradScheduler *scheduler = data;
  SoradJob *job = scheduler->job;
  if (job && message->type == SORA_MESSAGE_HELLO)
    {
      job->sandbox = sorad_process_sandbox (scheduler->process);
      scheduler->callbacks.job_changed (scheduler->data, job, SORAD_JOB_CHANGED_SANDBOX);
      return;
    }
  if (!job || message->job != job->number)
    return; /* late words of the job before */
  scheduler->last_sign = g_get_monotonic_time ();
  if (message->type == SORA_MESSAGE_PROGRESS)
    take_progress (scheduler, job, message->payload);
  else if (message->type == SORA_MESSAGE_LOG)
    take_log (scheduler, job, message->payload);
  else if (message->type == SORA_MESSAGE_ERROR)
    take_error (scheduler, message->payload);
}

static void
on_preview (gpointer data, guint64 number, int memfd, guint width, guint height)
{
  SoradScheduler *scheduler = data;
  SoradJob *job = scheduler->job;
  if (!job || number != job->number)
    {
      close (memfd);
      return;
    }
  if (job->preview_fd >= 0)
    close (job->preview_fd);
  job->preview_fd = memfd;
  job->preview_width = width;
  job->preview_height = height;
}

static void
on_result (gpointer data, guint64 number, GVariant *details, GVariant *files, guint64 bytes)
{
  SoradScheduler *scheduler = data;
  SoradJob *job = scheduler->job;
  if (!job || number != job->number)
    return; /* cannot be: the process takes a result for the job that runs only */
  job->files = g_variant_ref (files);
  job->details = g_variant_ref (details);
  job->stored_bytes = bytes;
  finish_running (scheduler, SORAD_JOB_DONE, NULL);
}

static void
on_died (gpointer data, const GError *error)
{
  SoradScheduler *scheduler = data;
  close_process (scheduler);
  SoradJob *job = scheduler->job;
  if (!job)
    return; /* between jobs: the next one gets a new worker */
  g_autoptr (GError) told = g_error_copy (error);
  if (*job->stage && error->code == SORA_ERROR_WORKER_DIED)
    g_prefix_error (&told, "stage '%s': ", job->stage);
  finish_running (scheduler, SORAD_JOB_FAILED, told);
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
  g_autofree char *reason = g_strdup_printf ("no progress for %u s, the worker process was killed",
                                             scheduler->config->stall_seconds);
  sorad_process_kill (scheduler->process, reason);
  return G_SOURCE_REMOVE;
}

static gboolean
prepare_process (SoradScheduler *scheduler, guint32 uid, GError **error)
{
  static const SoradProcessCallbacks callbacks = {
    .message = on_message,
    .preview = on_preview,
    .result = on_result,
    .died = on_died,
  };
  g_clear_handle_id (&scheduler->idle_timer, g_source_remove);
  if (scheduler->process && scheduler->process_uid == uid
      && sorad_process_is_current (scheduler->process))
    return TRUE;
  close_process (scheduler);
  scheduler->process
      = sorad_process_spawn (scheduler->config, scheduler->store, &callbacks, scheduler, error);
  scheduler->process_uid = uid;
  return scheduler->process != NULL;
}

static GVariant *
run_options (const SoradConfig *config, const SoradJob *job)
{
  GVariantDict options;
  g_variant_dict_init (&options, NULL);
  g_variant_dict_insert (&options, "job", "s", job->id);
  if (job->submission->name)
    g_variant_dict_insert (&options, "name", "s", job->submission->name);
  /* One user's service, one user's cache. */
  if (config->session)
    g_variant_dict_insert (&options, "cache", "b", TRUE);
  return g_variant_dict_end (&options);
}

/* With a process, or else with why there is none. */
static void
start_job (SoradScheduler *scheduler, SoradJob *job, const GError *error)
{
  scheduler->job = job;
  job->state = SORAD_JOB_RUNNING;
  job->started = g_get_real_time ();
  if (error)
    {
      finish_running (scheduler, SORAD_JOB_FAILED, error);
      return;
    }
  job->sandbox = sorad_process_sandbox (scheduler->process);
  /* Older results make room for this one, but for what waits or runs there is no other place. */
  guint64 stored = sorad_store_bytes (scheduler->store, sorad_job_uid (job), SORAD_JOB_ACTIVE);
  guint64 limit = scheduler->config->max_stored_bytes;
  sorad_process_expect_result (scheduler->process, job->number, job->id,
                               limit > stored ? limit - stored : 0);
  sorad_process_send_inputs (scheduler->process, job->number, job->submission->inputs);
  sorad_process_send (
      scheduler->process, SORA_MESSAGE_RUN, job->number,
      g_variant_new ("(@a{sv}@a{sv})", job->submission->request, run_options (scheduler->config, job)));
  if (job->preview_wanted)
    sorad_process_send (scheduler->process, SORA_MESSAGE_WANT_PREVIEW, job->number,
                        g_variant_new ("(b)", TRUE));
  scheduler->last_sign = g_get_monotonic_time ();
  if (scheduler->config->stall_seconds > 0)
    scheduler->stall_timer = g_timeout_add_seconds (1, on_stall, scheduler);
  scheduler->callbacks.job_changed (scheduler->data, job,
                                    SORAD_JOB_CHANGED_STATE | SORAD_JOB_CHANGED_POSITION
                                        | SORAD_JOB_CHANGED_SANDBOX);
}

static void
start_next (SoradScheduler *scheduler)
{
  User *user = scheduler->job ? NULL : next_user (scheduler);
  if (!user)
    return;
  g_autoptr (GError) error = NULL;
  if (!prepare_process (scheduler, user->uid, &error)
      && g_error_matches (error, SORA_ERROR, SORA_ERROR_BUSY)
      && ++scheduler->shortages <= MAX_SHORTAGES)
    { /* no fault of the job: it stays the first, and a shortage does not empty the queue */
      if (scheduler->shortages == 1)
        g_message ("%s; trying again", error->message);
      scheduler->next_source = g_timeout_add_seconds (1, on_next, scheduler);
      return;
    }
  scheduler->shortages = 0;
  SoradJob *job = g_queue_pop_head (&user->jobs);
  scheduler->queue_length--;
  user->served = ++scheduler->starts;
  start_job (scheduler, job, error);
  queue_changed (scheduler);
}

void
sorad_scheduler_submit (SoradScheduler *scheduler, SoradJob *job)
{
  User *user = find_user (scheduler, sorad_job_uid (job));
  g_queue_push_tail (&user->jobs, sorad_job_ref (job));
  scheduler->queue_length++;
  start_next_soon (scheduler);
  queue_changed (scheduler);
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
                      "the job was cancelled and did not stop, the worker process was killed");
  return G_SOURCE_REMOVE;
}

void
sorad_scheduler_cancel (SoradScheduler *scheduler, SoradJob *job)
{
  if (sorad_job_is_over (job) || job->cancel_requested)
    return;
  job->cancel_requested = TRUE;
  if (scheduler->job == job)
    {
      sorad_process_send_cancel (scheduler->process, job->number);
      scheduler->grace_timer
          = g_timeout_add (scheduler->config->cancel_grace_ms, on_grace_over, scheduler);
      return;
    }
  User *user = find_user (scheduler, sorad_job_uid (job));
  g_autoptr (SoradJob) held = job; /* the queue's reference */
  g_queue_remove (&user->jobs, job);
  scheduler->queue_length--;
  g_autoptr (GError) error
      = g_error_new (SORA_ERROR, SORA_ERROR_CANCELLED, "the job was cancelled");
  finish (scheduler, job, SORAD_JOB_CANCELLED, error);
  queue_changed (scheduler);
}

SoradScheduler *
sorad_scheduler_new (const SoradConfig *config, SoradStore *store,
                     const SoradSchedulerCallbacks *callbacks, gpointer data)
{
  SoradScheduler *scheduler = g_new0 (SoradScheduler, 1);
  scheduler->config = config;
  scheduler->store = store;
  scheduler->callbacks = *callbacks;
  scheduler->data = data;
  scheduler->users = g_hash_table_new_full (NULL, NULL, NULL, user_free);
  return scheduler;
}

void
sorad_scheduler_free (SoradScheduler *scheduler)
{
  if (!scheduler)
    return;
  g_clear_handle_id (&scheduler->next_source, g_source_remove);
  close_process (scheduler);
  g_clear_pointer (&scheduler->job, sorad_job_unref);
  g_hash_table_unref (scheduler->users);
  g_free (scheduler);
}
