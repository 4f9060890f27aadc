/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The denoiser and models that it cannot run: each is refused before anything is allocated, in one
 * sentence that names the file, the key or the tensor.
 */
#include "kit-test.h"
#include "mini-host.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL SORA_TEST_GOLDEN "/models/small-a"
#define SHARD "transformer/diffusion_pytorch_model-0000"

static const SoraStageClass *stage;
static char dir[512];

typedef struct
{
  const char *file, *key, *value; /* value: JSON; NULL: the key is taken out */
  const char *error;
} Case;

#define CONFIG "transformer/config.json"
#define SCHEDULER "scheduler/scheduler_config.json"

static const Case cases[] = {
  { CONFIG, "_class_name", "\"WanVACETransformer3DModel\"",
    CONFIG ": is a 'WanVACETransformer3DModel', expected a WanTransformer3DModel" },
  { CONFIG, "num_layers", "0", "'num_layers' is 0, expected 1 to 512" },
  { CONFIG, "num_layers", "1000000000", "'num_layers' is 1000000000" },
  { CONFIG, "num_layers", NULL, "'num_layers' is missing" },
  { CONFIG, "num_layers", "3",
    "transformer: 27 tensors are missing: 'blocks.2.scale_shift_table'" },
  { CONFIG, "num_attention_heads", "1024", "transformer: tensor 'patch_embedding.weight' is" },
  { CONFIG, "num_attention_heads", "-1", "'num_attention_heads' is -1" },
  { CONFIG, "attention_head_dim", "1024", "is [48, 4, 1, 2, 2], expected [2048, 4, 1, 2, 2]" },
  { CONFIG, "attention_head_dim", "23", "'attention_head_dim' is 23" },
  { CONFIG, "ffn_dim", "113", "'blocks.0.ffn.net.0.proj.weight' is [112, 48], expected [113, 48]" },
  { CONFIG, "patch_size", "[1, 2]", "'patch_size' has 2 entries" },
  { CONFIG, "patch_size", "[1, 0, 2]", "'patch_size' is 0" },
  { CONFIG, "qk_norm", "\"rms_norm\"", "'qk_norm' is 'rms_norm'" },
  { CONFIG, "eps", "0", "'eps' is 0" },
  { CONFIG, "eps", "\"x\"", "'eps' is a string" },
  { CONFIG, "image_dim", "1280", "image-to-video" },
  { CONFIG, "added_kv_proj_dim", "48", "image-to-video" },
  { CONFIG, "in_channels", "8", "has 8 channels in and 4 out" },
  { "model_index.json", "boundary_ratio", "0.875",
    "the model has no 'transformer_2/config.json': a Diffusers folder is expected" },
  { SCHEDULER, "_class_name", "\"DDIMScheduler\"", SCHEDULER ": " },
  { SCHEDULER, "num_train_timesteps", "20000", "num_train_timesteps is 20000, expected at most" },
  { "vae/config.json", "scale_factor_spatial", "0", "'scale_factor_spatial' is 0" },
  { "vae/config.json", "scale_factor_spatial", "8",
    "vae/config.json: 'scale_factor_spatial' is 8, but 'dim_mult' makes it 4" },
  { "vae/config.json", "scale_factor_temporal", "2",
    "'scale_factor_temporal' is 2, but 'temperal_downsample' makes it 4" },
};

static void
path_of (char path[1024], const char *name)
{
  snprintf (path, 1024, "%s/%s", dir, name);
}

static void
link_file (const char *name)
{
  char from[1024], to[1024];
  snprintf (from, sizeof from, "%s/%s", MODEL, name);
  path_of (to, name);
  ck_assert_msg (symlink (from, to) == 0, "symlink to %s", from);
}

static void
change_dirs (int make)
{
  static const char *const dirs[] = { "transformer", "scheduler", "vae" };
  char path[1024];
  for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
    {
      path_of (path, dirs[i]);
      ck_assert_int_eq (make ? mkdir (path, 0700) : rmdir (path), 0);
    }
}

static const char *const files[] = { "model_index.json",
                                     CONFIG,
                                     SCHEDULER,
                                     "vae/config.json",
                                     SHARD "1-of-00002.safetensors",
                                     SHARD "2-of-00002.safetensors",
                                     "transformer/extra.safetensors" };
#define N_FILES (sizeof files / sizeof files[0])

/* A copy of the model, by links. */
static void
setup (void)
{
  mini_host_tmp (dir, sizeof dir, "sora-test-XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (dir));
  change_dirs (1);
  for (size_t i = 0; i + 1 < N_FILES; i++)
    link_file (files[i]);
}

static void
teardown (void)
{
  char path[1024];
  for (size_t i = 0; i < N_FILES; i++)
    {
      path_of (path, files[i]);
      (void)unlink (path);
    }
  change_dirs (0);
  ck_assert_int_eq (rmdir (dir), 0);
}

static void
remove_file (const char *name)
{
  char path[1024];
  path_of (path, name);
  ck_assert_int_eq (unlink (path), 0);
}

static void
change (const Case *c)
{
  char path[1024];
  snprintf (path, sizeof path, "%s/%s", MODEL, c->file);
  json_t *config = json_load_file (path, 0, NULL);
  ck_assert_ptr_nonnull (config);
  if (c->value != NULL)
    json_object_set_new (config, c->key, json_loads (c->value, JSON_DECODE_ANY, NULL));
  else
    json_object_del (config, c->key);
  remove_file (c->file);
  path_of (path, c->file);
  ck_assert_int_eq (json_dump_file (config, path, 0), 0);
  json_decref (config);
}

static MiniHost *
host_new (void)
{
  static const float text[48] = { 0 };
  MiniHost *mini = mini_host_new (stage, dir, 2);
  mini_host_input (mini, "text", SORA_F32, 2, (const int64_t[]){ 1, 48 }, text);
  mini_host_set_f64 (mini, "guidance-scale", 1);
  mini_host_set_i64 (mini, "width", 16);
  mini_host_set_i64 (mini, "height", 16);
  mini_host_set_i64 (mini, "frames", 1);
  mini_host_set_i64 (mini, "steps", 1);
  return mini;
}

static void
refused (int result, MiniHost *mini, const char *error)
{
  ck_assert_msg (result == SORA_FAILED, "not refused: '%s'", error);
  ck_assert_msg (strstr (mini_host_error (mini), error) != NULL, "'%s', expected '%s'",
                 mini_host_error (mini), error);
  mini_host_free (mini);
}

START_TEST (test_unchanged)
{
  MiniHost *mini = host_new ();
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  ck_assert_msg (mini_host_run (mini) == SORA_OK, "%s", mini_host_error (mini));
  mini_host_free (mini);
}
END_TEST

START_TEST (test_changed)
{
  change (&cases[_i]);
  MiniHost *mini = host_new ();
  refused (mini_host_infer (mini), mini, cases[_i].error);
}
END_TEST

/* Without the keys the factors are those that the decoder is made by, not Wan 2.1's. */
START_TEST (test_counted_factors)
{
  const Case without = { .file = "vae/config.json", .key = "scale_factor_spatial" };
  change (&without);
  MiniHost *mini = host_new ();
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  const SoraSpec *spec = mini_host_output_spec (mini, "latents");
  ck_assert_int_eq (spec->shape[2], 16 / 4);
  ck_assert_int_eq (spec->shape[3], 16 / 4);
  mini_host_free (mini);
}
END_TEST

START_TEST (test_without_a_file)
{
  static const char *const errors[] = { NULL,
                                        "the model has no 'transformer/config.json'",
                                        "the model has no 'scheduler/scheduler_config.json'",
                                        NULL,
                                        "tensors are missing: ",
                                        "tensors are missing: " };
  remove_file (files[_i]);
  MiniHost *mini = host_new ();
  /* A transformer without its pipeline's index or VAE is taken for Wan 2.1, 8 x 8 x 4.  */
  if (errors[_i] != NULL)
    {
      refused (mini_host_infer (mini), mini, errors[_i]);
      return;
    }
  ck_assert_msg (mini_host_infer (mini) == SORA_OK, "%s", mini_host_error (mini));
  mini_host_free (mini);
}
END_TEST

/* A tensor that nobody asks for: the checkpoint is of another kind. */
START_TEST (test_extra_tensor)
{
  static const char *const names[]
      = { "blocks.0.attn1.to_q.lora_A.weight", "img_emb.proj.0.bias", "blocks.2.norm2.weight",
          "blocks.0.attn2.norm_added_q.weight" };
  char path[1024], header[256];
  path_of (path, "transformer/extra.safetensors");
  uint64_t length = (uint64_t)snprintf (
      header, sizeof header, "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
      names[_i]);
  FILE *file = fopen (path, "wb");
  ck_assert_ptr_nonnull (file);
  fwrite (&length, 8, 1, file);
  fwrite (header, length, 1, file);
  fwrite ("\0\0\0", 4, 1, file);
  ck_assert_int_eq (fclose (file), 0);
  MiniHost *mini = host_new ();
  ck_assert_int_eq (mini_host_infer (mini), SORA_OK);
  int result = mini_host_run (mini);
  ck_assert_uint_eq (mini_host_n_weights_open (mini), 0);
  if (_i == 3) /* the reference has a list of what it leaves aside, too */
    {
      ck_assert_msg (result == SORA_OK, "%s", mini_host_error (mini));
      mini_host_free (mini);
      return;
    }
  ck_assert_uint_eq (mini_host_reserved (mini, SORA_MEMORY_WEIGHTS), 0);
  refused (result, mini, names[_i]);
}
END_TEST

int
main (void)
{
  stage = mini_host_load (SORA_TEST_PLUGINS "/dit-wan.so", "dit-wan");
  Suite *suite = suite_create ("dit-model");
  TCase *tests = tcase_create ("dit-model");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, test_unchanged);
  tcase_add_loop_test (tests, test_changed, 0, (int)(sizeof cases / sizeof cases[0]));
  tcase_add_test (tests, test_counted_factors);
  tcase_add_loop_test (tests, test_without_a_file, 0, 6);
  tcase_add_loop_test (tests, test_extra_tensor, 0, 4);
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
