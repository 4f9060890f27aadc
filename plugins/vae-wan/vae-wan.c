/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-wan.c: the stage of the decoder: what it declares, what a run will cost, and the loop that
 * takes latents and pushes pictures as they come.
 */
#include "vae-decoder.h"
#include "vae-load.h"
#include "vae-math.h"
#include "vae-request.h"

#include "kit-picture.h"
#include "kit-stage.h"

#include <string.h>

static int
no_estimate (const SoraHost *host, SoraContext *ctx)
{
  return host->fail (ctx, "no memory to estimate the cost of decoding");
}

static int
vae_infer (const SoraHost *host, SoraContext *ctx)
{
  SoraVaeRequest request;
  SoraVaeTiling tiling;
  SoraCost cost = { .struct_size = sizeof cost };
  int r = sora_vae_request_read (host, ctx, &request);
  if (r == SORA_OK)
    r = sora_vae_check_tensors (host, ctx, &request.config, SORA_VAE_DECODER, &cost.weights_bytes);
  if (r != SORA_OK)
    return r;
  const int64_t height = request.h * request.config.spatial,
                width = request.w * request.config.spatial;
  if (sora_vae_tiling_choose (&request.config, &request.clip, &tiling) != 0)
    return no_estimate (host, ctx);
  cost.work_bytes = tiling.work_bytes;
  cost.scratch_bytes = tiling.between_bytes + tiling.pictures_bytes;
  cost.flops = tiling.flops;
  cost.packed_bytes = sora_vae_coder_bytes (&request.config, SORA_VAE_DECODER);
  cost.output_bytes
      = (uint64_t)(request.frames * height * width * 3) * (request.dtype == SORA_F32 ? 4 : 1);
  cost.steps
      = tiling.rows == 0 ? (uint32_t)request.clip.t : sora_vae_tiled_steps (&request.clip, &tiling);

  const int64_t shape[] = { request.frames, height, width, 3 };
  const SoraSpec spec
      = { .struct_size = sizeof spec,
          .dtype = request.dtype,
          .shape = shape,
          .ndim = 4,
          .chunk
          = request.config.temporal < request.frames ? request.config.temporal : request.frames };
  r = host->set_output_spec (ctx, "frames", &spec);
  if (r == SORA_OK)
    r = host->set_output_attr_f64 (ctx, "frames", "fps", request.fps);
  return r == SORA_OK ? host->set_cost (ctx, &cost) : r;
}

/* ---- decoding */

typedef struct
{
  const SoraHost *host;
  SoraContext *ctx;
  const SoraVaeRequest *request;
  SoraVaeStream *stream;
  const float *latents; /* of this latent frame */
  int64_t channel_step;
  char *out;    /* of the tensor that is being filled */
  int64_t left; /* frames that it still takes; later ones are trimmed away */
} Decode;

typedef struct
{
  const float *rgb;
  char *out;
  int dtype;
  _Atomic int bad;
} Convert;

static void
convert_rows (void *data, int64_t row, int64_t count)
{
  Convert *c = data;
  const int bad = c->dtype == SORA_F32
                      ? sora_vae_picture_f32 (c->rgb + row, (float *)c->out + row, count)
                      : sora_vae_picture_u8 (c->rgb + row, (uint8_t *)c->out + row, count);
  if (bad != 0)
    c->bad = 1;
}

static int
take_frame (SoraKitTeam *team, void *data, const float *rgb)
{
  Decode *d = data;
  const int64_t spatial = d->request->config.spatial;
  const int64_t n = d->request->h * spatial * d->request->w * spatial * 3;
  if (d->left == 0)
    return SORA_OK;
  Convert convert = { rgb, d->out, d->request->dtype, 0 };
  const int r = sora_kit_rows_parallel (team, n, 65536, convert_rows, &convert);
  if (r != SORA_OK)
    return r;
  if (convert.bad)
    return sora_kit_team_fail (
        team, "the decoder gave no number (NaN or infinity): are latents and weights whole?");
  d->out += n * (d->request->dtype == SORA_F32 ? 4 : 1);
  d->left--;
  return SORA_OK;
}

static int
decode_on_compute (SoraKitTeam *team, void *data)
{
  Decode *d = data;
  return sora_vae_stream_decode (d->stream, team, d->latents, d->channel_step, take_frame, d);
}

/* The last of n frames, as bytes. */
static int
show (const SoraHost *host, SoraContext *ctx, const SoraTensorView *view)
{
  const int64_t shape[] = { view->shape[1], view->shape[2], 3 };
  SoraTensor *picture = host->tensor_new (ctx, SORA_U8, 3, shape);
  SoraTensorView to = { .struct_size = sizeof to };
  if (picture == NULL)
    return SORA_FAILED;
  host->tensor_view (picture, &to);
  const uint8_t *last = sora_kit_frame_u8 (view, view->shape[0] - 1, to.data);
  if (last != to.data)
    memcpy (to.data, last, (size_t)(shape[0] * shape[1] * 3));
  host->preview (ctx, picture);
  host->tensor_unref (picture);
  return SORA_OK;
}

/* Takes pictures that are done. */
static int
give (void *data, SoraTensor *pictures)
{
  const Decode *d = data;
  SoraTensorView view = { .struct_size = sizeof view };
  d->host->tensor_view (pictures, &view);
  if (d->host->preview_wanted (d->ctx) && show (d->host, d->ctx, &view) != SORA_OK)
    {
      d->host->tensor_unref (pictures);
      return SORA_FAILED;
    }
  return d->host->push (d->ctx, "frames", pictures);
}

/* One latent frame to one tensor of pictures, pushed. */
static int
decode_latent (Decode *decode, int64_t i, int64_t done)
{
  const SoraHost *host = decode->host;
  const SoraVaeRequest *request = decode->request;
  const int64_t each = i == 0 ? 1 : request->config.temporal;
  const int64_t n = request->frames - done < each ? request->frames - done : each;
  const int64_t shape[]
      = { n, request->h * request->config.spatial, request->w * request->config.spatial, 3 };
  SoraTensor *tensor = host->tensor_new (decode->ctx, request->dtype, 4, shape);
  SoraTensorView view = { .struct_size = sizeof view };
  if (tensor == NULL)
    return SORA_FAILED;
  host->tensor_view (tensor, &view);
  decode->out = view.data;
  decode->left = n;
  const int r = sora_kit_compute (host, decode->ctx, "the decoder", decode_on_compute, decode);
  if (r != SORA_OK)
    {
      host->tensor_unref (tensor);
      return r;
    }
  host->progress (decode->ctx, (double)(i + 1) / (double)request->clip.t, (uint32_t)(i + 1),
                  (uint32_t)request->clip.t);
  return give (decode, tensor);
}

static int
decode_whole (Decode *decode, const SoraVaeCoder *coder, const float *latents)
{
  const SoraVaeRequest *request = decode->request;
  decode->stream = sora_vae_stream_new (coder, request->h, request->w);
  if (decode->stream == NULL)
    return decode->host->fail (decode->ctx, "no memory to decode");
  int64_t done = 0;
  int r = SORA_OK;
  for (int64_t i = 0; i < request->clip.t && r == SORA_OK; i++)
    {
      decode->latents = latents + i * request->h * request->w;
      r = decode_latent (decode, i, done);
      done += i == 0 ? 1 : request->config.temporal;
    }
  sora_vae_stream_free (decode->stream);
  return r;
}

static int
decode_all (const SoraHost *host, SoraContext *ctx, SoraVaeInstance *instance,
            const SoraVaeRequest *request, const float *latents)
{
  SoraVaeTiling tiling;
  char text[96];
  if (sora_vae_tiling_choose (&request->config, &request->clip, &tiling) != 0)
    return no_estimate (host, ctx);
  host->log (ctx, SORA_LOG_INFO, "decoding %s, %.2f GB of work",
             sora_vae_tiling_text (&request->config, &request->clip, &tiling, text, sizeof text),
             (double)tiling.work_bytes / 1e9);
  int r = sora_vae_load (host, ctx, instance, &request->config, SORA_VAE_DECODER);
  if (r == SORA_OK)
    r = host->reserve (ctx, SORA_MEMORY_WORK, tiling.work_bytes);
  if (r != SORA_OK)
    return r;
  Decode decode = { .host = host,
                    .ctx = ctx,
                    .request = request,
                    .channel_step = request->t * request->h * request->w };
  if (tiling.rows == 0)
    return decode_whole (&decode, instance->coder, latents);
  const SoraVaeTiledRun tiled
      = { host, ctx, &request->config, instance->coder, &request->clip, &tiling };
  return sora_vae_tiled_decode (&tiled, latents, decode.channel_step, give, &decode);
}

static int
vae_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  SoraVaeRequest request;
  SoraTensor *latents;
  SoraTensorView view;
  int r = sora_vae_request_read (host, ctx, &request);
  if (r != SORA_OK)
    return r;
  const int64_t shape[] = { request.config.z_dim, request.t, request.h, request.w };
  r = sora_kit_pull_one (host, ctx, "latents", SORA_F32, 4, shape, &latents, &view);
  if (r != SORA_OK)
    return r;
  r = decode_all (host, ctx, instance, &request, view.data);
  host->tensor_unref (latents);
  return r;
}

/* ---- what it declares */

static const SoraPort latents_port = {
  .struct_size = sizeof (SoraPort),
  .name = "latents",
  .semantic = "sora.latents.video/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "C,T,H,W",
  .help = "As the denoiser gives them, before mean and deviation; attribute trim_frames: pictures "
          "past that count are dropped",
};
static const SoraPort *const inputs[] = { &latents_port, NULL };

static const SoraPort frames_port = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_STREAM,
  .name = "frames",
  .semantic = "sora.frames.rgb/1",
  .dtypes = SORA_DTYPE_BIT (SORA_U8) | SORA_DTYPE_BIT (SORA_F32),
  .dims = "F,Y,X,3",
  .help = "Pictures in order, those of one latent frame at a time; attribute fps",
};
static const SoraPort *const outputs[] = { &frames_port, NULL };

static const char *const formats[] = { "u8", "f32", NULL };
static const SoraParam format_param = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_ENUM,
  .name = "format",
  .help = "u8: bytes, full range; f32: numbers from 0 to 1, for further work on the pictures",
  .str_default = "u8",
  .choices = formats,
};
static const SoraParam fps_param = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_F64,
  .name = "fps",
  .unit = "frames/s",
  .help
  = "What the frames are meant to be shown at; it changes no picture. Unless it is given, what "
    "the latents say goes before (24 of Wan 2.2 5B)",
  .f64_default = 16,
  .f64_min = 1,
  .f64_max = 240,
};
static const SoraParam *const params[]
    = { &format_param, &fps_param, &sora_vae_tiling_param, &sora_vae_tile_param, NULL };

static const SoraModelSlot model_slot = {
  .struct_size = sizeof (SoraModelSlot),
  .name = "model",
  .components = "vae",
};
static const SoraModelSlot *const models[] = { &model_slot, NULL };

static const SoraStageClass vae_class = {
  .struct_size = sizeof (SoraStageClass),
  .id = "vae-wan",
  .kind = "decoder",
  .summary = "Decoder of Wan's video VAEs, frame by frame",
  .inputs = inputs,
  .outputs = outputs,
  .params = params,
  .models = models,
  .infer = vae_infer,
  .create = sora_vae_create,
  .run = vae_run,
  .release = sora_vae_release,
  .destroy = sora_vae_destroy,
};
static const SoraStageClass *const stages[] = { &vae_class, NULL };

SORA_EXPORT const SoraPlugin sora_plugin = {
  .magic = SORA_PLUGIN_MAGIC,
  .struct_size = sizeof (SoraPlugin),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .needs_minor = 0,
  .id = "vae-wan",
  .version = "0.1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Decoder of the Wan family's video VAE",
  .stages = stages,
};
