/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl priority N JOB...: orders the jobs of one user.  The service says which numbers there
 * are.
 */
#include "config.h"
#include "soractl-bus.h"

static gint32 priority; /* of this process's one verb */

static gboolean
set_priority (SoraBusJob *job, GCancellable *cancellable, GError **error)
{
  return sora_bus_job_call_set_priority_sync (job, priority, cancellable, error);
}

int
soractl_verb_priority (SoractlGlobal *global, int argc, char **argv)
{
  gint64 number = 0;
  /* "-5" is a number here, and "--" may stand before it. */
  int code = soractl_parse_options (global, NULL, TRUE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  if (argc > 1 && g_str_equal (argv[1], "--"))
    {
      argv[1] = argv[0];
      argv++;
      argc--;
    }
  if (argc < 2 || !g_ascii_string_to_signed (argv[1], 10, G_MININT32, G_MAXINT32, &number, NULL))
    return soractl_usage_error ("priority", "'%s' is no whole number; 0 is usual, 100 goes first",
                                argc < 2 ? "" : argv[1]);
  priority = (gint32)number;
  argv[1] = argv[0];
  return soractl_bus_each_job (global, argc - 1, argv + 1, set_priority);
}
