/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Models that are added to the daemon: from a folder and from single files, what is refused, who
 * may, and that nothing is left of a copying that does not end.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "dbus/sora-bus-error.h"

#define MODELS_PATH MANAGER_PATH "/models/"
#define SPIECE ABS_SRCDIR "/tests/golden/models/small-b/tokenizer/spiece.model"
#define SORACTL ABS_BUILDDIR "/tools/soractl"
#define LONG_COPY ((guint64)4 << 30) /* a hole; nobody copies it to its end */

static BusFixture *fixture;
static GDBusConnection *bus;
static char *work;

static const BusSetup bus_setup = { .worker = FAKE_WORKER, .pipeline_dir = FAKE_PIPELINES };

static char *
in_work (const char *name)
{
  return g_build_filename (work, name, NULL);
}

static void
setup (void)
{
  g_autoptr (GError) error = NULL;
  work = g_dir_make_tmp ("sora-add-XXXXXX", NULL);
  g_autofree char *tiny = in_work ("tiny");
  const char *argv[] = { ABS_BUILDDIR "/tests/core/make-tiny-wan", SPIECE, tiny, NULL };
  g_autoptr (GSubprocess) make = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_NONE, &error);
  ck_assert_msg (make && g_subprocess_wait_check (make, NULL, &error), "%s",
                 error ? error->message : "");
  fixture = bus_fixture_new (&bus_setup);
  bus = fixture->connection;
}

static void
teardown (void)
{
  bus_fixture_free (fixture);
  bus_remove_tree (work);
  g_free (work);
}

/* -- Calls */

/* AddModel of @paths; sent, and not waited for. */
static void
begin_add (GDBusConnection *connection, const char *name, const char *const *paths,
           GAsyncReadyCallback answered, gpointer data)
{
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  GVariantBuilder files;
  g_variant_builder_init (&files, G_VARIANT_TYPE ("a{sh}"));
  for (; *paths; paths++)
    {
      g_autofree char *base = g_path_get_basename (*paths);
      int fd = open (*paths, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
      ck_assert_msg (fd >= 0, "%s", *paths);
      g_variant_builder_add (&files, "{sh}", base, g_unix_fd_list_append (fds, fd, NULL));
      close (fd);
    }
  g_dbus_connection_call_with_unix_fd_list (
      connection, SORA_BUS_NAME, MANAGER_PATH, MANAGER, "AddModel",
      g_variant_new ("(sa{sh}a{sv})", name, &files, NULL), G_VARIANT_TYPE ("(o)"),
      G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, fds, NULL, answered, data);
}

typedef struct
{
  gboolean done;
  char *path;
  GError *error;
} Answer;

static void
on_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  Answer *answer = data;
  g_autoptr (GVariant) reply = g_dbus_connection_call_with_unix_fd_list_finish (
      G_DBUS_CONNECTION (source), NULL, result, &answer->error);
  if (reply)
    g_variant_get (reply, "(o)", &answer->path);
  else
    g_dbus_error_strip_remote_error (answer->error);
  answer->done = TRUE;
}

static gboolean
is_true (gpointer flag)
{
  return *(gboolean *)flag;
}

static char *
add (const char *name, const char *const *paths, GError **error)
{
  Answer answer = { 0 };
  begin_add (bus, name, paths, on_answer, &answer);
  bus_wait_until (is_true, &answer.done, "an answer of AddModel");
  if (answer.error)
    g_propagate_error (error, answer.error);
  return answer.path;
}

static gboolean
is_listed (const char *id)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_strconcat (MODELS_PATH, id, NULL);
  g_autoptr (GVariant) reply = bus_call (bus, MANAGER_PATH, "org.freedesktop.DBus.ObjectManager",
                                         "GetManagedObjects", NULL, &error);
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_autoptr (GVariant) objects = g_variant_get_child_value (reply, 0);
  for (gsize i = 0; i < g_variant_n_children (objects); i++)
    {
      const char *is;
      g_autoptr (GVariant) entry = g_variant_get_child_value (objects, i);
      g_variant_get_child (entry, 0, "&o", &is);
      if (g_str_equal (is, path))
        return TRUE;
    }
  return FALSE;
}

/* Entries of a folder of the daemon's. */
static guint
count_in (const char *folder)
{
  g_autofree char *path = g_build_filename (fixture->dir, "state", folder, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;
  ck_assert_msg (dir != NULL, "%s", path);
  while (g_dir_read_name (dir))
    n++;
  return n;
}

static gboolean
nothing_staged (gpointer unused)
{
  g_main_context_wakeup (NULL);
  return count_in ("staging") == 0;
}

static void
assert_refused (const char *name, const char *const *paths, int code, const char *part)
{
  g_autoptr (GError) error = NULL;
  guint before = count_in ("models");
  g_autofree char *path = add (name, paths, &error);
  ck_assert_msg (path == NULL, "%s was added", name);
  ck_assert_msg (g_error_matches (error, SORA_ERROR, code), "%s", error->message);
  ck_assert_msg (strstr (error->message, part) != NULL, "'%s' lacks '%s'", error->message, part);
  ck_assert_msg (!strchr (error->message, '\n') && !strstr (error->message, "/proc/")
                     && !strstr (error->message, "staging"),
                 "%s", error->message);
  ck_assert_uint_eq (count_in ("models"), before);
  bus_wait_until (nothing_staged, NULL, "the end of what was staged");
}

static char *
digest_of (const char *id)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = g_strconcat (MODELS_PATH, id, NULL);
  g_autoptr (GVariant) reply
      = bus_call (bus, path, "org.sorad.Sora1.Model", "GetDigest", NULL, &error);
  char *digest;
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_variant_get (reply, "(s)", &digest);
  return digest;
}

/* -- What is added */

START_TEST (folder_and_files_are_added_and_removed)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = in_work ("tiny/folder"), *weights = in_work ("tiny/folder/extra.bin"),
                  *hidden = in_work ("tiny/folder/.cache"),
                  *dit = in_work ("tiny/comfy/dit.safetensors");
  ck_assert (g_file_set_contents (weights, "pickle", -1, NULL));
  ck_assert_int_eq (symlink ("/", hidden), 0);
  const char *const one[] = { folder, NULL };
  g_autofree char *path = add ("one", one, &error);
  ck_assert_msg (path != NULL, "%s", error ? error->message : "");
  ck_assert_str_eq (path, MODELS_PATH "one");
  ck_assert (is_listed ("one"));
  g_autofree char *copy = g_build_filename (fixture->dir, "state/models/one", NULL);
  g_autofree char *copied_pickle = g_build_filename (copy, "extra.bin", NULL),
                  *copied_hidden = g_build_filename (copy, ".cache", NULL);
  ck_assert (!g_file_test (copied_pickle, G_FILE_TEST_EXISTS));
  ck_assert (!g_file_test (copied_hidden, G_FILE_TEST_IS_SYMLINK));

  /* The same files, named one by one: the same model. */
  g_autofree char *comfy = in_work ("tiny/comfy");
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (comfy, 0, NULL);
  for (const char *name; (name = g_dir_read_name (dir)) != NULL;)
    g_ptr_array_add (files, g_build_filename (comfy, name, NULL));
  g_ptr_array_add (files, NULL);
  const char *const as_folder[] = { comfy, NULL };
  g_autofree char *by_files = add ("by-files", (const char *const *)files->pdata, &error);
  ck_assert_msg (by_files != NULL, "%s", error ? error->message : "");
  g_autofree char *by_folder = add ("by_folder", as_folder, &error);
  ck_assert_msg (by_folder != NULL, "%s", error ? error->message : "");
  ck_assert_str_eq (by_folder, MODELS_PATH "by_5ffolder");
  g_autofree char *digest = digest_of ("by_2dfiles"), *same = digest_of ("by_5ffolder");
  ck_assert_str_eq (digest, same);

  /* The name is taken, also for another model. */
  assert_refused ("one", as_folder, SORA_ERROR_INVALID_REQUEST, "there is a model 'one' already");

  /* They are there after a new start. */
  g_subprocess_send_signal (fixture->sorad, SIGTERM);
  ck_assert (g_subprocess_wait (fixture->sorad, NULL, NULL));
  g_clear_object (&fixture->sorad);
  bus_fixture_start_sorad (fixture, &bus_setup);
  ck_assert (is_listed ("one"));

  g_autoptr (GVariant) removed
      = bus_call (bus, MANAGER_PATH, MANAGER, "RemoveModel", g_variant_new ("(s)", "one"), &error);
  ck_assert_msg (removed != NULL, "%s", error ? error->message : "");
  ck_assert (!is_listed ("one"));
  ck_assert (!g_file_test (copy, G_FILE_TEST_EXISTS));
  g_autoptr (GVariant) again
      = bus_call (bus, MANAGER_PATH, MANAGER, "RemoveModel", g_variant_new ("(s)", "one"), &error);
  ck_assert (again == NULL && g_error_matches (error, SORA_ERROR, SORA_ERROR_NOT_FOUND));
  bus_wait_until (nothing_staged, NULL, "the end of its files");
  bus_assert_goes_on (fixture);
}
END_TEST

/* -- The default model */

/* Every change that was told, oldest first. */
static void
on_properties (GDBusConnection *connection, const char *sender, const char *path,
               const char *interface, const char *signal, GVariant *parameters, gpointer data)
{
  g_autoptr (GVariant) changed = g_variant_get_child_value (parameters, 1);
  const char *id;
  if (g_variant_lookup (changed, "DefaultModel", "&s", &id))
    g_ptr_array_add (data, g_strdup (id));
}

static void
assert_default (const char *id)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = bus_call (bus, MANAGER_PATH, "org.freedesktop.DBus.Properties", "Get",
                  g_variant_new ("(ss)", MANAGER, "DefaultModel"), &error);
  const char *is;
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_autoptr (GVariant) value = g_variant_get_child_value (reply, 0);
  g_autoptr (GVariant) inner = g_variant_get_variant (value);
  is = g_variant_get_string (inner, NULL);
  ck_assert_msg (g_str_equal (is, id), "DefaultModel is '%s', expected '%s'", is, id);
}

static void
remove_model (const char *id)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) removed
      = bus_call (bus, MANAGER_PATH, MANAGER, "RemoveModel", g_variant_new ("(s)", id), &error);
  ck_assert_msg (removed != NULL, "%s", error ? error->message : "");
}

/* The only one is the default; of two none is; and everybody is told. */
START_TEST (the_default_model_follows)
{
  static const char *const expected[] = { "one", "", "two", "" };
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) told = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *folder = in_work ("tiny/folder"), *comfy = in_work ("tiny/comfy");
  const char *const first[] = { folder, NULL }, *const second[] = { comfy, NULL };
  guint subscription = g_dbus_connection_signal_subscribe (
      bus, SORA_BUS_NAME, "org.freedesktop.DBus.Properties", "PropertiesChanged", MANAGER_PATH,
      MANAGER, G_DBUS_SIGNAL_FLAGS_NONE, on_properties, told, NULL);
  assert_default ("");
  g_free (add ("one", first, &error));
  ck_assert_msg (error == NULL, "%s", error ? error->message : "");
  assert_default ("one");
  g_free (add ("two", second, &error));
  ck_assert_msg (error == NULL, "%s", error ? error->message : "");
  assert_default ("");
  remove_model ("one");
  assert_default ("two");
  remove_model ("two");
  assert_default ("");
  /* Signals come before the answers of calls that were made after them. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  ck_assert_uint_eq (told->len, G_N_ELEMENTS (expected));
  for (guint i = 0; i < told->len; i++)
    ck_assert_str_eq (told->pdata[i], expected[i]);
  g_dbus_connection_signal_unsubscribe (bus, subscription);
}
END_TEST

/* -- What is not */

START_TEST (doubtful_models_are_refused)
{
  g_autofree char *folder = in_work ("tiny/folder"), *link = in_work ("tiny/folder/out.json"),
                  *fifo = in_work ("tiny/folder/fifo"), *conf = in_work ("tiny/folder/model.conf"),
                  *pickle = in_work ("vae.pth"), *empty = in_work ("empty"),
                  *zip = in_work ("zip.safetensors"), *pickles = in_work ("tiny/folder/vae");
  const char *const paths[] = { folder, NULL };
  const char *const of_pickle[] = { pickle, NULL }, *const of_empty[] = { empty, NULL },
                    *const of_zip[] = { zip, NULL }, *const of_two[] = { folder, empty, NULL };
  ck_assert (g_file_set_contents (pickle, "x", -1, NULL));
  ck_assert (g_file_set_contents (zip, "PK\3\4 zip, with enough behind it", -1, NULL));
  ck_assert_int_eq (g_mkdir (empty, 0755), 0);
  assert_refused ("a", of_pickle, SORA_ERROR_INVALID_MODEL, "is a pickle");
  assert_refused ("a", of_zip, SORA_ERROR_INVALID_MODEL, "zip");
  assert_refused ("a", of_empty, SORA_ERROR_INVALID_MODEL, "'a'");
  assert_refused ("a", of_two, SORA_ERROR_INVALID_REQUEST, "is a folder");
  assert_refused ("../a", paths, SORA_ERROR_INVALID_REQUEST, "is no name");
  assert_refused (".a", paths, SORA_ERROR_INVALID_REQUEST, "is no name");

  ck_assert_int_eq (symlink ("/etc/hostname", link), 0);
  assert_refused ("a", paths, SORA_ERROR_INVALID_MODEL, "'out.json' is a symbolic link out");
  g_unlink (link);
  ck_assert_int_eq (mkfifo (fifo, 0644), 0);
  assert_refused ("a", paths, SORA_ERROR_INVALID_MODEL, "'fifo' is a device, pipe or socket");
  g_unlink (fifo);
  ck_assert (g_file_set_contents (conf, "[Model]\n", -1, NULL));
  assert_refused ("a", paths, SORA_ERROR_INVALID_MODEL, "model.conf");
  g_unlink (conf);

  /* A component with a pickle for its weights. */
  g_autofree char *weights
      = g_build_filename (pickles, "diffusion_pytorch_model.safetensors", NULL),
      *renamed = g_build_filename (pickles, "diffusion_pytorch_model.bin", NULL);
  ck_assert_int_eq (g_rename (weights, renamed), 0);
  assert_refused ("a", paths, SORA_ERROR_INVALID_MODEL, "pickle");
  bus_assert_goes_on (fixture);
}
END_TEST

START_TEST (limits_hold)
{
  g_autofree char *folder = in_work ("tiny/folder"), *hole = in_work ("tiny/folder/hole"),
                  *many = in_work ("tiny/folder/many");
  const char *const paths[] = { folder, NULL };
  struct statvfs space;
  ck_assert_int_eq (statvfs (fixture->dir, &space), 0);
  guint64 all = (guint64)space.f_blocks * space.f_frsize;
  int fd = open (hole, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  ck_assert_int_ge (fd, 0);
  /* A hole larger than the disk, where the file system has such; it is never read. */
  if (ftruncate (fd, (off_t)all + (1 << 30)) == 0)
    assert_refused ("a", paths, SORA_ERROR_NO_SPACE,
                    "bytes, and the disk of the models folder has");
  close (fd);
  g_unlink (hole);
  ck_assert_int_eq (g_mkdir (many, 0755), 0);
  for (guint i = 0; i <= 2000; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s/%u", many, i);
      fd = open (name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
      ck_assert_int_ge (fd, 0);
      close (fd);
    }
  assert_refused ("a", paths, SORA_ERROR_INVALID_MODEL, "more than 2000 files");
}
END_TEST

START_TEST (strangers_are_refused)
{
  if (geteuid () != 0)
    return; /* to be another user takes root */
  const char *argv[]
      = { ABS_BUILDDIR "/tests/bus/stranger", fixture->address, "remove", "x", NULL };
  g_autoptr (GError) error = NULL;
  g_autofree char *told = NULL;
  g_autoptr (GSubprocess) stranger
      = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDERR_PIPE, &error);
  ck_assert_msg (stranger != NULL, "%s", error ? error->message : "");
  ck_assert (g_subprocess_communicate_utf8 (stranger, NULL, NULL, NULL, &told, &error));
  ck_assert_msg (strstr (told, "Error.Denied") && strstr (told, "is for root and the user"), "%s",
                 told);
}
END_TEST

START_TEST (installed_models_are_not_removed_and_new_ones_are_noticed)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = in_work ("tiny/folder"),
                  *there = g_build_filename (fixture->dir, "empty", "later", NULL);
  ck_assert (!is_listed ("later"));
  ck_assert_int_eq (g_rename (folder, there), 0);
  gint64 deadline = g_get_monotonic_time () + BUS_DEADLINE_MS * 1000;
  while (!is_listed ("later"))
    ck_assert_msg (g_get_monotonic_time () < deadline, "it is not noticed");
  g_autoptr (GVariant) removed = bus_call (bus, MANAGER_PATH, MANAGER, "RemoveModel",
                                           g_variant_new ("(s)", "later"), &error);
  ck_assert (removed == NULL && g_error_matches (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST));
  ck_assert (is_listed ("later"));
  ck_assert_int_eq (g_rename (there, folder), 0);
  while (is_listed ("later"))
    ck_assert_msg (g_get_monotonic_time () < deadline, "it is not noticed that it went");
}
END_TEST

/* -- What does not end */

static void
on_model_progress (GDBusConnection *connection, const char *sender, const char *path,
                   const char *interface, const char *signal, GVariant *parameters, gpointer data)
{
  *(gboolean *)data = TRUE;
}

/* Makes the folder's copying long, begins it for @connection, and waits until it goes on. */
static void
begin_long_copy (GDBusConnection *connection, Answer *answer)
{
  g_autofree char *folder = in_work ("tiny/folder"), *hole = in_work ("tiny/folder/hole");
  const char *const paths[] = { folder, NULL };
  gboolean goes_on = FALSE;
  int fd = open (hole, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
  ck_assert (fd >= 0 && ftruncate (fd, (off_t)LONG_COPY) == 0);
  close (fd);
  guint subscription = g_dbus_connection_signal_subscribe (
      connection, SORA_BUS_NAME, MANAGER, "ModelProgress", MANAGER_PATH, NULL,
      G_DBUS_SIGNAL_FLAGS_NONE, on_model_progress, &goes_on, NULL);
  begin_add (connection, "long", paths, on_answer, answer);
  bus_wait_until (is_true, &goes_on, "progress");
  g_dbus_connection_signal_unsubscribe (connection, subscription);
  ck_assert (!answer->done);
}

START_TEST (nothing_is_left_when_the_daemon_is_killed)
{
  Answer answer = { 0 };
  begin_long_copy (bus, &answer);
  bus_assert_goes_on (fixture); /* the main loop is free */
  g_autoptr (GError) busy = NULL;
  g_autofree char *folder = in_work ("tiny/comfy");
  const char *const paths[] = { folder, NULL };
  g_autofree char *second = add ("second", paths, &busy);
  ck_assert (second == NULL && g_error_matches (busy, SORA_ERROR, SORA_ERROR_BUSY));
  g_subprocess_force_exit (fixture->sorad);
  ck_assert (g_subprocess_wait (fixture->sorad, NULL, NULL));
  bus_wait_until (is_true, &answer.done, "the end of the call");
  ck_assert_ptr_nonnull (answer.error);
  g_clear_error (&answer.error);
  ck_assert_uint_eq (count_in ("models"), 0);
  ck_assert_uint_eq (count_in ("staging"), 1); /* else it was not killed while it copied */
  g_clear_object (&fixture->sorad);
  bus_fixture_start_sorad (fixture, &bus_setup);
  ck_assert_uint_eq (count_in ("staging"), 0);
  ck_assert (!is_listed ("long"));
}
END_TEST

START_TEST (nothing_is_left_when_the_daemon_ends)
{
  Answer answer = { 0 };
  begin_long_copy (bus, &answer);
  g_subprocess_send_signal (fixture->sorad, SIGTERM);
  ck_assert (g_subprocess_wait (fixture->sorad, NULL, NULL));
  bus_wait_until (is_true, &answer.done, "an answer");
  ck_assert_ptr_nonnull (answer.error);
  ck_assert_msg (strstr (answer.error->message, "sorad ends"), "%s", answer.error->message);
  g_clear_error (&answer.error);
  ck_assert_uint_eq (count_in ("models"), 0);
  ck_assert_uint_eq (count_in ("staging"), 0);
}
END_TEST

START_TEST (nothing_is_left_when_the_client_goes)
{
  Answer answer = { 0 };
  GDBusConnection *client = bus_fixture_connect (fixture);
  begin_long_copy (client, &answer);
  g_dbus_connection_close_sync (client, NULL, NULL);
  g_object_unref (client);
  bus_wait_until (nothing_staged, NULL, "the end of the copying");
  bus_wait_until (is_true, &answer.done, "the end of the call");
  g_clear_error (&answer.error);
  ck_assert_uint_eq (count_in ("models"), 0);
  bus_assert_goes_on (fixture);
}
END_TEST

/* -- soractl */

START_TEST (soractl_adds_and_removes)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = in_work ("tiny/folder"), *told = NULL;
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_subprocess_launcher_setenv (launcher, "DBUS_SYSTEM_BUS_ADDRESS", fixture->address, TRUE);
  const char *adding[] = { SORACTL, "models", "add", folder, "--system", "--name", "mine", NULL };
  g_autoptr (GSubprocess) first = g_subprocess_launcher_spawnv (launcher, adding, &error);
  ck_assert (g_subprocess_communicate_utf8 (first, NULL, NULL, NULL, &told, &error));
  ck_assert_msg (g_subprocess_get_successful (first), "%s", told);
  ck_assert (is_listed ("mine"));
  const char *removing[] = { SORACTL, "--system", "models", "remove", "mine", NULL };
  g_autoptr (GSubprocess) second = g_subprocess_launcher_spawnv (launcher, removing, &error);
  ck_assert (g_subprocess_communicate_utf8 (second, NULL, NULL, NULL, NULL, &error));
  ck_assert (g_subprocess_get_successful (second));
  ck_assert (!is_listed ("mine"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("model-add");
  TCase *adding = tcase_create ("adding");
  tcase_set_timeout (adding, 120);
  tcase_add_checked_fixture (adding, setup, teardown);
  tcase_add_test (adding, folder_and_files_are_added_and_removed);
  tcase_add_test (adding, the_default_model_follows);
  tcase_add_test (adding, doubtful_models_are_refused);
  tcase_add_test (adding, limits_hold);
  tcase_add_test (adding, strangers_are_refused);
  tcase_add_test (adding, installed_models_are_not_removed_and_new_ones_are_noticed);
  tcase_add_test (adding, nothing_is_left_when_the_daemon_is_killed);
  tcase_add_test (adding, nothing_is_left_when_the_daemon_ends);
  tcase_add_test (adding, nothing_is_left_when_the_client_goes);
  tcase_add_test (adding, soractl_adds_and_removes);
  suite_add_tcase (suite, adding);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
