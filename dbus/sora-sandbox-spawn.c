/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Processes for third-party stages: asked for inside the sandbox, where no process can be started,
 * and started by the monitor outside.  All that can be asked for is one more process in a sandbox
 * of its own, which sees no more than the asker does.
 */
#include "config.h"
#include "sora-sandbox.h"

#include "core/sora-error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_MESSAGE 65536
#define MAX_STAGES 64 /* at a time */

typedef union
{
  char space[CMSG_SPACE (2 * sizeof (int))];
  struct cmsghdr align;
} Descriptors;

static gboolean
send_request (int fd, const GString *text, const int fds[2])
{
  Descriptors descriptors = { 0 };
  struct iovec piece = { text->str, text->len };
  struct msghdr message = { .msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = descriptors.space,
                            .msg_controllen = sizeof descriptors.space };
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (2 * sizeof (int));
  memcpy (CMSG_DATA (header), fds, 2 * sizeof (int));
  return text->len <= MAX_MESSAGE && sendmsg (fd, &message, MSG_NOSIGNAL) == (ssize_t)text->len;
}

gboolean
sora_sandbox_spawn (const SoraSandbox *sandbox, const char *plugin, const char *const *paths,
                    int *stream, int *control, GError **error)
{
  int streams[2], controls[2];
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, streams) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY, "no process for plugin '%s': %s", plugin,
                   g_strerror (errno));
      return FALSE;
    }
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, controls) != 0)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY, "no process for plugin '%s': %s", plugin,
                   g_strerror (errno));
      close (streams[0]);
      close (streams[1]);
      return FALSE;
    }
  GString *text = g_string_new (NULL);
  g_string_append_len (text, plugin, (gssize)strlen (plugin) + 1);
  for (; *paths; paths++)
    g_string_append_len (text, *paths, (gssize)strlen (*paths) + 1);
  gboolean ok = send_request (sandbox->spawn_fd, text, (int[]){ streams[1], controls[1] });
  if (!ok)
    g_set_error (error, SORA_ERROR, SORA_ERROR_BUSY, "no process for plugin '%s': %s", plugin,
                 g_strerror (errno));
  g_string_free (text, TRUE);
  close (streams[1]);
  close (controls[1]);
  *stream = streams[0];
  *control = controls[0];
  if (ok)
    return TRUE;
  close (streams[0]);
  close (controls[0]);
  return FALSE;
}

/* -- Outside */

static void
say (int control, const char *text)
{
  (void)!write (control, text, strlen (text));
}

static G_NORETURN void
become (char **argv, int stream, int control)
{
  int high_stream = fcntl (stream, F_DUPFD, 10), high_control = fcntl (control, F_DUPFD, 10);
  if (dup2 (high_stream, 3) == 3 && dup2 (high_control, 4) == 4 && close_range (5, ~0u, 0) == 0)
    execv (argv[0], argv);
  say (4, "could not be started");
  _exit (127);
}

static void
start (const SoraSandbox *sandbox, const char *text, gsize length, int stream, int control)
{
  static pid_t stages[MAX_STAGES];
  gsize place = 0;
  g_autoptr (GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0; i < MAX_STAGES; i++)
    if (stages[i] > 0 && waitpid (stages[i], NULL, WNOHANG) == stages[i])
      stages[i] = 0;
  while (place < MAX_STAGES && stages[place] > 0)
    place++;
  if (place == MAX_STAGES)
    {
      say (control, "was not started: too many run");
      return;
    }
  for (char **argument = sandbox->stage_argv; *argument; argument++)
    g_ptr_array_add (argv, g_strdup (*argument));
  const char *part = text;
  for (gsize n = 0; part < text + length; n++, part += strlen (part) + 1)
    if (n == 0)
      g_ptr_array_add (argv, g_strdup_printf ("--stage=%s", part));
    else if (sora_sandbox_covers (sandbox, part))
      g_ptr_array_add (argv, g_strdup_printf ("--grant=%s", part));
    else
      {
        say (control, "was not started: it asks for files that the worker may not read");
        return;
      }
  g_ptr_array_add (argv, NULL);
  pid_t pid = fork ();
  if (pid == 0)
    become ((char **)argv->pdata, stream, control);
  if (pid < 0)
    say (control, "was not started: no process is left");
  else
    stages[place] = pid;
}

void
sora_sandbox_serve_spawn (const SoraSandbox *sandbox, int spawn_fd)
{
  static char text[MAX_MESSAGE + 1];
  Descriptors descriptors;
  struct iovec piece = { text, MAX_MESSAGE };
  struct msghdr message = { .msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = descriptors.space,
                            .msg_controllen = sizeof descriptors.space };
  ssize_t length = recvmsg (spawn_fd, &message, MSG_CMSG_CLOEXEC);
  int fds[2] = { -1, -1 };
  struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR (&message) : NULL;
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
    memcpy (fds, CMSG_DATA (header), MIN (header->cmsg_len - CMSG_LEN (0), sizeof fds));
  if (length > 0 && fds[1] >= 0 && text[length - 1] == '\0')
    start (sandbox, text, (gsize)length, fds[0], fds[1]);
  for (int i = 0; i < 2; i++)
    if (fds[i] >= 0)
      close (fds[i]);
}
