/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The runner: runs a plan's graphs.  Every stage has a light thread; heavy work goes to the one compute thread of
 * the process; tensors flow over bounded queues.  Instances stay warm in the SoraHostProcess from job to job.
 */
#pragma once
#include "sora-plan.h"

G_BEGIN_DECLS

typedef struct SoraRunner SoraRunner;

/* What happens while it runs.  All callbacks come from threads of the runner, one at a time; none may block long
 * or call the runner, except sora_runner_cancel. */
typedef struct {
  /* Overall fraction 0..1 weighted by cost; the stage that works, its step of steps (0: not counted), and the
   * seconds expected to remain (negative: not known yet).  At most 20 a second, and at each new step. */
  void (*progress) (gpointer data, double fraction, guint run, const char *stage, guint step, guint steps,
                    double remaining);
  /* level is SoraLogLevel. */
  void (*log) (gpointer data, int level, const char *stage, const char *message);
  /* u8 [H,W,3]; take a reference to keep it. */
  void (*preview) (gpointer data, SoraTensor *picture);
  /* A stage ended: its seconds on the wall, and in compute. */
  void (*stage_done) (gpointer data, guint run, const char *stage, double wall_seconds, double compute_seconds);
} SoraRunnerCallbacks;

/* One file of a result. */
typedef struct {
  char *stage, *port;
  char *name;       /* "clip.mp4" */
  char *media_type;
  char *path;       /* where it was published */
  guint64 size;
} SoraResultFile;

/* @output_dir: where result files appear, by rename, when the whole plan has succeeded; NULL: the plan must have no
 * file outputs.  @state_dir: for checkpoints and scratch (NULL: none, and the system's temporary folder). */
SoraRunner *sora_runner_new (SoraPlan *plan, const char *output_dir, const char *state_dir,
                             const SoraRunnerCallbacks *callbacks, gpointer data);
SoraRunner *sora_runner_ref (SoraRunner *runner);
void sora_runner_unref (SoraRunner *runner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraRunner, sora_runner_unref)

/* If set before run: result files are named PREFIX + the extension of the stage's name ("ball" -> "ball.mp4",
 * numbered ones -> "ball-0001.png"), and an existing file is only replaced with @overwrite. */
void sora_runner_set_output_name (SoraRunner *runner, const char *prefix, gboolean overwrite);
/* Blocks until done.  FALSE: @error, and nothing of a result is visible.  Errors of stages read
 * "stage 'decode': ...". */
gboolean sora_runner_run (SoraRunner *runner, GError **error);
/* Any thread; run() returns SORA_ERROR_CANCELLED soon. */
void sora_runner_cancel (SoraRunner *runner);
/* Somebody wants previews (any thread). */
void sora_runner_want_preview (SoraRunner *runner, gboolean wanted);
/* After a successful run: result files (of SoraResultFile; not yours). */
GPtrArray *sora_runner_files (SoraRunner *runner);
/* After a successful run of sora_plan_new_for_stage: the tensor that came out of @port (chunks of a stream joined);
 * a new reference, or NULL if nothing came. */
SoraTensor *sora_runner_get_output (SoraRunner *runner, const char *port);
/* Highest sum of the ledger's reservations during the run, in bytes. */
guint64 sora_runner_peak_reserved (SoraRunner *runner);

/* Provenance that only the caller knows, before run: "job" -> the job's id. */
void sora_runner_set_info (SoraRunner *runner, const char *key, const char *value);

/* What waited in one queue at most; after run, whether it succeeded or not (for benchmarks and tests). */
typedef struct {
  guint run;
  char *from, *to; /* "decode:frames", "mark:frames" */
  guint peak_tensors;
  guint64 peak_bytes;
  guint enlarged; /* how often it was made larger because every stage waited for another */
} SoraQueueInfo;
GPtrArray *sora_runner_queues (SoraRunner *runner); /* of SoraQueueInfo; not yours */

/* Process-wide: sets OMP_WAIT_POLICY=passive where it is not set, and makes a file that outgrows RLIMIT_FSIZE an error
 * instead of a signal.  Call first in main(), before any plugin is loaded and any thread is made. */
void sora_process_init (void);
/* Destroys warm instances and ends the compute thread (for leak-free ends of tests and tools). */
void sora_process_shutdown (void);
/* The host's version, "0.1.0", and the instruction set that its results depend on, "avx512_vnni". */
const char *sora_version (void);
const char *sora_isa (void);

G_END_DECLS
