/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watermark-raster.c: from glyphs to a distance field.  Arcs become short lines first; each glyph then touches
 * only the part of the field that it can reach.
 */
#include "watermark-raster.h"
#include "watermark-glyphs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Below this height of the ink a stroke is hardly wider than a pixel. */
#define SMALLEST_STROKED 10.5
#define SEGMENTS_A_TURN 72
#define EMBLEM_GAP 7.0 /* between the emblem and the word, font units */

static double
sine_of_quarter (double turns) /* 0..1/4 */
{
  const double x = turns * 6.283185307179586476925;
  const double y = x * x;
  /* Taylor's series: the first term left out is 7e-10 at a quarter. */
  return x
         * (1
            + y
                  * (-1.0 / 6
                     + y
                           * (1.0 / 120
                              + y
                                    * (-1.0 / 5040
                                       + y
                                             * (1.0 / 362880
                                                + y * (-1.0 / 39916800 + y * (1.0 / 6227020800.0)))))));
}

static double
sine (double turns)
{
  double t = turns - floor (turns);
  const double sign = t >= 0.5 ? -1 : 1;
  if (t >= 0.5)
    t -= 0.5;
  return sign * sine_of_quarter (t > 0.25 ? 0.5 - t : t);
}

void
watermark_sincos (double turns, double *s, double *c)
{
  *s = sine (turns);
  *c = sine (turns + 0.25);
}

/* ------------------------------------------------------------------------------------------ measures -- */

static bool
descends (const char *text, bool pixels)
{
  for (; *text; text++)
    if (pixels)
      {
        int rows = 0;
        for (const char *p = watermark_glyph (*text)->pixels; *p; p++)
          rows += *p == '/';
        if (rows > WATERMARK_PIXEL_ASCENT)
          return true;
      }
    else if (strchr ("gjpqyQ_/", *text))
      return true;
  return false;
}

static int
pixel_columns (const WatermarkGlyph *glyph)
{
  return (int) strcspn (glyph->pixels, "/");
}

static double
stroked_advance (const WatermarkGlyph *glyph)
{
  return glyph->n_strokes == 0 ? WATERMARK_SPACE : glyph->width + WATERMARK_TRACKING;
}

static int
pixel_width (const char *text)
{
  int width = -1;
  for (; *text; text++)
    width += pixel_columns (watermark_glyph (*text)) + 1;
  return width;
}

static double
stroked_units (const char *text)
{
  double units = watermark_emblem.width + EMBLEM_GAP - WATERMARK_TRACKING + 2 * WATERMARK_HALF_STROKE;
  for (; *text; text++)
    units += stroked_advance (watermark_glyph (*text));
  return units;
}

double
watermark_field_measure (const char *text, double height, double max_width, WatermarkField *field)
{
  const double ink = WATERMARK_ASCENDER + 2 * WATERMARK_HALF_STROKE;
  const double below = descends (text, false) ? -WATERMARK_DESCENDER : 0;
  const double units = stroked_units (text);
  double unit = height / ink;
  if (unit * units > max_width)
    unit = max_width / units;
  *field = (WatermarkField) { 0 };
  if (unit * ink < SMALLEST_STROKED)
    {
      const int width = pixel_width (text);
      field->pixels = true;
      field->reach = 2.0f;
      field->ink_width = width;
      field->ink_height = descends (text, true) ? WATERMARK_PIXEL_ROWS : WATERMARK_PIXEL_ASCENT;
      if (width > max_width)
        return -1;
      unit = 0;
    }
  else
    {
      field->reach = (float) (1.3 + 1.5 * unit);
      field->ink_width = unit * units;
      field->ink_height = unit * (ink + below);
    }
  field->margin = (int) field->reach + 2;
  field->width = (int) ceil (field->ink_width) + 2 * field->margin;
  field->height = (int) ceil (field->ink_height) + 2 * field->margin;
  return unit;
}

/* ------------------------------------------------------------------------------------------- drawing -- */

static void
nearer (WatermarkField *field, int x, int y, double distance)
{
  float *d = &field->distance[(size_t) y * (size_t) field->width + (size_t) x];
  if ((float) distance < *d)
    *d = (float) distance;
}

/* The line from a to b, `half` thick to each side, all in field points. */
static void
draw_line (WatermarkField *field, double ax, double ay, double bx, double by, double half)
{
  const double reach = half + field->reach + 1;
  const int x0 = (int) fmax (0, floor (fmin (ax, bx) - reach));
  const int y0 = (int) fmax (0, floor (fmin (ay, by) - reach));
  const int x1 = (int) fmin (field->width - 1, ceil (fmax (ax, bx) + reach));
  const int y1 = (int) fmin (field->height - 1, ceil (fmax (ay, by) + reach));
  const double dx = bx - ax, dy = by - ay;
  const double length2 = dx * dx + dy * dy;
  for (int y = y0; y <= y1; y++)
    for (int x = x0; x <= x1; x++)
      {
        const double px = x - ax, py = y - ay;
        double along = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
        along = along < 0 ? 0 : along > 1 ? 1 : along;
        const double ex = px - along * dx, ey = py - along * dy;
        nearer (field, x, y, sqrt (ex * ex + ey * ey) - half);
      }
}

static void
draw_stroked (WatermarkField *field, const WatermarkGlyph *glyph, double left, double unit)
{
  /* The middle of the ink's upper left pixel is field point (margin, margin). */
  const double ox = field->margin - 0.5 + (left + WATERMARK_HALF_STROKE) * unit;
  const double oy = field->margin - 0.5 + (WATERMARK_ASCENDER + WATERMARK_HALF_STROKE) * unit;
  const double half = WATERMARK_HALF_STROKE * unit;
  for (int i = 0; i < glyph->n_strokes; i++)
    {
      const float *p = glyph->strokes[i].p;
      if (glyph->strokes[i].kind == WATERMARK_LINE)
        {
          draw_line (field, ox + p[0] * unit, oy - p[1] * unit, ox + p[2] * unit, oy - p[3] * unit, half);
          continue;
        }
      const double from = p[4] / 360.0, to = p[5] / 360.0;
      const int n = (int) ceil ((to - from) * SEGMENTS_A_TURN);
      double x = 0, y = 0;
      for (int k = 0; k <= n; k++)
        {
          double s, c;
          watermark_sincos (from + (to - from) * k / n, &s, &c);
          const double nx = ox + (p[0] + p[2] * c) * unit, ny = oy - (p[1] + p[3] * s) * unit;
          if (k > 0)
            draw_line (field, x, y, nx, ny, half);
          x = nx;
          y = ny;
        }
    }
}

/* A dot fills its pixel; the pixels around it get distances that make an even edge. */
static void
draw_pixels (WatermarkField *field, const WatermarkGlyph *glyph, int left)
{
  static const float around[3][3] = { { -0.5f, 0.5f, 1.6f }, { 0.5f, 0.8f, 2.0f }, { 1.6f, 2.0f, 2.0f } };
  int column = 0, row = 0;
  for (const char *p = glyph->pixels; *p; p++)
    {
      if (*p == '/')
        {
          row++;
          column = 0;
          continue;
        }
      if (*p == '#')
        for (int dy = -2; dy <= 2; dy++)
          for (int dx = -2; dx <= 2; dx++)
            nearer (field, field->margin + left + column + dx, field->margin + row + dy,
                    around[abs (dy)][abs (dx)]);
      column++;
    }
}

bool
watermark_field_draw (const char *text, double unit, WatermarkField *field)
{
  const size_t n = (size_t) field->width * (size_t) field->height;
  field->distance = malloc (n * sizeof *field->distance);
  if (!field->distance)
    return false;
  for (size_t i = 0; i < n; i++)
    field->distance[i] = field->reach;
  if (field->pixels)
    for (int left = 0; *text; text++)
      {
        const WatermarkGlyph *glyph = watermark_glyph (*text);
        draw_pixels (field, glyph, left);
        left += pixel_columns (glyph) + 1;
      }
  else
    {
      double left = 0;
      draw_stroked (field, &watermark_emblem, left, unit);
      left += watermark_emblem.width + EMBLEM_GAP;
      for (; *text; text++)
        {
          const WatermarkGlyph *glyph = watermark_glyph (*text);
          draw_stroked (field, glyph, left, unit);
          left += stroked_advance (glyph);
        }
    }
  return true;
}

void
watermark_field_clear (WatermarkField *field)
{
  free (field->distance);
  field->distance = NULL;
}
