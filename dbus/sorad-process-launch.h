/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How a worker process is started: program, arguments, environment.  It confines
 * itself, to the level that the settings ask for.
 */
#pragma once
#include "sorad-config.h"

G_BEGIN_DECLS

/* @for_jobs: of the class that the settings want; somebody waits for what else is asked.  @user_dir: may be NULL.  @socket:
 * its end of the stream, taken; it becomes descriptor 3.  @group: where it goes into its control
 * group; -1: it has none. */
GSubprocess *sorad_process_launch (const SoradConfig *config, const char *work_dir,
                                   gboolean for_jobs, const char *user_dir, int socket, int group,
                                   GError **error);

G_END_DECLS
