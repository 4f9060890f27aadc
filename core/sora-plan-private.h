/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The inside of a plan: graphs of nodes (stages) joined by edges, resolved and inferred.  The plan
 * is immutable once made; the runner reads it from many threads.
 */
#pragma once
#include "sora-context.h"
#include "sora-plan.h"
#include "sora-plugin-check.h"

G_BEGIN_DECLS

/* What a queue holds at first: see docs/architecture.md. */
#define SORA_QUEUE_TENSORS 4u
#define SORA_QUEUE_BYTES (64u * 1024u * 1024u)

typedef struct
{
  SoraNode *from;
  guint from_port; /* index into from->outputs */
  SoraNode *to;
  guint to_port; /* index into to->inputs */
} SoraEdge;

typedef struct
{
  const SoraPort *port;
  SoraPortSpec *spec; /* NULL: a file, or not given with these parameters */
  GHashTable *attrs;  /* char* -> GVariant*: as set in infer; moved into the spec afterwards */
  GPtrArray *edges;   /* of SoraEdge, not owned */
} SoraNodeOutput;

typedef struct
{
  const SoraPort *port;
  SoraEdge *edge;         /* NULL: unconnected, or fed by a tensor */
  SoraTensor *tensor;     /* of a stage run */
  SoraPortSpec *own_spec; /* of that tensor */
} SoraNodeInput;

/* One stage of one run. */
struct SoraNode
{
  guint run, index; /* index: place in the topological order */
  char *id;
  const SoraPluginInfo *info;
  const SoraPlugin *plugin;
  const SoraStageClass *klass;
  gboolean overridden;    /* its plugin was named by the request, not by the pipeline */
  GHashTable *params;     /* name -> GVariant*, checked; all that have a value */
  GHashTable *params_set; /* names that the user gave */
  guint n_slots;
  SoraModel **models; /* a slot each; NULL: left empty */
  GPtrArray *inputs;  /* of SoraNodeInput, a port each */
  GPtrArray *outputs; /* of SoraNodeOutput, a port each */
  guint64 memory_limit; /* the plan's */
  SoraCost cost;
  const SoraRequest *request;      /* the plan's */
  const struct SoraRemote *remote; /* its plugin is third-party: this is a stand-in */
  struct SoraPeer *peer;           /* for the stage in a process of its own */
};

typedef struct
{
  guint run;
  GPtrArray *nodes; /* of SoraNode: file order until sorted, then topological */
  GPtrArray *edges; /* of SoraEdge */
} SoraGraph;

struct SoraPlan
{
  gatomicrefcount ref;
  SoraRegistry *registry;
  SoraEnvironment *environment; /* a copy: what the request was resolved in */
  SoraRequest *request;
  SoraPipeline *pipeline; /* NULL: a stage run */
  GPtrArray *runs;        /* of SoraGraph */
  GPtrArray *stages;      /* of SoraPlanStage */
  void (*inferring) (gpointer data, const char *stage); /* the environment's */
  gpointer inferring_data;
  GPtrArray *warnings;    /* of char*, NULL-terminated when finished */
  GPtrArray *models;      /* of SoraModel, each once */
  guint64 memory_limit; /* that stages are told; the ledger of a run measures anew */
  guint64 peak_bytes;
  double flops;
};

SoraNode *sora_node_new (guint run, const char *id);
void sora_node_free (SoraNode *node);
/* Finds the stage class, checks that it can run on this machine, and makes the ports. */
gboolean sora_node_load (SoraNode *node, SoraRegistry *registry, const char *plugin,
                         GError **error);
/* What a connected or fed input carries; NULL: nothing. */
const SoraPortSpec *sora_node_input_spec (SoraNode *node, guint input);
int sora_node_find_input (SoraNode *node, const char *port);
int sora_node_find_output (SoraNode *node, const char *port);
const SoraParam *sora_node_find_param (SoraNode *node, const char *name);
/* Index of the model slot @name ("" is the first), or -1. */
int sora_node_find_slot (SoraNode *node, const char *name);
/* Prefixes "stage 'ID': ". */
void sora_node_prefix_error (SoraNode *node, GError **error);

SoraGraph *sora_graph_new (guint run);
void sora_graph_free (SoraGraph *graph);
SoraNode *sora_graph_find (SoraGraph *graph, const char *id);
GPtrArray *sora_graph_node_names (SoraGraph *graph); /* transfer container; names are the nodes' */
/* Joins from:port to to:port after checking both ends. */
gboolean sora_graph_connect (SoraGraph *graph, SoraNode *to, const char *input, const char *from_id,
                             const char *output, GError **error);
/* Required inputs are connected, there is no cycle; then sorts the nodes topologically. */
gboolean sora_graph_check (SoraGraph *graph, GError **error);

/* A plan of one stage in a process of its own: of run @run, with id @id; the parameters @set were
 * given by the user, the other ones of the request are defaults.  Takes the specs (port ->
 * SoraPortSpec) of what will come in. */
SoraPlan *sora_plan_new_for_process (SoraEnvironment *environment, const char *plugin,
                                     const SoraRequest *request, guint run, const char *id,
                                     const char *const *set, GHashTable *specs, GError **error);

SoraEnvironment *sora_environment_copy (const SoraEnvironment *environment);

/* Params of one node, whose models are there already: the class's defaults, the pipeline's, the models', the user's. */
gboolean sora_plan_resolve_params (SoraPlan *plan, SoraGraph *graph, GError **error);
gboolean sora_plan_resolve_stage_params (SoraPlan *plan, SoraNode *node, GError **error);
/* Models of all nodes by role, or by slot for a stage run. */
gboolean sora_plan_resolve_models (SoraPlan *plan, SoraEnvironment *environment, SoraGraph *graph,
                                   GError **error);
gboolean sora_plan_resolve_stage_models (SoraPlan *plan, SoraEnvironment *environment,
                                         SoraNode *node, GError **error);
/* Calls infer on every node in order, and checks what it gave. */
gboolean sora_plan_infer (SoraPlan *plan, SoraGraph *graph, GError **error);
/* Peak bytes of one graph. */
guint64 sora_graph_peak_bytes (SoraGraph *graph);
/* Bytes that wait at most in the queue behind @output. */
guint64 sora_output_queue_bytes (const SoraNodeOutput *output);

/* Symbolic dimensions of one stage. */
typedef struct SoraDims SoraDims;
SoraDims *sora_dims_new (void);
void sora_dims_free (SoraDims *dims);
/* Checks @spec against @port's rank, numbers and symbols, and binds symbols that are new; "input
 * 'latents' ...". */
gboolean sora_dims_unify (SoraDims *dims, const SoraPort *port, const char *direction,
                          const SoraPortSpec *spec, GError **error);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraDims, sora_dims_free)

G_END_DECLS
