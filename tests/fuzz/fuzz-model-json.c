/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the JSON of a model folder.  Both of its forms are tried: model_index.json, and the
 * index of shards.
 */
#include "config.h"
#include <string.h>
#include "fuzz.h"
#include "sora-keyfile.h"
#include "sora-model-private.h"

static void
try_index (const char *text, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraModel) model = sora_model_new (-1, g_strdup ("/models/fuzz"));
  gboolean ok = sora_model_parse_index (model, text, size, "input", &error);
  MUST_TELL (ok, error);
  if (!ok)
    return;
  MUST (*sora_model_family (model) != '\0' && sora_model_components (model)[0] != NULL);
  for (const char *const *name = sora_model_components (model); *name != NULL; name++)
    MUST (sora_name_is_valid (*name) && sora_model_component_class (model, *name) != NULL);
}

static void
try_weight_map (const char *text, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) map = sora_model_parse_weight_map (text, size, "input", &error);
  GHashTableIter iter;
  gpointer shard;
  MUST_TELL (map, error);
  if (map == NULL)
    return;
  g_hash_table_iter_init (&iter, map);
  while (g_hash_table_iter_next (&iter, NULL, &shard))
    MUST (sora_name_is_plain_file (shard) && g_str_has_suffix (shard, ".safetensors"));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  try_index ((const char *)data, size);
  try_weight_map ((const char *)data, size);
  return 0;
}
