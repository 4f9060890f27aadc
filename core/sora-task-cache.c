/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A stage without inputs whose outputs are all cacheable gives the same whenever it is asked for the
 * same: what it gave is kept, and the next job does not run it.  Text encoders are such stages.
 */
#include "config.h"
#include "sora-cache-private.h"
#include "sora-recipe.h"
#include <string.h>

/* Of each output: name, dtype, shape, bytes. */
#define FORM "a(siaxay)"

static const SoraPortSpec *
output_spec (SoraTask *task, guint i, const char **name)
{
  SoraNodeOutput *output = g_ptr_array_index (task->node->outputs, i);
  *name = output->port->name;
  return output->spec;
}

/* Bytes of all outputs together; 0: they are not such that they are kept. */
static guint64
kept_bytes (SoraNode *node)
{
  guint64 all = 0;

  if (node->inputs->len > 0 || node->n_slots == 0)
    return 0;
  for (guint i = 0; i < node->outputs->len; i++)
    {
      SoraNodeOutput *output = g_ptr_array_index (node->outputs, i);
      const SoraPortSpec *spec = output->spec;
      if (spec == NULL || (output->port->flags & SORA_PORT_CACHEABLE) == 0
          || (output->port->flags & SORA_PORT_STREAM) != 0)
        return 0;
      guint64 bytes = sora_dtype_size (spec->dtype);
      for (int j = 0; j < spec->ndim; j++)
        {
          if (spec->shape[j] < 0
              || !g_uint64_checked_mul (&bytes, bytes, (guint64)spec->shape[j]))
            return 0;
        }
      if (!g_uint64_checked_add (&all, all, bytes) || all > SORA_CACHE_ENTRY_BYTES)
        return 0;
    }
  return all;
}

void
sora_task_is_personal (SoraTask *task)
{
  task->personal = TRUE;
}

/* The outputs of @entry as tensors, if they are what infer promised; NULL else. */
static GPtrArray *
read_entry (SoraTask *task, GBytes *entry)
{
  g_autoptr (GVariant) list
      = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (FORM), entry, FALSE));
  g_autoptr (GPtrArray) tensors
      = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_tensor_unref);

  if (!g_variant_is_normal_form (list) || g_variant_n_children (list) != task->node->outputs->len)
    return NULL;
  for (guint i = 0; i < task->node->outputs->len; i++)
    {
      const char *name, *expected;
      const SoraPortSpec *spec = output_spec (task, i, &expected);
      gint32 dtype;
      g_autoptr (GVariant) shape = NULL, bytes = NULL;
      gsize ndim, size;

      g_variant_get_child (list, i, "(&si@ax@ay)", &name, &dtype, &shape, &bytes);
      const int64_t *extents = g_variant_get_fixed_array (shape, &ndim, sizeof (int64_t));
      if (strcmp (name, expected) != 0 || dtype != (gint32)spec->dtype || (int)ndim != spec->ndim
          || (ndim > 0 && memcmp (extents, spec->shape, ndim * sizeof *extents) != 0))
        return NULL;
      SoraTensor *tensor = sora_tensor_new (spec->dtype, spec->ndim, spec->shape, NULL);
      if (tensor == NULL)
        return NULL;
      g_ptr_array_add (tensors, tensor);
      SoraTensorView view = { .struct_size = sizeof view };
      sora_tensor_get_view (tensor, &view);
      gconstpointer data = g_variant_get_fixed_array (bytes, &size, 1);
      if (size != view.nbytes)
        return NULL;
      if (size > 0)
        memcpy (view.data, data, size);
    }
  return g_steal_pointer (&tensors);
}

gboolean
sora_task_replay (SoraTask *task, int *result)
{
  SoraRunner *runner = task->runner;

  if (runner->cache_dir == NULL || kept_bytes (task->node) == 0)
    return FALSE;
  g_autoptr (GError) error = NULL;
  task->cache_key = sora_recipe_cache_key (task->node, &error);
  if (task->cache_key == NULL)
    {
      if (error != NULL)
        g_debug ("stage '%s' is not kept: %s", task->node->id, error->message);
      return FALSE;
    }
  g_autoptr (GBytes) entry = sora_cache_load (runner->cache_dir, task->cache_key);
  g_autoptr (GPtrArray) tensors = entry != NULL ? read_entry (task, entry) : NULL;
  if (tensors == NULL)
    {
      task->noted
          = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_tensor_unref);
      g_ptr_array_set_size (task->noted, (gint)task->node->outputs->len);
      return FALSE;
    }
  sora_runner_log (&task->ctx, SORA_LOG_INFO, "it is taken from the cache");
  *result = SORA_OK;
  for (guint i = 0; *result == SORA_OK && i < tensors->len; i++)
    *result = sora_task_push (task, i, sora_tensor_ref (g_ptr_array_index (tensors, i)));
  return TRUE;
}

void
sora_task_note_output (SoraTask *task, guint output, SoraTensor *tensor)
{
  if (task->noted == NULL)
    return;
  if (task->noted->pdata[output] != NULL)
    sora_tensor_unref (task->noted->pdata[output]);
  task->noted->pdata[output] = sora_tensor_ref (tensor);
}

void
sora_task_keep (SoraTask *task)
{
  if (task->noted == NULL || task->personal)
    return;
  g_auto (GVariantBuilder) list = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE (FORM));
  for (guint i = 0; i < task->noted->len; i++)
    {
      const char *name;
      SoraTensorView view = { .struct_size = sizeof view };
      if (task->noted->pdata[i] == NULL)
        return; /* nobody wanted it */
      output_spec (task, i, &name);
      sora_tensor_get_view (task->noted->pdata[i], &view);
      g_variant_builder_add (
          &list, "(si@ax@ay)", name, view.dtype,
          g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, view.shape, (gsize)view.ndim,
                                     sizeof (int64_t)),
          g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, view.data, view.nbytes, 1));
    }
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_builder_end (&list));
  g_autoptr (GBytes) entry = g_variant_get_data_as_bytes (value);
  g_autoptr (GError) error = NULL;
  /* A cache that cannot be written costs time, and no job. */
  if (!sora_cache_save (task->runner->cache_dir, task->cache_key, entry, SORA_CACHE_BYTES, &error))
    g_debug ("what stage '%s' gave is not kept: %s", task->node->id, error->message);
}
