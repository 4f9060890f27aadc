/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-reach.c: see vae-reach.h.
 */
#include "vae-reach.h"

#include <string.h>

/* Of one side of kit-conv's Winograd tiles. */
#define BLOCK 4

static int
begins_with (const char *name, const char *prefix)
{
  return strncmp (name, prefix, strlen (prefix)) == 0;
}

/* The first layer behind the encoder's k-th downsampler. */
static int
behind_downsampler (const SoraVaeConfig *config, const SoraVaeLayer *layers, int k)
{
  int i = 0;
  for (int passed = 0; passed < k; i++)
    passed += layers[i].kind == SORA_VAE_STRIDE;
  return i + sora_vae_downsamples_time (config, k - 1);
}

void
sora_vae_levels_find (const SoraVaeConfig *config, SoraVaeHalf half, const SoraVaeLayer *layers,
                      int n, SoraVaeLevels *levels)
{
  *levels = (SoraVaeLevels){ .half = half, .n = config->n_blocks, .end = n };
  if (half == SORA_VAE_DECODER)
    {
      while (!begins_with (layers[levels->first].name, "decoder.up_blocks."))
        levels->first++;
      return;
    }
  for (int i = 0; i < config->n_blocks; i++)
    if (config->down_attention[i])
      {
        levels->n = i > 0 ? i + 1 : 0;
        levels->end = i > 0 ? behind_downsampler (config, layers, i) : 0;
        return;
      }
  levels->end = 0;
  while (!begins_with (layers[levels->end].name, "encoder.mid_block."))
    levels->end++;
}

/* ---- spans */

static SoraVaeSpan
clip (int64_t begin, int64_t end, int64_t size)
{
  return (SoraVaeSpan){ begin > 0 ? begin : 0, end < size ? end : size };
}

static SoraVaeSpan
to_blocks (SoraVaeSpan s, int64_t size)
{
  return clip (s.begin / BLOCK * BLOCK, (s.end + BLOCK - 1) / BLOCK * BLOCK, size);
}

static SoraVaeSpan
join (SoraVaeSpan a, SoraVaeSpan b)
{
  return (SoraVaeSpan){ a.begin < b.begin ? a.begin : b.begin, a.end > b.end ? a.end : b.end };
}

/* What a Winograd convolution reads for it: the first row of a block sees the row before the block,
 * the last one the row behind, and all see the block's own. */
static SoraVaeSpan
seen_by_plane (SoraVaeSpan s, int64_t size)
{
  return clip (s.begin % BLOCK == 0 ? s.begin - 1 : s.begin / BLOCK * BLOCK,
               s.end % BLOCK == 0 ? s.end + 1 : (s.end + BLOCK - 1) / BLOCK * BLOCK, size);
}

static int64_t
size_at (const SoraVaeLevels *levels, int64_t size, int level)
{
  return levels->half == SORA_VAE_DECODER ? size << level : size << (levels->n - 1 - level);
}

/* What resolution `level` - 1 has to give so that `span` of `level` can be computed. */
static SoraVaeSpan
given (SoraVaeHalf half, SoraVaeSpan span)
{
  return half == SORA_VAE_DECODER ? (SoraVaeSpan){ span.begin / 2, (span.end + 1) / 2 }
                                  : (SoraVaeSpan){ 2 * span.begin, 2 * span.end };
}

void
sora_vae_reach_exact (const SoraVaeLevels *levels, const SoraVaeLayer *layers, int64_t size,
                      SoraVaeSpan core, SoraVaeReach *reach)
{
  int level = levels->n - 1;
  const int up = levels->half == SORA_VAE_DECODER ? level : 0;
  SoraVaeSpan need = { core.begin << up, core.end << up }, go_on;
  *reach = (SoraVaeReach){ .out = need, .core = need };
  go_on = need;
  for (int i = levels->end - 1; i >= levels->first; i--)
    {
      const SoraVaeLayer *layer = &layers[i];
      const int64_t here = size_at (levels, size, level);
      if (layer->kind == SORA_VAE_PLANE)
        need = seen_by_plane (need, here);
      else if (layer->kind == SORA_VAE_FEW)
        need = clip (need.begin - 1, need.end + 1, here);
      /* A row more, of which the tile's last one would be computed with zeros. */
      const SoraVaeSpan sound
          = layer->kind == SORA_VAE_STRIDE ? clip (need.begin, need.end + 1, here) : need;
      if (!layer->upsamples && layer->kind != SORA_VAE_STRIDE)
        continue;
      reach->level[level] = to_blocks (join (sound, go_on), here);
      go_on = given (levels->half, reach->level[level]);
      level--;
      need = layer->kind == SORA_VAE_STRIDE
                 ? clip (2 * need.begin, 2 * need.end + 1, size_at (levels, size, level))
                 : given (levels->half, need);
    }
  reach->level[level] = to_blocks (join (need, go_on), size_at (levels, size, level));
}

void
sora_vae_reach_blend (const SoraVaeLevels *levels, int64_t size, SoraVaeSpan core, int64_t overlap,
                      SoraVaeReach *reach)
{
  const SoraVaeSpan seen = clip (core.begin - overlap, core.end + overlap, size);
  const int last = levels->n - 1;
  *reach = (SoraVaeReach){ 0 };
  for (int i = 0; i <= last; i++)
    {
      const int shift = levels->half == SORA_VAE_DECODER ? i : last - i;
      reach->level[i] = (SoraVaeSpan){ seen.begin << shift, seen.end << shift };
    }
  const int up = levels->half == SORA_VAE_DECODER ? last : 0;
  reach->out = reach->level[last];
  reach->core = (SoraVaeSpan){ core.begin << up, core.end << up };
}

SoraVaeSpan
sora_vae_span_crop (SoraVaeHalf half, const SoraVaeReach *reach, int level)
{
  const SoraVaeSpan on = given (half, reach->level[level + 1]);
  const int64_t begin = reach->level[level].begin;
  return (SoraVaeSpan){ on.begin - begin, on.end - begin };
}
