/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Private to libsora-core: what a pipeline is made of, for the file's reader and for plans.
 */
#pragma once
#include "sora-pipeline.h"

G_BEGIN_DECLS

struct SoraPipeline
{
  int refs; /* atomic */
  char *id, *display, *summary, *path, *text;
  GPtrArray *stages; /* of SoraPipelineStage */
  GPtrArray *params; /* of SoraPipelineParam */
  GHashTable *roles; /* role -> components */
};

SoraPipeline *sora_pipeline_new (void);
SoraPipelineStage *sora_pipeline_stage_new (const char *id);
SoraPipelineParam *sora_pipeline_param_new (const char *name);
SoraPipelineStage *sora_pipeline_find_stage (SoraPipeline *pipeline, const char *id);   /* or NULL */
SoraPipelineParam *sora_pipeline_find_param (SoraPipeline *pipeline, const char *name); /* or NULL */
/* "dit-wan" or "dit-wan/class"? */
gboolean sora_plugin_name_is_valid (const char *name);

G_END_DECLS
