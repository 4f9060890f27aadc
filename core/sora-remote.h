/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Third-party plugins in processes of their own.  A plugin that was not installed with sorad is not
 * loaded by the process that runs a graph: a process is started for it, which loads it, tells what
 * it is, infers and runs.  In the graph a stand-in takes its place; tensors go over as sealed memory
 * files.  What comes back is held to be hostile.
 */
#pragma once
#include "sora-plan.h"

G_BEGIN_DECLS

/* How a process for a plugin is had, and how long it may be silent. */
typedef struct SoraRemote {
  char **trusted_dirs; /* folders whose plugins are no third party's: of the same owner as the folder, and written by nobody else */
  gboolean refused;    /* third-party plugins are not used at all */
  gboolean inside;     /* they are loaded into the process itself: what is told of them is all that is left */
  guint answer_seconds; /* to load, to describe itself, to infer */
  guint stall_seconds;  /* without a word while it runs and nobody keeps it waiting; 0: for ever */
  /* Starts a process that ends in sora_stage_serve() on the other end of *@stream, may read @paths, and is ended
   * when *@control is closed; what it ended of can be read there.  Both descriptors are the caller's. */
  gboolean (*launch) (gpointer data, const char *plugin, const char *const *paths, int *stream, int *control,
                      GError **error);
  gpointer data;
} SoraRemote;

/* What a process that cannot be confined as it must says before it ends, and then why. */
#define SORA_REMOTE_REFUSED "was refused: "

/**
 * sora_environment_set_remote:
 * @environment: an environment that made no plan yet
 * @remote: how third-party plugins are run; must outlive the environment
 *
 * Without it every plugin is loaded into the process itself.
 */
void sora_environment_set_remote (SoraEnvironment *environment, const SoraRemote *remote);

/**
 * sora_plugin_info_is_trusted:
 * @info: a manifest
 * @dirs: folders that are trusted
 *
 * Returns: whether manifest and module lie in one of @dirs, links followed, belong to whom the folder
 *   belongs to (or root), and can be written by nobody else
 */
gboolean sora_plugin_info_is_trusted (const SoraPluginInfo *info, char **dirs);

/**
 * sora_stage_serve:
 * @environment: where the plugin is
 * @stream: the end of the stream, from a launch
 * @level: how this process is confined, for who asks
 *
 * The other side: serves one job's stage until the stream ends.
 *
 * Returns: an exit status
 */
int sora_stage_serve (SoraEnvironment *environment, int stream, const char *level);

G_END_DECLS
