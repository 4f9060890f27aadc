/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * vae-scratch.c: see vae-scratch.h.
 */
#include "vae-scratch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int
sora_vae_scratch_open (const SoraHost *host, SoraContext *ctx, int64_t frames, int64_t lines,
                       int64_t line, SoraVaeScratch *scratch)
{
  *scratch = (SoraVaeScratch){ host, ctx, -1, line, lines };
  const int r = host->scratch (ctx, (uint64_t)(frames * lines * line), &scratch->fd);
  if (r == SORA_UNAVAILABLE)
    return host->fail (ctx,
                       "the host has no scratch files, which tiles need: set 'tiling' to none");
  return r;
}

void
sora_vae_scratch_close (SoraVaeScratch *scratch)
{
  if (scratch->host != NULL && scratch->fd >= 0)
    (void)close (scratch->fd);
  *scratch = (SoraVaeScratch){ .fd = -1 };
}

static int
fail (const SoraVaeScratch *s, const char *verb, ssize_t done)
{
  return s->host->fail (s->ctx, "the scratch file cannot be %s: %s", verb,
                        done < 0 ? strerror (errno) : "it ended early");
}

static int
read_all (const SoraVaeScratch *s, char *to, int64_t bytes, int64_t at)
{
  while (bytes > 0)
    {
      const ssize_t n = pread (s->fd, to, (size_t)bytes, (off_t)at);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return fail (s, "read", n);
      to += n;
      at += n;
      bytes -= n;
    }
  return SORA_OK;
}

static int
write_all (const SoraVaeScratch *s, const char *from, int64_t bytes, int64_t at)
{
  while (bytes > 0)
    {
      const ssize_t n = pwrite (s->fd, from, (size_t)bytes, (off_t)at);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return fail (s, "written", n);
      from += n;
      at += n;
      bytes -= n;
    }
  return SORA_OK;
}

static int64_t
place (const SoraVaeScratch *s, int64_t frame, int64_t line, int64_t left)
{
  return (frame * s->lines + line) * s->line + left;
}

int
sora_vae_scratch_read (const SoraVaeScratch *s, int64_t frame, int64_t top, int64_t lines,
                       int64_t left, int64_t bytes, void *to, int64_t step)
{
  if (bytes == s->line && step == bytes)
    return read_all (s, to, lines * bytes, place (s, frame, top, left));
  int r = SORA_OK;
  for (int64_t i = 0; i < lines && r == SORA_OK; i++)
    r = read_all (s, (char *)to + i * step, bytes, place (s, frame, top + i, left));
  return r;
}

int
sora_vae_scratch_write (const SoraVaeScratch *s, int64_t frame, int64_t top, int64_t lines,
                        int64_t left, int64_t bytes, const void *from, int64_t step)
{
  if (bytes == s->line && step == bytes)
    return write_all (s, from, lines * bytes, place (s, frame, top, left));
  int r = SORA_OK;
  for (int64_t i = 0; i < lines && r == SORA_OK; i++)
    r = write_all (s, (const char *)from + i * step, bytes, place (s, frame, top + i, left));
  return r;
}

int
sora_vae_scratch_add (const SoraVaeScratch *s, int64_t frame, int64_t top, int64_t lines,
                      int64_t left, int64_t bytes, const void *from, int64_t step, float *line)
{
  int r = SORA_OK;
  for (int64_t i = 0; i < lines && r == SORA_OK; i++)
    {
      const int64_t at = place (s, frame, top + i, left);
      const float *more = (const float *)((const char *)from + i * step);
      r = read_all (s, (char *)line, bytes, at);
      for (int64_t j = 0; j < bytes / (int64_t)sizeof *line && r == SORA_OK; j++)
        line[j] += more[j];
      if (r == SORA_OK)
        r = write_all (s, (const char *)line, bytes, at);
    }
  return r;
}
