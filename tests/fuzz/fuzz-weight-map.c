/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the index of shards, model.safetensors.index.json.  What is accepted names plain
 * files alone.
 */
#include "config.h"
#include "arena.h"
#include "mutate.h"
#include "sora-keyfile.h"
#include "sora-model-private.h"

static void
try_text (const char *text, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) map = sora_model_parse_weight_map (text, size, "input", &error);
  GHashTableIter iter;
  gpointer tensor, shard;
  MUST_TELL (map, error);
  if (map == NULL)
    return;
  MUST (g_hash_table_size (map) > 0);
  g_hash_table_iter_init (&iter, map);
  while (g_hash_table_iter_next (&iter, &tensor, &shard))
    MUST (tensor != NULL && sora_name_is_plain_file (shard)
          && g_str_has_suffix (shard, ".safetensors"));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  fuzz_arena_begin ();
  try_text ((const char *)data, size);
  fuzz_arena_end ();
  return 0;
}

static const char *const words[] = { "weight_map",
                                     "metadata",
                                     "total_size",
                                     "a.safetensors",
                                     "model-00001-of-00002.safetensors",
                                     ".safetensors",
                                     "../a.safetensors",
                                     "a/b.safetensors",
                                     ".a.safetensors",
                                     "a\\u0000.safetensors",
                                     "blocks.0.ffn.net.0.proj.weight",
                                     "model.bin",
                                     "a\\nb.safetensors",
                                     NULL };

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  Mutation m = mutation_begin (data, size, max_size, seed);
  if (mutation_random (&m, 8) == 0)
    return LLVMFuzzerMutate (data, size, max_size);
  mutation_json (&m, words);
  return m.size;
}
