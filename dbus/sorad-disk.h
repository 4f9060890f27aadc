/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The room that jobs have on the disk: of the state folder's file system, where they work and where
 * their results stay, all but FreeBytes of sorad.conf; and of what a user may store.
 */
#pragma once
#include "sorad-config.h"
#include "sorad-store.h"

G_BEGIN_DECLS

/* FALSE with SORA_ERROR_NO_SPACE: less than FreeBytes is free, and no job may start. */
gboolean sorad_disk_check (const SoradConfig *config, SoradStore *store, GError **error);
/* Into options of RUN and CHECK, by which the worker refuses what cannot fit before it computes. */
void sorad_disk_add_options (const SoradConfig *config, SoradStore *store, guint32 uid,
                             GVariantDict *options);

G_END_DECLS
