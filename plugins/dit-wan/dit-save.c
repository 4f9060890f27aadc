/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A run's checkpoint: a head, the sample, what the sampler remembers, and what reuse does.
 */
#include "dit-loop.h"

#include "kit-memory.h"

#include <string.h>

#define CHECKPOINT_MAGIC 0x32544944u /* "DIT2" */

typedef struct
{
  uint32_t magic, next; /* the step to be made next */
  uint32_t computed, reused;
  uint64_t n; /* values of the sample */
} CheckpointHead;

/* Where the parts are, and where the last one ends.  */
typedef struct
{
  size_t sample, sampler, reuse, end;
} Layout;

static Layout
layout_of (const DitLoop *loop)
{
  Layout at = { .sample = sizeof (CheckpointHead) };
  at.sampler = at.sample + loop->n * sizeof (float);
  at.reuse = at.sampler + sora_kit_sampler_state_size (loop->sampler, loop->n);
  at.end = at.reuse + (loop->reuse != NULL ? (size_t)dit_reuse_bytes (loop->n) : 0);
  return at;
}

int
dit_loop_resume (DitLoop *loop, SoraContext *ctx)
{
  const void *data;
  size_t size;
  CheckpointHead head;
  loop->step = 0;
  if (loop->job.is_probe)
    return SORA_OK;
  int result = loop->host->checkpoint_load (ctx, &data, &size);
  if (result == SORA_NOT_FOUND || result == SORA_UNAVAILABLE)
    return SORA_OK;
  if (result != SORA_OK)
    return result;
  const Layout at = layout_of (loop);
  const char *blob = data;
  if (size == at.end)
    memcpy (&head, blob, sizeof head);
  if (size != at.end || head.magic != CHECKPOINT_MAGIC || head.n != loop->n
      || head.next >= (uint32_t)loop->job.steps
      || sora_kit_sampler_state_load (loop->sampler, (int)head.next, blob + at.sampler, loop->n)
             != 0)
    {
      loop->host->log (ctx, SORA_LOG_WARNING, "the checkpoint is not of this job: beginning anew");
      return SORA_OK;
    }
  memcpy (loop->x, blob + at.sample, loop->n * sizeof (float));
  if (loop->reuse != NULL)
    dit_reuse_load (loop->reuse, blob + at.reuse);
  loop->computed = head.computed;
  loop->reused = head.reused;
  loop->step = (int)head.next;
  loop->host->log (ctx, SORA_LOG_INFO, "going on after step %u of %lld", head.next,
                   (long long)loop->job.steps);
  return SORA_OK;
}

int
dit_loop_save (DitLoop *loop, SoraContext *ctx)
{
  const Layout at = layout_of (loop);
  char *blob = sora_kit_alloc (at.end, 1);
  const CheckpointHead head
      = { CHECKPOINT_MAGIC, (uint32_t)loop->step + 1, loop->computed, loop->reused, loop->n };
  if (blob == NULL)
    return loop->host->fail (ctx, "out of memory for a checkpoint of %zu bytes", at.end);
  memcpy (blob, &head, sizeof head);
  memcpy (blob + at.sample, loop->x, loop->n * sizeof (float));
  if (loop->reuse != NULL)
    dit_reuse_save (loop->reuse, blob + at.reuse);
  int result = sora_kit_sampler_state_save (loop->sampler, blob + at.sampler, loop->n);
  if (result == 0)
    result = loop->host->checkpoint_save (ctx, blob, at.end);
  else
    result = loop->host->fail (ctx, "sampler: no state to save at step %d", loop->step + 1);
  sora_kit_free (blob);
  return result;
}
