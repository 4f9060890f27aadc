/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory handed to clients: written once, then sealed, so that neither side can change or cut it
 * under the other.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

typedef struct SoradMemfd SoradMemfd;

/* For a picture of 8-bit RGB; @size must be what its extents say, at most 64 MiB. */
SoradMemfd *sorad_memfd_new (guint width, guint height, guint64 size, GError **error);
void sorad_memfd_free (SoradMemfd *memfd);
gboolean sorad_memfd_write (SoradMemfd *memfd, gconstpointer data, gsize size, GError **error);
/* A descriptor, yours, sealed against WRITE, SHRINK, GROW and SEAL; -1 with @error. */
int sorad_memfd_seal (SoradMemfd *memfd, guint *width, guint *height, GError **error);

G_END_DECLS
