/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: a parameter's text.  The first byte chooses the parameter.  What is accepted passes
 * the check again unchanged.
 */
#include "config.h"
#include "fuzz.h"
#include "sora-param.h"

#define P(t, ...)                                                                                  \
  {                                                                                                \
    .struct_size = sizeof (SoraParam), .type = t, .name = "p", .help = "A parameter.", __VA_ARGS__ \
  }

static const char *const choices[] = { "euler", "unipc", NULL };
static const SoraParam params[] = {
  P (SORA_PARAM_BOOL),
  P (SORA_PARAM_I64),
  P (SORA_PARAM_I64, .i64_min = -64, .i64_max = 4096, .i64_multiple = 16),
  P (SORA_PARAM_F64),
  P (SORA_PARAM_F64, .f64_min = -1.5, .f64_max = 20),
  P (SORA_PARAM_STRING, .i64_max = 40, .flags = SORA_PARAM_SECRET),
  P (SORA_PARAM_ENUM, .choices = choices),
  P (SORA_PARAM_STRING_LIST, .i64_max = 20),
  P (SORA_PARAM_F64_LIST, .f64_min = 0, .f64_max = 1),
};

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  g_autoptr (GError) error = NULL;
  const SoraParam *param = &params[data[0] % G_N_ELEMENTS (params)];
  g_autofree char *text = g_strndup ((const char *)data + 1, size - 1);
  g_autoptr (GVariant) value = sora_param_parse (param, "parameter 'p'", text, &error);
  MUST_TELL (value, error);
  if (value == NULL)
    return 0;
  g_autoptr (GVariant) again = sora_param_check (param, "parameter 'p'", value, NULL);
  MUST (again != NULL && g_variant_equal (value, again));
  return 0;
}
