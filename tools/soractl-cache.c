/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * soractl cache: what jobs of this user left for later ones, and how to be rid of it: what their
 * stages gave, and packed weights; and the packed weights that root keeps for the service of the
 * machine.
 */
#include "config.h"
#include "sora-cache.h"
#include "soractl-bus.h"
#include "soractl-cache.h"
#include "soractl-console.h"
#include "soractl-json.h"
#include <unistd.h>

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
  soractl_json_print (json_pack ("{s:s?, s:I, s:I, s:{s:s, s:I, s:o}}", "path", dir, "entries",
                                 (json_int_t)entries, "bytes", (json_int_t)bytes, "packed", "path",
                                 packed_dir, "bytes", (json_int_t)bytes_of (files), "files", list));
}

static int
show (SoractlGlobal *global, gboolean machine, const char *dir, const char *packed_dir)
{
  guint64 bytes = 0;
  /* What stages gave is a user's, and never the machine's. */
  const guint entries = machine ? 0 : sora_cache_measure (dir, &bytes);
  g_autoptr (GPtrArray) files = sora_packed_list (packed_dir);
  if (global->json)
    print_json (machine ? NULL : dir, entries, bytes, packed_dir, files);
  if (global->json || global->quiet)
    return SORACTL_OK;
  g_autofree char *size = soractl_format_bytes (bytes),
                  *packed_size = soractl_format_bytes (bytes_of (files));
  if (!machine)
    printf ("%u %s, %s, in %s\n", entries, entries == 1 ? "result of a stage" : "results of stages",
            size, dir);
  printf ("%u %s of packed weights, %s, in %s\n", files->len, files->len == 1 ? "file" : "files",
          packed_size, packed_dir);
  for (guint i = 0; i < files->len; i++)
    {
      const SoraPackedFile *file = g_ptr_array_index (files, i);
      g_autofree char *one = soractl_format_bytes (file->bytes);
      printf ("  %s, %s\n", file->label, one);
    }
  return SORACTL_OK;
}

/* Which of the two `soractl cache clear` was told to remove; FALSE: neither word. */
static gboolean
read_part (const char *part, gboolean *results, gboolean *packed)
{
  *results = part == NULL || g_str_equal (part, "results");
  *packed = part == NULL || g_str_equal (part, "packed");
  return *results || *packed;
}

/* What the service of the machine keeps of the caller's jobs. */
static gboolean
clear_service (SoractlGlobal *global, GError **error)
{
  global->system = TRUE;
  g_autoptr (GDBusConnection) connection = soractl_bus_connect (global, error);
  g_autoptr (SoraBusManager) manager
      = connection != NULL ? soractl_bus_manager (connection, error) : NULL;
  return manager != NULL && sora_bus_manager_call_clear_cache_sync (manager, NULL, error);
}

int
soractl_verb_cache (SoractlGlobal *global, int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) params = NULL;
  gboolean machine = FALSE, turbo = FALSE, results = FALSE, packed = FALSE;
  const GOptionEntry entries[] = {
    { "system", 0, 0, G_OPTION_ARG_NONE, &machine,
      "What the service of the machine keeps: packed weights (root's to change), or your results",
      NULL },
    { "param", 'p', 0, G_OPTION_ARG_STRING_ARRAY, &params,
      "Of pack: a parameter, such as precision=fast", "NAME=VALUE" },
    { "turbo", 0, 0, G_OPTION_ARG_NONE, &turbo, "Of pack: of the model's few-step rule", NULL },
    G_OPTION_ENTRY_NULL,
  };
  int code = soractl_parse_options (global, entries, FALSE, &argc, &argv);
  if (code != SORACTL_OK)
    return code;
  machine |= global->system;
  g_autofree char *dir = sora_cache_default_dir (),
                  *packed_dir = machine ? sora_packed_system_dir () : sora_packed_default_dir ();
  const char *what = argc > 1 ? argv[1] : "show";
  const gboolean clear = g_str_equal (what, "clear"), pack = g_str_equal (what, "pack");
  if ((argc > 1 && !clear && !pack) || argc > 3
      || (clear && !read_part (argc > 2 ? argv[2] : NULL, &results, &packed)))
    return soractl_usage_error (
        "cache",
        "unexpected word '%s'; it goes 'soractl cache [clear [results|packed] | pack MODEL]'",
        argv[argc - 1]);
  if (pack && argc != 3)
    return soractl_usage_error ("cache", "pack takes a model, by name or path");
  if (!pack && (params != NULL || turbo))
    return soractl_usage_error ("cache", "--param and --turbo are for 'soractl cache pack MODEL'");
  /* With no word after it `clear --system` is of what root keeps there. */
  const gboolean own = results && !packed;
  if (machine && (clear || pack) && !own && geteuid () != 0)
    {
      soractl_console_error ("packed weights of the machine are root's, as its service takes what "
                             "root wrote alone: use sudo");
      return SORACTL_FAILED;
    }
  if (pack
      && (code = soractl_cache_pack (global, argv[2], params, turbo, packed_dir, machine))
             != SORACTL_OK)
    return code;
  if (machine && own && !clear_service (global, &error))
    return soractl_report (error);
  if (results && !machine && !sora_cache_clear (dir, &error))
    return soractl_report (error);
  if (packed && !sora_packed_clear (packed_dir, &error))
    return soractl_report (error);
  return show (global, machine, dir, packed_dir);
}
