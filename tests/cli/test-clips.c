/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whole clips of soractl against those that diffusers makes of the same seed: a process for each,
 * from the prompt to PNG files of the pixels as the decoder gave them.  Some models are in folders
 * of their own; the others are put together of copies of parts that other cases have.
 */
#include "config.h"
#include <check.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include "sora-safetensors.h"

#define MOST 2.0 /* of 255, in the mean */
#define GOLDEN SORA_TEST_GOLDEN
#define CLIPS GOLDEN "/clips"
#define N_CASES 6

static char *work;

static json_t *
load (const char *path)
{
  json_error_t error;
  json_t *root = json_load_file (path, 0, &error);
  ck_assert_msg (root != NULL, "%s: line %d: %s", path, error.line, error.text);
  return root;
}

static const char *
string_of (json_t *object, const char *key)
{
  const char *value = json_string_value (json_object_get (object, key));
  ck_assert_msg (value != NULL, "no '%s'", key);
  return value;
}

/* ---- models */

/* A folder of files alone. */
static void
copy_folder (const char *from, const char *to)
{
  g_autoptr (GDir) dir = g_dir_open (from, 0, NULL);
  ck_assert_msg (dir != NULL, "no folder %s", from);
  ck_assert_int_eq (g_mkdir (to, 0700), 0);
  for (const char *name; (name = g_dir_read_name (dir)) != NULL;)
    {
      g_autofree char *source = g_build_filename (from, name, NULL), *bytes = NULL;
      g_autofree char *target = g_build_filename (to, name, NULL);
      gsize size;
      ck_assert_msg (g_file_get_contents (source, &bytes, &size, NULL), "cannot read %s", source);
      ck_assert_msg (g_file_set_contents (target, bytes, (gssize)size, NULL), "cannot write %s",
                     target);
    }
}

/* The folder of @name, of the parts that @models tells. */
static char *
put_together (json_t *models, const char *name)
{
  json_t *model = json_object_get (models, name), *source;
  char *folder = g_build_filename (work, name, NULL);
  g_autofree char *index = g_build_filename (folder, "model_index.json", NULL);
  const char *part;
  ck_assert_msg (json_is_object (model), "no model '%s'", name);
  if (g_file_test (folder, G_FILE_TEST_IS_DIR))
    return folder;
  ck_assert_int_eq (g_mkdir (folder, 0700), 0);
  json_object_foreach (json_object_get (model, "parts"), part, source)
  {
    g_autofree char *from = g_build_filename (GOLDEN, json_string_value (source), NULL);
    g_autofree char *to = g_build_filename (folder, part, NULL);
    copy_folder (from, to);
  }
  ck_assert_int_eq (json_dump_file (json_object_get (model, "model_index"), index, 0), 0);
  return folder;
}

/* ---- one clip */

static void
add_option (GPtrArray *words, const char *name, json_t *value)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  if (json_is_real (value))
    g_ascii_dtostr (number, sizeof number, json_real_value (value));
  else if (json_is_integer (value))
    g_snprintf (number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value (value));
  g_ptr_array_add (words, g_strdup_printf ("--%s=%s", name,
                                           json_is_string (value) ? json_string_value (value)
                                                                  : number));
}

/* The files are @work/frame-0001.png and so on. */
static void
make_clip (const char *model, json_t *params, const char *threads)
{
  static const char *const fixed[]
      = { SORA_TEST_SORACTL, "run",    "--local", "-q", "--no-mark", "--metadata", "none",
          "--layout",        "frames", "-f",      "-o" };
  g_autoptr (GPtrArray) words = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  g_autofree char *said = NULL, *told = NULL;
  const char *name;
  json_t *value;
  int status = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (fixed); i++)
    g_ptr_array_add (words, g_strdup (fixed[i]));
  g_ptr_array_add (words, g_build_filename (work, "frame.png", NULL));
  g_ptr_array_add (words, g_strdup ("-m"));
  g_ptr_array_add (words, g_strconcat (model, "/", NULL));
  g_ptr_array_add (words, g_strdup_printf ("--threads=%s", threads));
  json_object_foreach (params, name, value) if (strcmp (name, "prompt") != 0)
      add_option (words, name, value);
  g_ptr_array_add (words, g_strdup ("text-to-frames"));
  g_ptr_array_add (words, g_strdup (string_of (params, "prompt")));
  g_ptr_array_add (words, NULL);
  gboolean ran = g_spawn_sync (NULL, (char **)words->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &said,
                               &told, &status, &error);
  ck_assert_msg (ran, "cannot start soractl: %s", error != NULL ? error->message : "?");
  ck_assert_msg (status == 0, "soractl ended with %d: %s", status, told);
}

/* The picture's distance from @golden [height, width, 3], summed; the most that a byte differs. */
static double
measure (guint number, const guint8 *golden, gint64 width, gint64 height, int *most)
{
  g_autofree char *name = g_strdup_printf ("frame-%04u.png", number);
  g_autofree char *path = g_build_filename (work, name, NULL);
  png_image image = { .version = PNG_IMAGE_VERSION };
  double sum = 0;
  ck_assert_msg (png_image_begin_read_from_file (&image, path), "%s: %s", path, image.message);
  ck_assert_uint_eq (image.width, width);
  ck_assert_uint_eq (image.height, height);
  image.format = PNG_FORMAT_RGB;
  g_autofree guint8 *pixels = g_malloc (PNG_IMAGE_SIZE (image));
  ck_assert_msg (png_image_finish_read (&image, NULL, pixels, 0, NULL), "%s: %s", path,
                 image.message);
  for (gsize i = 0; i < PNG_IMAGE_SIZE (image); i++)
    {
      int apart = abs (pixels[i] - golden[i]);
      sum += apart;
      *most = MAX (*most, apart);
    }
  ck_assert_int_eq (g_unlink (path), 0);
  return sum;
}

/* In the mean, of 255; *@most at one byte. */
static double
distance_of_clip (const char *model, json_t *params, SoraTensor *golden, const char *threads,
                  int *most)
{
  SoraTensorView view = { .struct_size = sizeof view };
  double sum = 0;
  *most = 0;
  sora_tensor_get_view (golden, &view);
  ck_assert_int_eq (view.dtype, SORA_U8);
  ck_assert_int_eq (view.ndim, 4);
  ck_assert_int_eq (view.shape[0], json_integer_value (json_object_get (params, "frames")));
  make_clip (model, params, threads);
  const gsize frame = view.nbytes / (gsize)view.shape[0];
  for (guint i = 0; i < view.shape[0]; i++)
    sum += measure (i + 1, (const guint8 *)view.data + i * frame, view.shape[2], view.shape[1],
                    most);
  /* One frame more would be left. */
  g_autoptr (GDir) dir = g_dir_open (work, 0, NULL);
  for (const char *left; (left = g_dir_read_name (dir)) != NULL;)
    ck_assert_msg (!g_str_has_suffix (left, ".png"), "%s is one too many", left);
  return sum / (double)view.nbytes;
}

static void
check_clip (const char *model, json_t *params, SoraTensor *golden, const char *name,
            const char *threads)
{
  int most;
  double mean = distance_of_clip (model, params, golden, threads, &most);
  printf ("%-20s mean %.4f of 255, at most %d (promised: %.0f in the mean)\n", name, mean, most,
          MOST);
  ck_assert_msg (mean <= MOST, "%s: frames differ by %g of 255 in the mean", name, mean);
}

static SoraTensor *
tensor_of (const char *path, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraSafetensors) file = sora_safetensors_open (path, &error);
  SoraTensor *tensor = file != NULL ? sora_safetensors_load (file, key, &error) : NULL;
  ck_assert_msg (tensor != NULL, "%s: %s", key, error != NULL ? error->message : "?");
  return tensor;
}

/* Of each family, with what the model's own scheduler says, from a prompt that is to be cleaned. */
START_TEST (test_families)
{
  json_t *root = load (CLIPS "/index.json"), *item;
  size_t i;
  json_array_foreach (json_object_get (root, "cases"), i, item)
  {
    const char *name = string_of (item, "name");
    g_autofree char *model
        = put_together (json_object_get (root, "models"), string_of (item, "model"));
    g_autoptr (SoraTensor) golden = tensor_of (CLIPS "/clips.safetensors", name);
    json_t *params = json_object_get (item, "params");
    check_clip (model, params, golden, name, i % 2 ? "1" : "2");
    /* Another seed is another clip: the promise says something of these models. */
    json_object_set_new (params, "seed", json_integer (1));
    int most;
    double other = distance_of_clip (model, params, golden, "2", &most);
    ck_assert_msg (other > 2 * MOST, "%s: another seed is only %g of 255 away", name, other);
  }
  ck_assert_uint_eq (i, N_CASES);
  json_decref (root);
}
END_TEST

/* Of the models whose stages are compared one by one, with both samplers and with and without
 * guidance. */
START_TEST (test_pipelines)
{
  json_t *root = load (GOLDEN "/index.json"), *item;
  guint seen = 0;
  size_t i;
  json_array_foreach (json_object_get (root, "cases"), i, item)
  {
    if (strcmp (string_of (item, "kind"), "pipeline") != 0)
      continue;
    const char *of = string_of (item, "model");
    g_autofree char *model = g_build_filename (GOLDEN, "models", of, NULL);
    g_autofree char *file = g_build_filename (GOLDEN, string_of (item, "file"), NULL);
    g_autofree char *name = g_strdup_printf ("%s %s", of, string_of (item, "name"));
    g_autoptr (SoraTensor) golden
        = tensor_of (file, string_of (json_object_get (item, "outputs"), "frames"));
    check_clip (model, json_object_get (item, "params"), golden, name, "2");
    seen++;
  }
  ck_assert_uint_eq (seen, 9);
  json_decref (root);
}
END_TEST

static void
remove_all (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  for (const char *name; dir != NULL && (name = g_dir_read_name (dir)) != NULL;)
    {
      g_autofree char *inner = g_build_filename (path, name, NULL);
      remove_all (inner);
    }
  (void)g_remove (path);
}

int
main (void)
{
  Suite *suite = suite_create ("clips");
  TCase *tests = tcase_create ("clips");
  SRunner *runner = srunner_create (suite);
  work = g_dir_make_tmp ("sora-clips-XXXXXX", NULL);
  if (work == NULL)
    return EXIT_FAILURE;
  g_setenv ("SORA_PLUGIN_PATH", SORA_TEST_PLUGINS, TRUE);
  g_setenv ("SORA_PIPELINE_PATH", SORA_TEST_PIPELINES, TRUE);
  g_setenv ("XDG_CACHE_HOME", work, TRUE);
  setvbuf (stdout, NULL, _IOLBF, 0);
  tcase_set_timeout (tests, 600);
  tcase_add_test (tests, test_families);
  tcase_add_test (tests, test_pipelines);
  suite_add_tcase (suite, tests);
  srunner_set_fork_status (runner, CK_NOFORK);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  remove_all (work);
  g_free (work);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
