/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The thread that reads what a worker sends, and writes the files of results.
 *
 * What comes is not trusted: sizes are bounded by what the job may store, names are plain, values
 * fit on the bus, and a fault ends the process, never the daemon.
 */
#include "config.h"
#include "sorad-process-private.h"

#include <limits.h>

#include "core/sora-plugin.h"
#include "sorad-memfd.h"
#include "sorad-store-checkpoint.h"
#include "sorad-value.h"

#define MAX_REFUSAL 1024 /* bytes of why a worker does not work */

/* On the thread's stack: nobody else can touch it. */
typedef struct
{
  SoradProcess *process;
  gboolean greeted;
  SoraBlob *blob; /* that comes in */
  gboolean blob_is_preview, blob_is_checkpoint;
  SoradMemfd *memfd;
  SoradCheckpoint *checkpoint; /* NULL while one comes in: it cannot be kept */
} Reader;

static gboolean G_GNUC_PRINTF (2, 3) refuse (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  if (error)
    *error = g_error_new_valist (SORA_ERROR, SORA_ERROR_PROTOCOL, format, args);
  va_end (args);
  return FALSE;
}

/* -- Checkpoints */

/* One that cannot be kept costs no job its life: the one before stays, and the job's owner is told. */
static void
drop_checkpoint (Reader *reader, const SoraBlob *blob, const GError *error)
{
  SoradEvent *event = sorad_event_new (reader->process, SORAD_EVENT_MESSAGE);
  g_autofree char *text = g_strdup_printf ("a checkpoint was not kept: %s", error->message);
  g_clear_pointer (&reader->checkpoint, sorad_checkpoint_free);
  event->message = g_new0 (SoraMessage, 1);
  event->message->type = SORA_MESSAGE_LOG;
  event->message->job = blob->job;
  event->message->payload
      = g_variant_ref_sink (g_variant_new ("(iss)", SORA_LOG_WARNING, "", text));
  sorad_event_post (event);
}

static gboolean
begin_checkpoint (Reader *reader, const SoradResult *result, const SoraBlob *blob, GError **error)
{
  g_autoptr (GError) local = NULL;
  if (!sorad_is_plain_name (blob->name, NAME_MAX))
    return refuse (error, "checkpoint: '%s' is not a plain file name", blob->name);
  if (blob->size > sorad_result_left (result))
    g_set_error (&local, SORA_ERROR, SORA_ERROR_NO_SPACE,
                 "it has %" G_GUINT64_FORMAT " bytes, and %" G_GUINT64_FORMAT
                 " are left of what you may store",
                 blob->size, sorad_result_left (result));
  else
    reader->checkpoint = sorad_checkpoint_begin (reader->process->store, sorad_result_id (result),
                                                 blob->name, &local);
  if (!reader->checkpoint)
    drop_checkpoint (reader, blob, local);
  return TRUE;
}

static void
write_checkpoint (Reader *reader, gconstpointer bytes, gsize size)
{
  g_autoptr (GError) error = NULL;
  if (reader->checkpoint && !sorad_checkpoint_write (reader->checkpoint, bytes, size, &error))
    drop_checkpoint (reader, reader->blob, error);
}

static void
end_checkpoint (Reader *reader, const SoraBlob *blob)
{
  g_autoptr (GError) error = NULL;
  if (reader->checkpoint && !sorad_checkpoint_end (reader->checkpoint, &error))
    drop_checkpoint (reader, blob, error);
  g_clear_pointer (&reader->checkpoint, sorad_checkpoint_free);
}

/* -- Blobs */

static gboolean
begin_blob (Reader *reader, SoradResult *result, SoraMessage *message, GError **error)
{
  g_clear_pointer (&reader->blob, sora_blob_free); /* an unfinished one was given up */
  g_clear_pointer (&reader->memfd, sorad_memfd_free);
  g_clear_pointer (&reader->checkpoint, sorad_checkpoint_free);
  g_autoptr (SoraBlob) blob = sora_blob_begin (message, G_MAXINT64, error);
  if (!blob)
    return FALSE;
  reader->blob_is_preview = g_str_equal (blob->kind, "preview");
  reader->blob_is_checkpoint = g_str_equal (blob->kind, "checkpoint");
  if (reader->blob_is_preview)
    {
      guint width = 0, height = 0;
      g_variant_lookup (blob->details, "width", "u", &width);
      g_variant_lookup (blob->details, "height", "u", &height);
      reader->memfd = sorad_memfd_new (width, height, blob->size, error);
      if (!reader->memfd)
        return FALSE;
    }
  else if (reader->blob_is_checkpoint)
    {
      if (!begin_checkpoint (reader, result, blob, error))
        return FALSE;
    }
  else if (!g_str_equal (blob->kind, "artifact"))
    return refuse (error, "protocol: a blob of kind '%s' cannot come from a worker", blob->kind);
  else if (!sorad_result_begin_file (result, blob->name, blob->size, error))
    return FALSE;
  reader->blob = g_steal_pointer (&blob);
  return TRUE;
}

static gboolean
end_blob (Reader *reader, SoradResult *result, SoraMessage *message, GError **error)
{
  g_autoptr (SoraBlob) blob = g_steal_pointer (&reader->blob);
  if (!sora_blob_end (blob, message, error))
    return FALSE;
  if (reader->blob_is_preview)
    {
      SoradEvent *event = sorad_event_new (reader->process, SORAD_EVENT_PREVIEW);
      event->job = blob->job;
      event->memfd = sorad_memfd_seal (reader->memfd, &event->width, &event->height, error);
      g_clear_pointer (&reader->memfd, sorad_memfd_free);
      if (event->memfd < 0)
        {
          sorad_event_free (event);
          return FALSE;
        }
      sorad_event_post (event);
    }
  else if (reader->blob_is_checkpoint)
    end_checkpoint (reader, blob);
  else if (!sorad_result_end_file (result, blob->sha256, blob->details, error))
    return FALSE;
  return sora_channel_acknowledge (reader->process->channel, blob, TRUE, error);
}

static gboolean
take_blob (Reader *reader, SoradResult *result, SoraMessage *message, GError **error)
{
  if (message->type == SORA_MESSAGE_BLOB_BEGIN)
    return begin_blob (reader, result, message, error);
  if (!reader->blob)
    return refuse (error, "protocol: a %s came outside a blob",
                   sora_message_type_name (message->type));
  if (message->type == SORA_MESSAGE_BLOB_END)
    return end_blob (reader, result, message, error);
  gconstpointer bytes;
  gsize size;
  if (!sora_blob_chunk (reader->blob, message, &bytes, &size, error))
    return FALSE;
  if (reader->blob_is_checkpoint)
    write_checkpoint (reader, bytes, size);
  return (reader->blob_is_checkpoint
          || (reader->blob_is_preview ? sorad_memfd_write (reader->memfd, bytes, size, error)
                                      : sorad_result_write (result, bytes, size, error)))
         && sora_channel_acknowledge (reader->process->channel, reader->blob, FALSE, error);
}

/* -- Results */

static gboolean
take_result (Reader *reader, SoradResult *result, SoraMessage *message, GError **error)
{
  SoradEvent *event = sorad_event_new (reader->process, SORAD_EVENT_RESULT);
  g_autoptr (GVariant) details = g_variant_get_child_value (message->payload, 0);
  event->details = sorad_result_details (details);
  if (!sorad_result_publish (result, &event->files, &event->bytes, error))
    {
      sorad_event_free (event);
      return FALSE;
    }
  event->job = message->job;
  event->bytes += g_variant_get_size (event->details);
  sorad_event_post (event);
  return TRUE;
}

static SoradResult *
steal_result (SoradProcess *process, guint64 job)
{
  g_mutex_lock (&process->lock);
  SoradResult *result = job == process->job ? g_steal_pointer (&process->result) : NULL;
  g_mutex_unlock (&process->lock);
  return result;
}

/* Unless the job was ended meanwhile. */
static void
put_back (SoradProcess *process, guint64 job, SoradResult *result)
{
  g_mutex_lock (&process->lock);
  gboolean wanted = job == process->job && !process->result;
  if (wanted)
    process->result = result;
  g_mutex_unlock (&process->lock);
  if (!wanted)
    sorad_result_free (result);
}

/* What belongs to a job's result: done here, off the main loop, on files. */
static gboolean
take_for_result (Reader *reader, SoraMessage *message, GError **error)
{
  SoradProcess *process = reader->process;
  SoradResult *result = steal_result (process, message->job);
  if (!result)
    return refuse (error, "protocol: a %s came for job %" G_GUINT64_FORMAT ", which does not run",
                   sora_message_type_name (message->type), message->job);
  g_atomic_int_set (&process->reader_busy, TRUE);
  gboolean is_result = message->type == SORA_MESSAGE_RESULT;
  gboolean ok = is_result ? take_result (reader, result, message, error)
                          : take_blob (reader, result, message, error);
  sora_channel_touch (process->channel); /* the time on the disk was ours, not its silence */
  g_atomic_int_set (&process->reader_busy, FALSE);
  if (!ok || is_result)
    sorad_result_free (result);
  else
    put_back (process, message->job, result);
  return ok;
}

void
sorad_process_forget_result (SoradProcess *process, guint64 job)
{
  g_mutex_lock (&process->lock);
  if (job == process->job)
    {
      g_clear_pointer (&process->result, sorad_result_free);
      process->job = 0;
    }
  g_mutex_unlock (&process->lock);
}

void
sorad_process_expect_result (SoradProcess *process, guint64 job, const char *id, guint64 max_bytes)
{
  g_atomic_int_set (&process->stop_inputs, FALSE);
  process->kills_before = sorad_cgroup_kills_anywhere ();
  g_mutex_lock (&process->lock);
  g_clear_pointer (&process->result, sorad_result_free);
  process->job = job;
  process->result = sorad_result_new (process->store, id, max_bytes);
  g_mutex_unlock (&process->lock);
}

/* -- Messages */

/* Into an answer on the bus goes what D-Bus can carry: the bus cuts off a sender of anything else.
 */
static gboolean
check_values (SoraMessage *message, GError **error)
{
  if ((message->type == SORA_MESSAGE_CHECKED || message->type == SORA_MESSAGE_DESCRIPTION
       || message->type == SORA_MESSAGE_RESULT)
      && !sorad_is_bus_value (message->payload))
    return refuse (error, "protocol: a %s holds a value of a type that D-Bus cannot carry",
                   sora_message_type_name (message->type));
  return TRUE;
}

/* A worker that cannot be confined as the settings ask says why, and runs nothing. */
static gboolean
check_hello (SoraMessage *message, GError **error)
{
  g_autoptr (GVariant) capabilities = g_variant_get_child_value (message->payload, 2);
  const char *why;
  if (!g_variant_lookup (capabilities, "refused", "&s", &why))
    return TRUE;
  g_autofree char *text = g_strndup (why, MAX_REFUSAL);
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  g_set_error (error, SORA_ERROR, SORA_ERROR_DENIED, "no worker process: %s",
               g_strdelimit (valid, "\n\r", ' '));
  return FALSE;
}

static gboolean
take_message (Reader *reader, SoraMessage *message, GError **error)
{
  g_autoptr (SoraMessage) owned = message;
  if (!check_values (message, error))
    return FALSE;
  switch ((SoraMessageType)message->type)
    {
    case SORA_MESSAGE_HELLO:
      if (reader->greeted) /* what it says of itself counts as long as no plugin is in it */
        return refuse (error, "protocol: a second HELLO came");
      reader->greeted = TRUE;
      if (!check_hello (message, error))
        return FALSE;
      break;
    case SORA_MESSAGE_HEARTBEAT:
      return TRUE;
    case SORA_MESSAGE_BLOB_BEGIN:
    case SORA_MESSAGE_BLOB_CHUNK:
    case SORA_MESSAGE_BLOB_END:
    case SORA_MESSAGE_RESULT:
      return take_for_result (reader, message, error);
    case SORA_MESSAGE_ERROR:
      sorad_process_forget_result (reader->process, message->job);
      break;
    default:
      break;
    }
  SoradEvent *event = sorad_event_new (reader->process, SORAD_EVENT_MESSAGE);
  event->message = g_steal_pointer (&owned);
  sorad_event_post (event);
  return TRUE;
}

gpointer
sorad_process_reader (gpointer data)
{
  SoradProcess *process = data;
  Reader reader = { .process = process };
  SoradEvent *event = sorad_event_new (process, SORAD_EVENT_END);
  for (;;)
    {
      SoraMessage *message = NULL;
      if (!sora_channel_receive (process->channel, &message, &event->error) || !message)
        break;
      if (!take_message (&reader, message, &event->error))
        break;
    }
  sora_channel_shutdown (process->channel);
  sora_blob_free (reader.blob);
  sorad_memfd_free (reader.memfd);
  sorad_checkpoint_free (reader.checkpoint);
  g_mutex_lock (&process->lock);
  g_clear_pointer (&process->result, sorad_result_free);
  g_mutex_unlock (&process->lock);
  sorad_event_post (event);
  sorad_process_unref (process);
  return NULL;
}
