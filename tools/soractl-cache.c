/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl cache: what jobs of this user left for later ones, and how to be rid of it.
 */
#include "config.h"
#include "sora-cache.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include "soractl.h"

int
soractl_verb_cache (SoractlGlobal *global, int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_cache_default_dir ();
  guint64 bytes;
  int code = soractl_parse_options (global, NULL, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  gboolean clear = argc > 1 && g_str_equal (argv[1], "clear");
  if (argc > 2 || (argc == 2 && !clear))
    return soractl_usage_error ("cache", "unexpected word '%s'; 'soractl cache clear' removes all of it",
                                argv[argc - 1]);
  if (clear && !sora_cache_clear (dir, &error))
    return soractl_report (error);
  guint entries = sora_cache_measure (dir, &bytes);
  g_autofree char *size = soractl_format_bytes (bytes);
  if (global->json)
    soractl_json_print (json_pack ("{s:s, s:I, s:I}", "path", dir, "entries", (json_int_t)entries,
                                   "bytes", (json_int_t)bytes));
  else if (!global->quiet)
    printf ("%u %s, %s, in %s\n", entries, entries == 1 ? "prompt" : "prompts", size, dir);
  return SORACTL_OK;
}
