/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The compute thread.  A pthread rather than a GThread, for its stack: code that the stages
 * generate at run time and tensor libraries put large tiles there.
 */
#include "config.h"
#include "sora-compute.h"
#include "sora-context.h"
#include <pthread.h>
#include <sched.h>

#define STACK_SIZE (256u << 20) /* address space; pages come with use */

typedef struct
{
  SoraContext *ctx;
  SoraComputeFunc func;
  void *data;
  int threads, result;
  double seconds;
  gboolean begun, done;
} Job;

static struct
{
  GMutex lock;
  GCond changed;
  GQueue jobs; /* of Job, owned by the stage threads that wait */
  pthread_t thread;
  gboolean running, quit;
} compute;

static int
run_job (Job *job)
{
  SoraFpu before = sora_fpu_get ();
  gint64 start = g_get_monotonic_time ();

  g_atomic_pointer_set (&job->ctx->in_compute, g_thread_self ());
  sora_fpu_set (sora_fpu_flush_denormals (before));
  int result = job->func (job->ctx, job->data, job->threads);
  sora_fpu_set (before);
  g_atomic_pointer_set (&job->ctx->in_compute, NULL);
  job->seconds = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  return result;
}

static void *
compute_main (void *unused)
{
  pthread_setname_np (pthread_self (), "sora-compute");
  g_mutex_lock (&compute.lock);
  while (!compute.quit)
    {
      Job *job = g_queue_pop_head (&compute.jobs);
      if (job == NULL)
        {
          g_cond_wait (&compute.changed, &compute.lock);
          continue;
        }
      job->begun = TRUE;
      g_mutex_unlock (&compute.lock);
      int result = run_job (job);
      g_mutex_lock (&compute.lock);
      job->result = result;
      job->done = TRUE;
      g_cond_broadcast (&compute.changed);
    }
  g_mutex_unlock (&compute.lock);
  return NULL;
}

/* Under the lock.  Smaller stacks are tried where an address space limit forbids the large one. */
static gboolean
start_thread (void)
{
  for (size_t size = STACK_SIZE; !compute.running && size >= (1u << 20); size /= 4)
    {
      pthread_attr_t attributes;
      pthread_attr_init (&attributes);
      pthread_attr_setstacksize (&attributes, size);
      compute.running = pthread_create (&compute.thread, &attributes, compute_main, NULL) == 0;
      pthread_attr_destroy (&attributes);
    }
  return compute.running;
}

int
sora_compute_run (SoraContext *ctx, SoraComputeFunc func, void *data, int threads,
                  gboolean (*stopped) (gpointer data), gpointer stopped_data, double *seconds)
{
  Job job = { .ctx = ctx, .func = func, .data = data, .threads = threads };

  g_mutex_lock (&compute.lock);
  if (!start_thread ())
    {
      g_mutex_unlock (&compute.lock);
      return sora_context_fail (ctx, SORA_ERROR_NO_MEMORY, "the compute thread cannot be started");
    }
  g_queue_push_tail (&compute.jobs, &job);
  g_cond_broadcast (&compute.changed);
  while (!job.done)
    {
      if (!job.begun && stopped (stopped_data))
        {
          g_queue_remove (&compute.jobs, &job);
          job.result = SORA_CANCELLED;
          break;
        }
      g_cond_wait (&compute.changed, &compute.lock);
    }
  g_mutex_unlock (&compute.lock);
  *seconds += job.seconds;
  return job.result;
}

void
sora_compute_kick (void)
{
  g_mutex_lock (&compute.lock);
  g_cond_broadcast (&compute.changed);
  g_mutex_unlock (&compute.lock);
}

void
sora_compute_shutdown (void)
{
  g_mutex_lock (&compute.lock);
  gboolean running = compute.running;
  compute.quit = TRUE;
  g_cond_broadcast (&compute.changed);
  g_mutex_unlock (&compute.lock);
  if (running)
    pthread_join (compute.thread, NULL);
  g_mutex_lock (&compute.lock);
  compute.running = FALSE;
  compute.quit = FALSE;
  g_mutex_unlock (&compute.lock);
}

guint
sora_compute_cores (void)
{
  cpu_set_t set;

  CPU_ZERO (&set);
  /* More cores than a cpu_set_t holds: all online ones. */
  if (sched_getaffinity (0, sizeof set, &set) != 0)
    return g_get_num_processors ();
  return (guint)MAX (CPU_COUNT (&set), 1);
}
