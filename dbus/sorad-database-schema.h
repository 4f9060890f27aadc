/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The versions of the schema.
 */
#pragma once
#include <sqlite3.h>
#include <glib.h>

G_BEGIN_DECLS

/* The version that this sorad writes. */
guint sorad_schema_version (void);
/* Brings @handle, of @path, up to @version, at most sorad_schema_version(); what stood there before
 * is kept beside it as `PATH.vN`. */
gboolean sorad_schema_upgrade (sqlite3 *handle, const char *path, guint version, GError **error);

G_END_DECLS
