/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The thread that sends to a worker, and its outbox.  An input that cannot be sent ends its job
 * here: the worker never hears of the job, since it would run without the file.
 */
#include "config.h"
#include "sorad-process-private.h"

#include <unistd.h>

#include "dbus/sora-bus-error.h"
#include "sorad-store-checkpoint.h"

typedef struct
{
  SoraMessageType type;
  guint64 job;
  GVariant *payload;
  SoradInput *input; /* instead of a message */
  char *checkpoints; /* likewise: the id of the job whose they are */
  gboolean last;
} Outgoing;

void
sorad_outgoing_free (gpointer data)
{
  Outgoing *outgoing = data;
  g_clear_pointer (&outgoing->payload, g_variant_unref);
  sorad_input_free (outgoing->input);
  g_free (outgoing->checkpoints);
  g_free (outgoing);
}

/* As if the worker had answered. */
static void
post_failure (SoradProcess *process, guint64 job, const GError *error)
{
  SoradEvent *event = sorad_event_new (process, SORAD_EVENT_MESSAGE);
  sorad_process_forget_result (process, job);
  event->message = g_new0 (SoraMessage, 1);
  event->message->type = SORA_MESSAGE_ERROR;
  event->message->job = job;
  event->message->payload
      = g_variant_ref_sink (g_variant_new ("(ss@a{sv})", sora_bus_error_name (error->code),
                                           error->message, g_variant_new ("a{sv}", NULL)));
  sorad_event_post (event);
}

static gboolean
send_input (SoradProcess *process, const Outgoing *outgoing)
{
  SoradInput *input = outgoing->input;
  g_autoptr (GError) error = NULL;
  /* A stored one is opened here: the main loop has nothing to do with the disk. */
  if (input->file)
    input->fd = sorad_store_open_input (process->store, input->file, &error);
  else if (input->fd < 0)
    g_set_error (&error, SORA_ERROR, SORA_ERROR_FAILED,
                 "the daemon has no descriptor left to send a file: try again");
  if (input->fd >= 0
      && sora_channel_send_blob (process->channel, outgoing->job, "input", input->parameter,
                                   input->fd, NULL, input->size, NULL, &process->stop_inputs,
                                   &error))
    return TRUE;
  /* That the stream is gone is told by the reader, with the reason. */
  if (error->code != SORA_ERROR_PROTOCOL && error->code != SORA_ERROR_WORKER_DIED)
    {
      g_prefix_error (&error, "parameter '%s': ", input->parameter);
      post_failure (process, outgoing->job, error);
    }
  return FALSE;
}

typedef struct
{
  SoradProcess *process;
  guint64 job;
} Sending;

/* One that cannot be read is a job that starts over, which the stage tells. */
static gboolean
send_checkpoint (const char *name, int fd, guint64 size, gpointer data)
{
  Sending *sending = data;
  g_autoptr (GError) error = NULL;
  if (sora_channel_send_blob (sending->process->channel, sending->job, "checkpoint", name, fd, NULL,
                              size, NULL, &sending->process->stop_inputs, &error))
    return TRUE;
  g_message ("checkpoint '%s' is not sent: %s", name, error->message);
  return error->code == SORA_ERROR_FAILED;
}

static gboolean
begins_job (const Outgoing *outgoing)
{
  return outgoing->input || outgoing->type == SORA_MESSAGE_RUN
         || outgoing->type == SORA_MESSAGE_CHECK;
}

gpointer
sorad_process_sender (gpointer data)
{
  SoradProcess *process = data;
  guint64 failed_job = 0;
  for (gboolean last = FALSE; !last;)
    {
      Outgoing *outgoing = g_async_queue_pop (process->outbox);
      last = outgoing->last;
      gboolean told = outgoing->job != 0 && outgoing->job == failed_job && begins_job (outgoing);
      if (outgoing->input && !told && !send_input (process, outgoing))
        failed_job = outgoing->job;
      else if (outgoing->checkpoints)
        sorad_checkpoint_foreach (process->store, outgoing->checkpoints, send_checkpoint,
                                  &(Sending){ process, outgoing->job });
      else if (!outgoing->input && !last && !told)
        sora_channel_send (process->channel, outgoing->type, outgoing->job, outgoing->payload,
                           NULL); /* a failure shows in the reader */
      sorad_outgoing_free (outgoing);
    }
  sorad_process_unref (process);
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
      outgoing->input->file = g_strdup (input->file);
      outgoing->input->fd = input->file ? -1 : dup (input->fd); /* -1 fails in the sending */
      g_async_queue_push (process->outbox, outgoing);
    }
}

void
sorad_process_send_checkpoints (SoradProcess *process, guint64 job, const char *id)
{
  Outgoing *outgoing = g_new0 (Outgoing, 1);
  outgoing->job = job;
  outgoing->checkpoints = g_strdup (id);
  g_async_queue_push (process->outbox, outgoing);
}

void
sorad_process_send_cancel (SoradProcess *process, guint64 job)
{
  g_atomic_int_set (&process->stop_inputs, TRUE);
  sorad_process_send (process, SORA_MESSAGE_CANCEL, job, g_variant_new ("()"));
}

void
sorad_process_send_last (SoradProcess *process)
{
  Outgoing *outgoing = g_new0 (Outgoing, 1);
  outgoing->last = TRUE;
  g_async_queue_push (process->outbox, outgoing);
}
