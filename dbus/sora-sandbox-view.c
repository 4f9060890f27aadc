/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The file system that a sandboxed process sees: an empty one, into which the system's libraries,
 * a few devices and what was granted are bound, read-only but for what is to be written.  What is
 * not named here is not there: no home folders, no /etc, no /run, no other process in /proc.
 */
#include "config.h"
#include "sora-sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OLD "/old"
#define NEW "/new"

/* Folders of libraries, and what the dynamic linker and the C library read of /etc and /sys. */
static const char *const all_of_system[] = {
  "/usr",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/bin",
  "/sbin",
  "/opt",
  "/nix",
  "/gnu",
  "/etc/ld.so.cache",
  "/etc/alternatives",
  "/etc/localtime",
  "/sys/devices/system",
  "/sys/fs/cgroup",
  NULL,
};

/* Without /usr/share, where models may be, /opt, where whole installations are, and programs. */
static const char *const libraries[] = {
  "/usr/lib",
  "/usr/lib32",
  "/usr/lib64",
  "/usr/libx32",
  "/usr/local/lib",
  "/usr/share/zoneinfo",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/nix/store",
  "/gnu/store",
  "/etc/ld.so.cache",
  "/etc/alternatives",
  "/etc/localtime",
  "/sys/devices/system",
  NULL,
};

const char *const *
sora_sandbox_system (const SoraSandbox *sandbox)
{
  return sandbox->libraries_only ? libraries : all_of_system;
}

static const char *const devices[] = { "null", "zero", "full", "random", "urandom" };

static char *
reason (const char *what, const char *path)
{
  return g_strdup_printf ("%s '%s': %s", what, path, g_strerror (errno));
}

/* Makes every folder on the way of @path, which may have ".." in it, and the last one as a folder
 * or an empty file. */
static gboolean
make_way (const char *path, gboolean folder)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);
  GString *way = g_string_new (NULL);
  gboolean ok = TRUE;
  for (char **part = parts; *part && ok; part++)
    {
      gboolean last = part[1] == NULL;
      if (!**part)
        continue;
      g_string_append_printf (way, "/%s", *part);
      if (g_str_equal (*part, "..") || g_str_equal (*part, "."))
        continue;
      struct stat st;
      if (stat (way->str, &st) == 0)
        continue;
      if (last && !folder)
        {
          int fd = open (way->str, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
          ok = fd >= 0;
          if (ok)
            close (fd);
        }
      else
        ok = mkdir (way->str, 0755) == 0;
    }
  g_string_free (way, TRUE);
  return ok;
}

static gboolean
set_attributes (const char *path, guint64 attributes, gboolean deep)
{
  struct mount_attr attr = { .attr_set = attributes };
  return syscall (SYS_mount_setattr, AT_FDCWD, path, deep ? AT_RECURSIVE : 0, &attr, sizeof attr)
         == 0;
}

/* @source is a path of the machine, @target one of the new file system. */
static char *
bind (const char *source, const char *target, gboolean write, gboolean device)
{
  g_autofree char *from = g_strconcat (OLD, source, NULL);
  g_autofree char *to = g_strconcat (NEW, target, NULL);
  struct stat st;
  if (lstat (from, &st) != 0)
    return reason ("cannot look at", source);
  if (!make_way (to, S_ISDIR (st.st_mode)))
    return reason ("cannot make a place for", target);
  if (mount (from, to, NULL, MS_BIND | MS_REC, NULL) != 0)
    return reason ("cannot bind", target);
  guint64 attributes
      = MOUNT_ATTR_NOSUID | (write ? 0 : MOUNT_ATTR_RDONLY) | (device ? 0 : MOUNT_ATTR_NODEV);
  if (!set_attributes (to, attributes, TRUE))
    return reason ("cannot restrict the mount of", target);
  return NULL;
}

static char *
show_system (const SoraSandbox *sandbox)
{
  const char *const *system = sora_sandbox_system (sandbox);
  for (gsize i = 0; system[i]; i++)
    {
      const char *path = system[i];
      g_autofree char *from = g_strconcat (OLD, path, NULL);
      g_autofree char *to = g_strconcat (NEW, path, NULL);
      struct stat st;
      if (lstat (from, &st) != 0)
        continue;
      if (S_ISLNK (st.st_mode) && strchr (path + 1, '/'))
        { /* /etc/localtime: below /usr, which is there already */
          g_autofree char *text = g_file_read_link (from, NULL);
          g_autofree char *parent = g_path_get_dirname (to);
          if (text && make_way (parent, TRUE))
            (void)!symlink (text, to);
          continue;
        }
      if (S_ISLNK (st.st_mode))
        {
          /* "/lib" is "usr/lib" or "/usr/lib"; the second would be looked for outside for now. */
          g_autofree char *text = g_file_read_link (from, NULL);
          const char *relative = text ? text + strspn (text, "/") : NULL;
          if (!relative || symlink (relative, to) != 0)
            return reason ("cannot link", path);
          continue;
        }
      char *why = bind (path, path, FALSE, FALSE);
      if (why)
        return why;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (devices); i++)
    {
      g_autofree char *path = g_strconcat ("/dev/", devices[i], NULL);
      char *why = bind (path, path, TRUE, TRUE);
      if (why)
        return why;
    }
  return NULL;
}

static char *
show_private (const SoraSandbox *sandbox)
{
  g_autofree char *size = g_strdup_printf ("mode=1777,size=%" G_GUINT64_FORMAT, sandbox->tmp_bytes);
  if (mkdir (NEW "/tmp", 0755) != 0
      || mount ("tmpfs", NEW "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, size) != 0)
    return reason ("cannot mount", "/tmp");
  if (mkdir (NEW "/proc", 0555) != 0
      || mount ("proc", NEW "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0
      || !set_attributes (NEW "/proc", MOUNT_ATTR_RDONLY, FALSE))
    return reason ("cannot mount", "/proc");
  return NULL;
}

static int
by_target (gconstpointer a, gconstpointer b)
{
  const SoraGrant *one = *(const SoraGrant *const *)a, *other = *(const SoraGrant *const *)b;
  return strcmp (one->target, other->target);
}

/* In order of their paths, so that what lies inside another is mounted upon it. */
static char *
show_granted (const SoraSandbox *sandbox)
{
  g_ptr_array_sort (sandbox->grants, by_target);
  for (guint i = 0; i < sandbox->grants->len; i++)
    {
      const SoraGrant *grant = g_ptr_array_index (sandbox->grants, i);
      g_autofree char *to = g_strconcat (NEW, grant->target, NULL);
      g_autofree char *from = g_strconcat (OLD, grant->source, NULL);
      struct stat here, there;
      /* Below something that is shown already, by the same name. */
      if (!grant->write && stat (to, &here) == 0 && stat (from, &there) == 0
          && here.st_dev == there.st_dev && here.st_ino == there.st_ino)
        continue;
      char *why = bind (grant->source, grant->target, grant->write, FALSE);
      if (why)
        return why;
    }
  return NULL;
}

char *
sora_sandbox_view (const SoraSandbox *sandbox)
{
  /* Nothing of what follows is seen outside; the mount hides the machine's /tmp here alone. */
  if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
    return reason ("cannot make private", "/");
  if (mount ("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0
      || mkdir ("/tmp" OLD, 0755) != 0 || mkdir ("/tmp" NEW, 0755) != 0)
    return reason ("cannot mount", "/tmp");
  if (syscall (SYS_pivot_root, "/tmp", "/tmp" OLD) != 0 || chdir ("/") != 0)
    return reason ("cannot change the root to", "/tmp");
  if (mount ("tmpfs", NEW, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0)
    return reason ("cannot mount", "/");
  char *why = show_system (sandbox);
  if (!why)
    why = show_private (sandbox);
  if (!why)
    why = show_granted (sandbox);
  if (why)
    return why;
  if (chdir (NEW) != 0 || syscall (SYS_pivot_root, ".", ".") != 0 || umount2 (".", MNT_DETACH) != 0
      || chdir ("/") != 0 || !set_attributes ("/", MOUNT_ATTR_RDONLY, FALSE))
    return reason ("cannot change the root to", "/");
  return NULL;
}
