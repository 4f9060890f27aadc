/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Another user, for tests that run as root: becomes uid 65534, connects to the bus and does one
 * thing.
 *
 *   stranger ADDRESS probe JOB OTHER   every method and property of JOB must answer as those of
 * OTHER, which never was stranger ADDRESS list              prints how many jobs it sees stranger
 * ADDRESS submit MODE       prints the job's path
 *   stranger ADDRESS remove MODEL      RemoveModel
 *   stranger ADDRESS clip PROMPT       waits for a small clip, and prints what its job noted
 */
#include "config.h"

#include <gio/gio.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dbus/sora-bus-generated.h"

#define SORAD "org.sorad.Sora1"
#define STRANGER 65534

static GDBusConnection *bus;

/* An answer as text, with the job's own path taken out. */
static char *
ask (const char *job, const char *interface, const char *method, GVariant *arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_sync (bus, SORAD, job, interface, method, arguments, NULL,
                                     G_DBUS_CALL_FLAGS_NONE, 20000, NULL, &error);
  g_autofree char *text = reply ? g_variant_print (reply, TRUE) : g_strdup (error->message);
  g_autofree char *name = error ? g_dbus_error_get_remote_error (error) : g_strdup ("-");
  const char *id = strrchr (job, '/') + 1;
  g_auto (GStrv) parts = g_strsplit (text, id, -1);
  g_autofree char *rest = g_strjoinv ("ID", parts);
  return g_strconcat (name, ": ", rest, NULL);
}

static gboolean
same (const char *job, const char *other, const char *interface, const char *method,
      GVariant *arguments)
{
  g_autoptr (GVariant) held = arguments ? g_variant_ref_sink (arguments) : NULL;
  g_autofree char *one = ask (job, interface, method, held);
  g_autofree char *two = ask (other, interface, method, held);
  gboolean introspect = g_str_equal (method, "Introspect");
  gboolean ok = g_str_equal (one, two)
                && (introspect || strstr (one, "Error.NotFound: ") || strstr (one, "InvalidArgs"));
  if (!ok)
    g_printerr ("%s.%s:\n  %s\n  %s\n", interface, method, one, two);
  return ok;
}

static GVariant *
arguments_of (const GDBusMethodInfo *method)
{
  if (!method->in_args || !method->in_args[0])
    return NULL;
  return g_variant_new ("(a{sv})", NULL); /* the only one that a job's methods take: see the XML */
}

static gboolean
probe (const char *job, const char *other)
{
  GDBusInterfaceInfo *info = sora_bus_job_interface_info ();
  gboolean ok = same (job, other, "org.freedesktop.DBus.Properties", "GetAll",
                      g_variant_new ("(s)", info->name));
  ok = same (job, other, "org.freedesktop.DBus.Introspectable", "Introspect", NULL) && ok;
  for (GDBusMethodInfo **method = info->methods; *method; method++)
    ok = same (job, other, info->name, (*method)->name, arguments_of (*method)) && ok;
  for (GDBusPropertyInfo **property = info->properties; *property; property++)
    {
      ok = same (job, other, "org.freedesktop.DBus.Properties", "Get",
                 g_variant_new ("(ss)", info->name, (*property)->name))
           && ok;
      ok = same (job, other, "org.freedesktop.DBus.Properties", "Set",
                 g_variant_new ("(ssv)", info->name, (*property)->name, g_variant_new_string ("x")))
           && ok;
    }
  return ok;
}

static gboolean
call_manager (const char *method, GVariant *arguments)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      bus, SORAD, "/org/sorad/Sora1", "org.sorad.Sora1.Manager", method, arguments, NULL,
      G_DBUS_CALL_FLAGS_NONE, 20000, NULL, &error);
  if (!reply)
    {
      g_printerr ("%s: %s\n", method, error->message);
      return FALSE;
    }
  g_autoptr (GVariant) first = g_variant_get_child_value (reply, 0);
  if (g_variant_is_container (first))
    g_print ("%" G_GSIZE_FORMAT "\n", g_variant_n_children (first));
  else
    g_print ("%s\n", g_variant_get_string (first, NULL));
  return TRUE;
}

static gboolean
make_clip (const char *prompt)
{
  static const char *const counts[] = { "width", "height", "frames", "steps" };
  static const gint64 values[] = { 32, 32, 5, 1 };
  g_autoptr (GError) error = NULL;
  GVariantDict parameters, options;
  g_variant_dict_init (&parameters, NULL);
  g_variant_dict_insert (&parameters, "prompt", "s", prompt);
  g_variant_dict_insert (&parameters, "layout", "s", "sheet");
  for (gsize i = 0; i < G_N_ELEMENTS (counts); i++)
    g_variant_dict_insert (&parameters, counts[i], "x", values[i]);
  g_variant_dict_init (&options, NULL);
  g_variant_dict_insert (&options, "seed", "t", G_GUINT64_CONSTANT (1));
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      bus, SORAD, "/org/sorad/Sora1", "org.sorad.Sora1.Manager", "Submit",
      g_variant_new ("(s@a{sv}@a{sv})", "text-to-frames", g_variant_dict_end (&parameters),
                     g_variant_dict_end (&options)),
      G_VARIANT_TYPE ("(o)"), G_DBUS_CALL_FLAGS_NONE, 20000, NULL, &error);
  const char *job = NULL;
  if (reply)
    g_variant_get (reply, "(&o)", &job);
  g_autoptr (GVariant) end
      = !reply ? NULL
               : g_dbus_connection_call_sync (bus, SORAD, job, "org.sorad.Sora1.Job", "Wait", NULL,
                                              NULL, G_DBUS_CALL_FLAGS_NONE, 120000, NULL, &error);
  g_autoptr (GVariant) notes
      = !end ? NULL
             : g_dbus_connection_call_sync (
                 bus, SORAD, job, "org.freedesktop.DBus.Properties", "Get",
                 g_variant_new ("(ss)", "org.sorad.Sora1.Job", "Notes"), G_VARIANT_TYPE ("(v)"),
                 G_DBUS_CALL_FLAGS_NONE, 20000, NULL, &error);
  if (!notes)
    {
      g_printerr ("clip: %s\n", error->message);
      return FALSE;
    }
  g_autofree char *ended = g_variant_print (end, FALSE), *said = g_variant_print (notes, FALSE);
  g_print ("%s %s\n", ended, said);
  return TRUE;
}

int
main (int argc, char **argv)
{
  if (argc < 3)
    return 2;
  if (setgroups (0, NULL) != 0 || setresgid (STRANGER, STRANGER, STRANGER) != 0
      || setresuid (STRANGER, STRANGER, STRANGER) != 0)
    return 3;
  g_autoptr (GError) error = NULL;
  bus = g_dbus_connection_new_for_address_sync (
      argv[1],
      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT
          | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
      NULL, NULL, &error);
  if (!bus)
    {
      g_printerr ("%s\n", error->message);
      return 4;
    }
  gboolean ok = FALSE;
  if (g_str_equal (argv[2], "probe") && argc == 5)
    ok = probe (argv[3], argv[4]);
  else if (g_str_equal (argv[2], "list"))
    ok = call_manager ("ListJobs", g_variant_new ("(a{sv})", NULL));
  else if (g_str_equal (argv[2], "remove") && argc == 4)
    ok = call_manager ("RemoveModel", g_variant_new ("(s)", argv[3]));
  else if (g_str_equal (argv[2], "clip") && argc == 4)
    ok = make_clip (argv[3]);
  else if (g_str_equal (argv[2], "submit") && argc == 4)
    {
      GVariantDict parameters;
      g_variant_dict_init (&parameters, NULL);
      g_variant_dict_insert (&parameters, "mode", "s", argv[3]);
      ok = call_manager ("Submit", g_variant_new ("(s@a{sv}a{sv})", "fake",
                                                  g_variant_dict_end (&parameters), NULL));
    }
  g_object_unref (bus);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
