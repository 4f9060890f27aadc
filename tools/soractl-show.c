/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl show JOB: everything about one job.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include <string.h>

static void
print_properties (GVariant *properties, int indent)
{
  GVariantIter iter;
  const char *name;
  GVariant *value;
  g_variant_iter_init (&iter, properties);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    {
      g_autofree char *text = NULL;
      if (g_str_has_suffix (name, "At") || g_str_equal (name, "ExpectedEnd"))
        text = soractl_format_time (g_variant_get_int64 (value) / G_USEC_PER_SEC);
      else if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
        text = g_variant_dup_string (value, NULL);
      else if (g_str_equal (name, "Progress"))
        text = g_strdup_printf ("%.1f %%", g_variant_get_double (value) * 100);
      else
        text = g_variant_print (value, FALSE);
      if (*text != '\0')
        printf ("%*s%-*s %s\n", indent, "", 18 - indent, name, text);
    }
}

int
soractl_verb_show (SoractlGlobal *global, int argc, char **argv)
{
  int code = soractl_parse_options (global, NULL, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  g_autoptr (GDBusConnection) connection = NULL;
  g_autoptr (SoraBusJob) job = NULL;
  if ((code = soractl_bus_open_job (global, argc, argv, &connection, &job)) != SORACTL_OK)
    return code;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) properties = soractl_bus_job_properties (connection, argv[1], &error);
  g_autoptr (GVariant) request = NULL, files = NULL, details = NULL;
  if (properties == NULL || !sora_bus_job_call_get_request_sync (job, &request, NULL, &error))
    return soractl_report (error);
  gboolean done = g_strcmp0 (sora_bus_job_get_state (job), "done") == 0;
  if (done && !sora_bus_job_call_get_result_sync (job, &files, &details, NULL, &error))
    return soractl_report (error);
  if (global->json)
    {
      json_t *root = soractl_json_from_variant (properties);
      json_object_set_new (root, "Request", soractl_json_from_variant (request));
      if (done)
        {
          json_object_set_new (root, "Files", soractl_json_from_variant (files));
          json_object_set_new (root, "Details", soractl_json_from_variant (details));
        }
      soractl_json_print (root);
      return SORACTL_OK;
    }
  print_properties (properties, 0);
  printf ("Request\n");
  print_properties (request, 2);
  for (gsize i = 0; done && i < g_variant_n_children (files); i++)
    {
      g_autoptr (GVariant) file = g_variant_get_child_value (files, i);
      printf ("File %" G_GSIZE_FORMAT "\n", i + 1);
      print_properties (file, 2);
    }
  return SORACTL_OK;
}
