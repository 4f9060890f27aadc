/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Senders on the bus.  The uid comes from GetConnectionCredentials and is remembered while the
 * unique name lives (the bus never gives one out twice).  A filter in GDBus's own thread counts the
 * calls that have no reply yet: while the main loop is behind, the excess of one user is answered
 * there and never queued.
 */
#include "config.h"
#include "sorad-clients.h"

#include <gio/gunixfdlist.h>

#include "core/sora-error.h"

#define MAX_MESSAGE_BYTES (8u * 1024 * 1024 + 65536) /* RequestBytes at its largest */
#define MAX_MESSAGE_FDS 16                           /* as the system bus has it */
#define MAX_FDS 64 /* of one bucket: a call that waits holds its descriptors */

typedef struct
{
  SoradClientFound found;
  gpointer data;
} Waiter;

typedef struct
{
  SoradClients *clients;
  char *name;
  guint32 uid;
  gboolean known;
  gboolean gone;   /* before the bus's answer was seen */
  GSList *waiters; /* of Waiter, last first */
} Client;

/* What one bucket (a uid, or a sender that has not been looked up yet) holds at the moment. */
typedef struct
{
  guint calls, fds;
  guint64 bytes;
} Load;

/* Outlives the daemon's objects: messages may be freed after them. */
typedef struct
{
  gatomicrefcount refs;
  GMutex lock;
  GHashTable *uids;  /* name -> uid + 1 */
  GHashTable *loads; /* "u1000" or ":1.5" -> Load */
  guint max_calls;
  guint64 max_bytes;
} Meter;

struct SoradClients
{
  GDBusConnection *connection;
  GHashTable *clients; /* name -> Client */
  GCancellable *cancellable;
  guint filter, subscription;
  Meter *meter;
  SoradClientVanished vanished;
  gpointer data;
};

static void
meter_unref (gpointer data)
{
  Meter *meter = data;
  if (!g_atomic_ref_count_dec (&meter->refs))
    return;
  g_hash_table_unref (meter->uids);
  g_hash_table_unref (meter->loads);
  g_mutex_clear (&meter->lock);
  g_free (meter);
}

/* -- The filter; GDBus's thread */

typedef struct
{
  Meter *meter;
  char *bucket;
  guint fds;
  guint64 bytes;
} Charge;

static void
on_message_gone (gpointer data, GObject *message)
{
  Charge *charge = data;
  g_mutex_lock (&charge->meter->lock);
  Load *load = g_hash_table_lookup (charge->meter->loads, charge->bucket);
  if (load)
    {
      load->calls--;
      load->fds -= charge->fds;
      load->bytes -= charge->bytes;
      if (load->calls == 0)
        g_hash_table_remove (charge->meter->loads, charge->bucket);
    }
  g_mutex_unlock (&charge->meter->lock);
  meter_unref (charge->meter);
  g_free (charge->bucket);
  g_free (charge);
}

static gboolean
charge_message (Meter *meter, GDBusMessage *message, const char *sender)
{
  GVariant *body = g_dbus_message_get_body (message);
  guint64 bytes = 1024 + (body ? g_variant_get_size (body) : 0);
  GUnixFDList *list = g_dbus_message_get_unix_fd_list (message);
  guint fds = list ? (guint)g_unix_fd_list_get_length (list) : 0;

  g_mutex_lock (&meter->lock);
  gsize known = GPOINTER_TO_SIZE (g_hash_table_lookup (meter->uids, sender));
  g_autofree char *bucket
      = known ? g_strdup_printf ("u%" G_GSIZE_FORMAT, known - 1) : g_strdup (sender);
  Load *load = g_hash_table_lookup (meter->loads, bucket);
  gboolean fits = bytes <= MAX_MESSAGE_BYTES && fds <= MAX_MESSAGE_FDS
                  && (!load
                      || (load->calls < meter->max_calls && load->fds + fds <= MAX_FDS
                          && load->bytes + bytes <= meter->max_bytes));
  if (fits)
    {
      if (!load)
        g_hash_table_insert (meter->loads, g_strdup (bucket), load = g_new0 (Load, 1));
      load->calls++;
      load->fds += fds;
      load->bytes += bytes;
    }
  g_mutex_unlock (&meter->lock);
  if (!fits)
    return FALSE;

  Charge *charge = g_new0 (Charge, 1);
  charge->meter = meter;
  g_atomic_ref_count_inc (&meter->refs);
  charge->bucket = g_steal_pointer (&bucket);
  charge->fds = fds;
  charge->bytes = bytes;
  g_object_weak_ref (G_OBJECT (message), on_message_gone, charge);
  return TRUE;
}

static GDBusMessage *
on_message (GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
  Meter *meter = data;
  const char *sender = g_dbus_message_get_sender (message);
  if (!incoming || !sender
      || g_dbus_message_get_message_type (message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL
      || charge_message (meter, message, sender))
    return message;

  if (!(g_dbus_message_get_flags (message) & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED))
    {
      g_autoptr (GDBusMessage) reply = g_dbus_message_new_method_error (
          message, "org.freedesktop.DBus.Error.LimitsExceeded",
          "too many calls of yours, or too many bytes or "
          "descriptors, stand without a reply: wait for the earlier ones");
      g_dbus_connection_send_message (connection, reply, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL,
                                      NULL);
    }
  g_object_unref (message);
  return NULL;
}

/* -- Clients; main loop */

static void
client_free (gpointer data)
{
  Client *client = data;
  g_slist_free_full (client->waiters, g_free);
  g_free (client->name);
  g_free (client);
}

static void
answer_waiters (Client *client, const GError *error)
{
  GSList *waiters = g_slist_reverse (g_steal_pointer (&client->waiters));
  for (GSList *l = waiters; l; l = l->next)
    {
      Waiter *waiter = l->data;
      waiter->found (client->uid, error, waiter->data);
    }
  g_slist_free_full (waiters, g_free);
}

static void
forget_client (SoradClients *clients, const char *name)
{
  g_mutex_lock (&clients->meter->lock);
  g_hash_table_remove (clients->meter->uids, name);
  g_mutex_unlock (&clients->meter->lock);
  g_hash_table_remove (clients->clients, name);
}

static void
on_name_owner_changed (GDBusConnection *connection, const char *sender, const char *path,
                       const char *interface, const char *signal, GVariant *parameters,
                       gpointer data)
{
  SoradClients *clients = data;
  const char *name, *new_owner;
  g_variant_get (parameters, "(&s&s&s)", &name, NULL, &new_owner);
  Client *client = g_hash_table_lookup (clients->clients, name);
  if (!client || *new_owner)
    return;
  if (!client->known)
    {
      client->gone = TRUE; /* on_credentials comes yet, and forgets it */
      return;
    }
  guint32 uid = client->uid;
  forget_client (clients, name); /* so that whoever asks now hears that it is gone */
  clients->vanished (name, uid, clients->data);
}

static void
on_credentials (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return; /* the daemon ends, and @data is gone */
  Client *client = data;
  SoradClients *clients = client->clients;
  g_autoptr (GVariant) credentials = reply ? g_variant_get_child_value (reply, 0) : NULL;
  if (credentials && !g_variant_lookup (credentials, "UnixUserID", "u", &client->uid))
    g_set_error (&error, SORA_ERROR, SORA_ERROR_DENIED, "the bus does not say who '%s' is",
                 client->name);
  if (!error && client->gone)
    g_set_error (&error, SORA_ERROR, SORA_ERROR_CANCELLED, "'%s' has left the bus", client->name);
  if (error)
    {
      answer_waiters (client, error);
      forget_client (clients, client->name);
      return;
    }
  client->known = TRUE;
  g_mutex_lock (&clients->meter->lock);
  g_hash_table_insert (clients->meter->uids, g_strdup (client->name),
                       GSIZE_TO_POINTER ((gsize)client->uid + 1));
  g_mutex_unlock (&clients->meter->lock);
  answer_waiters (client, NULL);
}

void
sorad_clients_find (SoradClients *clients, const char *sender, SoradClientFound found,
                    gpointer data)
{
  Client *client = g_hash_table_lookup (clients->clients, sender);
  if (client && client->known)
    {
      found (client->uid, NULL, data);
      return;
    }
  Waiter *waiter = g_new0 (Waiter, 1);
  waiter->found = found;
  waiter->data = data;
  if (client)
    {
      client->waiters = g_slist_prepend (client->waiters, waiter);
      return;
    }
  client = g_new0 (Client, 1);
  client->clients = clients;
  client->name = g_strdup (sender);
  client->waiters = g_slist_prepend (NULL, waiter);
  g_hash_table_insert (clients->clients, client->name, client);
  g_dbus_connection_call (
      clients->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
      "GetConnectionCredentials", g_variant_new ("(s)", sender), G_VARIANT_TYPE ("(a{sv})"),
      G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, clients->cancellable, on_credentials, client);
}

gboolean
sorad_clients_has (SoradClients *clients, const char *sender)
{
  return g_hash_table_contains (clients->clients, sender);
}

SoradClients *
sorad_clients_new (GDBusConnection *connection, guint max_calls, guint64 max_bytes,
                   SoradClientVanished vanished, gpointer data)
{
  SoradClients *clients = g_new0 (SoradClients, 1);
  Meter *meter = g_new0 (Meter, 1);
  g_atomic_ref_count_init (&meter->refs);
  g_mutex_init (&meter->lock);
  meter->uids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  meter->loads = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  meter->max_calls = max_calls;
  meter->max_bytes = max_bytes;
  clients->meter = meter;
  clients->connection = g_object_ref (connection);
  clients->clients = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, client_free);
  clients->cancellable = g_cancellable_new ();
  clients->vanished = vanished;
  clients->data = data;
  g_atomic_ref_count_inc (&meter->refs);
  clients->filter = g_dbus_connection_add_filter (connection, on_message, meter, meter_unref);
  /* Of all names, since a bus gives a connection 512 match rules, and clients may be more.  It
   * stands before the first question who somebody is: a client that goes meanwhile is seen by one
   * or the other. */
  clients->subscription = g_dbus_connection_signal_subscribe (
      connection, "org.freedesktop.DBus", "org.freedesktop.DBus", "NameOwnerChanged",
      "/org/freedesktop/DBus", NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_name_owner_changed, clients,
      NULL);
  return clients;
}

void
sorad_clients_free (SoradClients *clients)
{
  if (!clients)
    return;
  g_cancellable_cancel (clients->cancellable);
  g_dbus_connection_remove_filter (clients->connection, clients->filter);
  g_dbus_connection_signal_unsubscribe (clients->connection, clients->subscription);
  g_autoptr (GError) error = g_error_new (SORA_ERROR, SORA_ERROR_FAILED, "sorad ends");
  GHashTableIter iter;
  gpointer client;
  g_hash_table_iter_init (&iter, clients->clients);
  while (g_hash_table_iter_next (&iter, NULL, &client))
    answer_waiters (client, error);
  g_hash_table_unref (clients->clients);
  meter_unref (clients->meter);
  g_object_unref (clients->cancellable);
  g_object_unref (clients->connection);
  g_free (clients);
}
