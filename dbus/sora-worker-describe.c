/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Describes a plugin or a pipeline to the daemon: what takes the plugin's code to know, as
 * dictionaries that become properties on the bus.
 */
#include "config.h"
#include "sora-worker.h"

#include "core/sora-param.h"

static const struct
{
  SoraParamType type;
  const char *name, *signature;
} param_types[] = {
  { SORA_PARAM_BOOL, "boolean", "b" },
  { SORA_PARAM_I64, "integer", "x" },
  { SORA_PARAM_F64, "number", "d" },
  { SORA_PARAM_STRING, "string", "s" },
  { SORA_PARAM_ENUM, "choice", "s" },
  { SORA_PARAM_STRING_LIST, "string-list", "as" },
  { SORA_PARAM_F64_LIST, "number-list", "ad" },
  { SORA_PARAM_FILE, "file", "h" },
};

static GVariant *
describe_param (const char *name, const SoraParam *param, GVariant *default_value)
{
  GVariantDict row;
  g_variant_dict_init (&row, NULL);
  g_variant_dict_insert (&row, "name", "s", name);
  for (gsize i = 0; i < G_N_ELEMENTS (param_types); i++)
    if (param_types[i].type == param->type)
      {
        g_variant_dict_insert (&row, "type", "s", param_types[i].name);
        g_variant_dict_insert (&row, "signature", "s", param_types[i].signature);
      }
  g_variant_dict_insert (&row, "help", "s", param->help ? param->help : "");
  g_variant_dict_insert (
      &row, "required", "b",
      !default_value && (param->type != SORA_PARAM_FILE || (param->flags & SORA_PARAM_REQUIRED)));
  g_variant_dict_insert (&row, "secret", "b", (param->flags & SORA_PARAM_SECRET) != 0);
  if (default_value && param->type != SORA_PARAM_FILE)
    g_variant_dict_insert_value (&row, "default", default_value);
  if (param->unit)
    g_variant_dict_insert (&row, "unit", "s", param->unit);
  if (param->type == SORA_PARAM_I64 && param->i64_min <= param->i64_max
      && (param->i64_min || param->i64_max))
    {
      g_variant_dict_insert (&row, "minimum", "x", param->i64_min);
      g_variant_dict_insert (&row, "maximum", "x", param->i64_max);
    }
  if (param->type == SORA_PARAM_I64 && param->i64_multiple > 1)
    g_variant_dict_insert (&row, "multiple", "x", param->i64_multiple);
  gboolean real = param->type == SORA_PARAM_F64 || param->type == SORA_PARAM_F64_LIST;
  if (real && param->f64_min <= param->f64_max && !(param->f64_min == 0 && param->f64_max == 0))
    {
      g_variant_dict_insert (&row, "minimum", "d", param->f64_min);
      g_variant_dict_insert (&row, "maximum", "d", param->f64_max);
    }
  if (param->type == SORA_PARAM_ENUM && param->choices)
    g_variant_dict_insert (&row, "choices", "^as", param->choices);
  return g_variant_dict_end (&row);
}

static GVariant *
describe_port (const SoraPort *port)
{
  GVariantDict row;
  GVariantBuilder dtypes;
  g_variant_builder_init (&dtypes, G_VARIANT_TYPE_STRING_ARRAY);
  for (int dtype = SORA_F32; dtype <= SORA_BOOL; dtype++)
    if (port->dtypes & SORA_DTYPE_BIT (dtype))
      g_variant_builder_add (&dtypes, "s", sora_dtype_name (dtype));
  g_variant_dict_init (&row, NULL);
  g_variant_dict_insert (&row, "name", "s", port->name);
  g_variant_dict_insert (&row, "semantic", "s", port->semantic);
  g_variant_dict_insert (&row, "dims", "s", port->dims ? port->dims : "");
  g_variant_dict_insert_value (&row, "dtypes", g_variant_builder_end (&dtypes));
  g_variant_dict_insert (&row, "stream", "b", (port->flags & SORA_PORT_STREAM) != 0);
  g_variant_dict_insert (&row, "optional", "b", (port->flags & SORA_PORT_OPTIONAL) != 0);
  g_variant_dict_insert (&row, "help", "s", port->help ? port->help : "");
  return g_variant_dict_end (&row);
}

static GVariant *
describe_ports (const SoraPort *const *ports)
{
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (; ports && *ports; ports++)
    g_variant_builder_add_value (&rows, describe_port (*ports));
  return g_variant_builder_end (&rows);
}

static GVariant *
describe_class (const SoraStageClass *class)
{
  GVariantDict row;
  GVariantBuilder params, models;
  g_variant_builder_init (&params, G_VARIANT_TYPE ("aa{sv}"));
  for (const SoraParam *const *param = class->params; param && *param; param++)
    {
      g_autoptr (GVariant) value = sora_param_default (*param);
      g_variant_builder_add_value (&params, describe_param ((*param)->name, *param, value));
    }
  g_variant_builder_init (&models, G_VARIANT_TYPE ("aa{sv}"));
  for (const SoraModelSlot *const *slot = class->models; slot && *slot; slot++)
    {
      GVariantDict model;
      g_variant_dict_init (&model, NULL);
      g_variant_dict_insert (&model, "name", "s", (*slot)->name);
      g_variant_dict_insert (&model, "components", "s",
                             (*slot)->components ? (*slot)->components : "");
      g_variant_dict_insert (&model, "optional", "b", ((*slot)->flags & SORA_PORT_OPTIONAL) != 0);
      g_variant_builder_add_value (&models, g_variant_dict_end (&model));
    }
  g_variant_dict_init (&row, NULL);
  g_variant_dict_insert (&row, "id", "s", class->id);
  g_variant_dict_insert (&row, "kind", "s", class->kind ? class->kind : "");
  g_variant_dict_insert (&row, "summary", "s", class->summary ? class->summary : "");
  g_variant_dict_insert_value (&row, "inputs", describe_ports (class->inputs));
  g_variant_dict_insert_value (&row, "outputs", describe_ports (class->outputs));
  g_variant_dict_insert_value (&row, "parameters", g_variant_builder_end (&params));
  g_variant_dict_insert_value (&row, "models", g_variant_builder_end (&models));
  return g_variant_dict_end (&row);
}

static GVariant *
describe_plugin (SoraWorker *worker, const char *id, GError **error)
{
  const SoraPlugin *plugin = sora_registry_load (worker->environment->registry, id, error);
  if (!plugin || !sora_plugin_probe (plugin, error))
    return NULL;
  GVariantDict answer;
  GVariantBuilder stages;
  g_variant_builder_init (&stages, G_VARIANT_TYPE ("aa{sv}"));
  for (const SoraStageClass *const *class = plugin->stages; class && *class; class ++)
    g_variant_builder_add_value (&stages, describe_class (*class));
  g_variant_dict_init (&answer, NULL);
  g_variant_dict_insert_value (&answer, "stages", g_variant_builder_end (&stages));
  return g_variant_dict_end (&answer);
}

static GVariant *
describe_pipeline (SoraWorker *worker, const char *id, GError **error)
{
  g_autoptr (SoraPipeline) pipeline
      = sora_pipeline_find ((const char *const *)worker->environment->pipeline_dirs, id, error);
  if (!pipeline)
    return NULL;
  g_autoptr (GPtrArray) params = sora_pipeline_public_params (worker->environment, pipeline, error);
  if (!params)
    return NULL;
  GVariantDict answer;
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < params->len; i++)
    {
      const SoraPublicParam *param = g_ptr_array_index (params, i);
      g_variant_builder_add_value (
          &rows, describe_param (param->name, param->param, param->default_value));
    }
  g_variant_dict_init (&answer, NULL);
  g_variant_dict_insert_value (&answer, "parameters", g_variant_builder_end (&rows));
  return g_variant_dict_end (&answer);
}

static void
add_description (GVariantDict *dict, const char *id, GVariant *description, const GError *error)
{
  GVariantDict problem;
  if (!description)
    {
      g_variant_dict_init (&problem, NULL);
      g_variant_dict_insert (&problem, "problem", "s", error->message);
      description = g_variant_dict_end (&problem);
    }
  g_variant_dict_insert_value (dict, id, description);
}

/* Everything in one answer; what fails has a "problem".  A plugin that takes the process down with
 * it is found by asking for each alone. */
static GVariant *
describe_all (SoraWorker *worker)
{
  GVariantDict answer, plugins, pipelines;
  g_variant_dict_init (&plugins, NULL);
  g_variant_dict_init (&pipelines, NULL);
  g_autoptr (GPtrArray) infos = sora_registry_list (worker->environment->registry);
  for (guint i = 0; i < infos->len; i++)
    {
      g_autoptr (GError) error = NULL;
      const char *id = sora_plugin_info_id (g_ptr_array_index (infos, i));
      GVariant *description = describe_plugin (worker, id, &error);
      add_description (&plugins, id, description, error);
    }
  g_autoptr (GPtrArray) list
      = sora_pipeline_list ((const char *const *)worker->environment->pipeline_dirs, NULL);
  for (guint i = 0; i < list->len; i++)
    {
      g_autoptr (GError) error = NULL;
      const char *id = sora_pipeline_id (g_ptr_array_index (list, i));
      GVariant *description = describe_pipeline (worker, id, &error);
      add_description (&pipelines, id, description, error);
    }
  g_variant_dict_init (&answer, NULL);
  g_variant_dict_insert_value (&answer, "plugins", g_variant_dict_end (&plugins));
  g_variant_dict_insert_value (&answer, "pipelines", g_variant_dict_end (&pipelines));
  return g_variant_dict_end (&answer);
}

void
sora_worker_describe (SoraWorker *worker, guint64 job, GVariant *payload)
{
  const char *kind, *id;
  g_variant_get (payload, "(&s&s)", &kind, &id);
  g_autoptr (GError) error = NULL;
  GVariant *answer = NULL;
  if (g_str_equal (kind, "plugin"))
    answer = describe_plugin (worker, id, &error);
  else if (g_str_equal (kind, "pipeline"))
    answer = describe_pipeline (worker, id, &error);
  else if (g_str_equal (kind, "all"))
    answer = describe_all (worker);
  else
    g_set_error (&error, SORA_ERROR, SORA_ERROR_PROTOCOL, "protocol: '%s' cannot be described",
                 kind);
  sora_worker_end_task (worker);
  if (!answer
      || !sora_channel_send (worker->channel, SORA_MESSAGE_DESCRIPTION, job,
                             g_variant_new ("(@a{sv})", answer), &error))
    sora_worker_send_error (worker, job, error);
}
