/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The UMT5 encoder without a host: buckets and embeddings against the reference, the same bytes at
 * each number of threads, configurations that are wrong.
 */
#include <check.h>
#include <glib.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sora-safetensors.h"
#include "umt5-config.h"

#define GOLDEN SORA_TEST_GOLDEN "/"

static json_t *
load_json (const char *name)
{
  g_autofree char *path = g_strconcat (GOLDEN, name, NULL);
  json_error_t error;
  json_t *root = json_load_file (path, 0, &error);

  ck_assert_msg (root != NULL, "%s: %s", path, error.text);
  return root;
}

START_TEST (test_buckets)
{
  json_t *root = load_json ("buckets.json"), *table, *bucket;
  size_t i, j;

  json_array_foreach (root, i, table)
  {
    int64_t buckets = json_integer_value (json_array_get (table, 0));
    int64_t most = json_integer_value (json_array_get (table, 1));
    int64_t first = json_integer_value (json_array_get (table, 2));

    json_array_foreach (json_array_get (table, 3), j, bucket) ck_assert_msg (
        sora_umt5_bucket (first + (int64_t)j, buckets, most) == json_integer_value (bucket),
        "distance %lld of %lld in %lld buckets: %lld, expected %lld",
        (long long)first + (long long)j, (long long)most, (long long)buckets,
        (long long)sora_umt5_bucket (first + (int64_t)j, buckets, most),
        (long long)json_integer_value (bucket));
  }
  json_decref (root);
}
END_TEST

/* The shards of a model's text encoder. */
/* 0, or -1 with the reason. */
static int
parse (const char *text, gsize size, SoraUmt5Config *config, char *why, size_t why_size)
{
  SoraKitConfig *file = sora_kit_config_new (text, size, "text_encoder/config.json");
  const char *error;
  int result;

  ck_assert_ptr_nonnull (file);
  sora_umt5_config_read (file, config);
  error = sora_kit_config_error (file);
  g_strlcpy (why, error != NULL ? error : "", why_size);
  result = error == NULL ? 0 : -1;
  sora_kit_config_free (file);
  return result;
}

typedef struct
{
  GPtrArray *files;
  SoraUmt5Config config;
} Model;

static void
model_open (Model *model, const char *name)
{
  g_autofree char *folder = g_strconcat (GOLDEN "models/", name, "/text_encoder", NULL);
  g_autofree char *config = g_build_filename (folder, "config.json", NULL), *text = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *entry;
  char why[300];
  gsize size;

  ck_assert (g_file_get_contents (config, &text, &size, NULL));
  ck_assert_msg (parse (text, size, &model->config, why, sizeof why) == 0, "%s", why);
  model->files = g_ptr_array_new_with_free_func ((GDestroyNotify)sora_safetensors_unref);
  while ((entry = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (entry, ".safetensors"))
      {
        g_autofree char *path = g_build_filename (folder, entry, NULL);
        SoraSafetensors *file = sora_safetensors_open (path, NULL);

        ck_assert_ptr_nonnull (file);
        g_ptr_array_add (model->files, file);
      }
}

static void
model_get (Model *model, const char *name, SoraTensorView *view)
{
  *view = (SoraTensorView){ .struct_size = sizeof *view };
  for (guint i = 0; i < model->files->len; i++)
    if (sora_safetensors_get (model->files->pdata[i], name, view, NULL))
      return;
  ck_abort_msg ("no tensor '%s'", name);
}

static float *
encode (Model *model, const int64_t *ids, int64_t n, int threads)
{
  const SoraUmt5Config *c = &model->config;
  float *x = g_new0 (float, (gsize)(n * c->d_model));
  SoraUmt5Segment segment = { ids, n, x };
  SoraTensorView views[SORA_UMT5_LAYER_TENSORS], view;
  SoraUmt5Tensor tensor;
  SoraKitTeam team;
  SoraUmt5 *encoder;

  sora_kit_team_init (&team, NULL, NULL, threads);
  encoder = sora_umt5_new (c, &team);
  model_get (model, "shared.weight", &view);
  ck_assert_msg (sora_umt5_begin (encoder, &team, &segment, 1) == SORA_OK, "%s", team.error);
  ck_assert_msg (sora_umt5_embed (encoder, &team, &view) == SORA_OK, "%s", team.error);
  for (int64_t layer = 0; layer < c->num_layers; layer++)
    {
      for (int i = 0; i < SORA_UMT5_LAYER_TENSORS; i++)
        {
          sora_umt5_layer_tensor (c, layer, i, &tensor);
          model_get (model, tensor.name, &views[i]);
          ck_assert_int_eq (views[i].ndim, tensor.ndim);
          for (int j = 0; j < tensor.ndim; j++)
            ck_assert_int_eq (views[i].shape[j], tensor.shape[j]);
        }
      ck_assert_msg (sora_umt5_run_layer (encoder, &team, views, NULL) == SORA_OK, "%s",
                     team.error);
    }
  model_get (model, "encoder.final_layer_norm.weight", &view);
  ck_assert_msg (sora_umt5_finish (encoder, &team, &view) == SORA_OK, "%s", team.error);
  sora_umt5_free (encoder);
  return x;
}

static void
check_case (Model *model, SoraSafetensors *golden, json_t *item)
{
  const char *name = json_string_value (json_object_get (item, "name"));
  json_t *outputs = json_object_get (item, "outputs");
  SoraTensorView ids = { .struct_size = sizeof ids }, expected = { .struct_size = sizeof expected };
  float *found[3];
  double worst = 0, largest = 0, aa = 0, bb = 0, ab = 0;

  if (json_object_get (outputs, "embedding") == NULL)
    return;
  ck_assert (sora_safetensors_get (golden, json_string_value (json_object_get (outputs, "tokens")),
                                   &ids, NULL));
  ck_assert (sora_safetensors_get (
      golden, json_string_value (json_object_get (outputs, "embedding")), &expected, NULL));
  for (int t = 0; t < 3; t++)
    found[t] = encode (model, ids.data, ids.shape[0], t + 1);
  for (int64_t i = 0; i < expected.shape[0] * expected.shape[1]; i++)
    {
      double a = found[0][i], b = ((const float *)expected.data)[i];

      worst = fmax (worst, isnan (a) ? INFINITY : fabs (a - b));
      largest = fmax (largest, fabs (b));
      aa += a * a;
      bb += b * b;
      ab += a * b;
    }
  printf ("%-8s %3lld tokens: error %.2e, cosine 1 - %.1e\n", name, (long long)ids.shape[0],
          worst / largest, 1 - ab / sqrt (aa * bb));
  ck_assert_msg (worst / largest <= 1e-4, "%s: error %g", name, worst / largest);
  ck_assert_msg (ab / sqrt (aa * bb) >= 0.99999, "%s: cosine %g", name, ab / sqrt (aa * bb));
  for (int t = 1; t < 3; t++)
    ck_assert_msg (memcmp (found[0], found[t], expected.nbytes) == 0,
                   "%s: other bytes with %d threads", name, t + 1);
  for (int t = 0; t < 3; t++)
    g_free (found[t]);
}

START_TEST (test_embeddings)
{
  json_t *root = load_json ("index.json"), *item;
  unsigned seen = 0;
  size_t i;

  json_array_foreach (json_object_get (root, "cases"), i, item)
  {
    const char *name = json_string_value (json_object_get (item, "model"));
    g_autofree char *path = NULL;
    g_autoptr (SoraSafetensors) golden = NULL;
    Model model;

    if (strcmp (json_string_value (json_object_get (item, "kind")), "text") != 0
        || !g_str_has_prefix (name, "small-"))
      continue;
    path = g_strconcat (GOLDEN, json_string_value (json_object_get (item, "file")), NULL);
    golden = sora_safetensors_open (path, NULL);
    ck_assert_ptr_nonnull (golden);
    model_open (&model, name);
    check_case (&model, golden, item);
    g_ptr_array_unref (model.files);
    seen++;
  }
  ck_assert_uint_ge (seen, 10);
  json_decref (root);
}
END_TEST

START_TEST (test_configs)
{
  static const struct
  {
    const char *text, *reason;
  } cases[] = {
    { "{", "text_encoder/config.json" },
    { "[]", "not a JSON object" },
    { "{}", "'model_type' is 'missing', expected 'umt5'" },
    { "{\"model_type\":\"t5\"}", "'model_type' is 't5', expected 'umt5'" },
    { "{\"model_type\":\"umt5\",\"feed_forward_proj\":\"relu\"}", "expected 'gated-gelu'" },
    { "{\"model_type\":\"umt5\",\"vocab_size\":9}", "'d_model' is missing" },
    { "{\"model_type\":\"umt5\",\"vocab_size\":9,\"d_model\":1e9}", "'d_model'" },
    { "{\"model_type\":\"umt5\",\"vocab_size\":9,\"d_model\":-4}",
      "'d_model' is -4, expected 1 to 16384" },
    { "{\"model_type\":\"umt5\",\"vocab_size\":9,\"d_model\":8,\"d_kv\":4,\"d_ff\":8,\"num_"
      "layers\":99999}",
      "'num_layers' is 99999, expected 1 to 256" },
    { "{\"model_type\":\"umt5\",\"vocab_size\":9,\"d_model\":8,\"d_kv\":4,\"d_ff\":8,\"num_"
      "layers\":1,"
      "\"num_heads\":2,\"relative_attention_num_buckets\":30}",
      "expected a multiple of 4" },
    { "{\"model_type\":\"umt5\",\"vocab_size\":9,\"d_model\":8,\"d_kv\":4,\"d_ff\":8,\"num_"
      "layers\":1,"
      "\"num_heads\":2,\"relative_attention_max_distance\":8}",
      "a distance above a quarter" },
    { "{\"model_type\":\"umt5\",\"vocab_size\":9,\"d_model\":8,\"d_kv\":4,\"d_ff\":8,\"num_"
      "layers\":1,"
      "\"num_heads\":2,\"layer_norm_epsilon\":0}",
      "'layer_norm_epsilon'" },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      SoraUmt5Config config;
      char why[300] = "";

      ck_assert_msg (parse (cases[i].text, strlen (cases[i].text), &config, why, sizeof why) != 0,
                     "taken: %s", cases[i].text);
      ck_assert_msg (strstr (why, cases[i].reason) != NULL, "'%s', expected: %s", why,
                     cases[i].reason);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("text-encoder");
  TCase *tests = tcase_create ("encoder");
  SRunner *runner = srunner_create (suite);
  int failed;

  tcase_set_timeout (tests, 120);
  tcase_add_test (tests, test_buckets);
  tcase_add_test (tests, test_embeddings);
  tcase_add_test (tests, test_configs);
  suite_add_tcase (suite, tests);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
