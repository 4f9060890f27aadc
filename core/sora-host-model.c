/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Host functions: models.  In infer the plan's models are asked; in create and run those of the
 * instance, which may be older than the plan but have the same files.
 */
#include "config.h"
#include "sora-host-private.h"
#include "sora-instance.h"

SoraModel *
sora_host_find_model (SoraContext *ctx, const char *call, const char *slot, guint *index,
                      int *result)
{
  int found = sora_node_find_slot (ctx->node, slot);
  if (found < 0 || slot[0] == '\0')
    {
      *result = sora_context_break (
          ctx, "the plugin called %s() for a model '%s' that it does not declare", call, slot);
      return NULL;
    }
  if (index != NULL)
    *index = (guint)found;
  SoraModel **models = ctx->instance != NULL ? ctx->instance->models : ctx->node->models;
  if (models[found] == NULL)
    *result = SORA_NOT_FOUND;
  return models[found];
}

/* Takes @error: what is not there is for the plugin to judge, what is broken fails the stage. */
static int
take_error (SoraContext *ctx, GError *error)
{
  g_autoptr (GError) owned = error;
  if (g_error_matches (owned, SORA_ERROR, SORA_ERROR_NOT_FOUND))
    return SORA_NOT_FOUND;
  return sora_context_fail_error (ctx, owned);
}

int
sora_host_model_file (SoraContext *ctx, const char *slot, const char *name, const void **data,
                      size_t *size)
{
  GError *error = NULL;
  guint index;
  int result;

  if (!sora_context_enter (ctx, "model_file", SORA_PHASES_ALL, 0))
    return SORA_FAILED;
  SoraModel *model = sora_host_find_model (ctx, "model_file", slot, &index, &result);
  if (model == NULL)
    return result;

  SoraInstance *instance = ctx->instance;
  g_autofree char *key = g_strdup_printf ("%s/%s", slot, name);
  GBytes *bytes = NULL;
  if (instance != NULL)
    {
      g_mutex_lock (&instance->lock);
      bytes = g_hash_table_lookup (instance->files, key);
      g_mutex_unlock (&instance->lock);
    }
  if (bytes == NULL)
    {
      bytes = sora_model_read_file (model, name, &error);
      if (bytes == NULL)
        return take_error (ctx, error);
      if (instance != NULL)
        {
          g_mutex_lock (&instance->lock);
          g_hash_table_insert (instance->files, g_steal_pointer (&key), bytes);
          g_mutex_unlock (&instance->lock);
        }
      else
        sora_context_keep_full (ctx, bytes, (GDestroyNotify)g_bytes_unref);
    }
  gsize length;
  *data = g_bytes_get_data (bytes, &length);
  *size = length;
  return SORA_OK;
}

int
sora_host_model_tensor_info (SoraContext *ctx, const char *slot, const char *component,
                             const char *tensor, SoraTensorView *view)
{
  SoraTensorView full;
  guint index;
  int result;

  if (!sora_context_enter (ctx, "model_tensor_info", SORA_PHASES_ALL, 0))
    return SORA_FAILED;
  SoraModel *model = sora_host_find_model (ctx, "model_tensor_info", slot, &index, &result);
  if (model == NULL)
    return result;
  /* Headers were checked when the model was opened: all that can be wrong now is that it is not
   * there. */
  if (!sora_model_tensor_info (model, component, tensor, &full, NULL))
    return SORA_NOT_FOUND;
  if (sora_host_give (view, &full, SORA_VIEW_SIZE_1_0))
    return SORA_OK;
  return sora_context_break (
      ctx, "tensor '%s': the SoraTensorView has a struct_size of %u, expected at least %zu", tensor,
      view->struct_size, SORA_VIEW_SIZE_1_0);
}

int
sora_host_weights_open (SoraContext *ctx, const char *slot, const char *component,
                        SoraWeights **weights)
{
  g_autoptr (GError) error = NULL;
  guint index;
  int result;

  *weights = NULL;
  if (!sora_context_enter (ctx, "weights_open", SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  SoraModel *model = sora_host_find_model (ctx, "weights_open", slot, &index, &result);
  if (model == NULL)
    return result;
  if (!sora_model_has_component (model, component))
    return SORA_NOT_FOUND;
  *weights = sora_instance_open_weights (ctx->instance, index, component, &error);
  return *weights != NULL ? SORA_OK : sora_context_fail_error (ctx, error);
}

int
sora_host_weights_tensor (SoraWeights *weights, const char *tensor, SoraTensorView *view)
{
  SoraTensorView full;

  if (weights->weights == NULL || !sora_model_weights_get (weights->weights, tensor, &full, NULL))
    return SORA_NOT_FOUND;
  if (sora_host_give (view, &full, SORA_VIEW_SIZE_1_0))
    return SORA_OK;
  g_warning ("stage '%s' called weights_tensor() with a struct_size of %u, expected at least %zu",
              weights->instance->name, view->struct_size, SORA_VIEW_SIZE_1_0);
  return SORA_FAILED;
}

int
sora_host_weights_tensor_name (SoraWeights *weights, size_t index, const char **name)
{
  *name = weights->weights != NULL ? sora_model_weights_name (weights->weights, index) : NULL;
  return *name != NULL ? SORA_OK : SORA_NOT_FOUND;
}

void
sora_host_weights_done (SoraWeights *weights, const char *tensor)
{
  if (weights->weights != NULL)
    sora_model_weights_done (weights->weights, tensor);
}

void
sora_host_weights_close (SoraWeights *weights)
{
  if (weights != NULL)
    sora_weights_close (weights);
}
