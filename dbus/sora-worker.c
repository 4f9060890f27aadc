/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sora-worker: the process that loads plugins and runs graphs, so that sorad need not.  It speaks
 * the byte protocol on descriptor 3 (a socket from sorad), or with --stdio on standard input and
 * output, and ends with the stream.
 */
#include "config.h"
#include "sora-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

#include "dbus/sora-bus-error.h"
#include "sora-sandbox.h"

void
sora_worker_send_error (SoraWorker *worker, guint64 job, const GError *error)
{
  const char *name
      = sora_bus_error_name (error->domain == SORA_ERROR ? error->code : SORA_ERROR_FAILED);
  g_autofree char *text = g_utf8_make_valid (error->message, -1);
  if (strlen (text) > 16 * 1024)
    *g_utf8_find_prev_char (text, text + 16 * 1024) = '\0';
  sora_channel_send (worker->channel, SORA_MESSAGE_ERROR, job,
                     g_variant_new ("(ss@a{sv})", name, text, g_variant_new ("a{sv}", NULL)), NULL);
}

static gpointer
heartbeat_thread (gpointer data)
{
  SoraWorker *worker = data;
  gboolean ending = FALSE;
  for (guint64 count = 0; !ending; count++)
    {
      if (!sora_channel_send (worker->channel, SORA_MESSAGE_HEARTBEAT, 0,
                              g_variant_new ("(t)", count), NULL))
        break;
      gint64 next = g_get_monotonic_time () + G_USEC_PER_SEC;
      g_mutex_lock (&worker->lock);
      while (!worker->ending && g_cond_wait_until (&worker->changed, &worker->lock, next))
        ;
      ending = worker->ending;
      g_mutex_unlock (&worker->lock);
    }
  return NULL;
}

typedef struct
{
  SoraWorker *worker;
  SoraMessage *message;
  GHashTable *inputs;
} Task;

static gpointer
task_thread (gpointer data)
{
  Task *task = data;
  SoraWorker *worker = task->worker;
  SoraMessage *message = task->message;
  if (message->type == SORA_MESSAGE_RUN)
    sora_worker_run (worker, message->job, message->payload, task->inputs);
  else if (message->type == SORA_MESSAGE_CHECK)
    sora_worker_check (worker, message->job, message->payload, task->inputs);
  else
    sora_worker_describe (worker, message->job, message->payload);
  sora_message_free (message);
  g_hash_table_unref (task->inputs);
  g_free (task);
  return NULL;
}

static void
forget_inputs (SoraWorker *worker)
{
  g_hash_table_remove_all (worker->inputs);
  worker->inputs_size = 0;
}

static gboolean
begin_task (SoraWorker *worker, SoraMessage *message, GError **error)
{
  g_clear_pointer (&worker->incoming, sora_blob_free); /* the sender gave it up */
  g_mutex_lock (&worker->lock);
  gboolean busy = worker->busy;
  if (!busy)
    {
      worker->busy = TRUE;
      worker->job = message->job;
      worker->preview_wanted = FALSE;
      g_atomic_int_set (&worker->cancelled, FALSE);
    }
  g_mutex_unlock (&worker->lock);
  if (busy)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
                   "protocol: a %s came while the worker was busy",
                   sora_message_type_name (message->type));
      return FALSE;
    }
  if (worker->thread)
    g_thread_join (worker->thread);
  if (worker->inputs_job != message->job)
    forget_inputs (worker);

  Task *task = g_new0 (Task, 1);
  task->worker = worker;
  task->message = message;
  task->inputs = worker->inputs;
  worker->inputs
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  worker->inputs_size = 0;
  worker->thread = g_thread_new ("task", task_thread, task);
  return TRUE;
}

static gboolean
check_input_size (SoraWorker *worker, GError **error)
{
  if (worker->incoming->size <= SORA_WORKER_MAX_INPUT - worker->inputs_size)
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL,
               "protocol: the input files have more than %u bytes", SORA_WORKER_MAX_INPUT);
  return FALSE;
}

static gboolean
is_checkpoint (const SoraBlob *blob)
{
  return g_str_equal (blob->kind, "checkpoint");
}

/* An input file or a checkpoint of the job to come.  An input is kept in memory, since that is where its stage reads it. */
static gboolean
take_input (SoraWorker *worker, SoraMessage *message, GError **error)
{
  if (message->type == SORA_MESSAGE_BLOB_BEGIN)
    {
      g_clear_pointer (&worker->incoming, sora_blob_free); /* the sender gave it up */
      if (worker->checkpoint_fd >= 0)
        close (worker->checkpoint_fd);
      worker->checkpoint_fd = -1;
      if (worker->inputs_job != message->job)
        forget_inputs (worker);
      worker->inputs_job = message->job;
      worker->incoming = sora_blob_begin (message, G_MAXINT64, error);
      if (!worker->incoming)
        return FALSE;
      if (is_checkpoint (worker->incoming))
        return sora_worker_begin_checkpoint (worker, worker->incoming, error);
      if (!check_input_size (worker, error))
        return FALSE;
      worker->inputs_size += worker->incoming->size;
      g_byte_array_set_size (worker->bytes, 0);
      return TRUE;
    }
  if (!worker->incoming)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_PROTOCOL, "protocol: a %s came outside a blob",
                   sora_message_type_name (message->type));
      return FALSE;
    }
  if (message->type == SORA_MESSAGE_BLOB_CHUNK)
    {
      gconstpointer data;
      gsize size;
      if (!sora_blob_chunk (worker->incoming, message, &data, &size, error))
        return FALSE;
      if (is_checkpoint (worker->incoming))
        sora_worker_write_checkpoint (worker, data, size);
      else
        g_byte_array_append (worker->bytes, data, (guint)size);
      return sora_channel_acknowledge (worker->channel, worker->incoming, FALSE, error);
    }
  g_autoptr (SoraBlob) blob = g_steal_pointer (&worker->incoming);
  if (!sora_blob_end (blob, message, error))
    return FALSE;
  if (is_checkpoint (blob))
    {
      if (worker->checkpoint_fd >= 0)
        close (worker->checkpoint_fd);
      worker->checkpoint_fd = -1;
      return sora_channel_acknowledge (worker->channel, blob, TRUE, error);
    }
  g_autoptr (GBytes) bytes = g_bytes_new (worker->bytes->data, worker->bytes->len);
  g_byte_array_set_size (worker->bytes, 0);
  g_hash_table_replace (
      worker->inputs, g_strdup (blob->name),
      g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE)));
  return sora_channel_acknowledge (worker->channel, blob, TRUE, error);
}

static void
cancel_job (SoraWorker *worker)
{
  g_mutex_lock (&worker->lock);
  g_atomic_int_set (&worker->cancelled, TRUE);
  if (worker->runner)
    sora_runner_cancel (worker->runner);
  g_mutex_unlock (&worker->lock);
}

static void
want_preview (SoraWorker *worker, SoraMessage *message)
{
  gboolean wanted;
  g_variant_get (message->payload, "(b)", &wanted);
  g_mutex_lock (&worker->lock);
  if (message->job == worker->job)
    {
      worker->preview_wanted = wanted;
      if (worker->runner)
        sora_runner_want_preview (worker->runner, wanted);
    }
  g_mutex_unlock (&worker->lock);
}

static gboolean
dispatch (SoraWorker *worker, SoraMessage *message, GError **error)
{
  g_autoptr (SoraMessage) owned = message;
  switch ((SoraMessageType)message->type)
    {
    case SORA_MESSAGE_RUN:
    case SORA_MESSAGE_CHECK:
    case SORA_MESSAGE_DESCRIBE:
      if (!begin_task (worker, message, error))
        return FALSE;
      owned = NULL;
      return TRUE;
    case SORA_MESSAGE_CANCEL:
      if (message->job == worker->job) /* else it crossed our last answer */
        cancel_job (worker);
      return TRUE;
    case SORA_MESSAGE_WANT_PREVIEW:
      want_preview (worker, message);
      return TRUE;
    case SORA_MESSAGE_BLOB_BEGIN:
    case SORA_MESSAGE_BLOB_CHUNK:
    case SORA_MESSAGE_BLOB_END:
      return take_input (worker, message, error);
    default:
      return TRUE; /* HELLO; the parser refused what cannot come this way */
    }
}

/* The stream is over: whoever started us is gone or done.  A stage that does not stop at once is
 * not waited for. */
static void
end_tasks (SoraWorker *worker)
{
  sora_channel_shutdown (worker->channel);
  cancel_job (worker);
  gint64 deadline = g_get_monotonic_time () + G_USEC_PER_SEC;
  g_mutex_lock (&worker->lock);
  worker->ending = TRUE;
  g_cond_broadcast (&worker->changed);
  while (worker->busy && g_cond_wait_until (&worker->changed, &worker->lock, deadline))
    ;
  gboolean busy = worker->busy;
  g_mutex_unlock (&worker->lock);
  if (busy)
    _exit (EXIT_FAILURE);
  if (worker->thread)
    g_thread_join (worker->thread);
}

void
sora_worker_end_task (SoraWorker *worker)
{
  g_mutex_lock (&worker->lock);
  worker->busy = FALSE;
  g_clear_pointer (&worker->runner, sora_runner_unref);
  g_cond_broadcast (&worker->changed);
  g_mutex_unlock (&worker->lock);
}

/* Its job shall say why, not that a process ended. */
static int
decline (int in, int out, const GError *error)
{
  g_printerr ("sora-worker: %s\n", error->message);
  g_autoptr (SoraChannel) channel = sora_channel_new (in, out, SORA_SIDE_WORKER, NULL);
  g_autofree char *why = g_utf8_make_valid (error->message, -1);
  GVariantDict capabilities;
  g_variant_dict_init (&capabilities, NULL);
  g_variant_dict_insert (&capabilities, "sandbox", "s", "none");
  g_variant_dict_insert (&capabilities, "refused", "s", why);
  g_autoptr (GVariant) hello
      = g_variant_ref_sink (g_variant_new ("(us@a{sv})", SORA_PROTOCOL_VERSION, sora_version (),
                                           g_variant_dict_end (&capabilities)));
  if (channel)
    sora_channel_send (channel, SORA_MESSAGE_HELLO, 0, hello, NULL);
  return EXIT_FAILURE;
}

static int
serve (SoraWorker *worker)
{
  g_autoptr (GError) error = NULL;
  GVariantDict capabilities;
  g_variant_dict_init (&capabilities, NULL);
  g_variant_dict_insert (&capabilities, "sandbox", "s", sora_sandbox_level_name (worker->level));
  sora_channel_send (worker->channel, SORA_MESSAGE_HELLO, 0,
                     g_variant_new ("(us@a{sv})", SORA_PROTOCOL_VERSION, sora_version (),
                                    g_variant_dict_end (&capabilities)),
                     NULL);
  GThread *heartbeat = g_thread_new ("heartbeat", heartbeat_thread, worker);

  for (;;)
    {
      SoraMessage *message = NULL;
      if (!sora_channel_receive (worker->channel, &message, &error))
        break;
      if (!message || !dispatch (worker, message, &error))
        break;
    }
  end_tasks (worker);
  g_thread_join (heartbeat);
  if (!error)
    return EXIT_SUCCESS;
  g_printerr ("sora-worker: %s\n", error->message);
  return EXIT_FAILURE;
}

/* What is not given is the installed folder. */
static SoraEnvironment *
make_environment (char **plugin_dirs, char **pipeline_dirs, char **model_dirs)
{
  g_autoptr (SoraEnvironment) defaults = sora_environment_new (FALSE);
  g_auto (GStrv) installed = sora_registry_default_dirs (FALSE);
  return sora_environment_new_for_dirs (
      (const char *const *)(plugin_dirs ? plugin_dirs : installed),
      (const char *const *)(pipeline_dirs ? pipeline_dirs : defaults->pipeline_dirs),
      (const char *const *)(model_dirs ? model_dirs : defaults->model_dirs));
}

/* "auto" (the default) is the strongest that the machine gives. */
static SoraSandbox *
make_sandbox (const char *name, GError **error)
{
  SoraSandboxLevel level;
  if (!name || g_str_equal (name, "auto"))
    return sora_sandbox_new (SORA_SANDBOX_BASIC, SORA_SANDBOX_FULL);
  if (sora_sandbox_level_from_name (name, &level))
    return sora_sandbox_new (level, level);
  g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
               "--sandbox=%s: expected auto, full, filtered or basic", name);
  return NULL;
}

/* How the monitor starts this program again for a third-party stage. */
static char **
stage_arguments (char **plugin_dirs, gint64 memory_max, const char *least)
{
  GPtrArray *argv = g_ptr_array_new ();
  g_ptr_array_add (argv, g_file_read_link ("/proc/self/exe", NULL));
  for (; *plugin_dirs; plugin_dirs++)
    g_ptr_array_add (argv, g_strdup_printf ("--plugin-dir=%s", *plugin_dirs));
  g_ptr_array_add (argv, g_strdup_printf ("--third-party=%s", least));
  if (memory_max > 0)
    g_ptr_array_add (argv, g_strdup_printf ("--memory-max=%" G_GINT64_FORMAT, memory_max));
  g_ptr_array_add (argv, NULL);
  return (char **)g_ptr_array_free (argv, FALSE);
}

static gboolean
launch_stage (gpointer data, const char *plugin, const char *const *paths, int *stream,
              int *control, GError **error)
{
  SoraWorker *worker = data;
  return sora_sandbox_spawn (worker->sandbox, plugin, paths, stream, control, error);
}

int
main (int argc, char **argv)
{
  gboolean over_stdio = FALSE;
  g_auto (GStrv) plugin_dirs = NULL;
  g_auto (GStrv) pipeline_dirs = NULL;
  g_auto (GStrv) model_dirs = NULL;
  g_autofree char *default_model = NULL;
  g_auto (GStrv) readable = NULL;
  g_autofree char *cache_dir = NULL;
  g_autofree char *digest_dir = NULL;
  g_autofree char *believed_dir = NULL;
  g_autofree char *packed_dir = NULL;
  g_autofree char *tmp_dir = NULL;
  g_autofree char *level = NULL;
  g_autofree char *stage = NULL;
  g_autofree char *third_party = NULL;
  g_auto (GStrv) grants = NULL;
  g_auto (GStrv) trusted = NULL;
  int answer_seconds = 5, stall_seconds = 600;
  gint64 memory_max = 0;
  int niceness = 0;
  gboolean idle = FALSE;
  const GOptionEntry entries[] = {
    { "stdio", 0, 0, G_OPTION_ARG_NONE, &over_stdio, "Speak on standard input and output", NULL },
    { "plugin-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &plugin_dirs, "Folder of plugins", "DIR" },
    { "pipeline-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &pipeline_dirs, "Folder of pipelines",
      "DIR" },
    { "model-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &model_dirs, "Folder of models", "DIR" },
    { "default-model", 0, 0, G_OPTION_ARG_STRING, &default_model, "Model of roles that name none",
      "ID" },
    { "tmp-dir", 0, 0, G_OPTION_ARG_FILENAME, &tmp_dir, "Private folder for files of the work",
      "DIR" },
    { "sandbox", 0, 0, G_OPTION_ARG_STRING, &level,
      "auto, or the level that it must be: full, filtered or basic", "LEVEL" },
    { "third-party", 0, 0, G_OPTION_ARG_STRING, &third_party,
      "Least level of third-party plugins: full, filtered or basic; none: no own process; refuse",
      "LEVEL" },
    { "trusted-plugin-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &trusted,
      "Folder whose plugins are no third party's", "DIR" },
    { "answer-seconds", 0, 0, G_OPTION_ARG_INT, &answer_seconds,
      "How long a third-party plugin may take to load or infer", "N" },
    { "stage-stall-seconds", 0, 0, G_OPTION_ARG_INT, &stall_seconds,
      "How long its stage may be silent; 0: for ever", "N" },
    { "stage", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &stage, "Be the process of its stage",
      "PLUGIN" },
    { "grant", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME_ARRAY, &grants, "A model of it",
      "PATH" },
    { "readable", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &readable, "What it may read, too", "PATH" },
    { "cache-dir", 0, 0, G_OPTION_ARG_FILENAME, &cache_dir,
      "Folder of what stages gave to the user that it serves", "DIR" },
    { "digest-dir", 0, 0, G_OPTION_ARG_FILENAME, &digest_dir,
      "Folder of the digests of models' files that it makes for that user", "DIR" },
    { "believed-digest-dir", 0, 0, G_OPTION_ARG_FILENAME, &believed_dir,
      "Folder of those that the service made, to be read", "DIR" },
    { "packed-dir", 0, 0, G_OPTION_ARG_FILENAME, &packed_dir,
      "Folder of packed weights that root made for all", "DIR" },
    { "memory-max", 0, 0, G_OPTION_ARG_INT64, &memory_max, "Most memory to take", "BYTES" },
    { "nice", 0, 0, G_OPTION_ARG_INT, &niceness, "Least niceness, 0 to 19", "N" },
    { "idle", 0, 0, G_OPTION_ARG_NONE, &idle, "Work when nobody else wants to", NULL },
    { NULL },
  };
  sora_process_init ();
  setlocale (LC_CTYPE, ""); /* LC_NUMERIC stays C: numbers are written into files */

  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  g_option_context_set_summary (options,
                                "Runs graphs for sorad, which starts it; of no use by hand.");
  g_option_context_add_main_entries (options, entries, NULL);
  if (!g_option_context_parse (options, &argc, &argv, &error))
    {
      g_printerr ("sora-worker: %s\n", error->message);
      return EXIT_FAILURE;
    }
  if (stage)
    return sora_worker_serve_stage (stage, plugin_dirs, grants,
                                    memory_max > 0 ? (guint64)memory_max : 0,
                                    third_party ? third_party : "filtered");
  int in = 3, out = 3;
  if (over_stdio)
    {
      in = fcntl (STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
      out = fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    }
  if (in < 0 || out < 0 || fcntl (in, F_SETFD, FD_CLOEXEC) < 0)
    {
      g_printerr (
          "sora-worker: descriptor 3 is not open: it is started by sorad, or with --stdio\n");
      return EXIT_FAILURE;
    }
  if (!sora_worker_take_class (niceness, idle, &error)
      || !sora_worker_confine (over_stdio, 4, memory_max > 0 ? (guint64)memory_max : 0, &error))
    {
      g_printerr ("sora-worker: %s\n", error->message);
      return EXIT_FAILURE;
    }

  SoraWorker worker = { .checkpoint_fd = -1 };
  g_autoptr (SoraSandbox) sandbox = make_sandbox (level, &error);
  gboolean own_tmp = tmp_dir == NULL;
  if (!sandbox)
    {
      g_printerr ("sora-worker: %s\n", error->message);
      return EXIT_FAILURE;
    }
  if (!own_tmp && g_mkdir (tmp_dir, 0700) != 0 && errno != EEXIST)
    {
      g_printerr ("sora-worker: cannot make the folder '%s': %s\n", tmp_dir, g_strerror (errno));
      return EXIT_FAILURE;
    }
  if (own_tmp && !(tmp_dir = g_dir_make_tmp ("sora-worker-XXXXXX", &error)))
    {
      g_printerr ("sora-worker: %s\n", error->message);
      return EXIT_FAILURE;
    }
  if (own_tmp)
    sandbox->tmp_dir = g_strdup (tmp_dir);
  g_setenv ("TMPDIR", tmp_dir, TRUE);
  worker.environment = make_environment (plugin_dirs, pipeline_dirs, model_dirs);
  g_auto (GStrv) installed = sora_registry_default_dirs (FALSE);
  sora_worker_grant_work (sandbox, worker.environment, plugin_dirs ? plugin_dirs : installed,
                          readable, tmp_dir);
  sora_worker_grant_kept (&worker, sandbox, cache_dir, digest_dir, believed_dir);
  if (packed_dir)
    sora_worker_grant_packed (&worker, sandbox, packed_dir);
  worker.sandbox = sandbox;
  worker.remote = (SoraRemote){ .trusted_dirs = trusted ? trusted : installed,
                                .refused = third_party && g_str_equal (third_party, "refuse"),
                                .inside = third_party && g_str_equal (third_party, "none"),
                                .answer_seconds = (guint)CLAMP (answer_seconds, 1, 3600),
                                .stall_seconds = (guint)CLAMP (stall_seconds, 0, 7 * 86400),
                                .launch = launch_stage,
                                .data = &worker };
  sora_environment_set_remote (worker.environment, &worker.remote);
  if (!worker.remote.inside)
    sandbox->stage_argv = stage_arguments (plugin_dirs ? plugin_dirs : installed, memory_max,
                                           third_party ? third_party : "filtered");
  if (!sora_sandbox_enter (sandbox, in, out, &worker.level, &error))
    return decline (in, out, error);

  worker.channel = sora_channel_new (in, out, SORA_SIDE_WORKER, &error);
  if (!worker.channel)
    {
      g_printerr ("sora-worker: %s\n", error->message);
      return EXIT_FAILURE;
    }
  g_mutex_init (&worker.lock);
  g_cond_init (&worker.changed);
  worker.tmp_dir = tmp_dir;
  worker.bytes = g_byte_array_new ();
  worker.inputs
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  if (default_model)
    {
      g_free (worker.environment->default_model);
      worker.environment->default_model = g_steal_pointer (&default_model);
    }

  int status = serve (&worker);

  sora_process_shutdown ();
  sora_channel_unref (worker.channel);
  sora_environment_free (worker.environment);
  sora_blob_free (worker.incoming);
  g_byte_array_unref (worker.bytes);
  g_hash_table_unref (worker.inputs);
  g_free (worker.cache_dir);
  g_free (worker.packed_dir);
  g_mutex_clear (&worker.lock);
  g_cond_clear (&worker.changed);
  return status;
}
