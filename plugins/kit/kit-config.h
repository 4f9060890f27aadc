/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-config: a model's config.json, read as data that anybody may have written.  Every value is
 * asked for with its type and range; the first thing that is wrong is kept as one sentence, and
 * asked for at the end.  So a reader is a list of fields, and nothing is allocated by a number that
 * was not checked.
 */
#ifndef SORA_KIT_CONFIG_H
#define SORA_KIT_CONFIG_H

#include "sora-plugin.h"

typedef struct SoraKitConfig SoraKitConfig;

/**
 * sora_kit_config_new:
 * @data: UTF-8 JSON, an object; duplicate keys are refused; Python's -Infinity is taken for null
 * @size: bytes of @data
 * @name: what errors call it: "transformer/config.json"
 *
 * Returns: (nullable) (transfer full): the configuration, which may hold an error already; %NULL
 * without memory
 */
SoraKitConfig *sora_kit_config_new (const void *data, size_t size, const char *name);

/** sora_kit_config_free: @config: (nullable): ends it, and the strings that it gave. */
void sora_kit_config_free (SoraKitConfig *config);

/** sora_kit_config_error: Returns: (nullable) (transfer none): the first thing that was wrong, a
 * sentence; %NULL: none. */
const char *sora_kit_config_error (const SoraKitConfig *config);

/** sora_kit_config_fail: keeps a reason of the caller's: printf @format; @config's name is put
 * before it. */
void sora_kit_config_fail (SoraKitConfig *config, const char *format, ...) SORA_PRINTF (2, 3);

/** sora_kit_config_has: Returns: nonzero if @key is there and not null. */
int sora_kit_config_has (const SoraKitConfig *config, const char *key);

/**
 * sora_kit_config_i64:
 * @config: a configuration
 * @key: of the top object
 * @min: smallest good value
 * @max: largest good value
 *
 * Returns: the integer; @min, and an error kept, if it is missing, of another type or out of range
 */
int64_t sora_kit_config_i64 (SoraKitConfig *config, const char *key, int64_t min, int64_t max);

/** sora_kit_config_i64_or: as sora_kit_config_i64(), with @otherwise where the key is missing or
 * null. */
int64_t sora_kit_config_i64_or (SoraKitConfig *config, const char *key, int64_t min, int64_t max,
                                int64_t otherwise);

/** sora_kit_config_f64_or: as sora_kit_config_i64_or(), for a number with or without a point. */
double sora_kit_config_f64_or (SoraKitConfig *config, const char *key, double min, double max,
                               double otherwise);

/** sora_kit_config_bool_or: Returns: 0 or 1; @otherwise where the key is missing or null. */
int sora_kit_config_bool_or (SoraKitConfig *config, const char *key, int otherwise);

/** sora_kit_config_string_or: Returns: (nullable) (transfer none): the string, living as long as
 * @config. */
const char *sora_kit_config_string_or (SoraKitConfig *config, const char *key,
                                       const char *otherwise);

/**
 * sora_kit_config_enum_or:
 * @config: a configuration
 * @key: of the top object; a string
 * @names: good values, ended by %NULL
 * @otherwise: where the key is missing or null
 *
 * Returns: the index of the value in @names; @otherwise, and an error kept, if it is another
 */
int sora_kit_config_enum_or (SoraKitConfig *config, const char *key, const char *const *names,
                             int otherwise);

/**
 * sora_kit_config_each:
 * @config: a configuration
 * @fn: called for each key of the top object; @is_no: its value is null, false or []
 * @data: for @fn
 *
 * For readers that pass over nothing in silence.
 */
void sora_kit_config_each (SoraKitConfig *config,
                           void (*fn) (SoraKitConfig *config, const char *key, int is_no,
                                       void *data),
                           void *data);

/**
 * sora_kit_config_i64s:
 * @config: a configuration
 * @key: of the top object; an array of integers
 * @out: room for @max_count values
 * @min_count: fewest good entries
 * @max_count: most good entries
 * @min: smallest good value of an entry
 * @max: largest good value of an entry
 *
 * Returns: how many there are; 0 where the key is missing or null and @min_count is 0.  With an
 * error kept: 0
 */
int sora_kit_config_i64s (SoraKitConfig *config, const char *key, int64_t *out, int min_count,
                          int max_count, int64_t min, int64_t max);

/** sora_kit_config_f64s: as sora_kit_config_i64s(), for numbers. */
int sora_kit_config_f64s (SoraKitConfig *config, const char *key, double *out, int min_count,
                          int max_count, double min, double max);

/** sora_kit_config_bools: as sora_kit_config_i64s(), for true and false. */
int sora_kit_config_bools (SoraKitConfig *config, const char *key, int *out, int min_count,
                           int max_count);

#endif
