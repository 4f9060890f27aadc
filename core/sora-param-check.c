/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The checks of a parameter's declaration: a type that there is, a range that holds its own
 * default, choices where there is something to choose.
 */
#include "config.h"
#include <math.h>
#include <string.h>
#include "sora-param.h"
#include "sora-plugin-check.h"

static gboolean
check_choices (const SoraCheck *check, const SoraParam *param, const char *what, GError **error)
{
  if (param->type != SORA_PARAM_ENUM)
    return param->choices == NULL
           || sora_check_refuse (check, error, "%s has choices, but is no SORA_PARAM_ENUM", what);
  if (param->choices == NULL || param->choices[0] == NULL)
    return sora_check_refuse (check, error, "%s is a SORA_PARAM_ENUM without choices", what);
  for (gsize i = 0; param->choices[i] != NULL; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s: choice %" G_GSIZE_FORMAT, what, i);
      if (i == SORA_CHECK_MAX_PARAMS)
        return sora_check_refuse (check, error,
                                  "%s has more than %u choices, or they do not end with NULL", what,
                                  SORA_CHECK_MAX_PARAMS);
      if (!sora_check_text (check, param->choices[i], name, error))
        return FALSE;
      for (gsize j = 0; j < i; j++)
        if (strcmp (param->choices[i], param->choices[j]) == 0)
          return sora_check_refuse (check, error, "%s has the choice '%s' twice", what,
                                    param->choices[i]);
    }
  return TRUE;
}

static gboolean
check_default (const SoraCheck *check, const SoraParam *param, const char *what, GError **error)
{
  g_autoptr (GError) local = NULL;
  /* A text becomes a GVariant only as UTF-8. */
  if (param->str_default != NULL && !g_utf8_validate (param->str_default, -1, NULL))
    return sora_check_refuse (check, error, "%s: its default is not valid UTF-8", what);
  g_autoptr (GVariant) value = sora_param_default (param);
  if (value == NULL)
    return TRUE;
  g_autoptr (GVariant) checked = sora_param_check (param, "its default", value, &local);
  return checked != NULL || sora_check_refuse (check, error, "%s: %s", what, local->message);
}

gboolean
sora_check_param (const SoraCheck *check, const SoraParam *param, const char *stage, gsize index,
                  GError **error)
{
  g_autofree char *place = g_strdup_printf ("stage '%s', parameter %" G_GSIZE_FORMAT, stage, index);
  const guint known = SORA_PARAM_LOAD | SORA_PARAM_REQUIRED | SORA_PARAM_SECRET;
  if (param->struct_size < SORA_SIZE_1_0 (SoraParam, i64_multiple))
    return sora_check_refuse (
        check, error, "%s: struct_size is %u, shorter than the %" G_GSIZE_FORMAT " of ABI 1.0",
        place, param->struct_size, SORA_SIZE_1_0 (SoraParam, i64_multiple));
  g_autofree char *name_is = g_strdup_printf ("%s: its name", place);
  if (!sora_check_text (check, param->name, name_is, error))
    return FALSE;
  g_autofree char *what = g_strdup_printf ("stage '%s', parameter '%.80s'", stage, param->name);
  g_autofree char *help = g_strdup_printf ("%s: its help", what);
  g_autofree char *unit = g_strdup_printf ("%s: its unit", what);
  if (!sora_name_is_valid (param->name))
    return sora_check_refuse (check, error, "%s: not a name, expected letters, digits, '-' and '_'",
                              what);
  if (!sora_check_text (check, param->help, help, error)
      || (param->unit != NULL && !sora_check_text (check, param->unit, unit, error)))
    return FALSE;
  if (param->type < SORA_PARAM_BOOL || param->type > SORA_PARAM_FILE)
    return sora_check_refuse (check, error, "%s has type %u, expected a SoraParamType (%d..%d)",
                              what, param->type, SORA_PARAM_BOOL, SORA_PARAM_FILE);
  if ((param->flags & ~known) != 0 && !check->newer)
    return sora_check_refuse (check, error, "%s has unknown flags 0x%x", what,
                              param->flags & ~known);
  if (!isfinite (param->f64_default) || !isfinite (param->f64_min) || !isfinite (param->f64_max))
    return sora_check_refuse (check, error, "%s: its default or range is not a finite number",
                              what);
  if (param->i64_multiple < 0)
    return sora_check_refuse (check, error,
                              "%s: i64_multiple is %" G_GINT64_FORMAT ", expected 0 or more", what,
                              (gint64)param->i64_multiple);
  return check_choices (check, param, what, error) && check_default (check, param, what, error);
}
