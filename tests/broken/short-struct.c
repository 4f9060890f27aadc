/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A descriptor that says it is shorter than that of ABI 1.0.
 */
#include "broken.h"

#pragma GCC diagnostic ignored "-Woverride-init"
extern const SoraPlugin sora_plugin;
SORA_EXPORT const SoraPlugin sora_plugin = { BROKEN_PLUGIN, .struct_size = 40 };
