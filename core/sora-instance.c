/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The pool of warm instances.
 */
#include "config.h"
#include "sora-instance.h"
#include "sora-error.h"
#include "sora-model-private.h"
#include "sora-packed.h"
#include "sora-recipe.h"
#include <string.h>

/* Idle instances that are kept at most; the one used longest ago goes first. */
#define MAX_IDLE 16u

static struct
{
  GMutex lock;
  GCond released; /* some release has ended */
  GPtrArray *instances;
  guint64 counter;
} pool;

static void
drop_mapping (SoraWeights *weights)
{
  g_clear_pointer (&weights->weights, sora_model_weights_close);
}

static void
weights_free (gpointer data)
{
  drop_mapping (data);
  g_free (data);
}

void
sora_weights_close (SoraWeights *weights)
{
  SoraInstance *instance = weights->instance;
  g_mutex_lock (&instance->lock);
  g_ptr_array_remove_fast (instance->weights, weights);
  g_mutex_unlock (&instance->lock);
}

static void
close_all_weights (SoraInstance *instance)
{
  /* May wait for the end of their writing; only the plugin puts any on the list, and it does not run. */
  for (guint i = 0; i < instance->packed->len; i++)
    sora_packed_drop (g_ptr_array_index (instance->packed, i));
  g_mutex_lock (&instance->lock);
  for (guint i = 0; i < instance->weights->len; i++)
    drop_mapping (g_ptr_array_index (instance->weights, i));
  g_mutex_unlock (&instance->lock);
}

/* Calls release or destroy, which have no context to fail through: a change of the control bits is
 * put right and told. */
static void
call_plugin (SoraInstance *instance, const char *function,
             void (*call) (const SoraHost *host, void *instance))
{
  SoraFpu before = sora_fpu_get ();
  call (sora_host_table (), instance->instance);
  if (sora_fpu_equal (before, sora_fpu_get ()))
    return;
  sora_fpu_set (before);
  g_warning ("plugin stage '%s' changed the floating-point control bits in %s()", instance->name,
             function);
}

static void
instance_free (SoraInstance *instance)
{
  if (instance->instance != NULL && instance->klass->destroy != NULL)
    call_plugin (instance, "destroy", instance->klass->destroy);
  while (instance->packed->len > 0)
    sora_packed_close (g_ptr_array_index (instance->packed, 0));
  g_ptr_array_unref (instance->packed);
  g_ptr_array_unref (instance->weights);
  g_hash_table_unref (instance->files);
  for (guint i = 0; i < instance->n_models; i++)
    g_clear_pointer (&instance->models[i], sora_model_unref);
  g_free (instance->models);
  g_mutex_clear (&instance->lock);
  g_free (instance->key);
  g_free (instance->name);
  g_free (instance);
}

static SoraInstance *
instance_new (SoraNode *node, const char *key)
{
  SoraInstance *instance = g_new0 (SoraInstance, 1);

  instance->key = g_strdup (key);
  instance->name = g_strdup_printf ("%s/%s", node->plugin->id, node->klass->id);
  instance->klass = node->klass;
  instance->keep = node->klass->create != NULL;
  instance->n_models = node->n_slots;
  instance->models = g_new0 (SoraModel *, MAX (node->n_slots, 1));
  for (guint i = 0; i < node->n_slots; i++)
    instance->models[i] = node->models[i] != NULL ? sora_model_ref (node->models[i]) : NULL;
  instance->files
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
  instance->weights = g_ptr_array_new_with_free_func (weights_free);
  instance->packed = g_ptr_array_new ();
  g_mutex_init (&instance->lock);
  instance->claimed = TRUE;
  return instance;
}

/* The path may lead to another folder by now (a link was switched), or to other weights in it; and
 * the files that the instance has read may be others. */
static gboolean
has_models_of (SoraInstance *instance, SoraNode *node)
{
  for (guint i = 0; i < instance->n_models; i++)
    if (instance->models[i] != NULL
        && (!sora_model_is_same (instance->models[i], node->models[i])
            || !sora_model_unchanged (instance->models[i], NULL)))
      return FALSE;
  return TRUE;
}

static SoraInstance *
find_warm (SoraNode *node, const char *key)
{
  SoraInstance *found = NULL, *stale = NULL;

  g_mutex_lock (&pool.lock);
  for (guint i = 0; pool.instances != NULL && found == NULL && i < pool.instances->len; i++)
    {
      SoraInstance *instance = g_ptr_array_index (pool.instances, i);
      if (!instance->claimed && !instance->busy && strcmp (instance->key, key) == 0)
        found = instance;
    }
  if (found != NULL)
    found->claimed = TRUE;
  g_mutex_unlock (&pool.lock);
  if (found != NULL && !has_models_of (found, node))
    stale = g_steal_pointer (&found);
  if (stale != NULL)
    sora_instance_unclaim (stale, SORA_INSTANCE_FAILED);
  return found;
}

SoraInstance *
sora_instance_claim (SoraNode *node, SoraTask *task,
                     void (*log) (SoraContext *ctx, int level, const char *message),
                     gpointer log_data, GError **error)
{
  g_autofree char *key = sora_recipe_instance_key (node);
  SoraInstance *instance = find_warm (node, key);
  if (instance != NULL)
    return instance;

  instance = instance_new (node, key);
  if (node->klass->create != NULL)
    {
      SoraContext ctx;
      sora_context_init (&ctx, SORA_PHASE_CREATE, node);
      ctx.task = task;
      ctx.instance = instance;
      ctx.log = log;
      ctx.log_data = log_data;
      int result = node->klass->create (sora_host_table (), &ctx, &instance->instance);
      sora_context_check_return (&ctx, "create");
      gboolean ok = sora_context_result (&ctx, "create", result, SORA_ERROR_FAILED, error);
      sora_context_clear (&ctx);
      if (!ok)
        {
          /* What create returned with a failure is no instance. */
          if (result != SORA_OK)
            instance->instance = NULL;
          instance_free (instance);
          return NULL;
        }
    }
  g_mutex_lock (&pool.lock);
  if (pool.instances == NULL)
    pool.instances = g_ptr_array_new ();
  g_ptr_array_add (pool.instances, instance);
  g_mutex_unlock (&pool.lock);
  return instance;
}

gboolean
sora_instance_begin (SoraInstance *instance)
{
  g_mutex_lock (&pool.lock);
  gboolean free = !instance->busy;
  instance->busy = TRUE;
  g_mutex_unlock (&pool.lock);
  return free;
}

/* Under the lock: the idle one that was used longest ago, if there are too many. */
static SoraInstance *
take_surplus (void)
{
  SoraInstance *oldest = NULL;
  guint idle = 0;

  for (guint i = 0; i < pool.instances->len; i++)
    {
      SoraInstance *instance = g_ptr_array_index (pool.instances, i);
      if (instance->claimed || instance->busy)
        continue;
      idle++;
      if (oldest == NULL || instance->used_at < oldest->used_at)
        oldest = instance;
    }
  if (idle <= MAX_IDLE)
    return NULL;
  g_ptr_array_remove_fast (pool.instances, oldest);
  return oldest;
}

void
sora_instance_unclaim (SoraInstance *instance, SoraInstanceEnd end)
{
  gboolean destroy = end != SORA_INSTANCE_IDLE || !instance->keep;
  SoraInstance *surplus = NULL;

  g_mutex_lock (&pool.lock);
  while (instance->releasing)
    g_cond_wait (&pool.released, &pool.lock);
  instance->claimed = FALSE;
  instance->busy = FALSE;
  instance->used_at = ++pool.counter;
  if (destroy)
    g_ptr_array_remove_fast (pool.instances, instance);
  else
    surplus = take_surplus ();
  g_mutex_unlock (&pool.lock);
  for (guint i = 0; end == SORA_INSTANCE_FAILED && i < instance->packed->len; i++)
    sora_packed_give_up (g_ptr_array_index (instance->packed, i));
  if (destroy)
    instance_free (instance);
  if (surplus != NULL)
    instance_free (surplus);
}

void
sora_instance_hold (SoraInstance *instance, guint64 bytes)
{
  g_mutex_lock (&pool.lock);
  instance->held += bytes;
  g_mutex_unlock (&pool.lock);
}

gboolean
sora_instance_unhold (SoraInstance *instance, guint64 bytes)
{
  g_mutex_lock (&pool.lock);
  gboolean ok = bytes <= instance->held;
  if (ok)
    instance->held -= bytes;
  g_mutex_unlock (&pool.lock);
  return ok;
}

guint64
sora_instance_get_held (SoraInstance *instance)
{
  g_mutex_lock (&pool.lock);
  guint64 held = instance->held;
  g_mutex_unlock (&pool.lock);
  return held;
}

guint64
sora_instances_held (void)
{
  guint64 sum = 0;

  g_mutex_lock (&pool.lock);
  for (guint i = 0; pool.instances != NULL && i < pool.instances->len; i++)
    sum += ((SoraInstance *)g_ptr_array_index (pool.instances, i))->held;
  g_mutex_unlock (&pool.lock);
  return sum;
}

/* Under the lock.  One that is claimed but has not begun is wanted soon: it goes last. */
static SoraInstance *
find_victim (void)
{
  SoraInstance *victim = NULL;

  for (guint i = 0; pool.instances != NULL && i < pool.instances->len; i++)
    {
      SoraInstance *instance = g_ptr_array_index (pool.instances, i);
      if (instance->busy || instance->held == 0)
        continue;
      if (victim == NULL || (victim->claimed && !instance->claimed)
          || (victim->claimed == instance->claimed && instance->used_at < victim->used_at))
        victim = instance;
    }
  return victim;
}

gboolean
sora_instances_can_release (void)
{
  g_mutex_lock (&pool.lock);
  gboolean found = find_victim () != NULL;
  g_mutex_unlock (&pool.lock);
  return found;
}

gboolean
sora_instances_release_one (void)
{
  g_mutex_lock (&pool.lock);
  SoraInstance *victim = find_victim ();
  if (victim != NULL)
    victim->busy = victim->releasing = TRUE;
  g_mutex_unlock (&pool.lock);
  if (victim == NULL)
    return FALSE;

  g_debug ("releasing the weights of '%s', %" G_GUINT64_FORMAT " bytes", victim->name,
           victim->held);
  if (victim->klass->release != NULL)
    call_plugin (victim, "release", victim->klass->release);
  close_all_weights (victim);
  g_mutex_lock (&pool.lock);
  victim->held = 0;
  victim->busy = victim->releasing = FALSE;
  g_cond_broadcast (&pool.released);
  g_mutex_unlock (&pool.lock);
  return TRUE;
}

void
sora_instances_destroy_all (void)
{
  g_autoptr (GPtrArray) idle = g_ptr_array_new ();

  g_mutex_lock (&pool.lock);
  for (guint i = pool.instances != NULL ? pool.instances->len : 0; i > 0; i--)
    {
      SoraInstance *instance = g_ptr_array_index (pool.instances, i - 1);
      if (!instance->claimed && !instance->busy)
        g_ptr_array_add (idle, g_ptr_array_remove_index (pool.instances, i - 1));
    }
  if (pool.instances != NULL && pool.instances->len == 0)
    g_clear_pointer (&pool.instances, g_ptr_array_unref);
  g_mutex_unlock (&pool.lock);
  for (guint i = 0; i < idle->len; i++)
    instance_free (g_ptr_array_index (idle, i));
}

SoraWeights *
sora_instance_open_weights (SoraInstance *instance, guint slot, const char *component,
                            GError **error)
{
  SoraModelWeights *opened = sora_model_weights_open (instance->models[slot], component, error);
  if (opened == NULL)
    return NULL;
  SoraWeights *weights = g_new0 (SoraWeights, 1);
  weights->instance = instance;
  weights->weights = opened;
  g_mutex_lock (&instance->lock);
  g_ptr_array_add (instance->weights, weights);
  g_mutex_unlock (&instance->lock);
  return weights;
}
