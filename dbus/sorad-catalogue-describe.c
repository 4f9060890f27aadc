/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Has a worker describe what takes a plugin's code to know: all at once, and if that fails one by
 * one, so that a plugin at fault is found and the others are described.
 */
#include "config.h"
#include "sorad-catalogue-private.h"

#include <string.h>

#include "sorad-asking.h"

#define DESCRIBE_TIMEOUT 5 /* twice of it is within the 25 s that the bus waits for a service */

const char *
sorad_catalogue_problem (GVariant *description)
{
  const char *problem = "";
  if (description)
    g_variant_lookup (description, "problem", "&s", &problem);
  return problem;
}

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
          = sorad_catalogue_problem (g_hash_table_lookup (catalogue->plugin_descriptions, id));
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
      sorad_catalogue_export (catalogue);
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
  sorad_catalogue_export (catalogue);
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
