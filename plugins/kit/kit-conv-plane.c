/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-conv-plane.c: taps × 3 × 3 convolutions by Winograd's F(4×4, 3×3), points 0, ±1, ±2 and
 * infinity.  A group of 4×4 output tiles goes through three steps: 6×6 patches to 36 matrices V; 36
 * products with the transformed weights; 36 matrices back to pixels.
 *
 * Where the weights are small, a group is so small that V stays in the cache of the one core which
 * does all three, and threads take whole groups: a layer is one parallel region, and a small layer
 * none (on a busy machine a region costs more than its work).  Where they are large they must not
 * be read again for every few tiles: then groups are large, and all threads share each step.
 *
 * Of frames in pairs the same is done along time, by F(2, 3) with points 0, ±1 and infinity: four
 * sums and differences of frames, as many products, and two results.
 */
#include "kit-conv.h"
#include "kit-memory.h"
#include "kit-vector.h"

#include <string.h>

enum
{
  TILES_A_TASK = 8
};
static const int64_t small_weights = INT64_C (2) << 20, small_group = INT64_C (3) << 19,
                     large_group = INT64_C (8) << 20;

typedef struct
{
  const SoraKitPlaneConv *conv;
  const float *frames[4]; /* as SoraKitConvSource has them; of a pair, in order, NULL: zeros */
  int first_part, parts;  /* what of the weights is used */
  int64_t source_w;
  int upsample;
  int results; /* frames */
  const float *add[2];
  float *out[2];
  int64_t h, w;         /* of the output */
  int64_t across;       /* tiles in a row */
  int64_t first, count; /* the group */
  int64_t icp, ocp;
  int64_t v_step, m_step; /* floats from one of the 36 matrices to the next */
  float *v[4], *m[2];
  int threads;
} Group;

/* Matrices of the input that make a result, and results. */
static int
parts_of (int taps)
{
  return taps == SORA_KIT_CONV_PAIRS ? 4 : taps;
}

static int
results_of (int taps)
{
  return taps == SORA_KIT_CONV_PAIRS ? 2 : 1;
}

static int64_t
weights_bytes (int64_t icp, int64_t ocp, int taps)
{
  return 36 * 4 * parts_of (taps) * icp * ocp;
}

static int
is_small (int64_t icp, int64_t ocp, int taps)
{
  return weights_bytes (icp, ocp, taps) <= small_weights;
}

static int64_t
group_tiles (int64_t icp, int64_t ocp, int taps, int64_t h, int64_t w)
{
  const int64_t tiles = ((h + 3) / 4) * ((w + 3) / 4);
  const int64_t a_tile = 36 * 4 * (parts_of (taps) * icp + results_of (taps) * ocp),
                half = weights_bytes (icp, ocp, taps) / 2;
  const int64_t near = is_small (icp, ocp, taps) ? small_group
                       : half > large_group      ? half
                                                 : large_group;
  const int64_t n = near / a_tile < 16 ? 16 : near / a_tile / TILES_A_TASK * TILES_A_TASK;
  return n < tiles ? n : tiles;
}

uint64_t
sora_kit_plane_conv_bytes (int64_t ic, int64_t oc, int taps)
{
  const uint64_t icp = (uint64_t)sora_kit_pad16 (ic), ocp = (uint64_t)sora_kit_pad16 (oc);
  return (36 * (uint64_t)parts_of (taps) * icp * ocp + ocp) * sizeof (float);
}

/* 16 floats more than needed: a step that is a power of two would put all 36 rows into one set of
 * the cache. */
static int64_t
matrix_step (int64_t tiles, int64_t channels)
{
  return tiles * channels + 16;
}

/* Floats of the buffers of one group. */
static int64_t
group_floats (int64_t icp, int64_t ocp, int taps, int64_t tiles)
{
  return 36
         * (parts_of (taps) * matrix_step (tiles, icp)
            + results_of (taps) * matrix_step (tiles, ocp));
}

uint64_t
sora_kit_plane_conv_work (int64_t ic, int64_t oc, int taps, int64_t h, int64_t w, int threads)
{
  const int64_t icp = sora_kit_pad16 (ic), ocp = sora_kit_pad16 (oc),
                n = group_tiles (icp, ocp, taps, h, w);
  const int64_t tiles = (h + 3) / 4 * ((w + 3) / 4), groups = (tiles + n - 1) / n;
  const int64_t at_once = !is_small (icp, ocp, taps) ? 1 : threads < groups ? threads : groups;
  return (uint64_t)(group_floats (icp, ocp, taps, n) * at_once) * sizeof (float);
}

void
sora_kit_plane_conv_clear (SoraKitPlaneConv *conv)
{
  sora_kit_free (conv->u);
  sora_kit_free (conv->bias);
  memset (conv, 0, sizeof *conv);
}

/* ---- weights */

typedef struct
{
  SoraKitPlaneConv *conv;
  const float *weights;
} Pack;

/* G g: three values to six.  In f64: 1/24 and 1/6 are no f32. */
SORA_KIT_INLINE void
transform_weights (double g0, double g1, double g2, double *out, int step)
{
  const double even = g0 + g2, wide = g0 + 4 * g2;
  out[0] = g0 / 4;
  out[step] = (even + g1) * (-1.0 / 6);
  out[2 * step] = (even - g1) * (-1.0 / 6);
  out[3 * step] = (wide + 2 * g1) * (1.0 / 24);
  out[4 * step] = (wide - 2 * g1) * (1.0 / 24);
  out[5 * step] = g2;
}

/* What one of the matrices has of the taps at a place, which are oldest first: newest first, or for
 * pairs what F(2, 3) makes of them. */
SORA_KIT_INLINE double
along_time (const float *g, int taps, int64_t part)
{
  if (taps != SORA_KIT_CONV_PAIRS)
    return g[9 * (taps - 1 - part)];
  const double even = ((double)g[0] + (double)g[18]) / 2, odd = (double)g[9] / 2;
  return part == 0 ? g[0] : part == 1 ? even + odd : part == 2 ? even - odd : g[18];
}

/* All output channels of one input channel and one part, zeros in the padding.  Sixteen at a time,
 * so that each of the 36 matrices gets a whole line: they lie megabytes apart. */
SORA_KIT_MULTIVERSION static void
pack_channel (const SoraKitPlaneConv *conv, const float *weights, int64_t ic, int64_t part)
{
  const int64_t icp = sora_kit_pad16 (conv->ic), ocp = sora_kit_pad16 (conv->oc),
                rows = parts_of (conv->taps) * icp, row = part * icp + ic;
  const int64_t taps = conv->taps == SORA_KIT_CONV_PAIRS ? 3 : conv->taps;
  for (int64_t first = 0; first < ocp; first += 16)
    {
      float line[36][16] = { { 0 } };
      for (int64_t oc = first; ic < conv->ic && oc < first + 16 && oc < conv->oc; oc++)
        {
          const float *from = weights + (oc * conv->ic + ic) * taps * 9;
          double g[9], half[3][6], full[36];
          for (int i = 0; i < 9; i++)
            g[i] = along_time (from + i, conv->taps, part);
          for (int y = 0; y < 3; y++)
            transform_weights (g[3 * y], g[3 * y + 1], g[3 * y + 2], half[y], 1);
          for (int x = 0; x < 6; x++)
            transform_weights (half[0][x], half[1][x], half[2][x], full + x, 6);
          for (int i = 0; i < 36; i++)
            line[i][oc - first] = (float)full[i];
        }
      float *to = conv->u + sora_kit_gemm_offset (ocp, rows, row, first);
      for (int i = 0; i < 36; i++)
        memcpy (to + i * rows * ocp, line[i], sizeof line[i]);
    }
}

static int
pack_tile (SoraKitTeam *team, void *data, int64_t tile, int slot)
{
  const Pack *pack = data;
  const int64_t icp = sora_kit_pad16 (pack->conv->ic);
  pack_channel (pack->conv, pack->weights, tile % icp, tile / icp);
  return SORA_OK;
}

int
sora_kit_plane_conv_pack (SoraKitPlaneConv *conv, SoraKitTeam *team, int64_t ic, int64_t oc,
                          int taps, const float *weights, const float *bias)
{
  sora_kit_plane_conv_clear (conv);
  const uint64_t icp = (uint64_t)sora_kit_pad16 (ic), ocp = (uint64_t)sora_kit_pad16 (oc);
  conv->ic = ic;
  conv->oc = oc;
  conv->taps = taps;
  conv->u = sora_kit_alloc (36 * (uint64_t)parts_of (taps) * icp * ocp, sizeof (float));
  conv->bias = sora_kit_alloc0 (ocp, sizeof (float));
  if (conv->u == NULL || conv->bias == NULL)
    return sora_kit_team_fail (
        team, "no memory for the weights of a convolution from %lld to %lld channels",
        (long long)ic, (long long)oc);
  memcpy (conv->bias, bias, (size_t)oc * sizeof (float));
  Pack pack = { conv, weights };
  return sora_kit_parallel (team, (int64_t)icp * parts_of (taps), pack_tile, &pack);
}

/* ---- the three steps */

/* Bᵀ d: six values to six. */
#define TRANSFORM_IN(d0, d1, d2, d3, d4, d5, t0, t1, t2, t3, t4, t5)                               \
  do                                                                                               \
    {                                                                                              \
      const SoraKitV even = (d4)-4.0f * (d2), odd = (d3)-4.0f * (d1);                              \
      const SoraKitV even2 = (d4) - (d2), odd2 = 2.0f * ((d3) - (d1));                             \
      (t0) = (4.0f * (d0)-5.0f * (d2)) + (d4);                                                     \
      (t1) = even + odd;                                                                           \
      (t2) = even - odd;                                                                           \
      (t3) = even2 + odd2;                                                                         \
      (t4) = even2 - odd2;                                                                         \
      (t5) = (4.0f * (d1)-5.0f * (d3)) + (d5);                                                     \
    }                                                                                              \
  while (0)

/* Aᵀ m: six values to four. */
#define TRANSFORM_OUT(m0, m1, m2, m3, m4, m5, y0, y1, y2, y3)                                      \
  do                                                                                               \
    {                                                                                              \
      const SoraKitV sum = (m1) + (m2), dif = (m1) - (m2);                                         \
      const SoraKitV sum2 = (m3) + (m4), dif2 = (m3) - (m4);                                       \
      (y0) = ((m0) + sum) + sum2;                                                                  \
      (y1) = dif + 2.0f * dif2;                                                                    \
      (y2) = sum + 4.0f * sum2;                                                                    \
      (y3) = (dif + 8.0f * dif2) + (m5);                                                           \
    }                                                                                              \
  while (0)

static const float zeros[16] __attribute__ ((aligned (64)));

/* One 6×6 patch of a frame, or of the sum or difference of two, to a row of each of the 36
 * matrices. `sign` is a constant in each copy. */
SORA_KIT_INLINE void
patch_rows (const float *const pixel[36], const float *const other[36], int sign, int64_t channels,
            float *to, int64_t step)
{
  for (int64_t c = 0; c < channels; c += 16)
    {
      SoraKitV t[6][6];
      for (int x = 0; x < 6; x++)
        {
          SoraKitV d[6];
          for (int y = 0; y < 6; y++)
            {
              const float *p = pixel[6 * y + x], *q = sign != 0 ? other[6 * y + x] : NULL;
              d[y] = sora_kit_v_load (p != NULL ? p + c : zeros);
              if (sign > 0)
                d[y] += sora_kit_v_load (q != NULL ? q + c : zeros);
              else if (sign < 0)
                d[y] -= sora_kit_v_load (q != NULL ? q + c : zeros);
            }
          TRANSFORM_IN (d[0], d[1], d[2], d[3], d[4], d[5], t[0][x], t[1][x], t[2][x], t[3][x],
                        t[4][x], t[5][x]);
        }
      for (int y = 0; y < 6; y++)
        {
          float *row = to + 6 * y * step + c;
          SoraKitV r[6];
          TRANSFORM_IN (t[y][0], t[y][1], t[y][2], t[y][3], t[y][4], t[y][5], r[0], r[1], r[2],
                        r[3], r[4], r[5]);
          for (int x = 0; x < 6; x++)
            sora_kit_v_store (row + x * step, r[x]);
        }
    }
}

SORA_KIT_MULTIVERSION static void
patch_in (const float *const pixel[36], const float *const other[36], int sign, int64_t channels,
          float *to, int64_t step)
{
  if (sign == 0)
    patch_rows (pixel, NULL, 0, channels, to, step);
  else if (sign > 0)
    patch_rows (pixel, other, 1, channels, to, step);
  else
    patch_rows (pixel, other, -1, channels, to, step);
}

/* Where the 36 pixels of a patch stand; NULL: zeros. */
static void
find_pixels (const Group *g, const float *frame, int64_t tile, const float *pixel[36])
{
  const int64_t top = tile / g->across * 4 - 1, left = tile % g->across * 4 - 1;
  for (int64_t y = 0; y < 6; y++)
    for (int64_t x = 0; x < 6; x++)
      {
        const int64_t py = top + y, px = left + x;
        const int inside = frame != NULL && py >= 0 && py < g->h && px >= 0 && px < g->w;
        pixel[6 * y + x]
            = inside ? frame + ((py >> g->upsample) * g->source_w + (px >> g->upsample)) * g->icp
                     : NULL;
      }
}

/* Of a pair, what F(2, 3) makes of four frames in order. */
static const struct
{
  int frame, other, sign;
} pair_parts[4] = { { 0, 2, -1 }, { 1, 2, 1 }, { 2, 1, -1 }, { 3, 1, -1 } };

static int
input_task (SoraKitTeam *team, void *data, int64_t task, int slot)
{
  const Group *g = data;
  const int64_t chunks = (g->count + TILES_A_TASK - 1) / TILES_A_TASK;
  const int64_t part = task / chunks, begin = task % chunks * TILES_A_TASK;
  const int64_t end = begin + TILES_A_TASK < g->count ? begin + TILES_A_TASK : g->count;
  const int pair = g->results == 2;
  for (int64_t i = begin; i < end; i++)
    {
      const float *pixel[36], *other[36];
      find_pixels (g, g->frames[pair ? pair_parts[part].frame : part], g->first + i, pixel);
      if (pair)
        find_pixels (g, g->frames[pair_parts[part].other], g->first + i, other);
      patch_in (pixel, other, pair ? pair_parts[part].sign : 0, g->icp, g->v[part] + i * g->icp,
                g->v_step);
    }
  return SORA_OK;
}

static SoraKitGemm
product (const Group *g, int64_t task)
{
  const int64_t rows = parts_of (g->conv->taps) * g->icp;
  SoraKitGemm gemm = {
    .m = g->count,
    .n = g->ocp,
    .k = g->icp,
    .parts = g->parts,
    .lda = g->icp,
    .b = g->conv->u + task * rows * g->ocp,
    .b_rows = rows,
    .b_row = g->first_part * g->icp,
    .c = g->m[0] + task * g->m_step,
    .ldc = g->ocp,
    .c2 = g->results == 2 ? g->m[1] + task * g->m_step : NULL,
  };
  for (int p = 0; p < g->parts; p++)
    gemm.a[p] = g->v[p] + task * g->v_step;
  return gemm;
}

static int
product_task (SoraKitTeam *team, void *data, int64_t task, int slot)
{
  const Group *g = data;
  SoraKitGemm gemm = product (g, task), next;
  if (task + g->threads < 36) /* this thread's next one, as likely as not */
    {
      next = product (g, task + g->threads);
      gemm.next = &next;
    }
  sora_kit_gemm_run (&gemm);
  return SORA_OK;
}

/* A row of each of the 36 matrices to 4×4 pixels, of which `high` × `wide` exist. */
SORA_KIT_MULTIVERSION static void
patch_out (const float *from, int64_t step, int64_t channels, const float *bias, const float *add,
           int relu, float *to, int64_t line, int high, int wide)
{
  const SoraKitV zero = { 0 };
  for (int64_t c = 0; c < channels; c += 16)
    {
      SoraKitV t[4][6];
      const SoraKitV b = sora_kit_v_load (bias + c);
      for (int x = 0; x < 6; x++)
        {
          SoraKitV m[6];
          for (int y = 0; y < 6; y++)
            m[y] = sora_kit_v_load (from + (6 * y + x) * step + c);
          TRANSFORM_OUT (m[0], m[1], m[2], m[3], m[4], m[5], t[0][x], t[1][x], t[2][x], t[3][x]);
        }
      for (int y = 0; y < high; y++)
        {
          SoraKitV r[4];
          TRANSFORM_OUT (t[y][0], t[y][1], t[y][2], t[y][3], t[y][4], t[y][5], r[0], r[1], r[2],
                         r[3]);
          for (int x = 0; x < wide; x++)
            {
              const int64_t at = y * line + x * channels + c;
              r[x] += b;
              if (add != NULL)
                r[x] += sora_kit_v_load (add + at);
              if (relu) /* written so that NaN stays NaN */
                r[x] = sora_kit_v_select (r[x] < zero, zero, r[x]);
              sora_kit_v_store (to + at, r[x]);
            }
        }
    }
}

static int
output_task (SoraKitTeam *team, void *data, int64_t task, int slot)
{
  const Group *g = data;
  const int64_t begin = task * TILES_A_TASK;
  const int64_t end = begin + TILES_A_TASK < g->count ? begin + TILES_A_TASK : g->count;
  for (int64_t i = begin; i < end; i++)
    {
      const int64_t top = (g->first + i) / g->across * 4, left = (g->first + i) % g->across * 4;
      const int64_t at = (top * g->w + left) * g->ocp;
      for (int j = 0; j < g->results; j++)
        patch_out (g->m[j] + i * g->ocp, g->m_step, g->ocp, g->conv->bias,
                   g->add[j] != NULL ? g->add[j] + at : NULL, g->conv->relu, g->out[j] + at,
                   g->w * g->ocp, g->h - top < 4 ? (int)(g->h - top) : 4,
                   g->w - left < 4 ? (int)(g->w - left) : 4);
    }
  return SORA_OK;
}

static void
place (Group *g, float *work)
{
  const int parts = parts_of (g->conv->taps);
  for (int p = 0; p < parts; p++)
    g->v[p] = work + p * 36 * g->v_step;
  for (int j = 0; j < results_of (g->conv->taps); j++)
    g->m[j] = work + (parts * g->v_step + j * g->m_step) * 36;
}

/* A whole group on one thread.  In what all share, `count` is the tiles of a full group and `m[0]`
 * the work of all slots. */
static int
group_task (SoraKitTeam *team, void *data, int64_t task, int slot)
{
  Group g = *(const Group *)data;
  const int64_t n = g.count, tiles = (g.h + 3) / 4 * g.across;
  g.first = task * n;
  g.count = tiles - g.first < n ? tiles - g.first : n;
  g.threads = 1;
  place (&g, g.m[0] + slot * group_floats (g.icp, g.ocp, g.conv->taps, n));
  const int64_t chunks = (g.count + TILES_A_TASK - 1) / TILES_A_TASK;
  for (int64_t i = 0; i < chunks * g.parts; i++)
    input_task (team, &g, i, slot);
  for (int64_t i = 0; i < 36; i++)
    product_task (team, &g, i, slot);
  for (int64_t i = 0; i < chunks; i++)
    output_task (team, &g, i, slot);
  return SORA_OK;
}

/* All groups of what `g` says. */
static int
run_groups (Group *g, SoraKitTeam *team, float *work)
{
  g->icp = sora_kit_pad16 (g->conv->ic);
  g->ocp = sora_kit_pad16 (g->conv->oc);
  g->across = (g->w + 3) / 4;
  const int taps = g->conv->taps;
  const int64_t tiles = (g->h + 3) / 4 * g->across,
                n = group_tiles (g->icp, g->ocp, taps, g->h, g->w);
  g->v_step = matrix_step (n, g->icp);
  g->m_step = matrix_step (n, g->ocp);

  if (is_small (g->icp, g->ocp, taps))
    {
      g->count = n;
      g->m[0] = work; /* of all slots */
      return sora_kit_parallel (team, (tiles + n - 1) / n, group_task, g);
    }
  place (g, work);
  g->threads = team->threads;
  for (g->first = 0; g->first < tiles; g->first += n)
    {
      g->count = tiles - g->first < n ? tiles - g->first : n;
      const int64_t chunks = (g->count + TILES_A_TASK - 1) / TILES_A_TASK;
      int result = sora_kit_parallel (team, chunks * g->parts, input_task, g);
      if (result == SORA_OK)
        result = sora_kit_parallel (team, 36, product_task, g);
      if (result == SORA_OK)
        result = sora_kit_parallel (team, chunks, output_task, g);
      if (result != SORA_OK)
        return result;
    }
  return SORA_OK;
}

int
sora_kit_plane_conv_run (const SoraKitPlaneConv *conv, SoraKitTeam *team,
                         const SoraKitConvSource *source, int upsample, const float *add,
                         float *out, void *work)
{
  Group g = { .conv = conv,
              .parts = source->count,
              .source_w = source->w,
              .upsample = upsample != 0,
              .results = 1,
              .add = { add },
              .out = { out } };
  memcpy (g.frames, source->frames, sizeof source->frames);
  g.h = source->h << g.upsample;
  g.w = source->w << g.upsample;
  if (conv->taps == SORA_KIT_CONV_PAIRS)
    {
      if (source->count != 1)
        return sora_kit_team_fail (team, "a convolution of pairs was given one frame with a past");
      g.first_part = 3; /* the newest tap alone */
    }
  return run_groups (&g, team, work);
}

int
sora_kit_plane_conv_run_pair (const SoraKitPlaneConv *conv, SoraKitTeam *team,
                              const float *const frames[4], int64_t h, int64_t w,
                              const float *const add[2], float *const out[2], void *work)
{
  Group g = { .conv = conv,
              .parts = 4,
              .source_w = w,
              .results = 2,
              .add = { add != NULL ? add[0] : NULL, add != NULL ? add[1] : NULL },
              .out = { out[0], out[1] },
              .h = h,
              .w = w };
  memcpy (g.frames, frames, sizeof g.frames);
  return run_groups (&g, team, work);
}
