/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * av-convert.c: BT.709 in fixed point.
 */
#include "av-convert.h"

/* Scaled by 2^20; the luma row sums to round (219/255 * 2^20), each chroma row to 0, so that greys stay greys. */
enum {
  SHIFT = 20,
  Y_R = 191455, Y_G = 644068, Y_B = 65019,     /* 219/255 * 0.2126, 0.7152, 0.0722 */
  /* Chroma, by 2^17: sums of eight pixels come in, three bits more. */
  CB_R = -13192, CB_G = -44377, CB_B = 57569,  /* 112/255 / (1 - 0.0722) * -0.2126, -0.7152, 0.9278 */
  CR_R = 57569, CR_G = -52290, CR_B = -5279,   /* 112/255 / (1 - 0.2126) * 0.7874, -0.7152, -0.0722 */
};
_Static_assert (Y_R + Y_G + Y_B == 900542, "219/255 * 2^20");
_Static_assert (CB_R + CB_G + CB_B == 0 && CR_R + CR_G + CR_B == 0, "greys have no colour");

static void
convert_luma (const uint8_t *rgb, int width, int height, uint8_t *plane, int stride)
{
  for (int y = 0; y < height; y++, plane += stride)
    for (int x = 0; x < width; x++, rgb += 3)
      plane[x] = (uint8_t) (16 + ((Y_R * rgb[0] + Y_G * rgb[1] + Y_B * rgb[2] + (1 << (SHIFT - 1))) >> SHIFT));
}

static void
convert_chroma (const uint8_t *rgb, int width, int height, uint8_t *const planes[3], const int strides[3])
{
  const int64_t line = (int64_t) width * 3;
  for (int y = 0; y < height / 2; y++)
    for (int x = 0; x < width / 2; x++)
      {
        const uint8_t *here = rgb + 2 * y * line + 6 * x;
        const int before = x > 0 ? -3 : 0; /* the first column is its own left neighbour */
        int sum[3];
        for (int c = 0; c < 3; c++)
          {
            const uint8_t *p = here + c, *q = p + line;
            sum[c] = p[before] + 2 * p[0] + p[3] + q[before] + 2 * q[0] + q[3];
          }
        /* 128 is added before the shift, so that what is shifted is never negative. */
        const int bias = (128 << SHIFT) + (1 << (SHIFT - 1));
        planes[1][(int64_t) y * strides[1] + x]
            = (uint8_t) ((CB_R * sum[0] + CB_G * sum[1] + CB_B * sum[2] + bias) >> SHIFT);
        planes[2][(int64_t) y * strides[2] + x]
            = (uint8_t) ((CR_R * sum[0] + CR_G * sum[1] + CR_B * sum[2] + bias) >> SHIFT);
      }
}

void
av_yuv420_from_rgb (const uint8_t *rgb, int width, int height, uint8_t *const planes[3], const int strides[3])
{
  convert_luma (rgb, width, height, planes[0], strides[0]);
  convert_chroma (rgb, width, height, planes, strides);
}
