/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Result files.  O_TMPFILE and linkat where the file system has them, so that a killed process
 * leaves nothing behind; a hidden temporary name elsewhere.
 */
#include "config.h"
#include "sora-output.h"
#include "sora-error.h"
#include "sora-runner.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  const char *stage, *port;
  char *name, *media_type;
  char *hidden; /* its name until it is published; NULL: it has none */
  int fd;       /* for writing; -1 once synced */
  int handle;   /* O_PATH, to link it by; -1 if it has a hidden name */
  guint64 size;
  gboolean published;
} File;

struct SoraOutput
{
  char *dir, *prefix;
  int dirfd;
  gboolean overwrite;
  GMutex lock; /* files: stages create them from their own threads */
  GPtrArray *files;
};

static void
file_free (gpointer data)
{
  File *file = data;
  if (file->fd >= 0)
    close (file->fd);
  if (file->handle >= 0)
    close (file->handle);
  g_free (file->name);
  g_free (file->media_type);
  g_free (file->hidden);
  g_free (file);
}

SoraOutput *
sora_output_new (const char *dir, GError **error)
{
  SoraOutput *output = g_new0 (SoraOutput, 1);

  g_mutex_init (&output->lock);
  output->files = g_ptr_array_new_with_free_func (file_free);
  output->dirfd = -1;
  if (dir == NULL)
    return output;
  output->dir = g_strdup (dir);
  output->dirfd = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (output->dirfd >= 0)
    return output;
  sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "the folder for results '%s'", dir);
  sora_output_free (output);
  return NULL;
}

static void
remove_hidden (SoraOutput *output, File *file)
{
  if (file->hidden != NULL)
    unlinkat (output->dirfd, file->hidden, 0);
  g_clear_pointer (&file->hidden, g_free);
}

void
sora_output_free (SoraOutput *output)
{
  for (guint i = 0; i < output->files->len; i++)
    remove_hidden (output, g_ptr_array_index (output->files, i));
  g_ptr_array_unref (output->files);
  if (output->dirfd >= 0)
    close (output->dirfd);
  g_mutex_clear (&output->lock);
  g_free (output->dir);
  g_free (output->prefix);
  g_free (output);
}

void
sora_output_set_name (SoraOutput *output, const char *prefix, gboolean overwrite)
{
  g_free (output->prefix);
  output->prefix = g_strdup (prefix);
  output->overwrite = overwrite;
}

static gboolean
is_taken (SoraOutput *output, const char *name)
{
  for (guint i = 0; i < output->files->len; i++)
    if (strcmp (((File *)g_ptr_array_index (output->files, i))->name, name) == 0)
      return TRUE;
  return FALSE;
}

/* "clip.mp4" with prefix "ball" becomes "ball.mp4", "frame-0001.png" "ball-0001.png"; what would
 * come out as a name that is taken keeps its own between: "ball-sheet.png". */
static char *
public_name (SoraOutput *output, const char *name)
{
  if (output->prefix == NULL)
    return g_strdup (name);
  const char *dot = strrchr (name, '.');
  const char *extension = dot != NULL ? dot : name + strlen (name);
  const char *number = extension;
  while (number > name && g_ascii_isdigit (number[-1]))
    number--;
  if (number == extension || number == name || (number[-1] != '-' && number[-1] != '_'))
    number = extension;
  else
    number--;
  g_autofree char *result = g_strconcat (output->prefix, number, NULL);
  if (!is_taken (output, result))
    return g_steal_pointer (&result);
  return g_strconcat (output->prefix, "-", name, NULL);
}

static gboolean
check_name (SoraOutput *output, const char *name, GError **error)
{
  struct stat st;

  if (name[0] == '\0' || name[0] == '.' || strchr (name, '/') != NULL || strlen (name) > 255
      || !g_utf8_validate (name, -1, NULL))
    {
      g_autofree char *escaped = g_strescape (name, NULL);
      sora_error_set (error, SORA_ERROR_FAILED, "'%s' is no plain file name for a result",
                   escaped);
      return FALSE;
    }
  if (is_taken (output, name))
    {
      sora_error_set (error, SORA_ERROR_FAILED, "a result file '%s' is created twice",
                   name);
      return FALSE;
    }
  if (!output->overwrite && fstatat (output->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    {
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                   "'%s/%s' exists already: choose another name, or allow overwriting", output->dir,
                   name);
      return FALSE;
    }
  return TRUE;
}

static gboolean
open_file (SoraOutput *output, File *file, GError **error)
{
  file->fd = openat (output->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  if (file->fd >= 0)
    {
      /* The handle outlives the descriptor that the stage writes to, so that closing it shows write
       * errors early. */
      g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", file->fd);
      file->handle = open (path, O_PATH | O_CLOEXEC);
      if (file->handle >= 0)
        return TRUE;
      close (file->fd);
    }
  for (guint attempt = 0; attempt < 100; attempt++)
    {
      g_autofree char *hidden = g_strdup_printf (".%s.%08x.part", file->name, g_random_int ());
      file->fd = openat (output->dirfd, hidden, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW,
                         0666);
      if (file->fd >= 0)
        {
          file->hidden = g_steal_pointer (&hidden);
          return TRUE;
        }
      if (errno != EEXIST)
        break;
    }
  sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "creating '%s/%s'", output->dir,
                        file->name);
  return FALSE;
}

int
sora_output_create (SoraOutput *output, const char *stage, const char *port, const char *name,
                    const char *media_type, GError **error)
{
  if (output->dirfd < 0)
    {
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                   "output '%s' is a file, and no folder for results was given", port);
      return -1;
    }
  g_mutex_lock (&output->lock);
  g_autofree char *public = public_name (output, name);
  File *file = NULL;
  int fd = -1;
  if (check_name (output, name, error) && check_name (output, public, error))
    {
      file = g_new0 (File, 1);
      *file = (File){ .stage = stage, .port = port, .fd = -1, .handle = -1 };
      file->name = g_steal_pointer (&public);
      file->media_type = g_strdup (media_type);
      if (open_file (output, file, error))
        {
          fd = file->fd;
          g_ptr_array_add (output->files, file);
        }
      else
        file_free (file);
    }
  g_mutex_unlock (&output->lock);
  return fd;
}

gboolean
sora_output_sync (SoraOutput *output, const char *stage, GError **error)
{
  gboolean ok = TRUE;

  /* Other stages may create files meanwhile: the list is copied, the files are this stage's alone.
   */
  g_mutex_lock (&output->lock);
  g_autoptr (GPtrArray) files = g_ptr_array_copy (output->files, NULL, NULL);
  g_ptr_array_set_free_func (files, NULL);
  g_mutex_unlock (&output->lock);
  for (guint i = 0; ok && i < files->len; i++)
    {
      File *file = g_ptr_array_index (files, i);
      struct stat st;
      if (file->stage != stage || file->fd < 0)
        continue;
      ok = fsync (file->fd) == 0 && fstat (file->fd, &st) == 0;
      int saved = errno;
      if (ok)
        file->size = (guint64)st.st_size;
      if (close (file->fd) != 0 && ok)
        {
          ok = FALSE;
          saved = errno;
        }
      file->fd = -1;
      if (!ok)
        sora_error_set_errno (error, SORA_ERROR_FAILED, saved, "writing '%s/%s'", output->dir,
                              file->name);
    }
  return ok;
}

gboolean
sora_output_is_full (SoraOutput *output, const char *stage)
{
  gboolean full = FALSE;

  g_mutex_lock (&output->lock);
  for (guint i = 0; !full && i < output->files->len; i++)
    {
      File *file = g_ptr_array_index (output->files, i);
      struct stat st;
      if (file->stage != stage || file->fd < 0 || fstat (file->fd, &st) != 0)
        continue;
      int result = posix_fallocate (file->fd, st.st_size, 4096);
      full = result == ENOSPC || result == EFBIG || result == EDQUOT;
    }
  g_mutex_unlock (&output->lock);
  return full;
}

/* Gives @file a name that nobody has yet.  FALSE and errno. */
static gboolean
link_new (SoraOutput *output, File *file, const char *name)
{
  if (file->hidden != NULL)
    return linkat (output->dirfd, file->hidden, output->dirfd, name, 0) == 0;
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", file->handle);
  return linkat (AT_FDCWD, path, output->dirfd, name, AT_SYMLINK_FOLLOW) == 0;
}

static gboolean
publish_file (SoraOutput *output, File *file)
{
  if (!output->overwrite)
    {
      if (!link_new (output, file, file->name))
        return FALSE;
      remove_hidden (output, file);
      return TRUE;
    }
  if (file->hidden == NULL)
    {
      g_autofree char *hidden = g_strdup_printf (".%s.%08x.part", file->name, g_random_int ());
      if (!link_new (output, file, hidden))
        return FALSE;
      file->hidden = g_steal_pointer (&hidden);
    }
  if (renameat (output->dirfd, file->hidden, output->dirfd, file->name) != 0)
    return FALSE;
  g_clear_pointer (&file->hidden, g_free);
  return TRUE;
}

static void
result_file_free (gpointer data)
{
  SoraResultFile *file = data;
  g_free (file->stage);
  g_free (file->port);
  g_free (file->name);
  g_free (file->media_type);
  g_free (file->path);
  g_free (file);
}

GPtrArray *
sora_output_publish (SoraOutput *output, GError **error)
{
  gboolean ok = TRUE;
  const char *failed = NULL;
  int saved = 0;

  for (guint i = 0; ok && i < output->files->len; i++)
    {
      File *file = g_ptr_array_index (output->files, i);
      ok = file->published = publish_file (output, file);
      saved = errno;
      failed = file->name;
    }
  if (ok && output->dirfd >= 0 && output->files->len > 0 && fsync (output->dirfd) != 0)
    {
      ok = FALSE;
      saved = errno;
    }
  if (!ok)
    {
      for (guint i = 0; i < output->files->len; i++)
        {
          File *file = g_ptr_array_index (output->files, i);
          if (file->published)
            unlinkat (output->dirfd, file->name, 0);
        }
      if (saved == EEXIST)
        sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                     "'%s/%s' exists already: choose another name, or allow overwriting",
                     output->dir, failed);
      else
        sora_error_set_errno (error, SORA_ERROR_FAILED, saved, "publishing '%s/%s'", output->dir,
                              failed);
      return NULL;
    }

  GPtrArray *list = g_ptr_array_new_with_free_func (result_file_free);
  for (guint i = 0; i < output->files->len; i++)
    {
      File *file = g_ptr_array_index (output->files, i);
      SoraResultFile *result = g_new0 (SoraResultFile, 1);
      result->stage = g_strdup (file->stage);
      result->port = g_strdup (file->port);
      result->name = g_strdup (file->name);
      result->media_type = g_strdup (file->media_type);
      result->path = g_build_filename (output->dir, file->name, NULL);
      result->size = file->size;
      g_ptr_array_add (list, result);
    }
  return list;
}
