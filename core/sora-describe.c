/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Descriptors to plain data and back.
 */
#include "config.h"
#include "sora-describe.h"

#include <string.h>

#define PORT_TYPE "(ussuss)"
#define PARAM_TYPE "(uusssxxxdddsasx)"
#define SLOT_TYPE "(uss)"
#define STAGE_TYPE "(sssa" PORT_TYPE "a" PORT_TYPE "a" PARAM_TYPE "a" SLOT_TYPE ")"
#define MAX_ENTRIES 256u /* of any table */

static const char *
text (const char *value)
{
  return value != NULL ? value : "";
}

static GVariant *
ports (const SoraPort *const *table)
{
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("a" PORT_TYPE));
  for (; table != NULL && *table != NULL; table++)
    {
      const SoraPort *port = *table;
      g_variant_builder_add (&rows, PORT_TYPE, port->flags, port->name, port->semantic,
                             port->dtypes, text (port->dims), text (port->help));
    }
  return g_variant_builder_end (&rows);
}

static GVariant *
params (const SoraParam *const *table)
{
  static const char *const no_choices[] = { NULL };
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("a" PARAM_TYPE));
  for (; table != NULL && *table != NULL; table++)
    {
      SoraParam param = { 0 };
      memcpy (&param, *table, MIN ((*table)->struct_size, sizeof param));
      g_variant_builder_add (
          &rows, "(uusssxxxddds^asx)", param.type, param.flags, param.name, text (param.unit),
          text (param.help), param.i64_default, param.i64_min, param.i64_max, param.f64_default,
          param.f64_min, param.f64_max, text (param.str_default),
          param.choices != NULL ? param.choices : no_choices, param.i64_multiple);
    }
  return g_variant_builder_end (&rows);
}

static GVariant *
slots (const SoraModelSlot *const *table)
{
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("a" SLOT_TYPE));
  for (; table != NULL && *table != NULL; table++)
    g_variant_builder_add (&rows, SLOT_TYPE, (*table)->flags, (*table)->name,
                           text ((*table)->components));
  return g_variant_builder_end (&rows);
}

GVariant *
sora_plugin_to_variant (const SoraPlugin *plugin)
{
  GVariantDict dict;
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("a" STAGE_TYPE));
  for (gsize i = 0; plugin->stages[i] != NULL; i++)
    {
      const SoraStageClass *stage = plugin->stages[i];
      g_variant_builder_add (&rows,
                             "(sss@a" PORT_TYPE "@a" PORT_TYPE "@a" PARAM_TYPE "@a" SLOT_TYPE ")",
                             stage->id, stage->kind, text (stage->summary), ports (stage->inputs),
                             ports (stage->outputs), params (stage->params), slots (stage->models));
    }
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", plugin->id);
  g_variant_dict_insert (&dict, "version", "s", plugin->version);
  g_variant_dict_insert (&dict, "licence", "s", plugin->licence);
  g_variant_dict_insert (&dict, "summary", "s", plugin->summary);
  g_variant_dict_insert_value (&dict, "stages", g_variant_builder_end (&rows));
  return g_variant_dict_end (&dict);
}

/* -- Back.  All of it lives for ever, as the tables of a loaded module do: one block a plugin holds
 * it, so that it can be found. */

typedef struct
{
  GStringChunk *words;
  GPtrArray *blocks;
} Arena;

static gpointer
take (Arena *arena, gsize size)
{
  gpointer block = g_malloc0 (size);
  g_ptr_array_add (arena->blocks, block);
  return block;
}

static const char *
word (Arena *arena, const char *value, gboolean empty_is_none)
{
  return empty_is_none && *value == '\0' ? NULL : g_string_chunk_insert_const (arena->words, value);
}

static const SoraPort *const *
read_ports (Arena *arena, GVariant *rows)
{
  gsize n = MIN (g_variant_n_children (rows), MAX_ENTRIES);
  const SoraPort **table = take (arena, (n + 1) * sizeof *table);
  for (gsize i = 0; i < n; i++)
    {
      SoraPort *port = take (arena, sizeof *port);
      const char *name, *semantic, *dims, *help;
      g_variant_get_child (rows, i, "(u&s&su&s&s)", &port->flags, &name, &semantic, &port->dtypes,
                           &dims, &help);
      port->struct_size = sizeof *port;
      port->name = word (arena, name, FALSE);
      port->semantic = word (arena, semantic, FALSE);
      port->dims = word (arena, dims, TRUE);
      port->help = word (arena, help, FALSE);
      table[i] = port;
    }
  return table;
}

static const SoraParam *const *
read_params (Arena *arena, GVariant *rows)
{
  gsize n = MIN (g_variant_n_children (rows), MAX_ENTRIES);
  const SoraParam **table = take (arena, (n + 1) * sizeof *table);
  for (gsize i = 0; i < n; i++)
    {
      SoraParam *param = take (arena, sizeof *param);
      const char *name, *unit, *help, *value;
      g_autofree const char **choices = NULL;
      g_variant_get_child (rows, i, "(uu&s&s&sxxxddd&s^a&sx)", &param->type, &param->flags, &name,
                           &unit, &help, &param->i64_default, &param->i64_min, &param->i64_max,
                           &param->f64_default, &param->f64_min, &param->f64_max, &value, &choices,
                           &param->i64_multiple);
      param->struct_size = sizeof *param;
      param->name = word (arena, name, FALSE);
      param->unit = word (arena, unit, TRUE);
      param->help = word (arena, help, FALSE);
      param->str_default = word (arena, value, TRUE);
      gsize n_choices = MIN (g_strv_length ((char **)choices), MAX_ENTRIES);
      if (n_choices > 0)
        {
          const char **copies = take (arena, (n_choices + 1) * sizeof *copies);
          for (gsize k = 0; k < n_choices; k++)
            copies[k] = word (arena, choices[k], FALSE);
          param->choices = copies;
        }
      table[i] = param;
    }
  return table;
}

static const SoraModelSlot *const *
read_slots (Arena *arena, GVariant *rows)
{
  gsize n = MIN (g_variant_n_children (rows), MAX_ENTRIES);
  const SoraModelSlot **table = take (arena, (n + 1) * sizeof *table);
  for (gsize i = 0; i < n; i++)
    {
      SoraModelSlot *slot = take (arena, sizeof *slot);
      const char *name, *components;
      g_variant_get_child (rows, i, "(u&s&s)", &slot->flags, &name, &components);
      slot->struct_size = sizeof *slot;
      slot->name = word (arena, name, FALSE);
      slot->components = word (arena, components, TRUE);
      table[i] = slot;
    }
  return table;
}

static void
arena_free (gpointer data)
{
  Arena *arena = data;
  g_string_chunk_free (arena->words);
  g_ptr_array_unref (arena->blocks);
  g_free (arena);
}

static GMutex lock;
static GHashTable *described; /* plugin -> Arena: what was made is found from here */

static void
keep (const SoraPlugin *plugin, Arena *arena)
{
  g_mutex_lock (&lock);
  if (described == NULL)
    described = g_hash_table_new_full (NULL, NULL, NULL, arena_free);
  g_hash_table_insert (described, (gpointer)plugin, arena);
  g_mutex_unlock (&lock);
}

void
sora_plugin_drop_described (const SoraPlugin *plugin)
{
  g_mutex_lock (&lock);
  g_hash_table_remove (described, plugin);
  g_mutex_unlock (&lock);
}

const SoraPlugin *
sora_plugin_from_variant (GVariant *description, const char *where,
                          int (*infer) (const SoraHost *, SoraContext *),
                          int (*run) (const SoraHost *, SoraContext *, void *), GError **error)
{
  const char *id = "", *version = "", *licence = "", *summary = "";
  g_autoptr (GVariant) rows
      = g_variant_lookup_value (description, "stages", G_VARIANT_TYPE ("a" STAGE_TYPE));
  Arena *arena = g_new0 (Arena, 1);
  arena->words = g_string_chunk_new (1024);
  arena->blocks = g_ptr_array_new_with_free_func (g_free);

  g_variant_lookup (description, "id", "&s", &id);
  g_variant_lookup (description, "version", "&s", &version);
  g_variant_lookup (description, "licence", "&s", &licence);
  g_variant_lookup (description, "summary", "&s", &summary);
  gsize n = rows != NULL ? MIN (g_variant_n_children (rows), MAX_ENTRIES) : 0;
  const SoraStageClass **stages = take (arena, (n + 1) * sizeof *stages);
  for (gsize i = 0; i < n; i++)
    {
      SoraStageClass *stage = take (arena, sizeof *stage);
      const char *stage_id, *kind, *stage_summary;
      g_autoptr (GVariant) inputs = NULL;
      g_autoptr (GVariant) outputs = NULL;
      g_autoptr (GVariant) values = NULL;
      g_autoptr (GVariant) models = NULL;
      g_variant_get_child (rows, i,
                           "(&s&s&s@a" PORT_TYPE "@a" PORT_TYPE "@a" PARAM_TYPE "@a" SLOT_TYPE ")",
                           &stage_id, &kind, &stage_summary, &inputs, &outputs, &values, &models);
      stage->struct_size = sizeof *stage;
      stage->id = word (arena, stage_id, FALSE);
      stage->kind = word (arena, kind, FALSE);
      stage->summary = word (arena, stage_summary, FALSE);
      stage->inputs = read_ports (arena, inputs);
      stage->outputs = read_ports (arena, outputs);
      stage->params = read_params (arena, values);
      stage->models = read_slots (arena, models);
      stage->infer = infer;
      stage->run = run;
      stages[i] = stage;
    }
  SoraPlugin *plugin = take (arena, sizeof *plugin);
  *plugin = (SoraPlugin){ .magic = SORA_PLUGIN_MAGIC,
                          .struct_size = sizeof *plugin,
                          .abi_major = SORA_ABI_MAJOR,
                          .abi_minor = SORA_ABI_MINOR,
                          .id = word (arena, id, FALSE),
                          .version = word (arena, version, FALSE),
                          .licence = word (arena, licence, FALSE),
                          .summary = word (arena, summary, FALSE),
                          .stages = stages };
  if (!sora_plugin_descriptor_check (plugin, where, error))
    {
      arena_free (arena);
      return NULL;
    }
  keep (plugin, arena);
  return plugin;
}
