/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The memory ledger: sums and a limit.  Reservations are promises of the stages; nothing is
 * allocated here.
 */
#include "config.h"
#include "sora-ledger.h"
#include "sora-instance.h"
#include "sora-memory.h"

guint64
sora_ledger_limit (guint64 asked)
{
  return asked > 0 ? asked : sora_memory_available () / 10 * 8 + sora_instances_held ();
}

void
sora_ledger_init (SoraLedger *ledger, guint64 limit)
{
  *ledger = (SoraLedger){ .limit = sora_ledger_limit (limit) };
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
