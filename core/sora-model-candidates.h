/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: the weights files that a model of single files may be made of, and what keeps them from being
 * one.
 */
#pragma once
#include "sora-model-private.h"
#include "sora-wan-detect.h"

G_BEGIN_DECLS

#define SORA_SPIECE_FILE "spiece.model"

/* The components that are weights; the first ones are the kinds that a header tells. */
typedef enum
{
  SORA_PART_TRANSFORMER = SORA_WAN_TRANSFORMER, /* for high noise, where there are two */
  SORA_PART_TEXT_ENCODER = SORA_WAN_TEXT_ENCODER,
  SORA_PART_VAE = SORA_WAN_VAE,
  SORA_PART_TRANSFORMER_2 = SORA_WAN_N_KINDS, /* for low noise; of Wan 2.2 A14B */
  SORA_N_PARTS,
} SoraPart;

/* One weights file of the folder, of model.conf or of those that were named. */
typedef struct
{
  char *name; /* below the folder, or absolute */
  SoraSafetensors *header;
  gboolean known; /* then @file is set */
  SoraWanFile file;
  gboolean second; /* the expert for low noise */
} SoraCandidate;

extern const char *const sora_pickle_advice;

/* Reads the header of the model's file @name. */
SoraCandidate *sora_candidate_open (SoraModel *model, const char *name, GError **error);
void sora_candidate_free (gpointer candidate);
/* What a candidate that is known is. */
SoraPart sora_candidate_part (const SoraCandidate *candidate);
/* "transformer_2" */
const char *sora_part_component (SoraPart part);

/* The first of them; NULL if there is none. */
SoraCandidate *sora_candidates_find (const GPtrArray *candidates, SoraPart part);
/* Where there are two transformers: which is for low noise, by the words "high" and "low" in their names, or in those of
 * the folders that they lie in.  Where that tells nothing both stay what they are. */
void sora_candidates_tell_experts (const GPtrArray *candidates);
/* What keeps the candidates from being one model, told all at once; NULL: nothing.  @pickles: names of files that may be
 * what is missing.  @explicit_parts: somebody wrote down which file is which, so that names do not matter. */
char *sora_candidates_problems (const GPtrArray *candidates, const GPtrArray *pickles, const char *tokenizer,
                                gboolean explicit_parts);

G_END_DECLS
