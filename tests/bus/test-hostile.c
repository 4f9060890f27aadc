/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Third-party plugins that mean harm (tests/plugins/bad): each ends its own job, which says which
 * stage it was and what happened; the daemon is the same process, and the job of a neighbour has
 * the same bytes as ever.  SORA_TEST_THIRD_PARTY=none in the environment lets them into the worker,
 * =basic into a process without walls, and SORA_TEST_HOSTILE=PLUGIN takes one alone:
 * docs/sandbox.md says what is seen then.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus-fixture.h"

/* Seconds to load and to infer; a sanitizer's start takes longer. */
#ifdef SORA_SANITIZERS
#define ANSWER "3"
#else
#define ANSWER "1"
#endif
#define OUTSIDE "/var/tmp/sora-bad-was-here"

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
  { "write-outside", "/var/tmp: No such file or directory" },
  { "exec", "no program can be run: Operation not permitted" },
  { "rounding", "floating-point" },
  { "infer-hang", "the process of plugin 'infer-hang' gave no sign for " ANSWER " s" },
  { "constructor", "did not load it within " ANSWER " s" },
  { "other-abi", "it was built for plugin ABI 9." },
};

static char *plugins;
static BusFixture *fixture;
static GDBusConnection *bus;

static void
lay (const char *name)
{
  g_autofree char *from = g_strconcat (ABS_BUILDDIR "/tests/plugins/bad/.libs/", name, ".so", NULL);
  g_autofree char *module = g_strconcat (plugins, "/", name, ".so", NULL);
  g_autofree char *manifest = g_strconcat (plugins, "/", name, ".plugin", NULL);
  ck_assert_int_eq (symlink (from, module), 0);
  if (g_str_equal (name, "ends"))
    {
      ck_assert_int_eq (symlink (ABS_SRCDIR "/tests/plugins/bad/ends.plugin", manifest), 0);
      return;
    }
  g_autofree char *text = g_strdup_printf (
      "[Plugin]\nId=%s\nName=Bad\nVersion=1.0.0\nLicence=LGPL-2.1-or-later\nSummary=Means harm\n"
      "Module=%s.so\nAbi=1.0\n\n[Stage bad]\nKind=filter\nSummary=Means harm\nInputs=in\n"
      "Outputs=out\n",
      name, name);
  ck_assert (g_file_set_contents (manifest, text, -1, NULL));
}

/* The manifests of hostile plugins lie in a folder that nobody trusts; `ends` is the build's. */
static void
setup (void)
{
  const char *third_party = g_getenv ("SORA_TEST_THIRD_PARTY");
  g_autofree char *settings = g_strdup_printf (
      "[Worker]\nThirdPartySandbox=%s\nThirdPartyAnswerSeconds=" ANSWER "\nThirdPartyStallSeconds=1\n"
      "MemoryMax=805306368\nTrustedPluginFolders=" ABS_BUILDDIR ";" ABS_SRCDIR "\n",
      third_party ? third_party : "full");
  plugins = g_dir_make_tmp ("sora-plugins-XXXXXX", NULL);
  lay ("ends");
  lay ("pass");
  for (gsize i = 0; i < G_N_ELEMENTS (hostile); i++)
    lay (hostile[i].plugin);
  fixture = bus_fixture_new (&(BusSetup){ .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/plugins/bad/pipelines",
                                          .settings = settings });
  bus = fixture->connection;
}

static void
teardown (void)
{
  bus_fixture_free (fixture);
  bus_remove_tree (plugins);
  g_free (plugins);
}

static GVariant *
arguments (const char *pipeline, const char *plugin)
{
  GVariantDict options;
  GVariantBuilder stages;
  g_variant_dict_init (&options, NULL);
  if (plugin)
    {
      g_variant_builder_init (&stages, G_VARIANT_TYPE ("a{ss}"));
      g_variant_builder_add (&stages, "{ss}", "bad", plugin);
      g_variant_dict_insert_value (&options, "stages", g_variant_builder_end (&stages));
    }
  return g_variant_new ("(s@a{sv}@a{sv})", pipeline, g_variant_new ("a{sv}", NULL),
                        g_variant_dict_end (&options));
}

static char *
submit (const char *pipeline, const char *plugin)
{
  g_autoptr (GError) error = NULL;
  char *job;
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Submit", arguments (pipeline, plugin), &error);
  ck_assert_msg (reply != NULL, "%s: %s", plugin ? plugin : pipeline, error ? error->message : "");
  g_variant_get (reply, "(o)", &job);
  return job;
}

/* The neighbour's bytes, once and for ever. */
static char *
neighbour_bytes (const char *job, gsize *size)
{
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_equal (state, "done"), "the neighbour's job: %s: %s", state, text);
  return bus_read_result (bus, job, NULL, size);
}

static void
assert_same_daemon (void)
{
  g_autoptr (GVariant) owner = g_dbus_connection_call_sync (
      bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetConnectionUnixProcessID",
      g_variant_new ("(s)", "org.sorad.Sora1"), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
  guint32 pid;
  ck_assert_ptr_nonnull (owner);
  g_variant_get (owner, "(u)", &pid);
  g_autofree char *identifier = g_strdup_printf ("%u", pid);
  ck_assert_str_eq (g_subprocess_get_identifier (fixture->sorad), identifier);
}

START_TEST (each_is_contained)
{
  gsize expected_size, size;
  g_autofree char *first = submit ("neighbour", NULL);
  g_autofree char *expected = neighbour_bytes (first, &expected_size);
  g_autoptr (GString) faults = g_string_new (NULL);
  ck_assert_uint_eq (expected_size, 8 * 4 * 4);
  for (gsize i = 0; i < G_N_ELEMENTS (hostile); i++)
    {
      const char *only = g_getenv ("SORA_TEST_HOSTILE");
      if (only && !g_str_equal (only, hostile[i].plugin))
        continue;
      gint64 begun = g_get_monotonic_time ();
      g_autofree char *job = submit ("hostile", hostile[i].plugin);
      g_autofree char *neighbour = submit ("neighbour", NULL);
      g_autofree char *state = bus_wait (bus, job);
      double seconds = (double)(g_get_monotonic_time () - begun) / G_USEC_PER_SEC;
      g_autofree char *text = bus_get_string (bus, job, "Error");
      printf ("%-14s %.2f s: %s\n", hostile[i].plugin, seconds, text);
      fflush (stdout);
      gboolean named = g_str_has_prefix (text, "stage 'bad': ") && strstr (text, hostile[i].part);
      if (!g_str_equal (state, "failed") || !named)
        g_string_append_printf (faults, "\n%s: %s: '%s' lacks '%s'", hostile[i].plugin, state, text,
                                hostile[i].part);
      assert_same_daemon ();
      g_autofree char *bytes = neighbour_bytes (neighbour, &size);
      if (size != expected_size || memcmp (bytes, expected, size) != 0)
        g_string_append_printf (faults, "\n%s: the neighbour's bytes are others",
                                hostile[i].plugin);
    }
  ck_assert (!g_file_test (OUTSIDE, G_FILE_TEST_EXISTS));
  ck_assert_msg (faults->len == 0, "%s", faults->str);
}
END_TEST

/* The way there and back changes nothing, and is shown for what it is. */
START_TEST (honest_one_gives_the_same_bytes)
{
  gsize expected_size, size;
  g_autofree char *first = submit ("neighbour", NULL);
  g_autofree char *expected = neighbour_bytes (first, &expected_size);
  g_autofree char *job = submit ("hostile", "pass");
  g_autofree char *bytes = neighbour_bytes (job, &size);
  ck_assert_uint_eq (size, expected_size);
  ck_assert_int_eq (memcmp (bytes, expected, size), 0);

  g_autoptr (GVariant) notes = bus_get (bus, job, JOB, "Notes");
  g_autofree const char **lines = g_variant_get_strv (notes, NULL);
  ck_assert_uint_eq (g_strv_length ((char **)lines), 1);
  ck_assert_str_eq (lines[0], "stage 'bad': plugin 'pass' is third-party: it runs in a process of "
                              "its own, sandbox level 'full'");

  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Check", arguments ("hostile", "pass"), &error);
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
  g_setenv ("SORA_TEST_THIRD_PARTY", "refuse", TRUE);
  setup ();
  g_autoptr (GError) error = NULL;
  g_autofree char *job = submit ("hostile", "pass");
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_str_eq (state, "failed");
  ck_assert_msg (strstr (text, "plugin 'pass' is third-party") != NULL, "%s", text);
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
