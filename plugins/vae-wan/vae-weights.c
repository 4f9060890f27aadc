/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-weights.c: the weights of a half, from stored tensors to the form that the convolutions want.
 */
#include "vae-private.h"

#include "kit-convert.h"
#include "kit-memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

SoraVaeCoder *
sora_vae_coder_new (const SoraVaeConfig *config, SoraVaeHalf half)
{
  SoraVaeCoder *d = calloc (1, sizeof *d);
  SoraVaeLayer *layers = calloc (SORA_VAE_MAX_LAYERS, sizeof *layers);
  if (d != NULL && layers != NULL)
    {
      const int n = sora_vae_layers (config, half, layers);
      d->config = *config;
      d->layers = malloc ((size_t)n * sizeof *d->layers);
      d->packed = calloc ((size_t)n, sizeof *d->packed);
      if (d->layers != NULL && d->packed != NULL)
        {
          memcpy (d->layers, layers, (size_t)n * sizeof *layers);
          d->n = n;
          sora_vae_levels_find (config, half, layers, n, &d->levels);
        }
    }
  free (layers);
  if (d != NULL && d->n == 0)
    {
      sora_vae_coder_free (d);
      return NULL;
    }
  return d;
}

void
sora_vae_coder_free (SoraVaeCoder *d)
{
  if (d == NULL)
    return;
  for (int i = 0; i < d->n; i++)
    {
      sora_kit_plane_conv_clear (&d->packed[i].plane);
      sora_kit_point_conv_clear (&d->packed[i].point);
      sora_kit_stride_conv_clear (&d->packed[i].stride);
      sora_kit_few_conv_clear (&d->packed[i].few);
      sora_kit_free (d->packed[i].gamma);
    }
  free (d->layers);
  free (d->packed);
  free (d);
}

const SoraVaeLayer *
sora_vae_coder_layers (const SoraVaeCoder *d, int *n)
{
  *n = d->n;
  return d->layers;
}

uint64_t
sora_vae_coder_bytes (const SoraVaeConfig *config, SoraVaeHalf half)
{
  SoraVaeLayer layers[SORA_VAE_MAX_LAYERS];
  const int n = sora_vae_layers (config, half, layers);
  uint64_t bytes = 0;
  for (int i = 0; i < n; i++)
    switch (layers[i].kind)
      {
      case SORA_VAE_PLANE:
        bytes += sora_kit_plane_conv_bytes (layers[i].ic, layers[i].oc,
                                            sora_vae_plane_taps (&layers[i]));
        break;
      case SORA_VAE_POINT:
        bytes += sora_kit_point_conv_bytes (layers[i].ic, layers[i].oc, layers[i].taps);
        break;
      case SORA_VAE_STRIDE:
        bytes += sora_kit_stride_conv_bytes (layers[i].ic, layers[i].oc);
        break;
      case SORA_VAE_FEW:
        bytes += sora_kit_few_conv_bytes (layers[i].ic, layers[i].oc, layers[i].taps);
        break;
      case SORA_VAE_NORM:
        bytes += (uint64_t)sora_kit_pad16 (layers[i].oc) * sizeof (float);
        break;
      }
  return bytes;
}

static int
pack_gamma (SoraVaePacked *packed, SoraKitTeam *team, int64_t channels, const float *gamma)
{
  packed->gamma = sora_kit_alloc0 ((uint64_t)sora_kit_pad16 (channels), sizeof (float));
  if (packed->gamma == NULL)
    return sora_kit_team_fail (team, "no memory for a norm of %lld channels", (long long)channels);
  const float scale = (float)sqrt ((double)channels);
  for (int64_t i = 0; i < channels; i++)
    packed->gamma[i] = scale * gamma[i];
  return SORA_OK;
}

int
sora_vae_coder_pack (SoraVaeCoder *d, SoraKitTeam *team, int index, const void *weight,
                     int weight_dtype, const void *bias, int bias_dtype)
{
  const SoraVaeLayer *layer = &d->layers[index];
  SoraVaePacked *packed = &d->packed[index];
  const int64_t square = sora_vae_layer_side (layer) * sora_vae_layer_side (layer);
  const int64_t n
      = layer->kind == SORA_VAE_NORM ? layer->oc : layer->oc * layer->ic * layer->taps * square;
  /* Of a weight that is two or three layers, this one's rows. */
  const char *w
      = (const char *)weight + (size_t)(n * layer->part) * sora_kit_dtype_size (weight_dtype);
  const char *b = bias == NULL
                      ? NULL
                      : (const char *)bias
                            + (size_t)(layer->oc * layer->part) * sora_kit_dtype_size (bias_dtype);
  float *values = sora_kit_alloc ((uint64_t)n, sizeof (float));
  float *biases = sora_kit_alloc ((uint64_t)layer->oc, sizeof (float));
  int result = SORA_FAILED;
  if (values == NULL || biases == NULL)
    sora_kit_team_fail (team, "no memory for the weights of '%s'", layer->name);
  else if (sora_kit_to_f32 (w, weight_dtype, values, (size_t)n) != SORA_OK
           || (b != NULL && sora_kit_to_f32 (b, bias_dtype, biases, (size_t)layer->oc) != SORA_OK))
    sora_kit_team_fail (team, "the weights of '%s' are %s, expected f32, f16 or bf16", layer->name,
                        sora_kit_dtype_name (weight_dtype));
  else
    switch (layer->kind)
      {
      case SORA_VAE_PLANE:
        result = sora_kit_plane_conv_pack (&packed->plane, team, layer->ic, layer->oc,
                                           sora_vae_plane_taps (layer), values, biases);
        break;
      case SORA_VAE_POINT:
        result = sora_kit_point_conv_pack (&packed->point, team, layer->ic, layer->oc, layer->taps,
                                           values, biases);
        break;
      case SORA_VAE_STRIDE:
        result = sora_kit_stride_conv_pack (&packed->stride, team, layer->ic, layer->oc, values,
                                            biases);
        break;
      case SORA_VAE_FEW:
        result = sora_kit_few_conv_pack (&packed->few, team, layer->ic, layer->oc, layer->taps,
                                         values, biases);
        break;
      case SORA_VAE_NORM:
        sora_kit_free (packed->gamma);
        result = pack_gamma (packed, team, layer->oc, values);
        break;
      }
  sora_kit_free (values);
  sora_kit_free (biases);
  return result;
}
