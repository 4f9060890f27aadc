/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a manifest says of its plugin.
 */
#include "config.h"
#include "sora-manifest.h"

const char *
sora_plugin_info_id (const SoraPluginInfo *info)
{
  return info->id;
}

const char *
sora_plugin_info_name (const SoraPluginInfo *info)
{
  return info->name;
}

const char *
sora_plugin_info_version (const SoraPluginInfo *info)
{
  return info->version;
}

const char *
sora_plugin_info_licence (const SoraPluginInfo *info)
{
  return info->licence;
}

const char *
sora_plugin_info_summary (const SoraPluginInfo *info)
{
  return info->summary;
}

const char *
sora_plugin_info_manifest_path (const SoraPluginInfo *info)
{
  return info->manifest_path;
}

const char *
sora_plugin_info_module_path (const SoraPluginInfo *info)
{
  return info->module_path;
}

const SoraStageInfo *const *
sora_plugin_info_stages (const SoraPluginInfo *info)
{
  return (const SoraStageInfo *const *)info->stages->pdata;
}
