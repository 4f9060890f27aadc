/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Parameters of a plan.  In rising order: the stage's default, Param.NAME of the pipeline's stage,
 * [Defaults] of the pipeline, the defaults of the model that the stage runs, the user's public
 * parameter, the user's "stage.param".
 */
#include "config.h"
#include "sora-plan-private.h"
#include "sora-error.h"
#include "sora-param.h"
#include "sora-suggest.h"
#include <string.h>

static void
take_value (SoraNode *node, const SoraParam *param, GVariant *value, gboolean by_user)
{
  g_hash_table_insert (node->params, g_strdup (param->name), value);
  if (by_user)
    g_hash_table_add (node->params_set, g_strdup (param->name));
}

static void
set_defaults (SoraNode *node)
{
  for (guint i = 0; node->klass->params != NULL && node->klass->params[i] != NULL; i++)
    {
      GVariant *value = sora_param_default (node->klass->params[i]);
      if (value != NULL)
        take_value (node, node->klass->params[i], value, FALSE);
    }
}

static GPtrArray *
param_names (SoraNode *node)
{
  GPtrArray *names = g_ptr_array_new ();
  for (guint i = 0; node->klass->params != NULL && node->klass->params[i] != NULL; i++)
    g_ptr_array_add (names, (gpointer)node->klass->params[i]->name);
  return names;
}

static void
set_unknown_param_error (SoraNode *node, const char *name, int code, GError **error)
{
  g_autoptr (GPtrArray) names = param_names (node);
  g_autofree char *hint = sora_suggest (name, names);
  sora_error_set (error, code, "stage '%s': plugin '%s' has no parameter '%s'%s", node->id,
               node->plugin->id, name, hint);
}

/* A text of the pipeline file for one parameter.  The pipeline was written for the plugin that it
 * names: what an override lacks is told, not refused. */
static gboolean
set_text (SoraPlan *plan, SoraNode *node, const char *name, const char *who, const char *text,
          GError **error)
{
  const SoraParam *param = sora_node_find_param (node, name);

  if (param == NULL && node->overridden)
    {
      g_ptr_array_add (
          plan->warnings,
          g_strdup_printf (
              "stage '%s': plugin '%s' has no parameter '%s'; the pipeline's '%s' is not "
              "used",
              node->id, node->plugin->id, name, text));
      return TRUE;
    }
  if (param == NULL)
    {
      set_unknown_param_error (node, name, SORA_ERROR_INVALID_PIPELINE, error);
      return FALSE;
    }
  GVariant *value = sora_param_parse (param, who, text, error);
  if (value == NULL)
    return FALSE;
  take_value (node, param, value, FALSE);
  return TRUE;
}

static gboolean
set_user (SoraNode *node, const char *name, const char *who, GVariant *given, GError **error)
{
  const SoraParam *param = sora_node_find_param (node, name);

  if (param == NULL)
    {
      set_unknown_param_error (node, name, SORA_ERROR_INVALID_REQUEST, error);
      return FALSE;
    }
  GVariant *value = sora_param_check (param, who, given, error);
  if (value == NULL)
    return FALSE;
  take_value (node, param, value, TRUE);
  return TRUE;
}

static gboolean
set_pipeline_params (SoraPlan *plan, SoraGraph *graph, GError **error)
{
  GPtrArray *stages = sora_pipeline_stages (plan->pipeline);
  for (guint i = 0; i < stages->len; i++)
    {
      SoraPipelineStage *stage = g_ptr_array_index (stages, i);
      GHashTableIter iter;
      gpointer name, text;
      g_hash_table_iter_init (&iter, stage->params);
      while (g_hash_table_iter_next (&iter, &name, &text))
        {
          g_autofree char *who = g_strdup_printf ("stage '%s': Param.%s", stage->id, (char *)name);
          if (!set_text (plan, sora_graph_find (graph, stage->id), name, who, text, error))
            return FALSE;
        }
    }

  GPtrArray *params = sora_pipeline_params (plan->pipeline);
  for (guint i = 0; i < params->len; i++)
    {
      SoraPipelineParam *public_param = g_ptr_array_index (params, i);
      for (guint j = 0; j < public_param->targets->len; j++)
        {
          SoraPipelineTarget *target = g_ptr_array_index (public_param->targets, j);
          SoraNode *node = sora_graph_find (graph, target->stage);
          /* Even one that nobody sets must lead somewhere. */
          if (sora_node_find_param (node, target->param) == NULL && !node->overridden)
            {
              set_unknown_param_error (node, target->param, SORA_ERROR_INVALID_PIPELINE, error);
              g_prefix_error (error, "parameter '%s': ", public_param->name);
              return FALSE;
            }
          g_autofree char *who = g_strdup_printf ("default of parameter '%s'", public_param->name);
          if (public_param->default_text != NULL
              && !set_text (plan, node, target->param, who, public_param->default_text, error))
            return FALSE;
        }
    }
  return TRUE;
}

/* What suits the stage's models; the first slot has the first word.  A model serves pipelines of
 * many kinds: what this one has no parameter for is passed over. */
static gboolean
set_model_defaults (SoraPlan *plan, SoraNode *node, SoraModel *model, GError **error)
{
  g_autoptr (GHashTable) defaults = sora_model_defaults (model, error);
  if (defaults == NULL)
    return FALSE;
  GPtrArray *params = sora_pipeline_params (plan->pipeline);
  for (guint i = 0; i < params->len && g_hash_table_size (defaults) > 0; i++)
    {
      SoraPipelineParam *public_param = g_ptr_array_index (params, i);
      const char *text = g_hash_table_lookup (defaults, public_param->name);
      for (guint j = 0; text != NULL && j < public_param->targets->len; j++)
        {
          SoraPipelineTarget *target = g_ptr_array_index (public_param->targets, j);
          if (strcmp (target->stage, node->id) != 0
              || sora_node_find_param (node, target->param) == NULL)
            continue;
          g_autofree char *who = g_strdup_printf ("parameter '%s'", public_param->name);
          if (!set_text (plan, node, target->param, who, text, error))
            {
              sora_error_prefix (error, "%s of model '%s': ", SORA_MODEL_DEFAULTS,
                                 sora_model_id (model));
              if (error != NULL && *error != NULL)
                (*error)->code = SORA_ERROR_INVALID_MODEL;
              return FALSE;
            }
        }
    }
  return TRUE;
}

static gboolean
set_models_defaults (SoraPlan *plan, SoraGraph *graph, GError **error)
{
  for (guint i = 0; i < graph->nodes->len; i++)
    {
      SoraNode *node = g_ptr_array_index (graph->nodes, i);
      for (guint slot = node->n_slots; slot > 0; slot--)
        if (node->models[slot - 1] != NULL
            && !set_model_defaults (plan, node, node->models[slot - 1], error))
          return FALSE;
    }
  return TRUE;
}

static SoraPipelineParam *
find_public (SoraPlan *plan, const char *name)
{
  GPtrArray *params = sora_pipeline_params (plan->pipeline);
  for (guint i = 0; i < params->len; i++)
    {
      SoraPipelineParam *param = g_ptr_array_index (params, i);
      if (strcmp (param->name, name) == 0)
        return param;
    }
  return NULL;
}

static gboolean
set_public (SoraPlan *plan, SoraGraph *graph, const char *name, GVariant *value, GError **error)
{
  SoraPipelineParam *param = find_public (plan, name);

  if (param == NULL)
    {
      g_autoptr (GPtrArray) names = g_ptr_array_new ();
      GPtrArray *params = sora_pipeline_params (plan->pipeline);
      for (guint i = 0; i < params->len; i++)
        g_ptr_array_add (names, ((SoraPipelineParam *)g_ptr_array_index (params, i))->name);
      g_autofree char *hint = sora_suggest (name, names);
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                   "pipeline '%s' has no parameter '%s'%s", sora_pipeline_id (plan->pipeline), name,
                   hint);
      return FALSE;
    }
  g_autofree char *who = g_strdup_printf ("parameter '%s'", name);
  for (guint i = 0; i < param->targets->len; i++)
    {
      SoraPipelineTarget *target = g_ptr_array_index (param->targets, i);
      if (!set_user (sora_graph_find (graph, target->stage), target->param, who, value, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
set_qualified (SoraGraph *graph, const char *name, const char *dot, GVariant *value, GError **error)
{
  g_autofree char *stage = g_strndup (name, (gsize)(dot - name));
  SoraNode *node = sora_graph_find (graph, stage);

  if (node == NULL)
    {
      g_autoptr (GPtrArray) names = sora_graph_node_names (graph);
      g_autofree char *hint = sora_suggest (stage, names);
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                   "parameter '%s': there is no stage '%s'%s", name, stage, hint);
      return FALSE;
    }
  g_autofree char *who = g_strdup_printf ("parameter '%s'", name);
  return set_user (node, dot + 1, who, value, error);
}

/* The name by which the user could give it: the public one if there is one. */
static char *
public_name (SoraPlan *plan, SoraNode *node, const char *param)
{
  GPtrArray *params = plan->pipeline != NULL ? sora_pipeline_params (plan->pipeline) : NULL;
  for (guint i = 0; params != NULL && i < params->len; i++)
    {
      SoraPipelineParam *public_param = g_ptr_array_index (params, i);
      for (guint j = 0; j < public_param->targets->len; j++)
        {
          SoraPipelineTarget *target = g_ptr_array_index (public_param->targets, j);
          if (strcmp (target->stage, node->id) == 0 && strcmp (target->param, param) == 0)
            return g_strdup (public_param->name);
        }
    }
  return plan->pipeline != NULL ? g_strdup_printf ("%s.%s", node->id, param) : g_strdup (param);
}

static gboolean
check_required (SoraPlan *plan, SoraNode *node, GError **error)
{
  for (guint i = 0; node->klass->params != NULL && node->klass->params[i] != NULL; i++)
    {
      const SoraParam *param = node->klass->params[i];
      if (g_hash_table_contains (node->params, param->name))
        continue;
      g_autofree char *name = public_name (plan, node, param->name);
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST, "parameter '%s' is required: %s",
                   name, param->help != NULL ? param->help : "it has no default");
      return FALSE;
    }
  return TRUE;
}

gboolean
sora_plan_resolve_params (SoraPlan *plan, SoraGraph *graph, GError **error)
{
  for (guint i = 0; i < graph->nodes->len; i++)
    set_defaults (g_ptr_array_index (graph->nodes, i));
  if (!set_pipeline_params (plan, graph, error) || !set_models_defaults (plan, graph, error))
    return FALSE;

  /* Public names first, so that the more exact "stage.param" has the last word. */
  for (int qualified = 0; qualified <= 1; qualified++)
    {
      GHashTableIter iter;
      gpointer name, value;
      g_hash_table_iter_init (&iter, plan->request->params);
      while (g_hash_table_iter_next (&iter, &name, &value))
        {
          const char *dot = find_public (plan, name) != NULL ? NULL : strchr (name, '.');
          if ((dot != NULL) != qualified)
            continue;
          if (dot != NULL ? !set_qualified (graph, name, dot, value, error)
                          : !set_public (plan, graph, name, value, error))
            return FALSE;
        }
    }
  for (guint i = 0; i < graph->nodes->len; i++)
    if (!check_required (plan, g_ptr_array_index (graph->nodes, i), error))
      return FALSE;
  return TRUE;
}

gboolean
sora_plan_resolve_stage_params (SoraPlan *plan, SoraNode *node, GError **error)
{
  GHashTableIter iter;
  gpointer name, value;

  set_defaults (node);
  g_hash_table_iter_init (&iter, plan->request->params);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      g_autofree char *who = g_strdup_printf ("parameter '%s'", (char *)name);
      if (!set_user (node, name, who, value, error))
        return FALSE;
    }
  return check_required (plan, node, error);
}

static void
public_param_free (gpointer data)
{
  SoraPublicParam *param = data;
  g_clear_pointer (&param->default_value, g_variant_unref);
  g_free (param->name);
  g_free (param);
}

GPtrArray *
sora_pipeline_public_params (SoraEnvironment *environment, SoraPipeline *pipeline, GError **error)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func (public_param_free);
  GPtrArray *params = sora_pipeline_params (pipeline);
  GPtrArray *stages = sora_pipeline_stages (pipeline);

  for (guint i = 0; i < params->len; i++)
    {
      SoraPipelineParam *source = g_ptr_array_index (params, i);
      SoraPipelineTarget *target = g_ptr_array_index (source->targets, 0);
      SoraPipelineStage *stage = NULL;
      for (guint j = 0; j < stages->len; j++)
        if (strcmp (((SoraPipelineStage *)g_ptr_array_index (stages, j))->id, target->stage) == 0)
          stage = g_ptr_array_index (stages, j);
      g_return_val_if_fail (stage != NULL, NULL); /* the pipeline's parser has checked it */

      g_autofree char *who = g_strdup_printf ("default of parameter '%s'", source->name);
      SoraNode *node = sora_node_new (0, stage->id);
      SoraPublicParam *param = g_new0 (SoraPublicParam, 1);
      param->name = g_strdup (source->name);
      g_ptr_array_add (list, param);
      gboolean ok = sora_node_load (node, environment->registry, stage->plugin, error);
      if (ok)
        {
          param->param = sora_node_find_param (node, target->param);
          if (param->param == NULL)
            set_unknown_param_error (node, target->param, SORA_ERROR_INVALID_PIPELINE, error);
          ok = param->param != NULL;
        }
      sora_node_free (node);
      if (!ok)
        return NULL;
      const char *text = source->default_text;
      if (text == NULL)
        text = g_hash_table_lookup (stage->params, target->param);
      param->default_value = text != NULL ? sora_param_parse (param->param, who, text, error)
                                          : sora_param_default (param->param);
      if (param->default_value == NULL && text != NULL)
        return NULL;
    }
  return g_steal_pointer (&list);
}
