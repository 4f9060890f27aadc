/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-tiled.c: what runs with tiles have in common: parameters and progress.
 */
#include "vae-tiled.h"

#include <string.h>

static const char *const modes[] = {
  [SORA_VAE_TILING_AUTO] = "auto",
  [SORA_VAE_TILING_NONE] = "none",
  [SORA_VAE_TILING_EXACT] = "exact",
  [SORA_VAE_TILING_BLEND] = "blend",
  NULL,
};

const SoraParam sora_vae_tiling_param = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_ENUM,
  .name = "tiling",
  .help = "Pictures in tiles, each through all of the clip: auto: where memory asks for it; none: "
          "never; exact: always, with the same bytes as none; blend: with soft seams, faster where "
          "tiles are small, but not the same picture",
  .str_default = "auto",
  .choices = modes,
};

const SoraParam sora_vae_tile_param = {
  .struct_size = sizeof (SoraParam),
  .type = SORA_PARAM_I64,
  .name = "tile",
  .unit = "px",
  .help = "Side of a tile at most, where there are tiles; 0: as large as memory allows",
  .i64_default = 0,
  .i64_min = 0,
  .i64_max = 16384,
};

int
sora_vae_clip_read (const SoraHost *host, SoraContext *ctx, const SoraVaeConfig *config,
                    SoraVaeClip *clip)
{
  const char *mode;
  uint64_t limit = UINT64_MAX;
  int r = host->param_string (ctx, "tiling", &mode);
  if (r == SORA_OK)
    r = host->param_i64 (ctx, "tile", &clip->tile);
  if (r != SORA_OK)
    return r == SORA_NOT_FOUND ? host->fail (ctx, "the host does not know the parameters of tiles")
                               : r;
  if (SORA_HOST_HAS (host, memory_limit))
    r = host->memory_limit (ctx, &limit);
  for (int i = 0; modes[i] != NULL; i++)
    if (strcmp (mode, modes[i]) == 0)
      clip->mode = (SoraVaeTilingMode)i;
  clip->limit = limit - limit / 8;
  const int must = clip->mode == SORA_VAE_TILING_EXACT || clip->mode == SORA_VAE_TILING_BLEND;
  if (r == SORA_OK && must && clip->half == SORA_VAE_ENCODER && config->down_attention[0])
    return host->fail (ctx,
                       "parameter 'tiling' is '%s', but by 'attn_scales' of vae/config.json the "
                       "encoder's first level sees whole pictures: expected auto or none",
                       mode);
  return r;
}

uint32_t
sora_vae_tiled_steps (const SoraVaeClip *clip, const SoraVaeTiling *tiling)
{
  return (uint32_t)(clip->t * (1 + tiling->rows * tiling->columns));
}

void
sora_vae_tiled_progress (const SoraVaeTiledRun *run, int64_t step)
{
  const SoraVaeTiling *tiling = run->tiling;
  const int64_t t = run->clip->t, tiles = tiling->rows * tiling->columns;
  const double whole = tiling->whole_flops / tiling->flops, in_tiles = 1 - whole;
  const int64_t before = run->clip->half == SORA_VAE_DECODER ? t : tiles * t;
  const double first = run->clip->half == SORA_VAE_DECODER ? whole : in_tiles;
  const int64_t behind = t * (1 + tiles) - before;
  const double done = step <= before
                          ? first * (double)step / (double)before
                          : first + (1 - first) * (double)(step - before) / (double)behind;
  run->host->progress (run->ctx, done < 1 ? done : 1, (uint32_t)step,
                       sora_vae_tiled_steps (run->clip, tiling));
}
