/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-tiny.c: the stage of the tiny decoder: what it declares, what a run will cost, and the loop
 * that takes latents and pushes pictures as they come.
 */
#include "tiny-decoder.h"
#include "tiny-request.h"

#include "kit-picture.h"
#include "kit-stage.h"

#include <stdlib.h>
#include <string.h>

typedef struct
{
  SoraTinyDecoder *decoder; /* packed, or NULL */
  SoraKitHold hold;         /* its memory */
} Instance;

/* Frames that the latent frame `i` makes: the first one is a picture alone. */
static int64_t
frames_of (int64_t i)
{
  return i == 0 ? SORA_TINY_TEMPORAL - SORA_TINY_DROPPED : SORA_TINY_TEMPORAL;
}

static int
tiny_infer (const SoraHost *host, SoraContext *ctx)
{
  SoraTinyRequest request;
  SoraCost cost = { .struct_size = sizeof cost };
  int r = sora_tiny_request_read (host, ctx, &request);
  if (r == SORA_OK)
    r = sora_tiny_check_tensors (host, ctx, &request.config, &cost.weights_bytes);
  if (r != SORA_OK)
    return r;
  const int64_t height = request.h * request.config.spatial,
                width = request.w * request.config.spatial;
  sora_tiny_estimate (&request.config, request.h, request.w, request.frames, &cost.work_bytes,
                      &cost.flops);
  cost.packed_bytes = sora_tiny_decoder_bytes (&request.config);
  cost.output_bytes
      = (uint64_t)(request.frames * height * width * 3) * (request.dtype == SORA_F32 ? 4 : 1);
  cost.steps = (uint32_t)request.t;

  const int64_t shape[] = { request.frames, height, width, 3 };
  const SoraSpec spec
      = { .struct_size = sizeof spec,
          .dtype = request.dtype,
          .shape = shape,
          .ndim = 4,
          .chunk = request.frames < SORA_TINY_TEMPORAL ? request.frames : SORA_TINY_TEMPORAL };
  r = host->set_output_spec (ctx, "frames", &spec);
  if (r == SORA_OK)
    r = host->set_output_attr_f64 (ctx, "frames", "fps", request.fps);
  return r == SORA_OK ? host->set_cost (ctx, &cost) : r;
}

/* ---- weights */

typedef struct
{
  Instance *instance;
  int layer;
  SoraTensorView weight, bias;
} Pack;

typedef struct
{
  Instance *instance;
  const SoraTinyLayer *layers;
  int n;
} Load;

static int
pack_on_compute (SoraKitTeam *team, void *data)
{
  const Pack *pack = data;
  return sora_tiny_decoder_pack (pack->instance->decoder, team, pack->layer, pack->weight.data,
                                 pack->weight.dtype, pack->bias.data, pack->bias.dtype);
}

static int
pack_layer (const SoraKitWeights *from, SoraContext *ctx, void *data, int64_t index)
{
  const Load *load = data;
  const SoraTinyLayer *layer = &load->layers[index];
  Pack pack = { .instance = load->instance, .layer = (int)index };
  char weight[48], bias[48];
  int64_t shape[4];
  sora_tiny_tensor_names (layer, weight, bias);
  sora_tiny_layer_shape (layer, shape);
  int r = sora_kit_weights_view (from, weight, 4, shape, &pack.weight);
  if (r == SORA_OK && layer->biased)
    r = sora_kit_weights_view (from, bias, 1, shape, &pack.bias);
  if (r != SORA_OK)
    return r;
  r = sora_kit_compute (from->host, ctx, "the tiny decoder's loading", pack_on_compute, &pack);
  if (layer->part + 1 == layer->parts)
    {
      sora_kit_weights_done (from, weight);
      if (layer->biased)
        sora_kit_weights_done (from, bias);
    }
  return r;
}

/* A tensor of a decoder that this one has no place for is of another one.  The encoder's, which the
 * published files hold as well, are nobody's business here. */
static int
is_known (const void *data, const char *name)
{
  const Load *load = data;
  int known = strncmp (name, "decoder.", 8) != 0;
  for (int j = 0; j < load->n && !known; j++)
    {
      char weight[48], bias[48];
      sora_tiny_tensor_names (&load->layers[j], weight, bias);
      known = strcmp (name, weight) == 0 || (load->layers[j].biased && strcmp (name, bias) == 0);
    }
  return known;
}

static int
load (const SoraHost *host, SoraContext *ctx, Instance *instance, const SoraTinyConfig *config)
{
  Load all = { .instance = instance };
  if (instance->decoder != NULL)
    return SORA_OK;
  int r = sora_kit_hold (host, ctx, &instance->hold, sora_tiny_decoder_bytes (config));
  if (r != SORA_OK)
    return r;
  instance->decoder = sora_tiny_decoder_new (config);
  if (instance->decoder == NULL)
    r = host->fail (ctx, "no memory for the decoder");
  else
    {
      all.layers = sora_tiny_decoder_layers (instance->decoder, &all.n);
      const SoraKitLoad what = {
        SORA_TINY_COMPONENT, "the tiny decoder", is_known, pack_layer, all.n, SORA_TINY_SLOT
      };
      r = sora_kit_load (host, ctx, &what, &all);
    }
  if (r != SORA_OK) /* half a decoder is none */
    {
      sora_tiny_decoder_free (instance->decoder);
      instance->decoder = NULL;
      sora_kit_hold_drop (host, ctx, &instance->hold);
    }
  return r;
}

/* ---- decoding */

typedef struct
{
  const SoraTinyRequest *request;
  SoraTinyStream *stream;
  const float *latents; /* of this latent frame */
  int64_t channel_step;
  char *out; /* of the tensor that is being filled */
} Decode;

typedef struct
{
  const SoraTinyRequest *request;
  const float *places;
  char *out;
  size_t line; /* bytes */
  _Atomic int bad;
} Convert;

static void
convert_lines (void *data, int64_t first, int64_t count)
{
  Convert *c = data;
  const SoraTinyConfig *config = &c->request->config;
  const int64_t w = 8 * c->request->w, row = w * 3 * config->patch * config->patch;
  for (int64_t y = first; y < first + count; y++)
    if (sora_tiny_picture (c->places + y / config->patch * row, w, config->patch, y % config->patch,
                           c->request->dtype, c->out + (size_t)y * c->line)
        != 0)
      c->bad = 1;
}

static int
take_frame (SoraKitTeam *team, void *data, const float *places)
{
  Decode *d = data;
  const int64_t height = d->request->h * d->request->config.spatial,
                width = d->request->w * d->request->config.spatial;
  Convert convert = { .request = d->request,
                      .places = places,
                      .out = d->out,
                      .line = (size_t)(width * 3) * (d->request->dtype == SORA_F32 ? 4 : 1) };
  const int r = sora_kit_rows_parallel (team, height, 32, convert_lines, &convert);
  if (r != SORA_OK)
    return r;
  if (convert.bad)
    return sora_kit_team_fail (
        team, "the decoder gave no number (NaN or infinity): are latents and weights whole?");
  d->out += (size_t)height * convert.line;
  return SORA_OK;
}

static int
decode_on_compute (SoraKitTeam *team, void *data)
{
  Decode *d = data;
  return sora_tiny_stream_decode (d->stream, team, d->latents, d->channel_step, take_frame, d);
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

/* One latent frame to one tensor of n pictures, pushed. */
static int
decode_latent (const SoraHost *host, SoraContext *ctx, Decode *decode, int64_t i, int64_t n)
{
  const SoraTinyRequest *request = decode->request;
  const int64_t shape[]
      = { n, request->h * request->config.spatial, request->w * request->config.spatial, 3 };
  SoraTensor *tensor = host->tensor_new (ctx, request->dtype, 4, shape);
  SoraTensorView view = { .struct_size = sizeof view };
  if (tensor == NULL)
    return SORA_FAILED;
  host->tensor_view (tensor, &view);
  decode->out = view.data;
  int r = sora_kit_compute (host, ctx, "the tiny decoder", decode_on_compute, decode);
  if (r == SORA_OK && host->preview_wanted (ctx))
    r = show (host, ctx, &view);
  if (r != SORA_OK)
    {
      host->tensor_unref (tensor);
      return r;
    }
  host->progress (ctx, (double)(i + 1) / (double)request->t, (uint32_t)(i + 1),
                  (uint32_t)request->t);
  return host->push (ctx, "frames", tensor);
}

static int
decode_all (const SoraHost *host, SoraContext *ctx, Instance *instance,
            const SoraTinyRequest *request, const float *latents)
{
  uint64_t bytes = 0;
  double flops = 0;
  sora_tiny_estimate (&request->config, request->h, request->w, request->frames, &bytes, &flops);
  int r = load (host, ctx, instance, &request->config);
  if (r == SORA_OK)
    r = host->reserve (ctx, SORA_MEMORY_WORK, bytes);
  if (r != SORA_OK)
    return r;
  Decode decode = { .request = request, .channel_step = request->t * request->h * request->w };
  decode.stream = sora_tiny_stream_new (instance->decoder, request->h, request->w, request->frames);
  if (decode.stream == NULL)
    return host->fail (ctx, "no memory to decode");
  int64_t left = request->frames;
  for (int64_t i = 0; i < request->t && left > 0 && r == SORA_OK; i++)
    {
      const int64_t n = left < frames_of (i) ? left : frames_of (i);
      decode.latents = latents + i * request->h * request->w;
      r = decode_latent (host, ctx, &decode, i, n);
      left -= n;
    }
  sora_tiny_stream_free (decode.stream);
  return r;
}

static int
tiny_create (const SoraHost *host, SoraContext *ctx, void **instance)
{
  *instance = calloc (1, sizeof (Instance));
  return *instance != NULL ? SORA_OK : host->fail (ctx, "no memory for an instance");
}

static int
tiny_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  SoraTinyRequest request;
  SoraTensor *latents;
  SoraTensorView view;
  int r = sora_tiny_request_read (host, ctx, &request);
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

static void
tiny_release (const SoraHost *host, void *data)
{
  Instance *instance = data;
  sora_tiny_decoder_free (instance->decoder);
  *instance = (Instance){ 0 };
}

static void
tiny_destroy (const SoraHost *host, void *data)
{
  tiny_release (host, data);
  free (data);
}

/* ---- what it declares */

static const SoraPort latents_port = {
  .struct_size = sizeof (SoraPort),
  .name = "latents",
  .semantic = "sora.latents.video/1",
  .dtypes = SORA_DTYPE_BIT (SORA_F32),
  .dims = "C,T,H,W",
  .help = "As the denoiser gives them; attribute trim_frames: pictures past that count are dropped",
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

/* The same as vae-wan's, so that one stands in for the other. */
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
static const SoraParam *const params[] = { &format_param, &fps_param, NULL };

static const SoraModelSlot model_slot = {
  .struct_size = sizeof (SoraModelSlot),
  .name = SORA_TINY_SLOT,
  .components = SORA_TINY_COMPONENT,
};
static const SoraModelSlot *const models[] = { &model_slot, NULL };

static const SoraStageClass tiny_class = {
  .struct_size = sizeof (SoraStageClass),
  .id = "vae-tiny",
  .kind = "decoder",
  .summary = "Tiny decoder (TAEHV) of Wan latents: rougher pictures for a fraction of the work",
  .inputs = inputs,
  .outputs = outputs,
  .params = params,
  .models = models,
  .infer = tiny_infer,
  .create = tiny_create,
  .run = tiny_run,
  .release = tiny_release,
  .destroy = tiny_destroy,
};
static const SoraStageClass *const stages[] = { &tiny_class, NULL };

SORA_EXPORT const SoraPlugin sora_plugin = {
  .magic = SORA_PLUGIN_MAGIC,
  .struct_size = sizeof (SoraPlugin),
  .abi_major = SORA_ABI_MAJOR,
  .abi_minor = SORA_ABI_MINOR,
  .needs_minor = 0,
  .id = "vae-tiny",
  .version = "0.1.0",
  .licence = "LGPL-2.1-or-later",
  .summary = "Tiny decoder of the Wan family's latents",
  .stages = stages,
};
