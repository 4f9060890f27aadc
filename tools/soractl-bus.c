/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Connection to sorad, and its objects.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-console.h"
#include "soractl-job.h"
#include "sora-error.h"
#include <string.h>

GDBusConnection *
soractl_bus_connect (SoractlGlobal *global, GError **error)
{
  sora_bus_error_register ();
  g_autoptr (GError) reason = NULL;
  GDBusConnection *connection
      = g_bus_get_sync (global->session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM, NULL, &reason);
  if (connection == NULL)
    {
      /* Whatever the reason, to the caller it is a service that is not there. */
      g_set_error (error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN,
                   "cannot reach the %s bus (--session and --system choose): %s",
                   global->session ? "session" : "system", reason->message);
      return NULL;
    }
  g_dbus_connection_set_exit_on_close (connection, FALSE);
  return connection;
}

SoraBusManager *
soractl_bus_manager (GDBusConnection *connection, GError **error)
{
  SoraBusManager *manager = sora_bus_manager_proxy_new_sync (
      connection, G_DBUS_PROXY_FLAGS_NONE, SORA_BUS_NAME, SORA_BUS_PATH, NULL, error);
  if (manager == NULL)
    return NULL;
  g_autofree char *owner = g_dbus_proxy_get_name_owner (G_DBUS_PROXY (manager));
  if (owner == NULL)
    {
      g_set_error (error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN,
                   "sorad does not run on this bus and could not be started; 'soractl --session' "
                   "asks your own, "
                   "'soractl run --local' needs none");
      g_object_unref (manager);
      return NULL;
    }
  return manager;
}

static char *
job_path (const char *job, GError **error)
{
  g_autofree char *path = g_str_has_prefix (job, "/")
                              ? g_strdup (job)
                              : g_strdup_printf ("%s/%s", SORA_BUS_JOBS_PATH, job);
  if (!g_variant_is_object_path (path) || !g_str_has_prefix (path, SORA_BUS_JOBS_PATH "/"))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND,
                   "no job '%s'; 'soractl jobs' lists yours", job);
      return NULL;
    }
  return g_steal_pointer (&path);
}

GVariant *
soractl_bus_job_properties (GDBusConnection *connection, const char *job, GError **error)
{
  g_autofree char *path = job_path (job, error);
  if (path == NULL)
    return NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      connection, SORA_BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll",
      g_variant_new ("(s)", "org.sorad.Sora1.Job"), G_VARIANT_TYPE ("(a{sv})"),
      G_DBUS_CALL_FLAGS_NONE, -1, NULL, error);
  return reply != NULL ? g_variant_get_child_value (reply, 0) : NULL;
}

SoraBusJob *
soractl_bus_job (GDBusConnection *connection, const char *job, GError **error)
{
  /* A proxy swallows the error of its first GetAll: ask ourselves, so that "no such job" is told.
   */
  g_autoptr (GVariant) properties = soractl_bus_job_properties (connection, job, error);
  g_autofree char *path = properties != NULL ? job_path (job, error) : NULL;
  if (path == NULL)
    return NULL;
  return sora_bus_job_proxy_new_sync (connection, G_DBUS_PROXY_FLAGS_DO_NOT_AUTO_START,
                                      SORA_BUS_NAME, path, NULL, error);
}

int
soractl_bus_open_job (SoractlGlobal *global, int argc, char **argv, GDBusConnection **connection,
                      SoraBusJob **job)
{
  if (argc != 2)
    return soractl_usage_error (argv[0], argc < 2 ? "which job?  'soractl jobs' lists yours"
                                                  : "one job at a time");
  g_autoptr (GError) error = NULL;
  *connection = soractl_bus_connect (global, &error);
  *job = *connection != NULL ? soractl_bus_job (*connection, argv[1], &error) : NULL;
  return *job != NULL ? SORACTL_OK : soractl_report (error);
}

int
soractl_bus_each_job (SoractlGlobal *global, int argc, char **argv, SoractlJobCall call)
{
  if (argc < 2)
    return soractl_usage_error (argv[0], "which job?  'soractl jobs' lists yours");
  g_autoptr (GError) error = NULL;
  int code = SORACTL_OK;
  g_autoptr (GDBusConnection) connection = soractl_bus_connect (global, &error);
  if (connection == NULL)
    return soractl_report (error);
  /* One that fails keeps none of the others from it. */
  for (int i = 1; i < argc; i++)
    {
      g_clear_error (&error);
      g_autoptr (SoraBusJob) job = soractl_bus_job (connection, argv[i], &error);
      if (job == NULL || !call (job, NULL, &error))
        code = soractl_report (error);
    }
  return code;
}

GPtrArray *
soractl_bus_timings (GVariant *details, double *seconds, guint64 *seed)
{
  GPtrArray *timings = g_ptr_array_new_with_free_func ((GDestroyNotify)soractl_timing_free);
  *seconds = 0;
  *seed = 0;
  if (details == NULL)
    return timings;
  g_variant_lookup (details, "seconds", "d", seconds);
  g_variant_lookup (details, "seed", "t", seed);
  g_autoptr (GVariant) stages
      = g_variant_lookup_value (details, "stages", G_VARIANT_TYPE ("aa{sv}"));
  for (gsize i = 0; stages != NULL && i < g_variant_n_children (stages); i++)
    {
      g_autoptr (GVariant) stage = g_variant_get_child_value (stages, i);
      SoractlTiming *timing = g_new0 (SoractlTiming, 1);
      g_variant_lookup (stage, "stage", "s", &timing->stage);
      g_variant_lookup (stage, "seconds", "d", &timing->wall);
      g_variant_lookup (stage, "compute-seconds", "d", &timing->compute);
      g_variant_lookup (stage, "peak-resident", "t", &timing->resident);
      g_ptr_array_add (timings, timing);
    }
  return timings;
}
