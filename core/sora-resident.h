/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What was in fact in memory: the process's resident bytes while a stage or a job ran, to be
 * compared with what infer said.
 */
#pragma once
#include <glib.h>

G_BEGIN_DECLS

/* One watch.  Many may be open at once; all see the whole process. */
typedef struct
{
  guint64 most;   /* seen so far; under the lock of sora-resident.c */
  guint64 before; /* the process's highest when it began */
} SoraResident;

/* Begins to watch.  @resident must stay where it is until sora_resident_end(). */
void sora_resident_begin (SoraResident *resident);
/* The highest since sora_resident_begin(), in bytes: exact where it is the process's highest of all
 * (VmHWM), else the highest of samples a tenth of a second apart.  0 where the kernel does not
 * tell. */
guint64 sora_resident_end (SoraResident *resident);

G_END_DECLS
