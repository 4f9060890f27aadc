/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The plan object: a request made into an ordered list of graph runs, and what it tells about
 * itself.
 */
#include "config.h"
#include "sora-plan-private.h"
#include "sora-error.h"
#include "sora-ledger.h"
#include "sora-manifest.h"
#include "sora-suggest.h"
#include <string.h>

static void
plan_output_free (gpointer data)
{
  SoraPlanOutput *output = data;
  g_free (output->connected_to);
  g_free (output);
}

static void
plan_stage_free (gpointer data)
{
  SoraPlanStage *stage = data;
  g_ptr_array_unref (stage->outputs);
  g_free (stage);
}

static SoraPlan *
plan_new (SoraEnvironment *environment, const SoraRequest *request)
{
  SoraPlan *plan = g_new0 (SoraPlan, 1);
  g_atomic_ref_count_init (&plan->ref);
  plan->registry = sora_registry_ref (environment->registry);
  plan->inferring = environment->inferring;
  plan->inferring_data = environment->inferring_data;
  plan->environment = sora_environment_copy (environment);
  plan->request = sora_request_copy (request);
  if (!plan->request->has_seed)
    sora_request_choose_seed (plan->request);
  plan->memory_limit = sora_ledger_limit (plan->request->memory_limit);
  plan->runs = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_graph_free);
  plan->stages = g_ptr_array_new_with_free_func (plan_stage_free);
  plan->warnings = g_ptr_array_new_with_free_func (g_free);
  plan->models = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_model_unref);
  return plan;
}

SoraPlan *
sora_plan_ref (SoraPlan *plan)
{
  g_atomic_ref_count_inc (&plan->ref);
  return plan;
}

void
sora_plan_unref (SoraPlan *plan)
{
  if (plan == NULL || !g_atomic_ref_count_dec (&plan->ref))
    return;
  g_ptr_array_unref (plan->stages);
  g_ptr_array_unref (plan->runs);
  g_ptr_array_unref (plan->warnings);
  g_ptr_array_unref (plan->models);
  g_clear_pointer (&plan->pipeline, sora_pipeline_unref);
  sora_request_free (plan->request);
  sora_registry_unref (plan->registry);
  sora_environment_free (plan->environment);
  g_free (plan);
}

static char *
describe_targets (SoraNodeOutput *output)
{
  if (output->edges->len == 0)
    return NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < output->edges->len; i++)
    {
      SoraEdge *edge = g_ptr_array_index (output->edges, i);
      SoraNodeInput *input = g_ptr_array_index (edge->to->inputs, edge->to_port);
      g_string_append_printf (text, "%s%s:%s", i > 0 ? ", " : "", edge->to->id, input->port->name);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
add_stage (SoraPlan *plan, SoraNode *node)
{
  SoraPlanStage *stage = g_new0 (SoraPlanStage, 1);
  stage->run = node->run;
  stage->stage = node->id;
  stage->plugin = node->plugin->id;
  stage->version = node->plugin->version;
  stage->cost = node->cost;
  stage->third_party = node->info->third_party;
  stage->sandbox = node->remote != NULL ? node->info->level : NULL;
  stage->outputs = g_ptr_array_new_with_free_func (plan_output_free);
  for (guint i = 0; i < node->outputs->len; i++)
    {
      SoraNodeOutput *output = g_ptr_array_index (node->outputs, i);
      if (output->spec == NULL && output->port->dims != NULL)
        continue; /* not given with these parameters */
      SoraPlanOutput *row = g_new0 (SoraPlanOutput, 1);
      row->port = output->port->name;
      row->semantic = output->port->semantic;
      row->stream = (output->port->flags & SORA_PORT_STREAM) != 0;
      row->spec = output->spec;
      row->connected_to = describe_targets (output);
      g_ptr_array_add (stage->outputs, row);
    }
  g_ptr_array_add (plan->stages, stage);
}

/* Checks, sorts and infers @graph, which becomes the plan's next run. */
static gboolean
finish_run (SoraPlan *plan, SoraGraph *graph, GError **error)
{
  if (!sora_graph_check (graph, error) || !sora_plan_infer (plan, graph, error))
    return FALSE;
  for (guint i = 0; i < graph->nodes->len; i++)
    {
      SoraNode *node = g_ptr_array_index (graph->nodes, i);
      add_stage (plan, node);
      plan->flops += node->cost.flops;
    }
  /* Runs follow each other: the largest decides. */
  plan->peak_bytes = MAX (plan->peak_bytes, sora_graph_peak_bytes (graph));
  return TRUE;
}

static gboolean
load_pipeline (SoraPlan *plan, SoraEnvironment *environment, GError **error)
{
  const SoraRequest *request = plan->request;

  if (request->pipeline_text != NULL)
    plan->pipeline = sora_pipeline_parse (request->pipeline_text, strlen (request->pipeline_text),
                                          request->pipeline, error);
  else
    plan->pipeline = sora_pipeline_find ((const char *const *)environment->pipeline_dirs,
                                         request->pipeline, error);
  return plan->pipeline != NULL;
}

static gboolean
add_nodes (SoraPlan *plan, SoraGraph *graph, GError **error)
{
  GPtrArray *stages = sora_pipeline_stages (plan->pipeline);

  for (guint i = 0; i < stages->len; i++)
    {
      SoraPipelineStage *stage = g_ptr_array_index (stages, i);
      g_ptr_array_add (graph->nodes, sora_node_new (graph->run, stage->id));
    }

  GHashTableIter iter;
  gpointer id;
  g_hash_table_iter_init (&iter, plan->request->stages);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    if (sora_graph_find (graph, id) == NULL)
      {
        g_autoptr (GPtrArray) names = sora_graph_node_names (graph);
        g_autofree char *hint = sora_suggest (id, names);
        sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                     "pipeline '%s' has no stage '%s' to be replaced%s",
                     sora_pipeline_id (plan->pipeline), (char *)id, hint);
        return FALSE;
      }

  for (guint i = 0; i < stages->len; i++)
    {
      SoraPipelineStage *stage = g_ptr_array_index (stages, i);
      SoraNode *node = g_ptr_array_index (graph->nodes, i);
      const char *override = g_hash_table_lookup (plan->request->stages, stage->id);
      node->overridden = override != NULL;
      if (!sora_node_load (node, plan->registry, override != NULL ? override : stage->plugin,
                           error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
add_edges (SoraPlan *plan, SoraGraph *graph, GError **error)
{
  GPtrArray *stages = sora_pipeline_stages (plan->pipeline);

  for (guint i = 0; i < stages->len; i++)
    {
      SoraPipelineStage *stage = g_ptr_array_index (stages, i);
      for (guint j = 0; j < stage->inputs->len; j++)
        {
          SoraPipelineInput *input = g_ptr_array_index (stage->inputs, j);
          if (!sora_graph_connect (graph, g_ptr_array_index (graph->nodes, i), input->port,
                                   input->source_stage, input->source_port, error))
            return FALSE;
        }
    }
  return TRUE;
}

SoraPlan *
sora_plan_new (SoraEnvironment *environment, const SoraRequest *request, GError **error)
{
  g_autoptr (SoraPlan) plan = plan_new (environment, request);

  if (!load_pipeline (plan, environment, error))
    return NULL;
  SoraGraph *graph = sora_graph_new (0);
  g_ptr_array_add (plan->runs, graph);
  if (!add_nodes (plan, graph, error) || !add_edges (plan, graph, error)
      || !sora_plan_resolve_models (plan, environment, graph, error)
      || !sora_plan_resolve_params (plan, graph, error)
      || !finish_run (plan, graph, error))
    return NULL;
  g_ptr_array_add (plan->warnings, NULL);
  return g_steal_pointer (&plan);
}

static gboolean
feed_input (SoraNode *node, const char *port, SoraTensor *tensor, GHashTable *attrs, GError **error)
{
  int index = sora_node_find_input (node, port);
  if (index < 0)
    {
      g_autoptr (GPtrArray) names = g_ptr_array_new ();
      for (guint i = 0; i < node->inputs->len; i++)
        g_ptr_array_add (
            names, (gpointer)((SoraNodeInput *)g_ptr_array_index (node->inputs, i))->port->name);
      g_autofree char *hint = sora_suggest (port, names);
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                   "stage '%s': plugin '%s' has no input '%s'%s", node->id, node->plugin->id, port,
                   hint);
      return FALSE;
    }
  SoraNodeInput *input = g_ptr_array_index (node->inputs, (guint)index);
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (tensor, &view);
  input->tensor = sora_tensor_ref (tensor);
  input->own_spec = sora_port_spec_new (view.dtype, view.ndim, view.shape);
  if (attrs != NULL)
    {
      GHashTableIter iter;
      gpointer name, value;
      if (input->own_spec->attrs == NULL)
        input->own_spec->attrs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                                        (GDestroyNotify)g_variant_unref);
      g_hash_table_iter_init (&iter, attrs);
      while (g_hash_table_iter_next (&iter, &name, &value))
        g_hash_table_insert (input->own_spec->attrs, g_strdup (name), g_variant_ref_sink (value));
    }
  return TRUE;
}

SoraPlan *
sora_plan_new_for_stage (SoraEnvironment *environment, const char *plugin,
                         const SoraRequest *request, GHashTable *inputs, GHashTable *input_attrs,
                         GError **error)
{
  g_autoptr (SoraPlan) plan = plan_new (environment, request);
  SoraGraph *graph = sora_graph_new (0);
  const char *slash = strchr (plugin, '/');
  SoraNode *node = sora_node_new (0, slash != NULL ? slash + 1 : plugin);

  g_ptr_array_add (plan->runs, graph);
  g_ptr_array_add (graph->nodes, node);
  if (!sora_node_load (node, plan->registry, plugin, error)
      || !sora_plan_resolve_stage_params (plan, node, error)
      || !sora_plan_resolve_stage_models (plan, environment, node, error))
    return NULL;
  if (inputs != NULL)
    {
      GHashTableIter iter;
      gpointer port, tensor;
      g_hash_table_iter_init (&iter, inputs);
      while (g_hash_table_iter_next (&iter, &port, &tensor))
        if (!feed_input (node, port, tensor,
                         input_attrs != NULL ? g_hash_table_lookup (input_attrs, port) : NULL,
                         error))
          return NULL;
    }
  if (!finish_run (plan, graph, error))
    return NULL;
  g_ptr_array_add (plan->warnings, NULL);
  return g_steal_pointer (&plan);
}

SoraPlan *
sora_plan_new_for_process (SoraEnvironment *environment, const char *plugin,
                           const SoraRequest *request, guint run, const char *id,
                           const char *const *set, GHashTable *specs, GError **error)
{
  g_autoptr (SoraPlan) plan = plan_new (environment, request);
  SoraGraph *graph = sora_graph_new (run);
  SoraNode *node = sora_node_new (run, id);

  g_ptr_array_add (plan->runs, graph);
  g_ptr_array_add (graph->nodes, node);
  plan->memory_limit = request->memory_limit;
  if (!sora_node_load (node, plan->registry, plugin, error)
      || !sora_plan_resolve_stage_params (plan, node, error)
      || !sora_plan_resolve_stage_models (plan, environment, node, error))
    return NULL;
  g_hash_table_remove_all (node->params_set);
  for (; *set != NULL; set++)
    g_hash_table_add (node->params_set, g_strdup (*set));
  for (guint i = 0; i < node->inputs->len; i++)
    {
      SoraNodeInput *input = g_ptr_array_index (node->inputs, i);
      g_autofree gpointer name = NULL;
      gpointer spec;
      if (g_hash_table_steal_extended (specs, input->port->name, &name, &spec))
        input->own_spec = spec;
    }
  if (!finish_run (plan, graph, error))
    return NULL;
  g_ptr_array_add (plan->warnings, NULL);
  return g_steal_pointer (&plan);
}

guint
sora_plan_n_runs (SoraPlan *plan)
{
  return plan->runs->len;
}

GPtrArray *
sora_plan_stages (SoraPlan *plan)
{
  return plan->stages;
}

const SoraRequest *
sora_plan_request (SoraPlan *plan)
{
  return plan->request;
}

const char *const *
sora_plan_warnings (SoraPlan *plan)
{
  return (const char *const *)plan->warnings->pdata;
}

guint64
sora_plan_peak_bytes (SoraPlan *plan)
{
  return plan->peak_bytes;
}

double
sora_plan_flops (SoraPlan *plan)
{
  return plan->flops;
}
