/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The runner: one execution of a plan, run after run, with one task a stage.
 */
#include "config.h"
#include "sora-runner-private.h"
#include "sora-cache-private.h"
#include "sora-checkpoint.h"
#include "sora-compute.h"
#include "sora-error.h"
#include "sora-packed.h"
#include <string.h>

static void
queue_info_free (gpointer data)
{
  SoraQueueInfo *info = data;
  g_free (info->from);
  g_free (info->to);
  g_free (info);
}

SoraRunner *
sora_runner_new (SoraPlan *plan, const char *output_dir, const char *state_dir,
                 const SoraRunnerCallbacks *callbacks, gpointer data)
{
  SoraRunner *runner = g_new0 (SoraRunner, 1);

  g_atomic_ref_count_init (&runner->ref);
  runner->plan = sora_plan_ref (plan);
  runner->output_dir = g_strdup (output_dir);
  runner->state_dir = g_strdup (state_dir);
  if (callbacks != NULL)
    runner->callbacks = *callbacks;
  runner->data = data;
  runner->threads = plan->request->threads > 0 ? plan->request->threads : sora_compute_cores ();
  runner->info = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  runner->collected
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)sora_tensor_unref);
  runner->tasks = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_task_free);
  runner->links = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_link_free);
  runner->queues = g_ptr_array_new_with_free_func (queue_info_free);
  g_mutex_init (&runner->lock);
  g_mutex_init (&runner->reports);
  g_cond_init (&runner->changed);
  return runner;
}

SoraRunner *
sora_runner_ref (SoraRunner *runner)
{
  g_atomic_ref_count_inc (&runner->ref);
  return runner;
}

void
sora_runner_unref (SoraRunner *runner)
{
  if (runner == NULL || !g_atomic_ref_count_dec (&runner->ref))
    return;
  g_ptr_array_unref (runner->tasks);
  g_ptr_array_unref (runner->links);
  g_ptr_array_unref (runner->queues);
  g_clear_pointer (&runner->output, sora_output_free);
  g_clear_pointer (&runner->files, g_ptr_array_unref);
  g_hash_table_unref (runner->collected);
  g_hash_table_unref (runner->info);
  sora_progress_clear (&runner->progress);
  g_clear_error (&runner->error);
  g_mutex_clear (&runner->lock);
  g_mutex_clear (&runner->reports);
  g_cond_clear (&runner->changed);
  sora_plan_unref (runner->plan);
  g_free (runner->output_dir);
  g_free (runner->state_dir);
  g_free (runner->cache_dir);
  g_free (runner->packed_dir);
  g_free (runner->output_name);
  g_free (runner);
}

void
sora_runner_set_output_name (SoraRunner *runner, const char *prefix, gboolean overwrite)
{
  g_free (runner->output_name);
  runner->output_name = g_strdup (prefix);
  runner->overwrite = overwrite;
}

void
sora_runner_set_cache (SoraRunner *runner, const char *dir)
{
  const SoraRequest *request = runner->plan->request;
  /* Who wants no trace of the prompt in the clip wants none beside it. */
  gboolean none = request->no_cache || g_strcmp0 (request->metadata, "none") == 0;
  g_free (runner->cache_dir);
  runner->cache_dir = none ? NULL : g_strdup (dir);
}

void
sora_runner_set_packed (SoraRunner *runner, const char *dir, SoraPackedUse use)
{
  g_free (runner->packed_dir);
  runner->packed_dir = g_strdup (dir);
  runner->packed_use = use;
}

void
sora_runner_set_single (SoraRunner *runner, gboolean single)
{
  runner->single = single;
}

gboolean
sora_runner_is_stopped (gpointer runner)
{
  return g_atomic_int_get (&((SoraRunner *)runner)->stopped);
}

void
sora_runner_stop (SoraRunner *runner, GError *error)
{
  if (runner->error == NULL)
    runner->error = error;
  else
    g_error_free (error);
  runner->stopping = TRUE;
  g_atomic_int_set (&runner->stopped, TRUE);
  g_cond_broadcast (&runner->changed);
  sora_compute_kick ();
}

void
sora_runner_cancel (SoraRunner *runner)
{
  g_mutex_lock (&runner->lock);
  if (!runner->cancelled)
    {
      runner->cancelled = TRUE;
      sora_packed_give_up_all ();
      sora_runner_stop (
          runner, g_error_new_literal (SORA_ERROR, SORA_ERROR_CANCELLED, "the job was stopped"));
    }
  g_mutex_unlock (&runner->lock);
}

void
sora_runner_want_preview (SoraRunner *runner, gboolean wanted)
{
  g_atomic_int_set (&runner->preview_wanted, wanted);
}

/* A queue behind @output, to the input of @edge or (NULL) to who collects. */
static void
add_link (SoraRunner *runner, SoraTask *producer, guint output, const SoraEdge *edge)
{
  SoraNodeOutput *port = g_ptr_array_index (producer->node->outputs, output);
  g_autofree char *from = g_strdup_printf ("%s:%s", producer->node->id, port->port->name);
  g_autofree char *to = NULL;
  SoraTask *consumer = NULL;

  if (edge != NULL)
    {
      SoraNodeInput *input = g_ptr_array_index (edge->to->inputs, edge->to_port);
      consumer = g_ptr_array_index (runner->tasks, edge->to->index);
      to = g_strdup_printf ("%s:%s", edge->to->id, input->port->name);
    }
  SoraLink *link = edge != NULL
                       ? sora_link_new_queue (from, to, SORA_QUEUE_TENSORS, SORA_QUEUE_BYTES)
                       : sora_link_new_queue (from, "the caller", G_MAXUINT, G_MAXUINT64);
  link->consumer = consumer;
  g_ptr_array_add (runner->links, link);
  g_ptr_array_add (g_ptr_array_index (producer->outputs, output), link);
  if (edge != NULL)
    g_ptr_array_index (consumer->inputs, edge->to_port) = link;
}

/* A link that has its one tensor already: the reader of a stored input. */
static void
add_reader (SoraRunner *runner, SoraTask *task, guint index, SoraTensor *tensor)
{
  SoraTensorView view = { .struct_size = sizeof view };
  SoraLink *link = sora_link_new_queue ("the caller", task->node->id, 1, G_MAXUINT64);

  sora_tensor_get_view (tensor, &view);
  sora_link_push (link, sora_tensor_ref (tensor), view.nbytes);
  runner->ledger.queued += view.nbytes;
  link->closed = TRUE;
  link->consumer = task;
  g_ptr_array_add (runner->links, link);
  g_ptr_array_index (task->inputs, index) = link;
}

static gboolean
make_tasks (SoraRunner *runner, SoraGraph *graph, GError **error)
{
  for (guint i = 0; i < graph->nodes->len; i++)
    g_ptr_array_add (runner->tasks, sora_task_new (runner, g_ptr_array_index (graph->nodes, i)));
  for (guint i = 0; i < graph->nodes->len; i++)
    {
      SoraTask *task = g_ptr_array_index (runner->tasks, i);
      for (guint j = 0; j < task->node->inputs->len; j++)
        {
          SoraNodeInput *input = g_ptr_array_index (task->node->inputs, j);
          if (input->tensor != NULL)
            add_reader (runner, task, j, input->tensor);
        }
      for (guint j = 0; j < task->node->outputs->len; j++)
        {
          SoraNodeOutput *output = g_ptr_array_index (task->node->outputs, j);
          for (guint k = 0; k < output->edges->len; k++)
            add_link (runner, task, j, g_ptr_array_index (output->edges, k));
          if (runner->plan->pipeline == NULL && runner->stage == NULL && output->spec != NULL)
            add_link (runner, task, j, NULL);
        }
    }
  sora_runner_find_kept (runner);
  for (guint i = 0; i < runner->tasks->len; i++)
    {
      SoraTask *task = g_ptr_array_index (runner->tasks, i);
      if (sora_runner_is_stopped (runner))
        return TRUE; /* the error is there already */
      if (sora_task_is_spared (task))
        continue;
      task->instance = sora_instance_claim (task->node, task, sora_runner_log, runner, error);
      if (task->instance == NULL)
        {
          sora_node_prefix_error (task->node, error);
          return FALSE;
        }
    }
  return TRUE;
}

/* Joins the chunks of a stream along the first axis. */
static SoraTensor *
join (GPtrArray *chunks, GError **error)
{
  SoraTensorView view = { .struct_size = sizeof view };
  gint64 rows = 0;

  if (chunks->len == 1)
    return sora_tensor_ref (g_ptr_array_index (chunks, 0));
  for (guint i = 0; i < chunks->len; i++)
    {
      sora_tensor_get_view (g_ptr_array_index (chunks, i), &view);
      rows += view.shape[0];
    }
  g_autofree int64_t *shape = g_memdup2 (view.shape, (gsize)view.ndim * sizeof (int64_t));
  shape[0] = rows;
  SoraTensor *whole = sora_tensor_new (view.dtype, view.ndim, shape, error);
  if (whole == NULL)
    return NULL;
  SoraTensorView target = { .struct_size = sizeof target };
  sora_tensor_get_view (whole, &target);
  guint8 *data = target.data;
  for (guint i = 0; i < chunks->len; i++)
    {
      sora_tensor_get_view (g_ptr_array_index (chunks, i), &view);
      memcpy (data, view.data, view.nbytes);
      data += view.nbytes;
    }
  return whole;
}

static gboolean
collect (SoraRunner *runner, SoraTask *task, GError **error)
{
  for (guint i = 0; i < task->outputs->len; i++)
    {
      GPtrArray *links = g_ptr_array_index (task->outputs, i);
      SoraNodeOutput *output = g_ptr_array_index (task->node->outputs, i);
      g_autoptr (GPtrArray) chunks
          = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_tensor_unref);
      SoraTensor *tensor;
      guint64 bytes;
      while (links->len > 0
             && (tensor = sora_link_pull (g_ptr_array_index (links, 0), &bytes)) != NULL)
        g_ptr_array_add (chunks, tensor);
      if (chunks->len == 0)
        continue;
      tensor = join (chunks, error);
      if (tensor == NULL)
        return FALSE;
      g_hash_table_insert (runner->collected, g_strdup (output->port->name), tensor);
    }
  return TRUE;
}

static void
note_queues (SoraRunner *runner, guint run)
{
  for (guint i = 0; i < runner->links->len; i++)
    {
      SoraLink *link = g_ptr_array_index (runner->links, i);
      SoraQueueInfo *info = g_new0 (SoraQueueInfo, 1);
      info->run = run;
      info->from = g_strdup (link->from);
      info->to = g_strdup (link->to);
      info->peak_tensors = link->peak_tensors;
      info->peak_bytes = link->peak_bytes;
      info->enlarged = link->enlarged;
      g_ptr_array_add (runner->queues, info);
    }
}

/* One graph from beginning to end. */
static gboolean
run_graph (SoraRunner *runner, SoraGraph *graph, GError **error)
{
  gboolean ok = make_tasks (runner, graph, error);

  if (ok)
    {
      /* All are made before the first starts: the check for stalls looks at all of them. */
      for (guint i = 0; i < runner->tasks->len; i++)
        if (!sora_runner_is_stopped (runner))
          sora_task_start (g_ptr_array_index (runner->tasks, i));
      for (guint i = 0; i < runner->tasks->len; i++)
        {
          SoraTask *task = g_ptr_array_index (runner->tasks, i);
          g_clear_pointer (&task->thread, g_thread_join);
        }
      g_mutex_lock (&runner->lock);
      if (runner->error != NULL)
        {
          g_propagate_error (error, g_error_copy (runner->error));
          ok = FALSE;
        }
      g_mutex_unlock (&runner->lock);
      if (ok && runner->plan->pipeline == NULL)
        ok = collect (runner, g_ptr_array_index (runner->tasks, 0), error);
    }
  note_queues (runner, graph->run);
  g_ptr_array_set_size (runner->tasks, 0);
  g_ptr_array_set_size (runner->links, 0);
  g_mutex_lock (&runner->lock);
  runner->ledger.queued = 0;
  g_mutex_unlock (&runner->lock);
  return ok;
}

static void
begin_progress (SoraRunner *runner)
{
  g_autoptr (GArray) flops = g_array_new (FALSE, TRUE, sizeof (double));

  for (guint i = 0; i < runner->plan->runs->len; i++)
    {
      SoraGraph *graph = g_ptr_array_index (runner->plan->runs, i);
      for (guint j = 0; j < graph->nodes->len; j++)
        g_array_append_val (flops, ((SoraNode *)g_ptr_array_index (graph->nodes, j))->cost.flops);
    }
  sora_progress_init (&runner->progress, (double *)(void *)flops->data, flops->len,
                      g_get_monotonic_time ());
}

/* Files need a folder: said before hours of work rather than after. */
static gboolean
check_files (SoraRunner *runner, GError **error)
{
  for (guint i = 0; runner->output_dir == NULL && i < runner->plan->stages->len; i++)
    {
      SoraPlanStage *stage = g_ptr_array_index (runner->plan->stages, i);
      for (guint j = 0; j < stage->outputs->len; j++)
        {
          SoraPlanOutput *output = g_ptr_array_index (stage->outputs, j);
          if (strcmp (output->semantic, SORA_SEMANTIC_FILE) != 0)
            continue;
          sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                       "stage '%s': output '%s' is a file, and no folder for results was given",
                       stage->stage, output->port);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
check_models (SoraRunner *runner, GError **error)
{
  for (guint i = 0; i < runner->plan->models->len; i++)
    if (!sora_model_unchanged (g_ptr_array_index (runner->plan->models, i), error))
      return FALSE;
  return TRUE;
}

static gboolean
run_plan (SoraRunner *runner, GError **error)
{
  if ((runner->stage == NULL && !check_files (runner, error)) || !check_models (runner, error)
      || !sora_plan_check_memory (runner->plan, runner->ledger.limit, error))
    return FALSE;
  runner->output = sora_output_new (runner->output_dir, error);
  if (runner->output == NULL)
    return FALSE;
  sora_output_set_name (runner->output, runner->output_name, runner->overwrite);
  for (guint i = 0; i < runner->plan->runs->len; i++)
    {
      SoraGraph *graph = g_ptr_array_index (runner->plan->runs, i);
      if (!run_graph (runner, graph, error))
        return FALSE;
      runner->first_node += graph->nodes->len;
    }

  /* From here on it is too late to stop it: half a result is none. */
  g_mutex_lock (&runner->lock);
  gboolean stopped = runner->error != NULL;
  if (stopped)
    g_propagate_error (error, g_error_copy (runner->error));
  g_mutex_unlock (&runner->lock);
  if (stopped)
    return FALSE;
  runner->files = sora_output_publish (runner->output, error);
  return runner->files != NULL;
}

static void
remove_checkpoints (SoraRunner *runner)
{
  for (guint i = 0; runner->state_dir != NULL && i < runner->plan->stages->len; i++)
    {
      SoraPlanStage *stage = g_ptr_array_index (runner->plan->stages, i);
      sora_checkpoint_remove (runner->state_dir, stage->run, stage->stage);
    }
}

gboolean
sora_runner_run (SoraRunner *runner, GError **error)
{
  g_autoptr (GError) failure = NULL;

  sora_process_init ();
  g_mutex_lock (&runner->lock);
  gboolean used = runner->used;
  runner->used = TRUE;
  g_mutex_unlock (&runner->lock);
  g_return_val_if_fail (!used, FALSE);

  g_mutex_lock (&runner->lock);
  sora_ledger_init (&runner->ledger, runner->plan->request->memory_limit);
  begin_progress (runner);
  g_mutex_unlock (&runner->lock);

  SoraResident resident;
  sora_resident_begin (&resident);
  gboolean ok = run_plan (runner, &failure);
  runner->peak_resident = sora_resident_end (&resident);
  g_clear_pointer (&runner->output, sora_output_free);
  if (ok)
    {
      remove_checkpoints (runner);
      return TRUE;
    }
  g_hash_table_remove_all (runner->collected);
  /* A stop that came while instances were made is the reason, whatever came of it. */
  g_mutex_lock (&runner->lock);
  if (runner->cancelled && runner->error != NULL)
    {
      g_clear_error (&failure);
      failure = g_error_copy (runner->error);
    }
  g_mutex_unlock (&runner->lock);
  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}

GPtrArray *
sora_runner_files (SoraRunner *runner)
{
  return runner->files;
}

GPtrArray *
sora_runner_queues (SoraRunner *runner)
{
  return runner->queues;
}

SoraTensor *
sora_runner_get_output (SoraRunner *runner, const char *port)
{
  SoraTensor *tensor = g_hash_table_lookup (runner->collected, port);
  return tensor != NULL ? sora_tensor_ref (tensor) : NULL;
}

guint64
sora_runner_peak_reserved (SoraRunner *runner)
{
  g_mutex_lock (&runner->lock);
  guint64 peak = runner->ledger.peak;
  g_mutex_unlock (&runner->lock);
  return peak;
}

guint64
sora_runner_peak_resident (SoraRunner *runner)
{
  return runner->peak_resident;
}
