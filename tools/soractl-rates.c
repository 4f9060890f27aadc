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

double
soractl_rates_get (const char *plugin)
{
  g_autofree char *path = rates_path ();
  g_autoptr (GKeyFile) file = g_key_file_new ();
  if (!g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, NULL))
    return 0;
  double rate = g_key_file_get_double (file, "Rates", plugin, NULL);
  return rate > 0 ? rate : 0;
}

void
soractl_rates_set (const char *plugin, double flops_per_second)
{
  g_autofree char *path = rates_path ();
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_mkdir_with_parents (folder, 0700);
  g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, NULL);
  g_key_file_set_double (file, "Rates", plugin, flops_per_second);
  g_key_file_save_to_file (file, path, NULL);
}
