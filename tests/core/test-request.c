/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Requests: they come back from their GVariant as they were, and what is not a request is refused.
 */
#include "config.h"
#include <string.h>
#include "sora-request.h"
#include "sora-test-util.h"

static SoraRequest *
full_request (void)
{
  SoraRequest *request = sora_request_new ("text-to-video");
  request->pipeline_text = g_strdup ("[Pipeline]\n");
  sora_request_set_param (request, "prompt", g_variant_new_string ("a red ball"));
  sora_request_set_param (request, "denoise.steps", g_variant_new_int64 (20));
  sora_request_set_param (request, "sigmas", g_variant_new_parsed ("[1.0, 0.5]"));
  g_hash_table_insert (request->models, g_strdup ("main"), g_strdup ("/models/wan"));
  g_hash_table_insert (request->stages, g_strdup ("decode"), g_strdup ("vae-tiny/fast"));
  request->has_seed = TRUE;
  request->seed = G_MAXUINT64;
  g_free (request->metadata);
  request->metadata = g_strdup ("full");
  request->threads = 2;
  request->memory_limit = 1u << 30;
  return request;
}

START_TEST (requests_survive_the_trip)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = full_request ();
  g_autoptr (GVariant) variant = g_variant_ref_sink (sora_request_to_variant (request));
  g_autoptr (SoraRequest) back = sora_request_from_variant (variant, &error);
  sora_assert_no_error (error);
  ck_assert_str_eq (back->pipeline, "text-to-video");
  ck_assert_str_eq (back->pipeline_text, "[Pipeline]\n");
  ck_assert_uint_eq (g_hash_table_size (back->params), 3);
  ck_assert_int_eq (g_variant_get_int64 (g_hash_table_lookup (back->params, "denoise.steps")), 20);
  ck_assert_str_eq (g_hash_table_lookup (back->models, "main"), "/models/wan");
  ck_assert_str_eq (g_hash_table_lookup (back->stages, "decode"), "vae-tiny/fast");
  ck_assert (back->has_seed && back->seed == G_MAXUINT64);
  ck_assert_str_eq (back->metadata, "full");
  ck_assert_uint_eq (back->threads, 2);
  ck_assert_uint_eq (back->memory_limit, 1u << 30);

  /* Equal requests are equal bytes, also of a copy filled in another order. */
  g_autoptr (SoraRequest) copy = sora_request_copy (back);
  g_autoptr (GVariant) again = g_variant_ref_sink (sora_request_to_variant (copy));
  ck_assert (g_variant_equal (variant, again));
}
END_TEST

START_TEST (a_bare_request_has_defaults)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) variant = g_variant_ref_sink (g_variant_new_parsed ("{'pipeline': <'p'>}"));
  g_autoptr (SoraRequest) request = sora_request_from_variant (variant, &error);
  sora_assert_no_error (error);
  ck_assert_str_eq (request->metadata, "minimal");
  ck_assert (!request->has_seed);
  ck_assert_uint_eq (request->threads, 0);
  ck_assert_ptr_null (request->pipeline_text);
  sora_request_choose_seed (request);
  ck_assert (request->has_seed && request->seed <= G_MAXUINT32);
  guint64 seed = request->seed;
  sora_request_choose_seed (request); /* once only */
  ck_assert_uint_eq (request->seed, seed);
  gboolean differs = FALSE;
  for (int i = 0; i < 4 && !differs; i++)
    {
      g_autoptr (SoraRequest) other = sora_request_new ("p");
      sora_request_choose_seed (other);
      differs = other->seed != seed;
    }
  ck_assert (differs);
}
END_TEST

static const struct
{
  const char *variant, *words;
} faults[] = {
  { "@a{sv} {}", "key 'pipeline' is missing" },
  { "'text'", "not a well-formed a{sv}" },
  { "{'pipeline': 'p'}", "not a well-formed a{sv}" },
  { "{'pipeline': <''>}", "'pipeline' is empty" },
  { "{'pipeline': <3>}", "'pipeline' has type 'i', expected 's'" },
  { "{'pipeline': <'p'>, 'colour': <'red'>}", "key 'colour' is unknown" },
  { "[{'pipeline', <'p'>}, {'pipeline', <'q'>}]", "key 'pipeline' stands there twice" },
  { "{'pipeline': <'p'>, 'seed': <5>}", "'seed' has type 'i', expected 't'" },
  { "{'pipeline': <'p'>, 'threads': <uint32 1025>}", "'threads' is 1025, expected at most 1024" },
  { "{'pipeline': <'p'>, 'metadata': <'some'>}",
    "'metadata' is 'some', expected full, minimal or none" },
  { "{'pipeline': <'p'>, 'models': <{'a b': 'm'}>}", "'models' has a key 'a b'" },
  { "{'pipeline': <'p'>, 'models': <{'main': ''}>}", "'models' maps 'main' to ''" },
  { "{'pipeline': <'p'>, 'models': <[{'main', 'a'}, {'main', 'b'}]>}",
    "'models' has the key 'main' twice" },
  { "{'pipeline': <'p'>, 'stages': <{'decode': '../x'}>}", "'stages' maps 'decode' to '../x'" },
  { "{'pipeline': <'p'>, 'params': <{'': <1>}>}", "has no name, or stands there twice" },
  { "{'pipeline': <'p'>, 'params': <[{'x', <1>}, {'x', <2>}]>}",
    "parameter 'x' has no name, or stands there twice" },
  { "{'pipeline': <'p'>, 'params': <{'x': 1}>}", "'params' has type 'a{si}', expected 'a{sv}'" },
};

START_TEST (faults_are_told)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) variant = g_variant_parse (NULL, faults[_i].variant, NULL, NULL, &error);
  sora_assert_no_error (error);
  ck_assert_ptr_null (sora_request_from_variant (variant, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, faults[_i].words);
}
END_TEST

START_TEST (malformed_bytes_are_refused)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = full_request ();
  g_autoptr (GVariant) good = g_variant_ref_sink (sora_request_to_variant (request));
  gsize size = g_variant_get_size (good);
  g_autofree guint8 *bytes = g_memdup2 (g_variant_get_data (good), size);
  bytes[size - 1] = 0xff; /* an offset far outside */
  g_autoptr (GVariant) bad = g_variant_ref_sink (
      g_variant_new_from_data (G_VARIANT_TYPE_VARDICT, bytes, size, FALSE, NULL, NULL));
  ck_assert_ptr_null (sora_request_from_variant (bad, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, "not a well-formed a{sv}");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("request");
  TCase *tcase = sora_test_case (suite, "request");
  tcase_add_test (tcase, requests_survive_the_trip);
  tcase_add_test (tcase, a_bare_request_has_defaults);
  tcase_add_loop_test (tcase, faults_are_told, 0, G_N_ELEMENTS (faults));
  tcase_add_test (tcase, malformed_bytes_are_refused);
  return sora_test_main (suite);
}
