/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Third-party plugins that mean harm (tests/plugins/bad): each ends its own job, which says which
 * stage it was and what happened; the daemon is the same process, and the job of a neighbour has
 * the same bytes as ever.  SORA_TEST_HOSTILE=PLUGIN in the environment takes one alone.  What they
 * do where nothing keeps them in is in test-hostile-off.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hostile-fixture.h"

/* Seconds to load and to infer; a sanitizer's start takes longer. */
#ifdef SORA_SANITIZERS
#define ANSWER "3"
#else
#define ANSWER "1"
#endif

/* What its job must say after "stage 'bad': ". */
static const struct
{
  const char *plugin, *part;
} hostile[] = {
  { "segfault", "the process of plugin 'segfault' was killed by signal 11" },
  { "abort", "the process of plugin 'abort' was killed by signal 6" },
  { "exit", "the process of plugin 'exit' ended with status 3" },
  { "loop", "the process of plugin 'loop' gave no sign for 1 s" },
  { "sleep", "the process of plugin 'sleep' gave no sign for 1 s" },
#ifndef SORA_SANITIZERS /* no limit of memory there: their shadow counts */
  { "leak", "there is no more memory" },
#endif
  { "fork-bomb", "no process can be made: Operation not permitted" },
  { "fd-bomb", "no descriptor is left: Too many open files" },
  { "wrong-shape", "output 'out' was given f32 [2,7], but infer promised f32 [8,4]" },
  { "wrong-dtype", "output 'out' was given u8 [2,4], but infer promised f32 [8,4]" },
  { "wrong-size", "it sent a tensor of 8 bytes, expected the 32 of its shape" },
  { "huge-shape", "it sent a tensor of shape [4611686018427387903,16] and dtype 1, which is none" },
  { "unsealed", "it sent a tensor whose memory is not sealed" },
  { "nan", "it gave a value that is no finite number (the 4. of a tensor)" },
  { "inf", "it gave a value that is no finite number (the 4. of a tensor)" },
  { "garbage", "was ended: what it sent is no message" },
  { "huge-reply", "was ended: it sent a message that claims to be too long (4294967295)" },
  { "stderr-flood", "the process of plugin 'stderr-flood' gave no sign for 1 s" },
  { "kill-siblings", "nobody can be killed: Operation not permitted" },
  { "network", "there is no network: Operation not permitted" },
  { "shadow", "/etc/shadow: No such file or directory" },
  { "write-outside", "a file of others: No such file or directory" },
  { "exec", "no program can be run: Operation not permitted" },
  { "rounding", "floating-point" },
  { "infer-hang", "the process of plugin 'infer-hang' gave no sign for " ANSWER " s" },
  { "constructor", "did not load it within " ANSWER " s" },
  { "other-abi", "it was built for plugin ABI 9." },
};

static HostileFixture *fixture;
static GDBusConnection *bus;

static void
setup (void)
{
  const char *names[G_N_ELEMENTS (hostile) + 1] = { NULL };
  for (gsize i = 0; i < G_N_ELEMENTS (hostile); i++)
    names[i] = hostile[i].plugin;
  fixture = hostile_fixture_new (
      names,
      "[Worker]\nThirdPartySandbox=full\nThirdPartyAnswerSeconds=" ANSWER
      "\nThirdPartyStallSeconds=1\nMemoryMax=805306368\n",
      NULL, NULL);
  bus = fixture->bus->connection;
}

static void
teardown (void)
{
  hostile_fixture_free (fixture);
}

START_TEST (each_is_contained)
{
  gsize expected_size, size;
  g_autofree char *first = hostile_submit (fixture, "neighbour", NULL);
  g_autofree char *expected = hostile_bytes (fixture, first, &expected_size);
  g_autoptr (GString) faults = g_string_new (NULL);
  ck_assert_uint_eq (expected_size, 8 * 4 * 4);
  for (gsize i = 0; i < G_N_ELEMENTS (hostile); i++)
    {
      const char *only = g_getenv ("SORA_TEST_HOSTILE");
      if (only && !g_str_equal (only, hostile[i].plugin))
        continue;
      gint64 begun = g_get_monotonic_time ();
      g_autofree char *job = hostile_submit (fixture, "hostile", hostile[i].plugin);
      g_autofree char *neighbour = hostile_submit (fixture, "neighbour", NULL);
      g_autofree char *state = bus_wait (bus, job);
      double seconds = (double)(g_get_monotonic_time () - begun) / G_USEC_PER_SEC;
      g_autofree char *text = bus_get_string (bus, job, "Error");
      printf ("%-14s %.2f s: %s\n", hostile[i].plugin, seconds, text);
      fflush (stdout);
      gboolean named = g_str_has_prefix (text, "stage 'bad': ") && strstr (text, hostile[i].part);
      if (!g_str_equal (state, "failed") || !named)
        g_string_append_printf (faults, "\n%s: %s: '%s' lacks '%s'", hostile[i].plugin, state, text,
                                hostile[i].part);
      hostile_assert_same_daemon (fixture);
      g_autofree char *bytes = hostile_bytes (fixture, neighbour, &size);
      if (size != expected_size || memcmp (bytes, expected, size) != 0)
        g_string_append_printf (faults, "\n%s: the neighbour's bytes are others",
                                hostile[i].plugin);
    }
  g_autoptr (GDir) outside = g_dir_open (fixture->outside, 0, NULL);
  ck_assert_ptr_nonnull (outside);
  ck_assert_ptr_null (g_dir_read_name (outside));
  ck_assert_msg (faults->len == 0, "%s", faults->str);
}
END_TEST

/* The way there and back changes nothing, and is shown for what it is. */
START_TEST (honest_one_gives_the_same_bytes)
{
  gsize expected_size, size;
  g_autofree char *first = hostile_submit (fixture, "neighbour", NULL);
  g_autofree char *expected = hostile_bytes (fixture, first, &expected_size);
  g_autofree char *job = hostile_submit (fixture, "hostile", "pass");
  g_autofree char *bytes = hostile_bytes (fixture, job, &size);
  ck_assert_uint_eq (size, expected_size);
  ck_assert_int_eq (memcmp (bytes, expected, size), 0);

  ck_assert (hostile_has_note (fixture, job,
                               "stage 'bad': plugin 'pass' is third-party: it runs in a process of "
                               "its own, sandbox level 'full'"));
  g_autofree char *level = hostile_stage_level (fixture, job, "bad");
  g_autofree char *none = hostile_stage_level (fixture, job, "sink");
  ck_assert_str_eq (level, "full");
  ck_assert_ptr_null (none);

  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Check", hostile_arguments ("hostile", "pass"), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_autoptr (GVariant) rows = g_variant_get_child_value (reply, 0);
  for (gsize i = 0; i < 3; i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (rows, i);
      const char *stage, *sandbox;
      gboolean third_party;
      ck_assert (g_variant_lookup (row, "stage", "&s", &stage)
                 && g_variant_lookup (row, "sandbox", "&s", &sandbox)
                 && g_variant_lookup (row, "third-party", "b", &third_party));
      ck_assert_int_eq (third_party, g_str_equal (stage, "bad"));
      ck_assert_str_eq (sandbox, "full");
    }
}
END_TEST

START_TEST (refused_where_the_settings_say_so)
{
  fixture = hostile_fixture_new (NULL, "[Worker]\nThirdPartySandbox=refuse\n", NULL, NULL);
  bus = fixture->bus->connection;
  g_autofree char *job = hostile_submit (fixture, "hostile", "pass");
  hostile_assert_failed (fixture, job, ".Denied", "plugin 'pass' is third-party");
  teardown ();
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("hostile");
  TCase *each = tcase_create ("each");
  tcase_add_checked_fixture (each, setup, teardown);
  tcase_set_timeout (each, 300);
  tcase_add_test (each, each_is_contained);
  tcase_add_test (each, honest_one_gives_the_same_bytes);
  suite_add_tcase (suite, each);
  TCase *settings = tcase_create ("settings");
  tcase_set_timeout (settings, 60);
  tcase_add_test (settings, refused_where_the_settings_say_so);
  suite_add_tcase (suite, settings);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
