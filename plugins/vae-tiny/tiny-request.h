/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tiny-request.h: what one call of the stage is about, read from the host and checked before
 * anything is allocated by it.
 */
#ifndef SORA_TINY_REQUEST_H
#define SORA_TINY_REQUEST_H

#include "tiny-config.h"

#include "sora-plugin.h"

#define SORA_TINY_SLOT "tiny"
#define SORA_TINY_COMPONENT "taehv"

typedef struct
{
  SoraTinyConfig config;
  int64_t t, h, w;
  int64_t frames; /* that leave, after trimming */
  int dtype;
  double fps;
} SoraTinyRequest;

/* Reads geometry, parameters and the input's shape.  Returns a SoraResult; the reason was given to
 * fail(). */
int sora_tiny_request_read (const SoraHost *host, SoraContext *ctx, SoraTinyRequest *request);

/* All tensors of the decoder are there, of the right shapes and types; adds up their stored bytes.
 */
int sora_tiny_check_tensors (const SoraHost *host, SoraContext *ctx, const SoraTinyConfig *config,
                             uint64_t *bytes);

/* A layer's stored tensors. */
void sora_tiny_tensor_names (const SoraTinyLayer *layer, char weight[48], char bias[48]);

#endif
