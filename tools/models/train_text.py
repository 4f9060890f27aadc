# SPDX-License-Identifier: LGPL-2.1-or-later
"""Teaches the text encoder what its words mean, before the DiT's training.

    python train_text.py --steps 1500
    python train_text.py --steps 1500 --tier 2 --start dit-1

A linear layer on each row names the scene's shape, colour, size, motion and background (of tiers 2 and 3 also those of the
second object, how the two stand to each other, and the style); the layer is thrown
away, and the encoder is what train_dit.py starts from when `text.pt` is there.  Every row learns to name
all of the scene (not only its own word), so that whichever row the DiT looks at first tells it something.
"""
import argparse
import random
import time

import torch
import torch.nn.functional as F

import common
import dit_fast
import export
import make_latents
import tiers


def batch_of(pieces, pool, rng, count, tier):
    """Token ids [N, L], their mask, and the index of each attribute [N, kinds]."""
    picked = [pool[rng.randrange(len(pool))] for _ in range(count)]
    rows = [pieces.encode(tier.caption(scene, rng)) + [1] for scene in picked]
    ids, mask = dit_fast.pad_ids(rows, tier.length)
    wanted = [[values.index(v) for v, values in zip(tier.labels(s), tier.kinds.values())] for s in picked]
    return ids, mask, torch.tensor(wanted)


def named(head, rows, tier):
    """The layer's answers, one [N, L, values] an attribute."""
    return head(rows).split([len(values) for values in tier.kinds.values()], -1)


def measure(text, head, pieces, buckets, tier, count=400):
    """Share of held-out captions whose mean answer over the rows is right, by attribute."""
    rng = random.Random("held-out captions")
    ids, mask, wanted = batch_of(pieces, tier.sample(count, 21, "held-out"), rng, count, tier)
    with torch.no_grad():
        answers = named(head, dit_fast.encode_text(text, ids, mask, buckets), tier)
    share = {}
    for k, kind in enumerate(tier.kinds):
        mean = (answers[k] * mask[..., None]).sum(1)
        share[kind] = 100 * float((mean.argmax(-1) == wanted[:, k]).float().mean())
    return share


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--steps", type=int, default=1500)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--text-dim", type=int, default=160)
    p.add_argument("--text-layers", type=int, default=3)
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--start", default="", help="begin with the averaged text encoder of this run of train_dit.py")
    tiers.add_option(p)
    a = p.parse_args()
    tier = tiers.of(a.tier)
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    pieces = make_latents.spiece()
    if a.start:
        text = export.trained_pair(a.start)[0].text.requires_grad_(True)
    else:
        text = dit_fast.build_text(pieces.vocab_size(), a.text_dim, a.text_layers, a.text_dim // 32, 32,
                                   2 * a.text_dim)
    head = torch.nn.Linear(text.config.d_model, sum(map(len, tier.kinds.values())))
    parameters = [*text.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=a.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    buckets = dit_fast.buckets_of(text, tier.length)
    pool = tier.sample(6000, 11)
    rng = random.Random(f"captions-{a.seed}")
    started = time.time()
    for step in range(a.steps):
        rate = a.lr * min(1, (step + 1) / 100) * min(1, (a.steps - step) / (0.3 * a.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, mask, wanted = batch_of(pieces, pool, rng, a.batch, tier)
        answers = named(head, dit_fast.encode_text(text, ids, mask, buckets), tier)
        loss = sum(F.cross_entropy(answers[k][mask], wanted[:, k, None].expand_as(mask)[mask])
                   for k in range(len(tier.kinds)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % 250 == 0 or step + 1 == a.steps:
            common.log_line("text.jsonl", step=step + 1, loss=float(loss.detach()),
                            held_out=measure(text, head, pieces, buckets, tier), seconds=time.time() - started)
    common.save("text.pt", dict(text=text.state_dict(), args=vars(a)))


if __name__ == "__main__":
    main()
