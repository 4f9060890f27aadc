/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl bench --request: runs a request several times in this process, and tells how long each stage took.
 */
#include "config.h"
#include "soractl-bench.h"
#include "soractl-console.h"
#include "soractl-job.h"
#include "soractl-json.h"
#include "soractl-rates.h"
#include "sora-runner.h"
#include <glib/gstdio.h>

typedef struct
{
  char *stage;
  GArray *wall, *compute; /* of double, a value a run */
} Samples;

static void
samples_free (Samples *samples)
{
  g_free (samples->stage);
  g_array_unref (samples->wall);
  g_array_unref (samples->compute);
  g_free (samples);
}

static void
on_stage_done (gpointer data, guint run, const char *stage, double wall, double compute,
               guint64 resident)
{
  GPtrArray *all = data;
  Samples *samples = NULL;
  for (guint i = 0; i < all->len && samples == NULL; i++)
    if (g_str_equal (((Samples *)all->pdata[i])->stage, stage))
      samples = all->pdata[i];
  if (samples == NULL)
    {
      samples = g_new0 (Samples, 1);
      samples->stage = g_strdup (stage);
      samples->wall = g_array_new (FALSE, FALSE, sizeof (double));
      samples->compute = g_array_new (FALSE, FALSE, sizeof (double));
      g_ptr_array_add (all, samples);
    }
  g_array_append_val (samples->wall, wall);
  g_array_append_val (samples->compute, compute);
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The first run is cold and stands apart; minimum and median are of the rest. */
static void
summarise (GArray *values, double *first, double *minimum, double *median)
{
  *first = g_array_index (values, double, 0);
  g_autoptr (GArray) rest = g_array_copy (values);
  if (rest->len > 1)
    g_array_remove_index (rest, 0);
  g_array_sort (rest, compare);
  *minimum = g_array_index (rest, double, 0);
  *median = rest->len % 2 == 1 ? g_array_index (rest, double, rest->len / 2)
                               : (g_array_index (rest, double, rest->len / 2 - 1)
                                  + g_array_index (rest, double, rest->len / 2))
                                     / 2;
}

/* What is in it: results, and what a run that failed may have left. */
static void
remove_folder (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      g_unlink (path);
    }
  g_rmdir (folder);
}

static gboolean
run_once (SoraPlan *plan, GPtrArray *all, guint64 *peak, GError **error)
{
  g_autofree char *folder = g_dir_make_tmp ("soractl-bench-XXXXXX", error);
  if (folder == NULL)
    return FALSE;
  const SoraRunnerCallbacks callbacks = { .stage_done = on_stage_done };
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, folder, NULL, &callbacks, all);
  gint64 start = g_get_monotonic_time ();
  gboolean ok = soractl_run_interruptibly (runner, error);
  if (ok)
    on_stage_done (all, 0, "in all", (double)(g_get_monotonic_time () - start) / 1e6, 0, 0);
  *peak = MAX (*peak, sora_runner_peak_reserved (runner));
  remove_folder (folder);
  return ok;
}

/* Remembers how fast each plugin ran, for check. */
static void
remember (SoraPlan *plan, GPtrArray *all)
{
  GPtrArray *stages = sora_plan_stages (plan);
  for (guint i = 0; i < stages->len; i++)
    {
      const SoraPlanStage *stage = stages->pdata[i];
      for (guint k = 0; k < all->len; k++)
        {
          Samples *samples = all->pdata[k];
          double first, minimum, median;
          if (!g_str_equal (samples->stage, stage->stage) || stage->cost.flops <= 0)
            continue;
          summarise (samples->compute, &first, &minimum, &median);
          /* A light stage's time on the wall is mostly waiting for the one before it: no rate. */
          if (median > 0)
            soractl_rates_set (stage->plugin, sora_plan_request (plan), stage->cost.flops / median);
        }
    }
}

int
soractl_bench_request (SoractlGlobal *global, int argc, char **argv)
{
  g_auto (SoractlJob) job = { 0 };
  int code = soractl_job_parse (&job, global, SORACTL_JOB_REPEAT, argc, argv);
  if (code != SORACTL_OK)
    return code;
  if (job.repeat < 1 || job.repeat > 1000)
    return soractl_usage_error ("bench", "option --repeat is %d, expected 1 to 1000", job.repeat);
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  if (!soractl_job_resolve_local (&job, environment, SORACTL_STAND_IN, &error))
    return soractl_report (error);
  sora_request_choose_seed (job.request);
  g_autoptr (SoraPlan) plan = sora_plan_new (environment, job.request, &error);
  if (plan == NULL)
    return soractl_report (error);
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify)samples_free);
  guint64 peak = 0;
  for (gint i = 0; i <= job.repeat; i++)
    {
      if (!run_once (plan, all, &peak, &error))
        return soractl_report (error);
      if (!global->quiet && !global->json)
        fprintf (stderr, "run %d of %d\n", i + 1, job.repeat + 1);
    }
  remember (plan, all);
  json_t *root = json_array ();
  g_autoptr (SoractlTable) table = soractl_table_new (6, "011111");
  soractl_table_row (table, "STAGE", "FIRST", "MINIMUM", "MEDIAN", "COMPUTE", "RATE");
  for (guint i = 0; i < all->len; i++)
    {
      Samples *samples = all->pdata[i];
      double first, minimum, median, compute[3], flops = 0;
      summarise (samples->wall, &first, &minimum, &median);
      summarise (samples->compute, &compute[0], &compute[1], &compute[2]);
      GPtrArray *stages = sora_plan_stages (plan);
      for (guint k = 0; k < stages->len; k++)
        if (g_str_equal (((SoraPlanStage *)stages->pdata[k])->stage, samples->stage))
          flops = ((SoraPlanStage *)stages->pdata[k])->cost.flops;
      double rate = compute[2] > 0 ? flops / compute[2] : 0;
      json_array_append_new (root,
                             json_pack ("{s:s, s:f, s:f, s:f, s:f, s:f}", "stage", samples->stage,
                                        "first", first, "minimum", minimum, "median", median,
                                        "compute", compute[2], "flops_per_second", rate));
      char *cell[5] = { soractl_format_seconds (first), soractl_format_seconds (minimum),
                        soractl_format_seconds (median), soractl_format_seconds (compute[2]),
                        rate > 0 ? g_strdup_printf ("%.0f GFLOP/s", rate / 1e9) : NULL };
      soractl_table_row (table, samples->stage, cell[0], cell[1], cell[2], cell[3], cell[4]);
      for (guint k = 0; k < G_N_ELEMENTS (cell); k++)
        g_free (cell[k]);
    }
  if (global->json)
    {
      soractl_json_print (
          json_pack ("{s:o, s:I}", "stages", root, "peak_reserved", (json_int_t)peak));
      return SORACTL_OK;
    }
  json_decref (root);
  soractl_table_print (table, stdout);
  g_autofree char *size = soractl_format_bytes (peak);
  printf ("\nthe first run is cold (weights packed, code generated); %s reserved at its peak\n",
          size);
  return SORACTL_OK;
}
