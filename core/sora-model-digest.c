/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A model's digest: SHA-256 over its files' names, sizes and SHA-256s, in the order of the names.
 * Hashing 29 GB takes minutes, so a file's digest is kept under the user's cache, by what the file
 * is (device, inode, size, times).  Whoever can write there can give a model any digest: a service
 * for many users says which folder each of its processes writes, and whose else it believes.
 */
#include "config.h"
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "sora-keyfile.h"
#include "sora-model-parts.h"

#define CODE SORA_ERROR_INVALID_MODEL
#define BLOCK (1u << 20)
#define MAX_DEPTH 8
#define MAX_FILES 10000u
#define HEX_LENGTH 64
/* A file that was changed less than this ago may be changed again within the same tick of its time
 * stamp; its digest is not kept (the "racily clean" files of git). */
#define SETTLED_NS (2 * G_GINT64_CONSTANT (1000000000))

static char *kept_dir;     /* NULL: the user's */
static char *believed_dir; /* NULL: none */

void
sora_model_set_digest_dirs (const char *kept, const char *believed)
{
  g_free (kept_dir);
  g_free (believed_dir);
  kept_dir = g_strdup (kept);
  believed_dir = g_strdup (believed);
}

static char *
cache_name (const SoraFileIdentity *identity)
{
  g_autofree char *key = g_strdup_printf (
      "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT
      " %" G_GINT64_FORMAT,
      identity->dev, identity->ino, identity->size, identity->mtime, identity->ctime);
  return g_compute_checksum_for_string (G_CHECKSUM_SHA256, key, -1);
}

static char *
cache_dir (void)
{
  return kept_dir != NULL ? g_strdup (kept_dir)
                          : g_build_filename (g_get_user_cache_dir (), "sorad", "digests", NULL);
}

static char *
read_in (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL), *text = NULL;
  gsize length;
  if (!g_file_get_contents (path, &text, &length, NULL) || length != HEX_LENGTH
      || strspn (text, "0123456789abcdef") != HEX_LENGTH)
    return NULL;
  return g_steal_pointer (&text);
}

/* First what others cannot have changed. */
static char *
cache_read (const char *name)
{
  g_autofree char *dir = cache_dir ();
  char *digest = believed_dir != NULL ? read_in (believed_dir, name) : NULL;
  return digest != NULL ? digest : read_in (dir, name);
}

static gboolean
is_settled (const SoraFileIdentity *identity)
{
  struct timespec now;
  clock_gettime (CLOCK_REALTIME, &now);
  gint64 ns = now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
  return ns - MAX (identity->mtime, identity->ctime) > SETTLED_NS;
}

/* A cache that cannot be written only costs time. */
static void
cache_write (const char *name, const char *digest)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = cache_dir ();
  g_autofree char *path = g_build_filename (folder, name, NULL);
  if (g_mkdir_with_parents (folder, 0700) < 0
      || !g_file_set_contents_full (path, digest, HEX_LENGTH, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                    &error))
    g_debug ("a digest is not kept in '%s': %s", folder,
             error != NULL ? error->message : "no folder");
}

/* Who waits for a digest: may stop it, and is told how far it is. */
typedef struct
{
  gboolean (*stopped) (gpointer data);
  SoraModelProgress progress;
  gpointer data;
  gboolean fresh; /* believe no digest that was kept */
  guint64 done, total;
} Watch;

static gboolean
goes_on (Watch *watch, guint64 more)
{
  watch->done += more;
  if (watch->stopped != NULL && watch->stopped (watch->data))
    return FALSE;
  return watch->progress == NULL || watch->progress (watch->done, watch->total, watch->data);
}

static char *
hash_file (int fd, const char *display, guint64 size, Watch *watch, GError **error)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree guchar *block = g_malloc (BLOCK);
  for (guint64 at = 0; at < size;)
    {
      gsize n = (gsize)MIN (size - at, BLOCK);
      if (!goes_on (watch, 0))
        {
          sora_error_set (error, SORA_ERROR_CANCELLED, "stopped while the digest of '%s' was made",
                          display);
          return NULL;
        }
      if (!sora_file_read (fd, display, at, block, n, CODE, error))
        return NULL;
      g_checksum_update (checksum, block, (gssize)n);
      at += n;
      watch->done += n;
    }
  return g_strdup (g_checksum_get_string (checksum));
}

static char *
digest_of_file (SoraModel *model, const char *name, guint64 *size, Watch *watch, GError **error)
{
  struct stat st, after;
  g_autofree char *display = sora_model_display (model, name);
  int fd = sora_model_open_file (model, name, &st, error);
  if (fd < 0)
    return NULL;
  SoraFileIdentity identity = sora_file_identity (&st);
  g_autofree char *kept = cache_name (&identity);
  *size = identity.size;
  char *digest = watch->fresh ? NULL : cache_read (kept);
  if (digest != NULL)
    watch->done += identity.size;
  else
    {
      digest = hash_file (fd, display, identity.size, watch, error);
      SoraFileIdentity now
          = fstat (fd, &after) == 0 ? sora_file_identity (&after) : (SoraFileIdentity){ 0 };
      if (digest != NULL && !sora_file_identity_equal (&identity, &now))
        {
          sora_error_set (error, CODE, "'%s' was changed while its digest was made", display);
          g_clear_pointer (&digest, g_free);
        }
      else if (digest != NULL && is_settled (&identity))
        cache_write (kept, digest);
    }
  close (fd);
  return digest;
}

static gboolean
collect (SoraModel *model, const char *folder, int depth, GPtrArray *files, GError **error)
{
  g_autoptr (GPtrArray) names = sora_model_list_dir (model, folder, error);
  if (names == NULL)
    return FALSE;
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *name = g_build_filename (folder, g_ptr_array_index (names, i), NULL);
      struct stat st;
      if (fstatat (model->dirfd, name, &st, 0) == 0 && S_ISDIR (st.st_mode))
        {
          if (depth == MAX_DEPTH)
            {
              sora_error_set (error, CODE, "'%s/%s': folders are more than %d deep", model->path,
                              name, MAX_DEPTH);
              return FALSE;
            }
          if (!collect (model, name, depth + 1, files, error))
            return FALSE;
        }
      else if (!sora_model_is_pickle_name (name)) /* never read, so no part of what the model is */
        g_ptr_array_add (files, g_steal_pointer (&name));
      if (files->len > MAX_FILES)
        {
          sora_error_set (error, CODE, "'%s' holds more than %u files", model->path, MAX_FILES);
          return FALSE;
        }
    }
  return TRUE;
}

/* In the order in which they go into the digest. */
static GPtrArray *
list_files (SoraModel *model, GError **error)
{
  if (model->parts != NULL)
    return sora_model_parts_files (model);
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (files, g_strdup (model->single != NULL ? model->single : SORA_MODEL_INDEX));
  for (const char *const *name = sora_model_components (model);
       model->single == NULL && *name != NULL; name++)
    if (!collect (model, *name, 1, files, error))
      return NULL;
  g_ptr_array_sort (files, sora_compare_names);
  return g_steal_pointer (&files);
}

/* Does the file belong to one of the components, "text_encoder,tokenizer"?  A single file holds all. */
static gboolean
is_of (SoraModel *model, const char *name, const char *components)
{
  g_auto (GStrv) wanted = g_strsplit (components != NULL ? components : "", ",", -1);
  gsize length = strcspn (name, "/");

  if (model->parts != NULL || model->single != NULL || wanted[0] == NULL || name[length] == '\0')
    return TRUE;
  for (char **w = wanted; *w != NULL; w++)
    if (strlen (g_strstrip (*w)) == length && strncmp (name, *w, length) == 0)
      return TRUE;
  return FALSE;
}

char *
sora_model_describe_files (SoraModel *model, const char *components, GError **error)
{
  g_autoptr (GPtrArray) files = list_files (model, error);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; files != NULL && i < files->len; i++)
    {
      const char *name = g_ptr_array_index (files, i);
      struct stat st;
      if (!is_of (model, name, components))
        continue;
      int fd = sora_model_open_file (model, name, &st, error);
      if (fd < 0)
        return NULL;
      close (fd);
      SoraFileIdentity id = sora_file_identity (&st);
      if (!is_settled (&id))
        return NULL;
      g_string_append_printf (text,
                              "%s\n%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                              " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT "\n",
                              name, id.dev, id.ino, id.size, id.mtime, id.ctime);
    }
  return files != NULL ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

/* For the progress alone: whether a file can be read is seen when it is. */
static guint64
size_of_files (SoraModel *model, const GPtrArray *files)
{
  guint64 total = 0;
  for (guint i = 0; i < files->len; i++)
    {
      struct stat st;
      if (fstatat (model->dirfd, g_ptr_array_index (files, i), &st, 0) == 0)
        total += (guint64)st.st_size;
    }
  return total;
}

static char *
make_digest (SoraModel *model, Watch *watch, GError **error)
{
  g_autoptr (GPtrArray) files = list_files (model, error);
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  if (files == NULL)
    return NULL;
  watch->total = size_of_files (model, files);
  for (guint i = 0; i < files->len; i++)
    {
      guint64 size;
      const char *name = g_ptr_array_index (files, i);
      g_autofree char *digest = digest_of_file (model, name, &size, watch, error);
      if (digest == NULL)
        return NULL;
      g_autofree char *rest = g_strdup_printf ("%" G_GUINT64_FORMAT " %s\n", size, digest);
      const char *label = model->parts != NULL ? sora_model_parts_label (model, name) : name;
      g_checksum_update (checksum, (const guchar *)label, (gssize)strlen (label) + 1);
      g_checksum_update (checksum, (const guchar *)rest, (gssize)strlen (rest));
    }
  (void)goes_on (watch, 0); /* the end is told, too */
  return g_strdup (g_checksum_get_string (checksum));
}

const char *
sora_model_digest_stoppable (SoraModel *model, gboolean (*stopped) (gpointer data), gpointer data,
                             GError **error)
{
  Watch watch = { .stopped = stopped, .data = data };

  g_mutex_lock (&model->digest_lock);
  if (model->digest == NULL)
    model->digest = make_digest (model, &watch, error);
  const char *digest = model->digest;
  g_mutex_unlock (&model->digest_lock);
  return digest;
}

const char *
sora_model_digest (SoraModel *model, GError **error)
{
  return sora_model_digest_stoppable (model, NULL, NULL, error);
}

char *
sora_model_make_digest (SoraModel *model, gboolean fresh, SoraModelProgress progress, gpointer data,
                        GError **error)
{
  Watch watch = { .progress = progress, .data = data, .fresh = fresh };

  g_mutex_lock (&model->digest_lock);
  char *digest = fresh || model->digest == NULL ? make_digest (model, &watch, error)
                                                : g_strdup (model->digest);
  /* One that was given out stays good as long as the model lives. */
  if (digest != NULL && model->digest == NULL)
    model->digest = g_strdup (digest);
  g_mutex_unlock (&model->digest_lock);
  return digest;
}
