/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl resume JOB...: lets paused jobs have their turn again.
 */
#include "config.h"
#include "soractl-bus.h"

int
soractl_verb_resume (SoractlGlobal *global, int argc, char **argv)
{
  int code = soractl_parse_options (global, NULL, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  return soractl_bus_each_job (global, argc, argv, sora_bus_job_call_resume_sync);
}
