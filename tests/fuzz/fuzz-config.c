/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the configuration files of a model's parts, as the stages read them.  The first byte
 * says which file the rest is.  What is accepted lies within what the stages may allocate by.
 */
#include "config.h"
#include <math.h>
#include <string.h>
#include "arena.h"
#include "mutate.h"
#include "plugins/dit-wan/dit-config.h"
#include "plugins/kit/kit-sampler.h"
#include "plugins/text-umt5/umt5-config.h"
#include "plugins/vae-wan/vae-config.h"

/* ---- the VAE's */

static void
try_vae (const uint8_t *data, size_t size)
{
  SoraKitConfig *file = sora_kit_config_new (data, size, "vae/config.json");
  SoraVaeConfig c;
  sora_vae_config_read (file, &c);
  if (sora_kit_config_error (file) == NULL)
    {
      MUST (c.n_blocks >= 1 && c.n_blocks <= SORA_VAE_MAX_LEVELS);
      MUST (c.z_dim >= 1 && c.z_dim <= SORA_VAE_MAX_Z);
      MUST (c.n_resnets >= 1 && c.n_resnets <= SORA_VAE_MAX_RES_BLOCKS + 1);
      MUST (c.spatial >= 1 && c.temporal >= 1 && (c.temporal & (c.temporal - 1)) == 0);
      for (int i = 0; i <= c.n_blocks; i++)
        MUST (c.dims[i] >= 1 && c.dims[i] <= 8192);
      for (int i = 0; i < c.z_dim; i++)
        MUST (isfinite (c.mean[i]) && c.std[i] > 0);
      sora_vae_config_read_encoder (file, &c);
    }
  if (sora_kit_config_error (file) == NULL)
    for (int i = 0; i <= c.n_blocks; i++)
      MUST (c.down_dims[i] >= 1 && c.down_dims[i] <= 8192);
  sora_kit_config_free (file);
}

/* ---- the text encoder's */

static void
try_text (const uint8_t *data, size_t size)
{
  SoraKitConfig *file = sora_kit_config_new (data, size, "text_encoder/config.json");
  SoraUmt5Config c;
  sora_umt5_config_read (file, &c);
  if (sora_kit_config_error (file) == NULL)
    {
      MUST (c.vocab_size >= 4 && c.d_model >= 1 && c.d_kv >= 1 && c.d_ff >= 1);
      MUST (c.num_layers >= 1 && c.num_layers <= 256 && c.num_heads >= 1 && c.eps > 0);
      MUST (c.num_buckets % 4 == 0 && c.max_distance > c.num_buckets / 4);
    }
  sora_kit_config_free (file);
}

/* ---- the transformer's, the scheduler's and the pipeline's, which are read together */

typedef struct
{
  const char *name, *text;
} Good;

#define TRANSFORMER                                                                                \
  "{\"_class_name\":\"WanTransformer3DModel\",\"attention_head_dim\":128,"                         \
  "\"num_attention_heads\":12,\"num_layers\":30,\"ffn_dim\":8960,\"text_dim\":4096,"               \
  "\"freq_dim\":256,\"in_channels\":16,\"out_channels\":16,\"patch_size\":[1,2,2],"                \
  "\"qk_norm\":\"rms_norm_across_heads\"}"

static const Good good[] = {
  { "model_index.json", "{\"_class_name\":\"WanPipeline\",\"boundary_ratio\":0.875}" },
  { "transformer/config.json", TRANSFORMER },
  { "transformer_2/config.json", TRANSFORMER },
  { "scheduler/scheduler_config.json",
    "{\"_class_name\":\"UniPCMultistepScheduler\",\"use_flow_sigmas\":true,"
    "\"prediction_type\":\"flow_prediction\",\"flow_shift\":3.0}" },
  { "vae/config.json", "{\"_class_name\":\"AutoencoderKLWan\"}" },
};

static struct
{
  const char *name; /* the file that is tried; the others are good */
  const uint8_t *data;
  size_t size;
  gboolean failed;
} tried;

static int
host_fail (SoraContext *ctx, const char *format, ...)
{
  char text[1024];
  va_list args;
  va_start (args, format);
  (void)g_vsnprintf (text, sizeof text, format, args);
  va_end (args);
  MUST (text[0] != '\0');
  tried.failed = TRUE;
  return SORA_FAILED;
}

static int
host_model_file (SoraContext *ctx, const char *slot, const char *name, const void **data,
                 size_t *size)
{
  if (strcmp (name, tried.name) == 0)
    {
      *data = tried.data;
      *size = tried.size;
      return SORA_OK;
    }
  /* The pipeline's file may be missing: one to read less, where no second transformer is tried. */
  gsize first = strcmp (tried.name, "transformer_2/config.json") == 0 ? 0 : 1;
  for (gsize i = first; i < G_N_ELEMENTS (good); i++)
    if (strcmp (name, good[i].name) == 0)
      {
        *data = good[i].text;
        *size = strlen (good[i].text);
        return SORA_OK;
      }
  return SORA_NOT_FOUND;
}

static int
host_input_spec (SoraContext *ctx, const char *port, SoraSpec *spec)
{
  return SORA_NOT_FOUND;
}

static int
host_param_i64 (SoraContext *ctx, const char *name, int64_t *value)
{
  *value = strcmp (name, "frames") == 0 ? 17 : strcmp (name, "width") == 0 ? 832 : 480;
  return SORA_OK;
}

static const SoraHost host = { .struct_size = sizeof host,
                               .fail = host_fail,
                               .model_file = host_model_file,
                               .input_spec = host_input_spec,
                               .param_i64 = host_param_i64 };

static void
must_be_transformer (const DitConfig *c)
{
  MUST (c->component != NULL && c->heads >= 1 && c->layers >= 1 && c->ffn_dim >= 1);
  MUST (c->head_dim >= 2 && c->head_dim <= DIT_MAX_HEAD_DIM && c->head_dim % 2 == 0);
  MUST (c->dim == c->heads * c->head_dim && c->freq_dim % 2 == 0 && c->eps > 0);
  MUST (c->in_channels == c->out_channels && c->in_channels >= 1);
  for (int i = 0; i < 3; i++)
    MUST (c->patch[i] >= 1 && c->patch[i] <= 16);
}

static void
try_family (const char *name, const uint8_t *data, size_t size)
{
  DitFamily family;
  SoraKitSamplerConfig sampler;
  DitGeometry geometry;
  tried.name = name;
  tried.data = data;
  tried.size = size;
  tried.failed = FALSE;
  int r = dit_family_read (&host, NULL, (int)(size % 2), &family, &sampler);
  MUST ((r == SORA_OK) != tried.failed);
  if (r != SORA_OK)
    return;
  MUST (family.n_experts >= 1 && family.n_experts <= DIT_MAX_EXPERTS);
  for (int i = 0; i < family.n_experts; i++)
    must_be_transformer (&family.experts[i]);
  MUST (sampler.kind != 0 && sampler.num_train_timesteps >= 2);
  MUST (sampler.num_train_timesteps <= DIT_MAX_TIMESTEP && sampler.flow_shift > 0);
  MUST (family.boundary >= 0 && family.boundary <= (float)sampler.num_train_timesteps);
  r = dit_geometry_read (&host, NULL, &family.experts[0], &geometry);
  MUST ((r == SORA_OK) != tried.failed);
  if (r == SORA_OK)
    MUST (geometry.tokens >= 1 && geometry.frames_made >= geometry.frames
          && dit_latent_count (&geometry) > 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  /* Of exactly its size, so that a read past the end is seen. */
  g_autofree uint8_t *text = g_memdup2 (data + 1, size - 1);
  fuzz_arena_begin ();
  unsigned which = data[0] % (G_N_ELEMENTS (good) + 2);
  if (which == G_N_ELEMENTS (good))
    try_vae (text, size - 1);
  else if (which > G_N_ELEMENTS (good))
    try_text (text, size - 1);
  else
    try_family (good[which].name, text, size - 1);
  fuzz_arena_end ();
  return 0;
}

/* ---- mutation */

static const char *const words[] = { "_class_name",
                                     "WanTransformer3DModel",
                                     "WanPipeline",
                                     "WanDMDPipeline",
                                     "AutoencoderKLWan",
                                     "UniPCMultistepScheduler",
                                     "FlowMatchEulerDiscreteScheduler",
                                     "DPMSolverMultistepScheduler",
                                     "attention_head_dim",
                                     "num_attention_heads",
                                     "num_layers",
                                     "ffn_dim",
                                     "text_dim",
                                     "freq_dim",
                                     "in_channels",
                                     "out_channels",
                                     "patch_size",
                                     "rope_max_seq_len",
                                     "cross_attn_norm",
                                     "eps",
                                     "qk_norm",
                                     "rms_norm_across_heads",
                                     "image_dim",
                                     "added_kv_proj_dim",
                                     "boundary_ratio",
                                     "expand_timesteps",
                                     "num_train_timesteps",
                                     "prediction_type",
                                     "flow_prediction",
                                     "sample",
                                     "flow_shift",
                                     "shift",
                                     "solver_order",
                                     "solver_type",
                                     "bh1",
                                     "bh2",
                                     "midpoint",
                                     "heun",
                                     "predict_x0",
                                     "lower_order_final",
                                     "use_flow_sigmas",
                                     "final_sigmas_type",
                                     "sigma_min",
                                     "zero",
                                     "algorithm_type",
                                     "dpmsolver++",
                                     "lambda_min_clipped",
                                     "thresholding",
                                     "use_karras_sigmas",
                                     "base_dim",
                                     "decoder_base_dim",
                                     "z_dim",
                                     "num_res_blocks",
                                     "dim_mult",
                                     "temperal_downsample",
                                     "attn_scales",
                                     "latents_mean",
                                     "latents_std",
                                     "is_residual",
                                     "scale_factor_spatial",
                                     "scale_factor_temporal",
                                     "model_type",
                                     "umt5",
                                     "feed_forward_proj",
                                     "gated-gelu",
                                     "vocab_size",
                                     "d_model",
                                     "d_kv",
                                     "d_ff",
                                     "num_heads",
                                     "relative_attention_num_buckets",
                                     "relative_attention_max_distance",
                                     "layer_norm_epsilon",
                                     NULL };

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  Mutation m = mutation_begin (data, size, max_size, seed);
  if (size < 2 || mutation_random (&m, 10) == 0)
    return LLVMFuzzerMutate (data, size, max_size);
  Mutation json = { data + 1, size - 1, max_size - 1, m.state };
  mutation_json (&json, words);
  return json.size + 1;
}
