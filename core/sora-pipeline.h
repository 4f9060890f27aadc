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
  char *source_stage, *source_port;
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

/**
 * sora_pipeline_load:
 * @path: a file of at most 1 MiB
 * @error: (out) (optional): where to put it
 *
 * Returns: (transfer full): the pipeline; NULL on SORA_ERROR_INVALID_PIPELINE or _NOT_FOUND
 */
SoraPipeline *sora_pipeline_load (const char *path, GError **error);

/**
 * sora_pipeline_parse:
 * @text: the text of a pipeline file
 * @length: its bytes
 * @display_name: what messages call it
 * @error: (out) (optional): where to put it
 *
 * Returns: (transfer full): the pipeline; NULL on SORA_ERROR_INVALID_PIPELINE
 */
SoraPipeline *sora_pipeline_parse (const char *text, gsize length, const char *display_name, GError **error);

/**
 * sora_pipeline_unref:
 * @pipeline: (nullable) (transfer full): a pipeline
 */
void sora_pipeline_unref (SoraPipeline *pipeline);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SoraPipeline, sora_pipeline_unref)

/**
 * sora_pipeline_id:
 * @pipeline: a pipeline
 *
 * Returns: Id=
 */
const char *sora_pipeline_id (SoraPipeline *pipeline);

/**
 * sora_pipeline_name:
 * @pipeline: a pipeline
 *
 * Returns: Name=, or the id
 */
const char *sora_pipeline_name (SoraPipeline *pipeline);

/**
 * sora_pipeline_summary:
 * @pipeline: a pipeline
 *
 * Returns: Summary=, or ""
 */
const char *sora_pipeline_summary (SoraPipeline *pipeline);

/**
 * sora_pipeline_path:
 * @pipeline: a pipeline
 *
 * Returns: (nullable): where it was read; NULL if parsed from memory
 */
const char *sora_pipeline_path (SoraPipeline *pipeline);

/**
 * sora_pipeline_stages:
 * @pipeline: a pipeline
 *
 * Returns: (transfer none): SoraPipelineStage in the order of the file
 */
GPtrArray *sora_pipeline_stages (SoraPipeline *pipeline);

/**
 * sora_pipeline_params:
 * @pipeline: a pipeline
 *
 * Returns: (transfer none): SoraPipelineParam in the order of the file
 */
GPtrArray *sora_pipeline_params (SoraPipeline *pipeline);

/**
 * sora_pipeline_roles:
 * @pipeline: a pipeline
 *
 * Returns: (transfer none): role to "component,component"
 */
GHashTable *sora_pipeline_roles (SoraPipeline *pipeline);

/**
 * sora_pipeline_text:
 * @pipeline: a pipeline
 *
 * Returns: the text it was read from: what a job stores and a worker parses again
 */
const char *sora_pipeline_text (SoraPipeline *pipeline);

/**
 * sora_pipeline_default_dirs:
 * @user: for a program of the user's own: also $SORA_PIPELINE_PATH (colon-separated) and
 *   ~/.local/share/sorad/pipelines
 *
 * Returns: (transfer full): the search path, the system's folder last; free with g_strfreev()
 */
char **sora_pipeline_default_dirs (gboolean user);

/**
 * sora_pipeline_list:
 * @dirs: (array zero-terminated=1): folders; the first wins for an id
 * @warnings: (nullable): a list of char*, to which the reason of each file that is left out is appended
 *
 * Returns: (transfer full): SoraPipeline, sorted by id
 */
GPtrArray *sora_pipeline_list (const char *const *dirs, GPtrArray *warnings);

/**
 * sora_pipeline_find:
 * @dirs: (array zero-terminated=1): folders
 * @name: an id, or a path if it has a slash
 * @error: (out) (optional): where to put it
 *
 * Returns: (transfer full): the pipeline; NULL on SORA_ERROR_INVALID_PIPELINE or _NOT_FOUND (which lists what
 *   there is)
 */
SoraPipeline *sora_pipeline_find (const char *const *dirs, const char *name, GError **error);

G_END_DECLS
