/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * 10,000 prompts in 20 scripts and more, cleaned and tokenised as the reference does it: white
 * space of all kinds, emoji and joiners, scripts that the model does not know, HTML's references,
 * very long lines.  tools/models/make_token_goldens.py made the model and the digests in
 * tests/golden/scripts; its generator of lines stands here again, and gives the same text by the
 * digest of all of it.
 *
 * SORA_TEST_SCRIPTS names another folder of that script's, for a model that is too large to keep.
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prompt.h"
#include "spm.h"

#define SCRIPTS SORA_TEST_GOLDEN "/scripts"
#define WORDS 150
#define MAX_IDS 512
#define MAX_KNOWN 64
#define DIGEST_START 0xcbf29ce484222325u

typedef struct
{
  char *bytes;
  size_t n, room;
} Text;

static json_t *alphabet;
static char *lexicon[MAX_KNOWN][WORDS];

static void
put (Text *text, const char *bytes, size_t n)
{
  if (text->n + n + 1 > text->room)
    {
      text->room = 2 * (text->n + n + 1);
      text->bytes = realloc (text->bytes, text->room);
      ck_assert_ptr_nonnull (text->bytes);
    }
  memcpy (text->bytes + text->n, bytes, n);
  text->n += n;
  text->bytes[text->n] = '\0';
}

static void
put_string (Text *text, const char *string)
{
  put (text, string, strlen (string));
}

static void
put_char (Text *text, uint32_t c)
{
  char out[4];
  size_t n = 0;
  if (c < 0x80)
    out[n++] = (char)c;
  else if (c < 0x800)
    out[n++] = (char)(0xc0 | c >> 6);
  else if (c < 0x10000)
    out[n++] = (char)(0xe0 | c >> 12);
  else
    out[n++] = (char)(0xf0 | c >> 18);
  for (int shift = c >= 0x10000 ? 12 : c >= 0x800 ? 6 : 0; c >= 0x80 && shift >= 0; shift -= 6)
    out[n++] = (char)(0x80 | (c >> shift & 0x3f));
  put (text, out, n);
}

/* ------------------------------------------------------------------------------- the lines -- */

/* splitmix64 */
static size_t
below (uint64_t *state, size_t n)
{
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (size_t)((z ^ z >> 31) >> 11) % n;
}

static void
fresh (uint64_t *rng, const json_t *script, size_t length, Text *out)
{
  const json_t *ranges = json_object_get (script, "ranges"), *range;
  size_t i, total = 0;
  json_array_foreach (ranges, i, range) total
      += (size_t)(json_integer_value (json_array_get (range, 1))
                  - json_integer_value (json_array_get (range, 0)) + 1);
  while (length-- > 0)
    {
      size_t k = below (rng, total);
      json_array_foreach (ranges, i, range)
      {
        const size_t first = (size_t)json_integer_value (json_array_get (range, 0));
        const size_t size = (size_t)json_integer_value (json_array_get (range, 1)) - first + 1;
        if (k < size)
          {
            put_char (out, (uint32_t)(first + k));
            break;
          }
        k -= size;
      }
    }
}

static const json_t *
known (size_t i)
{
  return json_array_get (json_object_get (alphabet, "known"), i);
}

static size_t
any_known (uint64_t *rng)
{
  return below (rng, json_array_size (json_object_get (alphabet, "known")));
}

static void
word (uint64_t *rng, size_t i, Text *out)
{
  if (below (rng, 6) == 0)
    fresh (rng, known (i), 1 + below (rng, 12), out);
  else
    put_string (out, lexicon[i][below (rng, below (rng, WORDS) + 1)]);
}

static void
plain (uint64_t *rng, size_t count, Text *out)
{
  const size_t i = any_known (rng);
  for (size_t k = 0; k < count; k++)
    {
      if (k > 0)
        put_string (out, " ");
      word (rng, i, out);
    }
}

static void
put_one (uint64_t *rng, const json_t *strings, Text *out)
{
  put_string (out,
              json_string_value (json_array_get (strings, below (rng, json_array_size (strings)))));
}

static void
between (uint64_t *rng, const char *list, Text *out)
{
  for (size_t k = 1 + below (rng, 12); k > 0; k--)
    {
      const size_t i = any_known (rng);
      if (below (rng, 2) == 0)
        word (rng, i, out);
      else
        put_one (rng, json_object_get (alphabet, list), out);
      put_string (out, below (rng, 3) == 0 ? "" : " ");
    }
}

static void
spaced (uint64_t *rng, Text *out)
{
  const json_t *spaces = json_object_get (alphabet, "spaces");
  for (size_t k = 2 + below (rng, 12); k > 0; k--)
    {
      for (size_t s = below (rng, 4); s > 0; s--)
        put_one (rng, spaces, out);
      word (rng, any_known (rng), out);
    }
  put_one (rng, spaces, out);
}

static void
unknown (uint64_t *rng, Text *out)
{
  const json_t *scripts = json_object_get (alphabet, "unknown");
  for (size_t k = 1 + below (rng, 12); k > 0; k--)
    {
      const json_t *script = json_array_get (scripts, below (rng, json_array_size (scripts)));
      fresh (rng, script, 1 + below (rng, 9), out);
      put_string (out, below (rng, 3) == 0 ? "" : " ");
    }
}

static void
signs (uint64_t *rng, Text *out)
{
  for (size_t k = 1 + below (rng, 14); k > 0; k--)
    {
      const size_t i = any_known (rng);
      if (below (rng, 2) == 0)
        word (rng, i, out);
      else
        for (size_t s = 1 + below (rng, 8); s > 0; s--)
          put_char (out, (uint32_t)(33 + below (rng, 94)));
      put_string (out, " ");
    }
}

static void
make_line (uint64_t number, uint64_t seed, Text *out)
{
  uint64_t state = seed * 1000003 + number, *rng = &state;
  const size_t kind = below (rng, 16);
  out->n = 0;
  put (out, "", 0);
  if (kind < 6)
    plain (rng, 1 + below (rng, 18), out);
  else if (kind < 8)
    for (size_t k = 1 + below (rng, 18); k > 0; k--)
      {
        word (rng, any_known (rng), out);
        put_string (out, " ");
      }
  else if (kind == 8)
    spaced (rng, out);
  else if (kind == 9)
    between (rng, "emoji", out);
  else if (kind == 10)
    unknown (rng, out);
  else if (kind < 13)
    between (rng, "entities", out);
  else if (kind == 13)
    between (rng, "odd", out);
  else if (kind == 14)
    signs (rng, out);
  else if (below (rng, 4) != 0)
    plain (rng, 1 + below (rng, 18), out);
  else if (below (rng, 2) == 0)
    plain (rng, 300 + below (rng, 900), out);
  else
    {
      const size_t i = any_known (rng);
      fresh (rng, known (i), 80 + below (rng, 2000), out);
    }
}

static void
make_lexicon (void)
{
  const size_t n = json_array_size (json_object_get (alphabet, "known"));
  ck_assert (n >= 20 && n <= MAX_KNOWN);
  for (size_t i = 0; i < n; i++)
    {
      uint64_t rng = 1000 + i;
      for (int k = 0; k < WORDS; k++)
        {
          Text text = { NULL, 0, 0 };
          fresh (&rng, known (i), 1 + below (&rng, 9), &text);
          lexicon[i][k] = text.bytes;
        }
    }
}

/* ------------------------------------------------------------------------------ the checks -- */

/* FNV-1a of 64 bits */
static uint64_t
digest (uint64_t state, const void *bytes, size_t n)
{
  for (size_t i = 0; i < n; i++)
    state = (state ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
  return state;
}

static int
is_digest (uint64_t state, const json_t *expected)
{
  char text[17];
  snprintf (text, sizeof text, "%016llx", (unsigned long long)state);
  return strcmp (text, json_string_value (expected)) == 0;
}

static json_t *
load_json (const char *folder, const char *name)
{
  char path[1024];
  json_error_t error;
  snprintf (path, sizeof path, "%s/%s", folder, name);
  json_t *root = json_load_file (path, 0, &error);
  ck_assert_msg (root != NULL, "%s: %s", path, error.text);
  return root;
}

static void
load_bytes (const char *path, Text *out)
{
  char buffer[4096];
  size_t n;
  FILE *file = fopen (path, "rb");
  ck_assert_msg (file != NULL, "cannot open %s", path);
  while ((n = fread (buffer, 1, sizeof buffer, file)) > 0)
    put (out, buffer, n);
  fclose (file);
}

/* A number of protobuf's; moves *at on. */
static uint64_t
varint (const Text *text, size_t *at)
{
  uint64_t value = 0;
  for (int shift = 0;; shift += 7)
    {
      ck_assert (*at < text->n && shift < 64);
      const uint8_t byte = (uint8_t)text->bytes[(*at)++];
      value |= (uint64_t)(byte & 0x7f) << shift;
      if (byte < 0x80)
        return value;
    }
}

/* Adds the field normalizer_spec (3) of another model, which the stored one has lost. */
static void
add_normalizer (Text *model)
{
  Text other = { NULL, 0, 0 };
  int found = 0;
  load_bytes (SORA_TEST_GOLDEN "/models/small-a/tokenizer/spiece.model", &other);
  for (size_t at = 0; at < other.n;)
    {
      const size_t start = at;
      const uint64_t tag = varint (&other, &at);
      ck_assert_uint_eq (tag & 7, 2);
      at += varint (&other, &at);
      ck_assert_uint_le (at, other.n);
      if (tag >> 3 == 3)
        {
          put (model, other.bytes + start, at - start);
          found++;
        }
    }
  ck_assert_int_eq (found, 1);
  free (other.bytes);
}

static SoraSpm *
load_model (const char *folder)
{
  char path[1024], why[300];
  Text model = { NULL, 0, 0 };
  snprintf (path, sizeof path, "%s/pieces.model", folder);
  load_bytes (path, &model);
  add_normalizer (&model);
  SoraSpm *spm = sora_spm_new (model.bytes, model.n, why, sizeof why);
  ck_assert_msg (spm != NULL, "%s: %s", path, why);
  free (model.bytes);
  return spm;
}

/* Too many are cut as the reference cuts them: the first ones and the end mark stay. */
static void
check_cut (const SoraSpm *spm, const char *clean, size_t length, const int64_t *ids, size_t n)
{
  char why[300];
  int64_t *cut;
  size_t left, full;
  if (n <= MAX_IDS)
    return;
  ck_assert_int_eq (
      sora_spm_encode (spm, clean, length, MAX_IDS, &cut, &left, &full, why, sizeof why), 0);
  ck_assert_uint_eq (left, MAX_IDS);
  ck_assert_uint_eq (full, n);
  ck_assert_mem_eq (cut, ids, (MAX_IDS - 1) * sizeof *cut);
  ck_assert_int_eq (cut[MAX_IDS - 1], ids[n - 1]);
  free (cut);
}

START_TEST (test_scripts)
{
  const char *folder = getenv ("SORA_TEST_SCRIPTS");
  if (folder == NULL)
    folder = SCRIPTS;
  json_t *book = load_json (folder, "digests.json");
  const json_t *cleaned = json_object_get (book, "cleaned"),
               *ids_of = json_object_get (book, "ids");
  const size_t lines = (size_t)json_integer_value (json_object_get (book, "lines"));
  const size_t block = (size_t)json_integer_value (json_object_get (book, "block"));
  const uint64_t seed = (uint64_t)json_integer_value (json_object_get (book, "seed"));
  uint64_t whole = DIGEST_START, clean_state = 0, ids_state = 0;
  size_t tokens = 0, cuts = 0;
  Text line = { NULL, 0, 0 };
  char why[300];
  alphabet = load_json (SCRIPTS, "alphabet.json");
  make_lexicon ();
  SoraSpm *spm = load_model (folder);
  ck_assert_int_eq (sora_spm_pieces (spm), json_integer_value (json_object_get (book, "pieces")));
  ck_assert_uint_eq (lines, 10000);
  ck_assert_uint_eq (json_array_size (cleaned), lines / block);
  ck_assert_uint_eq (json_array_size (ids_of), lines / block);

  for (size_t i = 0; i < lines; i++)
    {
      size_t length, n, full;
      int64_t *ids;
      if (i % block == 0)
        clean_state = ids_state = DIGEST_START;
      make_line (i, seed, &line);
      whole = digest (digest (whole, line.bytes, line.n), "\n", 1);
      char *clean = sora_prompt_clean (line.bytes, &length);
      ck_assert_ptr_nonnull (clean);
      clean_state = digest (digest (clean_state, clean, length), "\n", 1);
      ck_assert_msg (sora_spm_encode (spm, clean, length, SIZE_MAX, &ids, &n, &full, why,
                                      sizeof why)
                         == 0,
                     "line %zu: %s", i, why);
      ck_assert_uint_eq (n, full);
      for (size_t k = 0; k < n; k++)
        {
          const uint8_t bytes[4] = { (uint8_t)ids[k], (uint8_t)(ids[k] >> 8),
                                     (uint8_t)(ids[k] >> 16), (uint8_t)(ids[k] >> 24) };
          ids_state = digest (ids_state, bytes, 4);
        }
      tokens += full;
      cuts += full > MAX_IDS;
      check_cut (spm, clean, length, ids, n);
      free (ids);
      free (clean);
      if (i % block != block - 1)
        continue;
      ck_assert_msg (is_digest (clean_state, json_array_get (cleaned, i / block)),
                     "lines %zu to %zu are cleaned in another way: make_token_goldens.py --show",
                     i + 1 - block, i);
      ck_assert_msg (is_digest (ids_state, json_array_get (ids_of, i / block)),
                     "lines %zu to %zu have other ids: make_token_goldens.py --show", i + 1 - block,
                     i);
    }
  ck_assert_msg (is_digest (whole, json_object_get (book, "text")),
                 "the lines are not those that the goldens were made of");
  ck_assert_uint_gt (cuts, 50);
  printf ("%zu lines, %zu tokens, %zu lines cut, %lld pieces\n", lines, tokens, cuts,
          (long long)sora_spm_pieces (spm));
  for (size_t i = 0; i < MAX_KNOWN; i++)
    for (int k = 0; k < WORDS; k++)
      free (lexicon[i][k]);
  sora_spm_unref (spm);
  free (line.bytes);
  json_decref (alphabet);
  json_decref (book);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("text-scripts");
  TCase *tests = tcase_create ("scripts");
  tcase_set_timeout (tests, 600);
  tcase_add_test (tests, test_scripts);
  suite_add_tcase (suite, tests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
