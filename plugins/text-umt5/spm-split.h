/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * spm-split.h: splits normalised text into a unigram model's pieces, by exact sums.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct SoraSpmSplit SoraSpmSplit;

/**
 * sora_spm_split_new:
 * @model: a model that sora_spm_check() let pass
 * @size: its bytes; nothing of them is kept
 *
 * Reads the pieces.
 *
 * Returns: free it with sora_spm_split_free(); NULL if there is no memory
 */
SoraSpmSplit *sora_spm_split_new (const uint8_t *model, size_t size);
void sora_spm_split_free (SoraSpmSplit *split);

/**
 * sora_spm_split_byte:
 * @split: the pieces
 * @id: of a piece
 *
 * Returns: the byte that the piece stands for, or -1 if it is none of bytes
 */
int sora_spm_split_byte (const SoraSpmSplit *split, int id);

/**
 * sora_spm_split:
 * @split: the pieces
 * @text: UTF-8, as the model's normaliser left it, with its signs for spaces
 * @length: its bytes
 * @ids: (out): ids, to be freed with free(); room for one more is behind them
 * @n: (out): how many
 *
 * The split whose scores have the largest sum; of several, the one whose last piece is the longest, then the one before it
 * and so on.  What no piece is for is the unknown one, 10 below the lowest score, or its bytes.
 *
 * Source: Kudo, "Subword Regularization" (2018), section 3.2, as the `tokenizers` library (models/unigram, encode_optimized)
 * and libsentencepiece (EncodeOptimized) have it.  Scores are f32 and are summed in f64, as in the former: such sums are
 * exact, and no split depends on how they are rounded.
 *
 * Returns: 0, or -1 if there is no memory
 */
int sora_spm_split (const SoraSpmSplit *split, const char *text, size_t length, int64_t **ids, size_t *n);

#ifdef __cplusplus
}
#endif
