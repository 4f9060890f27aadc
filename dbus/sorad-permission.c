/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table of permissions.  Interfaces are written without their common prefix.
 */
#include "config.h"
#include "sorad-permission.h"

#include <string.h>

#define PREFIX "org.sorad.Sora1."

static const struct
{
  const char *interface, *member;
  SoradPermission permission;
} rules[] = {
  { "Manager", "Submit", SORAD_PERMISSION_CALLER },
  { "Manager", "Check", SORAD_PERMISSION_CALLER },
  { "Manager", "ListJobs", SORAD_PERMISSION_CALLER },
  { "Manager", "ClearCache", SORAD_PERMISSION_CALLER },
  { "Manager", "AddModel", SORAD_PERMISSION_ADMIN },
  { "Manager", "RemoveModel", SORAD_PERMISSION_ADMIN },
  { "Manager", "Version", SORAD_PERMISSION_PUBLIC },
  { "Manager", "QueueLength", SORAD_PERMISSION_PUBLIC },
  { "Manager", "Running", SORAD_PERMISSION_PUBLIC },
  { "Manager", "DefaultModel", SORAD_PERMISSION_PUBLIC },

  { "Job", "GetRequest", SORAD_PERMISSION_OWNER },
  { "Job", "GetResult", SORAD_PERMISSION_OWNER },
  { "Job", "OpenResult", SORAD_PERMISSION_OWNER },
  { "Job", "OpenPreview", SORAD_PERMISSION_OWNER },
  { "Job", "Cancel", SORAD_PERMISSION_OWNER },
  { "Job", "Wait", SORAD_PERMISSION_OWNER },
  { "Job", "Delete", SORAD_PERMISSION_OWNER },
  { "Job", "Pause", SORAD_PERMISSION_OWNER },
  { "Job", "Resume", SORAD_PERMISSION_OWNER },
  { "Job", "SetPriority", SORAD_PERMISSION_OWNER },
  { "Job", "SetKept", SORAD_PERMISSION_OWNER },
  { "Job", "Subscribe", SORAD_PERMISSION_OWNER },
  { "Job", "Unsubscribe", SORAD_PERMISSION_OWNER },
  { "Job", "Id", SORAD_PERMISSION_OWNER },
  { "Job", "Name", SORAD_PERMISSION_OWNER },
  { "Job", "Pipeline", SORAD_PERMISSION_OWNER },
  { "Job", "Ephemeral", SORAD_PERMISSION_OWNER },
  { "Job", "State", SORAD_PERMISSION_OWNER },
  { "Job", "Progress", SORAD_PERMISSION_OWNER },
  { "Job", "Run", SORAD_PERMISSION_OWNER },
  { "Job", "Stage", SORAD_PERMISSION_OWNER },
  { "Job", "Step", SORAD_PERMISSION_OWNER },
  { "Job", "Steps", SORAD_PERMISSION_OWNER },
  { "Job", "QueuePosition", SORAD_PERMISSION_OWNER },
  { "Job", "SubmittedAt", SORAD_PERMISSION_OWNER },
  { "Job", "StartedAt", SORAD_PERMISSION_OWNER },
  { "Job", "ExpectedEnd", SORAD_PERMISSION_OWNER },
  { "Job", "FinishedAt", SORAD_PERMISSION_OWNER },
  { "Job", "Error", SORAD_PERMISSION_OWNER },
  { "Job", "ErrorName", SORAD_PERMISSION_OWNER },
  { "Job", "Warnings", SORAD_PERMISSION_OWNER },
  { "Job", "Notes", SORAD_PERMISSION_OWNER },
  { "Job", "SandboxLevel", SORAD_PERMISSION_OWNER },
  { "Job", "ThirdPartyStages", SORAD_PERMISSION_OWNER },
  { "Job", "Attempts", SORAD_PERMISSION_OWNER },
  { "Job", "Paused", SORAD_PERMISSION_OWNER },
  { "Job", "Priority", SORAD_PERMISSION_OWNER },
  { "Job", "Kept", SORAD_PERMISSION_OWNER },

  { "Plugin", "Id", SORAD_PERMISSION_PUBLIC },
  { "Plugin", "Name", SORAD_PERMISSION_PUBLIC },
  { "Plugin", "Version", SORAD_PERMISSION_PUBLIC },
  { "Plugin", "Licence", SORAD_PERMISSION_PUBLIC },
  { "Plugin", "Summary", SORAD_PERMISSION_PUBLIC },
  { "Plugin", "Stages", SORAD_PERMISSION_PUBLIC },
  { "Plugin", "Problem", SORAD_PERMISSION_PUBLIC },

  { "Pipeline", "Id", SORAD_PERMISSION_PUBLIC },
  { "Pipeline", "Name", SORAD_PERMISSION_PUBLIC },
  { "Pipeline", "Summary", SORAD_PERMISSION_PUBLIC },
  { "Pipeline", "Parameters", SORAD_PERMISSION_PUBLIC },
  { "Pipeline", "Stages", SORAD_PERMISSION_PUBLIC },
  { "Pipeline", "Roles", SORAD_PERMISSION_PUBLIC },
  { "Pipeline", "Problem", SORAD_PERMISSION_PUBLIC },

  { "Model", "GetDigest", SORAD_PERMISSION_PUBLIC },
  { "Model", "Id", SORAD_PERMISSION_PUBLIC },
  { "Model", "Family", SORAD_PERMISSION_PUBLIC },
  { "Model", "Components", SORAD_PERMISSION_PUBLIC },
  { "Model", "WeightsBytes", SORAD_PERMISSION_PUBLIC },
  { "Model", "ParameterCount", SORAD_PERMISSION_PUBLIC },
};

gboolean
sorad_permission_lookup (const char *interface, const char *member, SoradPermission *permission)
{
  if (!g_str_has_prefix (interface, PREFIX))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (rules); i++)
    if (g_str_equal (rules[i].interface, interface + strlen (PREFIX))
        && g_str_equal (rules[i].member, member))
      {
        *permission = rules[i].permission;
        return TRUE;
      }
  return FALSE;
}
