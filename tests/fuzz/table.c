/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See table.h.
 */
#include "config.h"
#include <string.h>
#include "table.h"

#define MAX_NDIM 6

static void
entry_free (gpointer data)
{
  SoraSafetensorsEntry *entry = data;
  g_free (entry->name);
  g_free (entry->extents);
  g_free (entry);
}

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

void
fuzz_table_init (SoraSafetensorsTable *table, const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *)data, size);
  char *save = NULL;
  *table = (SoraSafetensorsTable){ g_ptr_array_new_with_free_func (entry_free),
                                   g_hash_table_new (g_str_hash, g_str_equal), NULL };
  for (char *line = strtok_r (text, "\n", &save); line != NULL; line = strtok_r (NULL, "\n", &save))
    add_line (table, line);
}
