/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What stages with weights do in one way.
 */
#include "kit-stage.h"

#include "kit-convert.h"

#include <stdio.h>
#include <string.h>

typedef struct
{
  const SoraHost *host;
  const char *what;
  SoraKitWork fn;
  void *data;
} Call;

static int
call_on_compute (SoraContext *ctx, void *data, int threads)
{
  const Call *call = data;
  SoraKitTeam team;
  sora_kit_team_init (&team, call->host, ctx, threads);
  int result = call->fn (&team, call->data);
  if (result != SORA_FAILED)
    return result;
  if (team.error[0] != '\0')
    return call->host->fail (ctx, "%s", team.error);
  return call->host->fail (ctx, "%s failed and gave no reason", call->what);
}

int
sora_kit_compute (const SoraHost *host, SoraContext *ctx, const char *what, SoraKitWork fn,
                  void *data)
{
  Call call = { host, what, fn, data };
  return host->compute (ctx, call_on_compute, &call);
}

/* ---- weights */

int
sora_kit_hold (const SoraHost *host, SoraContext *ctx, SoraKitHold *hold, uint64_t bytes)
{
  if (hold->bytes >= bytes)
    return SORA_OK;
  int result = host->reserve (ctx, SORA_MEMORY_WEIGHTS, bytes - hold->bytes);
  if (result == SORA_OK)
    hold->bytes = bytes;
  return result;
}

void
sora_kit_hold_drop (const SoraHost *host, SoraContext *ctx, SoraKitHold *hold)
{
  if (hold->bytes > 0)
    (void)host->unreserve (ctx, SORA_MEMORY_WEIGHTS, hold->bytes);
  hold->bytes = 0;
}

static int
refuse_extra (const SoraHost *host, SoraContext *ctx, const SoraKitLoad *load, SoraWeights *weights,
              const void *data)
{
  const char *name;
  for (size_t i = 0; host->weights_tensor_name (weights, i, &name) == SORA_OK; i++)
    if (!load->known (data, name))
      return host->fail (ctx,
                         "%s: tensor '%s' is not part of %s: is the checkpoint of another kind?",
                         load->component, name, load->what);
  return SORA_OK;
}

int
sora_kit_load (const SoraHost *host, SoraContext *ctx, const SoraKitLoad *load, void *data)
{
  SoraKitTeam team;
  SoraKitWeights from = { .host = host, .component = load->component, .team = &team };
  sora_kit_team_init (&team, host, ctx, 1);
  const char *slot = load->slot != NULL ? load->slot : "model";
  int result = host->weights_open (ctx, slot, load->component, &from.weights);
  if (result == SORA_NOT_FOUND)
    return host->fail (ctx, "the model has no weights of its '%s'", load->component);
  if (result != SORA_OK)
    return result;
  result = refuse_extra (host, ctx, load, from.weights, data);
  for (int64_t i = 0; i < load->pieces && result == SORA_OK; i++)
    result = host->cancelled (ctx) ? SORA_CANCELLED : load->piece (&from, ctx, data, i);
  if (result == SORA_FAILED && team.error[0] != '\0')
    result = host->fail (ctx, "%s", team.error);
  host->weights_close (from.weights);
  return result;
}

int
sora_kit_check_tensor (SoraKitTensorCheck *check, const char *name, int ndim, const int64_t *shape)
{
  SoraTensorView view = { .struct_size = sizeof view };
  int result = check->host->model_tensor_info (check->ctx, "model", check->component, name, &view);
  if (result == SORA_NOT_FOUND)
    {
      /* The first few are named; that is what a reader needs to see what kind of file it is.  */
      size_t at = strlen (check->list);
      if (check->missing < 4)
        (void)snprintf (check->list + at, sizeof check->list - at, "%s'%s'",
                        check->missing > 0 ? ", " : "", name);
      check->missing++;
      return SORA_OK;
    }
  if (result != SORA_OK)
    return result;
  if (!sora_kit_same_shape (&view, ndim, shape))
    {
      char is[96], expected[96];
      return check->host->fail (
          check->ctx, "%s: tensor '%s' is %s, expected %s by %s/config.json", check->component,
          name, sora_kit_shape_string (is, sizeof is, view.ndim, view.shape),
          sora_kit_shape_string (expected, sizeof expected, ndim, shape), check->component);
    }
  if (!sora_kit_weights_readable (view.dtype))
    return check->host->fail (check->ctx, "%s: tensor '%s' is %s, expected f32, f16 or bf16",
                              check->component, name, sora_kit_dtype_name (view.dtype));
  check->bytes += view.nbytes;
  return SORA_OK;
}

int
sora_kit_check_end (SoraKitTensorCheck *check)
{
  if (check->missing == 0)
    return SORA_OK;
  if (check->missing == 1)
    return check->host->fail (check->ctx, "%s: a tensor is missing: %s", check->component,
                              check->list);
  return check->host->fail (check->ctx, "%s: %d tensors are missing: %s%s", check->component,
                            check->missing, check->list, check->missing > 4 ? " …" : "");
}

/* ---- small files */

int
sora_kit_config_open (const SoraHost *host, SoraContext *ctx, const char *name, int required,
                      SoraKitConfig **file)
{
  const void *data;
  size_t size;
  *file = NULL;
  int result = host->model_file (ctx, "model", name, &data, &size);
  if (result == SORA_NOT_FOUND && !required)
    return SORA_OK;
  if (result == SORA_NOT_FOUND)
    return host->fail (ctx, "the model has no '%s': a Diffusers folder is expected", name);
  if (result != SORA_OK)
    return result;
  *file = sora_kit_config_new (data, size, name);
  return *file != NULL ? SORA_OK : host->fail (ctx, "out of memory reading '%s'", name);
}

int
sora_kit_config_close (const SoraHost *host, SoraContext *ctx, SoraKitConfig *file)
{
  if (file == NULL)
    return SORA_OK;
  const char *error = sora_kit_config_error (file);
  int result = error != NULL ? host->fail (ctx, "%s", error) : SORA_OK;
  sora_kit_config_free (file);
  return result;
}

/* ---- inputs */

int
sora_kit_pull_one (const SoraHost *host, SoraContext *ctx, const char *port, int dtype, int ndim,
                   const int64_t *shape, SoraTensor **tensor, SoraTensorView *view)
{
  *tensor = NULL;
  int result = host->pull (ctx, port, tensor);
  if (result == SORA_EOS)
    return host->fail (ctx, "input '%s' ended without a tensor", port);
  if (result != SORA_OK)
    return result;
  *view = (SoraTensorView){ .struct_size = sizeof *view };
  host->tensor_view (*tensor, view);
  if (view->dtype == dtype && sora_kit_same_shape (view, ndim, shape))
    return SORA_OK;
  char is[96], expected[96];
  result = host->fail (
      ctx, "input '%s' is %s %s, expected %s %s", port, sora_kit_dtype_name (view->dtype),
      sora_kit_shape_string (is, sizeof is, view->ndim, view->shape), sora_kit_dtype_name (dtype),
      sora_kit_shape_string (expected, sizeof expected, ndim, shape));
  host->tensor_unref (*tensor);
  *tensor = NULL;
  return result;
}
