/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Result files: O_TMPFILE where the file system has it, so that a killed process
 * leaves nothing behind, a hidden name elsewhere.  sora-publish.c gives them their names.
 */
#include "config.h"
#include "sora-output.h"
#include "sora-error.h"
#include "sora-file.h"
#include "sora-publish.h"
#include "sora-runner.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  const char *stage, *port;
  char *name, *media_type;
  int fd; /* for writing; -1 once synced */
  SoraPublish publish;
  guint64 size;
} File;

#define SORA_OUTPUT_MAX_NAME 255

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
  g_free (file->name);
  g_free (file->media_type);
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

void
sora_output_free (SoraOutput *output)
{
  for (guint i = 0; i < output->files->len; i++)
    sora_publish_clear (&((File *)g_ptr_array_index (output->files, i))->publish, output->dirfd);
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
check_form (const char *name, GError **error)
{
  if (name[0] != '\0' && name[0] != '.' && strchr (name, '/') == NULL
      && strlen (name) <= SORA_OUTPUT_MAX_NAME && g_utf8_validate (name, -1, NULL))
    return TRUE;
  g_autofree char *escaped = g_strescape (name, NULL);
  sora_error_set (error, SORA_ERROR_FAILED,
                  "'%s' is no plain file name for a result, of at most %d bytes", escaped,
                  SORA_OUTPUT_MAX_NAME);
  return FALSE;
}

/* The name that the file will have, not the one that its stage gave it. */
static gboolean
check_free (SoraOutput *output, const char *name, GError **error)
{
  struct stat st;

  if (is_taken (output, name))
    {
      sora_error_set (error, SORA_ERROR_FAILED, "a result file '%s' is created twice", name);
      return FALSE;
    }
  if (fstatat (output->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return TRUE;
  if (!output->overwrite)
    {
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                      "'%s/%s' exists already: choose another name, or allow overwriting",
                      output->dir, name);
      return FALSE;
    }
  if (S_ISDIR (st.st_mode))
    {
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                      "'%s/%s' is a folder, which no file replaces: choose another name",
                      output->dir, name);
      return FALSE;
    }
  return TRUE;
}

/* A nameless file is linked through /proc in the end: where that is not mounted, it has a hidden
 * name. */
static gboolean
open_file (SoraOutput *output, File *file, GError **error)
{
  if (access ("/proc/self/fd", X_OK) == 0)
    file->fd = openat (output->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  if (file->fd >= 0)
    return TRUE;
  for (guint attempt = 0; attempt < 100; attempt++)
    {
      g_autofree char *hidden = sora_publish_hidden_name ();
      file->fd = openat (output->dirfd, hidden, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW,
                         0666);
      if (file->fd >= 0)
        {
          file->publish.hidden = g_steal_pointer (&hidden);
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
  if (check_form (name, error) && check_form (public, error) && check_free (output, public, error))
    {
      file = g_new0 (File, 1);
      *file = (File){ .stage = stage, .port = port, .fd = -1, .publish.handle = -1 };
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

/* To the disk for good, and closed, which shows the last write errors.  What is nameless lives on
 * in a handle to link it by, opened only now: one descriptor a file is enough at any time. */
static gboolean
sync_file (File *file)
{
  struct stat st;

  gboolean ok = fsync (file->fd) == 0 && fstat (file->fd, &st) == 0;
  if (ok)
    file->size = (guint64)st.st_size;
  if (ok && file->publish.hidden == NULL)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", file->fd);
      file->publish.handle = open (path, O_PATH | O_CLOEXEC);
      ok = file->publish.handle >= 0;
    }
  int saved = errno;
  if (close (file->fd) != 0 && ok)
    {
      ok = FALSE;
      saved = errno;
    }
  file->fd = -1;
  errno = saved;
  return ok;
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
      if (file->stage != stage || file->fd < 0)
        continue;
      ok = sync_file (file);
      if (!ok)
        sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "writing '%s/%s'", output->dir,
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
      full = sora_error_is_full (posix_fallocate (file->fd, st.st_size, 4096));
    }
  g_mutex_unlock (&output->lock);
  return full;
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

static gboolean
publish_all (SoraOutput *output, GError **error)
{
  for (guint i = 0; i < output->files->len; i++)
    {
      File *file = g_ptr_array_index (output->files, i);
      if (sora_publish (&file->publish, output->dirfd, file->name, output->overwrite))
        continue;
      if (errno == EEXIST)
        sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                        "'%s/%s' exists already: choose another name, or allow overwriting",
                        output->dir, file->name);
      else
        sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "publishing '%s/%s'", output->dir,
                              file->name);
      return FALSE;
    }
  if (output->files->len == 0 || sora_file_sync_dir (output->dirfd))
    return TRUE;
  sora_error_set_errno (error, SORA_ERROR_FAILED, errno, "writing the folder '%s'", output->dir);
  return FALSE;
}

GPtrArray *
sora_output_publish (SoraOutput *output, GError **error)
{
  gboolean ok = publish_all (output, error);
  for (guint i = 0; i < output->files->len; i++)
    {
      File *file = g_ptr_array_index (output->files, i);
      if (ok)
        sora_publish_settle (&file->publish, output->dirfd);
      else
        sora_publish_undo (&file->publish, output->dirfd, file->name);
    }
  if (!ok)
    return NULL;

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
