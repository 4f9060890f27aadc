/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl check: what a request would take (shapes, memory, time), without touching weights.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-job.h"
#include "soractl-json.h"
#include "soractl-rates.h"
#include "sora-error.h"
#include "sora-remote.h"

/* Operations a second of one core where bench has measured nothing yet: a cautious middle of f32 on
 * AVX2. */
#define NOMINAL_RATE 40e9

static double
estimate (SoraPlan *plan, const SoraPlanStage *stage, gboolean *measured)
{
  const SoraRequest *request = sora_plan_request (plan);
  double rate = soractl_rates_get (stage->plugin, request);
  *measured = rate > 0;
  return stage->cost.flops
         / (rate > 0 ? rate
                     : NOMINAL_RATE
                           * (request->threads > 0 ? request->threads : g_get_num_processors ()));
}

static char *
describe_output (const SoraPlanOutput *output)
{
  if (output->spec == NULL)
    return g_strdup_printf ("%s file", output->port);
  g_autofree char *shape = sora_shape_to_string (output->spec->ndim, output->spec->shape);
  g_autoptr (GString) text = g_string_new (NULL);
  g_string_append_printf (text, "%s %s%s", output->port, sora_dtype_name (output->spec->dtype),
                          shape);
  if (output->stream && output->spec->chunk > 0)
    g_string_append_printf (text, " by %" G_GINT64_FORMAT, output->spec->chunk);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* Whether it would run now; says so if not. */
static gboolean
check_memory (SoraPlan *plan, guint64 limit, char **why)
{
  g_autoptr (GError) error = NULL;
  gboolean fits = sora_plan_check_memory (plan, limit, &error);
  *why = fits ? NULL : g_strdup (error->message);
  return fits;
}

static gboolean
is_third_party (SoraEnvironment *environment, const SoraPlanStage *stage)
{
  g_auto (GStrv) installed = sora_registry_default_dirs (FALSE);
  const SoraPluginInfo *info = sora_registry_find (environment->registry, stage->plugin);
  return info != NULL && !sora_plugin_info_is_trusted (info, installed);
}

/* Their code was not installed with sorad; here it has been run in this very process. */
static void
print_third_party (SoraEnvironment *environment, SoraPlan *plan)
{
  GPtrArray *stages = sora_plan_stages (plan);
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < stages->len; i++)
    {
      const SoraPlanStage *stage = stages->pdata[i];
      if (is_third_party (environment, stage))
        g_string_append_printf (text, "%s%s", text->len > 0 ? ", " : "", stage->stage);
    }
  if (text->len > 0)
    printf ("third-party: %s (with --local in this process, sandbox none; in the service each in a "
            "process of its own)\n",
            text->str);
}

static void
print_people (SoraPlan *plan)
{
  GPtrArray *stages = sora_plan_stages (plan);
  gboolean all_measured = TRUE;
  double total = 0;
  g_autoptr (SoractlTable) table = soractl_table_new (7, "0011110");
  soractl_table_row (table, "STAGE", "PLUGIN", "WEIGHTS", "WORK", "OPERATIONS", "TIME", "OUTPUT");
  for (guint i = 0; i < stages->len; i++)
    {
      const SoraPlanStage *stage = stages->pdata[i];
      gboolean measured;
      double seconds = estimate (plan, stage, &measured);
      /* Light stages are never measured, and do not matter. */
      all_measured
          = all_measured && (measured || stage->cost.flops < 0.05 * sora_plan_flops (plan));
      total += seconds;
      g_autofree char *weights = soractl_format_bytes (stage->cost.packed_bytes),
                      *work = soractl_format_bytes (stage->cost.work_bytes);
      g_autofree char *flops = soractl_format_flops (stage->cost.flops),
                      *time = soractl_format_seconds (seconds);
      g_autofree char *first
          = stage->outputs->len > 0 ? describe_output (stage->outputs->pdata[0]) : NULL;
      soractl_table_row (table, stage->stage, stage->plugin, weights, work, flops, time, first);
      for (guint k = 1; k < stage->outputs->len; k++)
        {
          g_autofree char *more = describe_output (stage->outputs->pdata[k]);
          soractl_table_row (table, "", "", "", "", "", "", more);
        }
    }
  soractl_table_print (table, stdout);
  g_autofree char *peak = soractl_format_bytes (sora_plan_peak_bytes (plan)),
                  *time = soractl_format_seconds (total);
  printf ("\npeak memory %s, about %s %s\n", peak, time,
          all_measured ? "(from rates that 'soractl bench --request' measured here)"
                       : "(nominal: 'soractl bench --request' measures this machine)");
}

static void
print_json (SoraEnvironment *environment, SoraPlan *plan)
{
  guint64 limit = sora_plan_memory_limit (plan);
  gboolean fits = sora_plan_peak_bytes (plan) <= limit;
  json_t *sizes = json_array ();
  g_autoptr (GArray) found = fits ? NULL : sora_plan_sizes_that_fit (plan, limit);
  for (guint i = 0; found != NULL && i < found->len; i++)
    {
      const SoraPlanSize *size = &g_array_index (found, SoraPlanSize, i);
      json_array_append_new (sizes, json_pack ("{s:I, s:I, s:I}", "width", (json_int_t)size->width,
                                               "height", (json_int_t)size->height, "frames",
                                               (json_int_t)size->frames));
    }
  GPtrArray *stages = sora_plan_stages (plan);
  json_t *list = json_array (), *warnings = json_array ();
  double total = 0;
  for (guint i = 0; i < stages->len; i++)
    {
      const SoraPlanStage *stage = stages->pdata[i];
      gboolean measured;
      double seconds = estimate (plan, stage, &measured);
      total += seconds;
      json_t *outputs = json_array ();
      for (guint k = 0; k < stage->outputs->len; k++)
        {
          const SoraPlanOutput *output = stage->outputs->pdata[k];
          json_t *object = json_pack ("{s:s, s:s, s:b, s:s*}", "port", output->port, "semantic",
                                      output->semantic, "stream", output->stream, "connected_to",
                                      output->connected_to);
          if (output->spec != NULL)
            {
              json_t *shape = json_array ();
              for (int d = 0; d < output->spec->ndim; d++)
                json_array_append_new (shape, json_integer (output->spec->shape[d]));
              json_object_set_new (object, "dtype",
                                   json_string (sora_dtype_name (output->spec->dtype)));
              json_object_set_new (object, "shape", shape);
              json_object_set_new (object, "chunk", json_integer (output->spec->chunk));
            }
          json_array_append_new (outputs, object);
        }
      json_array_append_new (
          list, json_pack ("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:i, s:f, s:b, s:b, s:s, s:o}",
                           "run", (int)stage->run, "stage", stage->stage, "plugin", stage->plugin,
                           "version", stage->version, "weights_bytes",
                           (json_int_t)stage->cost.weights_bytes, "packed_bytes",
                           (json_int_t)stage->cost.packed_bytes, "work_bytes",
                           (json_int_t)stage->cost.work_bytes, "scratch_bytes",
                           (json_int_t)stage->cost.scratch_bytes, "output_bytes",
                           (json_int_t)stage->cost.output_bytes, "flops", stage->cost.flops,
                           "steps", (int)stage->cost.steps, "seconds", seconds, "measured",
                           measured, "third_party",
                           is_third_party (environment, stage), "sandbox",
                           "none", "outputs", outputs));
    }
  for (const char *const *w = sora_plan_warnings (plan); w != NULL && *w != NULL; w++)
    json_array_append_new (warnings, json_string (*w));
  soractl_json_print (json_pack (
      "{s:I, s:I, s:b, s:o, s:f, s:f, s:o, s:o}", "peak_bytes",
      (json_int_t)sora_plan_peak_bytes (plan), "memory_limit", (json_int_t)limit, "fits", fits,
      "would_fit", sizes, "flops", sora_plan_flops (plan), "seconds", total, "warnings", warnings,
      "stages", list));
}

int
soractl_verb_check (SoractlGlobal *global, int argc, char **argv)
{
  g_auto (SoractlJob) job = { 0 };
  int code = soractl_job_parse (&job, global, 0, argc, argv);
  if (code != SORACTL_OK)
    return code;
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  /* Shapes do not depend on the words much. */
  if (!soractl_job_resolve_local (&job, environment, SORACTL_STAND_IN, &error))
    return soractl_report (error);
  sora_request_choose_seed (job.request);
  g_autoptr (SoraPlan) plan = sora_plan_new (environment, job.request, &error);
  if (plan == NULL)
    return soractl_report (error);
  if (global->json)
    {
      print_json (environment, plan);
      return SORACTL_OK;
    }
  for (const char *const *w = sora_plan_warnings (plan); w != NULL && *w != NULL; w++)
    soractl_console_warning ("%s", *w);
  g_autofree char *why = NULL;
  if (!check_memory (plan, sora_plan_memory_limit (plan), &why))
    soractl_console_warning ("%s", why);
  print_people (plan);
  print_third_party (environment, plan);
  return SORACTL_OK;
}
