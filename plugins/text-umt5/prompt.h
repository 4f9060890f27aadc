/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * prompt.h: what happens to a prompt before it is tokenised, as diffusers' WanPipeline does it.
 */
#pragma once

#include <stddef.h>

/**
 * sora_prompt_is_utf8:
 * @text: bytes
 * @length: how many
 * @at: (out) (optional): the offset of the first bad byte
 *
 * Returns: 1 if @text is UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above
 *   U+10FFFF; else 0.
 */
int sora_prompt_is_utf8 (const char *text, size_t length, size_t *at);

/**
 * sora_html_unescape:
 * @text: UTF-8
 * @length: its bytes
 * @out_length: (out): bytes of the result
 *
 * Replaces HTML's character references by what they stand for, once, by the rules of Python's
 * html.unescape: named references (the longest name that matches, with or without a semicolon),
 * decimal and hexadecimal ones; references to nothing valid become U+FFFD or vanish.
 *
 * Returns: a NUL-terminated string, to be freed with free(), or NULL if memory is short.
 */
char *sora_html_unescape (const char *text, size_t length, size_t *out_length);

/**
 * sora_prompt_clean:
 * @prompt: UTF-8, NUL-terminated
 * @length: (out): bytes of the result
 *
 * WanPipeline's prompt_clean without ftfy: references replaced twice, ends stripped, each run of
 * Unicode white space made one space.
 *
 * Returns: a NUL-terminated string, to be freed with free(), or NULL if memory is short.
 */
char *sora_prompt_clean (const char *prompt, size_t *length);
