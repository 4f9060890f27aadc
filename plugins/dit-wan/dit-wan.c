/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-wan: the denoiser of Wan 2.1 and 2.2 text-to-video models, as a plugin.  This file is what it
 * declares, and infer, create and release; dit-run.c is the loop.
 */
#include "dit-stage.h"

#include "dit-tensors.h"

#include <stdlib.h>
#include <string.h>

const char *const dit_text_ports[DIT_MAX_TEXTS] = { "text", "negative" };

static const SoraPort port_text = {
  .struct_size = sizeof (SoraPort),
  .name = "text",
  .semantic = "sora.text.embedding/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "N,D",
  .help = "The prompt, as the text encoder of the same model gives it.",
};
static const SoraPort port_negative = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_OPTIONAL,
  .name = "negative",
  .semantic = "sora.text.embedding/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "M,D",
  .help = "What to steer away from; needed with a guidance scale above 1.",
};
static const SoraPort port_latents_in = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_OPTIONAL,
  .name = "latents",
  .semantic = "sora.latents.video/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "C,T,H,W",
  .help
  = "The noise to begin with, instead of the seed's; its shape replaces width, height and frames.",
};
static const SoraPort port_latents_out = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_CACHEABLE,
  .name = "latents",
  .semantic = "sora.latents.video/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "C,T,H,W",
  .help = "The denoised latents, before the decoder's mean and deviation.",
};
static const SoraPort *const inputs[] = { &port_text, &port_negative, &port_latents_in, NULL };
static const SoraPort *const outputs[] = { &port_latents_out, NULL };

static const char *const samplers[]
    = { "auto", "unipc", "euler", "dpmpp-2m", "dmd", "distill", NULL };
static const char *const precisions[] = { "exact", "fast", NULL };

static const SoraParam param_steps = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "steps",
  .help = "How many times the noise is reduced; more is slower and finer.  dmd and distill have as "
          "many as timesteps.",
  .i64_default = 50,
  .i64_min = 1,
  .i64_max = 1000,
};
static const SoraParam param_guidance = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "guidance-scale",
  .help = "How strongly the clip follows the prompt; up to 1 the negative prompt is unused and a "
          "step costs half.",
  .f64_default = 5.0,
  .f64_min = 0.0,
  .f64_max = 100.0,
};
static const SoraParam param_guidance_2 = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "guidance-scale-2",
  .help
  = "The same for the second expert of a model with two (Wan 2.2 A14B), which makes the steps "
    "of weak noise; 0: as guidance-scale.",
  .f64_default = 0.0,
  .f64_min = 0.0,
  .f64_max = 100.0,
};
static const SoraParam param_guidance_start = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "guidance-start",
  .help = "The part of the steps after which guidance begins; a step before it costs half, and "
          "follows the prompt alone.",
  .f64_default = 0.0,
  .f64_min = 0.0,
  .f64_max = 1.0,
};
static const SoraParam param_guidance_stop = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "guidance-stop",
  .help = "The part of the steps after which guidance ends.",
  .f64_default = 1.0,
  .f64_min = 0.0,
  .f64_max = 1.0,
};
static const SoraParam param_reuse_threshold = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "reuse-threshold",
  .help = "A step takes the result of the last computed one, and costs nothing, while that is "
          "thought to have changed by less than this share; 0: every step is computed.",
  .f64_default = 0.0,
  .f64_min = 0.0,
  .f64_max = 1.0,
};
static const SoraParam param_reuse_start = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "reuse-start",
  .help = "The part of the steps that reuse-threshold leaves alone at the beginning, where the clip "
          "is laid out.",
  .f64_default = 0.15,
  .f64_min = 0.0,
  .f64_max = 1.0,
};
static const SoraParam param_width = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "width",
  .unit = "px",
  .help = "Width of the clip; a multiple of the decoder's factor times the patch, usually 16 (Wan "
          "2.2 5B: 32).",
  .i64_default = 832,
  .i64_min = 8,
  .i64_max = 8192,
};
static const SoraParam param_height = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "height",
  .unit = "px",
  .help = "Height of the clip; a multiple of the decoder's factor times the patch, usually 16 (Wan "
          "2.2 5B: 32).",
  .i64_default = 480,
  .i64_min = 8,
  .i64_max = 8192,
};
static const SoraParam param_frames = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "frames",
  .unit = "frames",
  .help = "Length of the clip; other numbers than 4n+1 are made longer and trimmed by the decoder.",
  .i64_default = 81,
  .i64_min = 1,
  .i64_max = 4001,
};
static const SoraParam param_sampler = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_ENUM,
  .name = "sampler",
  .help
  = "How a step is made; auto: as the checkpoint's files say.  dmd and distill are the rules of "
    "FastVideo's and lightx2v's few-step checkpoints.",
  .str_default = "auto",
  .choices = samplers,
};
static const SoraParam param_timesteps = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64_LIST,
  .name = "timesteps",
  .help = "The steps of dmd (default 1000,757,522) or distill (1000,750,500,250), falling.",
  .f64_min = 0.0,
  .f64_max = DIT_MAX_TIMESTEP,
};
static const SoraParam param_turbo = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_BOOL,
  .name = "turbo",
  .help = "Take the model's few-step form or rule, and fail if it has none.",
};
static const SoraParam param_flow_shift = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "flow-shift",
  .help = "Spends more steps on strong noise; 3 for 480p, 5 for 720p; 0: the checkpoint's, or "
          "8 with dmd and 5 with distill.",
  .f64_default = 0.0,
  .f64_min = 0.0,
  .f64_max = 1000.0,
};
static const SoraParam param_precision = {
  .struct_size = sizeof (SoraParam),
  .flags = SORA_PARAM_LOAD,
  .type = SORA_PARAM_ENUM,
  .name = "precision",
  .help = "exact: f32 throughout; fast: the products of the blocks in 8 bits, in less than half the "
          "time and a third of the memory, another clip of the same kind.",
  .str_default = "exact",
  .choices = precisions,
};
static const SoraParam param_forward = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64_LIST,
  .name = "forward-timestep",
  .help = "One number: give the transformer's raw output for the input latents at this timestep, "
          "and do not sample.  Where the model has a timestep for each token: also one for each.",
  .f64_min = 0.0,
  .f64_max = DIT_MAX_TIMESTEP,
};
static const SoraParam param_checkpoint = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "checkpoint-interval",
  .unit = "s",
  .help
  = "Least time between two checkpoints, which are made after a step where the host keeps them.",
  .f64_default = 20.0,
  .f64_min = 0.0,
  .f64_max = 86400.0,
};
static const SoraParam *const params[]
    = { &param_steps,  &param_guidance,   &param_guidance_2, &param_width,
        &param_height, &param_frames,     &param_sampler,    &param_timesteps,
        &param_turbo,  &param_flow_shift, &param_precision,  &param_forward,
        &param_guidance_start, &param_guidance_stop, &param_reuse_threshold, &param_reuse_start,
        &param_checkpoint, NULL };

static const SoraModelSlot slot_model = {
  .struct_size = sizeof (SoraModelSlot),
  .name = "model",
  .components = "transformer,scheduler",
};
static const SoraModelSlot *const models[] = { &slot_model, NULL };

/* What Wan 2.2 TI2V-5B was trained at.  Of other models nothing in their files tells it. */
#define PER_TOKEN_FPS 24.0

static int
dit_infer (const SoraHost *host, SoraContext *ctx)
{
  DitJob job;
  uint64_t stored[DIT_MAX_EXPERTS] = { 0 };
  int result = dit_job_read (host, ctx, &job);
  for (int i = 0; result == SORA_OK && i < job.family.n_experts; i++)
    result = dit_tensors_check (host, ctx, &job.family.experts[i], &stored[i]);
  if (result != SORA_OK)
    return result;
  const SoraSpec spec
      = { .struct_size = sizeof spec, .dtype = SORA_F32, .shape = job.geometry.latent, .ndim = 4 };
  const SoraCost cost = dit_job_cost (&job, stored);
  result = host->set_output_spec (ctx, "latents", &spec);
  if (result == SORA_OK && job.geometry.frames > 0)
    result = host->set_output_attr_i64 (ctx, "latents", "trim_frames", job.geometry.frames);
  if (result == SORA_OK && job.family.per_token)
    result = host->set_output_attr_f64 (ctx, "latents", "fps", PER_TOKEN_FPS);
  return result == SORA_OK ? host->set_cost (ctx, &cost) : result;
}

static int
dit_create (const SoraHost *host, SoraContext *ctx, void **instance)
{
  *instance = calloc (1, sizeof (DitInstance));
  return *instance != NULL ? SORA_OK : host->fail (ctx, "out of memory");
}

static void
dit_release (const SoraHost *host, void *data)
{
  DitInstance *instance = data;
  dit_model_free (instance->model);
  *instance = (DitInstance){ 0 };
}

static void
dit_destroy (const SoraHost *host, void *data)
{
  dit_release (host, data);
  free (data);
}

static const SoraStageClass stage = {
  .struct_size = sizeof (SoraStageClass),
  .id = "dit-wan",
  .kind = "denoiser",
  .summary = "Denoises video latents with a Wan 2.1 or 2.2 transformer",
  .inputs = inputs,
  .outputs = outputs,
  .params = params,
  .models = models,
  .infer = dit_infer,
  .create = dit_create,
  .run = dit_run,
  .release = dit_release,
  .destroy = dit_destroy,
};
static const SoraStageClass *const stages[] = { &stage, NULL };

SORA_EXPORT const SoraPlugin sora_plugin = {
  .magic = SORA_PLUGIN_MAGIC,
  .struct_size = sizeof (SoraPlugin),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .needs_minor = 0,
  .id = "dit-wan",
  .version = "0.1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Wan 2.1 and 2.2 video transformers on the CPU",
  .stages = stages,
};
