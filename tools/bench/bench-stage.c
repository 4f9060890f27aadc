/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See bench-stage.h: the stage's life.  What it may ask of the host is in bench-host.c.
 */
#include "config.h"
#include "bench-stage-private.h"
#include "sora-error.h"
#include "sora-param.h"
#include <math.h>

static void
input_free (gpointer data)
{
  Input *input = data;
  sora_tensor_unref (input->tensor);
  g_hash_table_unref (input->attrs);
  g_free (input);
}

Input *
bench_input (SoraContext *ctx, const char *port)
{
  Input *input = g_hash_table_lookup (ctx->inputs, port);
  if (input == NULL)
    {
      input = g_new0 (Input, 1);
      input->attrs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
      g_hash_table_insert (ctx->inputs, g_strdup (port), input);
    }
  return input;
}

BenchStage *
bench_stage_new (const SoraStageClass *klass, BenchModel *model, int threads)
{
  BenchStage *stage = g_new0 (BenchStage, 1);
  SoraContext *ctx = &stage->ctx;
  stage->host = bench_host;
  ctx->klass = klass;
  ctx->model = model;
  ctx->threads = threads;
  ctx->params
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  ctx->defaults
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_variant_unref);
  ctx->inputs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, input_free);
  ctx->outputs
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)sora_tensor_unref);
  ctx->out_attrs
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_hash_table_unref);
  ctx->files
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
  ctx->kept = g_ptr_array_new_with_free_func (g_free);
  for (const SoraParam *const *p = klass->params; p != NULL && *p != NULL; p++)
    {
      GVariant *value = sora_param_default (*p);
      if (value != NULL)
        g_hash_table_insert (ctx->defaults, g_strdup ((*p)->name), value);
    }
  return stage;
}

void
bench_stage_free (BenchStage *stage)
{
  if (stage == NULL)
    return;
  SoraContext *ctx = &stage->ctx;
  if (stage->created && ctx->klass->release != NULL)
    ctx->klass->release (&stage->host, stage->instance);
  if (stage->created && ctx->klass->destroy != NULL)
    ctx->klass->destroy (&stage->host, stage->instance);
  g_hash_table_unref (ctx->params);
  g_hash_table_unref (ctx->defaults);
  g_hash_table_unref (ctx->inputs);
  g_hash_table_unref (ctx->outputs);
  g_hash_table_unref (ctx->out_attrs);
  g_hash_table_unref (ctx->files);
  g_ptr_array_unref (ctx->kept);
  g_free (ctx->error);
  g_free (stage);
}

static const SoraParam *
find_param (const BenchStage *stage, const char *name)
{
  for (const SoraParam *const *p = stage->ctx.klass->params; p != NULL && *p != NULL; p++)
    if (g_str_equal ((*p)->name, name))
      return *p;
  return NULL;
}

gboolean
bench_stage_has_param (const BenchStage *stage, const char *name)
{
  return find_param (stage, name) != NULL;
}

gboolean
bench_stage_set (BenchStage *stage, const char *name, const char *text, GError **error)
{
  const SoraParam *param = find_param (stage, name);
  g_autofree char *who = g_strdup_printf ("stage '%s': parameter '%s'", stage->ctx.klass->id, name);
  if (param == NULL)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "stage '%s' has no parameter '%s'", stage->ctx.klass->id, name);
      return FALSE;
    }
  GVariant *value = sora_param_parse (param, who, text, error);
  if (value == NULL)
    return FALSE;
  g_hash_table_insert (stage->ctx.params, g_strdup (name), value);
  return TRUE;
}

static GVariant *
value_of (const BenchStage *stage, const char *name)
{
  GVariant *value = g_hash_table_lookup (stage->ctx.params, name);
  return value != NULL ? value : g_hash_table_lookup (stage->ctx.defaults, name);
}

char *
bench_stage_get (const BenchStage *stage, const char *name)
{
  GVariant *value = value_of (stage, name);
  return value != NULL ? g_variant_dup_string (value, NULL) : NULL;
}

gint64
bench_stage_get_i64 (const BenchStage *stage, const char *name)
{
  GVariant *value = value_of (stage, name);
  return value != NULL ? g_variant_get_int64 (value) : 0;
}

void
bench_stage_input (BenchStage *stage, const char *port, SoraTensor *tensor)
{
  Input *input = bench_input (&stage->ctx, port);
  sora_tensor_unref (input->tensor);
  input->tensor = tensor;
}

void
bench_stage_input_attr (BenchStage *stage, const char *port, const char *name, gint64 value)
{
  Input *input = bench_input (&stage->ctx, port);
  g_hash_table_insert (input->attrs, g_strdup (name), g_memdup2 (&value, sizeof value));
}

static gboolean
fail (BenchStage *stage, const char *what, int result, GError **error)
{
  SoraContext *ctx = &stage->ctx;
  if (ctx->error != NULL)
    g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "stage '%s': %s", ctx->klass->id,
                 ctx->error);
  else
    g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "stage '%s': %s gave %d and no reason",
                 ctx->klass->id, what, result);
  g_clear_pointer (&ctx->error, g_free);
  return FALSE;
}

gboolean
bench_stage_infer (BenchStage *stage, SoraCost *cost, GError **error)
{
  SoraContext *ctx = &stage->ctx;
  g_hash_table_remove_all (ctx->out_attrs);
  ctx->cost = (SoraCost){ .struct_size = sizeof ctx->cost };
  const int result = ctx->klass->infer (&stage->host, ctx);
  if (result != SORA_OK)
    return fail (stage, "infer", result, error);
  if (cost != NULL)
    *cost = ctx->cost;
  return TRUE;
}

gboolean
bench_stage_run (BenchStage *stage, GArray **parts, GError **error)
{
  SoraContext *ctx = &stage->ctx;
  GHashTableIter iter;
  gpointer value;
  int result = SORA_OK;
  if (!stage->created && ctx->klass->create != NULL)
    result = ctx->klass->create (&stage->host, ctx, &stage->instance);
  if (result != SORA_OK)
    return fail (stage, "create", result, error);
  stage->created = TRUE;
  g_hash_table_remove_all (ctx->outputs);
  g_hash_table_iter_init (&iter, ctx->inputs);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    ((Input *)value)->pulled = FALSE;
  ctx->step = 0;
  ctx->thread = g_thread_self ();
  ctx->measuring = TRUE;
  bench_meter_begin (&ctx->meter, ctx->threads);
  result = ctx->klass->run (&stage->host, ctx, stage->instance);
  *parts = bench_meter_end (&ctx->meter);
  ctx->measuring = FALSE;
  g_ptr_array_set_size (ctx->kept, 0);
  if (result == SORA_OK)
    return TRUE;
  g_clear_pointer (parts, g_array_unref);
  return fail (stage, "run", result, error);
}

SoraTensor *
bench_stage_output (BenchStage *stage, const char *port)
{
  return g_hash_table_lookup (stage->ctx.outputs, port);
}

gboolean
bench_stage_pass (BenchStage *from, const char *output, BenchStage *to, const char *input)
{
  SoraTensor *tensor = bench_stage_output (from, output);
  GHashTable *attrs = g_hash_table_lookup (from->ctx.out_attrs, output);
  GHashTableIter iter;
  gpointer name, value;
  if (tensor == NULL)
    return FALSE;
  bench_stage_input (to, input, sora_tensor_ref (tensor));
  if (attrs == NULL)
    return TRUE;
  g_hash_table_iter_init (&iter, attrs);
  while (g_hash_table_iter_next (&iter, &name, &value))
    bench_stage_input_attr (to, input, name, *(const gint64 *)value);
  return TRUE;
}

SoraTensor *
bench_tensor_new (int ndim, const gint64 *shape, guint64 seed)
{
  SoraTensor *tensor = sora_tensor_new (SORA_F32, ndim, shape, NULL);
  SoraTensorView view = { .struct_size = sizeof view };
  if (tensor == NULL)
    return NULL;
  sora_tensor_get_view (tensor, &view);
  g_autoptr (GRand) random = g_rand_new_with_seed ((guint32)seed);
  float *data = view.data;
  for (gsize i = 0; i < view.nbytes / sizeof *data; i++)
    /* Box and Muller's. */
    data[i] = (float)(sqrt (-2 * log (1 - g_rand_double (random)))
                      * cos (6.283185307179586 * g_rand_double (random)));
  return tensor;
}
