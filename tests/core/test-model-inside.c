/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What libsora-core asks of models inside, built with the sources: digests that can be stopped, and
 * whether two that were opened at different times are the same.
 */
#include "config.h"
#include <unistd.h>
#include <glib/gstdio.h>
#include "sora-model-private.h"
#include "sora-test-util.h"

#define INDEX "{\"_class_name\": \"WanPipeline\", \"vae\": [\"diffusers\", \"AutoencoderKLWan\"]}"
#define HEADER "{\"v\":{\"dtype\":\"U8\",\"shape\":[5000000],\"data_offsets\":[0,5000000]}}"
#define WEIGHTS "vae/diffusion_pytorch_model.safetensors"

static char *
make_model (const char *name)
{
  g_autofree char *dir = sora_test_dir ();
  g_autoptr (GByteArray) weights = sora_test_safetensors (HEADER, 5000000);
  char *model = g_build_filename (dir, name, NULL);
  sora_test_text (model, "model_index.json", INDEX);
  sora_test_text (model, "vae/config.json", "{}");
  g_free (sora_test_write (model, WEIGHTS, weights->data, weights->len));
  return model;
}

static SoraModel *
open_model (const char *path)
{
  g_autoptr (GError) error = NULL;
  SoraModel *model = sora_model_open (path, &error);
  sora_assert_no_error (error);
  return model;
}

static gboolean
stop_at_the_fifth (gpointer data)
{
  int *asked = data;
  return ++*asked == 5;
}

START_TEST (a_digest_is_stopped)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = make_model ("small");
  g_autoptr (SoraModel) model = open_model (path);
  int asked = 0;
  ck_assert_ptr_null (sora_model_digest_stoppable (model, stop_at_the_fifth, &asked, &error));
  sora_assert_error (error, SORA_ERROR_CANCELLED, "stopped while the digest");
  ck_assert_int_eq (asked, 5); /* of eight: six blocks of the weights, two small files */
  ck_assert_ptr_nonnull (sora_model_digest_stoppable (model, stop_at_the_fifth, &asked, &error));
  ck_assert_int_gt (asked, 5);
}
END_TEST

START_TEST (the_same_model)
{
  g_autofree char *path = make_model ("small");
  g_autoptr (SoraModel) a = open_model (path), b = open_model (path);
  ck_assert (sora_model_is_same (a, a));
  ck_assert (sora_model_is_same (a, b));
  /* What only one has read says nothing. */
  g_autoptr (GBytes) config = sora_model_read_file (b, "vae/config.json", NULL);
  ck_assert (sora_model_is_same (a, b));
  ck_assert (sora_model_is_same (b, a));
}
END_TEST

START_TEST (a_copy_in_its_place)
{
  g_autofree char *path = make_model ("small"), *copy = make_model ("copy");
  g_autoptr (SoraModel) before = open_model (path);
  g_autofree char *old = g_strconcat (path, ".old", NULL);
  ck_assert_int_eq (g_rename (path, old), 0);
  ck_assert_int_eq (g_rename (copy, path), 0);
  g_autoptr (SoraModel) after = open_model (path);
  ck_assert (sora_model_unchanged (before, NULL)); /* below the folder that it was opened in */
  ck_assert (!sora_model_is_same (before, after));
}
END_TEST

START_TEST (a_file_in_its_place)
{
  g_autofree char *path = make_model ("small");
  g_autoptr (SoraModel) before = open_model (path);
  g_autoptr (GBytes) old = sora_model_read_file (before, "vae/config.json", NULL);
  sora_test_text (path, "vae/config.json", "{ }");
  g_autoptr (SoraModel) after = open_model (path);
  g_autoptr (GBytes) new = sora_model_read_file (after, "vae/config.json", NULL);
  ck_assert (!sora_model_is_same (before, after));
}
END_TEST

START_TEST (other_weights)
{
  g_autofree char *path = make_model ("small");
  g_autofree char *half = g_build_filename (path, "vae/half.safetensors", NULL);
  g_autofree char *standard = g_build_filename (path, WEIGHTS, NULL);
  ck_assert_int_eq (g_rename (standard, half), 0);
  g_autoptr (SoraModel) before = open_model (path);
  ck_assert_int_eq (link (half, standard), 0);
  g_autoptr (SoraModel) after = open_model (path);
  ck_assert (!sora_model_is_same (before, after));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("model-inside");
  TCase *tests = sora_test_case (suite, "model-inside");
  tcase_add_test (tests, a_digest_is_stopped);
  tcase_add_test (tests, the_same_model);
  tcase_add_test (tests, a_copy_in_its_place);
  tcase_add_test (tests, a_file_in_its_place);
  tcase_add_test (tests, other_weights);
  return sora_test_main (suite);
}
