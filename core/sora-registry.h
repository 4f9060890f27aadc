/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The plugin registry: manifests tell what there is without loading code; load() opens one module (RTLD_LOCAL,
 * never closed) and checks its descriptor before any of its code is called.
 *
 * Manifest (GKeyFile, NAME.plugin beside the module):
 *   [Plugin] Id= Name= Version= Licence= Summary= Module=NAME.so Abi=1.0
 *   [Stage ID] Kind= Summary= Inputs=a;b Outputs=c      one group a stage class
 */
#pragma once
#include <glib.h>
#include "sora-plugin.h"

G_BEGIN_DECLS

typedef struct SoraRegistry SoraRegistry;
typedef struct SoraPluginInfo SoraPluginInfo; /* one manifest */

typedef struct {
  const char *id, *kind, *summary;
  const char *const *inputs;
  const char *const *outputs;
} SoraStageInfo;

/* Reads the manifests in @dirs (NULL-terminated, the first wins for an id).  Broken ones are left out and told in
 * sora_registry_warnings(). */
SoraRegistry *sora_registry_new (const char *const *dirs);
SoraRegistry *sora_registry_ref (SoraRegistry *registry);
void sora_registry_unref (SoraRegistry *registry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraRegistry, sora_registry_unref)

/* Search path of the daemon: $SORAD_PLUGIN_DIR is not read; just the system folder (@system_dir or the compiled
 * one).  Of the CLI (@user TRUE): $SORA_PLUGIN_PATH (colon-separated), ~/.local/lib/sora-1/plugins, system. */
char **sora_registry_default_dirs (gboolean user);

const char *const *sora_registry_warnings (SoraRegistry *registry);
GPtrArray *sora_registry_list (SoraRegistry *registry); /* (transfer container) of SoraPluginInfo, by id */
const SoraPluginInfo *sora_registry_find (SoraRegistry *registry, const char *plugin_id);

const char *sora_plugin_info_id (const SoraPluginInfo *info);
const char *sora_plugin_info_name (const SoraPluginInfo *info);
const char *sora_plugin_info_version (const SoraPluginInfo *info);
const char *sora_plugin_info_licence (const SoraPluginInfo *info);
const char *sora_plugin_info_summary (const SoraPluginInfo *info);
const char *sora_plugin_info_manifest_path (const SoraPluginInfo *info);
const char *sora_plugin_info_module_path (const SoraPluginInfo *info);
const SoraStageInfo *const *sora_plugin_info_stages (const SoraPluginInfo *info);

/* Loads the module (once) and checks magic, sizes, ABI, and every table of the descriptor; each fault has its own
 * message.  SORA_ERROR_INVALID_PLUGIN. */
const SoraPlugin *sora_registry_load (SoraRegistry *registry, const char *plugin_id, GError **error);
/* The stage class that a pipeline's Plugin= names: "ID" (the class of the same name, or the only one) or
 * "ID/CLASS".  Loads the module. */
const SoraStageClass *sora_registry_stage (SoraRegistry *registry, const char *name, const SoraPlugin **plugin,
                                           GError **error);
/* The checks of a descriptor alone, for tests and sora-plugin-check. */
gboolean sora_plugin_descriptor_check (const SoraPlugin *plugin, const char *where, GError **error);

G_END_DECLS
