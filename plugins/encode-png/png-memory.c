/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * png-memory.c: libpng reports errors by longjmp, which stays within one function here.
 */
#include "png-memory.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  char *why;
  size_t why_size;
} Complaint;

static void
on_error (png_structp png, png_const_charp message)
{
  Complaint *complaint = png_get_error_ptr (png);
  snprintf (complaint->why, complaint->why_size, "libpng: %s", message);
  longjmp (png_jmpbuf (png), 1);
}

static void
on_warning (png_structp png, png_const_charp message)
{
}

static void
on_write (png_structp png, png_bytep data, size_t size)
{
  PngBuffer *buffer = png_get_io_ptr (png);
  if (buffer->room - buffer->size < size)
    {
      const size_t room = (buffer->size + size) * 2;
      uint8_t *grown = realloc (buffer->data, room);
      if (grown == NULL)
        png_error (png, "out of memory");
      buffer->data = grown;
      buffer->room = room;
    }
  memcpy (buffer->data + buffer->size, data, size);
  buffer->size += size;
}

static void
on_flush (png_structp png)
{
}

static void
set_tags (png_structp png, png_infop info, const SoraKitTag *tags, int n_tags)
{
  for (int i = 0; i < n_tags; i++)
    {
      png_text text = {
        .compression = PNG_ITXT_COMPRESSION_NONE,
        .key = (char *) tags[i].key,
        .text = (char *) tags[i].value,
        .itxt_length = strlen (tags[i].value),
      };
      png_set_text (png, info, &text, 1);
    }
}

int
png_memory_encode (PngBuffer *buffer, const uint8_t *rgb, int width, int height, int level, const SoraKitTag *tags,
                   int n_tags, char *why, size_t why_size)
{
  Complaint complaint = { why, why_size };
  buffer->size = 0;
  png_structp png = png_create_write_struct (PNG_LIBPNG_VER_STRING, &complaint, on_error, on_warning);
  png_infop info = png != NULL ? png_create_info_struct (png) : NULL;
  if (info == NULL)
    {
      png_destroy_write_struct (&png, NULL);
      snprintf (why, why_size, "libpng: out of memory");
      return -1;
    }
  if (setjmp (png_jmpbuf (png)) != 0)
    {
      png_destroy_write_struct (&png, &info);
      return -1;
    }
  png_set_write_fn (png, buffer, on_write, on_flush);
  png_set_IHDR (png, info, (png_uint_32) width, (png_uint_32) height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
  png_set_sRGB (png, info, PNG_sRGB_INTENT_PERCEPTUAL);
  png_set_compression_level (png, level);
  set_tags (png, info, tags, n_tags);
  png_write_info (png, info);
  for (int y = 0; y < height; y++)
    png_write_row (png, rgb + (size_t) y * (size_t) width * 3);
  png_write_end (png, info);
  png_destroy_write_struct (&png, &info);
  return 0;
}

void
png_memory_clear (PngBuffer *buffer)
{
  free (buffer->data);
  *buffer = (PngBuffer) { 0 };
}
