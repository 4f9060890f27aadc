/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * precision=fast against precision=exact: the embedded model on its own activations and small
 * random models; the same bytes at one, two and three threads; memory
 * against what infer said.
 */
#include "kit-test.h"
#include "mini-host.h"

#include <stdio.h>

/* docs/numerics.md */
#define COSINE 0.9995
/* Random latents and texts are no sample of any job, and the embedded model, which was trained on
 * others, makes of them what has a few large numbers among small ones. */
#define COSINE_OF_NOISE 0.998

/* As it is installed, and with attention in 8 bits however few the tokens are. */
static const SoraStageClass *stages[2], *stage;

typedef struct
{
  const char *dir;
  int64_t c, t, side, width; /* latents, text */
} Model;

static const Model models[] = {
  { SORA_TEST_MODELS "/sora-shapes-1", 12, 5, 12, 160 },
  { SORA_TEST_GOLDEN "/models/small-a", 4, 3, 8, 48 },
  { SORA_TEST_GOLDEN "/models/small-a", 4, 3, 56,
    48 }, /* texts one by one, hidden rows in slices */
  { SORA_TEST_GOLDEN "/models/small-a", 4, 3, 80, 48 }, /* rows by parts */
};
enum
{
  MODELS = sizeof models / sizeof models[0],
  CASES = 2 * MODELS
};

/* Sets the stage of a case.  Returns: its model. */
static const Model *
choose (int index)
{
  stage = stages[index / MODELS];
  return &models[index % MODELS];
}

static MiniHost *
host_new (const Model *m, int threads, const char *precision)
{
  const size_t n = (size_t)(m->c * m->t * m->side * m->side);
  static const double timestep = 600;
  float *x = kit_test_new (n, 5), *text = kit_test_new ((size_t)(9 * m->width), 6);
  MiniHost *mini = mini_host_new (stage, m->dir, threads);
  mini_host_input (mini, "text", SORA_F32, 2, (const int64_t[]){ 9, m->width }, text);
  mini_host_input (mini, "latents", SORA_F32, 4, (const int64_t[]){ m->c, m->t, m->side, m->side },
                   x);
  mini_host_set_f64s (mini, "forward-timestep", &timestep, 1);
  if (precision != NULL)
    mini_host_set_string (mini, "precision", precision);
  sora_kit_free (x);
  sora_kit_free (text);
  return mini;
}

static const float *
run (MiniHost *mini, size_t *n)
{
  SoraTensorView view;
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
  mini_host_output (mini, "latents", 0, &view);
  *n = view.nbytes / sizeof (float);
  return view.data;
}

static double
cosine (const float *a, const float *b, size_t n)
{
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < n; i++)
    {
      ab += (double)a[i] * (double)b[i];
      aa += (double)a[i] * (double)a[i];
      bb += (double)b[i] * (double)b[i];
    }
  return ab / sqrt (aa * bb);
}

START_TEST (test_forward)
{
  const Model *m = choose (_i);
  size_t n;
  MiniHost *exact = host_new (m, 2, NULL);
  const float *want = run (exact, &n);
  float *first = NULL;
  for (int threads = 1; threads <= 3; threads++)
    {
      MiniHost *fast = host_new (m, threads, "fast");
      const float *got = run (fast, &n);
      const double is = cosine (got, want, n);
      if (getenv ("SORA_TEST_LOG") != NULL)
        fprintf (stderr, "%s, %lld: 1 - cosine %.3g\n", m->dir, (long long)m->side, 1 - is);
      ck_assert_msg (is >= (m == models ? COSINE_OF_NOISE : COSINE), "%s: cosine %.7f", m->dir, is);
      ck_assert_int_ne (memcmp (got, want, n * sizeof *got), 0); /* it is another computation */
      if (first == NULL)
        first = memcpy (sora_kit_alloc (n, sizeof *first), got, n * sizeof *first);
      ck_assert_msg (memcmp (first, got, n * sizeof *got) == 0, "other bytes at %d threads",
                     threads);
      mini_host_free (fast);
    }
  sora_kit_free (first);
  mini_host_free (exact);
}
END_TEST

/* The embedded model at many times on samples between noise and a clip, which is what its layers
 * meet in a job. */
START_TEST (test_real_activations)
{
  const Model *m = choose (_i * MODELS);
  const size_t n = (size_t)(m->c * m->t * m->side * m->side);
  float *sample = NULL;
  size_t got;
  for (int steps = 2; steps <= 8; steps += 3)
    {
      /* What the first steps of so many leave. */
      float *text = kit_test_new ((size_t)(9 * m->width), 6);
      MiniHost *mini = mini_host_new (stage, m->dir, 2);
      mini_host_input (mini, "text", SORA_F32, 2, (const int64_t[]){ 9, m->width }, text);
      mini_host_set_i64 (mini, "steps", steps);
      mini_host_set_f64 (mini, "guidance-scale", 1);
      mini_host_set_i64 (mini, "width", 8 * m->side);
      mini_host_set_i64 (mini, "height", 8 * m->side);
      mini_host_set_i64 (mini, "frames", 4 * m->t - 3);
      const float *clip = run (mini, &got);
      ck_assert_uint_eq (got, n);
      sample = memcpy (sora_kit_alloc (n, sizeof *sample), clip, n * sizeof *sample);
      mini_host_free (mini);
      for (double t = 50; t < 1000; t += 300)
        {
          float *noise = kit_test_new (n, 77), *outs[2];
          for (size_t i = 0; i < n; i++)
            noise[i] = (float)(t / 1000) * 1.7f * noise[i] + (float)(1 - t / 1000) * sample[i];
          for (int p = 0; p < 2; p++)
            {
              mini = mini_host_new (stage, m->dir, 2);
              mini_host_input (mini, "text", SORA_F32, 2, (const int64_t[]){ 9, m->width }, text);
              mini_host_input (mini, "latents", SORA_F32, 4,
                               (const int64_t[]){ m->c, m->t, m->side, m->side }, noise);
              mini_host_set_f64s (mini, "forward-timestep", &t, 1);
              mini_host_set_string (mini, "precision", p ? "fast" : "exact");
              outs[p] = memcpy (sora_kit_alloc (n, sizeof (float)), run (mini, &got),
                                n * sizeof (float));
              mini_host_free (mini);
            }
          const double is = cosine (outs[0], outs[1], n);
          if (getenv ("SORA_TEST_LOG") != NULL)
            fprintf (stderr, "%d steps, time %g: 1 - cosine %.3g\n", steps, t, 1 - is);
          ck_assert_msg (is >= COSINE, "%d steps, time %g: cosine %.7f", steps, t, is);
          sora_kit_free (outs[0]);
          sora_kit_free (outs[1]);
          sora_kit_free (noise);
        }
      sora_kit_free (sample);
      sora_kit_free (text);
    }
}
END_TEST

/* Texts and latents that the embedded model's goldens were made of. */
START_TEST (test_goldens)
{
  static const char *const cases[] = { "t5-8x8", "t2-6x8" };
  static const double times[] = { 50, 300, 600, 900 };
  MiniFile *file = mini_file_open (SORA_TEST_GOLDEN "/embedded/dit-embedded.safetensors");
  SoraTensorView text = { .struct_size = sizeof text }, latents = { .struct_size = sizeof latents };
  char name[64];
  ck_assert_ptr_nonnull (file);
  stage = stages[_i / 2];
  (void)snprintf (name, sizeof name, "%s.text", cases[_i % 2]);
  ck_assert_int_eq (mini_file_tensor (file, name, &text), SORA_OK);
  (void)snprintf (name, sizeof name, "%s.latents", cases[_i % 2]);
  ck_assert_int_eq (mini_file_tensor (file, name, &latents), SORA_OK);
  for (size_t t = 0; t < sizeof times / sizeof times[0]; t++)
    {
      MiniHost *minis[2];
      const float *outs[2];
      size_t n;
      for (int p = 0; p < 2; p++)
        {
          minis[p] = mini_host_new (stage, models[0].dir, 1);
          mini_host_input (minis[p], "text", SORA_F32, text.ndim, text.shape, text.data);
          mini_host_input (minis[p], "latents", SORA_F32, latents.ndim, latents.shape,
                           latents.data);
          mini_host_set_f64s (minis[p], "forward-timestep", &times[t], 1);
          mini_host_set_string (minis[p], "precision", p ? "fast" : "exact");
          outs[p] = run (minis[p], &n);
        }
      const double is = cosine (outs[0], outs[1], n);
      ck_assert_msg (is >= COSINE_OF_NOISE, "%s, time %g: cosine %.7f", cases[_i % 2], times[t],
                     is);
      mini_host_free (minis[0]);
      mini_host_free (minis[1]);
    }
  mini_file_close (file);
}
END_TEST

/* The packed form is smaller, infer says so, and the heap agrees. */
START_TEST (test_memory)
{
  const Model *m = choose (_i);
  uint64_t packed[2];
  size_t n;
  for (int p = 0; p < 2; p++)
    {
      MiniHost *mini = host_new (m, 1, p ? "fast" : "exact");
      mini_host_weigh (mini);
      (void)run (mini, &n);
      const SoraCost *cost = mini_host_cost (mini);
      const uint64_t told = cost->packed_bytes + cost->work_bytes + cost->output_bytes,
                     took = mini_host_heap_peak (mini);
      packed[p] = cost->packed_bytes;
      ck_assert_msg (took <= told, "%s: %llu bytes, told %llu", p ? "fast" : "exact",
                     (unsigned long long)took, (unsigned long long)told);
      mini_host_free (mini);
    }
  ck_assert_uint_lt (packed[1], packed[0] * 3 / 4);
}
END_TEST

START_TEST (test_refused)
{
  MiniHost *mini = host_new (choose (1), 1, "half");
  ck_assert_int_ne (mini_host_infer (mini), SORA_OK);
  ck_assert_ptr_nonnull (
      strstr (mini_host_error (mini), "precision is 'half', expected exact or fast"));
  mini_host_free (mini);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("dit-fast");
  TCase *tests = tcase_create ("dit-fast");
  stages[0] = mini_host_load (SORA_TEST_PLUGINS "/dit-wan.so", "dit-wan");
  stages[1] = mini_host_load (SORA_TEST_IN8 "/dit-wan.so", "dit-wan");
  tcase_set_timeout (tests, 600);
  tcase_add_loop_test (tests, test_forward, 0, CASES);
  tcase_add_loop_test (tests, test_real_activations, 0, 2);
  tcase_add_loop_test (tests, test_goldens, 0, 4);
  tcase_add_loop_test (tests, test_memory, 0, CASES);
  tcase_add_test (tests, test_refused);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
