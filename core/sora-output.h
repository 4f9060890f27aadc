/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Result files: nameless while they are written, made durable when their stage ends, and given
 * their names all together when the whole plan has succeeded.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

typedef struct SoraOutput SoraOutput;

/* @dir NULL: every create fails. */
SoraOutput *sora_output_new (const char *dir, GError **error);
/* Discards what was not published. */
void sora_output_free (SoraOutput *output);
void sora_output_set_name (SoraOutput *output, const char *prefix, gboolean overwrite);
/* A new empty file; the descriptor stays the output's.  @stage and @port are kept by reference. */
int sora_output_create (SoraOutput *output, const char *stage, const char *port, const char *name,
                        const char *media_type, GError **error);
/* Writes the files of @stage to the disk for good, and closes them. */
gboolean sora_output_sync (SoraOutput *output, const char *stage, GError **error);
/* Is there no room for another block in one of the files of @stage?  Asked to tell why a stage
 * failed. */
gboolean sora_output_is_full (SoraOutput *output, const char *stage);
/* All files under their names, or none, and then what had those names before is back.  Gives a list
 * of SoraResultFile. */
GPtrArray *sora_output_publish (SoraOutput *output, GError **error);

G_END_DECLS
