/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Configurations: what is good comes out, and what is wrong is said in one sentence, the first time
 * only.
 */
#include "kit-config.h"
#include "kit-test.h"

typedef struct
{
  const char *json;
  const char *error; /* NULL: none */
} Case;

static const Case cases[] = {
  { "{\"layers\": 30, \"eps\": 1e-6, \"patch\": [1, 2, 2]}", NULL },
  { "{\"layers\": 30, \"eps\": 1, \"patch\": [1, 2, 2]}", NULL },
  { "{\"layers\": 30, \"eps\": null, \"patch\": [1, 2, 2]}", NULL },
  { "", "model/config.json: line 1" },
  { "[]", "model/config.json: is not a JSON object" },
  { "{\"layers\": 30, \"layers\": 31, \"patch\": [1, 2, 2]}", "duplicate object key" },
  { "{\"patch\": [1, 2, 2]}", "'layers' is missing" },
  { "{\"layers\": null, \"patch\": [1, 2, 2]}", "'layers' is missing" },
  { "{\"layers\": 0, \"patch\": [1, 2, 2]}", "'layers' is 0, expected 1 to 100" },
  { "{\"layers\": 9223372036854775807, \"patch\": [1, 2, 2]}",
    "'layers' is 9223372036854775807, expected 1 to 100" },
  { "{\"layers\": 99223372036854775807, \"patch\": [1, 2, 2]}", "too big integer" },
  { "{\"layers\": \"30\", \"patch\": [1, 2, 2]}", "'layers' is a string, expected an integer" },
  { "{\"layers\": 30.0, \"patch\": [1, 2, 2]}", "'layers' is a number, expected an integer" },
  { "{\"layers\": 30, \"eps\": 2, \"patch\": [1, 2, 2]}", "'eps' is 2, expected 0 to 1" },
  { "{\"layers\": 30, \"eps\": \"x\", \"patch\": [1, 2, 2]}",
    "'eps' is a string, expected a number" },
  { "{\"layers\": 30, \"patch\": [1, 2]}", "'patch' has 2 entries, expected 3 to 3" },
  { "{\"layers\": 30, \"patch\": [1, 2, 0]}", "'patch' is 0, expected 1 to 8" },
  { "{\"layers\": 30, \"patch\": 1}", "'patch' is an integer, expected an array" },
  { "{\"layers\": 30}", "'patch' is missing" },
  { "{\"layers\": 30, \"patch\": [1, 2, 2], \"on\": 1}",
    "'on' is an integer, expected true or false" },
  { "{\"layers\": 30, \"patch\": [1, 2, 2], \"name\": 1}",
    "'name' is an integer, expected a string" },
  { "{\"layers\": 30, \"patch\": [1, 2, 2], \"flags\": [true, 1]}", "'flags' holds an integer" },
  { "{\"layers\": 30, \"patch\": [1, 2, 2], \"mean\": [1, 1e999]}", "line 1" },
  { "{\"layers\": 0, \"patch\": 7}", "'layers' is 0" }, /* the first error stays */
};

START_TEST (test_cases)
{
  const Case *c = &cases[_i];
  SoraKitConfig *config = sora_kit_config_new (c->json, strlen (c->json), "model/config.json");
  ck_assert_ptr_nonnull (config);
  int64_t patch[3] = { 0 };
  double mean[4];
  int flags[4];
  int64_t layers = sora_kit_config_i64 (config, "layers", 1, 100);
  double eps = sora_kit_config_f64_or (config, "eps", 0, 1, 0.25);
  int n = sora_kit_config_i64s (config, "patch", patch, 3, 3, 1, 8);
  int on = sora_kit_config_bool_or (config, "on", 1);
  const char *name = sora_kit_config_string_or (config, "name", "none");
  int n_flags = sora_kit_config_bools (config, "flags", flags, 0, 4);
  int n_mean = sora_kit_config_f64s (config, "mean", mean, 0, 4, -10, 10);
  const char *error = sora_kit_config_error (config);
  ck_assert_int_ge (layers, 1);
  ck_assert_int_le (layers, 100);
  if (c->error == NULL)
    {
      ck_assert_msg (error == NULL, "%s", error);
      ck_assert_int_eq (layers, 30);
      ck_assert_double_eq (eps, _i == 0 ? 1e-6 : _i == 1 ? 1 : 0.25);
      ck_assert_int_eq (n, 3);
      ck_assert_int_eq (patch[2], 2);
      ck_assert_int_eq (on, 1);
      ck_assert_str_eq (name, "none");
      ck_assert_int_eq (n_flags + n_mean, 0);
    }
  else
    {
      ck_assert_msg (error != NULL, "no error for %s", c->json);
      ck_assert_msg (strstr (error, c->error) != NULL, "'%s' for %s", error, c->json);
      ck_assert_msg (strncmp (error, "model/config.json: ", 19) == 0, "'%s' does not name the file",
                     error);
    }
  sora_kit_config_free (config);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("config");
  TCase *tests = tcase_create ("config");
  tcase_add_loop_test (tests, test_cases, 0, (int)(sizeof cases / sizeof cases[0]));
  suite_add_tcase (suite, tests);
  return kit_test_main (suite);
}
