/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-encode-png: what libpng reads back is what went in, frame by frame, in every layout; the files say what made
 * them, and are the same for the same frames.
 */
#define _GNU_SOURCE
#include "media-host.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zlib.h>

enum { W = 48, H = 32, T = 7, FRAME = W * H * 3 };

static uint32_t
get32 (const uint8_t *p)
{
  return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static void
put32 (uint8_t *p, uint32_t v)
{
  for (int i = 0; i < 4; i++)
    p[i] = (uint8_t) (v >> (24 - 8 * i));
}

typedef struct {
  const uint8_t *data;
  size_t size, at;
} Source;

static void
on_read (png_structp png, png_bytep data, size_t size)
{
  Source *source = png_get_io_ptr (png);
  if (source->size - source->at < size)
    png_error (png, "short");
  memcpy (data, source->data + source->at, size);
  source->at += size;
}

/* Decodes with libpng alone; gives the pixels, and the value of text @key if there. */
static uint8_t *
decode (const uint8_t *data, size_t size, int *width, int *height, const char *key, char *text)
{
  Source source = { data, size, 0 };
  png_structp png = png_create_read_struct (PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct (png);
  uint8_t *volatile pixels = NULL;
  if (setjmp (png_jmpbuf (png)))
    ck_abort_msg ("libpng refuses the file");
  png_set_read_fn (png, &source, on_read);
  png_read_info (png, info);
  *width = (int) png_get_image_width (png, info);
  *height = (int) png_get_image_height (png, info);
  ck_assert_int_eq (png_get_bit_depth (png, info), 8);
  ck_assert_int_eq (png_get_color_type (png, info), PNG_COLOR_TYPE_RGB);
  ck_assert (png_get_valid (png, info, PNG_INFO_sRGB));
  pixels = malloc ((size_t) *width * (size_t) *height * 3);
  for (int y = 0; y < *height; y++)
    png_read_row (png, pixels + (size_t) y * (size_t) *width * 3, NULL);
  png_read_end (png, info);
  png_textp texts;
  int n = 0;
  png_get_text (png, info, &texts, &n);
  if (text)
    text[0] = 0;
  for (int i = 0; text && i < n; i++)
    if (!strcmp (texts[i].key, key))
      snprintf (text, 1024, "%s", texts[i].text);
  png_destroy_read_struct (&png, &info, NULL);
  return pixels;
}

static MediaHost *
host_with (const uint8_t *data, const char *layout, int chunk)
{
  MediaHost *media = media_host_new ("encode-png");
  media_host_set_frames (media, SORA_U8, T, H, W, data, chunk);
  media_host_set_string (media, "layout", layout);
  media_host_set_mark (media, "visible");
  media_host_set_info (media, "model", "small@0123");
  media_host_set_info (media, "seed", "42");
  return media;
}

static void
run (MediaHost *media)
{
  ck_assert_msg (media_host_run (media) == SORA_OK, "%s", media_host_error (media));
}

START_TEST (test_frames)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, "frames", 3);
  run (media);
  ck_assert_int_eq (media_host_n_files (media), T);
  for (int t = 0; t < T; t++)
    {
      const MediaFile *file = media_host_file (media, t);
      char name[32], text[1024];
      int width, height;
      snprintf (name, sizeof name, "frame-%04d.png", t + 1);
      ck_assert_str_eq (file->name, name);
      ck_assert_str_eq (file->media_type, "image/png");
      uint8_t *pixels = decode (file->data, file->size, &width, &height, "sorad.model", text);
      ck_assert (width == W && height == H);
      ck_assert_mem_eq (pixels, data + t * FRAME, FRAME);
      ck_assert_str_eq (text, "small@0123");
      free (pixels);
    }
  media_host_set_i64 (media, "every", 3);
  run (media);
  ck_assert_int_eq (media_host_n_files (media), 3);
  int width, height;
  uint8_t *third = decode (media_host_file (media, 2)->data, media_host_file (media, 2)->size, &width, &height, "", NULL);
  ck_assert_mem_eq (third, data + 6 * FRAME, FRAME);
  free (third);
  free (data);
  media_host_free (media);
}
END_TEST

/* Each frame stands in its cell, and what is between is even. */
START_TEST (test_sheet)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, "sheet", 2);
  int width, height;
  media_host_set_i64 (media, "columns", 3);
  run (media);
  ck_assert_int_eq (media_host_n_files (media), 1);
  ck_assert_str_eq (media_host_file (media, 0)->name, "sheet.png");
  uint8_t *sheet = decode (media_host_file (media, 0)->data, media_host_file (media, 0)->size, &width, &height, "", NULL);
  const int gap = (width - 3 * W) / 4;
  ck_assert_int_ge (gap, 1);
  ck_assert_int_eq (width, 3 * W + 4 * gap);
  ck_assert_int_eq (height, 3 * H + 4 * gap);
  for (int t = 0; t < T; t++)
    for (int y = 0; y < H; y++)
      {
        const int left = gap + t % 3 * (W + gap), top = gap + t / 3 * (H + gap) + y;
        ck_assert_mem_eq (sheet + ((size_t) top * (size_t) width + (size_t) left) * 3, data + t * FRAME + y * W * 3, W * 3);
      }
  ck_assert_mem_eq (sheet, sheet + 3, (size_t) (width - 1) * 3);
  free (sheet);
  free (data);
  media_host_free (media);
}
END_TEST

/* The animation is taken apart by its specification, and each frame made a PNG of its own again. */
START_TEST (test_apng)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, "apng", 3);
  media_host_set_promised (media, -1); /* the number of frames is found out */
  media_host_set_i64 (media, "loops", 5);
  media_host_set_fps (media, 12.5);
  run (media);
  const MediaFile *file = media_host_file (media, 0);
  int width, height;
  uint8_t *first = decode (file->data, file->size, &width, &height, "", NULL); /* shown where no animation is known */
  ck_assert_mem_eq (first, data, FRAME);
  free (first);

  uint8_t *single = malloc (file->size + 64);
  size_t used = 0;
  uint32_t sequence = 0, frames = 0, promised = 0;
  for (size_t at = 8; at + 12 <= file->size; at += 12 + get32 (file->data + at))
    {
      const uint32_t size = get32 (file->data + at);
      const uint8_t *type = file->data + at + 4, *body = type + 4;
      ck_assert_uint_eq (get32 (body + size), crc32 (0, type, size + 4));
      const int last = !memcmp (type, "IEND", 4), control = !memcmp (type, "fcTL", 4);
      if (!memcmp (type, "acTL", 4))
        {
          promised = get32 (body);
          ck_assert_uint_eq (get32 (body + 4), 5);
        }
      if ((last || control) && frames > 0)
        {
          uint8_t end[12] = { 0, 0, 0, 0, 'I', 'E', 'N', 'D' };
          put32 (end + 8, (uint32_t) crc32 (0, end + 4, 4));
          memcpy (single + used, end, 12);
          uint8_t *pixels = decode (single, used + 12, &width, &height, "", NULL);
          ck_assert_mem_eq (pixels, data + (frames - 1) * FRAME, FRAME);
          free (pixels);
        }
      if (control)
        {
          ck_assert_uint_eq (get32 (body), sequence++);
          ck_assert_uint_eq (get32 (body + 4), W);
          ck_assert_uint_eq (get32 (body + 8), H);
          const double delay = (body[20] * 256 + body[21]) / (double) (body[22] * 256 + body[23]);
          ck_assert_double_eq_tol (delay, 0.08, 1e-9);
          /* Signature, IHDR and sRGB of the whole. */
          used = 8 + 25;
          memcpy (single, file->data, used);
          const uint8_t srgb[] = { 0, 0, 0, 1, 's', 'R', 'G', 'B', 0, 0xae, 0xce, 0x1c, 0xe9 };
          memcpy (single + used, srgb, sizeof srgb);
          used += sizeof srgb;
          frames++;
        }
      const int of_first = !memcmp (type, "IDAT", 4), of_other = !memcmp (type, "fdAT", 4);
      if (of_first || of_other)
        {
          const uint32_t skip = of_other ? 4 : 0;
          if (of_other)
            ck_assert_uint_eq (get32 (body), sequence++);
          uint8_t *chunk = single + used;
          put32 (chunk, size - skip);
          memcpy (chunk + 4, "IDAT", 4);
          memcpy (chunk + 8, body + skip, size - skip);
          put32 (chunk + 8 + size - skip, (uint32_t) crc32 (0, chunk + 4, 4 + size - skip));
          used += 12 + size - skip;
        }
    }
  ck_assert_uint_eq (frames, T);
  ck_assert_uint_eq (promised, T);
  free (single);
  free (data);
  media_host_free (media);
}
END_TEST

static const char *const layouts[] = { "sheet", "frames", "apng" };

/* However it is cut, and u8 or f32. */
START_TEST (test_same_bytes)
{
  uint8_t *data = media_test_frames (T, H, W);
  float *values = malloc (T * FRAME * sizeof *values);
  for (int i = 0; i < T * FRAME; i++)
    values[i] = (float) data[i] / 255.0f;
  MediaHost *a = host_with (data, layouts[_i], 7), *b = host_with (data, layouts[_i], 2), *c = host_with (data, layouts[_i], 3);
  media_host_set_frames (c, SORA_F32, T, H, W, values, 3);
  run (a);
  run (b);
  run (c);
  ck_assert_int_eq (media_host_n_files (a), media_host_n_files (b));
  ck_assert_int_eq (media_host_n_files (a), media_host_n_files (c));
  for (int i = 0; i < media_host_n_files (a); i++)
    {
      const MediaFile *x = media_host_file (a, i), *y = media_host_file (b, i), *z = media_host_file (c, i);
      ck_assert_uint_eq (x->size, y->size);
      ck_assert_uint_eq (x->size, z->size);
      ck_assert_mem_eq (x->data, y->data, x->size);
      ck_assert_mem_eq (x->data, z->data, x->size);
    }
  ck_assert_uint_le (media_host_reserved_peak (a), media_host_cost (a)->work_bytes);
  media_host_free (a);
  media_host_free (b);
  media_host_free (c);
  free (values);
  free (data);
}
END_TEST

/* Values outside of [0,1] are limited, halves go to even, not-a-number is black. */
START_TEST (test_rounding)
{
  static const struct {
    float value;
    int expected;
  } cases[] = { { -1, 0 }, { 0, 0 }, { 0.5f / 255, 0 }, { 1.5f / 255, 2 }, { 0.25f, 64 }, { 1, 255 }, { 9, 255 }, { NAN, 0 }, { INFINITY, 255 } };
  MediaHost *media = media_host_new ("encode-png");
  float *values = calloc (FRAME, sizeof *values);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    values[i] = cases[i].value;
  media_host_set_frames (media, SORA_F32, 1, H, W, values, 1);
  media_host_set_string (media, "layout", "frames");
  run (media);
  int width, height;
  uint8_t *pixels = decode (media_host_file (media, 0)->data, media_host_file (media, 0)->size, &width, &height, "", NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    ck_assert_int_eq (pixels[i], cases[i].expected);
  free (pixels);
  free (values);
  media_host_free (media);
}
END_TEST

static int
holds (const MediaFile *file, const char *text)
{
  return memmem (file->data, file->size, text, strlen (text)) != NULL;
}

START_TEST (test_metadata)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, "sheet", 7);
  char text[1024];
  int width, height;
  media_host_set_info (media, "metadata", "full");
  media_host_set_info (media, "prompt", "ein roter Ball \xc3\xbc" "ber gr\xc3\xbcnem Gras");
  run (media);
  const MediaFile *file = media_host_file (media, 0);
  free (decode (file->data, file->size, &width, &height, "sorad.prompt", text));
  ck_assert_str_eq (text, "ein roter Ball \xc3\xbc" "ber gr\xc3\xbcnem Gras");
  free (decode (file->data, file->size, &width, &height, "sorad.seed", text));
  ck_assert_str_eq (text, "42");
  free (decode (file->data, file->size, &width, &height, "XML:com.adobe.xmp", text));
  ck_assert_ptr_nonnull (strstr (text, "trainedAlgorithmicMedia"));
  /* none: not a word, unless the mark was left off. */
  media_host_set_info (media, "metadata", "none");
  media_host_set_info (media, "prompt", NULL);
  run (media);
  file = media_host_file (media, 0);
  ck_assert (!holds (file, "sorad") && !holds (file, "small@") && !holds (file, "iTXt") && !holds (file, "tEXt"));
  media_host_set_mark (media, "off");
  run (media);
  file = media_host_file (media, 0);
  free (decode (file->data, file->size, &width, &height, "sorad.watermark", text));
  ck_assert_str_eq (text, "off");
  ck_assert (!holds (file, "small@"));
  free (data);
  media_host_free (media);
}
END_TEST

START_TEST (test_refusals)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, "sheet", 3);
  media_host_set_promised (media, -1);
  ck_assert_int_eq (media_host_infer (media), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (media_host_error (media), "known length"));
  media_host_set_promised (media, 9); /* two frames never come */
  ck_assert_int_eq (media_host_run (media), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (media_host_error (media), "ended after 7 frames, and was to have 9"));
  media_host_set_promised (media, 5);
  ck_assert_int_eq (media_host_run (media), SORA_FAILED);
  media_host_set_promised (media, T);
  media_host_cancel_after (media, 3);
  ck_assert_int_eq (media_host_run (media), SORA_CANCELLED);
  media_host_cancel_after (media, -1);
  media_host_set_frames (media, SORA_U8, 0, H, W, data, 1);
  media_host_set_promised (media, T);
  ck_assert_int_eq (media_host_run (media), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (media_host_error (media), "without a frame"));
  free (data);
  media_host_free (media);
}
END_TEST

/* A limit on the size of files stands in for a full disk. */
START_TEST (test_no_room)
{
  uint8_t *data = media_test_frames (T, H, W);
  MediaHost *media = host_with (data, layouts[_i], 3);
  signal (SIGXFSZ, SIG_IGN);
  const struct rlimit limit = { 1024, RLIM_INFINITY };
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  ck_assert_int_eq (media_host_run (media), SORA_FAILED);
  ck_assert_ptr_nonnull (strstr (media_host_error (media), strerror (EFBIG)));
  free (data);
  media_host_free (media);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("encode-png");
  TCase *tcase = tcase_create ("png");
  tcase_add_test (tcase, test_frames);
  tcase_add_test (tcase, test_sheet);
  tcase_add_test (tcase, test_apng);
  tcase_add_loop_test (tcase, test_same_bytes, 0, 3);
  tcase_add_test (tcase, test_rounding);
  tcase_add_test (tcase, test_metadata);
  tcase_add_test (tcase, test_refusals);
  tcase_add_loop_test (tcase, test_no_room, 0, 3);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
