/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The registry: manifests that are read, manifests and modules that are refused, each in its own
 * words.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sora-registry.h"
#include "sora-test-util.h"

#define HEAD                                                                                       \
  "[Plugin]\nId=broken\nName=Broken\nVersion=1.0\nLicence=LGPL-2.1-or-later\nSummary=A fixture\n"
#define STAGE "[Stage stage]\nKind=test\nSummary=Does nothing\nOutputs=text\n"
#define GOOD HEAD "Abi=1.0\nModule=module.so\n" STAGE

static SoraRegistry *
registry_for (const char *dir)
{
  const char *dirs[] = { dir, NULL };
  return sora_registry_new (dirs);
}

/* A folder with this manifest beside this fixture's module. */
static char *
plugin_dir (const char *manifest, const char *fixture)
{
  char *dir = sora_test_dir ();
  sora_test_text (dir, "broken.plugin", manifest);
  if (fixture != NULL)
    {
      g_autofree char *module = g_strdup_printf ("%s/tests/broken/.libs/%s.so",
                                                 g_getenv ("SORA_TEST_BUILDDIR"), fixture);
      g_autofree char *link = g_build_filename (dir, "module.so", NULL);
      ck_assert_msg (g_file_test (module, G_FILE_TEST_EXISTS), "no fixture '%s'", module);
      ck_assert_int_eq (symlink (module, link), 0);
    }
  return dir;
}

START_TEST (manifests_tell_what_there_is)
{
  g_autofree char *dir
      = plugin_dir (GOOD "[Stage other]\nKind=filter\nSummary=More\nInputs=a;b\n", NULL);
  sora_test_text (dir, "a-readme.txt", "not a manifest");
  sora_test_text (dir, ".hidden.plugin", "not a manifest either");
  g_autoptr (SoraRegistry) registry = registry_for (dir);
  ck_assert_ptr_null (sora_registry_warnings (registry)[0]);
  const SoraPluginInfo *info = sora_registry_find (registry, "broken");
  ck_assert_str_eq (sora_plugin_info_id (info), "broken");
  ck_assert_str_eq (sora_plugin_info_name (info), "Broken");
  ck_assert_str_eq (sora_plugin_info_version (info), "1.0");
  ck_assert_str_eq (sora_plugin_info_licence (info), "LGPL-2.1-or-later");
  ck_assert_str_eq (sora_plugin_info_summary (info), "A fixture");
  ck_assert (g_str_has_suffix (sora_plugin_info_module_path (info), "/module.so"));
  ck_assert (g_str_has_suffix (sora_plugin_info_manifest_path (info), "/broken.plugin"));
  const SoraStageInfo *const *stages = sora_plugin_info_stages (info);
  ck_assert_str_eq (stages[0]->id, "stage");
  ck_assert_str_eq (stages[0]->outputs[0], "text");
  ck_assert_ptr_null (stages[0]->inputs[0]);
  ck_assert_str_eq (stages[1]->kind, "filter");
  ck_assert_str_eq (stages[1]->inputs[1], "b");
  ck_assert_ptr_null (stages[2]);
  g_autoptr (GPtrArray) list = sora_registry_list (registry);
  ck_assert_uint_eq (list->len, 1);
}
END_TEST

START_TEST (the_first_folder_wins)
{
  g_autofree char *first = plugin_dir (GOOD, NULL);
  g_autofree char *second = plugin_dir (HEAD "Abi=1.0\nModule=other.so\n" STAGE, NULL);
  const char *dirs[] = { "/no/such/folder", first, second, NULL };
  g_autoptr (SoraRegistry) registry = sora_registry_new (dirs);
  g_autoptr (GPtrArray) list = sora_registry_list (registry);
  ck_assert_uint_eq (list->len, 1);
  ck_assert (g_str_has_prefix (sora_plugin_info_module_path (g_ptr_array_index (list, 0)), first));
}
END_TEST

/* The user's own, half edited, is not the system's. */
START_TEST (the_first_folder_has_the_last_word)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *first = plugin_dir ("no group\n", NULL);
  g_autofree char *second = plugin_dir (GOOD, "descriptor-good");
  const char *dirs[] = { first, second, NULL };
  g_autoptr (SoraRegistry) registry = sora_registry_new (dirs);
  ck_assert_ptr_null (sora_registry_find (registry, "broken"));
  ck_assert_ptr_null (sora_registry_load (registry, "broken", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PLUGIN, first);
}
END_TEST

static const struct
{
  const char *manifest, *words;
} manifests[] = {
  { "", "has no [Plugin] group" },
  { "no group\n", "broken.plugin" },
  { "\xff\xfe", "not valid UTF-8" },
  { "[Plugin]\nName=x\n", "[Plugin] has no Id=" },
  { "[Plugin]\nId=\n", "[Plugin] Id= is empty" },
  { "[Plugin]\nId=broken\nId=broken\n", "line 3: key Id of [Plugin] stands there twice" },
  { HEAD "Abi=1.0\nModule=module.so\n" STAGE STAGE, "group [Stage stage] stands there twice" },
  { HEAD "Module=module.so\n" STAGE, "[Plugin] has no Abi=" },
  { HEAD "Abi=one\nModule=module.so\n" STAGE, "Abi=one is not like 1.2" },
  { HEAD "Abi=2.4\nModule=module.so\n" STAGE, "built for plugin ABI 2.4, this program has 1.2" },
  { HEAD "Abi=1.0\n" STAGE, "[Plugin] has no Module=" },
  { HEAD "Abi=1.0\nModule=../module.so\n" STAGE, "Module=../module.so is not a plain file name" },
  { HEAD "Abi=1.0\nModule=/lib/module.so\n" STAGE,
    "Module=/lib/module.so is not a plain file name" },
  { HEAD "Abi=1.0\nModule=..\n" STAGE, "Module=.. is not a plain file name" },
  { HEAD "Abi=1.0\nModule=module.so\n", "has no [Stage ...] group" },
  { HEAD "Abi=1.0\nModule=module.so\n[Stage ]\nKind=x\n", "is not a name" },
  { HEAD "Abi=1.0\nModule=module.so\n[Stage a b]\nKind=x\n", "'a b' in [Stage a b] is not a name" },
  { HEAD "Abi=1.0\nModule=module.so\n[Stage a]\nSummary=x\n", "[Stage a] has no Kind=" },
  { HEAD "Abi=1.0\nModule=module.so\n[Stage a]\nKind=x\n", "[Stage a] has no Summary=" },
  { HEAD "Abi=1.0\nModule=module.so\n[Stage a]\nKind=x\nSummary=y\nInputs=a;b;a\n",
    "Inputs= has 'a'" },
  { HEAD "Abi=1.0\nModule=module.so\n[Stage a]\nKind=x\nSummary=y\nOutputs=a/b\n",
    "Outputs= has 'a/b'" },
  { "[Plugin]\nId=wrong\nName=Broken\nVersion=1\nLicence=MIT\nSummary=x\nAbi=1.0\n",
    "Id=wrong is not the file's name" },
  { "[Plugin]\nId=broken\nName=Broken\nVersion=1\nLicence=MIT\nSummary=\\q\n", "Summary=" },
};

START_TEST (broken_manifests_are_left_out_and_told)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = plugin_dir (manifests[_i].manifest, NULL);
  g_autoptr (SoraRegistry) registry = registry_for (dir);
  const char *const *warnings = sora_registry_warnings (registry);
  ck_assert_ptr_null (sora_registry_find (registry, "broken"));
  ck_assert_ptr_nonnull (warnings[0]);
  ck_assert_ptr_null (warnings[1]);
  ck_assert_msg (strstr (warnings[0], manifests[_i].words) != NULL, "'%s' does not hold '%s'",
                 warnings[0], manifests[_i].words);
  /* Who asks for it is told why it is not there. */
  ck_assert_ptr_null (sora_registry_load (registry, "broken", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PLUGIN, manifests[_i].words);
}
END_TEST

START_TEST (what_a_later_manifest_says_is_passed_over)
{
  g_autofree char *dir = plugin_dir (
      HEAD "Abi=1.7\nModule=module.so\nColour=red\n" STAGE "Hue=3\n[Extra]\na=b\n", NULL);
  g_autoptr (SoraRegistry) registry = registry_for (dir);
  const char *const *warnings = sora_registry_warnings (registry);
  ck_assert_ptr_nonnull (sora_registry_find (registry, "broken"));
  ck_assert_uint_eq (g_strv_length ((char **)warnings), 3);
}
END_TEST

START_TEST (a_huge_manifest_is_refused)
{
  g_autofree char *dir = sora_test_dir ();
  g_autofree char *text = g_strnfill (2u << 20, '#');
  sora_test_text (dir, "broken.plugin", text);
  g_autoptr (SoraRegistry) registry = registry_for (dir);
  ck_assert_ptr_nonnull (strstr (sora_registry_warnings (registry)[0],
                                 "2097152 bytes long, expected at most 1048576"));
}
END_TEST

static const struct
{
  const char *fixture, *words; /* words NULL: loads */
} modules[] = {
  { "descriptor-good", NULL },
  { "wrong-magic", "begins with 0xfeedface, expected 0x41524f53" },
  { "other-major", "built for plugin ABI 7.3, this program has 1.2" },
  { "needs-minor", "needs plugin ABI 1.9999 or later, this program has 1.2" },
  { "short-struct", "struct_size is 40, shorter than the 64 of ABI 1.0" },
  { "missing-symbol", "has no symbol 'sora_plugin'" },
  { "function-symbol", "'sora_plugin' is a function" },
  { "tiny-symbol", "'sora_plugin' is 4 bytes long" },
  { "undefined-symbol", "sora_no_such_function" },
};

START_TEST (modules_are_checked)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = plugin_dir (GOOD, modules[_i].fixture);
  g_autoptr (SoraRegistry) registry = registry_for (dir);
  const SoraPlugin *plugin = sora_registry_load (registry, "broken", &error);
  if (modules[_i].words == NULL)
    {
      sora_assert_no_error (error);
      ck_assert_str_eq (plugin->id, "broken");
      ck_assert_ptr_eq (sora_registry_load (registry, "broken", &error), plugin);
      return;
    }
  ck_assert_ptr_null (plugin);
  sora_assert_error (error, SORA_ERROR_INVALID_PLUGIN, modules[_i].words);
  ck_assert_ptr_null (sora_registry_load (registry, "broken", &error)); /* the same words again */
  sora_assert_error (error, SORA_ERROR_INVALID_PLUGIN, modules[_i].words);
}
END_TEST

START_TEST (a_module_that_is_not_there_is_told)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = plugin_dir (GOOD, NULL);
  g_autoptr (SoraRegistry) registry = registry_for (dir);
  ck_assert_ptr_null (sora_registry_load (registry, "broken", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PLUGIN, "which is not there");
  g_autofree char *text = sora_test_write (dir, "module.so", "not ELF", -1);
  g_autoptr (SoraRegistry) again = registry_for (dir);
  ck_assert_ptr_null (sora_registry_load (again, "broken", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PLUGIN, "cannot load '");
}
END_TEST

static const struct
{
  const char *manifest, *words;
} contradictions[] = {
  { "[Plugin]\nId=broken\nName=B\nVersion=2.0\nLicence=LGPL-2.1-or-later\nSummary=x\nAbi=1."
    "0\nModule=module.so\n" STAGE,
    "says that the version is '2.0', but the module says '1.0'" },
  { "[Plugin]\nId=broken\nName=B\nVersion=1.0\nLicence=MIT\nSummary=x\nAbi=1.0\nModule=module."
    "so\n" STAGE,
    "says that the licence is 'MIT'" },
  { GOOD "[Stage more]\nKind=test\nSummary=x\n", "says that the list of stages is 'stage;more'" },
  { HEAD "Abi=1.0\nModule=module.so\n[Stage stage]\nKind=filter\nSummary=x\nOutputs=text\n",
    "says that the kind of stage 'stage' is 'filter'" },
  { HEAD
    "Abi=1.0\nModule=module.so\n[Stage stage]\nKind=test\nSummary=x\nInputs=in\nOutputs=text\n",
    "says that the list of inputs of stage 'stage' is 'in', but the module says ''" },
  { HEAD "Abi=1.0\nModule=module.so\n[Stage stage]\nKind=test\nSummary=x\n",
    "says that the list of outputs of stage 'stage' is ''" },
};

START_TEST (a_manifest_must_be_true)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = plugin_dir (contradictions[_i].manifest, "descriptor-good");
  g_autoptr (SoraRegistry) registry = registry_for (dir);
  ck_assert_ptr_null (sora_registry_load (registry, "broken", &error));
  sora_assert_error (error, SORA_ERROR_INVALID_PLUGIN, contradictions[_i].words);
}
END_TEST

START_TEST (stages_are_found_by_name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = plugin_dir (GOOD, "descriptor-good");
  g_autoptr (SoraRegistry) registry = registry_for (dir);
  const SoraPlugin *plugin = NULL;
  const SoraStageClass *stage = sora_registry_stage (registry, "broken", &plugin, &error);
  sora_assert_no_error (error);
  ck_assert_str_eq (stage->id, "stage"); /* the only one */
  ck_assert_str_eq (plugin->id, "broken");
  ck_assert_ptr_eq (sora_registry_stage (registry, "broken/stage", NULL, &error), stage);
  ck_assert_ptr_null (sora_registry_stage (registry, "broken/other", NULL, &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND, "has no stage 'other'; it has: broken/stage");
  ck_assert_ptr_null (sora_registry_stage (registry, "nothing", NULL, &error));
  sora_assert_error (error, SORA_ERROR_NOT_FOUND,
                     "there is no plugin 'nothing'; there are: broken");
}
END_TEST

static gpointer
load_it (gpointer registry)
{
  return (gpointer)sora_registry_load (registry, "broken", NULL);
}

START_TEST (loading_is_safe_from_any_thread)
{
  g_autofree char *dir = plugin_dir (GOOD, "descriptor-good");
  g_autoptr (SoraRegistry) registry = registry_for (dir);
  GThread *threads[8];
  for (int i = 0; i < 8; i++)
    threads[i] = g_thread_new ("loader", load_it, registry);
  gpointer first = g_thread_join (threads[0]);
  ck_assert_ptr_nonnull (first);
  for (int i = 1; i < 8; i++)
    ck_assert_ptr_eq (g_thread_join (threads[i]), first);
}
END_TEST

START_TEST (search_paths_follow_the_rules)
{
  g_setenv ("SORA_PLUGIN_PATH", "/one::/two", TRUE);
  g_auto (GStrv) user = sora_registry_default_dirs (TRUE);
  g_auto (GStrv) system = sora_registry_default_dirs (FALSE);
  ck_assert_str_eq (user[0], "/one");
  ck_assert_str_eq (user[1], "/two");
  ck_assert (g_str_has_suffix (user[2], "/.local/lib/sora-1/plugins"));
  ck_assert (g_str_has_suffix (user[3], "/sora-1/plugins"));
  ck_assert_ptr_null (user[4]);
  ck_assert_uint_eq (g_strv_length (system), 1);
  ck_assert_str_eq (system[0], user[3]);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("registry");
  TCase *tcase = sora_test_case (suite, "registry");
  tcase_add_test (tcase, manifests_tell_what_there_is);
  tcase_add_test (tcase, the_first_folder_wins);
  tcase_add_test (tcase, the_first_folder_has_the_last_word);
  tcase_add_loop_test (tcase, broken_manifests_are_left_out_and_told, 0, G_N_ELEMENTS (manifests));
  tcase_add_test (tcase, what_a_later_manifest_says_is_passed_over);
  tcase_add_test (tcase, a_huge_manifest_is_refused);
  tcase_add_loop_test (tcase, modules_are_checked, 0, G_N_ELEMENTS (modules));
  tcase_add_test (tcase, a_module_that_is_not_there_is_told);
  tcase_add_loop_test (tcase, a_manifest_must_be_true, 0, G_N_ELEMENTS (contradictions));
  tcase_add_test (tcase, stages_are_found_by_name);
  tcase_add_test (tcase, loading_is_safe_from_any_thread);
  tcase_add_test (tcase, search_paths_follow_the_rules);
  return sora_test_main (suite);
}
