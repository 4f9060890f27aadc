/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * umt5-config.c: text_encoder/config.json, checked: every number is bounded before anything is
 * allocated by it.
 */
#include "umt5-config.h"

#include <string.h>

static void
expect (SoraKitConfig *file, const char *key, const char *otherwise, const char *expected)
{
  const char *value = sora_kit_config_string_or (file, key, otherwise);

  if (value == NULL || strcmp (value, expected) != 0)
    sora_kit_config_fail (file, "'%s' is '%.60s', expected '%s'", key,
                          value != NULL ? value : "missing", expected);
}

void
sora_umt5_config_read (SoraKitConfig *file, SoraUmt5Config *config)
{
  expect (file, "model_type", NULL, "umt5");
  expect (file, "feed_forward_proj", "gated-gelu", "gated-gelu");
  *config = (SoraUmt5Config){
    .vocab_size = sora_kit_config_i64 (file, "vocab_size", 4, 1 << 22),
    .d_model = sora_kit_config_i64 (file, "d_model", 1, 16384),
    .d_kv = sora_kit_config_i64 (file, "d_kv", 1, 1024),
    .d_ff = sora_kit_config_i64 (file, "d_ff", 1, 131072),
    .num_layers = sora_kit_config_i64 (file, "num_layers", 1, 256),
    .num_heads = sora_kit_config_i64 (file, "num_heads", 1, 512),
    .num_buckets = sora_kit_config_i64_or (file, "relative_attention_num_buckets", 4, 4096, 32),
    .max_distance = sora_kit_config_i64_or (file, "relative_attention_max_distance", 2, 65536, 128),
    .eps = sora_kit_config_f64_or (file, "layer_norm_epsilon", 1e-12, 0.1, 1e-6),
  };
  if (config->num_buckets % 4 != 0 || config->max_distance <= config->num_buckets / 4)
    sora_kit_config_fail (
        file,
        "'relative_attention_num_buckets' is %lld with a largest distance of %lld, "
        "expected a multiple of 4, and a distance above a quarter of it",
        (long long)config->num_buckets, (long long)config->max_distance);
}
