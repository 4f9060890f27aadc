/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sheet.h: frames side by side in one picture, with a narrow dark gap between them.
 */
#ifndef ENCODE_PNG_SHEET_H
#define ENCODE_PNG_SHEET_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint8_t *pixels; /* [height, width, 3] */
  int64_t width, height;
  int64_t frame_width, frame_height, columns, count;
} Sheet;

/* Everything but the pixels.  @columns 0: up to six.  Nonzero: the reason is in @why. */
int sheet_measure (Sheet *sheet, int64_t frame_width, int64_t frame_height, int64_t count, int64_t columns, char *why,
                   size_t why_size);
int sheet_begin (Sheet *sheet, char *why, size_t why_size);
void sheet_put (Sheet *sheet, int64_t index, const uint8_t *rgb);
void sheet_clear (Sheet *sheet);

#endif
