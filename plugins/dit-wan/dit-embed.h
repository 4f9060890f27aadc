/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-embed: what is computed from positions alone: patches, rotary tables, sinusoids of the
 * timestep.
 */
#ifndef DIT_EMBED_H
#define DIT_EMBED_H

#include "dit-config.h"
#include "kit-parallel.h"

/**
 * dit_rope_tables:
 * @config: of the model
 * @geometry: of the job
 * @team: who works
 * @cosines: (out): f32 [tokens, head_dim / 2]
 * @sines: (out): f32 [tokens, head_dim / 2]
 *
 * Angles in f64, rounded to f32 at the end, as the reference does; frequencies 10000^(-2i/n), the
 * head split over time, height and width as n_h = n_w = 2 (head_dim / 6) and n_t the rest.
 *
 * Returns: %SORA_OK or %SORA_CANCELLED
 */
int dit_rope_tables (const DitConfig *config, const DitGeometry *geometry, SoraKitTeam *team,
                     float *cosines, float *sines);

/** dit_sinusoids: writes cos, then sin, of @timestep times 10000^(-i/half) to @out [freq_dim], in
 * f32 as the reference. */
void dit_sinusoids (const DitConfig *config, float timestep, float *out);

/** dit_patches: @latents [C, T, H, W] to rows of patches [tokens, C·pt·ph·pw]; tokens t-major, then
 * h, then w. */
void dit_patches (const DitConfig *config, const DitGeometry *geometry, const float *latents,
                  float *rows);

/** dit_unpatch: rows [tokens, pt·ph·pw·C] to @latents [C, T, H, W]. */
void dit_unpatch (const DitConfig *config, const DitGeometry *geometry, const float *rows,
                  float *latents);

#endif
