/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Manager.AddModel and RemoveModel: models that the daemon keeps in its own folder.  For whom
 * sorad-authority.h permits it.
 */
#pragma once
#include "sorad-bus.h"

G_BEGIN_DECLS

/* Owns @invocation and answers it; one model is added at a time. */
void sorad_models_call (SoradBus *bus, GDBusMethodInvocation *invocation);
/* Stops what is added for that client (NULL: for whomever), and leaves nothing of it. */
void sorad_models_stop (SoradBus *bus, const char *client);

G_END_DECLS
