/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reads, has described, and exports plugins, pipelines and models.
 */
#include "config.h"
#include "sorad-catalogue.h"

#include <string.h>

#include "core/sora-model.h"
#include "core/sora-registry.h"
#include "dbus/sora-bus-error.h"
#include "dbus/sora-bus-generated.h"
#include "sorad-asking.h"

#define DESCRIBE_TIMEOUT 5 /* twice of it is within the 25 s that the bus waits for a service */
#define EMBEDDED_MODEL "sora-shapes-1"

struct SoradCatalogue
{
  const SoradConfig *config;
  SoradStore *store;
  SoraRegistry *registry;
  GPtrArray *plugins;   /* of SoraPluginInfo */
  GPtrArray *pipelines; /* of SoraPipeline */
  GPtrArray *models;    /* of SoraModel */
  char *default_model;
  GDBusConnection *connection;
  GDBusObjectManagerServer *manager;
  GHashTable *plugin_descriptions;   /* id -> GVariant a{sv} */
  GHashTable *pipeline_descriptions; /* likewise */
  GThreadPool *digests;              /* one at a time: each may read many gigabytes */
  guint next;                        /* what is described alone: plugins, then pipelines */
  gint digesting;                    /* atomic: calls in `digests` */
  gint ending;                       /* atomic */
  void (*ready) (gpointer data);
  gpointer data;
};

static void
warn_all (GPtrArray *warnings)
{
  for (guint i = 0; i < warnings->len; i++)
    g_message ("%s", (const char *)g_ptr_array_index (warnings, i));
}

static char *
choose_default_model (const SoradCatalogue *catalogue)
{
  if (catalogue->config->default_model)
    return g_strdup (catalogue->config->default_model);
  if (catalogue->models->len == 1)
    return g_strdup (sora_model_id (g_ptr_array_index (catalogue->models, 0)));
  return g_strdup (sorad_catalogue_has_model ((SoradCatalogue *)catalogue, EMBEDDED_MODEL)
                       ? EMBEDDED_MODEL
                       : "");
}

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
static void
digest_in_thread (gpointer data, gpointer user_data)
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
  for (guint i = 0; i < catalogue->models->len; i++)
    {
      SoraModel *model = g_ptr_array_index (catalogue->models, i);
      if (g_str_equal (sora_model_id (model), sora_bus_model_get_id (object)))
        call->path = g_strdup (sora_model_path (model));
    }
  g_atomic_int_inc (&catalogue->digesting);
  g_thread_pool_push (catalogue->digests, call, NULL);
  return TRUE;
}

/* -- Objects */

static GVariant *
lookup_rows (GVariant *description, const char *key)
{
  GVariant *rows
      = description ? g_variant_lookup_value (description, key, G_VARIANT_TYPE ("aa{sv}")) : NULL;
  return rows ? rows : g_variant_ref_sink (g_variant_new ("aa{sv}", NULL));
}

static const char *
lookup_problem (GVariant *description)
{
  const char *problem = "";
  if (description)
    g_variant_lookup (description, "problem", "&s", &problem);
  return problem;
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
  gboolean described = description && !*lookup_problem (description);
  g_autoptr (SoraBusPlugin) plugin = sora_bus_plugin_skeleton_new ();
  g_autoptr (GVariant) stages
      = described ? lookup_rows (description, "stages") : manifest_stages (info);
  sora_bus_plugin_set_id (plugin, id);
  sora_bus_plugin_set_name (plugin, sora_plugin_info_name (info));
  sora_bus_plugin_set_version (plugin, sora_plugin_info_version (info));
  sora_bus_plugin_set_licence (plugin, sora_plugin_info_licence (info));
  sora_bus_plugin_set_summary (plugin, sora_plugin_info_summary (info));
  sora_bus_plugin_set_stages (plugin, stages);
  sora_bus_plugin_set_problem (plugin, lookup_problem (description));
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
  g_autoptr (GVariant) parameters = lookup_rows (description, "parameters");
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
  sora_bus_pipeline_set_problem (object, lookup_problem (description));
  export_object (catalogue, SORA_BUS_PIPELINES_PATH, id, object);
}

static void
export_model (SoradCatalogue *catalogue, SoraModel *model)
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

static void
export_all (SoradCatalogue *catalogue)
{
  catalogue->manager = g_dbus_object_manager_server_new (SORA_BUS_PATH);
  for (guint i = 0; i < catalogue->plugins->len; i++)
    export_plugin (catalogue, g_ptr_array_index (catalogue->plugins, i));
  for (guint i = 0; i < catalogue->pipelines->len; i++)
    export_pipeline (catalogue, g_ptr_array_index (catalogue->pipelines, i));
  for (guint i = 0; i < catalogue->models->len; i++)
    export_model (catalogue, g_ptr_array_index (catalogue->models, i));
  g_dbus_object_manager_server_set_connection (catalogue->manager, catalogue->connection);
  catalogue->ready (catalogue->data);
}

/* -- Descriptions */

static void
take_descriptions (GHashTable *table, GVariant *answer, const char *key)
{
  g_autoptr (GVariant) all = g_variant_lookup_value (answer, key, G_VARIANT_TYPE_VARDICT);
  GVariantIter iter;
  const char *id;
  GVariant *value;
  if (!all)
    return;
  g_variant_iter_init (&iter, all);
  while (g_variant_iter_next (&iter, "{&sv}", &id, &value))
    {
      if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT))
        g_hash_table_replace (table, g_strdup (id), g_steal_pointer (&value));
      g_clear_pointer (&value, g_variant_unref);
    }
}

static void describe_next (SoradCatalogue *catalogue);

static void
set_problem (GHashTable *table, const char *id, const char *text)
{
  GVariantDict problem;
  g_variant_dict_init (&problem, NULL);
  g_variant_dict_insert (&problem, "problem", "s", text);
  g_hash_table_replace (table, g_strdup (id), g_variant_ref_sink (g_variant_dict_end (&problem)));
}

static void
on_described_alone (GVariant *answer, const GError *error, gpointer data)
{
  SoradCatalogue *catalogue = data;
  if (g_atomic_int_get (&catalogue->ending))
    return;
  guint n = catalogue->plugins->len;
  gboolean plugin = catalogue->next < n;
  GHashTable *table = plugin ? catalogue->plugin_descriptions : catalogue->pipeline_descriptions;
  const char *id
      = plugin ? sora_plugin_info_id (g_ptr_array_index (catalogue->plugins, catalogue->next))
               : sora_pipeline_id (g_ptr_array_index (catalogue->pipelines, catalogue->next - n));
  if (answer)
    g_hash_table_replace (table, g_strdup (id), g_variant_get_child_value (answer, 0));
  else
    {
      set_problem (table, id, error->message);
      g_message ("%s '%s': %s", plugin ? "plugin" : "pipeline", id, error->message);
    }
  catalogue->next++;
  describe_next (catalogue);
}

/* What one of its plugins was found at fault with; NULL: nothing. */
static char *
problem_of_plugins (SoradCatalogue *catalogue, SoraPipeline *pipeline)
{
  GPtrArray *stages = sora_pipeline_stages (pipeline);
  for (guint i = 0; i < stages->len; i++)
    {
      const char *name = ((SoraPipelineStage *)g_ptr_array_index (stages, i))->plugin;
      g_autofree char *id = g_strndup (name, strcspn (name, "/"));
      const char *problem
          = lookup_problem (g_hash_table_lookup (catalogue->plugin_descriptions, id));
      if (*problem)
        return g_strdup_printf ("plugin '%s': %s", id, problem);
    }
  return NULL;
}

/* A pipeline would load them again, and wait for each as long: it is not asked. */
static void
skip_pipelines_with_problems (SoradCatalogue *catalogue)
{
  guint n = catalogue->plugins->len;
  for (; catalogue->next >= n && catalogue->next < n + catalogue->pipelines->len; catalogue->next++)
    {
      SoraPipeline *pipeline = g_ptr_array_index (catalogue->pipelines, catalogue->next - n);
      g_autofree char *problem = problem_of_plugins (catalogue, pipeline);
      if (!problem)
        return;
      set_problem (catalogue->pipeline_descriptions, sora_pipeline_id (pipeline), problem);
    }
}

static void
describe_next (SoradCatalogue *catalogue)
{
  guint n = catalogue->plugins->len;
  skip_pipelines_with_problems (catalogue);
  if (catalogue->next >= n + catalogue->pipelines->len)
    {
      export_all (catalogue);
      return;
    }
  gboolean plugin = catalogue->next < n;
  const char *id
      = plugin ? sora_plugin_info_id (g_ptr_array_index (catalogue->plugins, catalogue->next))
               : sora_pipeline_id (g_ptr_array_index (catalogue->pipelines, catalogue->next - n));
  sorad_ask (catalogue->config, catalogue->store, SORA_MESSAGE_DESCRIBE,
             g_variant_new ("(ss)", plugin ? "plugin" : "pipeline", id), NULL, DESCRIBE_TIMEOUT,
             on_described_alone, catalogue);
}

static void
on_described (GVariant *answer, const GError *error, gpointer data)
{
  SoradCatalogue *catalogue = data;
  if (g_atomic_int_get (&catalogue->ending))
    return;
  if (!answer)
    {
      g_message ("describing all plugins at once failed, trying one by one: %s", error->message);
      describe_next (catalogue);
      return;
    }
  g_autoptr (GVariant) all = g_variant_get_child_value (answer, 0);
  take_descriptions (catalogue->plugin_descriptions, all, "plugins");
  take_descriptions (catalogue->pipeline_descriptions, all, "pipelines");
  export_all (catalogue);
}

void
sorad_catalogue_start (SoradCatalogue *catalogue, GDBusConnection *connection,
                       void (*ready) (gpointer data), gpointer data)
{
  catalogue->connection = g_object_ref (connection);
  catalogue->ready = ready;
  catalogue->data = data;
  sorad_ask (catalogue->config, catalogue->store, SORA_MESSAGE_DESCRIBE,
             g_variant_new ("(ss)", "all", ""), NULL, DESCRIBE_TIMEOUT, on_described, catalogue);
}

/* -- Looking up */

SoraPipeline *
sorad_catalogue_find_pipeline (SoradCatalogue *catalogue, const char *id)
{
  for (guint i = 0; i < catalogue->pipelines->len; i++)
    if (g_str_equal (sora_pipeline_id (g_ptr_array_index (catalogue->pipelines, i)), id))
      return g_ptr_array_index (catalogue->pipelines, i);
  return NULL;
}

gboolean
sorad_catalogue_has_plugin (SoradCatalogue *catalogue, const char *name)
{
  g_autofree char *id = g_strndup (name, strcspn (name, "/"));
  return sora_registry_find (catalogue->registry, id) != NULL;
}

gboolean
sorad_catalogue_has_model (SoradCatalogue *catalogue, const char *id)
{
  for (guint i = 0; i < catalogue->models->len; i++)
    if (g_str_equal (sora_model_id (g_ptr_array_index (catalogue->models, i)), id))
      return TRUE;
  return FALSE;
}

gboolean
sorad_catalogue_may_have_parameter (SoradCatalogue *catalogue, SoraPipeline *pipeline,
                                    const char *name)
{
  const char *dot = strchr (name, '.');
  if (dot)
    {
      GPtrArray *stages = sora_pipeline_stages (pipeline);
      for (guint i = 0; i < stages->len; i++)
        {
          const char *id = ((SoraPipelineStage *)g_ptr_array_index (stages, i))->id;
          if (strlen (id) == (gsize)(dot - name) && g_str_has_prefix (name, id))
            return TRUE;
        }
      return FALSE;
    }
  GPtrArray *params = sora_pipeline_params (pipeline);
  for (guint i = 0; i < params->len; i++)
    if (g_str_equal (((SoraPipelineParam *)g_ptr_array_index (params, i))->name, name))
      return TRUE;
  return FALSE;
}

const char *
sorad_catalogue_default_model (SoradCatalogue *catalogue)
{
  return catalogue->default_model;
}

SoradCatalogue *
sorad_catalogue_new (const SoradConfig *config, SoradStore *store)
{
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  SoradCatalogue *catalogue = g_new0 (SoradCatalogue, 1);
  catalogue->config = config;
  catalogue->store = store;
  catalogue->registry = sora_registry_new ((const char *const *)config->plugin_dirs);
  for (const char *const *text = sora_registry_warnings (catalogue->registry); text && *text;
       text++)
    g_message ("%s", *text);
  catalogue->plugins = sora_registry_list (catalogue->registry);
  catalogue->pipelines = sora_pipeline_list ((const char *const *)config->pipeline_dirs, warnings);
  catalogue->models = sora_model_list ((const char *const *)config->model_dirs, warnings);
  warn_all (warnings);
  catalogue->default_model = choose_default_model (catalogue);
  catalogue->plugin_descriptions
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  catalogue->pipeline_descriptions
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  catalogue->digests = g_thread_pool_new (digest_in_thread, catalogue, 1, FALSE, NULL);
  return catalogue;
}

gboolean
sorad_catalogue_is_busy (SoradCatalogue *catalogue)
{
  return g_atomic_int_get (&catalogue->digesting) > 0;
}

void
sorad_catalogue_stop (SoradCatalogue *catalogue)
{
  if (catalogue)
    g_atomic_int_set (&catalogue->ending, TRUE);
}

void
sorad_catalogue_free (SoradCatalogue *catalogue)
{
  if (!catalogue)
    return;
  g_thread_pool_free (catalogue->digests, FALSE, TRUE); /* those who wait are told that it ends */
  if (catalogue->manager)
    g_dbus_object_manager_server_set_connection (catalogue->manager, NULL);
  g_clear_object (&catalogue->manager);
  g_clear_object (&catalogue->connection);
  g_hash_table_unref (catalogue->plugin_descriptions);
  g_hash_table_unref (catalogue->pipeline_descriptions);
  g_ptr_array_unref (catalogue->plugins);
  g_ptr_array_unref (catalogue->pipelines);
  g_ptr_array_unref (catalogue->models);
  sora_registry_unref (catalogue->registry);
  g_free (catalogue->default_model);
  g_free (catalogue);
}
