/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The checks of a descriptor: one good one in memory, and everything that can be wrong with it, one
 * at a time.
 */
#include "config.h"
#include <math.h>
#include <string.h>
#include "sora-registry.h"
#include "sora-test-util.h"

/* Fresh for each test, since Check forks: a test changes what it wants. */
static const char *choice_list[] = { "a", "b", NULL, NULL };
static SoraPort input = { .struct_size = sizeof input,
                          .name = "in",
                          .semantic = "test.thing/1",
                          .dtypes = SORA_DTYPE_BIT (SORA_F32),
                          .dims = "C,T,H,3",
                          .help = "In." };
static SoraPort output = { .struct_size = sizeof output,
                           .flags = SORA_PORT_CACHEABLE,
                           .name = "out",
                           .semantic = "sora.file/1",
                           .help = "Out." };
static SoraParam number = { .struct_size = sizeof number,
                            .type = SORA_PARAM_I64,
                            .name = "n",
                            .help = "A number.",
                            .i64_default = 8,
                            .i64_min = 4,
                            .i64_max = 64,
                            .i64_multiple = 4 };
static SoraParam choice = { .struct_size = sizeof choice,
                            .type = SORA_PARAM_ENUM,
                            .name = "c",
                            .help = "A choice.",
                            .str_default = "a",
                            .choices = choice_list };
static SoraModelSlot slot
    = { .struct_size = sizeof slot, .name = "model", .components = "text_encoder,tokenizer" };
static const SoraPort *inputs[70] = { &input };
static const SoraPort *outputs[3] = { &output };
static const SoraParam *params[300] = { &number, &choice };
static const SoraModelSlot *slots[70] = { &slot };

static int
infer (const SoraHost *host, SoraContext *ctx)
{
  return SORA_OK;
}

static int
create (const SoraHost *host, SoraContext *ctx, void **instance)
{
  return SORA_OK;
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return SORA_OK;
}

static void
destroy (const SoraHost *host, void *instance)
{
}

static SoraStageClass stage = { .struct_size = sizeof stage,
                                .id = "stage",
                                .kind = "test",
                                .summary = "A stage",
                                .inputs = inputs,
                                .outputs = outputs,
                                .params = params,
                                .models = slots,
                                .infer = infer,
                                .create = create,
                                .run = run,
                                .destroy = destroy };
static const SoraStageClass *stages[70] = { &stage };
static SoraPlugin plugin = { .magic = SORA_PLUGIN_MAGIC,
                             .struct_size = sizeof plugin,
                             .abi_major = SORA_ABI_MAJOR,
                             .abi_minor = SORA_ABI_MINOR,
                             .id = "plugin",
                             .version = "1.0",
                             .licence = "MIT",
                             .summary = "A plugin",
                             .stages = stages };

static void
expect (const char *words)
{
  g_autoptr (GError) error = NULL;
  ck_assert_msg (!sora_plugin_descriptor_check (&plugin, "test.so", &error),
                 "accepted, expected '%s'", words);
  sora_assert_error (error, SORA_ERROR_INVALID_PLUGIN, "'test.so': ");
  ck_assert (!sora_plugin_descriptor_check (&plugin, "test.so", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PLUGIN, words);
}

static void
expect_good (void)
{
  g_autoptr (GError) error = NULL;
  sora_plugin_descriptor_check (&plugin, "test.so", &error);
  sora_assert_no_error (error);
}

/* Sets a place to a value, expects those words, and puts back what was there. */
#define BREAK(place, value, words)                                                                 \
  do                                                                                               \
    {                                                                                              \
      __typeof__ (place) kept = (place);                                                           \
      (place) = (value);                                                                           \
      expect (words);                                                                              \
      (place) = kept;                                                                              \
      expect_good ();                                                                              \
    }                                                                                              \
  while (0)

START_TEST (descriptors)
{
  expect_good ();
  BREAK (plugin.magic, 5, "begins with 0x00000005, expected 0x41524f53");
  BREAK (plugin.abi_major, 2, "built for plugin ABI 2.2, this program has 1.2");
  BREAK (plugin.abi_major, 0, "built for plugin ABI 0.2, this program has 1.2");
  BREAK (plugin.needs_minor, 3, "needs plugin ABI 1.3 or later, this program has 1.2");
  BREAK (plugin.struct_size, 63, "struct_size is 63, shorter than the 64 of ABI 1.0");
  BREAK (plugin.flags, 1, "unknown flags 0x1");
  BREAK (plugin.id, NULL, "the plugin's id is empty");
  BREAK (plugin.id, "", "the plugin's id is empty");
  BREAK (plugin.id, "a/b", "'a/b' is not a name");
  BREAK (plugin.id, "a\xff", "the plugin's id is not valid UTF-8");
  BREAK (plugin.version, "", "the plugin's version is empty");
  BREAK (plugin.licence, NULL, "the plugin's licence is empty");
  BREAK (plugin.summary, "", "the plugin's summary is empty");
  BREAK (plugin.stages, NULL, "it has no stages");
  BREAK (stages[0], NULL, "it has no stages");
  BREAK (stages[1], &stage, "two of its stages are named 'stage'");
}
END_TEST

START_TEST (later_minors_may_say_more)
{
  plugin.abi_minor = 5;
  plugin.struct_size = sizeof plugin + 64;
  plugin.flags = 0x80;
  input.flags |= 0x100;
  number.flags |= 0x100;
  stage.flags = 0x100;
  slot.flags = 0x100;
  expect_good ();
  plugin.needs_minor = 6;
  expect ("needs plugin ABI 1.6 or later");
}
END_TEST

START_TEST (stage_classes)
{
  BREAK (stage.struct_size, 8, "stage 0: struct_size is 8, shorter than the");
  BREAK (stage.id, "", "stage 0: its id is empty");
  BREAK (stage.id, "a b", "'a b' is not a name");
  BREAK (stage.kind, NULL, "stage 'stage': its kind is empty");
  BREAK (stage.summary, "", "stage 'stage': its summary is empty");
  BREAK (stage.flags, 1, "stage 'stage' has unknown flags 0x1");
  BREAK (stage.infer, NULL, "stage 'stage' has no infer function");
  BREAK (stage.run, NULL, "stage 'stage' has no run function");
  BREAK (stage.destroy, NULL, "stage 'stage' has create, but no destroy");
  inputs[0] = NULL;
  expect_good (); /* a source */
  BREAK (stage.outputs, NULL, "stage 'stage' has neither inputs nor outputs");
  stages[1] = &stage;
  expect ("two of its stages");
}
END_TEST

START_TEST (ports)
{
  BREAK (input.struct_size, 12, "stage 'stage', input 0: struct_size is 12");
  BREAK (input.name, NULL, "stage 'stage', input 0: its name is empty");
  BREAK (input.name, "a:b", "stage 'stage', input 'a:b': not a name");
  BREAK (input.semantic, "", "stage 'stage', input 'in': its semantic id is empty");
  BREAK (input.semantic, "test.thing", "'test.thing' is no semantic id");
  BREAK (input.semantic, "/1", "'/1' is no semantic id");
  BREAK (input.semantic, "a b/1", "'a b/1' is no semantic id");
  BREAK (input.semantic, "thing/x", "'thing/x' is no semantic id");
  BREAK (input.help, NULL, "input 'in': its help is empty");
  BREAK (input.dtypes, 0, "takes no dtype");
  BREAK (input.dtypes, 1u << 20, "unknown dtypes 0x100000");
  BREAK (input.dtypes, SORA_DTYPE_BIT (SORA_DTYPE_INVALID), "unknown dtypes 0x1");
  BREAK (input.dims, NULL, "dims '(NULL)'");
  BREAK (input.dims, "C,,H", "dims 'C,,H'");
  BREAK (input.dims, "C,0", "dims 'C,0'");
  BREAK (input.dims, "C;H", "dims 'C;H'");
  BREAK (input.flags, SORA_PORT_CACHEABLE, "input 'in' has flags 0x4, which an input cannot have");
  BREAK (input.flags, 1u << 9, "has flags 0x200");
  BREAK (output.flags, SORA_PORT_OPTIONAL,
         "output 'out' has flags 0x2, which an output cannot have");
  BREAK (output.dims, "N", "a port of sora.file/1 has no dtypes, dims or stream");
  BREAK (output.flags, SORA_PORT_STREAM, "a port of sora.file/1 has no dtypes, dims or stream");
  BREAK (inputs[1], &input, "stage 'stage' has two inputs named 'in'");
  BREAK (outputs[1], &output, "stage 'stage' has two outputs named 'out'");
  input.dims = "";
  expect_good (); /* a scalar */
  BREAK (input.flags, SORA_PORT_STREAM, "a stream of scalars");
  SoraPort many[65];
  char names[65][8];
  for (int i = 0; i < 65; i++)
    {
      g_snprintf (names[i], sizeof names[i], "p%d", i);
      many[i] = input;
      many[i].name = names[i];
      inputs[i] = &many[i];
    }
  expect ("more than 64 inputs, or the table does not end with NULL");
}
END_TEST

/* Tables that go on: each has a limit, and is not read behind it. */
START_TEST (tables_end)
{
  static char texts[300][8];
  static const char *many_choices[300];
  static SoraParam many[300];
  static SoraModelSlot many_slots[65];
  static SoraStageClass many_stages[65];

  for (int i = 0; i < 300; i++)
    {
      g_snprintf (texts[i], sizeof texts[i], "x%d", i);
      many_choices[i] = texts[i];
      many[i] = number;
      many[i].name = texts[i];
      params[i] = &many[i];
    }
  expect ("more than 256 parameters, or the table does not end with NULL");
  memset (params, 0, sizeof params);
  params[0] = &number;
  params[1] = &choice;
  expect_good ();
  BREAK (choice.choices, many_choices, "more than 256 choices, or they do not end with NULL");
  for (int i = 0; i < 65; i++)
    {
      many_slots[i] = slot;
      many_slots[i].name = texts[i];
      slots[i] = &many_slots[i];
    }
  expect ("more than 64 model slots, or the table does not end with NULL");
  memset (slots, 0, sizeof slots);
  expect_good ();
  for (int i = 0; i < 65; i++)
    {
      many_stages[i] = stage;
      many_stages[i].id = texts[i];
      stages[i] = &many_stages[i];
    }
  expect ("more than 64 stages, or its table does not end with NULL");
}
END_TEST

START_TEST (parameters)
{
  BREAK (number.struct_size, 20, "stage 'stage', parameter 0: struct_size is 20");
  BREAK (number.name, "", "stage 'stage', parameter 0: its name is empty");
  BREAK (number.name, "a.b", "parameter 'a.b': not a name");
  BREAK (number.help, NULL, "parameter 'n': its help is empty");
  BREAK (number.unit, "", "parameter 'n': its unit is empty");
  BREAK (number.type, 0, "parameter 'n' has type 0, expected a SoraParamType (1..8)");
  BREAK (number.type, 9, "parameter 'n' has type 9");
  BREAK (number.flags, 8, "parameter 'n' has unknown flags 0x8");
  BREAK (number.i64_default, 65, "its default is 65, expected 4..64");
  BREAK (number.i64_default, 6, "its default is 6, expected a multiple of 4");
  BREAK (number.i64_multiple, -4, "i64_multiple is -4, expected 0 or more");
  BREAK (number.f64_max, NAN, "not a finite number");
  BREAK (number.choices, choice_list, "has choices, but is no SORA_PARAM_ENUM");
  BREAK (choice.choices, NULL, "is a SORA_PARAM_ENUM without choices");
  BREAK (choice_list[0], NULL, "is a SORA_PARAM_ENUM without choices");
  BREAK (choice_list[1], "", "choice 1 is empty");
  BREAK (choice_list[1], "a", "has the choice 'a' twice");
  BREAK (choice.str_default, "c", "its default is 'c', expected one of: a, b");
  BREAK (choice.str_default, NULL, "its default is '', expected one of: a, b");
  BREAK (choice.str_default, "\xff", "its default is not valid UTF-8");
  BREAK (params[2], &number, "stage 'stage' has two parameters named 'n'");
  choice.flags = SORA_PARAM_REQUIRED;
  choice.str_default = NULL;
  expect_good ();
}
END_TEST

START_TEST (model_slots)
{
  BREAK (slot.struct_size, 4, "stage 'stage', model slot 0: struct_size is 4");
  BREAK (slot.name, NULL, "model slot 0: its name is empty");
  BREAK (slot.name, "a/b", "model slot 0: 'a/b' is not a name");
  BREAK (slot.components, "", "model slot 0: its list of components is empty");
  BREAK (slot.components, "vae,", "components 'vae,' is not like");
  BREAK (slot.flags, 1, "model slot 0 has unknown flags 0x1");
  BREAK (slots[1], &slot, "stage 'stage' has two model slots named 'model'");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("plugin-check");
  TCase *tcase = sora_test_case (suite, "plugin-check");
  tcase_add_test (tcase, descriptors);
  tcase_add_test (tcase, later_minors_may_say_more);
  tcase_add_test (tcase, stage_classes);
  tcase_add_test (tcase, ports);
  tcase_add_test (tcase, tables_end);
  tcase_add_test (tcase, parameters);
  tcase_add_test (tcase, model_slots);
  return sora_test_main (suite);
}
