/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Model folders: whole ones, sharded ones, and the many ways in which a download is not what it
 * should be.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "sora-model.h"
#include "sora-test-util.h"

#define INDEX                                                                                      \
  "{\"_class_name\": \"WanPipeline\", \"_diffusers_version\": \"0.42.1\", \"boundary_ratio\": "    \
  "null,"                                                                                          \
  " \"image_encoder\": [null, null], \"latent_window\": [1, 2, 3],"                                \
  " \"scheduler\": [\"diffusers\", \"UniPCMultistepScheduler\"],"                                  \
  " \"transformer\": [\"diffusers\", \"WanTransformer3DModel\"],"                                  \
  " \"vae\": [\"diffusers\", \"AutoencoderKLWan\"]}"
#define VAE "{\"v\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]}}"
#define ONE "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}"
#define TWO                                                                                        \
  "{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"                               \
  "\"spare\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9]}}"
#define MAP                                                                                        \
  "{\"metadata\":{\"total_size\":12},\"weight_map\":{\"a\":\"part-1.safetensors\",\"b\":\"part-2." \
  "safetensors\"}}"
#define MAP_FILE "transformer/diffusion_pytorch_model.safetensors.index.json"

static void
put_weights (const char *dir, const char *name, const char *header, gsize size)
{
  g_autoptr (GByteArray) file = sora_test_safetensors (header, size);
  g_free (sora_test_write (dir, name, file->data, file->len));
}

/* A model with a sharded transformer and a plain VAE. */
static char *
make_model (void)
{
  g_autofree char *dir = sora_test_dir ();
  char *model = g_build_filename (dir, "tiny-wan", NULL);
  sora_test_text (model, "model_index.json", INDEX);
  sora_test_text (model, "scheduler/scheduler_config.json", "{}");
  sora_test_text (model, "transformer/config.json", "{\"num_layers\": 2}");
  sora_test_text (model, MAP_FILE, MAP);
  put_weights (model, "transformer/part-1.safetensors", ONE, 4);
  put_weights (model, "transformer/part-2.safetensors", TWO, 9);
  sora_test_text (model, "vae/config.json", "{}");
  put_weights (model, "vae/diffusion_pytorch_model.safetensors", VAE, 12);
  return model;
}

static void
expect_refused (const char *path, SoraError code, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraModel) model = sora_model_open (path, &error);
  ck_assert_msg (model == NULL, "opened, expected '%s'", words);
  sora_assert_error (error, code, words);
}

START_TEST (a_folder_is_read)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ();
  g_autoptr (SoraModel) model = sora_model_open (path, &error);
  sora_assert_no_error (error);
  ck_assert_str_eq (sora_model_id (model), "tiny-wan");
  ck_assert_str_eq (sora_model_path (model), path);
  ck_assert_str_eq (sora_model_family (model), "WanPipeline");
  g_autofree char *components = g_strjoinv (",", (char **)sora_model_components (model));
  ck_assert_str_eq (components, "scheduler,transformer,vae");
  ck_assert_str_eq (sora_model_component_class (model, "vae"), "AutoencoderKLWan");
  ck_assert_ptr_null (sora_model_component_class (model, "image_encoder"));
  ck_assert (sora_model_has_component (model, "scheduler"));
  ck_assert (!sora_model_has_component (model, "boundary_ratio"));

  uint64_t bytes, parameters;
  ck_assert (sora_model_size (model, "transformer", &bytes, &parameters, &error));
  ck_assert_uint_eq (bytes, 12);
  ck_assert_uint_eq (parameters, 6);
  ck_assert (sora_model_size (model, NULL, &bytes, &parameters, &error));
  ck_assert_uint_eq (bytes, 24);
  ck_assert_uint_eq (parameters, 12);
  ck_assert (sora_model_size (model, "scheduler", &bytes, &parameters, &error));
  ck_assert_uint_eq (bytes, 0);
  ck_assert (!sora_model_size (model, "lora", &bytes, &parameters, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL,
                     "has no component 'lora'; it has: scheduler, transformer, vae");

  g_autoptr (GBytes) config = sora_model_read_file (model, "transformer/config.json", &error);
  ck_assert_str_eq (g_bytes_get_data (config, NULL), "{\"num_layers\": 2}");
  ck_assert_ptr_null (sora_model_read_file (model, "../../etc/passwd", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "without '..'");
  ck_assert_ptr_null (sora_model_read_file (model, "vae/missing.json", &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "vae/missing.json");
}
END_TEST

START_TEST (weights_are_found_over_shards)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ();
  g_autoptr (SoraModel) model = sora_model_open (path, &error);
  SoraTensorView view;
  ck_assert (sora_model_tensor_info (model, "transformer", "b", &view, &error));
  ck_assert_int_eq (view.dtype, SORA_F32);
  ck_assert_int_eq (view.shape[0], 2);
  ck_assert_ptr_null (view.data);

  SoraModelWeights *weights = sora_model_weights_open (model, "transformer", &error);
  sora_assert_no_error (error);
  ck_assert_str_eq (sora_model_weights_name (weights, 0), "a");
  ck_assert_str_eq (sora_model_weights_name (weights, 1), "b");
  ck_assert_ptr_null (sora_model_weights_name (weights, 2)); /* 'spare' is not in the index */
  ck_assert (sora_model_weights_get (weights, "a", &view, &error));
  ck_assert_int_eq (((const uint8_t *)view.data)[3], 3);
  ck_assert (sora_model_weights_get (weights, "b", &view, &error));
  ck_assert_uint_eq (view.nbytes, 8);
  sora_model_weights_done (weights, "a");
  sora_model_weights_done (weights, "no such tensor");
  ck_assert (!sora_model_weights_get (weights, "spare", &view, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL,
                     "model 'tiny-wan', component 'transformer' (WanTransformer3DModel): there is "
                     "no tensor 'spare'");
  sora_model_weights_close (weights);

  ck_assert_ptr_null (sora_model_weights_open (model, "scheduler", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "has no weights");
  ck_assert (!sora_model_tensor_info (model, "scheduler", "a", &view, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "has no weights");
  ck_assert_ptr_null (sora_model_weights_open (model, "lora", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "has no component 'lora'");
  ck_assert (!sora_model_tensor_info (model, "vae", "w", &view, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "there is no tensor 'w' among its 1");
}
END_TEST

/* What a file of a good model is replaced by, and what opening says then.  @text NULL: the file is
 * removed. */
static const struct
{
  const char *file, *text;
  SoraError code;
  const char *words;
} damages[] = {
  { "model_index.json", NULL, SORA_ERROR_NOT_FOUND, "is no model in the Diffusers layout" },
  { "model_index.json", "{", SORA_ERROR_INVALID_MODEL, "not valid JSON" },
  { "model_index.json", "{\"a\": \xff}", SORA_ERROR_INVALID_MODEL,
    "not valid JSON" }, /* and told in UTF-8 */
  { "model_index.json", "[]", SORA_ERROR_INVALID_MODEL, "is not a JSON object" },
  { "model_index.json", "{}", SORA_ERROR_INVALID_MODEL, "has no _class_name" },
  { "model_index.json", "{\"_class_name\": \"X\"}", SORA_ERROR_INVALID_MODEL,
    "names no components" },
  { "model_index.json", "{\"_class_name\": \"X\", \"_class_name\": \"Y\"}",
    SORA_ERROR_INVALID_MODEL, "duplicate" },
  { "model_index.json", "{\"_class_name\": \"X\", \"../up\": [\"a\", \"b\"]}",
    SORA_ERROR_INVALID_MODEL, "component '../up' is not a name" },
  { "model_index.json", "{\"_class_name\": \"X\", \"unet\": [\"a\", \"b\"]}", SORA_ERROR_NOT_FOUND,
    "model 'tiny-wan' has no folder for its component 'unet'" },
  { "transformer/part-2.safetensors", NULL, SORA_ERROR_NOT_FOUND,
    "model 'tiny-wan', component 'transformer': shard 'part-2.safetensors'" },
  { "transformer/part-2.safetensors", "short", SORA_ERROR_INVALID_MODEL,
    "component 'transformer': shard 'part-2.safetensors': " },
  { MAP_FILE, "{}", SORA_ERROR_INVALID_MODEL, "has no weight_map" },
  { MAP_FILE, "{\"weight_map\":{}}", SORA_ERROR_INVALID_MODEL, "has no weight_map" },
  { MAP_FILE, "{\"weight_map\":[]}", SORA_ERROR_INVALID_MODEL, "has no weight_map" },
  { MAP_FILE, "{\"weight_map\":{\"a\":1}}", SORA_ERROR_INVALID_MODEL,
    "tensor 'a' is in '(not a text)'" },
  { MAP_FILE, "{\"weight_map\":{\"a\":\"../vae/diffusion_pytorch_model.safetensors\"}}",
    SORA_ERROR_INVALID_MODEL, "expected the plain name of a .safetensors file in the same folder" },
  { MAP_FILE, "{\"weight_map\":{\"a\":\"part-1.bin\"}}", SORA_ERROR_INVALID_MODEL,
    "expected the plain name" },
  { MAP_FILE, "{\"weight_map\":{\"a\":\"part-1.safetensors\",\"a\":\"part-2.safetensors\"}}",
    SORA_ERROR_INVALID_MODEL, "duplicate object key" },
  { MAP_FILE, "{\"weight_map\":{\"z\":\"part-1.safetensors\"}}", SORA_ERROR_INVALID_MODEL,
    "says that tensor 'z' is in 'part-1.safetensors', but it is not" },
  { MAP_FILE, "{\"weight_map\":{\"a\":\"part-2.safetensors\"}}", SORA_ERROR_INVALID_MODEL,
    "says that tensor 'a' is in 'part-2.safetensors', but it is not" },
  { MAP_FILE, NULL, SORA_ERROR_INVALID_MODEL,
    "which of these are its weights? part-1.safetensors, part-2.safetensors" },
  { "transformer/diffusion_pytorch_model.safetensors", "x", SORA_ERROR_INVALID_MODEL,
    "which of these are its weights?" },
  { "vae/model.safetensors", "x", SORA_ERROR_INVALID_MODEL, "which of these are its weights?" },
  { "vae/diffusion_pytorch_model.safetensors", "PK\3\4 and more", SORA_ERROR_INVALID_MODEL,
    "PyTorch checkpoint" },
};

START_TEST (damaged_models_are_refused)
{
  g_autofree char *path = make_model ();
  g_autofree char *file = g_build_filename (path, damages[_i].file, NULL);
  if (damages[_i].text != NULL)
    sora_test_text (path, damages[_i].file, damages[_i].text);
  else
    ck_assert_int_eq (g_unlink (file), 0);
  expect_refused (path, damages[_i].code, damages[_i].words);
}
END_TEST

START_TEST (pickles_are_refused_with_what_to_do)
{
  g_autofree char *path = make_model ();
  g_autofree char *vae
      = g_build_filename (path, "vae", "diffusion_pytorch_model.safetensors", NULL);
  g_autofree char *pickle = sora_test_write (path, "vae/diffusion_pytorch_model.bin", "\x80\2", 2);
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraModel) both
      = sora_model_open (path, &error); /* beside safetensors it is not looked at */
  sora_assert_no_error (error);
  ck_assert_int_eq (g_unlink (vae), 0);
  expect_refused (path, SORA_ERROR_INVALID_MODEL, "as a pickle ('diffusion_pytorch_model.bin')");
  expect_refused (path, SORA_ERROR_INVALID_MODEL, "safe_serialization=True");
  expect_refused (pickle, SORA_ERROR_INVALID_MODEL, "is a pickle");
}
END_TEST

START_TEST (variants_do_not_confuse)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ();
  put_weights (path, "vae/diffusion_pytorch_model.fp16.safetensors", ONE, 4);
  g_autoptr (SoraModel) model = sora_model_open (path, &error);
  sora_assert_no_error (error);
  SoraTensorView view;
  ck_assert (sora_model_tensor_info (model, "vae", "v", &view, &error)); /* the standard name's */
  g_autofree char *standard
      = g_build_filename (path, "vae", "diffusion_pytorch_model.safetensors", NULL);
  ck_assert_int_eq (g_unlink (standard), 0);
  g_autoptr (SoraModel) other = sora_model_open (path, &error);
  sora_assert_no_error (error);
  ck_assert (sora_model_tensor_info (other, "vae", "a", &view, &error)); /* the only one */
}
END_TEST

START_TEST (links_out_of_the_folder_are_refused)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ();
  g_autofree char *elsewhere = sora_test_dir ();
  g_autofree char *config = g_build_filename (path, "vae", "config.json", NULL);
  g_autofree char *target = sora_test_write (elsewhere, "config.json", "{}", -1);
  ck_assert_int_eq (g_unlink (config), 0);
  ck_assert_int_eq (symlink (target, config), 0);
  g_autoptr (SoraModel) model = sora_model_open (path, &error);
  sora_assert_no_error (error);
  ck_assert_ptr_null (sora_model_read_file (model, "vae/config.json", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "symbolic link out of");
  ck_assert_ptr_null (sora_model_digest (model, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "symbolic link out of");
}
END_TEST

START_TEST (changes_are_noticed)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ();
  g_autoptr (SoraModel) model = sora_model_open (path, &error);
  ck_assert (sora_model_unchanged (model, &error));
  put_weights (path, "transformer/part-2.safetensors", TWO, 9); /* the same bytes, another time */
  ck_assert (!sora_model_unchanged (model, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL,
                     "part-2.safetensors' was changed since the model was opened");
  ck_assert_ptr_null (sora_model_weights_open (model, "transformer", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "was changed since the model was opened");
  SoraModelWeights *vae = sora_model_weights_open (model, "vae", &error);
  sora_assert_no_error (error);
  sora_model_weights_close (vae);
}
END_TEST

START_TEST (digests_follow_what_is_read)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ();
  g_autofree char *other = make_model ();
  g_autoptr (SoraModel) first = sora_model_open (path, &error);
  const char *digest = sora_model_digest (first, &error);
  sora_assert_no_error (error);
  ck_assert_uint_eq (strlen (digest), 64);
  ck_assert_ptr_eq (sora_model_digest (first, &error), digest);

  /* The same files elsewhere, with hidden ones, a pickle and a readme besides. */
  sora_test_text (other, "README.md", "x");
  sora_test_text (other, "vae/.hidden", "x");
  sora_test_text (other, "vae/old.bin", "x");
  g_autoptr (SoraModel) same = sora_model_open (other, &error);
  ck_assert_str_eq (sora_model_digest (same, &error), digest);
  sora_test_text (other, "vae/config.json", "{ }");
  g_autoptr (SoraModel) changed = sora_model_open (other, &error);
  ck_assert_str_ne (sora_model_digest (changed, &error), digest);
  sora_test_text (other, "vae/config.json", "{}");
  sora_test_text (other, "vae/more/deep.json", "{}");
  g_autoptr (SoraModel) more = sora_model_open (other, &error);
  ck_assert_str_ne (sora_model_digest (more, &error), digest);
}
END_TEST

static guint
count_files (const char *dir)
{
  g_autoptr (GDir) handle = g_dir_open (dir, 0, NULL);
  guint n = 0;
  while (handle != NULL && g_dir_read_name (handle) != NULL)
    n++;
  return n;
}

/* Everything in @dir becomes the same false digest. */
static void
falsify (const char *dir)
{
  g_autoptr (GDir) handle = g_dir_open (dir, 0, NULL);
  const char *name;
  ck_assert_ptr_nonnull (handle);
  while ((name = g_dir_read_name (handle)) != NULL)
    sora_test_text (dir, name, "0000000000000000000000000000000000000000000000000000000000000000");
}

START_TEST (digests_are_kept_once_files_have_settled)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ();
  g_autofree char *kept = g_build_filename (g_get_user_cache_dir (), "sorad", "digests", NULL);
  g_autofree char *digest = NULL;
  gint64 deadline = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  /* Files of this moment are not kept; two seconds later they are.  Each look is a whole digest. */
  while (count_files (kept) < 8)
    {
      g_autoptr (SoraModel) model = sora_model_open (path, &error);
      ck_assert_int_lt (g_get_monotonic_time (), deadline);
      g_free (digest);
      digest = g_strdup (sora_model_digest (model, &error));
    }
  g_autoptr (SoraModel) cached = sora_model_open (path, &error);
  ck_assert_str_eq (sora_model_digest (cached, &error), digest);

  /* It is really read: another answer in the cache changes the digest, and rubbish there is not
   * believed. */
  g_autoptr (GDir) dir = g_dir_open (kept, 0, NULL);
  const char *name;
  falsify (kept);
  g_autoptr (SoraModel) fooled = sora_model_open (path, &error);
  ck_assert_str_ne (sora_model_digest (fooled, &error), digest);
  while ((name = g_dir_read_name (dir)) != NULL)
    sora_test_text (kept, name, "rubbish");
  g_autoptr (SoraModel) again = sora_model_open (path, &error);
  ck_assert_str_eq (sora_model_digest (again, &error), digest);
}
END_TEST

static char *
digest_now (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraModel) model = sora_model_open (path, &error);
  sora_assert_no_error (error);
  char *digest = g_strdup (sora_model_digest (model, &error));
  sora_assert_no_error (error);
  return digest;
}

START_TEST (digests_in_folders_that_were_set)
{
  g_autofree char *path = make_model (), *usual = NULL, *first = NULL;
  g_autofree char *dir = sora_test_dir ();
  g_autofree char *kept = g_build_filename (dir, "kept", NULL);
  g_autofree char *believed = g_build_filename (dir, "believed", NULL);
  gint64 deadline = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  usual = g_build_filename (g_get_user_cache_dir (), "sorad", "digests", NULL);
  const guint usually = count_files (usual);

  sora_model_set_digest_dirs (believed, NULL);
  while (count_files (believed) < 8)
    {
      ck_assert_int_lt (g_get_monotonic_time (), deadline);
      g_free (first);
      first = digest_now (path);
    }
  ck_assert_uint_eq (count_files (usual), usually);

  /* What is there is not made again, and what is believed goes before what is kept. */
  sora_model_set_digest_dirs (kept, believed);
  g_autofree char *taken = digest_now (path);
  ck_assert_str_eq (taken, first);
  ck_assert_uint_eq (count_files (kept), 0);
  sora_model_set_digest_dirs (kept, NULL);
  g_autofree char *made = digest_now (path);
  ck_assert_str_eq (made, first);
  ck_assert_uint_eq (count_files (kept), 8);
  falsify (kept);
  g_autofree char *fooled = digest_now (path);
  ck_assert_str_ne (fooled, first);
  sora_model_set_digest_dirs (kept, believed);
  g_autofree char *right = digest_now (path);
  ck_assert_str_eq (right, first);
  falsify (believed);
  g_autofree char *both = digest_now (path);
  ck_assert_str_eq (both, fooled);
  sora_model_set_digest_dirs (NULL, NULL);
}
END_TEST

#define TAEHV                                                                                      \
  "{\"decoder.3.conv.0.weight\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[0,12]}}"

START_TEST (one_file_is_a_model)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_test_dir ();
  g_autofree char *file = g_build_filename (dir, "taew.safetensors", NULL);
  put_weights (dir, "taew.safetensors", TAEHV, 12);
  sora_test_text (dir, "taehv/config.json", "{}"); /* not the model's, though the name would fit */
  g_autoptr (SoraModel) model = sora_model_open (file, &error);
  sora_assert_no_error (error);
  ck_assert_str_eq (sora_model_id (model), "taew");
  ck_assert_str_eq (sora_model_path (model), file);
  ck_assert_str_eq (sora_model_family (model), "TAEHV");
  ck_assert (sora_model_is_single (model));
  ck_assert_str_eq (sora_model_components (model)[0], "taehv");
  ck_assert_ptr_null (sora_model_components (model)[1]);
  ck_assert_str_eq (sora_model_component_class (model, "taehv"), "TAEHV");
  uint64_t bytes, parameters;
  ck_assert (sora_model_size (model, NULL, &bytes, &parameters, &error));
  ck_assert_uint_eq (bytes, 12);
  ck_assert_uint_eq (parameters, 6);
  ck_assert_ptr_null (sora_model_read_file (model, "taehv/config.json", &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "model 'taew' is one file, and has no 'taehv");

  SoraTensorView view;
  SoraModelWeights *weights = sora_model_weights_open (model, "taehv", &error);
  sora_assert_no_error (error);
  ck_assert (sora_model_weights_get (weights, "decoder.3.conv.0.weight", &view, &error));
  ck_assert_uint_eq (view.nbytes, 12);
  sora_model_weights_close (weights);
  ck_assert_uint_eq (strlen (sora_model_digest (model, &error)), 64);
  ck_assert (sora_model_unchanged (model, &error));

  /* The folder that holds it alone: the same, under the folder's name. */
  g_autoptr (SoraModel) folder = sora_model_open (dir, &error);
  sora_assert_no_error (error);
  g_autofree char *name = g_path_get_basename (dir);
  ck_assert_str_eq (sora_model_id (folder), name);
  ck_assert_str_eq (sora_model_path (folder), dir);
  ck_assert (sora_model_is_single (folder));
  ck_assert_str_eq (sora_model_digest (folder, &error), sora_model_digest (model, &error));

  /* With another beside it there is doubt; by its own name there is none. */
  put_weights (dir, "other.safetensors", ONE, 4);
  expect_refused (dir, SORA_ERROR_INVALID_MODEL,
                  "no model_index.json, and 2 .safetensors files, 'other.safetensors' and "
                  "'taew.safetensors' among them: name one of them");
  g_autoptr (SoraModel) again = sora_model_open (file, &error);
  sora_assert_no_error (error);
  g_autofree char *other = g_build_filename (dir, "other.safetensors", NULL);
  expect_refused (other, SORA_ERROR_INVALID_MODEL, "other.safetensors' is no model by itself");

  put_weights (dir, "taew.safetensors", ONE, 4);
  ck_assert (!sora_model_unchanged (model, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "taew.safetensors' was changed");
  sora_test_text (dir, "taew.safetensors", "{}");
  expect_refused (file, SORA_ERROR_INVALID_MODEL, "taew.safetensors'");
  g_autofree char *gone = g_build_filename (dir, "gone.safetensors", NULL);
  expect_refused (gone, SORA_ERROR_NOT_FOUND, "gone.safetensors'");
  g_autofree char *pickle = sora_test_write (dir, "taew.pth", "\x80\2", 2);
  expect_refused (pickle, SORA_ERROR_INVALID_MODEL, "is a pickle");
}
END_TEST

START_TEST (files_are_found_in_folders)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ();
  g_autofree char *dir = g_path_get_dirname (path);
  put_weights (dir, "taew2_1.safetensors", TAEHV, 12);
  put_weights (dir, "alone/taew2_2.safetensors", TAEHV, 12);
  put_weights (dir, "lora.safetensors", ONE, 4);
  const char *dirs[] = { dir, NULL };
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) list = sora_model_list (dirs, warnings);
  ck_assert_uint_eq (list->len, 3);
  ck_assert_str_eq (sora_model_id (g_ptr_array_index (list, 0)), "alone");
  ck_assert_str_eq (sora_model_id (g_ptr_array_index (list, 1)), "taew2_1");
  ck_assert_str_eq (sora_model_id (g_ptr_array_index (list, 2)), "tiny-wan");
  ck_assert (!sora_model_is_single (g_ptr_array_index (list, 2)));
  ck_assert_uint_eq (warnings->len, 1);
  ck_assert_ptr_nonnull (strstr (g_ptr_array_index (warnings, 0), "lora.safetensors"));
  static const char *const names[] = { "alone", "taew2_1", "taew2_1.safetensors" };
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr (SoraModel) found = sora_model_find (dirs, names[i], &error);
      sora_assert_no_error (error);
      ck_assert (sora_model_has_component (found, "taehv"));
    }
}
END_TEST

START_TEST (models_are_found_in_folders)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ();
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *alias = g_build_filename (dir, "alias", NULL);
  ck_assert_int_eq (symlink (path, alias), 0);
  sora_test_text (dir, "broken/model_index.json", "x");
  sora_test_text (dir, "no-model/readme.txt", "x");
  const char *dirs[] = { "/no/such/folder", dir, NULL };
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) list = sora_model_list (dirs, warnings);
  ck_assert_uint_eq (list->len, 2);
  ck_assert_str_eq (sora_model_id (g_ptr_array_index (list, 0)), "alias");
  ck_assert_str_eq (sora_model_id (g_ptr_array_index (list, 1)), "tiny-wan");
  ck_assert_uint_eq (warnings->len, 1);
  g_autoptr (SoraModel) by_id = sora_model_find (dirs, "tiny-wan", &error);
  g_autoptr (SoraModel) by_path = sora_model_find (dirs, path, &error);
  ck_assert_str_eq (sora_model_path (by_id), sora_model_path (by_path));
  ck_assert_ptr_null (sora_model_find (dirs, "nothing", &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND,
                     "there is no model 'nothing'; there are: alias, tiny-wan");
  ck_assert_ptr_null (sora_model_find (dirs, "..", &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "there is no model '..'");
  ck_assert_ptr_null (sora_model_find (dirs, "broken", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "not valid JSON");
  ck_assert_ptr_null (sora_model_find (dirs, "/no/such/model", &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "cannot open the model folder '/no/such/model'");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("model");
  TCase *tcase = sora_test_case (suite, "model");
  tcase_add_test (tcase, a_folder_is_read);
  tcase_add_test (tcase, weights_are_found_over_shards);
  tcase_add_loop_test (tcase, damaged_models_are_refused, 0, G_N_ELEMENTS (damages));
  tcase_add_test (tcase, pickles_are_refused_with_what_to_do);
  tcase_add_test (tcase, variants_do_not_confuse);
  tcase_add_test (tcase, links_out_of_the_folder_are_refused);
  tcase_add_test (tcase, changes_are_noticed);
  tcase_add_test (tcase, digests_follow_what_is_read);
  tcase_add_test (tcase, digests_are_kept_once_files_have_settled);
  tcase_add_test (tcase, digests_in_folders_that_were_set);
  tcase_add_test (tcase, one_file_is_a_model);
  tcase_add_test (tcase, files_are_found_in_folders);
  tcase_add_test (tcase, models_are_found_in_folders);
  return sora_test_main (suite);
}
