/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-math.h: logarithm, exponential, sine and cosine of our own.  The C library's differ between
 * versions and machines in their last bits; these use only +, -, *, / and give the same bits
 * wherever f64 is IEEE 754 and products are not contracted (-ffp-contract=off).
 */
#pragma once

/**
 * sora_kit_log:
 * @x: not NaN
 *
 * Returns: the natural logarithm, within 4e-16 relative; -inf at 0, NaN below it, +inf at +inf
 */
double sora_kit_log (double x);

/**
 * sora_kit_expm1:
 * @x: any
 *
 * Returns: e^x - 1, within 4e-16 relative; -1 at -inf, +inf where it overflows
 */
double sora_kit_expm1 (double x);

/**
 * sora_kit_sincos:
 * @x: an angle in radians, |x| <= 1e4
 * @s: (out): its sine
 * @c: (out): its cosine
 *
 * Both within 1e-15 absolute for |x| <= 8, which is what the Box-Muller transform needs.
 */
void sora_kit_sincos (double x, double *s, double *c);
