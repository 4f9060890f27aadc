/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Looks at values as what they are, variant by variant: a type string tells nothing of what stands
 * in its variants.
 */
#include "config.h"
#include "sorad-value.h"

#include <string.h>

#define MAX_TYPE 64 /* bytes; D-Bus: 255, with at most 32 arrays in each other */
#define MAX_DEPTH 8 /* variants in each other; D-Bus: 64 levels of all kinds */

static gboolean
is_bus_type (const char *type)
{
  if (strlen (type) > MAX_TYPE || strspn (type, "bynqiuxtdsav(){}") != strlen (type)
      || strstr (type, "()"))
    return FALSE;
  for (const char *p = type; *p; p++) /* an entry stands in an array only */
    if (*p == '{' && (p == type || p[-1] != 'a'))
      return FALSE;
  return TRUE;
}

static gboolean
check (GVariant *value, guint depth)
{
  const char *type = g_variant_get_type_string (value);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT))
    {
      g_autoptr (GVariant) inner = g_variant_get_variant (value);
      return depth < MAX_DEPTH && is_bus_type (g_variant_get_type_string (inner))
             && check (inner, depth + 1);
    }
  if (!strchr (type, 'v'))
    return TRUE;
  GVariantIter iter;
  GVariant *item;
  g_variant_iter_init (&iter, value);
  while ((item = g_variant_iter_next_value (&iter)))
    {
      g_autoptr (GVariant) child = item;
      if (!check (child, depth))
        return FALSE;
    }
  return TRUE;
}

gboolean
sorad_is_bus_value (GVariant *value)
{
  return is_bus_type (g_variant_get_type_string (value)) && check (value, 0);
}

GVariant *
sorad_result_details (GVariant *told)
{
  static const struct
  {
    const char *key, *type;
  } keys[] = { { "seconds", "d" },
               { "stages", "aa{sv}" },
               { "peak-bytes", "t" },
               { "peak-resident", "t" },
               { "seed", "t" },
               { "version", "s" } };
  GVariantDict details;
  g_variant_dict_init (&details, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autoptr (GVariant) value
          = g_variant_lookup_value (told, keys[i].key, G_VARIANT_TYPE (keys[i].type));
      if (value)
        g_variant_dict_insert_value (&details, keys[i].key, value);
    }
  GVariant *own = g_variant_ref_sink (g_variant_dict_end (&details));
  g_variant_get_data (own); /* serialized: it no longer holds the message that it came in */
  return own;
}
