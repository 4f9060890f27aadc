/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: one plugin's manifest.
 */
#pragma once
#include "sora-keyfile.h"
#include "sora-registry.h"

G_BEGIN_DECLS

struct SoraPluginInfo
{
  char *id, *name, *version, *licence, *summary;
  char *manifest_path, *module_path;
  GPtrArray *stages; /* NULL-terminated, of SoraStageInfo */

  /* The registry's, under its lock. */
  const SoraPlugin *loaded;
  gboolean third_party;            /* once it is loaded, and where that is asked */
  const struct SoraRemote *remote; /* its module is loaded elsewhere */
  char *level;                     /* and how that process is confined */
  GError *load_error; /* the module was tried, and this is why it cannot be used */
};

/* Unknown keys and groups are told in @warnings (of char*) and otherwise passed over: a later ABI's manifest may say
 * more. */
SoraPluginInfo *sora_manifest_parse (const char *text, gsize length, const char *path, GPtrArray *warnings,
                                     GError **error);
SoraPluginInfo *sora_manifest_load (const char *path, GPtrArray *warnings, GError **error);
void sora_manifest_free (SoraPluginInfo *info);
/* Does the module say of itself what the manifest says? */
gboolean sora_manifest_matches (const SoraPluginInfo *info, const SoraPlugin *plugin, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraPluginInfo, sora_manifest_free)

G_END_DECLS
