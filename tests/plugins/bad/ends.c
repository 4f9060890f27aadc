/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What stands before and behind a plugin that means harm: values, and a file of their bytes.
 */
#include "bad.h"

#define ROWS 8
#define WIDTH 4

static const SoraPort file_out = { .struct_size = sizeof (SoraPort),
                                   .name = "file",
                                   .semantic = "sora.file/1",
                                   .help = "Their bytes." };
static const SoraPort *const none[] = { NULL };
static const SoraPort *const file_outputs[] = { &file_out, NULL };

static int
source_infer (const SoraHost *host, SoraContext *ctx)
{
  int64_t shape[] = { ROWS, WIDTH };
  SoraSpec spec
      = { .struct_size = sizeof spec, .dtype = SORA_F32, .shape = shape, .ndim = 2, .chunk = 2 };
  return host->set_output_spec (ctx, "out", &spec);
}

static int
source_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  for (int row = 0; row < ROWS; row += 2)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      SoraTensor *tensor = host->tensor_new (ctx, SORA_F32, 2, (int64_t[]){ 2, WIDTH });
      if (tensor == NULL)
        return SORA_FAILED;
      host->tensor_view (tensor, &view);
      for (int i = 0; i < 2 * WIDTH; i++)
        ((float *)view.data)[i] = (float)(row * WIDTH + i) / 7;
      int result = host->push (ctx, "out", tensor);
      if (result != SORA_OK)
        return result;
    }
  return SORA_OK;
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
  int fd, result = host->file_create (ctx, "file", "out.bin", "application/octet-stream", &fd);
  if (result != SORA_OK)
    return result;
  while ((result = host->pull (ctx, "in", &tensor)) == SORA_OK)
    {
      SoraTensorView view = { .struct_size = sizeof view };
      host->tensor_view (tensor, &view);
      ssize_t n = write (fd, view.data, view.nbytes);
      host->tensor_unref (tensor);
      if (n != (ssize_t)view.nbytes)
        return host->fail (ctx, "the file cannot be written");
    }
  return result == SORA_EOS ? SORA_OK : result;
}

static const SoraStageClass source = { .struct_size = sizeof (SoraStageClass),
                                       .id = "source",
                                       .kind = "source",
                                       .summary = "Values",
                                       .inputs = none,
                                       .outputs = bad_outputs,
                                       .infer = source_infer,
                                       .run = source_run };
static const SoraStageClass sink = { .struct_size = sizeof (SoraStageClass),
                                     .id = "sink",
                                     .kind = "encoder",
                                     .summary = "Their bytes",
                                     .inputs = bad_inputs,
                                     .outputs = file_outputs,
                                     .infer = sink_infer,
                                     .run = sink_run };
static const SoraStageClass *const stages[] = { &source, &sink, NULL };
SORA_EXPORT const SoraPlugin sora_plugin = { .magic = SORA_PLUGIN_MAGIC,
                                             .struct_size = sizeof (SoraPlugin),
                                             .abi_major = SORA_ABI_MAJOR,
                                             .abi_minor = SORA_ABI_MINOR,
                                             .id = "ends",
                                             .version = "1.0.0",
                                             .licence = "LGPL-2.1-or-later",
                                             .summary = "Before and behind",
                                             .stages = stages };
