/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl jobs: the caller's jobs.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-console.h"
#include "soractl-json.h"

static const char *
lookup_text (GVariant *properties, const char *name)
{
  const char *text = "";
  g_variant_lookup (properties, name, "&s", &text);
  return text;
}

/* "full, bad (filtered)": the worker, and the stages of others, each in a process of its own. */
static char *
describe_sandbox (GVariant *properties)
{
  GString *text = g_string_new (lookup_text (properties, "SandboxLevel"));
  g_autoptr (GVariant) stages
      = g_variant_lookup_value (properties, "ThirdPartyStages", G_VARIANT_TYPE ("a{ss}"));
  GVariantIter iter;
  const char *stage, *level;
  if (stages != NULL)
    {
      g_variant_iter_init (&iter, stages);
      while (g_variant_iter_next (&iter, "{&s&s}", &stage, &level))
        g_string_append_printf (text, ", %s (%s)", stage, level);
    }
  return g_string_free (text, FALSE);
}

static void
print_table (GVariant *jobs)
{
  g_autoptr (SoractlTable) table = soractl_table_new (7, "0000100");
  soractl_table_row (table, "JOB", "STATE", "PIPELINE", "NAME", "DONE", "SUBMITTED", "SANDBOX");
  for (gsize i = 0; i < g_variant_n_children (jobs); i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (jobs, i);
      const char *path;
      g_autoptr (GVariant) properties = NULL;
      g_variant_get (entry, "(&o@a{sv})", &path, &properties);
      double progress = 0;
      gint64 submitted = 0;
      g_variant_lookup (properties, "Progress", "d", &progress);
      g_variant_lookup (properties, "SubmittedAt", "x", &submitted);
      g_autofree char *done = g_strdup_printf ("%.0f %%", progress * 100);
      g_autofree char *when = soractl_format_time (submitted / G_USEC_PER_SEC);
      g_autofree char *id = sora_bus_object_id (path);
      g_autofree char *sandbox = describe_sandbox (properties);
      soractl_table_row (table, id, lookup_text (properties, "State"),
                         lookup_text (properties, "Pipeline"), lookup_text (properties, "Name"),
                         done, when, sandbox);
    }
  soractl_table_print (table, stdout);
}

int
soractl_verb_jobs (SoractlGlobal *global, int argc, char **argv)
{
  g_auto (GStrv) states = NULL;
  const GOptionEntry entries[] = {
    { "state", 0, 0, G_OPTION_ARG_STRING_ARRAY, &states,
      "Only jobs that are queued, running, done, failed or cancelled", "STATE" },
    G_OPTION_ENTRY_NULL,
  };
  int code = soractl_parse_options (global, entries, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  if (argc > 1)
    return soractl_usage_error ("jobs", "unexpected word '%s'", argv[1]);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusConnection) connection = soractl_bus_connect (global, &error);
  g_autoptr (SoraBusManager) manager
      = connection != NULL ? soractl_bus_manager (connection, &error) : NULL;
  g_autoptr (GVariant) jobs = NULL;
  GVariantBuilder options;
  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  if (states != NULL)
    g_variant_builder_add (&options, "{sv}", "states",
                           g_variant_new_strv ((const char *const *)states, -1));
  g_autoptr (GVariant) filter = g_variant_ref_sink (g_variant_builder_end (&options));
  if (manager == NULL
      || !sora_bus_manager_call_list_jobs_sync (manager, filter, &jobs, NULL, &error))
    return soractl_report (error);
  if (global->json)
    {
      json_t *root = json_array ();
      for (gsize i = 0; i < g_variant_n_children (jobs); i++)
        {
          g_autoptr (GVariant) entry = g_variant_get_child_value (jobs, i);
          g_autoptr (GVariant) properties = g_variant_get_child_value (entry, 1);
          json_array_append_new (root, soractl_json_from_variant (properties));
        }
      soractl_json_print (root);
    }
  else if (g_variant_n_children (jobs) > 0)
    {
      print_table (jobs);
    }
  else if (!global->quiet)
    {
      fputs ("no jobs\n", stderr);
    }
  return SORACTL_OK;
}
