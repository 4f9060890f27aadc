/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl cancel JOB...: stops jobs.
 */
#include "config.h"
#include "soractl-bus.h"

int
soractl_verb_cancel (SoractlGlobal *global, int argc, char **argv)
{
  int code = soractl_parse_options (global, NULL, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  if (argc < 2)
    return soractl_usage_error ("cancel", "which job?  'soractl jobs' lists yours");
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusConnection) connection = soractl_bus_connect (global, &error);
  if (connection == NULL)
    return soractl_report (error);
  /* One that cannot be stopped keeps none of the others running. */
  for (int i = 1; i < argc; i++)
    {
      g_clear_error (&error);
      g_autoptr (SoraBusJob) job = soractl_bus_job (connection, argv[i], &error);
      if (job == NULL || !sora_bus_job_call_cancel_sync (job, NULL, &error))
        code = soractl_report (error);
    }
  return code;
}
