/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * polkit is spoken to in its own D-Bus interface: one call.  The user database may be on the
 * network, so that groups are looked up in a thread.
 */
#include "config.h"
#include "sorad-authority.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "core/sora-error.h"

#define POLKIT "org.freedesktop.PolicyKit1"
#define ALLOW_USER_INTERACTION 1u
#define MAX_GROUPS 65536 /* Linux's NGROUPS_MAX */

struct SoradAuthority
{
  GDBusConnection *connection;
  const SoradConfig *config;
  GCancellable *ending;
  guint asked; /* questions without an answer yet */
};

typedef struct
{
  guint32 uid;
  char *action;
  SoradAuthority *authority;
  SoradAuthorized authorized;
  gpointer data;
} Question;

static void
question_free (Question *question)
{
  g_free (question->action);
  g_free (question);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Question, question_free)

static void
answer (Question *question, const GError *error)
{
  g_autoptr (Question) held = question;
  held->authority->asked--;
  if (g_cancellable_is_cancelled (held->authority->ending))
    {
      g_autoptr (GError) ends = g_error_new (SORA_ERROR, SORA_ERROR_FAILED, "sorad ends");
      held->authorized (held->uid, ends, held->data);
      return;
    }
  held->authorized (held->uid, error, held->data);
}

G_GNUC_PRINTF (2, 3)
static void
deny (Question *question, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autoptr (GError) error = g_error_new_valist (SORA_ERROR, SORA_ERROR_DENIED, format, arguments);
  va_end (arguments);
  answer (question, error);
}

/* -- Without polkit: root, the daemon's user, one group */

/* Runs in a thread.  FALSE with @error: not a member, or nobody can tell. */
static gboolean
is_member (guint32 uid, const char *group, GError **error)
{
  g_autofree char *buffer = g_malloc (1 << 16);
  struct passwd entry, *found = NULL;
  struct group group_entry, *group_found = NULL;
  int result = getgrnam_r (group, &group_entry, buffer, 1 << 16, &group_found);
  if (group_found == NULL)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_DENIED, "the group '%s' of AdminGroup: %s", group,
                   result != 0 ? g_strerror (result) : "there is none of that name");
      return FALSE;
    }
  const gid_t wanted = group_entry.gr_gid;
  result = getpwuid_r (uid, &entry, buffer, 1 << 16, &found);
  if (found == NULL)
    {
      g_set_error (error, SORA_ERROR, SORA_ERROR_DENIED, "user %u: %s", uid,
                   result != 0 ? g_strerror (result) : "there is no such user");
      return FALSE;
    }
  int n = MAX_GROUPS;
  g_autofree gid_t *groups = g_new (gid_t, MAX_GROUPS);
  if (getgrouplist (entry.pw_name, entry.pw_gid, groups, &n) >= 0)
    for (int i = 0; i < n; i++)
      if (groups[i] == wanted)
        return TRUE;
  g_set_error (error, SORA_ERROR, SORA_ERROR_DENIED,
               "this is for root, the user that sorad runs as, and members of the group '%s'",
               group);
  return FALSE;
}

static void
look_up (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Question *question = data;
  GError *error = NULL;
  if (is_member (question->uid, question->authority->config->admin_group, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_looked_up (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  (void)g_task_propagate_boolean (G_TASK (result), &error);
  answer (data, error);
}

static void
ask_group (Question *question)
{
  if (question->authority->config->admin_group == NULL)
    {
      deny (question, "this is for root and the user that sorad runs as: try it with sudo");
      return;
    }
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_looked_up, question);
  g_task_set_task_data (task, question, NULL);
  g_task_run_in_thread (task, look_up);
}

/* -- With polkit */

/* That nobody answers to the name is no answer; whatever else goes wrong is a no. */
static gboolean
is_absent (const GError *error)
{
  return g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN)
         || g_error_matches (error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER);
}

static void
on_polkit (GObject *source, GAsyncResult *result, gpointer data)
{
  Question *question = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  gboolean allowed = FALSE, challenge = FALSE;
  if (!reply && is_absent (error))
    {
      ask_group (question);
      return;
    }
  if (!reply)
    {
      g_dbus_error_strip_remote_error (error);
      deny (question, "polkit does not answer for '%s': %s", question->action, error->message);
      return;
    }
  g_variant_get (reply, "((bba{ss}))", &allowed, &challenge, NULL);
  if (allowed)
    answer (question, NULL);
  else
    deny (question, "polkit does not permit '%s'%s", question->action,
          challenge ? ": authenticate, or try it with sudo" : "");
}

static void
ask_polkit (Question *question, GDBusMethodInvocation *invocation)
{
  const GDBusMessageFlags flags
      = g_dbus_message_get_flags (g_dbus_method_invocation_get_message (invocation));
  GVariantBuilder subject;
  g_variant_builder_init (&subject, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&subject, "{sv}", "name",
                         g_variant_new_string (g_dbus_method_invocation_get_sender (invocation)));
  /* Somebody may be typing a password: no timeout but the caller's own. */
  g_dbus_connection_call (
      question->authority->connection, POLKIT, "/org/freedesktop/PolicyKit1/Authority",
      POLKIT ".Authority", "CheckAuthorization",
      g_variant_new ("((sa{sv})s@a{ss}us)", "system-bus-name", &subject, question->action,
                     g_variant_new_array (G_VARIANT_TYPE ("{ss}"), NULL, 0),
                     flags & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION
                         ? ALLOW_USER_INTERACTION
                         : 0u,
                     ""),
      G_VARIANT_TYPE ("((bba{ss}))"), G_DBUS_CALL_FLAGS_NONE, G_MAXINT, question->authority->ending,
      on_polkit, question);
}

/* -- */

SoradAuthority *
sorad_authority_new (GDBusConnection *connection, const SoradConfig *config)
{
  SoradAuthority *authority = g_new0 (SoradAuthority, 1);
  authority->connection = g_object_ref (connection);
  authority->config = config;
  authority->ending = g_cancellable_new ();
  return authority;
}

void
sorad_authority_free (SoradAuthority *authority)
{
  if (!authority)
    return;
  g_cancellable_cancel (authority->ending);
  while (authority->asked > 0)
    g_main_context_iteration (NULL, TRUE);
  g_object_unref (authority->ending);
  g_object_unref (authority->connection);
  g_free (authority);
}

void
sorad_authority_ask (SoradAuthority *authority, GDBusMethodInvocation *invocation, guint32 uid,
                     const char *action, SoradAuthorized authorized, gpointer data)
{
  if (uid == 0 || uid == (guint32)geteuid ())
    {
      authorized (uid, NULL, data);
      return;
    }
  Question *question = g_new0 (Question, 1);
  question->uid = uid;
  question->action = g_strdup (action);
  question->authority = authority;
  question->authorized = authorized;
  question->data = data;
  authority->asked++;
  if (authority->config->session)
    ask_group (question);
  else
    ask_polkit (question, invocation);
}
