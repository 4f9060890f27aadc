/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Landlock: which files may be opened, whatever the file system shows.  Without namespaces this is
 * what keeps files from a plugin; with them it is a second wall.
 */
#include "config.h"
#include "sora-sandbox.h"

#include "core/sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of kernels later than the headers. */
#define ACCESS_REFER (1ull << 13)     /* 2 */
#define ACCESS_TRUNCATE (1ull << 14)  /* 3 */
#define ACCESS_IOCTL_DEV (1ull << 15) /* 5 */
#define NET_ALL 3ull                  /* 4: bind, connect */
#define SCOPE_ALL 3ull                /* 6: abstract sockets, signals */

#define ACCESS_READ                                                                                \
  (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_FILE                                                                                \
  (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE       \
   | ACCESS_TRUNCATE | ACCESS_IOCTL_DEV)

typedef struct
{
  guint64 fs, net, scoped;
} Attributes;

int
sora_sandbox_landlock_abi (void)
{
  long abi = syscall (SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi > 0 ? (int)abi : 0;
}

static guint64
all_access (int abi)
{
  guint64 access = (1ull << 13) - 1;
  if (abi >= 2)
    access |= ACCESS_REFER;
  if (abi >= 3)
    access |= ACCESS_TRUNCATE;
  if (abi >= 5)
    access |= ACCESS_IOCTL_DEV;
  return access;
}

/* What is not there needs no rule. */
static gboolean
allow (int ruleset, const char *path, guint64 access, GError **error)
{
  int fd = open (path, O_PATH | O_CLOEXEC);
  struct stat st;
  if (fd < 0)
    return TRUE;
  if (fstat (fd, &st) == 0 && !S_ISDIR (st.st_mode))
    access &= ACCESS_FILE;
  struct landlock_path_beneath_attr rule = { .allowed_access = access, .parent_fd = fd };
  gboolean ok = syscall (SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
  if (!ok)
    g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "Landlock takes no rule for '%s': %s", path,
                 g_strerror (errno));
  close (fd);
  return ok;
}

static gboolean
allow_all (const SoraSandbox *sandbox, int ruleset, guint64 all, gboolean own_view, GError **error)
{
  static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", NULL };
  /* Of the machine's /proc, where it has no view of its own: itself, and what tells of the whole.
   */
  static const char *const proc[] = { "/proc/self",
                                      "/proc/meminfo",
                                      "/proc/cpuinfo",
                                      "/proc/stat",
                                      "/proc/filesystems",
                                      "/proc/sys/vm/overcommit_memory",
                                      "/proc/sys/kernel/osrelease",
                                      NULL };
  const guint64 write_file = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
  const char *const *system = sora_sandbox_system (sandbox);
  for (gsize i = 0; system[i]; i++)
    if (!allow (ruleset, system[i], all & ACCESS_READ, error))
      return FALSE;
  for (gsize i = 0; devices[i]; i++)
    if (!allow (ruleset, devices[i], all & write_file, error))
      return FALSE;
  if (!allow (ruleset, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE, error)
      || !allow (ruleset, "/dev/random", LANDLOCK_ACCESS_FS_READ_FILE, error))
    return FALSE;
  if (own_view
      && (!allow (ruleset, "/proc", all & ACCESS_READ, error)
          || !allow (ruleset, "/tmp", all, error)))
    return FALSE;
  for (gsize i = 0; !own_view && proc[i]; i++)
    if (!allow (ruleset, proc[i], all & ACCESS_READ, error))
      return FALSE;
  for (guint i = 0; i < sandbox->grants->len; i++)
    {
      const SoraGrant *grant = g_ptr_array_index (sandbox->grants, i);
      if (!allow (ruleset, grant->target, grant->write ? all : all & ACCESS_READ, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
sora_sandbox_landlock (const SoraSandbox *sandbox, gboolean own_view, GError **error)
{
  int abi = sora_sandbox_landlock_abi ();
  Attributes attributes = { .fs = all_access (abi) };
  gsize size = sizeof (guint64);
  if (abi >= 4)
    {
      attributes.net = NET_ALL;
      size = 2 * sizeof (guint64);
    }
  if (abi >= 6)
    {
      attributes.scoped = SCOPE_ALL;
      size = sizeof attributes;
    }
  int ruleset = (int)syscall (SYS_landlock_create_ruleset, &attributes, size, 0);
  if (ruleset < 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "Landlock makes no rules: %s",
                   g_strerror (errno));
      return FALSE;
    }
  gboolean ok = allow_all (sandbox, ruleset, attributes.fs, own_view, error);
  if (ok && syscall (SYS_landlock_restrict_self, ruleset, 0) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "Landlock does not take its rules: %s",
                   g_strerror (errno));
      ok = FALSE;
    }
  close (ruleset);
  return ok;
}
