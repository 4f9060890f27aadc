/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sorad: the daemon on the bus.  It queues jobs, has workers run them, and keeps their results; it
 * loads no plugin and needs no privilege.
 */
#include "config.h"

#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/sora-model.h"
#include "core/sora-pipeline.h"
#include "core/sora-plan.h"
#include "core/sora-registry.h"
#include "core/sora-runner.h"
#include "dbus/sora-bus-error.h"
#include "sorad-asking.h"
#include "sorad-bus.h"
#include "sorad-cgroup.h"

#define END_SECONDS 6 /* the workers have 2 of them; the unit gives 10 */
#define MAX_OPEN_FILES 65536

static int end_status;

typedef struct
{
  GMainLoop *loop;
  SoradConfig *config;
  SoradStore *store;
  SoradCatalogue *catalogue;
  SoradBus *bus;
  GDBusConnection *connection;
  guint name_id, idle_id;
  gboolean failed;
} Daemon;

static void
end (Daemon *daemon, gboolean failed)
{
  daemon->failed = daemon->failed || failed;
  g_main_loop_quit (daemon->loop);
}

static gboolean
on_signal (gpointer data)
{
  end (data, FALSE);
  return G_SOURCE_CONTINUE;
}

static void
on_name_lost (GDBusConnection *connection, const char *name, gpointer data)
{
  g_printerr ("sorad: the name %s is taken or not allowed on this bus\n", name);
  end (data, TRUE);
}

static void
on_closed (GDBusConnection *connection, gboolean vanished, GError *error, gpointer data)
{
  g_printerr ("sorad: the bus is gone\n");
  end (data, TRUE);
}

static gboolean
on_idle_check (gpointer data)
{
  Daemon *daemon = data;
  gint64 idle = g_get_monotonic_time () - daemon->bus->last_use;
  gboolean working = daemon->bus->in_threads > daemon->bus->late
                     || sorad_manager_asking (daemon->bus) > 0
                     || sorad_catalogue_is_busy (daemon->catalogue);
  if (working)
    daemon->bus->last_use = g_get_monotonic_time ();
  else if (!sorad_store_needs_daemon (daemon->store)
           && idle > (gint64)daemon->config->idle_exit_seconds * G_USEC_PER_SEC)
    end (daemon, FALSE);
  return G_SOURCE_CONTINUE;
}

/* The name is taken when everything can be served: whoever activates sorad never meets half of it.
 */
static void
on_catalogue_ready (gpointer data)
{
  Daemon *daemon = data;
  g_autoptr (GError) error = NULL;
  daemon->bus
      = sorad_bus_new (daemon->connection, daemon->config, daemon->store, daemon->catalogue);
  if (!sorad_bus_register (daemon->bus, &error))
    {
      g_printerr ("sorad: %s\n", error->message);
      end (daemon, TRUE);
      return;
    }
  daemon->name_id = g_bus_own_name_on_connection (daemon->connection, SORA_BUS_NAME,
                                                  G_BUS_NAME_OWNER_FLAGS_NONE, NULL, on_name_lost,
                                                  daemon, NULL);
  if (daemon->config->idle_exit_seconds > 0)
    daemon->idle_id = g_timeout_add_seconds (1, on_idle_check, daemon);
}

/* Relative folders are the caller's, but workers start in "/". */
static void
make_absolute (char **dirs)
{
  for (; dirs && *dirs; dirs++)
    {
      char *absolute = g_canonicalize_filename (*dirs, NULL);
      g_free (*dirs);
      *dirs = absolute;
    }
}

static void
overrule (char ***setting, char ***option)
{
  if (!*option)
    return;
  g_strfreev (*setting);
  *setting = g_steal_pointer (option);
}

static void
overrule_string (char **setting, char **option)
{
  if (!*option)
    return;
  g_free (*setting);
  *setting = g_steal_pointer (option);
}

/* The same folders go to the workers, so both see one set of plugins. */
static void
fill_folders (SoradConfig *config)
{
  g_autoptr (SoraEnvironment) defaults = sora_environment_new (config->session);
  if (!config->plugin_dirs)
    config->plugin_dirs = sora_registry_default_dirs (config->session);
  if (!config->pipeline_dirs)
    config->pipeline_dirs = g_strdupv (defaults->pipeline_dirs);
  if (!config->model_dirs)
    config->model_dirs = g_strdupv (defaults->model_dirs);
  make_absolute (config->plugin_dirs);
  make_absolute (config->pipeline_dirs);
  make_absolute (config->model_dirs);
  char *absolute = g_canonicalize_filename (config->worker, NULL);
  g_free (config->worker);
  config->worker = absolute;
}

static SoradConfig *
read_options (int argc, char **argv, GError **error)
{
  gboolean session = FALSE, on_system = FALSE, version = FALSE;
  g_autofree char *file = NULL;
  g_autofree char *state_dir = NULL;
  g_autofree char *worker = NULL;
  g_autofree char *default_model = NULL;
  g_auto (GStrv) plugin_dirs = NULL;
  g_auto (GStrv) pipeline_dirs = NULL;
  g_auto (GStrv) model_dirs = NULL;
  const GOptionEntry entries[] = {
    { "session", 0, 0, G_OPTION_ARG_NONE, &session, "Serve one user, on the session bus", NULL },
    { "system", 0, 0, G_OPTION_ARG_NONE, &on_system, "Serve all users, on the system bus (default)",
      NULL },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &file, "Settings, instead of the installed file",
      "FILE" },
    { "plugin-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &plugin_dirs,
      "Folder of plugins, instead of the installed", "DIR" },
    { "pipeline-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &pipeline_dirs,
      "Folder of pipelines, likewise", "DIR" },
    { "model-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &model_dirs, "Folder of models, likewise",
      "DIR" },
    { "default-model", 0, 0, G_OPTION_ARG_STRING, &default_model,
      "Model of requests that name none", "ID" },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &state_dir, "Where results are kept", "DIR" },
    { "worker", 0, 0, G_OPTION_ARG_FILENAME, &worker, "The program sora-worker", "FILE" },
    { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version and exit", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) options = g_option_context_new (NULL);
  g_option_context_set_summary (options,
                                "Makes video from text for the programs on the bus: see sorad(8).");
  g_option_context_add_main_entries (options, entries, NULL);
  if (!g_option_context_parse (options, &argc, &argv, error))
    return NULL;
  if (version)
    {
      g_print ("sorad %s\n", sora_version ());
      exit (EXIT_SUCCESS);
    }
  if (argc > 1 || (session && on_system))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST, "%s",
                   argc > 1 ? "there are no arguments but options; see --help"
                            : "--session and --system exclude each other");
      return NULL;
    }
  SoradConfig *config = sorad_config_load (session, file, error);
  if (!config)
    return NULL;
  overrule (&config->plugin_dirs, &plugin_dirs);
  overrule (&config->pipeline_dirs, &pipeline_dirs);
  overrule (&config->model_dirs, &model_dirs);
  overrule_string (&config->state_dir, &state_dir);
  overrule_string (&config->worker, &worker);
  overrule_string (&config->default_model, &default_model);
  fill_folders (config);
  return config;
}

/* What was added to the daemon is looked up after what was installed, by the workers too. */
static void
add_own_models (Daemon *daemon)
{
  guint n = g_strv_length (daemon->config->model_dirs);
  daemon->config->model_dirs = g_renew (char *, daemon->config->model_dirs, n + 2);
  daemon->config->model_dirs[n] = sorad_store_models_dir (daemon->store);
  daemon->config->model_dirs[n + 1] = NULL;
}

/* One daemon has them: by now it holds the lock of the state folder. */
static gboolean
take_cgroups (SoradConfig *config, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autofree char *why = NULL;
  config->cgroups = sorad_cgroups_new (config, &why, &local);
  if (local)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  config->limits = sorad_cgroups_describe (config->cgroups, config, why);
  if (config->limits)
    g_debug ("%s", config->limits);
  return TRUE;
}

static gboolean
run (Daemon *daemon, GError **error)
{
  daemon->store = sorad_store_open (daemon->config->state_dir, error);
  if (!daemon->store)
    return FALSE;
  add_own_models (daemon);
  if (daemon->config->digest_dir)
    sora_model_set_digest_dirs (daemon->config->digest_dir, NULL);
  daemon->connection = g_bus_get_sync (
      daemon->config->session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM, NULL, error);
  if (!daemon->connection)
    return FALSE;
  g_dbus_connection_set_exit_on_close (daemon->connection, FALSE);
  gulong closed = g_signal_connect (daemon->connection, "closed", G_CALLBACK (on_closed), daemon);
  daemon->loop = g_main_loop_new (NULL, FALSE);
  /* These stay to the end: a second signal is no more urgent than the first. */
  g_unix_signal_add (SIGTERM, on_signal, daemon);
  g_unix_signal_add (SIGINT, on_signal, daemon);
  if (!take_cgroups (daemon->config, error))
    return FALSE;
  daemon->catalogue = sorad_catalogue_new (daemon->config, daemon->store);
  sorad_catalogue_start (daemon->catalogue, daemon->connection, on_catalogue_ready, daemon);
  g_main_loop_run (daemon->loop);

  g_signal_handler_disconnect (daemon->connection, closed);
  return TRUE;
}

/* A thread that reads a caller's file cannot be stopped: it is not waited for beyond END_SECONDS.
 * Workers end with their stream, and callers are told by the bus. */
static void
on_end_late (int number)
{
  _exit (end_status);
}

static void
flush (Daemon *daemon)
{
  if (daemon->connection)
    g_dbus_connection_flush_sync (daemon->connection, NULL, NULL);
}

static void
clean_up (Daemon *daemon)
{
  end_status = daemon->failed ? EXIT_FAILURE : EXIT_SUCCESS;
  signal (SIGALRM, on_end_late);
  alarm (END_SECONDS);
  g_clear_handle_id (&daemon->idle_id, g_source_remove);
  if (daemon->name_id)
    g_bus_unown_name (daemon->name_id);
  sorad_catalogue_stop (daemon->catalogue);
  sorad_ask_drop_all ();
  g_clear_pointer (&daemon->bus, sorad_bus_free);
  flush (daemon);
  sorad_process_wait_all ();
  g_clear_pointer (&daemon->catalogue, sorad_catalogue_free);
  flush (daemon);
  alarm (0);
  sorad_store_close (daemon->store);
  g_clear_pointer (&daemon->loop, g_main_loop_unref);
  g_clear_object (&daemon->connection);
  sorad_config_free (daemon->config);
}

/* Inputs of jobs that wait are open descriptors, 256 a user at most: the usual 1024 are few. */
static void
raise_open_files (void)
{
  struct rlimit limit;
  if (getrlimit (RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= MAX_OPEN_FILES)
    return;
  limit.rlim_cur = MIN (limit.rlim_max, MAX_OPEN_FILES);
  setrlimit (RLIMIT_NOFILE, &limit);
}

int
main (int argc, char **argv)
{
  Daemon daemon = { 0 };
  g_autoptr (GError) error = NULL;
  setlocale (LC_ALL, "");
  g_set_prgname ("sorad");
  raise_open_files ();
  daemon.config = read_options (argc, argv, &error);
  if (!daemon.config || !run (&daemon, &error))
    {
      g_printerr ("sorad: %s\n", error->message);
      daemon.failed = TRUE;
    }
  clean_up (&daemon);
  return daemon.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
