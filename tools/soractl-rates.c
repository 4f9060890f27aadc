/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Measured rates, a key file in the user's cache.  Losing it costs nothing but an estimate.
 */
#include "config.h"
#include "soractl-rates.h"
#include <glib/gstdio.h>

static char *
rates_path (void)
{
  return g_build_filename (g_get_user_cache_dir (), "sorad", "rates", NULL);
}

/* Asked for under its public name, or of a stage. */
static void
add_precision (GString *key, const SoraRequest *request)
{
  g_autoptr (GList) names
      = g_list_sort (g_hash_table_get_keys (request->params), (GCompareFunc)g_strcmp0);
  for (GList *name = names; name != NULL; name = name->next)
    if (g_str_equal (name->data, "precision") || g_str_has_suffix (name->data, ".precision"))
      {
        GVariant *value = g_hash_table_lookup (request->params, name->data);
        g_autofree char *text = g_variant_print (value, FALSE);
        g_string_append_printf (key, ", %s %s", (const char *)name->data, text);
      }
}

static char *
rate_key (const char *plugin, const SoraRequest *request)
{
  const char *model = g_hash_table_lookup (request->models, "main");
  g_autofree char *base = model != NULL ? g_path_get_basename (model) : NULL;
  GString *key = g_string_new (plugin);
  g_string_append_printf (key, " on %s", base != NULL ? base : "the default model");
  if (request->threads > 0)
    g_string_append_printf (key, ", threads %u", request->threads);
  add_precision (key, request);
  /* What a key file's keys cannot hold. */
  return g_strdelimit (g_string_free (key, FALSE), "[]=\n", '_');
}

double
soractl_rates_get (const char *plugin, const SoraRequest *request)
{
  g_autofree char *path = rates_path (), *key = rate_key (plugin, request);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  if (!g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, NULL))
    return 0;
  double rate = g_key_file_get_double (file, "Rates", key, NULL);
  return rate > 0 ? rate : 0;
}

void
soractl_rates_set (const char *plugin, const SoraRequest *request, double flops_per_second)
{
  g_autofree char *path = rates_path (), *key = rate_key (plugin, request);
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_mkdir_with_parents (folder, 0700);
  g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, NULL);
  g_key_file_set_double (file, "Rates", key, flops_per_second);
  g_key_file_save_to_file (file, path, NULL);
}
