/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Inference over a graph: every stage is asked, in topological order, what it will give for what it
 * gets, and what it will cost; each answer is checked against the ports on both sides before the
 * next stage hears of it.
 */
#include "config.h"
#include "sora-plan-private.h"
#include "sora-error.h"
#include <string.h>

static void
log_warning (SoraContext *ctx, int level, const char *message)
{
  SoraPlan *plan = ctx->log_data;

  if (level < SORA_LOG_WARNING)
    return g_debug ("stage '%s': %s", ctx->node->id, message);
  g_mutex_lock (&ctx->lock); /* logging is for any thread */
  g_ptr_array_add (plan->warnings, g_strdup_printf ("stage '%s': %s", ctx->node->id, message));
  g_mutex_unlock (&ctx->lock);
}

static gboolean
check_spec (const SoraPort *port, const SoraPortSpec *spec, GError **error)
{
  for (int i = 0; i < spec->ndim; i++)
    if (spec->shape[i] < -1 || spec->shape[i] == 0)
      {
        g_autofree char *shape = sora_shape_to_string (spec->ndim, spec->shape);
        sora_error_set (error, SORA_ERROR_INVALID_PLUGIN,
                     "output '%s' has shape %s: an extent is at least 1 (or -1: not known yet)",
                     port->name, shape);
        return FALSE;
      }
  if (spec->chunk < 0 || (spec->chunk > 0 && (port->flags & SORA_PORT_STREAM) == 0))
    {
      sora_error_set (error, SORA_ERROR_INVALID_PLUGIN,
                   "output '%s' has a chunk of %" G_GINT64_FORMAT ", expected %s", port->name,
                   spec->chunk, spec->chunk < 0 ? "0 or more" : "0: it is no stream");
      return FALSE;
    }
  uint64_t bytes;
  gboolean known = TRUE;
  for (int i = 0; i < spec->ndim; i++)
    known &= spec->shape[i] >= 0;
  if (known && !sora_shape_bytes (spec->dtype, spec->ndim, spec->shape, &bytes))
    {
      g_autofree char *shape = sora_shape_to_string (spec->ndim, spec->shape);
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                   "output '%s' of shape %s is too large", port->name, shape);
      return FALSE;
    }
  return TRUE;
}

/* An output that infer left without a spec is not given with these parameters. */
static gboolean
drop_missing_output (SoraGraph *graph, SoraNodeOutput *output, GError **error)
{
  for (guint i = output->edges->len; i > 0; i--)
    {
      SoraEdge *edge = g_ptr_array_index (output->edges, i - 1);
      SoraNodeInput *input = g_ptr_array_index (edge->to->inputs, edge->to_port);
      if ((input->port->flags & SORA_PORT_OPTIONAL) == 0)
        {
          sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                       "output '%s' is not given with these parameters, but input '%s' of stage "
                       "'%s' needs it",
                       output->port->name, input->port->name, edge->to->id);
          return FALSE;
        }
      input->edge = NULL;
      g_ptr_array_remove_index (output->edges, i - 1);
      g_ptr_array_remove (graph->edges, edge); /* which frees it */
    }
  return TRUE;
}

static gboolean
take_outputs (SoraGraph *graph, SoraNode *node, SoraDims *dims, GError **error)
{
  for (guint i = 0; i < node->outputs->len; i++)
    {
      SoraNodeOutput *output = g_ptr_array_index (node->outputs, i);
      if (output->spec == NULL)
        {
          if (output->port->dims != NULL && !drop_missing_output (graph, output, error))
            return FALSE;
          continue;
        }
      if (!check_spec (output->port, output->spec, error)
          || !sora_dims_unify (dims, output->port, "output", output->spec, error))
        return FALSE;
      g_clear_pointer (&output->spec->attrs, g_hash_table_unref);
      output->spec->attrs = g_hash_table_ref (output->attrs);
    }
  return TRUE;
}

static gboolean
infer_node (SoraPlan *plan, SoraGraph *graph, SoraNode *node, GError **error)
{
  g_autoptr (SoraDims) dims = sora_dims_new ();

  for (guint i = 0; i < node->inputs->len; i++)
    {
      const SoraPortSpec *spec = sora_node_input_spec (node, i);
      SoraNodeInput *input = g_ptr_array_index (node->inputs, i);
      if (spec != NULL && !sora_dims_unify (dims, input->port, "input", spec, error))
        return FALSE;
    }

  SoraContext ctx;
  node->memory_limit = plan->memory_limit;
  node->request = plan->request;
  sora_context_init (&ctx, SORA_PHASE_INFER, node);
  ctx.log = log_warning;
  ctx.log_data = plan;
  int result = node->klass->infer (sora_host_table (), &ctx);
  sora_context_check_return (&ctx, "infer");
  gboolean ok = sora_context_result (&ctx, "infer", result, SORA_ERROR_INVALID_REQUEST, error);
  sora_context_clear (&ctx);
  return ok && take_outputs (graph, node, dims, error);
}

gboolean
sora_plan_infer (SoraPlan *plan, SoraGraph *graph, GError **error)
{
  for (guint i = 0; i < graph->nodes->len; i++)
    {
      SoraNode *node = g_ptr_array_index (graph->nodes, i);
      if (plan->inferring != NULL)
        plan->inferring (plan->inferring_data, node->id);
      if (!infer_node (plan, graph, node, error))
        {
          sora_node_prefix_error (node, error);
          return FALSE;
        }
    }
  if (plan->inferring != NULL)
    plan->inferring (plan->inferring_data, NULL);
  return TRUE;
}
