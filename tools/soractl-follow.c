/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Follows a job on the service until it is over, with a progress bar; Ctrl-C stops it.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-console.h"
#include "soractl-progress.h"
#include "sora-error.h"
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>

typedef struct
{
  SoraBusJob *job;
  GMainLoop *loop;
  SoractlProgress *progress;
  gboolean cancel_on_interrupt;
  gboolean interrupted;
  gboolean waiting;          /* Wait has not answered yet */
  guint n_warnings, n_notes; /* printed so far */
  char *state;
  GError *error;
} Follow;

static void
on_properties (GDBusProxy *proxy, GVariant *changed, const char *const *invalidated, gpointer data)
{
  Follow *follow = data;
  SoraBusJob *job = follow->job;
  const char *const *warnings = sora_bus_job_get_warnings (job);
  guint n = warnings != NULL ? g_strv_length ((char **)warnings) : 0;
  for (; follow->n_warnings < n; follow->n_warnings++)
    {
      soractl_progress_clear (follow->progress);
      soractl_console_warning ("%s", warnings[follow->n_warnings]);
    }
  const char *const *notes = sora_bus_job_get_notes (job);
  n = notes != NULL ? g_strv_length ((char **)notes) : 0;
  for (; follow->n_notes < n; follow->n_notes++)
    {
      soractl_progress_clear (follow->progress);
      soractl_console_note ("%s", notes[follow->n_notes]);
    }
  if (g_strcmp0 (sora_bus_job_get_state (job), "running") != 0)
    return;
  gint64 end = sora_bus_job_get_expected_end (job);
  double remaining = end > 0 ? (double)(end - g_get_real_time ()) / 1e6 : -1;
  soractl_progress_update (follow->progress, sora_bus_job_get_progress (job),
                           sora_bus_job_get_stage (job), sora_bus_job_get_step (job),
                           sora_bus_job_get_steps (job), end > 0 ? MAX (remaining, 0) : -1);
}

static void
on_wait (GObject *source, GAsyncResult *result, gpointer data)
{
  Follow *follow = data;
  g_autoptr (GError) error = NULL;
  follow->waiting = FALSE;
  /* That sorad has ended may have been told already, in better words. */
  if (!sora_bus_job_call_wait_finish (SORA_BUS_JOB (source), &follow->state, result, &error)
      && follow->error == NULL)
    follow->error = g_steal_pointer (&error);
  g_main_loop_quit (follow->loop);
}

static gboolean
on_interrupt (gpointer data)
{
  Follow *follow = data;
  if (!follow->cancel_on_interrupt || follow->interrupted)
    {
      follow->interrupted = TRUE;
      g_main_loop_quit (follow->loop);
      return G_SOURCE_CONTINUE;
    }
  follow->interrupted = TRUE;
  soractl_progress_clear (follow->progress);
  fputs ("stopping the job ...\n", stderr);
  /* The answer to Wait tells when it is over. */
  sora_bus_job_call_cancel (follow->job, NULL, NULL, NULL);
  return G_SOURCE_CONTINUE;
}

static void
on_vanished (GObject *object, GParamSpec *pspec, gpointer data)
{
  Follow *follow = data;
  g_autofree char *owner = g_dbus_proxy_get_name_owner (G_DBUS_PROXY (object));
  if (owner != NULL || follow->state != NULL || follow->error != NULL)
    return;
  g_set_error (&follow->error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN,
               "sorad has ended while the job ran");
  g_main_loop_quit (follow->loop);
}

/* The daemon sends what changes to who has subscribed: what changed between the proxy's first look
 * and that is read once more. */
static void
refresh (SoraBusJob *job)
{
  GDBusProxy *proxy = G_DBUS_PROXY (job);
  g_autoptr (GVariant) now = soractl_bus_job_properties (
      g_dbus_proxy_get_connection (proxy), g_dbus_proxy_get_object_path (proxy), NULL);
  GVariantIter iter;
  const char *name;
  GVariant *value;
  if (now == NULL)
    return;
  g_variant_iter_init (&iter, now);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    g_dbus_proxy_set_cached_property (proxy, name, value);
}

char *
soractl_bus_follow (SoractlGlobal *global, SoraBusJob *job, gboolean cancel_on_interrupt,
                    GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (SoractlProgress) progress = soractl_progress_new (global->quiet);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Follow follow = {
    .job = job, .loop = loop, .progress = progress, .cancel_on_interrupt = cancel_on_interrupt
  };
  gulong on_changed
      = g_signal_connect (job, "g-properties-changed", G_CALLBACK (on_properties), &follow);
  gulong on_owner
      = g_signal_connect (job, "notify::g-name-owner", G_CALLBACK (on_vanished), &follow);
  guint on_int = g_unix_signal_add (SIGINT, on_interrupt, &follow);
  guint on_term = g_unix_signal_add (SIGTERM, on_interrupt, &follow);
  g_autofree char *state = NULL;
  if (sora_bus_job_call_subscribe_sync (job, NULL, error))
    {
      refresh (job);
      on_properties (G_DBUS_PROXY (job), NULL, NULL, &follow);
      g_dbus_proxy_set_default_timeout (G_DBUS_PROXY (job), G_MAXINT);
      follow.waiting = TRUE;
      sora_bus_job_call_wait (job, cancellable, on_wait, &follow);
      g_main_loop_run (loop);
      if (follow.waiting && follow.error == NULL)
        g_set_error (&follow.error, SORA_ERROR, SORA_ERROR_CANCELLED, "left; the job goes on");
      /* Left before Wait answered: take the answer of its cancellation, because it points to our
       * stack. */
      g_cancellable_cancel (cancellable);
      while (follow.waiting)
        g_main_loop_run (loop);
      g_dbus_proxy_set_default_timeout (G_DBUS_PROXY (job), -1);
      state = g_steal_pointer (&follow.state);
      /* What was said last may still be on its way, and the answer of Wait overtook it. */
      if (state != NULL)
        {
          refresh (job);
          on_properties (G_DBUS_PROXY (job), NULL, NULL, &follow);
        }
      /* It may have ended just as we left. */
      if (state != NULL)
        g_clear_error (&follow.error);
      if (follow.error != NULL)
        g_propagate_error (error, follow.error);
    }
  g_source_remove (on_int);
  g_source_remove (on_term);
  g_signal_handler_disconnect (job, on_changed);
  g_signal_handler_disconnect (job, on_owner);
  soractl_progress_clear (progress);
  return g_steal_pointer (&state);
}
