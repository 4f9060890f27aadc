/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sheet.c: a contact sheet.
 */
#include "sheet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2
#define GROUND 24     /* of the gap: a dark grey */
#define LARGEST 32767 /* pixels a side that viewers open */

int
sheet_measure (Sheet *sheet, int64_t frame_width, int64_t frame_height, int64_t count, int64_t columns, char *why,
               size_t why_size)
{
  if (columns == 0 || columns > count)
    columns = count < 6 ? count : 6;
  if (columns < 1)
    columns = 1;
  const int64_t rows = (count + columns - 1) / columns;
  *sheet = (Sheet) {
    .width = columns * (frame_width + GAP) + GAP,
    .height = rows * (frame_height + GAP) + GAP,
    .frame_width = frame_width,
    .frame_height = frame_height,
    .columns = columns,
    .count = count,
  };
  if (sheet->width <= LARGEST && sheet->height <= LARGEST)
    return 0;
  snprintf (why, why_size,
            "a sheet of %lld frames in %lld columns would be %lldx%lld pixels, and %d a side is the most: raise "
            "parameter 'every' or change 'columns'",
            (long long) count, (long long) columns, (long long) sheet->width, (long long) sheet->height, LARGEST);
  return -1;
}

int
sheet_begin (Sheet *sheet, char *why, size_t why_size)
{
  const size_t size = (size_t) (sheet->width * sheet->height * 3);
  sheet->pixels = malloc (size);
  if (sheet->pixels == NULL)
    {
      snprintf (why, why_size, "out of memory for a sheet of %lldx%lld pixels", (long long) sheet->width,
                (long long) sheet->height);
      return -1;
    }
  memset (sheet->pixels, GROUND, size);
  return 0;
}

void
sheet_put (Sheet *sheet, int64_t index, const uint8_t *rgb)
{
  const int64_t left = GAP + index % sheet->columns * (sheet->frame_width + GAP);
  const int64_t top = GAP + index / sheet->columns * (sheet->frame_height + GAP);
  for (int64_t y = 0; y < sheet->frame_height; y++)
    memcpy (sheet->pixels + ((top + y) * sheet->width + left) * 3, rgb + y * sheet->frame_width * 3,
            (size_t) sheet->frame_width * 3);
}

void
sheet_clear (Sheet *sheet)
{
  free (sheet->pixels);
  sheet->pixels = NULL;
}
