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
  DitConfig config;
  SoraKitSamplerConfig sampler;
  DitGeometry geometry;
  int64_t steps; /* with a few-step rule, as many as its list has */
  double guidance, flow_shift;
  int sampler_kind; /* SoraKitSamplerKind; AUTO: the scheduler's class */
  int is_probe;     /* one forward at `timestep`, nothing else */
  double timestep;
  uint64_t sampler_bytes;           /* what the sampler remembers between steps */
  int n_texts;                      /* 2 with guidance */
  int64_t text_rows[DIT_MAX_TEXTS]; /* -1: not known before run */
  int64_t padded[DIT_MAX_TEXTS];
} DitJob;

/* What stays warm between runs. */
typedef struct
{
  DitModel *model; /* NULL until the first run, and after release */
  SoraKitHold hold;
} DitInstance;

extern const char *const dit_text_ports[DIT_MAX_TEXTS];

/** dit_job_read: reads files, parameters and ports.  [infer run]  Returns: %SORA_OK or another
 * result, told. */
int dit_job_read (const SoraHost *host, SoraContext *ctx, DitJob *job);

/** dit_job_cost: Returns: what the job will take; @stored_bytes is what the files hold. */
SoraCost dit_job_cost (const DitJob *job, uint64_t stored_bytes);

/** dit_run: the stage's `run`. */
int dit_run (const SoraHost *host, SoraContext *ctx, void *instance);

#endif
