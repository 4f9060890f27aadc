/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A module without the descriptor's symbol.
 */
#include "broken.h"

extern const SoraPlugin some_plugin;
SORA_EXPORT const SoraPlugin some_plugin = { BROKEN_PLUGIN };
