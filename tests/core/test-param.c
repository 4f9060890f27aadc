/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Parameters: every type from a GVariant and from a text, ranges, multiples, choices, and the words
 * for people.
 */
#include "config.h"
#include <string.h>
#include "sora-param.h"
#include "sora-test-util.h"

#define P(t, ...)                                                                                  \
  {                                                                                                \
    .struct_size = sizeof (SoraParam), .type = t, .name = "p", .help = "A parameter.", __VA_ARGS__ \
  }

static const char *const choices[] = { "euler", "unipc", NULL };
static const SoraParam boolean = P (SORA_PARAM_BOOL, .i64_default = 1);
static const SoraParam width = P (SORA_PARAM_I64, .unit = "px", .i64_default = 64, .i64_min = 16,
                                  .i64_max = 4096, .i64_multiple = 16);
static const SoraParam any = P (SORA_PARAM_I64, .i64_default = -5);
static const SoraParam scale = P (SORA_PARAM_F64, .f64_default = 5.5, .f64_min = 1, .f64_max = 20);
static const SoraParam prompt
    = P (SORA_PARAM_STRING, .flags = SORA_PARAM_REQUIRED | SORA_PARAM_SECRET, .i64_max = 8);
static const SoraParam text = P (SORA_PARAM_STRING, .str_default = "hello");
static const SoraParam sampler = P (SORA_PARAM_ENUM, .str_default = "unipc", .choices = choices);
static const SoraParam names = P (SORA_PARAM_STRING_LIST, .str_default = "a,b\\,c", .i64_max = 10);
static const SoraParam sigmas
    = P (SORA_PARAM_F64_LIST, .str_default = "1,0.5", .f64_min = 0, .f64_max = 1);
static const SoraParam pin = P (SORA_PARAM_I64, .flags = SORA_PARAM_SECRET, .i64_min = 1000,
                                .i64_max = 9999, .i64_multiple = 3);
static const SoraParam secret_scale
    = P (SORA_PARAM_F64, .flags = SORA_PARAM_SECRET, .f64_min = 0, .f64_max = 1);
static const SoraParam secret_choice
    = P (SORA_PARAM_ENUM, .flags = SORA_PARAM_SECRET, .str_default = "unipc", .choices = choices);
static const SoraParam thirds = P (SORA_PARAM_I64, .i64_multiple = 3);
static const SoraParam file = P (SORA_PARAM_FILE, .i64_max = 16);

static const struct
{
  const SoraParam *param;
  const char *given, *expected; /* GVariant texts; expected NULL: refused with @words */
  const char *words;
} checks[] = {
  { &boolean, "false", "false", NULL },
  { &boolean, "1", NULL, "parameter 'p' is 1, of type 'i'; expected true or false" },
  { &width, "int32 128", "int64 128", NULL },
  { &width, "uint16 128", "int64 128", NULL },
  { &width, "byte 0x20", "int64 32", NULL },
  { &width, "uint64 4096", "int64 4096", NULL },
  { &width, "int16 16", "int64 16", NULL },
  { &width, "uint32 16", "int64 16", NULL },
  { &width, "int64 0", NULL, "is 0, expected 16..4096 px" },
  { &width, "4112", NULL, "is 4112, expected 16..4096 px" },
  { &width, "70", NULL, "is 70, expected a multiple of 16: the next one below is 64" },
  { &width, "uint64 18446744073709551615", NULL, "expected at most 9223372036854775807" },
  { &width, "64.0", NULL, "of type 'd'; expected a whole number" },
  { &width, "'64'", NULL, "of type 's'; expected a whole number" },
  { &width, "true", NULL, "of type 'b'" },
  { &any, "int64 -9223372036854775808", "int64 -9223372036854775808", NULL },
  { &scale, "7.5", "7.5", NULL },
  { &scale, "7", "7.0", NULL },
  { &scale, "uint64 20", "20.0", NULL },
  { &scale, "0.999", NULL, "is 0.999, expected 1..20" },
  { &scale, "inf", NULL, "expected a finite number" },
  { &scale, "nan", NULL, "expected a finite number" },
  { &scale, "'7'", NULL, "expected a number" },
  { &prompt, "'12345678'", "'12345678'", NULL },
  { &prompt, "'123456789'", NULL, "is 9 bytes long, expected at most 8" },
  { &prompt, "42", NULL, "is (not shown), of type 'i'; expected a text" },
  { &pin, "777", NULL, "is (not shown), expected 1000..9999" },
  { &pin, "1234", NULL, "is (not shown), expected a multiple of 3" },
  { &pin, "uint64 18446744073709551615", NULL, "is (not shown), expected at most" },
  { &secret_scale, "1.5", NULL, "is (not shown), expected 0..1" },
  { &secret_scale, "inf", NULL, "is (not shown), expected a finite number" },
  { &secret_choice, "'word'", NULL, "is (not shown), expected one of: euler, unipc" },
  { &thirds, "-4", NULL, "is -4, expected a multiple of 3: the next one below is -6" },
  { &thirds, "int64 -9223372036854775808", NULL,
    "is -9223372036854775808, expected a multiple of 3" },
  { &sampler, "'euler'", "'euler'", NULL },
  { &sampler, "'Euler'", NULL, "is 'Euler', expected one of: euler, unipc" },
  { &names, "['x', 'y']", "['x', 'y']", NULL },
  { &names, "@as []", "@as []", NULL },
  { &names, "['12345678901']", NULL, "item 1, is 11 bytes long" },
  { &names, "'x'", NULL, "expected a list of texts" },
  { &sigmas, "[1, 0.25]", "[1.0, 0.25]", NULL },
  { &sigmas, "[1, 0]", "[1.0, 0.0]", NULL },
  { &sigmas, "[0.5, 1.5]", NULL, "item 2, is 1.5, expected 0..1" },
  { &sigmas, "['a']", NULL, "expected a list of numbers" },
  { &sigmas, "0.5", NULL, "expected a list of numbers" },
  { &file, "b'abc'", "b'abc'", NULL },
  { &file, "b'12345678901234567'", NULL, "a file of 18 bytes, expected at most 16" },
  { &file, "'path'", NULL, "expected the bytes of a file" },
};

START_TEST (values_are_checked_and_converted)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) given = g_variant_ref_sink (g_variant_new_parsed (checks[_i].given));
  g_autoptr (GVariant) value = sora_param_check (checks[_i].param, "parameter 'p'", given, &error);
  if (checks[_i].expected == NULL)
    {
      ck_assert_ptr_null (value);
      sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, checks[_i].words);
      return;
    }
  sora_assert_no_error (error);
  g_autoptr (GVariant) expected = g_variant_ref_sink (g_variant_new_parsed (checks[_i].expected));
  ck_assert (g_variant_equal (value, expected));
  ck_assert (!g_variant_is_floating (value));
}
END_TEST

static const struct
{
  const SoraParam *param;
  const char *given, *expected, *words;
} texts[] = {
  { &boolean, "true", "true", NULL },
  { &boolean, "off", "false", NULL },
  { &boolean, "2", NULL, "is '2', expected true or false" },
  { &width, "128", "int64 128", NULL },
  { &width, "128px", NULL, "is '128px', expected a whole number" },
  { &width, "", NULL, "is '', expected a whole number" },
  { &width, " 64", NULL, "expected a whole number" },
  { &width, "0x40", NULL, "expected a whole number" },
  { &width, "99999999999999999999", NULL, "expected a whole number" },
  { &width, "8", NULL, "expected 16..4096 px" },
  { &any, "-3", "int64 -3", NULL },
  /* The 60th byte is in the middle of a character. */
  { &any, "12345678901234567890123456789012345678901234567890123456789\303\244\303\244", NULL,
    "9\357\277\275', expected a whole number" },
  { &scale, "7.5", "7.5", NULL },
  { &scale, "1e1", "10.0", NULL },
  { &scale, "0x1p3", NULL, "expected a number" },
  { &scale, "nan", NULL, "expected a number" },
  { &scale, "inf", NULL, "expected a number" },
  { &scale, "1e999", NULL, "expected a number" },
  { &scale, "7,5", NULL, "expected a number" },
  { &prompt, "a ball", "'a ball'", NULL },
  { &prompt, "a\xff", NULL, "not valid UTF-8" },
  { &sampler, "unipc", "'unipc'", NULL },
  { &sampler, "", NULL, "expected one of" },
  { &names, "x,y z,", "['x', 'y z', '']", NULL },
  { &names, "x\\,y,\\\\", "['x,y', '\\\\']", NULL },
  { &names, "", "@as []", NULL },
  { &sigmas, "1,.5,0", "[1.0, 0.5, 0.0]", NULL },
  { &sigmas, "1,,0", NULL, "expected numbers separated by commas" },
  { &sigmas, "2", NULL, "expected 0..1" },
};

START_TEST (texts_are_parsed)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = sora_param_parse (texts[_i].param, "parameter 'p'", texts[_i].given, &error);
  if (texts[_i].expected == NULL)
    {
      ck_assert_ptr_null (value);
      sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, texts[_i].words);
      return;
    }
  sora_assert_no_error (error);
  g_autoptr (GVariant) expected = g_variant_ref_sink (g_variant_new_parsed (texts[_i].expected));
  ck_assert (g_variant_equal (value, expected));
}
END_TEST

START_TEST (secrets_are_in_no_message)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_int64 (1234));
  ck_assert_ptr_null (sora_param_check (&pin, "parameter 'p'", value, &error));
  ck_assert_ptr_null (strstr (error->message, "123")); /* nor what is next to it: 1233 */
}
END_TEST

/* Too long, and told so; and not printed whole for sixty characters of it. */
START_TEST (large_values_are_refused)
{
  g_autoptr (GError) error = NULL;
  g_autofree double *numbers = g_new0 (double, 65537);
  g_autoptr (GVariant) list = g_variant_ref_sink (
      g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, numbers, 65537, sizeof (double)));
  ck_assert_ptr_null (sora_param_check (&sigmas, "parameter 'p'", list, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, "has 65537 items, expected at most 65536");
  ck_assert_ptr_null (sora_param_check (&text, "parameter 'p'", list, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, "is a value of 524296 bytes, of type 'ad'");
}
END_TEST

START_TEST (files_are_read)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_test_dir ();
  g_autofree char *good = sora_test_write (dir, "good", "a\0b", 3);
  g_autofree char *large = sora_test_write (dir, "large", "12345678901234567", 17);
  g_autoptr (GVariant) value = sora_param_parse (&file, "parameter 'p'", good, &error);
  sora_assert_no_error (error);
  ck_assert_uint_eq (g_variant_get_size (value), 3);
  ck_assert_mem_eq (g_variant_get_data (value), "a\0b", 3);
  ck_assert_ptr_null (sora_param_parse (&file, "parameter 'p'", large, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, "parameter 'p': ");
  ck_assert_ptr_null (sora_param_parse (&file, "parameter 'p'", dir, &error));
  sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, "is a folder");
  ck_assert_ptr_null (sora_param_parse (&file, "parameter 'p'", "/nowhere/at/all", &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "parameter 'p': cannot open");
}
END_TEST

static const struct
{
  const SoraParam *param;
  const char *value, *range; /* NULL: none */
} described[] = {
  { &boolean, "true", "default true" },
  { &width, "int64 64", "16..4096 px, a multiple of 16; default 64" },
  { &any, "int64 -5", "default -5" },
  { &scale, "5.5", "1..20; default 5.5" },
  { &prompt, NULL, "required" },
  { &text, "'hello'", "default hello" },
  { &sampler, "'unipc'", "euler, unipc; default unipc" },
  { &names, "['a', 'b,c']", "default a,b\\,c" },
  { &sigmas, "[1.0, 0.5]", "0..1; default 1,0.5" },
  { &file, "@ay []", NULL },
};

START_TEST (defaults_and_ranges_are_told)
{
  g_autoptr (GVariant) value = sora_param_default (described[_i].param);
  g_autofree char *range = sora_param_describe_range (described[_i].param);
  if (described[_i].value == NULL)
    ck_assert_ptr_null (value);
  else
    {
      g_autoptr (GVariant) expected
          = g_variant_ref_sink (g_variant_new_parsed (described[_i].value));
      ck_assert (g_variant_equal (value, expected));
    }
  ck_assert_pstr_eq (range, described[_i].range);
}
END_TEST

START_TEST (types_have_names)
{
  for (int type = SORA_PARAM_BOOL; type <= SORA_PARAM_FILE; type++)
    ck_assert_ptr_nonnull (sora_param_type_name ((SoraParamType)type));
  ck_assert_ptr_null (sora_param_type_name ((SoraParamType)0));
  ck_assert_ptr_null (sora_param_type_name ((SoraParamType)99));
  g_autoptr (GError) error = NULL;
  const SoraParam odd = P (77);
  ck_assert_ptr_null (sora_param_parse (&odd, "parameter 'p'", "x", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_REQUEST, "expected a type that this program knows");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("param");
  TCase *tcase = sora_test_case (suite, "param");
  tcase_add_loop_test (tcase, values_are_checked_and_converted, 0, G_N_ELEMENTS (checks));
  tcase_add_loop_test (tcase, texts_are_parsed, 0, G_N_ELEMENTS (texts));
  tcase_add_test (tcase, secrets_are_in_no_message);
  tcase_add_test (tcase, large_values_are_refused);
  tcase_add_test (tcase, files_are_read);
  tcase_add_loop_test (tcase, defaults_and_ranges_are_told, 0, G_N_ELEMENTS (described));
  tcase_add_test (tcase, types_have_names);
  return sora_test_main (suite);
}
