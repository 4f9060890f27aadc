/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * org.sorad.Sora1.Job: the methods, for a caller whose job it is.
 */
#include "config.h"
#include "sorad-bus.h"
#include "sorad-request.h"

#include <gio/gunixfdlist.h>
#include <unistd.h>

#define MAX_SUBSCRIBERS 64

/* A job that is over without a result answers with what it ended by. */
static gboolean
check_done (const SoradJob *job, GError **error)
{
  if (job->state == SORAD_JOB_DONE)
    return TRUE;
  if (job->error)
    {
      g_propagate_error (error, g_error_copy (job->error));
      return FALSE;
    }
  g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_READY, "job '%s' is %s: it has no result yet",
               job->id, sorad_job_state_name (job->state));
  return FALSE;
}

static void
return_descriptor (GDBusMethodInvocation *invocation, int fd, GVariant *answer)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (answer);
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  if (g_unix_fd_list_append (list, fd, &error) < 0)
    g_dbus_method_invocation_return_gerror (invocation, error);
  else
    g_dbus_method_invocation_return_value_with_unix_fd_list (invocation, owned, list);
}

static void
get_result (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation)
{
  g_autoptr (GError) error = NULL;
  if (!check_done (job, &error))
    {
      g_dbus_method_invocation_return_gerror (invocation, error);
      return;
    }
  GVariantDict details;
  g_variant_dict_init (&details, job->details);
  g_variant_dict_insert_value (
      &details, "warnings",
      g_variant_new_strv ((const char *const *)job->warnings->pdata, (gssize)job->warnings->len));
  g_variant_dict_insert_value (
      &details, "notes",
      g_variant_new_strv ((const char *const *)job->notes->pdata, (gssize)job->notes->len));
  g_dbus_method_invocation_return_value (
      invocation, g_variant_new ("(@aa{sv}@a{sv})", job->files, g_variant_dict_end (&details)));
}

/* -- OpenResult */

typedef struct
{
  SoradBus *bus;
  SoradStore *store;
  char *id, *name;
} Opening;

static void
opening_free (gpointer data)
{
  Opening *opening = data;
  g_free (opening->id);
  g_free (opening->name);
  g_free (opening);
}

static void
open_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Opening *opening = data;
  GError *error = NULL;
  int fd = sorad_store_open_result (opening->store, opening->id, opening->name, &error);
  if (fd >= 0)
    g_task_return_int (task, fd);
  else
    g_task_return_error (task, error);
}

static void
on_opened (GObject *source, GAsyncResult *result, gpointer data)
{
  GDBusMethodInvocation *invocation = data;
  g_autoptr (GError) error = NULL;
  ((Opening *)g_task_get_task_data (G_TASK (result)))->bus->in_threads--;
  int fd = (int)g_task_propagate_int (G_TASK (result), &error);
  if (error)
    {
      g_dbus_method_invocation_return_gerror (invocation, error);
      return;
    }
  return_descriptor (invocation, fd, g_variant_new ("(h)", 0));
  close (fd);
}

static gboolean
read_name (const SoradJob *job, GVariant *options, const char **name, GError **error)
{
  GVariantIter iter;
  const char *key;
  GVariant *item;
  *name = NULL;
  g_variant_iter_init (&iter, options);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &item))
    {
      g_autoptr (GVariant) value = item; /* its string lives in @options */
      if (!g_str_equal (key, "name") || !g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                       "there is no option '%.64s' of D-Bus type '%.16s', only 'name' of type 's'",
                       key, g_variant_get_type_string (value));
          return FALSE;
        }
      *name = g_variant_get_string (value, NULL);
    }
  return TRUE;
}

/* Only names that the result lists are ever looked up. */
static char *
choose_file (const SoradJob *job, GVariant *options, GError **error)
{
  const char *wanted;
  if (!read_name (job, options, &wanted, error))
    return NULL;
  gsize n = g_variant_n_children (job->files);
  if (!wanted && n == 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND, "job '%s' has no result files",
                   job->id);
      return NULL;
    }
  if (!wanted && n != 1)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "job '%s' has %" G_GSIZE_FORMAT " result files: say which by the option 'name'",
                   job->id, n);
      return NULL;
    }
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) file = g_variant_get_child_value (job->files, i);
      const char *name = NULL;
      if (g_variant_lookup (file, "name", "&s", &name) && (!wanted || g_str_equal (name, wanted)))
        return g_strdup (name);
    }
  g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND, "job '%s' has no result file '%.255s'",
               job->id, wanted);
  return NULL;
}

static void
open_result (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation)
{
  g_autoptr (GVariant) options
      = g_variant_get_child_value (g_dbus_method_invocation_get_parameters (invocation), 0);
  g_autoptr (GError) error = NULL;
  char *name = check_done (job, &error) ? choose_file (job, options, &error) : NULL;
  if (!name)
    {
      g_dbus_method_invocation_return_gerror (invocation, error);
      return;
    }
  Opening *opening = g_new0 (Opening, 1);
  opening->bus = bus;
  opening->store = bus->store;
  bus->in_threads++;
  opening->id = g_strdup (job->id);
  opening->name = name;
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_opened, invocation);
  g_task_set_task_data (task, opening, opening_free);
  g_task_run_in_thread (task, open_in_thread);
}

static void
open_preview (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation)
{
  if (!sorad_job_is_over (job))
    sorad_scheduler_want_preview (bus->scheduler, job);
  if (job->preview_fd < 0)
    {
      g_dbus_method_invocation_return_error (
          invocation, SORA_ERROR, SORA_ERROR_NOT_READY, "job '%s' is %s: %s", job->id,
          sorad_job_state_name (job->state),
          sorad_job_is_over (job) ? "it makes no preview any more" : "no frame was decoded yet");
      return;
    }
  return_descriptor (invocation, job->preview_fd,
                     g_variant_new ("(huu)", 0, job->preview_width, job->preview_height));
}

/* -- The rest */

static void
wait_for (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation, gboolean cancel)
{
  if (sorad_job_is_over (job))
    {
      g_dbus_method_invocation_return_value (
          invocation, cancel ? NULL : g_variant_new ("(s)", sorad_job_state_name (job->state)));
      return;
    }
  g_ptr_array_add (job->waiters,
                   invocation); /* their number is bounded with the calls of the user */
  if (cancel)
    sorad_scheduler_cancel (bus->scheduler, job);
}

static void
on_stored (SoradJob *job, const GError *error, gpointer invocation)
{
  if (error)
    g_dbus_method_invocation_return_gerror (invocation, error);
  else
    g_dbus_method_invocation_return_value (invocation, NULL);
}

static void
delete_job (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation)
{
  if (!sorad_job_is_over (job))
    {
      g_dbus_method_invocation_return_error (invocation, SORA_ERROR, SORA_ERROR_BUSY,
                                             "job '%s' is %s: cancel it first", job->id,
                                             sorad_job_state_name (job->state));
      return;
    }
  job->deleted = TRUE;
  sorad_store_remove (bus->store, job, on_stored, invocation);
}

static gboolean
check_waits_or_runs (const SoradJob *job, GError **error)
{
  if (!sorad_job_is_over (job) && !job->ending && !job->cancel_requested)
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY, "job '%s' is %s", job->id,
               sorad_job_is_over (job) ? sorad_job_state_name (job->state) : "at its end");
  return FALSE;
}

static void
pause_job (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation)
{
  gboolean asked = job->pausers->len > 0;
  if (job->paused && !asked)
    { /* and that is durable */
      g_dbus_method_invocation_return_value (invocation, NULL);
      return;
    }
  g_ptr_array_add (job->pausers, invocation); /* bounded as Wait is */
  if (!asked)
    sorad_scheduler_pause (bus->scheduler, job);
}

/* Methods that change where a job stands; each is answered when that is durable. */
static void
change_order (SoradBus *bus, SoradJob *job, const char *method, GDBusMethodInvocation *invocation)
{
  GVariant *arguments = g_dbus_method_invocation_get_parameters (invocation);
  g_autoptr (GError) error = NULL;
  gint32 priority = 0;
  gboolean sets_priority = g_str_equal (method, "SetPriority");
  if (sets_priority)
    g_variant_get (arguments, "(i)", &priority);
  if (!check_waits_or_runs (job, &error)
      || (sets_priority && !sorad_request_check_priority (priority, &error)))
    g_dbus_method_invocation_return_gerror (invocation, error);
  else if (g_str_equal (method, "Pause"))
    pause_job (bus, job, invocation);
  else if (sets_priority)
    sorad_scheduler_set_priority (bus->scheduler, job, priority, on_stored, invocation);
  else if (job->pausers->len > 0)
    g_dbus_method_invocation_return_error (invocation, SORA_ERROR, SORA_ERROR_BUSY,
                                           "job '%s' is about to pause", job->id);
  else
    sorad_scheduler_resume (bus->scheduler, job, on_stored, invocation);
}

static void
set_kept (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation)
{
  g_variant_get (g_dbus_method_invocation_get_parameters (invocation), "(b)", &job->kept);
  sorad_bus_job_changed (bus, job, SORAD_JOB_CHANGED_ORDER);
  sorad_store_save (bus->store, job, on_stored, invocation);
}

static void
subscribe (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation)
{
  const char *sender = g_dbus_method_invocation_get_sender (invocation);
  if (g_hash_table_size (job->subscribers) >= MAX_SUBSCRIBERS
      && !g_hash_table_contains (job->subscribers, sender))
    {
      g_dbus_method_invocation_return_error (invocation, SORA_ERROR, SORA_ERROR_BUSY,
                                             "job '%s' has %d subscribers, no more are taken",
                                             job->id, MAX_SUBSCRIBERS);
      return;
    }
  g_hash_table_add (job->subscribers, g_strdup (sender));
  g_dbus_method_invocation_return_value (invocation, NULL);
}

void
sorad_job_call (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation)
{
  const char *method = g_dbus_method_invocation_get_method_name (invocation);
  if (g_str_equal (method, "GetRequest"))
    g_dbus_method_invocation_return_value (invocation,
                                           g_variant_new ("(@a{sv})", sorad_job_get_request (job)));
  else if (g_str_equal (method, "GetResult"))
    get_result (bus, job, invocation);
  else if (g_str_equal (method, "OpenResult"))
    open_result (bus, job, invocation);
  else if (g_str_equal (method, "OpenPreview"))
    open_preview (bus, job, invocation);
  else if (g_str_equal (method, "Cancel") || g_str_equal (method, "Wait"))
    wait_for (bus, job, invocation, g_str_equal (method, "Cancel"));
  else if (g_str_equal (method, "Delete"))
    delete_job (bus, job, invocation);
  else if (g_str_equal (method, "Pause") || g_str_equal (method, "Resume")
           || g_str_equal (method, "SetPriority"))
    change_order (bus, job, method, invocation);
  else if (g_str_equal (method, "SetKept"))
    set_kept (bus, job, invocation);
  else if (g_str_equal (method, "Subscribe"))
    subscribe (bus, job, invocation);
  else
    {
      g_hash_table_remove (job->subscribers, g_dbus_method_invocation_get_sender (invocation));
      g_dbus_method_invocation_return_value (invocation, NULL);
    }
}
