/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * parity.c: what the parity tests share.  Stages are run as `soractl stage run` runs them.
 */
#include "parity.h"

#include <check.h>
#include <math.h>
#include <string.h>

#define COSINE 0.99999

/* ------------------------------------------------------------------------------------ sets -- */

ParitySet *
parity_set_open (const char *folder, const char *model_folder)
{
  g_autofree char *path = g_build_filename (folder, "index.json", NULL);
  const char *const plugins[] = { SORA_TEST_PLUGINS, NULL };
  const char *const none[] = { NULL };
  json_error_t error;
  ParitySet *set;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return NULL;
  set = g_new0 (ParitySet, 1);
  set->folder = g_strdup (folder);
  set->model_folder = g_strdup (model_folder);
  set->root = json_load_file (path, 0, &error);
  ck_assert_msg (set->root != NULL, "%s: line %d: %s", path, error.line, error.text);
  set->cases = json_object_get (set->root, "cases");
  ck_assert (json_is_array (set->cases));
  set->files = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                      (GDestroyNotify)sora_safetensors_unref);
  set->environment = sora_environment_new_for_dirs (plugins, none, none);
  return set;
}

void
parity_set_close (ParitySet *set)
{
  g_free (set->folder);
  g_free (set->model_folder);
  json_decref (set->root);
  g_hash_table_unref (set->files);
  sora_environment_free (set->environment);
  g_free (set);
}

const char *
parity_case_string (json_t *item, const char *key)
{
  const char *value = json_string_value (json_object_get (item, key));

  ck_assert_msg (value != NULL, "a case without '%s'", key);
  return value;
}

char *
parity_case_model (ParitySet *set, json_t *item)
{
  if (set->model_folder != NULL)
    return g_strdup (set->model_folder);
  return g_build_filename (set->folder, "models", parity_case_string (item, "model"), NULL);
}

SoraTensor *
parity_case_tensor (ParitySet *set, json_t *item, const char *part, const char *name)
{
  const char *key = json_string_value (json_object_get (json_object_get (item, part), name));
  const char *colon = key != NULL ? strchr (key, ':') : NULL; /* "file:key" */
  g_autofree char *file_name = colon != NULL ? g_strndup (key, (gsize)(colon - key))
                                             : g_strdup (parity_case_string (item, "file"));
  SoraSafetensors *file = g_hash_table_lookup (set->files, file_name);
  g_autoptr (GError) error = NULL;
  SoraTensor *tensor;

  if (key == NULL)
    return NULL;
  key = colon != NULL ? colon + 1 : key;
  if (file == NULL)
    {
      g_autofree char *path = g_build_filename (set->folder, file_name, NULL);

      file = sora_safetensors_open (path, &error);
      ck_assert_msg (file != NULL, "%s", error != NULL ? error->message : path);
      g_hash_table_insert (set->files, g_strdup (file_name), file);
    }
  tensor = sora_safetensors_load (file, key, &error);
  ck_assert_msg (tensor != NULL, "%s: %s", key, error != NULL ? error->message : "?");
  return tensor;
}

/* ---------------------------------------------------------------------------------- stages -- */

static void
unref_variant (gpointer value)
{
  g_variant_unref (value);
}

ParityStage *
parity_stage_new (const char *plugin, const char *model)
{
  ParityStage *stage = g_new0 (ParityStage, 1);

  stage->plugin = plugin;
  stage->model = model;
  stage->params = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, unref_variant);
  stage->inputs
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)sora_tensor_unref);
  stage->attrs
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_hash_table_unref);
  return stage;
}

void
parity_stage_free (ParityStage *stage)
{
  g_hash_table_unref (stage->params);
  g_hash_table_unref (stage->inputs);
  g_hash_table_unref (stage->attrs);
  g_free (stage);
}

void
parity_stage_set (ParityStage *stage, const char *name, GVariant *value)
{
  g_hash_table_insert (stage->params, g_strdup (name), g_variant_ref_sink (value));
}

void
parity_stage_input (ParityStage *stage, const char *port, SoraTensor *tensor, gint64 padded)
{
  GHashTable *attrs;

  g_hash_table_insert (stage->inputs, g_strdup (port), tensor);
  if (padded <= 0)
    return;
  attrs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, unref_variant);
  g_hash_table_insert (attrs, g_strdup ("padded_length"),
                       g_variant_ref_sink (g_variant_new_int64 (padded)));
  g_hash_table_insert (stage->attrs, g_strdup (port), attrs);
}

void
parity_stage_run (ParityStage *stage, ParitySet *set, const char *const *ports,
                  SoraTensor **tensors)
{
  g_autoptr (SoraRequest) request = sora_request_new (NULL);
  g_autoptr (SoraPlan) plan = NULL;
  g_autoptr (SoraRunner) runner = NULL;
  g_autoptr (GError) error = NULL;
  GHashTableIter iter;
  gpointer name, value;
  gboolean good;

  g_hash_table_iter_init (&iter, stage->params);
  while (g_hash_table_iter_next (&iter, &name, &value))
    sora_request_set_param (request, name, value);
  g_hash_table_insert (request->models, g_strdup (""), g_strdup (stage->model));
  request->has_seed = TRUE;
  request->seed = stage->seed;
  request->threads = stage->threads;
  plan = sora_plan_new_for_stage (set->environment, stage->plugin, request, stage->inputs,
                                  stage->attrs, &error);
  ck_assert_msg (plan != NULL, "%s: %s", stage->plugin, error != NULL ? error->message : "no plan");
  runner = sora_runner_new (plan, NULL, NULL, NULL, NULL);
  good = sora_runner_run (runner, &error);
  ck_assert_msg (good, "%s: %s", stage->plugin, error != NULL ? error->message : "failed");
  for (int i = 0; ports[i] != NULL; i++)
    {
      tensors[i] = sora_runner_get_output (runner, ports[i]);
      ck_assert_msg (tensors[i] != NULL, "%s: nothing came out of '%s'", stage->plugin, ports[i]);
    }
}

/* -------------------------------------------------------------------------------- distance -- */

static double
value_at (const SoraTensorView *view, uint64_t i)
{
  switch (view->dtype)
    {
    case SORA_F32:
      return (double)((const float *)view->data)[i];
    case SORA_U8:
      return (double)((const uint8_t *)view->data)[i];
    case SORA_I64:
      return (double)((const int64_t *)view->data)[i];
    default:
      ck_abort_msg ("a tensor of the type %s", sora_dtype_name ((SoraDtype)view->dtype));
    }
}

ParityDistance
parity_distance (SoraTensor *a, SoraTensor *b, const char *what)
{
  SoraTensorView va = { .struct_size = sizeof va }, vb = { .struct_size = sizeof vb };
  double worst = 0, largest = 0, sum = 0, aa = 0, bb = 0, ab = 0;
  uint64_t n;

  sora_tensor_get_view (a, &va);
  sora_tensor_get_view (b, &vb);
  if (va.dtype != vb.dtype || va.ndim != vb.ndim
      || memcmp (va.shape, vb.shape, (size_t)va.ndim * sizeof *va.shape) != 0)
    {
      g_autofree char *sa = sora_shape_to_string (va.ndim, va.shape);
      g_autofree char *sb = sora_shape_to_string (vb.ndim, vb.shape);

      ck_abort_msg ("%s is %s %s, expected %s %s", what, sora_dtype_name ((SoraDtype)va.dtype), sa,
                    sora_dtype_name ((SoraDtype)vb.dtype), sb);
    }
  n = va.nbytes / sora_dtype_size ((SoraDtype)va.dtype);
  for (uint64_t i = 0; i < n; i++)
    {
      double x = value_at (&va, i), y = value_at (&vb, i), d = fabs (x - y);

      worst = isnan (d) ? INFINITY : fmax (worst, d);
      largest = fmax (largest, fabs (y));
      sum += d;
      aa += x * x;
      bb += y * y;
      ab += x * y;
    }
  return (ParityDistance){ .error = largest > 0 ? worst / largest : worst,
                           .cosine = aa > 0 && bb > 0 ? ab / sqrt (aa * bb) : aa == bb,
                           .mean = sum / (double)n };
}

void
parity_check (const char *kind, const char *model, const char *name, SoraTensor *a, SoraTensor *b,
              double tolerance)
{
  g_autofree char *what = g_strdup_printf ("%s of %s, %s", kind, model, name);
  ParityDistance d = parity_distance (a, b, what);

  printf ("%-10s %-9s %-28s %9.2e %9.2e %9.0e\n", kind, model, name, d.error, 1 - d.cosine,
          tolerance);
  ck_assert_msg (d.error <= tolerance, "%s: error %g, at most %g is promised", what, d.error,
                 tolerance);
  ck_assert_msg (d.cosine >= COSINE, "%s: cosine %.8f, at least %.5f is promised", what, d.cosine,
                 COSINE);
}
