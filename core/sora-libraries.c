/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Walks what the dynamic linker has loaded, from a module along DT_NEEDED.  Names in there are
 * sonames, which the linker resolved already: nothing is searched for, and nothing is read from
 * disk but where a library has no build id.
 */
#include "config.h"
#include "sora-libraries.h"
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>

/* The value of the first entry of that tag; 0: none. */
static ElfW (Addr) dynamic_value (const struct link_map *map, ElfW (Sxword) tag)
{
  for (const ElfW (Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == tag)
      return entry->d_un.d_ptr;
  return 0;
}

static const char *
string_table (const struct link_map *map)
{
  ElfW (Addr) address = dynamic_value (map, DT_STRTAB);
  /* glibc puts the address in place of the offset, where the section can be written. */
  return (const char *)(address < map->l_addr ? address + map->l_addr : address);
}

static const char *
name_of (const struct link_map *map)
{
  ElfW (Addr) soname = dynamic_value (map, DT_SONAME);
  const char *slash = strrchr (map->l_name, '/');
  if (soname != 0)
    return string_table (map) + soname;
  return slash != NULL ? slash + 1 : map->l_name;
}

static const struct link_map *
find (const struct link_map *any, const char *name)
{
  while (any->l_prev != NULL)
    any = any->l_prev;
  for (; any != NULL; any = any->l_next)
    if (any->l_ld != NULL && g_str_equal (name_of (any), name))
      return any;
  return NULL;
}

static void
add_needed (GHashTable *found, const struct link_map *map)
{
  for (const ElfW (Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
    {
      if (entry->d_tag != DT_NEEDED)
        continue;
      const struct link_map *library = find (map, string_table (map) + entry->d_un.d_val);
      if (library != NULL && g_hash_table_add (found, (gpointer)library))
        add_needed (found, library);
    }
}

typedef struct
{
  const struct link_map *map;
  GString *line;
} Wanted;

static gboolean
add_build_id (GString *line, const char *notes, gsize size)
{
  ElfW (Nhdr) note;
  for (gsize at = 0; at + sizeof note <= size;)
    {
      memcpy (&note, notes + at, sizeof note);
      const gsize name = at + sizeof note, desc = name + ((note.n_namesz + 3u) & ~3u);
      const gsize end = desc + note.n_descsz;
      if (end > size)
        return FALSE;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4
          && memcmp (notes + name, "GNU", 4) == 0)
        {
          for (gsize i = desc; i < end; i++)
            g_string_append_printf (line, "%02x", (guint8)notes[i]);
          return TRUE;
        }
      at = (end + 3) & ~(gsize)3;
    }
  return FALSE;
}

static int
on_object (struct dl_phdr_info *info, size_t size, void *data)
{
  const Wanted *wanted = data;
  if (info->dlpi_addr != wanted->map->l_addr || !g_str_equal (info->dlpi_name, wanted->map->l_name))
    return 0;
  for (int i = 0; i < info->dlpi_phnum; i++)
    {
      const ElfW (Phdr) *header = &info->dlpi_phdr[i];
      /* Notes aligned to 8 are properties: no build id is among them. */
      if (header->p_type == PT_NOTE && header->p_align <= 4
          && add_build_id (wanted->line, (const char *)(info->dlpi_addr + header->p_vaddr),
                           header->p_memsz))
        return 1;
    }
  return 0;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

char *
sora_libraries_describe (const char *path)
{
  struct link_map *module = NULL;
  void *handle = dlopen (path, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == NULL)
    return NULL;
  g_autoptr (GHashTable) found = g_hash_table_new (NULL, NULL);
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  if (dlinfo (handle, RTLD_DI_LINKMAP, &module) == 0)
    add_needed (found, module);
  GHashTableIter iter;
  gpointer library;
  g_hash_table_iter_init (&iter, found);
  while (g_hash_table_iter_next (&iter, &library, NULL))
    {
      const Wanted wanted = { library, g_string_new (name_of (library)) };
      struct stat st;
      g_string_append_c (wanted.line, ' ');
      if (dl_iterate_phdr (on_object, (void *)&wanted) == 0 && stat (wanted.map->l_name, &st) == 0)
        g_string_append_printf (wanted.line,
                                "%" G_GINT64_FORMAT " bytes of %" G_GINT64_FORMAT ".%09ld",
                                (gint64)st.st_size, (gint64)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
      g_ptr_array_add (lines, g_string_free (wanted.line, FALSE));
    }
  dlclose (handle);
  g_ptr_array_sort (lines, compare);
  g_ptr_array_add (lines, NULL);
  return g_strjoinv ("\n", (char **)lines->pdata);
}
