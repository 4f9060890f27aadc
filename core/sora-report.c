/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a runner tells while it runs: progress, log lines, previews, stage timings and provenance.
 * Callbacks come one at a time, and without the runner's lock, so that they may cancel it.
 */
#include "config.h"
#include "sora-runner-private.h"
#include "sora-error.h"
#include "sora-model-private.h"
#include "sora-pipeline-private.h"
#include <string.h>

void
sora_runner_log (SoraContext *ctx, int level, const char *message)
{
  SoraRunner *runner = ctx->log_data;

  if (runner->callbacks.log == NULL)
    return g_debug ("stage '%s': %s", ctx->node->id, message);
  g_mutex_lock (&runner->reports);
  runner->callbacks.log (runner->data, level, ctx->node->id, message);
  g_mutex_unlock (&runner->reports);
}

void
sora_runner_report (SoraRunner *runner, SoraTask *task, double fraction, gboolean force)
{
  gint64 now = g_get_monotonic_time ();

  /* What is sent is read under both locks, so that no older state is sent after a newer one. */
  g_mutex_lock (&runner->reports);
  g_mutex_lock (&runner->lock);
  sora_progress_set (&runner->progress, runner->first_node + task->node->index, fraction);
  gboolean due = sora_progress_take (&runner->progress, now, force);
  double overall = runner->progress.overall;
  double remaining = sora_progress_remaining (&runner->progress, now);
  guint step = task->step, steps = task->steps;
  g_mutex_unlock (&runner->lock);
  if (due && runner->callbacks.progress != NULL)
    runner->callbacks.progress (runner->data, overall, task->node->run, task->node->id, step, steps,
                                remaining);
  g_mutex_unlock (&runner->reports);
}

void
sora_runner_stage_done (SoraRunner *runner, SoraTask *task, guint64 peak_resident)
{
  if (runner->callbacks.stage_done == NULL)
    return;
  double wall = (double)(g_get_monotonic_time () - task->began) / G_USEC_PER_SEC;
  g_mutex_lock (&runner->reports);
  runner->callbacks.stage_done (runner->data, task->node->run, task->node->id, wall,
                                task->compute_seconds, peak_resident);
  g_mutex_unlock (&runner->reports);
}

void
sora_runner_send_preview (SoraRunner *runner, SoraTensor *picture)
{
  if (runner->callbacks.preview == NULL)
    return;
  g_mutex_lock (&runner->reports);
  runner->callbacks.preview (runner->data, picture);
  g_mutex_unlock (&runner->reports);
}

void
sora_runner_set_info (SoraRunner *runner, const char *key, const char *value)
{
  g_mutex_lock (&runner->lock);
  g_hash_table_insert (runner->info, g_strdup (key), g_strdup (value));
  g_mutex_unlock (&runner->lock);
}

/* A digest takes as long as reading the model, the first time. */
static char *
describe_models (SoraRunner *runner, GString *warnings, GError **error)
{
  SoraPlan *plan = runner->plan;
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < plan->models->len; i++)
    {
      g_autoptr (GError) failure = NULL;
      SoraModel *model = g_ptr_array_index (plan->models, i);
      const char *digest
          = sora_model_digest_stoppable (model, sora_runner_is_stopped, runner, &failure);
      g_string_append_printf (text, "%s%s", i > 0 ? ", " : "", sora_model_id (model));
      if (digest != NULL)
        g_string_append_printf (text, "@%.16s", digest);
      else if (g_error_matches (failure, SORA_ERROR, SORA_ERROR_CANCELLED))
        {
          g_propagate_error (error, g_steal_pointer (&failure));
          return NULL;
        }
      /* What was made of a model that changed meanwhile must not look fine.  A file that the digest
       * cannot be made of, and that no stage reads, is no reason to lose hours of work. */
      else if (!sora_model_unchanged (model, error))
        return NULL;
      else
        g_string_append_printf (warnings, "%sthe result does not tell the digest of model '%s': %s",
                                warnings->len > 0 ? "; " : "", sora_model_id (model),
                                failure->message);
    }
  return text->len > 0 ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

static char *
describe_stages (SoraPlan *plan)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < plan->stages->len; i++)
    {
      SoraPlanStage *stage = g_ptr_array_index (plan->stages, i);
      g_string_append_printf (text, "%s%s=%s %s", i > 0 ? ", " : "", stage->stage, stage->plugin,
                              stage->version);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* What @target is in this plan, wherever its value came from. */
static GVariant *
find_value (SoraPlan *plan, const SoraPipelineTarget *target)
{
  for (guint i = 0; i < plan->runs->len; i++)
    {
      SoraNode *node = sora_graph_find (g_ptr_array_index (plan->runs, i), target->stage);
      if (node != NULL)
        return g_hash_table_lookup (node->params, target->param);
    }
  return NULL;
}

/* The prompt is what the pipeline calls so; it leaves the machine with the file only where that was
 * asked for. */
static char *
find_prompt (SoraPlan *plan)
{
  GVariant *value = NULL;

  if (g_strcmp0 (plan->request->metadata, "full") != 0 || plan->pipeline == NULL)
    return NULL;
  SoraPipelineParam *param = sora_pipeline_find_param (plan->pipeline, "prompt");
  for (guint i = 0; param != NULL && value == NULL && i < param->targets->len; i++)
    value = find_value (plan, g_ptr_array_index (param->targets, i));
  if (value == NULL || !g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return NULL;
  return g_variant_dup_string (value, NULL);
}

static char *
make_info (SoraRunner *runner, const char *key, GString *warnings, GError **error)
{
  SoraPlan *plan = runner->plan;

  if (runner->stage != NULL)
    return sora_stage_info (runner->stage, key);
  if (strcmp (key, "model") == 0)
    return describe_models (runner, warnings, error);
  if (strcmp (key, "pipeline") == 0)
    return plan->pipeline != NULL ? g_strdup (sora_pipeline_id (plan->pipeline)) : NULL;
  if (strcmp (key, "seed") == 0)
    return g_strdup_printf ("%" G_GUINT64_FORMAT, plan->request->seed);
  if (strcmp (key, "version") == 0)
    return g_strdup (sora_version ());
  if (strcmp (key, "stages") == 0)
    return describe_stages (plan);
  if (strcmp (key, "metadata") == 0)
    return g_strdup (plan->request->metadata != NULL ? plan->request->metadata : "minimal");
  if (strcmp (key, "prompt") == 0)
    return find_prompt (plan);
  return NULL;
}

const char *
sora_runner_get_info (SoraRunner *runner, const char *key, char **warning, GError **error)
{
  g_autoptr (GString) warnings = g_string_new (NULL);

  *warning = NULL;
  g_mutex_lock (&runner->lock);
  const char *value = g_hash_table_lookup (runner->info, key);
  g_mutex_unlock (&runner->lock);
  if (value != NULL)
    return value;

  /* A model's digest may take a while: not under the lock.  Entries are never replaced once made,
   * so that what was given out stays good. */
  char *made = make_info (runner, key, warnings, error);
  if (warnings->len > 0)
    *warning = g_strdup (warnings->str);
  if (made == NULL)
    return NULL;
  g_mutex_lock (&runner->lock);
  value = g_hash_table_lookup (runner->info, key);
  if (value == NULL)
    {
      value = made;
      g_hash_table_insert (runner->info, g_strdup (key), made);
      made = NULL;
    }
  g_mutex_unlock (&runner->lock);
  g_free (made);
  return value;
}
