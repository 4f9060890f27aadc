/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The environment: where plugins, pipelines and models are looked up.
 */
#include "config.h"
#include "sora-plan-private.h"
#include "sora-remote-private.h"

SoraEnvironment *
sora_environment_new (gboolean user)
{
  g_auto (GStrv) plugins = sora_registry_default_dirs (user);
  g_auto (GStrv) pipelines = sora_pipeline_default_dirs (user);
  g_auto (GStrv) models = sora_model_default_dirs (user);

  return sora_environment_new_for_dirs (
      (const char *const *)plugins, (const char *const *)pipelines, (const char *const *)models);
}

SoraEnvironment *
sora_environment_new_for_dirs (const char *const *plugin_dirs, const char *const *pipeline_dirs,
                               const char *const *model_dirs)
{
  static const char *const none[] = { NULL };
  SoraEnvironment *environment = g_new0 (SoraEnvironment, 1);

  environment->registry = sora_registry_new (plugin_dirs != NULL ? plugin_dirs : none);
  environment->pipeline_dirs = g_strdupv ((char **)(pipeline_dirs != NULL ? pipeline_dirs : none));
  environment->model_dirs = g_strdupv ((char **)(model_dirs != NULL ? model_dirs : none));
  return environment;
}

SoraEnvironment *
sora_environment_copy (const SoraEnvironment *environment)
{
  SoraEnvironment *copy = g_new0 (SoraEnvironment, 1);

  copy->registry = sora_registry_ref (environment->registry);
  copy->pipeline_dirs = g_strdupv (environment->pipeline_dirs);
  copy->model_dirs = g_strdupv (environment->model_dirs);
  copy->default_model = g_strdup (environment->default_model);
  return copy;
}

void
sora_environment_set_remote (SoraEnvironment *environment, const SoraRemote *remote)
{
  sora_registry_set_remote (environment->registry, remote);
}

void
sora_environment_free (SoraEnvironment *environment)
{
  if (environment == NULL)
    return;
  sora_registry_unref (environment->registry);
  g_strfreev (environment->pipeline_dirs);
  g_strfreev (environment->model_dirs);
  g_free (environment->default_model);
  g_free (environment);
}
