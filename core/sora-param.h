/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Typed parameter values: GVariants checked against the SoraParam that a stage declares.
 *
 * GVariant types: BOOL b, I64 x, F64 d, STRING and ENUM s, STRING_LIST as, F64_LIST ad, FILE ay.  Narrower
 * integers (i u n q y t) and, for F64, any integer are taken from the bus and converted when they fit.
 */
#pragma once
#include <glib.h>
#include "sora-plugin.h"

G_BEGIN_DECLS

const char *sora_param_type_name (SoraParamType type); /* "integer", "number", "text", "choice" ... for people */
/* The default, or NULL for a required parameter.  Not floating. */
GVariant *sora_param_default (const SoraParam *param);
/* @value checked (type, range, multiple, choices, length, UTF-8) and brought to the canonical type; @who names the
 * parameter to the reader: "parameter 'width'".  Errors: SORA_ERROR_INVALID_REQUEST, naming value and range. */
GVariant *sora_param_check (const SoraParam *param, const char *who, GVariant *value, GError **error);
/* Text of a command line ("true", "25", "1.5", "a,b"; FILE: a path that is read) to a checked value. */
GVariant *sora_param_parse (const SoraParam *param, const char *who, const char *text, GError **error);
/* "8..4096 px, a multiple of 16; default 64": for help texts.  NULL if there is nothing to say. */
char *sora_param_describe_range (const SoraParam *param);

G_END_DECLS
