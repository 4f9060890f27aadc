/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Resident memory by /proc/self.  The kernel keeps one highest value a process.  It could be reset
 * (clear_refs), but then who looks from outside would be told too little; so it is taken where it
 * rose, and a thread looks every tenth of a second for the rest.
 */
#include "config.h"
#include "sora-resident.h"
#include <string.h>
#include <unistd.h>

#define INTERVAL (G_USEC_PER_SEC / 10)

static struct
{
  GMutex lock;
  GCond changed;
  GPtrArray *open; /* of SoraResident; NULL: there is none */
  GThread *sampler;
  guint samplers; /* counts up: a sampler whose number is passed ends */
} watch;

/* The second number of statm, in pages. */
static guint64
resident_now (void)
{
  g_autofree char *text = NULL;
  if (!g_file_get_contents ("/proc/self/statm", &text, NULL, NULL))
    return 0;
  const char *space = strchr (text, ' ');
  return space != NULL ? g_ascii_strtoull (space, NULL, 10) * (guint64)sysconf (_SC_PAGESIZE) : 0;
}

static guint64
resident_highest (void)
{
  static const char key[] = "VmHWM:";
  g_autofree char *text = NULL;
  if (!g_file_get_contents ("/proc/self/status", &text, NULL, NULL))
    return 0;
  const char *line = strstr (text, key);
  return line != NULL ? g_ascii_strtoull (line + sizeof key - 1, NULL, 10) * 1024 : 0;
}

/* Under the lock. */
static void
note (guint64 bytes)
{
  for (guint i = 0; i < watch.open->len; i++)
    {
      SoraResident *resident = g_ptr_array_index (watch.open, i);
      resident->most = MAX (resident->most, bytes);
    }
}

static gpointer
sample (gpointer number)
{
  g_mutex_lock (&watch.lock);
  while (watch.samplers == GPOINTER_TO_UINT (number))
    {
      note (resident_now ());
      g_cond_wait_until (&watch.changed, &watch.lock, g_get_monotonic_time () + INTERVAL);
    }
  g_mutex_unlock (&watch.lock);
  return NULL;
}

void
sora_resident_begin (SoraResident *resident)
{
  g_mutex_lock (&watch.lock);
  *resident = (SoraResident){ .most = resident_now (), .before = resident_highest () };
  if (watch.open == NULL)
    watch.open = g_ptr_array_new ();
  g_ptr_array_add (watch.open, resident);
  if (watch.sampler == NULL)
    watch.sampler
        = g_thread_new ("sora-resident", sample, GUINT_TO_POINTER (watch.samplers));
  g_mutex_unlock (&watch.lock);
}

guint64
sora_resident_end (SoraResident *resident)
{
  GThread *sampler = NULL;

  g_mutex_lock (&watch.lock);
  note (resident_now ());
  g_ptr_array_remove_fast (watch.open, resident);
  guint64 highest = resident_highest (),
          most = highest > resident->before ? highest : resident->most;
  if (watch.open->len == 0)
    {
      sampler = g_steal_pointer (&watch.sampler);
      g_clear_pointer (&watch.open, g_ptr_array_unref);
      watch.samplers++;
      g_cond_broadcast (&watch.changed);
    }
  g_mutex_unlock (&watch.lock);
  g_clear_pointer (&sampler, g_thread_join);
  return most;
}
