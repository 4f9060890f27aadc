/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A component's weights: tensors by name over all of its shards.  The headers are the model's; the
 * files are opened again here, checked to be the ones whose headers were read, and mapped only as
 * long as the weights are open.
 */
#include "config.h"
#include <unistd.h>
#include "sora-model-private.h"

struct SoraModelWeights
{
  SoraModel *model;
  SoraModelComponent *component; /* the model's */
  GPtrArray *files;              /* of SoraSafetensors, one a shard */
};

static SoraModelTensor *
lookup (SoraModelComponent *component, const char *name)
{
  guint place = GPOINTER_TO_UINT (g_hash_table_lookup (component->by_name, name));
  return place > 0 ? &g_array_index (component->tensors, SoraModelTensor, place - 1) : NULL;
}

static SoraModelTensor *
find_tensor (SoraModel *model, SoraModelComponent *component, const char *name, GError **error)
{
  SoraModelTensor *tensor = lookup (component, name);
  if (tensor == NULL)
    sora_error_set (error, SORA_ERROR_INVALID_MODEL,
                    "model '%s', component '%s' (%s): there is no tensor '%s' among its %u",
                    model->id, component->name, component->class_name, name,
                    component->tensors->len);
  return tensor;
}

static gboolean
check_has_weights (SoraModel *model, SoraModelComponent *component, GError **error)
{
  if (component->shards->len > 0)
    return TRUE;
  sora_error_set (
      error, SORA_ERROR_INVALID_MODEL,
      "model '%s', component '%s' (%s) has no weights: expected a .safetensors file in '%s/%s'",
      model->id, component->name, component->class_name, model->path, component->name);
  return FALSE;
}

gboolean
sora_model_tensor_info (SoraModel *model, const char *component, const char *tensor,
                        SoraTensorView *view, GError **error)
{
  SoraModelComponent *found = sora_model_find_component (model, component, error);
  if (found == NULL || !check_has_weights (model, found, error))
    return FALSE;
  SoraModelTensor *entry = find_tensor (model, found, tensor, error);
  if (entry == NULL)
    return FALSE;
  SoraModelShard *shard = g_ptr_array_index (found->shards, entry->shard);
  return sora_safetensors_info (shard->header, entry->stored, view, error);
}

SoraModelWeights *
sora_model_weights_open (SoraModel *model, const char *component, GError **error)
{
  SoraModelComponent *found = sora_model_find_component (model, component, error);
  if (found == NULL || !check_has_weights (model, found, error))
    return NULL;
  SoraModelWeights *weights = g_new0 (SoraModelWeights, 1);
  weights->model = sora_model_ref (model);
  weights->component = found;
  weights->files = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_safetensors_unref);
  for (guint i = 0; i < found->shards->len; i++)
    {
      SoraModelShard *shard = g_ptr_array_index (found->shards, i);
      struct stat st;
      g_autofree char *display = sora_model_display (model, shard->name);
      int fd = sora_model_open_file (model, shard->name, &st, error);
      SoraSafetensors *file = fd >= 0 ? sora_safetensors_open_fd (fd, display, error) : NULL;
      if (fd >= 0)
        close (fd);
      if (file == NULL)
        {
          sora_model_weights_close (weights);
          return NULL;
        }
      g_ptr_array_add (weights->files, file);
    }
  return weights;
}

void
sora_model_weights_close (SoraModelWeights *weights)
{
  if (weights == NULL)
    return;
  g_ptr_array_unref (weights->files);
  sora_model_unref (weights->model);
  g_free (weights);
}

gboolean
sora_model_weights_get (SoraModelWeights *weights, const char *tensor, SoraTensorView *view,
                        GError **error)
{
  SoraModelTensor *entry = find_tensor (weights->model, weights->component, tensor, error);
  return entry != NULL
         && sora_safetensors_get (g_ptr_array_index (weights->files, entry->shard), entry->stored,
                                  view, error);
}

const char *
sora_model_weights_name (SoraModelWeights *weights, size_t index)
{
  GArray *tensors = weights->component->tensors;
  return index < tensors->len ? g_array_index (tensors, SoraModelTensor, index).name : NULL;
}

void
sora_model_weights_done (SoraModelWeights *weights, const char *tensor)
{
  SoraModelTensor *entry = lookup (weights->component, tensor);
  if (entry != NULL)
    sora_safetensors_done (g_ptr_array_index (weights->files, entry->shard), entry->stored);
}
