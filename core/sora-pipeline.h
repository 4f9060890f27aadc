/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Pipeline files (GKeyFile, ID.pipeline): model roles, stages, links, public parameters.
 *
 *   [Pipeline]    Id= Format=1 Name= Summary=
 *   [Models]      ROLE=component,component...         what a model in that role must have
 *   [Parameters]  PUBLIC=STAGE.PARAM[;STAGE.PARAM]    which stage parameter(s) a public name sets
 *   [Defaults]    PUBLIC=text                         this pipeline's defaults, where they differ from the stage's
 *   [Stage ID]    Plugin=  Model=ROLE  Model.SLOT=ROLE  Input.PORT=STAGE:PORT  Param.NAME=text
 *
 * Reading checks the form and that names resolve inside the file; whether it holds together with the plugins
 * (ports, kinds, cycles, shapes) is checked by the plan.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

typedef struct SoraPipeline SoraPipeline;

typedef struct {
  char *port;         /* of this stage */
  char *source_stage; /* NULL: an external input of a stage run */
  char *source_port;
} SoraPipelineInput;

typedef struct {
  char *id;
  char *plugin;          /* "dit-wan" or "id/class" */
  GHashTable *models;    /* slot ("" is the first) -> role */
  GPtrArray *inputs;     /* of SoraPipelineInput */
  GHashTable *params;    /* NAME -> text */
} SoraPipelineStage;

typedef struct {
  char *stage, *param;
} SoraPipelineTarget;

typedef struct {
  char *name;
  GPtrArray *targets;  /* of SoraPipelineTarget */
  char *default_text;  /* NULL: the stage's */
} SoraPipelineParam;

SoraPipeline *sora_pipeline_load (const char *path, GError **error);
SoraPipeline *sora_pipeline_parse (const char *text, gsize length, const char *display_name, GError **error);
SoraPipeline *sora_pipeline_ref (SoraPipeline *pipeline);
void sora_pipeline_unref (SoraPipeline *pipeline);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraPipeline, sora_pipeline_unref)

const char *sora_pipeline_id (SoraPipeline *pipeline);
const char *sora_pipeline_name (SoraPipeline *pipeline);
const char *sora_pipeline_summary (SoraPipeline *pipeline);
const char *sora_pipeline_path (SoraPipeline *pipeline); /* NULL if parsed from memory */
GPtrArray *sora_pipeline_stages (SoraPipeline *pipeline); /* of SoraPipelineStage, in file order; not yours */
GPtrArray *sora_pipeline_params (SoraPipeline *pipeline); /* of SoraPipelineParam, in file order; not yours */
GHashTable *sora_pipeline_roles (SoraPipeline *pipeline); /* role -> "a,b" components; not yours */
/* The text it was read from; what a job stores and a worker parses again. */
const char *sora_pipeline_text (SoraPipeline *pipeline);

/* Search path: @user TRUE: $SORA_PIPELINE_PATH, ~/.local/share/sorad/pipelines, then the system's. */
char **sora_pipeline_default_dirs (gboolean user);
GPtrArray *sora_pipeline_list (const char *const *dirs, GPtrArray *warnings); /* of SoraPipeline, by id */
/* By id in @dirs, or by path if @name contains a slash. */
SoraPipeline *sora_pipeline_find (const char *const *dirs, const char *name, GError **error);

G_END_DECLS
