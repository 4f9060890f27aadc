/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Loads and packs the weights.
 */
#include "dit-model.h"

#include "kit-gemm-int8.h"
#include "kit-memory.h"
#include "kit-weights.h"

#include <stdlib.h>
#include <string.h>

typedef struct
{
  DitModel *model;
  SoraKitWeights from;
  int64_t layer; /* -1: of the whole */
} Loader;

int
dit_model_is_fast (const DitConfig *config, DitTensor weight, int64_t layer)
{
  (void)layer;
  if (config->precision != DIT_FAST)
    return 0;
  switch (weight)
    {
    case DIT_SELF_Q_W:
    case DIT_SELF_O_W:
    case DIT_CROSS_Q_W:
    case DIT_CROSS_K_W:
    case DIT_CROSS_O_W:
    case DIT_FF_1_W:
      return config->dim <= SORA_KIT_GEMM_INT8_MAX_K;
    case DIT_FF_2_W:
      return config->ffn_dim <= SORA_KIT_GEMM_INT8_MAX_K;
    default:
      return 0;
    }
}

static uint64_t
layer_bytes (const DitConfig *c, int64_t layer)
{
  const int64_t d = c->dim;
  const struct
  {
    DitTensor weight;
    int64_t n, k;
  } linears[] = { { DIT_SELF_Q_W, 3 * d, d },  { DIT_SELF_O_W, d, d },
                  { DIT_CROSS_Q_W, d, d },     { DIT_CROSS_K_W, 2 * d, d },
                  { DIT_CROSS_O_W, d, d },     { DIT_FF_1_W, c->ffn_dim, d },
                  { DIT_FF_2_W, d, c->ffn_dim } };
  uint64_t bytes = 12 * (uint64_t)d * sizeof (float);
  for (size_t i = 0; i < sizeof linears / sizeof linears[0]; i++)
    bytes += dit_model_is_fast (c, linears[i].weight, layer)
                 ? sora_kit_linear_int8_bytes (linears[i].n, linears[i].k)
                 : sora_kit_linear_bytes (linears[i].n, linears[i].k);
  return bytes;
}

uint64_t
dit_model_bytes (const DitConfig *c)
{
  int64_t d = c->dim, patch = c->patch[0] * c->patch[1] * c->patch[2];
  uint64_t bytes = 0;
  for (int64_t layer = 0; layer < c->layers; layer++)
    bytes += layer_bytes (c, layer);
  return bytes + sora_kit_linear_bytes (d, c->in_channels * patch)
         + sora_kit_linear_bytes (d, c->text_dim) + 2 * sora_kit_linear_bytes (d, d)
         + sora_kit_linear_bytes (d, c->freq_dim) + sora_kit_linear_bytes (6 * d, d)
         + sora_kit_linear_bytes (c->out_channels * patch, d) + 2 * (uint64_t)d * sizeof (float);
}

static int
stopped (const Loader *loader)
{
  return loader->from.team->error[0] != '\0' || sora_kit_team_cancelled (loader->from.team);
}

static float *
load_vector (const Loader *loader, DitTensor tensor)
{
  char name[DIT_NAME_SIZE];
  int64_t shape[DIT_MAX_RANK];
  if (stopped (loader))
    return NULL;
  int ndim = dit_tensor_shape (tensor, &loader->model->config, shape);
  return sora_kit_weights_f32 (&loader->from, dit_tensor_name (tensor, loader->layer, name), ndim,
                               shape);
}

/* One layer of @parts, in its form.  */
static DitLinear
pack_linear (const Loader *loader, SoraKitActivation activation, const SoraKitLinearPart *parts,
             int n, int64_t rows, int64_t columns, int fast)
{
  SoraKitTeam *team = loader->from.team;
  DitLinear linear = { 0 };
  int result = SORA_FAILED;
  if (fast)
    linear.fast = sora_kit_linear_int8_new (rows, columns, activation, team);
  else
    linear.exact = sora_kit_linear_new (loader->model->cache, rows, columns, activation, 1, team);
  if (linear.fast != NULL)
    result = sora_kit_linear_int8_pack (linear.fast, team, parts, n);
  if (linear.exact != NULL)
    result = sora_kit_linear_pack (linear.exact, team, parts, n);
  if (result != SORA_OK)
    dit_linear_clear (&linear);
  return linear;
}

/* One linear layer of the parts whose weights are given; each bias stands after its weight in the
 * table.
 */
static DitLinear
load_linear (const Loader *loader, SoraKitActivation activation, const DitTensor *weights, int n)
{
  char name[DIT_NAME_SIZE];
  int64_t shape[DIT_MAX_RANK], rows = 0, columns = 1;
  SoraKitLinearPart parts[3];
  const DitLinear none = { 0 };
  for (int i = 0; i < n; i++)
    {
      SoraTensorView w, b;
      if (stopped (loader))
        return none;
      int ndim = dit_tensor_shape (weights[i], &loader->model->config, shape);
      if (sora_kit_weights_view (&loader->from, dit_tensor_name (weights[i], loader->layer, name),
                                 ndim, shape, &w)
          != SORA_OK)
        return none;
      columns = 1;
      for (int axis = 1; axis < ndim; axis++)
        columns *= shape[axis];
      if (sora_kit_weights_view (&loader->from,
                                 dit_tensor_name ((DitTensor)(weights[i] + 1), loader->layer, name),
                                 1, shape, &b)
          != SORA_OK)
        return none;
      parts[i] = (SoraKitLinearPart){ w.data, w.dtype, b.dtype, b.data, shape[0] };
      rows += shape[0];
    }
  const DitLinear linear
      = pack_linear (loader, activation, parts, n, rows, columns,
                     loader->layer >= 0
                         && dit_model_is_fast (&loader->model->config, weights[0], loader->layer));
  if (linear.exact == NULL && linear.fast == NULL)
    return none;
  for (int i = 0; i < n; i++)
    {
      sora_kit_weights_done (&loader->from, dit_tensor_name (weights[i], loader->layer, name));
      sora_kit_weights_done (&loader->from,
                             dit_tensor_name ((DitTensor)(weights[i] + 1), loader->layer, name));
    }
  return linear;
}

static DitLinear
load_one (const Loader *loader, SoraKitActivation activation, DitTensor weight)
{
  return load_linear (loader, activation, &weight, 1);
}

static void
load_layer (const Loader *loader, DitLayer *layer)
{
  static const DitTensor qkv[] = { DIT_SELF_Q_W, DIT_SELF_K_W, DIT_SELF_V_W },
                         kv[] = { DIT_CROSS_K_W, DIT_CROSS_V_W };
  layer->table = load_vector (loader, DIT_TABLE);
  layer->qkv = load_linear (loader, SORA_KIT_ACTIVATION_NONE, qkv, 3);
  layer->self_o = load_one (loader, SORA_KIT_ACTIVATION_NONE, DIT_SELF_O_W);
  layer->norm_q = load_vector (loader, DIT_SELF_NORM_Q);
  layer->norm_k = load_vector (loader, DIT_SELF_NORM_K);
  layer->cross_q = load_one (loader, SORA_KIT_ACTIVATION_NONE, DIT_CROSS_Q_W);
  layer->kv = load_linear (loader, SORA_KIT_ACTIVATION_NONE, kv, 2);
  layer->cross_o = load_one (loader, SORA_KIT_ACTIVATION_NONE, DIT_CROSS_O_W);
  layer->cross_norm_q = load_vector (loader, DIT_CROSS_NORM_Q);
  layer->cross_norm_k = load_vector (loader, DIT_CROSS_NORM_K);
  layer->ff_1 = load_one (loader, SORA_KIT_ACTIVATION_GELU_TANH, DIT_FF_1_W);
  layer->ff_2 = load_one (loader, SORA_KIT_ACTIVATION_NONE, DIT_FF_2_W);
  if (loader->model->config.cross_norm)
    {
      layer->norm_2_w = load_vector (loader, DIT_NORM_2_W);
      layer->norm_2_b = load_vector (loader, DIT_NORM_2_B);
    }
}

/* What stands before and after the layers.  */
static void
load_whole (const Loader *loader, DitModel *self)
{
  self->patch = load_one (loader, SORA_KIT_ACTIVATION_NONE, DIT_PATCH_W).exact;
  self->text_1 = load_one (loader, SORA_KIT_ACTIVATION_GELU_TANH, DIT_TEXT_1_W).exact;
  self->text_2 = load_one (loader, SORA_KIT_ACTIVATION_NONE, DIT_TEXT_2_W).exact;
  self->time_1 = load_one (loader, SORA_KIT_ACTIVATION_SILU, DIT_TIME_1_W).exact;
  self->time_2 = load_one (loader, SORA_KIT_ACTIVATION_NONE, DIT_TIME_2_W).exact;
  self->time_proj = load_one (loader, SORA_KIT_ACTIVATION_NONE, DIT_TIME_PROJ_W).exact;
  self->out_table = load_vector (loader, DIT_OUT_TABLE);
  self->out = load_one (loader, SORA_KIT_ACTIVATION_NONE, DIT_OUT_W).exact;
}

int
dit_model_new (const DitConfig *config, SoraKitTeam *team, DitModel **model)
{
  DitModel *self = calloc (1, sizeof *self);
  *model = NULL;
  if (self == NULL || (self->cache = sora_kit_cache_new ()) == NULL
      || (self->layers = calloc ((size_t)config->layers, sizeof *self->layers)) == NULL)
    {
      dit_model_free (self);
      return sora_kit_team_fail (team, "out of memory for a transformer of %lld layers",
                                 (long long)config->layers);
    }
  self->config = *config;
  *model = self;
  return SORA_OK;
}

int
dit_model_load (DitModel *self, const SoraKitWeights *from, int64_t piece)
{
  Loader loader = { self, *from, piece - 1 };
  if (piece > 0)
    load_layer (&loader, &self->layers[piece - 1]);
  else
    load_whole (&loader, self);
  if (from->team->error[0] != '\0')
    return SORA_FAILED;
  return sora_kit_team_cancelled (from->team) ? SORA_CANCELLED : SORA_OK;
}

static void
layer_free (DitLayer *layer)
{
  DitLinear *linears[] = { &layer->qkv,     &layer->self_o, &layer->cross_q, &layer->kv,
                           &layer->cross_o, &layer->ff_1,   &layer->ff_2 };
  float *vectors[] = { layer->table,        layer->norm_q,   layer->norm_k,  layer->cross_norm_q,
                       layer->cross_norm_k, layer->norm_2_w, layer->norm_2_b };
  for (size_t i = 0; i < sizeof linears / sizeof linears[0]; i++)
    dit_linear_clear (linears[i]);
  for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
    sora_kit_free (vectors[i]);
}

void
dit_model_free (DitModel *self)
{
  if (self == NULL)
    return;
  SoraKitLinear *linears[] = { self->patch,  self->text_1,    self->text_2, self->time_1,
                               self->time_2, self->time_proj, self->out };
  for (size_t i = 0; i < sizeof linears / sizeof linears[0]; i++)
    sora_kit_linear_free (linears[i]);
  for (int64_t i = 0; self->layers != NULL && i < self->config.layers; i++)
    layer_free (&self->layers[i]);
  sora_kit_free (self->out_table);
  free (self->layers);
  sora_kit_cache_free (self->cache);
  free (self);
}
