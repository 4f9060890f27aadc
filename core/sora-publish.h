/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Giving a finished file its name, so that it can be taken back: on every kind of file system, also
 * those without links (FAT), without exchange (NFS) or without either.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  int handle;   /* O_PATH, to link a nameless file by; -1: it has a hidden name */
  char *hidden; /* its name in the folder until it is published; NULL: it has none */
  char *old;    /* the hidden name of the file that it replaced, until that is settled */
  gboolean published;
} SoraPublish;

/* A name for files that nobody shall see yet. */
char *sora_publish_hidden_name (void);
/* Gives it @name in the folder @dirfd.  An existing file is set aside if @overwrite, else the error
 * is EEXIST.  FALSE and errno: nothing was changed. */
gboolean sora_publish (SoraPublish *file, int dirfd, const char *name, gboolean overwrite);
/* Takes the name back, and gives it to the file that had it before. */
void sora_publish_undo (SoraPublish *file, int dirfd, const char *name);
/* It stays: removes the file that it replaced. */
void sora_publish_settle (SoraPublish *file, int dirfd);
/* Drops what was not published. */
void sora_publish_clear (SoraPublish *file, int dirfd);

G_END_DECLS
