/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs a request on the service: submit, follow, fetch.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-console.h"
#include "soractl-fd.h"
#include "soractl-job.h"
#include "sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <string.h>

/* A parameter of a stage that the pipeline does not make public: the service knows its type and
 * checks it. */
static const SoraParam *
lookup_remote (const char *name, gpointer data)
{
  static const SoraParam text
      = { .struct_size = sizeof text, .type = SORA_PARAM_STRING, .name = "text" };
  const SoraParam *param = g_hash_table_lookup (data, name);
  return param != NULL ? param : strchr (name, '.') != NULL ? &text : NULL;
}

/* "true", "3" and "0.5" of a "stage.param" as what they look like; everything else is text. */
static GVariant *
guess (const char *text)
{
  char *end = NULL;
  gint64 integer = g_ascii_strtoll (text, &end, 10);
  if (*text != '\0' && *end == '\0')
    return g_variant_new_int64 (integer);
  double number = g_ascii_strtod (text, &end);
  if (*text != '\0' && *end == '\0')
    return g_variant_new_double (number);
  if (g_str_equal (text, "true") || g_str_equal (text, "false"))
    return g_variant_new_boolean (g_str_equal (text, "true"));
  return g_variant_new_string (text);
}

static GVariant *
parameters_to_bus (SoractlJob *job, GHashTable *params)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  GHashTableIter iter;
  gpointer name, value;
  g_hash_table_iter_init (&iter, job->request->params);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      gboolean declared = g_hash_table_contains (params, name);
      if (!declared)
        g_variant_builder_add (&builder, "{sv}", name, guess (g_variant_get_string (value, NULL)));
      else
        g_variant_builder_add (&builder, "{sv}", name, value);
    }
  return g_variant_builder_end (&builder);
}

/* File parameters go as descriptors: the service opens no path that a caller names. */
static gboolean
parameters_with_files (SoractlJob *job, GHashTable *params, GUnixFDList *fds, GVariant **out,
                       GError **error)
{
  GVariantBuilder files;
  g_variant_builder_init (&files, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < job->texts->len;)
    {
      SoractlText *text = job->texts->pdata[i];
      const SoraParam *param = g_hash_table_lookup (params, text->name);
      if (param == NULL || param->type != SORA_PARAM_FILE || text->text == NULL)
        {
          i++;
          continue;
        }
      soractl_autofd fd = open (text->text, O_RDONLY | O_CLOEXEC);
      if (fd < 0)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND,
                       "parameter '%s': cannot open '%s': %s", text->name, text->text,
                       g_strerror (errno));
          g_variant_builder_clear (&files);
          return FALSE;
        }
      int index = g_unix_fd_list_append (fds, fd, error);
      if (index < 0)
        {
          g_variant_builder_clear (&files);
          return FALSE;
        }
      g_variant_builder_add (&files, "{sv}", text->name, g_variant_new_handle (index));
      g_ptr_array_remove_index (job->texts, i);
    }
  g_autoptr (GVariant) handles = g_variant_ref_sink (g_variant_builder_end (&files));
  if (!soractl_job_resolve (job, lookup_remote, params, error))
    return FALSE;
  g_autoptr (GVariant) plain = g_variant_ref_sink (parameters_to_bus (job, params));
  g_autoptr (GVariantDict) dict = g_variant_dict_new (plain);
  GVariantIter iter;
  const char *name;
  GVariant *handle;
  g_variant_iter_init (&iter, handles);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &handle))
    g_variant_dict_insert_value (dict, name, handle);
  *out = g_variant_dict_end (dict);
  return TRUE;
}

static void
add_map (GVariantBuilder *options, const char *key, GHashTable *map)
{
  if (g_hash_table_size (map) == 0)
    return;
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  GHashTableIter iter;
  gpointer name, value;
  g_hash_table_iter_init (&iter, map);
  while (g_hash_table_iter_next (&iter, &name, &value))
    g_variant_builder_add (&builder, "{ss}", name, value);
  g_variant_builder_add (options, "{sv}", key, g_variant_builder_end (&builder));
}

static GVariant *
options_to_bus (SoractlJob *job, const char *stem)
{
  SoraRequest *request = job->request;
  GVariantBuilder options;
  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  if (request->has_seed)
    g_variant_builder_add (&options, "{sv}", "seed", g_variant_new_uint64 (request->seed));
  add_map (&options, "models", request->models);
  add_map (&options, "stages", request->stages);
  if (request->metadata != NULL)
    g_variant_builder_add (&options, "{sv}", "metadata", g_variant_new_string (request->metadata));
  if (request->threads > 0)
    g_variant_builder_add (&options, "{sv}", "threads", g_variant_new_uint32 (request->threads));
  g_variant_builder_add (&options, "{sv}", "name", g_variant_new_string (stem));
  return g_variant_builder_end (&options);
}

/* Gives the job's path, or NULL. */
static char *
submit (GDBusConnection *connection, SoractlJob *job, const char *stem, GError **error)
{
  g_autoptr (SoraBusManager) manager = soractl_bus_manager (connection, error);
  if (manager == NULL)
    return NULL;
  g_autoptr (GHashTable) params
      = soractl_bus_pipeline_params (connection, job->request->pipeline, error);
  if (params == NULL)
    return NULL;
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  GVariant *parameters = NULL;
  if (!parameters_with_files (job, params, fds, &parameters, error))
    return NULL;
  char *path = NULL;
  if (!sora_bus_manager_call_submit_sync (manager, job->request->pipeline, parameters,
                                          options_to_bus (job, stem), fds, &path, NULL, NULL,
                                          error))
    return NULL;
  return path;
}

int
soractl_run_remote (SoractlGlobal *global, SoractlJob *job)
{
  g_autoptr (GError) error = NULL;
  if (job->request->memory_limit != 0)
    return soractl_usage_error (
        "run", "option --memory goes with --local: on the service its administrator decides");
  g_autoptr (GDBusConnection) connection = soractl_bus_connect (global, &error);
  if (connection == NULL)
    {
      soractl_report (error);
      return SORACTL_NO_SERVICE;
    }
  g_autofree char *folder = NULL, *stem = NULL;
  soractl_job_output_name (job, &folder, &stem);
  int checked = job->detach ? SORACTL_OK : soractl_job_check_output (job, folder);
  if (checked != SORACTL_OK)
    return checked;
  g_autofree char *path = submit (connection, job, stem, &error);
  if (path == NULL)
    return soractl_report (error);
  g_autofree char *id = sora_bus_object_id (path);
  if (job->detach)
    {
      printf ("%s\n", id);
      return SORACTL_OK;
    }
  g_autoptr (SoraBusJob) proxy = soractl_bus_job (connection, path, &error);
  g_autofree char *state = proxy != NULL ? soractl_bus_follow (global, proxy, TRUE, &error) : NULL;
  g_autoptr (GVariant) details = NULL;
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  if (state == NULL
      || !soractl_bus_fetch (proxy, folder, NULL, NULL, job->overwrite, paths, &details, &error))
    {
      int code = soractl_report (error);
      if (g_strcmp0 (state, "done") == 0)
        soractl_console_error ("the clip is kept: 'soractl result %s -o FILE' fetches it", id);
      return code;
    }
  double seconds;
  guint64 seed;
  g_autoptr (GPtrArray) timings = soractl_bus_timings (details, &seconds, &seed);
  soractl_job_print_result (global, id, paths, seed, seconds, timings);
  return SORACTL_OK;
}
