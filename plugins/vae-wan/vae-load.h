/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-load.h: what the stages of both halves keep between runs: the half with its weights, brought
 * in from a model when a run wants it, and given back when the host does.
 */
#ifndef SORA_VAE_LOAD_H
#define SORA_VAE_LOAD_H

#include "vae-coder.h"

#include "kit-stage.h"

typedef struct
{
  SoraVaeCoder *coder; /* packed, or NULL */
  SoraKitHold hold;
} SoraVaeInstance;

/* Brings the half in, unless it is there.  Returns a SoraResult; the reason was given to fail(). */
int sora_vae_load (const SoraHost *host, SoraContext *ctx, SoraVaeInstance *instance,
                   const SoraVaeConfig *config, SoraVaeHalf half);

/* The calls of a stage class. */
int sora_vae_create (const SoraHost *host, SoraContext *ctx, void **instance);
void sora_vae_release (const SoraHost *host, void *instance);
void sora_vae_destroy (const SoraHost *host, void *instance);

#endif
