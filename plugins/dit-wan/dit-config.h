/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-config: the hyper-parameters of a Wan transformer, and the geometry of one job.  All numbers
 * are checked here, before anything is allocated by them.
 */
#ifndef DIT_CONFIG_H
#define DIT_CONFIG_H

#include "kit-sampler.h"
#include "sora-plugin.h"

/* Widest head. */
#define DIT_MAX_HEAD_DIM 1024
/* Larger angles of the sinusoids would lose digits; all known models have 1000. */
#define DIT_MAX_TIMESTEP 10000

/* Transformers of one model: Wan 2.2 A14B has one for strong and one for weak noise. */
#define DIT_MAX_EXPERTS 2

/* How the layers of the blocks compute; all else is f32 in both. */
typedef enum
{
  DIT_EXACT, /* f32 */
  DIT_FAST,  /* products in 8 bits */
} DitPrecision;

/* transformer/config.json, by diffusers' names. */
typedef struct
{
  const char *component; /* whose file it is: "transformer", "transformer_2", "transformer_turbo" */
  int64_t layers, heads, head_dim, dim; /* dim = heads · head_dim */
  int64_t ffn_dim, text_dim, freq_dim;
  int64_t in_channels, out_channels;
  int64_t patch[3]; /* t, h, w */
  int64_t rope_max;
  int cross_norm; /* norm2 has weights, else there is none */
  double eps;
  DitPrecision precision; /* not the file's: the job's */
} DitConfig;

/* What the model's files say of all its transformers. */
typedef struct
{
  DitConfig experts[DIT_MAX_EXPERTS]; /* they differ in depth, width and heads at most */
  int n_experts;
  float boundary; /* with two: timesteps from here on up are the first one's */
  int per_token;  /* a timestep for each token: expand_timesteps, as in Wan 2.2 TI2V-5B */
  int few_step;   /* SoraKitSamplerKind of the few-step rule that the files name; 0: none */
  int has_turbo;  /* beside the others there is a transformer_turbo, distilled to a few steps */
} DitFamily;

/* What one job computes. */
typedef struct
{
  int64_t latent[4];       /* C, T, H, W */
  int64_t grid[3], tokens; /* in patches */
  int64_t frames;          /* asked for; 0: latents were given */
  int64_t frames_made;     /* by this many latent frames */
} DitGeometry;

/** dit_latent_count: Returns: how many values the latents have. */
static inline size_t
dit_latent_count (const DitGeometry *geometry)
{
  const int64_t *shape = geometry->latent;
  return (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
}

/** dit_family_expert: Returns: which transformer makes the step at @timestep. */
static inline int
dit_family_expert (const DitFamily *family, float timestep)
{
  return family->n_experts > 1 && timestep < family->boundary;
}

/**
 * dit_family_read:
 * @host: the host
 * @ctx: infer or run
 * @turbo: whether to take the model's distilled form, where it has one beside the other
 * @family: (out): what the model's files say
 * @sampler: (out): what its scheduler's file says
 *
 * Reads `transformer/config.json`, `scheduler/scheduler_config.json` and `model_index.json` of the
 * slot `model`, and `transformer_2/config.json` if the index has a `boundary_ratio`.  With @turbo,
 * and if the index names a `transformer_turbo`: the config of that and
 * `scheduler_turbo/scheduler_config.json` instead.  Image-to-video checkpoints are refused with
 * what they are.
 *
 * Returns: %SORA_OK, or another result, told to the host
 */
int dit_family_read (const SoraHost *host, SoraContext *ctx, int turbo, DitFamily *family,
                     SoraKitSamplerConfig *sampler);

/**
 * dit_geometry_read:
 * @host: the host
 * @ctx: infer or run
 * @config: of the model
 * @geometry: (out): from the port `latents` if it is connected, else from width, height and frames
 *
 * Returns: %SORA_OK, or another result, told to the host
 */
int dit_geometry_read (const SoraHost *host, SoraContext *ctx, const DitConfig *config,
                       DitGeometry *geometry);

#endif
