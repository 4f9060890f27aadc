/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl models add and remove with --system: the service copies a model into its own folder from
 * descriptors that are opened here, so that no path of the user's means anything to it.
 */
#include "config.h"
#include "soractl-bus.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include "soractl-models.h"
#include "soractl-progress.h"
#include "sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

#define WEIGHTS ".safetensors"
#define MAX_FILES 16 /* what one message on the system bus may carry */

typedef struct
{
  GMainLoop *loop;
  SoractlProgress *progress;
  GVariant *reply;
  GError *error;
} Call;

static void
on_progress (GDBusConnection *connection, const char *sender, const char *path,
             const char *interface, const char *signal, GVariant *parameters, gpointer data)
{
  Call *call = data;
  guint64 done, total;
  (void)connection, (void)sender, (void)path, (void)interface, (void)signal;
  if (!g_variant_is_of_type (parameters, G_VARIANT_TYPE ("(stt)")))
    return;
  g_variant_get (parameters, "(&stt)", NULL, &done, &total);
  if (done < total)
    soractl_progress_update (call->progress, (double)done / (double)total, "copy", 0, 0, -1);
}

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Call *call = data;
  call->reply = g_dbus_connection_call_with_unix_fd_list_finish (G_DBUS_CONNECTION (source), NULL,
                                                                 result, &call->error);
  g_main_loop_quit (call->loop);
}

/* "files" of AddModel, floating; NULL with an error. */
static GVariant *
open_files (char **paths, GUnixFDList *fds, GError **error)
{
  g_auto (GVariantBuilder) files = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{sh}"));
  for (; *paths != NULL; paths++)
    {
      g_autofree char *base = g_path_get_basename (*paths);
      int fd = open (*paths, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
      int errnum = errno;
      gint handle = fd >= 0 ? g_unix_fd_list_append (fds, fd, error) : -1;
      if (fd >= 0)
        close (fd);
      else
        g_set_error (error, SORA_ERROR, errnum == ENOENT ? SORA_ERROR_NOT_FOUND : SORA_ERROR_FAILED,
                     "cannot open '%s': %s", *paths, g_strerror (errnum));
      if (handle < 0)
        return NULL;
      g_variant_builder_add (&files, "{sh}", base, handle);
    }
  return g_variant_builder_end (&files);
}

static char *
choose_name (SoractlModels *models, const char *path)
{
  if (models->name != NULL)
    return g_strdup (models->name);
  g_autofree char *full = g_canonicalize_filename (path, NULL);
  char *name = g_path_get_basename (full);
  if (g_str_has_suffix (name, WEIGHTS))
    name[strlen (name) - strlen (WEIGHTS)] = '\0';
  return name;
}

static gboolean
add (SoractlModels *models, char **paths, GError **error)
{
  g_autoptr (GDBusConnection) connection = soractl_bus_connect (models->global, error);
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  if (connection == NULL)
    return FALSE;
  g_autoptr (GVariant) files = open_files (paths, fds, error);
  if (files == NULL)
    return FALSE;
  g_autofree char *name = choose_name (models, paths[0]);
  Call call = { .loop = g_main_loop_new (NULL, FALSE),
                .progress = soractl_progress_new (models->global->quiet) };
  guint subscription = g_dbus_connection_signal_subscribe (
      connection, SORA_BUS_NAME, "org.sorad.Sora1.Manager", "ModelProgress", SORA_BUS_PATH, NULL,
      G_DBUS_SIGNAL_FLAGS_NONE, on_progress, &call, NULL);
  /* Ctrl-C ends this process, and with it the service's copying. */
  g_dbus_connection_call_with_unix_fd_list (
      connection, SORA_BUS_NAME, SORA_BUS_PATH, "org.sorad.Sora1.Manager", "AddModel",
      g_variant_new ("(s@a{sh}a{sv})", name, g_variant_ref (files), NULL), G_VARIANT_TYPE ("(o)"),
      G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION, G_MAXINT, fds, NULL, on_answer, &call);
  g_main_loop_run (call.loop);
  g_dbus_connection_signal_unsubscribe (connection, subscription);
  soractl_progress_clear (call.progress);
  soractl_progress_free (call.progress);
  g_main_loop_unref (call.loop);
  if (call.reply == NULL)
    {
      g_propagate_error (error, call.error);
      return FALSE;
    }
  g_variant_unref (call.reply);
  if (models->global->json)
    soractl_json_print (json_pack ("{s:s}", "id", name));
  else if (!models->global->quiet)
    printf ("%s: added to the service, with files of its own\n", name);
  return TRUE;
}

int
soractl_models_add_system (SoractlModels *models, char **paths)
{
  g_autoptr (GError) error = NULL;
  if (g_strv_length (paths) > MAX_FILES)
    return soractl_usage_error ("models", "add: at most %d files, or their folder", MAX_FILES);
  return add (models, paths, &error) ? SORACTL_OK : soractl_report (error);
}

int
soractl_models_remove_system (SoractlModels *models, char **names)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusConnection) connection = soractl_bus_connect (models->global, &error);
  if (connection == NULL)
    return soractl_report (error);
  for (; *names != NULL; names++)
    {
      g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
          connection, SORA_BUS_NAME, SORA_BUS_PATH, "org.sorad.Sora1.Manager", "RemoveModel",
          g_variant_new ("(s)", *names), NULL, G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION,
          G_MAXINT, NULL, &error);
      if (reply == NULL)
        return soractl_report (error);
      if (!models->global->quiet && !models->global->json)
        printf ("%s: deleted with its files\n", *names);
    }
  return SORACTL_OK;
}
