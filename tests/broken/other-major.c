/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plugin of another major version of the ABI, where nothing behind the first 16 bytes means what
 * it means here.
 */
#include "broken.h"

extern const SoraPlugin sora_plugin;
SORA_EXPORT const SoraPlugin sora_plugin = {
  .magic = SORA_PLUGIN_MAGIC, .struct_size = sizeof (SoraPlugin), .abi_major = 7, .abi_minor = 3
};
