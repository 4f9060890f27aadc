/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: opening and reading files that somebody else wrote.  Only regular files are opened (a FIFO
 * would block, a device has no size), reads are capped, and names from inside a folder cannot lead out of it.
 */
#pragma once
#include <glib.h>
#include <sys/stat.h>
#include "sora-error.h"

G_BEGIN_DECLS

/* What tells that a file is still the same one. */
typedef struct
{
  guint64 dev, ino, size;
  gint64 mtime, ctime; /* ns */
} SoraFileIdentity;

SoraFileIdentity sora_file_identity (const struct stat *st);
gboolean sora_file_identity_equal (const SoraFileIdentity *a, const SoraFileIdentity *b);

/* A descriptor, or -1.  @code is the error for what has no code of its own. */
int sora_file_open (const char *path, SoraError code, struct stat *st, GError **error);
/* The same for a relative @name below the folder @dirfd: no "..", no symbolic link out of it.  @folder names it in
 * messages. */
int sora_file_open_beneath (int dirfd, const char *folder, const char *name, SoraError code, struct stat *st,
                            GError **error);
/* A folder below @dirfd in the same way. */
int sora_file_open_dir_beneath (int dirfd, const char *folder, const char *name, SoraError code, GError **error);
/* The path walk that stands in where the kernel has no openat2: follows no symbolic link at all.  -1 and errno. */
int sora_file_walk_beneath (int dirfd, const char *name, int flags);
/* Is it "a/b/c": relative, without empty, "." or ".." parts? */
gboolean sora_file_name_is_beneath (const char *name);

gboolean sora_file_read (int fd, const char *display_name, guint64 offset, void *buffer, gsize length,
                         SoraError code, GError **error);
/* Makes the names in a folder durable.  Where the file system cannot (it refuses to sync folders), there is no more
 * to do, and it is TRUE as well.  FALSE and errno. */
gboolean sora_file_sync_dir (int dirfd);
gboolean sora_file_write (int fd, const char *display_name, const void *buffer, gsize length, GError **error);
/* All of it; more than @limit bytes is an error.  The bytes are followed by a NUL that does not count. */
GBytes *sora_file_read_all (int fd, const char *display_name, gsize limit, SoraError code, GError **error);
/* Opens, reads and closes. */
GBytes *sora_file_load (const char *path, gsize limit, SoraError code, GError **error);

G_END_DECLS
