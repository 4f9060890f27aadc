/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A stage that tries to get out of its process in the way that it is told, and writes down how that
 * went: "reached", or why not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/sora-plugin.h"

static const SoraParam way = { .struct_size = sizeof (SoraParam),
                               .type = SORA_PARAM_STRING,
                               .flags = SORA_PARAM_REQUIRED,
                               .name = "way",
                               .help = "Which way out." };
static const SoraParam target = { .struct_size = sizeof (SoraParam),
                                  .type = SORA_PARAM_STRING,
                                  .name = "target",
                                  .help = "A path, a port or a process.",
                                  .str_default = "" };
static const SoraParam *const params[] = { &way, &target, NULL };
static const SoraPort out = { .struct_size = sizeof (SoraPort),
                              .name = "file",
                              .semantic = "sora.file/1",
                              .help = "How it went." };
static const SoraPort *const none[] = { NULL };
static const SoraPort *const outputs[] = { &out, NULL };

static int
infer (const SoraHost *host, SoraContext *ctx)
{
  const SoraCost cost = { .struct_size = sizeof cost };
  return host->set_cost (ctx, &cost);
}

/* Each returns 0, or -1 with errno. */

static int
try_read (const char *path)
{
  char byte;
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  int result = read (fd, &byte, 1) == 1 ? 0 : -1;
  close (fd);
  return result;
}

static int
try_write (const char *path)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0)
    return -1;
  int result = write (fd, "x", 1) == 1 ? 0 : -1;
  close (fd);
  return result;
}

static int
try_network (const char *port)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons ((uint16_t)atoi (port)) };
  address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? -1 : connect (fd, (struct sockaddr *)&address, sizeof address);
}

static int
try_bus (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  snprintf (address.sun_path, sizeof address.sun_path, "%s", path);
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return fd < 0 ? -1 : connect (fd, (struct sockaddr *)&address, sizeof address);
}

static int
try_environ (const char *pid)
{
  char path[64];
  snprintf (path, sizeof path, "/proc/%s/environ", pid);
  return try_read (path);
}

static int
try_fork (void)
{
  pid_t pid = fork ();
  if (pid == 0)
    _exit (0);
  return pid < 0 ? -1 : waitpid (pid, NULL, 0) == pid ? 0 : -1;
}

static int
try_exec (void)
{
  char *argv[] = { (char *)"true", NULL };
  pid_t pid;
  int error = posix_spawn (&pid, "/bin/true", NULL, NULL, argv, NULL);
  errno = error;
  return error != 0 ? -1 : waitpid (pid, NULL, 0) == pid ? 0 : -1;
}

/* TIOCSTI with a bit that the kernel does not look at: what comes to the kernel is told that a pipe
 * is no terminal. */
static int
try_words (void)
{
  int ends[2];
  if (pipe (ends) != 0)
    return -1;
  long result = syscall (SYS_ioctl, ends[0], (unsigned long)TIOCSTI | 1ul << 32, "x");
  const int error = errno;
  close (ends[0]);
  close (ends[1]);
  errno = error;
  return result == 0 || error == ENOTTY ? 0 : -1;
}

static int
attempt (const char *name, const char *what)
{
  errno = 0;
  if (strcmp (name, "read") == 0)
    return try_read (what);
  if (strcmp (name, "write") == 0)
    return try_write (what);
  if (strcmp (name, "network") == 0)
    return try_network (what);
  if (strcmp (name, "bus") == 0)
    return try_bus (what);
  if (strcmp (name, "kill") == 0)
    return kill (atoi (what), SIGTERM);
  if (strcmp (name, "environ") == 0)
    return try_environ (what);
  if (strcmp (name, "fork") == 0)
    return try_fork ();
  if (strcmp (name, "exec") == 0)
    return try_exec ();
  if (strcmp (name, "words") == 0)
    return try_words ();
  if (strcmp (name, "mount") == 0)
    return mount ("tmpfs", "/tmp", "tmpfs", 0, NULL);
  errno = EINVAL;
  return -1;
}

static int
run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  const char *name = "", *what = "";
  int fd;
  host->param_string (ctx, "way", &name);
  host->param_string (ctx, "target", &what);
  const char *word = attempt (name, what) == 0 ? "reached" : strerror (errno);
  int result = host->file_create (ctx, "file", "out.txt", "text/plain", &fd);
  if (result != SORA_OK)
    return result;
  if (write (fd, word, strlen (word)) < 0)
    return host->fail (ctx, "the file cannot be written");
  return SORA_OK;
}

static const SoraStageClass escape = { .struct_size = sizeof (SoraStageClass),
                                       .id = "escape",
                                       .kind = "encoder",
                                       .summary = "Tries to get out",
                                       .inputs = none,
                                       .outputs = outputs,
                                       .params = params,
                                       .infer = infer,
                                       .run = run };
static const SoraStageClass *const stages[] = { &escape, NULL };

SORA_EXPORT const SoraPlugin sora_plugin = { .magic = SORA_PLUGIN_MAGIC,
                                             .struct_size = sizeof (SoraPlugin),
                                             .abi_major = SORA_ABI_MAJOR,
                                             .abi_minor = SORA_ABI_MINOR,
                                             .id = "escape",
                                             .version = "1.0.0",
                                             .licence = "LGPL-2.1-or-later",
                                             .summary = "Tries to get out",
                                             .stages = stages };
