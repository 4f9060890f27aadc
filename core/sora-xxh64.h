/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * XXH64: a checksum as fast as memory is read, against damage and not against people.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* Of @size bytes, which need no alignment.  Test vectors: tests/core/test-packed.c. */
guint64 sora_xxh64 (gconstpointer data, gsize size, guint64 seed);

G_END_DECLS
