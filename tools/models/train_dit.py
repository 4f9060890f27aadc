# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trains the DiT and, with it, the text encoder, on latents made ahead.

The text encoder starts from `text.pt` if train_text.py has made it; --start begins with the averaged weights of another run, of
a lower tier.  The tier is that of the latents.

    python train_dit.py --steps 14000
    python train_dit.py --steps 30000 --start dit-1

The network predicts the clean latents; its error is weighted as a velocity's would be (1 / sigma^2,
bounded).  10 % of the captions are the empty prompt.  Constant rate with warm-up, then a linear fall over
the last quarter: --steps may be changed when a run is resumed.  Every few minutes the averaged weights
draw held-out prompts, which `eval/look.py` grades.
"""
import argparse
import random
import time

import numpy as np
import torch
import torch.nn.functional as F

import common
import dit_fast
from eval import look, look2
import make_latents
import muon
import places
import sampler
import tiers


# Behind this block a linear layer must tell which cells of a token the object covers.  Where the object is follows
# from the words and the place together, which the clip's own error teaches too slowly (RECIPE.md).
TAP = 2


class Pair(torch.nn.Module):
    """Text encoder and DiT as one module."""

    def __init__(self, args):
        super().__init__()
        self.text = dit_fast.build_text(args["vocab"], args["text_dim"], args["text_layers"],
                                        args["text_dim"] // 32, 32, 2 * args["text_dim"])
        self.dit = dit_fast.build_dit(args["channels"], args["text_dim"], args["width"] // 32, 32,
                                      args["layers"], 4 * args["width"])
        places.know_places(self.dit, args["extent"])
        self.finder = torch.nn.Linear(args["width"], make_latents.CELLS**2)  # of the training alone: see TAP

    def listen(self, ids):
        """ids: [N, L], some captions."""
        dit_fast.hear_the_prompt(self.dit, self.text, ids, ids > 0)


def warm_up(loss_of, batch, shape, length, optimizer):
    """Lets the compiler work while latents are still being made."""
    ids = torch.ones(batch, length, dtype=torch.long)
    clean = torch.randn(batch, *shape)
    cover = torch.full((batch, shape[0], make_latents.CELLS**2), 0.1)
    loss_of(clean, torch.randn_like(clean), torch.full((batch,), 0.5), ids, cover)[0].backward()
    optimizer.zero_grad(set_to_none=True)


def parse():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--steps", type=int, default=14000)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=1.2e-3)
    p.add_argument("--muon", type=float, default=0.0, help="Muon's rate over AdamW's; 0: AdamW for all")
    p.add_argument("--width", type=int, default=192)
    p.add_argument("--layers", type=int, default=6)
    p.add_argument("--text-dim", type=int, default=160)
    p.add_argument("--text-layers", type=int, default=3)
    p.add_argument("--shift", type=float, default=sampler.SHIFT)
    p.add_argument("--floor", type=float, default=0.5, help="the least sigma of the loss weight")
    p.add_argument("--least-sigma", type=float, default=0.02, help="50 steps at shift 12 go down to 0.2")
    p.add_argument("--dropout", type=float, default=0.1)
    p.add_argument("--seed", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--judge-every", type=float, default=480, help="seconds")
    p.add_argument("--least", type=int, default=1000, help="latents to wait for")
    p.add_argument("--name", default="dit")
    p.add_argument("--start", default="", help="begin with the averaged weights of this run instead of fresh ones")
    p.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    return p.parse_args()


def split_parameters(pair, with_muon):
    """The blocks' matrices, for Muon, and all the rest, for AdamW."""
    if not with_muon:
        return [], list(pair.parameters())
    inner = [*pair.dit.blocks.parameters(), *pair.text.encoder.block.parameters()]
    matrices = [p for p in inner if p.ndim == 2 and min(p.shape) > 32]
    chosen = {id(p) for p in matrices}
    return matrices, [p for p in pair.parameters() if id(p) not in chosen]


def make_loss(pair, rope, buckets, floor):
    def loss_of(clean, noise, sigma, ids, cover):
        mask = ids > 0
        rows = dit_fast.encode_text(pair.text, ids, mask, buckets)
        s = sigma[:, None, None]
        noisy = (1 - s) * clean + s * noise
        out, tapped = dit_fast.denoise(pair.dit, noisy, sigma * 1000, rows, mask, rope, TAP)
        error = (out - clean).square().mean((1, 2))
        found = F.binary_cross_entropy_with_logits(
            pair.finder(F.layer_norm(tapped, tapped.shape[-1:])), cover)
        return (error / sigma.clamp(min=floor).square()).mean() + found, error.mean(), found
    return loss_of


def rate_at(step, steps, top):
    fall = min(1.0, (steps - step) / (0.25 * steps))
    return top * min(1.0, (step + 1) / 150) * max(0.02, fall)


def held_out_prompts(count, seed=21, tier=tiers.of(1)):
    scenes = tier.sample(count, seed, "held-out")
    rng = random.Random(f"prompts-{seed}")
    return scenes, [tier.caption(s, rng) for s in scenes]


def marks_of(clips, scenes, tier):
    """Shares of right attributes, quick: tier 1's shapes by templates, those of the others by eval/classify2.py."""
    return look.grade(clips, scenes) if tier.number == 1 else look2.grade(clips, scenes, tier)


def start_from(pair, name):
    """The averaged weights of another run; both must be as wide and as deep."""
    state = common.load(f"{name}.pt")
    if state is None:
        raise SystemExit(f"{common.state_dir() / name}.pt does not exist; --start names a run of train_dit.py in this folder")
    with torch.no_grad():
        for mine, theirs in zip(pair.parameters(), state["average"]["shadow"], strict=True):
            mine.copy_(theirs)


def grade(pair, vae, info, log, step, count=32):
    """Draws held-out prompts with the weights as they are, decodes and judges them."""
    tier = make_latents.tier_of(info)
    scenes, texts = held_out_prompts(count, tier=tier)
    clips = sampler.sample_texts(pair, vae, info, texts, steps=16, guidance=3.0, seed=3, shift=sampler.SHIFT)
    marks = marks_of(clips, scenes, tier)
    common.log_line(log, step=step, held_out=marks)


def main():
    a = parse()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    info = make_latents.read_json("latents.json")
    z, t, h, w = info["size"]
    saved = common.load(f"{a.name}.pt")
    args = dict(vars(a), vocab=make_latents.spiece().vocab_size(), channels=z, extent=(t, h // 2, w // 2))
    pair = Pair(args)
    if a.start and not saved:
        start_from(pair, a.start)
    learned = None if saved else common.load("text.pt")
    if learned:
        pair.text.load_state_dict(learned["text"])
        print("the text encoder is that of train_text.py", flush=True)
    ids_all = np.load(common.state_dir() / "captions.npy")
    if not saved and not a.start:
        pair.listen(torch.from_numpy(ids_all[:64, 0].astype(np.int64)))
    print("against the classes:", dit_fast.check(pair.dit, pair.text, t, h, w), flush=True)
    matrices, others = split_parameters(pair, a.muon > 0)
    optimizer = torch.optim.AdamW(others, lr=a.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    second = muon.Muon(matrices, momentum=0.95)
    average = common.Average(pair, 0.997)
    step, spent = 0, 0.0
    first = saved["step"] if saved else 0
    if saved:
        pair.load_state_dict(saved["pair"])
        optimizer.load_state_dict(saved["optimizer"])
        second.buffers = saved["second"]
        average.restore(saved["average"])
        step, spent = saved["step"], saved["spent"]
    latents = np.load(common.state_dir() / "latents.npy", mmap_mode="r")
    covers = np.load(common.state_dir() / "covers.npy", mmap_mode="r")
    rope = dit_fast.rotations(pair.dit, t, h, w)
    loss_of = make_loss(pair, rope, dit_fast.buckets_of(pair.text, ids_all.shape[-1]), a.floor)
    if a.compile:
        loss_of = torch.compile(loss_of)
    vae, _ = make_latents.trained_vae()
    warm_up(loss_of, a.batch, latents.shape[1:], ids_all.shape[-1], optimizer)
    while make_latents.read_json("latents.json")["done"] < min(a.least, info["count"]):
        time.sleep(2)
    order, log = None, f"{a.name}.jsonl"
    started = last_save = last_judge = time.time()
    sums = []
    while step < a.steps:
        if order is None or len(order) < a.batch or (step % 100 == 0 and len(pool) < info["count"]):
            info = make_latents.read_json("latents.json")
            done = info["done"]
            pool = latents[:done]
            order = np.random.default_rng((a.seed, step)).permutation(done)
        picked, order = order[:a.batch], order[a.batch:]
        rng = np.random.default_rng((a.seed, step, 1))
        generator = torch.Generator().manual_seed(a.seed * 1_000_003 + step)
        clean = torch.from_numpy(pool[np.sort(picked)].astype(np.float32))
        ids = ids_all[np.sort(picked), rng.integers(make_latents.WORDINGS, size=a.batch)]
        ids = torch.from_numpy(ids.astype(np.int64))
        ids[torch.from_numpy(rng.random(a.batch) < a.dropout)] = torch.tensor(
            [1] + [0] * (ids.shape[1] - 1))
        noise = torch.randn(clean.shape, generator=generator)
        u = (torch.rand(a.batch, generator=generator) + torch.arange(a.batch)) / a.batch
        sigma = (a.shift * u / (1 + (a.shift - 1) * u)).clamp(min=a.least_sigma)
        rate = rate_at(step, a.steps, a.lr) * min(1.0, (step - first + 1) / 60)
        for group in optimizer.param_groups:
            group["lr"] = rate
        second.rate = a.muon * rate
        cover = torch.from_numpy(covers[np.sort(picked)]).float() / 255
        loss, error, found = loss_of(clean, noise, sigma, ids, cover)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(pair.parameters(), 1.0)
        optimizer.step()
        second.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 2 == 0:
            average.update(pair)
        sums.append((loss.item(), error.item(), found.item()))
        now = time.time()
        if step % 100 == 0:
            mean_loss, mean_error, mean_found = np.mean(sums, 0)
            sums = []
            common.log_line(log, step=step, loss=float(mean_loss), x0_error=float(mean_error), cover=float(mean_found), lr=rate,
                            clips=len(pool), seconds=spent + now - started)
        if now - last_save > 120 or step == a.steps:
            last_save = now
            common.save(f"{a.name}.pt", dict(
                pair=pair.state_dict(), optimizer=optimizer.state_dict(), second=second.buffers, average=average.state(),
                step=step, spent=spent + now - started, args=args))
        if now - last_judge > a.judge_every or step == a.steps:
            last_judge = now
            with common.Swapped(pair, average):
                grade(pair, vae, info, log, step)


if __name__ == "__main__":
    main()
