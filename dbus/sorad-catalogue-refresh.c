/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Models that come and go while the daemon runs.  The folders are looked into again when somebody
 * names a model that is not known, and before objects are listed; only what is new is opened, and
 * not more than once a second, since anybody may ask.
 */
#include "config.h"
#include "sorad-catalogue-private.h"

#include <string.h>

#include "dbus/sora-bus-error.h"

#define INTERVAL G_USEC_PER_SEC
#define WEIGHTS ".safetensors"

static int
compare_ids (gconstpointer a, gconstpointer b)
{
  return strcmp (sora_model_id (*(SoraModel *const *)a), sora_model_id (*(SoraModel *const *)b));
}

/* Of those that are known, without a look into the folders. */
static gboolean
is_known (SoradCatalogue *catalogue, const char *id)
{
  for (guint i = 0; i < catalogue->models->len; i++)
    if (g_str_equal (sora_model_id (catalogue->models->pdata[i]), id))
      return TRUE;
  return FALSE;
}

static void
take_model (SoradCatalogue *catalogue, SoraModel *model)
{
  g_ptr_array_add (catalogue->models, model);
  sorad_catalogue_export_model (catalogue, model);
}

static void
forget_model (SoradCatalogue *catalogue, const char *id)
{
  g_autofree char *path = sorad_catalogue_model_object (id);
  g_dbus_object_manager_server_unexport (catalogue->manager, path);
  for (guint i = 0; i < catalogue->models->len; i++)
    if (g_str_equal (sora_model_id (catalogue->models->pdata[i]), id))
      {
        g_ptr_array_remove_index (catalogue->models, i); /* @id may go with it */
        return;
      }
}

static void
look_into (SoradCatalogue *catalogue, const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name (dir)) != NULL)
    {
      gsize length = strlen (name);
      gboolean file = g_str_has_suffix (name, WEIGHTS);
      g_autofree char *id = g_strndup (name, file ? length - strlen (WEIGHTS) : length);
      g_autofree char *full = g_build_filename (path, name, NULL);
      if (*name == '.' || !g_utf8_validate (name, -1, NULL) || is_known (catalogue, id)
          || !g_file_test (full, file ? G_FILE_TEST_IS_REGULAR : G_FILE_TEST_IS_DIR))
        continue;
      g_autoptr (GError) error = NULL;
      SoraModel *model = sora_model_open (full, &error);
      if (model)
        take_model (catalogue, model);
      else
        g_debug ("%s", error->message); /* a folder that is still written to, it may be */
    }
}

void
sorad_catalogue_refresh (SoradCatalogue *catalogue, gboolean now)
{
  gint64 time = g_get_monotonic_time ();
  if (!catalogue->manager || g_atomic_int_get (&catalogue->ending)
      || (!now && catalogue->scanned && time - catalogue->scanned < INTERVAL))
    return;
  catalogue->scanned = time;
  for (guint i = catalogue->models->len; i-- > 0;)
    {
      SoraModel *model = catalogue->models->pdata[i];
      if (!g_file_test (sora_model_path (model), G_FILE_TEST_EXISTS))
        forget_model (catalogue, sora_model_id (model));
    }
  for (char **dir = catalogue->config->model_dirs; dir && *dir; dir++)
    look_into (catalogue, *dir);
  g_ptr_array_sort (catalogue->models, compare_ids);
  sorad_catalogue_update_default (catalogue);
}

char *
sorad_catalogue_add_model (SoradCatalogue *catalogue, const char *id, GError **error)
{
  sorad_catalogue_refresh (catalogue, TRUE);
  if (is_known (catalogue, id))
    return sorad_catalogue_model_object (id);
  g_set_error (error, SORA_ERROR, SORA_ERROR_INVALID_MODEL,
               "model '%s' was added, and cannot be opened any more", id);
  return NULL;
}

void
sorad_catalogue_drop_model (SoradCatalogue *catalogue, const char *id)
{
  forget_model (catalogue, id);
  sorad_catalogue_update_default (catalogue);
}

/* -- Before objects are listed.  GDBus answers GetManagedObjects by itself, in the main loop; a
 * filter in its own thread sees the call first, and what it puts into the main loop is more urgent.
 */

struct SoradListing
{
  gatomicrefcount refs;
  SoradCatalogue *catalogue; /* main loop; NULL: it is gone */
  gint pending;              /* atomic */
  guint filter;
};

static void
listing_unref (gpointer data)
{
  struct SoradListing *listing = data;
  if (g_atomic_ref_count_dec (&listing->refs))
    g_free (listing);
}

static gboolean
on_listed (gpointer data)
{
  struct SoradListing *listing = data;
  g_atomic_int_set (&listing->pending, FALSE);
  if (listing->catalogue)
    sorad_catalogue_refresh (listing->catalogue, FALSE);
  return G_SOURCE_REMOVE;
}

static GDBusMessage *
on_message (GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
  struct SoradListing *listing = data;
  if (incoming && g_dbus_message_get_message_type (message) == G_DBUS_MESSAGE_TYPE_METHOD_CALL
      && g_strcmp0 (g_dbus_message_get_member (message), "GetManagedObjects") == 0
      && g_atomic_int_compare_and_exchange (&listing->pending, FALSE, TRUE))
    {
      g_atomic_ref_count_inc (&listing->refs);
      g_idle_add_full (G_PRIORITY_HIGH, on_listed, listing, listing_unref);
    }
  return message;
}

void
sorad_catalogue_watch_listing (SoradCatalogue *catalogue)
{
  struct SoradListing *listing = g_new0 (struct SoradListing, 1);
  g_atomic_ref_count_init (&listing->refs);
  listing->catalogue = catalogue;
  g_atomic_ref_count_inc (&listing->refs);
  listing->filter
      = g_dbus_connection_add_filter (catalogue->connection, on_message, listing, listing_unref);
  catalogue->listing = listing;
}

void
sorad_catalogue_unwatch_listing (SoradCatalogue *catalogue)
{
  struct SoradListing *listing = g_steal_pointer (&catalogue->listing);
  if (!listing)
    return;
  listing->catalogue = NULL;
  g_dbus_connection_remove_filter (catalogue->connection, listing->filter);
  listing_unref (listing);
}
