/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl keep [--not] JOB...: jobs that are not forgotten to make room for newer ones.
 */
#include "config.h"
#include "soractl-bus.h"

static gboolean not_kept;

static gboolean
set_kept (SoraBusJob *job, GCancellable *cancellable, GError **error)
{
  return sora_bus_job_call_set_kept_sync (job, !not_kept, cancellable, error);
}

int
soractl_verb_keep (SoractlGlobal *global, int argc, char **argv)
{
  const GOptionEntry entries[] = {
    { "not", 0, 0, G_OPTION_ARG_NONE, &not_kept, "Let them be forgotten again", NULL },
    { NULL },
  };
  int code = soractl_parse_options (global, entries, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  return soractl_bus_each_job (global, argc, argv, set_kept);
}
