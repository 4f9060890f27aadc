/* SPDX-License-Identifier: MIT
 *
 * sepia: a frame filter in about 100 lines, which tints a clip like an old photograph.  See
 * docs/plugin-howto.md.
 */
#include <sora-plugin.h>

static const SoraPort in = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_STREAM,
  .name = "frames",
  .semantic = "sora.frames.rgb/1",
  .dtypes = SORA_DTYPE_BIT (SORA_U8),
  .dims = "T,H,W,3",
  .help = "Frames as they come from the decoder.",
};
static const SoraPort out = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_STREAM | SORA_PORT_CACHEABLE,
  .name = "frames",
  .semantic = "sora.frames.rgb/1",
  .dtypes = SORA_DTYPE_BIT (SORA_U8),
  .dims = "T,H,W,3",
  .help = "The same frames, tinted.",
};
static const SoraParam strength = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "strength",
  .help = "How brown: 0 leaves the frames as they are.",
  .f64_default = 1.0,
  .f64_min = 0.0,
  .f64_max = 1.0,
};

static int
sepia_infer (const SoraHost *host, SoraContext *ctx)
{
  SoraSpec spec = { .struct_size = sizeof spec };
  double fps;

  int result = host->input_spec (ctx, "frames", &spec);
  if (result != SORA_OK)
    return result;
  /* What the next stage must know of the stream goes on by its name. */
  if (host->input_attr_f64 (ctx, "frames", "fps", &fps) == SORA_OK)
    host->set_output_attr_f64 (ctx, "frames", "fps", fps);
  return host->set_output_spec (ctx, "frames", &spec);
}

/* One tensor of frames, and how strongly it is tinted, of 256. */
typedef struct
{
  SoraTensorView view;
  int strength;
} Job;

/* On the compute thread.  Integers, so that the bytes are the same on every machine. */
static int
tint (SoraContext *ctx, void *data, int threads)
{
  static const int sepia[3][3]
      = { { 101, 197, 48 }, { 89, 176, 43 }, { 70, 137, 34 } }; /* of 256 */
  Job *job = data;
  uint8_t *pixel = job->view.data;

  for (uint64_t i = 0; i < job->view.nbytes; i += 3, pixel += 3)
    {
      const int rgb[3] = { pixel[0], pixel[1], pixel[2] };
      for (int c = 0; c < 3; c++)
        {
          int brown = (sepia[c][0] * rgb[0] + sepia[c][1] * rgb[1] + sepia[c][2] * rgb[2]) / 256;
          brown = brown > 255 ? 255 : brown;
          pixel[c] = (uint8_t)(rgb[c] + (brown - rgb[c]) * job->strength / 256);
        }
    }
  return SORA_OK;
}

static int
sepia_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  Job job = { .view = { .struct_size = sizeof job.view } };
  SoraTensor *tensor;
  double value;
  int result;

  if (host->param_f64 (ctx, "strength", &value) != SORA_OK)
    return host->fail (ctx, "there is no strength");
  job.strength = (int)(value * 256.0 + 0.5);
  while ((result = host->pull (ctx, "frames", &tensor)) == SORA_OK)
    {
      tensor = host->make_writable (ctx, tensor);
      if (tensor == NULL)
        return SORA_FAILED;
      host->tensor_view (tensor, &job.view);
      result = host->compute (ctx, tint, &job);
      if (result != SORA_OK)
        {
          host->tensor_unref (tensor);
          return result;
        }
      result = host->push (ctx, "frames", tensor);
      if (result != SORA_OK)
        return result;
    }
  return result == SORA_EOS ? SORA_OK : result;
}

static const SoraPort *const inputs[] = { &in, NULL };
static const SoraPort *const outputs[] = { &out, NULL };
static const SoraParam *const params[] = { &strength, NULL };
static const SoraStageClass stage = {
  .struct_size = sizeof (SoraStageClass),
  .id = "sepia",
  .kind = "filter",
  .summary = "Tints frames like an old photograph",
  .inputs = inputs,
  .outputs = outputs,
  .params = params,
  .infer = sepia_infer,
  .run = sepia_run,
};
static const SoraStageClass *const stages[] = { &stage, NULL };

SORA_EXPORT const SoraPlugin sora_plugin = {
  .magic = SORA_PLUGIN_MAGIC,
  .struct_size = sizeof (SoraPlugin),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .needs_minor = 0,
  .id = "sepia",
  .version = "1.0.0",
  .licence = "MIT",
  .summary = "Tints frames like an old photograph",
  .stages = stages,
};
