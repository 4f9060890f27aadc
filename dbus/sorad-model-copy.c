/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Copying a model.  First every file is looked at and counted, then cloned where the file system
 * can, and only what is left takes disk: so the free disk is compared with what will be written.
 */
#include "config.h"
#include "sorad-model-copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/sora-error.h"

#define MAX_FILES 2000 /* the largest published model has about a hundred */
#define MAX_DEPTH 4    /* folders below the model's own */
#define BLOCK ((gsize)8 << 20)
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) /* a FIFO is to be refused */

typedef struct
{
  char *name; /* "transformer/config.json" */
  struct stat st;
  gboolean cloned;
} Item;

typedef struct
{
  const SoradModelSource *source;
  int to;
  GPtrArray *folders; /* names, each after the one it is in */
  GPtrArray *items;
  guint64 done, total;
  SoradModelProgress progress;
  gpointer data;
} Copy;

static void
item_free (gpointer data)
{
  Item *item = data;
  g_free (item->name);
  g_free (item);
}

G_GNUC_PRINTF (3, 4)
static gboolean
refuse (GError **error, SoraError code, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, SORA_ERROR, (int)code, text);
  return FALSE;
}

static gboolean
fail_errno (GError **error, const char *what, const char *name)
{
  int errnum = errno;
  return refuse (error, sora_error_is_full (errnum) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED,
                 "cannot %s '%s': %s", what, name, g_strerror (errnum));
}

gboolean
sorad_model_is_pickle (const char *name)
{
  static const char *const endings[] = { ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle" };
  for (gsize i = 0; i < G_N_ELEMENTS (endings); i++)
    if (g_str_has_suffix (name, endings[i]))
      return TRUE;
  return FALSE;
}

/* -- Opening what the caller has */

static int
open_beneath (int folder, const char *name, int flags, GError **error)
{
  struct open_how how
      = { .flags = (guint64)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
  int fd = (int)syscall (SYS_openat2, folder, name, &how, sizeof how);
  if (fd >= 0)
    return fd;
  if (errno == EXDEV || errno == ELOOP)
    refuse (error, SORA_ERROR_INVALID_MODEL,
            "'%s' is a symbolic link out of the folder, which is not followed: put the file itself "
            "there (cp -rL copies a folder that way)",
            name);
  else if (errno == EACCES)
    refuse (error, SORA_ERROR_INVALID_MODEL,
            "'%s' cannot be read by the user that sorad runs as: let others read it", name);
  else
    fail_errno (error, "open", name);
  return -1;
}

static gboolean
check_regular (int fd, const char *name, struct stat *st, GError **error)
{
  int flags = fcntl (fd, F_GETFL);
  if (fstat (fd, st) != 0 || flags < 0)
    return fail_errno (error, "look at", name);
  if (!S_ISREG (st->st_mode))
    return refuse (error, SORA_ERROR_INVALID_MODEL, "'%s' is %s, expected a regular file", name,
                   S_ISDIR (st->st_mode) ? "a folder, or a link to one"
                                         : "a device, pipe or socket");
  if ((flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_WRONLY)
    return refuse (error, SORA_ERROR_INVALID_REQUEST, "the descriptor of '%s' cannot be read from",
                   name);
  return TRUE;
}

static int
open_source (Copy *copy, const char *name, struct stat *st, GError **error)
{
  const SoradModelSource *source = copy->source;
  int fd = -1;
  if (source->folder >= 0)
    fd = open_beneath (source->folder, name, OPEN_FLAGS, error);
  else
    for (gsize i = 0; source->names[i]; i++)
      if (g_str_equal (source->names[i], name))
        {
          fd = fcntl (source->fds[i], F_DUPFD_CLOEXEC, 3);
          if (fd < 0)
            fail_errno (error, "open", name);
        }
  if (fd >= 0 && !check_regular (fd, name, st, error))
    {
      close (fd);
      return -1;
    }
  return fd;
}

/* -- What there is */

static gboolean
add_item (Copy *copy, const char *name, GError **error)
{
  struct stat st;
  int fd = open_source (copy, name, &st, error);
  if (fd < 0)
    return FALSE;
  close (fd);
  if (copy->items->len >= MAX_FILES)
    return refuse (error, SORA_ERROR_INVALID_MODEL,
                   "there are more than %d files, which no model has: is it the right folder?",
                   MAX_FILES);
  if (__builtin_add_overflow (copy->total, (guint64)st.st_size, &copy->total))
    return refuse (error, SORA_ERROR_INVALID_MODEL, "'%s': the sizes overflow", name);
  Item *item = g_new0 (Item, 1);
  item->name = g_strdup (name);
  item->st = st;
  g_ptr_array_add (copy->items, item);
  return TRUE;
}

static gboolean collect (Copy *copy, const char *folder, guint depth, GError **error);

static gboolean
take_entry (Copy *copy, int folder, const char *path, const char *entry, guint depth,
            GError **error)
{
  struct stat st;
  if (*entry == '.' || sorad_model_is_pickle (entry))
    return TRUE; /* nothing that is read, or counted by the digest */
  if (!g_utf8_validate (entry, -1, NULL) || strpbrk (entry, "\n\r\t\\"))
    {
      g_autofree char *shown = g_strescape (path, NULL);
      return refuse (error, SORA_ERROR_INVALID_MODEL, "'%s' is no plain file name in UTF-8", shown);
    }
  if (fstatat (folder, entry, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return fail_errno (error, "look at", path);
  if (!S_ISDIR (st.st_mode))
    return add_item (copy, path, error);
  if (depth >= MAX_DEPTH || copy->folders->len >= MAX_FILES)
    return refuse (error, SORA_ERROR_INVALID_MODEL,
                   "'%s': there are more folders, or folders in folders, than a model has", path);
  g_ptr_array_add (copy->folders, g_strdup (path));
  return collect (copy, path, depth + 1, error);
}

static gboolean
collect (Copy *copy, const char *folder, guint depth, GError **error)
{
  int fd = open_beneath (copy->source->folder, *folder ? folder : ".",
                         O_RDONLY | O_DIRECTORY | O_CLOEXEC, error);
  DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  gboolean ok = dir != NULL;
  if (!dir)
    return fd < 0 ? FALSE : fail_errno (error, "read", folder);
  while (ok && (entry = readdir (dir)) != NULL)
    {
      g_autofree char *path
          = *folder ? g_strconcat (folder, "/", entry->d_name, NULL) : g_strdup (entry->d_name);
      ok = take_entry (copy, dirfd (dir), path, entry->d_name, depth, error);
    }
  closedir (dir);
  return ok;
}

/* -- Copying */

static gboolean
tell (Copy *copy, GError **error)
{
  return copy->progress (copy->done, copy->total, copy->data)
         || refuse (error, SORA_ERROR_CANCELLED, "the copying was stopped");
}

static gboolean
is_unsupported (int errnum)
{
  return errnum == EXDEV || errnum == EINVAL || errnum == ENOSYS || errnum == EOPNOTSUPP
         || errnum == EPERM || errnum == ETXTBSY;
}

static gssize
copy_block (int in, int out, off_t at, gsize length, gboolean *by_kernel, char **buffer)
{
  if (*by_kernel)
    {
      off_t from = at, to = at;
      gssize n = copy_file_range (in, &from, out, &to, length, 0);
      if (n > 0 || (n < 0 && !is_unsupported (errno)))
        return n;
      *by_kernel = FALSE;
    }
  if (!*buffer)
    *buffer = g_malloc (1 << 20);
  gssize n = pread (in, *buffer, MIN (length, (gsize)1 << 20), at);
  return n <= 0 ? n : pwrite (out, *buffer, (gsize)n, at);
}

static gboolean
copy_bytes (Copy *copy, const Item *item, int in, int out, GError **error)
{
  g_autofree char *buffer = NULL;
  gboolean by_kernel = TRUE;
  for (guint64 at = 0, size = (guint64)item->st.st_size; at < size;)
    {
      gssize n
          = copy_block (in, out, (off_t)at, (gsize)MIN (size - at, BLOCK), &by_kernel, &buffer);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return fail_errno (error, "copy", item->name);
      if (n == 0)
        return refuse (error, SORA_ERROR_INVALID_MODEL, "'%s' became shorter while it was copied",
                       item->name);
      at += (guint64)n;
      copy->done += (guint64)n;
      if (!tell (copy, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
is_unchanged (const struct stat *a, const struct stat *b)
{
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size
         && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Of one file: clones it, or in the second round copies it; FALSE with an error. */
static gboolean
transfer_between (Copy *copy, Item *item, gboolean clone, int in, int out, GError **error)
{
  struct stat now;
  if (clone && ioctl (out, FICLONE, in) != 0)
    return TRUE; /* whatever the reason: copying will tell, if it was not the file system */
  if (!clone && !copy_bytes (copy, item, in, out, error))
    return FALSE;
  if (fstat (in, &now) != 0 || !is_unchanged (&item->st, &now))
    return refuse (error, SORA_ERROR_INVALID_MODEL, "'%s' was changed while it was copied",
                   item->name);
  if (fsync (out) != 0)
    return fail_errno (error, "write", item->name);
  if (clone)
    copy->done += (guint64)item->st.st_size;
  item->cloned = clone;
  return tell (copy, error);
}

static gboolean
transfer (Copy *copy, Item *item, gboolean clone, GError **error)
{
  struct stat st;
  if (item->cloned)
    return TRUE;
  int in = open_source (copy, item->name, &st, error);
  if (in < 0)
    return FALSE;
  int out = openat (copy->to, item->name,
                    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (clone ? O_EXCL : 0), 0644);
  gboolean ok = out >= 0 ? transfer_between (copy, item, clone, in, out, error)
                         : fail_errno (error, "make", item->name);
  if (out >= 0)
    close (out);
  close (in);
  return ok;
}

static gboolean
check_space (Copy *copy, GError **error)
{
  struct statvfs space;
  if (fstatvfs (copy->to, &space) != 0)
    return fail_errno (error, "look at", "the models folder");
  guint64 free_bytes = (guint64)space.f_bavail * space.f_frsize;
  guint64 needed = copy->total - copy->done;
  return needed <= free_bytes
         || refuse (error, SORA_ERROR_NO_SPACE,
                    "the model takes %" G_GUINT64_FORMAT " bytes, and the disk of the models "
                    "folder has %" G_GUINT64_FORMAT " free",
                    needed, free_bytes);
}

static gboolean
sync_folder (int at, const char *name, GError **error)
{
  int fd = openat (at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  /* Where the file system cannot sync folders there is no more to do. */
  gboolean ok = fd >= 0 && (fsync (fd) == 0 || is_unsupported (errno));
  if (!ok)
    fail_errno (error, "write", name);
  if (fd >= 0)
    close (fd);
  return ok;
}

static gboolean
run (Copy *copy, GError **error)
{
  const SoradModelSource *source = copy->source;
  if (source->folder >= 0 && !collect (copy, "", 0, error))
    return FALSE;
  for (gsize i = 0; source->folder < 0 && source->names[i]; i++)
    if (!add_item (copy, source->names[i], error))
      return FALSE;
  for (guint i = 0; i < copy->folders->len; i++)
    if (mkdirat (copy->to, copy->folders->pdata[i], 0755) != 0)
      return fail_errno (error, "make", copy->folders->pdata[i]);
  for (guint i = 0; i < copy->items->len; i++)
    if (!transfer (copy, copy->items->pdata[i], TRUE, error))
      return FALSE;
  if (!check_space (copy, error))
    return FALSE;
  for (guint i = 0; i < copy->items->len; i++)
    if (!transfer (copy, copy->items->pdata[i], FALSE, error))
      return FALSE;
  for (guint i = 0; i < copy->folders->len; i++)
    if (!sync_folder (copy->to, copy->folders->pdata[i], error))
      return FALSE;
  return sync_folder (copy->to, ".", error);
}

gboolean
sorad_model_copy (const SoradModelSource *source, int to, SoradModelProgress progress,
                  gpointer data, GError **error)
{
  Copy copy = { .source = source, .to = to, .progress = progress, .data = data };
  copy.folders = g_ptr_array_new_with_free_func (g_free);
  copy.items = g_ptr_array_new_with_free_func (item_free);
  gboolean ok = run (&copy, error);
  g_ptr_array_unref (copy.folders);
  g_ptr_array_unref (copy.items);
  return ok;
}
