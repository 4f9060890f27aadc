/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory that is left, from /proc and the control groups of both versions.  What cannot be read is
 * no limit.
 */
#include "config.h"
#include "sora-memory.h"
#include <string.h>
#include <sys/resource.h>

#define FALLBACK_AVAILABLE (4ull << 30) /* where /proc tells nothing */

static char *
read_text (const char *root, const char *path)
{
  g_autofree char *full = g_strconcat (root, path, NULL);
  char *text = NULL;
  return g_file_get_contents (full, &text, NULL, NULL) ? text : NULL;
}

/* "max" is no number. */
static gboolean
read_number (const char *root, const char *folder, const char *name, guint64 *value)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *text = read_text (root, path);
  return text != NULL
         && g_ascii_string_to_unsigned (g_strstrip (text), 10, 0, G_MAXUINT64, value, NULL);
}

/* The number behind @key at the beginning of a line; 0 where there is none. */
static guint64
find_number (const char *text, const char *key)
{
  gsize length = strlen (key);
  for (const char *line = text; line != NULL; line = strchr (line, '\n'))
    {
      line += *line == '\n';
      if (strncmp (line, key, length) == 0 && (line[length] == ' ' || line[length] == '\t'))
        return g_ascii_strtoull (line + length, NULL, 10);
    }
  return 0;
}

/* The names of one version's files. */
typedef struct
{
  const char *mount, *controller; /* of a line in /proc/self/cgroup: "0::/user.slice" */
  const char *limits[2], *used, *active_file, *inactive_file;
} Version;

static const Version versions[] = {
  { "/sys/fs/cgroup",
    "",
    /* Beyond memory.high a group is slowed down until it stands still. */
    { "memory.max", "memory.high" },
    "memory.current",
    "active_file",
    "inactive_file" },
  { "/sys/fs/cgroup/memory",
    "memory",
    { "memory.limit_in_bytes", NULL },
    "memory.usage_in_bytes",
    "total_active_file",
    "total_inactive_file" },
};

/* What one group leaves. */
static guint64
group_available (const char *root, const char *folder, const Version *version)
{
  guint64 limit = G_MAXUINT64, each, used;

  for (guint i = 0; i < G_N_ELEMENTS (version->limits); i++)
    if (version->limits[i] != NULL && read_number (root, folder, version->limits[i], &each))
      limit = MIN (limit, each);
  if (limit == G_MAXUINT64 || !read_number (root, folder, version->used, &used))
    return G_MAXUINT64;
  g_autofree char *path = g_build_filename (folder, "memory.stat", NULL);
  g_autofree char *text = read_text (root, path);
  guint64 cache
      = find_number (text, version->active_file) + find_number (text, version->inactive_file);
  used -= MIN (used, cache);
  return limit > used ? limit - used : 0;
}

static gboolean
has_controller (const char *list, const char *name)
{
  g_auto (GStrv) names = g_strsplit (list, ",", -1);
  return *name == '\0' ? *list == '\0' : g_strv_contains ((const char *const *)names, name);
}

/* A group is held to the limits of all above it, too.  In a container the path may be the host's
 * while the mount begins below it: then the upper folders are not there, and the mount's root is
 * the container's own group. */
static guint64
groups_available (const char *root, const Version *version, const char *path)
{
  guint64 least = G_MAXUINT64;
  g_autofree char *group = g_strdup (strstr (path, "/..") != NULL ? "/" : path);

  for (;;)
    {
      g_autofree char *folder = g_build_filename (version->mount, group, NULL);
      least = MIN (least, group_available (root, folder, version));
      char *slash = strrchr (group, '/');
      if (slash == NULL || group[1] == '\0')
        return least;
      slash[slash == group] = '\0';
    }
}

/* /proc/self/cgroup has a line "ID:CONTROLLERS:PATH" a hierarchy. */
static guint64
cgroup_available (const char *root)
{
  guint64 least = G_MAXUINT64;
  g_autofree char *text = read_text (root, "/proc/self/cgroup");
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);

  for (char **line = lines; *line != NULL; line++)
    {
      g_auto (GStrv) parts = g_strsplit (*line, ":", 3);
      if (g_strv_length (parts) != 3 || parts[2][0] != '/')
        continue;
      for (guint i = 0; i < G_N_ELEMENTS (versions); i++)
        if (has_controller (parts[1], versions[i].controller))
          least = MIN (least, groups_available (root, &versions[i], parts[2]));
    }
  return least;
}

static guint64
machine_available (const char *root)
{
  g_autofree char *text = read_text (root, "/proc/meminfo");
  guint64 kib = find_number (text, "MemAvailable:");
  return kib > 0 ? kib * 1024 : FALLBACK_AVAILABLE;
}

/* What a limit on the process leaves, of which @key of its status is used. */
static guint64
limit_available (const char *status, guint64 limit, const char *key)
{
  guint64 used = find_number (status, key) * 1024;
  if (limit == G_MAXUINT64)
    return G_MAXUINT64;
  return limit > used ? limit - used : 0;
}

guint64
sora_memory_available_below (const char *root, guint64 data_limit, guint64 address_limit)
{
  g_autofree char *status = read_text (root, "/proc/self/status");
  guint64 bytes = MIN (machine_available (root), cgroup_available (root));

  bytes = MIN (bytes, limit_available (status, data_limit, "VmData:"));
  return MIN (bytes, limit_available (status, address_limit, "VmSize:"));
}

static guint64
soft_limit (int resource)
{
  struct rlimit limit;
  if (getrlimit (resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return G_MAXUINT64;
  return limit.rlim_cur;
}

guint64
sora_memory_available (void)
{
  return sora_memory_available_below ("", soft_limit (RLIMIT_DATA), soft_limit (RLIMIT_AS));
}
