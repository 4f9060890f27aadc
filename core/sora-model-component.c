/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One component of a model: which files in its folder hold its weights, and what is in them.  An
 * index file is believed for which shard holds a tensor, and checked against every shard it names;
 * what the folder leaves in doubt (two candidates, pickles alone) is refused, never guessed.
 */
#include "config.h"
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "sora-keyfile.h"
#include "sora-model-private.h"
#include "sora-safetensors-header.h"

#define CODE SORA_ERROR_INVALID_MODEL
#define WEIGHTS ".safetensors"
#define WEIGHTS_INDEX ".safetensors.index.json"
#define MAX_NAMES 10000u

gboolean
sora_model_is_pickle_name (const char *name)
{
  static const char *const suffixes[] = { ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle" };
  for (gsize i = 0; i < G_N_ELEMENTS (suffixes); i++)
    if (g_str_has_suffix (name, suffixes[i]))
      return TRUE;
  return FALSE;
}

static void
shard_free (SoraModelShard *shard)
{
  sora_safetensors_unref (shard->header);
  g_free (shard->name);
  g_free (shard);
}

void
sora_model_component_free (SoraModelComponent *component)
{
  for (guint i = 0; i < component->shards->len; i++)
    shard_free (g_ptr_array_index (component->shards, i));
  g_ptr_array_unref (component->shards);
  g_array_unref (component->tensors);
  g_hash_table_unref (component->by_name);
  g_clear_pointer (&component->names, g_string_chunk_free);
  g_free (component->name);
  g_free (component->class_name);
  g_free (component);
}

GPtrArray *
sora_model_list_dir (SoraModel *model, const char *name, GError **error)
{
  int fd = sora_file_open_dir_beneath (model->dirfd, model->folder, name, CODE, error);
  DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  if (dir == NULL)
    {
      if (fd >= 0)
        {
          sora_error_set_errno (error, CODE, errno, "cannot list '%s/%s'", model->folder, name);
          close (fd);
        }
      return NULL;
    }
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  while ((entry = readdir (dir)) != NULL && names->len <= MAX_NAMES)
    if (entry->d_name[0] != '.')
      g_ptr_array_add (names, g_strdup (entry->d_name));
  closedir (dir);
  if (names->len > MAX_NAMES)
    {
      sora_error_set (error, CODE, "'%s/%s' holds more than %u files: this is no model's folder",
                      model->folder, name, MAX_NAMES);
      g_clear_pointer (&names, g_ptr_array_unref);
      return NULL;
    }
  g_ptr_array_sort (names, sora_compare_names);
  return names;
}

GHashTable *
sora_model_parse_weight_map (const char *text, gsize length, const char *display_name,
                             GError **error)
{
  g_autoptr (GHashTable) map = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  json_t *root = sora_model_parse_json (text, length, display_name, error);
  json_t *object = root != NULL ? json_object_get (root, "weight_map") : NULL;
  const char *tensor = NULL;
  json_t *value;
  gboolean ok = root != NULL && json_is_object (object) && json_object_size (object) > 0;
  if (root != NULL && !ok)
    sora_error_set (error, CODE, "'%s' has no weight_map", display_name);
  json_object_foreach (object, tensor, value)
  {
    const char *shard = json_string_value (value);
    ok = shard != NULL && sora_name_is_plain_file (shard) && g_str_has_suffix (shard, WEIGHTS);
    if (!ok)
      {
        sora_error_set (
            error, CODE,
            "'%s': tensor '%s' is in '%s', expected the plain name of a %s file in the same folder",
            display_name, tensor, shard != NULL ? shard : "(not a text)", WEIGHTS);
        break;
      }
    g_hash_table_insert (map, g_strdup (tensor), g_strdup (shard));
  }
  json_decref (root);
  return ok ? g_steal_pointer (&map) : NULL;
}

/* @name is relative to the model's folder. */
static SoraModelShard *
open_shard (SoraModel *model, SoraModelComponent *component, const char *name, GError **error)
{
  struct stat st;
  g_autofree char *display = g_build_filename (model->folder, name, NULL);
  int fd = sora_model_open_file (model, name, &st, error);
  SoraSafetensors *header = fd >= 0 ? sora_safetensors_open_fd (fd, display, error) : NULL;
  if (fd >= 0)
    close (fd);
  if (header == NULL)
    return NULL;
  sora_safetensors_close_fd (header);
  SoraModelShard *shard = g_new0 (SoraModelShard, 1);
  shard->name = g_strdup (name);
  shard->header = header;
  g_ptr_array_add (component->shards, shard);
  return shard;
}

void
sora_model_component_add (SoraModelComponent *component, const char *name, const char *stored)
{
  SoraModelShard *shard = g_ptr_array_index (component->shards, component->shards->len - 1);
  SoraModelTensor tensor = { name, stored, component->shards->len - 1 };
  SoraTensorView view;
  if (!sora_safetensors_info (shard->header, stored, &view, NULL))
    return; /* cannot be: the name is the file's own */
  g_array_append_val (component->tensors, tensor);
  g_hash_table_insert (component->by_name, (char *)name,
                       GUINT_TO_POINTER (component->tensors->len));
  component->bytes += view.nbytes;
  component->parameters += view.nbytes / sora_dtype_size ((SoraDtype)view.dtype);
}

/* All of one shard's tensors, or those that @map (tensor -> shard) gives to @file. */
static void
add_tensors (SoraModelComponent *component, SoraModelShard *shard, GHashTable *map,
             const char *file)
{
  for (const char *const *name = sora_safetensors_names (shard->header); *name != NULL; name++)
    if (map == NULL || g_strcmp0 (g_hash_table_lookup (map, *name), file) == 0)
      sora_model_component_add (component, *name, *name);
}

static gboolean
read_shards (SoraModel *model, SoraModelComponent *component, const char *index, GError **error)
{
  g_autofree char *name = g_build_filename (component->name, index, NULL);
  g_autofree char *display = g_build_filename (model->folder, name, NULL);
  g_autoptr (GBytes) bytes = sora_model_read_file (model, name, error);
  gsize length;
  if (bytes == NULL)
    return FALSE;
  const char *text = g_bytes_get_data (bytes, &length);
  g_autoptr (GHashTable) map = sora_model_parse_weight_map (text, length, display, error);
  g_autoptr (GHashTable) files = g_hash_table_new (g_str_hash, g_str_equal);
  GHashTableIter iter;
  gpointer tensor, file;
  if (map == NULL)
    return FALSE;
  g_hash_table_iter_init (&iter, map);
  while (g_hash_table_iter_next (&iter, NULL, &file))
    g_hash_table_add (files, file);
  g_autoptr (GList) sorted = g_list_sort (g_hash_table_get_keys (files), (GCompareFunc)strcmp);
  for (GList *each = sorted; each != NULL; each = each->next)
    {
      g_autofree char *path = g_build_filename (component->name, each->data, NULL);
      SoraModelShard *shard = open_shard (model, component, path, error);
      if (shard == NULL)
        {
          sora_error_prefix (error, "model '%s', component '%s': shard '%s': ", model->id,
                             component->name, (const char *)each->data);
          return FALSE;
        }
      add_tensors (component, shard, map, each->data);
    }
  g_hash_table_iter_init (&iter, map);
  while (g_hash_table_iter_next (&iter, &tensor, &file))
    if (!g_hash_table_contains (component->by_name, tensor))
      {
        sora_error_set (error, CODE, "'%s' says that tensor '%s' is in '%s', but it is not",
                        display, (const char *)tensor, (const char *)file);
        return FALSE;
      }
  return TRUE;
}

gboolean
sora_model_read_whole (SoraModel *model, SoraModelComponent *component, const char *name,
                       GError **error)
{
  SoraModelShard *shard = open_shard (model, component, name, error);
  if (shard == NULL)
    {
      sora_error_prefix (error, "model '%s', component '%s': ", model->id, component->name);
      return FALSE;
    }
  add_tensors (component, shard, NULL, name);
  return TRUE;
}

/* Of the names with that ending: the standard one, or the only one; FALSE if there is doubt. */
static gboolean
choose (const GPtrArray *names, const char *ending, const char **chosen)
{
  g_autofree char *diffusers = g_strconcat ("diffusion_pytorch_model", ending, NULL);
  g_autofree char *transformers = g_strconcat ("model", ending, NULL);
  const char *standard = NULL, *other = NULL;
  guint n_standard = 0, n_other = 0;
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      if (strcmp (name, diffusers) == 0 || strcmp (name, transformers) == 0)
        {
          standard = name;
          n_standard++;
        }
      else if (g_str_has_suffix (name, ending))
        {
          other = name;
          n_other++;
        }
    }
  *chosen = n_standard == 1 ? standard : n_other == 1 && n_standard == 0 ? other : NULL;
  return n_standard <= 1 && (n_standard == 1 || n_other <= 1);
}

static gboolean
refuse_doubt (SoraModel *model, SoraModelComponent *component, const GPtrArray *names,
              GError **error)
{
  GString *list = g_string_new (NULL);
  for (guint i = 0; i < names->len; i++)
    if (g_str_has_suffix (g_ptr_array_index (names, i), WEIGHTS)
        || g_str_has_suffix (g_ptr_array_index (names, i), WEIGHTS_INDEX))
      g_string_append_printf (list, "%s%s", list->len > 0 ? ", " : "",
                              (char *)g_ptr_array_index (names, i));
  sora_error_set (error, CODE,
                  "model '%s', component '%s': which of these are its weights? %s. Expected one "
                  "[diffusion_pytorch_]model" WEIGHTS ", or an index file (" WEIGHTS_INDEX
                  ") and its shards",
                  model->id, component->name, list->str);
  g_string_free (list, TRUE);
  return FALSE;
}

static gboolean
check_no_pickle (SoraModel *model, SoraModelComponent *component, const GPtrArray *names,
                 GError **error)
{
  for (guint i = 0; i < names->len; i++)
    if (sora_model_is_pickle_name (g_ptr_array_index (names, i)))
      {
        sora_error_set (error, CODE,
                        "model '%s', component '%s' has its weights as a pickle ('%s'), which runs "
                        "code when it is "
                        "read: convert it to safetensors (in Diffusers: save_pretrained with "
                        "safe_serialization=True)",
                        model->id, component->name, (char *)g_ptr_array_index (names, i));
        return FALSE;
      }
  return TRUE;
}

gboolean
sora_model_read_component (SoraModel *model, SoraModelComponent *component, GError **error)
{
  g_autoptr (GPtrArray) names = sora_model_list_dir (model, component->name, error);
  const char *index, *file;
  if (names == NULL)
    {
      sora_error_prefix (error, "model '%s' has no folder for its component '%s': ", model->id,
                         component->name);
      return FALSE;
    }
  gboolean sure = choose (names, WEIGHTS_INDEX, &index);
  if (sure && index != NULL)
    {
      /* A whole file beside the index would be another set of weights. */
      g_autofree char *whole = g_strndup (index, strlen (index) - strlen (".index.json"));
      for (guint i = 0; i < names->len && sure; i++)
        sure = strcmp (g_ptr_array_index (names, i), whole) != 0;
      return sure ? read_shards (model, component, index, error)
                  : refuse_doubt (model, component, names, error);
    }
  if (!sure || !choose (names, WEIGHTS, &file))
    return refuse_doubt (model, component, names, error);
  if (file == NULL)
    return check_no_pickle (model, component, names, error);
  g_autofree char *whole = g_build_filename (component->name, file, NULL);
  return sora_model_read_whole (model, component, whole, error);
}
