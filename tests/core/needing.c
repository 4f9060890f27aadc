/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A module for test-libraries, which needs a library.
 */
#include "needed.h"

__attribute__ ((visibility ("default"))) int test_needing (void);

int
test_needing (void)
{
  return test_needed ();
}
