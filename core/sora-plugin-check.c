/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The checks of a plugin's descriptor, made before any of its code is called: magic, ABI, sizes.
 * What hangs below it (stages, ports, parameters) is in sora-stage-check.c.
 */
#include "config.h"
#include <string.h>
#include "sora-plugin-check.h"
#include "sora-registry.h"

gboolean
sora_check_refuse (const SoraCheck *check, GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *what = g_strdup_vprintf (format, args);
  va_end (args);
  sora_error_set (error, SORA_ERROR_INVALID_PLUGIN, "'%s': %s", check->where, what);
  return FALSE;
}

gboolean
sora_check_text (const SoraCheck *check, const char *text, const char *what, GError **error)
{
  if (text == NULL || *text == '\0')
    return sora_check_refuse (check, error, "%s is empty", what);
  if (!g_utf8_validate (text, -1, NULL))
    return sora_check_refuse (check, error, "%s is not valid UTF-8", what);
  return TRUE;
}

/* Everything in front of the first pointer has the same place in every major version. */
static gboolean
check_abi (const SoraCheck *check, const SoraPlugin *plugin, GError **error)
{
  if (plugin->magic != SORA_PLUGIN_MAGIC)
    return sora_check_refuse (
        check, error,
        "the symbol %s begins with 0x%08x, expected 0x%08x (SORA_PLUGIN_MAGIC): it is no "
        "SoraPlugin",
        SORA_PLUGIN_SYMBOL, plugin->magic, SORA_PLUGIN_MAGIC);
  if (plugin->abi_major != SORA_ABI_MAJOR)
    return sora_check_refuse (
        check, error, "it was built for plugin ABI %u.%u, this program has %u.%u: rebuild it",
        plugin->abi_major, plugin->abi_minor, SORA_ABI_MAJOR, SORA_ABI_MINOR);
  if (plugin->needs_minor > SORA_ABI_MINOR)
    return sora_check_refuse (
        check, error,
        "it needs plugin ABI %u.%u or later, this program has %u.%u: install a newer sorad",
        plugin->abi_major, plugin->needs_minor, SORA_ABI_MAJOR, SORA_ABI_MINOR);
  if (plugin->struct_size < SORA_SIZE_1_0 (SoraPlugin, probe))
    return sora_check_refuse (
        check, error,
        "its descriptor's struct_size is %u, shorter than the %" G_GSIZE_FORMAT
        " of ABI 1.0: set it to sizeof (SoraPlugin)",
        plugin->struct_size, SORA_SIZE_1_0 (SoraPlugin, probe));
  if (plugin->needs_minor > plugin->abi_minor)
    return sora_check_refuse (check, error,
                              "it needs ABI 1.%u, later than the 1.%u it was built for",
                              plugin->needs_minor, plugin->abi_minor);
  if (plugin->flags != 0 && plugin->abi_minor <= SORA_ABI_MINOR)
    return sora_check_refuse (check, error, "its descriptor has unknown flags 0x%x", plugin->flags);
  return TRUE;
}

static gboolean
check_words (const SoraCheck *check, const SoraPlugin *plugin, GError **error)
{
  if (!sora_check_text (check, plugin->id, "the plugin's id", error)
      || !sora_check_text (check, plugin->version, "the plugin's version", error)
      || !sora_check_text (check, plugin->licence, "the plugin's licence", error)
      || !sora_check_text (check, plugin->summary, "the plugin's summary", error))
    return FALSE;
  if (!sora_name_is_valid (plugin->id))
    return sora_check_refuse (
        check, error,
        "the plugin's id '%.80s' is not a name: expected letters, digits, '-' and '_'", plugin->id);
  return TRUE;
}

gboolean
sora_plugin_descriptor_check (const SoraPlugin *plugin, const char *where, GError **error)
{
  SoraCheck check = { .where = where };
  if (!check_abi (&check, plugin, error) || !check_words (&check, plugin, error))
    return FALSE;
  check.newer = plugin->abi_minor > SORA_ABI_MINOR;
  if (plugin->stages == NULL || plugin->stages[0] == NULL)
    return sora_check_refuse (&check, error, "it has no stages");
  for (gsize i = 0; plugin->stages[i] != NULL; i++)
    {
      if (i == SORA_CHECK_MAX_STAGES)
        return sora_check_refuse (&check, error,
                                  "it has more than %u stages, or its table does not end with NULL",
                                  SORA_CHECK_MAX_STAGES);
      if (!sora_check_stage (&check, plugin->stages[i], i, error))
        return FALSE;
      for (gsize j = 0; j < i; j++)
        if (strcmp (plugin->stages[i]->id, plugin->stages[j]->id) == 0)
          return sora_check_refuse (&check, error, "two of its stages are named '%s'",
                                    plugin->stages[i]->id);
    }
  return TRUE;
}
