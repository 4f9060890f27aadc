/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the samplers' tests share: a configuration from a text.
 */
#ifndef SORA_SAMPLER_TEST_H
#define SORA_SAMPLER_TEST_H

#include "kit-test.h"
#include "plugins/kit/kit-sampler.h"

#include <stdio.h>

/* 0, or -1 with the reason. */
static inline int
sampler_test_parse (const char *text, SoraKitSamplerConfig *config, char *err, size_t err_size)
{
  SoraKitConfig *file = sora_kit_config_new (text, strlen (text), "scheduler_config.json");
  ck_assert_ptr_nonnull (file);
  sora_kit_sampler_config_read (file, config);
  const char *error = sora_kit_config_error (file);
  (void)snprintf (err, err_size, "%s", error != NULL ? error : "");
  const int result = error == NULL ? 0 : -1;
  sora_kit_config_free (file);
  return result;
}

#endif
