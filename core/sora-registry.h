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

/**
 * sora_registry_new:
 * @dirs: (array zero-terminated=1): folders; those that do not exist are passed over, and the first has the
 *   last word on an id
 *
 * Reads the manifests in the folders and loads no code.  A broken one is left out: sora_registry_warnings()
 * tells why, and so does sora_registry_load().
 *
 * Returns: (transfer full): a registry; any thread may use it
 */
SoraRegistry *sora_registry_new (const char *const *dirs);

/**
 * sora_registry_ref:
 * @registry: a registry
 *
 * Returns: (transfer full): @registry
 */
SoraRegistry *sora_registry_ref (SoraRegistry *registry);

/**
 * sora_registry_unref:
 * @registry: (nullable) (transfer full): a registry; modules that it loaded stay loaded
 */
void sora_registry_unref (SoraRegistry *registry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraRegistry, sora_registry_unref)

/**
 * sora_registry_default_dirs:
 * @user: for a program of the user's own: also $SORA_PLUGIN_PATH (colon-separated) and
 *   ~/.local/lib/sora-1/plugins
 *
 * Returns: (transfer full): the search path, the system's folder last; free with g_strfreev()
 */
char **sora_registry_default_dirs (gboolean user);

/**
 * sora_registry_warnings:
 * @registry: a registry
 *
 * Returns: (transfer none): what was wrong with manifests, a sentence each, NULL-terminated
 */
const char *const *sora_registry_warnings (SoraRegistry *registry);

/**
 * sora_registry_list:
 * @registry: a registry
 *
 * Returns: (transfer container): SoraPluginInfo of all plugins, sorted by id
 */
GPtrArray *sora_registry_list (SoraRegistry *registry);

/**
 * sora_registry_find:
 * @registry: a registry
 * @plugin_id: an id
 *
 * Returns: (transfer none) (nullable): its manifest
 */
const SoraPluginInfo *sora_registry_find (SoraRegistry *registry, const char *plugin_id);

/**
 * sora_plugin_info_id:
 * @info: a manifest
 *
 * Returns: "dit-wan"
 */
const char *sora_plugin_info_id (const SoraPluginInfo *info);

/**
 * sora_plugin_info_name:
 * @info: a manifest
 *
 * Returns: its name for people
 */
const char *sora_plugin_info_name (const SoraPluginInfo *info);

/**
 * sora_plugin_info_version:
 * @info: a manifest
 *
 * Returns: the plugin's version
 */
const char *sora_plugin_info_version (const SoraPluginInfo *info);

/**
 * sora_plugin_info_licence:
 * @info: a manifest
 *
 * Returns: an SPDX expression for the whole, libraries included
 */
const char *sora_plugin_info_licence (const SoraPluginInfo *info);

/**
 * sora_plugin_info_summary:
 * @info: a manifest
 *
 * Returns: one line on what it does
 */
const char *sora_plugin_info_summary (const SoraPluginInfo *info);

/**
 * sora_plugin_info_manifest_path:
 * @info: a manifest
 *
 * Returns: where the manifest stands
 */
const char *sora_plugin_info_manifest_path (const SoraPluginInfo *info);

/**
 * sora_plugin_info_module_path:
 * @info: a manifest
 *
 * Returns: where the module should stand, beside the manifest
 */
const char *sora_plugin_info_module_path (const SoraPluginInfo *info);

/**
 * sora_plugin_info_stages:
 * @info: a manifest
 *
 * Returns: (transfer none): its stage classes, NULL-terminated
 */
const SoraStageInfo *const *sora_plugin_info_stages (const SoraPluginInfo *info);

/**
 * sora_registry_load:
 * @registry: a registry
 * @plugin_id: an id
 * @error: (out) (optional): where to put it
 *
 * Opens the module (once, and for ever), checks its descriptor before any of its code is called, and that it
 * says of itself what its manifest says.  Any thread.
 *
 * Returns: (transfer none): the descriptor; NULL on SORA_ERROR_INVALID_PLUGIN (each fault has its own message)
 *   or _NOT_FOUND
 */
const SoraPlugin *sora_registry_load (SoraRegistry *registry, const char *plugin_id, GError **error);

/**
 * sora_registry_stage:
 * @registry: a registry
 * @name: "ID" (the class of that name, or the only one) or "ID/CLASS", as Plugin= of a pipeline has it
 * @plugin: (out) (optional): the plugin that the class is of
 * @error: (out) (optional): where to put it
 *
 * Loads the module.
 *
 * Returns: (transfer none): the class; NULL on SORA_ERROR_INVALID_PLUGIN or _NOT_FOUND
 */
const SoraStageClass *sora_registry_stage (SoraRegistry *registry, const char *name, const SoraPlugin **plugin,
                                           GError **error);

/**
 * sora_plugin_descriptor_check:
 * @plugin: a descriptor of at least 16 bytes; struct_size says how many more may be read
 * @where: what messages call it
 * @error: (out) (optional): where to put it
 *
 * The checks of sora_registry_load() that need no manifest, for tests and tools.  Calls none of the plugin's
 * code.
 *
 * Returns: FALSE on SORA_ERROR_INVALID_PLUGIN
 */
gboolean sora_plugin_descriptor_check (const SoraPlugin *plugin, const char *where, GError **error);

/**
 * sora_plugin_probe:
 * @plugin: a loaded plugin
 * @error: (out) (optional): where to put it
 *
 * Asks the plugin whether it can run on this machine (instruction set, libraries).  The floating-point control
 * bits are put back after it.
 *
 * Returns: TRUE also if it has no opinion; FALSE on SORA_ERROR_INVALID_PLUGIN, with the reason that it gives
 */
gboolean sora_plugin_probe (const SoraPlugin *plugin, GError **error);

G_END_DECLS
