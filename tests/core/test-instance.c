/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The pool of warm instances under several threads, as two runners in one process are.  Built with
 * the source itself, over a stage class whose release takes its time.
 */
#include "config.h"
#include "sora-instance.h"
#include "sora-model-private.h"
#include "sora-recipe.h"
#include "sora-test-util.h"

static struct
{
  GMutex lock;
  GCond changed;
  gboolean releasing, released, destroyed, overlapped;
} seen;

/* What the pool needs of the rest of the library. */
char *
sora_recipe_instance_key (SoraNode *node)
{
  return g_strdup (node->klass->id);
}

gboolean
sora_model_is_same (SoraModel *a, SoraModel *b)
{
  return TRUE;
}

const SoraHost *
sora_host_table (void)
{
  return NULL;
}

static int
slow_create (const SoraHost *host, SoraContext *ctx, void **instance)
{
  *instance = &seen;
  return SORA_OK;
}

static int
slow_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return SORA_OK;
}

/* Lasts until somebody destroys the instance under it, which nobody may; so it lasts this long. */
static void
slow_release (const SoraHost *host, void *instance)
{
  gint64 end = g_get_monotonic_time () + G_USEC_PER_SEC / 2;
  g_mutex_lock (&seen.lock);
  seen.releasing = TRUE;
  g_cond_broadcast (&seen.changed);
  while (!seen.destroyed && g_cond_wait_until (&seen.changed, &seen.lock, end))
    ;
  seen.releasing = FALSE;
  seen.released = TRUE;
  g_mutex_unlock (&seen.lock);
}

static void
slow_destroy (const SoraHost *host, void *instance)
{
  g_mutex_lock (&seen.lock);
  seen.destroyed = TRUE;
  seen.overlapped |= seen.releasing;
  g_cond_broadcast (&seen.changed);
  g_mutex_unlock (&seen.lock);
}

static const SoraStageClass slow = { .struct_size = sizeof (SoraStageClass),
                                     .id = "slow",
                                     .create = slow_create,
                                     .run = slow_run,
                                     .release = slow_release,
                                     .destroy = slow_destroy };
static const SoraPlugin plugin = { .struct_size = sizeof (SoraPlugin), .id = "test" };
static SoraNode node = { .plugin = &plugin, .klass = &slow };

static gpointer
release_one (gpointer data)
{
  return GINT_TO_POINTER (sora_instances_release_one ());
}

/* Claimed and waiting to begin, its weights are released by another task; meanwhile its own job is
 * stopped. */
static void
stop_while_it_is_released (gboolean failed)
{
  g_autoptr (GError) error = NULL;
  SoraInstance *instance = sora_instance_claim (&node, NULL, NULL, NULL, &error);
  sora_assert_no_error (error);
  sora_instance_hold (instance, 100);
  GThread *other = g_thread_new ("other", release_one, NULL);
  g_mutex_lock (&seen.lock);
  gint64 deadline = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
  while (!seen.releasing && g_cond_wait_until (&seen.changed, &seen.lock, deadline))
    ;
  ck_assert (seen.releasing);
  g_mutex_unlock (&seen.lock);
  sora_instance_unclaim (instance, failed ? SORA_INSTANCE_FAILED : SORA_INSTANCE_IDLE);
  g_mutex_lock (&seen.lock);
  ck_assert_msg (seen.released, "it was given back while it was being released");
  ck_assert_msg (!seen.overlapped, "it was destroyed while it was being released");
  ck_assert_int_eq (seen.destroyed, failed);
  g_mutex_unlock (&seen.lock);
  ck_assert (GPOINTER_TO_INT (g_thread_join (other)));
  ck_assert_uint_eq (sora_instances_held (), 0);
}

START_TEST (stopped_job_waits_for_a_release)
{
  stop_while_it_is_released (FALSE);
  sora_instances_destroy_all ();
  ck_assert (seen.destroyed);
}
END_TEST

START_TEST (failed_instance_is_not_destroyed_in_its_release) { stop_while_it_is_released (TRUE); }
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("instance");
  TCase *tests = sora_test_case (suite, "instance");
  tcase_add_test (tests, stopped_job_waits_for_a_release);
  tcase_add_test (tests, failed_instance_is_not_destroyed_in_its_release);
  return sora_test_main (suite);
}
