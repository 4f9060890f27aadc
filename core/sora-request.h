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
  gboolean no_cache;    /* outputs of stages are neither taken from earlier jobs nor kept for later ones */
  guint threads;        /* at most SORA_REQUEST_MAX_THREADS; 0: all cores that the process may use */
  guint64 memory_limit; /* bytes for the job's ledger; 0: 80 % of what is available */
} SoraRequest;

#define SORA_REQUEST_MAX_THREADS 1024u

/**
 * sora_request_new:
 * @pipeline: (nullable): id or path
 *
 * Returns: (transfer full): a request with metadata "minimal" and nothing else set
 */
SoraRequest *sora_request_new (const char *pipeline);

/**
 * sora_request_copy:
 * @request: a request
 *
 * Returns: (transfer full): a deep copy
 */
SoraRequest *sora_request_copy (const SoraRequest *request);

/**
 * sora_request_free:
 * @request: (nullable) (transfer full): a request
 */
void sora_request_free (SoraRequest *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraRequest, sora_request_free)

/**
 * sora_request_set_param:
 * @request: a request
 * @name: public name of a parameter, or "stage.param"
 * @value: a value of any type; a floating one is sunk
 */
void sora_request_set_param (SoraRequest *request, const char *name, GVariant *value);

/**
 * sora_request_choose_seed:
 * @request: a request; one that has a seed keeps it
 *
 * Sets a random seed of 32 bits, short enough to be told.
 */
void sora_request_choose_seed (SoraRequest *request);

/**
 * sora_request_to_variant:
 * @request: a request
 *
 * Returns: (transfer floating): an a{sv}; equal requests give equal bytes
 */
GVariant *sora_request_to_variant (const SoraRequest *request);

/**
 * sora_request_from_variant:
 * @variant: an a{sv}, from anybody
 * @error: (out) (optional): where to put it
 *
 * Unknown or repeated keys, other types and malformed bytes are errors.
 *
 * Returns: (transfer full): the request; NULL on SORA_ERROR_INVALID_REQUEST
 */
SoraRequest *sora_request_from_variant (GVariant *variant, GError **error);

G_END_DECLS
