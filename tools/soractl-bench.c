/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl bench: what sora-bench does, the machine's peaks and the stages at named shapes; or, with
 * --request, how long the stages of a request take.
 */
#include "config.h"
#include "soractl-bench.h"
#include "bench/bench.h"
#include <string.h>

/* Takes --request out of the words.  Options of the two are others, so it is looked for before they
 * are parsed. */
static gboolean
take_request (int *argc, char **argv)
{
  for (int i = 1; i < *argc && !g_str_equal (argv[i], "--"); i++)
    if (g_str_equal (argv[i], "--request"))
      {
        memmove (argv + i, argv + i + 1, sizeof *argv * (size_t)(*argc - i));
        --*argc;
        return TRUE;
      }
  return FALSE;
}

int
soractl_verb_bench (SoractlGlobal *global, int argc, char **argv)
{
  if (take_request (&argc, argv))
    return soractl_bench_request (global, argc, argv);
  BenchOptions options = { 0 };
  g_autofree GOptionEntry *measuring = bench_option_entries (&options);
  g_autoptr (GArray) entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));
  gboolean request = FALSE; /* was taken out: here it is for --help alone */
  const GOptionEntry other = {
    "request",
    0,
    0,
    G_OPTION_ARG_NONE,
    &request,
    "Time the stages of a request instead; 'soractl bench --request --help' tells its options",
    NULL
  };
  for (const GOptionEntry *e = measuring; e->long_name != NULL; e++)
    g_array_append_val (entries, *e);
  g_array_append_val (entries, other);
  int code = soractl_parse_options (global, (const GOptionEntry *)(void *)entries->data, FALSE,
                                    &argc, &argv);
  if (code == SORACTL_OK)
    {
      g_autoptr (GError) error = NULL;
      gboolean usage = FALSE;
      options.cases = argv + 1;
      options.json = global->json;
      options.quiet = global->quiet;
      if (!bench_main (&options, &usage, &error))
        code = usage ? soractl_usage_error ("bench", "%s", error->message) : soractl_report (error);
    }
  bench_options_clear (&options);
  return code;
}
