/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Stands in for libFuzzer where there is none: runs the target once over each file of the folders
 * that are given, and over each of them cut short, with a byte flipped and with a byte doubled, in
 * a fixed order; and over what the target's own mutator makes of it, where it has one, change upon
 * change.
 */
#include "config.h"
#include <string.h>
#include "mutate.h"

#define MUTATIONS 400
#define MAX_MUTATED 4096

#pragma weak LLVMFuzzerCustomMutator

/* A byte changed, put in or left out: enough for what mutators leave to libFuzzer. */
size_t
LLVMFuzzerMutate (uint8_t *data, size_t size, size_t max_size)
{
  static uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  size_t at = size > 0 ? (state >> 8) % size : 0;
  uint8_t byte = (uint8_t)(state >> 24);
  if (size == 0 || (byte % 3 == 0 && size < max_size))
    {
      if (max_size == 0)
        return 0;
      memmove (data + at + 1, data + at, size - at);
      data[at] = byte;
      return size + 1;
    }
  if (byte % 3 == 1)
    {
      memmove (data + at, data + at + 1, size - at - 1);
      return size - 1;
    }
  data[at] = byte;
  return size;
}

static void
run (const char *data, gsize size)
{
  /* A copy of exactly that size, so that AddressSanitizer sees a read past its end. */
  g_autofree uint8_t *copy = g_memdup2 (data, size);
  LLVMFuzzerTestOneInput (copy != NULL ? copy : (const uint8_t *)"", size);
}

static void
run_mutated (char *data, gsize size)
{
  gsize step = MAX (size / 200, 1);
  for (gsize i = 0; i < size; i += step)
    {
      run (data, i);
      for (guint bit = 0; bit < 8; bit += 3)
        {
          data[i] = (char)(data[i] ^ (1 << bit));
          run (data, size);
          data[i] = (char)(data[i] ^ (1 << bit));
        }
      g_autofree char *longer = g_malloc (size + 1);
      memcpy (longer, data, i + 1);
      memcpy (longer + i + 1, data + i, size - i);
      run (longer, size + 1);
    }
}

/* Change upon change, and every so often the seed again. */
static void
run_custom (const char *data, gsize size)
{
  if (LLVMFuzzerCustomMutator == NULL)
    return;
  gsize room = MAX (MAX_MUTATED, size), n = 0;
  g_autofree uint8_t *made = g_malloc0 (room);
  for (guint i = 0; i < MUTATIONS; i++)
    {
      if (i % 8 == 0)
        {
          memcpy (made, data, size);
          n = size;
        }
      n = LLVMFuzzerCustomMutator (made, n, room, i);
      MUST (n <= room);
      run ((const char *)made, n);
    }
}

static int
run_folder (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (path, 0, &error);
  const char *name;
  int n = 0;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);
      g_autofree char *data = NULL;
      gsize size;
      if (!g_file_get_contents (file, &data, &size, NULL))
        continue;
      run (data, size);
      run_mutated (data, size);
      run_custom (data, size);
      n++;
    }
  return n;
}

int
main (int argc, char **argv)
{
  /* Named fuzz-NAME; its seeds are in tests/fuzz/seeds/NAME. */
  const char *srcdir = g_getenv ("SORA_TEST_SRCDIR");
  const char *slash = strrchr (argv[0], '/');
  const char *dash = strstr (slash != NULL ? slash : argv[0], "fuzz-");
  int n = 0;
  for (int i = 1; i < argc; i++)
    n += run_folder (argv[i]);
  if (argc == 1 && srcdir != NULL && dash != NULL)
    {
      g_autofree char *path
          = g_build_filename (srcdir, "tests", "fuzz", "seeds", dash + strlen ("fuzz-"), NULL);
      n = run_folder (path);
    }
  if (n == 0)
    {
      fprintf (stderr, "no seeds were found: give folders, or set SORA_TEST_SRCDIR\n");
      return EXIT_FAILURE;
    }
  printf ("%d seeds\n", n);
  return EXIT_SUCCESS;
}
