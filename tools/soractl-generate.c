/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl generate PROMPT: a clip of a prompt, made by the service.
 */
#include "config.h"
#include "soractl-job.h"

int
soractl_verb_generate (SoractlGlobal *global, int argc, char **argv)
{
  g_auto (SoractlJob) job = { 0 };
  int code = soractl_job_parse (&job, global, SORACTL_JOB_OUTPUT | SORACTL_JOB_SUBMIT, argc, argv);
  if (code != SORACTL_OK)
    return code;
  if (job.texts->len == 0)
    return soractl_usage_error ("generate", "what shall the clip show?  Give a prompt in quotes");
  job.wants_prompt = TRUE;
  return job.local ? soractl_run_local (global, &job) : soractl_run_remote (global, &job);
}
