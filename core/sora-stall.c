/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Stalls.  In a graph whose branches join again ("diamond"), one branch may want more before it
 * gives anything than the queue of the other holds; then every stage waits for another.  Such a
 * queue is made larger, within the ledger.
 */
#include "config.h"
#include "sora-runner-private.h"

/* A queue that is worth enlarging: somebody wants to push, and who should pull waits for something
 * else than room for its own output, which would only move the stall. */
static gboolean
helps (SoraTask *task)
{
  if (task->state != SORA_TASK_WAIT_PUSH)
    return FALSE;
  SoraTask *consumer = task->link->consumer;
  return consumer == NULL || consumer->state != SORA_TASK_WAIT_PUSH;
}

void
sora_stall_check (SoraRunner *runner)
{
  SoraTask *push = NULL, *reserve = NULL;
  gboolean live = FALSE;

  if (runner->stopping)
    return;
  for (guint i = 0; i < runner->tasks->len; i++)
    {
      SoraTask *task = g_ptr_array_index (runner->tasks, i);
      if (task->state == SORA_TASK_DONE)
        continue;
      live = TRUE;
      if (task->refused || !sora_task_is_stuck (task))
        return;
      if (helps (task) && (push == NULL || task->link->bytes < push->link->bytes))
        push = task;
      if (task->state == SORA_TASK_WAIT_RESERVE)
        reserve = task;
    }
  if (!live)
    return;

  if (push != NULL && sora_ledger_fits (&runner->ledger, push->bytes))
    {
      sora_link_enlarge (push->link, push->bytes);
      g_debug ("the queue from '%s' to '%s' now holds %u tensors", push->link->from, push->link->to,
               push->link->max_tensors);
    }
  else if (push != NULL)
    push->refused = TRUE;
  else if (reserve != NULL)
    reserve->refused = TRUE;
  else
    /* A graph without cycles always has a stage that waits for none of the others. */
    g_critical ("every stage waits for another, and none for memory or room");
  g_cond_broadcast (&runner->changed);
}
