/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The inside of the runner.  One lock guards all that the stages of a job share: links, ledger,
 * states of tasks.  Frames come tens of times a second, not millions, and with one lock "who waits
 * for whom" is a question that has an answer.
 *
 * Order of locks: reports, then the runner's lock, then the pool of instances.  Plugins and
 * callbacks are called with none of them held, but reports.
 */
#pragma once
#include "sora-instance.h"
#include "sora-ledger.h"
#include "sora-link.h"
#include "sora-output.h"
#include "sora-plan-private.h"
#include "sora-progress.h"
#include "sora-resident.h"
#include "sora-remote-private.h"
#include "sora-runner.h"

G_BEGIN_DECLS

typedef enum
{
  SORA_TASK_RUNNING,
  SORA_TASK_WAIT_START,   /* for the first tensor of any input */
  SORA_TASK_WAIT_PULL,    /* for a tensor of `link` */
  SORA_TASK_WAIT_PUSH,    /* for room of `bytes` in `link` */
  SORA_TASK_WAIT_RESERVE, /* for room of `bytes` in the ledger */
  SORA_TASK_DONE,
} SoraTaskState;

/* What flowed over one port. */
typedef struct
{
  guint tensors;
  gint64 rows; /* sum of first extents */
} SoraFlow;

/* A stage that runs. */
struct SoraTask
{
  SoraRunner *runner;
  SoraNode *node;
  SoraInstance *instance; /* NULL once it has ended */
  SoraContext ctx;
  GThread *thread;
  GPtrArray *inputs;         /* of SoraLink, a port each; NULL: unconnected */
  GPtrArray *outputs;        /* of GPtrArray of SoraLink, a port each */
  SoraFlow *pulled, *pushed; /* of the stage's thread */
  char *recipe;              /* of the stage's thread: key of its checkpoint, once asked for */
  char **pulled_digests; /* likewise: of whole tensors that came from other stages, a port each */
  /* Of the cache, of the stage's thread: */
  char *cache_key;
  GPtrArray *kept;  /* of SoraTensor: what an earlier job's stage gave; run is not called */
  GPtrArray *noted; /* of SoraTensor, an output each; NULL: it is not kept */
  gboolean skipped; /* nobody wants what it would give */
  gboolean follows; /* all that comes in is named by its recipe */
  int personal;     /* atomic: what it gives may be this job's alone */
  gboolean seeded;  /* it asked for the seed or for random numbers */
  /* Under the lock. */
  SoraTaskState state;
  SoraLink *link;
  guint64 bytes;
  gboolean refused; /* set by whoever finds that the wait can never end */
  guint64 work;        /* of SORA_MEMORY_WORK */
  guint step, steps;
  gboolean reports; /* it calls progress() itself */
  double compute_seconds;
  gint64 began;
  SoraResident resident;
};

struct SoraRunner
{
  gatomicrefcount ref;
  SoraPlan *plan;
  SoraRunnerCallbacks callbacks;
  gpointer data;
  char *output_dir, *state_dir, *output_name, *cache_dir, *packed_dir;
  guint64 cache_limit;
  SoraPackedUse packed_use;
  gboolean overwrite, single;
  struct SoraStage *stage; /* this process is a third-party stage's: ports lead to a stream */
  guint64 peak_resident;
  GHashTable *info; /* char* -> char* */
  guint threads;
  SoraOutput *output;
  GHashTable *collected; /* char* port -> SoraTensor*: of a stage run */
  GPtrArray *files;      /* of SoraResultFile; after success */
  GMutex reports;        /* one callback at a time */
  int preview_wanted;    /* atomic */
  int stopped;           /* atomic copy of `stopping` */

  GMutex lock;
  GCond changed;
  gboolean used, cancelled, stopping;
  GError *error; /* the first real one */
  SoraLedger ledger;
  GPtrArray *tasks;  /* of SoraTask: of the run at hand */
  GPtrArray *links;  /* of SoraLink: of the run at hand */
  GPtrArray *queues; /* of SoraQueueInfo: of all runs */
  SoraProgress progress;
  guint first_node; /* of the run at hand, in the progress of the whole plan */
};

/* Tasks. */
SoraTask *sora_task_new (SoraRunner *runner, SoraNode *node);
void sora_task_free (SoraTask *task);
void sora_task_start (SoraTask *task);
int sora_task_pull (SoraTask *task, guint input, SoraTensor **tensor);
int sora_task_push (SoraTask *task, guint output, SoraTensor *tensor); /* consumes */
int sora_task_reserve (SoraTask *task, SoraMemoryKind kind, guint64 bytes);
int sora_task_unreserve (SoraTask *task, SoraMemoryKind kind, guint64 bytes);
/* Under the lock: could it go on? */
gboolean sora_task_is_stuck (SoraTask *task);
/* Under the lock: if every live task is stuck, makes a queue larger, or one task fail. */
void sora_stall_check (SoraRunner *runner);

/* Under the lock: the first real error wins, everybody else is cancelled.  Takes @error. */
void sora_runner_stop (SoraRunner *runner, GError *error);
gboolean sora_runner_is_stopped (gpointer runner);
void sora_runner_log (SoraContext *ctx, int level, const char *message);
/* Raises the stage's fraction and reports; @force: a new step. */
void sora_runner_report (SoraRunner *runner, SoraTask *task, double fraction, gboolean force);
/* NULL without an error: there is none.  *@warning is told at most once. */
const char *sora_runner_get_info (SoraRunner *runner, const char *key, char **warning,
                                  GError **error);
void sora_runner_send_preview (SoraRunner *runner, SoraTensor *picture);
void sora_runner_stage_done (SoraRunner *runner, SoraTask *task, guint64 peak_resident);

G_END_DECLS
