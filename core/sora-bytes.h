/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Numbers of bytes as people read them.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/**
 * sora_bytes_to_text:
 * @bytes: a number of bytes
 * @text: (out caller-allocates): at least 32 bytes
 *
 * Writes "1.5 GiB" for a message.
 *
 * Returns: @text
 */
const char *sora_bytes_to_text (guint64 bytes, char *text);

G_END_DECLS
