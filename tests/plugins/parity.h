/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * parity.h: golden cases, stages run by libsora-core on their inputs, and how far the outputs are
 * from the reference.
 */
#pragma once

#include <glib.h>
#include <jansson.h>

#include "sora-model.h"
#include "sora-plan.h"
#include "sora-runner.h"
#include "sora-safetensors.h"

/* An index.json and where its files and models stand. */
typedef struct
{
  char *folder;       /* of index.json and the tensors */
  char *model_folder; /* of the model; NULL: models/NAME beside index.json */
  json_t *root, *cases;
  GHashTable *files; /* name -> SoraSafetensors */
  SoraEnvironment *environment;
} ParitySet;

/* One stage to be run alone. */
typedef struct
{
  const char *plugin;
  const char *model;  /* folder */
  GHashTable *params; /* name -> GVariant */
  GHashTable *inputs; /* port -> SoraTensor */
  GHashTable *attrs;  /* port -> GHashTable (name -> GVariant) */
  guint64 seed;
  guint threads; /* 0: all */
} ParityStage;

/* How far two tensors are apart. */
typedef struct
{
  double error;  /* max |a - b| / max |b| */
  double cosine; /* less than 1 by so much is 1 - cosine */
  double mean;   /* of |a - b| */
} ParityDistance;

/* NULL if there is no index.json in @folder. */
ParitySet *parity_set_open (const char *folder, const char *model_folder);
void parity_set_close (ParitySet *set);
char *parity_case_model (ParitySet *set, json_t *item);
const char *parity_case_string (json_t *item, const char *key);
/* A named tensor of a case; aborts the test if there is none of that name, NULL only if the case
 * has no such entry. */
SoraTensor *parity_case_tensor (ParitySet *set, json_t *item, const char *part, const char *name);

ParityStage *parity_stage_new (const char *plugin, const char *model);
void parity_stage_free (ParityStage *stage);
void parity_stage_set (ParityStage *stage, const char *name, GVariant *value);
/* Takes the tensor; the port gets the attribute padded_length if @padded > 0. */
void parity_stage_input (ParityStage *stage, const char *port, SoraTensor *tensor, gint64 padded);
/* Runs it and gives the outputs @ports (NULL-terminated) in @tensors; aborts the test on an error.
 */
void parity_stage_run (ParityStage *stage, ParitySet *set, const char *const *ports,
                       SoraTensor **tensors);

/* f32, u8 or i64; aborts the test if the shapes differ. */
ParityDistance parity_distance (SoraTensor *a, SoraTensor *b, const char *what);
/* Adds a row to the table and aborts the test beyond @tolerance or below a cosine of 0.99999. */
void parity_check (const char *kind, const char *model, const char *name, SoraTensor *a,
                   SoraTensor *b, double tolerance);
