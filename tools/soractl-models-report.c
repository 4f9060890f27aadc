/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What soractl models tells of a model. Whether it is whole is asked of the stages that will read
 * it: a plan is made for every pipeline, and each stage's infer checks presence, shape and dtype of
 * its tensors from the headers. So there is one table of them, the stage's own.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include "soractl-models.h"
#include "soractl-progress.h"
#include "sora-error.h"
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void
on_interrupt (int number)
{
  (void)number;
  interrupted = 1;
}

static gboolean
on_progress (uint64_t done, uint64_t total, gpointer data)
{
  if (done < total)
    soractl_progress_update (data, (double)done / (double)total, "digest", 0, 0, -1);
  return !interrupted;
}

char *
soractl_models_digest (SoractlGlobal *global, SoraModel *model, gboolean fresh, GError **error)
{
  const struct sigaction action = { .sa_handler = on_interrupt };
  struct sigaction before;
  g_autoptr (SoractlProgress) progress = soractl_progress_new (global->quiet);
  (void)sigaction (SIGINT, &action, &before);
  char *digest = sora_model_make_digest (model, fresh, on_progress, progress, error);
  (void)sigaction (SIGINT, &before, NULL);
  soractl_progress_clear (progress);
  return digest;
}

/* ---- what it can do */

static void
verdict_free (gpointer data)
{
  SoractlVerdict *verdict = data;
  g_free (verdict->pipeline);
  g_clear_error (&verdict->error);
  g_free (verdict);
}

static gboolean
has_param (SoraPipeline *pipeline, const char *name)
{
  GPtrArray *params = sora_pipeline_params (pipeline);
  for (guint i = 0; i < params->len; i++)
    if (g_str_equal (((SoraPipelineParam *)params->pdata[i])->name, name))
      return TRUE;
  return FALSE;
}

/* The pipeline's request for a clip of @model, whose few-step form is another network where it has
 * one of its own. */
static SoraPlan *
plan_of (SoraEnvironment *environment, SoraPipeline *pipeline, SoraModel *model, gboolean turbo,
         GError **error)
{
  g_autoptr (SoraRequest) request = sora_request_new (sora_pipeline_id (pipeline));
  GHashTableIter iter;
  gpointer role;
  g_hash_table_iter_init (&iter, sora_pipeline_roles (pipeline));
  while (g_hash_table_iter_next (&iter, &role, NULL))
    g_hash_table_insert (request->models, g_strdup (role), g_strdup (sora_model_path (model)));
  if (has_param (pipeline, "prompt"))
    sora_request_set_param (request, "prompt",
                            g_variant_new_string ("a red ball rolls right over green grass"));
  if (turbo)
    sora_request_set_param (request, "turbo", g_variant_new_boolean (TRUE));
  sora_request_choose_seed (request);
  return sora_plan_new (environment, request, error);
}

static SoractlVerdict *
judge (SoraEnvironment *environment, SoraPipeline *pipeline, SoraModel *model)
{
  SoractlVerdict *verdict = g_new0 (SoractlVerdict, 1);
  verdict->pipeline = g_strdup (sora_pipeline_id (pipeline));
  g_autoptr (SoraPlan) plan = plan_of (environment, pipeline, model, FALSE, &verdict->error);
  if (plan == NULL)
    return verdict;
  verdict->peak_bytes = sora_plan_peak_bytes (plan);
  if (!g_strv_contains (sora_model_components (model), "transformer_turbo")
      || !has_param (pipeline, "turbo"))
    return verdict;
  g_autoptr (SoraPlan) few = plan_of (environment, pipeline, model, TRUE, &verdict->error);
  if (few != NULL)
    verdict->peak_bytes = MAX (verdict->peak_bytes, sora_plan_peak_bytes (few));
  return verdict;
}

GPtrArray *
soractl_models_judge (SoraEnvironment *environment, SoraModel *model)
{
  g_autoptr (GPtrArray) pipelines
      = sora_pipeline_list ((const char *const *)environment->pipeline_dirs, NULL);
  GPtrArray *verdicts = g_ptr_array_new_with_free_func (verdict_free);
  for (guint i = 0; i < pipelines->len; i++)
    if (g_hash_table_size (sora_pipeline_roles (pipelines->pdata[i])) > 0)
      g_ptr_array_add (verdicts, judge (environment, pipelines->pdata[i], model));
  return verdicts;
}

gboolean
soractl_models_is_usable (SoraModel *model, GPtrArray *verdicts, GError **error)
{
  for (guint i = 0; i < verdicts->len; i++)
    if (((SoractlVerdict *)verdicts->pdata[i])->error == NULL)
      return TRUE;
  if (verdicts->len == 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND,
                   "there is no pipeline to check the model '%s' with", sora_model_path (model));
      return FALSE;
    }
  /* The pipelines share their stages, and say the same. */
  const SoractlVerdict *first = verdicts->pdata[0];
  g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_MODEL, "no pipeline can use '%s': %s: %s",
               sora_model_path (model), first->pipeline, first->error->message);
  return FALSE;
}

/* ---- printing */

static void
field (const char *name, const char *value)
{
  printf ("  %-10s %s\n", name, value);
}

static char *
format_count (guint64 parameters)
{
  return parameters >= 1000000000 ? g_strdup_printf ("%.2f G", (double)parameters / 1e9)
                                  : g_strdup_printf ("%.2f M", (double)parameters / 1e6);
}

static void
print_json (SoraModel *model, const char *id, const char *path, const char *digest,
            GPtrArray *verdicts)
{
  json_t *components = json_array (), *pipelines = json_array ();
  guint64 bytes = 0, parameters = 0;
  for (const char *const *c = sora_model_components (model); *c != NULL; c++)
    {
      (void)sora_model_size (model, *c, &bytes, &parameters, NULL);
      json_array_append_new (components,
                             json_pack ("{s:s, s:s, s:I, s:I}", "name", *c, "class",
                                        sora_model_component_class (model, *c), "parameters",
                                        (json_int_t)parameters, "bytes", (json_int_t)bytes));
    }
  for (guint i = 0; i < verdicts->len; i++)
    {
      const SoractlVerdict *verdict = verdicts->pdata[i];
      const char *why = verdict->error != NULL ? verdict->error->message : NULL;
      json_array_append_new (pipelines, json_pack ("{s:s, s:b, s:I, s:s*}", "id", verdict->pipeline,
                                                   "runs", why == NULL, "peak_bytes",
                                                   (json_int_t)verdict->peak_bytes, "error", why));
    }
  (void)sora_model_size (model, NULL, &bytes, &parameters, NULL);
  soractl_json_print (json_pack ("{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "id", id, "family",
                                 sora_model_family (model), "path", path, "digest", digest,
                                 "parameters", (json_int_t)parameters, "bytes", (json_int_t)bytes,
                                 "components", components, "pipelines", pipelines));
}

static void
print_components (SoraModel *model)
{
  g_autoptr (SoractlTable) table = soractl_table_new (4, "0011");
  soractl_table_row (table, "COMPONENT", "CLASS", "PARAMETERS", "WEIGHTS");
  for (const char *const *c = sora_model_components (model); *c != NULL; c++)
    {
      guint64 bytes = 0, parameters = 0;
      (void)sora_model_size (model, *c, &bytes, &parameters, NULL);
      g_autofree char *size = bytes > 0 ? soractl_format_bytes (bytes) : NULL;
      g_autofree char *count = parameters > 0 ? format_count (parameters) : NULL;
      soractl_table_row (table, *c, sora_model_component_class (model, *c), count, size);
    }
  putchar ('\n');
  soractl_table_print (table, stdout);
}

static void
print_verdicts (GPtrArray *verdicts)
{
  g_autoptr (SoractlTable) table = soractl_table_new (3, "010");
  soractl_table_row (table, "PIPELINE", "PEAK MEMORY", "");
  for (guint i = 0; i < verdicts->len; i++)
    {
      const SoractlVerdict *verdict = verdicts->pdata[i];
      g_autofree char *peak
          = verdict->error == NULL ? soractl_format_bytes (verdict->peak_bytes) : NULL;
      soractl_table_row (table, verdict->pipeline, peak,
                         verdict->error == NULL ? "at its default size" : verdict->error->message);
    }
  putchar ('\n');
  soractl_table_print (table, stdout);
}

void
soractl_models_print (SoractlGlobal *global, SoraModel *model, const char *id, const char *path,
                      const char *digest, GPtrArray *verdicts)
{
  if (global->json)
    return print_json (model, id, path, digest, verdicts);
  guint64 bytes = 0, parameters = 0;
  (void)sora_model_size (model, NULL, &bytes, &parameters, NULL);
  g_autofree char *size = soractl_format_bytes (bytes), *count = format_count (parameters);
  g_autofree char *weights = g_strdup_printf ("%s parameters, %s", count, size);
  printf ("%sModel %s%s\n", soractl_bold (), id, soractl_plain ());
  field ("Family", sora_model_family (model));
  field ("Weights", weights);
  field ("Path", path);
  field ("Digest", digest);
  print_components (model);
  print_verdicts (verdicts);
}
