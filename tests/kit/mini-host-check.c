/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * mini-host-check.c: what every stage is held to.
 */
#include "mini-host-check.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

void
mini_host_check_cancel (MiniHost *mini, int least)
{
  int cancelled = 0;
  for (int after = 0; after < 30000; after = after * 2 + 1)
    {
      mini_host_cancel_after (mini, after);
      const int r = mini_host_run (mini);
      ck_assert_msg (r == SORA_CANCELLED || r == SORA_OK, "after %d: %d %s", after, r,
                     mini_host_error (mini));
      cancelled += r == SORA_CANCELLED;
      ck_assert_int_eq (mini_host_live_tensors (mini), 0);
      ck_assert_int_eq (mini_host_n_weights_open (mini), 0);
      if (after % 4 == 3)
        mini_host_release (mini);
    }
  ck_assert_int_ge (cancelled, least);
  mini_host_cancel_after (mini, -1);
  const int r = mini_host_run (mini);
  ck_assert_msg (r == SORA_OK, "%d: %s", r, mini_host_error (mini));
}

/* Enough zeros for whatever @bad says that it is. */
static void *
zeros_for (const MiniBadInput *bad)
{
  size_t n = 4;
  for (int i = 0; i < bad->ndim; i++)
    n *= bad->shape[i] > 1 ? (size_t)bad->shape[i] : 1;
  void *zeros = calloc (n, 1);
  ck_assert_ptr_nonnull (zeros);
  return zeros;
}

void
mini_host_check_refuses (const SoraStageClass *stage, const char *model, const char *port,
                         const MiniBadInput *bad, size_t n)
{
  for (size_t i = 0; i < n; i++)
    {
      void *zeros = zeros_for (&bad[i]);
      MiniHost *mini = mini_host_new (stage, model, 1);
      mini_host_input (mini, port, bad[i].dtype, bad[i].ndim, bad[i].shape, zeros);
      ck_assert_int_eq (mini_host_infer (mini), SORA_FAILED);
      ck_assert_msg (strstr (mini_host_error (mini), bad[i].says) != NULL, "'%s' does not say '%s'",
                     mini_host_error (mini), bad[i].says);
      mini_host_free (mini);
      free (zeros);
    }
}
