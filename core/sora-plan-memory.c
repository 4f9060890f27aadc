/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The peak of a graph's memory, from what its stages inferred.
 *
 * Stages that are joined by streams run at the same time: they form a group.  Groups that are
 * joined by whole tensors follow one another, and the ledger takes back the weights of one before
 * the next needs the room.  So the peak is the largest, over the groups, of what the group holds
 * plus what every group holds that is neither before nor after it.
 */
#include "config.h"
#include "sora-plan-private.h"

/* Costs are the plugins' word for it: a sum beyond all bounds is that, and not a small one. */
static guint64
add (guint64 a, guint64 b)
{
  return a > G_MAXUINT64 - b ? G_MAXUINT64 : a + b;
}

guint64
sora_output_queue_bytes (const SoraNodeOutput *output)
{
  int64_t shape[64];
  uint64_t bytes;

  if (output->spec == NULL || output->spec->ndim > 64)
    return 0;
  for (int i = 0; i < output->spec->ndim; i++)
    shape[i] = MAX (output->spec->shape[i], 1);
  gboolean split = output->spec->chunk > 0 && output->spec->ndim > 0;
  if (split)
    shape[0] = output->spec->chunk;
  if (!sora_shape_bytes (output->spec->dtype, output->spec->ndim, shape, &bytes))
    return 0;
  if (!split)
    return bytes;
  /* A queue takes one tensor whatever its size. */
  return MAX (bytes, MIN (MIN (bytes, SORA_QUEUE_BYTES) * SORA_QUEUE_TENSORS, SORA_QUEUE_BYTES));
}

static guint64
node_bytes (SoraNode *node)
{
  guint64 bytes = add (node->cost.packed_bytes, node->cost.work_bytes);

  for (guint i = 0; i < node->outputs->len; i++)
    {
      SoraNodeOutput *output = g_ptr_array_index (node->outputs, i);
      for (guint j = 0; j < output->edges->len; j++)
        bytes = add (bytes, sora_output_queue_bytes (output));
    }
  return bytes;
}

static gboolean
is_stream_edge (const SoraEdge *edge)
{
  SoraNodeOutput *output = g_ptr_array_index (edge->from->outputs, edge->from_port);
  return (output->port->flags & SORA_PORT_STREAM) != 0;
}

guint64
sora_graph_peak_bytes (SoraGraph *graph)
{
  guint n = graph->nodes->len;
  g_autofree guint *group = g_new (guint, n);
  g_autofree guint64 *bytes = g_new0 (guint64, n);
  g_autofree guint8 *before
      = g_new0 (guint8, (gsize)n * n); /* before[a * n + b]: group a feeds group b */
  guint64 peak = 0;

  /* Nodes are sorted, so one pass along the edges per join suffices for graphs of this size. */
  for (guint i = 0; i < n; i++)
    group[i] = i;
  for (guint i = 0; i < graph->edges->len; i++)
    {
      SoraEdge *edge = g_ptr_array_index (graph->edges, i);
      if (!is_stream_edge (edge))
        continue;
      guint from = group[edge->from->index], to = group[edge->to->index];
      for (guint j = 0; j < n; j++)
        if (group[j] == to)
          group[j] = from;
    }
  for (guint i = 0; i < n; i++)
    bytes[group[i]] = add (bytes[group[i]], node_bytes (g_ptr_array_index (graph->nodes, i)));
  for (guint i = 0; i < graph->edges->len; i++)
    {
      SoraEdge *edge = g_ptr_array_index (graph->edges, i);
      before[group[edge->from->index] * n + group[edge->to->index]] = 1;
    }
  for (guint k = 0; k < n; k++)
    for (guint a = 0; a < n; a++)
      for (guint b = 0; b < n; b++)
        before[a * n + b] |= before[a * n + k] & before[k * n + b];

  for (guint a = 0; a < n; a++)
    {
      if (group[a] != a)
        continue; /* joined to another, which has its bytes and its order */
      guint64 sum = bytes[a];
      for (guint b = 0; b < n; b++)
        if (b != a && !before[a * n + b] && !before[b * n + a])
          sum = add (sum, bytes[b]);
      peak = MAX (peak, sum);
    }
  return peak;
}
