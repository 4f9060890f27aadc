/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Writes the tiny models for tests that are shell scripts: SPIECE DIR makes DIR/folder,
 * DIR/diffusers, DIR/original and DIR/comfy, the same weights in each; and DIR/5b/folder and so on
 * of TI2V-5B.
 */
#include "config.h"
#include <stdio.h>
#include <stdlib.h>
#include "tiny-wan.h"

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    TinyWanNames names;
  } forms[] = { { "diffusers", TINY_WAN_DIFFUSERS_NAMES },
                { "original", TINY_WAN_ORIGINAL_NAMES },
                { "comfy", TINY_WAN_COMFY_NAMES } };
  g_autoptr (GError) error = NULL;
  if (argc != 3)
    {
      fprintf (stderr, "usage: make-tiny-wan SPIECE DIR\n");
      return EXIT_FAILURE;
    }
  gboolean ok = TRUE;
  for (int family = TINY_WAN_21; ok && family <= TINY_WAN_22; family++)
    {
      const char *sub = family == TINY_WAN_21 ? "." : "5b";
      g_autofree char *folder = g_build_filename (argv[2], sub, "folder", NULL);
      ok = tiny_wan_write_folder (folder, (TinyWanFamily)family, argv[1], &error);
      for (gsize i = 0; ok && i < G_N_ELEMENTS (forms); i++)
        {
          g_autofree char *dir = g_build_filename (argv[2], sub, forms[i].name, NULL);
          ok = tiny_wan_write_single (dir, (TinyWanFamily)family, forms[i].names, argv[1], &error);
        }
    }
  if (!ok)
    fprintf (stderr, "make-tiny-wan: %s\n", error->message);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
