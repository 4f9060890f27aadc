/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A reader of safetensors for tests: it trusts its files, which are ours.
 */
#include "mini-host.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_RANK 8
#define MAX_OTHERS 4

struct MiniFile {
  char *map;
  size_t size;
  json_t *header;
  char *data;
  int64_t (*shapes)[2][MAX_RANK]; /* of each tensor: shape, strides; filled when asked for */
  char *path;
  MiniFile *others[MAX_OTHERS]; /* files beside it that its cases name */
};

MiniFile *
mini_file_open (const char *path)
{
  struct stat st;
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return NULL;
  MiniFile *file = calloc (1, sizeof *file);
  if (fstat (fd, &st) != 0 || st.st_size < 8)
    abort ();
  file->size = (size_t) st.st_size;
  file->map = mmap (NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
  close (fd);
  if (file->map == MAP_FAILED)
    abort ();
  uint64_t length;
  memcpy (&length, file->map, sizeof length);
  if (length > file->size - 8)
    abort ();
  file->header = json_loadb (file->map + 8, length, 0, NULL);
  if (file->header == NULL)
    abort ();
  file->data = file->map + 8 + length;
  file->shapes = calloc (json_object_size (file->header), sizeof *file->shapes);
  file->path = strdup (path);
  return file;
}

void
mini_file_close (MiniFile *file)
{
  if (file == NULL)
    return;
  for (int i = 0; i < MAX_OTHERS; i++)
    mini_file_close (file->others[i]);
  free (file->path);
  munmap (file->map, file->size);
  json_decref (file->header);
  free (file->shapes);
  free (file);
}

static int
dtype_of (const char *name)
{
  static const struct {
    const char *name;
    int dtype;
  } names[] = { { "F32", SORA_F32 }, { "F16", SORA_F16 }, { "BF16", SORA_BF16 }, { "F64", SORA_F64 }, { "U8", SORA_U8 },
                { "I8", SORA_I8 },   { "I16", SORA_I16 }, { "I32", SORA_I32 },   { "I64", SORA_I64 }, { "BOOL", SORA_BOOL } };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp (name, names[i].name) == 0)
      return names[i].dtype;
  abort ();
}

/* The file of that name in the same folder; opened once. */
static MiniFile *
other_file (MiniFile *file, const char *name, size_t length)
{
  const char *slash = strrchr (file->path, '/');
  size_t folder = slash != NULL ? (size_t) (slash + 1 - file->path) : 0;
  char path[1024];
  if (folder + length >= sizeof path)
    abort ();
  memcpy (path, file->path, folder);
  memcpy (path + folder, name, length);
  path[folder + length] = '\0';
  for (int i = 0; i < MAX_OTHERS; i++)
    {
      if (file->others[i] == NULL)
        file->others[i] = mini_file_open (path);
      if (file->others[i] == NULL || strcmp (file->others[i]->path, path) == 0)
        return file->others[i];
    }
  abort ();
}

int
mini_file_tensor (MiniFile *file, const char *name, SoraTensorView *view)
{
  const char *colon = strchr (name, ':');
  if (colon != NULL)
    {
      MiniFile *other = other_file (file, name, (size_t) (colon - name));
      return other != NULL ? mini_file_tensor (other, colon + 1, view) : SORA_NOT_FOUND;
    }
  size_t index = 0;
  const char *key;
  json_t *entry, *found = NULL;
  json_object_foreach (file->header, key, entry)
    {
      if (strcmp (key, name) == 0)
        {
          found = entry;
          break;
        }
      index++;
    }
  if (found == NULL)
    return SORA_NOT_FOUND;
  json_t *shape = json_object_get (found, "shape"), *offsets = json_object_get (found, "data_offsets");
  int ndim = (int) json_array_size (shape);
  if (ndim > MAX_RANK)
    abort ();
  int64_t stride = 1, *extents = file->shapes[index][0], *strides = file->shapes[index][1];
  for (int i = ndim - 1; i >= 0; i--)
    {
      extents[i] = json_integer_value (json_array_get (shape, (size_t) i));
      strides[i] = stride;
      stride *= extents[i];
    }
  int64_t begin = json_integer_value (json_array_get (offsets, 0)), end = json_integer_value (json_array_get (offsets, 1));
  *view = (SoraTensorView) { .struct_size = sizeof *view,
                             .dtype = dtype_of (json_string_value (json_object_get (found, "dtype"))),
                             .data = file->data + begin,
                             .shape = extents,
                             .strides = strides,
                             .ndim = ndim,
                             .nbytes = (uint64_t) (end - begin) };
  return SORA_OK;
}

size_t
mini_file_n_tensors (MiniFile *file)
{
  return json_object_size (file->header) - (json_object_get (file->header, "__metadata__") != NULL);
}

const char *
mini_file_name (MiniFile *file, size_t index)
{
  const char *key;
  json_t *value;
  json_object_foreach (file->header, key, value)
    if (strcmp (key, "__metadata__") != 0 && index-- == 0)
      return key;
  return NULL;
}
