/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Options, peaks, and the cases one after the other, all on one thread with the stack that stages
 * are promised.
 */
#define _GNU_SOURCE
#include "config.h"
#include "bench.h"
#include "bench-report.h"
#include "sora-error.h"
#include "sora-request.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define STACK_SIZE ((gsize)256 << 20)
#define READ_BYTES ((gsize)256 << 20) /* more than the caches hold */
#define QUICK_BLOCKS 2
#define MAX_REPEAT 100
#define MAX_BLOCKS 1000

typedef struct
{
  const BenchOptions *options;
  GPtrArray *cases;   /* of const BenchCase */
  GPtrArray *results; /* of BenchResult */
  BenchMachine machine;
  BenchSettings settings;
  GError *error;
} Bench;

GOptionEntry *
bench_option_entries (BenchOptions *options)
{
  const GOptionEntry entries[] = {
    { "list", 'l', 0, G_OPTION_ARG_NONE, &options->list, "List the cases, and measure nothing",
      NULL },
    { "quick", 0, 0, G_OPTION_ARG_NONE, &options->quick,
      "Fewer cases, two blocks of large models, measured once", NULL },
    { "model", 'm', 0, G_OPTION_ARG_FILENAME, &options->model,
      "Take the weights of the named shapes from this model (random ones, made in memory)",
      "MODEL" },
    { "precision", 0, 0, G_OPTION_ARG_STRING, &options->precision,
      "Of stages that know several: exact or fast (their default)", "NAME" },
    { "blocks", 0, 0, G_OPTION_ARG_INT, &options->blocks,
      "Run so many blocks of transformer and text encoder, and scale times to all (all)", "N" },
    { "repeat", 0, 0, G_OPTION_ARG_INT, &options->repeat, "Measure each case so often (2)", "N" },
    { "threads", 0, 0, G_OPTION_ARG_INT, &options->threads, "Threads to compute with (all cores)",
      "N" },
    G_OPTION_ENTRY_NULL,
  };
  return g_memdup2 (entries, sizeof entries);
}

void
bench_options_clear (BenchOptions *options)
{
  g_clear_pointer (&options->model, g_free);
  g_clear_pointer (&options->precision, g_free);
}

static int
count_cores (void)
{
  cpu_set_t set;
  CPU_ZERO (&set);
  /* More cores than a cpu_set_t holds: all online ones. */
  return sched_getaffinity (0, sizeof set, &set) == 0 ? MAX (CPU_COUNT (&set), 1)
                                                      : (int)g_get_num_processors ();
}

static char *
cpu_name (void)
{
  g_autofree char *text = NULL;
  if (g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL))
    {
      const char *line = strstr (text, "model name"),
                 *colon = line != NULL ? strchr (line, ':') : NULL;
      const char *end = colon != NULL ? strchr (colon, '\n') : NULL;
      if (end != NULL)
        return g_strstrip (g_strndup (colon + 1, (gsize)(end - colon - 1)));
    }
  return g_strdup ("a processor without a name");
}

/* ---- on the thread with the large stack */

static gpointer
work (gpointer data)
{
  Bench *bench = data;
  const BenchOptions *options = bench->options;
  BenchMachine *machine = &bench->machine;
  const double seconds = options->quick ? 0.3 : 1;
  const gboolean tell = !options->quiet && !options->json;
  machine->fma = bench_peak_fma (machine->threads, seconds);
  (void)bench_peak_block (machine->threads, seconds, &machine->block);
  (void)bench_peak_int8 (machine->threads, seconds, &machine->int8);
  (void)bench_peak_read (machine->threads, READ_BYTES, seconds, &machine->read);
  for (guint i = 0; i < bench->cases->len; i++)
    {
      const BenchCase *what = bench->cases->pdata[i];
      if (tell)
        fprintf (stderr, "%s: %s: %s\n", g_get_prgname (), what->name, what->summary);
      if (!bench_case_run (what, &bench->settings, bench->results, &bench->error))
        return NULL;
    }
  return NULL;
}

static gboolean
run_on_thread (Bench *bench, GError **error)
{
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init (&attributes);
  pthread_attr_setstacksize (&attributes, STACK_SIZE);
  const int result = pthread_create (&thread, &attributes, work, bench);
  pthread_attr_destroy (&attributes);
  if (result != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_NO_MEMORY, "no thread can be started: %s",
                   g_strerror (result));
      return FALSE;
    }
  pthread_join (thread, NULL);
  if (bench->error == NULL)
    return TRUE;
  g_propagate_error (error, bench->error);
  return FALSE;
}

/* ---- what to do */

static gboolean
check_range (const char *option, gint value, gint most, GError **error)
{
  if (value >= 0 && value <= most)
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST, "option --%s is %d, expected 1 to %d",
               option, value, most);
  return FALSE;
}

static gboolean
choose_cases (const BenchOptions *options, GPtrArray *cases, GError **error)
{
  const guint wanted = options->quick ? BENCH_QUICK : BENCH_USUAL;
  if (options->cases == NULL || options->cases[0] == NULL)
    for (const BenchCase *c = bench_cases; c->name != NULL; c++)
      if (c->flags & wanted)
        g_ptr_array_add (cases, (gpointer)c);
  for (char **name = options->cases; name != NULL && *name != NULL; name++)
    {
      const BenchCase *found = bench_case_find (*name);
      /* Of the peaks alone. */
      if (found == NULL && g_str_equal (*name, "peaks"))
        continue;
      if (found == NULL)
        {
          g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                       "there is no case '%s'; --list tells which there are, and 'soractl bench "
                       "--request' times a prompt",
                       *name);
          return FALSE;
        }
      g_ptr_array_add (cases, (gpointer)found);
    }
  return TRUE;
}

gboolean
bench_main (const BenchOptions *options, gboolean *usage, GError **error)
{
  g_autoptr (GPtrArray) cases = g_ptr_array_new ();
  g_autoptr (GPtrArray) results
      = g_ptr_array_new_with_free_func ((GDestroyNotify)bench_result_free);
  *usage = TRUE;
  if (!check_range ("threads", options->threads, (gint)SORA_REQUEST_MAX_THREADS, error)
      || !check_range ("repeat", options->repeat, MAX_REPEAT, error)
      || !check_range ("blocks", options->blocks, MAX_BLOCKS, error)
      || !choose_cases (options, cases, error))
    return FALSE;
  if (options->precision != NULL && !g_str_equal (options->precision, "exact")
      && !g_str_equal (options->precision, "fast"))
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_REQUEST,
                   "option --precision is '%s', expected exact or fast", options->precision);
      return FALSE;
    }
  *usage = FALSE;
  if (options->list)
    {
      bench_report_list (options->json);
      return TRUE;
    }
  const int blocks = options->blocks > 0 ? options->blocks : options->quick ? QUICK_BLOCKS : 0;
  g_autoptr (BenchModel) model = options->model != NULL
                                     ? bench_model_new_folder (options->model, blocks, error)
                                     : bench_model_new_made (blocks);
  if (model == NULL)
    return FALSE;
  g_autoptr (SoraEnvironment) environment = sora_environment_new (TRUE);
  const int cores = count_cores ();
  const int threads = options->threads > 0 ? options->threads : cores;
  g_autofree char *cpu = cpu_name ();
  Bench bench = { .options = options,
                  .cases = cases,
                  .results = results,
                  .machine = { .cpu = cpu, .cores = cores, .threads = threads },
                  .settings = { .environment = environment,
                                .threads = threads,
                                .repeat = options->repeat > 0 ? options->repeat
                                          : options->quick    ? 1
                                                              : 2,
                                .blocks = blocks,
                                .precision = options->precision,
                                .model = model } };
  if (!run_on_thread (&bench, error))
    return FALSE;
  (options->json ? bench_report_json : bench_report_table) (&bench.machine,
                                                            bench_model_name (model), results);
  return TRUE;
}
