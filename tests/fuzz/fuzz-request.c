/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: the bytes of a request's GVariant.  What is accepted comes back equal from its own
 * GVariant.
 */
#include "config.h"
#include "fuzz.h"
#include "sora-request.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);
  g_autoptr (GVariant) variant
      = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_VARDICT, bytes, FALSE));
  g_autoptr (SoraRequest) request = sora_request_from_variant (variant, &error);
  MUST_TELL (request, error);
  if (request == NULL)
    return 0;
  MUST (*request->pipeline != '\0');
  g_autoptr (SoraRequest) copy = sora_request_copy (request);
  g_autoptr (GVariant) first = g_variant_ref_sink (sora_request_to_variant (request));
  g_autoptr (GVariant) second = g_variant_ref_sink (sora_request_to_variant (copy));
  MUST (g_variant_equal (first, second));
  g_autoptr (SoraRequest) again = sora_request_from_variant (first, NULL);
  MUST (again != NULL);
  g_autoptr (GVariant) third = g_variant_ref_sink (sora_request_to_variant (again));
  MUST (g_variant_equal (first, third));
  return 0;
}
