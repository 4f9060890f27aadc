/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Asks a worker of its own one question: a check, or a description.  The process ends with the
 * answer, so nothing of one user's question meets another's.
 */
#pragma once
#include "sorad-process.h"

G_BEGIN_DECLS

/* @answer: payload of the CHECKED or DESCRIPTION; NULL with @error.  In the main loop, once. */
typedef void (*SoradAnswered) (GVariant *answer, const GError *error, gpointer data);

void sorad_ask (const SoradConfig *config, SoradStore *store, SoraMessageType question,
                GVariant *payload, GPtrArray *inputs, guint timeout_seconds, SoradAnswered answered,
                gpointer data);
/* At the end of the daemon: whoever waits is answered with SORA_ERROR_CANCELLED, and asks no more.
 */
void sorad_ask_drop_all (void);

G_END_DECLS
