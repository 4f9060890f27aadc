/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A task: one stage of a running graph on its own light thread, from its first tensor to the
 * closing of its outputs.
 */
#include "config.h"
#include "sora-recipe.h"
#include "sora-runner-private.h"
#include "sora-cache-private.h"
#include "sora-compute.h"
#include "sora-error.h"

#define BUSY_INSTANCE_INTERVAL (G_USEC_PER_SEC / 50)

SoraTask *
sora_task_new (SoraRunner *runner, SoraNode *node)
{
  SoraTask *task = g_new0 (SoraTask, 1);

  task->runner = runner;
  task->node = node;
  task->state = SORA_TASK_WAIT_START;
  task->inputs = g_ptr_array_new ();
  g_ptr_array_set_size (task->inputs, (gint)node->inputs->len);
  task->outputs = g_ptr_array_new_with_free_func ((GDestroyNotify)g_ptr_array_unref);
  for (guint i = 0; i < node->outputs->len; i++)
    g_ptr_array_add (task->outputs, g_ptr_array_new ());
  task->pulled = g_new0 (SoraFlow, MAX (node->inputs->len, 1));
  task->pulled_digests = g_new0 (char *, MAX (node->inputs->len, 1));
  task->pushed = g_new0 (SoraFlow, MAX (node->outputs->len, 1));
  return task;
}

void
sora_task_free (SoraTask *task)
{
  if (task->thread != NULL)
    g_thread_join (task->thread);
  if (task->instance != NULL)
    sora_instance_unclaim (task->instance, SORA_INSTANCE_IDLE);
  g_ptr_array_unref (task->inputs);
  g_ptr_array_unref (task->outputs);
  g_free (task->pulled);
  for (guint i = 0; i < task->node->inputs->len; i++)
    g_free (task->pulled_digests[i]);
  g_free (task->pulled_digests);
  g_free (task->pushed);
  g_free (task->recipe);
  g_free (task->cache_key);
  g_clear_pointer (&task->noted, g_ptr_array_unref);
  g_clear_pointer (&task->kept, g_ptr_array_unref);
  g_free (task);
}

/* Something has come in, or ended, on any input; a stage without inputs may start at once. */
static gboolean
can_start (SoraTask *task)
{
  gboolean connected = FALSE;

  if (sora_task_is_spared (task))
    return TRUE;
  for (guint i = 0; i < task->inputs->len; i++)
    {
      SoraLink *link = g_ptr_array_index (task->inputs, i);
      if (link != NULL && (link->tensors > 0 || link->closed))
        return TRUE;
      connected |= link != NULL;
    }
  return !connected;
}

gboolean
sora_task_is_stuck (SoraTask *task)
{
  switch (task->state)
    {
    case SORA_TASK_WAIT_START:
      return !can_start (task);
    case SORA_TASK_WAIT_PULL:
      return task->link->tensors == 0 && !task->link->closed;
    case SORA_TASK_WAIT_PUSH:
      return !task->link->dropped && !sora_link_has_room (task->link, task->bytes);
    case SORA_TASK_WAIT_RESERVE:
      return !sora_ledger_fits (&task->runner->ledger, task->bytes)
             && !sora_instances_can_release ();
    case SORA_TASK_RUNNING:
    case SORA_TASK_DONE:
      break;
    }
  return FALSE;
}

/* Under the lock: waits until something changes.  The caller asks again whether it was what it
 * waits for. */
static void
task_wait (SoraTask *task, SoraTaskState state, SoraLink *link, guint64 bytes)
{
  SoraRunner *runner = task->runner;

  task->state = state;
  task->link = link;
  task->bytes = bytes;
  sora_stall_check (runner);
  /* One that could start waits for its instance, which a stage of another job may be releasing:
   * that job's lock is not ours, so look again soon. */
  if (state == SORA_TASK_WAIT_START && !runner->stopping && !sora_task_is_stuck (task))
    g_cond_wait_until (&runner->changed, &runner->lock,
                       g_get_monotonic_time () + BUSY_INSTANCE_INTERVAL);
  else if (!runner->stopping && !task->refused && sora_task_is_stuck (task))
    g_cond_wait (&runner->changed, &runner->lock);
  task->state = SORA_TASK_RUNNING;
}

/* Streams whose length is known tell how far a stage is that does not say so itself. */
static void
report_flow (SoraTask *task)
{
  double fraction = -1;

  g_mutex_lock (&task->runner->lock);
  gboolean reports = task->reports;
  g_mutex_unlock (&task->runner->lock);
  if (reports)
    return;
  for (guint i = 0; i < task->node->inputs->len; i++)
    {
      const SoraPortSpec *spec = sora_node_input_spec (task->node, i);
      SoraNodeInput *input = g_ptr_array_index (task->node->inputs, i);
      if (spec != NULL && (input->port->flags & SORA_PORT_STREAM) && spec->ndim > 0
          && spec->shape[0] > 0)
        fraction = MAX (fraction, (double)task->pulled[i].rows / (double)spec->shape[0]);
    }
  /* What was pulled is not yet done: outputs, where there are some, know better. */
  for (guint i = 0; i < task->node->outputs->len; i++)
    {
      SoraNodeOutput *output = g_ptr_array_index (task->node->outputs, i);
      if (output->spec != NULL && (output->port->flags & SORA_PORT_STREAM) && output->spec->ndim > 0
          && output->spec->shape[0] > 0)
        fraction = (double)task->pushed[i].rows / (double)output->spec->shape[0];
    }
  if (fraction >= 0)
    sora_runner_report (task->runner, task, MIN (fraction, 1), FALSE);
}

/* Where checkpoints are kept, one must know what the stage had seen. */
static void
note_pulled (SoraTask *task, guint input, SoraTensor *tensor)
{
  const SoraNodeInput *node_input = g_ptr_array_index (task->node->inputs, input);
  if (task->runner->state_dir == NULL || (node_input->port->flags & SORA_PORT_STREAM) != 0
      || task->pulled_digests[input] != NULL)
    return;
  task->pulled_digests[input] = sora_recipe_tensor_digest (tensor);
}

int
sora_task_pull (SoraTask *task, guint input, SoraTensor **tensor)
{
  SoraRunner *runner = task->runner;
  SoraLink *link = g_ptr_array_index (task->inputs, input);
  int result = SORA_EOS;
  guint64 bytes;

  *tensor = NULL;
  if (runner->stage != NULL)
    {
      SoraNodeInput *port = g_ptr_array_index (task->node->inputs, input);
      return sora_stage_pull (runner->stage, &task->ctx, port->port->name, tensor);
    }
  if (link == NULL)
    return sora_runner_is_stopped (runner) ? SORA_CANCELLED : SORA_EOS;
  g_mutex_lock (&runner->lock);
  while (!runner->stopping)
    {
      *tensor = sora_link_pull (link, &bytes);
      if (*tensor != NULL)
        {
          runner->ledger.queued -= bytes;
          result = SORA_OK;
          g_cond_broadcast (&runner->changed);
          break;
        }
      if (link->closed)
        break;
      task_wait (task, SORA_TASK_WAIT_PULL, link, 0);
    }
  if (runner->stopping && *tensor == NULL)
    result = SORA_CANCELLED;
  g_mutex_unlock (&runner->lock);

  if (result == SORA_OK)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      sora_tensor_get_view (*tensor, &view);
      note_pulled (task, input, *tensor);
      task->pulled[input].tensors++;
      task->pulled[input].rows += view.ndim > 0 ? view.shape[0] : 1;
      report_flow (task);
    }
  return result;
}

/* What is pushed must be what infer promised. */
static gboolean
check_pushed (SoraTask *task, guint index, const SoraTensorView *view, GError **error)
{
  SoraNodeOutput *output = g_ptr_array_index (task->node->outputs, index);
  const SoraPortSpec *spec = output->spec;
  SoraFlow *flow = &task->pushed[index];
  gboolean stream = (output->port->flags & SORA_PORT_STREAM) != 0;
  gboolean fits = spec != NULL && (int)spec->dtype == view->dtype && spec->ndim == view->ndim;

  for (int i = 0; fits && i < spec->ndim; i++)
    if (stream && i == 0)
      fits = (spec->chunk == 0 || view->shape[0] <= spec->chunk)
             && (spec->shape[0] < 0 || flow->rows + view->shape[0] <= spec->shape[0]);
    else
      fits = spec->shape[i] < 0 || spec->shape[i] == view->shape[i];
  if (!fits)
    {
      g_autofree char *got = sora_shape_to_string (view->ndim, view->shape);
      g_autofree char *expected
          = spec != NULL ? sora_shape_to_string (spec->ndim, spec->shape) : NULL;
      g_autofree char *rows = flow->rows > 0 && stream
                                  ? g_strdup_printf (" after %" G_GINT64_FORMAT " rows", flow->rows)
                                  : g_strdup ("");
      g_autofree char *chunk
          = spec != NULL && spec->chunk > 0
                ? g_strdup_printf (" in chunks of %" G_GINT64_FORMAT, spec->chunk)
                : g_strdup ("");
      sora_error_set (error, SORA_ERROR_FAILED,
                   "output '%s' was given %s %s%s, but infer promised %s %s%s", output->port->name,
                   sora_dtype_name (view->dtype), got, rows,
                   spec != NULL ? sora_dtype_name (spec->dtype) : "nothing",
                   expected != NULL ? expected : "", chunk);
      return FALSE;
    }
  if (!stream && flow->tensors > 0)
    {
      sora_error_set (error, SORA_ERROR_FAILED,
                   "output '%s' was given a second tensor, but it is no stream",
                   output->port->name);
      return FALSE;
    }
  return TRUE;
}

/* Under the lock; @consumed goes into @link. */
static int
push_link (SoraTask *task, SoraLink *link, SoraTensor *consumed, guint64 bytes)
{
  g_autoptr (SoraTensor) tensor = consumed;
  SoraRunner *runner = task->runner;

  while (!runner->stopping && !link->dropped && !sora_link_has_room (link, bytes))
    {
      task_wait (task, SORA_TASK_WAIT_PUSH, link, bytes);
      if (task->refused)
        {
          task->refused = FALSE;
          char size[32], limit[32];
          sora_context_fail (&task->ctx, SORA_ERROR_NO_MEMORY,
                             "the queue from '%s' to '%s' is full (%u tensors, %s), every stage "
                             "waits for another, and "
                             "it cannot be made larger within the memory limit of %s",
                             link->from, link->to, link->tensors,
                             sora_bytes_to_text (link->bytes, size),
                             sora_bytes_to_text (runner->ledger.limit, limit));
          return SORA_FAILED;
        }
    }
  if (runner->stopping)
    return SORA_CANCELLED;
  if (link->dropped)
    return SORA_OK;
  sora_link_push (link, g_steal_pointer (&tensor), bytes);
  runner->ledger.queued += bytes;
  sora_ledger_note_peak (&runner->ledger);
  g_cond_broadcast (&runner->changed);
  return SORA_OK;
}

int
sora_task_push (SoraTask *task, guint output, SoraTensor *consumed)
{
  SoraRunner *runner = task->runner;
  g_autoptr (SoraTensor) tensor = consumed;
  g_autoptr (GError) error = NULL;
  GPtrArray *links = g_ptr_array_index (task->outputs, output);
  SoraTensorView view = { .struct_size = sizeof view };
  int result = SORA_OK;

  sora_tensor_get_view (tensor, &view);
  if (!check_pushed (task, output, &view, &error))
    return sora_context_fail_error (&task->ctx, error);
  task->pushed[output].tensors++;
  task->pushed[output].rows += view.ndim > 0 ? view.shape[0] : 1;
  if (runner->stage != NULL)
    {
      SoraNodeOutput *port = g_ptr_array_index (task->node->outputs, output);
      return sora_stage_push (runner->stage, &task->ctx, port->port->name, tensor);
    }
  guint64 nbytes = view.nbytes;
  sora_task_note_output (task, output, tensor);

  g_mutex_lock (&runner->lock);
  if (runner->stopping)
    result = SORA_CANCELLED;
  for (guint i = 0; result == SORA_OK && i < links->len; i++)
    /* The last one gets this reference itself: a consumer that wakes at once is its only owner. */
    result = push_link (task, g_ptr_array_index (links, i),
                        i + 1 == links->len ? g_steal_pointer (&tensor) : sora_tensor_ref (tensor),
                        nbytes);
  g_mutex_unlock (&runner->lock);
  if (result == SORA_OK)
    report_flow (task);
  return result;
}

int
sora_task_reserve (SoraTask *task, SoraMemoryKind kind, guint64 bytes)
{
  SoraRunner *runner = task->runner;
  char needed[32], own_text[32], limit[32];
  int result = SORA_OK;

  g_mutex_lock (&runner->lock);
  guint64 own = task->work + sora_instance_get_held (task->instance);
  gboolean never = own > runner->ledger.limit || bytes > runner->ledger.limit - own;
  while (!never && !runner->stopping && !task->refused
         && !sora_ledger_fits (&runner->ledger, bytes))
    {
      if (!sora_instances_can_release ())
        {
          task_wait (task, SORA_TASK_WAIT_RESERVE, NULL, bytes);
          continue;
        }
      g_mutex_unlock (&runner->lock);
      sora_instances_release_one ();
      g_mutex_lock (&runner->lock);
      g_cond_broadcast (&runner->changed);
    }
  if (runner->stopping)
    result = SORA_CANCELLED;
  else if (never || task->refused)
    result = sora_context_fail (
        &task->ctx, SORA_ERROR_NO_MEMORY,
        "needs %s of memory%s%s%s, but the job may use %s%s: raise the memory limit, or make "
        "the clip smaller",
        sora_bytes_to_text (bytes, needed), own > 0 ? " more than the " : "",
        own > 0 ? sora_bytes_to_text (own, own_text) : "", own > 0 ? " it has" : "",
        sora_bytes_to_text (runner->ledger.limit, limit), never ? "" : ", which other stages hold");
  else
    {
      if (kind == SORA_MEMORY_WEIGHTS)
        sora_instance_hold (task->instance, bytes);
      else
        {
          task->work += bytes;
          runner->ledger.work += bytes;
        }
      sora_ledger_note_peak (&runner->ledger);
    }
  /* Told once: a stage that goes on with less can wait again. */
  task->refused = FALSE;
  g_mutex_unlock (&runner->lock);
  return result;
}

int
sora_task_unreserve (SoraTask *task, SoraMemoryKind kind, guint64 bytes)
{
  SoraRunner *runner = task->runner;

  g_mutex_lock (&runner->lock);
  gboolean ok = kind == SORA_MEMORY_WEIGHTS ? sora_instance_unhold (task->instance, bytes)
                                            : bytes <= task->work;
  if (ok && kind == SORA_MEMORY_WORK)
    {
      task->work -= bytes;
      runner->ledger.work -= bytes;
    }
  g_cond_broadcast (&runner->changed);
  g_mutex_unlock (&runner->lock);
  if (!ok)
    return sora_context_break (
        &task->ctx, "the plugin gave back %" G_GUINT64_FORMAT " bytes that it had not reserved",
        bytes);
  return SORA_OK;
}

/* A stage that says OK has given all that infer promised, unless nobody wanted it any more. */
static gboolean
check_complete (SoraTask *task, GError **error)
{
  for (guint i = 0; i < task->outputs->len; i++)
    {
      SoraNodeOutput *output = g_ptr_array_index (task->node->outputs, i);
      GPtrArray *links = g_ptr_array_index (task->outputs, i);
      gboolean wanted = FALSE;
      g_mutex_lock (&task->runner->lock);
      for (guint j = 0; j < links->len; j++)
        wanted |= !((SoraLink *)g_ptr_array_index (links, j))->dropped;
      g_mutex_unlock (&task->runner->lock);
      if (!wanted || output->spec == NULL)
        continue;
      gboolean stream = (output->port->flags & SORA_PORT_STREAM) != 0;
      gint64 rows = task->pushed[i].rows,
             expected = stream && output->spec->ndim > 0 ? output->spec->shape[0] : 1;
      if (!stream && task->pushed[i].tensors == 0)
        {
          sora_error_set (error, SORA_ERROR_FAILED,
                       "run() ended without giving output '%s'", output->port->name);
          return FALSE;
        }
      if (stream && expected >= 0 && rows < expected)
        {
          sora_error_set (error, SORA_ERROR_FAILED,
                       "output '%s' ended after %" G_GINT64_FORMAT " of the %" G_GINT64_FORMAT
                       " that infer promised",
                       output->port->name, rows, expected);
          return FALSE;
        }
    }
  return TRUE;
}

/* TRUE: run was called and all is well. */
static gboolean
task_run (SoraTask *task, GError **error)
{
  SoraRunner *runner = task->runner;

  sora_context_init (&task->ctx, SORA_PHASE_RUN, task->node);
  task->ctx.task = task;
  task->ctx.instance = task->instance;
  task->ctx.log = sora_runner_log;
  task->ctx.log_data = runner;
  int result = SORA_OK;
  if (task->kept != NULL)
    result = sora_task_replay (task);
  else
    {
      result = task->node->klass->run (sora_host_table (), &task->ctx, task->instance->instance);
      sora_context_check_return (&task->ctx, "run");
    }

  /* Cancelled because the job is: not an error of this stage. */
  gboolean ok = FALSE;
  if (result != SORA_CANCELLED || !sora_runner_is_stopped (runner) || task->ctx.broken)
    ok = sora_context_result (&task->ctx, "run", result, SORA_ERROR_FAILED, error)
         && check_complete (task, error)
         && sora_output_sync (runner->output, task->node->id, error);
  if (ok)
    sora_task_keep (task);
  g_clear_pointer (&task->noted, g_ptr_array_unref);
  if (!ok && error != NULL && *error != NULL
      && g_error_matches (*error, SORA_ERROR, SORA_ERROR_FAILED)
      && sora_output_is_full (runner->output, task->node->id))
    (*error)->code = SORA_ERROR_NO_SPACE;
  sora_context_clear (&task->ctx);
  return ok;
}

/* Under the lock. */
static void
close_links (SoraTask *task)
{
  for (guint i = 0; i < task->outputs->len; i++)
    {
      GPtrArray *links = g_ptr_array_index (task->outputs, i);
      for (guint j = 0; j < links->len; j++)
        ((SoraLink *)g_ptr_array_index (links, j))->closed = TRUE;
    }
  for (guint i = 0; i < task->inputs->len; i++)
    if (g_ptr_array_index (task->inputs, i) != NULL)
      task->runner->ledger.queued -= sora_link_drop (g_ptr_array_index (task->inputs, i));
}

/* Nobody will ask for its weights again: no later run of the plan, and no other job. */
static gboolean
is_last (SoraTask *task)
{
  return task->runner->single && task->node->run + 1 == task->runner->plan->runs->len;
}

static gpointer
task_main (gpointer data)
{
  SoraTask *task = data;
  SoraRunner *runner = task->runner;
  GError *error = NULL;
  gboolean ok = FALSE;
  guint64 resident = 0;

  g_mutex_lock (&runner->lock);
  while (!runner->stopping && !sora_task_is_spared (task)
         && (!can_start (task) || !sora_instance_begin (task->instance)))
    task_wait (task, SORA_TASK_WAIT_START, NULL, 0);
  gboolean begin = !runner->stopping;
  task->state = SORA_TASK_RUNNING;
  task->began = g_get_monotonic_time ();
  g_mutex_unlock (&runner->lock);

  if (begin)
    {
      sora_runner_report (runner, task, 0, FALSE);
      sora_resident_begin (&task->resident);
      ok = task->skipped || task_run (task, &error);
      resident = sora_resident_end (&task->resident);
    }
  if (error != NULL)
    sora_node_prefix_error (task->node, &error);
  if (ok)
    {
      sora_runner_report (runner, task, 1, TRUE);
      if (!task->skipped)
        sora_runner_stage_done (runner, task, resident);
    }

  /* The instance first, so that who waits for memory finds it idle. */
  if (task->instance != NULL)
    sora_instance_unclaim (g_steal_pointer (&task->instance),
                           error != NULL    ? SORA_INSTANCE_FAILED
                           : is_last (task) ? SORA_INSTANCE_OVER
                                            : SORA_INSTANCE_IDLE);
  g_mutex_lock (&runner->lock);
  runner->ledger.work -= task->work;
  task->work = 0;
  if (error != NULL)
    sora_runner_stop (runner, g_steal_pointer (&error));
  close_links (task);
  task->state = SORA_TASK_DONE;
  sora_stall_check (runner);
  g_cond_broadcast (&runner->changed);
  g_mutex_unlock (&runner->lock);
  return NULL;
}

void
sora_task_start (SoraTask *task)
{
  g_autofree char *name = g_strdup_printf ("sora-%.10s", task->node->id);
  task->thread = g_thread_new (name, task_main, task);
}
