# SPDX-License-Identifier: LGPL-2.1-or-later
"""Draws the training scenes, encodes them with the trained VAE and tokenises their captions.

    python make_latents.py --count 9000
    python make_latents.py --count 9000 --tier 2 --like ~/.cache/sora-training/latents.json

Writes latents.npy (f16 token rows, normalised), captions.npy (8 wordings a scene) and latents.json (the
latents' mean and spread, the count so far) into the state folder.  The DiT's training may start while
this still runs: it takes what is there.  Resumes by itself.  A tier has a state folder of its own; what is trained on
its latents takes the tier from latents.json.  With --like their mean and spread are those of another run, for a DiT that
starts from that run's weights.
"""
import argparse
import json
import os
import pathlib

import numpy as np
import sentencepiece
import torch

import common
import dit_fast
import tiers
import vae_fast

WORDINGS = 8


def trained_vae():
    """The VAE with its averaged weights, and the arguments it was trained with."""
    state = common.load("vae.pt")
    vae = vae_fast.build(state["args"]["z_dim"], state["args"]["base_dim"])
    for mine, averaged in zip(vae.parameters(), state["average"]["shadow"]):
        mine.data.copy_(averaged)
    return vae.requires_grad_(False).eval(), state["args"]


def spiece():
    return sentencepiece.SentencePieceProcessor(
        model_file=str(common.state_dir() / "tokenizer" / "spiece.model"))


def write_json(name, values):
    path = common.state_dir() / name
    part = path.with_suffix(".part")
    part.write_text(json.dumps(values))
    os.replace(part, path)


def read_json(name):
    path = common.state_dir() / name
    return json.loads(path.read_text()) if path.exists() else None


def tier_of(info):
    """The tier that latents.json is of."""
    return tiers.of(info.get("tier", 1))


def encode(vae, part, tier=tiers.of(1)):
    return vae_fast.encode(vae, tier.draw(part))[0]


CELLS = 4  # a token's side in cells of cover()


def cover(part, grid, tier=tiers.of(1)):
    """What share of each cell of each token the objects cover: f32 [N, t * h * w, CELLS * CELLS]; grid: t, h, w."""
    t, h, w = grid
    seen = tier.cover(part)
    seen = torch.nn.functional.adaptive_avg_pool2d(seen, (h * CELLS, w * CELLS))
    rest = seen[:, 1:].unflatten(1, (t - 1, -1)).mean(2)  # a latent frame is one frame, then four
    seen = torch.cat([seen[:, :1], rest], 1)
    seen = seen.view(len(part), t, h, CELLS, w, CELLS).permute(0, 1, 2, 4, 3, 5)
    return seen.reshape(len(part), t * h * w, CELLS * CELLS)


def make_covers(pool, info, path):
    """covers.npy, u8 [count, tokens, CELLS * CELLS]: what the DiT's training is shown beside the latents."""
    _, t, h, w = info["size"]
    grid = (t, h // 2, w // 2)
    out = np.empty((len(pool), grid[0] * grid[1] * grid[2], CELLS * CELLS), np.uint8)
    for i in range(0, len(pool), 64):
        out[i:i + 64] = (cover(pool[i:i + 64], grid, tier_of(info)) * 255).round().byte().numpy()
    np.save(path, out)


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--count", type=int, default=5000)
    p.add_argument("--batch", type=int, default=4, help="clips at a time; larger ones fall out of the cache")
    p.add_argument("--seed", type=int, default=11)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--like", type=pathlib.Path, help="a latents.json whose mean and spread are taken")
    tiers.add_option(p)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    vae, _ = trained_vae()
    tier = tiers.of(a.tier)
    pool = tier.sample(a.count, a.seed)
    folder = common.state_dir()
    info = read_json("latents.json")
    if not info:
        first = torch.cat([encode(vae, pool[i:i + 16], tier) for i in range(0, min(a.count, 160), 16)])
        dims = (0, 2, 3, 4)
        z, t, h, w = first.shape[1:]
        info = dict(done=0, count=a.count, seed=a.seed, size=[z, t, h, w],
                    mean=first.mean(dims).tolist(), std=first.std(dims).tolist(), tier=a.tier)
        if a.like:
            like = json.loads(a.like.read_text(encoding="utf-8"))
            info.update(mean=like["mean"], std=like["std"])
        np.lib.format.open_memmap(folder / "latents.npy", "w+", np.float16,
                                  (a.count, t * h * w // 4, 4 * z))
        pieces = spiece()
        ids = np.zeros((a.count, WORDINGS, tier.length), np.uint16)
        for i, texts in enumerate(tier.captions_for(pool, a.seed, WORDINGS)):
            for j, text in enumerate(texts):
                row = pieces.encode(text) + [1]
                ids[i, j, :len(row)] = row
        np.save(folder / "captions.npy", ids)
        make_covers(pool, info, folder / "covers.npy")
        write_json("latents.json", info)
    if (a.count, a.seed, a.tier) != (info["count"], info["seed"], info.get("tier", 1)):
        p.error(f"{folder} holds latents of --count {info['count']} --seed {info['seed']} --tier {info.get('tier', 1)}; "
                f"remove latents.json there to draw others")
    latents = np.load(folder / "latents.npy", mmap_mode="r+")
    mean = torch.tensor(info["mean"]).view(1, -1, 1, 1, 1)
    std = torch.tensor(info["std"]).view(1, -1, 1, 1, 1)
    for i in range(info["done"], a.count, a.batch):
        z = (encode(vae, pool[i:i + a.batch], tier) - mean) / std
        latents[i:i + a.batch] = dit_fast.tokens_of(z).to(torch.float16).numpy()
        info["done"] = min(a.count, i + a.batch)
        if i // a.batch % 32 == 31 or info["done"] == a.count:
            latents.flush()
            write_json("latents.json", info)
            print(info["done"], flush=True)


if __name__ == "__main__":
    main()
