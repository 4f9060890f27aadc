/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-model: the packed weights of a Wan transformer.
 */
#ifndef DIT_MODEL_H
#define DIT_MODEL_H

#include "dit-config.h"
#include "kit-linear.h"

typedef struct
{
  SoraKitLinear *qkv, *self_o;           /* [3D, D], [D, D] */
  SoraKitLinear *cross_q, *kv, *cross_o; /* [D, D], [2D, D], [D, D] */
  SoraKitLinear *ff_1, *ff_2;            /* [F, D] with GELU, [D, F] */
  float *table;                          /* [6, D] */
  float *norm_q, *norm_k;                /* [D], of self-attention */
  float *cross_norm_q, *cross_norm_k;    /* [D] */
  float *norm_2_w, *norm_2_b;            /* [D]; NULL without cross_attn_norm */
} DitLayer;

typedef struct
{
  DitConfig config;
  SoraKitCache *cache;
  SoraKitLinear *patch, *text_1, *text_2, *time_1, *time_2, *time_proj, *out;
  float *out_table; /* [2, D] */
  DitLayer *layers;
} DitModel;

/** dit_model_bytes: Returns: bytes that the packed weights take, within 5 %. */
uint64_t dit_model_bytes (const DitConfig *config);

/**
 * dit_model_load:
 * @config: what the tensors must fit
 * @host: the host
 * @weights: the open component `transformer`
 * @team: who works; takes the reason of a failure
 *
 * Packs tensor by tensor, and gives the stored pages back after each.  On the compute thread.
 *
 * Returns: (nullable) (transfer full): the model; %NULL if it failed or was cancelled
 */
DitModel *dit_model_load (const DitConfig *config, const SoraHost *host, SoraWeights *weights,
                          SoraKitTeam *team);

/** dit_model_free: @model: (nullable): ends it. */
void dit_model_free (DitModel *model);

#endif
