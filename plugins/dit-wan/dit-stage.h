/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dit-stage: what the calls of the stage class share.
 */
#ifndef DIT_STAGE_H
#define DIT_STAGE_H

#include "dit-forward.h"
#include "kit-stage.h"

/* One job, as its parameters and ports say. */
typedef struct
{
  DitFamily family;
  SoraKitSamplerConfig sampler;
  DitGeometry geometry;
  int64_t steps;    /* with a few-step rule, as many as its list has */
  int64_t crossing; /* the step that the second expert begins with; steps: it has none */
  double guidance[DIT_MAX_EXPERTS], flow_shift;
  int sampler_kind;           /* SoraKitSamplerKind; AUTO: the scheduler's class */
  int is_probe;               /* one forward at `times`, nothing else */
  DitTimes times;             /* of the probe, or room for the step's one; of_token is dit_run's */
  const double *probe_tokens; /* (nullable): each token's, of the probe */
  uint64_t sampler_bytes;     /* what the sampler remembers between steps */
  int n_texts;                /* 2 with guidance */
  int64_t guided_first, guided_end; /* the steps that have it; the others take the first text alone */
  double reuse_threshold;           /* above 0: steps may take an earlier one's velocity, */
  int64_t reuse_first;              /* from this step on */
  int64_t text_rows[DIT_MAX_TEXTS]; /* -1: not known before run */
  int64_t padded[DIT_MAX_TEXTS];
} DitJob;

/* What stays warm between runs: one expert, whichever worked last. */
typedef struct
{
  DitModel *model;  /* NULL until the first run, and after release */
  SoraKitHold hold; /* for the larger expert of the jobs so far */
} DitInstance;

extern const char *const dit_text_ports[DIT_MAX_TEXTS];

/** dit_job_read: reads files, parameters and ports.  [infer run]  Returns: %SORA_OK or another
 * result, told. */
int dit_job_read (const SoraHost *host, SoraContext *ctx, DitJob *job);

/** dit_job_cost: Returns: what the job will take; @stored_bytes is what each expert's files
 * hold. */
SoraCost dit_job_cost (const DitJob *job, const uint64_t stored_bytes[DIT_MAX_EXPERTS]);

/** dit_job_tokens: writes the probe's index of each token's time to @of_token [tokens]. */
void dit_job_tokens (const DitJob *job, int32_t *of_token);

/** dit_job_expert: Returns: which expert makes @step. */
static inline int
dit_job_expert (const DitJob *job, int64_t step)
{
  return step >= job->crossing;
}

/** dit_job_step_texts: Returns: how many texts @step computes. */
static inline int
dit_job_step_texts (const DitJob *job, int64_t step)
{
  return step >= job->guided_first && step < job->guided_end ? job->n_texts : 1;
}

/** dit_job_expert_texts: Returns: how many texts any step of @expert computes. */
int dit_job_expert_texts (const DitJob *job, int expert);

/**
 * dit_load:
 * @host: the host
 * @ctx: run, on the stage's thread
 * @instance: has the memory reserved; holds @config's weights afterwards, and no others
 * @config: the expert
 * @step: the step that waits for it, for progress
 * @steps: of the job
 *
 * Another expert's weights are freed before the first of these is read; nothing is done if they are
 * there.  On failure none are held.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED, told to the host
 */
int dit_load (const SoraHost *host, SoraContext *ctx, DitInstance *instance,
              const DitConfig *config, int64_t step, int64_t steps);

/** dit_run: the stage's `run`. */
int dit_run (const SoraHost *host, SoraContext *ctx, void *instance);

#endif
