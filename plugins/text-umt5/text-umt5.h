/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * text-umt5.h: what the parts of the stage share.
 */
#pragma once

#include "kit-stage.h"
#include "sora-plugin.h"
#include "umt5-config.h"

enum
{
  SORA_TEXT_PROMPT,
  SORA_TEXT_NEGATIVE,
  SORA_TEXT_N
};

typedef struct
{
  int64_t *ids;
  size_t n, full; /* ids; how many there would be without the limit */
} SoraTextTokens;

/* What infer and run both begin with. */
typedef struct
{
  SoraUmt5Config config;
  int64_t max_tokens;
  uint64_t mapped_bytes; /* of the files, that a product has mapped at once */
  SoraTextTokens texts[SORA_TEXT_N];
} SoraTextRequest;

typedef struct
{
  SoraUmt5 *encoder; /* what stays warm: a few primitives */
} SoraTextInstance;

/** sora_text_request_read: configuration, parameters, ids.  Clear @request whatever it returns: a
 * #SoraResult. */
int sora_text_request_read (const SoraHost *host, SoraContext *ctx, SoraTextRequest *request);
void sora_text_request_clear (SoraTextRequest *request);

/** sora_text_work_bytes: Returns: what a run takes, mapped weights included. */
uint64_t sora_text_work_bytes (const SoraTextRequest *request);
/** sora_text_table_name: Returns: the name of the embedding table, which differs between files. */
const char *sora_text_table_name (const SoraHost *host, SoraContext *ctx);

int sora_text_infer (const SoraHost *host, SoraContext *ctx);
int sora_text_run (const SoraHost *host, SoraContext *ctx, void *instance);
