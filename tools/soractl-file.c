/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Files that appear whole: O_TMPFILE and linkat where the file system has them, so that even a
 * killed process leaves nothing behind; a temporary name elsewhere.
 */
#include "config.h"
#include "soractl-file.h"
#include "sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* Takes errno. */
static gboolean
fail (GError **error, const char *doing, const char *path)
{
  int reason = errno;
  SoraError code = sora_error_is_full (reason) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED;
  g_set_error (error, SORA_ERROR, (int)code, "cannot %s '%s': %s%s", doing, path,
               g_strerror (reason), reason == EEXIST ? "; --overwrite replaces it" : "");
  return FALSE;
}

static char *
temporary_name (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path), *base = g_path_get_basename (path);
  g_autofree char *name = g_strdup_printf (".%.200s.%08x.part", base, g_random_int ());
  return g_build_filename (folder, name, NULL);
}

gboolean
soractl_file_open (SoractlFile *file, const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  *file = (SoractlFile){ .path = g_strdup (path), .fd = -1 };
  file->fd = open (folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  /* The errors of a file system and of a kernel that know no O_TMPFILE. */
  if (file->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
    {
      file->temporary = temporary_name (path);
      file->fd = open (file->temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0666);
      if (file->fd < 0)
        g_clear_pointer (&file->temporary, g_free);
    }
  return file->fd >= 0 || fail (error, "write", path);
}

static volatile sig_atomic_t interrupted;

static void
on_signal (int number)
{
  interrupted = 1;
}

static gboolean
write_all (SoractlFile *file, const char *data, gsize size, GError **error)
{
  while (size > 0)
    {
      ssize_t n = write (file->fd, data, size);
      if (n < 0 && errno != EINTR)
        return fail (error, "write", file->path);
      if (n > 0)
        {
          data += n;
          size -= (gsize)n;
        }
    }
  return TRUE;
}

gboolean
soractl_file_copy (SoractlFile *file, int from, GError **error)
{
  char buffer[65536];
  const struct sigaction ours = { .sa_handler = on_signal };
  struct sigaction before_int, before_term;
  gboolean ok = TRUE;
  ssize_t n = 1;
  interrupted = 0;
  sigaction (SIGINT, &ours, &before_int);
  sigaction (SIGTERM, &ours, &before_term);
  while (ok && n != 0)
    {
      n = read (from, buffer, sizeof buffer);
      if (interrupted)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_CANCELLED, "left before '%s' was written",
                       file->path);
          ok = FALSE;
        }
      else if (n < 0 && errno != EINTR)
        ok = fail (error, "read what is to become", file->path);
      else if (n > 0)
        ok = write_all (file, buffer, (gsize)n, error);
    }
  sigaction (SIGINT, &before_int, NULL);
  sigaction (SIGTERM, &before_term, NULL);
  return ok;
}

/* Gives the file a name that nobody has.  FALSE and errno. */
static gboolean
link_new (SoractlFile *file, const char *path)
{
  char self[40];
  if (file->temporary == NULL)
    {
      snprintf (self, sizeof self, "/proc/self/fd/%d", file->fd);
      return linkat (AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0;
    }
  if (link (file->temporary, path) == 0)
    {
      g_unlink (file->temporary);
      g_clear_pointer (&file->temporary, g_free);
      return TRUE;
    }
  /* FAT has no hard links. */
  if ((errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
      || renameat2 (AT_FDCWD, file->temporary, AT_FDCWD, path, RENAME_NOREPLACE) != 0)
    return FALSE;
  g_clear_pointer (&file->temporary, g_free);
  return TRUE;
}

gboolean
soractl_file_publish (SoractlFile *file, gboolean overwrite, GError **error)
{
  if (fsync (file->fd) != 0)
    return fail (error, "write", file->path);
  if (!overwrite)
    return link_new (file, file->path) || fail (error, "create", file->path);
  if (file->temporary == NULL)
    {
      g_autofree char *temporary = temporary_name (file->path);
      if (!link_new (file, temporary))
        return fail (error, "create", file->path);
      file->temporary = g_steal_pointer (&temporary);
    }
  if (g_rename (file->temporary, file->path) != 0)
    return fail (error, "replace", file->path);
  g_clear_pointer (&file->temporary, g_free);
  return TRUE;
}

void
soractl_file_clear (SoractlFile *file)
{
  if (file->path != NULL && file->fd >= 0)
    close (file->fd);
  if (file->temporary != NULL)
    g_unlink (file->temporary);
  g_clear_pointer (&file->temporary, g_free);
  g_clear_pointer (&file->path, g_free);
  file->fd = -1;
}
