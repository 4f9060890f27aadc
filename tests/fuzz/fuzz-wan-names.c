/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the names of Wan's tensors, what kind of file a header is of, and the configuration
 * that is made from its shapes.  The input is a header in short: a line a tensor, its name, then
 * its extents: "head.modulation 1 2 1536".
 */
#include "config.h"
#include <jansson.h>
#include <string.h>
#include "fuzz.h"
#include "sora-wan-detect.h"

#define MAX_NDIM 6

static void
entry_free (gpointer data)
{
  SoraSafetensorsEntry *entry = data;
  g_free (entry->name);
  g_free (entry->extents);
  g_free (entry);
}

/* As the reader of headers leaves them: names in UTF-8, extents of 0 or more. */
static void
add_line (SoraSafetensorsTable *table, char *line)
{
  char *save = NULL, *name = strtok_r (line, " ", &save), *word;
  if (name == NULL || !g_utf8_validate (name, -1, NULL)
      || g_hash_table_contains (table->by_name, name))
    return;
  SoraSafetensorsEntry *entry = g_new0 (SoraSafetensorsEntry, 1);
  entry->name = g_strdup (name);
  entry->dtype = SORA_F32;
  entry->extents = g_new0 (int64_t, 2 * MAX_NDIM + 1);
  while (entry->ndim < MAX_NDIM && (word = strtok_r (NULL, " ", &save)) != NULL)
    entry->extents[entry->ndim++] = (int64_t)(g_ascii_strtoull (word, NULL, 10) & INT64_MAX);
  g_ptr_array_add (table->entries, entry);
  g_hash_table_insert (table->by_name, entry->name, entry);
}

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
  must_be_json (sora_wan_model_index (files, tables));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *)data, size);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  SoraSafetensorsTable table = { g_ptr_array_new_with_free_func (entry_free),
                                 g_hash_table_new (g_str_hash, g_str_equal), NULL };
  for (char **line = lines; *line != NULL; line++)
    {
      add_line (&table, *line);
      try_name (*line); /* cut after the name by now */
    }
  try_file (&table);
  sora_safetensors_table_clear (&table);
  return 0;
}
