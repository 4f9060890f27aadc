# SPDX-License-Identifier: LGPL-2.1-or-later
"""Says how much of each attribute a DiT in training has learned, long before clips show it.

    python heard.py --name dit

For some scenes one attribute at a time goes through its values.  The true latents then differ by so much; how much
of that difference is in what the DiT makes of pure noise (sigma 1) and each caption?  1 is all, 0 is nothing, below 0
is worse than silence.  It shows what the loss does not: background is nine tenths of a clip's energy, and a
motion that is not heard at all costs a fifth.  The tier is that of the latents; of tiers 2 and 3 scenes of one object are taken.
"""
import argparse
import random

import torch

import dit_fast
import export
import make_latents

KINDS = ("background", "colour", "motion", "shape", "size", "style")


def varied(scene, kind, value):
    """The scene with another value of one attribute."""
    if kind in scene:
        return dict(scene, **{kind: value})
    return dict(scene, objects=[dict(scene["objects"][0], **{kind: value})])


def bases(tier, count):
    """Scenes of one object, which is none that cannot do or show a motion (a ball has no spin, a tree does not go)."""
    if tier.number == 1:
        return [dict(s, shape="star" if s["shape"] == "ball" else s["shape"]) for s in tier.sample(count, 9)]
    ones = [s for s in tier.sample(2 * count, 9) if len(s["objects"]) == 1][:count]
    return [varied(s, "shape", "star") for s in ones]


def predicted(pair, info, scenes, rng):
    """The DiT's latents for the scenes' captions, from the same pure noise."""
    pieces, tier = make_latents.spiece(), make_latents.tier_of(info)
    ids, mask = dit_fast.pad_ids([pieces.encode(tier.caption(s, rng)) + [1] for s in scenes])
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
    tier = make_latents.tier_of(info)
    base = bases(tier, a.scenes)
    for kind in [k for k in KINDS if k in tier.kinds]:
        energy = missed = 0.0
        for scene in base:
            scenes = [varied(scene, kind, value) for value in tier.kinds[kind]]
            got = predicted(pair, info, scenes, rng)
            want = (make_latents.encode(vae, scenes, tier) - mean) / std
            got, want = got - got.mean(0), want - want.mean(0)
            energy += float(want.square().mean())
            missed += float((got - want).square().mean())
        print(f"{kind:10s} {energy / len(base):.3f} of a clip's energy, {1 - missed / energy:5.2f} of it heard after "
              f"{state['step']} updates", flush=True)


if __name__ == "__main__":
    main()
