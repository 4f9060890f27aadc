/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tiny-request.c: see tiny-request.h.
 */
#include "tiny-request.h"

#include "kit-convert.h"
#include "kit-frames.h"
#include "kit-weights.h"

#include <stdio.h>
#include <string.h>

#define MAX_SIDE 16384 /* px */
#define MAX_LATENTS 1000000

/* A convolution's channels, from the header. */
static int
read_conv (const SoraHost *host, SoraContext *ctx, int index, int64_t *oc, int64_t *ic)
{
  SoraTensorView view = { .struct_size = sizeof view };
  char name[48], got[96];
  (void)snprintf (name, sizeof name, "decoder.%d.weight", index);
  const int r = host->model_tensor_info (ctx, SORA_TINY_SLOT, SORA_TINY_COMPONENT, name, &view);
  if (r == SORA_NOT_FOUND)
    return host->fail (ctx, "the tiny decoder has no tensor '%s'", name);
  if (r != SORA_OK)
    return r;
  if (view.ndim != 4 || view.shape[0] < 1 || view.shape[0] > SORA_TINY_MAX_WIDTH
      || view.shape[1] < 1 || view.shape[1] > SORA_TINY_MAX_WIDTH || view.shape[2] != 3
      || view.shape[3] != 3)
    return host->fail (ctx,
                       "tensor '%s' of the tiny decoder is %s, expected a 3 x 3 convolution of at "
                       "most %d channels",
                       name, sora_kit_shape_string (got, sizeof got, view.ndim, view.shape),
                       SORA_TINY_MAX_WIDTH);
  *oc = view.shape[0];
  *ic = view.shape[1];
  return SORA_OK;
}

static int
read_config (const SoraHost *host, SoraContext *ctx, SoraTinyConfig *config)
{
  static const int levels[SORA_TINY_LEVELS] = { 8, 14, 20 };
  SoraTensorView view = { .struct_size = sizeof view };
  int64_t ignored, values = 0;
  /* Its decoder begins with a clamp, at 0, which has no weights; those of the other form do not. */
  if (host->model_tensor_info (ctx, SORA_TINY_SLOT, SORA_TINY_COMPONENT, "decoder.0.weight", &view)
      == SORA_OK)
    return host->fail (ctx, "the tiny decoder is a 'super' one (it has a tensor "
                            "'decoder.0.weight'), expected a plain one: taew2_1 or taew2_2");
  int r = read_conv (host, ctx, 1, &config->widths[0], &config->z_dim);
  for (int i = 0; i < SORA_TINY_LEVELS && r == SORA_OK; i++)
    r = read_conv (host, ctx, levels[i], &config->widths[i + 1], &ignored);
  if (r == SORA_OK)
    r = read_conv (host, ctx, 22, &values, &ignored);
  if (r != SORA_OK)
    return r;
  for (int64_t patch = 1; patch <= SORA_TINY_MAX_PATCH; patch++)
    if (values == 3 * patch * patch)
      config->patch = patch;
  config->spatial = 8 * config->patch;
  if (config->patch == 0 || config->z_dim > SORA_TINY_MAX_Z)
    return host->fail (
        ctx,
        "the tiny decoder makes %lld values of latents of %lld channels, expected 3, "
        "12, 27 or 48 of at most %d",
        (long long)values, (long long)config->z_dim, SORA_TINY_MAX_Z);
  return SORA_OK;
}

/* The shape of the latents, checked before anything is allocated by it. */
static int
read_shape (const SoraHost *host, SoraContext *ctx, const SoraSpec *spec, SoraTinyRequest *request)
{
  const SoraTinyConfig *config = &request->config;
  if (spec->ndim != 4 || spec->dtype != SORA_F32)
    return host->fail (
        ctx, "input 'latents' is %s with %d axes, expected f32 [channels, time, height, width]",
        sora_kit_dtype_name (spec->dtype), (int)spec->ndim);
  if (spec->shape[0] != config->z_dim)
    return host->fail (ctx,
                       "input 'latents' has %lld channels, and the tiny decoder is for %lld: Wan "
                       "2.1 and 2.2 A14B (16) take taew2_1, Wan 2.2 5B (48) takes taew2_2",
                       (long long)spec->shape[0], (long long)config->z_dim);
  request->t = spec->shape[1];
  request->h = spec->shape[2];
  request->w = spec->shape[3];
  const int64_t most = MAX_SIDE / config->spatial;
  if (request->t < 1 || request->t > MAX_LATENTS || request->h < 1 || request->h > most
      || request->w < 1 || request->w > most)
    return host->fail (ctx,
                       "input 'latents' has %lld frames of %lld x %lld, expected 1 to %d frames "
                       "and up to %lld x %lld",
                       (long long)request->t, (long long)request->w, (long long)request->h,
                       MAX_LATENTS, (long long)most, (long long)most);
  request->frames = request->t * SORA_TINY_TEMPORAL - SORA_TINY_DROPPED;
  return SORA_OK;
}

int
sora_tiny_request_read (const SoraHost *host, SoraContext *ctx, SoraTinyRequest *request)
{
  SoraSpec spec = { .struct_size = sizeof spec };
  const char *format = NULL;
  int64_t trim = 0;
  memset (request, 0, sizeof *request);
  int r = read_config (host, ctx, &request->config);
  if (r == SORA_OK)
    r = host->input_spec (ctx, "latents", &spec);
  if (r == SORA_OK)
    r = read_shape (host, ctx, &spec, request);
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
  return r == SORA_OK || r == SORA_NOT_FOUND ? SORA_OK : r;
}

void
sora_tiny_tensor_names (const SoraTinyLayer *layer, char weight[48], char bias[48])
{
  (void)snprintf (weight, 48, "%s.weight", layer->name);
  (void)snprintf (bias, 48, "%s.bias", layer->name);
}

static int
check_tensor (const SoraHost *host, SoraContext *ctx, const char *name, int ndim,
              const int64_t *shape, uint64_t *bytes)
{
  SoraTensorView view = { .struct_size = sizeof view };
  char want[96], got[96];
  const int r = host->model_tensor_info (ctx, SORA_TINY_SLOT, SORA_TINY_COMPONENT, name, &view);
  if (r == SORA_NOT_FOUND)
    return host->fail (ctx, "the tiny decoder has no tensor '%s'", name);
  if (r != SORA_OK)
    return r;
  int same = view.ndim == ndim;
  for (int i = 0; same && i < ndim; i++)
    same = view.shape[i] == shape[i];
  if (!same)
    return host->fail (ctx, "tensor '%s' of the tiny decoder is %s, expected %s", name,
                       sora_kit_shape_string (got, sizeof got, view.ndim, view.shape),
                       sora_kit_shape_string (want, sizeof want, ndim, shape));
  if (view.dtype != SORA_F32 && view.dtype != SORA_F16 && view.dtype != SORA_BF16)
    return host->fail (ctx, "tensor '%s' of the tiny decoder is %s, expected f32, f16 or bf16",
                       name, sora_kit_dtype_name (view.dtype));
  *bytes += view.nbytes;
  return SORA_OK;
}

int
sora_tiny_check_tensors (const SoraHost *host, SoraContext *ctx, const SoraTinyConfig *config,
                         uint64_t *bytes)
{
  SoraTinyLayer layers[SORA_TINY_MAX_LAYERS];
  const int n = sora_tiny_layers (config, layers);
  int r = SORA_OK;
  for (int i = 0; i < n && r == SORA_OK; i++)
    {
      char weight[48], bias[48];
      int64_t shape[4];
      if (layers[i].part > 0)
        continue;
      sora_tiny_tensor_names (&layers[i], weight, bias);
      sora_tiny_layer_shape (&layers[i], shape);
      r = check_tensor (host, ctx, weight, 4, shape, bytes);
      if (r == SORA_OK && layers[i].biased)
        r = check_tensor (host, ctx, bias, 1, shape, bytes);
    }
  return r;
}
