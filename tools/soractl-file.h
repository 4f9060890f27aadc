/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A file that appears whole, under its name, or not at all: it has no name until it is published.
 */
#pragma once
#include <glib.h>

typedef struct
{
  char *path;
  char *temporary; /* its name until then, where files cannot be without; NULL */
  int fd;
} SoractlFile;

gboolean soractl_file_open (SoractlFile *file, const char *path, GError **error);
/* Copies what @from holds.  Ctrl-C ends it with SORA_ERROR_CANCELLED. */
gboolean soractl_file_copy (SoractlFile *file, int from, GError **error);
/* Flushes it to the disk and gives it its name; a file of that name is replaced only with
 * @overwrite. */
gboolean soractl_file_publish (SoractlFile *file, gboolean overwrite, GError **error);
void soractl_file_clear (SoractlFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SoractlFile, soractl_file_clear)
