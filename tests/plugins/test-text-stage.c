/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * text-umt5 as a host sees it: outputs against the reference, what it takes,
 * warnings, and refusals of bad parameters and bad models.
 */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mini-host.h"

#define GOLDEN SORA_TEST_GOLDEN "/"
#define MODELS GOLDEN "models/"

static const SoraStageClass *stage;

static MiniHost *
host_for (const char *model, const char *prompt)
{
  MiniHost *mini = mini_host_new (stage, model, 2);

  if (prompt != NULL)
    mini_host_set_string (mini, "prompt", prompt);
  return mini;
}

static void
run_ok (MiniHost *mini)
{
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
  ck_assert_int_eq (mini_host_live_tensors (mini), 0);
  ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
}

static double
error_of (const SoraTensorView *a, const SoraTensorView *b)
{
  double worst = 0, largest = 0;

  ck_assert_int_eq (a->dtype, SORA_F32);
  ck_assert_uint_eq (a->nbytes, b->nbytes);
  for (uint64_t i = 0; i < a->nbytes / 4; i++)
    {
      double x = ((const float *)a->data)[i], y = ((const float *)b->data)[i];

      worst = fmax (worst, isnan (x) ? INFINITY : fabs (x - y));
      largest = fmax (largest, fabs (y));
    }
  return worst / largest;
}

static void
check_case (json_t *item)
{
  char model[1024], path[1024];
  json_t *outputs = json_object_get (item, "outputs"),
         *embedding = json_object_get (outputs, "embedding");
  long long full = json_integer_value (json_object_get (item, "tokens_in_full")), padded;
  const char *prompt
      = json_string_value (json_object_get (json_object_get (item, "params"), "prompt"));
  SoraTensorView expected = { .struct_size = sizeof expected },
                 found = { .struct_size = sizeof found };
  const SoraSpec *spec;
  int64_t value;
  MiniFile *file;
  MiniHost *mini;

  if (prompt[0] == '\0') /* is the negative prompt's case */
    return;
  snprintf (model, sizeof model, MODELS "%s", json_string_value (json_object_get (item, "model")));
  snprintf (path, sizeof path, GOLDEN "%s", json_string_value (json_object_get (item, "file")));
  file = mini_file_open (path);
  ck_assert_ptr_nonnull (file);
  ck_assert_int_eq (
      mini_file_tensor (file, json_string_value (json_object_get (outputs, "tokens")), &expected),
      SORA_OK);
  mini = host_for (model, prompt);
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  if (full > 512)
    {
      char said[64];

      snprintf (said, sizeof said, "has %lld tokens", full);
      ck_assert_msg (strstr (mini_host_warning (mini), said) != NULL, "'%s'",
                     mini_host_warning (mini));
    }
  else
    ck_assert_str_eq (mini_host_warning (mini), "");
  spec = mini_host_output_spec (mini, "embedding");
  ck_assert_int_eq (spec->shape[0], expected.shape[0]);
  ck_assert_int_eq (mini_host_output_attr_i64 (mini, "embedding", "padded_length", &value),
                    SORA_OK);
  padded = value;
  ck_assert_int_eq (padded, 512);
  run_ok (mini);
  mini_host_output (mini, "tokens", 0, &found);
  ck_assert_uint_eq (found.nbytes, expected.nbytes);
  ck_assert_int_eq (memcmp (found.data, expected.data, found.nbytes), 0);
  mini_host_output (mini, "negative", 0, &found);
  ck_assert_int_eq (found.shape[0], 1);
  if (embedding != NULL)
    {
      double error;

      ck_assert_int_eq (mini_file_tensor (file, json_string_value (embedding), &expected), SORA_OK);
      mini_host_output (mini, "embedding", 0, &found);
      error = error_of (&found, &expected);
      ck_assert_msg (error <= 1e-4, "%s: error %g", prompt, error);
    }
  mini_host_free (mini);
  mini_file_close (file);
}

START_TEST (test_golden)
{
  json_error_t error;
  json_t *root = json_load_file (GOLDEN "index.json", 0, &error), *item;
  unsigned seen = 0;
  size_t i;

  ck_assert_msg (root != NULL, "%s", error.text);
  json_array_foreach (
      json_object_get (root, "cases"), i,
      item) if (strcmp (json_string_value (json_object_get (item, "kind")), "text") == 0
                && strncmp (json_string_value (json_object_get (item, "model")), "small-", 6) == 0)
  {
    check_case (item);
    seen++;
  }
  ck_assert_uint_ge (seen, 10);
  json_decref (root);
}
END_TEST

/* The negative prompt's row is the reference's for no words, and follows the parameter. */
START_TEST (test_negative)
{
  SoraTensorView expected = { .struct_size = sizeof expected },
                 found = { .struct_size = sizeof found };
  MiniFile *file = mini_file_open (GOLDEN "text-small-b.safetensors");
  MiniHost *mini = host_for (MODELS "small-b", "anything");

  run_ok (mini);
  ck_assert_int_eq (mini_file_tensor (file, "empty.embedding", &expected), SORA_OK);
  mini_host_output (mini, "negative", 0, &found);
  ck_assert_double_le (error_of (&found, &expected), 1e-4);
  mini_host_set_string (mini, "negative-prompt", "a red ball rolls right");
  run_ok (mini);
  ck_assert_int_eq (mini_file_tensor (file, "ten.embedding", &expected), SORA_OK);
  mini_host_output (mini, "negative", 0, &found);
  ck_assert_double_le (error_of (&found, &expected), 1e-4);
  mini_host_free (mini);
  mini_file_close (file);
}
END_TEST

/* Warm or cold, on one thread or three, with whatever other text: the same bytes, in what infer said,
 * and nothing is held. */
START_TEST (test_weights)
{
  SoraTensorView first = { .struct_size = sizeof first }, next = { .struct_size = sizeof next };
  MiniHost *a = host_for (MODELS "small-b", "a red ball rolls right");
  MiniHost *b = host_for (MODELS "small-b", "a red ball rolls right");

  mini_host_set_threads (b, 3);
  mini_host_weigh (a);
  run_ok (a);
  /* By the heap itself: what infer said holds. */
  ck_assert_uint_le (mini_host_heap_peak (a),
                     mini_host_cost (a)->work_bytes + mini_host_cost (a)->output_bytes);
  ck_assert_uint_eq (mini_host_cost (a)->packed_bytes, 0);
  ck_assert_uint_eq (mini_host_peak (a, SORA_MEMORY_WEIGHTS), 0);
  ck_assert_uint_eq (mini_host_cost (a)->steps, 3);
  ck_assert_uint_eq (mini_host_steps (a), 3);
  mini_host_set_string (b, "negative-prompt", "grey, and not much else");
  run_ok (b);
  mini_host_output (a, "embedding", 0, &first);
  mini_host_output (b, "embedding", 0, &next);
  ck_assert_uint_eq (first.nbytes, next.nbytes);
  ck_assert_int_eq (memcmp (first.data, next.data, first.nbytes), 0);
  mini_host_set_threads (a, 1);
  run_ok (a); /* warm */
  mini_host_output (a, "embedding", 0, &first);
  ck_assert_int_eq (memcmp (first.data, next.data, first.nbytes), 0);
  mini_host_release (a);
  run_ok (a);
  mini_host_output (a, "embedding", 0, &first);
  ck_assert_int_eq (memcmp (first.data, next.data, first.nbytes), 0);
  mini_host_free (a);
  mini_host_free (b);
}
END_TEST

START_TEST (test_cancel)
{
  MiniHost *mini = host_for (MODELS "small-a", "a red ball");

  mini_host_cancel_after (mini, 1);
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  ck_assert_int_eq (mini_host_run (mini), SORA_CANCELLED);
  ck_assert_int_eq (mini_host_live_tensors (mini), 0);
  ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
  mini_host_cancel_after (mini, -1);
  run_ok (mini);
  mini_host_free (mini);
}
END_TEST

static void
expect_refused (MiniHost *mini, const char *reason)
{
  ck_assert_msg (mini_host_infer (mini) == SORA_FAILED, "taken, expected: %s", reason);
  ck_assert_msg (strstr (mini_host_error (mini), reason) != NULL, "'%s', expected: %s",
                 mini_host_error (mini), reason);
}

START_TEST (test_prompts_refused)
{
  static const char *const empty[]
      = { "", "   ", "\n\t", "\xe2\x80\x83", "&nbsp;", "&#32;&amp;nbsp;" };
  MiniHost *mini = host_for (MODELS "small-a", NULL);

  for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++)
    {
      mini_host_set_string (mini, "prompt", empty[i]);
      expect_refused (mini, "parameter 'prompt' is empty");
    }
  mini_host_set_string (mini, "prompt", "\xe2\x80\x8b\xef\xbb\xbf"); /* zero width */
  expect_refused (mini, "parameter 'prompt' has no character that the tokenizer keeps");
  mini_host_set_string (mini, "prompt", "ball\xff");
  expect_refused (mini, "parameter 'prompt' is not UTF-8: byte 4 is 0xff");
  mini_host_set_string (mini, "prompt", "ball");
  mini_host_set_string (mini, "negative-prompt", "\xc0\xaf");
  expect_refused (mini, "parameter 'negative-prompt' is not UTF-8: byte 0 is 0xc0");
  mini_host_set_string (mini, "negative-prompt", " ");
  run_ok (mini);
  mini_host_free (mini);
}
END_TEST

/* The longest prompt that a host lets through: one word, many words, references that grow. */
START_TEST (test_long_prompts)
{
  static const char *const parts[] = { "x", "red ball ", "&amp;amp;", "&bne;", "\xf0\x9f\x90\x88" };
  static char text[65001];

  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    {
      MiniHost *mini = host_for (MODELS "small-b", NULL);
      size_t n = strlen (parts[i]), used = 0;
      int64_t full;

      for (; used + n < sizeof text; used += n)
        memcpy (text + used, parts[i], n);
      text[used] = '\0';
      mini_host_set_string (mini, "prompt", text);
      ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
      ck_assert_int_eq (mini_host_output_attr_i64 (mini, "embedding", "tokens_in_full", &full),
                        SORA_OK);
      ck_assert_int_gt (full, 5000);
      ck_assert_int_eq (mini_host_output_spec (mini, "embedding")->shape[0], 512);
      ck_assert_ptr_nonnull (
          strstr (mini_host_warning (mini), "the first 511 and the end mark are used"));
      mini_host_free (mini);
    }
}
END_TEST

START_TEST (test_max_tokens)
{
  MiniHost *mini = host_for (MODELS "small-a", "a small red ball rolls right over green grass");
  int64_t value;

  mini_host_set_i64 (mini, "max-tokens", 7);
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  ck_assert_ptr_nonnull (
      strstr (mini_host_warning (mini), "the first 6 and the end mark are used"));
  ck_assert_int_eq (mini_host_output_spec (mini, "embedding")->shape[0], 7);
  ck_assert_int_eq (mini_host_output_attr_i64 (mini, "embedding", "padded_length", &value),
                    SORA_OK);
  ck_assert_int_eq (value, 7);
  ck_assert_int_eq (mini_host_output_attr_i64 (mini, "embedding", "tokens_in_full", &value),
                    SORA_OK);
  ck_assert_int_gt (value, 7);
  run_ok (mini);
  mini_host_free (mini);
}
END_TEST

/* --------------------------------------------------------------------------- broken models -- */

static char folder[200];

static void
link_file (const char *name)
{
  char from[1024], to[1024];

  snprintf (from, sizeof from, MODELS "small-a/%s", name);
  snprintf (to, sizeof to, "%s/%s", folder, name);
  unlink (to);
  ck_assert_msg (symlink (from, to) == 0, "%s: %s", to, strerror (errno));
}

static void
write_file (const char *name, const char *text)
{
  char path[1024];
  FILE *file;

  snprintf (path, sizeof path, "%s/%s", folder, name);
  unlink (path);
  file = fopen (path, "w");
  ck_assert_ptr_nonnull (file);
  fputs (text, file);
  fclose (file);
}

static void
refuse_model (const char *reason)
{
  MiniHost *mini = host_for (folder, "a red ball");

  expect_refused (mini, reason);
  mini_host_free (mini);
}

/* The model's file with one tensor more, which is empty. */
static void
write_weights_with (const char *extra)
{
  char path[1024], *text;
  uint64_t length;
  json_t *header;
  char *bytes;
  size_t size;
  FILE *file = fopen (MODELS "small-a/text_encoder/model.safetensors", "rb");

  ck_assert_ptr_nonnull (file);
  fseek (file, 0, SEEK_END);
  size = (size_t)ftell (file);
  rewind (file);
  bytes = malloc (size);
  ck_assert_uint_eq (fread (bytes, 1, size, file), size);
  fclose (file);
  memcpy (&length, bytes, 8);
  header = json_loadb (bytes + 8, length, 0, NULL);
  json_object_set_new (header, extra,
                       json_pack ("{s:s,s:[i],s:[I,I]}", "dtype", "F32", "shape", 0, "data_offsets",
                                  (json_int_t)(size - 8 - length),
                                  (json_int_t)(size - 8 - length)));
  text = json_dumps (header, 0);
  snprintf (path, sizeof path, "%s/text_encoder/model.safetensors", folder);
  unlink (path);
  file = fopen (path, "wb");
  ck_assert_ptr_nonnull (file);
  /* The header is padded with spaces, as all writers do: the tensors stay aligned. */
  fwrite (&(uint64_t){ (strlen (text) + 7) / 8 * 8 }, 8, 1, file);
  fprintf (file, "%-*s", (int)((strlen (text) + 7) / 8 * 8), text);
  fwrite (bytes + 8 + length, 1, size - 8 - length, file);
  fclose (file);
  json_decref (header);
  free (text);
  free (bytes);
}

#define CONFIG(vocab, d_ff, layers)                                                                \
  "{\"model_type\":\"umt5\",\"vocab_size\":" vocab ",\"d_model\":48,\"d_kv\":16,\"num_heads\":4,"  \
  "\"d_ff\":" d_ff ",\"num_layers\":" layers "}"

START_TEST (test_broken_models)
{
  static const char *const subfolders[] = { "text_encoder", "tokenizer" };
  static const char *const files[]
      = { "text_encoder/config.json", "text_encoder/model.safetensors", "tokenizer/spiece.model" };
  char path[1024], good[1024] = "";
  FILE *file;

  mini_host_tmp (folder, sizeof folder, "test-text-stage-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (folder));
  for (size_t i = 0; i < 2; i++)
    {
      snprintf (path, sizeof path, "%s/%s", folder, subfolders[i]);
      ck_assert_int_eq (mkdir (path, 0700), 0);
    }
  refuse_model ("the model has no 'text_encoder/config.json'");
  for (size_t i = 0; i < 3; i++)
    link_file (files[i]);
  file = fopen (MODELS "small-a/text_encoder/config.json", "r");
  ck_assert_uint_gt (fread (good, 1, sizeof good - 1, file), 100);
  fclose (file);
  write_file ("text_encoder/config.json", CONFIG ("100", "96", "2"));
  refuse_model ("pieces, the text encoder's vocabulary 100");
  write_file ("text_encoder/config.json", CONFIG ("99999", "96", "2"));
  refuse_model ("text_encoder: tensor 'shared.weight' is");
  write_file ("text_encoder/config.json", good);
  write_file ("tokenizer/spiece.model", "no model");
  refuse_model ("tokenizer/spiece.model: it is no sentencepiece model");
  snprintf (path, sizeof path, "%s/tokenizer/spiece.model", folder);
  unlink (path);
  refuse_model ("the model has no 'tokenizer/spiece.model'");
  link_file ("tokenizer/spiece.model");
  {
    json_error_t error;
    json_t *config = json_loads (good, 0, &error);
    char *text;

    json_object_set_new (config, "num_layers", json_integer (3));
    text = json_dumps (config, 0);
    write_file ("text_encoder/config.json", text);
    free (text);
    refuse_model (
        "text_encoder: 10 tensors are missing: 'encoder.block.2.layer.0.SelfAttention.q.weight'");
    json_object_set_new (config, "num_layers", json_integer (1));
    text = json_dumps (config, 0);
    write_file ("text_encoder/config.json", text);
    free (text);
    refuse_model ("'num_layers' is 1, but there is a tensor "
                  "'encoder.block.1.layer.0.SelfAttention.q.weight'");
    json_object_set_new (config, "num_layers", json_integer (2));
    json_object_set_new (config, "d_ff", json_integer (97));
    text = json_dumps (config, 0);
    write_file ("text_encoder/config.json", text);
    free (text);
    refuse_model ("tensor 'encoder.block.0.layer.1.DenseReluDense.wi_0.weight' is [96, 48], "
                  "expected [97, 48]");
    json_decref (config);
  }
  {
    static const char bias[] = "encoder.block.0.layer.0.SelfAttention.q.bias";
    MiniHost *mini = host_for (folder, "a red ball");

    write_file ("text_encoder/config.json", good);
    write_weights_with ("decoder.final_layer_norm.weight"); /* the half that is not ours */
    run_ok (mini);
    mini_host_free (mini);
    write_weights_with (bias);
    mini = host_for (folder, "a red ball");
    ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
    ck_assert_int_eq (mini_host_run (mini), SORA_FAILED);
    ck_assert_ptr_nonnull (strstr (mini_host_error (mini), bias));
    ck_assert_int_eq (mini_host_live_tensors (mini), 0);
    ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
    mini_host_free (mini);
  }
  for (size_t i = 0; i < 3; i++)
    {
      snprintf (path, sizeof path, "%s/%s", folder, files[i]);
      unlink (path);
    }
  for (size_t i = 0; i < 2; i++)
    {
      snprintf (path, sizeof path, "%s/%s", folder, subfolders[i]);
      rmdir (path);
    }
  rmdir (folder);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("text-stage");
  TCase *tests = tcase_create ("stage");
  SRunner *runner = srunner_create (suite);
  int failed;

  stage = mini_host_load (SORA_TEST_PLUGINS "/text-umt5.so", "text-umt5");
  tcase_set_timeout (tests, 120);
  tcase_add_test (tests, test_golden);
  tcase_add_test (tests, test_negative);
  tcase_add_test (tests, test_weights);
  tcase_add_test (tests, test_cancel);
  tcase_add_test (tests, test_prompts_refused);
  tcase_add_test (tests, test_long_prompts);
  tcase_add_test (tests, test_max_tokens);
  tcase_add_test (tests, test_broken_models);
  suite_add_tcase (suite, tests);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
