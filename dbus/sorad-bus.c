/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Registration and dispatch.
 *
 * Jobs are a subtree in which every name is dispatched and none is listed, so a path that never was
 * looks like another user's job.  No property getter is given to GDBus: Get and GetAll arrive as
 * calls, and pass the same check.
 */
#include "config.h"
#include "sorad-bus.h"

#include <string.h>

#include "dbus/sora-bus-error.h"
#include "dbus/sora-bus-generated.h"
#include "sorad-models.h"
#include "sorad-permission.h"

#define PROPERTIES "org.freedesktop.DBus.Properties"

typedef struct
{
  SoradBus *bus;
  GDBusMethodInvocation *invocation;
  SoradPermission permission;
} Call;

static gboolean
is_property_call (GDBusMethodInvocation *invocation)
{
  return g_strcmp0 (g_dbus_method_invocation_get_interface_name (invocation), PROPERTIES) == 0;
}

/* The strictest permission of what a call touches.  FALSE: something that is not in the table. */
static gboolean
find_permission (GDBusMethodInvocation *invocation, const GDBusInterfaceInfo *info,
                 SoradPermission *permission)
{
  GVariant *parameters = g_dbus_method_invocation_get_parameters (invocation);
  const char *method = g_dbus_method_invocation_get_method_name (invocation);
  if (!is_property_call (invocation))
    return sorad_permission_lookup (info->name, method, permission);
  if (g_str_equal (method, "Get"))
    {
      const char *name;
      g_variant_get (parameters, "(&s&s)", NULL, &name);
      return sorad_permission_lookup (info->name, name, permission);
    }
  if (!g_str_equal (method, "GetAll"))
    return FALSE; /* nothing can be set */
  *permission = SORAD_PERMISSION_PUBLIC;
  for (GDBusPropertyInfo **property = info->properties; property && *property; property++)
    {
      SoradPermission one;
      if (!sorad_permission_lookup (info->name, (*property)->name, &one))
        return FALSE;
      *permission = MAX (*permission, one);
    }
  return TRUE;
}

static void
answer_manager_properties (SoradBus *bus, GDBusMethodInvocation *invocation)
{
  const char *name;
  if (g_str_equal (g_dbus_method_invocation_get_method_name (invocation), "Get"))
    {
      g_variant_get (g_dbus_method_invocation_get_parameters (invocation), "(&s&s)", NULL, &name);
      g_dbus_method_invocation_return_value (
          invocation, g_variant_new ("(v)", sorad_manager_get_property (bus, name)));
      return;
    }
  GVariantBuilder all;
  g_variant_builder_init (&all, G_VARIANT_TYPE_VARDICT);
  GDBusPropertyInfo **property = sora_bus_manager_interface_info ()->properties;
  for (; *property; property++)
    g_variant_builder_add (&all, "{sv}", (*property)->name,
                           sorad_manager_get_property (bus, (*property)->name));
  g_dbus_method_invocation_return_value (invocation, g_variant_new ("(a{sv})", &all));
}

static void
answer_job_properties (SoradBus *bus, SoradJob *job, GDBusMethodInvocation *invocation)
{
  guint position = sorad_scheduler_position (bus->scheduler, job);
  GVariant *answer;
  if (g_str_equal (g_dbus_method_invocation_get_method_name (invocation), "Get"))
    {
      const char *name;
      g_variant_get (g_dbus_method_invocation_get_parameters (invocation), "(&s&s)", NULL, &name);
      answer = g_variant_new ("(v)", sorad_job_get_property (job, name, position));
    }
  else
    answer = g_variant_new ("(@a{sv})", sorad_job_get_all (job, position));
  g_dbus_method_invocation_return_value (invocation, answer);
}

/* "Not yours" and "no such job" are one answer, made in one place. */
static SoradJob *
find_own_job (SoradBus *bus, guint32 uid, GDBusMethodInvocation *invocation)
{
  const char *path = g_dbus_method_invocation_get_object_path (invocation);
  const char *id = g_str_has_prefix (path, SORA_BUS_JOBS_PATH "/")
                       ? path + strlen (SORA_BUS_JOBS_PATH "/")
                       : "";
  SoradJob *job = sorad_store_find (bus->store, id);
  if (job && sorad_job_uid (job) == uid && !job->pending)
    return job;
  g_dbus_method_invocation_return_error (invocation, SORA_ERROR, SORA_ERROR_NOT_FOUND,
                                         "no job '%.64s'", id);
  return NULL;
}

/* @error is of the authority, or says that the daemon ends. */
static void
manage_models (guint32 uid, const GError *error, gpointer data)
{
  g_autofree Call *call = data;
  if (error)
    g_dbus_method_invocation_return_gerror (call->invocation, error);
  else
    sorad_models_call (call->bus, call->invocation);
}

static void
carry_out (guint32 uid, const GError *error, gpointer data)
{
  g_autofree Call *call = data;
  SoradBus *bus = call->bus;
  GDBusMethodInvocation *invocation = call->invocation;
  if (error)
    { /* touches nothing of the daemon: it may be at its end */
      gboolean ends = g_error_matches (error, SORA_ERROR, SORA_ERROR_FAILED);
      g_dbus_method_invocation_return_error (
          invocation, SORA_ERROR, ends ? SORA_ERROR_FAILED : SORA_ERROR_DENIED, "%s",
          ends ? error->message : "the bus does not say who you are");
      return;
    }
  if (call->permission == SORAD_PERMISSION_CALLER)
    {
      sorad_manager_call (bus, uid, invocation);
      return;
    }
  if (call->permission == SORAD_PERMISSION_ADMIN)
    {
      sorad_authority_ask (bus->authority, invocation, uid, SORAD_ACTION_MANAGE_MODELS,
                           manage_models, g_steal_pointer (&call));
      return;
    }
  SoradJob *job = find_own_job (bus, uid, invocation);
  if (!job)
    return;
  if (is_property_call (invocation))
    answer_job_properties (bus, job, invocation);
  else
    sorad_job_call (bus, job, invocation);
}

static void
dispatch (SoradBus *bus, GDBusMethodInvocation *invocation, const GDBusInterfaceInfo *info)
{
  SoradPermission permission;
  bus->last_use = g_get_monotonic_time ();
  if (!find_permission (invocation, info, &permission))
    {
      g_dbus_method_invocation_return_error (invocation, SORA_ERROR, SORA_ERROR_DENIED,
                                             "%s.%s is not permitted", info->name,
                                             g_dbus_method_invocation_get_method_name (invocation));
      return;
    }
  if (permission == SORAD_PERMISSION_PUBLIC)
    {
      answer_manager_properties (bus, invocation); /* nothing else is public on these objects */
      return;
    }
  Call *call = g_new0 (Call, 1);
  call->bus = bus;
  call->invocation = invocation;
  call->permission = permission;
  sorad_clients_find (bus->clients, g_dbus_method_invocation_get_sender (invocation), carry_out,
                      call);
}

static void
on_manager_call (GDBusConnection *connection, const char *sender, const char *path,
                 const char *interface, const char *method, GVariant *parameters,
                 GDBusMethodInvocation *invocation, gpointer data)
{
  dispatch (data, invocation, sora_bus_manager_interface_info ());
}

static void
on_job_call (GDBusConnection *connection, const char *sender, const char *path,
             const char *interface, const char *method, GVariant *parameters,
             GDBusMethodInvocation *invocation, gpointer data)
{
  dispatch (data, invocation, sora_bus_job_interface_info ());
}

/* -- The subtree of jobs */

static char **
jobs_enumerate (GDBusConnection *connection, const char *sender, const char *path, gpointer data)
{
  return NULL; /* what jobs there are is nobody's business but their owners' */
}

static GDBusInterfaceInfo **
jobs_introspect (GDBusConnection *connection, const char *sender, const char *path,
                 const char *node, gpointer data)
{
  if (!node)
    return NULL;
  GDBusInterfaceInfo **infos = g_new0 (GDBusInterfaceInfo *, 2);
  infos[0] = g_dbus_interface_info_ref (sora_bus_job_interface_info ());
  return infos;
}

static const GDBusInterfaceVTable job_vtable = { .method_call = on_job_call };

static const GDBusInterfaceVTable *
jobs_dispatch (GDBusConnection *connection, const char *sender, const char *path,
               const char *interface, const char *node, gpointer *out_data, gpointer data)
{
  *out_data = data;
  return node ? &job_vtable : NULL;
}

gboolean
sorad_bus_register (SoradBus *bus, GError **error)
{
  static const GDBusInterfaceVTable manager_vtable = { .method_call = on_manager_call };
  static const GDBusSubtreeVTable jobs_vtable = {
    .enumerate = jobs_enumerate,
    .introspect = jobs_introspect,
    .dispatch = jobs_dispatch,
  };
  bus->manager_id = g_dbus_connection_register_object (bus->connection, SORA_BUS_PATH,
                                                       sora_bus_manager_interface_info (),
                                                       &manager_vtable, bus, NULL, error);
  if (bus->manager_id == 0)
    return FALSE;
  bus->jobs_id = g_dbus_connection_register_subtree (
      bus->connection, SORA_BUS_JOBS_PATH, &jobs_vtable,
      G_DBUS_SUBTREE_FLAGS_DISPATCH_TO_UNENUMERATED_NODES, bus, NULL, error);
  return bus->jobs_id != 0;
}

/* -- What is told */

static void
tell_job (SoradBus *bus, SoradJob *job)
{
  guint changes = job->changes;
  job->changes = 0;
  g_clear_handle_id (&job->notify_source, g_source_remove);
  if (changes == 0 || g_hash_table_size (job->subscribers) == 0)
    return;
  g_autoptr (GVariant) changed = g_variant_ref_sink (
      sorad_job_get_changed (job, changes, sorad_scheduler_position (bus->scheduler, job)));
  GHashTableIter iter;
  gpointer name;
  g_hash_table_iter_init (&iter, job->subscribers);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    g_dbus_connection_emit_signal (
        bus->connection, name, job->path, PROPERTIES, "PropertiesChanged",
        g_variant_new ("(s@a{sv}as)", "org.sorad.Sora1.Job", changed, NULL), NULL);
}

typedef struct
{
  SoradBus *bus;
  SoradJob *job;
} Telling;

static gboolean
on_tell_job (gpointer data)
{
  Telling *telling = data;
  telling->job->notify_source = 0;
  tell_job (telling->bus, telling->job);
  return G_SOURCE_REMOVE;
}

void
sorad_bus_job_changed (gpointer data, SoradJob *job, guint changes)
{
  SoradBus *bus = data;
  if (g_hash_table_size (job->subscribers) == 0)
    return; /* whoever subscribes later reads the state first */
  job->changes |= changes;
  if (changes & SORAD_JOB_CHANGED_STATE)
    tell_job (bus, job);
  else if (!job->notify_source)
    {
      Telling *telling = g_new0 (Telling, 1); /* the source goes with the job, at the latest */
      telling->bus = bus;
      telling->job = job;
      job->notify_source
          = g_timeout_add_full (G_PRIORITY_DEFAULT, 100, on_tell_job, telling, g_free);
    }
}

static gboolean
on_tell_queue (gpointer data)
{
  SoradBus *bus = data;
  guint length = sorad_scheduler_queue_length (bus->scheduler);
  guint running = sorad_scheduler_running (bus->scheduler);
  GVariantBuilder changed;
  bus->notify_source = 0;
  g_variant_builder_init (&changed, G_VARIANT_TYPE_VARDICT);
  if (length != bus->told_length)
    g_variant_builder_add (&changed, "{sv}", "QueueLength", g_variant_new_uint32 (length));
  if (running != bus->told_running)
    g_variant_builder_add (&changed, "{sv}", "Running", g_variant_new_uint32 (running));
  if (length != bus->told_length || running != bus->told_running)
    g_dbus_connection_emit_signal (
        bus->connection, NULL, SORA_BUS_PATH, PROPERTIES, "PropertiesChanged",
        g_variant_new ("(sa{sv}as)", "org.sorad.Sora1.Manager", &changed, NULL), NULL);
  else
    g_variant_builder_clear (&changed);
  bus->told_length = length;
  bus->told_running = running;
  return G_SOURCE_REMOVE;
}

void
sorad_bus_queue_changed (gpointer data)
{
  SoradBus *bus = data;
  bus->last_use = g_get_monotonic_time ();
  if (!bus->notify_source)
    bus->notify_source = g_timeout_add (100, on_tell_queue, bus);
}

/* -- The ends of jobs and clients */

static void
forget_oldest (SoradBus *bus, guint32 uid, const SoradJob *except)
{
  g_autoptr (GPtrArray) over = sorad_store_list (bus->store, uid, (guint)SORAD_JOB_OVER);
  guint count = over->len;
  for (guint i = 0; i < over->len; i++)
    {
      SoradJob *job = g_ptr_array_index (over, i);
      gboolean full = sorad_store_bytes (bus->store, uid, ~0u) > bus->config->max_stored_bytes;
      gint64 age = g_get_real_time () - job->finished;
      gboolean old = bus->config->keep_days > 0
                     && age > (gint64)bus->config->keep_days * G_TIME_SPAN_DAY;
      if (job == except || job->kept)
        continue;
      if (count <= bus->config->max_kept && !full && !old)
        return;
      sorad_store_remove (bus->store, job, NULL, NULL);
      count--;
    }
}

void
sorad_bus_job_over (gpointer data, SoradJob *job)
{
  SoradBus *bus = data;
  for (guint i = 0; i < job->waiters->len; i++)
    {
      GDBusMethodInvocation *invocation = g_ptr_array_index (job->waiters, i);
      gboolean wait = g_str_equal (g_dbus_method_invocation_get_method_name (invocation), "Wait");
      g_dbus_method_invocation_return_value (
          invocation, wait ? g_variant_new ("(s)", sorad_job_state_name (job->state)) : NULL);
    }
  g_ptr_array_set_size (job->waiters, 0);
  if (job->submission->ephemeral && !sorad_clients_has (bus->clients, job->client))
    sorad_store_remove (bus->store, job, NULL, NULL);
  else
    forget_oldest (bus, sorad_job_uid (job), job);
}

void
sorad_bus_job_paused (gpointer data, SoradJob *job, const GError *error)
{
  for (guint i = 0; i < job->pausers->len; i++)
    {
      GDBusMethodInvocation *invocation = g_ptr_array_index (job->pausers, i);
      if (error)
        g_dbus_method_invocation_return_gerror (invocation, error);
      else if (sorad_job_is_over (job))
        g_dbus_method_invocation_return_error (invocation, SORA_ERROR, SORA_ERROR_BUSY,
                                               "job '%s' is %s", job->id,
                                               sorad_job_state_name (job->state));
      else
        g_dbus_method_invocation_return_value (invocation, NULL);
    }
  g_ptr_array_set_size (job->pausers, 0);
}

static void
drop_waiters (GPtrArray *waiters, const char *name)
{
  for (guint i = waiters->len; i-- > 0;)
    {
      GDBusMethodInvocation *invocation = g_ptr_array_index (waiters, i);
      if (g_strcmp0 (g_dbus_method_invocation_get_sender (invocation), name) != 0)
        continue;
      g_ptr_array_remove_index (waiters, i);
      g_object_unref (invocation); /* nobody is there for an answer */
    }
}

void
sorad_bus_client_vanished (const char *name, guint32 uid, gpointer data)
{
  SoradBus *bus = data;
  sorad_models_stop (bus, name);
  g_autoptr (GPtrArray) jobs = sorad_store_list (bus->store, uid, ~0u);
  for (guint i = 0; i < jobs->len; i++)
    {
      SoradJob *job = g_ptr_array_index (jobs, i);
      g_hash_table_remove (job->subscribers, name);
      drop_waiters (job->waiters, name);
      drop_waiters (job->pausers, name);
    }
  for (guint i = 0; i < jobs->len; i++)
    {
      SoradJob *job = g_ptr_array_index (jobs, i);
      if (g_strcmp0 (job->client, name) != 0)
        continue;
      if (sorad_job_is_over (job))
        sorad_store_remove (bus->store, job, NULL, NULL);
      else
        sorad_scheduler_cancel (bus->scheduler, job);
    }
}

/* -- Life */

/* What a former daemon left to do, in the order in which it came; and what is too old. */
static void
take_up_jobs (SoradBus *bus)
{
  g_autoptr (GPtrArray) jobs = sorad_store_all (bus->store);
  g_autoptr (GHashTable) users = g_hash_table_new (NULL, NULL);
  for (guint i = 0; i < jobs->len; i++)
    {
      SoradJob *job = g_ptr_array_index (jobs, i);
      g_hash_table_add (users, GUINT_TO_POINTER (sorad_job_uid (job)));
      if (job->state == SORAD_JOB_QUEUED)
        sorad_scheduler_take_up (bus->scheduler, job);
    }
  GHashTableIter iter;
  gpointer uid;
  g_hash_table_iter_init (&iter, users);
  while (g_hash_table_iter_next (&iter, &uid, NULL))
    forget_oldest (bus, GPOINTER_TO_UINT (uid), NULL);
}

SoradBus *
sorad_bus_new (GDBusConnection *connection, const SoradConfig *config, SoradStore *store,
               SoradCatalogue *catalogue)
{
  static const SoradSchedulerCallbacks callbacks = {
    .job_changed = sorad_bus_job_changed,
    .job_over = sorad_bus_job_over,
    .job_paused = sorad_bus_job_paused,
    .queue_changed = sorad_bus_queue_changed,
  };
  SoradBus *bus = g_new0 (SoradBus, 1);
  sora_bus_error_register ();
  bus->config = config;
  bus->connection = g_object_ref (connection);
  bus->store = store;
  bus->catalogue = catalogue;
  bus->asking = g_hash_table_new (NULL, NULL);
  bus->last_use = g_get_monotonic_time ();
  bus->scheduler = sorad_scheduler_new (config, store, &callbacks, bus);
  bus->clients
      = sorad_clients_new (connection, config->max_calls, config->max_request_bytes * 4 + (4 << 20),
                           sorad_bus_client_vanished, bus);
  bus->authority = sorad_authority_new (connection, config);
  take_up_jobs (bus);
  return bus;
}

static void
end_waiters (GPtrArray *waiters)
{
  for (guint i = 0; i < waiters->len; i++)
    g_dbus_method_invocation_return_error (g_ptr_array_index (waiters, i), SORA_ERROR,
                                           SORA_ERROR_FAILED, "sorad ends");
  g_ptr_array_set_size (waiters, 0);
}

static void
drop_all_waiters (SoradBus *bus)
{
  g_autoptr (GPtrArray) jobs = sorad_store_all (bus->store);
  for (guint i = 0; i < jobs->len; i++)
    {
      SoradJob *job = g_ptr_array_index (jobs, i);
      end_waiters (job->waiters);
      end_waiters (job->pausers);
      g_hash_table_remove_all (job->subscribers);
      g_clear_handle_id (&job->notify_source, g_source_remove);
    }
}

void
sorad_bus_free (SoradBus *bus)
{
  if (!bus)
    return;
  if (bus->manager_id)
    g_dbus_connection_unregister_object (bus->connection, bus->manager_id);
  if (bus->jobs_id)
    g_dbus_connection_unregister_subtree (bus->connection, bus->jobs_id);
  bus->ending = TRUE;
  sorad_models_stop (bus, NULL);
  drop_all_waiters (bus);
  while (bus->in_threads > 0) /* they use the store */
    g_main_context_iteration (NULL, TRUE);
  sorad_store_flush (bus->store); /* and whoever submitted last is answered */
  sorad_scheduler_free (bus->scheduler);
  sorad_authority_free (bus->authority);
  sorad_clients_free (bus->clients);
  g_clear_handle_id (&bus->notify_source, g_source_remove);
  g_hash_table_unref (bus->asking);
  g_object_unref (bus->connection);
  g_free (bus);
}
