/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watermark-mark.h: where the mark stands in a frame, and how it is laid over it.  Both follow from the settings, the
 * frame's size and the frame's number alone, so that a clip's bytes do not depend on how it was cut into chunks.
 */
#ifndef WATERMARK_MARK_H
#define WATERMARK_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "watermark-raster.h"

typedef enum {
  WATERMARK_WANDER,
  WATERMARK_BOTTOM_RIGHT,
  WATERMARK_BOTTOM_LEFT,
  WATERMARK_TOP_RIGHT,
  WATERMARK_TOP_LEFT,
  WATERMARK_CENTER,
} WatermarkPosition;

typedef struct {
  const char *text;
  double opacity; /* of the mark, 0..1 */
  double size;    /* height of the ascenders over the height of the frame */
  double speed;   /* 1: round the frame in WATERMARK_ROUND seconds */
  double fps;
  WatermarkPosition position;
} WatermarkSettings;

#define WATERMARK_ROUND 60.0

typedef struct {
  WatermarkSettings settings;
  WatermarkField field;
  int64_t width, height; /* of a frame */
} WatermarkMark;

/**
 * watermark_mark_init:
 * @mark: (out): to be cleared by watermark_mark_clear() if true is returned
 * @settings: the text must outlive @mark
 * @width: of a frame, pixels
 * @height: of a frame, pixels
 * @draw: false to check only that the mark fits
 * @why: (out): the reason, on failure
 * @why_size: size of @why
 *
 * Returns: false if the mark cannot be laid over such frames
 */
bool watermark_mark_init (WatermarkMark *mark, const WatermarkSettings *settings, int64_t width,
                          int64_t height, bool draw, char *why, size_t why_size);

void watermark_mark_clear (WatermarkMark *mark);

/**
 * watermark_mark_place:
 * @mark: the mark
 * @frame: number of the frame in the clip
 * @x: (out): left edge of the ink, pixels
 * @y: (out): upper edge of the ink, pixels
 *
 * "wander" goes round a squarish closed curve near the frame's border, starting at the lower right: the middle, where
 * the subject is, stays free.
 */
void watermark_mark_place (const WatermarkMark *mark, int64_t frame, double *x, double *y);

/**
 * watermark_mark_draw_u8:
 * @mark: the mark
 * @frame: number of the frame in the clip
 * @pixels: (inout): sRGB, [height, width, 3]
 *
 * White over a soft dark edge, mixed in sRGB values; u8 is rounded half to even.
 */
void watermark_mark_draw_u8 (const WatermarkMark *mark, int64_t frame, uint8_t *pixels);
/* The same on f32 in [0,1], not rounded. */
void watermark_mark_draw_f32 (const WatermarkMark *mark, int64_t frame, float *pixels);

#endif
