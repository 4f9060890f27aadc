/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plan: a request resolved against plugins, pipelines and models into an ordered list of graph runs, checked and
 * inferred through without touching weights.  Text-to-video is a plan of one run.
 *
 * What making it refuses, each with its own message: a missing stage or plugin, a dangling or doubly fed port, a
 * cycle, semantic ids or dtypes that differ, symbolic dimensions that disagree, an unconnected required input, an
 * unknown parameter, a value out of range, a role without a model or a model without the component, and
 * whatever a stage's infer refuses.
 */
#pragma once
#include "sora-model.h"
#include "sora-pipeline.h"
#include "sora-registry.h"
#include "sora-request.h"
#include "sora-tensor.h"

G_BEGIN_DECLS

/* Where things are looked up; shared by daemon, worker and CLI. */
typedef struct {
  SoraRegistry *registry;
  char **pipeline_dirs;
  char **model_dirs;
  char *default_model; /* id or path; NULL: the only model there is, else the one named "sora-shapes-1" */
} SoraEnvironment;

/* @user: also the folders of the user and of SORA_PLUGIN_PATH, SORA_PIPELINE_PATH, SORA_MODEL_PATH. */
SoraEnvironment *sora_environment_new (gboolean user);
/* With explicit folders (NULL-terminated). */
SoraEnvironment *sora_environment_new_for_dirs (const char *const *plugin_dirs, const char *const *pipeline_dirs,
                                                const char *const *model_dirs);
void sora_environment_free (SoraEnvironment *environment);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraEnvironment, sora_environment_free)

typedef struct SoraPlan SoraPlan;

SoraPlan *sora_plan_new (SoraEnvironment *environment, const SoraRequest *request, GError **error);
/* One stage alone: @plugin, its params by their own names, model slots bound to @models (slot -> path or id, ""
 * is the first), @inputs: port -> SoraTensor*, with attributes @input_attrs: port -> GHashTable of attrs (may be
 * NULL).  Outputs are collected and fetched by sora_runner_get_output(). */
SoraPlan *sora_plan_new_for_stage (SoraEnvironment *environment, const char *plugin, const SoraRequest *request,
                                   GHashTable *inputs, GHashTable *input_attrs, GError **error);
SoraPlan *sora_plan_ref (SoraPlan *plan);
void sora_plan_unref (SoraPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraPlan, sora_plan_unref)

/* What check prints, a row a stage, in topological order. */
typedef struct {
  guint run;
  const char *stage;   /* "denoise" */
  const char *plugin;  /* "dit-wan" */
  const char *version; /* of the plugin */
  SoraCost cost;
  GPtrArray *outputs;  /* of SoraPlanOutput */
} SoraPlanStage;
typedef struct {
  const char *port, *semantic;
  gboolean stream;
  const SoraPortSpec *spec; /* NULL for sora.file/1 */
  char *connected_to;       /* "decode:latents, ..." or NULL */
} SoraPlanOutput;

guint sora_plan_n_runs (SoraPlan *plan);
GPtrArray *sora_plan_stages (SoraPlan *plan); /* of SoraPlanStage; not yours */
const SoraRequest *sora_plan_request (SoraPlan *plan);
/* Warnings that stages logged while inferring (frames rounded up, prompt truncated). */
const char *const *sora_plan_warnings (SoraPlan *plan);
/* Peak bytes over the whole plan (weights that are held together, work, queues), and rough operations. */
guint64 sora_plan_peak_bytes (SoraPlan *plan);
double sora_plan_flops (SoraPlan *plan);

/* The public parameters of a pipeline with the stage parameters behind them (for help, completion, bus objects):
 * a list of SoraPublicParam.  Loads the plugins. */
typedef struct {
  char *name;
  const SoraParam *param; /* of the first target */
  GVariant *default_value; /* NULL: required */
} SoraPublicParam;
GPtrArray *sora_pipeline_public_params (SoraEnvironment *environment, SoraPipeline *pipeline, GError **error);

G_END_DECLS
