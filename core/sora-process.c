/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a process that runs plans sets up once, and what it is: version and instruction set.
 */
#include "config.h"
#include "sora-compute.h"
#include "sora-instance.h"
#include "sora-packed.h"
#include "sora-runner.h"
#include <signal.h>
#include <sys/resource.h>

/* Numbered frames are a file each, open until their stage ends; the usual soft limit of 1,024 is
 * for programs that use select(), and there is none here. */
static void
raise_open_files (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
}

void
sora_process_init (void)
{
  static gsize once;

  if (!g_once_init_enter (&once))
    return;
  /* Threads of an OpenMP team that spin while the encoder works halve its speed.  Who set it
   * otherwise knows why. */
  g_setenv ("OMP_WAIT_POLICY", "passive", FALSE);
  /* A file that grows beyond the limit is an error of write(), not the end of the process. */
  signal (SIGXFSZ, SIG_IGN);
  raise_open_files ();
  g_once_init_leave (&once, 1);
}

void
sora_process_shutdown (void)
{
  /* Who wanted to wait for what is being written had it closed before. */
  sora_packed_give_up_all ();
  sora_instances_destroy_all ();
  sora_compute_shutdown ();
}

const char *
sora_version (void)
{
  return PACKAGE_VERSION;
}

const char *
sora_isa (void)
{
#if defined(__x86_64__)
  __builtin_cpu_init ();
  if (__builtin_cpu_supports ("avx512vnni"))
    return "avx512_vnni";
  if (__builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512bw"))
    return "avx512";
  if (__builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma"))
    return "avx2";
  if (__builtin_cpu_supports ("sse4.1"))
    return "sse4.1";
#endif
  return "base";
}
