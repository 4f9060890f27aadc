/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * seccomp: the system calls that plugins and their libraries need, and no others.  What is not
 * named is answered ENOSYS, as by an older kernel, so that a C library takes its other way; what
 * is named with a condition and does not meet it is answered EPERM.  No processes, no programs, no
 * sockets, no mounts, nobody else's memory.  Memory may be made executable: oneDNN writes code.
 */
#include "config.h"
#include "sora-sandbox.h"

#include "core/sora-error.h"
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* By name, since not every machine has every one. */
static const char *const allowed[] = {
  /* memory */
  "brk",
  "madvise",
  "mincore",
  "mlock",
  "mlock2",
  "mmap",
  "mprotect",
  "mremap",
  "msync",
  "munlock",
  "munmap",
  "membarrier",
  "memfd_create",
  "mbind",
  "get_mempolicy",
  "set_mempolicy",
  /* files */
  "access",
  "chmod",
  "close",
  "close_range",
  "copy_file_range",
  "creat",
  "dup",
  "dup2",
  "dup3",
  "faccessat",
  "faccessat2",
  "fadvise64",
  "fallocate",
  "fchdir",
  "fchmod",
  "fchmodat",
  "fcntl",
  "fdatasync",
  "flock",
  "fstat",
  "fstatfs",
  "fsync",
  "ftruncate",
  "futimesat",
  "getcwd",
  "getdents",
  "getdents64",
  "lgetxattr",
  "getxattr",
  "fgetxattr",
  "link",
  "linkat",
  "lseek",
  "lstat",
  "mkdir",
  "mkdirat",
  "newfstatat",
  "fstatat64",
  "open",
  "openat",
  "openat2",
  "pipe",
  "pipe2",
  "pread64",
  "preadv",
  "pwrite64",
  "pwritev",
  "read",
  "readahead",
  "readlink",
  "readlinkat",
  "readv",
  "rename",
  "renameat",
  "renameat2",
  "rmdir",
  "sendfile",
  "stat",
  "statfs",
  "statx",
  "symlink",
  "symlinkat",
  "sync_file_range",
  "truncate",
  "umask",
  "unlink",
  "unlinkat",
  "utime",
  "utimensat",
  "utimes",
  "write",
  "writev",
  "chdir",
  /* waiting */
  "epoll_create",
  "epoll_create1",
  "epoll_ctl",
  "epoll_pwait",
  "epoll_wait",
  "eventfd",
  "eventfd2",
  "poll",
  "ppoll",
  "pselect6",
  "select",
  "timerfd_create",
  "timerfd_gettime",
  "timerfd_settime",
  "pause",
  "signalfd4",
  /* streams that are open already, and pairs of them */
  "recvfrom",
  "recvmsg",
  "sendmsg",
  "sendto",
  "shutdown",
  "getsockopt",
  "setsockopt",
  "getsockname",
  "getpeername",
  /* time */
  "clock_getres",
  "clock_gettime",
  "clock_nanosleep",
  "gettimeofday",
  "nanosleep",
  "time",
  "getitimer",
  "setitimer",
  "alarm",
  "times",
  "timer_create",
  "timer_settime",
  "timer_gettime",
  "timer_delete",
  "timer_getoverrun",
  /* threads and signals */
  "exit",
  "exit_group",
  "futex",
  "get_robust_list",
  "set_robust_list",
  "get_thread_area",
  "set_thread_area",
  "set_tid_address",
  "gettid",
  "rseq",
  "rt_sigaction",
  "rt_sigpending",
  "rt_sigprocmask",
  "rt_sigreturn",
  "rt_sigsuspend",
  "rt_sigtimedwait",
  "sigaltstack",
  "restart_syscall",
  "sched_get_priority_max",
  "sched_get_priority_min",
  "sched_getaffinity",
  "sched_getattr",
  "sched_getparam",
  "sched_getscheduler",
  "sched_setaffinity",
  "sched_setscheduler",
  "sched_yield",
  "getpriority",
  "setpriority",
  "arch_prctl",
  "wait4",
  "waitid",
  /* who and what one is */
  "capget",
  "getcpu",
  "getegid",
  "geteuid",
  "getgid",
  "getgroups",
  "getpgid",
  "getpgrp",
  "getpid",
  "getppid",
  "getresgid",
  "getresuid",
  "getrlimit",
  "getrusage",
  "getsid",
  "getuid",
  "prctl",
  "setrlimit",
  "sysinfo",
  "uname",
  "getrandom",
#ifdef SORA_SANITIZERS /* LeakSanitizer stops the threads from a process of its own */
  "ptrace",
  "kill",
  "tgkill",
  "tkill",
  "process_vm_readv",
  "prlimit64",
  "personality",
#endif
};

/* All else of ioctl() is refused; what must not pass is TIOCSTI, which puts words into a terminal's
 * mouth.  The kernel looks at 32 bits of the request, so that the filter may look at no more: one
 * that compares 64 is passed with a bit above them (CVE-2019-10063). */
static const unsigned long allowed_ioctls[]
    = { TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX };

gboolean
sora_sandbox_filter_supported (void)
{
  return prctl (PR_GET_SECCOMP) >= 0;
}

/* What a clone() must have to be no new process.  LeakSanitizer's helper is one, in the same memory. */
#ifdef SORA_SANITIZERS
#define CLONE_WITHIN CLONE_VM
#else
#define CLONE_WITHIN CLONE_THREAD
#endif

static int
add_conditions (scmp_filter_ctx filter)
{
  const guint64 own = (guint64)getpid ();
  const struct scmp_arg_cmp thread = SCMP_A0 (SCMP_CMP_MASKED_EQ, CLONE_WITHIN, CLONE_WITHIN);
  const struct scmp_arg_cmp to_own = SCMP_A0 (SCMP_CMP_EQ, own);
  const struct scmp_arg_cmp of_own = SCMP_A0 (SCMP_CMP_EQ, 0);
  const struct scmp_arg_cmp local = SCMP_A0 (SCMP_CMP_EQ, AF_UNIX);
  static const struct
  {
    const char *name;
    int kind;
  } conditions[]
      = { { "clone", 0 }, { "kill", 1 }, { "tgkill", 1 }, { "prlimit64", 2 }, { "socketpair", 3 } };
  const struct scmp_arg_cmp *compare[] = { &thread, &to_own, &of_own, &local };
  const int inverse[] = { SCMP_CMP_MASKED_EQ, SCMP_CMP_NE, SCMP_CMP_NE, SCMP_CMP_NE };
  for (gsize i = 0; i < G_N_ELEMENTS (conditions); i++)
    {
      int number = seccomp_syscall_resolve_name (conditions[i].name);
      struct scmp_arg_cmp yes = *compare[conditions[i].kind], no = yes;
      int result = seccomp_rule_add_array (filter, SCMP_ACT_ALLOW, number, 1, &yes);
      if (result != 0 && result != -EACCES && result != -EEXIST)
        return result;
      no.op = inverse[conditions[i].kind];
      if (no.op == SCMP_CMP_MASKED_EQ)
        no.datum_b = 0;
      result = seccomp_rule_add_array (filter, SCMP_ACT_ERRNO (EPERM), number, 1, &no);
      if (result != 0 && result != -EACCES && result != -EEXIST)
        return result;
    }
  return 0;
}

static int
add_rules (scmp_filter_ctx filter)
{
  static const char *const denied[] = { "socket",  "connect", "bind",     "listen", "accept",
                                        "accept4", "execve",  "execveat", "fork",   "vfork" };
  for (gsize i = 0; i < G_N_ELEMENTS (allowed); i++)
    {
      int number = seccomp_syscall_resolve_name (allowed[i]);
      int result = number == __NR_SCMP_ERROR || number < 0
                       ? 0
                       : seccomp_rule_add (filter, SCMP_ACT_ALLOW, number, 0);
      if (result != 0)
        return result;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (allowed_ioctls); i++)
    {
      int result = seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (ioctl), 1,
                                     SCMP_A1 (SCMP_CMP_MASKED_EQ, 0xffffffff, allowed_ioctls[i]));
      if (result != 0)
        return result;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (denied); i++)
    {
      int number = seccomp_syscall_resolve_name (denied[i]);
      if (number < 0)
        continue;
      int result = seccomp_rule_add (filter, SCMP_ACT_ERRNO (EPERM), number, 0);
      if (result != 0)
        return result;
    }
  return add_conditions (filter);
}

gboolean
sora_sandbox_filter (GError **error)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ERRNO (ENOSYS));
  int result = filter ? add_rules (filter) : -ENOMEM;
  if (result == 0)
    result = seccomp_load (filter);
  if (filter)
    seccomp_release (filter);
  if (result == 0)
    return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_FAILED, "the filter of system calls: %s",
               g_strerror (-result));
  return FALSE;
}
