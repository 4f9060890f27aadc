/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The real sora-worker at the end of a bare stream, without sorad.
 */
#include "config.h"

#include <check.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dbus/sora-channel.h"

typedef struct
{
  GSubprocess *process;
  SoraChannel *channel;
} Bare;

static void
start_bare_in (Bare *bare, const char *tmp_dir)
{
  int sockets[2];
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  g_subprocess_launcher_take_fd (launcher, sockets[1], 3);
  g_autofree char *option = tmp_dir ? g_strconcat ("--tmp-dir=", tmp_dir, NULL) : NULL;
  bare->process = g_subprocess_launcher_spawn (launcher, &error, ABS_BUILDDIR "/dbus/sora-worker",
                                               option, NULL);
  ck_assert_msg (bare->process != NULL, "%s", error ? error->message : "");
  g_subprocess_launcher_close (launcher);
  bare->channel = sora_channel_new (sockets[0], sockets[0], SORA_SIDE_DAEMON, NULL);
  ck_assert (sora_channel_send (
      bare->channel, SORA_MESSAGE_HELLO, 0,
      g_variant_new ("(us@a{sv})", SORA_PROTOCOL_VERSION, "test", g_variant_new ("a{sv}", NULL)),
      NULL));
}

static void
start_bare (Bare *bare)
{
  start_bare_in (bare, NULL);
}

static SoraMessage *
next_of (Bare *bare, SoraMessageType type)
{
  for (;;)
    {
      SoraMessage *message = NULL;
      g_autoptr (GError) error = NULL;
      ck_assert_msg (sora_channel_receive (bare->channel, &message, &error), "%s",
                     error ? error->message : "");
      ck_assert_msg (message != NULL, "the worker ended");
      if (message->type == type)
        return message;
      sora_message_free (message);
    }
}

static void
end_bare (Bare *bare)
{
  sora_channel_shutdown (bare->channel);
  ck_assert (g_subprocess_wait (bare->process, NULL, NULL));
  ck_assert (g_subprocess_get_if_exited (bare->process));
  ck_assert_int_eq (g_subprocess_get_exit_status (bare->process), 0);
  sora_channel_unref (bare->channel);
  g_object_unref (bare->process);
}

/* An input that was begun and given up is forgotten, with the job that it was for. */
START_TEST (input_that_is_given_up_is_forgotten)
{
  Bare bare;
  start_bare (&bare);
  ck_assert (sora_channel_send (bare.channel, SORA_MESSAGE_BLOB_BEGIN, 1,
                                g_variant_new ("(usst@a{sv})", 1u, "input", "file", (guint64)1000,
                                               g_variant_new ("a{sv}", NULL)),
                                NULL));
  ck_assert (sora_channel_send (bare.channel, SORA_MESSAGE_DESCRIBE, 2,
                                g_variant_new ("(ss)", "pipeline", "there-is-none"), NULL));
  g_autoptr (SoraMessage) answer = next_of (&bare, SORA_MESSAGE_ERROR);
  ck_assert_uint_eq (answer->job, 2);
  end_bare (&bare);
}
END_TEST

/* The other thread receives; what is asked comes behind the whole of it. */
static gpointer
send_checkpoint (gpointer data)
{
  Bare *bare = data;
  static const char bytes[1000];
  g_autoptr (GError) error = NULL;
  ck_assert_msg (sora_channel_send_blob (bare->channel, 1, "checkpoint", "0-sample.checkpoint", -1,
                                         bytes, sizeof bytes, NULL, NULL, &error),
                 "%s", error ? error->message : "");
  ck_assert (sora_channel_send (bare->channel, SORA_MESSAGE_DESCRIBE, 2,
                                g_variant_new ("(ss)", "pipeline", "there-is-none"), NULL));
  return NULL;
}

/* A checkpoint that cannot be put down is told, and the worker goes on: for want of room it would
 * else end with each attempt of the job. */
START_TEST (checkpoint_without_room_is_dropped)
{
  Bare bare;
  g_autofree char *dir = g_dir_make_tmp ("sora-alone-XXXXXX", NULL);
  g_autofree char *state = g_build_filename (dir, "state-1", NULL);
  ck_assert (g_file_set_contents (state, "no folder", -1, NULL));
  start_bare_in (&bare, dir);
  g_autoptr (SoraMessage) hello = next_of (&bare, SORA_MESSAGE_HELLO);
  GThread *sender = g_thread_new ("sender", send_checkpoint, &bare);
  g_autoptr (SoraMessage) told = next_of (&bare, SORA_MESSAGE_LOG);
  g_autofree char *text = g_variant_print (told->payload, FALSE);
  ck_assert_uint_eq (told->job, 1);
  ck_assert_msg (strstr (text, "Not a directory") != NULL, "%s", text);
  g_autoptr (SoraMessage) answer = next_of (&bare, SORA_MESSAGE_ERROR);
  ck_assert_uint_eq (answer->job, 2);
  g_thread_join (sender);
  end_bare (&bare);
  g_unlink (state);
  g_rmdir (dir);
}
END_TEST

START_TEST (worker_leaves_at_once)
{
  Bare bare;
  start_bare (&bare);
  g_autoptr (SoraMessage) heartbeat = next_of (&bare, SORA_MESSAGE_HEARTBEAT);
  gint64 begun = g_get_monotonic_time ();
  end_bare (&bare);
  gint64 took = g_get_monotonic_time () - begun;
#ifndef SORA_SANITIZERS /* they look for leaks at the end */
  ck_assert_msg (took < 700 * 1000, "%" G_GINT64_FORMAT " us", took);
#endif
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("worker-alone");
  TCase *alone = tcase_create ("alone");
  tcase_set_timeout (alone, 60);
  tcase_add_test (alone, input_that_is_given_up_is_forgotten);
  tcase_add_test (alone, checkpoint_without_room_is_dropped);
  tcase_add_test (alone, worker_leaves_at_once);
  suite_add_tcase (suite, alone);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
