/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Parameters and text: values from a command line or a pipeline file, defaults, and help for
 * people.
 */
#include "config.h"
#include <errno.h>
#include <string.h>
#include "sora-error.h"
#include "sora-file.h"
#include "sora-param-private.h"

char **
sora_param_split (const char *text)
{
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func (g_free);
  GString *item = g_string_new (NULL);
  for (const char *p = text; *p != '\0'; p++)
    {
      if (*p == '\\' && (p[1] == ',' || p[1] == '\\'))
        g_string_append_c (item, *++p);
      else if (*p == ',')
        {
          g_ptr_array_add (items, g_strdup (item->str));
          g_string_truncate (item, 0);
        }
      else
        g_string_append_c (item, *p);
    }
  if (*text != '\0')
    g_ptr_array_add (items, g_strdup (item->str));
  g_string_free (item, TRUE);
  g_ptr_array_add (items, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&items), FALSE);
}

static GVariant *
numbers_to_variant (double *numbers, gsize n)
{
  return g_variant_ref_sink (
      g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, numbers, n, sizeof (double)));
}

GVariant *
sora_param_default (const SoraParam *param)
{
  const char *text = param->str_default != NULL ? param->str_default : "";
  if (param->flags & SORA_PARAM_REQUIRED)
    return NULL;
  switch ((SoraParamType)param->type)
    {
    case SORA_PARAM_BOOL:
      return g_variant_ref_sink (g_variant_new_boolean (param->i64_default != 0));
    case SORA_PARAM_I64:
      return g_variant_ref_sink (g_variant_new_int64 (param->i64_default));
    case SORA_PARAM_F64:
      return g_variant_ref_sink (g_variant_new_double (param->f64_default));
    case SORA_PARAM_STRING:
    case SORA_PARAM_ENUM:
      return g_variant_ref_sink (g_variant_new_string (text));
    case SORA_PARAM_STRING_LIST:
      {
        g_auto (GStrv) items = sora_param_split (text);
        return g_variant_ref_sink (g_variant_new_strv ((const char *const *)items, -1));
      }
    case SORA_PARAM_F64_LIST:
      {
        g_auto (GStrv) items = sora_param_split (text);
        gsize n = g_strv_length (items);
        g_autofree double *numbers = g_new0 (double, n);
        for (gsize i = 0; i < n; i++)
          numbers[i] = g_ascii_strtod (items[i], NULL);
        return numbers_to_variant (numbers, n);
      }
    case SORA_PARAM_FILE:
      return g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, "", 0, 1));
    }
  return NULL;
}

static gboolean
parse_bool (const char *text, gboolean *value)
{
  static const char *const yes[] = { "true", "yes", "on", "1", NULL };
  static const char *const no[] = { "false", "no", "off", "0", NULL };
  *value = g_strv_contains (yes, text);
  return *value || g_strv_contains (no, text);
}

static gboolean
parse_i64 (const char *text, gint64 *value)
{
  char *end;
  errno = 0;
  *value = g_ascii_strtoll (text, &end, 10);
  return errno == 0 && end != text && *end == '\0' && !g_ascii_isspace (*text);
}

/* Decimal notation only: strtod's hexadecimals, infinities and NaNs are no values of any parameter.
 */
static gboolean
parse_f64 (const char *text, double *value)
{
  char *end;
  errno = 0;
  *value = g_ascii_strtod (text, &end);
  return end != text && *end == '\0' && strspn (text, "+-.0123456789eE") == strlen (text)
         && !(errno == ERANGE && *value != 0 && (*value > 1 || *value < -1));
}

static GVariant *
parse_numbers (const char *text)
{
  g_auto (GStrv) items = sora_param_split (text);
  gsize n = g_strv_length (items);
  g_autofree double *numbers = g_new0 (double, n);
  for (gsize i = 0; i < n; i++)
    if (!parse_f64 (items[i], &numbers[i]))
      return NULL;
  return numbers_to_variant (numbers, n);
}

static GVariant *
parse_file (const SoraParam *param, const char *who, const char *path, GError **error)
{
  g_autoptr (GBytes) bytes
      = sora_file_load (path, sora_param_max_bytes (param), SORA_ERROR_INVALID_REQUEST, error);
  if (bytes == NULL)
    {
      sora_error_prefix (error, "%s: ", who);
      return NULL;
    }
  return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE));
}

GVariant *
sora_param_parse (const SoraParam *param, const char *who, const char *text, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  gboolean boolean;
  gint64 integer;
  double number;
  const char *expected = NULL;
  /* Before a GVariant is made of it, which may hold UTF-8 alone; a path may be any bytes. */
  if (param->type != SORA_PARAM_FILE && !g_utf8_validate (text, -1, NULL))
    {
      sora_param_refuse (param, who, error, "is not valid UTF-8");
      return NULL;
    }
  switch ((SoraParamType)param->type)
    {
    case SORA_PARAM_BOOL:
      expected = "true or false";
      if (parse_bool (text, &boolean))
        value = g_variant_ref_sink (g_variant_new_boolean (boolean));
      break;
    case SORA_PARAM_I64:
      expected = "a whole number";
      if (parse_i64 (text, &integer))
        value = g_variant_ref_sink (g_variant_new_int64 (integer));
      break;
    case SORA_PARAM_F64:
      expected = "a number";
      if (parse_f64 (text, &number))
        value = g_variant_ref_sink (g_variant_new_double (number));
      break;
    case SORA_PARAM_STRING:
    case SORA_PARAM_ENUM:
      value = g_variant_ref_sink (g_variant_new_string (text));
      break;
    case SORA_PARAM_STRING_LIST:
      {
        g_auto (GStrv) items = sora_param_split (text);
        value = g_variant_ref_sink (g_variant_new_strv ((const char *const *)items, -1));
        break;
      }
    case SORA_PARAM_F64_LIST:
      expected = "numbers separated by commas";
      value = parse_numbers (text);
      break;
    case SORA_PARAM_FILE:
      value = parse_file (param, who, text, error);
      if (value == NULL)
        return NULL;
      break;
    }
  if (value == NULL)
    {
      sora_param_refuse (param, who, error, "is '%.60s', expected %s",
                         param->flags & SORA_PARAM_SECRET ? "(not shown)" : text,
                         expected != NULL ? expected : "a type that this program knows");
      return NULL;
    }
  return sora_param_check (param, who, value, error);
}

static void
describe_default (const SoraParam *param, GString *out)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  const char *given = param->str_default;
  const char *between = out->len > 0 ? "; " : "";
  if (param->flags & SORA_PARAM_REQUIRED)
    g_string_append_printf (out, "%srequired", between);
  else if (param->type == SORA_PARAM_BOOL)
    g_string_append_printf (out, "%sdefault %s", between, param->i64_default ? "true" : "false");
  else if (param->type == SORA_PARAM_I64)
    g_string_append_printf (out, "%sdefault %" G_GINT64_FORMAT, between,
                            (gint64)param->i64_default);
  else if (param->type == SORA_PARAM_F64)
    g_string_append_printf (out, "%sdefault %s", between,
                            g_ascii_formatd (text, sizeof text, "%.9g", param->f64_default));
  else if (param->type != SORA_PARAM_FILE && given != NULL && *given != '\0')
    g_string_append_printf (out, "%sdefault %s", between, given);
}

char *
sora_param_describe_range (const SoraParam *param)
{
  GString *out = g_string_new (NULL);
  char low[G_ASCII_DTOSTR_BUF_SIZE], high[G_ASCII_DTOSTR_BUF_SIZE];
  gboolean range = sora_param_has_range (param);
  if (range && param->type == SORA_PARAM_I64)
    g_string_append_printf (out, "%" G_GINT64_FORMAT "..%" G_GINT64_FORMAT, (gint64)param->i64_min,
                            (gint64)param->i64_max);
  else if (range)
    g_string_append_printf (out, "%s..%s",
                            g_ascii_formatd (low, sizeof low, "%.9g", param->f64_min),
                            g_ascii_formatd (high, sizeof high, "%.9g", param->f64_max));
  else if (param->type == SORA_PARAM_ENUM && param->choices != NULL)
    {
      g_autofree char *choices = g_strjoinv (", ", (char **)param->choices);
      g_string_append (out, choices);
    }
  if (param->unit != NULL)
    g_string_append_printf (out, "%s%s", out->len > 0 ? " " : "", param->unit);
  if (param->type == SORA_PARAM_I64 && param->i64_multiple > 1)
    g_string_append_printf (out, "%sa multiple of %" G_GINT64_FORMAT, out->len > 0 ? ", " : "",
                            (gint64)param->i64_multiple);
  describe_default (param, out);
  return g_string_free (out, out->len == 0);
}
