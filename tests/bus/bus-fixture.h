/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A private bus with a sorad of its own, for one test.  Nothing sleeps: everything waits for a
 * state, with a deadline.
 */
#pragma once
#include <gio/gio.h>

G_BEGIN_DECLS

#define BUS_DEADLINE_MS 30000
#define MANAGER_PATH "/org/sorad/Sora1"
#define MANAGER "org.sorad.Sora1.Manager"
#define JOB "org.sorad.Sora1.Job"
#define PROPERTIES "org.freedesktop.DBus.Properties"

typedef struct
{
  char *dir; /* everything of it lies in here */
  char *address;
  GSubprocess *bus, *sorad;
  GDBusConnection *connection;
  guint starts; /* of sorad */
  char *mark;   /* NAME=VALUE in the environment of the last sorad and of all that it starts */
} BusFixture;

typedef struct
{
  const char *worker;                                /* NULL: the real one */
  const char *plugin_dir, *pipeline_dir, *model_dir; /* NULL: empty folders */
  const char *settings;                              /* of sorad.conf; may be NULL */
  gboolean system;                                   /* as the machine's daemon, on this bus */
  const char *const *environment; /* NAME=VALUE of sorad, NULL-terminated; may be NULL */
} BusSetup;

/* The bus alone lets every uid in, as a system bus does. */
BusFixture *bus_fixture_new (const BusSetup *setup);
void bus_fixture_free (BusFixture *fixture);
void bus_fixture_start_sorad (BusFixture *fixture, const BusSetup *setup);
/* The same without waiting for its name, for one that may die before it has it. */
void bus_fixture_launch_sorad (BusFixture *fixture, const BusSetup *setup);
/* kill -9, and waits until the bus has noticed. */
void bus_fixture_kill_sorad (BusFixture *fixture);
GDBusConnection *bus_fixture_connect (BusFixture *fixture); /* one more client */

/* Before the fixture's folder, a slash, and the number of the start. */
#define BUS_MARK "SORA_TEST_MARK="
#define FAKE_WORKER ABS_BUILDDIR "/tests/bus/fake-worker"
#define FAKE_PIPELINES ABS_SRCDIR "/tests/bus/data"

/* Iterates the main context until @done says TRUE; fails the test at the deadline. */
void bus_wait_until (gboolean (*done) (gpointer data), gpointer data, const char *what);

/* The same of what tells nobody when it changes, files for one: between two looks is a round trip to
 * the bus. */
void bus_look_until (BusFixture *fixture, gboolean (*done) (gpointer data), gpointer data,
                     const char *what);

void bus_remove_tree (const char *path);

/* NULL with @error, remote prefix taken off. */
GVariant *bus_call (GDBusConnection *connection, const char *path, const char *interface,
                    const char *method, GVariant *arguments, GError **error);
/* Submits to "fake": the job's path. */
char *bus_submit (GDBusConnection *connection, const char *mode, GVariant *options, GError **error);
char *bus_wait (GDBusConnection *connection, const char *job); /* final state */
GVariant *bus_get (GDBusConnection *connection, const char *path, const char *interface,
                   const char *property);
char *bus_get_string (GDBusConnection *connection, const char *job, const char *property);
/* Waits until a job's property has that string. */
void bus_wait_property (GDBusConnection *connection, const char *job, const char *property,
                        const char *value);
/* Opens a result and reads it. */
char *bus_read_result (GDBusConnection *connection, const char *job, const char *name, gsize *size);
int bus_open (GDBusConnection *connection, const char *job, const char *method, GVariant *arguments,
              GVariant **reply, GError **error);

/* The daemon lives and works: its process is the one that was started, and a job is done. */
void bus_assert_goes_on (BusFixture *fixture);
/* A job of that mode fails with that error, and the daemon goes on. */
void bus_assert_fails (BusFixture *fixture, const char *mode, const char *error_name,
                       const char *part);

G_END_DECLS
