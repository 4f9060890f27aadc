/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the host's table and the stage that it serves share.
 */
#pragma once
#include "bench-meter.h"

/* Of this host there is one context a stage. */
struct SoraContext
{
  const SoraStageClass *klass;
  BenchModel *model;
  int threads;
  GHashTable *params;    /* name -> GVariant: those that were set */
  GHashTable *defaults;  /* name -> GVariant */
  GHashTable *inputs;    /* port -> Input */
  GHashTable *outputs;   /* port -> SoraTensor: the last one pushed */
  GHashTable *out_attrs; /* port -> GHashTable of name -> gint64 * */
  GHashTable *files;     /* name -> GBytes, as long as the stage */
  SoraCost cost;
  GPtrArray *kept; /* memory of lists that a parameter is */
  guint64 reserved[2];
  char *error;
  BenchMeter meter;
  gboolean measuring;
  GThread *thread; /* of the run */
  guint32 step;
};

typedef struct
{
  SoraTensor *tensor;
  gboolean pulled;
  GHashTable *attrs; /* name -> gint64 * */
} Input;

struct BenchStage
{
  SoraContext ctx;
  SoraHost host;
  void *instance;
  gboolean created;
};

extern const SoraHost bench_host;

Input *bench_input (SoraContext *ctx, const char *port);
