/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A worker for tests: speaks the protocol on descriptor 3, and behaves or misbehaves as the
 * request's parameter "mode" says.  It runs no graph, so the daemon can be tested against faults
 * that no honest worker has.
 */
#include "config.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/sora-plugin.h"
#include "core/sora-request.h"
#include "dbus/sora-channel.h"

static SoraChannel *channel;
static GMutex lock;
static GCond changed;
static gint cancelled, preview_wanted;
static GByteArray *input;

static gpointer
heartbeat (gpointer unused)
{
  for (guint64 n = 0;
       sora_channel_send (channel, SORA_MESSAGE_HEARTBEAT, 0, g_variant_new ("(t)", n), NULL); n++)
    g_usleep (200 * 1000);
  return NULL;
}

static void
send_progress (guint64 job, double fraction, const char *stage, guint step, guint steps)
{
  sora_channel_send (channel, SORA_MESSAGE_PROGRESS, job,
                     g_variant_new ("(dusuud)", fraction, 0u, stage, step, steps, 3.0), NULL);
}

static void
send_error (guint64 job, const char *name, const char *text)
{
  sora_channel_send (channel, SORA_MESSAGE_ERROR, job,
                     g_variant_new ("(ss@a{sv})", name, text, g_variant_new ("a{sv}", NULL)), NULL);
}

static void
wait_for (gint *flag)
{
  g_mutex_lock (&lock);
  while (!g_atomic_int_get (flag))
    g_cond_wait (&changed, &lock);
  g_mutex_unlock (&lock);
}

static gboolean
send_artifact_of (guint64 job, const char *stage, const char *name, const void *data, gsize size)
{
  GVariantDict details;
  g_variant_dict_init (&details, NULL);
  g_variant_dict_insert (&details, "stage", "s", stage);
  g_variant_dict_insert (&details, "port", "s", "file");
  g_variant_dict_insert (&details, "media-type", "s", "text/plain");
  return sora_channel_send_blob (channel, job, "artifact", name, -1, data, size,
                                 g_variant_dict_end (&details), NULL, NULL);
}

static gboolean
send_artifact (guint64 job, const char *name, const void *data, gsize size)
{
  return send_artifact_of (job, "work", name, data, size);
}

static void
send_hello (guint version)
{
  sora_channel_send (channel, SORA_MESSAGE_HELLO, 0,
                     g_variant_new ("(us@a{sv})", version, "fake", g_variant_new ("a{sv}", NULL)),
                     NULL);
}

static void
send_result (guint64 job)
{
  GVariantDict result;
  GVariantBuilder stages;
  GVariantDict stage;
  g_variant_dict_init (&stage, NULL);
  g_variant_dict_insert (&stage, "stage", "s", "work");
  g_variant_dict_insert (&stage, "seconds", "d", 0.5);
  g_variant_builder_init (&stages, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_builder_add_value (&stages, g_variant_dict_end (&stage));
  g_variant_dict_init (&result, NULL);
  g_variant_dict_insert (&result, "seconds", "d", 0.5);
  g_variant_dict_insert_value (&result, "stages", g_variant_builder_end (&stages));
  sora_channel_send (channel, SORA_MESSAGE_RESULT, job,
                     g_variant_new ("(@a{sv})", g_variant_dict_end (&result)), NULL);
}

static void
send_preview (guint64 job, guint width, guint height, gsize size)
{
  GVariantDict details;
  g_autofree guint8 *pixels = g_malloc (size);
  memset (pixels, 0x7f, size);
  g_variant_dict_init (&details, NULL);
  g_variant_dict_insert (&details, "width", "u", width);
  g_variant_dict_insert (&details, "height", "u", height);
  sora_channel_send_blob (channel, job, "preview", "preview", -1, pixels, size,
                          g_variant_dict_end (&details), NULL, NULL);
}

/* Raw bytes, past the channel's own checks. */
static void
send_raw (const void *data, gsize size)
{
  const guint8 *bytes = data;
  while (size > 0)
    {
      ssize_t n = write (3, bytes, size);
      if (n <= 0)
        return;
      bytes += n;
      size -= (gsize)n;
    }
}

static GVariant *
bytes_variant (const void *data, gsize size)
{
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, size, 1);
}

static void
begin_artifact (guint64 job, guint id, const char *kind, const char *name, guint64 size)
{
  sora_channel_send (
      channel, SORA_MESSAGE_BLOB_BEGIN, job,
      g_variant_new ("(usst@a{sv})", id, kind, name, size, g_variant_new ("a{sv}", NULL)), NULL);
}

static void
misbehave (const char *mode, guint64 job)
{
  static const guint8 zeros[32];
  if (g_str_equal (mode, "bad-digest"))
    {
      begin_artifact (job, 900, "artifact", "clip.txt", 5);
      sora_channel_send (channel, SORA_MESSAGE_BLOB_CHUNK, job,
                         g_variant_new ("(u@ay)", 900, bytes_variant ("hello", 5)), NULL);
      sora_channel_send (channel, SORA_MESSAGE_BLOB_END, job,
                         g_variant_new ("(u@ay)", 900, bytes_variant (zeros, 32)), NULL);
    }
  else if (g_str_equal (mode, "bad-name"))
    begin_artifact (job, 900, "artifact", "../evil", 5);
  else if (g_str_equal (mode, "bad-kind"))
    begin_artifact (job, 900, "rootkit", "x", 5);
  else if (g_str_equal (mode, "too-large"))
    begin_artifact (job, 900, "artifact", "clip.txt", G_GUINT64_CONSTANT (1) << 60);
  else if (g_str_equal (mode, "chunk-overflow"))
    {
      begin_artifact (job, 900, "artifact", "clip.txt", 3);
      sora_channel_send (channel, SORA_MESSAGE_BLOB_CHUNK, job,
                         g_variant_new ("(u@ay)", 900, bytes_variant ("hello", 5)), NULL);
    }
  else if (g_str_equal (mode, "preview-lie"))
    send_preview (job, 4000, 4000, 12);
  else if (g_str_equal (mode, "long-detail"))
    {
      g_autofree char *stage = g_strnfill (200, 's');
      send_artifact_of (job, stage, "clip.txt", "x", 1);
    }
  else if (g_str_equal (mode, "odd-value"))
    sora_channel_send (channel, SORA_MESSAGE_RESULT, job,
                       g_variant_new_parsed ("({'stages': <[{'odd': <just 'x'>}]>},)"), NULL);
  else if (g_str_equal (mode, "two-hellos"))
    send_hello (SORA_PROTOCOL_VERSION);
  else if (g_str_equal (mode, "crash-sending"))
    { /* chunks still lie in the socket when it is gone */
      begin_artifact (job, 900, "artifact", "clip.bin", 2 << 20);
      for (guint i = 0; i < 512; i++)
        {
          static const guint8 chunk[4096];
          sora_channel_send (channel, SORA_MESSAGE_BLOB_CHUNK, job,
                             g_variant_new ("(u@ay)", 900, bytes_variant (chunk, 4096)), NULL);
        }
      signal (SIGSEGV, SIG_DFL);
      raise (SIGSEGV);
    }
  else if (g_str_equal (mode, "other-job"))
    send_result (job + 17);
  else if (g_str_equal (mode, "oversize"))
    {
      const guint8 header[16] = { 0xff, 0xff, 0xff, 0xff, 8, 0, 0, 0 };
      send_raw (header, sizeof header);
    }
  else if (g_str_equal (mode, "garbage"))
    {
      guint8 noise[4096];
      for (gsize i = 0; i < sizeof noise; i++)
        noise[i] = (guint8)(i * 31 + 7);
      send_raw (noise, sizeof noise);
    }
  else if (g_str_equal (mode, "half-frame"))
    {
      const guint8 header[16] = { 100, 0, 0, 0, 8, 0, 0, 0 };
      send_raw (header, sizeof header);
      _exit (0);
    }
  wait_for (&cancelled); /* the daemon is to end us before */
}

static void
end_as_told (const char *mode, guint64 job, const char *text)
{
  if (g_str_equal (mode, "done"))
    {
      send_progress (job, 0.5, "work", 1, 2);
      send_artifact (job, "clip.txt", text, strlen (text));
      send_result (job);
    }
  else if (g_str_equal (mode, "pid"))
    {
      g_autofree char *pid = g_strdup_printf ("%d", (int)getpid ());
      send_artifact (job, "pid.txt", pid, strlen (pid));
      send_result (job);
    }
  else if (g_str_equal (mode, "two-files"))
    {
      send_artifact (job, "a.txt", "A", 1);
      send_artifact (job, "b.txt", "", 0);
      send_result (job);
    }
  else if (g_str_equal (mode, "large"))
    { /* more than the window, so that it waits for acknowledgements */
      gsize size = 12 << 20;
      g_autofree char *bytes = g_malloc (size);
      memset (bytes, 'x', size);
      send_artifact (job, "large.bin", bytes, size);
      send_result (job);
    }
  else if (g_str_equal (mode, "input"))
    {
      send_artifact (job, "input.bin", input->data, input->len);
      send_result (job);
    }
  else if (g_str_equal (mode, "fail"))
    send_error (job, "org.sorad.Sora1.Error.NoMemory", "stage 'work': does not fit");
  else if (g_str_equal (mode, "warn"))
    {
      sora_channel_send (channel, SORA_MESSAGE_LOG, job,
                         g_variant_new ("(iss)", SORA_LOG_INFO, "work", "in 4 tiles"), NULL);
      sora_channel_send (channel, SORA_MESSAGE_LOG, job,
                         g_variant_new ("(iss)", SORA_LOG_WARNING, "work", "frames rounded up"),
                         NULL);
      send_result (job);
    }
  else if (g_str_equal (mode, "warn-long"))
    {
      g_autofree char *words = g_strnfill (9000, 'w');
      sora_channel_send (channel, SORA_MESSAGE_LOG, job, g_variant_new ("(iss)", 2, "work", words),
                         NULL);
      send_result (job);
    }
  else if (g_str_equal (mode, "flood"))
    {
      for (guint i = 0; i < 50000; i++)
        send_progress (job, 0.5, "work", i, 50000);
      send_result (job);
    }
  else if (g_str_equal (mode, "wait"))
    {
      wait_for (&cancelled);
      send_error (job, "org.sorad.Sora1.Error.Cancelled", "the job was cancelled");
    }
  else if (g_str_equal (mode, "preview"))
    {
      wait_for (&preview_wanted);
      send_preview (job, 4, 2, 24);
      wait_for (&cancelled);
      send_error (job, "org.sorad.Sora1.Error.Cancelled", "the job was cancelled");
    }
  else if (g_str_equal (mode, "ignore"))
    for (;;)
      pause ();
  else if (g_str_equal (mode, "crash"))
    {
      signal (SIGSEGV, SIG_DFL);
      raise (SIGSEGV);
    }
  else if (g_str_equal (mode, "bus-error"))
    {
      signal (SIGBUS, SIG_DFL);
      raise (SIGBUS);
    }
  else if (g_str_equal (mode, "kill"))
    raise (SIGKILL);
  else if (g_str_equal (mode, "exit"))
    _exit (3);
  else if (g_str_equal (mode, "stop"))
    raise (SIGSTOP);
  else if (g_str_equal (mode, "stall"))
    wait_for (&cancelled);
  else
    misbehave (mode, job);
}

static gpointer
run (gpointer data)
{
  SoraMessage *message = data;
  g_autoptr (GVariant) description = g_variant_get_child_value (message->payload, 0);
  g_autoptr (SoraRequest) request = sora_request_from_variant (description, NULL);
  GVariant *mode = request ? g_hash_table_lookup (request->params, "mode") : NULL;
  GVariant *text = request ? g_hash_table_lookup (request->params, "text") : NULL;
  if (!mode)
    send_error (message->job, "org.sorad.Sora1.Error.InvalidRequest",
                "parameter 'mode' is missing");
  else
    {
      send_progress (message->job, 0.25, "work", 0, 2);
      end_as_told (g_variant_get_string (mode, NULL), message->job,
                   text ? g_variant_get_string (text, NULL) : "");
    }
  sora_message_free (message);
  return NULL;
}

static void
check (SoraMessage *message)
{
  GVariantDict row, summary;
  GVariantBuilder rows;
  g_autoptr (GVariant) description = g_variant_get_child_value (message->payload, 0);
  g_autoptr (SoraRequest) request = sora_request_from_variant (description, NULL);
  GVariant *mode = request ? g_hash_table_lookup (request->params, "mode") : NULL;
  if (mode && g_str_equal (g_variant_get_string (mode, NULL), "ignore"))
    return;
  if (mode && g_str_equal (g_variant_get_string (mode, NULL), "slow"))
    g_usleep (3 * G_USEC_PER_SEC);
  g_variant_dict_init (&row, NULL);
  g_variant_dict_insert (&row, "stage", "s", "work");
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_builder_add_value (&rows, g_variant_dict_end (&row));
  g_variant_dict_init (&summary, NULL);
  g_variant_dict_insert (&summary, "peak-bytes", "t", (guint64)42);
  sora_channel_send (channel, SORA_MESSAGE_CHECKED, message->job,
                     g_variant_new ("(@aa{sv}@a{sv})", g_variant_builder_end (&rows),
                                    g_variant_dict_end (&summary)),
                     NULL);
}

static void
take_input (SoraMessage *message)
{
  static SoraBlob *blob;
  gconstpointer data;
  gsize size;
  if (message->type == SORA_MESSAGE_BLOB_BEGIN)
    {
      g_byte_array_set_size (input, 0);
      blob = sora_blob_begin (message, G_MAXINT64, NULL);
      return;
    }
  if (message->type == SORA_MESSAGE_BLOB_CHUNK
      && sora_blob_chunk (blob, message, &data, &size, NULL))
    g_byte_array_append (input, data, (guint)size);
  if (g_getenv ("SORA_FAKE_NO_ACK"))
    return;
  gboolean end = message->type == SORA_MESSAGE_BLOB_END;
  if (end && !sora_blob_end (blob, message, NULL))
    _exit (9);
  sora_channel_acknowledge (channel, blob, end, NULL);
  if (end)
    g_clear_pointer (&blob, sora_blob_free);
}

static void
dispatch (SoraMessage *message)
{
  g_autoptr (SoraMessage) owned = message;
  switch ((SoraMessageType)message->type)
    {
    case SORA_MESSAGE_RUN:
      g_atomic_int_set (&cancelled, FALSE);
      g_atomic_int_set (&preview_wanted, FALSE);
      g_thread_unref (g_thread_new ("run", run, g_steal_pointer (&owned)));
      return;
    case SORA_MESSAGE_CHECK:
      check (message);
      return;
    case SORA_MESSAGE_DESCRIBE:
      if (g_getenv ("SORA_FAKE_DESCRIBE_CRASH"))
        abort ();
      if (g_getenv ("SORA_FAKE_DESCRIBE_HANG"))
        return;
      send_error (message->job, "org.sorad.Sora1.Error.InvalidPlugin",
                  "the fake worker describes nothing");
      return;
    case SORA_MESSAGE_CANCEL:
    case SORA_MESSAGE_WANT_PREVIEW:
      g_mutex_lock (&lock);
      g_atomic_int_set (message->type == SORA_MESSAGE_CANCEL ? &cancelled : &preview_wanted, TRUE);
      g_cond_broadcast (&changed);
      g_mutex_unlock (&lock);
      return;
    default:
      if (message->type >= SORA_MESSAGE_BLOB_BEGIN)
        take_input (message);
    }
}

int
main (int argc, char **argv)
{
  const char *version = g_getenv ("SORA_FAKE_VERSION");
  input = g_byte_array_new ();
  channel = sora_channel_new (3, 3, SORA_SIDE_WORKER, NULL);
  send_hello (version ? (guint)atoi (version) : SORA_PROTOCOL_VERSION);
  g_thread_unref (g_thread_new ("heartbeat", heartbeat, NULL));
  for (;;)
    {
      SoraMessage *message = NULL;
      if (!sora_channel_receive (channel, &message, NULL) || !message)
        _exit (0); /* no clean end: its threads may be anywhere, on purpose */
      dispatch (message);
    }
}
