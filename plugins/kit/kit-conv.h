/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-conv: causal convolutions over video, a frame at a time.  The caller keeps the frames that a
 * layer has seen last; a layer gets them newest first, and fewer than it has taps where the clip
 * begins (the missing ones are zeros, and cost nothing).
 *
 * A frame is f32 [H, W, Cp]: channels innermost, padded with zeros to a multiple of 16
 * (sora_kit_pad16()), 64-byte aligned.  Four kinds of layer:
 *
 *  - #SoraKitPlaneConv, taps × 3 × 3: Winograd's F(4×4, 3×3) over the planes (Lavin and Gray, "Fast
 * Algorithms for Convolutional Neural Networks", section 4.3), a quarter of the multiplications;
 * the taps of time are one sum over a longer K, so that they share one output transform; of frames
 * that come in twos, F(2, 3) along time saves another third.  oneDNN's own Winograd is gone after
 * 3.1 and knows planes only.
 *  - #SoraKitPointConv, taps × 1 × 1: products over pixels.
 *  - #SoraKitFewConv, taps × 3 × 3 into few channels (pictures): each pixel's products once, then
 * sums over neighbours.
 *  - #SoraKitStrideConv, 3 × 3 at every second pixel: products over gathered neighbours.
 *
 * Work is cut by shape; each value is one chain of operations that no cut changes: the same bytes
 * at any thread count.  Tolerance: 1e-5 of the largest value against direct sums in f64, 3e-5 for
 * Winograd's, whose transforms cancel (tests/kit/test-conv.c).
 */
#ifndef SORA_KIT_CONV_H
#define SORA_KIT_CONV_H

#include "kit-gemm.h"
#include "kit-parallel.h"

#define SORA_KIT_CONV_TAPS 3

/* In place of the taps of a #SoraKitPlaneConv: three, whose frames come in twos. */
#define SORA_KIT_CONV_PAIRS (-2)

/**
 * SoraKitConvSource:
 * @frames: (array length=count): newest first, [h, w, ICp]
 * @count: how many of the taps there are, at least 1
 * @h: height of the frames
 * @w: width
 */
typedef struct
{
  const float *frames[SORA_KIT_CONV_TAPS];
  int count;
  int64_t h, w;
} SoraKitConvSource;

/* ---- taps × 3 × 3, zeros around */

typedef struct
{
  int64_t ic, oc;
  int taps;
  float *u;    /* [36] packed [taps * ICp, OCp], of pairs [4 * ICp, OCp] */
  float *bias; /* [OCp] */
  int relu;    /* nonzero: max (0, .) of the result; set it after packing */
} SoraKitPlaneConv;

/** sora_kit_plane_conv_bytes: Returns: bytes that such a layer's packed weights take. */
uint64_t sora_kit_plane_conv_bytes (int64_t ic, int64_t oc, int taps);

/**
 * sora_kit_plane_conv_pack:
 * @conv: (out caller-allocates): cleared to zero, or packed before
 * @team: who works
 * @ic: input channels
 * @oc: output channels
 * @taps: 1…3 along time, or %SORA_KIT_CONV_PAIRS
 * @weights: f32 [oc, ic, taps, 3, 3], PyTorch's order
 * @bias: f32 [oc]
 *
 * Allocates and fills the packed weights.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_kit_plane_conv_pack (SoraKitPlaneConv *conv, SoraKitTeam *team, int64_t ic, int64_t oc,
                              int taps, const float *weights, const float *bias);
void sora_kit_plane_conv_clear (SoraKitPlaneConv *conv);

/**
 * sora_kit_plane_conv_work:
 * @h: height of the output
 * @w: width of the output
 * @threads: of the team
 *
 * Returns: bytes of @work that sora_kit_plane_conv_run() needs
 */
uint64_t sora_kit_plane_conv_work (int64_t ic, int64_t oc, int taps, int64_t h, int64_t w,
                                   int threads);

/**
 * sora_kit_plane_conv_run:
 * @conv: a packed layer
 * @team: who works
 * @source: what it sees
 * @upsample: nonzero: it sees each pixel of the source twice in both directions (nearest), and the
 * output is [2 h, 2 w, OCp]
 * @add: (nullable): [h, w, OCp], added to the result; may be @out
 * @out: [h, w, OCp]; no frame of @source
 * @work: sora_kit_plane_conv_work() bytes, 64-byte aligned
 *
 * Returns: %SORA_OK, %SORA_CANCELLED (@out is then partly written) or %SORA_FAILED
 */
int sora_kit_plane_conv_run (const SoraKitPlaneConv *conv, SoraKitTeam *team,
                             const SoraKitConvSource *source, int upsample, const float *add,
                             float *out, void *work);

/**
 * sora_kit_plane_conv_run_pair:
 * @conv: a layer that was packed for %SORA_KIT_CONV_PAIRS
 * @team: who works
 * @frames: (array length=4): the two last ones of the past, oldest first, and the two new ones, all
 *   [h, w, ICp]; %NULL: zeros
 * @h: height
 * @w: width
 * @add: (nullable) (array length=2): [h, w, OCp], added to the results; may be those of @out
 * @out: (array length=2): [h, w, OCp]; no frame of @frames
 * @work: sora_kit_plane_conv_work() bytes, 64-byte aligned
 *
 * Two frames at once.  sora_kit_plane_conv_run() takes a frame without a past through such a layer.
 *
 * Returns: as sora_kit_plane_conv_run()
 */
int sora_kit_plane_conv_run_pair (const SoraKitPlaneConv *conv, SoraKitTeam *team,
                                  const float *const frames[4], int64_t h, int64_t w,
                                  const float *const add[2], float *const out[2], void *work);

/* ---- taps × 1 × 1 */

typedef struct
{
  int64_t ic, oc;
  int taps;
  float *b; /* packed [taps * ICp, OCp] */
  float *bias;
} SoraKitPointConv;

/** sora_kit_point_conv_bytes: Returns: bytes that such a layer's packed weights take. */
uint64_t sora_kit_point_conv_bytes (int64_t ic, int64_t oc, int taps);

/** sora_kit_point_conv_pack: as sora_kit_plane_conv_pack(), with @weights [oc, ic, taps]. */
int sora_kit_point_conv_pack (SoraKitPointConv *conv, SoraKitTeam *team, int64_t ic, int64_t oc,
                              int taps, const float *weights, const float *bias);
void sora_kit_point_conv_clear (SoraKitPointConv *conv);

/**
 * sora_kit_point_conv_run:
 * @add: (nullable): [h, w, OCp], added to the result; may be @out
 * @out: [h, w, OCp]; no frame of @source
 *
 * Returns: as sora_kit_plane_conv_run()
 */
int sora_kit_point_conv_run (const SoraKitPointConv *conv, SoraKitTeam *team,
                             const SoraKitConvSource *source, const float *add, float *out);

/* ---- taps × 3 × 3 into few channels */

typedef struct
{
  int64_t ic, oc;
  int taps;
  float *b; /* [taps] packed [ICp, pad16 (9 * oc)] */
  float *bias;
} SoraKitFewConv;

/** sora_kit_few_conv_bytes: Returns: bytes that such a layer's packed weights take. */
uint64_t sora_kit_few_conv_bytes (int64_t ic, int64_t oc, int taps);

/** sora_kit_few_conv_pack: as sora_kit_plane_conv_pack(). */
int sora_kit_few_conv_pack (SoraKitFewConv *conv, SoraKitTeam *team, int64_t ic, int64_t oc,
                            int taps, const float *weights, const float *bias);
void sora_kit_few_conv_clear (SoraKitFewConv *conv);

/** sora_kit_few_conv_work: Returns: bytes of @work, for a team of @threads. */
uint64_t sora_kit_few_conv_work (int64_t oc, int64_t w, int threads);

/**
 * sora_kit_few_conv_run:
 * @out: f32 [h, w, oc], not padded
 * @work: sora_kit_few_conv_work() bytes, 64-byte aligned
 *
 * Returns: as sora_kit_plane_conv_run()
 */
int sora_kit_few_conv_run (const SoraKitFewConv *conv, SoraKitTeam *team,
                           const SoraKitConvSource *source, float *out, void *work);

/* ---- 3 × 3 at every second pixel, zeros past the right and the lower edge */

typedef struct
{
  int64_t ic, oc;
  float *b; /* packed [9 * ICp, OCp] */
  float *bias;
} SoraKitStrideConv;

/** sora_kit_stride_conv_bytes: Returns: bytes that such a layer's packed weights take. */
uint64_t sora_kit_stride_conv_bytes (int64_t ic, int64_t oc);

/** sora_kit_stride_conv_pack: as sora_kit_plane_conv_pack(), with @weights [oc, ic, 3, 3]. */
int sora_kit_stride_conv_pack (SoraKitStrideConv *conv, SoraKitTeam *team, int64_t ic, int64_t oc,
                               const float *weights, const float *bias);
void sora_kit_stride_conv_clear (SoraKitStrideConv *conv);

/** sora_kit_stride_conv_work: Returns: bytes of @work, for a team of @threads. */
uint64_t sora_kit_stride_conv_work (int64_t ic, int threads);

/**
 * sora_kit_stride_conv_run:
 * @conv: a packed layer
 * @team: who works
 * @from: [h, w, ICp]
 * @h: its height, even
 * @w: its width, even
 * @out: [h / 2, w / 2, OCp]; not @from.  Its pixel (x, y) sees @from from (2 x, 2 y) on
 * @work: sora_kit_stride_conv_work() bytes, 64-byte aligned
 *
 * Returns: as sora_kit_plane_conv_run()
 */
int sora_kit_stride_conv_run (const SoraKitStrideConv *conv, SoraKitTeam *team, const float *from,
                              int64_t h, int64_t w, float *out, void *work);

#endif
