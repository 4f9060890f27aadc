/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Parts of the daemon without a bus and without a worker: values, settings, the store's bounds.
 */
#include "config.h"

#include <check.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dbus/sorad-config.h"
#include "dbus/sorad-store.h"
#include "dbus/sorad-value.h"

static char *dir;

static void
setup (void)
{
  dir = g_dir_make_tmp ("sora-parts-XXXXXX", NULL);
  ck_assert_ptr_nonnull (dir);
}

static void
teardown (void)
{
  g_autofree char *command = g_strconcat ("rm -r ", dir, NULL);
  ck_assert (g_spawn_command_line_sync (command, NULL, NULL, NULL, NULL));
  g_free (dir);
}

/* -- Values */

START_TEST (values_that_the_bus_cannot_carry_are_found)
{
  static const char *const good[]
      = { "@a{sv} {}", "{'a': <1>, 'b': <[{'c': <'d'>}]>}",
          "([{'stage': <'x'>}], {'peak': <@t 5>})", "<<<1.5>>>", "[byte 1, 2]" };
  static const char *const bad[] = { "just 1",
                                     "{'a': <just 'x'>}",
                                     "{'a': <[{'b': <@mi nothing>}]>}",
                                     "{'a': <handle 0>}",
                                     "{'a': <objectpath '/a'>}",
                                     "{'a': <signature 'i'>}",
                                     "{'a': <()>}",
                                     "{'a': <[()]>}",
                                     "<{'a', 1}>",
                                     "<<<<<<<<<<1>>>>>>>>>>" };
  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_parsed (good[i]));
      ck_assert_msg (sorad_is_bus_value (value), "%s", good[i]);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_parsed (bad[i]));
      ck_assert_msg (!sorad_is_bus_value (value), "%s", bad[i]);
    }
  g_autofree char *arrays = g_strnfill (65, 'a');
  g_autofree char *type = g_strconcat (arrays, "i", NULL);
  g_autoptr (GVariant) deep
      = g_variant_ref_sink (g_variant_new_array (G_VARIANT_TYPE (type + 1), NULL, 0));
  ck_assert (!sorad_is_bus_value (deep));
}
END_TEST

START_TEST (details_are_the_documented_ones)
{
  g_autoptr (GVariant) told = g_variant_ref_sink (g_variant_new_parsed (
      "{'seconds': <1.5>, 'seed': <'a string'>, 'version': <'0.1'>, 'more': <[1, 2, 3]>}"));
  g_autoptr (GVariant) details = sorad_result_details (told);
  g_autoptr (GVariant) expected
      = g_variant_ref_sink (g_variant_new_parsed ("{'seconds': <1.5>, 'version': <'0.1'>}"));
  ck_assert_uint_eq (g_variant_n_children (details), 2);
  double seconds;
  const char *version;
  ck_assert (g_variant_lookup (details, "seconds", "d", &seconds));
  ck_assert (g_variant_lookup (details, "version", "&s", &version));
  ck_assert_double_eq (seconds, 1.5);
  ck_assert_str_eq (version, "0.1");
  ck_assert_uint_eq (g_variant_get_size (details), g_variant_get_size (expected));
}
END_TEST

/* -- Settings */

static SoradConfig *
load (const char *text, GError **error)
{
  g_autofree char *path = g_build_filename (dir, "sorad.conf", NULL);
  ck_assert (g_file_set_contents (path, text, -1, NULL));
  return sorad_config_load (FALSE, path, error);
}

START_TEST (empty_lists_of_folders_are_refused)
{
  static const char *const keys[] = { "PluginFolders", "PipelineFolders", "ModelFolders" };
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *text = g_strdup_printf ("[Daemon]\n%s=\n", keys[i]);
      ck_assert_ptr_null (load (text, &error));
      ck_assert_msg (strstr (error->message, keys[i]) && strstr (error->message, "list is empty"),
                     "%s", error->message);
    }
  g_autoptr (GError) error = NULL;
  g_autoptr (SoradConfig) config = load ("[Daemon]\nModelFolders=/a;/b\n", &error);
  ck_assert_msg (config != NULL, "%s", error ? error->message : "");
  ck_assert_uint_eq (g_strv_length (config->model_dirs), 2);
}
END_TEST

START_TEST (what_is_no_class_is_refused)
{
  static const char *const bad[] = { "Nice=20", "Nice=-1", "Idle=perhaps" };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *text = g_strdup_printf ("[Worker]\n%s\n", bad[i]);
      ck_assert_ptr_null (load (text, &error));
      g_autofree char *words = g_strdup_printf ("[Worker] %s: expected ", bad[i]);
      ck_assert_msg (strstr (error->message, words) != NULL, "%s", error->message);
    }
}
END_TEST

START_TEST (idle_workers_are_waited_for)
{
  g_autoptr (SoradConfig) usual = load ("", NULL);
  g_autoptr (SoradConfig) idle = load ("[Worker]\nIdle=true\nStallSeconds=0\n", NULL);
  ck_assert_uint_eq (usual->nice, 10);
  ck_assert_uint_eq (usual->heartbeat_seconds, 10);
  ck_assert_uint_eq (idle->heartbeat_seconds, 10 * SORAD_IDLE_PATIENCE);
  ck_assert_uint_eq (idle->answer_seconds, usual->answer_seconds * SORAD_IDLE_PATIENCE);
  ck_assert_uint_eq (idle->stall_seconds, 0);
}
END_TEST

START_TEST (the_service_keeps_its_state_where_systemd_says)
{
  g_setenv ("STATE_DIRECTORY", "/var/lib/somewhere", TRUE);
  g_autoptr (SoradConfig) given = load ("", NULL);
  g_autoptr (SoradConfig) overruled = load ("[Daemon]\nStateFolder=/srv/jobs\n", NULL);
  g_setenv ("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", TRUE);
  g_autoptr (SoradConfig) two = load ("", NULL);
  g_unsetenv ("STATE_DIRECTORY");
  ck_assert_str_eq (given->state_dir, "/var/lib/somewhere");
  ck_assert_str_eq (overruled->state_dir, "/srv/jobs");
  ck_assert (g_str_has_suffix (two->state_dir, "/lib/sorad"));
}
END_TEST

/* "#Key=value" is a setting that is commented out; "# words" is a comment. */
static char *
example (void)
{
  g_autofree char *text = NULL;
  ck_assert (g_file_get_contents (ABS_SRCDIR "/dbus/data/sorad.conf.example", &text, NULL, NULL));
  GString *settings = g_string_new (NULL);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line; line++)
    g_string_append_printf (settings, "%s\n",
                            (*line)[0] == '#' && g_ascii_isupper ((*line)[1]) ? *line + 1 : *line);
  return g_string_free (settings, FALSE);
}

/* Those that do not depend on where it is installed. */
START_TEST (example_shows_the_defaults)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = example ();
  g_autoptr (SoradConfig) shown = load (text, &error);
  ck_assert_msg (shown != NULL, "%s", error ? error->message : "");
  g_autoptr (SoradConfig) defaults = load ("", &error);
  ck_assert_uint_eq (shown->max_queued, defaults->max_queued);
  ck_assert_uint_eq (shown->max_kept, defaults->max_kept);
  ck_assert_uint_eq (shown->max_stored_bytes, defaults->max_stored_bytes);
  ck_assert_uint_eq (shown->max_cache_bytes, defaults->max_cache_bytes);
  ck_assert_uint_eq (shown->max_request_bytes, defaults->max_request_bytes);
  ck_assert_uint_eq (shown->max_input_bytes, defaults->max_input_bytes);
  ck_assert_uint_eq (shown->max_calls, defaults->max_calls);
  ck_assert_uint_eq (shown->free_bytes, defaults->free_bytes);
  ck_assert_uint_eq (shown->idle_seconds, defaults->idle_seconds);
  ck_assert_uint_eq (shown->heartbeat_seconds, defaults->heartbeat_seconds);
  ck_assert_uint_eq (shown->stall_seconds, defaults->stall_seconds);
  ck_assert_uint_eq (shown->cancel_grace_ms, defaults->cancel_grace_ms);
  ck_assert_uint_eq (shown->memory_max, defaults->memory_max);
  ck_assert_uint_eq (shown->tasks_max, defaults->tasks_max);
  ck_assert_uint_eq (shown->nice, defaults->nice);
  ck_assert_int_eq (shown->idle, defaults->idle);
  ck_assert_str_eq (shown->cgroup, defaults->cgroup);
  ck_assert_uint_eq (shown->idle_exit_seconds, defaults->idle_exit_seconds);
  ck_assert (g_str_has_suffix (defaults->state_dir, "/lib/sorad"));
  ck_assert (g_str_has_suffix (shown->state_dir, "/lib/sorad"));
}
END_TEST

/* -- The store */

START_TEST (files_without_bytes_take_room)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *state = g_build_filename (dir, "state", NULL);
  g_autoptr (SoradStore) store = sorad_store_open (state, &error);
  ck_assert_msg (store != NULL, "%s", error ? error->message : "");
  SoradResult *result = sorad_result_new (store, "job", 2000);
  g_autoptr (GVariant) details = g_variant_ref_sink (g_variant_new_parsed ("@a{sv} {}"));
  guint n = 0;
  for (; n < 100; n++)
    {
      g_autofree char *name = g_strdup_printf ("%u", n);
      if (!sorad_result_begin_file (result, name, 0, &error))
        break;
      ck_assert (sorad_result_end_file (result, "", details, NULL));
    }
  ck_assert_uint_eq (n, 3);
  ck_assert_msg (g_error_matches (error, SORA_ERROR, SORA_ERROR_NO_SPACE), "%s", error->message);
  sorad_result_free (result);
}
END_TEST

START_TEST (plain_names_are_told_from_others)
{
  static const char *const bad[] = { "", ".", "..", ".x", "a/b", "/", "a\nb", "abcdefghi" };
  ck_assert (sorad_is_plain_name ("a b.mp4", 8));
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    ck_assert_msg (!sorad_is_plain_name (bad[i], 8), "'%s'", bad[i]);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("parts");
  TCase *parts = tcase_create ("parts");
  tcase_add_checked_fixture (parts, setup, teardown);
  tcase_add_test (parts, values_that_the_bus_cannot_carry_are_found);
  tcase_add_test (parts, details_are_the_documented_ones);
  tcase_add_test (parts, empty_lists_of_folders_are_refused);
  tcase_add_test (parts, what_is_no_class_is_refused);
  tcase_add_test (parts, idle_workers_are_waited_for);
  tcase_add_test (parts, the_service_keeps_its_state_where_systemd_says);
  tcase_add_test (parts, example_shows_the_defaults);
  tcase_add_test (parts, files_without_bytes_take_room);
  tcase_add_test (parts, plain_names_are_told_from_others);
  suite_add_tcase (suite, parts);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
