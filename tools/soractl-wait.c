/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl wait JOB: follows a job until it is over.  Ctrl-C leaves the job running.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-json.h"

int
soractl_verb_wait (SoractlGlobal *global, int argc, char **argv)
{
  int code = soractl_parse_options (global, NULL, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  g_autoptr (GDBusConnection) connection = NULL;
  g_autoptr (SoraBusJob) job = NULL;
  if ((code = soractl_bus_open_job (global, argc, argv, &connection, &job)) != SORACTL_OK)
    return code;
  g_autoptr (GError) error = NULL;
  g_autofree char *state = soractl_bus_follow (global, job, FALSE, &error);
  if (state == NULL)
    return soractl_report (error);
  if (global->json)
    soractl_json_print (json_pack ("{s:s, s:s}", "job", argv[1], "state", state));
  else if (!global->quiet)
    printf ("%s\n", state);
  if (g_str_equal (state, "done"))
    return SORACTL_OK;
  /* The reason is the job's own error, which GetResult answers with. */
  g_autoptr (GVariant) files = NULL, details = NULL;
  if (!sora_bus_job_call_get_result_sync (job, &files, &details, NULL, &error))
    return soractl_report (error);
  return SORACTL_FAILED;
}
