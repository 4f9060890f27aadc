/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-config.c: text_encoder/config.json, checked: every number is bounded before anything is allocated by it.
 */
#include "umt5-config.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static int
read_integer (json_t *root, const char *key, int64_t fallback, int64_t least, int64_t most,
              int64_t *value, char *why, size_t why_size)
{
  json_t *item = json_object_get (root, key);

  if (item == NULL && fallback >= least)
    {
      *value = fallback;
      return 0;
    }
  if (!json_is_integer (item))
    snprintf (why, why_size, "'%s' is %s, expected an integer from %lld to %lld", key,
              item == NULL ? "missing" : "no integer", (long long)least, (long long)most);
  else if (json_integer_value (item) < least || json_integer_value (item) > most)
    snprintf (why, why_size, "'%s' is %lld, expected %lld to %lld", key,
              (long long)json_integer_value (item), (long long)least, (long long)most);
  else
    {
      *value = json_integer_value (item);
      return 0;
    }
  return -1;
}

/* A string that must be this one, if it is there. */
static int
expect_string (json_t *root, const char *key, const char *expected, char *why, size_t why_size)
{
  json_t *item = json_object_get (root, key);

  if (item == NULL || (json_is_string (item) && strcmp (json_string_value (item), expected) == 0))
    return 0;
  snprintf (why, why_size, "'%s' is '%.60s', expected '%s'", key,
            json_is_string (item) ? json_string_value (item) : "no string", expected);
  return -1;
}

static int
read_all (json_t *root, SoraUmt5Config *c, char *why, size_t why_size)
{
  const struct
  {
    const char *key;
    int64_t fallback, least, most;
    int64_t *value;
  } numbers[] = {
    { "vocab_size", -1, 4, 1 << 22, &c->vocab_size },
    { "d_model", -1, 1, 16384, &c->d_model },
    { "d_kv", -1, 1, 1024, &c->d_kv },
    { "d_ff", -1, 1, 131072, &c->d_ff },
    { "num_layers", -1, 1, 256, &c->num_layers },
    { "num_heads", -1, 1, 512, &c->num_heads },
    { "relative_attention_num_buckets", 32, 4, 4096, &c->num_buckets },
    { "relative_attention_max_distance", 128, 2, 65536, &c->max_distance },
  };
  json_t *eps = json_object_get (root, "layer_norm_epsilon");

  if (!json_is_object (root))
    {
      snprintf (why, why_size, "it is no JSON object");
      return -1;
    }
  if (json_object_get (root, "model_type") == NULL)
    {
      snprintf (why, why_size, "'model_type' is missing, expected 'umt5'");
      return -1;
    }
  if (expect_string (root, "model_type", "umt5", why, why_size) != 0
      || expect_string (root, "feed_forward_proj", "gated-gelu", why, why_size) != 0)
    return -1;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
    if (read_integer (root, numbers[i].key, numbers[i].fallback, numbers[i].least, numbers[i].most,
                      numbers[i].value, why, why_size)
        != 0)
      return -1;
  if (c->num_buckets % 4 != 0 || c->max_distance <= c->num_buckets / 4)
    {
      snprintf (why, why_size,
                "'relative_attention_num_buckets' is %lld with a largest distance of %lld, expected a "
                "multiple of 4 and a distance above a quarter of it",
                (long long)c->num_buckets, (long long)c->max_distance);
      return -1;
    }
  c->eps = eps == NULL ? 1e-6 : json_number_value (eps);
  if (!(c->eps > 0 && c->eps <= 0.1))
    {
      snprintf (why, why_size, "'layer_norm_epsilon' is %g, expected above 0 and at most 0.1", c->eps);
      return -1;
    }
  return 0;
}

int
sora_umt5_config_read (const void *data, size_t size, SoraUmt5Config *config, char *why,
                       size_t why_size)
{
  json_error_t error;
  json_t *root = NULL;
  int r;

  if (size > 1u << 20)
    {
      snprintf (why, why_size, "it has %zu bytes, expected at most 1 MiB", size);
      return -1;
    }
  root = json_loadb (data, size, JSON_REJECT_DUPLICATES, &error);
  if (root == NULL)
    {
      snprintf (why, why_size, "line %d: %s", error.line, error.text);
      return -1;
    }
  memset (config, 0, sizeof *config);
  r = read_all (root, config, why, why_size);
  json_decref (root);
  return r;
}
