/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reads plugins, pipelines and models, and looks them up.
 */
#include "config.h"
#include "sorad-catalogue-private.h"

#include <string.h>

#include "dbus/sora-bus-error.h"

#define EMBEDDED_MODEL "sora-shapes-1"

static void
warn_all (GPtrArray *warnings)
{
  for (guint i = 0; i < warnings->len; i++)
    g_message ("%s", (const char *)g_ptr_array_index (warnings, i));
}

/* -- The default model */

static SoraModel *
find_model (const SoradCatalogue *catalogue, const char *id)
{
  for (guint i = 0; i < catalogue->models->len; i++)
    if (g_str_equal (sora_model_id (g_ptr_array_index (catalogue->models, i)), id))
      return g_ptr_array_index (catalogue->models, i);
  return NULL;
}

static char *
choose_default_model (const SoradCatalogue *catalogue)
{
  if (catalogue->config->default_model)
    return g_strdup (catalogue->config->default_model);
  SoraModel *only = NULL; /* of the whole ones: a part is nobody's default */
  guint count = 0;
  for (guint i = 0; i < catalogue->models->len; i++)
    if (!sora_model_is_single (g_ptr_array_index (catalogue->models, i)))
      {
        only = g_ptr_array_index (catalogue->models, i);
        count++;
      }
  if (count == 1)
    return g_strdup (sora_model_id (only));
  return g_strdup (find_model (catalogue, EMBEDDED_MODEL) ? EMBEDDED_MODEL : "");
}

void
sorad_catalogue_update_default (SoradCatalogue *catalogue)
{
  g_autofree char *chosen = choose_default_model (catalogue);
  GVariantBuilder changed;
  if (g_strcmp0 (chosen, catalogue->default_model) == 0)
    return;
  g_free (catalogue->default_model);
  catalogue->default_model = g_steal_pointer (&chosen);
  if (!catalogue->connection)
    return;
  g_variant_builder_init (&changed, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&changed, "{sv}", "DefaultModel",
                         g_variant_new_string (catalogue->default_model));
  g_dbus_connection_emit_signal (
      catalogue->connection, NULL, SORA_BUS_PATH, "org.freedesktop.DBus.Properties",
      "PropertiesChanged",
      g_variant_new ("(sa{sv}as)", "org.sorad.Sora1.Manager", &changed, NULL), NULL);
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

static gboolean
stage_has_slot (GVariant *stage, const char *name)
{
  g_autoptr (GVariant) slots = sorad_catalogue_rows (stage, "models");
  for (gsize i = 0; i < g_variant_n_children (slots); i++)
    {
      g_autoptr (GVariant) slot = g_variant_get_child_value (slots, i);
      const char *is = "";
      if (g_variant_lookup (slot, "name", "&s", &is) && g_str_equal (is, name))
        return TRUE;
    }
  return FALSE;
}

gboolean
sorad_catalogue_has_slot (SoradCatalogue *catalogue, const char *name)
{
  GHashTableIter iter;
  gpointer description;
  if (g_str_equal (name, "model"))
    return FALSE;
  g_hash_table_iter_init (&iter, catalogue->plugin_descriptions);
  while (g_hash_table_iter_next (&iter, NULL, &description))
    {
      g_autoptr (GVariant) stages = sorad_catalogue_rows (description, "stages");
      for (gsize i = 0; i < g_variant_n_children (stages); i++)
        {
          g_autoptr (GVariant) stage = g_variant_get_child_value (stages, i);
          if (stage_has_slot (stage, name))
            return TRUE;
        }
    }
  return FALSE;
}

const char *
sorad_catalogue_model_path (SoradCatalogue *catalogue, const char *id)
{
  SoraModel *model = find_model (catalogue, id);
  if (!model)
    {
      sorad_catalogue_refresh (catalogue, FALSE);
      model = find_model (catalogue, id);
    }
  return model ? sora_model_path (model) : NULL;
}

gboolean
sorad_catalogue_has_model (SoradCatalogue *catalogue, const char *id)
{
  return sorad_catalogue_model_path (catalogue, id) != NULL;
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
  sorad_catalogue_update_default (catalogue);
  catalogue->plugin_descriptions
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  catalogue->pipeline_descriptions
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  catalogue->digests = g_thread_pool_new (sorad_catalogue_digest, catalogue, 1, FALSE, NULL);
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
  sorad_catalogue_unwatch_listing (catalogue);
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
