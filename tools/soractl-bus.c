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
  GDBusConnection *connection
      = g_bus_get_sync (global->session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM, NULL, error);
  if (connection == NULL)
    {
      g_prefix_error (error, "cannot reach the %s bus (--session and --system choose): ",
                      global->session ? "session" : "system");
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

/* -- Parameters of a pipeline: a SoraParam that owns what it points to. */
typedef struct
{
  SoraParam param;
  char *name, *help, *unit;
  char **choices;
} RemoteParam;

static void
remote_param_free (gpointer data)
{
  RemoteParam *remote = data;
  g_free (remote->name);
  g_free (remote->help);
  g_free (remote->unit);
  g_strfreev (remote->choices);
  g_free (remote);
}

static SoraParamType
type_from_name (const char *name)
{
  static const struct
  {
    const char *name;
    SoraParamType type;
  } types[] = {
    { "boolean", SORA_PARAM_BOOL },         { "integer", SORA_PARAM_I64 },
    { "number", SORA_PARAM_F64 },           { "string", SORA_PARAM_STRING },
    { "choice", SORA_PARAM_ENUM },          { "string-list", SORA_PARAM_STRING_LIST },
    { "number-list", SORA_PARAM_F64_LIST }, { "file", SORA_PARAM_FILE },
  };
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (g_strcmp0 (name, types[i].name) == 0)
      return types[i].type;
  return SORA_PARAM_STRING;
}

static RemoteParam *
remote_param_new (GVariant *dict)
{
  RemoteParam *remote = g_new0 (RemoteParam, 1);
  const char *type = NULL;
  g_variant_lookup (dict, "name", "s", &remote->name);
  g_variant_lookup (dict, "help", "s", &remote->help);
  g_variant_lookup (dict, "unit", "s", &remote->unit);
  g_variant_lookup (dict, "choices", "^as", &remote->choices);
  g_variant_lookup (dict, "type", "&s", &type);
  SoraParam *param = &remote->param;
  *param = (SoraParam){ .struct_size = sizeof (SoraParam),
                        .type = type_from_name (type),
                        .name = remote->name,
                        .help = remote->help,
                        .unit = remote->unit,
                        .choices = (const char *const *)remote->choices };
  g_variant_lookup (dict, "minimum", param->type == SORA_PARAM_I64 ? "x" : "d",
                    param->type == SORA_PARAM_I64 ? (gpointer)&param->i64_min
                                                  : (gpointer)&param->f64_min);
  g_variant_lookup (dict, "maximum", param->type == SORA_PARAM_I64 ? "x" : "d",
                    param->type == SORA_PARAM_I64 ? (gpointer)&param->i64_max
                                                  : (gpointer)&param->f64_max);
  g_variant_lookup (dict, "multiple", "x", &param->i64_multiple);
  return remote;
}

GHashTable *
soractl_bus_pipeline_params (GDBusConnection *connection, const char *pipeline, GError **error)
{
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      connection, SORA_BUS_NAME, SORA_BUS_PATH, "org.freedesktop.DBus.ObjectManager",
      "GetManagedObjects", NULL, G_VARIANT_TYPE ("(a{oa{sa{sv}}})"), G_DBUS_CALL_FLAGS_NONE, -1,
      NULL, error);
  if (reply == NULL)
    return NULL;
  g_autoptr (GVariant) objects = g_variant_get_child_value (reply, 0);
  GVariantIter iter;
  const char *path;
  GVariant *interfaces;
  g_variant_iter_init (&iter, objects);
  while (g_variant_iter_next (&iter, "{&o@a{sa{sv}}}", &path, &interfaces))
    {
      g_autoptr (GVariant) held = interfaces;
      g_autoptr (GVariant) properties
          = g_variant_lookup_value (interfaces, "org.sorad.Sora1.Pipeline", G_VARIANT_TYPE_VARDICT);
      const char *id = NULL, *problem = "";
      if (properties == NULL || !g_variant_lookup (properties, "Id", "&s", &id)
          || !g_str_equal (id, pipeline))
        continue;
      if (g_variant_lookup (properties, "Problem", "&s", &problem) && *problem != '\0')
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_PIPELINE,
                       "pipeline '%s' cannot be used: %s", id, problem);
          return NULL;
        }
      GHashTable *params = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, remote_param_free);
      g_autoptr (GVariant) list
          = g_variant_lookup_value (properties, "Parameters", G_VARIANT_TYPE ("aa{sv}"));
      for (gsize i = 0; list != NULL && i < g_variant_n_children (list); i++)
        {
          g_autoptr (GVariant) dict = g_variant_get_child_value (list, i);
          RemoteParam *remote = remote_param_new (dict);
          if (remote->name != NULL)
            g_hash_table_replace (params, remote->name, remote);
          else
            remote_param_free (remote);
        }
      return params;
    }
  g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND, "the service has no pipeline '%s'",
               pipeline);
  return NULL;
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
      g_ptr_array_add (timings, timing);
    }
  return timings;
}
