/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Channels: the greeting, blobs and their window, and what comes of a stream that is cut.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dbus/sora-channel.h"

#define assert_protocol_error(error, part)                                                         \
  do                                                                                               \
    {                                                                                              \
      ck_assert_ptr_nonnull (error);                                                               \
      ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_PROTOCOL), "%s",               \
                     (error)->message);                                                            \
      ck_assert_msg (strstr ((error)->message, part) != NULL, "'%s' lacks '%s'", (error)->message, \
                     part);                                                                        \
    }                                                                                              \
  while (0)

typedef struct
{
  SoraChannel *channel;
  GByteArray *bytes;
  char *name;
  GError *error;
  int fd; /* of the channel */
  guint64 taken, acknowledged;
  guint withheld; /* how often nothing came any more before the acknowledgement */
} Receiver;

/* A sender that minds the window has nothing more to say now; one that does not would. */
static gboolean
is_silent (int fd)
{
  struct pollfd poller = { fd, POLLIN, 0 };
  return poll (&poller, 1, 200) == 0;
}

/* Takes blobs until the stream ends, acknowledging as late as can be: when the window is full. */
static gpointer
receive_blobs (gpointer data)
{
  Receiver *receiver = data;
  g_autoptr (SoraBlob) blob = NULL;
  for (;;)
    {
      g_autoptr (SoraMessage) message = NULL;
      gconstpointer bytes;
      gsize size;
      if (!sora_channel_receive (receiver->channel, &message, &receiver->error) || !message)
        break;
      if (message->type == SORA_MESSAGE_BLOB_BEGIN)
        {
          g_clear_pointer (&blob, sora_blob_free);
          blob = sora_blob_begin (message, 64 << 20, &receiver->error);
          if (!blob)
            break;
        }
      else if (message->type == SORA_MESSAGE_BLOB_CHUNK)
        {
          if (!sora_blob_chunk (blob, message, &bytes, &size, &receiver->error))
            break;
          g_byte_array_append (receiver->bytes, bytes, (guint)size);
          receiver->taken += size;
          if (receiver->taken - receiver->acknowledged >= SORA_BLOB_WINDOW)
            {
              if (is_silent (receiver->fd))
                receiver->withheld++;
              receiver->acknowledged = receiver->taken;
              sora_channel_acknowledge (receiver->channel, blob, FALSE, NULL);
            }
        }
      else if (message->type == SORA_MESSAGE_BLOB_END)
        {
          if (!sora_blob_end (blob, message, &receiver->error))
            break;
          g_free (receiver->name);
          receiver->name = g_strdup (blob->name);
          sora_channel_acknowledge (receiver->channel, blob, TRUE, NULL);
        }
    }
  sora_channel_shutdown (receiver->channel);
  return NULL;
}

static int pair_fd; /* the daemon's end of the newest pair */

static void
make_pair (SoraChannel **daemon, SoraChannel **worker)
{
  int sockets[2];
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  pair_fd = sockets[0];
  *daemon = sora_channel_new (sockets[0], sockets[0], SORA_SIDE_DAEMON, NULL);
  *worker = sora_channel_new (sockets[1], sockets[1], SORA_SIDE_WORKER, NULL);
}

static void
say_hello (SoraChannel *channel, guint version)
{
  ck_assert (sora_channel_send (
      channel, SORA_MESSAGE_HELLO, 0,
      g_variant_new ("(us@a{sv})", version, "9.9", g_variant_new ("a{sv}", NULL)), NULL));
}

static gpointer
receive_acks (gpointer channel)
{
  SoraMessage *message = NULL;
  while (sora_channel_receive (channel, &message, NULL) && message)
    g_clear_pointer (&message, sora_message_free);
  return NULL;
}

START_TEST (blob_arrives_whole_within_the_window)
{
  SoraChannel *daemon, *worker;
  make_pair (&daemon, &worker);
  say_hello (daemon, SORA_PROTOCOL_VERSION);
  say_hello (worker, SORA_PROTOCOL_VERSION);
  Receiver receiver = { .channel = daemon, .bytes = g_byte_array_new (), .fd = pair_fd };
  GThread *receiving = g_thread_new ("receive", receive_blobs, &receiver);
  GThread *acks = g_thread_new ("acks", receive_acks, worker);
  gsize size = 21 * 1000 * 1000;
  g_autofree guint8 *data = g_malloc (size);
  for (gsize i = 0; i < size; i++)
    data[i] = (guint8)(i * 7 + (i >> 8));
  g_autoptr (GError) error = NULL;
  ck_assert_msg (sora_channel_send_blob (worker, 3, "artifact", "clip.mp4", -1, data, size, NULL,
                                         NULL, &error),
                 "%s", error ? error->message : "");
  ck_assert (
      sora_channel_send_blob (worker, 3, "artifact", "empty", -1, NULL, 0, NULL, NULL, NULL));
  sora_channel_shutdown (worker);
  g_thread_join (receiving);
  g_thread_join (acks);
  ck_assert_msg (receiver.error == NULL, "%s", receiver.error ? receiver.error->message : "");
  ck_assert_uint_eq (receiver.bytes->len, size);
  ck_assert_mem_eq (receiver.bytes->data, data, size);
  ck_assert_str_eq (receiver.name, "empty");
  ck_assert_uint_eq (receiver.withheld, size / SORA_BLOB_WINDOW);
  g_byte_array_unref (receiver.bytes);
  g_free (receiver.name);
  sora_channel_unref (daemon);
  sora_channel_unref (worker);
}
END_TEST

START_TEST (blob_can_be_stopped)
{
  SoraChannel *daemon, *worker;
  gint stop = TRUE;
  g_autoptr (GError) error = NULL;
  make_pair (&daemon, &worker);
  ck_assert (
      !sora_channel_send_blob (worker, 3, "artifact", "clip", -1, "abc", 3, NULL, &stop, &error));
  ck_assert (g_error_matches (error, SORA_ERROR, SORA_ERROR_CANCELLED));
  sora_channel_unref (daemon);
  sora_channel_unref (worker);
}
END_TEST

static SoraMessage *
make_message (SoraMessageType type, GVariant *payload)
{
  SoraMessage *message = g_new0 (SoraMessage, 1);
  message->type = type;
  message->job = 1;
  message->payload = g_variant_ref_sink (payload);
  return message;
}

static SoraBlob *
begin_of (guint64 size)
{
  g_autoptr (SoraMessage) message = make_message (
      SORA_MESSAGE_BLOB_BEGIN,
      g_variant_new ("(usst@a{sv})", 5u, "artifact", "clip", size, g_variant_new ("a{sv}", NULL)));
  return sora_blob_begin (message, 1000, NULL);
}

static SoraMessage *
chunk_of (guint id, const char *text)
{
  return make_message (
      SORA_MESSAGE_BLOB_CHUNK,
      g_variant_new ("(u@ay)", id,
                     g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, strlen (text), 1)));
}

START_TEST (digest_must_match)
{
  g_autoptr (SoraBlob) blob = begin_of (3);
  g_autoptr (SoraMessage) chunk = chunk_of (5, "abc");
  guint8 digest[32] = { 0 };
  g_autoptr (SoraMessage) end = make_message (
      SORA_MESSAGE_BLOB_END,
      g_variant_new ("(u@ay)", 5u, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, digest, 32, 1)));
  g_autoptr (GError) error = NULL;
  gconstpointer data;
  gsize size;
  ck_assert (sora_blob_chunk (blob, chunk, &data, &size, NULL));
  ck_assert (!sora_blob_end (blob, end, &error));
  assert_protocol_error (error, "digest");
  ck_assert_str_eq (blob->sha256,
                    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

START_TEST (blob_bounds_are_checked)
{
  g_autoptr (SoraBlob) blob = begin_of (3);
  g_autoptr (SoraMessage) too_long = chunk_of (5, "abcd");
  g_autoptr (SoraMessage) foreign = chunk_of (6, "a");
  g_autoptr (SoraMessage) empty = chunk_of (5, "");
  g_autoptr (SoraMessage) early = make_message (
      SORA_MESSAGE_BLOB_END,
      g_variant_new ("(u@ay)", 5u, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "", 0, 1)));
  gconstpointer data;
  gsize size;
  ck_assert_ptr_null (begin_of (1001));
  GError *error = NULL;
  ck_assert (!sora_blob_chunk (blob, too_long, &data, &size, &error));
  assert_protocol_error (error, "does not fit");
  g_clear_error (&error);
  ck_assert (!sora_blob_chunk (blob, foreign, &data, &size, &error));
  assert_protocol_error (error, "blob 6");
  g_clear_error (&error);
  ck_assert (!sora_blob_chunk (blob, empty, &data, &size, &error));
  assert_protocol_error (error, "does not fit");
  g_clear_error (&error);
  ck_assert (!sora_blob_end (blob, early, &error));
  assert_protocol_error (error, "0 of 3");
  g_clear_error (&error);
}
END_TEST

static void
refuse_greeting (void (*greet) (SoraChannel *), const char *part)
{
  SoraChannel *daemon, *worker;
  g_autoptr (GError) error = NULL;
  SoraMessage *message = NULL;
  make_pair (&daemon, &worker);
  greet (worker);
  ck_assert (!sora_channel_receive (daemon, &message, &error));
  assert_protocol_error (error, part);
  sora_channel_unref (daemon);
  sora_channel_unref (worker);
}

static void
greet_with_other_version (SoraChannel *channel)
{
  say_hello (channel, SORA_PROTOCOL_VERSION + 1);
}

static void
greet_with_heartbeat (SoraChannel *channel)
{
  sora_channel_send (channel, SORA_MESSAGE_HEARTBEAT, 0, g_variant_new ("(t)", (guint64)1), NULL);
}

START_TEST (greeting_is_checked)
{
  refuse_greeting (greet_with_other_version, "speaks version 2, this side version 1");
  refuse_greeting (greet_with_heartbeat, "began with a HEARTBEAT");
}
END_TEST

static gpointer
send_abc (gpointer channel)
{
  say_hello (channel, SORA_PROTOCOL_VERSION);
  sora_channel_send_blob (channel, 3, "artifact", "clip", -1, "abc", 3, NULL, NULL, NULL);
  return NULL;
}

START_TEST (acknowledging_the_unsent_is_refused)
{
  SoraChannel *daemon, *worker;
  SoraMessage *message = NULL;
  g_autoptr (GError) error = NULL;
  make_pair (&daemon, &worker);
  say_hello (daemon, SORA_PROTOCOL_VERSION);
  GThread *sending = g_thread_new ("send", send_abc, worker);
  do /* once its BLOB_BEGIN is here, the blob is known over there */
    {
      g_clear_pointer (&message, sora_message_free);
      ck_assert (sora_channel_receive (daemon, &message, NULL));
    }
  while (message->type != SORA_MESSAGE_BLOB_BEGIN);
  sora_message_free (message);
  ck_assert (sora_channel_send (daemon, SORA_MESSAGE_BLOB_ACK, 3,
                                g_variant_new ("(utb)", 1u, (guint64)4, TRUE), NULL));
  ck_assert (sora_channel_receive (worker, &message, NULL));
  ck_assert_uint_eq (message->type, SORA_MESSAGE_HELLO);
  sora_message_free (message);
  ck_assert (!sora_channel_receive (worker, &message, &error));
  assert_protocol_error (error, "never sent");
  sora_channel_shutdown (worker);
  g_thread_join (sending);
  sora_channel_unref (daemon);
  sora_channel_unref (worker);
}
END_TEST

START_TEST (cut_stream_is_told)
{
  int sockets[2];
  g_autoptr (GError) error = NULL;
  SoraMessage *message = NULL;
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  SoraChannel *channel = sora_channel_new (sockets[0], sockets[0], SORA_SIDE_DAEMON, NULL);
  g_autoptr (GBytes) frame
      = sora_message_encode (SORA_MESSAGE_HEARTBEAT, 0, g_variant_new ("(t)", (guint64)1), NULL);
  ck_assert_int_eq (write (sockets[1], g_bytes_get_data (frame, NULL), 20), 20);
  close (sockets[1]);
  ck_assert (!sora_channel_receive (channel, &message, &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_WORKER_DIED), "%s", error->message);
  sora_channel_unref (channel);
}
END_TEST

START_TEST (dead_peer_is_no_fault_of_the_protocol)
{
  SoraChannel *daemon, *worker;
  g_autoptr (GError) error = NULL;
  make_pair (&daemon, &worker);
  sora_channel_unref (worker);
  ck_assert (!sora_channel_send (daemon, SORA_MESSAGE_CANCEL, 1, g_variant_new ("()"), &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_WORKER_DIED), "%s", error->message);
  sora_channel_unref (daemon);
}
END_TEST

START_TEST (want_of_descriptors_is_an_error)
{
  int sockets[2];
  g_autoptr (GError) error = NULL;
  struct rlimit limit;
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  ck_assert_int_eq (getrlimit (RLIMIT_NOFILE, &limit), 0);
  rlim_t before = limit.rlim_cur;
  limit.rlim_cur = (rlim_t)sockets[1] + 1;
  ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &limit), 0);
  SoraChannel *channel = sora_channel_new (sockets[0], sockets[0], SORA_SIDE_DAEMON, &error);
  limit.rlim_cur = before;
  ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &limit), 0);
  ck_assert_ptr_null (channel);
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_BUSY), "%s", error->message);
  ck_assert_int_eq (fcntl (sockets[0], F_GETFD), -1); /* it was given away */
  close (sockets[1]);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("channel");
  TCase *channel = tcase_create ("channel");
  tcase_set_timeout (channel, 60);
  tcase_add_test (channel, blob_arrives_whole_within_the_window);
  tcase_add_test (channel, blob_can_be_stopped);
  tcase_add_test (channel, digest_must_match);
  tcase_add_test (channel, blob_bounds_are_checked);
  tcase_add_test (channel, greeting_is_checked);
  tcase_add_test (channel, acknowledging_the_unsent_is_refused);
  tcase_add_test (channel, cut_stream_is_told);
  tcase_add_test (channel, dead_peer_is_no_fault_of_the_protocol);
  tcase_add_test (channel, want_of_descriptors_is_an_error);
  suite_add_tcase (suite, channel);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
