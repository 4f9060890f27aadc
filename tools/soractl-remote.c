/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs a request on the service: submit, follow, fetch.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-console.h"
#include "soractl-fd.h"
#include "soractl-job.h"
#include "soractl-json.h"
#include "sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <stdio.h>

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
      const SoraParam *param = soractl_bus_param (text->name, NULL, params);
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
  if (!soractl_job_resolve (job, soractl_bus_param, params, error))
    return FALSE;
  g_autoptr (GVariantDict) dict = g_variant_dict_new (NULL);
  GHashTableIter values;
  gpointer key, value;
  g_hash_table_iter_init (&values, job->request->params);
  while (g_hash_table_iter_next (&values, &key, &value))
    g_variant_dict_insert_value (dict, key, value);
  GVariantIter iter;
  const char *name;
  GVariant *handle;
  g_variant_iter_init (&iter, handles);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &handle))
    g_variant_dict_insert_value (dict, name, handle);
  *out = g_variant_ref_sink (g_variant_dict_end (dict));
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
  if (request->no_cache)
    g_variant_builder_add (&options, "{sv}", "cache", g_variant_new_boolean (FALSE));
  if (request->threads > 0)
    g_variant_builder_add (&options, "{sv}", "threads", g_variant_new_uint32 (request->threads));
  g_variant_builder_add (&options, "{sv}", "name", g_variant_new_string (stem));
  return g_variant_builder_end (&options);
}

/* Submits it, as far as it can be made a result of; the job's path, or NULL and the exit code,
 * after telling. */
static char *
submit (GDBusConnection *connection, SoractlJob *job, char **folder, char **stem, int *code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraBusManager) manager = soractl_bus_manager (connection, &error);
  g_autoptr (GHashTable) params
      = manager != NULL
            ? soractl_bus_params (connection, job->request->pipeline, job->request->stages, &error)
            : NULL;
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  g_autoptr (GVariant) parameters = NULL;
  if (params == NULL || !parameters_with_files (job, params, fds, &parameters, &error))
    {
      *code = soractl_report (error);
      return NULL;
    }
  soractl_job_output_name (job, folder, stem);
  *code = job->detach ? soractl_job_check_stem (*stem)
                      : soractl_job_check_output (job, *folder, *stem);
  if (*code != SORACTL_OK)
    return NULL;
  char *path = NULL;
  if (!sora_bus_manager_call_submit_sync (manager, job->request->pipeline, parameters,
                                          options_to_bus (job, *stem), fds, &path, NULL, NULL,
                                          &error))
    *code = soractl_report (error);
  return path;
}

int
soractl_run_remote (SoractlGlobal *global, SoractlJob *job)
{
  g_autoptr (GError) error = NULL;
  if (job->request->memory_limit != 0)
    return soractl_usage_error (
        job->verb, "option --memory goes with --local: on the service its administrator decides");
  g_autoptr (GDBusConnection) connection = soractl_bus_connect (global, &error);
  if (connection == NULL)
    return soractl_report (error);
  g_autofree char *folder = NULL, *stem = NULL;
  int code = SORACTL_OK;
  g_autofree char *path = submit (connection, job, &folder, &stem, &code);
  if (path == NULL)
    return code;
  g_autofree char *id = sora_bus_object_id (path);
  if (job->detach)
    {
      if (global->json)
        soractl_json_print (json_pack ("{s:s}", "job", id));
      else
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
      code = soractl_report (error);
      if (g_strcmp0 (state, "done") == 0)
        soractl_console_error ("the clip is kept: 'soractl result %s -o FILE' fetches it", id);
      else if (state == NULL)
        soractl_console_error ("the job is %s: 'soractl show %s' tells of it", id, id);
      return code;
    }
  double seconds;
  guint64 seed;
  g_autoptr (GPtrArray) timings = soractl_bus_timings (details, &seconds, &seed);
  soractl_job_check_ending (job, paths);
  soractl_job_print_result (global, id, paths, seed, seconds, timings);
  return SORACTL_OK;
}
