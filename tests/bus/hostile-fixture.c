/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A service with plugins that mean harm, and jobs through them.
 */
#include "config.h"
#include "hostile-fixture.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

static void
lay (const char *plugins, const char *name)
{
  g_autofree char *from = g_strconcat (ABS_BUILDDIR "/tests/plugins/bad/.libs/", name, ".so", NULL);
  g_autofree char *module = g_strconcat (plugins, "/", name, ".so", NULL);
  g_autofree char *manifest = g_strconcat (plugins, "/", name, ".plugin", NULL);
  ck_assert_int_eq (symlink (from, module), 0);
  g_autofree char *own = g_strconcat (ABS_SRCDIR "/tests/plugins/bad/", name, ".plugin", NULL);
  g_autofree char *copy = NULL;
  if (g_str_equal (name, "ends"))
    {
      ck_assert_int_eq (symlink (own, manifest), 0);
      return;
    }
  /* A link to the tests' own folder would be trusted. */
  if (g_file_get_contents (own, &copy, NULL, NULL))
    {
      ck_assert (g_file_set_contents (manifest, copy, -1, NULL));
      return;
    }
  g_autofree char *text = g_strdup_printf (
      "[Plugin]\nId=%s\nName=Bad\nVersion=1.0.0\nLicence=LGPL-2.1-or-later\nSummary=Means harm\n"
      "Module=%s.so\nAbi=1.0\n\n[Stage bad]\nKind=filter\nSummary=Means harm\nInputs=in\n"
      "Outputs=out\n",
      name, name);
  ck_assert (g_file_set_contents (manifest, text, -1, NULL));
}

static BusSetup
setup_of (const HostileFixture *fixture)
{
  return (BusSetup){ .plugin_dir = fixture->plugins,
                     .pipeline_dir = ABS_SRCDIR "/tests/plugins/bad/pipelines",
                     .settings = fixture->settings,
                     .worker = fixture->worker,
                     .environment = (const char *const *)fixture->environment->pdata };
}

HostileFixture *
hostile_fixture_new (const char *const *names, const char *settings, const char *worker,
                     const char *const *environment)
{
  HostileFixture *fixture = g_new0 (HostileFixture, 1);
  GPtrArray *all = g_ptr_array_new_with_free_func (g_free);
  fixture->plugins = g_dir_make_tmp ("sora-plugins-XXXXXX", NULL);
  fixture->outside = g_dir_make_tmp ("sora-outside-XXXXXX", NULL);
  lay (fixture->plugins, "ends");
  lay (fixture->plugins, "pass");
  for (; names && *names; names++)
    lay (fixture->plugins, *names);
  g_ptr_array_add (all, g_strconcat ("SORA_BAD_FOLDER=", fixture->outside, NULL));
  for (; environment && *environment; environment++)
    g_ptr_array_add (all, g_strdup (*environment));
  g_ptr_array_add (all, NULL);
  g_autoptr (GString) text = g_string_new (settings);
  if (!strstr (settings, "TrustedPluginFolders="))
    g_string_append (text, "TrustedPluginFolders=" ABS_BUILDDIR ";" ABS_SRCDIR "\n");
  g_string_replace (text, "@plugins@", fixture->plugins, 0);
  fixture->settings = g_strdup (text->str);
  fixture->worker = g_strdup (worker);
  fixture->environment = all;
  const BusSetup setup = setup_of (fixture);
  fixture->bus = bus_fixture_new (&setup);
  return fixture;
}

void
hostile_fixture_kill_and_start (HostileFixture *fixture)
{
  const BusSetup setup = setup_of (fixture);
  bus_fixture_kill_sorad (fixture->bus);
  bus_fixture_start_sorad (fixture->bus, &setup);
}

void
hostile_fixture_free (HostileFixture *fixture)
{
  bus_fixture_free (fixture->bus);
  bus_remove_tree (fixture->plugins);
  bus_remove_tree (fixture->outside);
  g_free (fixture->plugins);
  g_free (fixture->outside);
  g_free (fixture->settings);
  g_free (fixture->worker);
  g_ptr_array_unref (fixture->environment);
  g_free (fixture);
}

GVariant *
hostile_arguments (const char *pipeline, const char *plugin)
{
  GVariantDict options;
  GVariantBuilder stages;
  g_variant_dict_init (&options, NULL);
  if (plugin)
    {
      g_variant_builder_init (&stages, G_VARIANT_TYPE ("a{ss}"));
      g_variant_builder_add (&stages, "{ss}", "bad", plugin);
      g_variant_dict_insert_value (&options, "stages", g_variant_builder_end (&stages));
    }
  return g_variant_new ("(s@a{sv}@a{sv})", pipeline, g_variant_new ("a{sv}", NULL),
                        g_variant_dict_end (&options));
}

char *
hostile_submit (HostileFixture *fixture, const char *pipeline, const char *plugin)
{
  g_autoptr (GError) error = NULL;
  char *job;
  g_autoptr (GVariant) reply = bus_call (fixture->bus->connection, MANAGER_PATH, MANAGER, "Submit",
                                         hostile_arguments (pipeline, plugin), &error);
  ck_assert_msg (reply != NULL, "%s: %s", plugin ? plugin : pipeline, error ? error->message : "");
  g_variant_get (reply, "(o)", &job);
  return job;
}

char *
hostile_bytes (HostileFixture *fixture, const char *job, gsize *size)
{
  GDBusConnection *bus = fixture->bus->connection;
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_equal (state, "done"), "%s: %s: %s", job, state, text);
  return bus_read_result (bus, job, NULL, size);
}

void
hostile_assert_failed (HostileFixture *fixture, const char *job, const char *error,
                       const char *part)
{
  GDBusConnection *bus = fixture->bus->connection;
  g_autofree char *state = bus_wait (bus, job);
  g_autofree char *name = bus_get_string (bus, job, "ErrorName");
  g_autofree char *text = bus_get_string (bus, job, "Error");
  ck_assert_msg (g_str_equal (state, "failed"), "%s: %s", state, text);
  ck_assert_msg (g_str_has_suffix (name, error), "%s: %s", name, text);
  ck_assert_msg (strstr (text, part) != NULL, "'%s' lacks '%s'", text, part);
  ck_assert_msg (strchr (text, '\n') == NULL, "'%s' is no one line", text);
}

void
hostile_assert_same_daemon (HostileFixture *fixture)
{
  g_autoptr (GVariant) owner = g_dbus_connection_call_sync (
      fixture->bus->connection, "org.freedesktop.DBus", "/", "org.freedesktop.DBus",
      "GetConnectionUnixProcessID", g_variant_new ("(s)", "org.sorad.Sora1"), NULL,
      G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
  guint32 pid;
  ck_assert_ptr_nonnull (owner);
  g_variant_get (owner, "(u)", &pid);
  g_autofree char *identifier = g_strdup_printf ("%u", pid);
  ck_assert_str_eq (g_subprocess_get_identifier (fixture->bus->sorad), identifier);
}

char *
hostile_stage_level (HostileFixture *fixture, const char *job, const char *stage)
{
  char *level = NULL;
  g_autoptr (GVariant) stages = bus_get (fixture->bus->connection, job, JOB, "ThirdPartyStages");
  ck_assert_str_eq (g_variant_get_type_string (stages), "a{ss}");
  g_variant_lookup (stages, stage, "s", &level);
  return level;
}

gboolean
hostile_has_note (HostileFixture *fixture, const char *job, const char *part)
{
  gboolean found = FALSE;
  g_autoptr (GVariant) notes = bus_get (fixture->bus->connection, job, JOB, "Notes");
  g_autofree const char **lines = g_variant_get_strv (notes, NULL);
  for (const char **line = lines; *line && !found; line++)
    found = strstr (*line, part) != NULL;
  return found;
}
