/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tiny-weights.c: the decoder's weights, from stored tensors to the form that the convolutions
 * want.
 */
#include "tiny-private.h"

#include "kit-convert.h"
#include "kit-memory.h"

#include <stdlib.h>
#include <string.h>

SoraTinyDecoder *
sora_tiny_decoder_new (const SoraTinyConfig *config)
{
  SoraTinyDecoder *d = calloc (1, sizeof *d);
  if (d == NULL)
    return NULL;
  d->config = *config;
  d->n = sora_tiny_layers (config, d->layers);
  return d;
}

void
sora_tiny_decoder_free (SoraTinyDecoder *d)
{
  if (d == NULL)
    return;
  for (int i = 0; i < d->n; i++)
    {
      sora_kit_plane_conv_clear (&d->packed[i].plane);
      sora_kit_point_conv_clear (&d->packed[i].point);
      sora_kit_few_conv_clear (&d->packed[i].few);
    }
  free (d);
}

const SoraTinyLayer *
sora_tiny_decoder_layers (const SoraTinyDecoder *d, int *n)
{
  *n = d->n;
  return d->layers;
}

uint64_t
sora_tiny_decoder_bytes (const SoraTinyConfig *config)
{
  SoraTinyLayer layers[SORA_TINY_MAX_LAYERS];
  const int n = sora_tiny_layers (config, layers);
  uint64_t bytes = 0;
  for (int i = 0; i < n; i++)
    switch (layers[i].kind)
      {
      case SORA_TINY_PLANE:
        bytes += sora_kit_plane_conv_bytes (layers[i].ic, layers[i].oc, layers[i].taps);
        break;
      case SORA_TINY_POINT:
        bytes += sora_kit_point_conv_bytes (layers[i].ic, layers[i].oc, layers[i].taps);
        break;
      case SORA_TINY_FEW:
        bytes += sora_kit_few_conv_bytes (layers[i].ic, layers[i].oc, layers[i].taps);
        break;
      }
  return bytes;
}

/* Stored are [oc, (now, past), 3, 3]: two taps of time side by side.  The kit wants [oc, ic, (past,
 * now), 3, 3]. */
static void
split_taps (const float *stored, float *to, int64_t oc, int64_t ic)
{
  for (int64_t o = 0; o < oc; o++)
    for (int64_t i = 0; i < ic; i++)
      {
        float *pair = to + (o * ic + i) * 18;
        memcpy (pair, stored + (o * 2 * ic + ic + i) * 9, 9 * sizeof *pair);
        memcpy (pair + 9, stored + (o * 2 * ic + i) * 9, 9 * sizeof *pair);
      }
}

static int
pack_values (const SoraTinyLayer *layer, SoraTinyPacked *packed, SoraKitTeam *team,
             const float *values, const float *biases)
{
  int r = SORA_FAILED;
  switch (layer->kind)
    {
    case SORA_TINY_PLANE:
      r = sora_kit_plane_conv_pack (&packed->plane, team, layer->ic, layer->oc, layer->taps, values,
                                    biases);
      packed->plane.relu = layer->relu;
      break;
    case SORA_TINY_POINT:
      r = sora_kit_point_conv_pack (&packed->point, team, layer->ic, layer->oc, 1, values, biases);
      break;
    case SORA_TINY_FEW:
      r = sora_kit_few_conv_pack (&packed->few, team, layer->ic, layer->oc, 1, values, biases);
      break;
    }
  return r;
}

int
sora_tiny_decoder_pack (SoraTinyDecoder *d, SoraKitTeam *team, int index, const void *weight,
                        int weight_dtype, const void *bias, int bias_dtype)
{
  const SoraTinyLayer *layer = &d->layers[index];
  int64_t shape[4];
  sora_tiny_layer_shape (layer, shape);
  const int64_t n = layer->oc * shape[1] * shape[2] * shape[3];
  /* Of a weight that makes two frames, this one's rows. */
  const char *rows
      = (const char *)weight + (size_t)(n * layer->part) * sora_kit_dtype_size (weight_dtype);
  float *values = sora_kit_alloc ((uint64_t)n * (uint64_t)layer->taps, sizeof (float));
  float *biases = sora_kit_alloc0 ((uint64_t)layer->oc, sizeof (float));
  float *stored = layer->taps == 2 ? values + n : values;
  int r = SORA_FAILED;
  if (values == NULL || biases == NULL)
    sora_kit_team_fail (team, "no memory for the weights of '%s'", layer->name);
  else if (sora_kit_to_f32 (rows, weight_dtype, stored, (size_t)n) != SORA_OK
           || (bias != NULL
               && sora_kit_to_f32 (bias, bias_dtype, biases, (size_t)layer->oc) != SORA_OK))
    sora_kit_team_fail (team, "the weights of '%s' are %s, expected f32, f16 or bf16", layer->name,
                        sora_kit_dtype_name (weight_dtype));
  else
    {
      if (layer->taps == 2)
        split_taps (stored, values, layer->oc, layer->ic);
      r = pack_values (layer, &d->packed[index], team, values, biases);
    }
  sora_kit_free (values);
  sora_kit_free (biases);
  return r;
}
