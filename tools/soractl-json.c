/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Turns GVariants into JSON.
 */
#include "config.h"
#include "soractl-json.h"
#include <stdio.h>

static json_t *
from_integer (gint64 value)
{
  if (value <= (1LL << 53) && value >= -(1LL << 53))
    return json_integer (value);
  g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, value);
  return json_string (text);
}

static json_t *
from_unsigned (guint64 value)
{
  if (value <= (1ULL << 53))
    return json_integer ((json_int_t)value);
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT, value);
  return json_string (text);
}

static json_t *
from_dictionary (GVariant *value)
{
  json_t *object = json_object ();
  GVariantIter iter;
  GVariant *entry;
  g_variant_iter_init (&iter, value);
  while ((entry = g_variant_iter_next_value (&iter)) != NULL)
    {
      g_autoptr (GVariant) key = g_variant_get_child_value (entry, 0);
      g_autoptr (GVariant) item = g_variant_get_child_value (entry, 1);
      json_object_set_new (object, g_variant_get_string (key, NULL),
                           soractl_json_from_variant (item));
      g_variant_unref (entry);
    }
  return object;
}

json_t *
soractl_json_from_variant (GVariant *value)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BOOLEAN:
      return json_boolean (g_variant_get_boolean (value));
    case G_VARIANT_CLASS_BYTE:
      return json_integer (g_variant_get_byte (value));
    case G_VARIANT_CLASS_INT16:
      return json_integer (g_variant_get_int16 (value));
    case G_VARIANT_CLASS_UINT16:
      return json_integer (g_variant_get_uint16 (value));
    case G_VARIANT_CLASS_INT32:
      return json_integer (g_variant_get_int32 (value));
    case G_VARIANT_CLASS_UINT32:
      return json_integer (g_variant_get_uint32 (value));
    case G_VARIANT_CLASS_INT64:
      return from_integer (g_variant_get_int64 (value));
    case G_VARIANT_CLASS_UINT64:
      return from_unsigned (g_variant_get_uint64 (value));
    case G_VARIANT_CLASS_HANDLE:
      return json_integer (g_variant_get_handle (value));
    case G_VARIANT_CLASS_DOUBLE:
      return json_real (g_variant_get_double (value));
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
      return json_string (g_variant_get_string (value, NULL));
    case G_VARIANT_CLASS_VARIANT:
      {
        g_autoptr (GVariant) inner = g_variant_get_variant (value);
        return soractl_json_from_variant (inner);
      }
    case G_VARIANT_CLASS_ARRAY:
      if (g_variant_is_of_type (value, G_VARIANT_TYPE ("a{s*}")))
        return from_dictionary (value);
      break;
    default:
      break;
    }
  json_t *array = json_array ();
  if (g_variant_is_container (value))
    for (gsize i = 0; i < g_variant_n_children (value); i++)
      {
        g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
        json_array_append_new (array, soractl_json_from_variant (child));
      }
  return array;
}

void
soractl_json_print (json_t *root)
{
  json_dumpf (root, stdout, JSON_INDENT (2));
  putchar ('\n');
  json_decref (root);
}
