/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * `soractl check` touches no weights: what it does (parameters of the pipeline, the plan, its sums)
 * reads of safetensors files their headers alone.  And this test would see it: running the plan
 * does touch them.
 */
#include "config.h"
#include <check.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <gmodule.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sora-pipeline.h"
#include "sora-request.h"
#include "sora-runner.h"

static int touched;

/* Its name tells: a shard may be a link. */
static gboolean
is_safetensors (int fd)
{
  char link[40], name[4096];
  g_snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  int saved = errno;
  ssize_t n = readlink (link, name, sizeof name - 1);
  errno = saved;
  name[MAX (n, 0)] = '\0';
  return g_str_has_suffix (name, ".safetensors");
}

/* In place of libc's, for the library too: the two ways to a file's bytes. */
G_MODULE_EXPORT void *
mmap (void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
  if (fd >= 0 && is_safetensors (fd))
    g_atomic_int_inc (&touched);
  return (void *)syscall (SYS_mmap, address, length, protection, flags, fd, offset);
}

G_MODULE_EXPORT ssize_t
pread (int fd, void *buffer, size_t length, off_t offset)
{
  uint64_t header = 0;
  if (is_safetensors (fd) && syscall (SYS_pread64, fd, &header, sizeof header, (off_t)0) == 8
      && (uint64_t)offset + length > 8 + header)
    g_atomic_int_inc (&touched);
  return syscall (SYS_pread64, fd, buffer, length, offset);
}

static SoraPlan *
plan_of (SoraEnvironment *environment)
{
  static const struct
  {
    const char *name;
    gint64 value;
  } numbers[] = { { "width", 32 }, { "height", 32 }, { "frames", 5 }, { "steps", 1 } };
  g_autoptr (GError) error = NULL;
  g_autoptr (SoraRequest) request = sora_request_new ("text-to-video");
  sora_request_set_param (request, "prompt", g_variant_new_string ("a red ball"));
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    sora_request_set_param (request, numbers[i].name, g_variant_new_int64 (numbers[i].value));
  g_hash_table_replace (request->models, g_strdup ("main"), g_strdup ("small-a"));
  sora_request_choose_seed (request);
  g_autoptr (SoraPipeline) pipeline = sora_pipeline_find (
      (const char *const *)environment->pipeline_dirs, "text-to-video", &error);
  ck_assert_msg (pipeline != NULL, "%s", error != NULL ? error->message : "");
  g_autoptr (GPtrArray) params = sora_pipeline_public_params (environment, pipeline, &error);
  ck_assert_msg (params != NULL, "%s", error != NULL ? error->message : "");
  SoraPlan *plan = sora_plan_new (environment, request, &error);
  ck_assert_msg (plan != NULL, "%s", error != NULL ? error->message : "");
  ck_assert (sora_plan_peak_bytes (plan) > 0 && sora_plan_flops (plan) > 0);
  return plan;
}

START_TEST (only_running_touches_weights)
{
  const char *source = g_getenv ("SORA_TEST_SRCDIR"), *build = g_getenv ("SORA_TEST_BUILDDIR");
  g_autofree char *plugins = g_build_filename (build, "stage", "plugins", NULL);
  g_autofree char *pipelines = g_build_filename (source, "pipelines", NULL);
  g_autofree char *models = g_build_filename (source, "tests", "golden", "models", NULL);
  const char *const in_plugins[] = { plugins, NULL }, *const in_pipelines[] = { pipelines, NULL },
                    *const in_models[] = { models, NULL };
  g_autoptr (SoraEnvironment) environment
      = sora_environment_new_for_dirs (in_plugins, in_pipelines, in_models);
  g_autoptr (SoraPlan) plan = plan_of (environment);
  ck_assert_int_eq (g_atomic_int_get (&touched), 0);

  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("test-weightless-XXXXXX", NULL);
  static const SoraRunnerCallbacks none;
  g_autoptr (SoraRunner) runner = sora_runner_new (plan, folder, NULL, &none, NULL);
  ck_assert_msg (sora_runner_run (runner, &error), "%s", error != NULL ? error->message : "");
  ck_assert_int_gt (g_atomic_int_get (&touched), 0);
  GPtrArray *files = sora_runner_files (runner);
  for (guint i = 0; i < files->len; i++)
    g_unlink (((SoraResultFile *)files->pdata[i])->path);
  g_rmdir (folder);
}
END_TEST

int
main (void)
{
  sora_process_init ();
  Suite *suite = suite_create ("weightless");
  TCase *checks = tcase_create ("check");
  tcase_add_test (checks, only_running_touches_weights);
  suite_add_tcase (suite, checks);
  SRunner *runner = srunner_create (suite);
  /* The threads that compute end with sora_process_shutdown(), which a child would never come to. */
  srunner_set_fork_status (runner, CK_NOFORK);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  sora_process_shutdown ();
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
