/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Hyper-parameters and geometry, range-checked.
 */
#include "dit-config.h"

#include "kit-stage.h"
#include "kit-vae-shape.h"

#include <string.h>

#define TURBO "transformer_turbo"
#define MAX_DIM 65536
#define MAX_TOKENS (INT64_C (1) << 22)

static void
read_transformer (SoraKitConfig *file, DitConfig *config)
{
  const char *class_name = sora_kit_config_string_or (file, "_class_name", "WanTransformer3DModel");
  if (strcmp (class_name, "WanTransformer3DModel") != 0)
    sora_kit_config_fail (file, "is a '%s', expected a WanTransformer3DModel", class_name);
  config->heads = sora_kit_config_i64 (file, "num_attention_heads", 1, 1024);
  config->head_dim = sora_kit_config_i64 (file, "attention_head_dim", 2, DIT_MAX_HEAD_DIM);
  config->layers = sora_kit_config_i64 (file, "num_layers", 1, 512);
  config->ffn_dim = sora_kit_config_i64 (file, "ffn_dim", 1, 4 * MAX_DIM);
  config->text_dim = sora_kit_config_i64 (file, "text_dim", 1, MAX_DIM);
  config->freq_dim = sora_kit_config_i64_or (file, "freq_dim", 2, 8192, 256);
  config->in_channels = sora_kit_config_i64 (file, "in_channels", 1, 1024);
  config->out_channels
      = sora_kit_config_i64_or (file, "out_channels", 1, 1024, config->in_channels);
  (void)sora_kit_config_i64s (file, "patch_size", config->patch, 3, 3, 1, 16);
  config->rope_max = sora_kit_config_i64_or (file, "rope_max_seq_len", 1, 1 << 20, 1024);
  config->cross_norm = sora_kit_config_bool_or (file, "cross_attn_norm", 1);
  config->eps = sora_kit_config_f64_or (file, "eps", 1e-12, 1e-2, 1e-6);
  config->dim = config->heads * config->head_dim;
  if (config->dim > MAX_DIM)
    sora_kit_config_fail (file, "%lld heads of %lld are wider than %d", (long long)config->heads,
                          (long long)config->head_dim, MAX_DIM);
  if (config->head_dim % 2 != 0 || config->freq_dim % 2 != 0)
    sora_kit_config_fail (file,
                          "'attention_head_dim' is %lld and 'freq_dim' %lld, expected even numbers",
                          (long long)config->head_dim, (long long)config->freq_dim);
  const char *norm = sora_kit_config_string_or (file, "qk_norm", "");
  if (strcmp (norm, "rms_norm_across_heads") != 0)
    sora_kit_config_fail (file, "'qk_norm' is '%s', expected 'rms_norm_across_heads'", norm);
  if (sora_kit_config_has (file, "image_dim") || sora_kit_config_has (file, "added_kv_proj_dim")
      || sora_kit_config_has (file, "pos_embed_seq_len"))
    sora_kit_config_fail (
        file, "is an image-to-video transformer; this stage makes video from text alone");
  if (sora_kit_config_error (file) == NULL && config->in_channels != config->out_channels)
    sora_kit_config_fail (
        file, "has %lld channels in and %lld out, expected as many: is it an image-to-video model?",
        (long long)config->in_channels, (long long)config->out_channels);
}

/* The pipeline's file tells what the transformer's does not; single transformers come without it.
 */
static int
read_index (const SoraHost *host, SoraContext *ctx, DitFamily *family, double *boundary)
{
  SoraKitConfig *file;
  int result = sora_kit_config_open (host, ctx, "model_index.json", 0, &file);
  if (result != SORA_OK || file == NULL)
    return result;
  /* FastVideo's checkpoints tell what they are by the pipeline's class alone: their scheduler's
   * file is that of the model they were made from.  lightx2v's tell nothing. */
  if (strcmp (sora_kit_config_string_or (file, "_class_name", ""), "WanDMDPipeline") == 0)
    family->few_step = SORA_KIT_SAMPLER_DMD;
  family->per_token = sora_kit_config_bool_or (file, "expand_timesteps", 0);
  family->has_turbo = sora_kit_config_has (file, TURBO);
  if (sora_kit_config_has (file, "boundary_ratio"))
    {
      *boundary = sora_kit_config_f64_or (file, "boundary_ratio", 0, 1, 0);
      family->n_experts = 2;
    }
  return sora_kit_config_close (host, ctx, file);
}

/* Both experts work on the same sample, tokens and texts.  */
static void
check_alike (SoraKitConfig *file, const DitConfig *first, const DitConfig *second)
{
  const struct
  {
    const char *key;
    int64_t a, b;
  } numbers[] = {
    { "in_channels", first->in_channels, second->in_channels },
    { "text_dim", first->text_dim, second->text_dim },
    { "rope_max_seq_len", first->rope_max, second->rope_max },
    { "patch_size", first->patch[0], second->patch[0] },
    { "patch_size", first->patch[1], second->patch[1] },
    { "patch_size", first->patch[2], second->patch[2] },
  };
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    if (sora_kit_config_error (file) == NULL && numbers[i].a != numbers[i].b)
      sora_kit_config_fail (file, "'%s' is %lld, expected %lld as in %s/config.json",
                            numbers[i].key, (long long)numbers[i].b, (long long)numbers[i].a,
                            first->component);
}

static int
read_expert (const SoraHost *host, SoraContext *ctx, DitFamily *family, int i, int turbo)
{
  static const struct
  {
    const char *component, *file;
  } places[DIT_MAX_EXPERTS + 1] = { { "transformer", "transformer/config.json" },
                                    { "transformer_2", "transformer_2/config.json" },
                                    { TURBO, TURBO "/config.json" } };
  SoraKitConfig *file;
  DitConfig *config = &family->experts[i];
  const int place = turbo ? DIT_MAX_EXPERTS : i;
  int result = sora_kit_config_open (host, ctx, places[place].file, 1, &file);
  if (result != SORA_OK)
    return result;
  config->component = places[place].component;
  read_transformer (file, config);
  if (i > 0)
    check_alike (file, &family->experts[0], config);
  /* The reference counts tokens by twos, whatever the patch.  */
  if (family->per_token && sora_kit_config_error (file) == NULL
      && (config->patch[0] != 1 || config->patch[1] != 2 || config->patch[2] != 2))
    sora_kit_config_fail (file,
                          "'patch_size' is [%lld, %lld, %lld], expected [1, 2, 2] where "
                          "model_index.json has 'expand_timesteps'",
                          (long long)config->patch[0], (long long)config->patch[1],
                          (long long)config->patch[2]);
  return sora_kit_config_close (host, ctx, file);
}

int
dit_family_read (const SoraHost *host, SoraContext *ctx, int turbo, DitFamily *family,
                 SoraKitSamplerConfig *sampler)
{
  SoraKitConfig *file = NULL;
  double boundary = 0;
  memset (family, 0, sizeof *family);
  family->n_experts = 1;
  int result = read_index (host, ctx, family, &boundary);
  turbo = turbo && family->has_turbo;
  if (turbo)
    family->n_experts = 1; /* one network makes all of the few steps */
  for (int i = 0; i < family->n_experts && result == SORA_OK; i++)
    result = read_expert (host, ctx, family, i, turbo);
  if (result == SORA_OK)
    result = sora_kit_config_open (host, ctx,
                                   turbo ? "scheduler_turbo/scheduler_config.json"
                                         : "scheduler/scheduler_config.json",
                                   1, &file);
  if (result != SORA_OK)
    return result;
  sora_kit_sampler_config_read (file, sampler);
  if (sora_kit_sampler_kind_is_few (sampler->kind))
    family->few_step = sampler->kind;
  if (sampler->num_train_timesteps > DIT_MAX_TIMESTEP)
    sora_kit_config_fail (file, "num_train_timesteps is %lld, expected at most %d",
                          (long long)sampler->num_train_timesteps, DIT_MAX_TIMESTEP);
  family->boundary = (float)(boundary * (double)sampler->num_train_timesteps);
  return sora_kit_config_close (host, ctx, file);
}

/* How many pixels and frames one latent stands for; a transformer without its VAE is taken for Wan
 * 2.1's.  */
static int
read_factors (const SoraHost *host, SoraContext *ctx, int64_t *spatial, int64_t *temporal)
{
  SoraKitConfig *file;
  SoraKitVaeShape shape;
  *spatial = 8;
  *temporal = 4;
  int result = sora_kit_config_open (host, ctx, "vae/config.json", 0, &file);
  if (result != SORA_OK || file == NULL)
    return result;
  sora_kit_vae_shape_read (file, &shape);
  *spatial = shape.spatial;
  *temporal = shape.temporal;
  return sora_kit_config_close (host, ctx, file);
}

static int
check_multiple (const SoraHost *host, SoraContext *ctx, const char *name, int64_t value,
                int64_t multiple)
{
  if (value % multiple == 0)
    return SORA_OK;
  int64_t below = value / multiple * multiple;
  if (below == 0)
    return host->fail (
        ctx, "%s is %lld px, expected a multiple of %lld for this model: %lld is the smallest",
        name, (long long)value, (long long)multiple, (long long)multiple);
  return host->fail (ctx, "%s is %lld px, expected a multiple of %lld for this model: %lld or %lld",
                     name, (long long)value, (long long)multiple, (long long)below,
                     (long long)(below + multiple));
}

static int
geometry_of_params (const SoraHost *host, SoraContext *ctx, const DitConfig *config,
                    DitGeometry *geometry)
{
  int64_t width, height, spatial, temporal;
  if (host->param_i64 (ctx, "width", &width) != SORA_OK
      || host->param_i64 (ctx, "height", &height) != SORA_OK
      || host->param_i64 (ctx, "frames", &geometry->frames) != SORA_OK)
    return host->fail (ctx, "a parameter of dit-wan is not known to the host");
  int result = read_factors (host, ctx, &spatial, &temporal);
  if (result != SORA_OK)
    return result;
  if (check_multiple (host, ctx, "width", width, spatial * config->patch[2]) != SORA_OK
      || check_multiple (host, ctx, "height", height, spatial * config->patch[1]) != SORA_OK)
    return SORA_FAILED;
  geometry->latent[0] = config->in_channels;
  geometry->latent[1] = (geometry->frames - 1 + temporal - 1) / temporal + 1;
  geometry->latent[2] = height / spatial;
  geometry->latent[3] = width / spatial;
  geometry->frames_made = (geometry->latent[1] - 1) * temporal + 1;
  return SORA_OK;
}

static int
geometry_of_input (const SoraHost *host, SoraContext *ctx, const DitConfig *config,
                   const SoraSpec *spec, DitGeometry *geometry)
{
  if (spec->dtype != SORA_F32 || spec->ndim != 4)
    return host->fail (ctx, "input 'latents' has rank %d, expected f32 [C, T, H, W]", spec->ndim);
  if (spec->shape[0] != config->in_channels)
    return host->fail (ctx, "input 'latents' has %lld channels, expected %lld",
                       (long long)spec->shape[0], (long long)config->in_channels);
  for (int i = 1; i < 4; i++)
    if (spec->shape[i] < 1 || spec->shape[i] > MAX_TOKENS)
      return host->fail (ctx, "input 'latents' has an extent of %lld at axis %d",
                         (long long)spec->shape[i], i);
  memcpy (geometry->latent, spec->shape, sizeof geometry->latent);
  return SORA_OK;
}

int
dit_geometry_read (const SoraHost *host, SoraContext *ctx, const DitConfig *config,
                   DitGeometry *geometry)
{
  SoraSpec spec = { .struct_size = sizeof spec };
  memset (geometry, 0, sizeof *geometry);
  int result = host->input_spec (ctx, "latents", &spec) == SORA_OK
                   ? geometry_of_input (host, ctx, config, &spec, geometry)
                   : geometry_of_params (host, ctx, config, geometry);
  if (result != SORA_OK)
    return result;
  static const char *const axes[] = { "frames", "height", "width" };
  geometry->tokens = 1;
  for (int i = 0; i < 3; i++)
    {
      if (geometry->latent[i + 1] % config->patch[i] != 0)
        return host->fail (ctx, "latents have %lld in %s, expected a multiple of the patch, %lld",
                           (long long)geometry->latent[i + 1], axes[i],
                           (long long)config->patch[i]);
      geometry->grid[i] = geometry->latent[i + 1] / config->patch[i];
      if (geometry->grid[i] > config->rope_max)
        return host->fail (ctx, "latents have %lld patches in %s, the model takes at most %lld",
                           (long long)geometry->grid[i], axes[i], (long long)config->rope_max);
      geometry->tokens *= geometry->grid[i];
      if (geometry->tokens > MAX_TOKENS)
        return host->fail (ctx, "the clip has more than %lld tokens: make it smaller or shorter",
                           (long long)MAX_TOKENS);
    }
  return SORA_OK;
}
