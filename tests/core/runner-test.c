/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What tests of plan and runner share.
 */
#include "config.h"
#include "runner-test.h"
#include <unistd.h>

Fixture fixture;

void
fixture_add_plugin_from (const char *folder, const char *name)
{
  const char *srcdir = g_getenv ("SORA_TEST_SRCDIR"), *builddir = g_getenv ("SORA_TEST_BUILDDIR");
  g_autofree char *manifest
      = g_strdup_printf ("%s/tests/fixtures/%s/%s.plugin", srcdir, folder, name);
  g_autofree char *module
      = g_strdup_printf ("%s/tests/fixtures/%s/.libs/%s.so", builddir, folder, name);
  g_autofree char *manifest_link = g_strdup_printf ("%s/plugins/%s.plugin", fixture.dir, name);
  g_autofree char *module_link = g_strdup_printf ("%s/plugins/%s.so", fixture.dir, name);

  ck_assert_int_eq (symlink (manifest, manifest_link), 0);
  ck_assert_int_eq (symlink (module, module_link), 0);
}

void
fixture_reload (void)
{
  g_autofree char *plugins = g_build_filename (fixture.dir, "plugins", NULL);
  g_autofree char *models = g_build_filename (fixture.dir, "models", NULL);
  const char *plugin_dirs[] = { plugins, NULL }, *none[] = { NULL },
             *model_dirs[] = { models, NULL };

  g_clear_pointer (&fixture.environment, sora_environment_free);
  fixture.environment = sora_environment_new_for_dirs (plugin_dirs, none, model_dirs);
}

void
fixture_setup (void)
{
  ck_assert_msg (g_getenv ("SORA_TEST_SRCDIR") != NULL,
                 "run it by make check, or set SORA_TEST_SRCDIR and _BUILDDIR");
  sora_process_init ();
  fixture.dir = g_dir_make_tmp ("sora-test-XXXXXX", NULL);
  fixture.out = g_build_filename (fixture.dir, "out", NULL);
  fixture.state = g_build_filename (fixture.dir, "state", NULL);
  g_autofree char *plugins = g_build_filename (fixture.dir, "plugins", NULL);
  g_autofree char *models = g_build_filename (fixture.dir, "models", NULL);
  ck_assert_int_eq (g_mkdir (fixture.out, 0700), 0);
  ck_assert_int_eq (g_mkdir (fixture.state, 0700), 0);
  ck_assert_int_eq (g_mkdir (plugins, 0700), 0);
  ck_assert_int_eq (g_mkdir (models, 0700), 0);
  fixture_add_plugin_from ("stages", "stages");
  fixture_reload ();
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) dir
      = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);
      remove_tree (child);
    }
  g_remove (path);
}

void
fixture_teardown (void)
{
  sora_process_shutdown ();
  g_clear_pointer (&fixture.environment, sora_environment_free);
  remove_tree (fixture.dir);
  g_clear_pointer (&fixture.dir, g_free);
  g_clear_pointer (&fixture.out, g_free);
  g_clear_pointer (&fixture.state, g_free);
}

void
fixture_make_model (const char *id, const char *component)
{
  const int64_t shape[] = { 2, 3 };
  g_autofree char *dir = g_build_filename (fixture.dir, "models", id, component, NULL);
  g_autofree char *index_path
      = g_build_filename (fixture.dir, "models", id, "model_index.json", NULL);
  g_autofree char *config_path = g_build_filename (dir, "config.json", NULL);
  g_autofree char *weights_path = g_build_filename (dir, "model.safetensors", NULL);
  g_autofree char *index
      = g_strdup_printf ("{\"_class_name\": \"TestPipeline\", \"_diffusers_version\": \"0.1\", "
                         "\"%s\": [\"transformers\", \"UMT5\"]}",
                         component);
  g_autoptr (SoraTensor) tensor = sora_tensor_new (SORA_I64, 2, shape, NULL);
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (tensor, &view);
  for (int i = 0; i < 6; i++)
    ((int64_t *)view.data)[i] = i + 1;
  const char *names[] = { "numbers" };
  ck_assert_int_eq (g_mkdir_with_parents (dir, 0700), 0);
  ck_assert (g_file_set_contents (index_path, index, -1, NULL));
  ck_assert (g_file_set_contents (config_path, "{}", -1, NULL));
  ck_assert (sora_safetensors_write (weights_path, names, &tensor, 1, NULL, NULL));
}

Record *
record_new (void)
{
  Record *record = g_new0 (Record, 1);
  g_mutex_init (&record->lock);
  g_cond_init (&record->changed);
  record->logs = g_ptr_array_new_with_free_func (g_free);
  record->stages = g_ptr_array_new_with_free_func (g_free);
  record->fractions = g_array_new (FALSE, FALSE, sizeof (double));
  return record;
}

void
record_free (Record *record)
{
  g_mutex_clear (&record->lock);
  g_cond_clear (&record->changed);
  g_ptr_array_unref (record->logs);
  g_ptr_array_unref (record->stages);
  g_array_unref (record->fractions);
  g_free (record->create_at_log);
  g_free (record);
}

static gboolean
has_log (Record *record, const char *line)
{
  for (guint i = 0; i < record->logs->len; i++)
    if (strcmp (g_ptr_array_index (record->logs, i), line) == 0)
      return TRUE;
  return FALSE;
}

gboolean
record_has_log (Record *record, const char *line)
{
  g_mutex_lock (&record->lock);
  gboolean found = has_log (record, line);
  g_mutex_unlock (&record->lock);
  return found;
}

void
record_wait_log (Record *record, const char *line)
{
  gint64 deadline = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
  g_mutex_lock (&record->lock);
  while (!has_log (record, line))
    if (!g_cond_wait_until (&record->changed, &record->lock, deadline))
      break;
  gboolean found = has_log (record, line);
  g_mutex_unlock (&record->lock);
  ck_assert_msg (found, "nobody logged '%s'", line);
}

static void
on_progress (gpointer data, double fraction, guint run, const char *stage, guint step, guint steps,
             double remaining)
{
  Record *record = data;
  g_mutex_lock (&record->lock);
  g_array_append_val (record->fractions, fraction);
  record->last_step = step;
  record->last_steps = steps;
  g_mutex_unlock (&record->lock);
}

static void
on_log (gpointer data, int level, const char *stage, const char *message)
{
  Record *record = data;
  g_mutex_lock (&record->lock);
  g_ptr_array_add (record->logs, g_strdup_printf ("%s: %s", stage, message));
  SoraRunner *runner = g_steal_pointer (&record->cancel_at_log);
  g_autofree char *path = g_steal_pointer (&record->create_at_log);
  g_cond_broadcast (&record->changed);
  g_mutex_unlock (&record->lock);
  if (path != NULL)
    ck_assert (g_file_set_contents (path, "mine", -1, NULL));
  if (runner != NULL)
    sora_runner_cancel (runner);
}

static void
on_stage_done (gpointer data, guint run, const char *stage, double wall_seconds,
               double compute_seconds, guint64 peak_resident)
{
  Record *record = data;
  ck_assert_double_ge (wall_seconds, compute_seconds);
  ck_assert_uint_gt (peak_resident, 0);
  g_mutex_lock (&record->lock);
  g_ptr_array_add (record->stages, g_strdup (stage));
  g_mutex_unlock (&record->lock);
}

SoraRequest *
request_new (const char *pipeline_text)
{
  SoraRequest *request = sora_request_new ("test");
  request->pipeline_text = g_strconcat ("[Pipeline]\nId=test\nFormat=1\n", pipeline_text, NULL);
  request->has_seed = TRUE;
  request->seed = 42;
  return request;
}

void
request_set (SoraRequest *request, const char *name, const char *value)
{
  g_autoptr (GError) error = NULL;
  GVariant *variant = g_variant_parse (NULL, value, NULL, NULL, &error);
  ck_assert_msg (variant != NULL, "%s", error != NULL ? error->message : "");
  sora_request_set_param (request, name, variant);
  g_variant_unref (variant);
}

SoraPlan *
plan_ok (SoraRequest *request)
{
  g_autoptr (GError) error = NULL;
  SoraPlan *plan = sora_plan_new (fixture.environment, request, &error);
  ck_assert_msg (plan != NULL, "%s", error != NULL ? error->message : "");
  return plan;
}

char *
plan_error (const char *pipeline_text, const char *name, const char *value, int code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = request_new (pipeline_text);
  if (name != NULL)
    request_set (request, name, value);
  g_autoptr (SoraPlan) plan = sora_plan_new (fixture.environment, request, &error);
  ck_assert_msg (plan == NULL, "the plan was made");
  ck_assert_ptr_nonnull (error);
  ck_assert_msg (g_error_matches (error, SORA_ERROR, code), "code %d, expected %d: %s", error->code,
                 code, error->message);
  return g_strdup (error->message);
}

SoraRunner *
runner_new (SoraRequest *request, Record *record)
{
  static const SoraRunnerCallbacks callbacks
      = { .progress = on_progress, .log = on_log, .stage_done = on_stage_done };
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraPlan) plan = sora_plan_new (fixture.environment, request, &error);
  ck_assert_msg (plan != NULL, "%s", error != NULL ? error->message : "");
  return sora_runner_new (plan, fixture.out, fixture.state, record != NULL ? &callbacks : NULL,
                          record);
}

SoraRunner *
run_ok (const char *pipeline_text, Record *record)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = request_new (pipeline_text);
  SoraRunner *runner = runner_new (request, record);
  gboolean ok = sora_runner_run (runner, &error);
  ck_assert_msg (ok, "%s", error != NULL ? error->message : "");
  ck_assert_ptr_null (error);
  return runner;
}

char *
run_error (SoraRequest *request, Record *record, int code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRunner) runner = runner_new (request, record);
  gboolean ok = sora_runner_run (runner, &error);
  ck_assert_msg (!ok, "it succeeded");
  ck_assert_ptr_nonnull (error);
  ck_assert_msg (g_error_matches (error, SORA_ERROR, code), "code %d, expected %d: %s", error->code,
                 code, error->message);
  return g_strdup (error->message);
}

char *
read_result (const char *name)
{
  g_autofree char *path = g_build_filename (fixture.out, name, NULL);
  char *text = NULL;
  ck_assert_msg (g_file_get_contents (path, &text, NULL, NULL), "there is no result '%s'", name);
  return text;
}

guint
count_files (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;
  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

SoraQueueInfo *
find_queue (SoraRunner *runner, const char *from)
{
  GPtrArray *queues = sora_runner_queues (runner);
  for (guint i = 0; i < queues->len; i++)
    {
      SoraQueueInfo *info = g_ptr_array_index (queues, i);
      if (strcmp (info->from, from) == 0)
        return info;
    }
  ck_abort_msg ("there is no queue from '%s'", from);
  return NULL;
}
