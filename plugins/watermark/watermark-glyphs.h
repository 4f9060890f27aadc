/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watermark-glyphs.h: the mark's two hand-made faces.  The stroke face is a rounded geometric sans made of
 * lines and elliptic arcs, for every size at which a stroke is wider than a pixel; the pixel face is drawn
 * dot by dot for what is smaller, where no outline survives rasterisation.
 */
#ifndef WATERMARK_GLYPHS_H
#define WATERMARK_GLYPHS_H

/* Vertical measures of the stroke face in font units, y upwards from the base line, along stroke centres. */
#define WATERMARK_ASCENDER 15.0
#define WATERMARK_DESCENDER (-5.0)
#define WATERMARK_HALF_STROKE 1.2
#define WATERMARK_TRACKING 4.4 /* between the boxes of two glyphs, centre of stroke to centre of stroke */
#define WATERMARK_SPACE 5.0

/* Rows of the pixel face: six above the base line, one or two below it. */
#define WATERMARK_PIXEL_ASCENT 6
#define WATERMARK_PIXEL_ROWS 8

typedef enum {
  WATERMARK_LINE, /* p = x0, y0, x1, y1 */
  WATERMARK_ARC,  /* p = centre x, centre y, radius x, radius y, from, to: degrees, counter-clockwise */
} WatermarkStrokeKind;

typedef struct {
  WatermarkStrokeKind kind;
  float p[6];
} WatermarkStroke;

typedef struct {
  char character;
  float width;  /* of the box of stroke centres, in font units */
  int n_strokes;
  const WatermarkStroke *strokes;
  const char *pixels; /* rows from the top, each ended by '/': '#' is ink */
} WatermarkGlyph;

/**
 * watermark_glyph:
 * @character: an ASCII character
 *
 * Returns: the glyph for @character, or %NULL if the faces have none.
 */
const WatermarkGlyph *watermark_glyph (char character);

/* The orbit in front of the word: drawn in the stroke face only. */
extern const WatermarkGlyph watermark_emblem;

/* What watermark_glyph() knows, for messages. */
#define WATERMARK_CHARSET "letters a-z and A-Z, digits, space and . - _ / : +"

#endif
