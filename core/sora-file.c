/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Opening and reading files that somebody else wrote; see sora-file.h.
 */
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/openat2.h>
#include <glib/gstdio.h>
#include "sora-file.h"

/* O_NONBLOCK so that opening a FIFO returns, to be refused; it means nothing to a regular file. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

SoraFileIdentity
sora_file_identity (const struct stat *st)
{
  return (SoraFileIdentity){
    .dev = st->st_dev,
    .ino = st->st_ino,
    .size = (guint64)st->st_size,
    .mtime = st->st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + st->st_mtim.tv_nsec,
    .ctime = st->st_ctim.tv_sec * G_GINT64_CONSTANT (1000000000) + st->st_ctim.tv_nsec,
  };
}

gboolean
sora_file_identity_equal (const SoraFileIdentity *a, const SoraFileIdentity *b)
{
  return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime == b->mtime
         && a->ctime == b->ctime;
}

static gboolean
check_regular (int fd, const char *path, SoraError code, struct stat *st, GError **error)
{
  struct stat own;
  if (st == NULL)
    st = &own;
  if (fstat (fd, st) < 0)
    {
      sora_error_set_errno (error, code, errno, "cannot look at '%s'", path);
      return FALSE;
    }
  if (!S_ISREG (st->st_mode))
    {
      sora_error_set (error, code, "'%s' is %s, expected a regular file", path,
                      S_ISDIR (st->st_mode) ? "a folder" : "a device, pipe or socket");
      return FALSE;
    }
  return TRUE;
}

int
sora_file_open (const char *path, SoraError code, struct stat *st, GError **error)
{
  int fd = open (path, OPEN_FLAGS);
  if (fd < 0)
    {
      sora_error_set_errno (error, code, errno, "cannot open '%s'", path);
      return -1;
    }
  if (!check_regular (fd, path, code, st, error))
    {
      close (fd);
      return -1;
    }
  return fd;
}

gboolean
sora_file_name_is_beneath (const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", -1);
  if (parts[0] == NULL)
    return FALSE;
  for (char **part = parts; *part != NULL; part++)
    if (**part == '\0' || strcmp (*part, ".") == 0 || strcmp (*part, "..") == 0)
      return FALSE;
  return TRUE;
}

int
sora_file_walk_beneath (int dirfd, const char *name, int flags)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", -1);
  int at = dirfd;
  for (char **part = parts; *part != NULL; part++)
    {
      gboolean last = part[1] == NULL;
      int fd = openat (at, *part, O_NOFOLLOW | (last ? flags : O_PATH | O_DIRECTORY | O_CLOEXEC));
      int saved = errno;
      if (at != dirfd)
        close (at);
      errno = saved;
      if (fd < 0 || last)
        return fd;
      at = fd;
    }
  errno = EINVAL;
  return -1;
}

static int
open_beneath (int dirfd, const char *folder, const char *name, int flags, SoraError code,
              GError **error)
{
  struct open_how how
      = { .flags = (guint64)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
  g_autofree char *path = g_build_filename (folder, name, NULL);
  if (!sora_file_name_is_beneath (name))
    {
      sora_error_set (
          error, code,
          "'%s' is not the name of a file inside '%s': expected a relative path without '..'", name,
          folder);
      return -1;
    }
  int fd = (int)syscall (SYS_openat2, dirfd, name, &how, sizeof how);
  /* ENOSYS before Linux 5.6; EPERM from seccomp filters that do not know the call. */
  if (fd < 0 && (errno == ENOSYS || errno == EPERM))
    fd = sora_file_walk_beneath (dirfd, name, flags);
  if (fd < 0 && (errno == EXDEV || errno == ELOOP))
    sora_error_set (
        error, code,
        "'%s' is a symbolic link out of '%s', which is not followed: put the file itself "
        "there (cp -rL "
        "copies a folder that way)",
        path, folder);
  else if (fd < 0)
    sora_error_set_errno (error, code, errno, "cannot open '%s'", path);
  return fd;
}

int
sora_file_open_beneath (int dirfd, const char *folder, const char *name, SoraError code,
                        struct stat *st, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  int fd = open_beneath (dirfd, folder, name, OPEN_FLAGS, code, error);
  if (fd >= 0 && !check_regular (fd, path, code, st, error))
    {
      close (fd);
      return -1;
    }
  return fd;
}

int
sora_file_open_dir_beneath (int dirfd, const char *folder, const char *name, SoraError code,
                            GError **error)
{
  return open_beneath (dirfd, folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, code, error);
}

gboolean
sora_file_read (int fd, const char *display_name, guint64 offset, void *buffer, gsize length,
                SoraError code, GError **error)
{
  gsize done = 0;
  while (done < length)
    {
      gssize n = pread (fd, (char *)buffer + done, length - done, (off_t)(offset + done));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          sora_error_set_errno (error, code, errno, "cannot read '%s'", display_name);
          return FALSE;
        }
      if (n == 0)
        {
          sora_error_set (error, code, "'%s' became shorter while it was read", display_name);
          return FALSE;
        }
      done += (gsize)n;
    }
  return TRUE;
}

gboolean
sora_file_write (int fd, const char *display_name, const void *buffer, gsize length, GError **error)
{
  gsize done = 0;
  while (done < length)
    {
      gssize n = write (fd, (const char *)buffer + done, length - done);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "cannot write '%s'", display_name);
          return FALSE;
        }
      done += (gsize)n;
    }
  return TRUE;
}

gboolean
sora_file_sync_dir (int dirfd)
{
  return fsync (dirfd) == 0 || errno == EINVAL || errno == EBADF || errno == ENOSYS
         || errno == EOPNOTSUPP;
}

GBytes *
sora_file_read_all (int fd, const char *display_name, gsize limit, SoraError code, GError **error)
{
  struct stat st;
  if (!check_regular (fd, display_name, code, &st, error))
    return NULL;
  if ((guint64)st.st_size > limit)
    {
      sora_error_set (error, code,
                      "'%s' is %" G_GUINT64_FORMAT " bytes long, expected at most %" G_GSIZE_FORMAT,
                      display_name, (guint64)st.st_size, limit);
      return NULL;
    }
  gsize length = (gsize)st.st_size;
  g_autofree char *data = g_malloc (length + 1);
  if (!sora_file_read (fd, display_name, 0, data, length, code, error))
    return NULL;
  data[length] = '\0';
  return g_bytes_new_take (g_steal_pointer (&data), length);
}

GBytes *
sora_file_load (const char *path, gsize limit, SoraError code, GError **error)
{
  int fd = sora_file_open (path, code, NULL, error);
  if (fd < 0)
    return NULL;
  GBytes *bytes = sora_file_read_all (fd, path, limit, code, error);
  close (fd);
  return bytes;
}
