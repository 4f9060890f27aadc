/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl stage run PLUGIN: one stage alone, on tensors from safetensors files.  The researcher's
 * probe, and the way every stage is compared with its reference.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-job.h"
#include "soractl-json.h"
#include "soractl-stage.h"
#include "sora-error.h"
#include "sora-param.h"
#include "sora-runner.h"
#include <string.h>

static gboolean
add_param (SoraRequest *request, const SoraStageClass *klass, const char *option, GError **error)
{
  const char *equals = strchr (option, '=');
  g_autofree char *name
      = g_strndup (option, equals != NULL ? (gsize)(equals - option) : strlen (option));
  const SoraParam *found = NULL;
  for (const SoraParam *const *p = klass->params; p != NULL && *p != NULL; p++)
    if (g_str_equal ((*p)->name, name))
      found = *p;
  if (equals == NULL)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option --param takes NAME=VALUE, not '%s'", option);
      return FALSE;
    }
  if (found == NULL)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "stage '%s' has no parameter '%s'; 'soractl inspect %s' lists them", klass->id,
                   name, klass->id);
      return FALSE;
    }
  g_autofree char *who = g_strdup_printf ("parameter '%s'", name);
  g_autoptr (GVariant) value = sora_param_parse (found, who, equals + 1, error);
  if (value == NULL)
    return FALSE;
  sora_request_set_param (request, name, value);
  return TRUE;
}

static void
on_log (gpointer data, int level, const char *stage, const char *message)
{
  if (level >= SORA_LOG_WARNING)
    soractl_console_warning ("%s", message);
  else if (level == SORA_LOG_INFO)
    soractl_console_note ("%s", message);
}

static void
on_stage_done (gpointer data, guint run, const char *stage, double wall, double compute,
               guint64 resident)
{
  SoractlTiming *timing = data;
  timing->wall = wall;
  timing->compute = compute;
  timing->resident = resident;
}

/* The port on which it makes files, or NULL. */
static const char *
file_port (const SoraStageClass *klass)
{
  for (const SoraPort *const *p = klass->outputs; p != NULL && *p != NULL; p++)
    if (g_str_has_prefix ((*p)->semantic, "sora.file/"))
      return (*p)->name;
  return NULL;
}

/* "PORT=FILE" or "FILE"; @port NULL for the latter. */
static const char *
split_output (const char *option, char **port)
{
  const char *equals = strchr (option, '=');
  *port = equals != NULL ? g_strndup (option, (gsize)(equals - option)) : NULL;
  return equals != NULL ? equals + 1 : option;
}

/* Before it runs: can what it makes be written?  Gives the name of a stage that makes files. */
static int
check_outputs (const SoraStageClass *klass, SoraRequest *request, char **outputs,
               gboolean overwrite, char **folder, char **stem)
{
  const char *files = file_port (klass);
  guint n = outputs != NULL ? g_strv_length (outputs) : 0;
  g_auto (SoractlJob) naming = { .request = sora_request_copy (request), .overwrite = overwrite };
  if (files != NULL && n > 1)
    return soractl_usage_error ("stage", "'%s' makes files of one name: one --output is enough",
                                klass->id);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *port = NULL;
      const char *path = split_output (outputs[i], &port);
      g_autofree char *parent = g_path_get_dirname (path);
      if (files != NULL && port != NULL && !g_str_equal (port, files))
        return soractl_usage_error ("stage", "'%s' makes files on output '%s', not '%s'", klass->id,
                                    files, port);
      if (files != NULL)
        {
          naming.output = g_strdup (path);
          continue;
        }
      if (!g_file_test (parent, G_FILE_TEST_IS_DIR))
        {
          soractl_console_error ("cannot write to '%s': there is no such folder", parent);
          return SORACTL_NOT_FOUND;
        }
      if (!overwrite && g_file_test (path, G_FILE_TEST_EXISTS))
        {
          soractl_console_error ("'%s' exists; --overwrite replaces it", path);
          return SORACTL_FAILED;
        }
    }
  if (files == NULL)
    return SORACTL_OK;
  soractl_job_output_name (&naming, folder, stem);
  return soractl_job_check_output (&naming, *folder, *stem);
}

static int
run_stage (SoractlGlobal *global, const char *plugin, SoraEnvironment *environment,
           SoraRequest *request, SoractlStageInputs *inputs, char **outputs, gboolean overwrite)
{
  g_autoptr (GError) error = NULL;
  const SoraStageClass *klass = sora_registry_stage (environment->registry, plugin, NULL, &error);
  if (klass == NULL)
    return soractl_report (error);
  g_autoptr (SoraPlan) plan = sora_plan_new_for_stage (environment, plugin, request,
                                                       inputs->tensors, inputs->attrs, &error);
  if (plan == NULL)
    return soractl_report (error);
  for (const char *const *w = sora_plan_warnings (plan); w != NULL && *w != NULL; w++)
    soractl_console_warning ("%s", *w);
  g_autofree char *folder = NULL, *stem = NULL;
  int code = check_outputs (klass, request, outputs, overwrite, &folder, &stem);
  if (code != SORACTL_OK)
    return code;
  SoractlTiming timing = { 0 };
  const SoraRunnerCallbacks callbacks = { .log = on_log, .stage_done = on_stage_done };
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, folder, NULL, &callbacks, &timing);
  if (stem != NULL)
    sora_runner_set_output_name (runner, stem, overwrite);
  if (!soractl_run_interruptibly (runner, &error))
    return soractl_report (error);
  for (char **o = folder == NULL ? outputs : NULL; o != NULL && *o != NULL; o++)
    {
      g_autofree char *port = NULL;
      const char *path = split_output (*o, &port);
      if (!soractl_stage_write_outputs (runner, plan, port, path, &error))
        return soractl_report (error);
      if (!global->json)
        printf ("%s\n", path);
    }
  GPtrArray *files = sora_runner_files (runner);
  for (guint i = 0; i < files->len && !global->json; i++)
    printf ("%s\n", ((SoraResultFile *)files->pdata[i])->path);
  if (global->json)
    soractl_json_print (json_pack ("{s:s, s:f, s:f, s:I, s:I}", "stage", klass->id, "wall",
                                   timing.wall, "compute", timing.compute, "peak_resident",
                                   (json_int_t)timing.resident, "peak_predicted",
                                   (json_int_t)sora_plan_peak_bytes (plan)));
  else if (!global->quiet)
    {
      g_autofree char *resident = soractl_format_bytes (timing.resident),
                      *predicted = soractl_format_bytes (sora_plan_peak_bytes (plan));
      fprintf (stderr, "%s: %.3f s, %.3f s of it in compute; %s of memory at most, %s foreseen\n",
               klass->id, timing.wall, timing.compute, resident, predicted);
    }
  return SORACTL_OK;
}

int
soractl_verb_stage (SoractlGlobal *global, int argc, char **argv)
{
  g_auto (GStrv) input_options = NULL, outputs = NULL, params = NULL, attrs = NULL, models = NULL;
  g_autofree char *seed = NULL, *memory = NULL;
  gboolean overwrite = FALSE;
  gint threads = 0;
  const GOptionEntry entries[] = {
    { "model", 'm', 0, G_OPTION_ARG_STRING_ARRAY, &models,
      "Model, by name or path, of the first slot or of SLOT", "[SLOT=]MODEL" },
    { "input", 'i', 0, G_OPTION_ARG_FILENAME_ARRAY, &input_options, "A tensor for an input port",
      "PORT=FILE[:TENSOR]" },
    { "attr", 0, 0, G_OPTION_ARG_STRING_ARRAY, &attrs, "An attribute of an input port",
      "PORT.NAME=VALUE" },
    { "output", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &outputs,
      "Write all outputs, or one, to a safetensors file; or the file that the stage makes",
      "[PORT=]FILE" },
    { "overwrite", 'f', 0, G_OPTION_ARG_NONE, &overwrite, "Replace a file that exists", NULL },
    { "param", 'p', 0, G_OPTION_ARG_STRING_ARRAY, &params, "Set a parameter of the stage",
      "NAME=VALUE" },
    { "seed", 's', 0, G_OPTION_ARG_STRING, &seed, "Seed (0)", "NUMBER" },
    { "threads", 0, 0, G_OPTION_ARG_INT, &threads, "Threads to compute with (all cores)", "N" },
    { "memory", 0, 0, G_OPTION_ARG_STRING, &memory, "Memory that the stage may use, such as 4G",
      "SIZE" },
    G_OPTION_ENTRY_NULL,
  };
  int code = soractl_parse_options (global, entries, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  if (argc != 3 || !g_str_equal (argv[1], "run"))
    return soractl_usage_error ("stage", "it goes 'soractl stage run PLUGIN [OPTION...]'");
  g_autoptr (SoraRequest) request = sora_request_new ("stage");
  request->has_seed = TRUE;
  request->threads = (guint)threads;
  g_autoptr (GError) error = NULL;
  if (!soractl_check_threads (threads, &error)
      || (seed != NULL && !soractl_parse_seed (seed, &request->seed, &error))
      || (memory != NULL && !soractl_parse_size (memory, &request->memory_limit, &error)))
    return soractl_report (error);
  for (char **m = models; m != NULL && *m != NULL; m++)
    {
      char *equals = strchr (*m, '=');
      g_hash_table_replace (request->models,
                            equals != NULL ? g_strndup (*m, (gsize)(equals - *m)) : g_strdup (""),
                            g_strdup (equals != NULL ? equals + 1 : *m));
    }
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  const SoraStageClass *klass = sora_registry_stage (environment->registry, argv[2], NULL, &error);
  if (klass == NULL)
    return soractl_report (error);
  g_autoptr (GHashTable) tensors
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)sora_tensor_unref);
  g_autoptr (GHashTable) all_attrs
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_hash_table_unref);
  SoractlStageInputs inputs = { tensors, all_attrs };
  for (char **o = input_options; o != NULL && *o != NULL; o++)
    if (!soractl_stage_add_input (&inputs, *o, &error))
      return soractl_report (error);
  for (char **o = attrs; o != NULL && *o != NULL; o++)
    if (!soractl_stage_add_attr (&inputs, *o, &error))
      return soractl_report (error);
  for (char **o = params; o != NULL && *o != NULL; o++)
    if (!add_param (request, klass, *o, &error))
      return soractl_report (error);
  return run_stage (global, argv[2], environment, request, &inputs, outputs, overwrite);
}
