/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What test-libraries' module needs of its library.
 */
#pragma once

__attribute__ ((visibility ("default"))) int test_needed (void);
