/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Publishing one file: by link, by rename, by exchange, in the order in which they are safe.
 */
#include "config.h"
#include "sora-publish.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What file systems answer to a call, or to a flag of it, that they do not have. */
static gboolean
is_unsupported (int errnum)
{
  return errnum == EINVAL || errnum == ENOSYS || errnum == EOPNOTSUPP || errnum == EPERM;
}

/* Not made of the file's own name: with that it could be longer than a name may be. */
char *
sora_publish_hidden_name (void)
{
  return g_strdup_printf (".sorad-%08x%08x.part", g_random_int (), g_random_int ());
}

static gboolean
link_as (SoraPublish *file, int dirfd, const char *name)
{
  if (file->hidden != NULL)
    return linkat (dirfd, file->hidden, dirfd, name, 0) == 0;
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", file->handle);
  return linkat (AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) == 0;
}

static gboolean
publish_new (SoraPublish *file, int dirfd, const char *name)
{
  if (link_as (file, dirfd, name))
    {
      if (file->hidden != NULL)
        unlinkat (dirfd, file->hidden, 0);
      g_clear_pointer (&file->hidden, g_free);
      return TRUE;
    }
  if (file->hidden == NULL || !is_unsupported (errno))
    return FALSE;
  if (renameat2 (dirfd, file->hidden, dirfd, name, RENAME_NOREPLACE) != 0)
    {
      if (!is_unsupported (errno))
        return FALSE;
      /* Neither links nor a rename that spares others: an empty file claims the name first. */
      int claim = openat (dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0666);
      if (claim < 0)
        return FALSE;
      close (claim);
      if (renameat (dirfd, file->hidden, dirfd, name) != 0)
        {
          int saved = errno;
          unlinkat (dirfd, name, 0);
          errno = saved;
          return FALSE;
        }
    }
  g_clear_pointer (&file->hidden, g_free);
  return TRUE;
}

/* Without exchange: the old file gets a second name, or where there are no links another one. */
static gboolean
set_aside (SoraPublish *file, int dirfd, const char *name)
{
  g_autofree char *old = sora_publish_hidden_name ();

  gboolean linked = linkat (dirfd, name, dirfd, old, 0) == 0;
  if (!linked && (!is_unsupported (errno) || renameat (dirfd, name, dirfd, old) != 0))
    return FALSE;
  if (renameat (dirfd, file->hidden, dirfd, name) != 0)
    {
      int saved = errno;
      if (linked)
        unlinkat (dirfd, old, 0);
      else
        renameat (dirfd, old, dirfd, name);
      errno = saved;
      return FALSE;
    }
  g_clear_pointer (&file->hidden, g_free);
  file->old = g_steal_pointer (&old);
  return TRUE;
}

static gboolean
publish_over (SoraPublish *file, int dirfd, const char *name)
{
  struct stat st;

  if (fstatat (dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT && publish_new (file, dirfd, name);
  if (S_ISDIR (st.st_mode))
    {
      errno = EISDIR;
      return FALSE;
    }
  if (file->hidden == NULL)
    {
      g_autofree char *hidden = sora_publish_hidden_name ();
      if (!link_as (file, dirfd, hidden))
        return FALSE;
      file->hidden = g_steal_pointer (&hidden);
    }
  if (renameat2 (dirfd, file->hidden, dirfd, name, RENAME_EXCHANGE) == 0)
    {
      file->old = g_steal_pointer (&file->hidden);
      return TRUE;
    }
  return is_unsupported (errno) && set_aside (file, dirfd, name);
}

gboolean
sora_publish (SoraPublish *file, int dirfd, const char *name, gboolean overwrite)
{
  file->published = overwrite ? publish_over (file, dirfd, name) : publish_new (file, dirfd, name);
  return file->published;
}

void
sora_publish_undo (SoraPublish *file, int dirfd, const char *name)
{
  if (!file->published)
    return;
  if (file->old != NULL)
    renameat (dirfd, file->old, dirfd, name);
  else
    unlinkat (dirfd, name, 0);
  g_clear_pointer (&file->old, g_free);
  file->published = FALSE;
}

void
sora_publish_settle (SoraPublish *file, int dirfd)
{
  if (file->old != NULL)
    unlinkat (dirfd, file->old, 0);
  g_clear_pointer (&file->old, g_free);
}

void
sora_publish_clear (SoraPublish *file, int dirfd)
{
  if (file->handle >= 0)
    close (file->handle);
  file->handle = -1;
  if (file->hidden != NULL)
    unlinkat (dirfd, file->hidden, 0);
  g_clear_pointer (&file->hidden, g_free);
}
