/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A stage whose outputs are all cacheable gives the same whenever it is asked for the same: what it
 * gave is kept, and the next job runs neither it nor what only leads to it.  Text encoders and
 * denoisers are such stages: who wants a clip in another format waits for the decoder alone.
 */
#include "config.h"
#include "sora-cache-private.h"
#include "sora-recipe.h"
#include <string.h>

#define SORA_CACHE_VARIABLE "SORA_CACHE_MAX"

/* Of each output: name, dtype, shape, bytes. */
#define FORM "a(siaxay)"

static const SoraPortSpec *
output_spec (SoraTask *task, guint i, const char **name)
{
  SoraNodeOutput *output = g_ptr_array_index (task->node->outputs, i);
  *name = output->port->name;
  return output->spec;
}

/* The one that @input comes from; NULL: it is unconnected, or a tensor of the request. */
static SoraTask *
maker_of (SoraTask *task, const SoraNodeInput *input)
{
  return input->edge == NULL ? NULL
                             : g_ptr_array_index (task->runner->tasks, input->edge->from->index);
}

/* All that comes in is named by the recipe: tensors of the request, and whole outputs of stages
 * that are cacheable themselves.  Their own answers are there: they come first in the order. */
static gboolean
follows (SoraTask *task)
{
  if (task->node->remote != NULL)
    return FALSE; /* a third party's word for it */
  for (guint i = 0; i < task->node->inputs->len; i++)
    {
      const SoraNodeInput *input = g_ptr_array_index (task->node->inputs, i);
      const SoraTask *maker = maker_of (task, input);
      if (maker == NULL)
        continue;
      const SoraNodeOutput *output
          = g_ptr_array_index (maker->node->outputs, input->edge->from_port);
      if (!maker->follows || (output->port->flags & SORA_PORT_CACHEABLE) == 0
          || (output->port->flags & SORA_PORT_STREAM) != 0)
        return FALSE;
    }
  return TRUE;
}

/* Bytes of all outputs together; 0: they are not such that they are kept. */
static guint64
kept_bytes (SoraTask *task)
{
  const SoraNode *node = task->node;
  guint64 all = 0;

  if (node->n_slots == 0 || node->outputs->len == 0 || !task->follows)
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
          if (spec->shape[j] < 0 || !g_uint64_checked_mul (&bytes, bytes, (guint64)spec->shape[j]))
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
  g_atomic_int_set (&task->personal, TRUE);
}

void
sora_task_is_seeded (SoraTask *task)
{
  task->seeded = TRUE;
}

/* Of this stage, or of one that led to it; @seen: those that were asked already, by their place. */
static gboolean
is_personal (SoraTask *task, gboolean *seen)
{
  if (seen[task->node->index])
    return FALSE;
  seen[task->node->index] = TRUE;
  if (g_atomic_int_get (&task->personal))
    return TRUE;
  for (guint i = 0; i < task->node->inputs->len; i++)
    {
      SoraTask *maker = maker_of (task, g_ptr_array_index (task->node->inputs, i));
      if (maker != NULL && is_personal (maker, seen))
        return TRUE;
    }
  return FALSE;
}

/* @keys: those that are known already, a task each; it and what leads to it are put there.  NULL
 * without an error: a file of a model may still change. */
static const char *
find_key (SoraTask *task, GPtrArray *keys, GError **error)
{
  const SoraNode *node = task->node;
  g_autofree char **made = g_new0 (char *, node->inputs->len + 1);

  if (keys->pdata[node->index] != NULL)
    return keys->pdata[node->index];
  for (guint i = 0; i < node->inputs->len; i++)
    {
      SoraTask *maker = maker_of (task, g_ptr_array_index (node->inputs, i));
      if (maker == NULL)
        continue;
      if (find_key (maker, keys, error) == NULL)
        return NULL;
      made[i] = keys->pdata[maker->node->index];
    }
  keys->pdata[node->index] = sora_recipe_cache_key (task->runner->plan, task->node, made, error);
  return keys->pdata[node->index];
}

static GPtrArray *
new_keys (SoraRunner *runner)
{
  GPtrArray *keys = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_set_size (keys, (gint)runner->tasks->len);
  return keys;
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
sora_task_is_spared (const SoraTask *task)
{
  return task->skipped || task->kept != NULL;
}

/* Before its thread is there. */
static void
tell (SoraTask *task, int level, const char *text)
{
  SoraRunner *runner = task->runner;
  if (runner->callbacks.log == NULL)
    return;
  g_mutex_lock (&runner->reports);
  runner->callbacks.log (runner->data, level, task->node->id, text);
  g_mutex_unlock (&runner->reports);
}

/* Its outputs, if an earlier job left them; else they are noted as they go out. */
static void
find_entry (SoraTask *task, GPtrArray *keys)
{
  SoraRunner *runner = task->runner;
  g_autoptr (GError) error = NULL;
  g_autofree char *why = NULL;

  if (kept_bytes (task) == 0)
    return;
  task->cache_key = g_strdup (find_key (task, keys, &error));
  if (task->cache_key == NULL)
    {
      if (error != NULL)
        g_debug ("stage '%s' is not kept: %s", task->node->id, error->message);
      return;
    }
  g_autoptr (GBytes) entry = sora_cache_load (runner->cache_dir, task->cache_key, &why);
  if (entry != NULL)
    {
      task->kept = read_entry (task, entry);
      if (task->kept == NULL)
        why = g_strdup ("it is not what the stage gives");
    }
  if (why != NULL)
    {
      g_autofree char *text
          = g_strdup_printf ("what an earlier job left in the cache is made anew: %s", why);
      tell (task, SORA_LOG_WARNING, text);
    }
  if (task->kept == NULL)
    {
      task->noted = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_tensor_unref);
      g_ptr_array_set_size (task->noted, (gint)task->node->outputs->len);
    }
}

/* All that it gives goes to stages that want nothing any more.  Who has no reader is there for a
 * file, or for its caller. */
static gboolean
is_unwanted (SoraTask *task)
{
  gboolean read = FALSE;

  for (guint i = 0; i < task->node->outputs->len; i++)
    {
      const SoraNodeOutput *output = g_ptr_array_index (task->node->outputs, i);
      if (strcmp (output->port->semantic, SORA_SEMANTIC_FILE) == 0)
        return FALSE;
      for (guint j = 0; j < output->edges->len; j++)
        {
          const SoraEdge *edge = g_ptr_array_index (output->edges, j);
          if (!sora_task_is_spared (g_ptr_array_index (task->runner->tasks, edge->to->index)))
            return FALSE;
          read = TRUE;
        }
    }
  return read;
}

void
sora_runner_find_kept (SoraRunner *runner)
{
  g_autoptr (GError) error = NULL;

  if (runner->cache_dir == NULL || runner->stage != NULL || runner->plan->pipeline == NULL)
    return;
  if (!sora_cache_read_limit (SORA_CACHE_VARIABLE, SORA_CACHE_BYTES, &runner->cache_limit, &error))
    {
      g_autofree char *text
          = g_strdup_printf ("nothing is kept for later jobs: %s", error->message);
      if (runner->callbacks.log != NULL)
        runner->callbacks.log (runner->data, SORA_LOG_WARNING, NULL, text);
      return;
    }
  if (runner->cache_limit == 0)
    return;
  /* Nodes are in the order in which they run. */
  for (guint i = 0; i < runner->tasks->len; i++)
    {
      SoraTask *task = g_ptr_array_index (runner->tasks, i);
      task->follows = follows (task);
    }
  g_autoptr (GPtrArray) keys = new_keys (runner);
  for (guint i = runner->tasks->len; i-- > 0;)
    {
      SoraTask *task = g_ptr_array_index (runner->tasks, i);
      task->skipped = is_unwanted (task);
      if (task->skipped)
        tell (task, SORA_LOG_INFO, "it is not run: what would come of it is there already");
      else
        find_entry (task, keys);
    }
}

int
sora_task_replay (SoraTask *task)
{
  int result = SORA_OK;

  sora_runner_log (&task->ctx, SORA_LOG_INFO, "it is taken from the cache");
  for (guint i = 0; result == SORA_OK && i < task->kept->len; i++)
    result = sora_task_push (task, i, sora_tensor_ref (g_ptr_array_index (task->kept, i)));
  return result;
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

/* It may be known to later jobs by this key. */
static gboolean
may_keep (SoraTask *task)
{
  /* The recipe of a stage without inputs does not have the seed. */
  if (task->noted == NULL || (task->seeded && task->node->inputs->len == 0))
    return FALSE;
  g_autofree gboolean *seen = g_new0 (gboolean, task->runner->tasks->len);
  if (is_personal (task, seen))
    return FALSE;
  /* The files were opened after the key was made: nobody has changed them since, or it is theirs no
   * longer. */
  g_autoptr (GPtrArray) keys = new_keys (task->runner);
  return g_strcmp0 (find_key (task, keys, NULL), task->cache_key) == 0;
}

void
sora_task_keep (SoraTask *task)
{
  if (!may_keep (task))
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
  if (!sora_cache_save (task->runner->cache_dir, task->cache_key, entry, task->runner->cache_limit,
                        &error))
    g_debug ("what stage '%s' gave is not kept: %s", task->node->id, error->message);
}
