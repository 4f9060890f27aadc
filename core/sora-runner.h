/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The runner: runs a plan's graphs.  Every stage has a light thread; heavy work goes to the one compute thread of
 * the process; tensors flow over bounded queues.  Instances stay warm in the process from job to job.
 */
#pragma once
#include "sora-plan.h"

G_BEGIN_DECLS

typedef struct SoraRunner SoraRunner;

/* What happens while it runs.  All callbacks come from threads of the runner, one at a time; none may block long
 * or call the runner, except sora_runner_cancel. */
typedef struct {
  /* Overall fraction 0..1 weighted by cost; the stage that works, its step of steps (0: not counted), and the
   * seconds expected to remain (negative: not known yet).  At most 20 a second, and at each new step and end of a stage. */
  void (*progress) (gpointer data, double fraction, guint run, const char *stage, guint step, guint steps,
                    double remaining);
  /* level is SoraLogLevel. */
  void (*log) (gpointer data, int level, const char *stage, const char *message);
  /* u8 [H,W,3]; take a reference to keep it. */
  void (*preview) (gpointer data, SoraTensor *picture);
  /* A stage ended: its seconds on the wall, and in compute; and the most memory that the whole process had
   * resident meanwhile, in bytes (0: not known). */
  void (*stage_done) (gpointer data, guint run, const char *stage, double wall_seconds, double compute_seconds,
                      guint64 peak_resident);
  /* A stage saved a checkpoint: the file @name of the state folder.  The stage's call returns when this does, and
   * fails if this gives FALSE.  Unlike the others it may block, and may come beside others. */
  gboolean (*checkpoint) (gpointer data, const char *name, GError **error);
} SoraRunnerCallbacks;

/* One file of a result. */
typedef struct {
  char *stage, *port;
  char *name;       /* "clip.mp4" */
  char *media_type;
  char *path;       /* where it was published */
  guint64 size;
} SoraResultFile;

/**
 * sora_runner_new:
 * @plan: what to run
 * @output_dir: (nullable): where result files appear, by rename, when the whole plan has succeeded; NULL: the
 *   plan must have no file outputs
 * @state_dir: (nullable): for checkpoints and scratch; NULL: no checkpoints, and the system's temporary folder
 * @callbacks: (nullable): what to tell, copied
 * @data: for the callbacks
 *
 * Returns: (transfer full): a runner
 */
SoraRunner *sora_runner_new (SoraPlan *plan, const char *output_dir, const char *state_dir,
                             const SoraRunnerCallbacks *callbacks, gpointer data);

/**
 * sora_runner_ref:
 * @runner: a runner
 *
 * Returns: (transfer full): @runner
 */
SoraRunner *sora_runner_ref (SoraRunner *runner);

/**
 * sora_runner_unref:
 * @runner: (nullable) (transfer full): a runner that does not run
 */
void sora_runner_unref (SoraRunner *runner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraRunner, sora_runner_unref)

/**
 * sora_runner_set_output_name:
 * @runner: a runner, before run
 * @prefix: result files are named PREFIX + the extension of the stage's name ("ball" to "ball.mp4"; numbered
 *   ones "ball-0001.png")
 * @overwrite: whether an existing file is replaced; else it is an error
 */
void sora_runner_set_output_name (SoraRunner *runner, const char *prefix, gboolean overwrite);

/**
 * sora_runner_run:
 * @runner: a runner
 * @error: (out) (optional): where to put it
 *
 * Blocks until done.
 *
 * Returns: FALSE on any error; then nothing of a result is visible, and errors of stages read "stage 'decode':
 *   ..."
 */
gboolean sora_runner_run (SoraRunner *runner, GError **error);

/**
 * sora_runner_cancel:
 * @runner: a runner
 *
 * Any thread; sora_runner_run() returns SORA_ERROR_CANCELLED soon.
 */
void sora_runner_cancel (SoraRunner *runner);

/**
 * sora_runner_want_preview:
 * @runner: a runner
 * @wanted: whether somebody looks
 *
 * Any thread.
 */
void sora_runner_want_preview (SoraRunner *runner, gboolean wanted);

/**
 * sora_runner_files:
 * @runner: a runner, after a successful run
 *
 * Returns: (transfer none): SoraResultFile
 */
GPtrArray *sora_runner_files (SoraRunner *runner);

/**
 * sora_runner_get_output:
 * @runner: a runner, after a successful run of a plan of sora_plan_new_for_stage()
 * @port: an output
 *
 * Returns: (transfer full) (nullable): what came out of it, chunks of a stream joined; NULL if nothing came
 */
SoraTensor *sora_runner_get_output (SoraRunner *runner, const char *port);

/**
 * sora_runner_peak_reserved:
 * @runner: a runner
 *
 * Returns: the highest sum of the ledger's reservations during the run, in bytes
 */
guint64 sora_runner_peak_reserved (SoraRunner *runner);

/**
 * sora_runner_peak_resident:
 * @runner: a runner, after run, whether it succeeded or not
 *
 * Returns: the most memory that the process had resident during the run, in bytes, weights of other warm
 *   instances included; 0: not known
 */
guint64 sora_runner_peak_resident (SoraRunner *runner);

/**
 * sora_runner_set_cache:
 * @runner: a runner, before run
 * @dir: (nullable): a folder of one user, see sora_cache_default_dir(); it is made where there is
 *   something to keep.  %NULL (the default): nothing is kept
 *
 * What stages give whose outputs follow from their recipe alone (embeddings of prompts, latents) is kept there and taken from there;
 * what only led to such outputs is not run again.  A request with metadata "none", or with `no_cache`, does neither.  All entries
 * together take at most what the environment's `SORA_CACHE_MAX` says, else 256 MiB; 0 keeps and takes nothing.
 */
void sora_runner_set_cache (SoraRunner *runner, const char *dir);

/**
 * SoraPackedUse:
 * @SORA_PACKED_READ: what the owner of the folder wrote is taken, and nothing is written: for a service that many users share, of
 *   a folder that sora_packed_check_system_dir() found good
 * @SORA_PACKED_KEEP: what this user wrote is taken, and more is written, for nobody else to read
 * @SORA_PACKED_SHARE: likewise, for everybody to read
 *
 * What may be done with a folder of packed weights.
 */
typedef enum
{
  SORA_PACKED_READ,
  SORA_PACKED_KEEP,
  SORA_PACKED_SHARE,
} SoraPackedUse;

/**
 * sora_runner_set_packed:
 * @runner: a runner, before run
 * @dir: (nullable): a folder, see sora_packed_default_dir(); it is made where there is something to keep.
 *   %NULL (the default): nothing is kept
 * @use: what may be done with it
 *
 * What stages make of a model's weights is kept there and taken from there.  All files together take at most what
 * the environment's `SORA_PACKED_MAX` says, else 32 GiB; those used longest ago make room.
 */
void sora_runner_set_packed (SoraRunner *runner, const char *dir, SoraPackedUse use);

/**
 * sora_runner_set_single:
 * @runner: a runner, before run
 * @single: whether this is the last job of the process, as in a command line's
 *
 * Then a stage's weights are freed when it has ended, and not kept warm for a job to come.
 */
void sora_runner_set_single (SoraRunner *runner, gboolean single);

/**
 * sora_runner_set_info:
 * @runner: a runner, before run
 * @key: "job"
 * @value: what SoraHost.info answers: the job's id
 *
 * Provenance that only the caller knows.
 */
void sora_runner_set_info (SoraRunner *runner, const char *key, const char *value);

/* What waited in one queue at most; after run, whether it succeeded or not (for benchmarks and tests). */
typedef struct {
  guint run;
  char *from, *to; /* "decode:frames", "mark:frames" */
  guint peak_tensors;
  guint64 peak_bytes;
  guint enlarged; /* how often it was made larger because every stage waited for another */
} SoraQueueInfo;

/**
 * sora_runner_queues:
 * @runner: a runner, after run, whether it succeeded or not
 *
 * Returns: (transfer none): SoraQueueInfo
 */
GPtrArray *sora_runner_queues (SoraRunner *runner);

/**
 * sora_process_init:
 *
 * Sets OMP_WAIT_POLICY=passive where it is not set, and makes a file that outgrows RLIMIT_FSIZE an error
 * instead of a signal.  Call first in main(), before any plugin is loaded and any thread is made.
 */
void sora_process_init (void);

/**
 * sora_process_shutdown:
 *
 * Destroys warm instances and ends the compute thread, for leak-free ends of tests and tools.
 */
void sora_process_shutdown (void);

/**
 * sora_version:
 *
 * Returns: the host's version: "0.1.0"
 */
const char *sora_version (void);

/**
 * sora_isa:
 *
 * Returns: the instruction set that numeric results depend on: "avx512_vnni", "avx512", "avx2", "sse4.1" or
 *   "base"
 */
const char *sora_isa (void);

G_END_DECLS
