/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * org.sorad.Sora1.Manager: Submit, Check, ListJobs, and the properties.
 */
#include "config.h"
#include "sorad-bus.h"

#include "core/sora-cache.h"
#include "core/sora-runner.h"
#include "dbus/sora-bus-error.h"
#include "sorad-asking.h"
#include "sorad-disk.h"
#include "sorad-request.h"

#define MAX_ASKING 2 /* of one user: submissions with files, and checks */
#define MAX_ASKING_ALL 8
#define CHECK_TIMEOUT 60
#define COPY_TIMEOUT 60 /* seconds; a file of the caller may never answer */
#define MAX_INPUTS 256  /* files of the jobs of one user that wait or run */

/* Submit or Check while its files are copied. */
typedef struct
{
  SoradBus *bus;
  GDBusMethodInvocation *invocation;
  SoradSubmission *submission;
  gboolean check;
  gboolean counted;
  guint copy_timer;
  gboolean late; /* answered already, and not counted with everybody's any more */
} Request;

GVariant *
sorad_manager_get_property (SoradBus *bus, const char *name)
{
  if (g_str_equal (name, "Version"))
    return g_variant_new_string (sora_version ());
  if (g_str_equal (name, "QueueLength"))
    return g_variant_new_uint32 (sorad_scheduler_queue_length (bus->scheduler));
  if (g_str_equal (name, "Running"))
    return g_variant_new_uint32 (sorad_scheduler_running (bus->scheduler));
  return g_variant_new_string (sorad_catalogue_default_model (bus->catalogue));
}

/* -- Limits */

static guint
asking_of (SoradBus *bus, guint32 uid)
{
  return GPOINTER_TO_UINT (g_hash_table_lookup (bus->asking, GUINT_TO_POINTER (uid)));
}

guint
sorad_manager_asking (SoradBus *bus)
{
  GHashTableIter iter;
  gpointer value;
  guint all = 0;
  g_hash_table_iter_init (&iter, bus->asking);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    all += GPOINTER_TO_UINT (value);
  return all - bus->late;
}

static gboolean
count_in (Request *request, GError **error)
{
  SoradBus *bus = request->bus;
  guint32 uid = request->submission->uid;
  guint mine = asking_of (bus, uid);
  if (mine >= MAX_ASKING)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY,
                   "%u requests of yours with files or to check are on their way, at most %d at a "
                   "time: try again",
                   mine, MAX_ASKING);
      return FALSE;
    }
  if (sorad_manager_asking (bus) >= MAX_ASKING_ALL)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY,
                   "%d requests of all users with files or to check are on their way, no more are "
                   "taken at a time: try again",
                   MAX_ASKING_ALL);
      return FALSE;
    }
  g_hash_table_insert (bus->asking, GUINT_TO_POINTER (uid), GUINT_TO_POINTER (mine + 1));
  request->counted = TRUE;
  return TRUE;
}

static void
count_out (Request *request)
{
  if (!request->counted)
    return;
  guint32 uid = request->submission->uid;
  guint left = asking_of (request->bus, uid) - 1;
  if (left == 0)
    g_hash_table_remove (request->bus->asking, GUINT_TO_POINTER (uid));
  else
    g_hash_table_insert (request->bus->asking, GUINT_TO_POINTER (uid), GUINT_TO_POINTER (left));
  request->counted = FALSE;
}

static void
request_free (Request *request)
{
  count_out (request);
  g_clear_handle_id (&request->copy_timer, g_source_remove);
  sorad_submission_free (request->submission);
  g_free (request);
}

static void
request_fail (Request *request, const GError *error)
{
  g_dbus_method_invocation_return_gerror (request->invocation, error);
  request_free (request);
}

static gboolean
check_limits (SoradBus *bus, const SoradSubmission *submission, GError **error)
{
  guint active = sorad_store_count (bus->store, submission->uid, SORAD_JOB_ACTIVE);
  guint64 stored = sorad_store_bytes (bus->store, submission->uid, SORAD_JOB_ACTIVE);
  guint inputs = sorad_store_inputs (bus->store, submission->uid);
  if (active >= bus->config->max_queued)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY,
                   "%u jobs of yours wait or run, at most %u may: try again later", active,
                   bus->config->max_queued);
      return FALSE;
    }
  if (stored + submission->bytes > bus->config->max_stored_bytes)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY,
                   "the request brings %" G_GUINT64_FORMAT " bytes, and %" G_GUINT64_FORMAT
                   " of yours wait or run; at most %" G_GUINT64_FORMAT " may: try again later",
                   submission->bytes, stored, bus->config->max_stored_bytes);
      return FALSE;
    }
  if (inputs + submission->inputs->len > MAX_INPUTS)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY,
                   "the request brings %u files, and jobs of yours that wait or run have %u; at "
                   "most %d may be: try again later",
                   submission->inputs->len, inputs, MAX_INPUTS);
      return FALSE;
    }
  return TRUE;
}

/* -- Submit */

static void
answer_submitters (SoradJob *job, const GError *error)
{
  for (guint i = 0; i < job->submitters->len; i++)
    {
      GDBusMethodInvocation *invocation = g_ptr_array_index (job->submitters, i);
      if (error)
        g_dbus_method_invocation_return_gerror (invocation, error);
      else
        g_dbus_method_invocation_return_value (invocation, g_variant_new ("(o)", job->path));
    }
  g_ptr_array_set_size (job->submitters, 0);
}

/* Only now is there a job: it is durable. */
static void
on_submitted (SoradJob *job, const GError *error, gpointer data)
{
  SoradBus *bus = data;
  job->pending = FALSE;
  if (error)
    {
      g_autoptr (SoradJob) held = sorad_job_ref (job);
      sorad_store_remove (bus->store, job, NULL, NULL);
      answer_submitters (held, error);
      return;
    }
  sorad_scheduler_submit (bus->scheduler, job);
  answer_submitters (job, NULL);
}

/* A submission that comes again is the job that there is. */
static gboolean
is_known (Request *request, GError **error)
{
  const SoradSubmission *submission = request->submission;
  SoradJob *job = submission->key ? sorad_store_find_key (request->bus->store, submission->uid,
                                                          submission->key)
                                  : NULL;
  if (!job)
    return FALSE;
  if (!g_str_equal (job->submission->digest, submission->digest))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option 'idempotency-key': '%s' came with another request before, for job '%s'",
                   submission->key, job->id);
      return TRUE;
    }
  g_ptr_array_add (job->submitters, request->invocation);
  if (!job->pending)
    answer_submitters (job, NULL);
  return TRUE;
}

static void
finish_submit (Request *request)
{
  SoradBus *bus = request->bus;
  g_autoptr (GError) error = NULL;
  const char *sender = g_dbus_method_invocation_get_sender (request->invocation);
  gboolean ephemeral = request->submission->ephemeral;
  sorad_request_digest_inputs (request->submission);
  gboolean known = is_known (request, &error);
  if (error || (!known && !check_limits (bus, request->submission, &error)))
    {
      request_fail (request, error);
      return;
    }
  if (known)
    {
      request_free (request);
      return;
    }
  if (ephemeral && !sorad_clients_has (bus->clients, sender))
    { /* it went while its files were copied */
      g_object_unref (request->invocation);
      request_free (request);
      return;
    }
  count_out (request); /* the submission goes */
  SoradJob *job = sorad_store_add (bus->store, g_steal_pointer (&request->submission));
  if (ephemeral)
    job->client = g_strdup (sender);
  job->pending = TRUE;
  g_ptr_array_add (job->submitters, request->invocation);
  request_free (request);
  sorad_store_save_new (bus->store, job, on_submitted, bus);
}

/* -- Check */

static void
on_checked (GVariant *answer, const GError *error, gpointer data)
{
  Request *request = data;
  if (error)
    {
      request_fail (request, error);
      return;
    }
  g_dbus_method_invocation_return_value (request->invocation, answer);
  request_free (request);
}

static void
finish_check (Request *request)
{
  SoradBus *bus = request->bus;
  GVariantDict options;
  g_variant_dict_init (&options, NULL);
  sorad_disk_add_options (bus->config, bus->store, request->submission->uid, &options);
  GVariant *payload = g_variant_new ("(@a{sv}@a{sv})", request->submission->request,
                                     g_variant_dict_end (&options));
  sorad_ask (bus->config, bus->store, SORA_MESSAGE_CHECK, payload, request->submission->inputs,
             CHECK_TIMEOUT, on_checked, request);
}

static void
finish_request (Request *request)
{
  if (request->check)
    finish_check (request);
  else
    finish_submit (request);
}

/* -- Files */

static void
copy_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Request *request = data;
  GError *error = NULL;
  if (sorad_request_copy_inputs (request->submission, request->bus->store,
                                 request->bus->config->max_input_bytes, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_copied (GObject *source, GAsyncResult *result, gpointer data)
{
  Request *request = data;
  g_autoptr (GError) error = NULL;
  request->bus->in_threads--;
  if (request->late)
    {
      request->bus->late--;
      request_free (request);
      return;
    }
  g_clear_handle_id (&request->copy_timer, g_source_remove);
  gboolean ok = g_task_propagate_boolean (G_TASK (result), &error);
  if (ok && request->bus->ending)
    {
      g_set_error (&error, SORA_ERROR, SORA_ERROR_FAILED, "sorad ends");
      ok = FALSE;
    }
  if (ok)
    finish_request (request);
  else
    request_fail (request, error);
}

/* The thread stays where it is, with its place among the caller's requests; others get theirs. */
static gboolean
on_copy_late (gpointer data)
{
  Request *request = data;
  request->copy_timer = 0;
  request->late = TRUE;
  request->bus->late++;
  g_dbus_method_invocation_return_error (request->invocation, SORA_ERROR, SORA_ERROR_FAILED,
                                         "the input files could not be read within %d s",
                                         COPY_TIMEOUT);
  return G_SOURCE_REMOVE;
}

static void
begin_request (SoradBus *bus, guint32 uid, GDBusMethodInvocation *invocation, gboolean check)
{
  g_autoptr (GError) error = NULL;
  GDBusMessage *message = g_dbus_method_invocation_get_message (invocation);
  SoradSubmission *submission = sorad_request_parse (
      bus->catalogue, bus->config, uid, g_dbus_method_invocation_get_parameters (invocation),
      g_dbus_message_get_unix_fd_list (message), &error);
  if (!submission)
    {
      g_dbus_method_invocation_return_gerror (invocation, error);
      return;
    }
  Request *request = g_new0 (Request, 1);
  request->bus = bus;
  request->invocation = invocation;
  request->submission = submission;
  request->check = check;
  gboolean has_files = submission->inputs->len > 0;
  if ((has_files || check) && !count_in (request, &error))
    {
      request_fail (request, error);
      return;
    }
  if (!has_files)
    {
      finish_request (request);
      return;
    }
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_copied, request);
  g_task_set_task_data (task, request, NULL);
  bus->in_threads++;
  request->copy_timer = g_timeout_add_seconds (COPY_TIMEOUT, on_copy_late, request);
  g_task_run_in_thread (task, copy_in_thread);
}

/* -- ListJobs */

static gboolean
read_states (GVariant *options, guint *states, GError **error)
{
  GVariantIter iter;
  const char *key;
  GVariant *item;
  *states = ~0u;
  g_variant_iter_init (&iter, options);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &item))
    {
      g_autoptr (GVariant) value = item;
      if (!g_str_equal (key, "states")
          || !g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
        {
          g_set_error (
              error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
              "there is no option '%.64s' of D-Bus type '%.16s', only 'states' of type 'as'", key,
              g_variant_get_type_string (value));
          return FALSE;
        }
      g_autofree const char **names = g_variant_get_strv (value, NULL);
      *states = 0;
      for (gsize i = 0; names[i]; i++)
        {
          SoradJobState state;
          if (!sorad_job_state_from_name (names[i], &state))
            {
              g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                           "option 'states': '%.64s' is no state; there are queued, running, "
                           "awaiting-approval, done, failed, cancelled, revoked",
                           names[i]);
              return FALSE;
            }
          *states |= SORAD_JOB_STATE_BIT (state);
        }
    }
  return TRUE;
}

static void
list_jobs (SoradBus *bus, guint32 uid, GDBusMethodInvocation *invocation)
{
  g_autoptr (GVariant) options
      = g_variant_get_child_value (g_dbus_method_invocation_get_parameters (invocation), 0);
  g_autoptr (GError) error = NULL;
  guint states;
  if (!read_states (options, &states, &error))
    {
      g_dbus_method_invocation_return_gerror (invocation, error);
      return;
    }
  GVariantBuilder rows;
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("a(oa{sv})"));
  g_autoptr (GPtrArray) jobs = sorad_store_list (bus->store, uid, states);
  for (guint i = 0; i < jobs->len; i++)
    {
      SoradJob *job = g_ptr_array_index (jobs, i);
      if (job->pending)
        continue;
      g_variant_builder_add (
          &rows, "(o@a{sv})", job->path,
          sorad_job_get_all (job, sorad_scheduler_position (bus->scheduler, job)));
    }
  g_dbus_method_invocation_return_value (invocation, g_variant_new ("(a(oa{sv}))", &rows));
}

/* A worker that reads one at the moment has it open, and one that is written comes after. */
static void
clear_cache (SoradBus *bus, guint32 uid, GDBusMethodInvocation *invocation)
{
  g_autofree char *dir = sorad_config_cache_dir (bus->config, uid);
  g_autoptr (GError) error = NULL;
  if (sora_cache_clear (dir, &error))
    g_dbus_method_invocation_return_value (invocation, NULL);
  else
    g_dbus_method_invocation_return_gerror (invocation, error);
}

void
sorad_manager_call (SoradBus *bus, guint32 uid, GDBusMethodInvocation *invocation)
{
  const char *method = g_dbus_method_invocation_get_method_name (invocation);
  if (g_str_equal (method, "ListJobs"))
    list_jobs (bus, uid, invocation);
  else if (g_str_equal (method, "ClearCache"))
    clear_cache (bus, uid, invocation);
  else
    begin_request (bus, uid, invocation, g_str_equal (method, "Check"));
}
