/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * spm.cc: libsentencepiece with a C face, for its normaliser: the split into pieces is spm-split.c's.
 * The one C++ file of the project; each function that C calls catches everything.
 */
#include "spm.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include <sentencepiece_processor.h>

#include "spm-check.h"
#include "spm-split.h"

struct SoraSpm
{
  SoraSpm () = default;
  SoraSpm (const SoraSpm &) = delete;
  SoraSpm &operator= (const SoraSpm &) = delete;
  ~SoraSpm () { sora_spm_split_free (split); }

  sentencepiece::SentencePieceProcessor processor;
  SoraSpmSplit *split = nullptr;
  std::string bytes; /* as given: what the kept one is recognised by */
  int64_t pieces = 0;
  int eos = 0;
  int refs = 1; /* under `lock` */
};

namespace
{

std::mutex lock;
SoraSpm *kept; /* the last one used; holds a reference */

void
say (char *why, size_t why_size, const char *what)
{
  if (why_size > 0)
    std::snprintf (why, why_size, "%s", what);
}

void
drop_locked (SoraSpm *spm)
{
  if (spm != nullptr && --spm->refs == 0)
    delete spm;
}

SoraSpm *
load (const void *data, size_t size, char *why, size_t why_size)
{
  std::string copy (static_cast<const char *> (data), size);
  SoraSpm *spm = new SoraSpm;

  try
    {
      spm->pieces
          = sora_spm_check (reinterpret_cast<uint8_t *> (copy.data ()), size, why, why_size);
      if (spm->pieces >= 0)
        {
          auto status = spm->processor.LoadFromSerializedProto (copy);
          if (!status.ok ())
            {
              say (why, why_size, status.ToString ().c_str ());
              spm->pieces = -1;
            }
        }
      if (spm->pieces >= 0)
        {
          spm->split
              = sora_spm_split_new (reinterpret_cast<const uint8_t *> (copy.data ()), size);
          if (spm->split == nullptr)
            throw std::bad_alloc ();
        }
      if (spm->pieces >= 0)
        {
          spm->eos = spm->processor.PieceToId ("</s>");
          if (!spm->processor.IsControl (spm->eos)
              || spm->processor.GetPieceSize () != static_cast<int> (spm->pieces))
            {
              say (why, why_size, "it has no end mark </s> of the control kind");
              spm->pieces = -1;
            }
        }
      if (spm->pieces >= 0)
        spm->bytes.assign (static_cast<const char *> (data), size);
    }
  catch (...)
    {
      delete spm;
      throw;
    }
  if (spm->pieces >= 0)
    return spm;
  delete spm;
  return nullptr;
}

/* The text as the model's normaliser leaves it.  Only the newest versions give it away; all give the
 * pieces that they split it into, whose texts it is, bytes apart. */
sentencepiece::util::Status
normalise (const SoraSpm *spm, absl::string_view text, std::string *normal)
{
  std::vector<std::string> pieces;
  std::vector<int> ids;
  auto status = spm->processor.Encode (text, &pieces);

  if (status.ok ())
    status = spm->processor.Encode (text, &ids);
  for (size_t i = 0; status.ok () && i < ids.size () && i < pieces.size (); i++)
    {
      const int byte = sora_spm_split_byte (spm->split, ids[i]);
      if (byte >= 0)
        normal->push_back (static_cast<char> (byte));
      else
        normal->append (pieces[i]);
    }
  return status;
}

} // namespace

extern "C" SoraSpm *
sora_spm_new (const void *data, size_t size, char *why, size_t why_size)
{
  try
    {
      std::lock_guard<std::mutex> guard (lock);

      if (kept == nullptr || kept->bytes.size () != size
          || std::memcmp (kept->bytes.data (), data, size) != 0)
        {
          SoraSpm *spm = load (data, size, why, why_size);

          if (spm == nullptr)
            return nullptr;
          drop_locked (kept);
          kept = spm;
        }
      kept->refs++;
      return kept;
    }
  catch (const std::exception &e)
    {
      say (why, why_size, e.what ());
    }
  catch (...)
    {
      say (why, why_size, "libsentencepiece threw something");
    }
  return nullptr;
}

extern "C" void
sora_spm_unref (SoraSpm *spm)
{
  std::lock_guard<std::mutex> guard (lock);

  drop_locked (spm);
}

extern "C" int64_t
sora_spm_pieces (const SoraSpm *spm)
{
  return spm->pieces;
}

extern "C" int
sora_spm_encode (const SoraSpm *spm, const char *text, size_t length, size_t max, int64_t **ids,
                 size_t *n, size_t *full, char *why, size_t why_size)
{
  try
    {
      std::string normal;
      auto status = normalise (spm, absl::string_view (text, length), &normal);

      if (!status.ok ())
        {
          say (why, why_size, status.ToString ().c_str ());
          return -1;
        }
      if (sora_spm_split (spm->split, normal.data (), normal.size (), ids, n) != 0)
        throw std::bad_alloc ();
      *full = *n + 1;
      *n = *n > max - 1 ? max - 1 : *n;
      (*ids)[(*n)++] = spm->eos; /* there is room for it */
      return 0;
    }
  catch (const std::exception &e)
    {
      say (why, why_size, e.what ());
    }
  catch (...)
    {
      say (why, why_size, "libsentencepiece threw something");
    }
  return -1;
}
