/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Means no harm, and takes its time: a filter that computes some tens of milliseconds for each
 * chunk, and an encoder that writes its file a few bytes at a time, computing between them.  What
 * comes out depends on all of that work.
 */
#include "bad.h"

#include <stdint.h>

#define STEPS 4000000 /* between two writes, or for a chunk: some 10 ms */

static const SoraPort file_out = { .struct_size = sizeof (SoraPort),
                                   .name = "file",
                                   .semantic = "sora.file/1",
                                   .help = "Their bytes." };
static const SoraPort *const file_outputs[] = { &file_out, NULL };

/* Of a linear congruential generator: each needs the one before. */
static float
work (uint64_t *state)
{
  for (int i = 0; i < STEPS; i++)
    *state = *state * UINT64_C (6364136223846793005) + UINT64_C (1442695040888963407);
  return (float)(*state >> 44) / 1048576.f;
}

static int
filter_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  SoraTensor *tensor;
  uint64_t state = 1;
  int result;
  while ((result = host->pull (ctx, "in", &tensor)) == SORA_OK)
    {
      SoraTensorView from = { .struct_size = sizeof from }, to = { .struct_size = sizeof to };
      host->tensor_view (tensor, &from);
      SoraTensor *more = host->tensor_new (ctx, SORA_F32, 2, from.shape);
      if (more == NULL)
        {
          host->tensor_unref (tensor);
          return SORA_FAILED;
        }
      host->tensor_view (more, &to);
      const float add = work (&state);
      for (size_t i = 0; i < from.nbytes / sizeof (float); i++)
        ((float *)to.data)[i] = ((const float *)from.data)[i] + add;
      host->tensor_unref (tensor);
      if ((result = host->push (ctx, "out", more)) != SORA_OK)
        return result;
    }
  return result == SORA_EOS ? SORA_OK : result;
}

static int
sink_infer (const SoraHost *host, SoraContext *ctx)
{
  const SoraCost cost = { .struct_size = sizeof cost };
  return host->set_cost (ctx, &cost);
}

static int
sink_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  SoraTensor *tensor;
  uint64_t state = 2;
  int fd, result = host->file_create (ctx, "file", "out.bin", "application/octet-stream", &fd);
  if (result != SORA_OK)
    return result;
  while ((result = host->pull (ctx, "in", &tensor)) == SORA_OK)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      host->tensor_view (tensor, &view);
      int whole = 1;
      for (size_t i = 0; whole && i + 4 * sizeof (float) <= view.nbytes; i += 4 * sizeof (float))
        {
          float row[5];
          memcpy (row, (const char *)view.data + i, 4 * sizeof (float));
          row[4] = work (&state);
          whole = write (fd, row, sizeof row) == (ssize_t)sizeof row;
        }
      host->tensor_unref (tensor);
      if (!whole)
        return host->fail (ctx, "the file cannot be written");
    }
  return result == SORA_EOS ? SORA_OK : result;
}

static const SoraStageClass filter = { .struct_size = sizeof (SoraStageClass),
                                       .id = "bad",
                                       .kind = "filter",
                                       .summary = "Adds to values",
                                       .inputs = bad_inputs,
                                       .outputs = bad_outputs,
                                       .infer = bad_infer,
                                       .run = filter_run };
static const SoraStageClass sink = { .struct_size = sizeof (SoraStageClass),
                                     .id = "sink",
                                     .kind = "encoder",
                                     .summary = "Their bytes",
                                     .inputs = bad_inputs,
                                     .outputs = file_outputs,
                                     .infer = sink_infer,
                                     .run = sink_run };
static const SoraStageClass *const stages[] = { &filter, &sink, NULL };
SORA_EXPORT const SoraPlugin sora_plugin = { .magic = SORA_PLUGIN_MAGIC,
                                             .struct_size = sizeof (SoraPlugin),
                                             .abi_major = SORA_ABI_MAJOR,
                                             .abi_minor = SORA_ABI_MINOR,
                                             .id = "slow",
                                             .version = "1.0.0",
                                             .licence = "LGPL-2.1-or-later",
                                             .summary = "Takes its time",
                                             .stages = stages };
