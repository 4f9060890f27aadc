/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Linear layers in two forms.
 */
#include "dit-linear.h"

typedef struct
{
  const DitRows *x;
  int64_t width;
} Rounding;

static void
round_rows (void *data, int64_t row, int64_t count)
{
  const Rounding *r = data;
  sora_kit_quantise (r->x->exact + row * r->width, r->width, r->x->fast, row, count);
}

int
dit_linear_run (const DitLinear *linear, SoraKitTeam *team, int64_t m, const DitRows *x, float *y)
{
  if (linear->fast == NULL)
    return sora_kit_linear_run (linear->exact, team, m, x->exact, 0, y, 0);
  Rounding rounding = { x, x->fast->width };
  int result = x->rounded ? SORA_OK : sora_kit_rows_parallel (team, m, 0, round_rows, &rounding);
  return result == SORA_OK ? sora_kit_linear_int8_run (linear->fast, team, m, x->fast, y, 0)
                           : result;
}

uint64_t
dit_linear_bytes (const DitLinear *linear)
{
  return linear->fast != NULL ? sora_kit_linear_int8_size (linear->fast)
                              : sora_kit_linear_size (linear->exact);
}

void
dit_linear_place (const DitLinear *linear, void *memory)
{
  if (linear->fast != NULL)
    sora_kit_linear_int8_place (linear->fast, memory);
  else
    sora_kit_linear_place (linear->exact, memory);
}

void
dit_linear_clear (DitLinear *linear)
{
  sora_kit_linear_free (linear->exact);
  sora_kit_linear_int8_free (linear->fast);
  *linear = (DitLinear){ 0 };
}
