/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tiny-private.h: what the files of the decoder share: tiny-weights.c packs, tiny-stream.c takes
 * frames through.
 */
#ifndef SORA_TINY_PRIVATE_H
#define SORA_TINY_PRIVATE_H

#include "tiny-decoder.h"

#include "kit-conv.h"

typedef struct
{
  SoraKitPlaneConv plane;
  SoraKitPointConv point;
  SoraKitFewConv few;
} SoraTinyPacked;

struct SoraTinyDecoder
{
  SoraTinyConfig config;
  SoraTinyLayer layers[SORA_TINY_MAX_LAYERS];
  SoraTinyPacked packed[SORA_TINY_MAX_LAYERS];
  int n;
};

#endif
