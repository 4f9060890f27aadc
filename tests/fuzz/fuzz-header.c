/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: from the text of a safetensors header to the kind of its file, names and
 * configuration.  The first 8 bytes are the size of the data that would follow it.  Nothing of the
 * data is there, so that headers of whole checkpoints are a kilobyte.
 */
#include "config.h"
#include <jansson.h>
#include <string.h>
#include "mutate.h"
#include "sora-wan-detect.h"

static void
must_be_whole (const SoraSafetensorsTable *table, uint64_t data_size)
{
  uint64_t at = 0;
  MUST (g_hash_table_size (table->by_name) == table->entries->len);
  for (guint i = 0; i < table->entries->len; i++)
    {
      const SoraSafetensorsEntry *entry = g_ptr_array_index (table->entries, i);
      uint64_t bytes;
      MUST (entry->name[0] != '\0' && g_utf8_validate (entry->name, -1, NULL));
      MUST (entry->begin == at && entry->end >= at && entry->end <= data_size);
      MUST (sora_shape_bytes (entry->dtype, entry->ndim, entry->extents, &bytes));
      MUST (bytes == entry->end - entry->begin);
      MUST (g_hash_table_lookup (table->by_name, entry->name) == entry);
      at = entry->end;
    }
  MUST (at == data_size);
}

static void
try_file (const SoraSafetensorsTable *table)
{
  g_autoptr (GError) error = NULL;
  SoraWanFile file;
  if (!sora_wan_detect (table, &file))
    return;
  for (guint i = 0; i < table->entries->len; i++)
    {
      const SoraSafetensorsEntry *entry = g_ptr_array_index (table->entries, i);
      g_autofree char *name = sora_wan_file_name (&file, entry->name);
      MUST (name == NULL || sora_wan_file_find (&file, table, name) == entry);
    }
  g_autofree char *config = sora_wan_config (&file, table, "input", &error);
  MUST_TELL (config, error);
  if (config == NULL)
    return;
  json_t *root = json_loads (config, JSON_REJECT_DUPLICATES, NULL);
  MUST (json_is_object (root));
  json_decref (root);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  SoraSafetensorsTable table = { 0 };
  uint64_t data_size = 0;
  if (size < 8)
    return 0;
  memcpy (&data_size, data, 8);
  data_size = GUINT64_FROM_LE (data_size) & INT64_MAX;
  gboolean ok = sora_safetensors_table_parse (&table, (const char *)data + 8, size - 8, data_size,
                                              "input", &error);
  MUST_TELL (ok, error);
  if (ok)
    {
      must_be_whole (&table, data_size);
      try_file (&table);
    }
  sora_safetensors_table_clear (&table);
  return 0;
}

/* ---- mutation */

static const char *const words[] = { "dtype",
                                     "shape",
                                     "data_offsets",
                                     "__metadata__",
                                     "F32",
                                     "BF16",
                                     "U8",
                                     "head.modulation",
                                     "model.diffusion_model.head.modulation",
                                     "head.head.weight",
                                     "patch_embedding.weight",
                                     "text_embedding.0.weight",
                                     "time_embedding.0.weight",
                                     "blocks.0.ffn.0.weight",
                                     "blocks.1.modulation",
                                     "img_emb.proj.0.bias",
                                     "vace_patch_embedding.weight",
                                     "condition_embedder.time_proj.weight",
                                     "blocks.0.pos_embedding.embedding.weight",
                                     "encoder.block.0.layer.0.SelfAttention.q.weight",
                                     "shared.weight",
                                     "decoder.upsamples.0.residual.0.gamma",
                                     "decoder.conv1.weight",
                                     "spiece_model",
                                     "decoder.up_blocks.0.upsamplers.0.resample.1.weight",
                                     NULL };

/* Offsets as the shapes say, and the size of the data that they end at. */
static void
lay_out (Mutation *m)
{
  json_t *root = json_loadb ((char *)m->data + 8, m->size - 8, 0, NULL), *value, *extent;
  const char *key;
  uint64_t at = 0;
  json_object_foreach (root, key, value)
  {
    const char *dtype = json_string_value (json_object_get (value, "dtype"));
    uint64_t bytes = dtype == NULL || strcmp (dtype, "U8") == 0 ? 1 : dtype[0] == 'B' ? 2 : 4;
    size_t i;
    if (dtype == NULL)
      continue;
    json_array_foreach (json_object_get (value, "shape"), i, extent)
    {
      bytes *= (uint64_t)json_integer_value (extent);
    }
    bytes &= INT64_MAX >> 8;
    json_object_set_new (value, "data_offsets",
                         json_pack ("[I,I]", (json_int_t)at, (json_int_t)(at + bytes)));
    at += bytes;
  }
  g_autofree uint8_t *made = g_malloc (m->max);
  uint64_t end = GUINT64_TO_LE (at);
  size_t size = root != NULL ? json_dumpb (root, (char *)made, m->max - 8, JSON_COMPACT) : 0;
  json_decref (root);
  if (size == 0 || size > m->max - 8)
    return;
  memcpy (m->data, &end, 8);
  memcpy (m->data + 8, made, size);
  m->size = 8 + size;
}

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  Mutation m = mutation_begin (data, size, max_size, seed);
  uint32_t what = mutation_random (&m, 8);
  if (size < 10 || what == 0)
    return LLVMFuzzerMutate (data, size, max_size);
  Mutation json = { data + 8, size - 8, max_size - 8, m.state };
  mutation_json (&json, words);
  m.size = json.size + 8;
  if (what >= 3)
    lay_out (&m);
  return m.size;
}
