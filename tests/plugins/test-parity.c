/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Every numeric stage against diffusers and transformers, by the golden cases of three small models
 * and of the one that is shipped; and the same bytes at 1, 2 and 3 threads.  Prints a table of the
 * errors seen.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "parity.h"

#define TEXT_TOLERANCE 1e-4
#define DIT_TOLERANCE 1e-3
#define VAE_TOLERANCE 1e-3
#define FRAMES_MEAN 2.0
#define PADDED 512

static const char *const tokens_and_embedding[] = { "tokens", "embedding", NULL };
static const char *const embeddings[] = { "embedding", "negative", NULL };
static const char *const latents_port[] = { "latents", NULL };
static const char *const frames_port[] = { "frames", NULL };

/* ----------------------------------------------------------------------------- single stages -- */

static void
check_text (ParitySet *set, json_t *item)
{
  const char *name = parity_case_string (item, "name"), *of = parity_case_string (item, "model");
  const char *prompt = parity_case_string (json_object_get (item, "params"), "prompt");
  g_autofree char *model = parity_case_model (set, item);
  g_autoptr (SoraTensor) tokens = parity_case_tensor (set, item, "outputs", "tokens");
  g_autoptr (SoraTensor) embedding = parity_case_tensor (set, item, "outputs", "embedding");
  ParityStage *stage = parity_stage_new ("text-umt5", model);
  SoraTensor *found[2];

  if (prompt[0] == '\0') /* a prompt of no words is a negative one */
    {
      parity_stage_set (stage, "prompt", g_variant_new_string ("any"));
      parity_stage_set (stage, "negative-prompt", g_variant_new_string (prompt));
      parity_stage_run (stage, set, embeddings, found);
    }
  else
    {
      parity_stage_set (stage, "prompt", g_variant_new_string (prompt));
      parity_stage_run (stage, set, tokens_and_embedding, found);
      ck_assert_msg (parity_distance (found[0], tokens, "tokens").error == 0, "%s: other tokens",
                     name);
    }
  if (embedding != NULL)
    parity_check ("text", of, name, found[1], embedding, TEXT_TOLERANCE);
  sora_tensor_unref (found[0]);
  sora_tensor_unref (found[1]);
  parity_stage_free (stage);
}

static void
check_dit (ParitySet *set, json_t *item)
{
  static const char *const sides[2][2] = { { "text", "cond" }, { "negative", "uncond" } };
  const double timestep
      = json_number_value (json_object_get (json_object_get (item, "params"), "timestep"));
  g_autofree char *model = parity_case_model (set, item);

  for (int i = 0; i < 2; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s t=%g %s", parity_case_string (item, "name"),
                                               timestep, sides[i][1]);
      g_autoptr (SoraTensor) expected = parity_case_tensor (set, item, "outputs", sides[i][1]);
      g_autoptr (SoraTensor) found = NULL;
      ParityStage *stage = parity_stage_new ("dit-wan", model);

      parity_stage_input (stage, "latents", parity_case_tensor (set, item, "inputs", "latents"), 0);
      parity_stage_input (stage, "text", parity_case_tensor (set, item, "inputs", sides[i][0]),
                          PADDED);
      parity_stage_set (stage, "guidance-scale", g_variant_new_double (1.0));
      parity_stage_set (
          stage, "forward-timestep",
          g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, &timestep, 1, sizeof timestep));
      parity_stage_run (stage, set, latents_port, &found);
      parity_check ("dit", parity_case_string (item, "model"), name, found, expected,
                    DIT_TOLERANCE);
      parity_stage_free (stage);
    }
}

static void
check_vae (ParitySet *set, json_t *item)
{
  g_autofree char *model = parity_case_model (set, item);
  g_autoptr (SoraTensor) expected = parity_case_tensor (set, item, "outputs", "frames");
  g_autoptr (SoraTensor) found = NULL;
  ParityStage *stage = parity_stage_new ("vae-wan", model);

  parity_stage_input (stage, "latents", parity_case_tensor (set, item, "inputs", "latents"), 0);
  parity_stage_set (stage, "format", g_variant_new_string ("f32"));
  parity_stage_run (stage, set, frames_port, &found);
  parity_check ("vae", parity_case_string (item, "model"), parity_case_string (item, "name"), found,
                expected, VAE_TOLERANCE);
  parity_stage_free (stage);
}

/* ------------------------------------------------------------------------------ whole pipeline --
 */

static void
set_number (ParityStage *stage, json_t *params, const char *name)
{
  json_t *value = json_object_get (params, name);

  ck_assert_msg (json_is_number (value), "a case without '%s'", name);
  parity_stage_set (stage, name,
                    json_is_integer (value) ? g_variant_new_int64 (json_integer_value (value))
                                            : g_variant_new_double (json_real_value (value)));
}

/* The prompt through all three stages, each fed with what the one before gave. */
static void
run_pipeline (ParitySet *set, json_t *item, guint threads, SoraTensor **latents,
              SoraTensor **frames)
{
  static const char *const numbers[]
      = { "steps", "guidance-scale", "flow-shift", "width", "height", "frames" };
  json_t *params = json_object_get (item, "params");
  g_autofree char *model = parity_case_model (set, item);
  ParityStage *text = parity_stage_new ("text-umt5", model);
  ParityStage *denoise = parity_stage_new ("dit-wan", model);
  ParityStage *decode = parity_stage_new ("vae-wan", model);
  SoraTensor *rows[2];

  text->threads = denoise->threads = decode->threads = threads;
  denoise->seed = (guint64)json_integer_value (json_object_get (params, "seed"));
  parity_stage_set (text, "prompt", g_variant_new_string (parity_case_string (params, "prompt")));
  parity_stage_set (text, "negative-prompt",
                    g_variant_new_string (parity_case_string (params, "negative-prompt")));
  parity_stage_run (text, set, embeddings, rows);
  parity_stage_input (denoise, "text", rows[0], PADDED);
  parity_stage_input (denoise, "negative", rows[1], PADDED);
  parity_stage_set (denoise, "sampler",
                    g_variant_new_string (parity_case_string (params, "sampler")));
  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    set_number (denoise, params, numbers[i]);
  parity_stage_run (denoise, set, latents_port, latents);
  parity_stage_input (decode, "latents", sora_tensor_ref (*latents), 0);
  parity_stage_run (decode, set, frames_port, frames);
  parity_stage_free (text);
  parity_stage_free (denoise);
  parity_stage_free (decode);
}

static void
same_bytes (SoraTensor *a, SoraTensor *b, const char *what, guint threads)
{
  SoraTensorView va = { .struct_size = sizeof va }, vb = { .struct_size = sizeof vb };

  sora_tensor_get_view (a, &va);
  sora_tensor_get_view (b, &vb);
  ck_assert_uint_eq (va.nbytes, vb.nbytes);
  ck_assert_msg (memcmp (va.data, vb.data, va.nbytes) == 0, "%s: other bytes with %u threads", what,
                 threads);
}

static void
check_pipeline (ParitySet *set, json_t *item)
{
  const char *name = parity_case_string (item, "name"), *of = parity_case_string (item, "model");
  g_autofree char *label = g_strdup_printf ("%s latents", name);
  g_autoptr (SoraTensor) expected_latents = parity_case_tensor (set, item, "outputs", "latents");
  g_autoptr (SoraTensor) expected_frames = parity_case_tensor (set, item, "outputs", "frames");
  g_autoptr (SoraTensor) latents = NULL, frames = NULL;
  ParityDistance d;

  run_pipeline (set, item, 2, &latents, &frames);
  parity_check ("pipeline", of, label, latents, expected_latents, DIT_TOLERANCE);
  d = parity_distance (frames, expected_frames, name);
  printf ("%-10s %-9s %-28s mean %.4f of 255, at most %.0f\n", "pipeline", of, name, d.mean,
          FRAMES_MEAN);
  ck_assert_msg (d.mean <= FRAMES_MEAN, "%s: frames differ by %g of 255 in the mean", name, d.mean);
  for (guint threads = 1; threads <= 3; threads += 2)
    {
      g_autoptr (SoraTensor) other_latents = NULL, other_frames = NULL;

      run_pipeline (set, item, threads, &other_latents, &other_frames);
      same_bytes (latents, other_latents, label, threads);
      same_bytes (frames, other_frames, name, threads);
    }
}

/* ---------------------------------------------------------------------------------------- sets --
 */

static guint
check_set (ParitySet *set, const char *kind, void (*check) (ParitySet *, json_t *))
{
  guint seen = 0;
  json_t *item;
  size_t i;

  json_array_foreach (set->cases, i,
                      item) if (strcmp (parity_case_string (item, "kind"), kind) == 0)
  {
    check (set, item);
    seen++;
  }
  return seen;
}

static void
check_small (const char *kind, void (*check) (ParitySet *, json_t *), guint expected)
{
  ParitySet *set = parity_set_open (SORA_TEST_GOLDEN, NULL);

  ck_assert_ptr_nonnull (set);
  ck_assert_uint_ge (check_set (set, kind, check), expected);
  parity_set_close (set);
}

START_TEST (test_text) { check_small ("text", check_text, 15); }
END_TEST

START_TEST (test_dit) { check_small ("dit", check_dit, 13); }
END_TEST

START_TEST (test_vae) { check_small ("vae", check_vae, 9); }
END_TEST

START_TEST (test_pipeline) { check_small ("pipeline", check_pipeline, 9); }
END_TEST

/* Goldens of other weights would show as errors of the code: say which it is. */
static void
check_digests (ParitySet *set)
{
  const char *file;
  json_t *expected;

  json_object_foreach (json_object_get (set->root, "sha256"), file, expected)
  {
    g_autofree char *path = g_build_filename (set->model_folder, file, NULL), *bytes = NULL;
    g_autofree char *found = NULL;
    gsize size;

    ck_assert_msg (g_file_get_contents (path, &bytes, &size, NULL), "cannot read %s", path);
    found = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *)bytes, size);
    ck_assert_msg (strcmp (found, json_string_value (expected)) == 0,
                   "%s is not the file that the goldens were made with: run "
                   "tools/models/make_goldens.py --embedded",
                   path);
  }
}

START_TEST (test_embedded)
{
  ParitySet *set;
  g_autofree char *folder = NULL;
  const char *model;

  set = parity_set_open (SORA_TEST_GOLDEN "/embedded", NULL);
  ck_assert_msg (set != NULL,
                 "no goldens of the embedded model: run tools/models/make_goldens.py --embedded");
  model = json_string_value (json_object_get (set->root, "model"));
  ck_assert_ptr_nonnull (model);
  set->model_folder = g_build_filename (SORA_TEST_MODELS, model, NULL);
  check_digests (set);
  ck_assert_uint_ge (check_set (set, "text", check_text), 3);
  ck_assert_uint_ge (check_set (set, "dit", check_dit), 2);
  ck_assert_uint_ge (check_set (set, "vae", check_vae), 1);
  ck_assert_uint_ge (check_set (set, "pipeline", check_pipeline), 1);
  parity_set_close (set);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("parity");
  TCase *tests = tcase_create ("parity");
  SRunner *runner = srunner_create (suite);
  int failed;

  sora_process_init ();
  srunner_set_fork_status (runner,
                           CK_NOFORK); /* the compute thread would not be there in a child */
  setvbuf (stdout, NULL, _IOLBF, 0);
  printf ("%-10s %-9s %-28s %9s %9s %9s\n", "kind", "model", "case", "error", "1-cosine",
          "promised");
  tcase_add_test (tests, test_text);
  tcase_add_test (tests, test_dit);
  tcase_add_test (tests, test_vae);
  tcase_add_test (tests, test_pipeline);
  tcase_add_test (tests, test_embedded);
  suite_add_tcase (suite, tests);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  sora_process_shutdown ();
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
