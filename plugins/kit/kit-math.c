/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * kit-math.c: see kit-math.h.  Range reduction and power series, nothing from libm that rounds; the
 * series are long enough that the truncated part is below half a unit in the last place.
 */
#include "kit-math.h"

#include <math.h> /* nearbyint() only, which is exact */
#include <stdint.h>
#include <string.h>

static const double LN2_HI
    = 0x1.62e42fefa3800p-1; /* ln 2, its last bits cut: times an exponent it is exact */
static const double LN2_LO = 0x1.ef35793c76730p-45; /* and the rest */

double
sora_kit_log (double x)
{
  if (isnan (x) || x < 0)
    return NAN;
  if (x == 0)
    return -INFINITY;
  if (isinf (x))
    return x;

  int e = 0;
  if (x < 0x1p-1022) /* a denormal has no leading one to take the exponent from */
    {
      x *= 0x1p54;
      e = -54;
    }
  uint64_t bits;
  memcpy (&bits, &x, sizeof bits);
  e += (int)(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
  double m;
  memcpy (&m, &bits, sizeof m);
  if (m > 1.4142135623730951)
    {
      m *= 0.5;
      e++;
    }
  /* ln m = 2 artanh (f), f = (m - 1) / (m + 1), |f| <= 0.1716 */
  const double f = (m - 1) / (m + 1), f2 = f * f;
  double sum = 0;
  for (int k = 23; k >= 3; k -= 2)
    sum = (sum + 1.0 / k) * f2;
  return e * LN2_HI + (2 * f + (2 * f * sum + e * LN2_LO));
}

double
sora_kit_expm1 (double x)
{
  if (isnan (x))
    return x;
  if (x > 709.8)
    return INFINITY;
  if (x < -50)
    return -1;

  const double k = nearbyint (x * 1.4426950408889634);
  const double r = (x - k * LN2_HI) - k * LN2_LO; /* |r| <= 0.3466 */
  double sum = 0;
  for (int i = 16; i >= 2; i--)
    sum = (sum + 1) * (r / i);
  const double p = r + r * sum; /* e^r - 1 */
  if (k == 0)
    return p;
  /* 2^k in two factors: 2^1024 is no number, while e^709.8 is */
  const int n = (int)k, half = n / 2;
  uint64_t b1 = (uint64_t)(half + 1023) << 52, b2 = (uint64_t)(n - half + 1023) << 52;
  double s1, s2;
  memcpy (&s1, &b1, sizeof s1);
  memcpy (&s2, &b2, sizeof s2);
  if (n > 64) /* the 1 is below the last bit there */
    return (p + 1) * s1 * s2;
  const double scale = s1 * s2;
  return p * scale + (scale - 1);
}

void
sora_kit_sincos (double x, double *s, double *c)
{
  /* pi/2 in two parts: the first has 33 bits, so that its product with a small quadrant is exact */
  const double q = nearbyint (x * 0.63661977236758138);
  const double r = (x - q * 0x1.921fb54400000p+0) - q * 0x1.0b4611a626331p-34;
  const double r2 = r * r;
  double ss = 0, cs = 0;
  for (int k = 17; k >= 3; k -= 2)
    ss = (ss + 1) * (-r2 / (k * (k - 1)));
  for (int k = 18; k >= 2; k -= 2)
    cs = (cs + 1) * (-r2 / (k * (k - 1)));
  const double sine = r + r * ss, cosine = 1 + cs;
  switch ((int)q & 3)
    {
    case 0:
      *s = sine;
      *c = cosine;
      break;
    case 1:
      *s = cosine;
      *c = -sine;
      break;
    case 2:
      *s = -sine;
      *c = -cosine;
      break;
    default:
      *s = -cosine;
      *c = sine;
      break;
    }
}
