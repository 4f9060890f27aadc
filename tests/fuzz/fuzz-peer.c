/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: what comes from the process of a third-party stage.  The input is a byte that says who
 * reads, and frames: type, flags, descriptor, length (two bytes, little-endian), payload.  They go
 * over a socket as the process would send them, with the flags' faults; what is taken is then used
 * as the runner does: descriptions become descriptors, tensors are mapped.
 */
#include "config.h"
#include "mutate.h"
#include "sora-describe.h"
#include "sora-peer.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD 5
#define MAX_FRAMES 48
#define MAGIC 0x50524f53u
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define MOST (1u << 20)

enum
{
  NO_MAGIC = 1 << 0,
  OTHER_FDS = 1 << 1, /* the header says so, and it is not */
  TOO_LONG = 1 << 2,
  HUGE_LENGTH = 1 << 3,
  CUT = 1 << 4,
};

/* What a descriptor can be: sealed files of some sizes, with numbers or none, unsealed, no file. */
static int
get_file (uint8_t kind)
{
  static const struct
  {
    off_t size;
    int seals;
    float value;
  } files[] = { { 0, SEALS, 0 },    { 4, SEALS, 1 },        { 32, SEALS, 1 },
                { 32, SEALS, NAN }, { 32, 0, 1 },           { 32, SEALS & ~F_SEAL_SHRINK, 1 },
                { 128, SEALS, 1 },  { 4096, SEALS, 0.5f },  { 12288, SEALS, INFINITY },
                { 31, SEALS, 0 } };
  static int fds[G_N_ELEMENTS (files) + 1];
  if (fds[0] == 0)
    {
      for (size_t i = 0; i < G_N_ELEMENTS (files); i++)
        {
          fds[i] = memfd_create ("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
          MUST (fds[i] >= 0 && ftruncate (fds[i], files[i].size) == 0);
          for (off_t at = 0; at + 4 <= files[i].size; at += 4)
            MUST (pwrite (fds[i], &files[i].value, 4, at) == 4);
          MUST (files[i].seals == 0 || fcntl (fds[i], F_ADD_SEALS, files[i].seals) == 0);
        }
      fds[G_N_ELEMENTS (files)] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    }
  return kind == 0 ? -1 : fds[(kind - 1) % G_N_ELEMENTS (fds)];
}

static gboolean
send_frame (int stream, const uint8_t *frame, size_t length)
{
  uint32_t header[4] = { MAGIC, frame[0], (uint32_t)length, 0 };
  uint8_t flags = frame[1];
  int fd = get_file (frame[2]);
  union
  {
    char space[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control = { 0 };
  struct iovec pieces[] = { { header, sizeof header }, { (void *)(frame + HEAD), length } };
  struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };
  header[0] ^= flags & NO_MAGIC ? 1u << (frame[2] & 31) : 0;
  header[2] += flags & TOO_LONG ? 1 : 0;
  header[2] = flags & HUGE_LENGTH ? UINT32_MAX - frame[2] : header[2];
  header[3] = (fd >= 0) != ((flags & OTHER_FDS) != 0);
  if (flags & CUT)
    pieces[1].iov_len /= 2;
  if (fd >= 0)
    {
      message.msg_control = control.space;
      message.msg_controllen = sizeof control.space;
      struct cmsghdr *rights = CMSG_FIRSTHDR (&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (rights), &fd, sizeof fd);
    }
  return sendmsg (stream, &message, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 && (flags & CUT) == 0;
}

static int
no_infer (const SoraHost *host, SoraContext *ctx)
{
  return SORA_FAILED;
}

static int
no_run (const SoraHost *host, SoraContext *ctx, void *instance)
{
  return SORA_FAILED;
}

/* A descriptor that is taken says the same again. */
static void
take_description (GVariant *payload)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) description = g_variant_get_child_value (payload, 0);
  const SoraPlugin *plugin
      = sora_plugin_from_variant (description, "fuzz", no_infer, no_run, &error);
  MUST_TELL (plugin != NULL, error);
  if (plugin == NULL)
    return;
  g_autoptr (GVariant) told = g_variant_ref_sink (sora_plugin_to_variant (plugin));
  const SoraPlugin *again = sora_plugin_from_variant (told, "fuzz", no_infer, no_run, &error);
  MUST_TELL (again != NULL, error);
  MUST (again != NULL);
  g_autoptr (GVariant) twice = g_variant_ref_sink (sora_plugin_to_variant (again));
  MUST (g_variant_get_size (told) == g_variant_get_size (twice));
  MUST (memcmp (g_variant_get_data (told), g_variant_get_data (twice), g_variant_get_size (told))
        == 0);
  sora_plugin_drop_described (plugin);
  sora_plugin_drop_described (again);
}

static void
take_tensor (SoraPeerMessage *message, int dtype, GVariant *shape)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) owned = shape;
  SoraTensorView view = { .struct_size = sizeof view };
  SoraTensor *tensor = sora_peer_map (message->fd, dtype, owned, MOST, &error);
  MUST_TELL (tensor != NULL, error);
  if (tensor == NULL)
    return;
  sora_tensor_get_view (tensor, &view);
  MUST (view.nbytes <= MOST && (gsize)view.ndim == g_variant_n_children (owned));
  for (uint64_t i = 0; dtype == SORA_F32 && i < view.nbytes / 4; i++)
    MUST (isfinite (((const float *)view.data)[i]));
  sora_tensor_unref (tensor);
}

static void
take (SoraPeerMessage *message)
{
  gint32 dtype, result;
  GVariant *shape;
  MUST (message->payload != NULL && g_variant_is_normal_form (message->payload));
  switch (message->type)
    {
    case SORA_PEER_DESCRIBED:
      take_description (message->payload);
      break;
    case SORA_PEER_PUSH:
      g_variant_get (message->payload, "(&si@ax)", NULL, &dtype, &shape);
      take_tensor (message, dtype, shape);
      break;
    case SORA_PEER_PREVIEW:
      g_variant_get (message->payload, "(@ax)", &shape);
      take_tensor (message, SORA_U8, shape);
      break;
    case SORA_PEER_TENSOR:
      g_variant_get (message->payload, "(ii@ax)", &result, &dtype, &shape);
      take_tensor (message, dtype, shape);
      break;
    default:
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  int ends[2];
  if (size < 1 + HEAD)
    return 0;
  MUST (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  gboolean from_stage = (data[0] & 1) != 0, going = TRUE;
  size_t at = 1;
  for (int n = 0; going && n < MAX_FRAMES && size - at >= HEAD; n++)
    {
      size_t length = MIN (data[at + 3] | (size_t)data[at + 4] << 8, size - at - HEAD);
      going = send_frame (ends[1], data + at, length);
      at += HEAD + length;
    }
  shutdown (ends[1], SHUT_WR);
  SoraPeer *peer = sora_peer_new (ends[0], -1, from_stage);
  for (going = TRUE; going;)
    {
      g_auto (SoraPeerMessage) message = { .fd = -1 };
      g_autoptr (GError) error = NULL;
      going = sora_peer_receive (peer, 0, NULL, NULL, &message, NULL, &error);
      MUST_TELL (going, error);
      if (going)
        {
          MUST ((message.type >= SORA_PEER_HELLO) == from_stage);
          take (&message);
        }
      else
        MUST (message.payload == NULL && message.fd == -1);
    }
  sora_peer_free (peer);
  close (ends[1]);
  return 0;
}

/* One frame: its head, its payload, its place. */
size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  Mutation m = mutation_begin (data, size, max_size, seed);
  size_t starts[MAX_FRAMES], n = 0, at = 1;
  while (n < MAX_FRAMES && at < size && size - at >= HEAD)
    {
      starts[n++] = at;
      at += HEAD + MIN (data[at + 3] | (size_t)data[at + 4] << 8, size - at - HEAD);
    }
  if (n == 0 || mutation_random (&m, 16) == 0)
    return LLVMFuzzerMutate (data, size, max_size);
  size_t begin = starts[mutation_random (&m, (uint32_t)n)];
  size_t length = MIN (data[begin + 3] | (size_t)data[begin + 4] << 8, size - begin - HEAD);
  uint32_t what = mutation_random (&m, 8);
  if (what == 0)
    m.data[begin] = (uint8_t)(mutation_random (&m, 2) ? 1 + mutation_random (&m, 7)
                                                      : 32 + mutation_random (&m, 13));
  else if (what == 1)
    m.data[begin + 1] = (uint8_t)(1u << mutation_random (&m, 8)); /* often: no fault */
  else if (what == 2)
    m.data[begin + 2] = (uint8_t)mutation_random (&m, 12);
  else if (what == 3 && n > 1)
    mutation_splice (&m, begin, begin + HEAD + length, "", 0);
  else if (what == 4 && HEAD + length < 512)
    {
      uint8_t copy[512];
      memcpy (copy, m.data + begin, HEAD + length);
      mutation_splice (&m, begin, begin, copy, HEAD + length);
    }
  else
    {
      size_t before = m.size;
      mutation_bytes (&m, begin + HEAD, begin + HEAD + length, 2048);
      length = length + m.size - before;
      m.data[begin + 3] = (uint8_t)length;
      m.data[begin + 4] = (uint8_t)(length >> 8);
    }
  return m.size;
}
