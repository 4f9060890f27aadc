/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Holds what a plan is foreseen to need on the disk against the room that the daemon told with the
 * job.
 */
#include "config.h"
#include "sora-worker.h"

#include "core/sora-bytes.h"

/* Results are the files that a stage leaves; tensors stay in memory. */
static gboolean
leaves_files (const SoraPlanStage *stage)
{
  for (guint i = 0; stage->outputs && i < stage->outputs->len; i++)
    {
      const SoraPlanOutput *output = g_ptr_array_index (stage->outputs, i);
      if (g_str_has_prefix (output->semantic, "sora.file/"))
        return TRUE;
    }
  return FALSE;
}

static guint64
sum (guint64 a, guint64 b)
{
  return a > G_MAXUINT64 - b ? G_MAXUINT64 : a + b;
}

/* Runs go one after the other, and scratch files end with theirs.  A result is written in the
 * worker's folder, and copied into the daemon's when all has been computed. */
static void
foresee (SoraPlan *plan, guint64 *results, guint64 *all)
{
  GPtrArray *stages = sora_plan_stages (plan);
  guint64 scratch = 0, most = 0;
  guint run = 0;
  *results = 0;
  for (guint i = 0; i < stages->len; i++)
    {
      const SoraPlanStage *stage = g_ptr_array_index (stages, i);
      scratch = sum (stage->run == run ? scratch : 0, stage->cost.scratch_bytes);
      run = stage->run;
      most = MAX (most, scratch);
      if (leaves_files (stage))
        *results = sum (*results, stage->cost.output_bytes);
    }
  *all = sum (*results, MAX (most, *results));
}

static char *
size_text (guint64 bytes)
{
  char text[32];
  return g_strdup (sora_bytes_to_text (bytes, text));
}

/* The words of both refusals of a kind differ in what to do. */
static gboolean
check_results (guint64 needed, guint64 left, guint64 max, GError **error)
{
  g_autofree char *need = size_text (needed);
  g_autofree char *room = size_text (needed > max ? max : left);
  if (needed <= left)
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_NO_SPACE,
               "the job's results are foreseen to take %s, and its user may store %s%s (see "
               "StoredBytes)",
               need, room,
               needed > max ? ": ask for less"
                            : " beside jobs that wait, run or are kept: delete some, or wait");
  return FALSE;
}

static gboolean
check_room (guint64 needed, guint64 left, guint64 max, guint64 reserve, GError **error)
{
  g_autofree char *need = size_text (needed);
  g_autofree char *room = size_text (needed > max ? max : left);
  g_autofree char *keep = size_text (reserve);
  if (needed <= left)
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_NO_SPACE,
               "the job is foreseen to need %s of disk for its work and results, and the state "
               "folder's file system has %s%s beside the %s that stay free (FreeBytes): %s",
               need, room, needed > max ? " at most" : " left now", keep,
               needed > max ? "ask for less" : "delete results, or make room");
  return FALSE;
}

gboolean
sora_worker_check_disk (SoraPlan *plan, GVariant *options, GError **error)
{
  guint64 results, all, max, left, reserve;
  foresee (plan, &results, &all);
  if (g_variant_lookup (options, "stored-max", "t", &max)
      && g_variant_lookup (options, "stored-left", "t", &left)
      && !check_results (results, left, max, error))
    return FALSE;
  return !g_variant_lookup (options, "disk-max", "t", &max)
         || !g_variant_lookup (options, "disk-left", "t", &left)
         || !g_variant_lookup (options, "disk-reserve", "t", &reserve)
         || check_room (all, left, max, reserve, error);
}
