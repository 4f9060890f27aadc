/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A function under the descriptor's name: its first bytes are code.
 */
#include "broken.h"

extern const SoraPlugin *sora_plugin (void);
static const SoraPlugin plugin = { BROKEN_PLUGIN };

SORA_EXPORT const SoraPlugin *
sora_plugin (void)
{
  return &plugin;
}
