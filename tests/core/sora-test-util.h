/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What tests share: a root of temporary folders that goes away with the program, files written in one line, and
 * errors compared by code and words.
 */
#pragma once
#include <check.h>
#include <glib.h>
#include "sora-error.h"
#include "sora-tensor.h"

G_BEGIN_DECLS

/* A case with a time limit that a sanitized build on a busy machine keeps. */
TCase *sora_test_case (Suite *suite, const char *name);
/* Makes the root, points the XDG folders into it, runs the suite, removes the root.  The program's exit status. */
int sora_test_main (Suite *suite);
/* A fresh, empty folder below the root. */
char *sora_test_dir (void);
/* Writes DIR/NAME with the folders it needs; @length -1: a text.  Returns its path. */
char *sora_test_write (const char *dir, const char *name, const void *data, gssize length);
/* The same for a text that is not wanted as a path. */
void sora_test_text (const char *dir, const char *name, const char *text);
/* The bytes of a safetensors file: length, @header, then @data_size bytes 0, 1, 2 ... */
GByteArray *sora_test_safetensors (const char *header, gsize data_size);
/* Removes a folder with what is in it. */
void sora_test_remove (const char *path);
/* Fails the test unless *@error has that code and its message holds @words; then clears it. */
void sora_test_assert_error (GError **error, SoraError code, const char *words, const char *file, int line);
#define sora_assert_error(error, code, words) sora_test_assert_error (&(error), code, words, __FILE__, __LINE__)
#define sora_assert_no_error(error)                                                                                    \
  ck_assert_msg ((error) == NULL, "unexpected error: %s", (error) != NULL ? (error)->message : "")

G_END_DECLS
