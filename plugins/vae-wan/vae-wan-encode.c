/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-wan-encode.c: the stage of the encoder: what it declares, what a run will cost, and the loop
 * that takes pictures as they come and pushes the latents of all of them.
 */
#include "vae-encoder.h"
#include "vae-load.h"
#include "vae-request.h"
#include "vae-tiled.h"

#include "kit-frames.h"

#include <string.h>

/* What one call is about. */
typedef struct
{
  SoraVaeConfig config;
  SoraKitFrames frames; /* that come */
  int64_t whole;        /* frames that are encoded: the last one may be repeated */
  int64_t shape[4];     /* of the latents */
  SoraVaeClip clip;
  SoraVaeTiling tiling;
} Request;

static int
read_request (const SoraHost *host, SoraContext *ctx, Request *request)
{
  SoraVaeConfig *config = &request->config;
  SoraKitFrames *frames = &request->frames;
  memset (request, 0, sizeof *request);
  int r = sora_vae_request_config (host, ctx, SORA_VAE_ENCODER, config);
  if (r == SORA_OK)
    r = sora_kit_frames_spec (host, ctx, "frames", frames);
  if (r != SORA_OK)
    return r;
  if (frames->count < 1 || frames->count > SORA_VAE_MAX_FRAMES)
    return host->fail (ctx, "input 'frames' has %lld frames, expected 1 to %d, known beforehand",
                       (long long)frames->count, SORA_VAE_MAX_FRAMES);
  if (frames->width % config->spatial != 0 || frames->height % config->spatial != 0)
    return host->fail (ctx,
                       "input 'frames' has frames of %lldx%lld, expected width and height to be "
                       "multiples of %lld: crop or scale them first",
                       (long long)frames->width, (long long)frames->height,
                       (long long)config->spatial);
  const int64_t later = sora_kit_ceil_div (frames->count - 1 + config->temporal, config->temporal);
  request->whole = 1 + (later - 1) * config->temporal;
  request->shape[0] = config->z_dim;
  request->shape[1] = later;
  request->shape[2] = frames->height / config->spatial;
  request->shape[3] = frames->width / config->spatial;
  request->clip = (SoraVaeClip){ .half = SORA_VAE_ENCODER,
                                 .t = later,
                                 .h = request->shape[2],
                                 .w = request->shape[3],
                                 .frames = frames->count,
                                 .dtype = frames->dtype };
  r = sora_vae_clip_read (host, ctx, config, &request->clip);
  if (r == SORA_OK && sora_vae_tiling_choose (config, &request->clip, &request->tiling) != 0)
    r = host->fail (ctx, "no memory to estimate the cost of encoding");
  return r;
}

static int
encode_infer (const SoraHost *host, SoraContext *ctx)
{
  Request request;
  SoraCost cost = { .struct_size = sizeof cost };
  int r = read_request (host, ctx, &request);
  if (r == SORA_OK)
    r = sora_vae_check_tensors (host, ctx, &request.config, SORA_VAE_ENCODER, &cost.weights_bytes);
  if (r != SORA_OK)
    return r;
  const int64_t *shape = request.shape;
  const SoraVaeTiling *tiling = &request.tiling;
  cost.work_bytes = tiling->work_bytes;
  cost.scratch_bytes = tiling->between_bytes + tiling->pictures_bytes;
  cost.flops = tiling->flops;
  cost.packed_bytes = sora_vae_coder_bytes (&request.config, SORA_VAE_ENCODER);
  cost.output_bytes = (uint64_t)(shape[0] * shape[1] * shape[2] * shape[3]) * sizeof (float);
  cost.steps
      = tiling->rows == 0 ? (uint32_t)shape[1] : sora_vae_tiled_steps (&request.clip, tiling);
  const SoraSpec spec
      = { .struct_size = sizeof spec, .dtype = SORA_F32, .shape = shape, .ndim = 4 };
  r = host->set_output_spec (ctx, "latents", &spec);
  if (r == SORA_OK && request.whole != request.frames.count)
    r = host->set_output_attr_i64 (ctx, "latents", "trim_frames", request.frames.count);
  if (r == SORA_OK && request.frames.says_fps)
    r = host->set_output_attr_f64 (ctx, "latents", "fps", request.frames.fps);
  return r == SORA_OK ? host->set_cost (ctx, &cost) : r;
}

/* ---- encoding */

typedef struct
{
  const SoraHost *host;
  SoraContext *ctx;
  const Request *request;
  SoraVaeInstance *instance;
  SoraVaeStream *stream;       /* of whole frames */
  SoraVaeTiledEncoding *tiled; /* of tiles */
  SoraTensor *out;             /* the latents of all frames */
  float *latents;              /* of the next one in it */
  const char *rgb;             /* of this frame */
  int64_t done, frames_done;
} Encode;

static int
encode_on_compute (SoraKitTeam *team, void *data)
{
  Encode *e = data;
  const int64_t *shape = e->request->shape, n = shape[2] * shape[3];
  int complete;
  const int r = sora_vae_encode_frame (e->stream, team, e->rgb, e->request->frames.dtype,
                                       e->latents, shape[1] * n, &complete);
  if (r == SORA_OK && complete)
    {
      e->latents += n;
      e->done++;
    }
  return r;
}

/* Memory, and the weights, when the first frames are there. */
static int
begin (Encode *e)
{
  const Request *request = e->request;
  SoraTensorView view = { .struct_size = sizeof view };
  char text[96];
  e->host->log (
      e->ctx, SORA_LOG_INFO, "encoding %s, %.2f GB of work",
      sora_vae_tiling_text (&request->config, &request->clip, &request->tiling, text, sizeof text),
      (double)request->tiling.work_bytes / 1e9);
  int r = sora_vae_load (e->host, e->ctx, e->instance, &request->config, SORA_VAE_ENCODER);
  if (r == SORA_OK)
    r = e->host->reserve (e->ctx, SORA_MEMORY_WORK, request->tiling.work_bytes);
  if (r != SORA_OK)
    return r;
  e->out = e->host->tensor_new (e->ctx, SORA_F32, 4, request->shape);
  if (e->out == NULL)
    return SORA_FAILED;
  e->host->tensor_view (e->out, &view);
  e->latents = view.data;
  if (request->tiling.rows > 0)
    {
      const SoraVaeTiledRun run
          = { e->host,        e->ctx,          &request->config, e->instance->coder,
              &request->clip, &request->tiling };
      return sora_vae_tiled_encoding_new (&run, &e->tiled);
    }
  e->stream
      = sora_vae_stream_new (e->instance->coder, request->frames.height, request->frames.width);
  return e->stream != NULL ? SORA_OK : e->host->fail (e->ctx, "no memory to encode");
}

static int
encode_frame (Encode *e, const char *rgb)
{
  const Request *request = e->request;
  if (e->tiled != NULL)
    {
      e->frames_done++;
      return sora_vae_tiled_encoding_add (e->tiled, rgb);
    }
  e->rgb = rgb;
  const int r = sora_kit_compute (e->host, e->ctx, "the encoder", encode_on_compute, e);
  e->frames_done++;
  if (r == SORA_OK)
    e->host->progress (e->ctx, (double)e->frames_done / (double)request->whole, (uint32_t)e->done,
                       (uint32_t)request->shape[1]);
  return r;
}

/* All frames of a tensor; behind the clip's last one, what is missing to a whole latent. */
static int
encode_chunk (Encode *e, const SoraTensorView *view)
{
  const SoraKitFrames *frames = &e->request->frames;
  const int64_t one = frames->height * frames->width * 3 * (frames->dtype == SORA_F32 ? 4 : 1);
  int r = sora_kit_frames_check (e->host, e->ctx, "frames", frames, view);
  if (r == SORA_OK && view->shape[0] > frames->count - e->frames_done)
    return e->host->fail (e->ctx, "input 'frames' has more than the %lld frames that it promised",
                          (long long)frames->count);
  if (r == SORA_OK && e->out == NULL)
    r = begin (e);
  for (int64_t i = 0; i < view->shape[0] && r == SORA_OK; i++)
    r = encode_frame (e, (const char *)view->data + i * one);
  if (r != SORA_OK || e->frames_done < frames->count || e->frames_done == e->request->whole)
    return r;
  e->host->log (e->ctx, SORA_LOG_WARNING,
                "input 'frames' has %lld frames: the last one is repeated to make %lld, and the "
                "latents say so (trim_frames)",
                (long long)frames->count, (long long)e->request->whole);
  if (e->tiled != NULL) /* it repeats by itself */
    return r;
  while (e->frames_done < e->request->whole && r == SORA_OK)
    r = encode_frame (e, (const char *)view->data + (view->shape[0] - 1) * one);
  return r;
}

static int
encode_all (Encode *e)
{
  int r = SORA_OK;
  while (r == SORA_OK)
    {
      SoraTensor *tensor;
      SoraTensorView view = { .struct_size = sizeof view };
      r = e->host->pull (e->ctx, "frames", &tensor);
      if (r != SORA_OK)
        break;
      e->host->tensor_view (tensor, &view);
      r = encode_chunk (e, &view);
      e->host->tensor_unref (tensor);
    }
  if (r != SORA_EOS)
    return r;
  if (e->frames_done < e->request->frames.count)
    return e->host->fail (e->ctx, "input 'frames' ended after %lld frames of %lld",
                          (long long)e->frames_done, (long long)e->request->frames.count);
  r = e->tiled != NULL ? sora_vae_tiled_encoding_finish (e->tiled, e->request->whole, e->latents)
                       : SORA_OK;
  if (r != SORA_OK)
    return r;
  SoraTensor *out = e->out;
  e->out = NULL;
  return e->host->push (e->ctx, "latents", out);
}

static int
encode_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  Request request;
  int r = read_request (host, ctx, &request);
  if (r != SORA_OK)
    return r;
  Encode encode = { .host = host, .ctx = ctx, .request = &request, .instance = instance };
  r = encode_all (&encode);
  if (encode.out != NULL)
    host->tensor_unref (encode.out);
  sora_vae_stream_free (encode.stream);
  sora_vae_tiled_encoding_free (encode.tiled);
  return r;
}

/* ---- what it declares */

static const SoraPort frames_port = {
  .struct_size = sizeof (SoraPort),
  .flags = SORA_PORT_STREAM,
  .name = "frames",
  .semantic = "sora.frames.rgb/1",
  .dtypes = SORA_DTYPE_BIT (SORA_U8) | SORA_DTYPE_BIT (SORA_F32),
  .dims = "F,Y,X,3",
  .help = "A picture, or the frames of a clip in order, however many at a time; width and height "
          "multiples of 8, or of 16 with Wan 2.2 5B",
};
static const SoraPort *const inputs[] = { &frames_port, NULL };

static const SoraPort latents_port = {
  .struct_size = sizeof (SoraPort),
  .name = "latents",
  .semantic = "sora.latents.video/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "C,T,H,W",
  .help = "The posterior's mean less the latents' mean, over their deviation: as a denoiser takes "
          "and gives them; attribute trim_frames where the last frame was repeated",
};
static const SoraPort *const outputs[] = { &latents_port, NULL };

static const SoraModelSlot model_slot = {
  .struct_size = sizeof (SoraModelSlot),
  .name = "model",
  .components = "vae",
};
static const SoraModelSlot *const models[] = { &model_slot, NULL };
static const SoraParam *const params[] = { &sora_vae_tiling_param, &sora_vae_tile_param, NULL };

static const SoraStageClass encode_class = {
  .struct_size = sizeof (SoraStageClass),
  .id = "vae-wan-encode",
  .kind = "latent-encoder",
  .summary = "Encoder of Wan's video VAEs: a picture or a clip to latents",
  .inputs = inputs,
  .outputs = outputs,
  .params = params,
  .models = models,
  .infer = encode_infer,
  .create = sora_vae_create,
  .run = encode_run,
  .release = sora_vae_release,
  .destroy = sora_vae_destroy,
};
static const SoraStageClass *const stages[] = { &encode_class, NULL };

SORA_EXPORT const SoraPlugin sora_plugin = {
  .magic = SORA_PLUGIN_MAGIC,
  .struct_size = sizeof (SoraPlugin),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .needs_minor = 0,
  .id = "vae-wan-encode",
  .version = "0.1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Encoder of the Wan family's video VAE",
  .stages = stages,
};
