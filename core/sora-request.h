/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A request: which pipeline, with which parameters, on which models.  Plain data that goes over the bus, into the
 * store and to the worker as one GVariant, a{sv} (sora_request_to_variant).
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

typedef struct {
  char *pipeline;       /* id or path */
  char *pipeline_text;  /* frozen text, or NULL: look it up */
  GHashTable *params;   /* public name, or "stage.param" -> GVariant* */
  GHashTable *models;   /* role -> id or path; a missing role means the default model */
  GHashTable *stages;   /* stage id -> plugin: overrides of Plugin= */
  gboolean has_seed;
  guint64 seed;         /* chosen at submission when not given, and recorded: sora_request_choose_seed */
  char *metadata;       /* "full", "minimal" (default) or "none" */
  guint threads;        /* 0: all cores that the process may use */
  guint64 memory_limit; /* bytes for the job's ledger; 0: 80 % of what is available */
} SoraRequest;

SoraRequest *sora_request_new (const char *pipeline);
SoraRequest *sora_request_copy (const SoraRequest *request);
void sora_request_free (SoraRequest *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraRequest, sora_request_free)

/* Takes a GVariant of any type (sinks a floating one). */
void sora_request_set_param (SoraRequest *request, const char *name, GVariant *value);
void sora_request_choose_seed (SoraRequest *request);
GVariant *sora_request_to_variant (const SoraRequest *request);                       /* a{sv}, floating */
SoraRequest *sora_request_from_variant (GVariant *variant, GError **error);           /* unknown keys are errors */

G_END_DECLS
