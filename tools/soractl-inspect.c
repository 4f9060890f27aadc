/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl inspect NAME: a plugin, pipeline, model or safetensors file in full.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl.h"
#include "sora-error.h"
#include "sora-param.h"
#include "sora-safetensors.h"
#include <string.h>

static void
heading (const char *text)
{
  printf ("\n%s%s%s\n", soractl_bold (), text, soractl_plain ());
}

static void
field (const char *name, const char *value)
{
  if (value != NULL && *value != '\0')
    printf ("  %-10s %s\n", name, value);
}

static void
print_ports (const char *title, const SoraPort *const *ports)
{
  if (ports == NULL || *ports == NULL)
    return;
  heading (title);
  for (; *ports != NULL; ports++)
    {
      const SoraPort *port = *ports;
      g_autoptr (GString) dtypes = g_string_new (NULL);
      for (int d = 1; d < 32; d++)
        if ((port->dtypes & SORA_DTYPE_BIT (d)) != 0)
          g_string_append_printf (dtypes, "%s%s", dtypes->len > 0 ? "|" : "",
                                  sora_dtype_name ((SoraDtype)d));
      printf ("  %s: %s", port->name, port->semantic);
      if (port->dims != NULL)
        printf ("  %s[%s]", dtypes->str, port->dims);
      printf ("%s%s\n", (port->flags & SORA_PORT_STREAM) ? ", stream" : "",
              (port->flags & SORA_PORT_OPTIONAL) ? ", optional" : "");
      if (port->help != NULL)
        printf ("      %s\n", port->help);
    }
}

static void
print_param (const char *name, const SoraParam *param)
{
  g_autofree char *range = sora_param_describe_range (param);
  printf ("  %s: %s%s%s%s\n", name, sora_param_type_name (param->type), range != NULL ? ", " : "",
          range != NULL ? range : "", (param->flags & SORA_PARAM_REQUIRED) ? ", required" : "");
  if (param->help != NULL)
    printf ("      %s\n", param->help);
}

static int
inspect_plugin (SoraEnvironment *environment, const SoraPluginInfo *info)
{
  printf ("%sPlugin %s%s\n", soractl_bold (), sora_plugin_info_id (info), soractl_plain ());
  field ("Name", sora_plugin_info_name (info));
  field ("Version", sora_plugin_info_version (info));
  field ("Licence", sora_plugin_info_licence (info));
  field ("Summary", sora_plugin_info_summary (info));
  field ("Module", sora_plugin_info_module_path (info));
  field ("Manifest", sora_plugin_info_manifest_path (info));
  g_autoptr (GError) error = NULL;
  const SoraPlugin *plugin
      = sora_registry_load (environment->registry, sora_plugin_info_id (info), &error);
  if (plugin == NULL)
    return soractl_report (error);
  g_autofree char *abi
      = g_strdup_printf ("%u.%u, needs %u.%u", plugin->abi_major, plugin->abi_minor,
                         plugin->abi_major, plugin->needs_minor);
  field ("ABI", abi);
  for (const SoraStageClass *const *s = plugin->stages; *s != NULL; s++)
    {
      const SoraStageClass *stage = *s;
      g_autofree char *title = g_strdup_printf ("Stage %s (%s)", stage->id, stage->kind);
      heading (title);
      field ("Summary", stage->summary);
      for (const SoraModelSlot *const *m = stage->models; m != NULL && *m != NULL; m++)
        {
          g_autofree char *slot
              = g_strdup_printf ("%s: %s%s", (*m)->name, (*m)->components,
                                 ((*m)->flags & SORA_PORT_OPTIONAL) ? ", optional" : "");
          field ("Model", slot);
        }
      print_ports ("Inputs", stage->inputs);
      print_ports ("Outputs", stage->outputs);
      if (stage->params != NULL && *stage->params != NULL)
        heading ("Parameters");
      for (const SoraParam *const *p = stage->params; p != NULL && *p != NULL; p++)
        print_param ((*p)->name, *p);
    }
  return SORACTL_OK;
}

static int
inspect_pipeline (SoraEnvironment *environment, SoraPipeline *pipeline)
{
  printf ("%sPipeline %s%s\n", soractl_bold (), sora_pipeline_id (pipeline), soractl_plain ());
  field ("Name", sora_pipeline_name (pipeline));
  field ("Summary", sora_pipeline_summary (pipeline));
  field ("File", sora_pipeline_path (pipeline));
  heading ("Models");
  GHashTableIter iter;
  gpointer role, components;
  g_hash_table_iter_init (&iter, sora_pipeline_roles (pipeline));
  while (g_hash_table_iter_next (&iter, &role, &components))
    printf ("  %s: %s\n", (char *)role, (char *)components);
  heading ("Stages");
  GPtrArray *stages = sora_pipeline_stages (pipeline);
  for (guint i = 0; i < stages->len; i++)
    {
      SoraPipelineStage *stage = stages->pdata[i];
      printf ("  %s: %s\n", stage->id, stage->plugin);
      for (guint k = 0; k < stage->inputs->len; k++)
        {
          SoraPipelineInput *input = stage->inputs->pdata[k];
          printf ("      %s from %s:%s\n", input->port, input->source_stage, input->source_port);
        }
    }
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) params = sora_pipeline_public_params (environment, pipeline, &error);
  if (params == NULL)
    return soractl_report (error);
  heading ("Parameters");
  for (guint i = 0; i < params->len; i++)
    {
      SoraPublicParam *param = params->pdata[i];
      print_param (param->name, param->param);
      g_autofree char *value
          = param->default_value != NULL ? g_variant_print (param->default_value, FALSE) : NULL;
      if (value != NULL)
        printf ("      Here the default is %s.\n", value);
    }
  return SORACTL_OK;
}

static int
inspect_model (SoraModel *model)
{
  printf ("%sModel %s%s\n", soractl_bold (), sora_model_id (model), soractl_plain ());
  field ("Family", sora_model_family (model));
  field ("Path", sora_model_path (model));
  g_autoptr (GError) error = NULL;
  const char *digest = sora_model_digest (model, &error);
  if (digest == NULL)
    return soractl_report (error);
  field ("Digest", digest);
  heading ("Components");
  g_autoptr (SoractlTable) table = soractl_table_new (4, "0011");
  soractl_table_row (table, "NAME", "CLASS", "PARAMETERS", "WEIGHTS");
  for (const char *const *c = sora_model_components (model); *c != NULL; c++)
    {
      guint64 bytes = 0, parameters = 0;
      /* A scheduler or tokenizer has no weights, which is no fault. */
      if (!sora_model_size (model, *c, &bytes, &parameters, NULL))
        bytes = parameters = 0;
      g_autofree char *size = bytes > 0 ? soractl_format_bytes (bytes) : NULL;
      g_autofree char *count
          = parameters > 0 ? g_strdup_printf ("%.2f M", (double)parameters / 1e6) : NULL;
      soractl_table_row (table, *c, sora_model_component_class (model, *c), count, size);
    }
  soractl_table_print (table, stdout);
  return SORACTL_OK;
}

static int
inspect_safetensors (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraSafetensors) file = sora_safetensors_open (path, &error);
  if (file == NULL)
    return soractl_report (error);
  g_autoptr (SoractlTable) table = soractl_table_new (4, "0001");
  soractl_table_row (table, "TENSOR", "DTYPE", "SHAPE", "SIZE");
  for (const char *const *name = sora_safetensors_names (file); *name != NULL; name++)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      if (!sora_safetensors_get (file, *name, &view, &error))
        return soractl_report (error);
      g_autofree char *shape = sora_shape_to_string (view.ndim, view.shape);
      g_autofree char *size = soractl_format_bytes (view.nbytes);
      soractl_table_row (table, *name, sora_dtype_name ((SoraDtype)view.dtype), shape, size);
    }
  soractl_table_print (table, stdout);
  return SORACTL_OK;
}

int
soractl_verb_inspect (SoractlGlobal *global, int argc, char **argv)
{
  int code = soractl_parse_options (global, NULL, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  if (argc != 2)
    return soractl_usage_error ("inspect", "name one plugin, pipeline, model or .safetensors file");
  const char *name = argv[1];
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  const char *const *pipelines = (const char *const *)environment->pipeline_dirs;
  const char *const *models = (const char *const *)environment->model_dirs;
  g_autoptr (GError) error = NULL;
  if (g_str_has_suffix (name, ".safetensors"))
    return inspect_safetensors (name);
  if (g_file_test (name, G_FILE_TEST_IS_DIR))
    {
      g_autoptr (SoraModel) at_path = sora_model_open (name, &error);
      return at_path != NULL ? inspect_model (at_path) : soractl_report (error);
    }
  if (g_file_test (name, G_FILE_TEST_IS_REGULAR))
    {
      g_autoptr (SoraPipeline) at_path = sora_pipeline_load (name, &error);
      return at_path != NULL ? inspect_pipeline (environment, at_path) : soractl_report (error);
    }
  const SoraPluginInfo *plugin = sora_registry_find (environment->registry, name);
  if (plugin != NULL)
    return inspect_plugin (environment, plugin);
  g_autoptr (SoraPipeline) pipeline = sora_pipeline_find (pipelines, name, &error);
  if (pipeline != NULL)
    return inspect_pipeline (environment, pipeline);
  if (!g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND))
    return soractl_report (error);
  g_clear_error (&error);
  g_autoptr (SoraModel) model = sora_model_find (models, name, &error);
  if (model != NULL)
    return inspect_model (model);
  if (!g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND))
    return soractl_report (error);
  soractl_console_error ("there is no plugin, pipeline, model or file '%s'", name);
  return SORACTL_NOT_FOUND;
}
