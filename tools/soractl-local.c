/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs a request in this process: the same graph as the worker's, without daemon and bus.
 */
#include "config.h"
#include "soractl-console.h"
#include "soractl-job.h"
#include "soractl-progress.h"
#include "sora-cache.h"
#include "sora-error.h"
#include "sora-runner.h"
#include <gio/gio.h>
#include <glib-unix.h>
#include <signal.h>

typedef struct
{
  SoraEnvironment *environment;
  SoraPipeline *pipeline;
  GPtrArray *params; /* of SoraPublicParam */
} Lookup;

static const SoraParam *
stage_param (Lookup *lookup, const char *stage_id, const char *param_name)
{
  GPtrArray *stages = sora_pipeline_stages (lookup->pipeline);
  for (guint i = 0; i < stages->len; i++)
    {
      SoraPipelineStage *stage = stages->pdata[i];
      if (!g_str_equal (stage->id, stage_id))
        continue;
      const SoraStageClass *klass
          = sora_registry_stage (lookup->environment->registry, stage->plugin, NULL, NULL);
      for (const SoraParam *const *p = klass != NULL ? klass->params : NULL;
           p != NULL && *p != NULL; p++)
        if (g_str_equal ((*p)->name, param_name))
          return *p;
    }
  return NULL;
}

static const SoraParam *
lookup_local (const char *name, GVariant **default_value, gpointer data)
{
  Lookup *lookup = data;
  for (guint i = 0; i < lookup->params->len; i++)
    {
      SoraPublicParam *param = lookup->params->pdata[i];
      if (!g_str_equal (param->name, name))
        continue;
      if (default_value != NULL)
        *default_value = param->default_value;
      return param->param;
    }
  const char *dot = strchr (name, '.');
  if (dot == NULL)
    return NULL;
  g_autofree char *stage = g_strndup (name, (gsize)(dot - name));
  return stage_param (lookup, stage, dot + 1);
}

gboolean
soractl_job_resolve_local (SoractlJob *job, SoraEnvironment *environment, const char *stand_in,
                           GError **error)
{
  g_autoptr (SoraPipeline) pipeline = sora_pipeline_find (
      (const char *const *)environment->pipeline_dirs, job->request->pipeline, error);
  if (pipeline == NULL)
    return FALSE;
  g_autoptr (GPtrArray) params = sora_pipeline_public_params (environment, pipeline, error);
  if (params == NULL)
    return FALSE;
  Lookup lookup = { environment, pipeline, params };
  if (!soractl_job_resolve (job, lookup_local, &lookup, error))
    return FALSE;
  if (stand_in != NULL && lookup_local ("prompt", NULL, &lookup) != NULL
      && g_hash_table_lookup (job->request->params, "prompt") == NULL)
    sora_request_set_param (job->request, "prompt", g_variant_new_string (stand_in));
  return TRUE;
}

typedef struct
{
  SoractlProgress *progress;
  GPtrArray *timings;
} Local;

typedef struct
{
  SoraRunner *runner;
  GMainLoop *loop;
  GError *error;
  gboolean ok;
} Running;

static void
on_progress (gpointer data, double fraction, guint run, const char *stage, guint step, guint steps,
             double remaining)
{
  Local *local = data;
  soractl_progress_update (local->progress, fraction, stage, step, steps, remaining);
}

static void
on_log (gpointer data, int level, const char *stage, const char *message)
{
  Local *local = data;
  if (level < SORA_LOG_INFO)
    return;
  soractl_progress_clear (local->progress);
  if (level == SORA_LOG_INFO)
    soractl_console_note ("stage '%s': %s", stage != NULL ? stage : "graph", message);
  else if (stage != NULL)
    soractl_console_warning ("stage '%s': %s", stage, message);
  else
    soractl_console_warning ("%s", message);
}

static void
on_stage_done (gpointer data, guint run, const char *stage, double wall, double compute,
               guint64 resident)
{
  Local *local = data;
  SoractlTiming *timing = g_new0 (SoractlTiming, 1);
  timing->stage = g_strdup (stage);
  timing->wall = wall;
  timing->compute = compute;
  timing->resident = resident;
  g_ptr_array_add (local->timings, timing);
}

static gboolean
quit_loop (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

static gpointer
run_thread (gpointer data)
{
  Running *running = data;
  running->ok = sora_runner_run (running->runner, &running->error);
  g_idle_add (quit_loop, running->loop);
  return NULL;
}

static gboolean
on_interrupt (gpointer data)
{
  sora_runner_cancel (data);
  return G_SOURCE_CONTINUE;
}

gboolean
soractl_run_interruptibly (SoraRunner *runner, GError **error)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Running running = { .runner = runner, .loop = loop };
  guint on_int = g_unix_signal_add (SIGINT, on_interrupt, runner);
  guint on_term = g_unix_signal_add (SIGTERM, on_interrupt, runner);
  GThread *thread = g_thread_new ("run", run_thread, &running);
  g_main_loop_run (loop);
  g_thread_join (thread);
  g_source_remove (on_int);
  g_source_remove (on_term);
  if (running.error != NULL)
    g_propagate_error (error, running.error);
  return running.ok;
}

int
soractl_run_local (SoractlGlobal *global, SoractlJob *job)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  if (!soractl_job_resolve_local (job, environment, NULL, &error))
    return soractl_report (error);
  sora_request_choose_seed (job->request);
  g_autoptr (SoraPlan) plan = sora_plan_new (environment, job->request, &error);
  if (plan == NULL)
    return soractl_report (error);
  for (const char *const *w = sora_plan_warnings (plan); w != NULL && *w != NULL; w++)
    soractl_console_warning ("%s", *w);

  g_autofree char *folder = NULL, *stem = NULL;
  soractl_job_output_name (job, &folder, &stem);
  int code = soractl_job_check_output (job, folder, stem);
  if (code != SORACTL_OK)
    return code;
  g_autoptr (SoractlProgress) progress = soractl_progress_new (global->quiet);
  g_autoptr (GPtrArray) timings
      = g_ptr_array_new_with_free_func ((GDestroyNotify)soractl_timing_free);
  const SoraRunnerCallbacks callbacks
      = { .progress = on_progress, .log = on_log, .stage_done = on_stage_done };
  Local local = { .progress = progress, .timings = timings };
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, folder, NULL, &callbacks, &local);
  sora_runner_set_output_name (runner, stem, job->overwrite);
  sora_runner_set_single (runner, TRUE);
  g_autofree char *cache = sora_cache_default_dir (), *packed = sora_packed_default_dir ();
  if (job->packed_dir == NULL)
    {
      sora_runner_set_cache (runner, cache);
      sora_runner_set_packed (runner, packed, SORA_PACKED_KEEP);
    }
  else
    sora_runner_set_packed (runner, job->packed_dir, job->packed_use);

  gint64 start = g_get_monotonic_time ();
  gboolean ok = soractl_run_interruptibly (runner, &error);
  soractl_progress_clear (progress);
  if (!ok)
    return soractl_report (error);
  if (job->packed_dir != NULL)
    return SORACTL_OK;
  double seconds = (double)(g_get_monotonic_time () - start) / 1e6;
  g_autoptr (GPtrArray) paths = g_ptr_array_new ();
  GPtrArray *files = sora_runner_files (runner);
  for (guint i = 0; i < files->len; i++)
    {
      const char *path = ((SoraResultFile *)files->pdata[i])->path;
      g_ptr_array_add (paths, (gpointer)(g_str_has_prefix (path, "./") ? path + 2 : path));
    }
  soractl_job_check_ending (job, paths);
  soractl_job_print_result (global, NULL, paths, job->request->seed, seconds, timings);
  return SORACTL_OK;
}
