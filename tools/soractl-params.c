/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Parameters as the service declares them: of a pipeline, and of the stages in it.
 */
#include "config.h"
#include "soractl-bus.h"
#include "sora-error.h"
#include <string.h>

/* A SoraParam that owns what it points to. */
typedef struct
{
  SoraParam param;
  char *name, *help, *unit;
  char **choices;
  GVariant *default_value;
} RemoteParam;

static void
remote_param_free (gpointer data)
{
  RemoteParam *remote = data;
  g_free (remote->name);
  g_free (remote->help);
  g_free (remote->unit);
  g_strfreev (remote->choices);
  g_clear_pointer (&remote->default_value, g_variant_unref);
  g_free (remote);
}

static SoraParamType
type_from_name (const char *name)
{
  static const struct
  {
    const char *name;
    SoraParamType type;
  } types[] = {
    { "boolean", SORA_PARAM_BOOL },         { "integer", SORA_PARAM_I64 },
    { "number", SORA_PARAM_F64 },           { "string", SORA_PARAM_STRING },
    { "choice", SORA_PARAM_ENUM },          { "string-list", SORA_PARAM_STRING_LIST },
    { "number-list", SORA_PARAM_F64_LIST }, { "file", SORA_PARAM_FILE },
  };
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (g_strcmp0 (name, types[i].name) == 0)
      return types[i].type;
  return SORA_PARAM_STRING;
}

static RemoteParam *
remote_param_new (GVariant *dict, const char *stage)
{
  RemoteParam *remote = g_new0 (RemoteParam, 1);
  const char *type = NULL;
  const char *name = NULL;
  if (g_variant_lookup (dict, "name", "&s", &name))
    remote->name = stage != NULL ? g_strdup_printf ("%s.%s", stage, name) : g_strdup (name);
  remote->default_value = g_variant_lookup_value (dict, "default", NULL);
  g_variant_lookup (dict, "help", "s", &remote->help);
  g_variant_lookup (dict, "unit", "s", &remote->unit);
  g_variant_lookup (dict, "choices", "^as", &remote->choices);
  g_variant_lookup (dict, "type", "&s", &type);
  SoraParam *param = &remote->param;
  *param = (SoraParam){ .struct_size = sizeof (SoraParam),
                        .type = type_from_name (type),
                        .name = remote->name,
                        .help = remote->help,
                        .unit = remote->unit,
                        .choices = (const char *const *)remote->choices };
  g_variant_lookup (dict, "minimum", param->type == SORA_PARAM_I64 ? "x" : "d",
                    param->type == SORA_PARAM_I64 ? (gpointer)&param->i64_min
                                                  : (gpointer)&param->f64_min);
  g_variant_lookup (dict, "maximum", param->type == SORA_PARAM_I64 ? "x" : "d",
                    param->type == SORA_PARAM_I64 ? (gpointer)&param->i64_max
                                                  : (gpointer)&param->f64_max);
  g_variant_lookup (dict, "multiple", "x", &param->i64_multiple);
  return remote;
}

/* The descriptions of @list into @params, as NAME or STAGE.NAME. */
static void
add_params (GHashTable *params, GVariant *list, const char *stage)
{
  for (gsize i = 0; list != NULL && i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) dict = g_variant_get_child_value (list, i);
      RemoteParam *remote = remote_param_new (dict, stage);
      if (remote->name != NULL)
        g_hash_table_replace (params, remote->name, remote);
      else
        remote_param_free (remote);
    }
}

/* The properties of the object with that interface and Id; NULL. */
static GVariant *
find_object (GVariant *objects, const char *interface, const char *wanted)
{
  GVariantIter iter;
  GVariant *interfaces;
  g_variant_iter_init (&iter, objects);
  while (g_variant_iter_next (&iter, "{&o@a{sa{sv}}}", NULL, &interfaces))
    {
      g_autoptr (GVariant) held = interfaces;
      g_autoptr (GVariant) properties
          = g_variant_lookup_value (held, interface, G_VARIANT_TYPE_VARDICT);
      const char *id = NULL;
      if (properties != NULL && g_variant_lookup (properties, "Id", "&s", &id)
          && g_str_equal (id, wanted))
        return g_steal_pointer (&properties);
    }
  return NULL;
}

/* @name: "ID" (the class of that name, or the only one) or "ID/CLASS", as Plugin= of a pipeline. */
static void
add_stage (GHashTable *params, GVariant *objects, const char *stage, const char *name)
{
  const char *slash = strchr (name, '/');
  g_autofree char *id = slash != NULL ? g_strndup (name, (gsize)(slash - name)) : g_strdup (name);
  g_autoptr (GVariant) plugin = find_object (objects, "org.sorad.Sora1.Plugin", id);
  g_autoptr (GVariant) classes
      = plugin != NULL ? g_variant_lookup_value (plugin, "Stages", G_VARIANT_TYPE ("aa{sv}"))
                       : NULL;
  gsize n = classes != NULL ? g_variant_n_children (classes) : 0;
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) class = g_variant_get_child_value (classes, i);
      g_autoptr (GVariant) list
          = g_variant_lookup_value (class, "parameters", G_VARIANT_TYPE ("aa{sv}"));
      const char *class_id = "";
      g_variant_lookup (class, "id", "&s", &class_id);
      if (g_str_equal (class_id, slash != NULL ? slash + 1 : id) || (slash == NULL && n == 1))
        add_params (params, list, stage);
    }
}

GHashTable *
soractl_bus_params (GDBusConnection *connection, const char *pipeline, GHashTable *stages,
                    GError **error)
{
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      connection, SORA_BUS_NAME, SORA_BUS_PATH, "org.freedesktop.DBus.ObjectManager",
      "GetManagedObjects", NULL, G_VARIANT_TYPE ("(a{oa{sa{sv}}})"), G_DBUS_CALL_FLAGS_NONE, -1,
      NULL, error);
  if (reply == NULL)
    return NULL;
  g_autoptr (GVariant) objects = g_variant_get_child_value (reply, 0);
  g_autoptr (GVariant) found = find_object (objects, "org.sorad.Sora1.Pipeline", pipeline);
  const char *problem = "";
  if (found == NULL)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NOT_FOUND, "the service has no pipeline '%s'",
                   pipeline);
      return NULL;
    }
  if (g_variant_lookup (found, "Problem", "&s", &problem) && *problem != '\0')
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_PIPELINE,
                   "pipeline '%s' cannot be used: %s", pipeline, problem);
      return NULL;
    }
  GHashTable *params = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, remote_param_free);
  g_autoptr (GVariant) public
      = g_variant_lookup_value (found, "Parameters", G_VARIANT_TYPE ("aa{sv}"));
  g_autoptr (GVariant) list = g_variant_lookup_value (found, "Stages", G_VARIANT_TYPE ("aa{sv}"));
  add_params (params, public, NULL);
  for (gsize i = 0; list != NULL && i < g_variant_n_children (list); i++)
    {
      g_autoptr (GVariant) stage = g_variant_get_child_value (list, i);
      const char *id = NULL, *plugin = NULL;
      if (!g_variant_lookup (stage, "id", "&s", &id)
          || !g_variant_lookup (stage, "plugin", "&s", &plugin))
        continue;
      const char *other = g_hash_table_lookup (stages, id);
      add_stage (params, objects, id, other != NULL ? other : plugin);
    }
  return params;
}

const SoraParam *
soractl_bus_param (const char *name, GVariant **default_value, gpointer params)
{
  RemoteParam *remote = g_hash_table_lookup (params, name);
  if (remote != NULL && default_value != NULL)
    *default_value = remote->default_value;
  return remote != NULL ? &remote->param : NULL;
}
