/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-scratch.h: a scratch file of the host, read and written in rectangles.  An error is told to
 * the host.
 */
#ifndef SORA_VAE_SCRATCH_H
#define SORA_VAE_SCRATCH_H

#include "sora-plugin.h"

/**
 * SoraVaeScratch:
 * @host: the host
 * @ctx: run, on the stage's thread
 * @fd: the file, or -1
 * @line: bytes of a line
 * @lines: lines of a frame
 *
 * Frames one after the other, each line after line.
 */
typedef struct
{
  const SoraHost *host;
  SoraContext *ctx;
  int fd;
  int64_t line, lines;
} SoraVaeScratch;

/** sora_vae_scratch_open: room for @frames, all zeros.  Returns: a #SoraResult */
int sora_vae_scratch_open (const SoraHost *host, SoraContext *ctx, int64_t frames, int64_t lines,
                           int64_t line, SoraVaeScratch *scratch);

/** sora_vae_scratch_close: gives the room back; closed before, or never opened, is allowed. */
void sora_vae_scratch_close (SoraVaeScratch *scratch);

/**
 * sora_vae_scratch_read:
 * @scratch: the file
 * @frame: which frame
 * @top: its first line
 * @lines: how many
 * @left: the first byte of each line
 * @bytes: how many of each
 * @to: where they go
 * @step: bytes from one line to the next there
 *
 * Returns: %SORA_OK or %SORA_FAILED
 */
int sora_vae_scratch_read (const SoraVaeScratch *scratch, int64_t frame, int64_t top, int64_t lines,
                           int64_t left, int64_t bytes, void *to, int64_t step);

/** sora_vae_scratch_write: as sora_vae_scratch_read(), the other way. */
int sora_vae_scratch_write (const SoraVaeScratch *scratch, int64_t frame, int64_t top,
                            int64_t lines, int64_t left, int64_t bytes, const void *from,
                            int64_t step);

/** sora_vae_scratch_add: as sora_vae_scratch_write(), for f32 that are added to what stands there;
 * @line: room for @bytes. */
int sora_vae_scratch_add (const SoraVaeScratch *scratch, int64_t frame, int64_t top, int64_t lines,
                          int64_t left, int64_t bytes, const void *from, int64_t step, float *line);

#endif
