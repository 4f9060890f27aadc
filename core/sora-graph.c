/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The graph of one run: edges between ports, what is refused about them (dangling, doubly fed, of
 * another kind, unconnected, circular), and the topological order.
 */
#include "config.h"
#include "sora-plan-private.h"
#include "sora-error.h"
#include "sora-suggest.h"

SoraGraph *
sora_graph_new (guint run)
{
  SoraGraph *graph = g_new0 (SoraGraph, 1);
  graph->run = run;
  graph->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_node_free);
  graph->edges = g_ptr_array_new_with_free_func (g_free);
  return graph;
}

void
sora_graph_free (SoraGraph *graph)
{
  g_ptr_array_unref (graph->nodes);
  g_ptr_array_unref (graph->edges);
  g_free (graph);
}

SoraNode *
sora_graph_find (SoraGraph *graph, const char *id)
{
  for (guint i = 0; i < graph->nodes->len; i++)
    {
      SoraNode *node = g_ptr_array_index (graph->nodes, i);
      if (g_strcmp0 (node->id, id) == 0)
        return node;
    }
  return NULL;
}

GPtrArray *
sora_graph_node_names (SoraGraph *graph)
{
  GPtrArray *names = g_ptr_array_new ();
  for (guint i = 0; i < graph->nodes->len; i++)
    g_ptr_array_add (names, ((SoraNode *)g_ptr_array_index (graph->nodes, i))->id);
  return names;
}

static GPtrArray *
input_names (SoraNode *node)
{
  GPtrArray *names = g_ptr_array_new ();
  for (guint i = 0; i < node->inputs->len; i++)
    g_ptr_array_add (names,
                     (gpointer)((SoraNodeInput *)g_ptr_array_index (node->inputs, i))->port->name);
  return names;
}

static GPtrArray *
output_names (SoraNode *node)
{
  GPtrArray *names = g_ptr_array_new ();
  for (guint i = 0; i < node->outputs->len; i++)
    g_ptr_array_add (
        names, (gpointer)((SoraNodeOutput *)g_ptr_array_index (node->outputs, i))->port->name);
  return names;
}

static gboolean
check_kinds (SoraNode *to, const SoraPort *in, SoraNode *from, const SoraPort *out, GError **error)
{
  if (g_strcmp0 (in->semantic, out->semantic) != 0)
    {
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
          "input '%s' takes %s, but '%s:%s' gives %s; put a stage between that converts it",
          in->name, in->semantic, from->id, out->name, out->semantic);
      return FALSE;
    }
  if (out->dims == NULL || in->dims == NULL)
    {
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                   "'%s:%s' is a file, which is a result: it cannot feed input '%s'", from->id,
                   out->name, in->name);
      return FALSE;
    }
  if ((in->dtypes & out->dtypes) == 0)
    {
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                   "input '%s' takes none of the dtypes that '%s:%s' gives", in->name, from->id,
                   out->name);
      return FALSE;
    }
  if ((out->flags & SORA_PORT_STREAM) != 0 && (in->flags & SORA_PORT_STREAM) == 0)
    {
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                   "input '%s' takes one whole tensor, but '%s:%s' is a stream", in->name, from->id,
                   out->name);
      return FALSE;
    }
  return TRUE;
}

gboolean
sora_graph_connect (SoraGraph *graph, SoraNode *to, const char *input_name, const char *from_id,
                    const char *output_name, GError **error)
{
  int in = sora_node_find_input (to, input_name);
  if (in < 0)
    {
      g_autoptr (GPtrArray) names = input_names (to);
      g_autofree char *hint = sora_suggest (input_name, names);
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                   "stage '%s': plugin '%s' has no input '%s'%s", to->id, to->plugin->id,
                   input_name, hint);
      return FALSE;
    }
  SoraNode *from = sora_graph_find (graph, from_id);
  if (from == NULL)
    {
      g_autoptr (GPtrArray) names = sora_graph_node_names (graph);
      g_autofree char *hint = sora_suggest (from_id, names);
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                   "stage '%s': input '%s' comes from a stage '%s' that does not exist%s", to->id,
                   input_name, from_id, hint);
      return FALSE;
    }
  int out = sora_node_find_output (from, output_name);
  if (out < 0)
    {
      g_autoptr (GPtrArray) names = output_names (from);
      g_autofree char *hint = sora_suggest (output_name, names);
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
          "stage '%s': input '%s' comes from '%s:%s', but plugin '%s' has no output '%s'%s", to->id,
          input_name, from_id, output_name, from->plugin->id, output_name, hint);
      return FALSE;
    }

  SoraNodeInput *input = g_ptr_array_index (to->inputs, (guint)in);
  SoraNodeOutput *output = g_ptr_array_index (from->outputs, (guint)out);
  if (input->edge != NULL || input->tensor != NULL)
    {
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                   "stage '%s': input '%s' is fed twice, by '%s' and by '%s'", to->id, input_name,
                   input->edge != NULL ? input->edge->from->id : "a tensor", from_id);
      return FALSE;
    }
  if (!check_kinds (to, input->port, from, output->port, error))
    {
      sora_node_prefix_error (to, error);
      return FALSE;
    }
  SoraEdge *edge = g_new0 (SoraEdge, 1);
  *edge = (SoraEdge){ .from = from, .from_port = (guint)out, .to = to, .to_port = (guint)in };
  g_ptr_array_add (graph->edges, edge);
  g_ptr_array_add (output->edges, edge);
  input->edge = edge;
  return TRUE;
}

static gboolean
check_connected (SoraNode *node, GError **error)
{
  for (guint i = 0; i < node->inputs->len; i++)
    {
      SoraNodeInput *input = g_ptr_array_index (node->inputs, i);
      if (input->edge != NULL || input->own_spec != NULL
            || (input->port->flags & SORA_PORT_OPTIONAL))
        continue;
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                   "stage '%s': input '%s' (%s) is not connected", node->id, input->port->name,
                   input->port->semantic);
      return FALSE;
    }
  return TRUE;
}

/* All of @left feed each other in a circle, or are fed by one: walk against the edges until a node
 * comes twice. */
static void
set_cycle_error (GPtrArray *left, GError **error)
{
  g_autoptr (GPtrArray) path = g_ptr_array_new ();
  SoraNode *node = g_ptr_array_index (left, 0);
  guint first;

  while (!g_ptr_array_find (path, node, &first))
    {
      g_ptr_array_add (path, node);
      for (guint i = 0; i < node->inputs->len; i++)
        {
          SoraNodeInput *input = g_ptr_array_index (node->inputs, i);
          if (input->edge != NULL && g_ptr_array_find (left, input->edge->from, NULL))
            {
              node = input->edge->from;
              break;
            }
        }
    }
  g_autoptr (GString) text = g_string_new (node->id);
  for (guint i = path->len; i > first; i--)
    g_string_append_printf (text, " -> %s", ((SoraNode *)g_ptr_array_index (path, i - 1))->id);
  sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
               "the stages feed each other in a circle: %s", text->str);
}

static gboolean
is_ready (SoraNode *node, GPtrArray *left)
{
  for (guint i = 0; i < node->inputs->len; i++)
    {
      SoraNodeInput *input = g_ptr_array_index (node->inputs, i);
      if (input->edge != NULL && g_ptr_array_find (left, input->edge->from, NULL))
        return FALSE;
    }
  return TRUE;
}

gboolean
sora_graph_check (SoraGraph *graph, GError **error)
{
  for (guint i = 0; i < graph->nodes->len; i++)
    if (!check_connected (g_ptr_array_index (graph->nodes, i), error))
      return FALSE;

  /* Always the first in file order that is ready, so that the order is the reader's where it can
   * be. */
  g_autoptr (GPtrArray) left = g_ptr_array_copy (graph->nodes, NULL, NULL);
  g_ptr_array_set_free_func (left, NULL);
  g_autoptr (GPtrArray) order = g_ptr_array_new ();
  while (left->len > 0)
    {
      guint i = 0;
      while (i < left->len && !is_ready (g_ptr_array_index (left, i), left))
        i++;
      if (i == left->len)
        {
          set_cycle_error (left, error);
          return FALSE;
        }
      g_ptr_array_add (order, g_ptr_array_index (left, i));
      g_ptr_array_remove_index (left, i);
    }
  for (guint i = 0; i < order->len; i++)
    {
      SoraNode *node = g_ptr_array_index (order, i);
      node->index = i;
      g_ptr_array_index (graph->nodes, i) = node;
    }
  return TRUE;
}
