/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The embedded model's default request: its three stages that compute, one after the other, with
 * what the pipeline text-to-video says; marking and encoding are left out.
 */
#include "config.h"
#include "bench-case-private.h"
#include "sora-error.h"
#include "sora-model.h"
#include "sora-pipeline.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MODEL "sora-shapes-1"
#define PIPELINE "text-to-video"
#define PROMPT "a red ball rolls right over green grass"

typedef enum
{
  TEXT,
  DENOISE,
  DECODE,
  N_STAGES
} Which;

static const char *const names[N_STAGES] = { "text", "denoise", "decode" };

/* @target: "denoise.steps"; one of another stage is passed over. */
static gboolean
set_public (BenchStage *const *stages, const char *target, const char *value, GError **error)
{
  const char *dot = target != NULL ? strchr (target, '.') : NULL;
  for (int i = 0; dot != NULL && i < N_STAGES; i++)
    if (strlen (names[i]) == (gsize)(dot - target) && g_str_has_prefix (target, names[i]))
      return bench_stage_set (stages[i], dot + 1, value, error);
  return TRUE;
}

/* What the model says suits it: an object of public parameters. */
static gboolean
set_model_defaults (BenchModel *model, GKeyFile *pipeline, BenchStage *const *stages,
                    GError **error)
{
  g_autoptr (GBytes) file = bench_model_file (model, SORA_MODEL_DEFAULTS);
  gsize size;
  const char *text = file != NULL ? g_bytes_get_data (file, &size) : NULL;
  json_t *root = text != NULL ? json_loadb (text, size, 0, NULL) : NULL;
  const char *key;
  json_t *value;
  gboolean ok = TRUE;
  json_object_foreach (root, key, value)
  {
    g_autofree char *target = g_key_file_get_string (pipeline, "Parameters", key, NULL);
    char *said = json_is_string (value) ? g_strdup (json_string_value (value)) : NULL;
    if (said == NULL)
      {
        char *dumped = json_dumps (value, JSON_ENCODE_ANY);
        said = g_strdup (dumped);
        free (dumped);
      }
    ok = ok && set_public (stages, target, said, error);
    g_free (said);
  }
  json_decref (root);
  return ok;
}

/* The pipeline's defaults that are for one of @stages, and above them the model's. */
static gboolean
set_defaults (SoraEnvironment *environment, BenchModel *model, BenchStage *const *stages,
              GError **error)
{
  g_autoptr (SoraPipeline) pipeline
      = sora_pipeline_find ((const char *const *)environment->pipeline_dirs, PIPELINE, error);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  if (pipeline == NULL
      || !g_key_file_load_from_data (file, sora_pipeline_text (pipeline), (gsize)-1,
                                     G_KEY_FILE_NONE, error))
    return FALSE;
  g_auto (GStrv) keys = g_key_file_get_keys (file, "Defaults", NULL, NULL);
  for (char **key = keys; key != NULL && *key != NULL; key++)
    {
      g_autofree char *target = g_key_file_get_string (file, "Parameters", *key, NULL),
                      *value = g_key_file_get_string (file, "Defaults", *key, NULL);
      if (!set_public (stages, target, value, error))
        return FALSE;
    }
  return set_model_defaults (model, file, stages, error);
}

static gboolean
pass_on (BenchStage *from, const char *output, BenchStage *to, const char *input, GError **error)
{
  if (bench_stage_pass (from, output, to, input))
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "nothing came out of '%s'", output);
  return FALSE;
}

static gboolean
run_once (BenchStage *const *stages, BenchPart *parts, GError **error)
{
  return bench_stage_infer (stages[TEXT], NULL, error)
         && bench_case_run_whole (stages[TEXT], &parts[TEXT], error)
         && pass_on (stages[TEXT], "embedding", stages[DENOISE], "text", error)
         && pass_on (stages[TEXT], "negative", stages[DENOISE], "negative", error)
         && bench_stage_infer (stages[DENOISE], NULL, error)
         && bench_case_run_whole (stages[DENOISE], &parts[DENOISE], error)
         && pass_on (stages[DENOISE], "latents", stages[DECODE], "latents", error)
         && bench_stage_infer (stages[DECODE], NULL, error)
         && bench_case_run_whole (stages[DECODE], &parts[DECODE], error);
}

static void
shape_of (BenchStage *stage, const char *output, SoraTensorView *view)
{
  view->struct_size = sizeof *view;
  sora_tensor_get_view (bench_stage_output (stage, output), view);
}

static void
count (BenchModel *model, BenchStage *const *stages, gint64 steps, double flops[N_STAGES])
{
  const BenchDit dit = bench_case_dit (model, TRUE);
  const BenchVae vae = bench_case_vae (model);
  const BenchText text = bench_case_text (model, TRUE);
  SoraTensorView prompt, negative, latents;
  shape_of (stages[TEXT], "embedding", &prompt);
  shape_of (stages[TEXT], "negative", &negative);
  shape_of (stages[DENOISE], "latents", &latents);
  const gint64 tokens = latents.shape[1] * latents.shape[2] * latents.shape[3] / 4;
  flops[TEXT]
      = bench_flops_text (&text, prompt.shape[0]) + bench_flops_text (&text, negative.shape[0]);
  /* Each text has one more row, which is its padding. */
  flops[DENOISE] = bench_flops_dit_text (&dit, prompt.shape[0] + 1)
                   + bench_flops_dit_text (&dit, negative.shape[0] + 1)
                   + (double)steps
                         * (bench_flops_dit (&dit, tokens, prompt.shape[0] + 1)
                            + bench_flops_dit (&dit, tokens, negative.shape[0] + 1));
  flops[DECODE] = bench_flops_vae (&vae, latents.shape[1], latents.shape[2], latents.shape[3]);
}

static void
add_rows (const BenchCase *what, GArray *const *parts, const double *loads, const double *flops,
          char *const *precisions, GPtrArray *results)
{
  g_autoptr (GArray) sums = g_array_new (FALSE, TRUE, sizeof (BenchPart));
  double load = 0, all = 0;
  g_array_set_size (sums, parts[0]->len);
  for (int i = 0; i < N_STAGES; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s-%s", what->name, names[i]);
      BenchResult *row = bench_case_result (name, parts[i], flops[i], flops[i]);
      row->load = loads[i];
      row->precision = g_strdup (precisions[i]);
      g_ptr_array_add (results, row);
      load += loads[i];
      all += flops[i];
      for (guint k = 0; k < sums->len; k++)
        bench_part_add (&g_array_index (sums, BenchPart, k),
                        &g_array_index (parts[i], BenchPart, k));
    }
  BenchResult *sum = bench_case_result (what->name, sums, all, all);
  sum->load = load;
  g_ptr_array_add (results, sum);
}

gboolean
bench_case_request (const BenchCase *what, const BenchSettings *settings, GPtrArray *results,
                    GError **error)
{
  static const char *const plugins[N_STAGES] = { "text-umt5", "dit-wan", "vae-wan" };
  g_autoptr (BenchModel) model = bench_model_new_folder (MODEL, 0, error);
  if (model == NULL)
    return FALSE;
  BenchStage *stages[N_STAGES] = { NULL };
  char *precisions[N_STAGES] = { NULL };
  GArray *parts[N_STAGES];
  double loads[N_STAGES], flops[N_STAGES];
  BenchPart run[N_STAGES];
  gboolean ok = TRUE;
  for (int i = 0; i < N_STAGES; i++)
    {
      parts[i] = g_array_new (FALSE, FALSE, sizeof (BenchPart));
      stages[i] = ok ? bench_case_stage (settings, plugins[i], model, &precisions[i], error) : NULL;
      ok = ok && stages[i] != NULL;
    }
  ok = ok && bench_stage_set (stages[TEXT], "prompt", PROMPT, error)
       && set_defaults (settings->environment, model, stages, error)
       && run_once (stages, run, error);
  for (int i = 0; ok && i < N_STAGES; i++)
    loads[i] = run[i].cpu;
  for (int r = 0; ok && r < settings->repeat; r++)
    {
      ok = run_once (stages, run, error);
      for (int i = 0; ok && i < N_STAGES; i++)
        g_array_append_val (parts[i], run[i]);
    }
  if (ok)
    {
      for (int i = 0; i < N_STAGES; i++)
        loads[i] = MAX (loads[i] - g_array_index (parts[i], BenchPart, 0).cpu, 0);
      count (model, stages, bench_stage_get_i64 (stages[DENOISE], "steps"), flops);
      add_rows (what, parts, loads, flops, precisions, results);
    }
  for (int i = 0; i < N_STAGES; i++)
    {
      bench_stage_free (stages[i]);
      g_free (precisions[i]);
      g_array_unref (parts[i]);
    }
  return ok;
}
