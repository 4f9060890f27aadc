/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Models on the bus: their digests.
 */
#include "config.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus-fixture.h"
#include "dbus/sora-bus-error.h"

#define MODEL "org.sorad.Sora1.Model"
#define HOLES MANAGER_PATH "/models/holes"

static BusFixture *fixture;
static GDBusConnection *bus;
static char *models;

/* Of one component with @bytes of weights, all holes. */
static void
make_model (guint64 bytes)
{
  g_autofree char *component = g_build_filename (models, "holes", "vae", NULL);
  g_autofree char *index = g_build_filename (models, "holes", "model_index.json", NULL);
  g_autofree char *config = g_build_filename (component, "config.json", NULL);
  g_autofree char *weights
      = g_build_filename (component, "diffusion_pytorch_model.safetensors", NULL);
  g_autofree char *json = g_strdup_printf ("{\"w\":{\"dtype\":\"U8\",\"shape\":[%" G_GUINT64_FORMAT
                                           "],\"data_offsets\":[0,%" G_GUINT64_FORMAT "]}}",
                                           bytes, bytes);
  guint64 length = GUINT64_TO_LE (strlen (json));
  ck_assert_int_eq (g_mkdir_with_parents (component, 0755), 0);
  ck_assert (g_file_set_contents (
      index, "{\"_class_name\": \"P\", \"vae\": [\"diffusers\", \"AutoencoderKLWan\"]}", -1, NULL));
  ck_assert (g_file_set_contents (config, "{\"_class_name\": \"AutoencoderKLWan\"}", -1, NULL));
  int fd = open (weights, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  ck_assert_int_ge (fd, 0);
  ck_assert_int_eq (write (fd, &length, 8), 8);
  ck_assert_int_eq (write (fd, json, strlen (json)), (ssize_t)strlen (json));
  ck_assert_int_eq (ftruncate (fd, (off_t)(8 + strlen (json) + bytes)), 0);
  close (fd);
}

static void
start (guint64 bytes)
{
  models = g_dir_make_tmp ("sora-models-XXXXXX", NULL);
  make_model (bytes);
  g_autofree char *cache = g_strconcat ("XDG_CACHE_HOME=", models, "/holes", NULL);
  const char *const environment[] = { cache, NULL };
  fixture = bus_fixture_new (&(BusSetup){ .worker = FAKE_WORKER,
                                          .pipeline_dir = FAKE_PIPELINES,
                                          .model_dir = models,
                                          .environment = environment });
  bus = fixture->connection;
}

static void
end (void)
{
  bus_fixture_free (fixture);
  bus_remove_tree (models);
  g_free (models);
}

static char *
digest_of_holes (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = bus_call (bus, HOLES, MODEL, "GetDigest", NULL, &error);
  char *digest;
  ck_assert_msg (reply != NULL, "%s", error ? error->message : "");
  g_variant_get (reply, "(s)", &digest);
  return digest;
}

START_TEST (digest_is_of_the_files_as_they_are)
{
  start (1000);
  g_autofree char *before = digest_of_holes ();
  g_autofree char *same = digest_of_holes ();
  make_model (2000);
  g_autofree char *after = digest_of_holes ();
  ck_assert_str_eq (before, same);
  ck_assert_uint_eq (strlen (after), 64);
  ck_assert_str_ne (before, after);
  end ();
}
END_TEST

static void
on_digest (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  ck_assert_msg (reply == NULL, "the digest was made: the model is too small for this test");
  *(gboolean *)data = TRUE;
}

static gboolean
is_true (gpointer flag)
{
  return *(gboolean *)flag;
}

/* A digest of 200 GB takes minutes, and the end of the daemon does not. */
START_TEST (digest_does_not_hold_up_the_end)
{
  start (G_GUINT64_CONSTANT (200) << 30);
  gboolean answered[2] = { FALSE, FALSE };
  for (guint i = 0; i < 2; i++) /* one is made, one waits */
    g_dbus_connection_call (bus, SORA_BUS_NAME, HOLES, MODEL, "GetDigest", NULL, NULL,
                            G_DBUS_CALL_FLAGS_NONE, BUS_DEADLINE_MS, NULL, on_digest, &answered[i]);
  g_autoptr (GVariant) id = bus_get (bus, HOLES, MODEL, "Id");
  ck_assert_str_eq (g_variant_get_string (id, NULL), "holes"); /* the calls have come before */
  gint64 begun = g_get_monotonic_time ();
  g_subprocess_send_signal (fixture->sorad, SIGTERM);
  ck_assert (g_subprocess_wait (fixture->sorad, NULL, NULL));
  gint64 took = g_get_monotonic_time () - begun;
  ck_assert_msg (took < 4 * G_USEC_PER_SEC, "%" G_GINT64_FORMAT " us", took);
  bus_wait_until (is_true, &answered[0], "an answer to the one that is made");
  bus_wait_until (is_true, &answered[1], "an answer to the one that waits");
  end (); /* asserts the clean end */
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("models");
  TCase *digests = tcase_create ("digests");
  tcase_set_timeout (digests, 120);
  tcase_add_test (digests, digest_is_of_the_files_as_they_are);
  tcase_add_test (digests, digest_does_not_hold_up_the_end);
  suite_add_tcase (suite, digests);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
