/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fuzz target: a whole safetensors file.  What is accepted must be readable to its last byte, and
 * must be the same when it is written and read again.
 */
#include "config.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fuzz.h"
#include "sora-safetensors.h"

static SoraSafetensors *
open_bytes (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  int fd = memfd_create ("fuzz", MFD_CLOEXEC);
  MUST (fd >= 0 && write (fd, data, size) == (ssize_t)size);
  SoraSafetensors *file = sora_safetensors_open_fd (fd, "input", &error);
  MUST_TELL (file, error);
  close (fd);
  return file;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (SoraSafetensors) file = open_bytes (data, size);
  uint64_t total = 0;
  volatile unsigned sum = 0;
  if (file == NULL)
    return 0;
  for (const char *const *name = sora_safetensors_names (file); *name != NULL; name++)
    {
      SoraTensorView view, info;
      MUST (sora_safetensors_info (file, *name, &info, NULL));
      MUST (sora_safetensors_get (file, *name, &view, NULL));
      MUST (view.nbytes == info.nbytes && view.ndim == info.ndim && info.data == NULL);
      MUST ((uintptr_t)view.data % sora_dtype_size ((SoraDtype)view.dtype) == 0);
      for (uint64_t i = 0; i < view.nbytes; i++)
        sum += ((const uint8_t *)view.data)[i];
      g_autoptr (SoraTensor) tensor = sora_safetensors_load (file, *name, NULL);
      SoraTensorView copy;
      MUST (tensor != NULL);
      sora_tensor_get_view (tensor, &copy);
      MUST (copy.nbytes == view.nbytes
            && (view.nbytes == 0 || memcmp (copy.data, view.data, view.nbytes) == 0));
      sora_safetensors_done (file, *name);
      total += view.nbytes;
    }
  MUST (total < size);
  return 0;
}
