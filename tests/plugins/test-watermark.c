/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * test-watermark: the mark is there and can be read, stays in its place and its size, comes out the same however the
 * stream is cut, and is not there when switched off.
 */
#include "media-host.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *
plain (int frames, int height, int width, uint8_t value)
{
  const size_t n = (size_t) frames * (size_t) height * (size_t) width * 3;
  uint8_t *data = malloc (n);
  memset (data, value, n);
  return data;
}

/* Where frame @t differs from @before: its box, and by how much. */
typedef struct {
  int left, top, right, bottom; /* exclusive; right 0: nowhere */
  int pixels, lightest, darkest;
} Change;

static Change
change_of (const uint8_t *before, const uint8_t *after, int t, int height, int width)
{
  Change c = { .left = width, .top = height, .darkest = 255 };
  const size_t at = (size_t) t * (size_t) height * (size_t) width * 3;
  before += at;
  after += at;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++, before += 3, after += 3)
      if (memcmp (before, after, 3) != 0)
        {
          c.left = x < c.left ? x : c.left;
          c.right = x >= c.right ? x + 1 : c.right;
          c.top = y < c.top ? y : c.top;
          c.bottom = y >= c.bottom ? y + 1 : c.bottom;
          c.lightest = after[1] > c.lightest ? after[1] : c.lightest;
          c.darkest = after[1] < c.darkest ? after[1] : c.darkest;
          c.pixels++;
        }
  return c;
}

static const uint8_t *
run_u8 (MediaHost *media, int frames, int height, int width, const uint8_t *data, int chunk)
{
  size_t size;
  media_host_set_frames (media, SORA_U8, frames, height, width, data, chunk);
  ck_assert_msg (media_host_run (media) == SORA_OK, "%s", media_host_error (media));
  const uint8_t *output = media_host_output (media, &size);
  ck_assert_uint_eq (size, (size_t) frames * (size_t) height * (size_t) width * 3);
  return output;
}

static const struct {
  int width, height;
} sizes[] = { { 32, 32 }, { 64, 64 }, { 96, 64 }, { 128, 128 }, { 256, 160 }, { 480, 832 }, { 832, 480 }, { 3840, 2160 } };

/* On black, grey and white, at every size: inside the frame, of bounded extent, light and dark far enough apart. */
START_TEST (test_legible)
{
  const int width = sizes[_i].width, height = sizes[_i].height;
  static const uint8_t grounds[] = { 0, 64, 128, 192, 255 };
  for (size_t g = 0; g < sizeof grounds; g++)
    {
      MediaHost *media = media_host_new ("watermark");
      uint8_t *data = plain (1, height, width, grounds[g]);
      const Change c = change_of (data, run_u8 (media, 1, height, width, data, 1), 0, height, width);
      ck_assert_int_gt (c.right, 0);
      /* Not at the very border, at least as high as the pixel face, at most the wanted size and its soft edge. */
      ck_assert (c.left > 0 && c.top > 0 && c.right < width && c.bottom < height);
      const int tall = c.bottom - c.top;
      ck_assert_int_ge (tall, 6);
      ck_assert_msg (tall <= fmax (10, 0.09 * height * 1.45 + 4), "%d of %d", tall, height);
      ck_assert_msg (c.right - c.left <= fmax (24, 0.09 * height * 6.2 + 4), "%d wide", c.right - c.left);
      /* Letters are strokes, not a plate. */
      ck_assert_int_lt (c.pixels, tall * (c.right - c.left));
      const int light = grounds[g] > c.lightest ? grounds[g] : c.lightest;
      const int dark = grounds[g] < c.darkest ? grounds[g] : c.darkest;
      ck_assert_msg (light - dark >= 100, "on %d: %d to %d at %dx%d", grounds[g], dark, light, width, height);
      free (data);
      media_host_free (media);
    }
}
END_TEST

static const int chunks[] = { 1, 2, 3, 5, 21 };

START_TEST (test_chunks)
{
  MediaHost *whole = media_host_new ("watermark"), *cut = media_host_new ("watermark");
  uint8_t *data = media_test_frames (21, 80, 144);
  const uint8_t *a = run_u8 (whole, 21, 80, 144, data, 7);
  const uint8_t *b = run_u8 (cut, 21, 80, 144, data, chunks[_i]);
  ck_assert_mem_eq (a, b, 21 * 80 * 144 * 3);
  ck_assert_mem_ne (a, data, 21 * 80 * 144 * 3);
  free (data);
  media_host_free (whole);
  media_host_free (cut);
}
END_TEST

/* It glides: no frame is far from the one before, all round, and the round is closed. */
START_TEST (test_wanders)
{
  enum { W = 96, H = 64, T = 121 };
  MediaHost *media = media_host_new ("watermark");
  uint8_t *data = plain (T, H, W, 100);
  media_host_set_f64 (media, "speed", 10); /* a round in 6 s: 120 frames at 20 */
  media_host_set_fps (media, 20);
  const uint8_t *out = run_u8 (media, T, H, W, data, 4);
  Change before = change_of (data, out, 0, H, W);
  const Change first = before;
  ck_assert (first.left > W / 2 - 10 && first.top > H / 2); /* begins at the lower right */
  int leftmost = W, topmost = H;
  for (int t = 1; t < T; t++)
    {
      const Change now = change_of (data, out, t, H, W);
      ck_assert_int_le (abs (now.left - before.left), 6);
      ck_assert_int_le (abs (now.top - before.top), 6);
      ck_assert (now.left >= 0 && now.right <= W && now.top >= 0 && now.bottom <= H);
      leftmost = now.left < leftmost ? now.left : leftmost;
      topmost = now.top < topmost ? now.top : topmost;
      before = now;
    }
  ck_assert_int_lt (leftmost, 8);
  ck_assert_int_lt (topmost, 8);
  ck_assert_int_eq (before.left, first.left);
  ck_assert_int_eq (before.top, first.top);
  /* At its own pace it takes ten times as long. */
  media_host_set_f64 (media, "speed", 1);
  const Change slow = change_of (data, run_u8 (media, T, H, W, data, 4), 12, H, W);
  ck_assert_int_le (abs (slow.top - first.top), 8);
  free (data);
  media_host_free (media);
}
END_TEST

static const struct {
  const char *name;
  int right, down; /* -1, 0, 1: which third of the frame its middle is in */
} places[] = { { "bottom-right", 1, 1 }, { "bottom-left", -1, 1 }, { "top-right", 1, -1 }, { "top-left", -1, -1 }, { "center", 0, 0 } };

START_TEST (test_places)
{
  enum { W = 400, H = 240 };
  MediaHost *media = media_host_new ("watermark");
  uint8_t *data = plain (2, H, W, 100);
  media_host_set_string (media, "position", places[_i].name);
  const uint8_t *out = run_u8 (media, 2, H, W, data, 1);
  const Change c = change_of (data, out, 0, H, W), d = change_of (data, out, 1, H, W);
  ck_assert_int_eq ((c.left + c.right) / 2 * 3 / W - 1, places[_i].right);
  ck_assert_int_eq ((c.top + c.bottom) / 2 * 3 / H - 1, places[_i].down);
  ck_assert (c.left == d.left && c.top == d.top);
  free (data);
  media_host_free (media);
}
END_TEST

START_TEST (test_off)
{
  MediaHost *media = media_host_new ("watermark");
  uint8_t *data = media_test_frames (5, 48, 64);
  media_host_set_i64 (media, "enabled", 0);
  ck_assert_mem_eq (run_u8 (media, 5, 48, 64, data, 2), data, 5 * 48 * 64 * 3);
  ck_assert_str_eq (media_host_output_mark (media), "off");
  ck_assert_double_eq (media_host_output_fps (media), 16);
  /* An earlier stage's mark does not go away with ours. */
  media_host_set_mark (media, "visible");
  ck_assert_mem_eq (run_u8 (media, 5, 48, 64, data, 2), data, 5 * 48 * 64 * 3);
  ck_assert_str_eq (media_host_output_mark (media), "visible");
  media_host_set_i64 (media, "enabled", 1);
  media_host_set_mark (media, NULL);
  ck_assert_mem_ne (run_u8 (media, 5, 48, 64, data, 2), data, 5 * 48 * 64 * 3);
  ck_assert_str_eq (media_host_output_mark (media), "visible");
  free (data);
  media_host_free (media);
}
END_TEST

/* f32 is u8 without the rounding, and what others hold is not written. */
START_TEST (test_f32)
{
  enum { N = 3 * 80 * 144 * 3 };
  MediaHost *media = media_host_new ("watermark"), *other = media_host_new ("watermark");
  uint8_t *data = media_test_frames (3, 80, 144);
  float *values = malloc (N * sizeof *values);
  for (int i = 0; i < N; i++)
    values[i] = (float) data[i] / 255.0f;
  const uint8_t *u8 = run_u8 (media, 3, 80, 144, data, 2);
  size_t size;
  media_host_set_frames (other, SORA_F32, 3, 80, 144, values, 2);
  media_host_share (other);
  ck_assert_int_eq (media_host_run (other), SORA_OK);
  const float *f32 = (const float *) media_host_output (other, &size);
  ck_assert_uint_eq (size, N * sizeof *f32);
  int other_values = 0;
  for (int i = 0; i < N; i++)
    other_values += lrintf (f32[i] * 255.0f) != u8[i];
  ck_assert_int_eq (other_values, 0);
  free (values);
  free (data);
  media_host_free (media);
  media_host_free (other);
}
END_TEST

/* More opacity, more of a change; a larger size, a larger mark; another text, another width. */
START_TEST (test_settings)
{
  enum { W = 832, H = 480 };
  MediaHost *media = media_host_new ("watermark");
  uint8_t *data = plain (1, H, W, 0);
  const Change usual = change_of (data, run_u8 (media, 1, H, W, data, 1), 0, H, W);
  media_host_set_f64 (media, "opacity", 0.2);
  const Change faint = change_of (data, run_u8 (media, 1, H, W, data, 1), 0, H, W);
  ck_assert_int_eq (usual.lightest, 140); /* 0.55 of white */
  ck_assert_int_eq (faint.lightest, 51);
  media_host_set_f64 (media, "size", 0.2);
  const Change large = change_of (data, run_u8 (media, 1, H, W, data, 1), 0, H, W);
  ck_assert_int_gt (large.bottom - large.top, 3 * (faint.bottom - faint.top) / 2);
  media_host_set_f64 (media, "size", 0.09);
  media_host_set_string (media, "text", "Studio 42: a-b_c/d+e.");
  const Change longer = change_of (data, run_u8 (media, 1, H, W, data, 1), 0, H, W);
  ck_assert_int_gt (longer.right - longer.left, 2 * (faint.right - faint.left));
  ck_assert (longer.left > 0 && longer.right < W);
  free (data);
  media_host_free (media);
}
END_TEST

/* Every sign of the charset draws something of its own, in both faces. */
START_TEST (test_charset)
{
  static const char signs[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/:+";
  const int height = _i == 0 ? 60 : 200, width = 200;
  const size_t n = (size_t) height * (size_t) width * 3;
  MediaHost *media = media_host_new ("watermark");
  uint8_t *data = plain (1, height, width, 0), *seen = malloc (n * sizeof signs);
  media_host_set_string (media, "position", "bottom-left");
  for (size_t i = 0; signs[i]; i++)
    {
      const char text[] = { signs[i], 0 };
      media_host_set_string (media, "text", text);
      memcpy (seen + i * n, run_u8 (media, 1, height, width, data, 1), n);
      ck_assert_mem_ne (seen + i * n, data, n);
      for (size_t k = 0; k < i; k++)
        ck_assert_msg (memcmp (seen + i * n, seen + k * n, n) != 0, "'%c' and '%c' look the same", signs[i], signs[k]);
    }
  free (seen);
  free (data);
  media_host_free (media);
}
END_TEST

static void
refused (MediaHost *media, const char *part)
{
  ck_assert_int_eq (media_host_infer (media), SORA_FAILED);
  ck_assert_msg (strstr (media_host_error (media), part) != NULL, "'%s' does not say '%s'", media_host_error (media), part);
}

START_TEST (test_refusals)
{
  MediaHost *media = media_host_new ("watermark");
  uint8_t *data = plain (1, 64, 64, 0);
  media_host_set_frames (media, SORA_U8, 1, 64, 64, data, 1);
  media_host_set_string (media, "text", "sora\xc3\xa9");
  refused (media, "byte 5");
  media_host_set_string (media, "text", "");
  refused (media, "draws nothing");
  media_host_set_string (media, "text", "   ");
  refused (media, "draws nothing");
  media_host_set_string (media, "text", "much too long for so small a frame");
  refused (media, "64x64");
  media_host_set_i64 (media, "enabled", 0);
  ck_assert_int_eq (media_host_infer (media), SORA_OK); /* what is not drawn need not fit */
  media_host_set_i64 (media, "enabled", 1);
  media_host_set_string (media, "text", "sorad");
  media_host_set_frames (media, SORA_U8, 1, 8, 64, data, 1);
  refused (media, "64x8");
  free (data);
  media_host_free (media);
}
END_TEST

START_TEST (test_cancel)
{
  MediaHost *media = media_host_new ("watermark");
  uint8_t *data = plain (9, 64, 64, 0);
  media_host_set_frames (media, SORA_U8, 9, 64, 64, data, 3);
  media_host_cancel_after (media, 4);
  ck_assert_int_eq (media_host_run (media), SORA_CANCELLED);
  free (data);
  media_host_free (media);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("watermark");
  TCase *tcase = tcase_create ("mark");
  tcase_add_loop_test (tcase, test_legible, 0, (int) (sizeof sizes / sizeof *sizes));
  tcase_add_loop_test (tcase, test_chunks, 0, (int) (sizeof chunks / sizeof *chunks));
  tcase_add_test (tcase, test_wanders);
  tcase_add_loop_test (tcase, test_places, 0, (int) (sizeof places / sizeof *places));
  tcase_add_test (tcase, test_off);
  tcase_add_test (tcase, test_f32);
  tcase_add_test (tcase, test_settings);
  tcase_add_loop_test (tcase, test_charset, 0, 2);
  tcase_add_test (tcase, test_refusals);
  tcase_add_test (tcase, test_cancel);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
