/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A tokenizer's model that passes the look at it and still brings the library down: one job ends,
 * with the stage and the signal, and the daemon and the next job go on.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "dbus/sora-bus-error.h"

static char *plugins, *models;
static BusFixture *fixture;
static GDBusConnection *bus;

static void
put_field (GByteArray *out, guint8 number, const void *data, gsize size)
{
  guint8 head[2] = { (guint8)(number << 3 | 2), (guint8)size };
  ck_assert_uint_lt (size, 128);
  g_byte_array_append (out, head, 2);
  g_byte_array_append (out, data, (guint)size);
}

static void
put_piece (GByteArray *model, const char *name, guint8 kind)
{
  g_autoptr (GByteArray) piece = g_byte_array_new ();
  guint8 kind_field[2] = { 3 << 3, kind };
  put_field (piece, 1, name, strlen (name));
  g_byte_array_append (piece, kind_field, 2);
  put_field (model, 1, piece->data, piece->len);
}

/* A model folder of that name, whose tokenizer is a whole one with one more piece. */
static void
make_model (const char *name, const char *piece)
{
  g_autofree char *folder = g_build_filename (models, name, "tokenizer", NULL);
  g_autofree char *index = g_build_filename (models, name, "model_index.json", NULL);
  g_autofree char *file = g_build_filename (folder, "spiece.model", NULL);
  g_autoptr (GByteArray) model = g_byte_array_new ();
  put_piece (model, "<pad>", 3);
  put_piece (model, "</s>", 3);
  put_piece (model, "<unk>", 2);
  put_piece (model, piece, 1);
  ck_assert_int_eq (g_mkdir_with_parents (folder, 0755), 0);
  ck_assert (g_file_set_contents (
      index, "{\"_class_name\": \"P\", \"tokenizer\": [\"transformers\", \"T5TokenizerFast\"]}", -1,
      NULL));
  ck_assert (g_file_set_contents (file, (char *)model->data, (gssize)model->len, NULL));
}

static void
lay (const char *from, const char *name)
{
  g_autofree char *source = g_strconcat (from, name, NULL);
  g_autofree char *target = g_build_filename (plugins, name, NULL);
  ck_assert_int_eq (symlink (source, target), 0);
}

static void
setup (void)
{
  plugins = g_dir_make_tmp ("sora-plugins-XXXXXX", NULL);
  models = g_dir_make_tmp ("sora-models-XXXXXX", NULL);
  lay (ABS_BUILDDIR "/tests/bus/rogue/.libs/", "believing.so");
  lay (ABS_SRCDIR "/tests/bus/rogue/", "believing.plugin");
  make_model ("sound", "a");
  make_model ("crashes-asked", "crash when asked");
  make_model ("crashes-running", "crash when running");
  make_model ("aborts-asked", "abort when asked");
  make_model ("aborts-running", "abort when running");
  make_model ("refused", "\xff");
  fixture = bus_fixture_new (&(BusSetup){ .plugin_dir = plugins,
                                          .pipeline_dir = ABS_SRCDIR "/tests/bus/pipelines",
                                          .model_dir = models });
  bus = fixture->connection;
}

static void
teardown (void)
{
  bus_fixture_free (fixture);
  bus_remove_tree (plugins);
  bus_remove_tree (models);
  g_free (plugins);
  g_free (models);
}

static GVariant *
arguments (const char *model)
{
  GVariantDict options;
  GVariantBuilder roles;
  g_variant_builder_init (&roles, G_VARIANT_TYPE ("a{ss}"));
  g_variant_builder_add (&roles, "{ss}", "main", model);
  g_variant_dict_init (&options, NULL);
  g_variant_dict_insert_value (&options, "models", g_variant_builder_end (&roles));
  return g_variant_new ("(s@a{sv}@a{sv})", "believing", g_variant_new ("a{sv}", NULL),
                        g_variant_dict_end (&options));
}

static void
assert_ends (const char *model, const char *state, const char *error_name, const char *part)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, MANAGER, "Submit", arguments (model), &error);
  const char *job;
  ck_assert_msg (reply != NULL, "%s: %s", model, error ? error->message : "");
  g_variant_get (reply, "(&o)", &job);
  g_autofree char *end = bus_wait (bus, job);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  ck_assert_msg (g_str_equal (end, state), "%s: %s: %s", model, end, text);
  ck_assert_msg (g_str_has_suffix (name, error_name), "%s: '%s', expected %s", model, name,
                 error_name);
  ck_assert_msg (strstr (text, part) != NULL, "%s: '%s' lacks '%s'", model, text, part);
}

START_TEST (crash_behind_the_look_ends_one_job)
{
  static const struct
  {
    const char *model, *part;
  } cases[] = { { "crashes-asked", "stage 'text': the worker process was killed by signal 11" },
                { "crashes-running", "stage 'text': the worker process was killed by signal 11" },
                { "aborts-asked", "stage 'text': the worker process was killed by signal 6" },
                { "aborts-running", "stage 'text': the worker process was killed by signal 6" } };
  const char *daemon = g_subprocess_get_identifier (fixture->sorad);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      assert_ends (cases[i].model, "failed", ".WorkerDied", cases[i].part);
      assert_ends ("sound", "done", "", "");
    }
  ck_assert_ptr_nonnull (daemon);
  ck_assert_ptr_nonnull (g_subprocess_get_identifier (fixture->sorad)); /* NULL once it has ended */
}
END_TEST

START_TEST (what_the_look_refuses_crashes_nothing)
{
  assert_ends ("refused", "failed", "", "the tokenizer cannot be used: piece 3 is not UTF-8");
  assert_ends ("sound", "done", "", "");
}
END_TEST

START_TEST (check_names_the_stage_as_well)
{
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (
      bus_call (bus, MANAGER_PATH, MANAGER, "Check", arguments ("crashes-asked"), &error));
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_WORKER_DIED), "%s", error->message);
  ck_assert_msg (strstr (error->message, "stage 'text': the worker process was killed by signal 11")
                     != NULL,
                 "%s", error->message);
  assert_ends ("sound", "done", "", "");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("tokenizer");
  TCase *tests = tcase_create ("tokenizer");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_set_timeout (tests, 180);
  tcase_add_test (tests, crash_behind_the_look_ends_one_job);
  tcase_add_test (tests, what_the_look_refuses_crashes_nothing);
  tcase_add_test (tests, check_names_the_stage_as_well);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
