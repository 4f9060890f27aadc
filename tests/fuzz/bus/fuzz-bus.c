/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One client that calls everything that sorad shows on the bus, with values at random.
 *
 *   fuzz-bus ADDRESS UID CALLS SEED [PATH]...
 *
 * It becomes UID (which takes root, unless it is that already), learns objects and members from the
 * daemon's introspection data and the interface of jobs from the installed description (jobs are
 * listed nowhere), and makes CALLS calls.  Each must be answered, by a value of the declared type
 * or by an error that the interface knows.  PATHs are jobs of somebody else: they are called too,
 * and none of their members may answer.  In the end its own jobs are cancelled.  Prints what came
 * back, and leaves with 0 if nothing was wrong.
 */
#include "config.h"

#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus-values.h"
#include "dbus/sora-bus-generated.h"

#define SORAD "org.sorad.Sora1"
#define ROOT "/org/sorad/Sora1"
#define STANDARD "org.freedesktop.DBus."
#define IN_FLIGHT 100 /* of the 256 calls that a user may have without a reply */
#define BURST 400     /* more than those, now and then */
#define DEADLINE_MS 120000

typedef struct
{
  char *path;               /* NULL: of jobs, whatever their path */
  GDBusInterfaceInfo *info; /* owned */
} Target;

typedef struct
{
  GDBusConnection *bus;
  BusValues *values;
  GPtrArray *targets;   /* of Target */
  GHashTable *outcomes; /* name of an error or "ok" -> how often */
  char **foreign;
  guint in_flight, limit;
  gsize unfinished; /* of its jobs, when last listed; G_MAXSIZE where that was refused */
  int folder; /* an empty one */
  gboolean failed;
} Fuzz;

/* What is looked at when the answer comes. */
typedef struct
{
  Fuzz *fuzz;
  char *path, *interface, *method;
  const char *reply_type; /* NULL: not known */
  char *owned_reply_type;
} Call;

static void
target_free (gpointer data)
{
  Target *target = data;
  g_dbus_interface_info_unref (target->info);
  g_free (target->path);
  g_free (target);
}

static void
call_free (Call *call)
{
  g_free (call->path);
  g_free (call->interface);
  g_free (call->method);
  g_free (call->owned_reply_type);
  g_free (call);
}

G_GNUC_PRINTF (3, 4)
static void
wrong (Fuzz *fuzz, const Call *call, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_printerr ("fuzz-bus: %s %s.%s: %s\n", call->path, call->interface, call->method, text);
  fuzz->failed = TRUE;
}

/* -- What there is to call */

static void
add_interface (Fuzz *fuzz, const char *path, GDBusInterfaceInfo *info)
{
  Target *target = g_new0 (Target, 1);
  target->path = g_strdup (path);
  target->info = g_dbus_interface_info_ref (info);
  g_ptr_array_add (fuzz->targets, target);
  bus_values_add_word (fuzz->values, info->name);
  for (GDBusPropertyInfo **p = info->properties; p && *p; p++)
    bus_values_add_word (fuzz->values, (*p)->name);
}

static gboolean
walk (Fuzz *fuzz, const char *path, GError **error)
{
  g_autoptr (GVariant) reply = NULL;
  do /* others may have filled the queues before us */
    {
      g_clear_error (error);
      reply = g_dbus_connection_call_sync (fuzz->bus, SORAD, path, STANDARD "Introspectable",
                                           "Introspect", NULL, G_VARIANT_TYPE ("(s)"),
                                           G_DBUS_CALL_FLAGS_NONE, DEADLINE_MS, NULL, error);
    }
  while (g_error_matches (*error, G_DBUS_ERROR, G_DBUS_ERROR_LIMITS_EXCEEDED));
  if (!reply)
    return FALSE;
  const char *xml;
  g_variant_get (reply, "(&s)", &xml);
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (xml, error);
  if (!node)
    return FALSE;
  bus_values_add_path (fuzz->values, path);
  bus_values_add_word (fuzz->values, strrchr (path, '/') + 1);
  for (GDBusInterfaceInfo **info = node->interfaces; info && *info; info++)
    add_interface (fuzz, path, *info);
  for (GDBusNodeInfo **child = node->nodes; child && *child; child++)
    {
      g_autofree char *below = g_strconcat (path, "/", (*child)->path, NULL);
      if (!walk (fuzz, below, error))
        return FALSE;
    }
  return TRUE;
}

/* -- Answers */

static gboolean
is_known_error (const char *name)
{
  static const char *const standard[] = {
    "InvalidArgs",     "InvalidSignature", "UnknownMethod", "UnknownObject",  "UnknownInterface",
    "UnknownProperty", "PropertyReadOnly", "AccessDenied",  "LimitsExceeded", NULL
  };
  if (name == NULL)
    return FALSE;
  if (g_str_has_prefix (name, SORAD ".Error."))
    return TRUE;
  return g_str_has_prefix (name, STANDARD "Error.")
         && g_strv_contains (standard, name + strlen (STANDARD "Error."));
}

static void
count (Fuzz *fuzz, const char *outcome)
{
  const guint n = GPOINTER_TO_UINT (g_hash_table_lookup (fuzz->outcomes, outcome));
  g_hash_table_replace (fuzz->outcomes, g_strdup (outcome), GUINT_TO_POINTER (n + 1));
}

/* Of somebody else's job nothing may answer, but what a path that never was answers as well. */
static gboolean
may_answer (const Call *call)
{
  const gboolean foreign = g_strv_contains ((const char *const *)call->fuzz->foreign, call->path);
  return !foreign || g_str_equal (call->interface, STANDARD "Peer")
         || g_str_equal (call->interface, STANDARD "Introspectable");
}

static void
look_at_reply (Call *call, GVariant *reply)
{
  Fuzz *fuzz = call->fuzz;
  count (fuzz, "ok");
  if (!may_answer (call))
    wrong (fuzz, call, "somebody else's job answers");
  if (call->reply_type != NULL && !g_variant_is_of_type (reply, G_VARIANT_TYPE (call->reply_type)))
    wrong (fuzz, call, "the answer is %s, expected %s", g_variant_get_type_string (reply),
           call->reply_type);
  if (g_str_equal (call->method, "Submit") && g_variant_is_of_type (reply, G_VARIANT_TYPE ("(o)")))
    {
      const char *job;
      g_variant_get (reply, "(&o)", &job);
      bus_values_add_path (fuzz->values, job);
    }
}

static void
look_at_error (Call *call, const GError *error)
{
  Fuzz *fuzz = call->fuzz;
  g_autofree char *name = g_dbus_error_get_remote_error (error);
  count (fuzz, name != NULL ? name : "no answer");
  if (!is_known_error (name))
    wrong (fuzz, call, "%s: %s", name != NULL ? name : "no answer", error->message);
  else if (strlen (error->message) > 65536)
    wrong (fuzz, call, "a message of %" G_GSIZE_FORMAT " bytes", strlen (error->message));
}

static void
on_reply (GObject *source, GAsyncResult *result, gpointer data)
{
  Call *call = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_with_unix_fd_list_finish (
      G_DBUS_CONNECTION (source), &fds, result, &error);
  call->fuzz->in_flight--;
  if (reply)
    look_at_reply (call, reply);
  else
    look_at_error (call, error);
  call_free (call);
}

/* -- Calls */

/* Descriptors of all kinds; their handles go into the values. */
static GUnixFDList *
make_fds (Fuzz *fuzz)
{
  fuzz->values->fds = 0;
  if (!bus_values_one_in (fuzz->values, 3))
    return NULL;
  GUnixFDList *list = g_unix_fd_list_new ();
  const guint n
      = 1 + bus_values_below (fuzz->values, bus_values_one_in (fuzz->values, 30) ? 16 : 2);
  for (guint i = 0; i < n; i++)
    {
      int fd = -1, ends[2];
      switch (bus_values_below (fuzz->values, 4))
        {
        case 0:
          if (pipe (ends) == 0)
            {
              fd = ends[0];
              close (ends[1]);
            }
          break;
        case 1:
          fd = dup (fuzz->folder);
          break;
        case 2:
          fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
          break;
        default:
          fd = memfd_create ("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
          if (fd >= 0 && ftruncate (fd, bus_values_below (fuzz->values, 70000)) != 0)
            g_error ("a memfd cannot grow");
        }
      if (fd < 0)
        g_error ("no descriptor: %s", g_strerror (errno));
      g_unix_fd_list_append (list, fd, NULL);
      close (fd);
    }
  fuzz->values->fds = (int)n;
  return list;
}

static GVariant *
make_arguments (Fuzz *fuzz, GDBusArgInfo **arguments)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE_TUPLE);
  if (bus_values_one_in (fuzz->values, 12)) /* as declared by nobody */
    for (guint n = bus_values_below (fuzz->values, 4); n > 0; n--)
      g_variant_builder_add_value (&builder, bus_values_any (fuzz->values));
  else
    for (; arguments && *arguments; arguments++)
      g_variant_builder_add_value (
          &builder, bus_values_make (fuzz->values, G_VARIANT_TYPE ((*arguments)->signature)));
  return g_variant_builder_end (&builder);
}

static char *
reply_type_of (const GDBusMethodInfo *method)
{
  g_autoptr (GString) type = g_string_new ("(");
  for (GDBusArgInfo **out = method->out_args; out && *out; out++)
    g_string_append (type, (*out)->signature);
  return g_string_free (g_string_append_c (g_steal_pointer (&type), ')'), FALSE);
}

/* A job that will run, in the words of the pipeline of the tests. */
static GVariant *
make_good_submit (Fuzz *fuzz)
{
  static const char *const modes[]
      = { "done", "done", "two-files", "fail", "crash", "garbage", "wait" };
  GVariantDict parameters;
  g_variant_dict_init (&parameters, NULL);
  g_variant_dict_insert (&parameters, "mode", "s",
                         modes[bus_values_below (fuzz->values, G_N_ELEMENTS (modes))]);
  return g_variant_new ("(s@a{sv}@a{sv})", "fake", g_variant_dict_end (&parameters),
                        g_variant_new ("a{sv}", NULL));
}

static void
send_call (Fuzz *fuzz, Call *call, GVariant *arguments, GUnixFDList *fds)
{
  /* A Submit whose files are still copied is in no list: its answer is waited for. */
  const gboolean silent
      = bus_values_one_in (fuzz->values, 25) && !g_str_equal (call->method, "Submit");
  fuzz->in_flight += silent ? 0 : 1;
  g_dbus_connection_call_with_unix_fd_list (
      fuzz->bus, SORAD, call->path, call->interface, call->method, arguments, NULL,
      G_DBUS_CALL_FLAGS_NO_AUTO_START, DEADLINE_MS, fds, NULL, silent ? NULL : on_reply, call);
  if (silent)
    call_free (call);
}

static void
make_call (Fuzz *fuzz)
{
  const Target *target
      = g_ptr_array_index (fuzz->targets, bus_values_below (fuzz->values, fuzz->targets->len));
  guint n = 0;
  while (target->info->methods && target->info->methods[n])
    n++;
  Call *call = g_new0 (Call, 1);
  call->fuzz = fuzz;
  g_autoptr (GUnixFDList) fds = make_fds (fuzz);
  g_autoptr (GVariant) arguments = NULL;
  const gboolean straight = target->path != NULL && !bus_values_one_in (fuzz->values, 10);
  call->path = g_strdup (straight ? target->path : bus_values_path (fuzz->values));
  call->interface = g_strdup (target->info->name);
  if (n == 0 || bus_values_one_in (fuzz->values, 30))
    {
      call->method = g_strdup_printf ("M%u", bus_values_below (fuzz->values, 3));
      arguments = g_variant_ref_sink (make_arguments (fuzz, NULL));
    }
  else
    {
      const GDBusMethodInfo *method = target->info->methods[bus_values_below (fuzz->values, n)];
      call->method = g_strdup (method->name);
      call->reply_type = call->owned_reply_type = reply_type_of (method);
      const gboolean good
          = g_str_equal (method->name, "Submit") && bus_values_one_in (fuzz->values, 2);
      arguments = g_variant_ref_sink (good ? make_good_submit (fuzz)
                                           : make_arguments (fuzz, method->in_args));
    }
  send_call (fuzz, call, arguments, fds);
}

/* Of a folder that is there no more. */
static int
open_empty_folder (void)
{
  g_autofree char *path = g_dir_make_tmp ("sora-fuzz-XXXXXX", NULL);
  const int fd = path != NULL ? open (path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  if (fd < 0 || rmdir (path) != 0)
    g_error ("no temporary folder: %s", g_strerror (errno));
  return fd;
}

/* -- A run */

static gboolean
on_deadline (gpointer data)
{
  *(gboolean *)data = TRUE;
  return G_SOURCE_REMOVE;
}

/* This user's jobs that are not over, or NULL where the call was one too many. */
static GVariant *
list_unfinished (Fuzz *fuzz)
{
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      fuzz->bus, SORAD, ROOT, SORAD ".Manager", "ListJobs",
      g_variant_new_parsed ("({'states': <['queued', 'running', 'awaiting-approval']>},)"),
      G_VARIANT_TYPE ("(a(oa{sv}))"), G_DBUS_CALL_FLAGS_NONE, DEADLINE_MS, NULL, NULL);
  return reply ? g_variant_get_child_value (reply, 0) : NULL;
}

/* Ends what this user left in the queue, also of calls that wanted no answer: else whoever waits
 * for such a job waits for ever.  A call that is one too many is made again in the next round. */
static gboolean
cancel_jobs (gpointer data)
{
  Fuzz *fuzz = data;
  g_autoptr (GVariant) jobs = list_unfinished (fuzz);
  fuzz->unfinished = jobs ? g_variant_n_children (jobs) : G_MAXSIZE;
  for (gsize i = 0; jobs && i < g_variant_n_children (jobs); i++)
    {
      g_autoptr (GVariant) job = g_variant_get_child_value (jobs, i);
      Call *call = g_new0 (Call, 1);
      call->fuzz = fuzz;
      g_variant_get (job, "(o@a{sv})", &call->path, NULL);
      call->interface = g_strdup (SORAD ".Job");
      call->method = g_strdup ("Cancel");
      fuzz->in_flight++;
      g_dbus_connection_call (fuzz->bus, SORAD, call->path, call->interface, "Cancel", NULL, NULL,
                              G_DBUS_CALL_FLAGS_NONE, DEADLINE_MS, NULL, on_reply, call);
    }
  return G_SOURCE_CONTINUE;
}

static gboolean
is_settled (const Fuzz *fuzz, guint most)
{
  return fuzz->in_flight <= most && (most > 0 || fuzz->unfinished == 0);
}

/* Waits until no more than @most calls are without an answer; at 0, also for the end of all jobs. */
static gboolean
settle (Fuzz *fuzz, guint most)
{
  gboolean late = FALSE;
  const guint timer = g_timeout_add (DEADLINE_MS, on_deadline, &late),
              again = g_timeout_add (100, cancel_jobs, fuzz);
  cancel_jobs (fuzz);
  while (!is_settled (fuzz, most) && !late)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (again);
  if (!late)
    g_source_remove (timer);
  else
    g_printerr ("fuzz-bus: %u calls have no answer, jobs without an end: %" G_GSIZE_FORMAT "\n",
                fuzz->in_flight, fuzz->unfinished);
  fuzz->failed = fuzz->failed || late;
  return !late;
}

static gboolean
run (Fuzz *fuzz, guint calls)
{
  for (guint i = 0; i < calls && !fuzz->failed; i++)
    {
      make_call (fuzz);
      if (fuzz->limit != BURST || fuzz->in_flight >= BURST)
        fuzz->limit = bus_values_one_in (fuzz->values, 2000) ? BURST : IN_FLIGHT;
      if (fuzz->in_flight >= fuzz->limit)
        {
          if (!settle (fuzz, IN_FLIGHT / 4))
            return FALSE;
        }
      else
        g_main_context_iteration (NULL, FALSE);
    }
  return settle (fuzz, 0) && !fuzz->failed;
}

static void
report (Fuzz *fuzz, guint calls)
{
  g_autoptr (GList) names
      = g_list_sort (g_hash_table_get_keys (fuzz->outcomes), (GCompareFunc)strcmp);
  g_print ("uid %u: %u calls", getuid (), calls);
  for (GList *name = names; name; name = name->next)
    g_print (", %s %u",
             strrchr (name->data, '.') ? strrchr (name->data, '.') + 1 : (char *)name->data,
             GPOINTER_TO_UINT (g_hash_table_lookup (fuzz->outcomes, name->data)));
  g_print ("\n");
}

static gboolean
become (uid_t uid)
{
  return uid == getuid ()
         || (setgroups (0, NULL) == 0 && setresgid (uid, uid, uid) == 0
             && setresuid (uid, uid, uid) == 0);
}

int
main (int argc, char **argv)
{
  if (argc < 5)
    {
      g_printerr ("usage: fuzz-bus ADDRESS UID CALLS SEED [PATH]...\n");
      return 2;
    }
  const guint calls = (guint)g_ascii_strtoull (argv[3], NULL, 10);
  if (!become ((uid_t)g_ascii_strtoull (argv[2], NULL, 10)))
    {
      g_printerr ("fuzz-bus: cannot become uid %s: %s\n", argv[2], g_strerror (errno));
      return 3;
    }
  g_autoptr (GError) error = NULL;
  Fuzz fuzz = { .limit = IN_FLIGHT, .foreign = argv + 5, .folder = open_empty_folder () };
  fuzz.values = bus_values_new ((guint32)g_ascii_strtoull (argv[4], NULL, 10));
  fuzz.targets = g_ptr_array_new_with_free_func (target_free);
  fuzz.outcomes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  fuzz.bus = g_dbus_connection_new_for_address_sync (
      argv[1],
      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT
          | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
      NULL, NULL, &error);
  if (!fuzz.bus || !walk (&fuzz, ROOT, &error))
    {
      g_printerr ("fuzz-bus: %s\n", error->message);
      return 4;
    }
  add_interface (&fuzz, NULL, sora_bus_job_interface_info ());
  for (char **path = fuzz.foreign; *path; path++)
    {
      bus_values_add_path (fuzz.values, *path);
      add_interface (&fuzz, *path, sora_bus_job_interface_info ());
    }
  const gboolean ok = run (&fuzz, calls);
  report (&fuzz, calls);
  g_dbus_connection_close_sync (fuzz.bus, NULL, NULL);
  g_object_unref (fuzz.bus);
  g_hash_table_unref (fuzz.outcomes);
  g_ptr_array_unref (fuzz.targets);
  bus_values_free (fuzz.values);
  close (fuzz.folder);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
