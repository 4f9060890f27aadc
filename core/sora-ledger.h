/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The memory ledger of one job: what its stages reserved, what waits in its queues, and what warm
 * instances hold in this process, against a limit.  Under the runner's lock.
 */
#pragma once
#include "sora-bytes.h"

G_BEGIN_DECLS

typedef struct
{
  guint64 limit;
  guint64 work;   /* SORA_MEMORY_WORK of all stages */
  guint64 queued; /* tensors in queues */
  guint64 peak;   /* highest sum that was seen */
} SoraLedger;

/* @asked, or where that is 0, 80 % of what the process may still have (sora-memory.h), with what warm
 * instances hold already. */
guint64 sora_ledger_limit (guint64 asked);
/* With sora_ledger_limit (@limit). */
void sora_ledger_init (SoraLedger *ledger, guint64 limit);
guint64 sora_ledger_used (const SoraLedger *ledger);
gboolean sora_ledger_fits (const SoraLedger *ledger, guint64 bytes);
/* After anything was added. */
void sora_ledger_note_peak (SoraLedger *ledger);

G_END_DECLS
