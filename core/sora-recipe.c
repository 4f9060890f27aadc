/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Recipes: each part goes into the digest with its length before it, so that no two lists of parts
 * run together.
 */
#include "config.h"
#include "sora-recipe.h"
#include "sora-error.h"
#include "sora-file.h"
#include "sora-libraries.h"
#include "sora-model-private.h"
#include "sora-module.h"
#include "sora-runner.h"
#include <string.h>

#define MAX_MODULE (1u << 30)

static void
add_bytes (GChecksum *sum, gconstpointer data, gsize size)
{
  guint8 length[8];
  for (int i = 0; i < 8; i++)
    length[i] = (guint8)((guint64)size >> (8 * i));
  g_checksum_update (sum, length, sizeof length);
  const guint8 *bytes = data;
  /* g_checksum_update takes a gssize, and is handed no more at once than that. */
  for (gsize done = 0; done < size;)
    {
      gsize part = MIN (size - done, 1u << 30);
      g_checksum_update (sum, bytes + done, (gssize)part);
      done += part;
    }
}

static void
add_text (GChecksum *sum, const char *text)
{
  add_bytes (sum, text, strlen (text));
}

static void
add_params (GChecksum *sum, SoraNode *node, gboolean load_only)
{
  for (guint i = 0; node->klass->params != NULL && node->klass->params[i] != NULL; i++)
    {
      const SoraParam *param = node->klass->params[i];
      GVariant *value = g_hash_table_lookup (node->params, param->name);
      if (value == NULL || (load_only && (param->flags & SORA_PARAM_LOAD) == 0))
        continue;
      add_text (sum, param->name);
      add_text (sum, g_variant_get_type_string (value));
      add_bytes (sum, g_variant_get_data (value), g_variant_get_size (value));
    }
}

static gboolean
add_models (GChecksum *sum, SoraNode *node, gboolean (*stopped) (gpointer data), gpointer data,
            GError **error)
{
  for (guint i = 0; i < node->n_slots; i++)
    {
      const char *digest = "none";
      if (node->models[i] != NULL)
        digest = sora_model_digest_stoppable (node->models[i], stopped, data, error);
      if (digest == NULL)
        return FALSE;
      add_text (sum, digest);
    }
  return TRUE;
}

char *
sora_recipe_instance_key (SoraNode *node)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);

  add_text (sum, sora_plugin_info_module_path (node->info));
  add_text (sum, node->klass->id);
  add_params (sum, node, TRUE);
  /* By path: whether what is there is still the same is asked when the instance is used again, and
   * costs a few stat() calls.  A digest would read a model of 30 GB before its first job begins. */
  for (guint i = 0; i < node->n_slots; i++)
    add_text (sum, node->models[i] != NULL ? sora_model_path (node->models[i]) : "");
  return g_strdup (g_checksum_get_string (sum));
}

static gboolean
add_module (GChecksum *sum, SoraNode *node, GError **error)
{
  const char *path = sora_plugin_info_module_path (node->info);
  g_autoptr (GBytes) bytes = sora_file_load (path, MAX_MODULE, SORA_ERROR_INVALID_PLUGIN, error);
  if (bytes == NULL)
    return FALSE;
  add_bytes (sum, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_autofree char *libraries = sora_libraries_describe (path);
  add_text (sum, libraries != NULL ? libraries : "not loaded");
  /* The code that runs is not of these bytes. */
  g_autofree char *replaced = sora_module_describe_replaced (path);
  if (replaced != NULL)
    add_text (sum, replaced);
  return TRUE;
}

static void
add_tensor (GChecksum *sum, SoraTensor *tensor)
{
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (tensor, &view);
  add_text (sum, sora_dtype_name (view.dtype));
  add_bytes (sum, view.shape, (gsize)view.ndim * sizeof (int64_t));
  add_bytes (sum, view.data, view.nbytes);
}

char *
sora_recipe_tensor_digest (SoraTensor *tensor)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  add_tensor (sum, tensor);
  return g_strdup (g_checksum_get_string (sum));
}

static void
add_input (GChecksum *sum, SoraNode *node, guint index, const char *pulled)
{
  SoraNodeInput *input = g_ptr_array_index (node->inputs, index);
  const SoraPortSpec *spec = sora_node_input_spec (node, index);
  add_text (sum, input->port->name);
  if (pulled != NULL)
    add_text (sum, pulled);
  else if (input->tensor != NULL)
    add_tensor (sum, input->tensor);
  else
    return add_text (sum, "none");
  if (spec == NULL || spec->attrs == NULL)
    return;
  g_autoptr (GList) names = g_list_sort (g_hash_table_get_keys (spec->attrs), (GCompareFunc)strcmp);
  for (GList *l = names; l != NULL; l = l->next)
    {
      g_autofree char *value = g_variant_print (g_hash_table_lookup (spec->attrs, l->data), TRUE);
      add_text (sum, l->data);
      add_text (sum, value);
    }
}

char *
sora_recipe_stage_key (SoraPlan *plan, SoraNode *node, char *const *pulled,
                       gboolean (*stopped) (gpointer data), gpointer data, GError **error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *numbers
      = g_strdup_printf ("%u %" G_GUINT64_FORMAT, node->run, plan->request->seed);

  add_text (sum, "sora-recipe-1");
  add_text (sum, sora_version ());
  add_text (sum, sora_isa ());
  add_text (sum, numbers);
  add_text (sum, node->id);
  add_text (sum, node->klass->id);
  add_text (sum, node->plugin->version);
  add_params (sum, node, FALSE);
  for (guint i = 0; i < node->inputs->len; i++)
    add_input (sum, node, i, pulled[i]);
  if (!add_module (sum, node, error) || !add_models (sum, node, stopped, data, error))
    return NULL;
  return g_strdup (g_checksum_get_string (sum));
}

static gboolean
add_files (GChecksum *sum, SoraNode *node, GError **error)
{
  for (guint i = 0; i < node->n_slots; i++)
    {
      g_autofree char *files = node->models[i] == NULL
                                   ? g_strdup ("none")
                                   : sora_model_describe_files (
                                       node->models[i], node->klass->models[i]->components, error);
      if (files == NULL)
        return FALSE;
      add_text (sum, files);
    }
  return TRUE;
}

char *
sora_recipe_cache_key (SoraPlan *plan, SoraNode *node, char *const *made, GError **error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);

  add_text (sum, "sora-cache-3");
  add_text (sum, sora_version ());
  add_text (sum, sora_isa ());
  add_text (sum, node->klass->id);
  add_text (sum, node->plugin->version);
  add_params (sum, node, FALSE);
  if (!add_module (sum, node, error) || !add_files (sum, node, error))
    return NULL;
  if (node->inputs->len > 0)
    {
      g_autofree char *numbers
          = g_strdup_printf ("%u %" G_GUINT64_FORMAT, node->run, plan->request->seed);
      add_text (sum, numbers);
      add_text (sum, node->id);
    }
  for (guint i = 0; i < node->inputs->len; i++)
    {
      SoraNodeInput *input = g_ptr_array_index (node->inputs, i);
      g_autofree char *from = NULL;
      if (input->edge != NULL)
        {
          SoraNode *maker = input->edge->from;
          SoraNodeOutput *output = g_ptr_array_index (maker->outputs, input->edge->from_port);
          /* The id: what its random numbers come of, beside this key's seed and run. */
          from = g_strdup_printf ("%s of %s: %s", output->port->name, made[i], maker->id);
        }
      add_input (sum, node, i, from);
    }
  return g_strdup (g_checksum_get_string (sum));
}

char *
sora_recipe_packed_key (SoraNode *node, SoraModel *model, const char *component, const char *key,
                        GError **error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *files = sora_model_describe_files (model, component, error);

  if (files == NULL)
    return NULL;
  add_text (sum, "sora-packed-1");
  add_text (sum, sora_version ());
  add_text (sum, sora_isa ());
  add_text (sum, node->klass->id);
  add_text (sum, node->plugin->version);
  add_text (sum, component);
  add_text (sum, key);
  add_text (sum, files);
  if (!add_module (sum, node, error))
    return NULL;
  return g_strdup (g_checksum_get_string (sum));
}

void
sora_recipe_random_key (guint64 seed, guint run, const char *stage, const char *name,
                        guint8 key[32])
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *numbers = g_strdup_printf ("%" G_GUINT64_FORMAT " %u", seed, run);
  gsize size = 32;

  add_text (sum, "sora-random-1");
  add_text (sum, numbers);
  add_text (sum, stage);
  add_text (sum, name);
  g_checksum_get_digest (sum, key, &size);
}
