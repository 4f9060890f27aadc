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
  { "generate", "[OPTION...] PROMPT", "Make a clip of a prompt", soractl_verb_generate, TRUE,
    TRUE },
  { "run", "[--local] [OPTION...] PIPELINE", "Run a pipeline, on the service or in this process",
    soractl_verb_run, TRUE, TRUE },
  { "jobs", "", "List your jobs", soractl_verb_jobs, TRUE, FALSE },
  { "show", "JOB", "Show one job", soractl_verb_show, TRUE, FALSE },
  { "cancel", "JOB...", "Stop jobs", soractl_verb_cancel, FALSE, FALSE },
  { "wait", "JOB", "Wait until a job is over", soractl_verb_wait, TRUE, TRUE },
  { "result", "JOB [-o FILE]", "Fetch what a job made", soractl_verb_result, TRUE, FALSE },
  { "preview", "JOB [-o FILE.png]", "Fetch the newest picture of a running job",
    soractl_verb_preview, FALSE, FALSE },
  { "delete", "JOB...", "Forget jobs that are over, with what they made", soractl_verb_delete,
    FALSE, FALSE },
  { "pause", "JOB...", "Hold jobs; one that runs goes on later from where it was",
    soractl_verb_pause, FALSE, FALSE },
  { "resume", "JOB...", "Let paused jobs have their turn again", soractl_verb_resume, FALSE,
    FALSE },
  { "priority", "N JOB...", "Start jobs before (or after) your others", soractl_verb_priority,
    FALSE, FALSE },
  { "keep", "[--not] JOB...", "Never forget jobs to make room for newer ones", soractl_verb_keep,
    FALSE, FALSE },
  { "plugins", "", "List the stage plugins", soractl_verb_plugins, TRUE, FALSE },
  { "pipelines", "", "List the pipelines", soractl_verb_pipelines, TRUE, FALSE },
  { "models", "[list | add PATH... | show NAME | verify NAME... | remove NAME...]",
    "List, add and check models", soractl_verb_models, TRUE, FALSE },
  { "cache", "[clear [results|packed] | pack MODEL]",
    "Show what is kept of results of stages and of weights, remove it, or pack weights ahead",
    soractl_verb_cache, TRUE, FALSE },
  { "inspect", "NAME", "Show a plugin, pipeline, model or safetensors file", soractl_verb_inspect,
    FALSE, FALSE },
  { "check", "[OPTION...] [PROMPT]", "Shapes, memory and time of a request, without running it",
    soractl_verb_check, TRUE, FALSE },
  { "stage", "run PLUGIN [OPTION...]", "Run one stage on tensors from files", soractl_verb_stage,
    TRUE, TRUE },
  { "bench", "[OPTION...] [CASE...] | --request [OPTION...] [PROMPT]",
    "Measure this machine and the stages, or time a request", soractl_verb_bench, TRUE, FALSE },
  { NULL, NULL, NULL, NULL, FALSE, FALSE },
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

/* Is it an error of reaching the service: none there, none that could be started, none that
 * answers? */
static gboolean
is_no_service (int code)
{
  switch ((GDBusError)code)
    {
    case G_DBUS_ERROR_SERVICE_UNKNOWN:
    case G_DBUS_ERROR_NAME_HAS_NO_OWNER:
    case G_DBUS_ERROR_NO_REPLY:
    case G_DBUS_ERROR_NO_SERVER:
    case G_DBUS_ERROR_DISCONNECTED:
    case G_DBUS_ERROR_TIMEOUT:
    case G_DBUS_ERROR_TIMED_OUT:
    case G_DBUS_ERROR_SPAWN_EXEC_FAILED:
    case G_DBUS_ERROR_SPAWN_FORK_FAILED:
    case G_DBUS_ERROR_SPAWN_CHILD_EXITED:
    case G_DBUS_ERROR_SPAWN_CHILD_SIGNALED:
    case G_DBUS_ERROR_SPAWN_FAILED:
    case G_DBUS_ERROR_SPAWN_SETUP_FAILED:
    case G_DBUS_ERROR_SPAWN_CONFIG_INVALID:
    case G_DBUS_ERROR_SPAWN_SERVICE_INVALID:
    case G_DBUS_ERROR_SPAWN_SERVICE_NOT_FOUND:
    case G_DBUS_ERROR_SPAWN_PERMISSIONS_INVALID:
    case G_DBUS_ERROR_SPAWN_FILE_INVALID:
    case G_DBUS_ERROR_SPAWN_NO_MEMORY:
      return TRUE;
    default:
      return FALSE;
    }
}

int
soractl_report (const GError *error)
{
  g_autoptr (GError) copy = g_error_copy (error);
  g_dbus_error_strip_remote_error (copy);
  soractl_console_error ("%s", copy->message);
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
  return error->domain == G_DBUS_ERROR && is_no_service (error->code) ? SORACTL_NO_SERVICE
                                                                      : SORACTL_FAILED;
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
        global.session = TRUE, global.system = FALSE;
      else if (g_str_equal (argv[i], "--system"))
        global.session = FALSE, global.system = TRUE;
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
