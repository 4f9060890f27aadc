/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Models of a plan: which model stands in which role, that it has the components that the pipeline
 * and the stage ask for, and which slot of which stage it fills.  A request may name, instead of a
 * role, the slot of a stage's plugin: so a plugin that was put in for another gets a model of its
 * own, which the pipeline knows nothing of.
 */
#include "config.h"
#include "sora-plan-private.h"
#include "sora-error.h"
#include "sora-suggest.h"
#include <string.h>

#define EMBEDDED_MODEL "sora-shapes-1"

/* The same model for the same path, so that it is opened and checked once a plan. */
static SoraModel *
intern_model (SoraPlan *plan, SoraModel *model)
{
  for (guint i = 0; i < plan->models->len; i++)
    {
      SoraModel *known = g_ptr_array_index (plan->models, i);
      if (strcmp (sora_model_path (known), sora_model_path (model)) == 0)
        {
          sora_model_unref (model);
          return known;
        }
    }
  g_ptr_array_add (plan->models, model);
  return model;
}

static SoraModel *
find_model (SoraPlan *plan, SoraEnvironment *environment, const char *name, GError **error)
{
  SoraModel *model = sora_model_find ((const char *const *)environment->model_dirs, name, error);
  return model != NULL ? intern_model (plan, model) : NULL;
}

static SoraModel *
default_model (SoraPlan *plan, SoraEnvironment *environment, const char *role, GError **error)
{
  if (environment->default_model != NULL)
    return find_model (plan, environment, environment->default_model, error);

  g_autoptr (GPtrArray) reasons = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) models
      = sora_model_list ((const char *const *)environment->model_dirs, reasons);
  for (guint i = models->len; i > 0; i--) /* a part is nobody's default */
    if (sora_model_is_single (g_ptr_array_index (models, i - 1)))
      g_ptr_array_remove_index (models, i - 1);
  SoraModel *chosen = models->len == 1 ? g_ptr_array_index (models, 0) : NULL;
  for (guint i = 0; chosen == NULL && i < models->len; i++)
    if (strcmp (sora_model_id (g_ptr_array_index (models, i)), EMBEDDED_MODEL) == 0)
      chosen = g_ptr_array_index (models, i);
  if (chosen != NULL)
    return intern_model (plan, sora_model_ref (chosen));

  if (models->len == 0)
    {
      g_autofree char *dirs = g_strjoinv (", ", environment->model_dirs);
      sora_error_set (error, SORA_ERROR_NOT_FOUND, "there is no model for role '%s' in %s%s%s",
                      role, dirs[0] != '\0' ? dirs : "any folder", reasons->len > 0 ? "; " : "",
                      reasons->len > 0 ? (char *)g_ptr_array_index (reasons, 0) : "");
      return NULL;
    }
  g_autoptr (GString) ids = g_string_new (NULL);
  for (guint i = 0; i < models->len; i++)
    g_string_append_printf (ids, "%s'%s'", i > 0 ? ", " : "",
                            sora_model_id (g_ptr_array_index (models, i)));
  sora_error_set (error, SORA_ERROR_INVALID_REQUEST,
                  "no model is chosen for role '%s', and none of %s is the default: name one", role,
                  ids->str);
  return NULL;
}

/* @components: "text_encoder,tokenizer", or NULL. */
static gboolean
check_components (SoraModel *model, const char *components, const char *who, const char *hint,
                  GError **error)
{
  g_auto (GStrv) names = g_strsplit (components != NULL ? components : "", ",", -1);
  for (guint i = 0; names[i] != NULL; i++)
    {
      const char *name = g_strstrip (names[i]);
      if (name[0] == '\0' || sora_model_has_component (model, name))
        continue;
      sora_error_set (error, SORA_ERROR_INVALID_MODEL,
                      "model '%s' has no component '%s', which %s asks for%s",
                      sora_model_id (model), name, who, hint);
      return FALSE;
    }
  return TRUE;
}

/* "model" is what most stages call their slot: it tells none from another. */
static gboolean
has_own_name (const char *slot)
{
  return slot[0] != '\0' && strcmp (slot, "model") != 0;
}

/* What the request gives for a slot by the slot's own name; NULL: nothing.  A role of that name
 * comes first. */
static const char *
given_for_slot (SoraPlan *plan, const char *slot)
{
  return !has_own_name (slot) || g_hash_table_contains (sora_pipeline_roles (plan->pipeline), slot)
             ? NULL
             : g_hash_table_lookup (plan->request->models, slot);
}

static gboolean
is_slot (SoraGraph *graph, const char *name)
{
  for (guint i = 0; has_own_name (name) && i < graph->nodes->len; i++)
    if (sora_node_find_slot (g_ptr_array_index (graph->nodes, i), name) >= 0)
      return TRUE;
  return FALSE;
}

static gboolean
check_roles (SoraPlan *plan, SoraGraph *graph, GError **error)
{
  GHashTable *roles = sora_pipeline_roles (plan->pipeline);
  GHashTableIter iter;
  gpointer role;

  g_hash_table_iter_init (&iter, plan->request->models);
  while (g_hash_table_iter_next (&iter, &role, NULL))
    {
      if (g_hash_table_contains (roles, role) || is_slot (graph, role))
        continue;
      g_autoptr (GPtrArray) names = g_ptr_array_new ();
      GHashTableIter known;
      gpointer name;
      g_hash_table_iter_init (&known, roles);
      while (g_hash_table_iter_next (&known, &name, NULL))
        g_ptr_array_add (names, name);
      g_autofree char *hint = sora_suggest (role, names);
      sora_error_set (error, SORA_ERROR_INVALID_REQUEST, "pipeline '%s' has no model role '%s'%s",
                      sora_pipeline_id (plan->pipeline), (char *)role, hint);
      return FALSE;
    }
  return TRUE;
}

static gboolean
fill_slot (SoraNode *node, guint slot, SoraModel *model, GError **error)
{
  g_autofree char *who = g_strdup_printf ("stage '%s' (plugin '%s')", node->id, node->plugin->id);

  const char *name = node->klass->models[slot]->name;
  g_autofree char *hint
      = has_own_name (name) ? g_strdup_printf (": give it another as model '%s'", name) : NULL;
  if (!check_components (model, node->klass->models[slot]->components, who,
                         hint != NULL ? hint : "", error))
    return FALSE;
  g_clear_pointer (&node->models[slot], sora_model_unref);
  node->models[slot] = sora_model_ref (model);
  return TRUE;
}

static gboolean
check_slots (SoraNode *node, GError **error)
{
  for (guint i = 0; i < node->n_slots; i++)
    {
      const SoraModelSlot *slot = node->klass->models[i];
      if (node->models[i] != NULL || (slot->flags & SORA_PORT_OPTIONAL))
        continue;
      sora_error_set (error, SORA_ERROR_INVALID_PIPELINE,
                      "stage '%s': plugin '%s' needs a model in '%s': give the stage a Model= role",
                      node->id, node->plugin->id, slot->name);
      return FALSE;
    }
  return TRUE;
}

static gboolean
set_unknown_slot_error (SoraNode *node, const char *slot, int code, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  for (guint i = 0; i < node->n_slots; i++)
    g_ptr_array_add (names, (gpointer)node->klass->models[i]->name);
  g_autofree char *hint = sora_suggest (slot, names);
  sora_error_set (error, code, "stage '%s': plugin '%s' takes no model '%s'%s", node->id,
                  node->plugin->id, slot, hint);
  return FALSE;
}

/* The slots that the request names. */
static gboolean
fill_given (SoraPlan *plan, SoraEnvironment *environment, SoraGraph *graph, GError **error)
{
  for (guint i = 0; i < graph->nodes->len; i++)
    {
      SoraNode *node = g_ptr_array_index (graph->nodes, i);
      for (guint slot = 0; slot < node->n_slots; slot++)
        {
          const char *name = given_for_slot (plan, node->klass->models[slot]->name);
          SoraModel *model = name != NULL ? find_model (plan, environment, name, error) : NULL;
          if (name != NULL && (model == NULL || !fill_slot (node, slot, model, error)))
            return FALSE;
        }
    }
  return TRUE;
}

gboolean
sora_plan_resolve_models (SoraPlan *plan, SoraEnvironment *environment, SoraGraph *graph,
                          GError **error)
{
  GHashTable *roles = sora_pipeline_roles (plan->pipeline);
  g_autoptr (GHashTable) models
      = g_hash_table_new (g_str_hash, g_str_equal); /* role -> SoraModel */
  GPtrArray *stages = sora_pipeline_stages (plan->pipeline);

  if (!check_roles (plan, graph, error))
    return FALSE;
  for (guint i = 0; i < stages->len; i++)
    {
      SoraPipelineStage *stage = g_ptr_array_index (stages, i);
      SoraNode *node = sora_graph_find (graph, stage->id);
      GHashTableIter iter;
      gpointer slot_name, role;
      g_hash_table_iter_init (&iter, stage->models);
      while (g_hash_table_iter_next (&iter, &slot_name, &role))
        {
          int slot = sora_node_find_slot (node, slot_name);
          /* A plugin without a model may stand in for one with. */
          if (slot < 0 && (node->overridden || ((char *)slot_name)[0] == '\0'))
            continue;
          if (slot < 0)
            return set_unknown_slot_error (node, slot_name, SORA_ERROR_INVALID_PIPELINE, error);
          if (given_for_slot (plan, node->klass->models[slot]->name) != NULL)
            continue;
          SoraModel *model = g_hash_table_lookup (models, role);
          if (model == NULL)
            {
              const char *name = g_hash_table_lookup (plan->request->models, role);
              g_autofree char *who = g_strdup_printf ("role '%s' of pipeline '%s'", (char *)role,
                                                      sora_pipeline_id (plan->pipeline));
              model = name != NULL ? find_model (plan, environment, name, error)
                                   : default_model (plan, environment, role, error);
              if (model == NULL
                  || !check_components (model, g_hash_table_lookup (roles, role), who, "", error))
                return FALSE;
              g_hash_table_insert (models, role, model);
            }
          if (!fill_slot (node, (guint)slot, model, error))
            return FALSE;
        }
    }
  if (!fill_given (plan, environment, graph, error))
    return FALSE;
  for (guint i = 0; i < graph->nodes->len; i++)
    if (!check_slots (g_ptr_array_index (graph->nodes, i), error))
      return FALSE;
  return TRUE;
}

gboolean
sora_plan_resolve_stage_models (SoraPlan *plan, SoraEnvironment *environment, SoraNode *node,
                                GError **error)
{
  GHashTableIter iter;
  gpointer slot_name, name;

  g_hash_table_iter_init (&iter, plan->request->models);
  while (g_hash_table_iter_next (&iter, &slot_name, &name))
    {
      int slot = sora_node_find_slot (node, slot_name);
      if (slot < 0)
        return set_unknown_slot_error (node, slot_name, SORA_ERROR_INVALID_REQUEST, error);
      SoraModel *model = find_model (plan, environment, name, error);
      if (model == NULL || !fill_slot (node, (guint)slot, model, error))
        return FALSE;
    }
  for (guint i = 0; i < node->n_slots; i++)
    {
      const SoraModelSlot *slot = node->klass->models[i];
      if (node->models[i] != NULL || (slot->flags & SORA_PORT_OPTIONAL))
        continue;
      SoraModel *model = default_model (plan, environment, slot->name, error);
      if (model == NULL || !fill_slot (node, i, model, error))
        return FALSE;
    }
  return TRUE;
}
