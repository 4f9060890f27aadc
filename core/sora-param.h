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

/**
 * sora_param_type_name:
 * @type: a type
 *
 * Returns: (nullable): "integer", "number", "text", "choice" ... for people; NULL if unknown
 */
const char *sora_param_type_name (SoraParamType type);

/**
 * sora_param_default:
 * @param: a parameter that sora_plugin_descriptor_check() accepts
 *
 * Returns: (transfer full) (nullable): its default, not floating; NULL for a required parameter
 */
GVariant *sora_param_default (const SoraParam *param);

/**
 * sora_param_check:
 * @param: a parameter
 * @who: how to call it: "parameter 'width'"
 * @value: a value of any type
 * @error: (out) (optional): where to put it
 *
 * Checks type, range, multiple, choices, length and UTF-8.
 *
 * Returns: (transfer full): the value in the canonical type, not floating; NULL on SORA_ERROR_INVALID_REQUEST,
 *   which names value and range (not the value of a SORA_PARAM_SECRET)
 */
GVariant *sora_param_check (const SoraParam *param, const char *who, GVariant *value, GError **error);

/**
 * sora_param_parse:
 * @param: a parameter
 * @who: how to call it
 * @text: what a command line or pipeline file says: "true", "25", "1.5", "a,b" (in a list "\," is a comma of an
 *   item); for a FILE the path of a regular file, which is read
 * @error: (out) (optional): where to put it
 *
 * Returns: (transfer full): a checked value, as sora_param_check()
 */
GVariant *sora_param_parse (const SoraParam *param, const char *who, const char *text, GError **error);

/**
 * sora_param_describe_range:
 * @param: a parameter
 *
 * Returns: (transfer full) (nullable): "8..4096 px, a multiple of 16; default 64" for help texts; NULL if there
 *   is nothing to say
 */
char *sora_param_describe_range (const SoraParam *param);

G_END_DECLS
