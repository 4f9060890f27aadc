/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl result JOB: fetches what a job made.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-job.h"

int
soractl_verb_result (SoractlGlobal *global, int argc, char **argv)
{
  g_autofree char *output = NULL, *name = NULL;
  gboolean overwrite = FALSE;
  const GOptionEntry entries[] = {
    { "output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
      "Write there: a folder, or with one file a file name", "PATH" },
    { "name", 0, 0, G_OPTION_ARG_STRING, &name,
      "Only the file of that name ('soractl show' lists them)", "NAME" },
    { "overwrite", 'f', 0, G_OPTION_ARG_NONE, &overwrite, "Replace a file that exists", NULL },
    G_OPTION_ENTRY_NULL,
  };
  int code = soractl_parse_options (global, entries, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  g_autoptr (GDBusConnection) connection = NULL;
  g_autoptr (SoraBusJob) job = NULL;
  if ((code = soractl_bus_open_job (global, argc, argv, &connection, &job)) != SORACTL_OK)
    return code;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) files = NULL, details = NULL;
  if (!sora_bus_job_call_get_result_sync (job, &files, &details, NULL, &error))
    return soractl_report (error);
  g_autofree char *folder = NULL, *as = NULL;
  if (output == NULL || g_file_test (output, G_FILE_TEST_IS_DIR))
    {
      folder = g_strdup (output != NULL ? output : ".");
    }
  else if (name == NULL && g_variant_n_children (files) != 1)
    {
      return soractl_usage_error (
          "result",
          "the job made %" G_GSIZE_FORMAT
          " files: -o takes a folder that exists, or name one file with --name",
          g_variant_n_children (files));
    }
  else
    {
      folder = g_path_get_dirname (output);
      as = g_path_get_basename (output);
    }
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  if (!soractl_bus_fetch (job, folder, name, as, overwrite, paths, NULL, &error))
    return soractl_report (error);
  double seconds;
  guint64 seed;
  g_autoptr (GPtrArray) timings = soractl_bus_timings (details, &seconds, &seed);
  g_autofree char *id = sora_bus_object_id (g_dbus_proxy_get_object_path (G_DBUS_PROXY (job)));
  soractl_job_print_result (global, id, paths, seed, seconds, timings);
  return SORACTL_OK;
}
