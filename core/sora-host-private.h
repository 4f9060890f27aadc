/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The host's functions, as sora-host.c puts them into the table; their contract stands in
 * sora-plugin.h.
 */
#pragma once
#include "sora-context.h"
#include "sora-model.h"

G_BEGIN_DECLS

#define SORA_PHASES_ALL (SORA_PHASE_INFER | SORA_PHASE_CREATE | SORA_PHASE_RUN)

/* sora-host.c: copies a struct of the host's into one of the plugin's, which may know fewer fields or
 * more; both begin with their size.  FALSE: it is smaller than the 1.0 one, and nothing is written. */
gboolean sora_host_give (void *to, const void *from, gsize size_1_0);
#define SORA_SPEC_SIZE_1_0 (offsetof (SoraSpec, chunk) + sizeof (int64_t))
#define SORA_VIEW_SIZE_1_0 (offsetof (SoraTensorView, nbytes) + sizeof (uint64_t))
/* sora-host-params.c */
int sora_host_param_is_set (SoraContext *ctx, const char *name);
int sora_host_param_bool (SoraContext *ctx, const char *name, int *value);
int sora_host_param_i64 (SoraContext *ctx, const char *name, int64_t *value);
int sora_host_param_f64 (SoraContext *ctx, const char *name, double *value);
int sora_host_param_string (SoraContext *ctx, const char *name, const char **value);
int sora_host_param_strings (SoraContext *ctx, const char *name, const char *const **values,
                             size_t *n);
int sora_host_param_f64s (SoraContext *ctx, const char *name, const double **values, size_t *n);
int sora_host_param_file (SoraContext *ctx, const char *name, const void **data, size_t *size);
/* sora-host-ports.c */
int sora_host_input_spec (SoraContext *ctx, const char *port, SoraSpec *spec);
int sora_host_set_output_spec (SoraContext *ctx, const char *port, const SoraSpec *spec);
int sora_host_set_cost (SoraContext *ctx, const SoraCost *cost);
int sora_host_input_attr_i64 (SoraContext *ctx, const char *port, const char *name, int64_t *value);
int sora_host_input_attr_f64 (SoraContext *ctx, const char *port, const char *name, double *value);
int sora_host_input_attr_string (SoraContext *ctx, const char *port, const char *name,
                                 const char **value);
int sora_host_set_output_attr_i64 (SoraContext *ctx, const char *port, const char *name,
                                   int64_t value);
int sora_host_set_output_attr_f64 (SoraContext *ctx, const char *port, const char *name,
                                   double value);
int sora_host_set_output_attr_string (SoraContext *ctx, const char *port, const char *name,
                                      const char *value);
/* sora-host-run.c */
SoraTensor *sora_host_tensor_new (SoraContext *ctx, int dtype, int ndim, const int64_t *shape);
void sora_host_tensor_view (SoraTensor *tensor, SoraTensorView *view);
SoraTensor *sora_host_make_writable (SoraContext *ctx, SoraTensor *tensor);
int sora_host_pull (SoraContext *ctx, const char *port, SoraTensor **tensor);
int sora_host_push (SoraContext *ctx, const char *port, SoraTensor *tensor);
int sora_host_compute (SoraContext *ctx, int (*fn) (SoraContext *ctx, void *data, int threads),
                       void *data);
int sora_host_cancelled (SoraContext *ctx);
void sora_host_progress (SoraContext *ctx, double fraction, uint32_t step, uint32_t steps);
int sora_host_seed (SoraContext *ctx, uint64_t *seed);
int sora_host_random_key (SoraContext *ctx, const char *name, uint8_t key[32]);
int sora_host_reserve (SoraContext *ctx, int kind, uint64_t bytes);
int sora_host_unreserve (SoraContext *ctx, int kind, uint64_t bytes);
int sora_host_memory_limit (SoraContext *ctx, uint64_t *bytes);
/* sora-host-model.c */
int sora_host_model_file (SoraContext *ctx, const char *slot, const char *name, const void **data,
                          size_t *size);
int sora_host_model_tensor_info (SoraContext *ctx, const char *slot, const char *component,
                                 const char *tensor, SoraTensorView *view);
int sora_host_weights_open (SoraContext *ctx, const char *slot, const char *component,
                            SoraWeights **weights);
int sora_host_weights_tensor (SoraWeights *weights, const char *tensor, SoraTensorView *view);
int sora_host_weights_tensor_name (SoraWeights *weights, size_t index, const char **name);
void sora_host_weights_done (SoraWeights *weights, const char *tensor);
void sora_host_weights_close (SoraWeights *weights);
/* The model in @slot, and (nullable) which slot that is; NULL with *result: NOT_FOUND for an optional slot that is
 * empty. */
SoraModel *sora_host_find_model (SoraContext *ctx, const char *call, const char *slot, guint *index,
                                 int *result);
/* sora-host-packed.c */
int sora_host_packed_open (SoraContext *ctx, const char *slot, const char *component,
                           const char *key, SoraPacked **packed, const void **data, uint64_t *size);
int sora_host_packed_new (SoraContext *ctx, const char *slot, const char *component,
                          const char *key, uint64_t size, SoraPacked **packed, void **data);
int sora_host_packed_seal (SoraContext *ctx, SoraPacked *packed);
void sora_host_packed_close (SoraPacked *packed);
/* sora-host-state.c */
int sora_host_checkpoint_save (SoraContext *ctx, const void *data, size_t size);
int sora_host_checkpoint_load (SoraContext *ctx, const void **data, size_t *size);
int sora_host_scratch (SoraContext *ctx, uint64_t bytes, int *fd);
int sora_host_preview_wanted (SoraContext *ctx);
void sora_host_preview (SoraContext *ctx, SoraTensor *picture);
int sora_host_file_create (SoraContext *ctx, const char *port, const char *name,
                           const char *media_type, int *fd);
int sora_host_info (SoraContext *ctx, const char *key, const char **value);

G_END_DECLS
