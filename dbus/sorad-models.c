/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Adding and removing models.  A model is copied into the staging folder, which is emptied at every
 * start, opened there as any model is, and gets its name by one rename; a model that goes takes the
 * same way back.
 */
#include "config.h"
#include "sorad-models.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/sora-model.h"
#include "dbus/sora-bus-error.h"
#include "sorad-model-copy.h"
#include "sorad-store-private.h"

#define MAX_NAME 200
#define TELL_INTERVAL (G_USEC_PER_SEC / 5)

struct SoradAdding
{
  SoradBus *bus;
  GDBusMethodInvocation *invocation;
  char *client, *name, *staged; /* the name in the staging folder */
  GPtrArray *file_names;        /* NULL-terminated */
  GArray *fds;                  /* of int, owned */
  SoradModelSource source;
  gint stop;   /* atomic */
  gint64 told; /* monotonic */
};
typedef struct SoradAdding Adding;

static void
adding_free (Adding *adding)
{
  for (guint i = 0; i < adding->fds->len; i++)
    close (g_array_index (adding->fds, int, i));
  g_array_unref (adding->fds);
  g_ptr_array_unref (adding->file_names);
  g_free (adding->client);
  g_free (adding->name);
  g_free (adding->staged);
  g_free (adding);
}

G_GNUC_PRINTF (3, 4)
static gboolean
refuse (GError **error, SoraError code, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, SORA_ERROR, (int)code, text);
  return FALSE;
}

/* -- The thread */

static gboolean
on_progress (guint64 done, guint64 total, gpointer data)
{
  Adding *adding = data;
  gint64 now = g_get_monotonic_time ();
  if (adding->told == 0 || now - adding->told >= TELL_INTERVAL)
    {
      adding->told = now;
      g_dbus_connection_emit_signal (adding->bus->connection, adding->client, SORA_BUS_PATH,
                                     "org.sorad.Sora1.Manager", "ModelProgress",
                                     g_variant_new ("(stt)", adding->name, done, total), NULL);
    }
  return !g_atomic_int_get (&adding->stop);
}

/* Opens it as what it shall be called: the caller never saw @path. */
static gboolean
try_model (const char *path, const char *name, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (SoraModel) model = sora_model_open (path, &local);
  if (model)
    return TRUE;
  g_auto (GStrv) parts = g_strsplit (local->message, path, -1);
  g_autofree char *text = g_strjoinv (name, parts);
  g_set_error_literal (error, SORA_ERROR, SORA_ERROR_INVALID_MODEL, text);
  return FALSE;
}

/* Before gigabytes are copied: the same look at the caller's folder, which tells of pickles too. */
static gboolean
try_source (Adding *adding, GError **error)
{
  if (adding->source.folder < 0)
    return TRUE;
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", adding->source.folder);
  if (faccessat (adding->source.folder, "model.conf", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    return refuse (error, SORA_ERROR_INVALID_MODEL,
                   "'%s' has a model.conf, which names files elsewhere: add those files",
                   adding->name);
  return try_model (path, adding->name, error);
}

static gboolean
publish (Adding *adding, GError **error)
{
  SoradStore *store = adding->bus->store;
  int failed = renameat2 (store->staging_fd, adding->staged, store->models_fd, adding->name,
                          RENAME_NOREPLACE);
  if (failed && (errno == EINVAL || errno == ENOSYS)) /* nobody else writes there */
    {
      struct stat st;
      failed = fstatat (store->models_fd, adding->name, &st, AT_SYMLINK_NOFOLLOW) == 0
               || renameat (store->staging_fd, adding->staged, store->models_fd, adding->name);
    }
  if (failed)
    return refuse (error, sora_error_is_full (errno) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED,
                   "cannot give the model the name '%s': %s", adding->name, g_strerror (errno));
  if (fsync (store->models_fd) != 0)
    g_message ("models folder: cannot make '%s' durable: %s", adding->name, g_strerror (errno));
  return TRUE;
}

static gboolean
add (Adding *adding, GError **error)
{
  SoradStore *store = adding->bus->store;
  if (!try_source (adding, error))
    return FALSE;
  int to = mkdirat (store->staging_fd, adding->staged, 0700) == 0 ? openat (
               store->staging_fd, adding->staged, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                                                                  : -1;
  if (to < 0)
    return refuse (error, sora_error_is_full (errno) ? SORA_ERROR_NO_SPACE : SORA_ERROR_FAILED,
                   "state folder: cannot make '%s': %s", adding->staged, g_strerror (errno));
  gboolean ok = sorad_model_copy (&adding->source, to, on_progress, adding, error);
  close (to);
  g_autofree char *path = g_build_filename (store->root, "staging", adding->staged, NULL);
  if (ok && !try_model (path, adding->name, error))
    return FALSE;
  if (ok && g_atomic_int_get (&adding->stop))
    return refuse (error, SORA_ERROR_CANCELLED, "the copying was stopped");
  return ok && publish (adding, error);
}

static void
add_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Adding *adding = data;
  GError *error = NULL;
  if (add (adding, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_added (GObject *source, GAsyncResult *result, gpointer data)
{
  Adding *adding = data;
  SoradBus *bus = adding->bus;
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  bus->in_threads--;
  bus->adding = NULL;
  bus->last_use = g_get_monotonic_time ();
  if (!g_task_propagate_boolean (G_TASK (result), &error))
    sorad_store_discard_later (bus->store, bus->store->staging_fd, adding->staged);
  else
    path = sorad_catalogue_add_model (bus->catalogue, adding->name, &error);
  if (path)
    {
      g_message ("model '%s' was added", adding->name);
      g_dbus_method_invocation_return_value (adding->invocation, g_variant_new ("(o)", path));
    }
  else if (bus->ending)
    g_dbus_method_invocation_return_error (adding->invocation, SORA_ERROR, SORA_ERROR_FAILED,
                                           "sorad ends");
  else
    g_dbus_method_invocation_return_gerror (adding->invocation, error);
  adding_free (adding);
}

/* -- AddModel; main loop */

static gboolean
check_name (SoradBus *bus, const char *name, GError **error)
{
  struct stat st;
  if (!sorad_is_plain_name (name, MAX_NAME) || g_str_has_suffix (name, ".safetensors"))
    return refuse (error, SORA_ERROR_INVALID_REQUEST,
                   "'%.64s' is no name for a model: expected 1 to %d bytes without '/' and control "
                   "characters, no '.' in front, and not '.safetensors' at the end",
                   name, MAX_NAME);
  if (sorad_catalogue_has_model (bus->catalogue, name)
      || fstatat (bus->store->models_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    return refuse (error, SORA_ERROR_INVALID_REQUEST,
                   "there is a model '%s' already: give another name, or remove that one", name);
  return TRUE;
}

static gboolean
check_file_name (const char *name, GError **error)
{
  if (sorad_model_is_pickle (name))
    return refuse (
        error, SORA_ERROR_INVALID_MODEL,
        "'%.64s' is a pickle, which runs code when it is read: add the .safetensors file "
        "that is published beside it",
        name);
  if (!sorad_is_plain_name (name, MAX_NAME) || g_str_equal (name, "model.conf"))
    return refuse (error, SORA_ERROR_INVALID_REQUEST,
                   "'%.64s' is no name for a model's file: expected a plain file name", name);
  return TRUE;
}

/* Takes the descriptors of "files", a{sh}. */
static gboolean
take_files (Adding *adding, GVariant *files, GUnixFDList *list, GError **error)
{
  GVariantIter iter;
  const char *name;
  gint32 handle;
  struct stat st;
  g_variant_iter_init (&iter, files);
  while (g_variant_iter_next (&iter, "{&sh}", &name, &handle))
    {
      if (!list || handle < 0 || handle >= g_unix_fd_list_get_length (list))
        return refuse (error, SORA_ERROR_INVALID_REQUEST,
                       "the descriptor of '%.64s' did not come with the message", name);
      int fd = g_unix_fd_list_get (list, handle, NULL);
      if (fd < 0)
        return refuse (error, SORA_ERROR_FAILED, "the descriptor of '%.64s' cannot be taken: %s",
                       name, g_strerror (errno));
      g_array_append_val (adding->fds, fd);
      g_ptr_array_add (adding->file_names, g_strdup (name));
    }
  guint n = adding->fds->len;
  g_ptr_array_add (adding->file_names, NULL);
  adding->source.names = (const char *const *)adding->file_names->pdata;
  adding->source.fds = (const int *)(gpointer)adding->fds->data;
  adding->source.folder = -1;
  if (n == 0)
    return refuse (error, SORA_ERROR_INVALID_REQUEST,
                   "no files: expected one folder, or a model's single files");
  if (n == 1 && fstat (adding->source.fds[0], &st) == 0 && S_ISDIR (st.st_mode))
    {
      adding->source.folder = adding->source.fds[0];
      return TRUE;
    }
  for (guint i = 0; i < n; i++)
    {
      if (fstat (adding->source.fds[i], &st) == 0 && S_ISDIR (st.st_mode))
        return refuse (error, SORA_ERROR_INVALID_REQUEST,
                       "'%.64s' is a folder: expected one folder, or the files of one model",
                       adding->source.names[i]);
      for (guint j = 0; j < i; j++)
        if (g_str_equal (adding->source.names[i], adding->source.names[j]))
          return refuse (error, SORA_ERROR_INVALID_REQUEST, "two files are called '%.64s'",
                         adding->source.names[i]);
      if (!check_file_name (adding->source.names[i], error))
        return FALSE;
    }
  return TRUE;
}

static void
add_model (SoradBus *bus, GDBusMethodInvocation *invocation)
{
  static guint last;
  const char *name;
  g_autoptr (GVariant) files = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GError) error = NULL;
  GDBusMessage *message = g_dbus_method_invocation_get_message (invocation);
  g_variant_get (g_dbus_method_invocation_get_parameters (invocation), "(&s@a{sh}@a{sv})", &name,
                 &files, &options);
  Adding *adding = g_new0 (Adding, 1);
  adding->bus = bus;
  adding->invocation = invocation;
  adding->client = g_strdup (g_dbus_method_invocation_get_sender (invocation));
  adding->name = g_strdup (name);
  adding->file_names = g_ptr_array_new_with_free_func (g_free);
  adding->fds = g_array_new (FALSE, FALSE, sizeof (int));
  gboolean ok = TRUE;
  if (g_variant_n_children (options) > 0)
    ok = refuse (&error, SORA_ERROR_INVALID_REQUEST, "there are no options yet: expected none");
  else if (bus->adding)
    ok = refuse (&error, SORA_ERROR_BUSY,
                 "model '%s' is being added, and one is at a time: try again later",
                 bus->adding->name);
  ok = ok && check_name (bus, name, &error)
       && take_files (adding, files, g_dbus_message_get_unix_fd_list (message), &error);
  if (!ok)
    {
      g_dbus_method_invocation_return_gerror (invocation, error);
      adding_free (adding);
      return;
    }
  adding->staged = g_strdup_printf ("model-%u", ++last);
  bus->adding = adding;
  bus->in_threads++;
  /* It may have gone while it was waited for who it is. */
  if (!sorad_clients_has (bus->clients, adding->client))
    adding->stop = TRUE;
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_added, adding);
  g_task_set_task_data (task, adding, NULL);
  g_task_run_in_thread (task, add_in_thread);
}

void
sorad_models_stop (SoradBus *bus, const char *client)
{
  if (bus->adding && (!client || g_str_equal (bus->adding->client, client)))
    g_atomic_int_set (&bus->adding->stop, TRUE);
}

/* -- RemoveModel; main loop */

static gboolean
remove_model (SoradBus *bus, const char *name, GError **error)
{
  static guint last;
  SoradStore *store = bus->store;
  g_autofree char *folder = sorad_store_models_dir (store);
  const char *path = sorad_catalogue_model_path (bus->catalogue, name);
  if (!path)
    return refuse (error, SORA_ERROR_NOT_FOUND, "no model '%.64s'", name);
  g_autofree char *parent = g_path_get_dirname (path);
  g_autofree char *entry = g_path_get_basename (path);
  if (!g_str_equal (parent, folder))
    return refuse (error, SORA_ERROR_INVALID_REQUEST,
                   "model '%s' was not added to the service, but lies in '%s': remove it there",
                   name, parent);
  g_autofree char *away = g_strdup_printf ("removed-%u", ++last);
  if (renameat (store->models_fd, entry, store->staging_fd, away) != 0)
    return refuse (error, SORA_ERROR_FAILED, "cannot remove model '%s': %s", name,
                   g_strerror (errno));
  if (fsync (store->models_fd) != 0)
    g_message ("models folder: cannot make the end of '%s' durable: %s", name, g_strerror (errno));
  sorad_store_discard_later (store, store->staging_fd, away);
  sorad_catalogue_drop_model (bus->catalogue, name);
  g_message ("model '%s' was removed", name);
  return TRUE;
}

void
sorad_models_call (SoradBus *bus, GDBusMethodInvocation *invocation)
{
  const char *method = g_dbus_method_invocation_get_method_name (invocation);
  g_autoptr (GError) error = NULL;
  const char *name;
  if (g_str_equal (method, "AddModel"))
    {
      add_model (bus, invocation);
      return;
    }
  g_variant_get (g_dbus_method_invocation_get_parameters (invocation), "(&s)", &name);
  if (remove_model (bus, name, &error))
    g_dbus_method_invocation_return_value (invocation, NULL);
  else
    g_dbus_method_invocation_return_gerror (invocation, error);
}
