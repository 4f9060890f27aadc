/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A machine that cannot give a sandbox (tests/bus/lesser-machine.c takes from the worker what the
 * kernel has): no third-party plugin runs there, and the job says in one line why; sorad's own
 * stages run at the strongest level that is left, which the job shows; and the administrator's
 * settings can ask for more, or allow less.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "hostile-fixture.h"

#define LESSER ABS_BUILDDIR "/tests/bus/lesser-machine"

static HostileFixture *fixture;

static void
start (const char *lacks, const char *sandbox, const char *third_party)
{
  g_autofree char *variable = g_strconcat ("SORA_TEST_LACKS=", lacks, NULL);
  g_autofree char *settings = g_strdup_printf ("[Worker]\nSandbox=%s\nThirdPartySandbox=%s\n",
                                               sandbox, third_party);
  fixture = hostile_fixture_new (NULL, settings, LESSER, (const char *const[]){ variable, NULL });
}

static void
finish (void)
{
  hostile_assert_same_daemon (fixture);
  hostile_fixture_free (fixture);
}

/* sorad's own stages. */
static void
assert_own_level (const char *expected)
{
  gsize size;
  g_autofree char *job = hostile_submit (fixture, "neighbour", NULL);
  g_autofree char *bytes = hostile_bytes (fixture, job, &size);
  g_autofree char *level = bus_get_string (fixture->bus->connection, job, "SandboxLevel");
  ck_assert_uint_eq (size, 8 * 4 * 4);
  ck_assert_str_eq (level, expected);
}

static void
assert_third_party_level (const char *expected)
{
  gsize size;
  g_autofree char *job = hostile_submit (fixture, "hostile", "pass");
  g_autofree char *bytes = hostile_bytes (fixture, job, &size);
  g_autofree char *level = hostile_stage_level (fixture, job, "bad");
  g_autofree char *other = hostile_stage_level (fixture, job, "source");
  g_autofree char *note = g_strdup_printf ("sandbox level '%s'", expected);
  ck_assert_uint_eq (size, 8 * 4 * 4);
  ck_assert_ptr_nonnull (level);
  ck_assert_str_eq (level, expected);
  ck_assert_ptr_null (other);
  ck_assert (hostile_has_note (fixture, job, "plugin 'pass' is third-party"));
  ck_assert (hostile_has_note (fixture, job, note));
}

static void
assert_third_party_refused (const char *part)
{
  g_autofree char *job = hostile_submit (fixture, "hostile", "pass");
  hostile_assert_failed (fixture, job, ".Denied", part);
  hostile_assert_failed (fixture, job, ".Denied",
                         "stage 'bad': plugin 'pass' is third-party, and a process for it was "
                         "refused: it cannot be confined to the sandbox level '");
}

/* What each of the worker's own walls does where others are missing, and what a third party's
 * process then is told. */
static const struct
{
  const char *lacks, *own, *third_party, *reached, *refusal;
} machines[] = {
  /* nothing is missing: the filter alone changes nothing */
  { "", "full", "full", "full", NULL },
  { "namespaces", "filtered", "filtered", "filtered", NULL },
  { "namespaces", "filtered", "full", NULL,
    "'full', the least that ThirdPartySandbox in sorad.conf allows: namespaces: "
    "Operation not permitted" },
  { "landlock", "full", "filtered", "full", NULL },
  { "namespaces,landlock", "basic", "filtered", NULL,
    "'filtered', the least that ThirdPartySandbox in sorad.conf allows: the kernel gives no "
    "Landlock" },
  { "namespaces,landlock", "basic", "basic", "basic", NULL },
  { "namespaces,landlock", "basic", "none", "basic", NULL },
  { "seccomp", "basic", "filtered", NULL,
    "'filtered', the least that ThirdPartySandbox in sorad.conf allows: the kernel gives no "
    "seccomp" },
  { "seccomp", "basic", "full", NULL, "'full', the least that" },
  { "namespaces,landlock,seccomp", "basic", "filtered", NULL,
    "the kernel gives neither Landlock nor seccomp" },
  { "namespaces,landlock,seccomp", "basic", "basic", "basic", NULL },
};

START_TEST (third_party_stages_get_their_level_or_do_not_run)
{
  start (machines[_i].lacks, "auto", machines[_i].third_party);
  assert_own_level (machines[_i].own);
  if (machines[_i].reached)
    assert_third_party_level (machines[_i].reached);
  else
    assert_third_party_refused (machines[_i].refusal);
  finish ();
}
END_TEST

/* The level that the settings demand of every worker. */
static const struct
{
  const char *lacks, *sandbox, *part;
} demands[] = {
  { "namespaces", "full",
    "no worker process: it cannot be confined to the sandbox level 'full', the least that Sandbox "
    "in sorad.conf allows: namespaces: Operation not permitted" },
  { "landlock,namespaces", "filtered",
    "'filtered', the least that Sandbox in sorad.conf allows: the kernel gives no Landlock" },
  { "seccomp", "full", "'full', the least that Sandbox in sorad.conf allows: " },
  { "landlock,seccomp", "filtered", "the kernel gives neither Landlock nor seccomp" },
};

START_TEST (a_worker_below_its_level_does_not_run)
{
  start (demands[_i].lacks, demands[_i].sandbox, "basic");
  g_autofree char *job = hostile_submit (fixture, "neighbour", NULL);
  hostile_assert_failed (fixture, job, ".Denied", demands[_i].part);
  g_autoptr (GVariant) attempts = bus_get (fixture->bus->connection, job, JOB, "Attempts");
  ck_assert_uint_eq (g_variant_get_uint32 (attempts), 1); /* more of them would not help */
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply = bus_call (fixture->bus->connection, MANAGER_PATH, MANAGER, "Check",
                                         hostile_arguments ("neighbour", NULL), &error);
  ck_assert_ptr_null (reply);
  ck_assert_msg (strstr (error->message, demands[_i].part) != NULL, "%s", error->message);
  finish ();
}
END_TEST

/* A wall that is there and does not stand: not a lower level, but no process. */
START_TEST (a_wall_that_does_not_stand_is_none)
{
  static const char part[] = "it cannot be confined to the sandbox level 'full': Landlock does not take its rules: ";
  start ("landlock-rules", "auto", "basic");
  g_autofree char *own = hostile_submit (fixture, "neighbour", NULL);
  hostile_assert_failed (fixture, own, ".Denied", part);
  finish ();
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("fails-closed");
  TCase *all = tcase_create ("all");
  tcase_set_timeout (all, 120);
  tcase_add_loop_test (all, third_party_stages_get_their_level_or_do_not_run, 0,
                       (int)G_N_ELEMENTS (machines));
  tcase_add_loop_test (all, a_worker_below_its_level_does_not_run, 0, (int)G_N_ELEMENTS (demands));
  tcase_add_test (all, a_wall_that_does_not_stand_is_none);
  suite_add_tcase (suite, all);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
