/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A library for test-libraries, linked without a build id.
 */
#include "needed.h"

int
test_needed (void)
{
  return 1;
}
