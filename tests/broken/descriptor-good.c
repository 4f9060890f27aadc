/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The one fixture that loads: what the others differ from.
 */
#include "broken.h"

extern const SoraPlugin sora_plugin;
SORA_EXPORT const SoraPlugin sora_plugin = { BROKEN_PLUGIN };
