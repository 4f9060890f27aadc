/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * apng.h: an animated PNG from single PNGs.  libpng knows no animation, so its chunks are rearranged: IDAT of all
 * frames but the first becomes fdAT, and acTL and fcTL are added (APNG 1.0, now part of the PNG specification, third
 * edition).
 */
#ifndef ENCODE_PNG_APNG_H
#define ENCODE_PNG_APNG_H

#include "png-memory.h"

typedef struct {
  int fd;
  uint32_t sequence; /* of fcTL and fdAT chunks */
  uint32_t frames;
  uint32_t loops;    /* 0: for ever */
  uint16_t delay_num, delay_den; /* of a frame, seconds */
  int64_t actl_at;   /* where acTL stands, to be written again with the true count */
} Apng;

/* @fd: empty, seekable.  0, or an errno; also below.  EINVAL: @png is none of ours. */
void apng_begin (Apng *apng, int fd, double fps, uint32_t loops);
/* @png: a whole PNG of libpng's; all of one size. */
int apng_frame (Apng *apng, const PngBuffer *png);
int apng_finish (Apng *apng);

#endif
