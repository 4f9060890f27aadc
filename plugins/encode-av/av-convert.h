/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * av-convert.h: sRGB frames to the planes that encoders take.  Written out in integers instead of calling
 * libswscale, whose results depend on the vector unit it finds: here the same frame gives the same planes everywhere.
 */
#ifndef ENCODE_AV_CONVERT_H
#define ENCODE_AV_CONVERT_H

#include <stdint.h>

/**
 * av_yuv420_from_rgb:
 * @rgb: u8 sRGB, [height, width, 3]
 * @width: even, pixels
 * @height: even, pixels
 * @planes: (out): Y, Cb, Cr
 * @strides: bytes from line to line of each plane
 *
 * ITU-R BT.709 (table 4: Kr 0.2126, Kb 0.0722), limited range (Y 16..235, C 16..240), 4:2:0 with chroma sited at
 * the left of each pair of columns, midway between two lines: across filtered by 1/4 1/2 1/4 and down by 1/2 1/2.  Within
 * 0.502 of the exact real value.
 */
void av_yuv420_from_rgb (const uint8_t *rgb, int width, int height, uint8_t *const planes[3],
                         const int strides[3]);

#endif
