# SPDX-License-Identifier: LGPL-2.1-or-later
"""Distils the trained DiT into one that takes four steps and needs no guidance.

    python train_turbo.py --count 4000 --steps 3000

First the teacher draws `--count` training captions with guidance, each from noise of its own, and what it passes
at the student's four sigmas is kept (turbo.npy).  Its path is a function of noise and words alone, so the student
may learn it by regression: at each of its sigmas, the clean clip that leads Euler's step to where the teacher
was at the next (Salimans and Ho, "Progressive distillation", arXiv:2202.00512, in one stage and from whole
paths).  For half of each batch what it is given is not the teacher's state but its own, so that it learns to come
back from its own errors.  The text encoder is the teacher's and stays as it is.

Drawing resumes where it stopped, and so does training.
"""
import argparse
import math
import random
import time

import numpy as np
import torch

import common
import dit_fast
import export
import make_latents
import sampler
import train_dit

STEPS = sampler.TURBO_STEPS


def sigmas(shift=sampler.SHIFT):
    """Where the student stands, and 0: f32 [5]."""
    u = torch.tensor([*STEPS, 0]) / 1000
    return shift * u / (1 + (shift - 1) * u)


def noise_of(seed, i, shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed * 1_000_003 + i))


@torch.no_grad()
def walk(pair, noise, ids, guidance, times, rope, size):
    """The teacher's states at the student's sigmas, f32 [5, N, tokens, d]: the first is the noise, the last the clip.

    times: the teacher's steps to one of the student's.  ids: [N, L].
    """
    n = len(noise)
    empty = torch.zeros_like(ids)
    empty[:, 0] = 1
    both = torch.cat([ids, empty])
    rows = dit_fast.encode_text(pair.text, both, both > 0, dit_fast.buckets_of(pair.text, both.shape[1]))
    solver = sampler.scheduler()
    solver.set_timesteps(sigmas=np.linspace(1, 0, times * len(STEPS) + 1)[:-1])
    states, x = [noise], noise
    for i, t in enumerate(solver.timesteps):
        out = dit_fast.denoise(pair.dit, x.repeat(2, 1, 1), t.float().expand(2 * n), rows, both > 0, rope)
        cond, uncond = out.chunk(2)
        x = solver.step(uncond + guidance * (cond - uncond), t, x).prev_sample
        if (i + 1) % times == 0:
            states.append(x)
    return torch.stack(states)


def targets_of(states):
    """What the student must name at each sigma: [4, N, tokens, d]."""
    s = sigmas().view(-1, 1, 1, 1)
    return (s[:-1] * states[1:] - s[1:] * states[:-1]) / (s[:-1] - s[1:])


def step(x, clean, i):
    """Euler's step of the student from its sigma i with the clean clip that it named."""
    s = sigmas()
    return clean + s[i + 1] / s[i] * (x - clean)


def draw_paths(a, pair, info, rope):
    """turbo.npy: f16 [count, 4, tokens, d], the targets; turbo-captions.npy: the words; turbo.json: how many are done."""
    folder = common.state_dir()
    z, t, h, w = info["size"]
    tokens = (t * h * w // 4, 4 * z)
    done = make_latents.read_json("turbo.json")
    if not done:
        rng = random.Random(f"turbo-{a.seed}")
        pieces = make_latents.spiece()
        tier = make_latents.tier_of(info)
        ids = np.zeros((a.count, tier.length), np.uint16)
        for row, scene in zip(ids, tier.sample(a.count, a.seed + 100)):
            said = pieces.encode(tier.caption(scene, rng)) + [1]
            row[:len(said)] = said
        np.save(folder / "turbo-captions.npy", ids)
        np.lib.format.open_memmap(folder / "turbo.npy", "w+", np.float16, (a.count, len(STEPS), *tokens))
        done = dict(done=0, count=a.count, seed=a.seed, guidance=a.guidance, times=a.times)
        make_latents.write_json("turbo.json", done)
    if done["count"] != a.count:
        raise SystemExit(f"{folder}/turbo.json is of --count {done['count']}; remove it to draw others")
    ids = np.load(folder / "turbo-captions.npy")
    kept = np.load(folder / "turbo.npy", mmap_mode="r+")
    for i in range(done["done"], a.count, 8):
        many = range(i, min(a.count, i + 8))
        noise = torch.stack([noise_of(a.seed, k, tokens) for k in many])
        words = torch.from_numpy(ids[many.start:many.stop].astype(np.int64))
        states = walk(pair, noise, words, done["guidance"], done["times"], rope, info["size"])
        kept[many.start:many.stop] = targets_of(states).transpose(0, 1).to(torch.float16).numpy()
        done["done"] = many.stop
        if i // 8 % 4 == 3 or many.stop == a.count:
            kept.flush()
            make_latents.write_json("turbo.json", done)
            print(done["done"], flush=True)


@torch.no_grad()
def sample(dit, text, vae, info, texts, seed=3):
    """Clips [N, 3, T, H, W] of the four steps."""
    pieces = make_latents.spiece()
    ids, mask = dit_fast.pad_ids([pieces.encode(t) + [1] for t in texts])
    rows = dit_fast.encode_text(text, ids, mask, dit_fast.buckets_of(text, ids.shape[1]))
    z, t, h, w = info["size"]
    rope = dit_fast.rotations(dit, t, h, w)
    x = dit_fast.tokens_of(torch.randn(len(texts), z, t, h, w, generator=torch.Generator().manual_seed(seed)))
    for i, sigma in enumerate(sigmas()[:-1]):
        x = step(x, dit_fast.denoise(dit, x, (1000 * sigma).expand(len(x)), rows, mask, rope), i)
    x = dit_fast.latents_of(x, t, h, w)
    x = x * torch.tensor(info["std"]).view(1, -1, 1, 1, 1) + torch.tensor(info["mean"]).view(1, -1, 1, 1, 1)
    return torch.cat([vae.decode(part).sample for part in x.split(8)])


def train(a, pair, info, rope):
    dit = pair.dit.requires_grad_(True)
    optimizer = torch.optim.AdamW(dit.parameters(), lr=a.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    average = common.Average(dit, 0.997)
    at, spent, saved = 0, 0.0, common.load(f"{a.name}.pt")
    if saved:
        dit.load_state_dict(saved["dit"])
        optimizer.load_state_dict(saved["optimizer"])
        average.restore(saved["average"])
        at, spent = saved["step"], saved["spent"]
    targets = np.load(common.state_dir() / "turbo.npy", mmap_mode="r")
    words = np.load(common.state_dir() / "turbo-captions.npy")
    buckets = dit_fast.buckets_of(pair.text, words.shape[1])
    s = sigmas()
    vae, _ = make_latents.trained_vae()
    tier = make_latents.tier_of(info)
    scenes, texts = train_dit.held_out_prompts(32, tier=tier)
    started = last_save = last_judge = time.time()
    sums = []
    while at < a.steps:
        rng = np.random.default_rng((a.seed, at))
        picked = np.sort(rng.choice(len(targets), a.batch, replace=False))
        ids = torch.from_numpy(words[picked].astype(np.int64))
        mask = ids > 0
        aim = torch.from_numpy(targets[picked].astype(np.float32))
        rung = torch.from_numpy(rng.integers(len(STEPS), size=a.batch))
        own = torch.from_numpy(rng.random(a.batch) < 0.5)
        with torch.no_grad():
            rows = dit_fast.encode_text(pair.text, ids, mask, buckets)
            x = torch.stack([noise_of(a.seed, int(k), aim.shape[2:]) for k in picked])
            for i in range(len(STEPS) - 1):  # up to each clip's rung, by the teacher's path or by its own
                named = aim[:, i].clone()
                go = torch.nonzero(own & (rung > i)).flatten()
                if len(go):
                    named[go] = dit_fast.denoise(dit, x[go], (1000 * s[i]).expand(len(go)), rows[go], mask[go], rope)
                x = torch.where((rung > i)[:, None, None], step(x, named, i), x)
        out = dit_fast.denoise(dit, x, 1000 * s[rung], rows, mask, rope)
        error = (out - aim[torch.arange(a.batch), rung]).square().mean((1, 2))
        error.mean().backward()
        torch.nn.utils.clip_grad_norm_(dit.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = a.lr * min(1, (at + 1) / 100) * max(0.02, 0.5 * (1 + math.cos(math.pi * at / a.steps)))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(dit)
        at += 1
        sums.append([float(error[rung == i].mean().detach()) for i in range(len(STEPS))])
        now = time.time()
        if at % 100 == 0:
            common.log_line(f"{a.name}.jsonl", step=at, errors=np.nanmean(sums, 0).round(4).tolist(),
                            seconds=spent + now - started)
            sums = []
        if now - last_save > 120 or at == a.steps:
            last_save = now
            common.save(f"{a.name}.pt", dict(dit=dit.state_dict(), optimizer=optimizer.state_dict(),
                                             average=average.state(), step=at, spent=spent + now - started, args=vars(a)))
        if now - last_judge > a.judge_every or at == a.steps:
            last_judge = now
            with common.Swapped(dit, average):
                common.log_line(f"{a.name}.jsonl", step=at,
                                held_out=train_dit.marks_of(sample(dit, pair.text, vae, info, texts), scenes, tier))


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--teacher", default="dit")
    p.add_argument("--count", type=int, default=4000, help="paths of the teacher")
    p.add_argument("--times", type=int, default=4, help="steps of the teacher to one of the student")
    p.add_argument("--guidance", type=float, default=3.0)
    p.add_argument("--steps", type=int, default=3000)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=4e-4)
    p.add_argument("--seed", type=int, default=9)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--judge-every", type=float, default=480, help="seconds")
    p.add_argument("--name", default="turbo")
    return p.parse_args()


def main():
    a = parse()
    torch.set_num_threads(a.threads)
    info = make_latents.read_json("latents.json")
    pair, _ = export.trained_pair(a.teacher)
    _, t, h, w = info["size"]
    rope = dit_fast.rotations(pair.dit, t, h, w)
    draw_paths(a, pair, info, rope)
    train(a, pair, info, rope)


if __name__ == "__main__":
    main()
