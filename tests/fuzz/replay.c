/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Stands in for libFuzzer where there is none: runs the target once over each file of the folders
 * that are given, and over each of them cut short, with a byte flipped and with a byte doubled, in
 * a fixed order.
 */
#include "config.h"
#include <string.h>
#include "fuzz.h"

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
