/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What memory is left, of made-up machines: trees with the files of /proc and of control groups.
 */
#include "config.h"
#include "sora-memory.h"
#include "sora-test-util.h"
#include <sys/resource.h>

#define MIB (1024ull * 1024)
#define NONE G_MAXUINT64

static char *root;

static void
set_up (void)
{
  root = sora_test_dir ();
  /* 8 GiB are free. */
  sora_test_text (root, "proc/meminfo",
                  "MemTotal:       16777216 kB\nMemFree:  1000 kB\nMemAvailable:    8388608 kB\n");
  sora_test_text (
      root, "proc/self/status",
      "Name:\ttest\nVmPeak:\t 4194304 kB\nVmSize:\t 3145728 kB\nVmData:\t 1048576 kB\n");
}

static void
tear_down (void)
{
  g_clear_pointer (&root, g_free);
}

static void
put (const char *path, const char *text)
{
  sora_test_text (root, path, text);
}

static void
expect (guint64 mib)
{
  ck_assert_uint_eq (sora_memory_available_below (root, NONE, NONE) / MIB, mib);
}

START_TEST (the_machine_alone)
{
  expect (8192);
  put ("proc/self/cgroup", "0::/user.slice/session-1.scope\n");
  put ("sys/fs/cgroup/user.slice/session-1.scope/memory.max", "max\n");
  put ("sys/fs/cgroup/user.slice/session-1.scope/memory.current", "1048576000\n");
  expect (8192);
}
END_TEST

/* A container of 8 GB, of which 7.5 GiB are in use: nearly all of it is cached model files. */
START_TEST (cached_files_are_free)
{
  put ("proc/self/cgroup", "0::/\n");
  put ("sys/fs/cgroup/memory.max", "8589934592\n");
  put ("sys/fs/cgroup/memory.current", "8053063680\n");
  expect (512);
  put ("sys/fs/cgroup/memory.stat",
       "anon 1073741824\nfile 6979321856\ninactive_file 5368709120\nactive_file 1073741824\n");
  expect (512 + 6144);
  put ("sys/fs/cgroup/memory.stat", "inactive_file 99999999999999\nactive_file 1\n");
  expect (8192);
}
END_TEST

/* MemoryMax= of a unit, and of the slice that it is in; a host's root has no such file. */
START_TEST (limits_of_all_groups_above)
{
  put ("proc/self/cgroup", "1:name=systemd:/x\n0::/system.slice/sorad.service\n");
  put ("sys/fs/cgroup/system.slice/sorad.service/memory.max", "4294967296\n");
  put ("sys/fs/cgroup/system.slice/sorad.service/memory.current", "1073741824\n");
  expect (3072);
  put ("sys/fs/cgroup/system.slice/memory.max", "5368709120\n");
  put ("sys/fs/cgroup/system.slice/memory.current", "4294967296\n");
  expect (1024);
  put ("sys/fs/cgroup/system.slice/sorad.service/memory.high", "1610612736\n");
  expect (512);
  put ("sys/fs/cgroup/system.slice/sorad.service/memory.current", "2147483648\n");
  expect (0);
}
END_TEST

/* The host's path is told, and the container's own group is mounted as the root. */
START_TEST (a_path_that_is_not_mounted)
{
  put ("proc/self/cgroup", "0::/docker/0123\n");
  put ("sys/fs/cgroup/memory.max", "2147483648\n");
  put ("sys/fs/cgroup/memory.current", "1073741824\n");
  expect (1024);
  put ("proc/self/cgroup", "0::/../../elsewhere\n");
  expect (1024);
}
END_TEST

START_TEST (groups_of_version_1)
{
  put ("proc/self/cgroup", "12:cpu,cpuacct:/a\n5:memory:/docker/0123\n0::/\n");
  put ("sys/fs/cgroup/memory/docker/0123/memory.limit_in_bytes", "4294967296\n");
  put ("sys/fs/cgroup/memory/docker/0123/memory.usage_in_bytes", "4294967296\n");
  put ("sys/fs/cgroup/memory/docker/0123/memory.stat",
       "active_file 5\ntotal_active_file 1073741824\ntotal_inactive_file 1073741824\n");
  put ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put ("sys/fs/cgroup/memory/memory.usage_in_bytes", "9000000000\n");
  expect (2048);
}
END_TEST

START_TEST (limits_of_the_process)
{
  ck_assert_uint_eq (sora_memory_available_below (root, 3072 * MIB, NONE), 2048 * MIB);
  ck_assert_uint_eq (sora_memory_available_below (root, NONE, 4096 * MIB), 1024 * MIB);
  ck_assert_uint_eq (sora_memory_available_below (root, 1024 * MIB, 4096 * MIB), 0);
  ck_assert_uint_eq (sora_memory_available_below (root, 1 * MIB, NONE), 0);
}
END_TEST

START_TEST (nothing_is_told)
{
  g_autofree char *empty = sora_test_dir ();
  ck_assert_uint_eq (sora_memory_available_below (empty, NONE, NONE), 4096 * MIB);
}
END_TEST

#ifndef SORA_SANITIZERS
/* The limit of this very process: what sorad.conf's MemoryMax becomes. */
START_TEST (this_process)
{
  guint64 before = sora_memory_available ();
  ck_assert_uint_gt (before, 0);
  struct rlimit limit;
  ck_assert_int_eq (getrlimit (RLIMIT_DATA, &limit), 0);
  limit.rlim_cur = 1024 * MIB;
  ck_assert_int_eq (setrlimit (RLIMIT_DATA, &limit), 0);
  ck_assert_uint_lt (sora_memory_available (), 1024 * MIB);
}
END_TEST
#endif

int
main (void)
{
  Suite *suite = suite_create ("memory");
  TCase *tests = sora_test_case (suite, "memory");

  tcase_add_checked_fixture (tests, set_up, tear_down);
  tcase_add_test (tests, the_machine_alone);
  tcase_add_test (tests, cached_files_are_free);
  tcase_add_test (tests, limits_of_all_groups_above);
  tcase_add_test (tests, a_path_that_is_not_mounted);
  tcase_add_test (tests, groups_of_version_1);
  tcase_add_test (tests, limits_of_the_process);
  tcase_add_test (tests, nothing_is_told);
#ifndef SORA_SANITIZERS /* which take terabytes of address space, and cannot live with the limit   \
                         */
  tcase_add_test (tests, this_process);
#endif
  return sora_test_main (suite);
}
