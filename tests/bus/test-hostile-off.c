/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The plugins of test-hostile with nothing to keep them in, so that it is seen that each of them does
 * what it says, and which wall it is that stops it: first in a process of their own without a sandbox
 * (ThirdPartySandbox=basic), then in the worker beside sorad's stages (=none).  What they do is done
 * to this test's own folder, port and process alone.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile-fixture.h"

#ifdef SORA_SANITIZERS /* their start takes longer */
#define ANSWER "3"
#define STALL_SECONDS "6"
#else
#define ANSWER "1"
#define STALL_SECONDS "3"
#endif
#define FLOOD (1u << 20)
#define MOST_WORDS (64u << 10) /* of all that is printed beside it: the bound is 16 KiB a process */

/* What becomes of its job in the worker itself. */
typedef enum
{
  REACHED, /* it did what it wanted: the job is done, as if nothing were */
  SPOILED, /* likewise, with other bytes */
  WORKER,  /* the worker is gone, with whatever ran in it */
  STALL,   /* the worker was ended, since the job did nothing for StallSeconds */
  STREAM,  /* it wrote to the daemon itself: the worker was ended */
  HOST,    /* found all the same, by what every plugin's host looks at */
} Off;

static const struct
{
  const char *plugin;
  gboolean wall; /* it takes a sandbox to stop it; else a process of its own is enough */
  Off off;
} hostile[] = {
  { "segfault", FALSE, WORKER },
  { "abort", FALSE, WORKER },
  { "exit", FALSE, WORKER },
  { "loop", FALSE, STALL },
  { "sleep", FALSE, STALL },
#ifndef SORA_SANITIZERS        /* no limit of memory there: their shadow counts */
  { "leak", FALSE, HOST },     /* by RLIMIT_DATA, which every level has */
#endif
  { "fork-bomb", TRUE, REACHED },
  { "fd-bomb", FALSE, REACHED }, /* a process of its own has 256 descriptors */
  { "wrong-shape", FALSE, STREAM },
  { "wrong-dtype", FALSE, STREAM },
  { "wrong-size", FALSE, STREAM },
  { "huge-shape", FALSE, STREAM },
  { "unsealed", FALSE, STREAM },
  { "nan", FALSE, SPOILED },
  { "inf", FALSE, SPOILED },
  { "garbage", FALSE, STREAM },
  { "huge-reply", FALSE, STREAM },
  { "stderr-flood", FALSE, STALL },
  { "kill-siblings", TRUE, REACHED },
  { "network", TRUE, REACHED },
  { "shadow", TRUE, REACHED },
  { "write-outside", TRUE, REACHED },
  { "exec", TRUE, REACHED },
  { "rounding", FALSE, HOST },
  { "infer-hang", FALSE, STALL },
  { "constructor", FALSE, STALL },
  { "other-abi", FALSE, HOST },
};

static HostileFixture *fixture;
static GDBusConnection *bus;
static pid_t victim;
static int listener = -1;
static gsize printed; /* atomic: bytes on what the service has as standard error */
static GThread *counter;
static int words = -1; /* the real standard error */

/* What is printed is counted, and the beginning of it shown. */
static gpointer
count_words (gpointer data)
{
  int fd = GPOINTER_TO_INT (data);
  char text[65536];
  ssize_t n;
  while ((n = read (fd, text, sizeof text)) > 0)
    if (g_atomic_pointer_add (&printed, n) < (gssize)MOST_WORDS)
      (void)!write (words, text, MIN ((gsize)n, 200u));
  close (fd);
  return NULL;
}

static void
listen_to_words (void)
{
  int ends[2];
  words = dup (STDERR_FILENO);
  ck_assert_int_eq (pipe (ends), 0);
  ck_assert_int_eq (dup2 (ends[1], STDERR_FILENO), STDERR_FILENO);
  close (ends[1]);
  counter = g_thread_new ("words", count_words, GINT_TO_POINTER (ends[0]));
}

static void
stop_listening (void)
{
  dup2 (words, STDERR_FILENO);
  g_thread_unref (counter); /* it ends with the last process that holds the pipe */
}

static void
make_victim (void)
{
  victim = fork ();
  ck_assert_int_ge (victim, 0);
  if (victim == 0)
    for (;;)
      pause ();
}

static void
start (const char *third_party)
{
  struct sockaddr_in address = { .sin_family = AF_INET };
  socklen_t length = sizeof address;
  const char *names[G_N_ELEMENTS (hostile) + 1] = { NULL };
  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  ck_assert_int_eq (bind (listener, (struct sockaddr *)&address, sizeof address), 0);
  ck_assert_int_eq (listen (listener, 4), 0);
  ck_assert_int_eq (getsockname (listener, (struct sockaddr *)&address, &length), 0);
  make_victim ();
  listen_to_words ();
  g_autofree char *port = g_strdup_printf ("SORA_BAD_PORT=%u", ntohs (address.sin_port));
  g_autofree char *pid = g_strdup_printf ("SORA_BAD_PID=%d", (int)victim);
  g_autofree char *settings = g_strdup_printf (
      "[Worker]\nSandbox=basic\nThirdPartySandbox=%s\nThirdPartyAnswerSeconds=" ANSWER
      "\nThirdPartyStallSeconds=1\nStallSeconds=" STALL_SECONDS "\nAttempts=1\nMemoryMax=805306368\n",
      third_party);
  for (gsize i = 0; i < G_N_ELEMENTS (hostile); i++)
    names[i] = hostile[i].plugin;
  fixture = hostile_fixture_new (names, settings, NULL, (const char *const[]){ port, pid, NULL });
  bus = fixture->bus->connection;
}

static void
finish (void)
{
  if (victim > 0)
    {
      kill (victim, SIGKILL);
      waitpid (victim, NULL, 0);
    }
  stop_listening ();
  close (listener);
  hostile_fixture_free (fixture);
}

static gboolean
is_there (const char *name)
{
  g_autofree char *path = g_build_filename (fixture->outside, name, NULL);
  return g_file_test (path, G_FILE_TEST_EXISTS) && g_unlink (path) == 0;
}

/* The harm itself, beside what its job says of it. */
static gboolean
is_harmed (const char *plugin)
{
  if (g_str_equal (plugin, "write-outside"))
    return is_there ("was-here");
  if (g_str_equal (plugin, "exec"))
    return is_there ("ran");
  if (g_str_equal (plugin, "kill-siblings"))
    {
      int status;
      gboolean dead = waitpid (victim, &status, WNOHANG) == victim && WIFSIGNALED (status)
                      && WTERMSIG (status) == SIGKILL;
      victim = dead ? 0 : victim;
      return dead;
    }
  if (g_str_equal (plugin, "network"))
    {
      int peer = accept (listener, NULL, NULL);
      return peer >= 0 && close (peer) == 0;
    }
  return TRUE; /* that the job is done is all there is to be seen */
}

/* Whose rights alone do not stop it here. */
static gboolean
can_be_reached (const char *plugin)
{
  struct rlimit files;
  if (g_str_equal (plugin, "shadow"))
    return access ("/etc/shadow", R_OK) == 0;
  if (g_str_equal (plugin, "fd-bomb"))
    return getrlimit (RLIMIT_NOFILE, &files) == 0 && files.rlim_cur >= 2048;
  return TRUE;
}

static gboolean
has_no_numbers (const char *bytes, gsize size)
{
  gboolean found = FALSE;
  for (gsize i = 0; i < size / sizeof (float); i++)
    {
      float value;
      memcpy (&value, bytes + i * sizeof value, sizeof value);
      found = found || !isfinite (value);
    }
  return found;
}

static void
assert_neighbour (const char *expected, gsize expected_size)
{
  gsize size;
  g_autofree char *job = hostile_submit (fixture, "neighbour", NULL);
  g_autofree char *bytes = hostile_bytes (fixture, job, &size);
  ck_assert_uint_eq (size, expected_size);
  ck_assert_int_eq (memcmp (bytes, expected, size), 0);
  hostile_assert_same_daemon (fixture);
}

START_TEST (a_process_of_its_own_is_no_sandbox)
{
  start ("basic");
  gsize size;
  guint walls = 0;
  g_autofree char *first = hostile_submit (fixture, "neighbour", NULL);
  g_autofree char *expected = hostile_bytes (fixture, first, &size);
  for (gsize i = 0; i < G_N_ELEMENTS (hostile); i++)
    {
      const char *plugin = hostile[i].plugin;
      g_autofree char *job = hostile_submit (fixture, "hostile", plugin);
      g_autofree char *state = bus_wait (bus, job);
      g_autofree char *text = bus_get_string (bus, job, "Error");
      printf ("basic %-14s %s: %s\n", plugin, state, text);
      fflush (stdout);
      gboolean reached = hostile[i].wall && can_be_reached (plugin);
      walls += hostile[i].wall;
      ck_assert_msg (g_str_equal (state, reached ? "done" : "failed"), "%s: %s: %s", plugin, state,
                     text);
      ck_assert_msg (reached || g_str_has_prefix (text, "stage 'bad': "), "%s: %s", plugin, text);
      ck_assert_msg (!reached || is_harmed (plugin), "%s: its job is done, and nothing was", plugin);
      g_autofree char *level = reached ? hostile_stage_level (fixture, job, "bad") : NULL;
      ck_assert (!reached || g_strcmp0 (level, "basic") == 0);
      assert_neighbour (expected, size);
    }
  ck_assert_uint_eq (walls, 6);
  ck_assert_msg (printed < FLOOD, "%" G_GSIZE_FORMAT " bytes were printed", printed);
  finish ();
}
END_TEST

static void
check_off (gsize i, const char *state, const char *text, const char *job)
{
  const char *plugin = hostile[i].plugin;
  static const char *const parts[] = {
    [WORKER] = "the worker process ",
    [STALL] = "no progress for " STALL_SECONDS " s",
    [STREAM] = "the worker process was ended: ",
    [HOST] = "stage 'bad': ",
  };
  if ((hostile[i].off == REACHED && can_be_reached (plugin)) || hostile[i].off == SPOILED)
    {
      gsize size;
      ck_assert_msg (g_str_equal (state, "done"), "%s: %s: %s", plugin, state, text);
      ck_assert_msg (is_harmed (plugin), "%s: its job is done, and nothing was", plugin);
      g_autofree char *bytes = hostile_bytes (fixture, job, &size);
      ck_assert_int_eq (has_no_numbers (bytes, size), hostile[i].off == SPOILED);
      ck_assert (hostile_has_note (fixture, job, "(ThirdPartySandbox=none), sandbox level 'basic'"));
      return;
    }
  const char *part = hostile[i].off == REACHED ? "stage 'bad': " : parts[hostile[i].off];
  ck_assert_msg (g_str_equal (state, "failed") && strstr (text, part) != NULL,
                 "%s: %s: '%s' lacks '%s'", plugin, state, text, part);
}

START_TEST (beside_the_others_each_of_them_does_harm)
{
  start ("none");
  gsize size;
  g_autofree char *first = hostile_submit (fixture, "neighbour", NULL);
  g_autofree char *expected = hostile_bytes (fixture, first, &size);
  for (gsize i = 0; i < G_N_ELEMENTS (hostile); i++)
    {
      gsize before = printed;
      g_autofree char *job = hostile_submit (fixture, "hostile", hostile[i].plugin);
      g_autofree char *state = bus_wait (bus, job);
      g_autofree char *text = bus_get_string (bus, job, "Error");
      printf ("none  %-14s %s: %s\n", hostile[i].plugin, state, text);
      fflush (stdout);
      check_off (i, state, text, job);
      ck_assert (!g_str_equal (hostile[i].plugin, "stderr-flood") || printed - before > FLOOD);
      assert_neighbour (expected, size);
    }
  finish ();
}
END_TEST

int
main (void)
{
  struct rlimit files;
  if (getrlimit (RLIMIT_NOFILE, &files) == 0)
    {
      files.rlim_cur = MIN (files.rlim_max, 4096);
      setrlimit (RLIMIT_NOFILE, &files);
    }
  Suite *suite = suite_create ("hostile-off");
  TCase *all = tcase_create ("all");
  tcase_set_timeout (all, 300);
  tcase_add_test (all, a_process_of_its_own_is_no_sandbox);
  tcase_add_test (all, beside_the_others_each_of_them_does_harm);
  suite_add_tcase (suite, all);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
