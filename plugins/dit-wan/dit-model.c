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
} Loader;

/* A linear layer of some tensors: each bias stands after its weight in the table of tensors.  */
typedef struct
{
  size_t at; /* in DitLayer a DitLinear, in DitModel a SoraKitLinear pointer */
  SoraKitActivation activation;
  int n;
  DitTensor weights[3];
} Linear;

typedef struct
{
  size_t at;
  DitTensor tensor;
} Vector;

#define OF_LAYER(name) offsetof (DitLayer, name)
#define OF_MODEL(name) offsetof (DitModel, name)

/* What a block has, in the order in which it is packed.  */
static const Linear layer_linears[] = {
  { OF_LAYER (qkv), SORA_KIT_ACTIVATION_NONE, 3, { DIT_SELF_Q_W, DIT_SELF_K_W, DIT_SELF_V_W } },
  { OF_LAYER (self_o), SORA_KIT_ACTIVATION_NONE, 1, { DIT_SELF_O_W } },
  { OF_LAYER (cross_q), SORA_KIT_ACTIVATION_NONE, 1, { DIT_CROSS_Q_W } },
  { OF_LAYER (kv), SORA_KIT_ACTIVATION_NONE, 2, { DIT_CROSS_K_W, DIT_CROSS_V_W } },
  { OF_LAYER (cross_o), SORA_KIT_ACTIVATION_NONE, 1, { DIT_CROSS_O_W } },
  { OF_LAYER (ff_1), SORA_KIT_ACTIVATION_GELU_TANH, 1, { DIT_FF_1_W } },
  { OF_LAYER (ff_2), SORA_KIT_ACTIVATION_NONE, 1, { DIT_FF_2_W } },
};
/* The last two only with cross_norm.  */
static const Vector layer_vectors[] = {
  { OF_LAYER (table), DIT_TABLE },
  { OF_LAYER (norm_q), DIT_SELF_NORM_Q },
  { OF_LAYER (norm_k), DIT_SELF_NORM_K },
  { OF_LAYER (cross_norm_q), DIT_CROSS_NORM_Q },
  { OF_LAYER (cross_norm_k), DIT_CROSS_NORM_K },
  { OF_LAYER (norm_2_w), DIT_NORM_2_W },
  { OF_LAYER (norm_2_b), DIT_NORM_2_B },
};
/* What stands before and after the blocks: all in f32.  */
static const Linear model_linears[] = {
  { OF_MODEL (patch), SORA_KIT_ACTIVATION_NONE, 1, { DIT_PATCH_W } },
  { OF_MODEL (text_1), SORA_KIT_ACTIVATION_GELU_TANH, 1, { DIT_TEXT_1_W } },
  { OF_MODEL (text_2), SORA_KIT_ACTIVATION_NONE, 1, { DIT_TEXT_2_W } },
  { OF_MODEL (time_1), SORA_KIT_ACTIVATION_SILU, 1, { DIT_TIME_1_W } },
  { OF_MODEL (time_2), SORA_KIT_ACTIVATION_NONE, 1, { DIT_TIME_2_W } },
  { OF_MODEL (time_proj), SORA_KIT_ACTIVATION_NONE, 1, { DIT_TIME_PROJ_W } },
  { OF_MODEL (out), SORA_KIT_ACTIVATION_NONE, 1, { DIT_OUT_W } },
};
static const Vector model_vectors[] = { { OF_MODEL (out_table), DIT_OUT_TABLE } };

/* One block, or (layer -1) what is around them.  */
typedef struct
{
  char *at;
  int64_t layer;
  const Linear *linears;
  const Vector *vectors;
  size_t n_linears, n_vectors;
} Piece;

static Piece
piece_of (DitModel *self, int64_t layer)
{
  const size_t norms = self->config.cross_norm ? 0 : 2;
  if (layer < 0)
    return (Piece){ (char *)self,
                    -1,
                    model_linears,
                    model_vectors,
                    sizeof model_linears / sizeof *model_linears,
                    sizeof model_vectors / sizeof *model_vectors };
  return (Piece){ (char *)&self->layers[layer],
                  layer,
                  layer_linears,
                  layer_vectors,
                  sizeof layer_linears / sizeof *layer_linears,
                  sizeof layer_vectors / sizeof *layer_vectors - norms };
}

static DitLinear
get_linear (const Piece *piece, const Linear *linear)
{
  if (piece->layer >= 0)
    return *(const DitLinear *)(const void *)(piece->at + linear->at);
  return (DitLinear){ .exact = *(SoraKitLinear *const *)(const void *)(piece->at + linear->at) };
}

static float **
vector_place (const Piece *piece, const Vector *vector)
{
  return (float **)(void *)(piece->at + vector->at);
}

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

/* ---- making, without weights */

/* Output and input features.  */
static void
linear_shape (const DitConfig *config, const Linear *linear, int64_t *rows, int64_t *columns)
{
  int64_t shape[DIT_MAX_RANK];
  *rows = 0;
  *columns = 1;
  for (int i = 0; i < linear->n; i++)
    {
      const int ndim = dit_tensor_shape (linear->weights[i], config, shape);
      *rows += shape[0];
      for (int axis = 1; i == 0 && axis < ndim; axis++)
        *columns *= shape[axis];
    }
}

static int
make_linear (DitModel *self, const Piece *piece, const Linear *linear, SoraKitTeam *team)
{
  int64_t rows, columns;
  DitLinear made = { 0 };
  linear_shape (&self->config, linear, &rows, &columns);
  if (piece->layer >= 0 && dit_model_is_fast (&self->config, linear->weights[0], piece->layer))
    made.fast = sora_kit_linear_int8_new (rows, columns, linear->activation, team);
  else
    made.exact = sora_kit_linear_new (self->cache, rows, columns, linear->activation, 1, team);
  if (piece->layer >= 0)
    *(DitLinear *)(void *)(piece->at + linear->at) = made;
  else
    *(SoraKitLinear **)(void *)(piece->at + linear->at) = made.exact;
  return made.fast != NULL || made.exact != NULL ? SORA_OK : SORA_FAILED;
}

static uint64_t
vector_values (const DitConfig *config, const Vector *vector)
{
  int64_t shape[DIT_MAX_RANK];
  uint64_t values = 1;
  for (int i = dit_tensor_shape (vector->tensor, config, shape); i > 0; i--)
    values *= (uint64_t)shape[i - 1];
  return values;
}

static void
place_all (DitModel *self, SoraKitPacked *packed)
{
  for (int64_t layer = -1; layer < self->config.layers; layer++)
    {
      const Piece piece = piece_of (self, layer);
      for (size_t i = 0; i < piece.n_linears; i++)
        {
          DitLinear linear = get_linear (&piece, &piece.linears[i]);
          void *place = sora_kit_packed_take (packed, dit_linear_bytes (&linear));
          if (place != NULL)
            dit_linear_place (&linear, place);
        }
      for (size_t i = 0; i < piece.n_vectors; i++)
        {
          const uint64_t values = vector_values (&self->config, &piece.vectors[i]);
          void *place = sora_kit_packed_take (packed, values * sizeof (float));
          if (place != NULL)
            *vector_place (&piece, &piece.vectors[i]) = place;
        }
    }
}

void
dit_model_place (DitModel *self, const SoraKitPacked *packed)
{
  self->packed = *packed;
  place_all (self, &self->packed);
}

uint64_t
dit_model_size (DitModel *self)
{
  SoraKitPacked count = { 0 };
  place_all (self, &count);
  return count.at;
}

int
dit_model_layout (DitModel *self, SoraKitTeam *team, uint64_t *sum)
{
  *sum = UINT64_C (0xcbf29ce484222325); /* where FNV-1a begins */
  for (int64_t layer = -1; layer < self->config.layers; layer++)
    {
      const Piece piece = piece_of (self, layer);
      for (size_t i = 0; i < piece.n_linears; i++)
        {
          const DitLinear linear = get_linear (&piece, &piece.linears[i]);
          if (linear.exact != NULL && sora_kit_linear_layout (linear.exact, team, sum) != SORA_OK)
            return SORA_FAILED;
        }
    }
  return SORA_OK;
}

/* ---- packing */

static int
pack_linear (const Loader *loader, const Piece *piece, const Linear *linear)
{
  const DitLinear packed = get_linear (piece, linear);
  char name[DIT_NAME_SIZE];
  int64_t shape[DIT_MAX_RANK];
  SoraKitLinearPart parts[3];
  for (int i = 0; i < linear->n; i++)
    {
      SoraTensorView w, b;
      const DitTensor weight = linear->weights[i], bias = (DitTensor)(weight + 1);
      const int ndim = dit_tensor_shape (weight, &loader->model->config, shape);
      if (sora_kit_weights_view (&loader->from, dit_tensor_name (weight, piece->layer, name), ndim,
                                 shape, &w)
              != SORA_OK
          || sora_kit_weights_view (&loader->from, dit_tensor_name (bias, piece->layer, name), 1,
                                    shape, &b)
                 != SORA_OK)
        return SORA_FAILED;
      parts[i] = (SoraKitLinearPart){ w.data, w.dtype, b.dtype, b.data, shape[0] };
    }
  int result = packed.fast != NULL
                   ? sora_kit_linear_int8_pack (packed.fast, loader->from.team, parts, linear->n)
                   : sora_kit_linear_pack (packed.exact, loader->from.team, parts, linear->n);
  for (int i = 0; i < linear->n; i++)
    for (int bias = 0; bias < 2; bias++)
      sora_kit_weights_done (&loader->from, dit_tensor_name ((DitTensor)(linear->weights[i] + bias),
                                                             piece->layer, name));
  return result;
}

static int
pack_vector (const Loader *loader, const Piece *piece, const Vector *vector)
{
  float **place = vector_place (piece, vector);
  char name[DIT_NAME_SIZE];
  int64_t shape[DIT_MAX_RANK];
  const int ndim = dit_tensor_shape (vector->tensor, &loader->model->config, shape);
  (void)dit_tensor_name (vector->tensor, piece->layer, name);
  if (*place != NULL)
    return sora_kit_weights_read (&loader->from, name, ndim, shape, *place);
  *place = sora_kit_weights_f32 (&loader->from, name, ndim, shape);
  return *place != NULL ? SORA_OK : SORA_FAILED;
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
  for (int64_t layer = -1; layer < config->layers; layer++)
    {
      const Piece piece = piece_of (self, layer);
      for (size_t i = 0; i < piece.n_linears; i++)
        if (make_linear (self, &piece, &piece.linears[i], team) != SORA_OK)
          {
            dit_model_free (self);
            return SORA_FAILED;
          }
    }
  *model = self;
  return SORA_OK;
}

int
dit_model_load (DitModel *self, const SoraKitWeights *from, int64_t number)
{
  const Loader loader = { self, *from };
  const Piece piece = piece_of (self, number - 1);
  int result = SORA_OK;
  for (size_t i = 0; i < piece.n_linears + piece.n_vectors && result == SORA_OK; i++)
    if (sora_kit_team_cancelled (from->team))
      result = SORA_CANCELLED;
    else if (i < piece.n_linears)
      result = pack_linear (&loader, &piece, &piece.linears[i]);
    else
      result = pack_vector (&loader, &piece, &piece.vectors[i - piece.n_linears]);
  return result;
}

static void
piece_free (DitModel *self, int64_t layer)
{
  const Piece piece = piece_of (self, layer);
  for (size_t i = 0; i < piece.n_linears; i++)
    {
      DitLinear linear = get_linear (&piece, &piece.linears[i]);
      dit_linear_clear (&linear);
    }
  for (size_t i = 0; i < piece.n_vectors && self->packed.base == NULL; i++)
    sora_kit_free (*vector_place (&piece, &piece.vectors[i]));
}

void
dit_model_free (DitModel *self)
{
  if (self == NULL)
    return;
  for (int64_t layer = -1; self->layers != NULL && layer < self->config.layers; layer++)
    piece_free (self, layer);
  sora_kit_packed_close (&self->packed);
  free (self->layers);
  sora_kit_cache_free (self->cache);
  free (self);
}
