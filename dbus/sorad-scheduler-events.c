/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the worker says of the job that runs.
 */
#include "config.h"
#include "sorad-scheduler-private.h"

#include <string.h>
#include <unistd.h>

#include "core/sora-plugin.h"
#include "dbus/sora-bus-error.h"
#include "sora-sandbox.h"

#define MAX_LINE 2048      /* bytes of a warning or note */
#define MAX_STAGE_NAME 128 /* bytes */

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

/* Of the levels that there are; a stage's name is as long as any. */
static void
take_third_party (SoradScheduler *scheduler, SoradJob *job, GVariant *payload)
{
  g_autoptr (GVariant) told = g_variant_get_child_value (payload, 0);
  GVariantIter iter;
  const char *stage, *level;
  GVariantDict stages;
  GVariantBuilder builder;
  guint n = 0;
  g_variant_dict_init (&stages, NULL);
  g_variant_iter_init (&iter, told);
  while (n < SORAD_JOB_MAX_STAGES && g_variant_iter_next (&iter, "{&s&s}", &stage, &level))
    if (strlen (stage) <= MAX_STAGE_NAME && !g_variant_dict_contains (&stages, stage))
      {
        SoraSandboxLevel known;
        g_variant_dict_insert (&stages, stage, "s",
                               sora_sandbox_level_from_name (level, &known)
                                   ? sora_sandbox_level_name (known)
                                   : "none");
        n++;
      }
  g_autoptr (GVariant) taken = g_variant_ref_sink (g_variant_dict_end (&stages));
  GVariant *value;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_variant_iter_init (&iter, taken);
  while (g_variant_iter_next (&iter, "{&sv}", &stage, &value))
    {
      g_variant_builder_add (&builder, "{ss}", stage, g_variant_get_string (value, NULL));
      g_variant_unref (value);
    }
  g_clear_pointer (&job->third_party, g_variant_unref);
  job->third_party = g_variant_ref_sink (g_variant_builder_end (&builder));
  scheduler->callbacks.job_changed (scheduler->data, job, SORAD_JOB_CHANGED_SANDBOX);
}

static void
take_error (SoradScheduler *scheduler, GVariant *payload)
{
  g_autoptr (GError) error = sora_bus_error_from_message (payload);
  sorad_scheduler_finish_running (scheduler, SORAD_JOB_FAILED, error);
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
  else if (message->type == SORA_MESSAGE_THIRD_PARTY)
    take_third_party (scheduler, job, message->payload);
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
  sorad_scheduler_finish_running (scheduler, SORAD_JOB_DONE, NULL);
}

static void
on_died (gpointer data, const GError *error)
{
  SoradScheduler *scheduler = data;
  sorad_scheduler_close_process (scheduler);
  SoradJob *job = scheduler->job;
  if (!job)
    return; /* between jobs: the next one gets a new worker */
  g_autoptr (GError) told = g_error_copy (error);
  if (*job->stage && error->code == SORA_ERROR_WORKER_DIED)
    g_prefix_error (&told, "stage '%s': ", job->stage);
  sorad_scheduler_worker_died (scheduler, told);
}

const SoradProcessCallbacks *
sorad_scheduler_events (void)
{
  static const SoradProcessCallbacks callbacks = {
    .message = on_message,
    .preview = on_preview,
    .result = on_result,
    .died = on_died,
  };
  return &callbacks;
}
