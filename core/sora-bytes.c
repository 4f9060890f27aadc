/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Numbers of bytes as people read them.
 */
#include "config.h"
#include "sora-bytes.h"
#include <stdio.h>

const char *
sora_bytes_to_text (guint64 bytes, char *text)
{
  static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
  double value = (double)bytes;
  guint unit = 0;

  while (value >= 1024 && unit + 1 < G_N_ELEMENTS (units))
    {
      value /= 1024;
      unit++;
    }
  snprintf (text, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}
