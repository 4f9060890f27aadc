/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Parameter values: checked against what a stage declares, and brought to one GVariant type each.
 */
#include "config.h"
#include <math.h>
#include <string.h>
#include "sora-error.h"
#include "sora-param-private.h"

static const struct
{
  const char *name;    /* in help texts */
  const char *expects; /* in messages */
} types[] = {
  [SORA_PARAM_BOOL] = { "boolean", "true or false" },
  [SORA_PARAM_I64] = { "integer", "a whole number" },
  [SORA_PARAM_F64] = { "number", "a number" },
  [SORA_PARAM_STRING] = { "text", "a text" },
  [SORA_PARAM_ENUM] = { "choice", "a text" },
  [SORA_PARAM_STRING_LIST] = { "list of texts", "a list of texts" },
  [SORA_PARAM_F64_LIST] = { "list of numbers", "a list of numbers" },
  [SORA_PARAM_FILE] = { "file", "the bytes of a file" },
};

/* Of a value that is printed for a message, which shows 60 characters. */
#define MAX_SHOWN_SIZE 4096u

const char *
sora_param_type_name (SoraParamType type)
{
  return (unsigned)type < G_N_ELEMENTS (types) ? types[type].name : NULL;
}

/* "min > max, or both 0, is no limit." */
gboolean
sora_param_has_range (const SoraParam *param)
{
  if (param->type == SORA_PARAM_I64)
    return param->i64_min <= param->i64_max && !(param->i64_min == 0 && param->i64_max == 0);
  if (param->type == SORA_PARAM_F64 || param->type == SORA_PARAM_F64_LIST)
    return param->f64_min <= param->f64_max && !(param->f64_min == 0 && param->f64_max == 0);
  return FALSE;
}

gsize
sora_param_max_bytes (const SoraParam *param)
{
  if (param->i64_max > 0)
    return (gsize)param->i64_max;
  return param->type == SORA_PARAM_FILE ? SORA_PARAM_MAX_FILE : SORA_PARAM_MAX_TEXT;
}

gboolean
sora_param_refuse (const SoraParam *param, const char *who, GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  sora_error_set (error, SORA_ERROR_INVALID_REQUEST, "%s %s", who, what);
  return FALSE;
}

/* The value as a message may show it: short, and not at all where it is a secret. */
static const char *
hide (const SoraParam *param, const char *text)
{
  return param->flags & SORA_PARAM_SECRET ? "(not shown)" : text;
}

static char *
show (const SoraParam *param, GVariant *value)
{
  if (param->flags & SORA_PARAM_SECRET)
    return g_strdup (hide (param, NULL));
  /* Printing takes several times the room of what is printed. */
  if (g_variant_get_size (value) > MAX_SHOWN_SIZE)
    return g_strdup_printf ("a value of %" G_GSIZE_FORMAT " bytes", g_variant_get_size (value));
  g_autofree char *text = g_variant_print (value, FALSE);
  if (g_utf8_strlen (text, -1) <= 60)
    return g_steal_pointer (&text);
  g_autofree char *start = g_utf8_substring (text, 0, 57);
  return g_strconcat (start, "...", NULL);
}

static gboolean
refuse_type (const SoraParam *param, const char *who, GVariant *value, GError **error)
{
  g_autofree char *text = show (param, value);
  return sora_param_refuse (param, who, error, "is %s, of type '%s'; expected %s", text,
                            g_variant_get_type_string (value), types[param->type].expects);
}

/* -1: not an integer; 0: does not fit into an int64; 1: *result is set. */
static int
get_integer (GVariant *value, gint64 *result)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BYTE:
      *result = g_variant_get_byte (value);
      return 1;
    case G_VARIANT_CLASS_INT16:
      *result = g_variant_get_int16 (value);
      return 1;
    case G_VARIANT_CLASS_UINT16:
      *result = g_variant_get_uint16 (value);
      return 1;
    case G_VARIANT_CLASS_INT32:
      *result = g_variant_get_int32 (value);
      return 1;
    case G_VARIANT_CLASS_UINT32:
      *result = g_variant_get_uint32 (value);
      return 1;
    case G_VARIANT_CLASS_INT64:
      *result = g_variant_get_int64 (value);
      return 1;
    case G_VARIANT_CLASS_UINT64:
      *result = (gint64)g_variant_get_uint64 (value);
      return g_variant_get_uint64 (value) <= G_MAXINT64;
    default:
      return -1;
    }
}

static gboolean
check_integer (const SoraParam *param, const char *who, gint64 value, GError **error)
{
  const char *unit = param->unit != NULL ? param->unit : "";
  const char *space = param->unit != NULL ? " " : "";
  g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, value);
  if (sora_param_has_range (param) && (value < param->i64_min || value > param->i64_max))
    return sora_param_refuse (
        param, who, error, "is %s, expected %" G_GINT64_FORMAT "..%" G_GINT64_FORMAT "%s%s",
        hide (param, text), (gint64)param->i64_min, (gint64)param->i64_max, space, unit);
  if (param->i64_multiple > 1 && value % param->i64_multiple != 0)
    {
      gint64 rest = value % param->i64_multiple;
      if (rest < 0)
        rest += param->i64_multiple;
      g_autofree char *hint = NULL;
      if ((param->flags & SORA_PARAM_SECRET) == 0 && value >= G_MININT64 + rest)
        hint = g_strdup_printf (": the next one below is %" G_GINT64_FORMAT, value - rest);
      return sora_param_refuse (
          param, who, error, "is %s, expected a multiple of %" G_GINT64_FORMAT "%s",
          hide (param, text), (gint64)param->i64_multiple, hint != NULL ? hint : "");
    }
  return TRUE;
}

static gboolean
check_number (const SoraParam *param, const char *who, double value, GError **error)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_formatd (text, sizeof text, "%.17g", value);
  if (!isfinite (value))
    return sora_param_refuse (param, who, error, "is %s, expected a finite number",
                              hide (param, text));
  if (sora_param_has_range (param) && (value < param->f64_min || value > param->f64_max))
    {
      char low[G_ASCII_DTOSTR_BUF_SIZE], high[G_ASCII_DTOSTR_BUF_SIZE];
      g_ascii_formatd (text, sizeof text, "%.9g", value);
      return sora_param_refuse (param, who, error, "is %s, expected %s..%s%s%s", hide (param, text),
                                g_ascii_formatd (low, sizeof low, "%.9g", param->f64_min),
                                g_ascii_formatd (high, sizeof high, "%.9g", param->f64_max),
                                param->unit != NULL ? " " : "",
                                param->unit != NULL ? param->unit : "");
    }
  return TRUE;
}

static gboolean
check_text (const SoraParam *param, const char *who, const char *text, GError **error)
{
  const char *bad;
  gsize length = strlen (text);
  if (length > sora_param_max_bytes (param))
    return sora_param_refuse (
        param, who, error, "is %" G_GSIZE_FORMAT " bytes long, expected at most %" G_GSIZE_FORMAT,
        length, sora_param_max_bytes (param));
  if (!g_utf8_validate (text, -1, &bad))
    return sora_param_refuse (param, who, error,
                              "is not valid UTF-8 from byte %" G_GSIZE_FORMAT " on",
                              (gsize)(bad - text));
  return TRUE;
}

static gboolean
check_choice (const SoraParam *param, const char *who, const char *text, GError **error)
{
  if (g_strv_contains (param->choices, text))
    return TRUE;
  g_autofree char *choices = g_strjoinv (", ", (char **)param->choices);
  g_autofree char *quoted = g_strdup_printf ("'%.60s'", text);
  return sora_param_refuse (param, who, error, "is %s, expected one of: %s", hide (param, quoted),
                            choices);
}

static gboolean
check_items (const SoraParam *param, const char *who, GVariant *value, const GVariantType *type,
             GError **error)
{
  if (!g_variant_is_of_type (value, type))
    return refuse_type (param, who, value, error);
  if (g_variant_n_children (value) <= SORA_PARAM_MAX_ITEMS)
    return TRUE;
  return sora_param_refuse (param, who, error, "has %" G_GSIZE_FORMAT " items, expected at most %u",
                            g_variant_n_children (value), SORA_PARAM_MAX_ITEMS);
}

static GVariant *
check_numbers (const SoraParam *param, const char *who, GVariant *value, GError **error)
{
  if (!check_items (param, who, value, G_VARIANT_TYPE_ARRAY, error))
    return NULL;
  gsize n = g_variant_n_children (value);
  g_autofree double *numbers = g_new0 (double, n);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) item = g_variant_get_child_value (value, i);
      gint64 integer;
      g_autofree char *name = g_strdup_printf ("%s, item %" G_GSIZE_FORMAT ",", who, i + 1);
      if (g_variant_is_of_type (item, G_VARIANT_TYPE_DOUBLE))
        numbers[i] = g_variant_get_double (item);
      else if (get_integer (item, &integer) == 1)
        numbers[i] = (double)integer;
      else
        {
          refuse_type (param, who, value, error);
          return NULL;
        }
      if (!check_number (param, name, numbers[i], error))
        return NULL;
    }
  return g_variant_ref_sink (
      g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, numbers, n, sizeof (double)));
}

static GVariant *
check_texts (const SoraParam *param, const char *who, GVariant *value, GError **error)
{
  if (!check_items (param, who, value, G_VARIANT_TYPE_STRING_ARRAY, error))
    return NULL;
  for (gsize i = 0; i < g_variant_n_children (value); i++)
    {
      const char *text;
      g_variant_get_child (value, i, "&s", &text);
      g_autofree char *name = g_strdup_printf ("%s, item %" G_GSIZE_FORMAT ",", who, i + 1);
      if (!check_text (param, name, text, error))
        return NULL;
    }
  return g_variant_ref (value);
}

static GVariant *
check_i64 (const SoraParam *param, const char *who, GVariant *value, GError **error)
{
  gint64 integer;
  int found = get_integer (value, &integer);
  if (found == 1)
    return check_integer (param, who, integer, error)
               ? g_variant_ref_sink (g_variant_new_int64 (integer))
               : NULL;
  if (found == 0)
    {
      g_autofree char *text = show (param, value);
      sora_param_refuse (param, who, error, "is %s, expected at most %" G_GINT64_FORMAT, text,
                         G_MAXINT64);
    }
  else
    refuse_type (param, who, value, error);
  return NULL;
}

static GVariant *
check_f64 (const SoraParam *param, const char *who, GVariant *value, GError **error)
{
  gint64 integer;
  double number;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    number = g_variant_get_double (value);
  else if (get_integer (value, &integer) == 1)
    number = (double)integer;
  else if (g_variant_is_of_type (value, G_VARIANT_TYPE_UINT64))
    number = (double)g_variant_get_uint64 (value);
  else
    {
      refuse_type (param, who, value, error);
      return NULL;
    }
  return check_number (param, who, number, error)
             ? g_variant_ref_sink (g_variant_new_double (number))
             : NULL;
}

static gboolean
check_file (const SoraParam *param, const char *who, GVariant *value, GError **error)
{
  if (g_variant_get_size (value) <= sora_param_max_bytes (param))
    return TRUE;
  return sora_param_refuse (param, who, error,
                            "is a file of %" G_GSIZE_FORMAT
                            " bytes, expected at most %" G_GSIZE_FORMAT,
                            g_variant_get_size (value), sora_param_max_bytes (param));
}

GVariant *
sora_param_check (const SoraParam *param, const char *who, GVariant *value, GError **error)
{
  static const GVariantType *const plain[] = {
    [SORA_PARAM_BOOL] = G_VARIANT_TYPE_BOOLEAN,
    [SORA_PARAM_STRING] = G_VARIANT_TYPE_STRING,
    [SORA_PARAM_ENUM] = G_VARIANT_TYPE_STRING,
    [SORA_PARAM_FILE] = G_VARIANT_TYPE_BYTESTRING,
  };
  if (param->type < G_N_ELEMENTS (plain) && plain[param->type] != NULL
      && !g_variant_is_of_type (value, plain[param->type]))
    {
      refuse_type (param, who, value, error);
      return NULL;
    }
  switch ((SoraParamType)param->type)
    {
    case SORA_PARAM_BOOL:
      return g_variant_ref (value);
    case SORA_PARAM_I64:
      return check_i64 (param, who, value, error);
    case SORA_PARAM_F64:
      return check_f64 (param, who, value, error);
    case SORA_PARAM_STRING:
      return check_text (param, who, g_variant_get_string (value, NULL), error)
                 ? g_variant_ref (value)
                 : NULL;
    case SORA_PARAM_ENUM:
      return check_choice (param, who, g_variant_get_string (value, NULL), error)
                 ? g_variant_ref (value)
                 : NULL;
    case SORA_PARAM_STRING_LIST:
      return check_texts (param, who, value, error);
    case SORA_PARAM_F64_LIST:
      return check_numbers (param, who, value, error);
    case SORA_PARAM_FILE:
      return check_file (param, who, value, error) ? g_variant_ref (value) : NULL;
    }
  sora_param_refuse (param, who, error, "has a type that this program does not know (%u)",
                     param->type);
  return NULL;
}
