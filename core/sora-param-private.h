/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: what the two halves of parameters (checking values, reading texts) share.
 */
#pragma once
#include "sora-param.h"

G_BEGIN_DECLS

#define SORA_PARAM_MAX_TEXT 65536u
#define SORA_PARAM_MAX_FILE (64u << 20)
#define SORA_PARAM_MAX_ITEMS 65536u

gboolean sora_param_has_range (const SoraParam *param);
gsize sora_param_max_bytes (const SoraParam *param);
/* Always FALSE; the message is "@who @format". */
gboolean sora_param_refuse (const SoraParam *param, const char *who, GError **error, const char *format, ...)
    G_GNUC_PRINTF (4, 5);
/* "a,b\,c" to { "a", "b,c" }; "" to none. */
char **sora_param_split (const char *text);

G_END_DECLS
