/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Configurations by jansson.  The error is sticky: after the first one, getters still give values
 * within their ranges, so that a reader needs one check at its end.
 */
#include "kit-config.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct SoraKitConfig
{
  json_t *root;
  char name[128];
  char error[512];
};

/* Python writes "-Infinity" (the default of DPM-Solver's lambda_min_clipped), which is no JSON:
 * null of the same length takes its place.  Returns: a copy, or %NULL without memory.  */
static char *
without_infinity (const char *json, size_t size)
{
  static const char word[] = "-Infinity";
  const size_t length = sizeof word - 1;
  char *text = malloc (size + 1);
  int quoted = 0;
  if (text == NULL)
    return NULL;
  if (size > 0)
    memcpy (text, json, size);
  for (size_t i = 0; i < size; i++)
    if (quoted && text[i] == '\\')
      i++;
    else if (text[i] == '"')
      quoted = !quoted;
    else if (!quoted && size - i >= length && memcmp (text + i, word, length) == 0)
      memcpy (text + i, "null     ", length);
  return text;
}

SoraKitConfig *
sora_kit_config_new (const void *data, size_t size, const char *name)
{
  SoraKitConfig *self = calloc (1, sizeof *self);
  if (self == NULL)
    return NULL;
  (void)snprintf (self->name, sizeof self->name, "%s", name);
  json_error_t error;
  char *text = without_infinity (data, data != NULL ? size : 0);
  if (text == NULL)
    {
      free (self);
      return NULL;
    }
  self->root = json_loadb (text, data != NULL ? size : 0, JSON_REJECT_DUPLICATES, &error);
  free (text);
  if (self->root == NULL)
    sora_kit_config_fail (self, "line %d, column %d: %s", error.line, error.column, error.text);
  else if (!json_is_object (self->root))
    sora_kit_config_fail (self, "is not a JSON object");
  return self;
}

void
sora_kit_config_free (SoraKitConfig *self)
{
  if (self == NULL)
    return;
  json_decref (self->root);
  free (self);
}

const char *
sora_kit_config_error (const SoraKitConfig *self)
{
  return self->error[0] != '\0' ? self->error : NULL;
}

void
sora_kit_config_fail (SoraKitConfig *self, const char *format, ...)
{
  if (self->error[0] != '\0')
    return;
  char reason[352];
  va_list args;
  va_start (args, format);
  (void)vsnprintf (reason, sizeof reason, format, args);
  va_end (args);
  (void)snprintf (self->error, sizeof self->error, "%s: %s", self->name, reason);
}

static const char *
type_name (const json_t *value)
{
  switch (json_typeof (value))
    {
    case JSON_OBJECT:
      return "an object";
    case JSON_ARRAY:
      return "an array";
    case JSON_STRING:
      return "a string";
    case JSON_INTEGER:
      return "an integer";
    case JSON_REAL:
      return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
      return "true or false";
    default:
      return "null";
    }
}

/* NULL for a key that is missing or null.  */
static json_t *
lookup (const SoraKitConfig *self, const char *key)
{
  json_t *value = json_object_get (self->root, key);
  return json_is_null (value) ? NULL : value;
}

int
sora_kit_config_has (const SoraKitConfig *self, const char *key)
{
  return lookup (self, key) != NULL;
}

static int64_t
checked_i64 (SoraKitConfig *self, const char *key, const json_t *value, int64_t min, int64_t max)
{
  if (!json_is_integer (value))
    sora_kit_config_fail (self, "'%s' is %s, expected an integer", key, type_name (value));
  else if (json_integer_value (value) < min || json_integer_value (value) > max)
    sora_kit_config_fail (self, "'%s' is %lld, expected %lld to %lld", key,
                          (long long)json_integer_value (value), (long long)min, (long long)max);
  else
    return json_integer_value (value);
  return min;
}

static double
checked_f64 (SoraKitConfig *self, const char *key, const json_t *value, double min, double max)
{
  double number = json_number_value (value);
  if (!json_is_number (value))
    sora_kit_config_fail (self, "'%s' is %s, expected a number", key, type_name (value));
  else if (!(number >= min && number <= max))
    sora_kit_config_fail (self, "'%s' is %g, expected %g to %g", key, number, min, max);
  else
    return number;
  return min;
}

int64_t
sora_kit_config_i64 (SoraKitConfig *self, const char *key, int64_t min, int64_t max)
{
  const json_t *value = lookup (self, key);
  if (value != NULL)
    return checked_i64 (self, key, value, min, max);
  sora_kit_config_fail (self, "'%s' is missing", key);
  return min;
}

int64_t
sora_kit_config_i64_or (SoraKitConfig *self, const char *key, int64_t min, int64_t max,
                        int64_t otherwise)
{
  const json_t *value = lookup (self, key);
  return value != NULL ? checked_i64 (self, key, value, min, max) : otherwise;
}

double
sora_kit_config_f64_or (SoraKitConfig *self, const char *key, double min, double max,
                        double otherwise)
{
  const json_t *value = lookup (self, key);
  return value != NULL ? checked_f64 (self, key, value, min, max) : otherwise;
}

int
sora_kit_config_bool_or (SoraKitConfig *self, const char *key, int otherwise)
{
  const json_t *value = lookup (self, key);
  if (value == NULL || json_is_boolean (value))
    return value != NULL ? json_is_true (value) : otherwise;
  sora_kit_config_fail (self, "'%s' is %s, expected true or false", key, type_name (value));
  return otherwise;
}

const char *
sora_kit_config_string_or (SoraKitConfig *self, const char *key, const char *otherwise)
{
  const json_t *value = lookup (self, key);
  if (value == NULL || json_is_string (value))
    return value != NULL ? json_string_value (value) : otherwise;
  sora_kit_config_fail (self, "'%s' is %s, expected a string", key, type_name (value));
  return otherwise;
}

int
sora_kit_config_enum_or (SoraKitConfig *self, const char *key, const char *const *names,
                         int otherwise)
{
  char expected[192] = "";
  const char *value = sora_kit_config_string_or (self, key, NULL);
  if (value == NULL)
    return otherwise;
  for (int i = 0; names[i] != NULL; i++)
    {
      size_t at = strlen (expected);
      if (strcmp (value, names[i]) == 0)
        return i;
      (void)snprintf (expected + at, sizeof expected - at, "%s'%s'", i > 0 ? " or " : "", names[i]);
    }
  sora_kit_config_fail (self, "'%s' is '%.64s', expected %s", key, value, expected);
  return otherwise;
}

void
sora_kit_config_each (SoraKitConfig *self,
                      void (*fn) (SoraKitConfig *config, const char *key, int is_no, void *data),
                      void *data)
{
  const char *key;
  json_t *value;
  json_object_foreach (self->root, key, value)
  {
    int is_no = json_is_null (value) || json_is_false (value)
                || (json_is_array (value) && json_array_size (value) == 0);
    fn (self, key, is_no, data);
  }
}

/* An array of so many entries; NULL if it is missing where it may be, or wrong.  */
static const json_t *
checked_array (SoraKitConfig *self, const char *key, int min_count, int max_count)
{
  const json_t *value = lookup (self, key);
  if (value == NULL)
    {
      if (min_count > 0)
        sora_kit_config_fail (self, "'%s' is missing", key);
      return NULL;
    }
  if (!json_is_array (value))
    sora_kit_config_fail (self, "'%s' is %s, expected an array", key, type_name (value));
  else if (json_array_size (value) < (size_t)min_count
           || json_array_size (value) > (size_t)max_count)
    sora_kit_config_fail (self, "'%s' has %zu entries, expected %d to %d", key,
                          json_array_size (value), min_count, max_count);
  else
    return value;
  return NULL;
}

int
sora_kit_config_i64s (SoraKitConfig *self, const char *key, int64_t *out, int min_count,
                      int max_count, int64_t min, int64_t max)
{
  const json_t *array = checked_array (self, key, min_count, max_count);
  int n = (int)json_array_size (array);
  for (int i = 0; i < n; i++)
    out[i] = checked_i64 (self, key, json_array_get (array, (size_t)i), min, max);
  return self->error[0] == '\0' ? n : 0;
}

int
sora_kit_config_f64s (SoraKitConfig *self, const char *key, double *out, int min_count,
                      int max_count, double min, double max)
{
  const json_t *array = checked_array (self, key, min_count, max_count);
  int n = (int)json_array_size (array);
  for (int i = 0; i < n; i++)
    out[i] = checked_f64 (self, key, json_array_get (array, (size_t)i), min, max);
  return self->error[0] == '\0' ? n : 0;
}

int
sora_kit_config_bools (SoraKitConfig *self, const char *key, int *out, int min_count, int max_count)
{
  const json_t *array = checked_array (self, key, min_count, max_count);
  int n = (int)json_array_size (array);
  for (int i = 0; i < n; i++)
    {
      const json_t *value = json_array_get (array, (size_t)i);
      if (!json_is_boolean (value))
        sora_kit_config_fail (self, "'%s' holds %s, expected true or false", key,
                              type_name (value));
      out[i] = json_is_true (value);
    }
  return self->error[0] == '\0' ? n : 0;
}
