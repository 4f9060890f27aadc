/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs or checks one request in the worker, and sends up what comes of it.
 */
#include "config.h"
#include "core/sora-cache.h"
#include "sora-sandbox.h"
#include "sora-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  SoraWorker *worker;
  guint64 job;
  GVariantBuilder stages; /* aa{sv}, for the result */
} Job;

/* -- What the runner tells */

static void
on_progress (gpointer data, double fraction, guint run, const char *stage, guint step, guint steps,
             double remaining)
{
  Job *job = data;
  sora_channel_send (
      job->worker->channel, SORA_MESSAGE_PROGRESS, job->job,
      g_variant_new ("(dusuud)", fraction, run, stage ? stage : "", step, steps, remaining), NULL);
}

static void
send_log (SoraWorker *worker, guint64 job, int level, const char *stage, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  if (strlen (valid) > 8 * 1024)
    *g_utf8_find_prev_char (valid, valid + 8 * 1024) = '\0';
  sora_channel_send (worker->channel, SORA_MESSAGE_LOG, job,
                     g_variant_new ("(iss)", level, stage ? stage : "", valid), NULL);
}

static const char *
stage_level (const SoraWorker *worker, const SoraPlanStage *stage)
{
  return stage->sandbox ? stage->sandbox : sora_sandbox_level_name (worker->level);
}

static void
on_log (gpointer data, int level, const char *stage, const char *message)
{
  Job *job = data;
  if (level >= SORA_LOG_INFO)
    send_log (job->worker, job->job, level, stage, message);
}

static void
on_stage_done (gpointer data, guint run, const char *stage, double wall_seconds,
               double compute_seconds, guint64 peak_resident)
{
  Job *job = data;
  GVariantDict row;
  g_variant_dict_init (&row, NULL);
  g_variant_dict_insert (&row, "run", "u", run);
  g_variant_dict_insert (&row, "stage", "s", stage);
  g_variant_dict_insert (&row, "seconds", "d", wall_seconds);
  g_variant_dict_insert (&row, "compute-seconds", "d", compute_seconds);
  g_variant_dict_insert (&row, "peak-resident", "t", peak_resident);
  g_variant_builder_add_value (&job->stages, g_variant_dict_end (&row));
  sora_channel_send (job->worker->channel, SORA_MESSAGE_STAGE_DONE, job->job,
                     g_variant_new ("(usdd)", run, stage, wall_seconds, compute_seconds), NULL);
}

/* A slow bus must not slow the graph: only the newest picture is kept, and another thread sends it.
 */
static void
on_preview (gpointer data, SoraTensor *picture)
{
  Job *job = data;
  g_mutex_lock (&job->worker->lock);
  g_clear_pointer (&job->worker->preview, sora_tensor_unref);
  job->worker->preview = sora_tensor_ref (picture);
  g_cond_broadcast (&job->worker->changed);
  g_mutex_unlock (&job->worker->lock);
}

static void
send_preview (Job *job, SoraTensor *picture)
{
  SoraTensorView view = { .struct_size = sizeof view };
  sora_tensor_get_view (picture, &view);
  if (view.dtype != SORA_U8 || view.ndim != 3 || view.shape[2] != 3)
    return; /* the runner takes nothing else from a stage */
  GVariantDict details;
  g_variant_dict_init (&details, NULL);
  g_variant_dict_insert (&details, "height", "u", (guint32)view.shape[0]);
  g_variant_dict_insert (&details, "width", "u", (guint32)view.shape[1]);
  g_autoptr (GError) error = NULL;
  if (!sora_channel_send_blob (job->worker->channel, job->job, "preview", "preview", -1, view.data,
                               view.nbytes, g_variant_dict_end (&details),
                               &job->worker->preview_stop, &error))
    g_debug ("preview: %s", error->message);
}

static gpointer
preview_thread (gpointer data)
{
  Job *job = data;
  SoraWorker *worker = job->worker;
  for (;;)
    {
      g_mutex_lock (&worker->lock);
      while (!worker->preview && !g_atomic_int_get (&worker->preview_stop))
        g_cond_wait (&worker->changed, &worker->lock);
      SoraTensor *picture = g_steal_pointer (&worker->preview);
      g_mutex_unlock (&worker->lock);
      if (picture && !g_atomic_int_get (&worker->preview_stop))
        send_preview (job, picture);
      sora_tensor_unref (picture);
      if (g_atomic_int_get (&worker->preview_stop))
        return NULL;
    }
}

static gboolean
on_checkpoint (gpointer data, const char *name, GError **error)
{
  Job *job = data;
  return sora_worker_send_checkpoint (job->worker, job->job, name, error);
}

/* -- Running */

static void
add_input (gpointer name, gpointer value, gpointer request)
{
  sora_request_set_param (request, name, value);
}

typedef struct
{
  SoraWorker *worker;
  guint64 job;
} Planning;

/* A stage reads what a stranger wrote as soon as it is asked: whoever survives a crash of this
 * process has been told where it was. */
static void
on_inferring (gpointer data, const char *stage)
{
  Planning *planning = data;
  sora_channel_send (planning->worker->channel, SORA_MESSAGE_PROGRESS, planning->job,
                     g_variant_new ("(dusuud)", 0.0, 0u, stage ? stage : "", 0u, 0u, -1.0), NULL);
}

static SoraPlan *
make_plan (SoraWorker *worker, guint64 job, GVariant *payload, GHashTable *inputs,
           GVariant **options, GError **error)
{
  g_autoptr (GVariant) description = NULL;
  g_variant_get (payload, "(@a{sv}@a{sv})", &description, options);
  g_autoptr (SoraRequest) request = sora_request_from_variant (description, error);
  if (!request)
    return NULL;
  g_hash_table_foreach (inputs, add_input, request);
  Planning planning = { worker, job };
  worker->environment->inferring = on_inferring;
  worker->environment->inferring_data = &planning;
  SoraPlan *plan = sora_plan_new (worker->environment, request, error);
  worker->environment->inferring = NULL;
  return plan;
}

static gboolean
send_file (Job *job, const SoraResultFile *file, GError **error)
{
  int fd = open (file->path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat (fd, &st) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "result '%s' cannot be read: %s",
                   file->name, g_strerror (errno));
      if (fd >= 0)
        close (fd);
      return FALSE;
    }
  GVariantDict details;
  g_variant_dict_init (&details, NULL);
  g_variant_dict_insert (&details, "stage", "s", file->stage);
  g_variant_dict_insert (&details, "port", "s", file->port);
  g_variant_dict_insert (&details, "media-type", "s", file->media_type);
  gboolean ok = sora_channel_send_blob (job->worker->channel, job->job, "artifact", file->name, fd,
                                        NULL, (guint64)st.st_size, g_variant_dict_end (&details),
                                        &job->worker->cancelled, error);
  close (fd);
  g_unlink (file->path);
  return ok;
}

static gboolean
run_plan (Job *job, SoraPlan *plan, GVariant *options, const char *output_dir,
          const char *state_dir, GError **error)
{
  SoraWorker *worker = job->worker;
  const SoraRunnerCallbacks callbacks = {
    .progress = on_progress,
    .log = on_log,
    .preview = on_preview,
    .stage_done = on_stage_done,
    .checkpoint = on_checkpoint,
  };
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, output_dir, state_dir, &callbacks, job);
  const char *name = NULL;
  if (g_variant_lookup (options, "name", "&s", &name))
    sora_runner_set_output_name (runner, name, TRUE);
  if (g_variant_lookup (options, "job", "&s", &name))
    sora_runner_set_info (runner, "job", name);
  gboolean cache = FALSE;
  if (g_variant_lookup (options, "cache", "b", &cache) && cache)
    {
      g_autofree char *dir = sora_cache_default_dir (), *packed = sora_packed_default_dir ();
      sora_runner_set_cache (runner, dir);
      sora_runner_set_packed (runner, packed, SORA_PACKED_KEEP);
    }
  else
    {
      /* Without Landlock or a file system of its own any worker can read any folder of sorad's. */
      if (worker->cache_dir && worker->level >= SORA_SANDBOX_FILTERED)
        sora_runner_set_cache (runner, worker->cache_dir);
      if (worker->packed_dir)
        sora_runner_set_packed (runner, worker->packed_dir, SORA_PACKED_READ);
    }

  g_mutex_lock (&worker->lock);
  worker->runner = sora_runner_ref (runner);
  if (g_atomic_int_get (&worker->cancelled))
    sora_runner_cancel (runner);
  if (worker->preview_wanted)
    sora_runner_want_preview (runner, TRUE);
  g_atomic_int_set (&worker->preview_stop, FALSE);
  g_mutex_unlock (&worker->lock);

  GThread *previews = g_thread_new ("preview", preview_thread, job);
  gint64 begun = g_get_monotonic_time ();
  gboolean ok = sora_runner_run (runner, error);
  double seconds = (double)(g_get_monotonic_time () - begun) / G_USEC_PER_SEC;

  g_mutex_lock (&worker->lock);
  g_atomic_int_set (&worker->preview_stop, TRUE);
  g_cond_broadcast (&worker->changed);
  g_mutex_unlock (&worker->lock);
  g_thread_join (previews);
  g_clear_pointer (&worker->preview, sora_tensor_unref);
  if (!ok)
    return FALSE;

  GPtrArray *files = sora_runner_files (runner);
  for (guint i = 0; i < files->len; i++)
    if (!send_file (job, g_ptr_array_index (files, i), error))
      return FALSE;

  GVariantDict result;
  g_variant_dict_init (&result, NULL);
  g_variant_dict_insert (&result, "seconds", "d", seconds);
  g_variant_dict_insert (&result, "peak-bytes", "t", sora_runner_peak_reserved (runner));
  g_variant_dict_insert (&result, "peak-resident", "t", sora_runner_peak_resident (runner));
  g_variant_dict_insert (&result, "seed", "t", sora_plan_request (plan)->seed);
  g_variant_dict_insert (&result, "version", "s", sora_version ());
  g_variant_dict_insert_value (&result, "stages", g_variant_builder_end (&job->stages));
  sora_worker_end_task (worker); /* before the answer, which may bring the next job at once */
  return sora_channel_send (worker->channel, SORA_MESSAGE_RESULT, job->job,
                            g_variant_new ("(@a{sv})", g_variant_dict_end (&result)), error);
}

/* Which stages are a third party's, and what confines each. */
static void
tell_third_party (SoraWorker *worker, guint64 job, SoraPlan *plan)
{
  GPtrArray *stages = sora_plan_stages (plan);
  GVariantBuilder levels;
  guint n = 0;
  g_variant_builder_init (&levels, G_VARIANT_TYPE ("a{ss}"));
  for (guint i = 0; i < stages->len; i++)
    {
      const SoraPlanStage *stage = g_ptr_array_index (stages, i);
      if (!stage->third_party)
        continue;
      n++;
      g_variant_builder_add (&levels, "{ss}", stage->stage, stage_level (worker, stage));
      if (stage->sandbox)
        continue; /* who runs it there says so */
      g_autofree char *text = g_strdup_printf (
          "plugin '%s' is third-party: it runs in the worker's own process, with the other stages "
          "(ThirdPartySandbox=none), sandbox level '%s'",
          stage->plugin, stage_level (worker, stage));
      send_log (worker, job, SORA_LOG_INFO, stage->stage, text);
    }
  g_autoptr (GVariant) payload
      = g_variant_ref_sink (g_variant_new ("(@a{ss})", g_variant_builder_end (&levels)));
  if (n > 0)
    sora_channel_send (worker->channel, SORA_MESSAGE_THIRD_PARTY, job, payload, NULL);
}

void
sora_worker_run (SoraWorker *worker, guint64 id, GVariant *payload, GHashTable *inputs)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autofree char *output_dir = g_build_filename (worker->tmp_dir, "output", NULL);
  g_autofree char *state_dir = sora_worker_state_dir (worker, id);
  Job job = { .worker = worker, .job = id };
  g_variant_builder_init (&job.stages, G_VARIANT_TYPE ("aa{sv}"));

  gboolean ok = FALSE;
  g_autoptr (SoraPlan) plan = make_plan (worker, id, payload, inputs, &options, &error);
  const char *const *warnings = plan ? sora_plan_warnings (plan) : NULL;
  for (; warnings && *warnings; warnings++)
    send_log (worker, id, SORA_LOG_WARNING, NULL, *warnings);
  if (plan)
    tell_third_party (worker, id, plan);
  gboolean fits = plan && sora_worker_check_disk (plan, options, &error);
  if (fits
      && (g_mkdir_with_parents (output_dir, 0700) != 0
          || g_mkdir_with_parents (state_dir, 0700) != 0))
    g_set_error (&error, SORA_ERROR,
                 sora_error_is_full (errno) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED,
                 "cannot make a folder in '%s': %s", worker->tmp_dir, g_strerror (errno));
  else if (fits)
    ok = run_plan (&job, plan, options, output_dir, state_dir, &error);
  sora_sandbox_remove_folder (output_dir); /* what is left of an unfinished result */
  sora_sandbox_remove_folder (state_dir);
  g_variant_builder_clear (&job.stages);
  if (ok)
    return;
  sora_worker_end_task (worker);
  sora_worker_send_error (worker, id, error);
}

/* -- Checking */

static GVariant *
describe_output (const SoraPlanOutput *output)
{
  GVariantDict row;
  g_variant_dict_init (&row, NULL);
  g_variant_dict_insert (&row, "port", "s", output->port);
  g_variant_dict_insert (&row, "semantic", "s", output->semantic);
  g_variant_dict_insert (&row, "stream", "b", output->stream);
  g_variant_dict_insert (&row, "connected-to", "s",
                         output->connected_to ? output->connected_to : "");
  if (output->spec)
    {
      const char *dtype = sora_dtype_name (output->spec->dtype);
      g_variant_dict_insert (&row, "dtype", "s", dtype ? dtype : "");
      g_variant_dict_insert_value (
          &row, "shape",
          g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, output->spec->shape,
                                     (gsize)output->spec->ndim, sizeof (gint64)));
      g_variant_dict_insert (&row, "chunk", "x", output->spec->chunk);
    }
  return g_variant_dict_end (&row);
}

static GVariant *
describe_stage (const SoraWorker *worker, const SoraPlanStage *stage)
{
  GVariantDict row;
  g_variant_dict_init (&row, NULL);
  g_variant_dict_insert (&row, "run", "u", stage->run);
  g_variant_dict_insert (&row, "stage", "s", stage->stage);
  g_variant_dict_insert (&row, "plugin", "s", stage->plugin);
  g_variant_dict_insert (&row, "version", "s", stage->version);
  g_variant_dict_insert (&row, "third-party", "b", stage->third_party);
  g_variant_dict_insert (&row, "sandbox", "s", stage_level (worker, stage));
  g_variant_dict_insert (&row, "weights-bytes", "t", stage->cost.weights_bytes);
  g_variant_dict_insert (&row, "packed-bytes", "t", stage->cost.packed_bytes);
  g_variant_dict_insert (&row, "work-bytes", "t", stage->cost.work_bytes);
  g_variant_dict_insert (&row, "scratch-bytes", "t", stage->cost.scratch_bytes);
  g_variant_dict_insert (&row, "output-bytes", "t", stage->cost.output_bytes);
  g_variant_dict_insert (&row, "flops", "d", stage->cost.flops);
  g_variant_dict_insert (&row, "steps", "u", stage->cost.steps);
  GVariantBuilder outputs;
  g_variant_builder_init (&outputs, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; stage->outputs && i < stage->outputs->len; i++)
    g_variant_builder_add_value (&outputs, describe_output (g_ptr_array_index (stage->outputs, i)));
  g_variant_dict_insert_value (&row, "outputs", g_variant_builder_end (&outputs));
  return g_variant_dict_end (&row);
}

void
sora_worker_check (SoraWorker *worker, guint64 job, GVariant *payload, GHashTable *inputs)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autoptr (SoraPlan) plan = make_plan (worker, job, payload, inputs, &options, &error);
  if (!plan)
    {
      sora_worker_end_task (worker);
      sora_worker_send_error (worker, job, error);
      return;
    }
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  GPtrArray *stages = sora_plan_stages (plan);
  for (guint i = 0; i < stages->len; i++)
    g_variant_builder_add_value (&rows,
                                 describe_stage (worker, g_ptr_array_index (stages, i)));

  /* What Submit would be refused for is told here. */
  g_autoptr (GError) no_room = NULL;
  g_autoptr (GError) no_disk = NULL;
  guint64 limit = sora_plan_memory_limit (plan);
  g_autoptr (GPtrArray) warnings = g_ptr_array_new ();
  for (const char *const *w = sora_plan_warnings (plan); w && *w; w++)
    g_ptr_array_add (warnings, (gpointer)*w);
  if (!sora_plan_check_memory (plan, limit, &no_room))
    g_ptr_array_add (warnings, no_room->message);
  if (!sora_worker_check_disk (plan, options, &no_disk))
    g_ptr_array_add (warnings, no_disk->message);
  g_ptr_array_add (warnings, NULL);
  GVariantDict summary;
  g_variant_dict_init (&summary, NULL);
  g_variant_dict_insert (&summary, "peak-bytes", "t", sora_plan_peak_bytes (plan));
  g_variant_dict_insert (&summary, "flops", "d", sora_plan_flops (plan));
  g_variant_dict_insert (&summary, "runs", "u", sora_plan_n_runs (plan));
  g_variant_dict_insert (&summary, "seed", "t", sora_plan_request (plan)->seed);
  g_variant_dict_insert (&summary, "memory-limit", "t", limit);
  g_variant_dict_insert (&summary, "warnings", "^as", warnings->pdata);
  GVariant *answer = g_variant_new ("(@aa{sv}@a{sv})", g_variant_builder_end (&rows),
                                    g_variant_dict_end (&summary));
  sora_worker_end_task (worker);
  if (!sora_channel_send (worker->channel, SORA_MESSAGE_CHECKED, job, answer, &error))
    sora_worker_send_error (worker, job, error);
}
