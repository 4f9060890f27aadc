/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Who may change the service's models: with a polkit that says yes, no or nonsense, and without
 * one. polkit is played by this process, on the same private bus.  Another user takes root to play.
 */
#include "config.h"

#include <check.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus-fixture.h"

#define STRANGER 65534
#define POLKIT "org.freedesktop.PolicyKit1"

static const char xml[] = "<node><interface name='" POLKIT ".Authority'>"
                          "<method name='CheckAuthorization'>"
                          "<arg type='(sa{sv})' direction='in'/><arg type='s' direction='in'/>"
                          "<arg type='a{ss}' direction='in'/><arg type='u' direction='in'/>"
                          "<arg type='s' direction='in'/><arg type='(bba{ss})' direction='out'/>"
                          "</method></interface></node>";

typedef enum
{
  SAYS_YES,
  SAYS_NO,
  SAYS_CHALLENGE,
  FAILS,
  TALKS_NONSENSE,
} Manner;

static BusFixture *fixture;
static Manner manner;
static guint asked, registration;
static GDBusConnection *polkit;
static GVariant *question; /* the last one */

static void
on_question (GDBusConnection *connection, const char *sender, const char *path,
             const char *interface, const char *method, GVariant *parameters,
             GDBusMethodInvocation *invocation, gpointer data)
{
  asked++;
  g_clear_pointer (&question, g_variant_unref);
  question = g_variant_ref (parameters);
  if (manner == FAILS)
    g_dbus_method_invocation_return_dbus_error (invocation, POLKIT ".Error.Failed", "it hurts");
  else if (manner == TALKS_NONSENSE)
    {
      /* GDBus would not let it pass: as a message of our own. */
      g_autoptr (GDBusMessage) reply
          = g_dbus_message_new_method_reply (g_dbus_method_invocation_get_message (invocation));
      g_dbus_message_set_body (reply, g_variant_new ("(b)", TRUE));
      g_dbus_connection_send_message (connection, reply, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL,
                                      NULL);
      g_object_unref (invocation);
    }
  else
    g_dbus_method_invocation_return_value (
        invocation, g_variant_new ("((bb@a{ss}))", manner == SAYS_YES, manner == SAYS_CHALLENGE,
                                   g_variant_new_array (G_VARIANT_TYPE ("{ss}"), NULL, 0)));
}

static void
setup (const char *settings)
{
  fixture = bus_fixture_new (&(BusSetup){ .worker = FAKE_WORKER,
                                          .pipeline_dir = FAKE_PIPELINES,
                                          .settings = settings,
                                          .system = TRUE });
  asked = 0;
}

static void
play_polkit (Manner as)
{
  static const GDBusInterfaceVTable vtable = { .method_call = on_question };
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (xml, NULL);
  g_autoptr (GVariant) owned = NULL;
  polkit = bus_fixture_connect (fixture);
  manner = as;
  registration = g_dbus_connection_register_object (polkit, "/org/freedesktop/PolicyKit1/Authority",
                                                    node->interfaces[0], &vtable, NULL, NULL, NULL);
  ck_assert_uint_ne (registration, 0);
  owned = g_dbus_connection_call_sync (polkit, "org.freedesktop.DBus", "/", "org.freedesktop.DBus",
                                       "RequestName", g_variant_new ("(su)", POLKIT, 0), NULL,
                                       G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
  ck_assert_ptr_nonnull (owned);
}

static void
teardown (void)
{
  if (polkit != NULL)
    {
      g_dbus_connection_unregister_object (polkit, registration);
      g_dbus_connection_close_sync (polkit, NULL, NULL);
      g_clear_object (&polkit);
    }
  g_clear_pointer (&question, g_variant_unref);
  bus_fixture_free (fixture);
}

static gboolean
is_over (gpointer data)
{
  return *(char **)data != NULL;
}

static void
on_told (GObject *source, GAsyncResult *result, gpointer data)
{
  char *told = NULL;
  ck_assert (
      g_subprocess_communicate_utf8_finish (G_SUBPROCESS (source), result, NULL, &told, NULL));
  *(char **)data = told;
}

/* What a stranger hears who asks to remove a model that never was. */
static char *
stranger_removes (void)
{
  char *told = NULL;
  g_autoptr (GSubprocess) stranger
      = g_subprocess_new (G_SUBPROCESS_FLAGS_STDERR_PIPE, NULL, ABS_BUILDDIR "/tests/bus/stranger",
                          fixture->address, "remove", "nonesuch", NULL);
  ck_assert_ptr_nonnull (stranger);
  g_subprocess_communicate_utf8_async (stranger, NULL, NULL, on_told, &told);
  bus_wait_until (is_over, &told, "the stranger's answer");
  return told;
}

static void
assert_hears (const char *first, const char *second)
{
  g_autofree char *told = stranger_removes ();
  ck_assert_msg (strstr (told, first) != NULL && strstr (told, second) != NULL,
                 "'%s', expected '%s' and '%s'", told, first, second);
}

START_TEST (polkit_permits)
{
  setup (NULL);
  play_polkit (SAYS_YES);
  assert_hears ("Error.NotFound", "nonesuch"); /* it came to the model */
  ck_assert_uint_eq (asked, 1);
  const char *kind, *name, *action;
  guint32 flags;
  g_autoptr (GVariant) subject = NULL;
  g_variant_get (question, "((&s@a{sv})&s@a{ss}u&s)", &kind, &subject, &action, NULL, &flags, NULL);
  ck_assert_str_eq (kind, "system-bus-name");
  ck_assert (g_variant_lookup (subject, "name", "&s", &name));
  ck_assert_int_eq (name[0], ':'); /* R11: neither a uid nor a pid */
  ck_assert_str_eq (action, "org.sorad.Sora1.manage-models");
  ck_assert_uint_eq (flags, 0); /* nobody sits before it: the caller did not say so */
  teardown ();
}
END_TEST

START_TEST (polkit_forbids)
{
  static const struct
  {
    Manner manner;
    const char *part;
  } cases[] = { { SAYS_NO, "does not permit" },
                { SAYS_CHALLENGE, "authenticate" },
                { FAILS, "it hurts" },
                { TALKS_NONSENSE, "does not answer" } };
  /* The group is for where there is no polkit: a broken one opens no other door. */
  setup ("[Access]\nAdminGroup=nogroup\n");
  play_polkit (SAYS_NO);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      manner = cases[i].manner;
      assert_hears ("Error.Denied", cases[i].part);
    }
  ck_assert_uint_eq (asked, G_N_ELEMENTS (cases));
  teardown ();
}
END_TEST

START_TEST (without_polkit_a_group_may)
{
  const struct group *group = getgrgid (STRANGER);
  ck_assert_ptr_nonnull (group);
  g_autofree char *settings = g_strdup_printf ("[Access]\nAdminGroup=%s\n", group->gr_name);
  setup (settings);
  assert_hears ("Error.NotFound", "nonesuch");
  teardown ();
  setup ("[Access]\nAdminGroup=daemon\n");
  assert_hears ("Error.Denied", "members of the group 'daemon'");
  teardown ();
  setup ("[Access]\nAdminGroup=no-such-group\n");
  assert_hears ("Error.Denied", "none of that name");
  teardown ();
  setup (NULL);
  assert_hears ("Error.Denied", "sudo");
  teardown ();
}
END_TEST

START_TEST (nobody_is_asked_about_the_daemons_user)
{
  g_autoptr (GError) error = NULL;
  setup (NULL);
  play_polkit (SAYS_NO);
  ck_assert_ptr_null (bus_call (fixture->connection, MANAGER_PATH, MANAGER, "RemoveModel",
                                g_variant_new ("(s)", "nonesuch"), &error));
  ck_assert_msg (strstr (error->message, "nonesuch") != NULL, "%s", error->message);
  ck_assert_uint_eq (asked, 0);
  teardown ();
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("authority");
  TCase *tcase = tcase_create ("authority");
  tcase_set_timeout (tcase, 120);
  if (getuid () == 0)
    {
      tcase_add_test (tcase, polkit_permits);
      tcase_add_test (tcase, polkit_forbids);
      tcase_add_test (tcase, without_polkit_a_group_may);
    }
  tcase_add_test (tcase, nobody_is_asked_about_the_daemons_user);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  const int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
