/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-request.c: see vae-request.h.
 */
#include "vae-request.h"

#include "kit-convert.h"
#include "kit-frames.h"
#include "kit-stage.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SIDE 16384 /* px */
#define MAX_LATENTS 1000000

int
sora_vae_request_config (const SoraHost *host, SoraContext *ctx, SoraVaeHalf half,
                         SoraVaeConfig *config)
{
  SoraKitConfig *file;
  const int r = sora_kit_config_open (host, ctx, "vae/config.json", 1, &file);
  if (r != SORA_OK)
    return r;
  sora_vae_config_read (file, config);
  if (half == SORA_VAE_ENCODER && sora_kit_config_error (file) == NULL)
    sora_vae_config_read_encoder (file, config);
  return sora_kit_config_close (host, ctx, file);
}

/* The shape of the latents, checked before anything is allocated by it. */
static int
read_shape (const SoraHost *host, SoraContext *ctx, const int64_t *shape, int ndim, int dtype,
            SoraVaeRequest *request)
{
  const SoraVaeConfig *config = &request->config;
  if (ndim != 4 || dtype != SORA_F32)
    return host->fail (
        ctx, "input 'latents' is %s with %d axes, expected f32 [channels, time, height, width]",
        sora_kit_dtype_name (dtype), ndim);
  if (shape[0] != config->z_dim)
    return host->fail (
        ctx,
        "input 'latents' has %lld channels, expected %lld: denoiser and VAE are not of one model",
        (long long)shape[0], (long long)config->z_dim);
  request->t = shape[1];
  request->h = shape[2];
  request->w = shape[3];
  if (request->t < 1 || request->t > MAX_LATENTS || request->h < 1
      || request->h > MAX_SIDE / config->spatial || request->w < 1
      || request->w > MAX_SIDE / config->spatial)
    return host->fail (ctx,
                       "input 'latents' has %lld frames of %lld x %lld, expected 1 to %d frames "
                       "and up to %lld x %lld",
                       (long long)request->t, (long long)request->w, (long long)request->h,
                       MAX_LATENTS, (long long)(MAX_SIDE / config->spatial),
                       (long long)(MAX_SIDE / config->spatial));
  request->frames = 1 + (request->t - 1) * config->temporal;
  return SORA_OK;
}

int
sora_vae_request_read (const SoraHost *host, SoraContext *ctx, SoraVaeRequest *request)
{
  SoraSpec spec = { .struct_size = sizeof spec };
  const char *format = NULL;
  int64_t trim = 0;
  memset (request, 0, sizeof *request);
  int r = sora_vae_request_config (host, ctx, SORA_VAE_DECODER, &request->config);
  if (r == SORA_OK)
    r = host->input_spec (ctx, "latents", &spec);
  if (r == SORA_OK)
    r = read_shape (host, ctx, spec.shape, spec.ndim, spec.dtype, request);
  if (r == SORA_OK)
    r = host->param_string (ctx, "format", &format);
  if (r == SORA_OK)
    r = sora_kit_frames_fps (host, ctx, "latents", &request->fps);
  if (r != SORA_OK)
    return r == SORA_NOT_FOUND
               ? host->fail (ctx, "the host does not know input 'latents' or parameters")
               : r;
  request->dtype = strcmp (format, "f32") == 0 ? SORA_F32 : SORA_U8;
  r = host->input_attr_i64 (ctx, "latents", "trim_frames", &trim);
  if (r == SORA_OK)
    {
      if (trim < 1)
        return host->fail (ctx, "input 'latents' says trim_frames %lld, expected at least 1",
                           (long long)trim);
      request->frames = trim < request->frames ? trim : request->frames;
    }
  if (r != SORA_OK && r != SORA_NOT_FOUND)
    return r;
  /* Latents of which no picture is kept are not decoded. */
  const int64_t temporal = request->config.temporal;
  request->clip = (SoraVaeClip){ .half = SORA_VAE_DECODER,
                                 .t = 1 + (request->frames - 1 + temporal - 1) / temporal,
                                 .h = request->h,
                                 .w = request->w,
                                 .frames = request->frames,
                                 .dtype = request->dtype };
  return sora_vae_clip_read (host, ctx, &request->config, &request->clip);
}

/* A layer's tensors: its gamma, or weight and bias. */
void
sora_vae_tensor_names (const SoraVaeLayer *layer, char weight[80], char bias[80])
{
  const int gamma = layer->kind == SORA_VAE_NORM;
  memcpy (weight, layer->name, sizeof layer->name);
  memcpy (bias, layer->name, sizeof layer->name);
  strcat (weight, gamma ? "" : ".weight");
  strcat (bias, ".bias");
}

int
sora_vae_check_tensors (const SoraHost *host, SoraContext *ctx, const SoraVaeConfig *config,
                        SoraVaeHalf half, uint64_t *bytes)
{
  SoraKitTensorCheck check = { .host = host, .ctx = ctx, .component = "vae" };
  SoraVaeLayer *layers = calloc (SORA_VAE_MAX_LAYERS, sizeof *layers);
  if (layers == NULL)
    return host->fail (ctx, "no memory for the list of layers");
  const int n = sora_vae_layers (config, half, layers);
  int r = SORA_OK;
  for (int i = 0; i < n && r == SORA_OK; i++)
    {
      char weight[80], bias[80];
      int64_t shape[5];
      if (layers[i].part > 0)
        continue;
      sora_vae_tensor_names (&layers[i], weight, bias);
      r = sora_kit_check_tensor (&check, weight, sora_vae_layer_shape (&layers[i], shape), shape);
      if (r == SORA_OK && layers[i].kind != SORA_VAE_NORM)
        r = sora_kit_check_tensor (&check, bias, 1, shape);
    }
  free (layers);
  *bytes = check.bytes;
  return r == SORA_OK ? sora_kit_check_end (&check) : r;
}
