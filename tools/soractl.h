/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the verbs of soractl share: their table, exit codes, and what was given before the verb.
 */
#pragma once
#include <glib.h>
#include "sora-plan.h"

/* Exit codes, in the man page too. */
typedef enum
{
  SORACTL_OK = 0,
  SORACTL_FAILED = 1,        /* the job, or what was asked for, failed */
  SORACTL_USAGE = 2,         /* bad options, or a request that no job could be made of */
  SORACTL_NOT_FOUND = 3,     /* no such job, plugin, pipeline, model or file */
  SORACTL_NO_SERVICE = 4,    /* sorad cannot be reached */
  SORACTL_INTERRUPTED = 130, /* Ctrl-C, or the job was cancelled */
} SoractlExit;

typedef struct
{
  gboolean session; /* --session: the user's own daemon; else the system's */
  gboolean system;  /* --system was said, and is not only the default */
  gboolean quiet;
  gboolean json;
} SoractlGlobal;

typedef struct
{
  const char *name;
  const char *usage;                                         /* what follows "soractl NAME" */
  const char *summary;                                       /* one line */
  int (*run) (SoractlGlobal *global, int argc, char **argv); /* argv[0] is the verb */
  gboolean json;                                             /* has --json */
  gboolean verbose;                                          /* has --verbose: it follows stages */
} SoractlVerb;

/* NULL-named at its end. */
extern const SoractlVerb soractl_verbs[];

int soractl_verb_bench (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_cache (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_cancel (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_check (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_delete (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_pause (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_resume (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_priority (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_keep (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_generate (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_inspect (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_jobs (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_models (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_pipelines (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_plugins (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_preview (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_result (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_run (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_show (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_stage (SoractlGlobal *global, int argc, char **argv);
int soractl_verb_wait (SoractlGlobal *global, int argc, char **argv);

/* Parses a verb's own options (with --quiet and --help of every verb, and --json); what is unknown
 * stays in argv when @lenient, with "--name -value" as "--name=-value".  Returns SORACTL_OK, or the
 * code to leave with, after telling why; -1: --help was printed. */
int soractl_parse_options (SoractlGlobal *global, const GOptionEntry *entries, gboolean lenient,
                           int *argc, char ***argv);
/* Prints "soractl: MESSAGE" and gives the exit code that belongs to the error. */
int soractl_report (const GError *error);
int soractl_usage_error (const char *verb, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Values of options that several verbs take. */
gboolean soractl_parse_seed (const char *text, guint64 *seed, GError **error);
gboolean soractl_check_threads (gint threads, GError **error);
gboolean soractl_parse_size (const char *text, guint64 *bytes, GError **error); /* at least 1 */
