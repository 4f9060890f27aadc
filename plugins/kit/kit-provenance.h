/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-provenance.h: what a file tells of its making: the same keys and the same policy for every encoder.
 *
 * | level of the request | keys |
 * | --- | --- |
 * | minimal (default) | XMP; Software, Comment (that it is generated), sorad.version, .model, .pipeline, .seed, .stages, .watermark |
 * | full | these and sorad.prompt |
 * | none | no XMP; sorad.watermark alone, and only where the mark was left off: leaving it off is always recorded |
 */
#ifndef SORA_KIT_PROVENANCE_H
#define SORA_KIT_PROVENANCE_H

#include "sora-plugin.h"

typedef struct {
  const char *key;
  const char *value;
} SoraKitTag;

#define SORA_KIT_MAX_TAGS 12

/**
 * sora_kit_provenance:
 * @host: the host
 * @ctx: in run
 * @port: the input port that carries the frames; its attribute "watermark" is read
 * @tags: (out): at least SORA_KIT_MAX_TAGS; the strings live as long as the call of run
 *
 * Returns: the number of tags
 */
int sora_kit_provenance (const SoraHost *host, SoraContext *ctx, const char *port, SoraKitTag *tags);

/**
 * sora_kit_provenance_xmp:
 * @host: the host
 * @ctx: in run
 *
 * What readers of photographs and films look for: the property Iptc4xmpExt:DigitalSourceType, with IPTC's address for
 * media made by a trained model.
 *
 * Returns: an XMP packet, the same for every file; NULL where the request's level is none
 */
const char *sora_kit_provenance_xmp (const SoraHost *host, SoraContext *ctx);

#endif
