/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The writer of safetensors files.  Wider dtypes come first and the header is padded with spaces,
 * so that every tensor is aligned in the mapped file; the file appears whole or not at all.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "sora-error.h"
#include "sora-file.h"
#include "sora-safetensors-header.h"
#include "sora-safetensors.h"

#define DATA_ALIGNMENT 64

static json_t *
describe (const SoraTensorView *view, uint64_t at)
{
  json_t *shape = json_array ();
  for (int i = 0; i < view->ndim; i++)
    json_array_append_new (shape, json_integer (view->shape[i]));
  return json_pack ("{s:s, s:o, s:[I, I]}", "dtype",
                    sora_safetensors_dtype_name ((SoraDtype)view->dtype), "shape", shape,
                    "data_offsets", (json_int_t)at, (json_int_t)(at + view->nbytes));
}

/* NULL where a key or value is not UTF-8. */
static json_t *
describe_metadata (GHashTable *metadata)
{
  json_t *object = json_object ();
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (metadata), (GCompareFunc)strcmp);
  for (GList *key = keys; key != NULL; key = key->next)
    if (json_object_set_new (object, key->data,
                             json_string (g_hash_table_lookup (metadata, key->data)))
        < 0)
      {
        json_decref (object);
        return NULL;
      }
  return object;
}

/* The order of the data: by falling size of the element, then as given. */
static GArray *
plan_order (SoraTensor *const *tensors, size_t n)
{
  static const size_t sizes[] = { 8, 4, 2, 1 };
  GArray *order = g_array_sized_new (FALSE, FALSE, sizeof (size_t), (guint)n);
  for (size_t s = 0; s < G_N_ELEMENTS (sizes); s++)
    for (size_t i = 0; i < n; i++)
      {
        SoraTensorView view;
        sora_tensor_get_view (tensors[i], &view);
        if (sora_dtype_size ((SoraDtype)view.dtype) == sizes[s])
          g_array_append_val (order, i);
      }
  return order;
}

static GString *
make_header (const char *path, const char *const *names, SoraTensor *const *tensors,
             const GArray *order, GHashTable *metadata, GError **error)
{
  json_t *root = json_object ();
  uint64_t at = 0;
  gboolean ok = metadata == NULL || g_hash_table_size (metadata) == 0
                || json_object_set_new (root, "__metadata__", describe_metadata (metadata)) == 0;
  if (!ok)
    sora_error_set (error, SORA_ERROR_FAILED, "cannot write '%s': its metadata is not UTF-8", path);
  for (guint i = 0; i < order->len && ok; i++)
    {
      size_t index = g_array_index (order, size_t, i);
      const char *name = names[index];
      SoraTensorView view;
      sora_tensor_get_view (tensors[index], &view);
      ok = *name != '\0' && strcmp (name, "__metadata__") != 0
           && json_object_get (root, name) == NULL
           && json_object_set_new (root, name, describe (&view, at)) == 0;
      if (!ok)
        sora_error_set (error, SORA_ERROR_FAILED,
                        "cannot write '%s': '%s' is no tensor name, or stands there twice", path,
                        name);
      at += view.nbytes;
    }
  char *json = ok ? json_dumps (root, JSON_COMPACT) : NULL;
  json_decref (root);
  if (json == NULL)
    return NULL;
  GString *header = g_string_new (json);
  free (json);
  while ((8 + header->len) % DATA_ALIGNMENT != 0)
    g_string_append_c (header, ' ');
  return header;
}

static gboolean
write_all (int fd, const char *path, const GString *header, SoraTensor *const *tensors,
           const GArray *order, GError **error)
{
  uint8_t length[8];
  for (int i = 0; i < 8; i++)
    length[i] = (uint8_t)((uint64_t)header->len >> (8 * i));
  if (!sora_file_write (fd, path, length, sizeof length, error)
      || !sora_file_write (fd, path, header->str, header->len, error))
    return FALSE;
  for (guint i = 0; i < order->len; i++)
    {
      SoraTensorView view;
      sora_tensor_get_view (tensors[g_array_index (order, size_t, i)], &view);
      if (!sora_file_write (fd, path, view.data, view.nbytes, error))
        return FALSE;
    }
  if (fsync (fd) < 0)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "cannot write '%s'", path);
      return FALSE;
    }
  return TRUE;
}

static gboolean
publish (const char *temporary, const char *path, const char *folder, GError **error)
{
  if (rename (temporary, path) < 0)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "cannot put '%s' in its place", path);
      return FALSE;
    }
  /* The name is durable only with its folder.  One that may be written to and not read cannot be
   * opened for that. */
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return TRUE;
  gboolean ok = sora_file_sync_dir (fd);
  if (!ok)
    sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "cannot write the folder '%s'", folder);
  close (fd);
  return ok;
}

gboolean
sora_safetensors_write (const char *path, const char *const *names, SoraTensor *const *tensors,
                        size_t n, GHashTable *metadata, GError **error)
{
  g_autoptr (GArray) order = plan_order (tensors, n);
  GString *header = make_header (path, names, tensors, order, metadata, error);
  if (header == NULL)
    return FALSE;
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *temporary = g_strdup_printf ("%s/.%s.XXXXXX", folder, base);
  int fd = g_mkstemp_full (temporary, O_WRONLY | O_CLOEXEC, 0666);
  if (fd < 0)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "cannot create a file in '%s'",
                            folder);
      g_string_free (header, TRUE);
      return FALSE;
    }
  gboolean ok = write_all (fd, path, header, tensors, order, error);
  close (fd);
  ok = ok && publish (temporary, path, folder, error);
  if (!ok)
    unlink (temporary);
  g_string_free (header, TRUE);
  return ok;
}
