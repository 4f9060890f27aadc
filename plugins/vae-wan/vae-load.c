/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-load.c: see vae-load.h.
 */
#include "vae-load.h"

#include "vae-request.h"

#include <stdlib.h>
#include <string.h>

typedef struct
{
  const SoraHost *host;
  SoraVaeCoder *coder;
  SoraVaeHalf half;
  const SoraVaeLayer *layers;
  int n, layer;
  SoraTensorView weight, bias;
} Pack;

static int
pack_on_compute (SoraKitTeam *team, void *data)
{
  const Pack *pack = data;
  return sora_vae_coder_pack (pack->coder, team, pack->layer, pack->weight.data, pack->weight.dtype,
                              pack->bias.data, pack->bias.dtype);
}

static int
pack_layer (const SoraKitWeights *from, SoraContext *ctx, void *data, int64_t index)
{
  Pack *pack = data;
  const SoraVaeLayer *layer = &pack->layers[index];
  char weight[80], bias[80];
  int64_t shape[5];
  sora_vae_tensor_names (layer, weight, bias);
  const int ndim = sora_vae_layer_shape (layer, shape), has_bias = layer->kind != SORA_VAE_NORM;
  pack->layer = (int)index;
  pack->bias = (SoraTensorView){ 0 };
  int r = sora_kit_weights_view (from, weight, ndim, shape, &pack->weight);
  if (r == SORA_OK && has_bias)
    r = sora_kit_weights_view (from, bias, 1, shape, &pack->bias);
  if (r == SORA_OK)
    r = sora_kit_compute (pack->host, ctx, "the autoencoder's loading", pack_on_compute, pack);
  if (layer->part + 1 == layer->parts)
    {
      sora_kit_weights_done (from, weight);
      if (has_bias)
        sora_kit_weights_done (from, bias);
    }
  return r;
}

/* Is that tensor of this half?  The other's are nobody's business here. */
static int
is_of_half (SoraVaeHalf half, const char *name)
{
  static const char *const prefixes[][2] = {
    [SORA_VAE_DECODER] = { "decoder.", "post_quant_conv." },
    [SORA_VAE_ENCODER] = { "encoder.", "quant_conv." },
  };
  for (int i = 0; i < 2; i++)
    if (strncmp (name, prefixes[half][i], strlen (prefixes[half][i])) == 0)
      return 1;
  return 0;
}

static int
is_known (const void *data, const char *name)
{
  const Pack *pack = data;
  if (!is_of_half (pack->half, name))
    return 1;
  for (int i = 0; i < pack->n; i++)
    {
      char weight[80], bias[80];
      sora_vae_tensor_names (&pack->layers[i], weight, bias);
      if (strcmp (name, weight) == 0
          || (pack->layers[i].kind != SORA_VAE_NORM && strcmp (name, bias) == 0))
        return 1;
    }
  return 0;
}

int
sora_vae_load (const SoraHost *host, SoraContext *ctx, SoraVaeInstance *instance,
               const SoraVaeConfig *config, SoraVaeHalf half)
{
  if (instance->coder != NULL)
    return SORA_OK;
  int r = sora_kit_hold (host, ctx, &instance->hold, sora_vae_coder_bytes (config, half));
  if (r != SORA_OK)
    return r;
  Pack pack = { .host = host, .coder = sora_vae_coder_new (config, half), .half = half };
  if (pack.coder == NULL)
    r = host->fail (ctx, "no memory for the autoencoder");
  else
    {
      pack.layers = sora_vae_coder_layers (pack.coder, &pack.n);
      const SoraKitLoad what
          = { "vae",
              half == SORA_VAE_DECODER ? "the decoder that vae/config.json describes"
                                       : "the encoder that vae/config.json describes",
              is_known, pack_layer, pack.n, NULL };
      r = sora_kit_load (host, ctx, &what, &pack);
    }
  if (r == SORA_OK)
    instance->coder = pack.coder;
  else
    {
      /* A part of it is nothing. */
      sora_vae_coder_free (pack.coder);
      sora_kit_hold_drop (host, ctx, &instance->hold);
    }
  return r;
}

int
sora_vae_create (const SoraHost *host, SoraContext *ctx, void **instance)
{
  *instance = calloc (1, sizeof (SoraVaeInstance));
  return *instance != NULL ? SORA_OK : host->fail (ctx, "no memory for an instance");
}

void
sora_vae_release (const SoraHost *host, void *data)
{
  SoraVaeInstance *instance = data;
  sora_vae_coder_free (instance->coder);
  *instance = (SoraVaeInstance){ 0 };
}

void
sora_vae_destroy (const SoraHost *host, void *data)
{
  sora_vae_release (host, data);
  free (data);
}
