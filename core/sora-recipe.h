/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Recipes: digests that say "made of the same things in the same way".  Of a warm instance, and of
 * a checkpoint.
 */
#pragma once
#include "sora-plan-private.h"

G_BEGIN_DECLS

/* Plugin, class, load-time parameters, model paths: what is at those paths is compared besides. */
char *sora_recipe_instance_key (SoraNode *node);
/* The bytes that a stage makes: run, stage, plugin with the digest of its file and what the libraries are
 * that it is linked to (sora-libraries.h), host version, instruction set, all parameters, seed, model digests,
 * the input tensors' bytes.  @pulled: of inputs that come from other stages, sora_recipe_tensor_digest(); NULL
 * for the others.  Reading models ends with SORA_ERROR_CANCELLED when @stopped (@data)
 * says so. */
char *sora_recipe_stage_key (SoraPlan *plan, SoraNode *node, char *const *pulled,
                             gboolean (*stopped) (gpointer data), gpointer data, GError **error);
/* Of its dtype, shape and bytes. */
char *sora_recipe_tensor_digest (SoraTensor *tensor);
/* What a stage gives, whatever the job, and known before any stage ran: of a stage without inputs as sora_recipe_stage_key() without
 * run, stage and seed; of others with them, and with ids and keys of the stages that its inputs come from in place of their bytes
 * (@made: those keys, an input each; NULL for the others).  The files of its models' components by what they are (device, inode,
 * size, times): a digest would read them all before the first job.  NULL without an error: one was changed just now. */
char *sora_recipe_cache_key (SoraPlan *plan, SoraNode *node, char *const *made, GError **error);
/* What a stage makes of a component's weights: class, plugin with the digest of its file, host version, instruction
 * set, @key, and the files as above. */
char *sora_recipe_packed_key (SoraNode *node, SoraModel *model, const char *component,
                              const char *key, GError **error);
/* 32 bytes of SHA-256 over (seed, run, stage, name). */
void sora_recipe_random_key (guint64 seed, guint run, const char *stage, const char *name,
                             guint8 key[32]);

G_END_DECLS
