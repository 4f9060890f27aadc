/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Values: half of the time what a client might mean, else ends of ranges and odd strings.
 */
#include "config.h"
#include "bus-values.h"

#include <math.h>
#include <string.h>

#define MAX_DEPTH 24 /* of variants in variants; D-Bus carries 64 levels */

BusValues *
bus_values_new (guint32 seed)
{
  static const char *const common[] = {
    "",
    "a",
    "..",
    "../../etc/passwd",
    "/etc/shadow",
    "%s%n%x",
    "-1",
    "true",
    "fake",
    "work.mode",
    "work",
    "mode",
    "text",
    "file",
    "done",
    "wait",
    "fail",
    "two-files",
    "crash",
    "garbage",
    "half-frame",
    "input",
    "warn",
    "odd-value",
    "bad-digest",
    "pid",
    "preview",
    "seed",
    "models",
    "stages",
    "metadata",
    "full",
    "minimal",
    "none",
    "name",
    "threads",
    "ephemeral",
    "states",
    "queued",
    "running",
    "failed",
    "cancelled",
    "\xc3\xa9\xf0\x9f\x8e\xac",
    "\xe2\x80\xae",
    "a\nb\tc",
    "18446744073709551616",
  };
  BusValues *values = g_new0 (BusValues, 1);
  values->random = g_rand_new_with_seed (seed);
  values->words = g_ptr_array_new_with_free_func (g_free);
  values->paths = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0; i < G_N_ELEMENTS (common); i++)
    bus_values_add_word (values, common[i]);
  bus_values_add_path (values, "/");
  return values;
}

void
bus_values_free (BusValues *values)
{
  g_rand_free (values->random);
  g_ptr_array_unref (values->words);
  g_ptr_array_unref (values->paths);
  g_free (values);
}

static void
add (GPtrArray *to, const char *text)
{
  if (!g_ptr_array_find_with_equal_func (to, text, g_str_equal, NULL))
    g_ptr_array_add (to, g_strdup (text));
}

void
bus_values_add_word (BusValues *values, const char *word)
{
  add (values->words, word);
}

void
bus_values_add_path (BusValues *values, const char *path)
{
  add (values->paths, path);
}

guint
bus_values_below (BusValues *values, guint n)
{
  return g_rand_int (values->random) % n;
}

gboolean
bus_values_one_in (BusValues *values, guint n)
{
  return bus_values_below (values, n) == 0;
}

const char *
bus_values_word (BusValues *values)
{
  return g_ptr_array_index (values->words, bus_values_below (values, values->words->len));
}

const char *
bus_values_path (BusValues *values)
{
  return g_ptr_array_index (values->paths, bus_values_below (values, values->paths->len));
}

static char *
make_string (BusValues *values)
{
  switch (bus_values_below (values, 40))
    {
    case 0: /* long: a request's own limit is 1 MiB */
      return g_strnfill (1 + bus_values_below (values, 20000), 'x');
    case 1:
      return g_strdup (bus_values_path (values));
    case 2: /* two words in one */
      return g_strconcat (bus_values_word (values), ".", bus_values_word (values), NULL);
    case 3: /* a word that is cut, not in the middle of a character */
      {
        const char *word = bus_values_word (values);
        const glong length = g_utf8_strlen (word, -1);
        return length > 0
                   ? g_utf8_substring (word, 0, (glong)bus_values_below (values, (guint)length))
                   : g_strdup ("");
      }
    default:
      return g_strdup (bus_values_word (values));
    }
}

static char *
make_path (BusValues *values)
{
  if (!bus_values_one_in (values, 5))
    return g_strdup (bus_values_path (values));
  const char *base = bus_values_path (values);
  return g_strdup_printf ("%s/%08x", base[1] == '\0' ? "" : base, g_rand_int (values->random));
}

static guint64
make_number (BusValues *values)
{
  static const guint64 ends[] = { 0,
                                  1,
                                  2,
                                  127,
                                  128,
                                  255,
                                  256,
                                  32767,
                                  32768,
                                  65535,
                                  65536,
                                  0x7fffffff,
                                  0x80000000,
                                  0xffffffff,
                                  0x7fffffffffffffff,
                                  0x8000000000000000,
                                  0xffffffffffffffff };
  if (bus_values_one_in (values, 2))
    return ends[bus_values_below (values, G_N_ELEMENTS (ends))];
  return (guint64)g_rand_int (values->random) << 32 | g_rand_int (values->random);
}

static double
make_double (BusValues *values)
{
  static const double ends[] = { 0, -0.0, 1, -1, 1e308, -1e308, 5e-324, G_MAXDOUBLE };
  switch (bus_values_below (values, 8))
    {
    case 0:
      return (double)INFINITY;
    case 1:
      return (double)NAN;
    default:
      return ends[bus_values_below (values, G_N_ELEMENTS (ends))];
    }
}

static gint32
make_handle (BusValues *values)
{
  if (values->fds > 0 && !bus_values_one_in (values, 3))
    return (gint32)bus_values_below (values, (guint)values->fds);
  static const gint32 bad[] = { -1, G_MININT32, G_MAXINT32, 1000 };
  const guint i = bus_values_below (values, G_N_ELEMENTS (bad) + 1);
  return i < G_N_ELEMENTS (bad) ? bad[i] : values->fds;
}

static const char *const plain_types[]
    = { "b", "y", "n", "q",  "i",  "u",  "x",     "t",    "d", "s",
        "o", "g", "h", "as", "ai", "ay", "a{sv}", "(sv)", "v" };

static GVariant *make (BusValues *values, const GVariantType *type, guint depth);

static GVariant *
make_variant (BusValues *values, guint depth)
{
  const guint n = depth > MAX_DEPTH ? 13 : G_N_ELEMENTS (plain_types);
  /* Now and then a chain of variants to the bottom. */
  const char *type = depth > 0 && depth <= MAX_DEPTH && bus_values_one_in (values, 3)
                         ? "v"
                         : plain_types[bus_values_below (values, n)];
  return g_variant_new_variant (make (values, G_VARIANT_TYPE (type), depth + 1));
}

static GVariant *
make_array (BusValues *values, const GVariantType *type, guint depth)
{
  GVariantBuilder builder;
  guint n = depth > MAX_DEPTH ? 0 : bus_values_below (values, 5);
  if (depth == 0 && bus_values_one_in (values, 200))
    n = 2000;
  g_variant_builder_init (&builder, type);
  while (n-- > 0)
    g_variant_builder_add_value (&builder, make (values, g_variant_type_element (type), depth + 1));
  return g_variant_builder_end (&builder);
}

/* Structs and the entries of dictionaries. */
static GVariant *
make_members (BusValues *values, const GVariantType *type, guint depth)
{
  GVariantBuilder builder;
  const GVariantType *member = g_variant_type_first (type);
  g_variant_builder_init (&builder, type);
  for (; member != NULL; member = g_variant_type_next (member))
    g_variant_builder_add_value (&builder, make (values, member, depth + 1));
  return g_variant_builder_end (&builder);
}

static GVariant *
make (BusValues *values, const GVariantType *type, guint depth)
{
  const char kind = *g_variant_type_peek_string (type);
  switch (kind)
    {
    case 'b':
      return g_variant_new_boolean (bus_values_one_in (values, 2));
    case 'y':
      return g_variant_new_byte ((guint8)make_number (values));
    case 'n':
      return g_variant_new_int16 ((gint16)make_number (values));
    case 'q':
      return g_variant_new_uint16 ((guint16)make_number (values));
    case 'i':
      return g_variant_new_int32 ((gint32)make_number (values));
    case 'u':
      return g_variant_new_uint32 ((guint32)make_number (values));
    case 'x':
      return g_variant_new_int64 ((gint64)make_number (values));
    case 't':
      return g_variant_new_uint64 (make_number (values));
    case 'd':
      return g_variant_new_double (make_double (values));
    case 'h':
      return g_variant_new_handle (make_handle (values));
    case 's':
      return g_variant_new_take_string (make_string (values));
    case 'o':
      {
        g_autofree char *path = make_path (values);
        return g_variant_new_object_path (path);
      }
    case 'g':
      return g_variant_new_signature (
          plain_types[bus_values_below (values, G_N_ELEMENTS (plain_types))]);
    case 'v':
      return make_variant (values, depth);
    case 'a':
      return make_array (values, type, depth);
    default:
      return make_members (values, type, depth);
    }
}

GVariant *
bus_values_make (BusValues *values, const GVariantType *type)
{
  return make (values, type, 0);
}

GVariant *
bus_values_any (BusValues *values)
{
  return make (values,
               G_VARIANT_TYPE (plain_types[bus_values_below (values, G_N_ELEMENTS (plain_types))]),
               0);
}
