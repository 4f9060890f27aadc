/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the names of Wan's tensors, what kind of file a header is of, and the configuration
 * that is made from its shapes.  The input is a header in short, as table.h has it.
 */
#include "config.h"
#include <jansson.h>
#include <string.h>
#include "sora-wan-detect.h"
#include "table.h"

/* What is known one way is known the other way, and means the same. */
static void
try_name (const char *name)
{
  for (int t = 0; t < SORA_WAN_N_NAMES; t++)
    {
      SoraWanNames names = (SoraWanNames)t;
      g_autofree char *diffusers = sora_wan_name_to_diffusers (names, name);
      g_autofree char *original = sora_wan_name_to_original (names, name);
      g_autofree char *back
          = diffusers != NULL ? sora_wan_name_to_original (names, diffusers) : NULL;
      g_autofree char *forth
          = original != NULL ? sora_wan_name_to_diffusers (names, original) : NULL;
      MUST (diffusers == NULL || (back != NULL && strcmp (back, name) == 0));
      MUST (original == NULL || (forth != NULL && strcmp (forth, name) == 0));
      MUST (diffusers == NULL || sora_wan_name_is_diffusers (names, diffusers));
      MUST (original == NULL || sora_wan_name_is_diffusers (names, name));
    }
}

static void
must_be_json (char *text)
{
  g_autofree char *owned = text;
  json_t *root = json_loads (text, JSON_REJECT_DUPLICATES, NULL);
  MUST (json_is_object (root));
  json_decref (root);
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
      /* Two names of one tensor: only an original can be found by the name that it is given. */
      MUST (name == NULL || sora_wan_file_find (&file, table, name) == entry);
    }
  char *config = sora_wan_config (&file, table, "input", &error);
  MUST_TELL (config, error);
  if (config != NULL)
    must_be_json (config);
  SoraWanFile files[SORA_WAN_N_KINDS];
  const SoraSafetensorsTable *tables[SORA_WAN_N_KINDS];
  for (int kind = 0; kind < SORA_WAN_N_KINDS; kind++)
    {
      files[kind] = file;
      tables[kind] = table;
    }
  for (int experts = 0; experts < 2; experts++)
    must_be_json (sora_wan_model_index (files, tables, experts));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  SoraSafetensorsTable table;
  fuzz_table_init (&table, data, size);
  for (guint i = 0; i < table.entries->len; i++)
    try_name (((SoraSafetensorsEntry *)g_ptr_array_index (table.entries, i))->name);
  try_file (&table);
  sora_safetensors_table_clear (&table);
  return 0;
}
