/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The reader of safetensors files.  The header is read and checked at open; the file is mapped when
 * the first tensor's bytes are asked for, so that looking at a model costs no address space and
 * cannot raise SIGBUS.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "sora-error.h"
#include "sora-file.h"
#include "sora-safetensors-header.h"
#include "sora-safetensors.h"

struct SoraSafetensors
{
  int refs; /* atomic */
  int fd;
  char *display_name;
  SoraSafetensorsTable table;
  GPtrArray *names; /* NULL-terminated, of the entries' names */
  uint64_t data_offset, size;
  GMutex lock;  /* map and the entries' copies */
  uint8_t *map; /* NULL: not yet */
};

/* The formats that people most often hold in the wrong hand, told by how they begin. */
static gboolean
check_not_pickle (const uint8_t magic[8], const char *name, GError **error)
{
  gboolean zip = memcmp (magic, "PK\3\4", 4) == 0;
  gboolean pickle = magic[0] == 0x80 && magic[1] >= 2 && magic[1] <= 5;
  if (!zip && !pickle)
    return TRUE;
  sora_error_set (
      error, SORA_ERROR_INVALID_MODEL,
      "'%s' is a %s, expected safetensors: pickles run code when they are read, so they are "
      "refused; "
      "convert it (load it where you trust it, and write it with safetensors.torch.save_file)",
      name, zip ? "zip archive or PyTorch checkpoint" : "Python pickle");
  return FALSE;
}

static gboolean
read_header (SoraSafetensors *file, GError **error)
{
  uint8_t raw[8];
  uint64_t length = 0;
  if (file->size < 8)
    {
      sora_error_set (error, SORA_ERROR_INVALID_MODEL,
                      "'%s' is %" G_GUINT64_FORMAT " bytes long, too short for a safetensors file",
                      file->display_name, (guint64)file->size);
      return FALSE;
    }
  if (!sora_file_read (file->fd, file->display_name, 0, raw, sizeof raw, SORA_ERROR_INVALID_MODEL,
                       error))
    return FALSE;
  for (int i = 0; i < 8; i++)
    length |= (uint64_t)raw[i] << (8 * i);
  if (!check_not_pickle (raw, file->display_name, error))
    return FALSE;
  if (length > SORA_SAFETENSORS_MAX_HEADER)
    {
      sora_error_set (error, SORA_ERROR_INVALID_MODEL,
                      "'%s' tells a header of %" G_GUINT64_FORMAT
                      " bytes, expected at most %u: this is no safetensors file",
                      file->display_name, (guint64)length, SORA_SAFETENSORS_MAX_HEADER);
      return FALSE;
    }
  if (length > file->size - 8)
    {
      sora_error_set (error, SORA_ERROR_INVALID_MODEL,
                      "'%s' is truncated: its header is %" G_GUINT64_FORMAT
                      " bytes long, but only %" G_GUINT64_FORMAT " follow",
                      file->display_name, (guint64)length, (guint64)(file->size - 8));
      return FALSE;
    }
  file->data_offset = 8 + length;
  g_autofree char *json = g_malloc (length + 1);
  return sora_file_read (file->fd, file->display_name, 8, json, length, SORA_ERROR_INVALID_MODEL,
                         error)
         && sora_safetensors_table_parse (
             &file->table, json, length, file->size - file->data_offset, file->display_name, error);
}

/* Takes @fd. */
static SoraSafetensors *
open_taking (int fd, const struct stat *st, const char *display_name, GError **error)
{
  g_autoptr (SoraSafetensors) file = g_new0 (SoraSafetensors, 1);
  file->refs = 1;
  file->fd = fd;
  file->display_name = g_strdup (display_name);
  file->size = (uint64_t)st->st_size;
  g_mutex_init (&file->lock);
  if (!read_header (file, error))
    return NULL;
  file->names = g_ptr_array_sized_new (file->table.entries->len + 1);
  for (guint i = 0; i < file->table.entries->len; i++)
    g_ptr_array_add (file->names,
                     ((SoraSafetensorsEntry *)g_ptr_array_index (file->table.entries, i))->name);
  g_ptr_array_add (file->names, NULL);
  return g_steal_pointer (&file);
}

SoraSafetensors *
sora_safetensors_open (const char *path, GError **error)
{
  struct stat st;
  int fd = sora_file_open (path, SORA_ERROR_INVALID_MODEL, &st, error);
  return fd < 0 ? NULL : open_taking (fd, &st, path, error);
}

SoraSafetensors *
sora_safetensors_open_fd (int fd, const char *display_name, GError **error)
{
  struct stat st;
  int own = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0 || fstat (own, &st) < 0)
    {
      sora_error_set_errno (error, SORA_ERROR_INVALID_MODEL, errno,
                            "cannot use the descriptor of '%s'", display_name);
      if (own >= 0)
        close (own);
      return NULL;
    }
  if (!S_ISREG (st.st_mode))
    {
      sora_error_set (error, SORA_ERROR_INVALID_MODEL, "'%s' is not a regular file", display_name);
      close (own);
      return NULL;
    }
  return open_taking (own, &st, display_name, error);
}

void
sora_safetensors_unref (SoraSafetensors *file)
{
  if (file == NULL || !g_atomic_int_dec_and_test (&file->refs))
    return;
  for (guint i = 0; file->table.entries != NULL && i < file->table.entries->len; i++)
    free (((SoraSafetensorsEntry *)g_ptr_array_index (file->table.entries, i))->copy);
  if (file->map != NULL)
    munmap (file->map, file->size);
  sora_safetensors_close_fd (file);
  g_clear_pointer (&file->names, g_ptr_array_unref);
  sora_safetensors_table_clear (&file->table);
  g_mutex_clear (&file->lock);
  g_free (file->display_name);
  g_free (file);
}

void
sora_safetensors_close_fd (SoraSafetensors *file)
{
  if (file->fd >= 0)
    close (file->fd);
  file->fd = -1;
}

const SoraSafetensorsTable *
sora_safetensors_table (SoraSafetensors *file)
{
  return &file->table;
}

const char *const *
sora_safetensors_names (SoraSafetensors *file)
{
  return (const char *const *)file->names->pdata;
}

const char *
sora_safetensors_metadata (SoraSafetensors *file, const char *key)
{
  return g_hash_table_lookup (file->table.metadata, key);
}

static SoraSafetensorsEntry *
find_entry (SoraSafetensors *file, const char *name, GError **error)
{
  SoraSafetensorsEntry *entry = g_hash_table_lookup (file->table.by_name, name);
  if (entry == NULL)
    sora_error_set (error, SORA_ERROR_INVALID_MODEL, "'%s' has no tensor '%s'", file->display_name,
                    name);
  return entry;
}

static void
fill_view (const SoraSafetensorsEntry *entry, void *data, SoraTensorView *view)
{
  *view = (SoraTensorView){
    .struct_size = sizeof *view,
    .dtype = entry->dtype,
    .data = data,
    .shape = entry->extents,
    .strides = entry->extents + entry->ndim,
    .ndim = entry->ndim,
    .nbytes = entry->end - entry->begin,
  };
}

gboolean
sora_safetensors_info (SoraSafetensors *file, const char *name, SoraTensorView *view,
                       GError **error)
{
  SoraSafetensorsEntry *entry = find_entry (file, name, error);
  if (entry == NULL)
    return FALSE;
  fill_view (entry, NULL, view);
  return TRUE;
}

static gboolean
map_locked (SoraSafetensors *file, GError **error)
{
  if (file->map != NULL)
    return TRUE;
  void *map = mmap (NULL, file->size, PROT_READ, MAP_PRIVATE, file->fd, 0);
  if (map == MAP_FAILED)
    {
      sora_error_set_errno (error, SORA_ERROR_INVALID_MODEL, errno, "cannot map '%s'",
                            file->display_name);
      return FALSE;
    }
  file->map = map;
  return TRUE;
}

/* Old writers did not pad the header, and tensors of bytes may push wider ones off their alignment.
 * Reading those in place would be undefined, so they are copied once, and the copy lives as long as
 * the file. */
static void *
bytes_locked (SoraSafetensors *file, SoraSafetensorsEntry *entry, GError **error)
{
  uint8_t *data = file->map + file->data_offset + entry->begin;
  size_t size = entry->end - entry->begin;
  if ((uintptr_t)data % sora_dtype_size (entry->dtype) == 0)
    return data;
  if (entry->copy == NULL)
    entry->copy = aligned_alloc (64, (size + 64) / 64 * 64);
  else
    return entry->copy;
  if (entry->copy == NULL)
    {
      sora_error_set (error, SORA_ERROR_NO_MEMORY,
                      "no memory to align tensor '%s' of '%s', %" G_GSIZE_FORMAT " bytes",
                      entry->name, file->display_name, size);
      return NULL;
    }
  return memcpy (entry->copy, data, size);
}

gboolean
sora_safetensors_get (SoraSafetensors *file, const char *name, SoraTensorView *view, GError **error)
{
  SoraSafetensorsEntry *entry = find_entry (file, name, error);
  if (entry == NULL)
    return FALSE;
  g_mutex_lock (&file->lock);
  void *data = map_locked (file, error) ? bytes_locked (file, entry, error) : NULL;
  g_mutex_unlock (&file->lock);
  if (data == NULL)
    return FALSE;
  fill_view (entry, data, view);
  return TRUE;
}

void
sora_safetensors_done (SoraSafetensors *file, const char *name)
{
  SoraSafetensorsEntry *entry = g_hash_table_lookup (file->table.by_name, name);
  uint64_t page = (uint64_t)sysconf (_SC_PAGESIZE);
  if (entry == NULL)
    return;
  /* Only pages that are this tensor's alone: the ones at its ends may be in a neighbour's use. */
  uint64_t first = (file->data_offset + entry->begin + page - 1) / page * page;
  uint64_t last = (file->data_offset + entry->end) / page * page;
  g_mutex_lock (&file->lock);
  if (file->map != NULL && first < last)
    (void)madvise (file->map + first, last - first, MADV_DONTNEED);
  g_mutex_unlock (&file->lock);
}

SoraTensor *
sora_safetensors_load (SoraSafetensors *file, const char *name, GError **error)
{
  SoraSafetensorsEntry *entry = find_entry (file, name, error);
  if (entry == NULL)
    return NULL;
  g_autoptr (SoraTensor) tensor
      = sora_tensor_new (entry->dtype, entry->ndim, entry->extents, error);
  if (tensor == NULL)
    return NULL;
  /* Read, not mapped: a file that shrinks meanwhile is then an error and not a SIGBUS. */
  SoraTensorView view;
  sora_tensor_get_view (tensor, &view);
  if (!sora_file_read (file->fd, file->display_name, file->data_offset + entry->begin, view.data,
                       view.nbytes, SORA_ERROR_INVALID_MODEL, error))
    return NULL;
  return g_steal_pointer (&tensor);
}
