/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The life of a worker process: starts it, watches over it, and tells how it ended.  Main loop
 * only.
 */
#include "config.h"
#include "sorad-process-private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/sora-runner.h"
#include "sora-sandbox.h"
#include "sorad-process-launch.h"

#define END_GRACE_MS 2000 /* the worker waits one second for its task, and needs time to leave */

static guint n_processes; /* main loop: not reaped yet */

SoradProcess *
sorad_process_ref (SoradProcess *process)
{
  g_atomic_ref_count_inc (&process->refs);
  return process;
}

void
sorad_process_unref (SoradProcess *process)
{
  if (!g_atomic_ref_count_dec (&process->refs))
    return;
  g_clear_object (&process->subprocess);
  g_free (process->exit_text);
  g_free (process->kill_reason);
  g_clear_error (&process->stream_error);
  g_free (process->work_dir);
  g_free (process->shown);
  sora_channel_unref (process->channel);
  g_async_queue_unref (process->outbox);
  g_mutex_clear (&process->lock);
  g_cond_clear (&process->drained);
  g_free (process);
}

static void maybe_died (SoradProcess *process);

static gboolean
on_end_timeout (gpointer data)
{
  SoradProcess *process = data;
  process->end_timer = 0;
  if (!process->exited)
    g_subprocess_force_exit (process->subprocess);
  else
    { /* a child of a plugin inherited the socket: it must not keep the job waiting */
      process->shut = TRUE;
      sora_channel_shutdown (process->channel);
    }
  return G_SOURCE_REMOVE;
}

static void
expect_exit (SoradProcess *process, guint grace_ms)
{
  if (process->end_timer)
    return;
  if (grace_ms == 0)
    g_subprocess_force_exit (process->subprocess);
  else
    process->end_timer
        = g_timeout_add_full (G_PRIORITY_DEFAULT, grace_ms, on_end_timeout,
                              sorad_process_ref (process), (GDestroyNotify)sorad_process_unref);
}

void
sorad_process_stream_ended (SoradProcess *process, GError *error)
{
  process->stream_ended = TRUE;
  process->stream_error = error;
  gboolean cut = !error || error->code == SORA_ERROR_WORKER_DIED;
  process->broke_protocol = !cut && !process->shut && error->code == SORA_ERROR_PROTOCOL;
  if (!process->exited)
    expect_exit (process, cut ? END_GRACE_MS : 0);
  maybe_died (process);
}

static void
maybe_died (SoradProcess *process)
{
  if (!process->exited || !process->stream_ended || process->died_told)
    return;
  process->died_told = TRUE;
  g_clear_handle_id (&process->watchdog, g_source_remove);
  g_clear_handle_id (&process->end_timer, g_source_remove);
  n_processes--;
  sorad_process_forget_result (process, process->job); /* expected when nobody read any more */
  /* Not as soon as it has exited: if the monitor was killed, the worker behind it still runs for a
   * moment, and would tell its job of a folder that is gone. */
  sorad_store_remove_work_dir (process->store, process->work_dir);
  if (process->closed)
    return;
  g_autoptr (GError) error = NULL;
  if (process->kill_reason)
    g_set_error_literal (&error, SORA_ERROR, SORA_ERROR_WORKER_DIED, process->kill_reason);
  else if (process->stream_error && process->stream_error->code != SORA_ERROR_PROTOCOL
           && process->stream_error->code != SORA_ERROR_WORKER_DIED)
    error = g_error_copy (process->stream_error); /* of the disk */
  else if (process->broke_protocol)
    g_set_error (&error, SORA_ERROR, SORA_ERROR_PROTOCOL, "the worker process was ended: %s",
                 process->stream_error->message);
  else
    g_set_error (&error, SORA_ERROR, SORA_ERROR_WORKER_DIED, "the worker process %s",
                 process->exit_text);
  process->callbacks.died (process->data, error);
}

/* The kernel says nothing to a parent of why it ended a child, but it counts. */
static char *
describe_signal (const SoradProcess *process, int number)
{
  const gboolean ran_out
      = number == SIGKILL && process->group && sorad_cgroup_ran_out (process->group);
  const gboolean anywhere
      = number == SIGKILL && sorad_cgroup_kills_anywhere () > process->kills_before;
  return g_strdup_printf (
      "%swas killed by signal %d (%s)%s",
      number == SIGBUS ? "found a model file changed or cut while it was in use, and "
      : ran_out        ? "wanted more memory than MemoryMax, and "
                       : "",
      number, g_strsignal (number),
      anywhere && !ran_out
          ? ", while the kernel killed for want of memory, the machine's or that of a "
            "control group around sorad"
          : "");
}

static void
on_exited (GObject *source, GAsyncResult *result, gpointer data)
{
  SoradProcess *process = data;
  GSubprocess *subprocess = G_SUBPROCESS (source);
  g_subprocess_wait_finish (subprocess, result, NULL);
  process->exited = TRUE;
  if (g_subprocess_get_if_signaled (subprocess))
    process->exit_text = describe_signal (process, g_subprocess_get_term_sig (subprocess));
  else
    process->exit_text
        = g_strdup_printf ("ended with status %d", g_subprocess_get_exit_status (subprocess));
  if (!process->stream_ended) /* what it sent last is still being read */
    expect_exit (process, END_GRACE_MS);
  sorad_cgroup_end (g_steal_pointer (&process->group));
  maybe_died (process);
  sorad_process_unref (process);
}

static gboolean
on_watchdog (gpointer data)
{
  SoradProcess *process = data;
  gint64 silence = g_get_monotonic_time () - sora_channel_last_heard (process->channel);
  if (process->exited || g_atomic_int_get (&process->reader_busy)
      || silence < (gint64)process->config->heartbeat_seconds * G_USEC_PER_SEC)
    return G_SOURCE_CONTINUE;
  g_autofree char *reason = g_strdup_printf (
      "the worker process hung: no heartbeat for %u s, killed", process->config->heartbeat_seconds);
  sorad_process_kill (process, reason);
  return G_SOURCE_CONTINUE;
}

SoradProcess *
sorad_process_spawn (const SoradConfig *config, SoradStore *store, gboolean for_jobs,
                     const char *user_dir, const SoradProcessCallbacks *callbacks, gpointer data,
                     GError **error)
{
  static guint64 last_number;
  int sockets[2];
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY, "cannot start a worker: %s",
                   g_strerror (errno));
      return NULL;
    }
  g_autoptr (SoraChannel) channel
      = sora_channel_new (sockets[0], sockets[0], SORA_SIDE_DAEMON, error);
  if (!channel)
    {
      close (sockets[1]);
      g_prefix_error (error, "cannot start a worker: ");
      return NULL;
    }
  g_autofree char *work_dir = sorad_store_work_dir (store, ++last_number);
  g_autofree char *shown = sora_sandbox_fingerprint (config->model_dirs);
  SoradCgroup *group = config->cgroups ? sorad_cgroup_new (config->cgroups, error) : NULL;
  if (config->cgroups && !group)
    {
      close (sockets[1]);
      return NULL;
    }
  const guint64 kills_before = sorad_cgroup_kills_anywhere ();
  g_autoptr (GSubprocess) subprocess
      = sorad_process_launch (config, work_dir, for_jobs, user_dir, sockets[1],
                              group ? sorad_cgroup_entry (group) : -1, error);
  if (!subprocess)
    {
      sorad_cgroup_end (group);
      return NULL;
    }

  SoradProcess *process = g_new0 (SoradProcess, 1);
  g_atomic_ref_count_init (&process->refs);
  process->config = config;
  process->store = store;
  process->callbacks = *callbacks;
  process->data = data;
  process->subprocess = g_steal_pointer (&subprocess);
  process->group = group;
  process->kills_before = kills_before;
  process->work_dir = g_steal_pointer (&work_dir);
  process->channel = g_steal_pointer (&channel);
  process->shown = g_steal_pointer (&shown);
  process->sandbox = "none"; /* until it says more */
  process->outbox = g_async_queue_new_full (sorad_outgoing_free);
  g_mutex_init (&process->lock);
  g_cond_init (&process->drained);
  n_processes++;

  sorad_process_send (process, SORA_MESSAGE_HELLO, 0,
                      g_variant_new ("(us@a{sv})", SORA_PROTOCOL_VERSION, sora_version (),
                                     g_variant_new ("a{sv}", NULL)));
  g_subprocess_wait_async (process->subprocess, NULL, on_exited, sorad_process_ref (process));
  process->watchdog
      = g_timeout_add_full (G_PRIORITY_DEFAULT, 500, on_watchdog, sorad_process_ref (process),
                            (GDestroyNotify)sorad_process_unref);
  g_thread_unref (g_thread_new ("reader", sorad_process_reader, sorad_process_ref (process)));
  g_thread_unref (g_thread_new ("sender", sorad_process_sender, sorad_process_ref (process)));
  return process;
}

void
sorad_process_kill (SoradProcess *process, const char *reason)
{
  if (!process->kill_reason)
    process->kill_reason = g_strdup (reason);
  if (!process->exited)
    g_subprocess_force_exit (process->subprocess);
}

void
sorad_process_close (SoradProcess *process)
{
  if (!process)
    return;
  process->closed = TRUE;
  sora_channel_shutdown (process->channel);
  g_mutex_lock (&process->lock);
  process->gone = TRUE;
  g_cond_broadcast (&process->drained);
  g_mutex_unlock (&process->lock);
  sorad_process_send_last (process);
  if (!process->exited)
    expect_exit (process, END_GRACE_MS);
  sorad_process_unref (process);
}

void
sorad_process_wait_all (void)
{
  while (n_processes > 0)
    g_main_context_iteration (NULL, TRUE);
}

const char *
sorad_process_sandbox (SoradProcess *process)
{
  return process->sandbox;
}

gboolean
sorad_process_is_current (SoradProcess *process)
{
  g_autofree char *now = sora_sandbox_fingerprint (process->config->model_dirs);
  return g_str_equal (now, process->shown);
}
