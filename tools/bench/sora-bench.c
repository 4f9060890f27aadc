/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sora-bench: what the machine can do, and what the stages make of it.  `soractl bench` is the
 * same.
 */
#include "config.h"
#include "bench.h"
#include "sora-error.h"
#include "sora-runner.h"
#include "tools/soractl-console.h"
#include <locale.h>
#include <stdio.h>

static int
tell (const GError *error, int code)
{
  soractl_console_error ("%s", error->message);
  return code;
}

int
main (int argc, char **argv)
{
  BenchOptions options = { 0 };
  gboolean version = FALSE, usage = FALSE;
  setlocale (LC_ALL, "");
  /* Numbers in options and JSON are always written with a point. */
  setlocale (LC_NUMERIC, "C");
  g_set_prgname ("sora-bench");
  sora_process_init ();
  g_autofree GOptionEntry *entries = bench_option_entries (&options);
  const GOptionEntry more[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &options.json, "Print JSON, for programs", NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &options.quiet, "Print results and errors alone", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("[CASE...]");
  g_option_context_set_summary (context,
                                "Measures the machine's peaks, and the stages at named shapes");
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_main_entries (context, more, NULL);
  g_autoptr (GError) error = NULL;
  int code = 0;
  if (!g_option_context_parse (context, &argc, &argv, &error))
    code = tell (error, 2);
  else if (version)
    printf ("sora-bench %s\n", sora_version ());
  else
    {
      options.cases = argv + 1;
      if (!bench_main (&options, &usage, &error))
        code = tell (error, usage                                                       ? 2
                            : g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND) ? 3
                                                                                        : 1);
    }
  bench_options_clear (&options);
  sora_process_shutdown ();
  if (fflush (stdout) != 0 || ferror (stdout))
    {
      soractl_console_error ("cannot write to the standard output");
      return 1;
    }
  return code;
}
