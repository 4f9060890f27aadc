/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * apng.c: walks the chunks of each PNG and writes those of the animation.
 */
#include "apng.h"
#include "kit-frames.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define SIGNATURE 8
#define CHUNK 12 /* length, type and check sum around the data */

static void
put32 (uint8_t *p, uint32_t v)
{
  p[0] = (uint8_t) (v >> 24);
  p[1] = (uint8_t) (v >> 16);
  p[2] = (uint8_t) (v >> 8);
  p[3] = (uint8_t) v;
}

static uint32_t
get32 (const uint8_t *p)
{
  return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

/* A chunk whose data is in two parts; either may be empty. */
static int
write_chunk (int fd, const char *type, const uint8_t *a, uint32_t a_size, const uint8_t *b, uint32_t b_size)
{
  uint8_t head[8], sum[4];
  put32 (head, a_size + b_size);
  memcpy (head + 4, type, 4);
  uLong crc = crc32 (0, head + 4, 4);
  if (a_size > 0)
    crc = crc32 (crc, a, a_size);
  if (b_size > 0)
    crc = crc32 (crc, b, b_size);
  put32 (sum, (uint32_t) crc);
  int error = sora_kit_write_all (fd, head, sizeof head);
  if (error == 0 && a_size > 0)
    error = sora_kit_write_all (fd, a, a_size);
  if (error == 0 && b_size > 0)
    error = sora_kit_write_all (fd, b, b_size);
  return error != 0 ? error : sora_kit_write_all (fd, sum, sizeof sum);
}

void
apng_begin (Apng *apng, int fd, double fps, uint32_t loops)
{
  *apng = (Apng) { .fd = fd, .loops = loops };
  /* A whole rate as 1/fps, another in thousandths, as far as 16 bits hold it. */
  const double whole = floor (fps + 0.5);
  if (fabs (fps - whole) < 1e-6 && whole >= 1 && whole <= 65535)
    {
      apng->delay_num = 1;
      apng->delay_den = (uint16_t) whole;
    }
  else if (fps < 65)
    {
      apng->delay_num = 1000;
      apng->delay_den = (uint16_t) fmax (1, floor (fps * 1000 + 0.5));
    }
  else
    {
      apng->delay_num = 10;
      apng->delay_den = (uint16_t) fmin (65535, floor (fps * 10 + 0.5));
    }
}

static int
write_actl (const Apng *apng)
{
  uint8_t data[8];
  put32 (data, apng->frames);
  put32 (data + 4, apng->loops);
  return write_chunk (apng->fd, "acTL", data, sizeof data, NULL, 0);
}

static int
write_fctl (Apng *apng, uint32_t width, uint32_t height)
{
  uint8_t data[26] = { 0 }; /* at 0,0, replacing what was there */
  put32 (data, apng->sequence++);
  put32 (data + 4, width);
  put32 (data + 8, height);
  data[20] = (uint8_t) (apng->delay_num >> 8);
  data[21] = (uint8_t) apng->delay_num;
  data[22] = (uint8_t) (apng->delay_den >> 8);
  data[23] = (uint8_t) apng->delay_den;
  return write_chunk (apng->fd, "fcTL", data, sizeof data, NULL, 0);
}

/* One chunk of a frame's PNG to where it belongs. */
static int
take_chunk (Apng *apng, const uint8_t *chunk, uint32_t size, const uint8_t *ihdr, int *seen_data)
{
  const uint8_t *data = chunk + 8;
  const int is_data = memcmp (chunk + 4, "IDAT", 4) == 0;
  int error = 0;
  if (is_data && !*seen_data)
    {
      *seen_data = 1;
      if (apng->frames == 0)
        {
          apng->actl_at = lseek (apng->fd, 0, SEEK_CUR);
          error = apng->actl_at < 0 ? errno : write_actl (apng);
        }
      if (error == 0)
        error = write_fctl (apng, get32 (ihdr), get32 (ihdr + 4));
    }
  if (error != 0)
    return error;
  if (is_data && apng->frames > 0)
    {
      uint8_t sequence[4];
      put32 (sequence, apng->sequence++);
      return write_chunk (apng->fd, "fdAT", sequence, sizeof sequence, data, size);
    }
  /* The first frame brings the header, the colour space and the texts; IEND comes at the end of all. */
  if (apng->frames == 0 && memcmp (chunk + 4, "IEND", 4) != 0)
    return write_chunk (apng->fd, (const char *) chunk + 4, data, size, NULL, 0);
  return 0;
}

int
apng_frame (Apng *apng, const PngBuffer *png)
{
  if (png->size < SIGNATURE + CHUNK + 13)
    return EINVAL;
  int error = apng->frames == 0 ? sora_kit_write_all (apng->fd, png->data, SIGNATURE) : 0;
  int seen_data = 0;
  const uint8_t *ihdr = png->data + SIGNATURE + 8;
  for (size_t at = SIGNATURE; error == 0 && at + CHUNK <= png->size;)
    {
      const uint32_t size = get32 (png->data + at);
      if (size > png->size - at - CHUNK)
        return EINVAL;
      error = take_chunk (apng, png->data + at, size, ihdr, &seen_data);
      at += CHUNK + size;
    }
  if (error == 0 && !seen_data)
    error = EINVAL;
  apng->frames += error == 0;
  return error;
}

int
apng_finish (Apng *apng)
{
  int error = write_chunk (apng->fd, "IEND", NULL, 0, NULL, 0);
  if (error == 0 && lseek (apng->fd, apng->actl_at, SEEK_SET) < 0)
    error = errno;
  if (error == 0)
    error = write_actl (apng);
  return error;
}
