"""Trains the VAE: first on single frames (cheap, the same spatial weights), then on clips.

    python train_vae.py --steps-frames 3000 --steps-clips 2500

Resumes by itself from the state folder.  Loss: L1 + squared error + L1 of the picture's differences
(crisp edges) + a small KL term (a smooth latent space).
"""
import argparse
import math
import time

import numpy as np
import torch

import common
import scenes
import vae_fast
import world


def clip_pool(count, side, frames, part="train", seed=1):
    """uint8 clips [count, 3, frames, side, side], drawn once and kept in the state folder."""
    path = common.state_dir() / f"clips-{part}-{side}x{frames}-{count}.npy"
    if not path.exists():
        pool = world.sample_scenes(count, seed, part)
        clips = np.empty((count, 3, frames, side, side), np.uint8)
        for i in range(0, count, 64):
            drawn = scenes.draw(pool[i:i + 64], frames, side, side)
            clips[i:i + 64] = ((drawn + 1) * 127.5).round().to(torch.uint8).numpy()
        np.save(path, clips)
    return torch.from_numpy(np.load(path, mmap_mode="r+"))


def as_float(clips):
    return clips.float() / 127.5 - 1


def gradient_loss(a, b):
    d = a - b
    return (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()


def loss_of(vae, x, kl_weight, generator):
    mean, logvar = vae_fast.encode(vae, x)
    noise = torch.randn(mean.shape, generator=generator)
    y = vae_fast.decode(vae, mean + torch.exp(0.5 * logvar) * noise)
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


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--side", type=int, default=64)
    p.add_argument("--frames", type=int, default=17)
    p.add_argument("--z-dim", type=int, default=12)
    p.add_argument("--base-dim", type=int, default=16)
    p.add_argument("--pool", type=int, default=3072)
    p.add_argument("--steps-frames", type=int, default=3000)
    p.add_argument("--steps-clips", type=int, default=2500)
    p.add_argument("--batch-frames", type=int, default=16)
    p.add_argument("--batch-clips", type=int, default=2)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--lr-clips", type=float, default=8e-4)
    p.add_argument("--kl", type=float, default=2e-4)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    vae = vae_fast.build(a.z_dim, a.base_dim)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=a.lr, betas=(0.9, 0.99), weight_decay=0.01,
                                  fused=True)
    average = common.Average(vae, 0.998)
    step, spent = 0, 0.0
    state = common.load("vae.pt")
    if state:
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        average.restore(state["average"])
        step, spent = state["step"], state["spent"]
    pool = clip_pool(a.pool, a.side, a.frames)
    judge = as_float(clip_pool(16, a.side, a.frames, "held-out"))
    generator = torch.Generator()
    total = a.steps_frames + a.steps_clips
    started = saved = time.time()
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
            i = torch.randint(len(pool), (a.batch_clips,), generator=generator)
            length = 9 if step % 8 else 17
            t = int(torch.randint(a.frames - length + 1, (1,), generator=generator))
            x = as_float(pool[i, :, t:t + length])
            at, span, top = step - a.steps_frames, a.steps_clips, a.lr_clips
        rate = top * min(1, (at + 1) / 80) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * at / span)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, l2, kl = loss_of(vae, x, a.kl, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(vae)
        step += 1
        sums.append((float(loss.detach()), float(l2), float(kl)))
        if step % 50 == 0:
            loss_mean, l2_mean, kl_mean = np.mean(sums, 0)
            sums = []
            common.log_line("vae.jsonl", step=step, loss=float(loss_mean), kl=float(kl_mean),
                            psnr=float(-10 * math.log10(l2_mean / 4)), lr=rate,
                            seconds=spent + time.time() - started)
        if time.time() - saved > 120 or step in (a.steps_frames, total):
            saved = time.time()
            common.save("vae.pt", dict(
                vae=vae.state_dict(), optimizer=optimizer.state_dict(), average=average.state(),
                step=step, spent=spent + saved - started, args=vars(a)))
            with common.Swapped(vae, average):
                clips = judge[:, :, :1] if step <= a.steps_frames else judge
                common.log_line("vae.jsonl", step=step, held_out_psnr=psnr(vae, clips))


if __name__ == "__main__":
    main()
