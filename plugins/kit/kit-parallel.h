/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-parallel: the one way in which the kit uses more than one thread.  Work is cut into tiles
 * whose size does not depend on the number of threads; each tile is computed by one thread alone,
 * and nothing is summed across tiles.  So the same bytes come out at any thread count.
 *
 * Inside a tile denormals are flushed to zero (a sharp softmax full of denormals costs 13 times as
 * much), and oneDNN sees one thread.  Both are restored when the region ends.
 */
#ifndef SORA_KIT_PARALLEL_H
#define SORA_KIT_PARALLEL_H

#include "sora-plugin.h"

/* More threads than this are not used: each primitive keeps a slot for each. */
#define SORA_KIT_MAX_THREADS 256

/**
 * SoraKitTeam:
 * @host: (nullable): whom to ask whether the job was cancelled; %NULL: nobody
 * @ctx: for @host
 * @threads: how many OpenMP threads may be used; what host->compute() gave
 * @error: why the last call failed; empty if none did.  The first reason stays
 *
 * Who works, and for whom.  Lives on the caller's stack; one team is used by one calling thread.
 */
typedef struct
{
  const SoraHost *host;
  SoraContext *ctx;
  int threads;
  char error[480];
} SoraKitTeam;

/** sora_kit_team_init: fills @team; @threads is clamped to 1..%SORA_KIT_MAX_THREADS. */
void sora_kit_team_init (SoraKitTeam *team, const SoraHost *host, SoraContext *ctx, int threads);

/** sora_kit_threads_expected: Returns: the threads that host->compute() may give on this machine,
 * at most: for cost estimates in infer, which is not told. */
int sora_kit_threads_expected (void);

/**
 * sora_kit_team_fail:
 * @team: (nullable): a team
 * @format: printf format of the reason
 *
 * Keeps the reason, unless there is one already.  Any thread of the team.
 *
 * Returns: %SORA_FAILED
 */
int sora_kit_team_fail (SoraKitTeam *team, const char *format, ...) SORA_PRINTF (2, 3);

/** sora_kit_team_cancelled: Returns: nonzero when the job was cancelled.  Any thread. */
int sora_kit_team_cancelled (const SoraKitTeam *team);

/**
 * SoraKitTileFunc:
 * @team: the team
 * @data: the caller's
 * @tile: which tile, 0 … n-1
 * @slot: which thread of the team, 0 … threads-1: the index of thread-private memory
 *
 * Computes one tile.  It may not depend on @slot but for scratch memory.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED, or %SORA_FAILED after sora_kit_team_fail()
 */
typedef int (*SoraKitTileFunc) (SoraKitTeam *team, void *data, int64_t tile, int slot);

/**
 * sora_kit_parallel:
 * @team: who works
 * @tiles: number of tiles
 * @fn: computes one
 * @data: for @fn
 *
 * Computes all tiles; threads take them in order as they become free.  Asks for cancellation before
 * each.
 *
 * Returns: %SORA_OK, %SORA_CANCELLED or %SORA_FAILED
 */
int sora_kit_parallel (SoraKitTeam *team, int64_t tiles, SoraKitTileFunc fn, void *data);

/**
 * sora_kit_rows_parallel:
 * @team: who works
 * @rows: number of rows
 * @per_tile: rows of one tile, from the shape alone; 0: 32
 * @fn: called with first row and number of rows
 * @data: for @fn
 *
 * sora_kit_parallel() for row-wise work, where @fn cannot fail.
 *
 * Returns: as sora_kit_parallel()
 */
int sora_kit_rows_parallel (SoraKitTeam *team, int64_t rows, int64_t per_tile,
                            void (*fn) (void *data, int64_t row, int64_t count), void *data);

/** sora_kit_fp_enter: flushes denormals to zero on this thread.  Returns: what sora_kit_fp_leave()
 * wants. */
uint64_t sora_kit_fp_enter (void);

/** sora_kit_fp_leave: restores the floating-point control bits that sora_kit_fp_enter() found. */
void sora_kit_fp_leave (uint64_t saved);

/** sora_kit_min: Returns: the smaller one. */
static inline int64_t
sora_kit_min (int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/** sora_kit_ceil_div: Returns: @a / @b, rounded up; both above 0. */
static inline int64_t
sora_kit_ceil_div (int64_t a, int64_t b)
{
  return (a + b - 1) / b;
}

/* The hot loops are compiled for several instruction sets, and the best is taken at run time.
 * With -ffp-contract=off all of them give the same bits, but for the products of kit-gemm.h, which
 * fuse by name.  */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)                     \
    && !defined(__clang__)
#define SORA_KIT_MULTIVERSION                                                                      \
  __attribute__ ((target_clones ("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SORA_KIT_MULTIVERSION
#endif

/* A kernel of 64-byte vectors.  GCC 12 lays those on AddressSanitizer's own stack without their
 * alignment (GCC bug 110027), so it is not instrumented; its generic twin is, and tests run it. */
#define SORA_KIT_KERNEL(isa)                                                                       \
  __attribute__ ((target (isa), no_sanitize ("address", "undefined")))

#endif
