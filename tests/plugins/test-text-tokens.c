/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From a prompt to token ids: cleaning and tokenising against what the reference makes
 * (tests/golden), and models that were made to do harm.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prompt.h"
#include "spm-check.h"
#include "spm.h"

#define GOLDEN SORA_TEST_GOLDEN "/"

static json_t *
load_json (const char *name)
{
  char path[1024];
  json_error_t error;
  json_t *root;

  snprintf (path, sizeof path, GOLDEN "%s", name);
  root = json_load_file (path, 0, &error);
  ck_assert_msg (root != NULL, "%s: %s", path, error.text);
  return root;
}

static uint8_t *
load_bytes (const char *name, size_t *size)
{
  char path[1024];
  uint8_t *bytes;
  FILE *file;
  long end;

  snprintf (path, sizeof path, GOLDEN "%s", name);
  file = fopen (path, "rb");
  ck_assert_msg (file != NULL, "cannot open %s", path);
  fseek (file, 0, SEEK_END);
  end = ftell (file);
  rewind (file);
  bytes = malloc ((size_t)end);
  *size = fread (bytes, 1, (size_t)end, file);
  ck_assert_int_eq ((long)*size, end);
  fclose (file);
  return bytes;
}

/* -------------------------------------------------------------------------------- cleaning -- */

START_TEST (test_cleaning)
{
  json_t *root = load_json ("cleaning.json"), *pair;
  size_t i;

  ck_assert_uint_gt (json_array_size (root), 30);
  json_array_foreach (root, i, pair)
  {
    const char *in = json_string_value (json_array_get (pair, 0));
    const char *expected = json_string_value (json_array_get (pair, 1));
    size_t length;
    char *out = sora_prompt_clean (in, &length);

    ck_assert_msg (strcmp (out, expected) == 0, "'%s' became '%s', expected '%s'", in, out,
                   expected);
    ck_assert_uint_eq (length, strlen (expected));
    free (out);
  }
  json_decref (root);
}
END_TEST

/* Each name of the table, with and without what may follow it: none may outgrow the buffer. */
START_TEST (test_entities_grow_in_bounds)
{
  static const char *const worst[]
      = { "&nGt;", "&nLt;", "&bne;", "&#x80", "&#0", "&#9", "&NotEqualTilde;" };
  char text[4096], *out;
  size_t length;

  for (size_t i = 0; i < sizeof worst / sizeof worst[0]; i++)
    {
      size_t n = strlen (worst[i]), used = 0;

      while (used + n < sizeof text)
        {
          memcpy (text + used, worst[i], n);
          used += n;
        }
      out = sora_html_unescape (text, used, &length);
      ck_assert_ptr_nonnull (out);
      ck_assert_uint_le (length, 2 * used);
      ck_assert (sora_prompt_is_utf8 (out, length, NULL));
      free (out);
    }
}
END_TEST

START_TEST (test_utf8)
{
  static const struct
  {
    const char *text;
    int good;
    size_t at;
  } cases[] = {
    { "plain", 1, 0 },
    { "caf\xc3\xa9", 1, 0 },
    { "\xe6\x97\xa5", 1, 0 },
    { "\xf0\x9f\x90\x88", 1, 0 },
    { "\xf4\x8f\xbf\xbf", 1, 0 },
    { "ab\xff", 0, 2 },
    { "\xc0\xaf", 0, 0 },
    { "a\xc1\x81", 0, 1 },
    { "\xe0\x80\x80", 0, 0 },
    { "\xed\xa0\x80", 0, 0 },
    { "\xf4\x90\x80\x80", 0, 0 },
    { "\xf5\x80\x80\x80", 0, 0 },
    { "xy\xe6\x97", 0, 2 },
    { "\x80", 0, 0 },
    { "caf\xc3", 0, 3 },
  };

  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    {
      size_t at = 0;

      ck_assert_msg (sora_prompt_is_utf8 (cases[i].text, strlen (cases[i].text), &at)
                         == cases[i].good,
                     "case %zu", i);
      ck_assert_uint_eq (at, cases[i].at);
    }
}
END_TEST

/* --------------------------------------------------------------------------------- the ids -- */

static void
check_tokens (const char *model, const char *table)
{
  json_t *root = load_json (table), *pair;
  size_t size, i, j;
  uint8_t *bytes = load_bytes (model, &size);
  char why[300];
  SoraSpm *spm = sora_spm_new (bytes, size, why, sizeof why);

  ck_assert_msg (spm != NULL, "%s: %s", model, why);
  ck_assert_uint_gt (json_array_size (root), 15);
  json_array_foreach (root, i, pair)
  {
    const char *in = json_string_value (json_array_get (pair, 0));
    json_t *expected = json_array_get (pair, 1);
    size_t length, n, full;
    char *clean = sora_prompt_clean (in, &length);
    int64_t *ids;

    ck_assert_int_eq (sora_spm_encode (spm, clean, length, 512, &ids, &n, &full, why, sizeof why),
                      0);
    ck_assert_msg (n == json_array_size (expected), "'%s' has %zu tokens, expected %zu", in, n,
                   json_array_size (expected));
    ck_assert_uint_eq (full, n);
    for (j = 0; j < n; j++)
      ck_assert_msg (ids[j] == json_integer_value (json_array_get (expected, j)),
                     "token %zu of '%s' is %lld", j, in, (long long)ids[j]);
    free (ids);
    free (clean);
  }
  sora_spm_unref (spm);
  free (bytes);
  json_decref (root);
}

START_TEST (test_tokens)
{
  check_tokens ("models/small-a/tokenizer/spiece.model", "tokens-small-a.json");
  check_tokens ("models/small-b/tokenizer/spiece.model", "tokens-small-b.json");
  check_tokens ("models/small-c/tokenizer/spiece.model", "tokens-small-c.json");
}
END_TEST

/* The tokenizer of the model that is shipped. */
START_TEST (test_embedded_tokens)
{
  json_t *root = json_load_file (GOLDEN "embedded/index.json", 0, NULL);
  char model[512];

  ck_assert_msg (root != NULL,
                 "no goldens of the embedded model: run tools/models/make_goldens.py --embedded");
  snprintf (model, sizeof model, "../../models/%s/tokenizer/spiece.model",
            json_string_value (json_object_get (root, "model")));
  check_tokens (model, "embedded/tokens.json");
  json_decref (root);
}
END_TEST

/* Too many tokens: the first ones and the end mark stay, and the true number is told. */
START_TEST (test_cut)
{
  size_t size, n, full, all, all_full;
  uint8_t *bytes = load_bytes ("models/small-a/tokenizer/spiece.model", &size);
  static const char text[] = "a small red ball rolls right over green grass";
  char why[300];
  SoraSpm *spm = sora_spm_new (bytes, size, why, sizeof why);
  int64_t *whole, *cut;

  ck_assert_int_eq (
      sora_spm_encode (spm, text, sizeof text - 1, 512, &whole, &all, &all_full, why, sizeof why),
      0);
  ck_assert_int_eq (whole[all - 1], 1);
  for (size_t max = 1; max <= all; max++)
    {
      ck_assert_int_eq (
          sora_spm_encode (spm, text, sizeof text - 1, max, &cut, &n, &full, why, sizeof why), 0);
      ck_assert_uint_eq (n, max);
      ck_assert_uint_eq (full, all);
      ck_assert_int_eq (cut[n - 1], 1);
      ck_assert_int_eq (memcmp (cut, whole, (n - 1) * sizeof *cut), 0);
      free (cut);
    }
  free (whole);
  sora_spm_unref (spm);
  free (bytes);
}
END_TEST

/* The kept tokenizer outlives its giver, and another model takes its place. */
START_TEST (test_kept)
{
  size_t size_a, size_b;
  uint8_t *a = load_bytes ("models/small-a/tokenizer/spiece.model", &size_a);
  uint8_t *b = load_bytes ("models/small-b/tokenizer/spiece.model", &size_b);
  char why[300];
  SoraSpm *first = sora_spm_new (a, size_a, why, sizeof why), *second, *third;

  second = sora_spm_new (a, size_a, why, sizeof why);
  ck_assert_ptr_eq (first, second);
  third = sora_spm_new (b, size_b, why, sizeof why);
  ck_assert_ptr_ne (first, third);
  ck_assert_int_ne (sora_spm_pieces (first), sora_spm_pieces (third));
  sora_spm_unref (second);
  sora_spm_unref (first);
  sora_spm_unref (third);
  free (a);
  free (b);
}
END_TEST

/* -------------------------------------------------------------------------- hostile models -- */

/* Writes protocol buffers. */
typedef struct
{
  uint8_t bytes[1 << 16];
  size_t n;
} Out;

static void
put_varint (Out *out, uint64_t v)
{
  for (; v >= 0x80; v >>= 7)
    out->bytes[out->n++] = (uint8_t)(v | 0x80);
  out->bytes[out->n++] = (uint8_t)v;
}

static void
put_bytes (Out *out, uint32_t field, const void *data, size_t n)
{
  put_varint (out, field << 3 | 2);
  put_varint (out, n);
  memcpy (out->bytes + out->n, data, n);
  out->n += n;
}

static void
put_piece (Out *out, const char *name, size_t length, uint32_t score_bits, uint64_t kind)
{
  static Out piece;

  piece.n = 0;
  put_bytes (&piece, 1, name, length);
  put_varint (&piece, 2 << 3 | 5);
  memcpy (piece.bytes + piece.n, &score_bits, 4);
  piece.n += 4;
  put_varint (&piece, 3 << 3);
  put_varint (&piece, kind);
  put_bytes (out, 1, piece.bytes, piece.n);
}

#define SCORE 0xbf800000u /* -1 */

static void
put_usual (Out *out)
{
  out->n = 0;
  put_piece (out, "<pad>", 5, 0, 3);
  put_piece (out, "</s>", 4, 0, 3);
  put_piece (out, "<unk>", 5, 0, 2);
  put_piece (out, "\xe2\x96\x81", 3, SCORE, 1);
  put_piece (out, "a", 1, SCORE, 1);
}

static void
put_charsmap (Out *out, const uint32_t *trie, size_t units, uint32_t said_bytes,
              const char *strings, size_t length)
{
  static Out map, normalizer;

  map.n = normalizer.n = 0;
  memcpy (map.bytes, &said_bytes, 4);
  memcpy (map.bytes + 4, trie, units * 4);
  memcpy (map.bytes + 4 + units * 4, strings, length);
  put_bytes (&normalizer, 2, map.bytes, 4 + units * 4 + length);
  put_bytes (out, 3, normalizer.bytes, normalizer.n);
}

static void
expect_refused (Out *out, const char *reason)
{
  char why[300] = "";
  SoraSpm *spm = sora_spm_new (out->bytes, out->n, why, sizeof why);

  ck_assert_msg (spm == NULL, "taken, expected: %s", reason);
  ck_assert_msg (strstr (why, reason) != NULL, "'%s', expected: %s", why, reason);
}

START_TEST (test_hostile_pieces)
{
  static Out out;
  static char lengthy[300];

  put_usual (&out);
  memset (lengthy, 'x', sizeof lengthy);
  put_piece (&out, lengthy, sizeof lengthy, SCORE, 1);
  expect_refused (&out, "piece 5 has 300 bytes, expected 1 to 256");
  put_usual (&out);
  put_piece (&out, "", 0, SCORE, 1);
  expect_refused (&out, "piece 5 has 0 bytes");
  put_usual (&out);
  put_piece (&out, "b\xff", 2, SCORE, 1);
  expect_refused (&out, "piece 5 is not UTF-8");
  put_usual (&out);
  put_piece (&out, "b", 1, 0x7fc00000u, 1);
  expect_refused (&out, "piece 5 has no usable score");
  put_usual (&out);
  put_piece (&out, "b", 1, SCORE, 7);
  expect_refused (&out, "of the kind 7, expected 1 to 6");
  put_usual (&out);
  put_piece (&out, "<unk2>", 6, SCORE, 2);
  expect_refused (&out, "2 unknown pieces, expected 1");
  put_usual (&out);
  put_bytes (&out, 2, "\x18\x02", 2);
  expect_refused (&out, "type 2, expected 1 (unigram)");
  put_usual (&out);
  put_varint (&out, 1 << 3 | 2);
  put_varint (&out, 1u << 30);
  expect_refused (&out, "damaged at byte");
  out.n = 0;
  put_piece (&out, "<unk>", 5, 0, 2);
  put_piece (&out, "a", 1, SCORE, 1);
  expect_refused (&out, "no end mark");
  out.n = 0;
  expect_refused (&out, "it has 0 bytes");
  put_bytes (&out, 4, "", 0);
  expect_refused (&out, "it has no pieces");
}
END_TEST

START_TEST (test_hostile_charsmap)
{
  static uint32_t trie[256];
  static Out out;

  put_usual (&out);
  put_charsmap (&out, trie, 256, 4096, "x", 2);
  expect_refused (&out, "the trie has 4096 bytes");
  put_usual (&out);
  put_charsmap (&out, trie, 256, 1000, "x", 2);
  expect_refused (&out, "the trie has 1000 bytes");
  put_usual (&out);
  put_charsmap (&out, trie, 256, 1024, "xy", 2);
  expect_refused (&out, "does not end");
  put_usual (&out);
  put_charsmap (&out, trie, 256, 1024, "\xff", 2);
  expect_refused (&out, "not UTF-8");
  trie[0] = 1u << 18; /* its children stand 256 units on, outside */
  put_usual (&out);
  put_charsmap (&out, trie, 256, 1024, "x", 2);
  expect_refused (&out, "unit 0 of the trie points outside");
  trie[0] = 5u << 10 | 0x100; /* a leaf at unit 5 */
  trie[5] = 0x80000000u | 77;
  put_usual (&out);
  put_charsmap (&out, trie, 256, 1024, "x", 2);
  expect_refused (&out, "unit 0 of the trie names no string (offset 77)");
}
END_TEST

/* Taken, and a text that meets all that begin alike is read. */
static void
expect_good (Out *out)
{
  static char text[200];
  char why[300] = "";
  int64_t *ids;
  size_t n, full;
  SoraSpm *spm = sora_spm_new (out->bytes, out->n, why, sizeof why);

  ck_assert_msg (spm != NULL, "%s", why);
  memset (text, 'a', sizeof text);
  ck_assert_int_eq (sora_spm_encode (spm, text, sizeof text, 512, &ids, &n, &full, why, sizeof why),
                    0);
  ck_assert_uint_ge (n, 2);
  free (ids);
  sora_spm_unref (spm);
}

/* libsentencepiece has room for 64 user-defined pieces that a text begins with, and reads on behind
 * it. */
START_TEST (test_nested_pieces)
{
  static Out out;
  static char text[66];

  memset (text, 'a', sizeof text);
  put_usual (&out);
  for (size_t n = 2; n <= 65; n++)
    put_piece (&out, text, n, 0, 4);
  put_piece (&out, "b", 1, 0, 4);
  expect_good (&out);
  put_piece (&out, text, 66, 0, 4);
  expect_refused (&out, "more than 64 of its user-defined pieces begin alike");
}
END_TEST

/* Rules for a, aa, aaa ... up to @n letters, each in a block of its own. */
static size_t
chain (uint32_t *trie, size_t n)
{
  const size_t units = 256 * (n + 2);

  for (size_t i = 0; i < units; i++)
    trie[i] = 0x80000000u;
  trie[0] = 256u << 10;
  for (size_t k = 1; k <= n; k++)
    {
      const uint32_t from = (uint32_t)(256 * k) ^ 'a', to = (uint32_t)(256 * (k + 1));

      trie[from] = (from ^ to) << 10 | 0x100 | 'a';
    }
  return units;
}

/* And for 32 rules of the map of characters. */
START_TEST (test_nested_rules)
{
  static uint32_t trie[256 * 40];
  static Out out;
  size_t units = chain (trie, 32);

  put_usual (&out);
  put_charsmap (&out, trie, units, (uint32_t)(4 * units), "a", 2);
  expect_good (&out);
  units = chain (trie, 33);
  put_usual (&out);
  put_charsmap (&out, trie, units, (uint32_t)(4 * units), "a", 2);
  expect_refused (&out, "more than 32 of its rules begin alike");
  units = chain (trie, 1);
  trie[256 ^ 'a'] = (uint32_t)'a' << 10 | 0x100 | 'a'; /* back to where it came from */
  put_usual (&out);
  put_charsmap (&out, trie, units, (uint32_t)(4 * units), "a", 2);
  expect_refused (&out, "goes round in a circle");
}
END_TEST

/* Special tokens written out are text, even where the model would take one for a word of its own.
 */
START_TEST (test_special_tokens_are_text)
{
  static Out out;
  static const char text[] = "<extra_id_0> </s> <unk>";
  char why[300] = "";
  int64_t *ids;
  size_t n, full;
  SoraSpm *spm;

  put_usual (&out);
  put_piece (&out, "<extra_id_0>", 12, SCORE, 4);
  spm = sora_spm_new (out.bytes, out.n, why, sizeof why);
  ck_assert_msg (spm != NULL, "%s", why);
  ck_assert_int_eq (
      sora_spm_encode (spm, text, sizeof text - 1, 512, &ids, &n, &full, why, sizeof why), 0);
  for (size_t i = 0; i + 1 < n; i++)
    ck_assert_msg (ids[i] != 0 && ids[i] != 1 && ids[i] != 5, "token %zu is %lld", i,
                   (long long)ids[i]);
  ck_assert_int_eq (ids[n - 1], 1);
  free (ids);
  sora_spm_unref (spm);
}
END_TEST

/* Whatever is broken in a real model: refused with a reason, or read and usable; never a crash. */
START_TEST (test_damaged_models)
{
  size_t size, n, full;
  uint8_t *bytes = load_bytes ("models/small-a/tokenizer/spiece.model", &size),
          *copy = malloc (size);
  static const char text[] = "a red ball \xe2\x91\xa0 \xef\xbc\xa1";
  uint64_t state = 88172645463325252u;
  unsigned refused = 0, taken = 0;
  char why[300];

  for (int round = 0; round < 400; round++)
    {
      size_t length = size;
      SoraSpm *spm;
      int64_t *ids;

      memcpy (copy, bytes, size);
      for (int i = 0; i < 1 + round % 3; i++)
        {
          state ^= state << 13;
          state ^= state >> 7;
          state ^= state << 17;
          /* Half of the time in the first bytes after the map, where the structure is. */
          copy[round % 2 ? state % size : size - 1 - state % 1500]
              ^= (uint8_t)(1u << (state >> 40) % 8);
        }
      if (round % 4 == 3)
        length = state % size;
      why[0] = '\0';
      spm = sora_spm_new (copy, length, why, sizeof why);
      if (spm == NULL)
        {
          ck_assert_msg (why[0] != '\0', "refused without a reason in round %d", round);
          refused++;
          continue;
        }
      taken++;
      if (sora_spm_encode (spm, text, sizeof text - 1, 512, &ids, &n, &full, why, sizeof why) == 0)
        free (ids);
      sora_spm_unref (spm);
    }
  ck_assert_uint_gt (refused, 50);
  ck_assert_uint_gt (taken, 10);
  free (copy);
  free (bytes);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("text-tokens");
  TCase *tests = tcase_create ("tokens");
  SRunner *runner = srunner_create (suite);
  int failed;

  tcase_set_timeout (tests, 120);
  tcase_add_test (tests, test_cleaning);
  tcase_add_test (tests, test_entities_grow_in_bounds);
  tcase_add_test (tests, test_utf8);
  tcase_add_test (tests, test_tokens);
  tcase_add_test (tests, test_embedded_tokens);
  tcase_add_test (tests, test_cut);
  tcase_add_test (tests, test_kept);
  tcase_add_test (tests, test_hostile_pieces);
  tcase_add_test (tests, test_hostile_charsmap);
  tcase_add_test (tests, test_nested_pieces);
  tcase_add_test (tests, test_nested_rules);
  tcase_add_test (tests, test_special_tokens_are_text);
  tcase_add_test (tests, test_damaged_models);
  suite_add_tcase (suite, tests);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
