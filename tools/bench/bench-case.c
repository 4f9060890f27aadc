/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The named shapes, and how each kind is run: warm, and as often as it is asked for.
 */
#include "config.h"
#include "bench-case-private.h"
#include "bench-shapes.h"
#include "sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Rows of text that a forward attends to: those of a usual prompt. */
#define TEXT_TOKENS 40
#define TEXT_PADDED 512

const BenchCase bench_cases[] = {
  { "dit-180", "transformer, 96x96, 17 frames", BENCH_DIT, { 5, 12, 12 }, 0 },
  { "dit-720",
    "transformer, 256x144, 17 frames",
    BENCH_DIT,
    { 5, 18, 32 },
    BENCH_USUAL | BENCH_QUICK },
  { "dit-1950",
    "transformer, 416x240, 17 frames",
    BENCH_DIT,
    { 5, 30, 52 },
    BENCH_USUAL | BENCH_QUICK },
  { "dit-3120",
    "transformer, 832x480, 5 frames",
    BENCH_DIT,
    { 2, 60, 104 },
    BENCH_USUAL | BENCH_QUICK },
  { "dit-8190", "transformer, 416x240, 81 frames", BENCH_DIT, { 21, 30, 52 }, 0 },
  { "dit-16380", "transformer, 624x320, 81 frames", BENCH_DIT, { 21, 40, 78 }, 0 },
  { "dit-32760", "transformer, 832x480, 81 frames", BENCH_DIT, { 21, 60, 104 }, 0 },
  { "vae-256x144x17", "decoder, 17 frames", BENCH_VAE, { 5, 18, 32 }, BENCH_USUAL | BENCH_QUICK },
  { "vae-416x240x17", "decoder, 17 frames", BENCH_VAE, { 5, 30, 52 }, BENCH_USUAL },
  { "vae-832x480x5", "decoder, 5 frames", BENCH_VAE, { 2, 60, 104 }, BENCH_USUAL },
  { "vae-832x480x81", "decoder, 81 frames", BENCH_VAE, { 21, 60, 104 }, 0 },
  { "tiny-416x240x17",
    "TAEHV's decoder, 17 frames",
    BENCH_TINY_VAE,
    { 5, 30, 52 },
    BENCH_USUAL | BENCH_QUICK },
  { "text-40", "UMT5-XXL, a prompt of 40 tokens", BENCH_TEXT, { 40 }, BENCH_USUAL | BENCH_QUICK },
  { "text-512",
    "UMT5-XXL, a prompt of 512 tokens",
    BENCH_TEXT,
    { 512 },
    BENCH_USUAL | BENCH_QUICK },
  { "embedded",
    "the embedded model's default request",
    BENCH_REQUEST,
    { 0 },
    BENCH_USUAL | BENCH_QUICK },
  { NULL, NULL, BENCH_DIT, { 0 }, 0 },
};

const BenchCase *
bench_case_find (const char *name)
{
  for (const BenchCase *c = bench_cases; c->name != NULL; c++)
    if (g_str_equal (c->name, name))
      return c;
  return NULL;
}

void
bench_result_free (BenchResult *result)
{
  g_free (result->name);
  g_free (result->precision);
  g_free (result);
}

/* ---- memory: the kernel's highest, begun anew */

void
bench_memory_begin (void)
{
  const int fd = open ("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  if (write (fd, "5", 1) != 1)
    g_debug ("the highest memory cannot be begun anew: %s", g_strerror (errno));
  close (fd);
}

guint64
bench_memory_end (void)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents ("/proc/self/status", &text, NULL, NULL))
    return 0;
  const char *line = strstr (text, "VmHWM:");
  return line != NULL ? g_ascii_strtoull (line + strlen ("VmHWM:"), NULL, 10) * 1024 : 0;
}

/* ---- what a model is, in numbers */

static gint64
number (BenchModel *model, const char *component, const char *key, gint64 otherwise)
{
  g_autofree char *name = g_strdup_printf ("%s/config.json", component);
  return bench_model_number (model, name, key, -1, otherwise);
}

BenchDit
bench_case_dit (BenchModel *model, gboolean all)
{
  const char *const t = "transformer";
  gint64 patch = 1;
  for (int i = 0; i < 3; i++)
    patch *= bench_model_number (model, "transformer/config.json", "patch_size", i, 1);
  return (BenchDit){
    .layers = all ? bench_model_blocks (model, t) : number (model, t, "num_layers", 0),
    .dim = number (model, t, "num_attention_heads", 0) * number (model, t, "attention_head_dim", 0),
    .ffn = number (model, t, "ffn_dim", 0),
    .text_dim = number (model, t, "text_dim", 0),
    .freq = number (model, t, "freq_dim", 256),
    .patch_in = number (model, t, "in_channels", 16) * patch,
    .patch_out = number (model, t, "out_channels", 16) * patch
  };
}

BenchVae
bench_case_vae (BenchModel *model)
{
  BenchVae vae = { .z = number (model, "vae", "z_dim", 16),
                   .base = number (model, "vae", "base_dim", 96),
                   .resnets = (int)number (model, "vae", "num_res_blocks", 2) + 1 };
  for (int i = 0; i < 8; i++)
    {
      vae.mult[i] = bench_model_number (model, "vae/config.json", "dim_mult", i, 0);
      vae.levels += vae.mult[i] > 0;
    }
  /* The file tells it of the encoder, from the pictures inwards. */
  for (int i = 0; i + 1 < vae.levels; i++)
    vae.upsamples_time[i] = (int)bench_model_number (model, "vae/config.json",
                                                     "temperal_downsample", vae.levels - 2 - i, 0);
  return vae;
}

BenchText
bench_case_text (BenchModel *model, gboolean all)
{
  const char *const t = "text_encoder";
  return (BenchText){ .layers
                      = all ? bench_model_blocks (model, t) : number (model, t, "num_layers", 0),
                      .dim = number (model, t, "d_model", 0),
                      .inner = number (model, t, "num_heads", 0) * number (model, t, "d_kv", 0),
                      .ff = number (model, t, "d_ff", 0) };
}

/* ---- running */

BenchStage *
bench_case_stage (const BenchSettings *settings, const char *plugin, BenchModel *model,
                  char **precision, GError **error)
{
  const SoraStageClass *klass
      = sora_registry_stage (settings->environment->registry, plugin, NULL, error);
  if (klass == NULL)
    return NULL;
  g_autoptr (BenchStage) stage = bench_stage_new (klass, model, settings->threads);
  g_clear_pointer (precision, g_free);
  if (!bench_stage_has_param (stage, "precision"))
    return g_steal_pointer (&stage);
  if (settings->precision != NULL
      && !bench_stage_set (stage, "precision", settings->precision, error))
    return NULL;
  *precision = bench_stage_get (stage, "precision");
  return g_steal_pointer (&stage);
}

void
bench_part_add (BenchPart *sum, const BenchPart *part)
{
  const double cpu = sum->cpu + part->cpu;
  sum->peak = cpu > 0 ? (sum->peak * sum->cpu + part->peak * part->cpu) / cpu : part->peak;
  sum->cpu = cpu;
  sum->wall += part->wall;
}

gboolean
bench_case_run_whole (BenchStage *stage, BenchPart *whole, GError **error)
{
  g_autoptr (GArray) parts = NULL;
  *whole = (BenchPart){ 0 };
  if (!bench_stage_run (stage, &parts, error))
    return FALSE;
  for (guint i = 0; i < parts->len; i++)
    bench_part_add (whole, &g_array_index (parts, BenchPart, i));
  return TRUE;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double
median (double *values, guint n)
{
  qsort (values, n, sizeof *values, compare);
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

BenchResult *
bench_case_result (const char *name, GArray *parts, double flops, double all_flops)
{
  const guint n = parts->len;
  g_autofree double *cpu = g_new (double, n), *wall = g_new (double, n),
                    *fraction = g_new (double, n), *peak = g_new (double, n);
  for (guint i = 0; i < n; i++)
    {
      const BenchPart *part = &g_array_index (parts, BenchPart, i);
      cpu[i] = part->cpu;
      wall[i] = part->wall;
      peak[i] = part->peak;
      fraction[i] = flops / part->cpu / part->peak;
    }
  BenchResult *result = g_new0 (BenchResult, 1);
  const double scale = all_flops / flops;
  result->name = g_strdup (name);
  result->cpu = median (cpu, n) * scale;
  result->wall = median (wall, n) * scale;
  result->flops = all_flops;
  result->fraction = median (fraction, n);
  result->peak = median (peak, n);
  result->lowest = fraction[0];
  result->highest = fraction[n - 1];
  return result;
}

static void
set_blocks (BenchResult *result, BenchModel *model, const char *component, gint64 run)
{
  result->blocks = (int)run;
  result->all_blocks = bench_model_blocks (model, component);
}

/* Forwards without guidance: the first one comes with the weights, the text's keys and new
 * primitives. */
static gboolean
run_dit (const BenchCase *what, const BenchSettings *settings, GPtrArray *results, GError **error)
{
  BenchModel *model = settings->model;
  g_autofree char *precision = NULL, *steps = g_strdup_printf ("%d", settings->repeat + 1);
  g_autoptr (BenchStage) stage = bench_case_stage (settings, "dit-wan", model, &precision, error);
  if (stage == NULL)
    return FALSE;
  const BenchDit dit = bench_case_dit (model, FALSE), all = bench_case_dit (model, TRUE);
  const gint64 text[] = { TEXT_TOKENS, dit.text_dim },
               latents[] = { number (model, "transformer", "in_channels", 16), what->shape[0],
                             what->shape[1], what->shape[2] };
  const gint64 tokens = what->shape[0] * what->shape[1] * what->shape[2] / 4;
  bench_stage_input (stage, "text", bench_tensor_new (2, text, 1));
  bench_stage_input_attr (stage, "text", "padded_length", TEXT_PADDED);
  bench_stage_input (stage, "latents", bench_tensor_new (4, latents, 2));
  g_autoptr (GArray) parts = NULL;
  if (!bench_stage_set (stage, "steps", steps, error)
      || !bench_stage_set (stage, "guidance-scale", "1", error)
      || !bench_stage_infer (stage, NULL, error) || !bench_stage_run (stage, &parts, error))
    return FALSE;
  if (parts->len != (guint)settings->repeat + 2)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "%s: %d steps were asked for, and %u made",
                   what->name, settings->repeat + 1, parts->len - 1);
      return FALSE;
    }
  const double first = g_array_index (parts, BenchPart, 0).cpu;
  /* What follows the last step is giving away the result. */
  g_array_remove_index (parts, parts->len - 1);
  g_array_remove_index (parts, 0);
  /* The text's padding is one more row. */
  BenchResult *result
      = bench_case_result (what->name, parts, bench_flops_dit (&dit, tokens, TEXT_TOKENS + 1),
                           bench_flops_dit (&all, tokens, TEXT_TOKENS + 1));
  result->load = MAX (first - g_array_index (parts, BenchPart, 0).cpu, 0);
  set_blocks (result, model, "transformer", dit.layers);
  result->precision = g_steal_pointer (&precision);
  g_ptr_array_add (results, result);
  return TRUE;
}

/* The weights come with a clip of one picture of 64 pixels. */
static gboolean
run_vae (const BenchCase *what, const BenchSettings *settings, GPtrArray *results, GError **error)
{
  const gboolean tiny = what->kind == BENCH_TINY_VAE;
  /* A TAEHV is no part of a model's folder. */
  g_autoptr (BenchModel) made = tiny ? bench_model_new_made (0) : NULL;
  BenchModel *model = tiny ? made : settings->model;
  g_autofree char *precision = NULL;
  g_autoptr (BenchStage) stage
      = bench_case_stage (settings, tiny ? "vae-tiny" : "vae-wan", model, &precision, error);
  if (stage == NULL)
    return FALSE;
  const BenchVae vae = bench_case_vae (model);
  static const gint64 widths[4] = { 256, 128, 64, 64 };
  const gint64 small[] = { vae.z, 1, 8, 8 },
               shape[] = { vae.z, what->shape[0], what->shape[1], what->shape[2] };
  g_autoptr (GArray) parts = g_array_new (FALSE, FALSE, sizeof (BenchPart));
  BenchPart load, part;
  bench_stage_input (stage, "latents", bench_tensor_new (4, small, 1));
  if (!bench_stage_infer (stage, NULL, error) || !bench_case_run_whole (stage, &load, error))
    return FALSE;
  bench_stage_input (stage, "latents", bench_tensor_new (4, shape, 2));
  if (!bench_stage_infer (stage, NULL, error))
    return FALSE;
  for (int i = 0; i < settings->repeat; i++)
    {
      if (!bench_case_run_whole (stage, &part, error))
        return FALSE;
      g_array_append_val (parts, part);
    }
  const double flops = tiny ? bench_flops_tiny (widths, shape[1], shape[2], shape[3])
                            : bench_flops_vae (&vae, shape[1], shape[2], shape[3]);
  BenchResult *result = bench_case_result (what->name, parts, flops, flops);
  result->load = load.cpu;
  result->precision = g_steal_pointer (&precision);
  g_ptr_array_add (results, result);
  return TRUE;
}

/* A prompt of so many tokens: words and the end mark. */
static gboolean
set_prompt (BenchStage *stage, gint64 tokens, GError **error)
{
  g_autoptr (GString) prompt = g_string_new ("a");
  for (gint64 i = 2; i < tokens; i++)
    g_string_append (prompt, " a");
  return bench_stage_set (stage, "prompt", prompt->str, error);
}

static gboolean
run_text (const BenchCase *what, const BenchSettings *settings, GPtrArray *results, GError **error)
{
  BenchModel *model = settings->model;
  g_autofree char *precision = NULL;
  g_autoptr (BenchStage) stage = bench_case_stage (settings, "text-umt5", model, &precision, error);
  g_autoptr (GArray) parts = g_array_new (FALSE, FALSE, sizeof (BenchPart));
  BenchPart load, part;
  if (stage == NULL || !set_prompt (stage, what->shape[0], error)
      || !bench_stage_infer (stage, NULL, error) || !bench_case_run_whole (stage, &load, error))
    return FALSE;
  for (int i = 0; i < settings->repeat; i++)
    {
      if (!bench_case_run_whole (stage, &part, error))
        return FALSE;
      g_array_append_val (parts, part);
    }
  SoraTensorView view = { .struct_size = sizeof view };
  SoraTensor *output = bench_stage_output (stage, "embedding");
  if (output != NULL)
    sora_tensor_get_view (output, &view);
  if (output == NULL || view.shape[0] != what->shape[0])
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED,
                   "%s: the tokenizer of '%s' makes %" G_GINT64_FORMAT
                   " tokens of the prompt, expected %" G_GINT64_FORMAT
                   ": leave out --model, or take one whose tokenizer knows the word 'a'",
                   what->name, bench_model_name (model), output != NULL ? view.shape[0] : 0,
                   what->shape[0]);
      return FALSE;
    }
  const BenchText text = bench_case_text (model, FALSE), all = bench_case_text (model, TRUE);
  /* The empty negative prompt is one token. */
  BenchResult *result = bench_case_result (
      what->name, parts, bench_flops_text (&text, what->shape[0]) + bench_flops_text (&text, 1),
      bench_flops_text (&all, what->shape[0]) + bench_flops_text (&all, 1));
  result->load = MAX (load.cpu - g_array_index (parts, BenchPart, 0).cpu, 0);
  set_blocks (result, model, "text_encoder", text.layers);
  result->precision = g_steal_pointer (&precision);
  g_ptr_array_add (results, result);
  return TRUE;
}

gboolean
bench_case_run (const BenchCase *what, const BenchSettings *settings, GPtrArray *results,
                GError **error)
{
  const guint before = results->len;
  gboolean ok = FALSE;
  bench_memory_begin ();
  switch (what->kind)
    {
    case BENCH_DIT:
      ok = run_dit (what, settings, results, error);
      break;
    case BENCH_VAE:
    case BENCH_TINY_VAE:
      ok = run_vae (what, settings, results, error);
      break;
    case BENCH_TEXT:
      ok = run_text (what, settings, results, error);
      break;
    case BENCH_REQUEST:
      ok = bench_case_request (what, settings, results, error);
      break;
    }
  const guint64 memory = bench_memory_end ();
  for (guint i = before; ok && i < results->len; i++)
    ((BenchResult *)results->pdata[i])->memory = memory;
  return ok;
}
