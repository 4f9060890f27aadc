/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Models of single files: names against diffusers' own converters, the same tensors and the same
 * configuration as of a Diffusers folder, and what is refused.
 */
#include "config.h"
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "sora-model.h"
#include "sora-test-util.h"
#include "sora-wan-names.h"
#include "tiny-wan.h"

static const char *const table_names[SORA_WAN_N_NAMES] = {
  [SORA_WAN_NAMES_TRANSFORMER] = "transformer",
  [SORA_WAN_NAMES_TEXT] = "text",
  [SORA_WAN_NAMES_VAE] = "vae",
  [SORA_WAN_NAMES_VAE22] = "vae22",
};

static char *
golden (const char *name)
{
  return g_build_filename (g_getenv ("SORA_TEST_SRCDIR"), "tests", "golden", name, NULL);
}

static char *
spiece (void)
{
  return golden ("models/small-b/tokenizer/spiece.model");
}

START_TEST (names_are_those_of_the_reference)
{
  g_autofree char *path = golden ("wan-names.txt"), *text = NULL;
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  guint n = 0;
  for (char **line = lines; **line != '\0'; line++)
    {
      g_auto (GStrv) words = g_strsplit (*line, " ", 3);
      int table = 0;
      while (strcmp (table_names[table], words[0]) != 0)
        table++;
      ck_assert_msg (sora_wan_name_is_diffusers ((SoraWanNames)table, words[2]), "%s", *line);
      g_autofree char *original = sora_wan_name_to_original ((SoraWanNames)table, words[2]);
      n++;
      if (strcmp (words[1], "-") == 0)
        continue;
      g_autofree char *diffusers = sora_wan_name_to_diffusers ((SoraWanNames)table, words[1]);
      ck_assert_str_eq (diffusers, words[2]);
      ck_assert_str_eq (original, words[1]);
    }
  ck_assert_uint_gt (n, 500);
}
END_TEST

/* Names that are nearly right; and UMT5's, for which no converter can be asked. */
START_TEST (other_names_are_not_known)
{
  static const char *const wrong[] = { "",
                                       "blocks.0.self_attn.q",
                                       "blocks.00.self_attn.q.weight",
                                       "blocks.-1.self_attn.q.weight",
                                       "blocks.123456.self_attn.q.weight",
                                       "blocks..self_attn.q.weight",
                                       "blocks.0.self_attn.q.weight.",
                                       "blocks.0.self_attn.q.weights",
                                       "blocks.0.norm2.weight",
                                       "vace_blocks.0.norm2.weight",
                                       "vace_head.modulation",
                                       "decoder.upsamples.3.residual.0.gamma",
                                       "decoder.upsamples.4.resample.1.weight",
                                       "decoder.upsamples.*.residual.0.gamma" };
  for (int table = 0; table < SORA_WAN_N_NAMES; table++)
    for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
      {
        gboolean text
            = table == SORA_WAN_NAMES_TEXT && strcmp (wrong[i], "blocks.0.norm2.weight") == 0;
        g_autofree char *made = sora_wan_name_to_diffusers ((SoraWanNames)table, wrong[i]);
        ck_assert_msg ((made != NULL) == text, "'%s' became '%s'", wrong[i], made);
      }
  g_autofree char *gate
      = sora_wan_name_to_diffusers (SORA_WAN_NAMES_TEXT, "blocks.7.ffn.gate.0.weight");
  ck_assert_str_eq (gate, "encoder.block.7.layer.1.DenseReluDense.wi_0.weight");
  g_autofree char *bias = sora_wan_name_to_original (
      SORA_WAN_NAMES_TEXT, "encoder.block.23.layer.0.SelfAttention.relative_attention_bias.weight");
  ck_assert_str_eq (bias, "blocks.23.pos_embedding.embedding.weight");
  ck_assert (!sora_wan_name_is_diffusers (SORA_WAN_NAMES_VAE,
                                          "decoder.up_blocks.0.resnets.3.norm1.gamma"));
}
END_TEST

static SoraModel *
open_good (const char *path)
{
  g_autoptr (GError) error = NULL;
  SoraModel *model = sora_model_open (path, &error);
  sora_assert_no_error (error);
  return model;
}

static void
assert_same_file (SoraModel *a, SoraModel *b, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) x = sora_model_read_file (a, name, &error), y = NULL;
  sora_assert_no_error (error);
  y = sora_model_read_file (b, name, &error);
  sora_assert_no_error (error);
  ck_assert_msg (g_bytes_equal (x, y), "%s differs", name);
  ck_assert_int_eq (((const char *)g_bytes_get_data (y, NULL))[g_bytes_get_size (y)], '\0');
}

/* Everything that the folder's file says, the made one says, too; it may say more. */
static void
assert_config_holds (SoraModel *folder, SoraModel *single, const char *name)
{
  g_autoptr (GBytes) x = sora_model_read_file (folder, name, NULL);
  g_autoptr (GBytes) y = sora_model_read_file (single, name, NULL);
  ck_assert (x != NULL && y != NULL);
  json_t *a = json_loads (g_bytes_get_data (x, NULL), 0, NULL);
  json_t *b = json_loads (g_bytes_get_data (y, NULL), 0, NULL);
  const char *key;
  json_t *value;
  ck_assert (a != NULL && b != NULL);
  json_object_foreach (a, key, value)
  {
    g_autofree char *is = g_strdup (key);
    ck_assert_msg (json_equal (value, json_object_get (b, key)), "%s: '%s' differs", name, is);
  }
  json_decref (a);
  json_decref (b);
}

static void
assert_same_weights (SoraModel *folder, SoraModel *single, const char *component)
{
  g_autoptr (GError) error = NULL;
  SoraModelWeights *a = sora_model_weights_open (folder, component, &error);
  SoraModelWeights *b = sora_model_weights_open (single, component, &error);
  sora_assert_no_error (error);
  size_t n = 0;
  for (const char *name; (name = sora_model_weights_name (a, n)) != NULL; n++)
    {
      SoraTensorView x, y, info;
      ck_assert (sora_model_weights_get (a, name, &x, &error));
      ck_assert_msg (sora_model_weights_get (b, name, &y, &error), "%s", error->message);
      ck_assert (sora_model_tensor_info (single, component, name, &info, &error));
      ck_assert_int_eq (x.ndim, y.ndim);
      ck_assert_int_eq (info.ndim, y.ndim);
      ck_assert (memcmp (x.shape, y.shape, (size_t)x.ndim * sizeof *x.shape) == 0);
      ck_assert (x.nbytes == y.nbytes && memcmp (x.data, y.data, x.nbytes) == 0);
      sora_model_weights_done (b, name);
    }
  ck_assert_uint_gt (n, 20);
  ck_assert_ptr_null (sora_model_weights_name (b, n));
  sora_model_weights_close (a);
  sora_model_weights_close (b);
}

START_TEST (single_files_are_a_folder)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_test_dir (), *other = sora_test_dir (), *piece = spiece ();
  const TinyWanFamily family = (TinyWanFamily)(_i / (TINY_WAN_COMFY_NAMES + 1));
  const TinyWanNames names = (TinyWanNames)(_i % (TINY_WAN_COMFY_NAMES + 1));
  ck_assert (tiny_wan_write_folder (dir, family, piece, &error));
  ck_assert (tiny_wan_write_single (other, family, names, piece, &error));
  g_autoptr (SoraModel) folder = open_good (dir), single = open_good (other);
  g_autofree char *components = g_strjoinv (",", (char **)sora_model_components (single));
  ck_assert_str_eq (components, "scheduler,text_encoder,tokenizer,transformer,vae");
  for (const char *const *name = sora_model_components (folder); *name != NULL; name++)
    {
      uint64_t a[2], b[2];
      ck_assert_str_eq (sora_model_component_class (folder, *name),
                        sora_model_component_class (single, *name));
      ck_assert (sora_model_size (folder, *name, &a[0], &a[1], NULL)
                 && sora_model_size (single, *name, &b[0], &b[1], NULL));
      ck_assert (a[0] == b[0] && a[1] == b[1]);
    }
  ck_assert_str_eq (sora_model_family (single), "WanPipeline");
  static const char *const configs[]
      = { "model_index.json", "scheduler/scheduler_config.json", "transformer/config.json",
          "text_encoder/config.json", "vae/config.json" };
  for (gsize i = 0; i < G_N_ELEMENTS (configs); i++)
    assert_config_holds (folder, single, configs[i]);
  assert_same_file (folder, single, "tokenizer/spiece.model");
  assert_same_weights (folder, single, "transformer");
  assert_same_weights (folder, single, "text_encoder");
  assert_same_weights (folder, single, "vae");
  static const char *const none[]
      = { "dit.safetensors", "/etc/passwd", "../x", "model.conf", "tokenizer/tokenizer.json" };
  for (gsize i = 0; i < G_N_ELEMENTS (none); i++)
    {
      ck_assert_ptr_null (sora_model_read_file (single, none[i], &error));
      sora_assert_error (error, SORA_ERROR_NOT_FOUND, none[i]);
    }
}
END_TEST

static char *
make_single (TinyWanNames names)
{
  g_autofree char *piece = spiece ();
  char *dir = sora_test_dir ();
  ck_assert (tiny_wan_write_single (dir, TINY_WAN_21, names, piece, NULL));
  return dir;
}

static void
rename_in (const char *dir, const char *from, const char *to)
{
  g_autofree char *a = g_build_filename (dir, from, NULL), *b = g_build_filename (dir, to, NULL);
  ck_assert_int_eq (g_rename (a, b), 0);
}

START_TEST (neither_names_nor_places_matter)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = make_single (TINY_WAN_ORIGINAL_NAMES), *conf = sora_test_dir ();
  g_autoptr (SoraModel) model = open_good (dir);
  g_autofree char *digest = g_strdup (sora_model_digest (model, &error));
  ck_assert_uint_eq (strlen (digest), 64);
  rename_in (dir, "dit.safetensors", "vae.safetensors");
  rename_in (dir, "ae.safetensors", "model.safetensors");
  ck_assert (!sora_model_unchanged (model, NULL));
  g_autoptr (SoraModel) renamed = open_good (dir);
  ck_assert_str_eq (sora_model_digest (renamed, &error), digest);

  /* Elsewhere: what models add writes. */
  g_autofree char *dit = g_build_filename (dir, "vae.safetensors", NULL);
  g_autofree char *ae = g_build_filename (dir, "model.safetensors", NULL);
  g_autofree char *t5 = g_build_filename (dir, "t5.safetensors", NULL);
  g_autofree char *piece = g_build_filename (dir, "spiece.model", NULL);
  const char *const paths[] = { ae, piece, dit, t5, NULL };
  g_autofree char *text = sora_model_make_conf (paths, &error);
  sora_assert_no_error (error);
  sora_test_text (conf, "model.conf", text);
  g_autoptr (SoraModel) elsewhere = open_good (conf);
  ck_assert_str_eq (sora_model_digest (elsewhere, &error), digest);
  ck_assert (sora_model_unchanged (elsewhere, NULL));
  sora_test_text (conf, "model.conf", text);
  ck_assert (!sora_model_unchanged (elsewhere, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "model.conf' was changed");

  /* One byte of a weight, or of the tokenizer: another model. */
  for (int i = 0; i < 2; i++)
    {
      const char *file = i == 0 ? dit : piece;
      int fd = open (file, O_RDWR);
      char byte;
      ck_assert (fd >= 0 && pread (fd, &byte, 1, lseek (fd, 0, SEEK_END) - 1) == 1);
      byte = (char)(byte ^ 1);
      ck_assert_int_eq (pwrite (fd, &byte, 1, lseek (fd, 0, SEEK_END) - 1), 1);
      close (fd);
      g_autoptr (SoraModel) changed = open_good (dir);
      const char *now = sora_model_digest (changed, &error);
      ck_assert_str_ne (now, digest);
      g_free (digest);
      digest = g_strdup (now);
    }
}
END_TEST

static gboolean
count_calls (uint64_t done, uint64_t total, gpointer data)
{
  guint *calls = data;
  ck_assert (done <= total);
  *calls += done == total ? 1000 : 1;
  return *calls != 500;
}

START_TEST (digests_are_told_and_made_anew)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = make_single (TINY_WAN_COMFY_NAMES);
  g_autoptr (SoraModel) model = open_good (dir);
  guint calls = 0, stop = 499;
  g_autofree char *first = sora_model_make_digest (model, FALSE, count_calls, &calls, &error);
  sora_assert_no_error (error);
  ck_assert_uint_ge (calls, 1000);
  ck_assert_str_eq (first, sora_model_digest (model, NULL));
  ck_assert_ptr_null (sora_model_make_digest (model, TRUE, count_calls, &stop, &error));
  sora_assert_error (error, SORA_ERROR_CANCELLED, "stopped");
  g_autofree char *again = sora_model_make_digest (model, TRUE, NULL, NULL, &error);
  ck_assert_str_eq (first, again);
}
END_TEST

static void
expect_refused (const char *path, SoraError code, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraModel) model = sora_model_open (path, &error);
  ck_assert_msg (model == NULL, "opened, expected '%s'", words);
  ck_assert_ptr_null (strchr (error->message, '\n'));
  sora_assert_error (error, code, words);
}

static void
copy_in (const char *dir, const char *from, const char *to)
{
  g_autofree char *a = g_build_filename (dir, from, NULL), *data = NULL;
  gsize size;
  ck_assert (g_file_get_contents (a, &data, &size, NULL));
  g_free (sora_test_write (dir, to, data, (gssize)size));
}

static void
remove_in (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  ck_assert_int_eq (g_unlink (path), 0);
}

START_TEST (doubt_is_refused)
{
  g_autofree char *dir = make_single (TINY_WAN_ORIGINAL_NAMES);
  copy_in (dir, "dit.safetensors", "low.safetensors");
  expect_refused (
      dir, SORA_ERROR_INVALID_MODEL,
      "each of 'dit.safetensors', 'low.safetensors' is a Wan transformer, expected one, or the two "
      "experts of Wan 2.2 A14B with the words 'high' and 'low' in their names");
  remove_in (dir, "low.safetensors");
  remove_in (dir, "t5.safetensors");
  expect_refused (
      dir, SORA_ERROR_INVALID_MODEL,
      "'dit.safetensors' is a Wan transformer; 'ae.safetensors' is a Wan VAE; missing: a "
      "T5 text encoder. ");
  sora_test_text (dir, "models_t5.pth", "PK");
  expect_refused (dir, SORA_ERROR_INVALID_MODEL, "'models_t5.pth' is a pickle: ");
  remove_in (dir, "dit.safetensors");
  remove_in (dir, "spiece.model");
  expect_refused (dir, SORA_ERROR_INVALID_MODEL,
                  "missing: a Wan transformer, a T5 text encoder, a tokenizer (a file ");
  g_autofree char *comfy = make_single (TINY_WAN_COMFY_NAMES);
  sora_test_text (comfy, "spiece.model", "x");
  expect_refused (comfy, SORA_ERROR_INVALID_MODEL, "there are two tokenizers: 'spiece.model'");
  remove_in (comfy, "spiece.model");
  g_autoptr (GByteArray) lora = sora_test_safetensors (
      "{\"lora_up\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4);
  g_free (sora_test_write (comfy, "lora.safetensors", lora->data, lora->len));
  expect_refused (comfy, SORA_ERROR_INVALID_MODEL,
                  "'lora.safetensors' is no file of a Wan model that is known");
  sora_test_text (comfy, "lora.safetensors", "PK\3\4 zip");
  expect_refused (comfy, SORA_ERROR_INVALID_MODEL, "PyTorch checkpoint");
}
END_TEST

/* ---- two experts */

static const struct
{
  const char *high, *low; /* names of two files; NULL: there is none */
  gboolean swapped;       /* the first of the two is in truth for low noise */
  const char *refused;
} experts[] = {
  { "wan2.2_t2v_high_noise_14B_fp16.safetensors", "wan2.2_t2v_low_noise_14B_fp16.safetensors",
    FALSE, NULL },
  { "a-HIGH.safetensors", "b-Low_flow.safetensors", FALSE, NULL },
  { "Wan2_2-LowNoise.safetensors", "Wan2_2-HighNoise.safetensors", TRUE, NULL },
  { "high/dit.safetensors", "low/dit.safetensors", FALSE, NULL },
  { "high-1.safetensors", "high-2.safetensors", FALSE, "each of" },
  { "flow.safetensors", "high.safetensors", FALSE, "with the words 'high' and 'low'" },
  { "high-low.safetensors", "low.safetensors", FALSE, "with the words 'high' and 'low'" },
  { "highway.safetensors", "low.safetensors", FALSE, "with the words 'high' and 'low'" },
  { "x_high_noise.safetensors", NULL, FALSE, "missing: the expert for low noise beside '" },
  { "x-lownoise-y.safetensors", NULL, FALSE, "missing: the expert for high noise beside '" },
  { "low_vram.safetensors", NULL, FALSE, NULL },
};

/* By name, wherever they lie and however they are given; and what the model then is. */
START_TEST (experts_are_told_by_their_names)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = make_single (TINY_WAN_ORIGINAL_NAMES);
  const char *const names[] = { experts[_i].high, experts[_i].low };
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  for (int i = 0; i < 2 && names[i] != NULL; i++)
    {
      copy_in (dir, "dit.safetensors", names[i]);
      g_ptr_array_add (paths, g_build_filename (dir, names[i], NULL));
    }
  remove_in (dir, "dit.safetensors");
  static const char *const rest[] = { "t5.safetensors", "ae.safetensors", "spiece.model" };
  for (gsize i = 0; i < G_N_ELEMENTS (rest); i++)
    g_ptr_array_add (paths, g_build_filename (dir, rest[i], NULL));
  g_ptr_array_add (paths, NULL);
  g_autofree char *text = sora_model_make_conf ((const char *const *)paths->pdata, &error);
  if (experts[_i].refused != NULL)
    {
      sora_assert_error (error, SORA_ERROR_INVALID_MODEL, experts[_i].refused);
      expect_refused (dir, SORA_ERROR_INVALID_MODEL, experts[_i].refused);
      return;
    }
  sora_assert_no_error (error);
  g_autoptr (GKeyFile) conf = g_key_file_new ();
  ck_assert (g_key_file_load_from_data (conf, text, (gsize)-1, G_KEY_FILE_NONE, NULL));
  g_autofree char *first = g_key_file_get_string (conf, "transformer", "File", NULL);
  g_autofree char *second = g_key_file_get_string (conf, "transformer_2", "File", NULL);
  ck_assert_str_eq (first, paths->pdata[experts[_i].swapped ? 1 : 0]);
  if (names[1] == NULL)
    {
      ck_assert_ptr_null (second);
      return;
    }
  ck_assert_str_eq (second, paths->pdata[experts[_i].swapped ? 0 : 1]);
  g_autofree char *other = sora_test_dir ();
  sora_test_text (other, "model.conf", text);
  g_autoptr (SoraModel) model = open_good (other);
  g_autofree char *components = g_strjoinv (",", (char **)sora_model_components (model));
  ck_assert_str_eq (components, "scheduler,text_encoder,tokenizer,transformer,transformer_2,vae");
  assert_same_file (model, model, "transformer_2/config.json");
  g_autoptr (GBytes) index = sora_model_read_file (model, "model_index.json", &error);
  ck_assert_ptr_nonnull (strstr (g_bytes_get_data (index, NULL), "\"boundary_ratio\": 0.875"));
  if (strchr (names[0], '/') != NULL)
    return; /* the folder alone does not show those */
  g_autoptr (SoraModel) in_place = open_good (dir);
  ck_assert_str_eq (sora_model_digest (model, &error), sora_model_digest (in_place, &error));
}
END_TEST

/* Whoever writes down which is which needs no names, and may take one alone. */
START_TEST (experts_stand_in_model_conf)
{
  g_autofree char *dir = make_single (TINY_WAN_ORIGINAL_NAMES);
  static const char rest[] = "[text_encoder]\nFile=t5.safetensors\n[vae]\nFile=ae.safetensors\n"
                             "[tokenizer]\nFile=spiece.model\n[Model]\nFormat=1\n";
  g_autofree char *two = g_strconcat (
      rest, "[transformer]\nFile=dit.safetensors\n[transformer_2]\nFile=b.safetensors\n", NULL);
  g_autofree char *one = g_strconcat (rest, "[transformer]\nFile=x_high_noise.safetensors\n", NULL);
  g_autofree char *none = g_strconcat (rest, "[transformer_2]\nFile=b.safetensors\n", NULL);
  copy_in (dir, "dit.safetensors", "b.safetensors");
  copy_in (dir, "dit.safetensors", "x_high_noise.safetensors");
  sora_test_text (dir, "model.conf", two);
  g_autoptr (SoraModel) of_two = open_good (dir);
  assert_same_weights (of_two, of_two, "transformer_2");
  sora_test_text (dir, "model.conf", one);
  g_autoptr (SoraModel) of_one = open_good (dir);
  ck_assert_ptr_null (sora_model_component_class (of_one, "transformer_2"));
  sora_test_text (dir, "model.conf", none);
  expect_refused (dir, SORA_ERROR_INVALID_MODEL, "missing: a Wan transformer");
}
END_TEST

#define ALL                                                                                        \
  "[Model]\nFormat=1\n[transformer]\nFile=dit.safetensors\n[text_encoder]\nFile=t5.safetensors\n"  \
  "[vae]\nFile=ae.safetensors\n"

static const struct
{
  const char *text;
  SoraError code;
  const char *words;
} confs[] = {
  { "", SORA_ERROR_INVALID_MODEL, "[Model] has no Format=" },
  { "[Model]\nFormat=2\n", SORA_ERROR_INVALID_MODEL, "Format=2, expected 1" },
  { "[Model]\nFormat=1\n", SORA_ERROR_INVALID_MODEL,
    "names no whole model: missing: a Wan transf" },
  { "[Model]\nFormat=1\nName=x\n", SORA_ERROR_INVALID_MODEL, "has a key 'Name'" },
  { ALL "[lora]\nFile=x\n", SORA_ERROR_INVALID_MODEL, "has a group [lora]" },
  { ALL "Extra=1\n", SORA_ERROR_INVALID_MODEL, "[vae] has a key 'Extra'" },
  { ALL "File=b\n", SORA_ERROR_INVALID_MODEL, "stands there twice" },
  { ALL, SORA_ERROR_INVALID_MODEL, "missing: a tokenizer" },
  { ALL "[tokenizer]\n", SORA_ERROR_INVALID_MODEL, "[tokenizer] has no File=" },
  { "[Model]\nFormat=1\n[vae]\nFile=dit.safetensors\n", SORA_ERROR_INVALID_MODEL,
    "[vae] File=dit.safetensors is a Wan transformer" },
  { "[Model]\nFormat=1\n[vae]\nFile=/nowhere/ae.safetensors\n", SORA_ERROR_NOT_FOUND,
    "[vae]: cannot open '/nowhere/ae.safetensors'" },
  { "[Model]\nFormat=1\n[vae]\nFile=.\n", SORA_ERROR_INVALID_MODEL, "expected a regular file" },
};

START_TEST (bad_confs_are_refused)
{
  g_autofree char *dir = make_single (TINY_WAN_ORIGINAL_NAMES);
  sora_test_text (dir, "model.conf", ALL "[tokenizer]\nFile=spiece.model\n");
  g_autoptr (SoraModel) good = open_good (dir);
  sora_test_text (dir, "model.conf", confs[_i].text);
  expect_refused (dir, confs[_i].code, confs[_i].words);
}
END_TEST

/* Headers with the right marks and wrong shapes. */
static const struct
{
  const char *file, *from, *to, *words; /* a part of the header, replaced by one as long */
} headers[] = {
  { "dit.safetensors", "head.head.weight", "head.heed.weight",
    "its tensor 'head.head.weight' is missing" },
  { "dit.safetensors", "blocks.1.norm3.bias", "blocks.1.norm9.bias",
    "its tensor 'blocks.1.norm9.bias' is of none that is known" },
  { "dit.safetensors", "blocks.0.self_attn.norm_k.weight", "blocks.0.to_gate_compress.weight",
    "'blocks.0.to_gate_compress.weight' is one of FastVideo's video sparse attention" },
  { "dit.safetensors", "\"shape\":[1,2,128]", "\"shape\":[2,2, 64]", "it is 64 wide" },
  { "dit.safetensors", "\"shape\":[1,2,128]", "\"shape\":[2,1,128]", NULL },
  { "ae.safetensors", "\"shape\":[16,16,1,1,1]", "\"shape\":[8,32 ,1,1,1]",
    "its latents have 8 channels, expected 16" },
  { "t5.safetensors", "\"shape\":[32,4]", "\"shape\":[8,16]", NULL },
  { "t5.safetensors", "\"shape\":[32,4]", "\"shape\":[2,64]", "which 64 heads do not divide" },
};

START_TEST (odd_headers_are_refused)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = make_single (TINY_WAN_ORIGINAL_NAMES);
  g_autofree char *path = g_build_filename (dir, headers[_i].file, NULL), *data = NULL;
  gsize size;
  ck_assert (g_file_get_contents (path, &data, &size, NULL));
  char *at = memmem (data, size, headers[_i].from, strlen (headers[_i].from));
  ck_assert_msg (at != NULL, "the header has no %s", headers[_i].from);
  memcpy (at, headers[_i].to, strlen (headers[_i].to));
  g_free (sora_test_write (dir, headers[_i].file, data, (gssize)size));
  if (headers[_i].words != NULL)
    expect_refused (dir, SORA_ERROR_INVALID_MODEL, headers[_i].words);
  else /* for the stages to judge */
    sora_model_unref (open_good (dir));
}
END_TEST

START_TEST (files_that_make_no_conf)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = make_single (TINY_WAN_ORIGINAL_NAMES);
  g_autofree char *dit = g_build_filename (dir, "dit.safetensors", NULL);
  const char *const pickle[] = { dit, "/x/Wan2.1_VAE.pth", NULL };
  const char *const alone[] = { dit, NULL };
  const char *const gone[] = { "/nowhere.safetensors", NULL };
  const char *const two[] = { "/a.model", "/b.model", NULL };
  ck_assert_ptr_null (sora_model_make_conf (pickle, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "'/x/Wan2.1_VAE.pth' is a pickle: ");
  ck_assert_ptr_null (sora_model_make_conf (alone, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "these files are no whole model: ");
  ck_assert_ptr_null (sora_model_make_conf (gone, &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "/nowhere.safetensors");
  ck_assert_ptr_null (sora_model_make_conf (two, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_MODEL, "are two tokenizers");
}
END_TEST

START_TEST (they_are_listed)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *root = sora_test_dir (), *piece = spiece ();
  g_autofree char *a = g_build_filename (root, "plain", NULL);
  ck_assert (tiny_wan_write_single (a, TINY_WAN_21, TINY_WAN_COMFY_NAMES, piece, NULL));
  sora_test_text (
      root, "conf/model.conf",
      "[Model]\nFormat=1\n[transformer]\nFile=../plain/dit.safetensors\n[text_encoder]\n"
      "File=../plain/t5.safetensors\n[vae]\nFile=../plain/ae.safetensors\n");
  sora_test_text (root, "broken/model.conf", "x");
  sora_test_text (root, "notes/readme.txt", "x");
  const char *const dirs[] = { root, NULL };
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) models = sora_model_list (dirs, warnings);
  ck_assert_uint_eq (models->len, 2);
  ck_assert_uint_eq (warnings->len, 1);
  ck_assert_str_eq (sora_model_id (models->pdata[0]), "conf");
  g_autoptr (SoraModel) found = sora_model_find (dirs, "plain", &error);
  sora_assert_no_error (error);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("model-single");
  TCase *names = sora_test_case (suite, "names");
  tcase_add_test (names, names_are_those_of_the_reference);
  tcase_add_test (names, other_names_are_not_known);
  TCase *models = sora_test_case (suite, "models");
  tcase_add_loop_test (models, single_files_are_a_folder, 0, 2 * (TINY_WAN_COMFY_NAMES + 1));
  tcase_add_test (models, neither_names_nor_places_matter);
  tcase_add_test (models, digests_are_told_and_made_anew);
  tcase_add_test (models, they_are_listed);
  tcase_add_loop_test (models, experts_are_told_by_their_names, 0, (int)G_N_ELEMENTS (experts));
  tcase_add_test (models, experts_stand_in_model_conf);
  TCase *bad = sora_test_case (suite, "bad");
  tcase_add_test (bad, doubt_is_refused);
  tcase_add_loop_test (bad, bad_confs_are_refused, 0, (int)G_N_ELEMENTS (confs));
  tcase_add_loop_test (bad, odd_headers_are_refused, 0, (int)G_N_ELEMENTS (headers));
  tcase_add_test (bad, files_that_make_no_conf);
  return sora_test_main (suite);
}
