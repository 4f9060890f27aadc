# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trains the VAE: first on single frames (cheap, the same spatial weights), then on clips.

    python train_vae.py --steps-frames 3000 --steps-clips 2500 --steps-decoder 1000

The last phase holds the encoder still, so that latents made in the meantime stay true, and trains the
decoder on latents with a little noise, such as a sampler leaves.  Resumes by itself from the state
folder.  Loss: L1 + squared error + L1 of the picture's differences
(crisp edges) + a small KL term (a smooth latent space).
"""
import argparse
import math
import time

import numpy as np
import torch

import common
import muon
import tiers
import vae_fast
import world


def clip_pool(count, side, frames, part="train", seed=1, tier=tiers.of(1)):
    """uint8 clips [count, 3, frames, side, side], drawn once and kept in the state folder."""
    path = common.state_dir() / f"clips-{part}-{side}x{frames}-{count}{'' if tier.number == 1 else f'-tier-{tier.number}'}.npy"
    if not path.exists():
        pool = tier.sample(count, seed, part)
        clips = np.empty((count, 3, frames, side, side), np.uint8)
        for i in range(0, count, 64):
            drawn = tier.draw(pool[i:i + 64], frames, side, side)
            clips[i:i + 64] = ((drawn + 1) * 127.5).round().to(torch.uint8).numpy()
        np.save(path, clips)
    return torch.from_numpy(np.load(path, mmap_mode="r+"))


def as_float(clips):
    return clips.float() / 127.5 - 1


def gradient_loss(a, b):
    d = a - b
    return (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()


def loss_of(vae, x, kl_weight, generator, share=0.0, blur=None):
    """`share`: of the latents' spread, as extra noise on them.  `blur`: such noise, with the encoder frozen (the
    decoder's own phase)."""
    with torch.set_grad_enabled(blur is None):
        mean, logvar = vae_fast.encode(vae, x)
    if blur is None:
        blur = share * mean.detach().std((0, 2, 3, 4), keepdim=True)
    spread = torch.exp(0.5 * logvar) + blur
    y = vae_fast.decode(vae, mean + spread * torch.randn(mean.shape, generator=generator))
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    l1 = (x - y).abs().mean()
    l2 = (x - y).square().mean()
    return l1 + 2 * l2 + 0.5 * gradient_loss(x, y) + kl_weight * kl, l2.detach(), kl.detach()


def psnr(vae, clips):
    """Mean PSNR in dB of clips through the class's own encode and decode."""
    with torch.no_grad():
        y = torch.cat([vae.decode(vae.encode(c).latent_dist.mean).sample
                       for c in clips.split(4)])
        mse = ((clips - y) / 2).square().flatten(1).mean(1)
        return float((-10 * torch.log10(mse)).mean())


def freeze(vae, average, pool, share):
    """Holds the averaged encoder still; returns the noise for the decoder's phase [1, z, 1, 1, 1]."""
    average.copy_to(vae)
    for part in (vae.encoder, vae.quant_conv):
        part.requires_grad_(False)
    with torch.no_grad():
        mean, _ = vae_fast.encode(vae, as_float(pool[:16]))
    return share * mean.std((0, 2, 3, 4), keepdim=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--name", default="vae")
    p.add_argument("--start", default="", help="begin with the averaged weights of this run instead of fresh ones")
    p.add_argument("--side", type=int, default=world.SIDE)
    p.add_argument("--frames", type=int, default=world.FRAMES)
    p.add_argument("--z-dim", type=int, default=12)
    p.add_argument("--base-dim", type=int, default=16)
    p.add_argument("--pool", type=int, default=3072)
    p.add_argument("--steps-frames", type=int, default=3000)
    p.add_argument("--steps-clips", type=int, default=2500)
    p.add_argument("--steps-decoder", type=int, default=0)
    p.add_argument("--noise", type=float, default=0.05, help="decoder phase: share of the latents' spread")
    p.add_argument("--noise-clips", type=float, default=0.0,
                   help="the same while the encoder learns, too: what matters little gets little of the latents")
    p.add_argument("--batch-frames", type=int, default=16)
    p.add_argument("--batch-clips", type=int, default=2)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--lr-clips", type=float, default=8e-4)
    p.add_argument("--muon", type=float, default=20.0, help="Muon's rate over AdamW's")
    p.add_argument("--kl", type=float, default=2e-4)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--judge-every", type=float, default=900, help="seconds")
    tiers.add_option(p)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    vae = vae_fast.build(a.z_dim, a.base_dim)
    matrices = [p for n, p in vae.named_parameters() if p.ndim > 3 and p.shape[0] > 3
                and p[0].numel() > 1 and "conv_in" not in n]
    chosen = {id(p) for p in matrices}
    optimizer = torch.optim.AdamW([p for p in vae.parameters() if id(p) not in chosen], lr=a.lr,
                                  betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    second = muon.Muon(matrices)
    average = common.Average(vae, 0.998)
    step, spent = 0, 0.0
    state = common.load(f"{a.name}.pt")
    if not state and a.start:
        start = common.load(f"{a.start}.pt")
        with torch.no_grad():
            for mine, theirs in zip(vae.parameters(), start["average"]["shadow"]):
                mine.copy_(theirs)
        average = common.Average(vae, 0.998)
    if state:
        vae.load_state_dict(state["vae"])
        if "second" in state:
            optimizer.load_state_dict(state["optimizer"])
            second.buffers = state["second"]
        average.restore(state["average"])
        step, spent = state["step"], state["spent"]
    tier = tiers.of(a.tier)
    pool = clip_pool(a.pool, a.side, a.frames, tier=tier)
    judge = as_float(clip_pool(16, a.side, a.frames, "held-out", tier=tier)[:8])
    generator = torch.Generator()
    before = a.steps_frames + a.steps_clips
    total = before + a.steps_decoder
    blur = None
    started = saved = judged = time.time()
    sums = []
    while step < total:
        generator.manual_seed(a.seed * 1_000_003 + step)
        on_frames = step < a.steps_frames
        if step == a.steps_frames:  # the time slices start with no history: else they overshoot
            optimizer.state.clear()
            average.steps = 0
        if on_frames:
            i = torch.randint(len(pool), (a.batch_frames,), generator=generator)
            t = torch.randint(a.frames, (a.batch_frames,), generator=generator)
            x = as_float(pool[i, :, t])[:, :, None]
            at, span, top = step, a.steps_frames, a.lr
        else:
            at, span = step - a.steps_frames, a.steps_clips
            if step >= before:
                at, span = step - before, a.steps_decoder
                if blur is None:
                    blur = freeze(vae, average, pool, a.noise)
            # Many small crops first (a batch of varied content), whole clips for the last third.
            small = at < 0.67 * span
            many, part = (4 * a.batch_clips, a.side // 2) if small else (a.batch_clips, a.side)
            i = torch.randint(len(pool), (many,), generator=generator)
            length = min(a.frames, 9 if small or step % 4 else 17)
            t = int(torch.randint(a.frames - length + 1, (1,), generator=generator))
            y, x = torch.randint((a.side - part) // 4 + 1, (2,), generator=generator).mul(4).tolist()
            x = as_float(pool[i, :, t:t + length, y:y + part, x:x + part])
            top = a.lr_clips
        rate = top * min(1, (at + 1) / 80) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * at / span)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        second.rate = a.muon * rate
        loss, l2, kl = loss_of(vae, x, a.kl, generator, a.noise_clips, blur)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        second.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(vae)
        step += 1
        sums.append((float(loss.detach()), float(l2), float(kl)))
        if step % 50 == 0:
            loss_mean, l2_mean, kl_mean = np.mean(sums, 0)
            sums = []
            common.log_line(f"{a.name}.jsonl", step=step, loss=float(loss_mean), kl=float(kl_mean),
                            psnr=float(-10 * math.log10(l2_mean / 4)), lr=rate,
                            seconds=spent + time.time() - started)
        if time.time() - saved > 150 or step in (a.steps_frames, total):
            saved = time.time()
            common.save(f"{a.name}.pt", dict(
                vae=vae.state_dict(), optimizer=optimizer.state_dict(),
                second=second.buffers, average=average.state(),
                step=step, spent=spent + saved - started, args=vars(a)))
        if time.time() - judged > a.judge_every or step in (a.steps_frames, total):
            judged = time.time()
            with common.Swapped(vae, average):
                clips = judge[:, :, :1] if step <= a.steps_frames else judge
                common.log_line(f"{a.name}.jsonl", step=step, held_out_psnr=psnr(vae, clips))


if __name__ == "__main__":
    main()
