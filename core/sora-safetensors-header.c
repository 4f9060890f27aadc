/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The header of a safetensors file, checked before any byte of data is looked at: known dtypes,
 * shapes whose bytes are exactly the offsets' distance, and offsets that follow each other without
 * gap or overlap to the very end.
 */
#include "config.h"
#include <jansson.h>
#include <string.h>
#include "sora-error.h"
#include "sora-safetensors-header.h"

static const struct
{
  const char *name;
  SoraDtype dtype;
} dtype_names[] = {
  { "F32", SORA_F32 }, { "F16", SORA_F16 },   { "BF16", SORA_BF16 }, { "F64", SORA_F64 },
  { "U8", SORA_U8 },   { "I8", SORA_I8 },     { "I16", SORA_I16 },   { "I32", SORA_I32 },
  { "I64", SORA_I64 }, { "BOOL", SORA_BOOL },
};

const char *
sora_safetensors_dtype_name (SoraDtype dtype)
{
  for (gsize i = 0; i < G_N_ELEMENTS (dtype_names); i++)
    if (dtype_names[i].dtype == dtype)
      return dtype_names[i].name;
  return NULL;
}

static void
entry_free (gpointer data)
{
  SoraSafetensorsEntry *entry = data;
  g_free (entry->name);
  g_free (entry->extents);
  g_free (entry);
}

G_GNUC_PRINTF (3, 4)
static gboolean
refuse (GError **error, const char *file, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  sora_error_set (error, SORA_ERROR_INVALID_MODEL, "'%s': %s", file, what);
  return FALSE;
}

static gboolean
parse_dtype (SoraSafetensorsEntry *entry, json_t *value, const char *file, GError **error)
{
  const char *name = json_string_value (value);
  if (name == NULL)
    return refuse (error, file, "tensor '%s' has no dtype", entry->name);
  for (gsize i = 0; i < G_N_ELEMENTS (dtype_names); i++)
    if (strcmp (dtype_names[i].name, name) == 0)
      {
        entry->dtype = dtype_names[i].dtype;
        return TRUE;
      }
  return refuse (
      error, file,
      "tensor '%s' has dtype '%s', which is not supported: convert it to F32, F16 or BF16",
      entry->name, name);
}

static gboolean
parse_shape (SoraSafetensorsEntry *entry, json_t *value, const char *file, GError **error)
{
  if (!json_is_array (value))
    return refuse (error, file, "tensor '%s' has no shape", entry->name);
  size_t ndim = json_array_size (value); /* at most the header's bytes */
  entry->ndim = (int)ndim;
  entry->extents = g_new0 (int64_t, 2 * ndim + 1); /* never NULL, also for a scalar */
  uint64_t stride = 1;
  for (size_t i = ndim; i-- > 0;)
    {
      json_t *extent = json_array_get (value, i);
      if (!json_is_integer (extent) || json_integer_value (extent) < 0)
        return refuse (error, file,
                       "tensor '%s': axis %" G_GSIZE_FORMAT
                       " of its shape is not a whole number of 0 or more",
                       entry->name, i);
      entry->extents[i] = json_integer_value (extent);
      entry->extents[ndim + i] = (int64_t)stride;
      stride = (stride * (uint64_t)MAX (entry->extents[i], 1)) & INT64_MAX;
    }
  return TRUE;
}

static gboolean
parse_offsets (SoraSafetensorsEntry *entry, json_t *value, uint64_t data_size, const char *file,
               GError **error)
{
  json_t *begin = json_array_get (value, 0), *end = json_array_get (value, 1);
  if (!json_is_array (value) || json_array_size (value) != 2 || !json_is_integer (begin)
      || !json_is_integer (end) || json_integer_value (begin) < 0
      || json_integer_value (end) < json_integer_value (begin))
    return refuse (error, file,
                   "tensor '%s': data_offsets is not [begin, end] with 0 <= begin <= end",
                   entry->name);
  entry->begin = (uint64_t)json_integer_value (begin);
  entry->end = (uint64_t)json_integer_value (end);
  if (entry->end > data_size)
    return refuse (error, file,
                   "tensor '%s' ends at byte %" G_GUINT64_FORMAT
                   " of the data, but the file has only %" G_GUINT64_FORMAT " (is it truncated?)",
                   entry->name, (guint64)entry->end, (guint64)data_size);
  return TRUE;
}

static SoraSafetensorsEntry *
parse_entry (const char *name, json_t *value, uint64_t data_size, const char *file, GError **error)
{
  SoraSafetensorsEntry *entry = g_new0 (SoraSafetensorsEntry, 1);
  entry->name = g_strdup (name);
  uint64_t bytes;
  gboolean ok;
  if (*name == '\0')
    ok = refuse (error, file, "a tensor has an empty name");
  else if (!json_is_object (value) || json_object_size (value) != 3)
    ok = refuse (error, file,
                 "tensor '%s' is not described by exactly dtype, shape and data_offsets", name);
  else
    ok = parse_dtype (entry, json_object_get (value, "dtype"), file, error)
         && parse_shape (entry, json_object_get (value, "shape"), file, error)
         && parse_offsets (entry, json_object_get (value, "data_offsets"), data_size, file, error);
  gboolean countable = ok && sora_shape_bytes (entry->dtype, entry->ndim, entry->extents, &bytes);
  if (ok && (!countable || bytes != entry->end - entry->begin))
    {
      g_autofree char *shape = sora_shape_to_string (entry->ndim, entry->extents);
      const char *dtype = sora_safetensors_dtype_name (entry->dtype);
      ok = countable ? refuse (error, file,
                               "tensor '%s' has shape %s of %s, which is not the %" G_GUINT64_FORMAT
                               " bytes that its data_offsets span",
                               name, shape, dtype, (guint64)(entry->end - entry->begin))
                     : refuse (error, file,
                               "tensor '%s' has shape %s of %s, whose extents multiply to more than "
                               "2^63-1 bytes",
                               name, shape, dtype);
    }
  if (!ok)
    g_clear_pointer (&entry, entry_free);
  return entry;
}

static gboolean
parse_metadata (SoraSafetensorsTable *table, json_t *value, const char *file, GError **error)
{
  const char *key;
  json_t *text;
  if (!json_is_object (value))
    return refuse (error, file, "__metadata__ is not an object");
  json_object_foreach (value, key, text)
  {
    if (!json_is_string (text))
      return refuse (error, file, "__metadata__ key '%s' is not a text", key);
    g_hash_table_insert (table->metadata, g_strdup (key), g_strdup (json_string_value (text)));
  }
  return TRUE;
}

static int
compare_place (gconstpointer a, gconstpointer b)
{
  const SoraSafetensorsEntry *x = *(SoraSafetensorsEntry *const *)a,
                             *y = *(SoraSafetensorsEntry *const *)b;
  if (x->begin != y->begin)
    return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end)
    return x->end < y->end ? -1 : 1;
  return strcmp (x->name, y->name);
}

/* Every byte of the data belongs to exactly one tensor: what is in a gap would be a place to hide
 * things, and an overlap lets a small file look large. */
static gboolean
check_cover (SoraSafetensorsTable *table, uint64_t data_size, const char *file, GError **error)
{
  uint64_t at = 0;
  for (guint i = 0; i < table->entries->len; i++)
    {
      SoraSafetensorsEntry *entry = g_ptr_array_index (table->entries, i);
      if (entry->begin != at)
        return refuse (error, file,
                       "tensor '%s' begins at byte %" G_GUINT64_FORMAT
                       " of the data, expected %" G_GUINT64_FORMAT " (the data %s)",
                       entry->name, (guint64)entry->begin, (guint64)at,
                       entry->begin < at ? "overlaps another tensor's" : "leaves a gap");
      at = entry->end;
    }
  if (at != data_size)
    return refuse (error, file,
                   "the tensors end at byte %" G_GUINT64_FORMAT
                   " of the data, but the file has %" G_GUINT64_FORMAT,
                   (guint64)at, (guint64)data_size);
  return TRUE;
}

static gboolean
parse_members (SoraSafetensorsTable *table, json_t *root, uint64_t data_size, const char *file,
               GError **error)
{
  const char *key;
  json_t *value;
  json_object_foreach (root, key, value)
  {
    if (strcmp (key, "__metadata__") == 0)
      {
        if (!parse_metadata (table, value, file, error))
          return FALSE;
        continue;
      }
    SoraSafetensorsEntry *entry = parse_entry (key, value, data_size, file, error);
    if (entry == NULL)
      return FALSE;
    g_ptr_array_add (table->entries, entry);
    g_hash_table_insert (table->by_name, entry->name, entry);
  }
  g_ptr_array_sort (table->entries, compare_place);
  return check_cover (table, data_size, file, error);
}

gboolean
sora_safetensors_table_parse (SoraSafetensorsTable *table, const char *json, size_t length,
                              uint64_t data_size, const char *display_name, GError **error)
{
  json_error_t fault;
  table->entries = g_ptr_array_new_with_free_func (entry_free);
  table->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  table->metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (length == 0 || json[0] != '{')
    return refuse (error, display_name,
                   "the header does not begin with '{': this is no safetensors file");
  json_t *root = json_loadb (json, length, JSON_REJECT_DUPLICATES, &fault);
  if (root == NULL)
    return refuse (error, display_name, "the header is not valid JSON: %s (at byte %d)", fault.text,
                   fault.position);
  gboolean ok = parse_members (table, root, data_size, display_name, error);
  json_decref (root);
  return ok;
}

void
sora_safetensors_table_clear (SoraSafetensorsTable *table)
{
  g_clear_pointer (&table->by_name, g_hash_table_unref);
  g_clear_pointer (&table->entries, g_ptr_array_unref);
  g_clear_pointer (&table->metadata, g_hash_table_unref);
}
