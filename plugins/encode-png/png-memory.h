/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * png-memory.h: one picture as a PNG in memory, through libpng.  The same picture gives the same bytes.
 */
#ifndef ENCODE_PNG_MEMORY_H
#define ENCODE_PNG_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "kit-provenance.h"

typedef struct {
  uint8_t *data;
  size_t size, room;
} PngBuffer;

/* u8 sRGB [height, width, 3] into @buffer, whose memory is used again; tags become iTXt chunks.  Nonzero: the reason is
 * in @why. */
int png_memory_encode (PngBuffer *buffer, const uint8_t *rgb, int width, int height, int level, const SoraKitTag *tags,
                       int n_tags, char *why, size_t why_size);
void png_memory_clear (PngBuffer *buffer);

#endif
