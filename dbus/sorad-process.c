/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Starts a worker, talks with it and watches over it.
 *
 * What it sends is not trusted: sizes are bounded by what the job may store, names are plain, and a
 * fault ends the process, never the daemon.
 */
#include "config.h"
#include "sorad-process.h"

#include <errno.h>
#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/sora-runner.h"
#include "sorad-memfd.h"
#include "sorad-process-launch.h"

#define MAX_PENDING_EVENTS 64
#define END_GRACE_MS 1000

struct SoradProcess
{
  gatomicrefcount refs;
  const SoradConfig *config;
  SoradStore *store;
  SoradProcessCallbacks callbacks; /* all from here to `sender`: main loop only */
  gpointer data;
  gboolean closed; /* by the owner */
  GSubprocess *subprocess;
  gboolean exited, stream_ended, died_told;
  gboolean shut; /* the stream, by us, since the process had ended and somebody still held it */
  gboolean broke_protocol;
  char *exit_text;
  char *kill_reason;
  GError *stream_error;
  char *work_dir;
  guint watchdog, end_timer;

  SoraChannel *channel;
  GAsyncQueue *outbox; /* of Outgoing */
  gint stop_inputs;    /* atomic */
  gint reader_busy;    /* atomic: it works with the disk, and cannot hear heartbeats */

  GMutex lock; /* all below */
  GCond drained;
  guint pending; /* events on their way to the main loop */
  gboolean gone; /* nobody takes events any more */
  guint64 job;
  SoradResult *result; /* of `job`; taken by the reader thread while it works on it */

  SoraBlob *blob; /* reader thread only, all below */
  gboolean blob_is_preview;
  SoradMemfd *memfd;
};

typedef enum
{
  EVENT_MESSAGE,
  EVENT_PREVIEW,
  EVENT_RESULT,
  EVENT_END
} EventKind;

typedef struct
{
  SoradProcess *process;
  EventKind kind;
  SoraMessage *message;
  guint64 job, bytes;
  int memfd;
  guint width, height;
  GVariant *details, *files;
  GError *error;
} Event;

typedef struct
{
  SoraMessageType type;
  guint64 job;
  GVariant *payload;
  SoradInput *input; /* instead of a message */
  gboolean last;
} Outgoing;

static guint n_processes; /* main loop: not reaped yet */

static void
outgoing_free (gpointer data)
{
  Outgoing *outgoing = data;
  g_clear_pointer (&outgoing->payload, g_variant_unref);
  sorad_input_free (outgoing->input);
  g_free (outgoing);
}

static SoradProcess *
process_ref (SoradProcess *process)
{
  g_atomic_ref_count_inc (&process->refs);
  return process;
}

static void
process_unref (SoradProcess *process)
{
  if (!g_atomic_ref_count_dec (&process->refs))
    return;
  g_clear_object (&process->subprocess);
  g_free (process->exit_text);
  g_free (process->kill_reason);
  g_clear_error (&process->stream_error);
  g_free (process->work_dir);
  sora_channel_unref (process->channel);
  g_async_queue_unref (process->outbox);
  sora_blob_free (process->blob);
  sorad_memfd_free (process->memfd);
  g_mutex_clear (&process->lock);
  g_cond_clear (&process->drained);
  g_free (process);
}

/* -- Events to the main loop */

static void
event_free (Event *event)
{
  sora_message_free (event->message);
  if (event->memfd >= 0)
    close (event->memfd);
  g_clear_pointer (&event->details, g_variant_unref);
  g_clear_pointer (&event->files, g_variant_unref);
  g_clear_error (&event->error);
  process_unref (event->process);
  g_free (event);
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
    process->end_timer = g_timeout_add_full (G_PRIORITY_DEFAULT, grace_ms, on_end_timeout,
                                             process_ref (process), (GDestroyNotify)process_unref);
}

static void
handle_event (SoradProcess *process, Event *event)
{
  if (event->kind == EVENT_END)
    {
      process->stream_ended = TRUE;
      process->stream_error = g_steal_pointer (&event->error);
      gboolean cut
          = !process->stream_error || process->stream_error->code == SORA_ERROR_WORKER_DIED;
      process->broke_protocol
          = !cut && !process->shut && process->stream_error->code == SORA_ERROR_PROTOCOL;
      if (!process->exited)
        expect_exit (process, cut ? END_GRACE_MS : 0);
      maybe_died (process);
      return;
    }
  if (process->closed)
    return;
  if (event->kind == EVENT_MESSAGE)
    process->callbacks.message (process->data, event->message);
  else if (event->kind == EVENT_PREVIEW)
    process->callbacks.preview (process->data, event->job, g_steal_fd (&event->memfd), event->width,
                                event->height);
  else
    process->callbacks.result (process->data, event->job, event->details, event->files,
                               event->bytes);
}

static gboolean
on_event (gpointer data)
{
  Event *event = data;
  SoradProcess *process = event->process;
  g_mutex_lock (&process->lock);
  process->pending--;
  g_cond_signal (&process->drained);
  g_mutex_unlock (&process->lock);
  handle_event (process, event);
  event_free (event);
  return G_SOURCE_REMOVE;
}

static Event *
event_new (SoradProcess *process, EventKind kind)
{
  Event *event = g_new0 (Event, 1);
  event->process = process_ref (process);
  event->kind = kind;
  event->memfd = -1;
  return event;
}

/* From the reader thread: waits while the main loop is behind, and so does the worker, through the
 * socket. */
static void
post (Event *event)
{
  SoradProcess *process = event->process;
  g_mutex_lock (&process->lock);
  while (process->pending >= MAX_PENDING_EVENTS && !process->gone)
    g_cond_wait (&process->drained, &process->lock);
  process->pending++;
  g_mutex_unlock (&process->lock);
  g_main_context_invoke_full (NULL, G_PRIORITY_DEFAULT, on_event, event, NULL);
}

/* -- The reader thread */

static gboolean
begin_blob (SoradProcess *process, SoradResult *result, SoraMessage *message, GError **error)
{
  g_clear_pointer (&process->blob, sora_blob_free); /* an unfinished one was given up */
  g_clear_pointer (&process->memfd, sorad_memfd_free);
  g_autoptr (SoraBlob) blob = sora_blob_begin (message, G_MAXINT64, error);
  if (!blob)
    return FALSE;
  process->blob_is_preview = g_str_equal (blob->kind, "preview");
  if (process->blob_is_preview)
    {
      guint width = 0, height = 0;
      g_variant_lookup (blob->details, "width", "u", &width);
      g_variant_lookup (blob->details, "height", "u", &height);
      process->memfd = sorad_memfd_new (width, height, blob->size, error);
      if (!process->memfd)
        return FALSE;
    }
  else if (g_str_equal (blob->kind, "artifact"))
    {
      if (!sorad_result_begin_file (result, blob->name, blob->size, error))
        return FALSE;
    }
  else
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: a blob of kind '%s' cannot come from a worker", blob->kind);
      return FALSE;
    }
  process->blob = g_steal_pointer (&blob);
  return TRUE;
}

static gboolean
end_blob (SoradProcess *process, SoradResult *result, SoraMessage *message, GError **error)
{
  g_autoptr (SoraBlob) blob = g_steal_pointer (&process->blob);
  if (!sora_blob_end (blob, message, error))
    return FALSE;
  if (process->blob_is_preview)
    {
      Event *event = event_new (process, EVENT_PREVIEW);
      event->job = blob->job;
      event->memfd = sorad_memfd_seal (process->memfd, &event->width, &event->height, error);
      g_clear_pointer (&process->memfd, sorad_memfd_free);
      if (event->memfd < 0)
        {
          event_free (event);
          return FALSE;
        }
      post (event);
    }
  else if (!sorad_result_end_file (result, blob->sha256, blob->details, error))
    return FALSE;
  return sora_channel_acknowledge (process->channel, blob, TRUE, error);
}

static gboolean
take_blob (SoradProcess *process, SoradResult *result, SoraMessage *message, GError **error)
{
  if (message->type == SORA_MESSAGE_BLOB_BEGIN)
    return begin_blob (process, result, message, error);
  if (!process->blob)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL, "protocol: a %s came outside a blob",
                   sora_message_type_name (message->type));
      return FALSE;
    }
  if (message->type == SORA_MESSAGE_BLOB_END)
    return end_blob (process, result, message, error);
  gconstpointer bytes;
  gsize size;
  return sora_blob_chunk (process->blob, message, &bytes, &size, error)
         && (process->blob_is_preview ? sorad_memfd_write (process->memfd, bytes, size, error)
                                      : sorad_result_write (result, bytes, size, error))
         && sora_channel_acknowledge (process->channel, process->blob, FALSE, error);
}

static gboolean
take_result (SoradProcess *process, SoradResult *result, SoraMessage *message, GError **error)
{
  Event *event = event_new (process, EVENT_RESULT);
  if (!sorad_result_publish (result, &event->files, &event->bytes, error))
    {
      event_free (event);
      return FALSE;
    }
  event->job = message->job;
  event->details = g_variant_get_child_value (message->payload, 0);
  post (event);
  return TRUE;
}

/* What belongs to a job's result: done here, off the main loop, on files. */
static gboolean
take_for_result (SoradProcess *process, SoraMessage *message, GError **error)
{
  g_mutex_lock (&process->lock);
  SoradResult *result = message->job == process->job ? g_steal_pointer (&process->result) : NULL;
  g_mutex_unlock (&process->lock);
  if (!result)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: a %s came for job %" G_GUINT64_FORMAT ", which does not run",
                   sora_message_type_name (message->type), message->job);
      return FALSE;
    }
  g_atomic_int_set (&process->reader_busy, TRUE);
  gboolean is_result = message->type == SORA_MESSAGE_RESULT;
  gboolean ok = is_result ? take_result (process, result, message, error)
                          : take_blob (process, result, message, error);
  g_atomic_int_set (&process->reader_busy, FALSE);
  if (!ok || is_result)
    {
      sorad_result_free (result);
      return ok;
    }
  g_mutex_lock (&process->lock);
  process->result = result; /* nobody sets another one before our answer or our end */
  g_mutex_unlock (&process->lock);
  return TRUE;
}

static gboolean
take_message (SoradProcess *process, SoraMessage *message, GError **error)
{
  g_autoptr (SoraMessage) owned = message;
  switch ((SoraMessageType)message->type)
    {
    case SORA_MESSAGE_HELLO:
    case SORA_MESSAGE_HEARTBEAT:
      return TRUE;
    case SORA_MESSAGE_BLOB_BEGIN:
    case SORA_MESSAGE_BLOB_CHUNK:
    case SORA_MESSAGE_BLOB_END:
    case SORA_MESSAGE_RESULT:
      return take_for_result (process, message, error);
    case SORA_MESSAGE_ERROR:
      g_mutex_lock (&process->lock);
      if (message->job == process->job)
        g_clear_pointer (&process->result, sorad_result_free);
      g_mutex_unlock (&process->lock);
      break;
    default:
      break;
    }
  Event *event = event_new (process, EVENT_MESSAGE);
  event->message = g_steal_pointer (&owned);
  post (event);
  return TRUE;
}

static gpointer
reader_thread (gpointer data)
{
  SoradProcess *process = data;
  Event *event = event_new (process, EVENT_END);
  for (;;)
    {
      SoraMessage *message = NULL;
      if (!sora_channel_receive (process->channel, &message, &event->error) || !message)
        break;
      if (!take_message (process, message, &event->error))
        break;
    }
  sora_channel_shutdown (process->channel);
  g_mutex_lock (&process->lock);
  g_clear_pointer (&process->result, sorad_result_free);
  g_mutex_unlock (&process->lock);
  post (event);
  process_unref (process);
  return NULL;
}

/* -- The sender thread */

static gpointer
sender_thread (gpointer data)
{
  SoradProcess *process = data;
  for (gboolean last = FALSE; !last;)
    {
      Outgoing *outgoing = g_async_queue_pop (process->outbox);
      last = outgoing->last;
      if (outgoing->input)
        sora_channel_send_blob (process->channel, outgoing->job, "input",
                                outgoing->input->parameter, outgoing->input->fd, NULL,
                                outgoing->input->size, NULL, &process->stop_inputs, NULL);
      else if (!last)
        sora_channel_send (process->channel, outgoing->type, outgoing->job, outgoing->payload,
                           NULL);
      outgoing_free (outgoing); /* a failure shows in the reader, or as the worker's error */
    }
  process_unref (process);
  return NULL;
}

void
sorad_process_send (SoradProcess *process, SoraMessageType type, guint64 job, GVariant *payload)
{
  Outgoing *outgoing = g_new0 (Outgoing, 1);
  outgoing->type = type;
  outgoing->job = job;
  outgoing->payload = g_variant_ref_sink (payload);
  g_async_queue_push (process->outbox, outgoing);
}

void
sorad_process_send_inputs (SoradProcess *process, guint64 job, GPtrArray *inputs)
{
  for (guint i = 0; i < inputs->len; i++)
    {
      const SoradInput *input = g_ptr_array_index (inputs, i);
      Outgoing *outgoing = g_new0 (Outgoing, 1);
      outgoing->job = job;
      outgoing->input = g_new0 (SoradInput, 1);
      outgoing->input->parameter = g_strdup (input->parameter);
      outgoing->input->size = input->size;
      outgoing->input->fd = dup (input->fd); /* -1 fails in the sending, and the worker misses it */
      g_async_queue_push (process->outbox, outgoing);
    }
}

void
sorad_process_send_cancel (SoradProcess *process, guint64 job)
{
  g_atomic_int_set (&process->stop_inputs, TRUE);
  sorad_process_send (process, SORA_MESSAGE_CANCEL, job, g_variant_new ("()"));
}

void
sorad_process_expect_result (SoradProcess *process, guint64 job, const char *id, guint64 max_bytes)
{
  g_atomic_int_set (&process->stop_inputs, FALSE);
  g_mutex_lock (&process->lock);
  g_clear_pointer (&process->result, sorad_result_free);
  process->job = job;
  process->result = sorad_result_new (process->store, id, max_bytes);
  g_mutex_unlock (&process->lock);
}

/* -- Its life */

static void
maybe_died (SoradProcess *process)
{
  if (!process->exited || !process->stream_ended || process->died_told)
    return;
  process->died_told = TRUE;
  g_clear_handle_id (&process->watchdog, g_source_remove);
  g_clear_handle_id (&process->end_timer, g_source_remove);
  n_processes--;
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

static void
on_exited (GObject *source, GAsyncResult *result, gpointer data)
{
  SoradProcess *process = data;
  GSubprocess *subprocess = G_SUBPROCESS (source);
  g_subprocess_wait_finish (subprocess, result, NULL);
  process->exited = TRUE;
  if (g_subprocess_get_if_signaled (subprocess))
    {
      int number = g_subprocess_get_term_sig (subprocess);
      process->exit_text = g_strdup_printf (
          "%swas killed by signal %d (%s)",
          number == SIGBUS ? "found a model file changed or cut while it was in use, and " : "",
          number, g_strsignal (number));
    }
  else
    process->exit_text
        = g_strdup_printf ("ended with status %d", g_subprocess_get_exit_status (subprocess));
  if (!process->stream_ended) /* what it sent last is still being read */
    expect_exit (process, END_GRACE_MS);
  sorad_store_remove_work_dir (process->store, process->work_dir);
  maybe_died (process);
  process_unref (process);
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
sorad_process_spawn (const SoradConfig *config, SoradStore *store,
                     const SoradProcessCallbacks *callbacks, gpointer data, GError **error)
{
  static guint64 last_number;
  int sockets[2];
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "cannot start a worker: %s",
                   g_strerror (errno));
      return NULL;
    }
  g_autofree char *work_dir = sorad_store_work_dir (store, ++last_number);
  g_autoptr (GSubprocess) subprocess = sorad_process_launch (config, work_dir, sockets[1], error);
  if (!subprocess)
    {
      close (sockets[0]);
      return NULL;
    }

  SoradProcess *process = g_new0 (SoradProcess, 1);
  g_atomic_ref_count_init (&process->refs);
  process->config = config;
  process->store = store;
  process->callbacks = *callbacks;
  process->data = data;
  process->subprocess = g_steal_pointer (&subprocess);
  process->work_dir = g_steal_pointer (&work_dir);
  process->channel = sora_channel_new (sockets[0], sockets[0], SORA_SIDE_DAEMON);
  process->outbox = g_async_queue_new_full (outgoing_free);
  g_mutex_init (&process->lock);
  g_cond_init (&process->drained);
  n_processes++;

  sorad_process_send (process, SORA_MESSAGE_HELLO, 0,
                      g_variant_new ("(us@a{sv})", SORA_PROTOCOL_VERSION, sora_version (),
                                     g_variant_new ("a{sv}", NULL)));
  g_subprocess_wait_async (process->subprocess, NULL, on_exited, process_ref (process));
  process->watchdog = g_timeout_add_full (G_PRIORITY_DEFAULT, 500, on_watchdog,
                                          process_ref (process), (GDestroyNotify)process_unref);
  g_thread_unref (g_thread_new ("reader", reader_thread, process_ref (process)));
  g_thread_unref (g_thread_new ("sender", sender_thread, process_ref (process)));
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
  Outgoing *last = g_new0 (Outgoing, 1);
  last->last = TRUE;
  g_async_queue_push (process->outbox, last);
  if (!process->exited)
    expect_exit (process, END_GRACE_MS);
  process_unref (process);
}

void
sorad_process_wait_all (void)
{
  while (n_processes > 0)
    g_main_context_iteration (NULL, TRUE);
}
