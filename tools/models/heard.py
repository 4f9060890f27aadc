# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says how much of each attribute a DiT in training has learned, long before clips show it.

    python heard.py --name dit

For some scenes one attribute at a time goes through its values.  The true latents then differ by so much; how much
of that difference is in what the DiT makes of pure noise (sigma 1) and each caption?  1 is all, 0 is nothing, below 0
is worse than silence.  It shows what the loss does not: background is nine tenths of a clip's energy, and a
motion that is not heard at all costs a fifth.
"""
import argparse
import random

import torch

import captions
import dit_fast
import export
import make_latents
import world

VALUES = dict(background=world.BACKGROUNDS, colour=tuple(world.COLOURS), motion=world.MOTIONS, shape=world.SHAPES,
              size=tuple(world.SIZES))


def predicted(pair, info, scenes, rng):
    """The DiT's latents for the scenes' captions, from the same pure noise."""
    pieces = make_latents.spiece()
    ids, mask = dit_fast.pad_ids([pieces.encode(captions.caption(s, rng)) + [1] for s in scenes])
    rows = dit_fast.encode_text(pair.text, ids, mask, dit_fast.buckets_of(pair.text, ids.shape[1]))
    z, t, h, w = info["size"]
    noise = torch.randn(1, z, t, h, w, generator=torch.Generator().manual_seed(1)).expand(len(scenes), -1, -1, -1, -1)
    out = dit_fast.denoise(pair.dit, dit_fast.tokens_of(noise), torch.full((len(scenes),), 1000.0), rows, mask,
                           dit_fast.rotations(pair.dit, t, h, w))
    return dit_fast.latents_of(out, t, h, w)


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--name", default="dit")
    p.add_argument("--scenes", type=int, default=4)
    a = p.parse_args()
    torch.set_num_threads(1)
    vae, _ = make_latents.trained_vae()
    info = make_latents.read_json("latents.json")
    mean, std = (torch.tensor(info[k]).view(1, -1, 1, 1, 1) for k in ("mean", "std"))
    pair, state = export.trained_pair(a.name, raw=True)
    rng = random.Random(2)
    base = [dict(s, shape="star" if s["shape"] == "ball" else s["shape"])  # a ball has no spin
            for s in world.sample_scenes(a.scenes, 9)]
    for kind, values in VALUES.items():
        energy = missed = 0.0
        for scene in base:
            scenes = [dict(scene, **{kind: value}) for value in values]
            got = predicted(pair, info, scenes, rng)
            want = (make_latents.encode(vae, scenes) - mean) / std
            got, want = got - got.mean(0), want - want.mean(0)
            energy += float(want.square().mean())
            missed += float((got - want).square().mean())
        print(f"{kind:10s} {energy / len(base):.3f} of a clip's energy, {1 - missed / energy:5.2f} of it heard after "
              f"{state['step']} updates", flush=True)


if __name__ == "__main__":
    main()
