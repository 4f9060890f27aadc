/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Files of the store.  Names come from a worker, which is not trusted: they are plain names, looked
 * up only beneath the job's own folder.  A file of a result is nameless while it comes in
 * (O_TMPFILE), and gets its name, in staging, when it is whole and durable (fsync, linkat); all of
 * a result appear by one rename.
 */
#include "config.h"
#include "sorad-store-private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_FILES 100000  /* a long clip as numbered pictures */
#define FILE_OVERHEAD 512 /* bytes that a file takes beside its own, in memory and on disk */
#define MAX_DETAIL 128    /* bytes of a name that the worker gives with a file */

struct SoradResult
{
  SoradStore *store;
  char *id;
  guint64 max_bytes, bytes;
  int dir_fd;
  int fd; /* the file that comes in */
  char *name;
  guint64 size;
  guint n_files;
  GVariantBuilder files;
  gboolean published;
};

static gboolean
fail_errno (GError **error, const char *what, const char *name)
{
  int code = sora_error_is_full (errno) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED;
  g_set_error (error, SORA_ERROR, code, "state folder: cannot %s '%s': %s", what, name,
               g_strerror (errno));
  return FALSE;
}

char *
sorad_store_work_dir (SoradStore *store, guint64 number)
{
  return g_strdup_printf ("%s/work/%" G_GUINT64_FORMAT, store->root, number);
}

void
sorad_store_remove_work_dir (SoradStore *store, const char *path)
{
  sorad_store_discard_later (store, store->work_fd, strrchr (path, '/') + 1);
}

int
sorad_store_make_input (SoradStore *store, GError **error)
{
  int fd = openat (store->inputs_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0)
    fail_errno (error, "make", "an unnamed file");
  return fd;
}

int
sorad_store_open_input (SoradStore *store, const char *file, GError **error)
{
  int fd = openat (store->inputs_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    fail_errno (error, "open", file);
  return fd;
}

/* -- Results */

SoradResult *
sorad_result_new (SoradStore *store, const char *id, guint64 max_bytes)
{
  SoradResult *result = g_new0 (SoradResult, 1);
  result->store = store;
  result->id = g_strdup (id);
  result->max_bytes = max_bytes;
  result->dir_fd = result->fd = -1;
  g_variant_builder_init (&result->files, G_VARIANT_TYPE ("aa{sv}"));
  return result;
}

const char *
sorad_result_id (const SoradResult *result)
{
  return result->id;
}

guint64
sorad_result_left (const SoradResult *result)
{
  return result->max_bytes - result->bytes;
}

void
sorad_result_free (SoradResult *result)
{
  if (!result)
    return;
  if (result->fd >= 0)
    close (result->fd);
  if (result->dir_fd >= 0)
    close (result->dir_fd);
  if (!result->published) /* at once: the next attempt has the same name */
    sorad_store_discard (result->store, result->store->staging_fd, result->id);
  g_variant_builder_clear (&result->files);
  g_free (result->name);
  g_free (result->id);
  g_free (result);
}

gboolean
sorad_is_plain_name (const char *name, gsize max)
{
  gsize length = strlen (name);
  if (length == 0 || length > max || name[0] == '.' || strchr (name, '/'))
    return FALSE;
  for (const char *p = name; *p; p++)
    if (g_ascii_iscntrl (*p))
      return FALSE;
  return TRUE;
}

static gboolean
make_folder (SoradResult *result, GError **error)
{
  if (result->dir_fd >= 0)
    return TRUE;
  if (mkdirat (result->store->staging_fd, result->id, 0700) != 0)
    return fail_errno (error, "make", result->id);
  result->dir_fd = openat (result->store->staging_fd, result->id,
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return result->dir_fd >= 0 || fail_errno (error, "open", result->id);
}

gboolean
sorad_result_begin_file (SoradResult *result, const char *name, guint64 size, GError **error)
{
  if (result->fd >= 0)
    { /* given up by the worker */
      close (result->fd);
      result->fd = -1;
    }
  if (!sorad_is_plain_name (name, NAME_MAX))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL, "result: '%s' is not a plain file name",
                   name);
      return FALSE;
    }
  if (++result->n_files > MAX_FILES)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NO_SPACE, "result: more than %d files", MAX_FILES);
      return FALSE;
    }
  guint64 left = result->max_bytes - result->bytes;
  if (left < FILE_OVERHEAD || size > left - FILE_OVERHEAD)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NO_SPACE,
                   "result: '%s' needs %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT
                   " are left of what you may store, without your older results: see StoredBytes "
                   "in sorad(8)",
                   name, size, left);
      return FALSE;
    }
  if (!make_folder (result, error))
    return FALSE;
  result->fd = openat (result->dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (result->fd < 0)
    return fail_errno (error, "make", name);
  result->bytes += size + FILE_OVERHEAD;
  result->size = size;
  g_free (result->name);
  result->name = g_strdup (name);
  return TRUE;
}

gboolean
sorad_result_write (SoradResult *result, gconstpointer data, gsize size, GError **error)
{
  const guint8 *bytes = data;
  while (size > 0)
    {
      ssize_t n = write (result->fd, bytes, size);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return fail_errno (error, "write", result->name);
      bytes += n;
      size -= (gsize)n;
    }
  return TRUE;
}

/* It is kept in memory as long as the job is. */
static gboolean
read_detail (GVariant *details, const char *key, const char **value, GError **error)
{
  g_variant_lookup (details, key, "&s", value);
  if (strlen (*value) <= MAX_DETAIL)
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
               "protocol: a file's '%s' has %" G_GSIZE_FORMAT " bytes, at most %d are taken", key,
               strlen (*value), MAX_DETAIL);
  return FALSE;
}

gboolean
sorad_result_end_file (SoradResult *result, const char *sha256, GVariant *details, GError **error)
{
  int fd = result->fd;
  result->fd = -1;
  g_autofree char *nameless = g_strdup_printf ("/proc/self/fd/%d", fd);
  gboolean synced = fsync (fd) == 0; /* its failure means that the file is lost */
  gboolean named = synced
                   && linkat (AT_FDCWD, nameless, result->dir_fd, result->name, AT_SYMLINK_FOLLOW)
                          == 0;
  if (!named)
    fail_errno (error, synced ? "name" : "write", result->name);
  close (fd);
  if (!named)
    return FALSE;

  const char *stage = "", *port = "", *media_type = "application/octet-stream";
  if (!read_detail (details, "stage", &stage, error) || !read_detail (details, "port", &port, error)
      || !read_detail (details, "media-type", &media_type, error))
    return FALSE;
  GVariantDict file;
  g_variant_dict_init (&file, NULL);
  g_variant_dict_insert (&file, "name", "s", result->name);
  g_variant_dict_insert (&file, "media-type", "s", media_type);
  g_variant_dict_insert (&file, "size", "t", result->size);
  g_variant_dict_insert (&file, "sha256", "s", sha256);
  g_variant_dict_insert (&file, "stage", "s", stage);
  g_variant_dict_insert (&file, "port", "s", port);
  g_variant_builder_add_value (&result->files, g_variant_dict_end (&file));
  return TRUE;
}

gboolean
sorad_result_publish (SoradResult *result, GVariant **files, guint64 *bytes, GError **error)
{
  SoradStore *store = result->store;
  if (!make_folder (result, error)) /* a job without files has an empty result */
    return FALSE;
  if (fsync (result->dir_fd) != 0
      || renameat2 (store->staging_fd, result->id, store->results_fd, result->id, RENAME_NOREPLACE)
             != 0)
    return fail_errno (error, "publish", result->id);
  result->published = TRUE;
  if (fsync (store->results_fd) != 0)
    {
      fail_errno (error, "publish", result->id);
      sorad_store_discard (store, store->results_fd, result->id);
      return FALSE;
    }
  *files = g_variant_ref_sink (g_variant_builder_end (&result->files));
  g_variant_builder_init (&result->files, G_VARIANT_TYPE ("aa{sv}"));
  *bytes = result->bytes;
  return TRUE;
}

int
sorad_store_open_result (SoradStore *store, const char *id, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (id, name, NULL);
  struct open_how how = {
    .flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
  };
  int fd = (int)syscall (SYS_openat2, store->results_fd, path, &how, sizeof how);
  struct stat st;
  if (fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode))
    return fd;
  if (fd >= 0)
    close (fd);
  fail_errno (error, "open", name);
  return -1;
}
