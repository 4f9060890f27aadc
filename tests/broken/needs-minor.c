/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plugin that needs a later minor version than any host has.
 */
#include "broken.h"

#pragma GCC diagnostic ignored "-Woverride-init"
extern const SoraPlugin sora_plugin;
SORA_EXPORT const SoraPlugin sora_plugin
    = { BROKEN_PLUGIN, .abi_minor = 9999, .needs_minor = 9999 };
