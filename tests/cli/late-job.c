/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Stands in for sorad with one job that changes between a client's first look at it and its
 * Subscribe, and tells nobody of the change, as sorad does not tell who has not subscribed.
 */
#include "config.h"
#include <stdlib.h>
#include "dbus/sora-bus-error.h"
#include "dbus/sora-bus-generated.h"

static gboolean subscribed;

static GVariant *
get_property (GDBusConnection *connection, const char *sender, const char *path,
              const char *interface, const char *name, GError **error, gpointer data)
{
  const char *const warnings[] = { "told while nobody listened", NULL };
  const GDBusPropertyInfo *info
      = g_dbus_interface_info_lookup_property (sora_bus_job_interface_info (), name);
  if (g_str_equal (name, "State"))
    return g_variant_new_string (subscribed ? "running" : "queued");
  if (g_str_equal (name, "Warnings"))
    return g_variant_new_strv (warnings, subscribed ? 1 : 0);
  if (g_str_equal (name, "Stage"))
    return g_variant_new_string (subscribed ? "denoise" : "");
  switch (*info->signature)
    {
    case 's':
      return g_variant_new_string ("");
    case 'd':
      return g_variant_new_double (0);
    case 'u':
      return g_variant_new_uint32 (0);
    case 'x':
      return g_variant_new_int64 (0);
    case 'b':
      return g_variant_new_boolean (FALSE);
    default:
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "no value for '%s'", name);
      return NULL;
    }
}

static void
method_call (GDBusConnection *connection, const char *sender, const char *path,
             const char *interface, const char *method, GVariant *arguments,
             GDBusMethodInvocation *invocation, gpointer data)
{
  if (g_str_equal (method, "Subscribe"))
    subscribed = TRUE;
  g_dbus_method_invocation_return_value (
      invocation, g_str_equal (method, "Wait") ? g_variant_new ("(s)", "done") : NULL);
}

static void
on_bus (GDBusConnection *connection, const char *name, gpointer data)
{
  static const GDBusInterfaceVTable vtable
      = { .method_call = method_call, .get_property = get_property };
  g_dbus_connection_register_object (connection, SORA_BUS_JOBS_PATH "/late",
                                     sora_bus_job_interface_info (), &vtable, NULL, NULL, NULL);
}

static void
on_lost (GDBusConnection *connection, const char *name, gpointer data)
{
  exit (EXIT_FAILURE);
}

int
main (void)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_bus_own_name (G_BUS_TYPE_SESSION, SORA_BUS_NAME, G_BUS_NAME_OWNER_FLAGS_NONE, on_bus, NULL,
                  on_lost, NULL, NULL);
  g_main_loop_run (loop);
  return EXIT_SUCCESS;
}
