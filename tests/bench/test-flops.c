/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The bench's formulas, against small cases counted by hand, against the operations that were
 * counted in the reference's forward at full size, and the peak's loop against the sum that it has
 * to give.
 */
#include "bench-flops.h"
#include "bench-peak.h"
#include "bench-peak-loops.h"
#include <check.h>
#include <stdlib.h>

static const BenchDit wan13 = { 30, 1536, 8960, 4096, 256, 64, 64 };
static const BenchVae wan_vae = { 16, 96, { 1, 2, 4, 4 }, 4, 3, { 1, 1, 0 } };

/* One layer, 2 tokens, 3 rows of text, width 4, 5 in the feed-forward layer, sinusoids of 6, 7
 * values a token in, 8 out. By multiply-adds: self q k v o 4·2·16 = 128; scores and values
 * 2·(2·2·4) = 32; cross q o 2·2·16 = 64, its scores and values 2·(2·3·4) = 48; feed-forward 2·2·4·5
 * = 80; time 4·6 + 16 + 6·16 = 136; patches 2·4·(7+8) = 120: 608. */
START_TEST (test_dit_by_hand)
{
  const BenchDit dit = { 1, 4, 5, 9, 6, 7, 8 };
  ck_assert_double_eq (bench_flops_dit (&dit, 2, 3), 2.0 * 608);
  ck_assert_double_eq (bench_flops_dit_attention (&dit, 2), 2.0 * 32);
  /* The text: 3·9·4 + 3·16, and keys and values 2·3·16: 252. */
  ck_assert_double_eq (bench_flops_dit_text (&dit, 3), 2.0 * 252);
}
END_TEST

/* TFLOP of the reference's forward, which attends to 512 rows of text and computes their keys each
 * time. */
START_TEST (test_dit_at_full_size)
{
  static const struct
  {
    int64_t tokens;
    double tflop;
  } known[] = { { 720, 2.118 }, { 1950, 5.916 }, { 3120, 10.046 } };
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    {
      const double flops
          = bench_flops_dit (&wan13, known[i].tokens, 512) + bench_flops_dit_text (&wan13, 512);
      ck_assert_double_eq_tol (flops / 1e12, known[i].tflop, 0.0006);
    }
}
END_TEST

/* One level, one resnet, 2 latents, 1 picture of 1 × 3, widths 5.  By multiply-adds a pixel:
 * post_quant 4, conv_in 27·2·5 = 270, two resnets 4·(27·25) = 2700, q k v and output 4·25 = 100;
 * attention once 2·9·5 = 90; the level's resnet 2·27·25 = 1350; conv_out 27·5·3 = 405.  Of 3
 * pixels: 3·4829 + 90 = 14577. */
START_TEST (test_vae_by_hand)
{
  const BenchVae vae = { 2, 5, { 1 }, 1, 1, { 0 } };
  ck_assert_double_eq (bench_flops_vae (&vae, 1, 1, 3), 2.0 * 14577);
  /* Two levels: inner 10 wide, outer 5; time is doubled, so 2 latents of 1 × 1 are 3 pictures of 2
   * × 2. Inside, of 2 pixels: 4 + 27·2·10 + 6·27·100 + 4·100 = 17144 each, and attention 2·10 each:
   * 34328.  To the outside: time 10·20·3 = 600 for the second one; 12 pixels of 10·5·9 = 450: 6000.
   * There 12 pixels of 2·27·25 + 27·15 = 1755: 21060. */
  const BenchVae two = { 2, 5, { 1, 2 }, 2, 1, { 1 } };
  ck_assert_double_eq (bench_flops_vae (&two, 2, 1, 1), 2.0 * (34328 + 6000 + 21060));
}
END_TEST

START_TEST (test_vae_at_full_size)
{
  static const struct
  {
    int64_t frames, height, width;
    double tflop;
  } known[] = { { 5, 18, 32, 5.38 }, { 5, 30, 52, 14.58 }, { 2, 60, 104, 17.90 } };
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    ck_assert_double_eq_tol (
        bench_flops_vae (&wan_vae, known[i].frames, known[i].height, known[i].width) / 1e12,
        known[i].tflop, 0.006);
}
END_TEST

/* Widths 1 throughout, one latent of one pixel, which becomes one picture of 8 × 8.  First 16·9.
 * The levels have 1, 1 and 2 frames of 1, 4 and 16 pixels, so 1, 4 and 32 of them, with three
 * blocks of 9·2 + 9 + 9 = 36; frames are made by 1, 2·4 and 2·32; then 4 pixels, 2·16 and, of the
 * one picture that is kept, 64 pixels of 9; which is 64 of 27. */
START_TEST (test_tiny_by_hand)
{
  const int64_t widths[4] = { 1, 1, 1, 1 };
  const double sum = 16 * 9 + 3 * 36 * (1 + 4 + 32) + (1 + 8 + 64) + 9 * (4 + 32 + 64) + 27 * 64;
  ck_assert_double_eq (bench_flops_tiny (widths, 1, 1, 1), 2 * sum);
}
END_TEST

/* 3 tokens, width 4, heads of 5 together, 6 in the gate: 4·3·4·5 + 3·3·4·6 + 2·9·5 = 546 a layer.
 */
START_TEST (test_text_by_hand)
{
  const BenchText text = { 2, 4, 5, 6 };
  ck_assert_double_eq (bench_flops_text (&text, 3), 2.0 * 2 * 546);
}
END_TEST

/* Each multiply-add adds a quarter; sums up to 2^24 quarters are exact in f32. */
START_TEST (test_peaks_do_what_they_count)
{
  BenchBurst (*const loops[]) (const char **) = { bench_loop_fma, bench_loop_block };
  for (size_t i = 0; i < G_N_ELEMENTS (loops); i++)
    {
      const char *name;
      const BenchBurst burst = loops[i](&name);
      double ops = 0;
      if (burst == NULL)
        continue;
      const double sum = burst (&ops);
      ck_assert_double_gt (ops, 2000);
      ck_assert_double_eq (sum, ops / 2 / 4);
    }
}
END_TEST

START_TEST (test_peaks_are_told)
{
  BenchPeak read, int8, block;
  const BenchPeak fma = bench_peak_fma (2, 0.001);
  ck_assert_ptr_nonnull (fma.name);
  ck_assert (fma.rate > 0 && fma.wall > 0);
  ck_assert (bench_peak_read (2, 1 << 20, 0.001, &read));
  ck_assert (read.rate > 0 && read.wall > 0);
  if (bench_peak_block (2, 0.001, &block))
    ck_assert (block.name != NULL && block.rate > 0 && block.wall > 0);
  if (bench_peak_int8 (2, 0.001, &int8))
    ck_assert (int8.name != NULL && int8.rate > 0 && int8.wall > 0);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("flops");
  TCase *tcase = tcase_create ("flops");
  tcase_add_test (tcase, test_dit_by_hand);
  tcase_add_test (tcase, test_dit_at_full_size);
  tcase_add_test (tcase, test_vae_by_hand);
  tcase_add_test (tcase, test_vae_at_full_size);
  tcase_add_test (tcase, test_tiny_by_hand);
  tcase_add_test (tcase, test_text_by_hand);
  tcase_add_test (tcase, test_peaks_do_what_they_count);
  tcase_add_test (tcase, test_peaks_are_told);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
