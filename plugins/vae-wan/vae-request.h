/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-request.h: what one call of the stage is about, read from the host and checked before
 * anything is allocated by it.
 */
#ifndef SORA_VAE_REQUEST_H
#define SORA_VAE_REQUEST_H

#include "vae-tiled.h"

#include "sora-plugin.h"

/* What one call is about, from parameters, configuration and the input's shape. */
typedef struct
{
  SoraVaeConfig config;
  int64_t t, h, w;
  int64_t frames; /* that leave, after trimming */
  int dtype;
  double fps;
  SoraVaeClip clip;
} SoraVaeRequest;

/* The most frames that are encoded. */
#define SORA_VAE_MAX_FRAMES 4000000

/* Reads vae/config.json for a half.  Returns as sora_vae_request_read(). */
int sora_vae_request_config (const SoraHost *host, SoraContext *ctx, SoraVaeHalf half,
                             SoraVaeConfig *config);

/* Reads configuration, parameters and the input's shape.  Returns a SoraResult; the reason was
 * given to fail(). */
int sora_vae_request_read (const SoraHost *host, SoraContext *ctx, SoraVaeRequest *request);

/* All tensors of a half are there, of the right shapes; adds up their stored bytes. */
int sora_vae_check_tensors (const SoraHost *host, SoraContext *ctx, const SoraVaeConfig *config,
                            SoraVaeHalf half, uint64_t *bytes);

/* A layer's stored tensors: its gamma, or weight and bias. */
void sora_vae_tensor_names (const SoraVaeLayer *layer, char weight[80], char bias[80]);

#endif
