/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Plugins, pipelines and models as objects on the bus.
 */
#include "config.h"
#include "sorad-catalogue-private.h"

#include "dbus/sora-bus-error.h"
#include "dbus/sora-bus-generated.h"

/* -- Digests */

typedef struct
{
  GDBusMethodInvocation *invocation;
  char *path;
} DigestCall;

static gboolean
is_ending (gpointer data)
{
  return g_atomic_int_get (&((SoradCatalogue *)data)->ending);
}

/* The model is opened anew: its files may have changed since the daemon began, and what did not is
 * in the cache of digests. */
void
sorad_catalogue_digest (gpointer data, gpointer user_data)
{
  DigestCall *call = data;
  SoradCatalogue *catalogue = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraModel) model = NULL;
  if (is_ending (catalogue))
    g_set_error (&error, SORA_ERROR, SORA_ERROR_FAILED, "sorad ends");
  else
    model = sora_model_open (call->path, &error);
  const char *digest
      = model ? sora_model_digest_stoppable (model, is_ending, catalogue, &error) : NULL;
  if (digest)
    g_dbus_method_invocation_return_value (call->invocation, g_variant_new ("(s)", digest));
  else
    g_dbus_method_invocation_return_gerror (call->invocation, error);
  g_atomic_int_add (&catalogue->digesting, -1);
  g_free (call->path);
  g_free (call);
}

static gboolean
on_get_digest (SoraBusModel *object, GDBusMethodInvocation *invocation, gpointer data)
{
  SoradCatalogue *catalogue = data;
  DigestCall *call = g_new0 (DigestCall, 1);
  call->invocation = invocation;
  call->path = g_strdup (sorad_catalogue_model_path (catalogue, sora_bus_model_get_id (object)));
  if (!call->path) /* its folder went, and that was seen by the look for it */
    {
      g_free (call);
      g_dbus_method_invocation_return_error (invocation, SORA_ERROR, SORA_ERROR_NOT_FOUND,
                                             "no model '%s'", sora_bus_model_get_id (object));
      return TRUE;
    }
  g_atomic_int_inc (&catalogue->digesting);
  g_thread_pool_push (catalogue->digests, call, NULL);
  return TRUE;
}

/* -- Objects */

GVariant *
sorad_catalogue_rows (GVariant *description, const char *key)
{
  GVariant *rows
      = description ? g_variant_lookup_value (description, key, G_VARIANT_TYPE ("aa{sv}")) : NULL;
  return rows ? rows : g_variant_ref_sink (g_variant_new ("aa{sv}", NULL));
}

char *
sorad_catalogue_model_object (const char *id)
{
  g_autofree char *name = g_dbus_escape_object_path (id);
  return g_strdup_printf ("%s/%s", SORA_BUS_MODELS_PATH, name);
}

static void
export_object (SoradCatalogue *catalogue, const char *parent, const char *id, gpointer interface)
{
  g_autofree char *name = g_dbus_escape_object_path (id);
  g_autofree char *path = g_strdup_printf ("%s/%s", parent, name);
  g_autoptr (GDBusObjectSkeleton) object = g_dbus_object_skeleton_new (path);
  g_dbus_object_skeleton_add_interface (object, interface);
  g_dbus_object_manager_server_export (catalogue->manager, object);
}

/* What the manifest says, for a plugin that could not be described. */
static GVariant *
manifest_stages (const SoraPluginInfo *info)
{
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (const SoraStageInfo *const *stage = sora_plugin_info_stages (info); stage && *stage; stage++)
    {
      GVariantDict row;
      g_variant_dict_init (&row, NULL);
      g_variant_dict_insert (&row, "id", "s", (*stage)->id);
      g_variant_dict_insert (&row, "kind", "s", (*stage)->kind ? (*stage)->kind : "");
      g_variant_dict_insert (&row, "summary", "s", (*stage)->summary ? (*stage)->summary : "");
      g_variant_builder_add_value (&rows, g_variant_dict_end (&row));
    }
  return g_variant_ref_sink (g_variant_builder_end (&rows));
}

static void
export_plugin (SoradCatalogue *catalogue, const SoraPluginInfo *info)
{
  const char *id = sora_plugin_info_id (info);
  GVariant *description = g_hash_table_lookup (catalogue->plugin_descriptions, id);
  gboolean described = description && !*sorad_catalogue_problem (description);
  g_autoptr (SoraBusPlugin) plugin = sora_bus_plugin_skeleton_new ();
  g_autoptr (GVariant) stages
      = described ? sorad_catalogue_rows (description, "stages") : manifest_stages (info);
  sora_bus_plugin_set_id (plugin, id);
  sora_bus_plugin_set_name (plugin, sora_plugin_info_name (info));
  sora_bus_plugin_set_version (plugin, sora_plugin_info_version (info));
  sora_bus_plugin_set_licence (plugin, sora_plugin_info_licence (info));
  sora_bus_plugin_set_summary (plugin, sora_plugin_info_summary (info));
  sora_bus_plugin_set_stages (plugin, stages);
  sora_bus_plugin_set_problem (plugin, sorad_catalogue_problem (description));
  export_object (catalogue, SORA_BUS_PLUGINS_PATH, id, plugin);
}

static GVariant *
pipeline_stages (SoraPipeline *pipeline)
{
  GVariantBuilder rows;
  GPtrArray *stages = sora_pipeline_stages (pipeline);
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < stages->len; i++)
    {
      const SoraPipelineStage *stage = g_ptr_array_index (stages, i);
      GVariantBuilder inputs, models;
      GHashTableIter iter;
      gpointer slot, role;
      g_variant_builder_init (&inputs, G_VARIANT_TYPE ("a{ss}"));
      for (guint j = 0; j < stage->inputs->len; j++)
        {
          const SoraPipelineInput *input = g_ptr_array_index (stage->inputs, j);
          g_autofree char *source
              = g_strdup_printf ("%s:%s", input->source_stage ? input->source_stage : "",
                                 input->source_port ? input->source_port : "");
          g_variant_builder_add (&inputs, "{ss}", input->port, source);
        }
      g_variant_builder_init (&models, G_VARIANT_TYPE ("a{ss}"));
      g_hash_table_iter_init (&iter, stage->models);
      while (g_hash_table_iter_next (&iter, &slot, &role))
        g_variant_builder_add (&models, "{ss}", slot, role);
      GVariantDict row;
      g_variant_dict_init (&row, NULL);
      g_variant_dict_insert (&row, "id", "s", stage->id);
      g_variant_dict_insert (&row, "plugin", "s", stage->plugin);
      g_variant_dict_insert_value (&row, "inputs", g_variant_builder_end (&inputs));
      g_variant_dict_insert_value (&row, "models", g_variant_builder_end (&models));
      g_variant_builder_add_value (&rows, g_variant_dict_end (&row));
    }
  return g_variant_builder_end (&rows);
}

static void
export_pipeline (SoradCatalogue *catalogue, SoraPipeline *pipeline)
{
  const char *id = sora_pipeline_id (pipeline);
  GVariant *description = g_hash_table_lookup (catalogue->pipeline_descriptions, id);
  g_autoptr (SoraBusPipeline) object = sora_bus_pipeline_skeleton_new ();
  g_autoptr (GVariant) parameters = sorad_catalogue_rows (description, "parameters");
  GVariantBuilder roles;
  GHashTableIter iter;
  gpointer role, components;
  g_variant_builder_init (&roles, G_VARIANT_TYPE ("a{ss}"));
  g_hash_table_iter_init (&iter, sora_pipeline_roles (pipeline));
  while (g_hash_table_iter_next (&iter, &role, &components))
    g_variant_builder_add (&roles, "{ss}", role, components);
  const char *name = sora_pipeline_name (pipeline);
  const char *summary = sora_pipeline_summary (pipeline);
  sora_bus_pipeline_set_id (object, id);
  sora_bus_pipeline_set_name (object, name ? name : id);
  sora_bus_pipeline_set_summary (object, summary ? summary : "");
  sora_bus_pipeline_set_parameters (object, parameters);
  sora_bus_pipeline_set_stages (object, pipeline_stages (pipeline));
  sora_bus_pipeline_set_roles (object, g_variant_builder_end (&roles));
  sora_bus_pipeline_set_problem (object, sorad_catalogue_problem (description));
  export_object (catalogue, SORA_BUS_PIPELINES_PATH, id, object);
}

void
sorad_catalogue_export_model (SoradCatalogue *catalogue, SoraModel *model)
{
  g_autoptr (SoraBusModel) object = sora_bus_model_skeleton_new ();
  GVariantBuilder components;
  uint64_t bytes = 0, parameters = 0;
  g_variant_builder_init (&components, G_VARIANT_TYPE ("a{ss}"));
  for (const char *const *name = sora_model_components (model); name && *name; name++)
    {
      const char *class = sora_model_component_class (model, *name);
      g_variant_builder_add (&components, "{ss}", *name, class ? class : "");
    }
  g_autoptr (GError) error = NULL;
  if (!sora_model_size (model, NULL, &bytes, &parameters, &error))
    g_message ("model '%s': %s", sora_model_id (model), error->message);
  const char *family = sora_model_family (model);
  sora_bus_model_set_id (object, sora_model_id (model));
  sora_bus_model_set_family (object, family ? family : "");
  sora_bus_model_set_components (object, g_variant_builder_end (&components));
  sora_bus_model_set_weights_bytes (object, bytes);
  sora_bus_model_set_parameter_count (object, parameters);
  g_signal_connect (object, "handle-get-digest", G_CALLBACK (on_get_digest), catalogue);
  export_object (catalogue, SORA_BUS_MODELS_PATH, sora_model_id (model), object);
}

void
sorad_catalogue_export (SoradCatalogue *catalogue)
{
  catalogue->manager = g_dbus_object_manager_server_new (SORA_BUS_PATH);
  for (guint i = 0; i < catalogue->plugins->len; i++)
    export_plugin (catalogue, g_ptr_array_index (catalogue->plugins, i));
  for (guint i = 0; i < catalogue->pipelines->len; i++)
    export_pipeline (catalogue, g_ptr_array_index (catalogue->pipelines, i));
  for (guint i = 0; i < catalogue->models->len; i++)
    sorad_catalogue_export_model (catalogue, g_ptr_array_index (catalogue->models, i));
  g_dbus_object_manager_server_set_connection (catalogue->manager, catalogue->connection);
  sorad_catalogue_watch_listing (catalogue);
  catalogue->ready (catalogue->data);
}
