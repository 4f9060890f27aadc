/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A descriptor that does not begin with the magic number.
 */
#include "broken.h"

#pragma GCC diagnostic ignored "-Woverride-init"
extern const SoraPlugin sora_plugin;
SORA_EXPORT const SoraPlugin sora_plugin = { BROKEN_PLUGIN, .magic = 0xfeedface };
