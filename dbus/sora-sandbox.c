/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Goes into the sandbox.  Three processes come of one:
 *
 *   the monitor   what was started.  Stays outside, runs no plugin, ends as the inner one ended.
 *   the first     pid 1 of the new namespaces (level "full" alone): makes the view, reaps.
 *   the inner     the caller goes on in it.
 *
 * The inner one is not pid 1 itself, since the kernel keeps signals from that one: abort() would
 * not show as what it is.  When the monitor goes, so do the others, whatever they have started.
 */
#include "config.h"
#include "sora-sandbox.h"

#include "core/sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WORDS 16384u
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static gboolean
write_file (const char *path, const char *text)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return FALSE;
  gboolean ok = write (fd, text, strlen (text)) == (ssize_t)strlen (text);
  close (fd);
  return ok;
}

/* One user alone, who is inside whoever he is outside. */
static char *
map_user (guint uid, guint gid)
{
  g_autofree char *users = g_strdup_printf ("%u %u 1\n", uid, uid);
  g_autofree char *groups = g_strdup_printf ("%u %u 1\n", gid, gid);
  if (write_file ("/proc/self/setgroups", "deny") && write_file ("/proc/self/uid_map", users)
      && write_file ("/proc/self/gid_map", groups))
    return NULL;
  return g_strdup_printf ("cannot map the user: %s", g_strerror (errno));
}

static void
drop_capabilities (void)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct none[2] = { 0 };
  for (int capability = 0; capability <= 63; capability++)
    prctl (PR_CAPBSET_DROP, capability, 0, 0, 0);
  prctl (PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  syscall (SYS_capset, &header, none);
}

static void
send_all (int fd, const char *text)
{
  for (gsize length = strlen (text); length > 0;)
    {
      ssize_t n = write (fd, text, length);
      if (n <= 0)
        return;
      text += n;
      length -= (gsize)n;
    }
}

/* What runs as pid 1: waits for the inner process, and for what else becomes its child. */
static G_NORETURN void
reap (pid_t inner, int answers)
{
  int status = 0;
  for (;;)
    {
      int one;
      pid_t pid = waitpid (-1, &one, 0);
      if (pid == inner)
        {
          status = one;
          break;
        }
      if (pid < 0 && errno != EINTR)
        break;
    }
  g_autofree char *text = g_strdup_printf ("=%d", status);
  send_all (answers, text);
  _exit (EXIT_SUCCESS);
}

typedef struct
{
  pid_t pid;     /* of the monitor's child */
  int answers;   /* what the first process says: "+" it is ready, "-REASON", "=STATUS"; -1: there is
                    none */
  int keep[2];   /* the inner process's alone */
  int spawn[2];  /* the monitor's end, and the inner one's, of requests for stages; or -1 */
  int errors[2]; /* the monitor's end, and the inner one's, of what is printed; or -1 */
} Child;

static void
close_kept (const Child *child)
{
  close (child->keep[0]);
  if (child->keep[1] != child->keep[0])
    close (child->keep[1]);
  if (child->spawn[1] >= 0)
    close (child->spawn[1]);
  if (child->errors[1] >= 0)
    close (child->errors[1]);
}

/* In the inner process: what is the monitor's alone. */
static void
take_ends (SoraSandbox *sandbox, const Child *child)
{
  if (child->spawn[0] >= 0)
    close (child->spawn[0]);
  sandbox->spawn_fd = child->spawn[1];
  if (child->errors[0] >= 0)
    {
      close (child->errors[0]);
      dup2 (child->errors[1], STDERR_FILENO);
      dup2 (child->errors[1], STDOUT_FILENO);
      close (child->errors[1]);
    }
}

/* From here on nobody but the monitor speaks there: before, this process says why it does not go
 * on. */
static gboolean
close_control (SoraSandbox *sandbox)
{
  if (sandbox->control_fd >= 0)
    close (sandbox->control_fd);
  sandbox->control_fd = -1;
  return TRUE;
}

static gboolean
make_ends (const SoraSandbox *sandbox, Child *child)
{
  return (!sandbox->stage_argv
          || socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, child->spawn) == 0)
         && (sandbox->control_fd < 0 || pipe2 (child->errors, O_CLOEXEC) == 0);
}

/* When memory is at an end a third party's stage goes first, then the worker, and a monitor, which
 * can tell of it, last. */
static void
volunteer_for_oom (const SoraSandbox *sandbox)
{
  if (!write_file ("/proc/self/oom_score_adj", sandbox->control_fd >= 0 ? "1000" : "700"))
    g_debug ("oom_score_adj is not writable");
}

/* 1: in the inner process; 0: in the monitor, all well; -1: in the monitor, with *@why. */
static int
make_namespaces (const SoraSandbox *sandbox, int flags, Child *child, char **why)
{
  guint uid = getuid (), gid = getgid ();
  int go[2], answers[2];
  if (pipe2 (go, O_CLOEXEC) != 0 || pipe2 (answers, O_CLOEXEC) != 0)
    {
      *why = g_strdup (g_strerror (errno));
      return -1;
    }
  pid_t pid = (pid_t)syscall (SYS_clone, SIGCHLD | flags, NULL, NULL, NULL, NULL);
  if (pid == 0)
    {
      char byte;
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      close (go[1]);
      close (answers[0]);
      if (read (go[0], &byte, 1) != 1) /* the monitor is gone */
        _exit (EXIT_FAILURE);
      close (go[0]);
      volunteer_for_oom (sandbox);
      char *failure = flags & CLONE_NEWUSER ? map_user (uid, gid) : NULL;
      if (!failure)
        failure = sora_sandbox_view (sandbox);
      pid_t inner = failure ? -1 : fork ();
      if (inner == 0)
        {
          close (answers[1]);
          return 1;
        }
      if (inner < 0)
        {
          send_all (answers[1], "-");
          send_all (answers[1], failure ? failure : g_strerror (errno));
          _exit (EXIT_FAILURE);
        }
      close_kept (child);
      send_all (answers[1], "+");
      reap (inner, answers[1]);
    }
  int error = errno;
  close (go[0]);
  close (answers[1]);
  char text[512] = "";
  ssize_t length = 0;
  if (pid > 0)
    {
      send_all (go[1], "g");
      while ((length = read (answers[0], text, 1)) < 0 && errno == EINTR)
        ;
    }
  close (go[1]);
  if (pid > 0 && length == 1 && text[0] == '+')
    {
      child->pid = pid;
      child->answers = answers[0];
      return 0;
    }
  if (pid > 0)
    {
      gsize filled = 0;
      while (filled < sizeof text - 1
             && (length = read (answers[0], text + filled, sizeof text - 1 - filled)) > 0)
        filled += (gsize)length;
      text[filled] = '\0';
      waitpid (pid, NULL, 0);
    }
  close (answers[0]);
  *why = g_strdup (pid < 0 ? g_strerror (error) : text);
  return -1;
}

/* Ends as the inner process ended. */
static G_NORETURN void
end_like (const SoraSandbox *sandbox, int status)
{
  if (sandbox->tmp_dir)
    sora_sandbox_remove_folder (sandbox->tmp_dir);
  if (WIFSIGNALED (status))
    {
      sigset_t set;
      sigemptyset (&set);
      sigaddset (&set, WTERMSIG (status));
      signal (WTERMSIG (status), SIG_DFL);
      sigprocmask (SIG_UNBLOCK, &set, NULL);
      kill (getpid (), WTERMSIG (status));
    }
  _exit (WIFEXITED (status) ? WEXITSTATUS (status) : EXIT_FAILURE);
}

static void
tell_end (int control, int status)
{
  char text[128];
  if (WIFSIGNALED (status))
    snprintf (text, sizeof text, "was killed by signal %d (%s)", WTERMSIG (status),
              strsignal (WTERMSIG (status)));
  else
    snprintf (text, sizeof text, "ended with status %d", WEXITSTATUS (status));
  (void)!write (control, text, strlen (text));
}

/* What a stage prints helps its author, but must not fill a journal. */
static gboolean
pass_words (int errors)
{
  static gsize passed;
  char words[4096];
  ssize_t n = read (errors, words, sizeof words);
  if (n <= 0)
    return FALSE;
  gsize room = passed < MAX_WORDS ? MAX_WORDS - passed : 0;
  if (room > 0)
    (void)!write (STDERR_FILENO, words, MIN (room, (gsize)n));
  passed += (gsize)n;
  return TRUE;
}

static int
reap_inner (const Child *child)
{
  int status = 0;
  while (waitpid (child->pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (child->answers < 0)
    return status;
  char text[32] = "";
  gsize filled = 0;
  ssize_t length;
  while (filled < sizeof text - 1
         && (length = read (child->answers, text + filled, sizeof text - 1 - filled)) > 0)
    filled += (gsize)length;
  return text[0] == '=' ? atoi (text + 1) : status;
}

static G_NORETURN void
monitor (const SoraSandbox *sandbox, const Child *child)
{
  struct pollfd fds[] = { { .fd = (int)syscall (SYS_pidfd_open, child->pid, 0), .events = POLLIN },
                          { .fd = child->spawn[0], .events = POLLIN },
                          { .fd = sandbox->control_fd, .events = POLLIN },
                          { .fd = child->errors[0], .events = POLLIN } };
  /* Without a descriptor for it there is nothing to wait for but its end. */
  while (fds[0].fd >= 0)
    {
      if (poll (fds, G_N_ELEMENTS (fds), -1) < 0 && errno != EINTR)
        break;
      if (fds[0].revents)
        break;
      if (fds[1].revents & POLLIN)
        sora_sandbox_serve_spawn (sandbox, fds[1].fd);
      else if (fds[1].revents)
        fds[1].fd = -1;
      if (fds[2].revents)
        {
          kill (child->pid, SIGKILL);
          fds[2].fd = -1;
        }
      if (fds[3].revents && !pass_words (fds[3].fd))
        fds[3].fd = -1;
    }
  int status = reap_inner (child);
  if (sandbox->control_fd >= 0)
    tell_end (sandbox->control_fd, status);
  end_like (sandbox, status);
}

void
sora_sandbox_remove_folder (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name (dir)))
    {
      g_autofree char *child = g_build_filename (path, name, NULL);
      if (g_file_test (child, G_FILE_TEST_IS_DIR) && !g_file_test (child, G_FILE_TEST_IS_SYMLINK))
        sora_sandbox_remove_folder (child);
      else
        g_unlink (child);
    }
  g_rmdir (path);
}

/* Without namespaces there is still a monitor, so that every level has the same processes. */
static int
make_plain (const SoraSandbox *sandbox, Child *child, char **why)
{
  pid_t parent = getpid ();
  child->answers = -1;
  child->pid = fork ();
  if (child->pid < 0)
    *why = g_strdup (g_strerror (errno));
  if (child->pid != 0)
    return child->pid < 0 ? -1 : 0;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (EXIT_FAILURE);
  volunteer_for_oom (sandbox);
  return 1;
}

static gboolean
refuse (const SoraSandbox *sandbox, const char *why, GError **error)
{
  g_set_error (error, SORA_ERROR, SORA_ERROR_DENIED,
               "it cannot be confined to the sandbox level '%s', the least that %s in sorad.conf "
               "allows: %s",
               sora_sandbox_level_name (sandbox->least), sandbox->setting, why);
  return FALSE;
}

static const char *
what_is_missing (void)
{
  if (!sora_sandbox_filter_supported ())
    return sora_sandbox_landlock_abi () > 0 ? "the kernel gives no seccomp"
                                            : "the kernel gives neither Landlock nor seccomp";
  return "the kernel gives no Landlock";
}

gboolean
sora_sandbox_enter (SoraSandbox *sandbox, int keep_fd, int keep_other_fd, SoraSandboxLevel *level,
                    GError **error)
{
  /* As an ordinary user only with a user namespace; as root one is the better wall, if the
   * machine's /proc allows it. */
  static const int kinds[] = { NAMESPACES | CLONE_NEWUSER, NAMESPACES };
  Child child = { .keep = { keep_fd, keep_other_fd }, .spawn = { -1, -1 }, .errors = { -1, -1 } };
  g_autofree char *why = NULL;
  int side = -1;
  gboolean can_filter = sora_sandbox_landlock_abi () > 0 && sora_sandbox_filter_supported ();

  if (!make_ends (sandbox, &child))
    return refuse (sandbox, g_strerror (errno), error);
  *level = SORA_SANDBOX_FULL;
  if (sandbox->most >= SORA_SANDBOX_FULL && sora_sandbox_filter_supported ())
    for (gsize i = 0; i < G_N_ELEMENTS (kinds) && side < 0; i++)
      {
        g_autofree char *reason = NULL;
        side = make_namespaces (sandbox, kinds[i], &child, &reason);
        if (side < 0 && (!why || geteuid () == 0))
          {
            g_free (why);
            why = g_strdup_printf ("namespaces: %s", reason);
          }
      }
  if (side < 0)
    {
      if (sandbox->least >= SORA_SANDBOX_FULL)
        return refuse (sandbox, why ? why : "the kernel gives no seccomp", error);
      *level = can_filter && sandbox->most >= SORA_SANDBOX_FILTERED ? SORA_SANDBOX_FILTERED
                                                                    : SORA_SANDBOX_BASIC;
      if (*level < sandbox->least)
        return refuse (sandbox, what_is_missing (), error);
      g_clear_pointer (&why, g_free);
      side = make_plain (sandbox, &child, &why);
      if (side < 0)
        return refuse (sandbox, why, error);
    }
  if (side == 0)
    {
      close_kept (&child);
      monitor (sandbox, &child);
    }
  take_ends (sandbox, &child);
  if (*level == SORA_SANDBOX_BASIC)
    return close_control (sandbox);
  drop_capabilities ();
  g_autoptr (GError) local = NULL;
  if ((sora_sandbox_landlock_abi () > 0
       && !sora_sandbox_landlock (sandbox, *level == SORA_SANDBOX_FULL, &local))
      || !sora_sandbox_filter (&local))
    {
      /* Not a lower level instead: what the kernel said that it has, it does not give. */
      g_set_error (error, SORA_ERROR, SORA_ERROR_DENIED,
                   "it cannot be confined to the sandbox level '%s': %s",
                   sora_sandbox_level_name (*level), local->message);
      return FALSE;
    }
  return close_control (sandbox);
}
