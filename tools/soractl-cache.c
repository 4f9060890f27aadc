/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl cache: what jobs of this user left for later ones, and how to be rid of it: embeddings of
 * prompts, and packed weights.
 */
#include "config.h"
#include "sora-cache.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include "soractl.h"

static guint64
bytes_of (GPtrArray *files)
{
  guint64 bytes = 0;
  for (guint i = 0; i < files->len; i++)
    bytes += ((SoraPackedFile *)g_ptr_array_index (files, i))->bytes;
  return bytes;
}

static void
print_json (const char *dir, guint entries, guint64 bytes, const char *packed_dir, GPtrArray *files)
{
  json_t *list = json_array ();
  for (guint i = 0; i < files->len; i++)
    {
      const SoraPackedFile *file = g_ptr_array_index (files, i);
      json_array_append_new (list, json_pack ("{s:s, s:I, s:I}", "label", file->label, "bytes",
                                              (json_int_t)file->bytes, "used",
                                              (json_int_t)(file->used / G_USEC_PER_SEC)));
    }
  soractl_json_print (json_pack ("{s:s, s:I, s:I, s:{s:s, s:I, s:o}}", "path", dir, "entries",
                                 (json_int_t)entries, "bytes", (json_int_t)bytes, "packed", "path",
                                 packed_dir, "bytes", (json_int_t)bytes_of (files), "files", list));
}

int
soractl_verb_cache (SoractlGlobal *global, int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = sora_cache_default_dir (), *packed_dir = sora_packed_default_dir ();
  guint64 bytes;
  int code = soractl_parse_options (global, NULL, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  gboolean clear = argc > 1 && g_str_equal (argv[1], "clear");
  const char *part = clear && argc > 2 ? argv[2] : "all";
  gboolean all = g_str_equal (part, "all");
  gboolean prompts = all || g_str_equal (part, "prompts"), packed = all || g_str_equal (part, "packed");
  if (argc > 3 || (argc > 1 && !clear) || (!prompts && !packed))
    return soractl_usage_error (
        "cache", "unexpected word '%s'; 'soractl cache clear [prompts|packed]' removes all of it",
        argv[argc - 1]);
  if (clear && prompts && !sora_cache_clear (dir, &error))
    return soractl_report (error);
  if (clear && packed && !sora_packed_clear (packed_dir, &error))
    return soractl_report (error);
  guint entries = sora_cache_measure (dir, &bytes);
  g_autoptr (GPtrArray) files = sora_packed_list (packed_dir);
  if (global->json)
    print_json (dir, entries, bytes, packed_dir, files);
  else if (!global->quiet)
    {
      g_autofree char *size = soractl_format_bytes (bytes),
                      *packed_size = soractl_format_bytes (bytes_of (files));
      printf ("%u %s, %s, in %s\n", entries, entries == 1 ? "prompt" : "prompts", size, dir);
      printf ("%u %s of packed weights, %s, in %s\n", files->len, files->len == 1 ? "file" : "files",
              packed_size, packed_dir);
      for (guint i = 0; i < files->len; i++)
        {
          const SoraPackedFile *file = g_ptr_array_index (files, i);
          g_autofree char *one = soractl_format_bytes (file->bytes);
          printf ("  %s, %s\n", file->label, one);
        }
    }
  return SORACTL_OK;
}
