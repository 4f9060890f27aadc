/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl run PIPELINE: any pipeline, on the service, or with --local in this process.
 */
#include "config.h"
#include "soractl-job.h"

int
soractl_verb_run (SoractlGlobal *global, int argc, char **argv)
{
  g_auto (SoractlJob) job = { 0 };
  int code = soractl_job_parse (
      &job, global, SORACTL_JOB_PIPELINE | SORACTL_JOB_OUTPUT | SORACTL_JOB_SUBMIT, argc, argv);
  if (code != SORACTL_OK)
    return code;
  return job.local ? soractl_run_local (global, &job) : soractl_run_remote (global, &job);
}
