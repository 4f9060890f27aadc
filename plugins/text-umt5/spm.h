/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * spm.h: libsentencepiece with a C face.  No exception crosses it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct SoraSpm SoraSpm;

/**
 * sora_spm_new:
 * @data: the file spiece.model
 * @size: its bytes
 * @why: (out): what is wrong, if something is
 * @why_size: room there
 *
 * Checks the model (sora_spm_check()) and reads it.  The one that was used last is kept for the whole process, and
 * given again if the bytes are the same: reading 256,000 pieces takes a good part of a second, and infer is asked
 * often.  Any thread.
 *
 * Returns: the tokenizer, to be given back with sora_spm_unref(), or NULL with @why.
 */
SoraSpm *sora_spm_new (const void *data, size_t size, char *why, size_t why_size);
void sora_spm_unref (SoraSpm *spm);

/**
 * sora_spm_encode:
 * @spm: a tokenizer
 * @text: UTF-8
 * @length: its bytes
 * @max: at most so many ids, the end mark included; 1 at least
 * @ids: (out): ids, to be freed with free()
 * @n: (out): how many
 * @full: (out): how many there would be without @max
 *
 * Text to ids, the end mark `</s>` after them: normalised by libsentencepiece, split by sora_spm_split().  If there are too many, the first @max - 1 and the end mark stay,
 * as with the reference's truncation.  Special tokens that are written out in the text are text.
 *
 * Returns: 0, or -1 with @why.
 */
int sora_spm_encode (const SoraSpm *spm, const char *text, size_t length, size_t max, int64_t **ids,
                     size_t *n, size_t *full, char *why, size_t why_size);

/** sora_spm_pieces: how many ids there are. */
int64_t sora_spm_pieces (const SoraSpm *spm);

#ifdef __cplusplus
}
#endif
