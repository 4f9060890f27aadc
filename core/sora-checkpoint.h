/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Checkpoints: one blob a stage in the job's state folder, replaced atomically and durable when
 * save returns.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* Its file's. */
char *sora_checkpoint_name (guint run, const char *stage);
gboolean sora_checkpoint_save (const char *state_dir, guint run, const char *stage, const char *key,
                               gconstpointer data, gsize size, GError **error);
/* The blob, or NULL.  @why tells of one that is there but does not fit (free it); it stays NULL if
 * there is none. */
GBytes *sora_checkpoint_load (const char *state_dir, guint run, const char *stage, const char *key,
                              char **why);
void sora_checkpoint_remove (const char *state_dir, guint run, const char *stage);

G_END_DECLS
