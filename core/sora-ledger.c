/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The memory ledger: sums and a limit.  Reservations are promises of the stages; nothing is
 * allocated here.
 */
#include "config.h"
#include "sora-ledger.h"
#include "sora-instance.h"
#include <stdio.h>
#include <string.h>

#define FALLBACK_AVAILABLE (4ull << 30) /* where /proc tells nothing */

static gboolean
read_number (const char *path, guint64 *value)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  return g_ascii_string_to_unsigned (g_strstrip (text), 10, 0, G_MAXUINT64, value, NULL);
}

/* A container's limit, where there is one, counts more than the machine's memory. */
static guint64
cgroup_available (void)
{
  guint64 limit, used;

  if (read_number ("/sys/fs/cgroup/memory.max", &limit)
      && read_number ("/sys/fs/cgroup/memory.current", &used))
    return limit > used ? limit - used : 0;
  if (read_number ("/sys/fs/cgroup/memory/memory.limit_in_bytes", &limit)
      && read_number ("/sys/fs/cgroup/memory/memory.usage_in_bytes", &used))
    return limit > used ? limit - used : 0;
  return G_MAXUINT64;
}

static guint64
memory_available (void)
{
  g_autofree char *text = NULL;
  guint64 bytes = FALLBACK_AVAILABLE;

  if (g_file_get_contents ("/proc/meminfo", &text, NULL, NULL))
    {
      const char *line = strstr (text, "MemAvailable:");
      if (line != NULL)
        bytes = g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10) * 1024;
    }
  return MIN (bytes, cgroup_available ());
}

void
sora_ledger_init (SoraLedger *ledger, guint64 limit)
{
  *ledger = (SoraLedger){ .limit = limit };
  if (limit == 0)
    ledger->limit = memory_available () / 10 * 8 + sora_instances_held ();
  sora_ledger_note_peak (ledger);
}

guint64
sora_ledger_used (const SoraLedger *ledger)
{
  return ledger->work + ledger->queued + sora_instances_held ();
}

gboolean
sora_ledger_fits (const SoraLedger *ledger, guint64 bytes)
{
  guint64 used = sora_ledger_used (ledger);
  return used <= ledger->limit && bytes <= ledger->limit - used;
}

void
sora_ledger_note_peak (SoraLedger *ledger)
{
  ledger->peak = MAX (ledger->peak, sora_ledger_used (ledger));
}

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
