/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-coder.h: one half of the autoencoder, decoder or encoder: its configuration, its layers and
 * their packed weights.
 */
#ifndef SORA_VAE_CODER_H
#define SORA_VAE_CODER_H

#include "vae-layers.h"

#include "kit-parallel.h"

typedef struct SoraVaeCoder SoraVaeCoder;

/** sora_vae_coder_new: Returns: (nullable) (transfer full): a half without weights; %NULL without
 * memory. */
SoraVaeCoder *sora_vae_coder_new (const SoraVaeConfig *config, SoraVaeHalf half);
void sora_vae_coder_free (SoraVaeCoder *coder);

/** sora_vae_coder_layers: Returns: (transfer none) (array length=n): its layers, in
 * sora_vae_layers()' order. */
const SoraVaeLayer *sora_vae_coder_layers (const SoraVaeCoder *coder, int *n);

/**
 * sora_vae_coder_pack:
 * @coder: a half
 * @team: who works
 * @index: which layer
 * @weight: its stored weight, of the shape sora_vae_layer_shape() says; or its gamma
 * @weight_dtype: #SoraDtype
 * @bias: its stored bias [oc * parts]; %NULL for a gamma
 * @bias_dtype: #SoraDtype
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_vae_coder_pack (SoraVaeCoder *coder, SoraKitTeam *team, int index, const void *weight,
                         int weight_dtype, const void *bias, int bias_dtype);

/** sora_vae_coder_bytes: Returns: bytes of all packed weights, from the configuration alone. */
uint64_t sora_vae_coder_bytes (const SoraVaeConfig *config, SoraVaeHalf half);

#endif
