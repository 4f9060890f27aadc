/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Host functions of a running stage: tensors, flow, compute, progress, randomness, memory.
 */
#include "config.h"
#include "sora-cache-private.h"
#include "sora-compute.h"
#include "sora-host-private.h"
#include "sora-recipe.h"
#include "sora-runner-private.h"

SoraTensor *
sora_host_tensor_new (SoraContext *ctx, int dtype, int ndim, const int64_t *shape)
{
  g_autoptr (GError) error = NULL;

  if (!sora_context_enter (ctx, "tensor_new", SORA_PHASE_RUN, SORA_CALL_ANY_THREAD))
    return NULL;
  SoraTensor *tensor = sora_tensor_new ((SoraDtype)dtype, ndim, shape, &error);
  if (tensor == NULL)
    sora_context_fail_error (ctx, error);
  return tensor;
}

void
sora_host_tensor_view (SoraTensor *tensor, SoraTensorView *view)
{
  SoraTensorView full;

  sora_tensor_get_view (tensor, &full);
  if (!sora_host_give (view, &full, SORA_VIEW_SIZE_1_0))
    g_warning ("a plugin called tensor_view() with a struct_size of %u, expected at least %zu",
               view->struct_size, SORA_VIEW_SIZE_1_0);
}

SoraTensor *
sora_host_make_writable (SoraContext *ctx, SoraTensor *tensor)
{
  g_autoptr (GError) error = NULL;

  if (!sora_context_enter (ctx, "make_writable", SORA_PHASE_RUN, SORA_CALL_ANY_THREAD))
    {
      sora_tensor_unref (tensor);
      return NULL;
    }
  SoraTensor *writable = sora_tensor_make_writable (tensor, &error);
  if (writable == NULL)
    sora_context_fail_error (ctx, error);
  return writable;
}

int
sora_host_pull (SoraContext *ctx, const char *port, SoraTensor **tensor)
{
  *tensor = NULL;
  if (!sora_context_enter (ctx, "pull", SORA_PHASE_RUN, SORA_CALL_WAITS))
    return SORA_FAILED;
  int index = sora_node_find_input (ctx->node, port);
  if (index < 0)
    return sora_context_break (ctx, "the plugin pulled from an input '%s' that it does not declare",
                               port);
  return sora_task_pull (ctx->task, (guint)index, tensor);
}

int
sora_host_push (SoraContext *ctx, const char *port, SoraTensor *tensor)
{
  if (!sora_context_enter (ctx, "push", SORA_PHASE_RUN, SORA_CALL_WAITS))
    {
      sora_tensor_unref (tensor);
      return SORA_FAILED;
    }
  int index = sora_node_find_output (ctx->node, port);
  if (tensor == NULL)
    return sora_context_break (ctx, "the plugin pushed no tensor to '%s'", port);
  if (index < 0)
    {
      sora_tensor_unref (tensor);
      return sora_context_break (
          ctx, "the plugin pushed to an output '%s' that it does not declare", port);
    }
  return sora_task_push (ctx->task, (guint)index, tensor);
}

int
sora_host_compute (SoraContext *ctx, int (*fn) (SoraContext *ctx, void *data, int threads),
                   void *data)
{
  double seconds = 0;

  if (!sora_context_enter (ctx, "compute", SORA_PHASE_RUN, SORA_CALL_WAITS))
    return SORA_FAILED;
  SoraRunner *runner = ctx->task->runner;
  int result = sora_compute_run (ctx, fn, data, (int)runner->threads, sora_runner_is_stopped,
                                 runner, &seconds);
  g_mutex_lock (&runner->lock);
  ctx->task->compute_seconds += seconds;
  g_mutex_unlock (&runner->lock);
  return result;
}

int
sora_host_cancelled (SoraContext *ctx)
{
  /* A stage that broke a rule is on its way out: let its loops end. */
  if (!sora_context_enter (ctx, "cancelled", SORA_PHASE_RUN, SORA_CALL_ANY_THREAD))
    return 1;
  return sora_runner_is_stopped (ctx->task->runner);
}

void
sora_host_progress (SoraContext *ctx, double fraction, uint32_t step, uint32_t steps)
{
  if (!sora_context_enter (ctx, "progress", SORA_PHASE_RUN, SORA_CALL_ANY_THREAD))
    return;
  SoraTask *task = ctx->task;
  g_mutex_lock (&task->runner->lock);
  gboolean new_step = steps > 0 && step != task->step;
  task->reports = TRUE;
  task->step = step;
  task->steps = steps;
  g_mutex_unlock (&task->runner->lock);
  sora_runner_report (task->runner, task, fraction, new_step);
}

int
sora_host_seed (SoraContext *ctx, uint64_t *seed)
{
  if (!sora_context_enter (ctx, "seed", SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  sora_task_is_seeded (ctx->task);
  *seed = ctx->task->runner->plan->request->seed;
  return SORA_OK;
}

int
sora_host_random_key (SoraContext *ctx, const char *name, uint8_t key[32])
{
  if (!sora_context_enter (ctx, "random_key", SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  sora_task_is_seeded (ctx->task);
  sora_recipe_random_key (ctx->task->runner->plan->request->seed, ctx->node->run, ctx->node->id,
                          name, key);
  return SORA_OK;
}

static gboolean
check_kind (SoraContext *ctx, const char *call, int kind)
{
  if (kind == SORA_MEMORY_WEIGHTS || kind == SORA_MEMORY_WORK)
    return TRUE;
  sora_context_break (ctx, "the plugin called %s() with a kind of memory %d that there is not",
                      call, kind);
  return FALSE;
}

int
sora_host_reserve (SoraContext *ctx, int kind, uint64_t bytes)
{
  if (!sora_context_enter (ctx, "reserve", SORA_PHASE_RUN, SORA_CALL_WAITS)
      || !check_kind (ctx, "reserve", kind))
    return SORA_FAILED;
  if (kind == SORA_MEMORY_WEIGHTS && ctx->node->klass->release == NULL)
    return sora_context_break (ctx, "the plugin reserved memory for weights, which its stage, "
                                    "having no release(), could not give back");
  return sora_task_reserve (ctx->task, (SoraMemoryKind)kind, bytes);
}

int
sora_host_unreserve (SoraContext *ctx, int kind, uint64_t bytes)
{
  if (!sora_context_enter (ctx, "unreserve", SORA_PHASE_RUN, 0)
      || !check_kind (ctx, "unreserve", kind))
    return SORA_FAILED;
  return sora_task_unreserve (ctx->task, (SoraMemoryKind)kind, bytes);
}

int
sora_host_memory_limit (SoraContext *ctx, uint64_t *bytes)
{
  if (!sora_context_enter (ctx, "memory_limit", SORA_PHASE_INFER | SORA_PHASE_RUN, 0))
    return SORA_FAILED;
  *bytes = ctx->node->memory_limit;
  return SORA_OK;
}
