/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Instances of stages, kept warm in the process from job to job: keyed by plugin, class, load-time
 * parameters and model paths.  Before one is used again, its models are compared with those of the
 * plan and their files with what they were.  An idle instance that holds weights is asked to
 * release them when a ledger needs room.
 *
 * All functions take the pool's own lock; those that call the plugin hold no lock while they do.
 */
#pragma once
#include "sora-plan-private.h"

G_BEGIN_DECLS

/* An open component.  What release() left open the host closes, but the handle stays good for
 * weights_close() until the instance is destroyed. */
struct SoraWeights
{
  SoraInstance *instance;
  SoraModelWeights *weights; /* NULL: closed */
};

struct SoraInstance
{
  char *key, *name; /* name: "text-umt5/text-umt5", for messages */
  const SoraStageClass *klass;
  void *instance;
  gboolean keep; /* has a create, so that it may stay warm */
  guint n_models;
  SoraModel **models; /* a slot each; NULL: empty */
  GMutex lock;        /* files, weights, packed */
  GHashTable *files;  /* "slot/name" -> GBytes */
  GPtrArray *weights; /* of SoraWeights */
  GPtrArray *packed;  /* of SoraPacked */
  /* Under the pool's lock. */
  gboolean claimed;   /* by a task of some runner */
  gboolean busy;      /* in run or release */
  gboolean releasing; /* in release: nobody else may call it, nor destroy it */
  guint64 held;       /* bytes of SORA_MEMORY_WEIGHTS */
  guint64 used_at;    /* a counter: least recently used */
};

/* A warm one, or a new one by create.  @log as in the context. */
SoraInstance *sora_instance_claim (SoraNode *node, SoraTask *task,
                                   void (*log) (SoraContext *ctx, int level, const char *message),
                                   gpointer log_data, GError **error);
/* Before run; FALSE: it is being released just now, ask again later. */
gboolean sora_instance_begin (SoraInstance *instance);
typedef enum
{
  SORA_INSTANCE_IDLE,   /* it stays warm */
  SORA_INSTANCE_OVER,   /* nobody will ask for it again: it is destroyed */
  SORA_INSTANCE_FAILED, /* likewise: nobody knows what state it is in; what it is writing is given up */
} SoraInstanceEnd;
/* After run, whether it was begun or not; waits for the end of a release. */
void sora_instance_unclaim (SoraInstance *instance, SoraInstanceEnd end);
void sora_instance_hold (SoraInstance *instance, guint64 bytes);
gboolean sora_instance_unhold (SoraInstance *instance, guint64 bytes);
guint64 sora_instance_get_held (SoraInstance *instance);
/* Bytes that all instances of the process hold. */
guint64 sora_instances_held (void);
/* Is there one that release_one() could release? */
gboolean sora_instances_can_release (void);
/* Releases the idle instance that was used longest ago, unclaimed ones first; TRUE if there was
 * one.  Calls the plugin: no lock may be held. */
gboolean sora_instances_release_one (void);
/* Destroys all that are idle. */
void sora_instances_destroy_all (void);

SoraWeights *sora_instance_open_weights (SoraInstance *instance, guint slot, const char *component,
                                         GError **error);
/* By the plugin: the handle is gone. */
void sora_weights_close (SoraWeights *weights);

G_END_DECLS
