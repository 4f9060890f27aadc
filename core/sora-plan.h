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
  /* Told before a stage is asked what it makes of the request (files of the model are read then), and with NULL when
   * all have answered: who watches from outside knows in which stage a crash was.  NULL: nobody is told. */
  void (*inferring) (gpointer data, const char *stage);
  gpointer inferring_data;
} SoraEnvironment;

/**
 * sora_environment_new:
 * @user: also the folders of the user, and of SORA_PLUGIN_PATH, SORA_PIPELINE_PATH and SORA_MODEL_PATH
 *
 * Returns: (transfer full): an environment of the default search paths
 */
SoraEnvironment *sora_environment_new (gboolean user);

/**
 * sora_environment_new_for_dirs:
 * @plugin_dirs: (array zero-terminated=1): folders of plugins
 * @pipeline_dirs: (array zero-terminated=1): folders of pipelines
 * @model_dirs: (array zero-terminated=1): folders of models
 *
 * Returns: (transfer full): an environment of these folders alone
 */
SoraEnvironment *sora_environment_new_for_dirs (const char *const *plugin_dirs, const char *const *pipeline_dirs,
                                                const char *const *model_dirs);

/**
 * sora_environment_free:
 * @environment: (nullable) (transfer full): an environment
 */
void sora_environment_free (SoraEnvironment *environment);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraEnvironment, sora_environment_free)

typedef struct SoraPlan SoraPlan;

/**
 * sora_plan_new:
 * @environment: where things are looked up
 * @request: what is wanted; copied
 * @error: (out) (optional): where to put it
 *
 * Resolves, checks and infers everything; touches no weights.
 *
 * Returns: (transfer full): the plan; NULL on any of SORA_ERROR_INVALID_*, _NOT_FOUND, or what a stage's infer
 *   says
 */
SoraPlan *sora_plan_new (SoraEnvironment *environment, const SoraRequest *request, GError **error);

/**
 * sora_plan_new_for_stage:
 * @environment: where things are looked up
 * @plugin: "ID" or "ID/CLASS"
 * @request: parameters by the stage's own names, models by slot ("" is the first)
 * @inputs: port (char*) to SoraTensor
 * @input_attrs: (nullable): port (char*) to a GHashTable of attributes (char* to GVariant)
 * @error: (out) (optional): where to put it
 *
 * A plan of one stage alone; its outputs are collected, and fetched by sora_runner_get_output().
 *
 * Returns: (transfer full): the plan; NULL as sora_plan_new()
 */
SoraPlan *sora_plan_new_for_stage (SoraEnvironment *environment, const char *plugin, const SoraRequest *request,
                                   GHashTable *inputs, GHashTable *input_attrs, GError **error);

/**
 * sora_plan_ref:
 * @plan: a plan
 *
 * Returns: (transfer full): @plan
 */
SoraPlan *sora_plan_ref (SoraPlan *plan);

/**
 * sora_plan_unref:
 * @plan: (nullable) (transfer full): a plan
 */
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
  gboolean third_party; /* its plugin was not installed with sorad */
  const char *sandbox;  /* the level of its own process; NULL: it runs in this one */
} SoraPlanStage;
typedef struct {
  const char *port, *semantic;
  gboolean stream;
  const SoraPortSpec *spec; /* NULL for sora.file/1 */
  char *connected_to;       /* "decode:latents, ..." or NULL */
} SoraPlanOutput;

/**
 * sora_plan_n_runs:
 * @plan: a plan
 *
 * Returns: number of graph runs, 1 or more
 */
guint sora_plan_n_runs (SoraPlan *plan);

/**
 * sora_plan_stages:
 * @plan: a plan
 *
 * Returns: (transfer none): SoraPlanStage in topological order, run by run
 */
GPtrArray *sora_plan_stages (SoraPlan *plan);

/**
 * sora_plan_request:
 * @plan: a plan
 *
 * Returns: (transfer none): the request it was made of
 */
const SoraRequest *sora_plan_request (SoraPlan *plan);

/**
 * sora_plan_warnings:
 * @plan: a plan
 *
 * Returns: (transfer none): what stages warned of while inferring (frames rounded up, prompt truncated),
 *   NULL-terminated
 */
const char *const *sora_plan_warnings (SoraPlan *plan);

/**
 * sora_plan_peak_bytes:
 * @plan: a plan
 *
 * Returns: peak bytes over the whole plan: weights that are held together, work, queues
 */
guint64 sora_plan_peak_bytes (SoraPlan *plan);

/* A clip. */
typedef struct {
  gint64 width, height, frames;
} SoraPlanSize;

/**
 * sora_plan_memory_limit:
 * @plan: a plan
 *
 * Returns: bytes that a job of this plan may use, as its stages were told: the request's limit, else 80 % of what
 *   this process could still have when the plan was made, and what warm instances held
 */
guint64 sora_plan_memory_limit (SoraPlan *plan);

/**
 * sora_plan_sizes_that_fit:
 * @plan: a plan
 * @limit: bytes
 *
 * Looks for clips that @limit has room for, by inferring the plan with other values of the pipeline's
 * parameters "width", "height" and "frames": the largest picture of the same proportions and length, then the
 * longest clip of the same size; where neither is enough, a smaller and shorter one.
 *
 * Returns: (transfer full): of SoraPlanSize; empty if nothing fits, or the pipeline has no such parameters
 */
GArray *sora_plan_sizes_that_fit (SoraPlan *plan, guint64 limit);

/**
 * sora_plan_check_memory:
 * @plan: a plan
 * @limit: bytes
 * @error: (out) (optional): where to put it
 *
 * Returns: FALSE with SORA_ERROR_NO_MEMORY if the plan's peak is above @limit; the error names sizes that fit
 */
gboolean sora_plan_check_memory (SoraPlan *plan, guint64 limit, GError **error);

/**
 * sora_plan_flops:
 * @plan: a plan
 *
 * Returns: rough number of operations; a multiply-add is 2
 */
double sora_plan_flops (SoraPlan *plan);

/* The public parameters of a pipeline with the stage parameters behind them (for help, completion, bus objects):
 * a list of SoraPublicParam.  Loads the plugins. */
typedef struct {
  char *name;
  const SoraParam *param; /* of the first target */
  GVariant *default_value; /* NULL: required */
} SoraPublicParam;

/**
 * sora_pipeline_public_params:
 * @environment: where plugins are looked up
 * @pipeline: a pipeline
 * @error: (out) (optional): where to put it
 *
 * The public parameters with the stage parameters behind them, for help, completion and bus objects.  Loads the
 * plugins.
 *
 * Returns: (transfer full): SoraPublicParam in the order of the file; NULL on SORA_ERROR_INVALID_PLUGIN,
 *   _INVALID_PIPELINE or _NOT_FOUND
 */
GPtrArray *sora_pipeline_public_params (SoraEnvironment *environment, SoraPipeline *pipeline, GError **error);

G_END_DECLS
