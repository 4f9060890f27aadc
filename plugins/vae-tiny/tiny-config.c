/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tiny-config.c: see tiny-config.h.
 */
#include "tiny-config.h"

#include <stdio.h>

typedef struct
{
  SoraTinyLayer *layers;
  int n;
  int64_t scale, frames;
} List;

int
sora_tiny_stretch (int level)
{
  return level == 0 ? 1 : 2;
}

static SoraTinyLayer *
add (List *list, SoraTinyLayerKind kind, int64_t ic, int64_t oc)
{
  SoraTinyLayer *layer = &list->layers[list->n++];
  *layer = (SoraTinyLayer){ .kind = kind,
                            .ic = ic,
                            .oc = oc,
                            .taps = 1,
                            .parts = 1,
                            .scale = list->scale,
                            .frames = list->frames };
  return layer;
}

static void
add_block (List *list, int index, int64_t width)
{
  for (int i = 0; i < 3; i++)
    {
      SoraTinyLayer *layer = add (list, SORA_TINY_PLANE, width, width);
      layer->taps = i == 0 ? 2 : 1;
      layer->biased = layer->relu = 1;
      (void)snprintf (layer->name, sizeof layer->name, "decoder.%d.conv.%d", index, 2 * i);
    }
}

/* The stored module upsamples, then makes frames of channels, pixel by pixel, then convolves.  The
 * second does not care for the first: it is done at the low resolution, where it costs a quarter.
 */
static void
add_level (List *list, int level, int index, int64_t width, int64_t next)
{
  const int stretch = sora_tiny_stretch (level);
  for (int i = 0; i < SORA_TINY_BLOCKS; i++)
    add_block (list, index + i, width);
  for (int i = 0; i < stretch; i++)
    {
      SoraTinyLayer *layer = add (list, SORA_TINY_POINT, width, width);
      layer->part = i;
      layer->parts = stretch;
      (void)snprintf (layer->name, sizeof layer->name, "decoder.%d.conv", index + 4);
    }
  list->scale *= 2;
  list->frames *= stretch;
  SoraTinyLayer *layer = add (list, SORA_TINY_PLANE, width, next);
  layer->upsamples = 1;
  layer->relu = level + 1 == SORA_TINY_LEVELS;
  (void)snprintf (layer->name, sizeof layer->name, "decoder.%d", index + 5);
}

int
sora_tiny_layers (const SoraTinyConfig *config, SoraTinyLayer *layers)
{
  List list = { .layers = layers, .scale = 1, .frames = 1 };
  SoraTinyLayer *first = add (&list, SORA_TINY_PLANE, config->z_dim, config->widths[0]);
  first->biased = first->relu = 1;
  (void)snprintf (first->name, sizeof first->name, "decoder.1");
  for (int i = 0; i < SORA_TINY_LEVELS; i++)
    add_level (&list, i, 3 + 6 * i, config->widths[i], config->widths[i + 1]);
  SoraTinyLayer *last = add (&list, SORA_TINY_FEW, config->widths[SORA_TINY_LEVELS],
                             3 * config->patch * config->patch);
  last->biased = 1;
  (void)snprintf (last->name, sizeof last->name, "decoder.22");
  return list.n;
}

void
sora_tiny_layer_shape (const SoraTinyLayer *layer, int64_t shape[4])
{
  shape[0] = layer->oc * layer->parts;
  shape[1] = layer->ic * layer->taps;
  shape[2] = shape[3] = layer->kind == SORA_TINY_POINT ? 1 : 3;
}
