/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What generate, run, check and bench are told: options to a request, and where its result shall
 * go.
 *
 * Options that are not soractl's own are the pipeline's public parameters: --steps 20, --width=96,
 * --no-mark.
 */
#pragma once
#include "soractl.h"
#include "sora-request.h"
#include "sora-runner.h"

typedef struct
{
  SoraRequest *request;
  GPtrArray *texts; /* of SoractlText: parameters as they were written */
  char *prompt;     /* the positional prompt; NULL */
  char *output;     /* -o; NULL: named after the prompt */
  char *format;     /* once resolved: the parameter "format"; NULL if there is none */
  const char *verb; /* of main's argv */
  gboolean overwrite;
  gboolean local;
  gboolean detach;       /* submit and leave */
  gboolean wants_prompt; /* without a prompt it cannot be resolved */
  gint repeat;           /* bench */
  char *packed_dir;         /* run for the packed weights alone, which go there; NULL */
  SoraPackedUse packed_use; /* then */
} SoractlJob;

typedef struct
{
  char *name;
  char *text;       /* NULL: a flag without a value, "--mark" */
  gboolean negated; /* --no-NAME */
  gboolean guessed; /* the text is the next word, which a switch gives back */
} SoractlText;

typedef enum
{
  SORACTL_JOB_PIPELINE = 1 << 0, /* the first word is a pipeline, else a prompt */
  SORACTL_JOB_OUTPUT = 1 << 1,   /* has -o, --overwrite */
  SORACTL_JOB_SUBMIT = 1 << 2,   /* has --local, --detach */
  SORACTL_JOB_REPEAT = 1 << 3,   /* has --repeat */
} SoractlJobFlags;

/* Returns SORACTL_OK, another exit code after telling why, or -1 after --help. */
int soractl_job_parse (SoractlJob *job, SoractlGlobal *global, SoractlJobFlags flags, int argc,
                       char **argv);
void soractl_job_clear (SoractlJob *job);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SoractlJob, soractl_job_clear)

/* Finds the declaration of a parameter; NULL if there is none.  @default_value: (optional)
 * (transfer none): its default in the pipeline, or NULL. */
typedef const SoraParam *(*SoractlParamLookup) (const char *name, GVariant **default_value,
                                                gpointer data);
/* Turns the texts into typed values of job->request. */
gboolean soractl_job_resolve (SoractlJob *job, SoractlParamLookup lookup, gpointer data,
                              GError **error);

/* The prompt, as the word or the parameter of that name; NULL. */
const char *soractl_job_prompt (const SoractlJob *job);

/* ".mp4" at the end of -o, with its dot; NULL if it has no ending that is a format. */
const char *soractl_job_ending (const SoractlJob *job);
/* Folder and name stem for the result files: from -o, else (also in a folder that -o names) from
 * the prompt, numbered until it is free. */
void soractl_job_output_name (const SoractlJob *job, char **folder, char **stem);
/* Before any work is done: can files be named so, is there such a folder, and no such file (or
 * --overwrite)?  SORACTL_OK, or the exit code after telling. */
int soractl_job_check_stem (const char *stem);
int soractl_job_check_output (const SoractlJob *job, const char *folder, const char *stem);
/* Warns if what was made has another ending than -o. */
void soractl_job_check_ending (const SoractlJob *job, GPtrArray *paths);

/* One result, however it was made; prints it for people, or as JSON. */
typedef struct
{
  char *stage;
  double wall, compute;
  guint64 resident; /* most of the whole process meanwhile; 0: not known */
} SoractlTiming;
void soractl_job_print_result (SoractlGlobal *global, const char *job_id,
                               GPtrArray *paths /* char* */, guint64 seed, double seconds,
                               GPtrArray *timings /* SoractlTiming */);
void soractl_timing_free (SoractlTiming *timing);

/* A prompt of usual length, for check and bench. */
#define SORACTL_STAND_IN "a red ball rolls right over green grass"

/* Runs it in this process (soractl-local.c) or on the service (soractl-remote.c); gives an exit
 * code. */
int soractl_run_local (SoractlGlobal *global, SoractlJob *job);
int soractl_run_remote (SoractlGlobal *global, SoractlJob *job);
/* Resolves the parameters of a request with the plugins of this process.  @stand_in: (nullable):
 * the prompt, if the pipeline has one and the request none. */
gboolean soractl_job_resolve_local (SoractlJob *job, SoraEnvironment *environment,
                                    const char *stand_in, GError **error);
/* Runs it on a thread of its own, while this one waits for Ctrl-C and cancels. */
gboolean soractl_run_interruptibly (SoraRunner *runner, GError **error);
