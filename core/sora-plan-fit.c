/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whether a plan fits into the memory that its job may use, and if not, which sizes of clip would.
 * Sizes are found by making the plan anew with others: nothing here knows what a stage takes.
 */
#include "config.h"
#include "sora-ledger.h"
#include "sora-pipeline-private.h"
#include "sora-plan-private.h"
#include "sora-error.h"

/* Smaller pictures are of no use to anybody. */
#define LEAST_SIDE 16
/* Widths and heights keep the powers of two that both have, up to this one: what a model's factors
 * divide, they still do. */
#define MOST_UNIT 32

typedef struct
{
  SoraPlan *plan;
  guint64 limit;
  gint64 width, height, frames, unit;
} Search;

guint64
sora_plan_memory_limit (SoraPlan *plan)
{
  return plan->memory_limit;
}

/* What the plan's stages were given for the public parameter @name. */
static gboolean
find_number (SoraPlan *plan, const char *name, gint64 *value)
{
  SoraPipelineParam *param
      = plan->pipeline != NULL ? sora_pipeline_find_param (plan->pipeline, name) : NULL;
  for (guint i = 0; param != NULL && i < param->targets->len; i++)
    {
      const SoraPipelineTarget *target = g_ptr_array_index (param->targets, i);
      SoraNode *node = sora_graph_find (g_ptr_array_index (plan->runs, 0), target->stage);
      GVariant *found = node != NULL ? g_hash_table_lookup (node->params, target->param) : NULL;
      if (found == NULL || !g_variant_is_of_type (found, G_VARIANT_TYPE_INT64))
        continue;
      *value = g_variant_get_int64 (found);
      return *value > 0;
    }
  return FALSE;
}

static gboolean
fits (const Search *search, const SoraPlanSize *size)
{
  SoraPlan *plan = search->plan;
  g_autoptr (SoraRequest) request = sora_request_copy (plan->request);
  request->memory_limit = search->limit; /* stages may take another way with less */
  sora_request_set_param (request, "width", g_variant_new_int64 (size->width));
  sora_request_set_param (request, "height", g_variant_new_int64 (size->height));
  sora_request_set_param (request, "frames", g_variant_new_int64 (size->frames));
  g_autoptr (SoraPlan) other = sora_plan_new (plan->environment, request, NULL);
  return other != NULL && other->peak_bytes <= search->limit;
}

/* The size of @i units of width, in the clip's proportions. */
static SoraPlanSize
picture_of (const Search *search, gint64 i, gint64 frames)
{
  gint64 width = i * search->unit;
  gint64 height = (width * search->height + search->width * search->unit / 2) / search->width
                  / search->unit * search->unit;
  return (SoraPlanSize){ width, MAX (height, search->unit), frames };
}

static SoraPlanSize
frames_of (const Search *search, gint64 i)
{
  return (SoraPlanSize){ search->width, search->height, 4 * i + 1 };
}

/* The largest picture below the clip's own at @frames; FALSE: none fits. */
static gboolean
find_picture (const Search *search, gint64 frames, SoraPlanSize *size)
{
  gint64 low = (LEAST_SIDE - 1) / search->unit, high = search->width / search->unit;
  gint64 first = low;
  while (high - low > 1)
    {
      gint64 middle = low + (high - low) / 2;
      SoraPlanSize candidate = picture_of (search, middle, frames);
      if (fits (search, &candidate))
        low = middle;
      else
        high = middle;
    }
  *size = picture_of (search, low, frames);
  return low > first;
}

/* The most frames below the clip's own at its size. */
static gboolean
find_frames (const Search *search, SoraPlanSize *size)
{
  gint64 low = 0, high = (search->frames - 1 + 3) / 4;
  while (high - low > 1)
    {
      gint64 middle = low + (high - low) / 2;
      SoraPlanSize candidate = frames_of (search, middle);
      if (fits (search, &candidate))
        low = middle;
      else
        high = middle;
    }
  *size = frames_of (search, low);
  return low > 0;
}

GArray *
sora_plan_sizes_that_fit (SoraPlan *plan, guint64 limit)
{
  Search search = { .plan = plan, .limit = limit, .unit = 1 };
  GArray *sizes = g_array_new (FALSE, FALSE, sizeof (SoraPlanSize));
  SoraPlanSize size;

  if (!find_number (plan, "width", &search.width) || !find_number (plan, "height", &search.height)
      || !find_number (plan, "frames", &search.frames))
    return sizes;
  while (search.unit < MOST_UNIT && search.width % (2 * search.unit) == 0
         && search.height % (2 * search.unit) == 0)
    search.unit *= 2;
  if (find_picture (&search, search.frames, &size))
    g_array_append_val (sizes, size);
  if (find_frames (&search, &size))
    g_array_append_val (sizes, size);
  /* Neither alone is enough. */
  for (gint64 frames = search.frames; sizes->len == 0 && frames > 1;)
    {
      frames = frames > 5 ? (frames / 2 + 2) / 4 * 4 + 1 : 1;
      if (find_picture (&search, frames, &size))
        g_array_append_val (sizes, size);
    }
  return sizes;
}

gboolean
sora_plan_check_memory (SoraPlan *plan, guint64 limit, GError **error)
{
  char needed[32], may[32];

  if (plan->peak_bytes <= limit)
    return TRUE;
  g_autoptr (GArray) sizes = sora_plan_sizes_that_fit (plan, limit);
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < sizes->len; i++)
    {
      const SoraPlanSize *size = &g_array_index (sizes, SoraPlanSize, i);
      g_string_append_printf (text,
                              "%s%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT " with %" G_GINT64_FORMAT
                              " frame%s",
                              i > 0 ? " or " : "", size->width, size->height, size->frames,
                              size->frames == 1 ? "" : "s");
    }
  g_string_append (text, sizes->len > 0 ? " would fit" : "raise the memory limit");
  sora_error_set (error, SORA_ERROR_NO_MEMORY,
                  "the job needs %s of memory, and may use %s: %s",
                  sora_bytes_to_text (plan->peak_bytes, needed), sora_bytes_to_text (limit, may),
                  text->str);
  return FALSE;
}
