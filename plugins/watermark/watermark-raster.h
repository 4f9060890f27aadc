/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watermark-raster.h: the mark as a distance field.  A distance, unlike a coverage, can be sampled between its
 * points without blur, so one field serves every frame while the mark drifts by fractions of a pixel, and the
 * soft dark edge comes out of the same numbers.
 */
#ifndef WATERMARK_RASTER_H
#define WATERMARK_RASTER_H

#include <stdbool.h>
#include <stddef.h>

/* Signed distances to the outline in pixels, negative inside, limited to `reach` outside.  Field point (x, y) is
 * the centre of the pixel that lies (x - margin, y - margin) right and below of the upper left one of the ink. */
typedef struct {
  float *distance; /* [height][width] */
  int width, height;
  int margin;
  float reach;     /* width of the soft edge, pixels */
  double ink_width, ink_height;
  bool pixels;     /* the pixel face: to be put on whole pixels only */
} WatermarkField;

/**
 * watermark_field_measure:
 * @text: what the mark says; each character has a glyph
 * @height: wanted height of the ink from base line to ascender, pixels
 * @max_width: widest that the ink may be, pixels
 * @field: (out): everything but `distance`
 *
 * Chooses the face and the size: the pixel face below about eleven pixels, or where the word would be too wide for
 * the stroke face at eleven.  The ink gets lower than @height where that is what @max_width takes.
 *
 * Returns: the unit of the stroke face in pixels, 0 for the pixel face, or -1 if the text is wider than @max_width
 * even in the pixel face; @field->ink_width then tells how wide that is.
 */
double watermark_field_measure (const char *text, double height, double max_width, WatermarkField *field);

/**
 * watermark_field_draw:
 * @text: as measured
 * @unit: what watermark_field_measure() returned, not negative
 * @field: (inout): as measured; gets `distance`, to be freed by watermark_field_clear()
 *
 * Uses additions, multiplications, divisions and square roots only, in a fixed order: the same bits everywhere.
 *
 * Returns: false if memory ran out
 */
bool watermark_field_draw (const char *text, double unit, WatermarkField *field);

void watermark_field_clear (WatermarkField *field);

/**
 * watermark_sincos:
 * @turns: an angle in turns
 *
 * Sine and cosine by a polynomial, within 1e-9: libm's differ in the last bit between machines, and the bytes of
 * a frame must not.
 */
void watermark_sincos (double turns, double *sine, double *cosine);

#endif
