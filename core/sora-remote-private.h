/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: the two ends of a third-party stage.
 */
#pragma once
#include "sora-context.h"
#include "sora-peer.h"
#include "sora-remote.h"

G_BEGIN_DECLS

/* The runner's end: loads nothing, but asks a process of its own. */
const SoraPlugin *sora_remote_describe (const SoraRemote *remote, const SoraPluginInfo *info,
                                        char **level, GError **error);
void sora_registry_set_remote (SoraRegistry *registry, const SoraRemote *remote);

/* The stage's end, called by host functions of its one task. */
typedef struct SoraStage SoraStage;
int sora_stage_pull (SoraStage *stage, SoraContext *ctx, const char *port, SoraTensor **tensor);
int sora_stage_push (SoraStage *stage, SoraContext *ctx, const char *port, SoraTensor *tensor);
int sora_stage_file (SoraStage *stage, SoraContext *ctx, const char *port, const char *name,
                     const char *media_type, int *fd);
char *sora_stage_info (SoraStage *stage, const char *key);

G_END_DECLS
