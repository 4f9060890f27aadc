/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl stage run PLUGIN: one stage alone, on tensors from safetensors files.  The researcher's
 * probe, and the way every stage is compared with its reference.
 *
 * Attributes of ports travel in the files' metadata, as "attr.TENSOR.NAME" with a type letter:
 * "i:512", "f:16", "s:off".
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-job.h"
#include "soractl-json.h"
#include "sora-error.h"
#include "sora-param.h"
#include "sora-runner.h"
#include "sora-safetensors.h"
#include <string.h>

typedef struct
{
  GHashTable *tensors; /* port -> SoraTensor */
  GHashTable *attrs;   /* port -> GHashTable of name -> GVariant */
} Inputs;

static GVariant *
attr_parse (const char *text)
{
  if (g_str_has_prefix (text, "i:"))
    return g_variant_ref_sink (g_variant_new_int64 (g_ascii_strtoll (text + 2, NULL, 10)));
  if (g_str_has_prefix (text, "f:"))
    return g_variant_ref_sink (g_variant_new_double (g_ascii_strtod (text + 2, NULL)));
  if (g_str_has_prefix (text, "s:"))
    return g_variant_ref_sink (g_variant_new_string (text + 2));
  return NULL;
}

static char *
attr_print (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_INT64))
    return g_strdup_printf ("i:%" G_GINT64_FORMAT, g_variant_get_int64 (value));
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    {
      char number[G_ASCII_DTOSTR_BUF_SIZE];
      return g_strdup_printf ("f:%s",
                              g_ascii_dtostr (number, sizeof number, g_variant_get_double (value)));
    }
  return g_strdup_printf ("s:%s", g_variant_get_string (value, NULL));
}

static GHashTable *
port_attrs (Inputs *inputs, const char *port)
{
  GHashTable *attrs = g_hash_table_lookup (inputs->attrs, port);
  if (attrs == NULL)
    {
      attrs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                     (GDestroyNotify)g_variant_unref);
      g_hash_table_insert (inputs->attrs, g_strdup (port), attrs);
    }
  return attrs;
}

/* The attributes that a stage of ours wrote into the file; the keys are not listed, so ask for
 * those that exist. */
static void
read_attrs (Inputs *inputs, SoraSafetensors *file, const char *port, const char *tensor)
{
  g_autofree char *list_key = g_strdup_printf ("attrs.%s", tensor);
  const char *list = sora_safetensors_metadata (file, list_key);
  g_auto (GStrv) names = g_strsplit (list != NULL ? list : "", ",", -1);
  for (char **name = names; *name != NULL; name++)
    {
      g_autofree char *key = g_strdup_printf ("attr.%s.%s", tensor, *name);
      const char *text = sora_safetensors_metadata (file, key);
      GVariant *value = text != NULL ? attr_parse (text) : NULL;
      if (value != NULL)
        g_hash_table_replace (port_attrs (inputs, port), g_strdup (*name), value);
    }
}

/* PORT=FILE or PORT=FILE:TENSOR.  Without a tensor's name: that of the port, or the only one. */
static gboolean
add_input (Inputs *inputs, const char *option, GError **error)
{
  const char *equals = strchr (option, '=');
  if (equals == NULL || equals == option)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option --input takes PORT=FILE[:TENSOR], not '%s'", option);
      return FALSE;
    }
  g_autofree char *port = g_strndup (option, (gsize)(equals - option));
  g_autofree char *path = g_strdup (equals + 1);
  const char *tensor = NULL;
  char *colon = strrchr (path, ':');
  if (colon != NULL && !g_file_test (path, G_FILE_TEST_EXISTS))
    {
      *colon = '\0';
      tensor = colon + 1;
    }
  g_autoptr (SoraSafetensors) file = sora_safetensors_open (path, error);
  if (file == NULL)
    return FALSE;
  const char *const *names = sora_safetensors_names (file);
  if (tensor == NULL && g_strv_contains (names, port))
    tensor = port;
  if (tensor == NULL && names[0] != NULL && names[1] == NULL)
    tensor = names[0];
  if (tensor == NULL)
    {
      g_autofree char *all = g_strjoinv (", ", (char **)names);
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "'%s' has no tensor '%s' for that port; it has: %s; say %s=%s:TENSOR", path,
                   port, all, port, path);
      return FALSE;
    }
  SoraTensor *loaded = sora_safetensors_load (file, tensor, error);
  if (loaded == NULL)
    return FALSE;
  read_attrs (inputs, file, port, tensor);
  g_hash_table_replace (inputs->tensors, g_steal_pointer (&port), loaded);
  return TRUE;
}

/* PORT.NAME=VALUE; a number is an integer, one with a point a number, all else text. */
static gboolean
add_attr (Inputs *inputs, const char *option, GError **error)
{
  const char *dot = strchr (option, '.'), *equals = dot != NULL ? strchr (dot, '=') : NULL;
  if (equals == NULL || dot == option || equals == dot + 1)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option --attr takes PORT.NAME=VALUE, not '%s'", option);
      return FALSE;
    }
  g_autofree char *port = g_strndup (option, (gsize)(dot - option));
  char *end;
  GVariant *value = g_variant_new_int64 (g_ascii_strtoll (equals + 1, &end, 10));
  if (*end != '\0' || end == equals + 1)
    {
      g_variant_unref (value);
      double number = g_ascii_strtod (equals + 1, &end);
      value = *end == '\0' && end != equals + 1 ? g_variant_new_double (number)
                                                : g_variant_new_string (equals + 1);
    }
  g_hash_table_replace (port_attrs (inputs, port), g_strndup (dot + 1, (gsize)(equals - dot - 1)),
                        g_variant_ref_sink (value));
  return TRUE;
}

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

/* One output, or all of them, to a safetensors file. */
static gboolean
write_outputs (SoraRunner *runner, SoraPlan *plan, const char *only, const char *path,
               GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new (),
                        tensors
                        = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_tensor_unref);
  g_autoptr (GHashTable) metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  SoraPlanStage *stage = g_ptr_array_index (sora_plan_stages (plan), 0);
  for (guint i = 0; i < stage->outputs->len; i++)
    {
      const SoraPlanOutput *output = stage->outputs->pdata[i];
      if (output->spec == NULL || (only != NULL && !g_str_equal (only, output->port)))
        continue;
      SoraTensor *tensor = sora_runner_get_output (runner, output->port);
      if (tensor == NULL)
        continue;
      g_ptr_array_add (names, (gpointer)output->port);
      g_ptr_array_add (tensors, tensor);
      g_autoptr (GString) list = g_string_new (NULL);
      GHashTableIter iter;
      gpointer key, value;
      if (output->spec->attrs != NULL)
        {
          g_hash_table_iter_init (&iter, output->spec->attrs);
          while (g_hash_table_iter_next (&iter, &key, &value))
            {
              g_string_append_printf (list, "%s%s", list->len > 0 ? "," : "", (char *)key);
              g_hash_table_insert (metadata,
                                   g_strdup_printf ("attr.%s.%s", output->port, (char *)key),
                                   attr_print (value));
            }
        }
      if (list->len > 0)
        g_hash_table_insert (metadata, g_strdup_printf ("attrs.%s", output->port),
                             g_strdup (list->str));
    }
  if (names->len == 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "stage '%s' gave nothing on output '%s'", stage->plugin,
                   only != NULL ? only : "(any)");
      return FALSE;
    }
  return sora_safetensors_write (path, (const char *const *)names->pdata,
                                 (SoraTensor *const *)tensors->pdata, names->len, metadata, error);
}

static void
on_log (gpointer data, int level, const char *stage, const char *message)
{
  if (level >= SORA_LOG_WARNING)
    soractl_console_warning ("%s", message);
}

static void
on_stage_done (gpointer data, guint run, const char *stage, double wall, double compute)
{
  SoractlTiming *timing = data;
  timing->wall = wall;
  timing->compute = compute;
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
           SoraRequest *request, Inputs *inputs, char **outputs, gboolean overwrite)
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
      if (!write_outputs (runner, plan, port, path, &error))
        return soractl_report (error);
      if (!global->json)
        printf ("%s\n", path);
    }
  GPtrArray *files = sora_runner_files (runner);
  for (guint i = 0; i < files->len && !global->json; i++)
    printf ("%s\n", ((SoraResultFile *)files->pdata[i])->path);
  if (global->json)
    soractl_json_print (json_pack ("{s:s, s:f, s:f}", "stage", klass->id, "wall", timing.wall,
                                   "compute", timing.compute));
  else if (!global->quiet)
    fprintf (stderr, "%s: %.3f s, %.3f s of it in compute\n", klass->id, timing.wall,
             timing.compute);
  return SORACTL_OK;
}

int
soractl_verb_stage (SoractlGlobal *global, int argc, char **argv)
{
  g_auto (GStrv) input_options = NULL, outputs = NULL, params = NULL, attrs = NULL, models = NULL;
  g_autofree char *seed = NULL;
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
      || (seed != NULL && !soractl_parse_seed (seed, &request->seed, &error)))
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
  Inputs inputs = { tensors, all_attrs };
  for (char **o = input_options; o != NULL && *o != NULL; o++)
    if (!add_input (&inputs, *o, &error))
      return soractl_report (error);
  for (char **o = attrs; o != NULL && *o != NULL; o++)
    if (!add_attr (&inputs, *o, &error))
      return soractl_report (error);
  for (char **o = params; o != NULL && *o != NULL; o++)
    if (!add_param (request, klass, *o, &error))
      return soractl_report (error);
  return run_stage (global, argv[2], environment, request, &inputs, outputs, overwrite);
}
