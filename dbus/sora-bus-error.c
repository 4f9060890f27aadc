/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table of error names, and the way back from an object's path to its id.
 */
#include "sora-bus-error.h"

static const GDBusErrorEntry error_entries[] = {
  { SORA_ERROR_FAILED, "org.sorad.Sora1.Error.Failed" },
  { SORA_ERROR_INVALID_REQUEST, "org.sorad.Sora1.Error.InvalidRequest" },
  { SORA_ERROR_INVALID_PIPELINE, "org.sorad.Sora1.Error.InvalidPipeline" },
  { SORA_ERROR_INVALID_MODEL, "org.sorad.Sora1.Error.InvalidModel" },
  { SORA_ERROR_INVALID_PLUGIN, "org.sorad.Sora1.Error.InvalidPlugin" },
  { SORA_ERROR_NOT_FOUND, "org.sorad.Sora1.Error.NotFound" },
  { SORA_ERROR_NO_MEMORY, "org.sorad.Sora1.Error.NoMemory" },
  { SORA_ERROR_NO_SPACE, "org.sorad.Sora1.Error.NoSpace" },
  { SORA_ERROR_CANCELLED, "org.sorad.Sora1.Error.Cancelled" },
  { SORA_ERROR_BUSY, "org.sorad.Sora1.Error.Busy" },
  { SORA_ERROR_NOT_READY, "org.sorad.Sora1.Error.NotReady" },
  { SORA_ERROR_DENIED, "org.sorad.Sora1.Error.Denied" },
  { SORA_ERROR_WORKER_DIED, "org.sorad.Sora1.Error.WorkerDied" },
  { SORA_ERROR_PROTOCOL, "org.sorad.Sora1.Error.Protocol" },
};
G_STATIC_ASSERT (G_N_ELEMENTS (error_entries) == SORA_N_ERRORS);

void
sora_bus_error_register (void)
{
  static gsize once;
  if (g_once_init_enter (&once))
    {
      for (gsize i = 0; i < G_N_ELEMENTS (error_entries); i++)
        g_dbus_error_register_error (SORA_ERROR, error_entries[i].error_code,
                                     error_entries[i].dbus_error_name);
      g_once_init_leave (&once, 1);
    }
}

const char *
sora_bus_error_name (int code)
{
  for (gsize i = 0; i < G_N_ELEMENTS (error_entries); i++)
    if (error_entries[i].error_code == code)
      return error_entries[i].dbus_error_name;
  return error_entries[0].dbus_error_name;
}

gboolean
sora_bus_error_code (const char *name, int *code)
{
  for (gsize i = 0; i < G_N_ELEMENTS (error_entries); i++)
    if (g_str_equal (error_entries[i].dbus_error_name, name))
      {
        *code = error_entries[i].error_code;
        return TRUE;
      }
  return FALSE;
}

GError *
sora_bus_error_from_message (GVariant *payload)
{
  const char *name, *text;
  int code = SORA_ERROR_FAILED;
  g_variant_get (payload, "(&s&s@a{sv})", &name, &text, NULL);
  sora_bus_error_code (name, &code);
  return g_error_new_literal (SORA_ERROR, code, text);
}

char *
sora_bus_object_id (const char *object_path)
{
  const char *last = strrchr (object_path, '/');
  g_autofree guint8 *id = last ? g_dbus_unescape_object_path (last + 1) : NULL;
  return id ? g_strdup ((const char *)id) : NULL;
}
