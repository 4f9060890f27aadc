/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Links, and the queue of tensors that is the one kind there is today.
 */
#include "config.h"
#include "sora-link.h"

typedef struct
{
  SoraLink link;
  GQueue tensors; /* of SoraTensor */
} QueueLink;

static guint64
tensor_bytes (SoraTensor *tensor)
{
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (tensor, &view);
  return view.nbytes;
}

static void
queue_push (SoraLink *link, SoraTensor *tensor)
{
  g_queue_push_tail (&((QueueLink *)link)->tensors, tensor);
}

static SoraTensor *
queue_pull (SoraLink *link, guint64 *bytes)
{
  SoraTensor *tensor = g_queue_pop_head (&((QueueLink *)link)->tensors);
  if (tensor != NULL)
    *bytes = tensor_bytes (tensor);
  return tensor;
}

static void
queue_free (SoraLink *link)
{
  g_queue_clear_full (&((QueueLink *)link)->tensors, (GDestroyNotify)sora_tensor_unref);
}

static const SoraLinkClass queue_class = { queue_push, queue_pull, queue_free };

SoraLink *
sora_link_new_queue (const char *from, const char *to, guint max_tensors, guint64 max_bytes)
{
  QueueLink *queue = g_new0 (QueueLink, 1);
  queue->link.klass = &queue_class;
  queue->link.from = g_strdup (from);
  queue->link.to = g_strdup (to);
  queue->link.max_tensors = max_tensors;
  queue->link.max_bytes = max_bytes;
  g_queue_init (&queue->tensors);
  return &queue->link;
}

void
sora_link_free (SoraLink *link)
{
  link->klass->free (link);
  g_free (link->from);
  g_free (link->to);
  g_free (link);
}

gboolean
sora_link_has_room (const SoraLink *link, guint64 bytes)
{
  if (link->tensors == 0)
    return TRUE;
  return link->tensors < link->max_tensors && link->bytes <= link->max_bytes
         && bytes <= link->max_bytes - link->bytes;
}

void
sora_link_push (SoraLink *link, SoraTensor *tensor, guint64 bytes)
{
  link->klass->push (link, tensor);
  link->tensors++;
  link->bytes += bytes;
  link->peak_tensors = MAX (link->peak_tensors, link->tensors);
  link->peak_bytes = MAX (link->peak_bytes, link->bytes);
}

SoraTensor *
sora_link_pull (SoraLink *link, guint64 *bytes)
{
  SoraTensor *tensor = link->klass->pull (link, bytes);
  if (tensor != NULL)
    {
      link->tensors--;
      link->bytes -= *bytes;
    }
  return tensor;
}

guint64
sora_link_drop (SoraLink *link)
{
  guint64 sum = 0, bytes;
  SoraTensor *tensor;

  link->dropped = TRUE;
  while ((tensor = sora_link_pull (link, &bytes)) != NULL)
    {
      sora_tensor_unref (tensor);
      sum += bytes;
    }
  return sum;
}

void
sora_link_enlarge (SoraLink *link, guint64 bytes)
{
  link->max_tensors = MAX (link->max_tensors, link->tensors + 1);
  link->max_bytes = MAX (link->max_bytes, link->bytes + bytes);
  link->enlarged++;
}
