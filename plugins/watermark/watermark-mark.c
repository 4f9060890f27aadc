/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * watermark-mark.c: placing and blending.
 */
#include "watermark-mark.h"
#include "watermark-glyphs.h"

#include <math.h>
#include <stdio.h>

#define BORDER 2.0       /* free pixels at each side, at the least */
#define BORDER_SHARE 0.4 /* and of the mark's height */

static const float light[3] = { 1.0f, 1.0f, 1.0f };
static const float dark[3] = { 0.03f, 0.04f, 0.07f };

bool
watermark_mark_init (WatermarkMark *mark, const WatermarkSettings *settings, int64_t width,
                     int64_t height, bool draw, char *why, size_t why_size)
{
  *mark = (WatermarkMark) { .settings = *settings, .width = width, .height = height };
  const double room = (double) width - 2 * BORDER;
  const double unit
      = watermark_field_measure (settings->text, settings->size * (double) height, room, &mark->field);
  if (unit < 0)
    {
      snprintf (why, why_size,
                "the mark '%s' is %.0f pixels wide at its smallest, and frames of %lldx%lld have room for "
                "%.0f: shorten 'text' or make wider frames",
                settings->text, mark->field.ink_width, (long long) width, (long long) height, fmax (room, 0));
      return false;
    }
  if (mark->field.ink_height > (double) height - 2 * BORDER)
    {
      snprintf (why, why_size,
                "the mark '%s' is %.0f pixels high, and frames of %lldx%lld have room for %.0f: lower 'size' "
                "or make higher frames",
                settings->text, ceil (mark->field.ink_height), (long long) width, (long long) height,
                fmax ((double) height - 2 * BORDER, 0));
      return false;
    }
  if (draw && !watermark_field_draw (settings->text, unit, &mark->field))
    {
      snprintf (why, why_size, "no memory for the mark, %d x %d pixels", mark->field.width,
                mark->field.height);
      return false;
    }
  return true;
}

void
watermark_mark_clear (WatermarkMark *mark)
{
  watermark_field_clear (&mark->field);
}

/* The cosine or sine, flattened at its ends: the ellipse becomes a square with round corners. */
static double
squarish (double c)
{
  return (3 * c - c * c * c) / 2;
}

void
watermark_mark_place (const WatermarkMark *mark, int64_t frame, double *x, double *y)
{
  const WatermarkField *field = &mark->field;
  double across = 1, down = 1; /* -1..1 over the room that there is */
  switch (mark->settings.position)
    {
    case WATERMARK_WANDER:
      {
        const double frames = WATERMARK_ROUND * mark->settings.fps;
        double s, c;
        /* An eighth: the lower right.  Subtracting, it leaves to the right-hand side, upwards. */
        watermark_sincos (0.125 - (double) frame * mark->settings.speed / frames, &s, &c);
        across = squarish (c);
        down = squarish (s);
        break;
      }
    case WATERMARK_BOTTOM_RIGHT:
      break;
    case WATERMARK_BOTTOM_LEFT:
      across = -1;
      break;
    case WATERMARK_TOP_RIGHT:
      down = -1;
      break;
    case WATERMARK_TOP_LEFT:
      across = down = -1;
      break;
    case WATERMARK_CENTER:
      across = down = 0;
      break;
    }
  const double border = fmax (BORDER, BORDER_SHARE * field->ink_height);
  const double free_x = (double) mark->width - field->ink_width;
  const double free_y = (double) mark->height - field->ink_height;
  const double border_x = fmin (border, free_x / 2), border_y = fmin (border, free_y / 2);
  *x = free_x / 2 + across * (free_x / 2 - border_x);
  *y = free_y / 2 + down * (free_y / 2 - border_y);
  if (field->pixels)
    {
      *x = floor (*x + 0.5);
      *y = floor (*y + 0.5);
    }
}

/* What the mark does to one pixel: v * keep + add, once for dark and once for light. */
typedef struct {
  float edge, fill;
} Mix;

static bool
mix_at (const WatermarkField *field, double opacity, const float *d, const float w[4], Mix *mix)
{
  const float distance = d[0] * w[0] + d[1] * w[1] + d[field->width] * w[2] + d[field->width + 1] * w[3];
  if (distance >= field->reach)
    return false;
  float edge = 1.0f - distance / field->reach;
  edge = edge > 1 ? 1 : edge;
  edge = edge * edge * (3 - 2 * edge);
  float fill = 0.5f - distance;
  fill = fill < 0 ? 0 : fill > 1 ? 1 : fill;
  /* The edge ends where the letter begins: on white it is the edge that is read, on black the letter. */
  mix->edge = edge * (1 - fill) * (float) opacity;
  mix->fill = fill * (float) opacity;
  return true;
}

static inline float
blend (float v, const Mix *mix, int channel)
{
  v += (dark[channel] - v) * mix->edge;
  v += (light[channel] - v) * mix->fill;
  return v;
}

typedef void (*PixelFunc) (void *pixels, int64_t index, const Mix *mix);

static void
draw (const WatermarkMark *mark, int64_t frame, void *pixels, PixelFunc put)
{
  const WatermarkField *field = &mark->field;
  double x, y;
  watermark_mark_place (mark, frame, &x, &y);
  /* Frame pixel (left + i, top + j) lies between the field points i and i + 1, j and j + 1. */
  const int64_t left = (int64_t) floor (x), top = (int64_t) floor (y);
  const float fx = (float) (x - (double) left), fy = (float) (y - (double) top);
  const float gx = 1 - fx, gy = 1 - fy;
  const float w[4] = { fx * fy, gx * fy, fx * gy, gx * gy };
  for (int j = 1; j < field->height; j++)
    {
      const int64_t py = top + j - field->margin;
      if (py < 0 || py >= mark->height)
        continue;
      const float *row = field->distance + (size_t) (j - 1) * (size_t) field->width;
      for (int i = 1; i < field->width; i++)
        {
          const int64_t px = left + i - field->margin;
          Mix mix;
          if (px >= 0 && px < mark->width
              && mix_at (field, mark->settings.opacity, row + i - 1, w, &mix))
            put (pixels, (py * mark->width + px) * 3, &mix);
        }
    }
}

static void
put_u8 (void *pixels, int64_t index, const Mix *mix)
{
  uint8_t *p = (uint8_t *) pixels + index;
  for (int c = 0; c < 3; c++)
    p[c] = (uint8_t) lrintf (blend ((float) p[c] / 255.0f, mix, c) * 255.0f);
}

static void
put_f32 (void *pixels, int64_t index, const Mix *mix)
{
  float *p = (float *) pixels + index;
  for (int c = 0; c < 3; c++)
    p[c] = blend (p[c], mix, c);
}

void
watermark_mark_draw_u8 (const WatermarkMark *mark, int64_t frame, uint8_t *pixels)
{
  draw (mark, frame, pixels, put_u8);
}

void
watermark_mark_draw_f32 (const WatermarkMark *mark, int64_t frame, float *pixels)
{
  draw (mark, frame, pixels, put_f32);
}
