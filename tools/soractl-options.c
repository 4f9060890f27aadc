/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Options: those of a verb through GOption, and what values mean that several verbs take.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl.h"
#include "sora-error.h"
#include <stdio.h>
#include <string.h>

int
soractl_usage_error (const char *verb, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  soractl_console_error ("%s; see 'soractl %s --help'", text, verb);
  return SORACTL_USAGE;
}

/* The entry that @word is: "--name" or "-n". */
static const GOptionEntry *
find_entry (const GOptionEntry *entries, const char *word)
{
  for (const GOptionEntry *e = entries; e != NULL && e->long_name != NULL; e++)
    if ((g_str_has_prefix (word, "--") && g_str_equal (word + 2, e->long_name))
        || (e->short_name != 0 && word[1] == e->short_name && word[2] == '\0'))
      return e;
  return NULL;
}

/* "-pVALUE", which GOption does not know, as "--param=VALUE"; else NULL. */
static char *
split_short (const GOptionEntry *entries, const char *word)
{
  if (word[0] != '-' || word[1] == '-' || word[1] == '\0' || word[2] == '\0')
    return NULL;
  for (const GOptionEntry *e = entries; e != NULL && e->long_name != NULL; e++)
    if (e->short_name == word[1] && e->arg != G_OPTION_ARG_NONE)
      return g_strdup_printf ("--%s=%s", e->long_name, word + 2 + (word[2] == '='));
  return NULL;
}

/* GOption takes the letters that it knows out of every word that begins with "-", also out of the
 * value of an option that it does not know: "--negative-prompt -dark" would be "--detach". So such
 * a value is tied to its option before GOption looks: "--negative-prompt=-dark". */
static void
tie_values (const GOptionEntry *entries, const GOptionEntry *common, int *argc, char **argv)
{
  int out = 1, i;
  for (i = 1; i < *argc && !g_str_equal (argv[i], "--"); i++)
    {
      char *word = argv[i], *next = i + 1 < *argc ? argv[i + 1] : NULL;
      g_autofree char *split = split_short (entries, word);
      argv[out++] = split != NULL ? (char *)g_intern_string (split) : word;
      if (split != NULL)
        continue;
      if (word[0] != '-' || next == NULL)
        continue;
      const GOptionEntry *entry = find_entry (entries, word);
      if (entry == NULL)
        entry = find_entry (common, word);
      if (entry != NULL && entry->arg != G_OPTION_ARG_NONE)
        {
          argv[out++] = next;
          i++;
        }
      else if (entry == NULL && g_str_has_prefix (word, "--") && !g_str_has_prefix (word, "--no-")
               && strchr (word, '=') == NULL && next[0] == '-' && next[1] != '-' && next[1] != '\0'
               && find_entry (entries, next) == NULL && find_entry (common, next) == NULL)
        {
          g_autofree char *tied = g_strdup_printf ("%s=%s", word, next);
          /* Who owns the words of argv?  Nobody frees them. */
          argv[out - 1] = (char *)g_intern_string (tied);
          i++;
        }
    }
  for (; i < *argc; i++)
    argv[out++] = argv[i];
  argv[out] = NULL;
  *argc = out;
}

int
soractl_parse_options (SoractlGlobal *global, const GOptionEntry *entries, gboolean lenient,
                       int *argc, char ***argv)
{
  gboolean help = FALSE, verbose = FALSE;
  const char *verb = (*argv)[0];
  const SoractlVerb *v = soractl_verbs;
  while (v->name != NULL && !g_str_equal (v->name, verb))
    v++;
  const GOptionEntry common[] = {
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &global->quiet, "Print results and errors alone", NULL },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &help, "Show this help", NULL },
    { v->json ? "json" : NULL, 0, 0, G_OPTION_ARG_NONE, &global->json, "Print JSON, for programs",
      NULL },
    { v->verbose ? "verbose" : NULL, 'v', 0, G_OPTION_ARG_NONE, &verbose,
      "Tell how stages do their work", NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new (v->usage);
  g_option_context_set_summary (context, v->summary);
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_ignore_unknown_options (context, lenient);
  if (entries != NULL)
    g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_main_entries (context, common, NULL);
  g_autoptr (GError) error = NULL;
  tie_values (entries, common, argc, *argv);
  if (!g_option_context_parse (context, argc, argv, &error))
    return soractl_usage_error (verb, "%s", error->message);
  soractl_console_set_verbose (verbose);
  if (help)
    {
      g_autofree char *program = g_strdup_printf ("soractl %s", verb);
      g_set_prgname (program);
      g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);
      fputs (text, stdout);
      g_set_prgname ("soractl");
      return -1;
    }
  return SORACTL_OK;
}

gboolean
soractl_parse_seed (const char *text, guint64 *seed, GError **error)
{
  if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, seed, NULL))
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
               "option --seed is '%s', expected a whole number from 0 to 2^64 - 1", text);
  return FALSE;
}

gboolean
soractl_check_threads (gint threads, GError **error)
{
  if (threads >= 0 && threads <= (int)SORA_REQUEST_MAX_THREADS)
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
               "option --threads is %d, expected 0 to %u", threads, SORA_REQUEST_MAX_THREADS);
  return FALSE;
}

gboolean
soractl_parse_size (const char *text, guint64 *bytes, GError **error)
{
  static const struct
  {
    const char *suffix;
    double bytes;
  } units[] = {
    { "", 1 },
    { "B", 1 },
    { "k", 1e3 },
    { "kB", 1e3 },
    { "KiB", 1024 },
    { "M", 1e6 },
    { "MB", 1e6 },
    { "MiB", 1048576.0 },
    { "G", 1e9 },
    { "GB", 1e9 },
    { "GiB", 1073741824.0 },
    { "T", 1e12 },
    { "TB", 1e12 },
    { "TiB", 1099511627776.0 },
  };
  char *end = NULL;
  double value = g_ascii_strtod (text, &end), unit = 0;
  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (end != text && g_ascii_strcasecmp (end, units[i].suffix) == 0)
      unit = units[i].bytes;
  /* A limit of 0 would mean none.  Written so that NaN fails too. */
  if (!(value * unit >= 1 && value * unit < 1e18))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option --memory is '%s', expected a size such as 4G, 800M or 3GiB", text);
      return FALSE;
    }
  *bytes = (guint64)(value * unit);
  return TRUE;
}
