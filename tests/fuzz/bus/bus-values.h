/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Random D-Bus values for the fuzzer of the bus: of a given type, made of words that the daemon
 * knows and of such as break careless code.
 */
#pragma once
#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * BusValues:
 * @random: where all choices come from: a seed repeats a run
 * @words: strings that mean something to the daemon: ids, keys, names of members
 * @paths: object paths
 * @fds: how many descriptors are sent along; handles are chosen around that
 */
typedef struct
{
  GRand *random;
  GPtrArray *words, *paths;
  int fds;
} BusValues;

/** bus_values_new: @seed: of all choices.  Returns: (transfer full): with common words. */
BusValues *bus_values_new (guint32 seed);
void bus_values_free (BusValues *values);

/** bus_values_add_word: @word: copied; once is enough. */
void bus_values_add_word (BusValues *values, const char *word);
void bus_values_add_path (BusValues *values, const char *path);

/** bus_values_below: Returns: a number from 0 to @n - 1. */
guint bus_values_below (BusValues *values, guint n);
/** bus_values_one_in: Returns: TRUE once in @n. */
gboolean bus_values_one_in (BusValues *values, guint n);
/** bus_values_word: Returns: (transfer none) one of the known words. */
const char *bus_values_word (BusValues *values);
/** bus_values_path: Returns: (transfer none) one of the known object paths. */
const char *bus_values_path (BusValues *values);

/**
 * bus_values_make:
 * @type: a definite type
 *
 * Returns: (transfer full) (floating): a value of that type
 */
GVariant *bus_values_make (BusValues *values, const GVariantType *type);

/** bus_values_any: Returns: (transfer full) (floating): a value of whatever type. */
GVariant *bus_values_any (BusValues *values);

G_END_DECLS
