/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl: the command line of sorad.  This file finds the verb; each verb has a file of its own.
 */
#include "config.h"
#include "soractl.h"
#include "soractl-console.h"
#include "sora-error.h"
#include "sora-runner.h"
#include <gio/gio.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

const SoractlVerb soractl_verbs[] = {
  { "generate", "[OPTION...] PROMPT", "Make a clip of a prompt", soractl_verb_generate },
  { "run", "[--local] [OPTION...] PIPELINE", "Run a pipeline, on the service or in this process",
    soractl_verb_run },
  { "jobs", "", "List your jobs", soractl_verb_jobs },
  { "show", "JOB", "Show one job", soractl_verb_show },
  { "cancel", "JOB...", "Stop jobs", soractl_verb_cancel },
  { "wait", "JOB", "Wait until a job is over", soractl_verb_wait },
  { "result", "JOB [-o FILE]", "Fetch what a job made", soractl_verb_result },
  { "preview", "JOB [-o FILE.png]", "Fetch the newest picture of a running job",
    soractl_verb_preview },
  { "plugins", "", "List the stage plugins", soractl_verb_plugins },
  { "pipelines", "", "List the pipelines", soractl_verb_pipelines },
  { "models", "", "List the models", soractl_verb_models },
  { "inspect", "NAME", "Show a plugin, pipeline, model or safetensors file", soractl_verb_inspect },
  { "check", "[OPTION...] [PROMPT]", "Shapes, memory and time of a request, without running it",
    soractl_verb_check },
  { "stage", "run PLUGIN [OPTION...]", "Run one stage on tensors from files", soractl_verb_stage },
  { "bench", "[OPTION...] [PROMPT]", "Time the stages of a request", soractl_verb_bench },
  { NULL, NULL, NULL, NULL },
};

static void
print_help (FILE *out)
{
  fprintf (out, "Usage: soractl [--session|--system] VERB ...\n\n"
                "Makes video from text with sorad, on this machine.\n\nVerbs:\n");
  for (const SoractlVerb *v = soractl_verbs; v->name != NULL; v++)
    fprintf (out, "  %-10s %s\n", v->name, v->summary);
  fprintf (out, "\nOptions before the verb:\n"
                "  --session   talk to your own sorad on the session bus\n"
                "  --system    talk to the machine's sorad on the system bus (default)\n"
                "  --version   print the version\n\n"
                "'soractl VERB --help' tells a verb's options; soractl(1) is the manual.\n");
}

int
soractl_report (const GError *error)
{
  g_autofree char *remote = NULL;
  const char *message = error->message;
  g_autoptr (GError) copy = g_error_copy (error);
  if (g_dbus_error_is_remote_error (copy))
    {
      remote = g_dbus_error_get_remote_error (copy);
      g_dbus_error_strip_remote_error (copy);
      message = copy->message;
    }
  soractl_console_error ("%s", message);
  if (error->domain == SORA_ERROR)
    {
      switch ((SoraError)error->code)
        {
        case SORA_ERROR_CANCELLED:
          return SORACTL_INTERRUPTED;
        case SORA_ERROR_NOT_FOUND:
          return SORACTL_NOT_FOUND;
        case SORA_ERROR_INVALID_REQUEST:
        case SORA_ERROR_INVALID_PIPELINE:
          return SORACTL_USAGE;
        default:
          return SORACTL_FAILED;
        }
    }
  if (error->domain == G_DBUS_ERROR || error->domain == G_IO_ERROR)
    {
      if (g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN)
          || g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER)
          || g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY))
        return SORACTL_NO_SERVICE;
    }
  return SORACTL_FAILED;
}

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

int
soractl_parse_options (SoractlGlobal *global, const GOptionEntry *entries, gboolean lenient,
                       int *argc, char ***argv)
{
  gboolean help = FALSE;
  const GOptionEntry common[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &global->json, "Print JSON, for programs", NULL },
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &global->quiet, "Print results and errors alone", NULL },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &help, "Show this help", NULL },
    G_OPTION_ENTRY_NULL,
  };
  const char *verb = (*argv)[0];
  const SoractlVerb *v = soractl_verbs;
  while (v->name != NULL && !g_str_equal (v->name, verb))
    v++;
  g_autoptr (GOptionContext) context = g_option_context_new (v->name != NULL ? v->usage : NULL);
  g_option_context_set_summary (context, v->name != NULL ? v->summary : NULL);
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_ignore_unknown_options (context, lenient);
  if (entries != NULL)
    g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_main_entries (context, common, NULL);
  g_autoptr (GError) error = NULL;
  if (!g_option_context_parse (context, argc, argv, &error))
    return soractl_usage_error (verb, "%s", error->message);
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

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  /* Numbers in options and JSON are always written with a point. */
  setlocale (LC_NUMERIC, "C");
  g_set_prgname ("soractl");
  sora_process_init ();

  SoractlGlobal global = { 0 };
  int i = 1;
  for (; i < argc && argv[i][0] == '-'; i++)
    {
      if (g_str_equal (argv[i], "--session"))
        global.session = TRUE;
      else if (g_str_equal (argv[i], "--system"))
        global.session = FALSE;
      else if (g_str_equal (argv[i], "--version"))
        {
          printf ("soractl %s\n", sora_version ());
          return SORACTL_OK;
        }
      else if (g_str_equal (argv[i], "--help") || g_str_equal (argv[i], "-h"))
        {
          print_help (stdout);
          return SORACTL_OK;
        }
      else
        {
          soractl_console_error ("unknown option '%s' before the verb; see 'soractl --help'",
                                 argv[i]);
          return SORACTL_USAGE;
        }
    }
  if (i >= argc)
    {
      print_help (stderr);
      return SORACTL_USAGE;
    }
  for (const SoractlVerb *v = soractl_verbs; v->name != NULL; v++)
    if (g_str_equal (v->name, argv[i]))
      {
        /* A copy that GOption may rearrange; the strings are those of main. */
        g_autofree char **verb_argv
            = g_memdup2 (argv + i, sizeof (char *) * (size_t)(argc - i + 1));
        int code = v->run (&global, argc - i, verb_argv);
        sora_process_shutdown ();
        if (fflush (stdout) != 0 || ferror (stdout))
          {
            soractl_console_error ("cannot write to the standard output");
            return SORACTL_FAILED;
          }
        return code < 0 ? SORACTL_OK : code;
      }
  soractl_console_error ("unknown verb '%s'; 'soractl --help' lists them", argv[i]);
  return SORACTL_USAGE;
}
