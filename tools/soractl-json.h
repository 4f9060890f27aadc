/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * GVariants as JSON, for --json.
 */
#pragma once
#include <glib.h>
#include <jansson.h>

/* Dictionaries with string keys become objects, arrays and tuples arrays, 64-bit numbers that JSON
 * readers would round (beyond 2^53) strings.  A new reference. */
json_t *soractl_json_from_variant (GVariant *value);
/* Prints with a line feed, and takes the reference. */
void soractl_json_print (json_t *root);
