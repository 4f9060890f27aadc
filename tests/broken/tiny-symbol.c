/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Four bytes under the descriptor's name: reading on would read what is not its own.
 */
#include "broken.h"

extern const uint32_t sora_plugin;
SORA_EXPORT const uint32_t sora_plugin = SORA_PLUGIN_MAGIC;
