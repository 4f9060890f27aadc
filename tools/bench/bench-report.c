/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See bench-report.h.
 */
#include "config.h"
#include "bench-report.h"
#include "tools/soractl-console.h"
#include "sora-runner.h"
#include <jansson.h>

/* Of small work milliseconds are told. */
static char *
format_time (double seconds)
{
  return seconds < 1 ? g_strdup_printf ("%.1f ms", 1000 * seconds)
                     : soractl_format_seconds (seconds);
}

static void
print_json (json_t *root)
{
  json_dumpf (root, stdout, JSON_INDENT (2));
  putchar ('\n');
  json_decref (root);
}

void
bench_report_list (gboolean json)
{
  json_t *array = json_array ();
  g_autoptr (SoractlTable) table = soractl_table_new (3, "000");
  soractl_table_row (table, "CASE", "WHEN", "WHAT");
  for (const BenchCase *c = bench_cases; c->name != NULL; c++)
    {
      const gboolean usual = (c->flags & BENCH_USUAL) != 0, quick = (c->flags & BENCH_QUICK) != 0;
      soractl_table_row (table, c->name,
                         quick   ? "always, --quick"
                         : usual ? "always"
                                 : "when named",
                         c->summary);
      json_array_append_new (array, json_pack ("{s:s, s:s, s:b, s:b}", "case", c->name, "summary",
                                               c->summary, "usual", usual, "quick", quick));
    }
  if (json)
    print_json (array);
  else
    {
      json_decref (array);
      soractl_table_print (table, stdout);
    }
}

static void
add_peak (SoractlTable *table, const char *what, const BenchPeak *peak, const char *unit)
{
  if (peak->name == NULL)
    return;
  g_autofree char *rate = g_strdup_printf ("%.1f %s", peak->rate / 1e9, unit),
                  *wall = g_strdup_printf ("%.1f %s", peak->wall / 1e9, unit);
  soractl_table_row (table, what, peak->name, rate, wall);
}

void
bench_report_table (const BenchMachine *machine, const char *model, const GPtrArray *results)
{
  g_autoptr (SoractlTable) peaks = soractl_table_new (4, "0011");
  g_autofree char *together = g_strdup_printf ("%d THREAD%s, ON THE WALL", machine->threads,
                                               machine->threads == 1 ? "" : "S");
  printf ("%s, %d core%s; sorad %s\n\n", machine->cpu, machine->cores,
          machine->cores == 1 ? "" : "s", sora_version ());
  soractl_table_row (peaks, "PEAK", "BY", "A THREAD", together);
  add_peak (peaks, "f32", &machine->fma, "GFLOP/s");
  add_peak (peaks, "f32 product", &machine->block, "GFLOP/s");
  add_peak (peaks, "int8", &machine->int8, "GOP/s");
  add_peak (peaks, "read", &machine->read, "GB/s");
  soractl_table_print (peaks, stdout);
  if (results->len == 0)
    return;
  g_autoptr (SoractlTable) table = soractl_table_new (9, "001111111");
  gboolean scaled = FALSE;
  soractl_table_row (table, "CASE", "PRECISION", "WALL", "CPU", "WORK", "GFLOP/s A CPU", "OF PEAK",
                     "LOAD", "MEMORY");
  for (guint i = 0; i < results->len; i++)
    {
      const BenchResult *r = results->pdata[i];
      const gboolean part = r->blocks != r->all_blocks;
      scaled |= part;
      char *cells[] = { g_strdup_printf ("%s%s", r->name, part ? "*" : ""),
                        format_time (r->wall),
                        format_time (r->cpu),
                        soractl_format_flops (r->flops),
                        g_strdup_printf ("%.1f", r->flops / r->cpu / 1e9),
                        g_strdup_printf ("%.1f %%", 100 * r->fraction),
                        format_time (r->load),
                        soractl_format_bytes (r->memory) };
      soractl_table_row (table, cells[0], r->precision, cells[1], cells[2], cells[3], cells[4],
                         cells[5], cells[6], cells[7]);
      for (gsize k = 0; k < G_N_ELEMENTS (cells); k++)
        g_free (cells[k]);
    }
  putchar ('\n');
  soractl_table_print (table, stdout);
  printf (
      "\nWeights of the named shapes: %s. Times are medians of warm runs; CPU is processor time\n"
      "of all threads, OF PEAK the rate against the f32 peak that was measured between the work,\n"
      "LOAD the processor time that a first run takes longer.\n",
      model);
  for (guint i = 0; i < results->len && scaled; i++)
    {
      const BenchResult *r = results->pdata[i];
      if (r->blocks != r->all_blocks)
        printf ("* %s: %d of %d blocks were run; WALL, CPU and WORK are scaled to all of them, "
                "LOAD and MEMORY are not\n",
                r->name, r->blocks, r->all_blocks);
    }
}

static json_t *
pack_peak (const BenchPeak *peak)
{
  if (peak->name == NULL)
    return json_null ();
  return json_pack ("{s:s, s:f, s:f}", "by", peak->name, "thread", peak->rate, "wall", peak->wall);
}

void
bench_report_json (const BenchMachine *machine, const char *model, const GPtrArray *results)
{
  json_t *rows = json_array ();
  for (guint i = 0; i < results->len; i++)
    {
      const BenchResult *r = results->pdata[i];
      json_array_append_new (
          rows,
          json_pack ("{s:s, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:i, s:i}",
                     "case", r->name, "precision",
                     r->precision != NULL ? json_string (r->precision) : json_null (), "wall",
                     r->wall, "cpu", r->cpu, "flops", r->flops, "flops_per_cpu_second",
                     r->flops / r->cpu, "fraction_of_fma_peak", r->fraction, "lowest_fraction",
                     r->lowest, "highest_fraction", r->highest, "fma_peak_between", r->peak,
                     "load_cpu", r->load, "peak_resident", (json_int_t)r->memory, "blocks_run",
                     r->blocks, "blocks", r->all_blocks));
    }
  print_json (json_pack ("{s:s, s:s, s:i, s:i, s:s, s:o, s:o, s:o, s:o, s:o}", "version",
                         sora_version (), "cpu", machine->cpu, "cores", machine->cores, "threads",
                         machine->threads, "weights", model, "fma_peak", pack_peak (&machine->fma),
                         "product_peak", pack_peak (&machine->block), "int8_peak",
                         pack_peak (&machine->int8), "read_peak", pack_peak (&machine->read),
                         "results", rows));
}
