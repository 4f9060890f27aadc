/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a plugin can reach from within the worker: nothing, at the levels "full" and "filtered"; and
 * all of it at "basic", which shows that each way is one.
 */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus-fixture.h"

static char *plugins;
static BusFixture *fixture;
static GDBusConnection *bus;
static pid_t victim;
static int listener = -1;
static char *secret, *outside, *port, *victim_text, *bus_path;

static void
make_targets (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET };
  socklen_t length = sizeof address;
  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ck_assert_int_eq (bind (listener, (struct sockaddr *)&address, sizeof address), 0);
  ck_assert_int_eq (listen (listener, 4), 0);
  ck_assert_int_eq (getsockname (listener, (struct sockaddr *)&address, &length), 0);
  port = g_strdup_printf ("%u", ntohs (address.sin_port));
  char *dir = g_dir_make_tmp ("sora-outside-XXXXXX", NULL);
  secret = g_build_filename (dir, "secret", NULL);
  outside = g_build_filename (dir, "written", NULL);
  ck_assert (g_file_set_contents (secret, "secret", -1, NULL));
  g_free (dir);
  victim = fork ();
  ck_assert_int_ge (victim, 0);
  if (victim == 0)
    {
      signal (SIGTERM, SIG_DFL); /* Check's would end the test */
      for (;;)
        pause ();
    }
  victim_text = g_strdup_printf ("%d", (int)victim);
  bus_path = g_build_filename (fixture->dir, "bus", NULL);
}

static void
start (const char *settings)
{
  plugins = g_dir_make_tmp ("sora-plugins-XXXXXX", NULL);
  g_autofree char *module = g_build_filename (plugins, "escape.so", NULL);
  g_autofree char *manifest = g_build_filename (plugins, "escape.plugin", NULL);
  ck_assert_int_eq (symlink (ABS_BUILDDIR "/tests/plugins/bad/.libs/escape.so", module), 0);
  ck_assert_int_eq (symlink (ABS_SRCDIR "/tests/plugins/bad/escape.plugin", manifest), 0);
  fixture = bus_fixture_new (&(BusSetup){ .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/plugins/bad/pipelines",
                                          .settings = settings });
  bus = fixture->connection;
  make_targets ();
}

static void
finish (void)
{
  kill (victim, SIGKILL);
  waitpid (victim, NULL, 0);
  close (listener);
  bus_fixture_free (fixture);
  bus_remove_tree (plugins);
  g_autofree char *dir = g_path_get_dirname (secret);
  bus_remove_tree (dir);
  g_free (plugins);
  g_free (secret);
  g_free (outside);
  g_free (port);
  g_free (victim_text);
  g_free (bus_path);
}

/* How the attempt went, as the plugin wrote it down; and the level that the job tells. */
static char *
try_way (const char *way, const char *target, char **level)
{
  g_autoptr (GError) error = NULL;
  GVariantDict dict;
  char *job;
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "way", "s", way);
  g_variant_dict_insert (&dict, "target", "s", target);
  g_autoptr (GVariant) reply = bus_call (
      bus, MANAGER_PATH, MANAGER, "Submit",
      g_variant_new ("(s@a{sv}a{sv})", "escape", g_variant_dict_end (&dict), NULL), &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_variant_get (reply, "(o)", &job);
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_equal (state, "done"), "%s: %s: %s", way, state, text);
  if (level)
    *level = bus_get_string (bus, job, "SandboxLevel");
  char *word = bus_read_result (bus, job, NULL, NULL);
  g_free (job);
  return word;
}

static const struct
{
  const char *way;
  char **target;
} ways[] = {
  { "read", &secret },  { "write", &outside },    { "network", &port },
  { "bus", &bus_path }, { "kill", &victim_text }, { "environ", &victim_text },
  { "fork", NULL },     { "exec", NULL },         { "words", NULL },
};

static void
assert_closed (const char *expected_level)
{
  g_autofree char *level = NULL;
  g_autofree char *shadow = try_way ("read", "/etc/shadow", &level);
  ck_assert_str_eq (level, expected_level);
  ck_assert_str_ne (shadow, "reached");
  g_autofree char *mounted = try_way ("mount", "", NULL);
  ck_assert_str_ne (mounted, "reached");
  for (gsize i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      const char *target = ways[i].target ? *ways[i].target : "";
      g_autofree char *word = try_way (ways[i].way, target, NULL);
      ck_assert_msg (!g_str_equal (word, "reached"), "%s %s: reached", ways[i].way, target);
      ck_assert_msg (!g_str_equal (word, "Success"), "%s %s: no reason", ways[i].way, target);
    }
  ck_assert_int_eq (waitpid (victim, NULL, WNOHANG), 0); /* it lives */
  ck_assert (!g_file_test (outside, G_FILE_TEST_EXISTS));
}

START_TEST (full_keeps_a_plugin_in)
{
  start ("[Worker]\nSandbox=full\n");
  assert_closed ("full");
  finish ();
}
END_TEST

START_TEST (filtered_keeps_a_plugin_in)
{
  start ("[Worker]\nSandbox=filtered\n");
  assert_closed ("filtered");
  finish ();
}
END_TEST

/* The ways are ways: without the walls each of them leads out. */
START_TEST (basic_does_not)
{
  start ("[Worker]\nSandbox=basic\n");
  for (gsize i = 0; i < G_N_ELEMENTS (ways); i++)
    {
      const char *target = ways[i].target ? *ways[i].target : "";
      if (g_str_equal (ways[i].way, "kill"))
        continue; /* last: others want the victim alive */
      g_autofree char *word = try_way (ways[i].way, target, NULL);
      ck_assert_msg (g_str_equal (word, "reached"), "%s %s: %s", ways[i].way, target, word);
    }
  g_autofree char *level = NULL;
  g_autofree char *word = try_way ("kill", victim_text, &level);
  ck_assert_str_eq (word, "reached");
  ck_assert_str_eq (level, "basic");
  ck_assert (g_file_test (outside, G_FILE_TEST_EXISTS));
  finish ();
}
END_TEST

/* -- What the process of a third-party stage may read */

static char *models, *home;

static char *
make_file (const char *folder, const char *name)
{
  char *path = g_build_filename (folder, name, NULL);
  g_autofree char *dir = g_path_get_dirname (path);
  ck_assert_int_eq (g_mkdir_with_parents (dir, 0755), 0);
  ck_assert (g_file_set_contents (path, "secret", -1, NULL));
  return path;
}

/* `escape` as a copy, trusted or not, with a folder of its own and another plugin beside it. */
static void
start_with_files (const char *trusted, const char *worker, const char *const *environment)
{
  g_autofree char *settings = g_strdup_printf (
      "[Worker]\nThirdPartySandbox=filtered\nTrustedPluginFolders=%s\n", trusted);
  g_autofree char *module = g_build_filename (plugins, "escape.so", NULL);
  g_autofree char *manifest = g_build_filename (plugins, "escape.plugin", NULL);
  ck_assert_int_eq (symlink (ABS_BUILDDIR "/tests/plugins/bad/.libs/escape.so", module), 0);
  ck_assert_int_eq (symlink (ABS_SRCDIR "/tests/plugins/bad/escape.plugin", manifest), 0);
  fixture = bus_fixture_new (&(BusSetup){ .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/plugins/bad/pipelines",
                                          .model_dir = models,
                                          .worker = worker,
                                          .environment = environment,
                                          .settings = settings });
  bus = fixture->connection;
}

static void
assert_reads (const char *path, gboolean expected)
{
  g_autofree char *word = try_way ("read", path, NULL);
  ck_assert_msg (g_str_equal (word, "reached") == expected, "%s: %s", path, word);
}

static const struct
{
  const char *lacks; /* see lesser-machine.c */
  gboolean third_party;
} readers[] = { { "", TRUE }, { "namespaces", TRUE }, { "", FALSE } };

START_TEST (a_third_party_reads_its_own_files_alone)
{
  gboolean third_party = readers[_i].third_party;
  g_autofree char *lacks = g_strconcat ("SORA_TEST_LACKS=", readers[_i].lacks, NULL);
  plugins = g_dir_make_tmp ("sora-plugins-XXXXXX", NULL);
  models = g_dir_make_tmp ("sora-models-XXXXXX", NULL);
  home = g_dir_make_tmp ("sora-home-XXXXXX", NULL);
  g_autofree char *variable = g_strconcat ("HOME=", home, NULL);
  g_autofree char *own = make_file (plugins, "escape/table");
  g_autofree char *others = make_file (plugins, "other.so");
  g_autofree char *others_table = make_file (plugins, "other/table");
  g_autofree char *model = make_file (models, "other/config.json");
  g_autofree char *diary = make_file (home, "diary");
  g_autofree char *module = g_build_filename (plugins, "escape.so", NULL);
  start_with_files (third_party ? "/nowhere" : ABS_BUILDDIR ";" ABS_SRCDIR,
                    ABS_BUILDDIR "/tests/bus/lesser-machine",
                    (const char *const[]){ lacks, variable, NULL });
  assert_reads (module, TRUE);
  assert_reads (own, TRUE);
  assert_reads (diary, FALSE);
  /* sorad's own stages see what any job may need. */
  assert_reads (model, !third_party);
  assert_reads (others, !third_party);
  assert_reads (others_table, !third_party);
  assert_reads ("/bin/sh", !third_party);
  bus_fixture_free (fixture);
  bus_remove_tree (plugins);
  bus_remove_tree (models);
  bus_remove_tree (home);
  g_free (plugins);
  g_free (models);
  g_free (home);
}
END_TEST

/* -- What the service of all users keeps */

static const struct
{
  const char *level;
  const char *path; /* below the cache folder; %u is who asks */
  gboolean open;
} kept[] = {
  { "full", "sorad-users/%u/digests/a", TRUE },
  { "full", "sorad-users/%u/stages/a", TRUE },
  { "full", "sorad-users/%u/a", FALSE },
  { "full", "sorad-users/1234567/digests/a", FALSE },
  { "full", "sorad-users/1234567/stages/a", FALSE },
  { "full", "sorad-digests/a", FALSE },
  { "full", "sorad/digests/a", FALSE },
  { "filtered", "sorad-users/%u/digests/a", TRUE },
  { "filtered", "sorad-users/%u/a", FALSE },
  { "filtered", "sorad-users/1234567/digests/a", FALSE },
  { "filtered", "sorad-digests/a", FALSE },
  { "filtered", "sorad/digests/a", FALSE },
  { "basic", "sorad-users/1234567/digests/a", TRUE },
  { "basic", "sorad-digests/a", TRUE },
};

/* A worker writes what is kept for its user, and neither another user's nor what the daemon
 * believes, which it may read. */
START_TEST (a_worker_writes_its_own_users_cache_alone)
{
  static const char *const levels[] = { "full", "filtered", "basic" };
  g_autofree char *settings = g_strdup_printf ("[Worker]\nSandbox=%s\n", levels[_i]);
  g_autofree char *cache = g_dir_make_tmp ("sora-cache-XXXXXX", NULL);
  g_autofree char *variable = g_strconcat ("XDG_CACHE_HOME=", cache, NULL);
  g_autofree char *module = NULL, *manifest = NULL;
  plugins = g_dir_make_tmp ("sora-plugins-XXXXXX", NULL);
  module = g_build_filename (plugins, "escape.so", NULL);
  manifest = g_build_filename (plugins, "escape.plugin", NULL);
  ck_assert_int_eq (symlink (ABS_BUILDDIR "/tests/plugins/bad/.libs/escape.so", module), 0);
  ck_assert_int_eq (symlink (ABS_SRCDIR "/tests/plugins/bad/escape.plugin", manifest), 0);
  g_free (make_file (cache, "sorad-users/1234567/digests/b"));
  g_free (make_file (cache, "sorad-users/1234567/stages/b"));
  g_free (make_file (cache, "sorad/digests/b"));
  g_autofree char *believed = make_file (cache, "sorad-digests/b");
  fixture = bus_fixture_new (&(BusSetup){ .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/plugins/bad/pipelines",
                                          .environment = (const char *const[]){ variable, NULL },
                                          .settings = settings,
                                          .system = TRUE });
  bus = fixture->connection;
  assert_reads (believed, TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (kept); i++)
    {
      if (!g_str_equal (kept[i].level, levels[_i]))
        continue;
      g_autoptr (GString) path = g_string_new (kept[i].path);
      g_autofree char *uid = g_strdup_printf ("%u", (guint)geteuid ()), *level = NULL;
      g_string_replace (path, "%u", uid, 0);
      g_autofree char *target = g_build_filename (cache, path->str, NULL);
      g_autofree char *word = try_way ("write", target, &level);
      ck_assert_str_eq (level, levels[_i]);
      /* At "full" there may be a folder of that name in the /tmp of its own, which holds what is
       * granted: what counts is the file outside. */
      ck_assert_msg (!kept[i].open || g_str_equal (word, "reached"), "%s: %s", path->str, word);
      ck_assert_int_eq (g_file_test (target, G_FILE_TEST_EXISTS), kept[i].open);
    }
  bus_fixture_free (fixture);
  bus_remove_tree (plugins);
  bus_remove_tree (cache);
  g_free (plugins);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("sandbox");
  TCase *levels = tcase_create ("levels");
  tcase_set_timeout (levels, 120);
  tcase_add_test (levels, full_keeps_a_plugin_in);
  tcase_add_test (levels, filtered_keeps_a_plugin_in);
  tcase_add_test (levels, basic_does_not);
  tcase_add_loop_test (levels, a_third_party_reads_its_own_files_alone, 0,
                       (int)G_N_ELEMENTS (readers));
  tcase_add_loop_test (levels, a_worker_writes_its_own_users_cache_alone, 0, 3);
  suite_add_tcase (suite, levels);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
