/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: a plugin's manifest.  What is accepted is whole, and its module stands beside it.
 */
#include "config.h"
#include <string.h>
#include "fuzz.h"
#include "sora-manifest.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (SoraPluginInfo) info
      = sora_manifest_parse ((const char *)data, size, "/plugins/fuzz.plugin", warnings, &error);
  MUST_TELL (info, error);
  if (info == NULL)
    return 0;
  g_autofree char *folder = g_path_get_dirname (sora_plugin_info_module_path (info));
  MUST (strcmp (folder, "/plugins") == 0);
  MUST (strcmp (sora_plugin_info_id (info), "fuzz") == 0);
  MUST (*sora_plugin_info_version (info) != '\0' && *sora_plugin_info_licence (info) != '\0');
  const SoraStageInfo *const *stages = sora_plugin_info_stages (info);
  MUST (stages[0] != NULL);
  for (gsize i = 0; stages[i] != NULL; i++)
    MUST (sora_name_is_valid (stages[i]->id) && stages[i]->inputs != NULL
          && stages[i]->outputs != NULL);
  return 0;
}
