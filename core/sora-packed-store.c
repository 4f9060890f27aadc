/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading, writing and clearing the folder of packed weights.  A file is believed if nobody but its
 * owner could write it, and if its sums agree: the owner is this user, or that of the folder where
 * it is the machine's (root), so that no worker can give another user's worker other weights.
 */
#include "config.h"
#include "sora-packed-store.h"
#include "sora-cache-private.h"
#include "sora-file.h"
#include "sora-ledger.h"
#include "sora-packed-header.h"
#include "sora-publish.h"
#include "sora-xxh64.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ENDING ".packed"
#define DEFAULT_LIMIT (G_GUINT64_CONSTANT (32) << 30)
#define LIMIT_VARIABLE "SORA_PACKED_MAX"

/* Files that are written where there are no nameless ones are left by a process that was killed. */
static const char *const marks[] = { ENDING, ".part", NULL };

struct SoraPackedWriter
{
  char *dir;
  int dirfd, fd;
  SoraPublish publish; /* its handle is `fd` */
  SoraPackedHeader header;
};

char *
sora_packed_default_dir (void)
{
  return g_build_filename (g_get_user_cache_dir (), "sorad", "packed", NULL);
}

char *
sora_packed_system_dir (void)
{
  return g_strdup (SORA_PACKED_DIR);
}

gboolean
sora_packed_check_system_dir (const char *dir, GError **error)
{
  g_autofree char *real = realpath (dir, NULL);
  struct stat st = { 0 };

  if (real == NULL)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "the folder '%s'", dir);
      return FALSE;
    }
  /* Whoever owns a folder above it, or may write there, could put another one in its place. */
  for (g_autofree char *at = g_strdup (real);;)
    {
      if (lstat (at, &st) != 0)
        {
          sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "the folder '%s'", at);
          return FALSE;
        }
      const gboolean others
          = (st.st_mode & 022) != 0 && ((st.st_mode & S_ISVTX) == 0 || strcmp (at, real) == 0);
      if (!S_ISDIR (st.st_mode) || st.st_uid != 0 || others)
        {
          sora_error_set (
              error, SORA_ERROR_FAILED,
              "'%s' is no folder that root alone can write: expected owner root and mode 0755", at);
          return FALSE;
        }
      if (strcmp (at, "/") == 0)
        return TRUE;
      char *parent = g_path_get_dirname (at);
      g_free (at);
      at = parent;
    }
}

/* ---- reading */

/* @dir: as this process sees it.  In a user namespace root's uid may be another, and the folder's
 * is the same one then. */
static gboolean
is_trusted (const struct stat *st, const char *dir, SoraPackedUse use, GError **error)
{
  struct stat folder = { 0 };
  uid_t owner = geteuid ();

  if (use == SORA_PACKED_READ)
    {
      if (stat (dir, &folder) != 0)
        {
          sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "the folder '%s'", dir);
          return FALSE;
        }
      owner = folder.st_uid;
    }
  if (!S_ISREG (st->st_mode))
    sora_error_set (error, SORA_ERROR_FAILED, "it is no regular file");
  else if (st->st_uid != owner)
    sora_error_set (error, SORA_ERROR_FAILED, "it belongs to uid %u, expected %u", st->st_uid,
                    owner);
  else if ((st->st_mode & 022) != 0)
    sora_error_set (error, SORA_ERROR_FAILED, "others than its owner can write it");
  else
    return TRUE;
  return FALSE;
}

/* The sum of all blocks; reads ahead, since whoever asks wants all of it in memory. */
static gboolean
is_sum (const SoraPackedMap *map, guint64 expected, gboolean (*stopped) (gpointer data),
        gpointer data, GError **error)
{
  guint64 sum = 0;

  (void)madvise (map->map, map->map_size, MADV_WILLNEED);
  for (guint64 at = 0; at < map->size; at += SORA_PACKED_BLOCK)
    {
      if (stopped != NULL && stopped (data))
        {
          sora_error_set (error, SORA_ERROR_CANCELLED, "stopped while packed weights were read");
          return FALSE;
        }
      sum = sora_xxh64 (map->data + at, (gsize)MIN (map->size - at, SORA_PACKED_BLOCK), sum);
    }
  if (sum == expected)
    return TRUE;
  sora_error_set (error, SORA_ERROR_FAILED, "it is damaged");
  return FALSE;
}

static gboolean
map_file (int fd, const char *dir, SoraPackedUse use, const char *key,
          gboolean (*stopped) (gpointer data), gpointer data, SoraPackedMap *map, GError **error)
{
  guint8 head[SORA_PACKED_HEADER_SIZE];
  SoraPackedHeader header;
  struct stat st;

  if (fstat (fd, &st) != 0)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "what it is");
      return FALSE;
    }
  if (!is_trusted (&st, dir, use, error))
    return FALSE;
  if (st.st_size > 0 && (guint64)st.st_size >= sizeof head
      && !sora_file_read (fd, "its head", 0, head, sizeof head, SORA_ERROR_FAILED, error))
    return FALSE;
  if (!sora_packed_header_parse (head, (gsize)MIN ((guint64)st.st_size, sizeof head),
                                 (guint64)st.st_size, &header, error))
    return FALSE;
  if (strcmp (header.key, key) != 0)
    {
      sora_error_set (error, SORA_ERROR_FAILED, "it has the name of another key");
      return FALSE;
    }
  map->map_size = (gsize)st.st_size;
  map->map = mmap (NULL, map->map_size, PROT_READ, MAP_SHARED, fd, 0);
  if (map->map == MAP_FAILED)
    {
      map->map = NULL;
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "mapping it");
      return FALSE;
    }
  map->data = (const guint8 *)map->map + SORA_PACKED_HEADER_SIZE;
  map->size = header.size;
  return is_sum (map, header.sum, stopped, data, error);
}

gboolean
sora_packed_map (const char *dir, SoraPackedUse use, const char *key,
                 gboolean (*stopped) (gpointer data), gpointer data, SoraPackedMap *map,
                 GError **error)
{
  g_autofree char *path = g_strconcat (dir, "/", key, ENDING, NULL);
  g_autoptr (GError) local = NULL;

  *map = (SoraPackedMap){ 0 };
  /* A FIFO would block. */
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    {
      /* That its folder is none, or not there, is the same. */
      const int code = errno == ENOTDIR ? ENOENT : errno;
      sora_error_set_errno (error, SORA_ERROR_FAILED, code, "opening '%s'", path);
      return FALSE;
    }
  gboolean ok = map_file (fd, dir, use, key, stopped, data, map, &local);
  if (ok && use != SORA_PACKED_READ)
    (void)futimens (fd, NULL);
  close (fd);
  if (ok)
    return TRUE;
  sora_packed_unmap (map);
  if (use != SORA_PACKED_READ && !g_error_matches (local, SORA_ERROR, SORA_ERROR_CANCELLED))
    (void)unlink (path);
  g_propagate_prefixed_error (error, g_steal_pointer (&local), "'%s': ", path);
  return FALSE;
}

void
sora_packed_unmap (SoraPackedMap *map)
{
  if (map->map != NULL)
    munmap (map->map, map->map_size);
  *map = (SoraPackedMap){ 0 };
}

/* ---- writing */

/* As much again stays free: a cache is the last thing that a disk should be full of. */
static gboolean
has_room (int dirfd, const char *dir, guint64 size, GError **error)
{
  struct statvfs fs;
  char wanted[32], there[32];

  if (fstatvfs (dirfd, &fs) != 0)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "room in '%s'", dir);
      return FALSE;
    }
  const guint64 room = (guint64)fs.f_bavail * fs.f_frsize;
  if (room / 2 >= size)
    return TRUE;
  sora_error_set (error, SORA_ERROR_NO_SPACE, "%s in '%s' would leave less than that free of %s",
                  sora_bytes_to_text (size, wanted), dir, sora_bytes_to_text (room, there));
  return FALSE;
}

static gboolean
open_file (SoraPackedWriter *writer, mode_t mode, GError **error)
{
  /* A nameless file is linked through /proc in the end. */
  if (access ("/proc/self/fd", X_OK) == 0)
    writer->fd = openat (writer->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
  if (writer->fd < 0)
    {
      writer->publish.hidden = sora_publish_hidden_name ();
      writer->fd = openat (writer->dirfd, writer->publish.hidden,
                           O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, mode);
    }
  writer->publish.handle = writer->fd;
  /* Whatever the umask is: who shares it means all. */
  if (writer->fd >= 0 && fchmod (writer->fd, mode) == 0)
    return TRUE;
  sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "making a file in '%s'", writer->dir);
  return FALSE;
}

static gboolean
prepare (SoraPackedWriter *writer, SoraPackedUse use, GError **error)
{
  const guint64 size = writer->header.size + SORA_PACKED_HEADER_SIZE;
  const gboolean share = use == SORA_PACKED_SHARE;
  char wanted[32], most[32];
  guint64 limit;

  if (!sora_cache_read_limit (LIMIT_VARIABLE, DEFAULT_LIMIT, &limit, error))
    return FALSE;
  if (size > limit)
    {
      sora_error_set (error, SORA_ERROR_NO_SPACE,
                      "%s is more than the %s that " LIMIT_VARIABLE " leaves for packed weights",
                      sora_bytes_to_text (size, wanted), sora_bytes_to_text (limit, most));
      return FALSE;
    }
  if (g_mkdir_with_parents (writer->dir, share ? 0755 : 0700) == 0)
    writer->dirfd = open (writer->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (writer->dirfd < 0)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "the folder '%s'", writer->dir);
      return FALSE;
    }
  sora_cache_evict (writer->dir, marks, limit - size);
  if (!has_room (writer->dirfd, writer->dir, size, error)
      || !open_file (writer, share ? 0644 : 0600, error))
    return FALSE;
  /* What is taken now cannot be missing later.  Where it cannot be taken, writing tells. */
  if (fallocate (writer->fd, 0, 0, (off_t)size) == 0 || errno == EOPNOTSUPP || errno == ENOSYS)
    return TRUE;
  sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "room in '%s'", writer->dir);
  return FALSE;
}

SoraPackedWriter *
sora_packed_writer_new (const char *dir, SoraPackedUse use, const char *key, const char *label,
                        guint64 size, GError **error)
{
  SoraPackedWriter *writer = g_new0 (SoraPackedWriter, 1);

  writer->dir = g_strdup (dir);
  writer->dirfd = writer->fd = writer->publish.handle = -1;
  writer->header.size = size;
  g_strlcpy (writer->header.key, key, sizeof writer->header.key);
  g_strlcpy (writer->header.label, label, sizeof writer->header.label);
  if (prepare (writer, use, error))
    return writer;
  sora_packed_writer_free (writer);
  return NULL;
}

gboolean
sora_packed_writer_run (SoraPackedWriter *writer, const guint8 *data, const int *give_up,
                        GError **error)
{
  SoraPackedHeader *header = &writer->header;
  guint8 head[SORA_PACKED_HEADER_SIZE];
  g_autofree char *name = g_strconcat (header->key, ENDING, NULL);

  if (lseek (writer->fd, SORA_PACKED_HEADER_SIZE, SEEK_SET) < 0)
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "writing '%s/%s'", writer->dir, name);
      return FALSE;
    }
  for (guint64 at = 0; at < header->size; at += SORA_PACKED_BLOCK)
    {
      const gsize n = (gsize)MIN (header->size - at, SORA_PACKED_BLOCK);
      if (g_atomic_int_get (give_up))
        {
          sora_error_set (error, SORA_ERROR_CANCELLED, "given up");
          return FALSE;
        }
      header->sum = sora_xxh64 (data + at, n, header->sum);
      if (!sora_file_write (writer->fd, name, data + at, n, error))
        return FALSE;
    }
  sora_packed_header_write (header, head);
  if (pwrite (writer->fd, head, sizeof head, 0) != (gssize)sizeof head || fsync (writer->fd) != 0
      || !sora_publish (&writer->publish, writer->dirfd, name, TRUE)
      || !sora_file_sync_dir (writer->dirfd))
    {
      sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "writing '%s/%s'", writer->dir, name);
      return FALSE;
    }
  sora_publish_settle (&writer->publish, writer->dirfd);
  return TRUE;
}

void
sora_packed_writer_free (SoraPackedWriter *writer)
{
  if (writer->dirfd >= 0)
    sora_publish_clear (&writer->publish, writer->dirfd);
  if (writer->dirfd >= 0)
    close (writer->dirfd);
  g_free (writer->dir);
  g_free (writer);
}

/* ---- looking and clearing */

static void
packed_file_free (gpointer data)
{
  SoraPackedFile *file = data;
  g_free (file->label);
  g_free (file);
}

static char *
label_of (const char *path)
{
  SoraPackedHeader header = { 0 };
  guint8 head[SORA_PACKED_HEADER_SIZE];
  struct stat st;
  int fd = sora_file_open (path, SORA_ERROR_FAILED, &st, NULL);
  gboolean ok = fd >= 0 && sora_file_read (fd, path, 0, head, sizeof head, SORA_ERROR_FAILED, NULL)
                && sora_packed_header_parse (head, sizeof head, (guint64)st.st_size, &header, NULL);
  if (fd >= 0)
    close (fd);
  return g_strdup (ok ? header.label : "damaged");
}

static int
compare_used (gconstpointer a, gconstpointer b)
{
  const SoraPackedFile *x = *(const SoraPackedFile *const *)a,
                       *y = *(const SoraPackedFile *const *)b;
  return x->used > y->used ? -1 : x->used < y->used ? 1 : strcmp (x->label, y->label);
}

GPtrArray *
sora_packed_list (const char *dir)
{
  g_autoptr (GPtrArray) files = sora_cache_files (dir, marks);
  GPtrArray *list = g_ptr_array_new_with_free_func (packed_file_free);

  for (guint i = 0; i < files->len; i++)
    {
      const SoraCacheFile *file = g_ptr_array_index (files, i);
      SoraPackedFile *packed = g_new0 (SoraPackedFile, 1);
      packed->label = label_of (file->path);
      packed->bytes = file->bytes;
      packed->used = file->used / 1000;
      g_ptr_array_add (list, packed);
    }
  g_ptr_array_sort (list, compare_used);
  return list;
}

gboolean
sora_packed_clear (const char *dir, GError **error)
{
  return sora_cache_remove (dir, marks, error);
}
