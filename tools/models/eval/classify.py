# SPDX-License-Identifier: LGPL-2.1-or-later
"""A small classifier of the object's shape, trained on the generator's renderings alone.

    python -m eval.classify

It sees the object cut out by `look.object_masks` (a square around the mask, RGB and mask), shaken by blur, noise
and a shifted cut, so that a soft clip does not surprise it.  Its own accuracy is measured on renderings of
held-out scenes, as they are and blurred.
"""
import argparse

import torch
import torch.nn.functional as F

import common
import scenes
import world
from eval import look

SIDE = 32
FILE = "classifier.pt"


def cut(clip, mask, margin=1.15, shift=(0.0, 0.0)):
    """The square around one frame's object: [4, SIDE, SIDE] (RGB, mask), or None.  clip [3, H, W], mask [H, W]."""
    ys, xs = torch.nonzero(mask > 0.5, as_tuple=True)
    h, w = mask.shape
    if len(ys) < look.LEAST_PIXELS * h * w / 4096:
        return None
    half = margin * max(float(ys.max() - ys.min()), float(xs.max() - xs.min())) / 2 + 1
    cx = float(xs.max() + xs.min() + 1) / 2 + shift[0] * half
    cy = float(ys.max() + ys.min() + 1) / 2 + shift[1] * half
    axis = torch.linspace(-1, 1, SIDE) * half
    gy, gx = torch.meshgrid((axis + cy) / h * 2 - 1, (axis + cx) / w * 2 - 1, indexing="ij")
    picture = torch.cat([clip - 0.5, mask[None] - 0.5])[None]
    return F.grid_sample(picture, torch.stack([gx, gy], -1)[None], padding_mode="border", align_corners=False)[0]


def network(shapes=len(world.SHAPES)):
    layers, width = [], 4
    for out in (16, 32, 64):
        layers += [torch.nn.Conv2d(width, out, 3, 1, 1), torch.nn.GroupNorm(4, out), torch.nn.SiLU(),
                   torch.nn.MaxPool2d(2)]
        width = out
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(width * 16, 128), torch.nn.SiLU(),
                               torch.nn.Linear(128, shapes))


def blurred(clips, sigma):
    """Clips [N, 3, T, H, W] through a Gaussian of `sigma` pixels."""
    r = max(1, int(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-r, r + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    n, c, t, h, w = clips.shape
    x = clips.transpose(1, 2).reshape(n * t * c, 1, h, w)
    x = F.conv2d(F.pad(x, (r, r, r, r), mode="replicate"), kernel.view(1, 1, 1, -1))
    return F.conv2d(x, kernel.view(1, 1, -1, 1)).view(n, t, c, h, w).transpose(1, 2)


def examples(part, count, seed, side, shake):
    """Cuts [M, 4, SIDE, SIDE] and the index of their shapes, a few frames a scene."""
    pool = world.sample_scenes(count, seed, part)
    g = torch.Generator().manual_seed(seed)
    cuts, names = [], []
    for i in range(0, count, 32):
        some = pool[i:i + 32]
        clips = (scenes.draw(some, 8, side, side) + 1) / 2
        if shake:
            clips = blurred(clips, 0.4 + 1.2 * float(torch.rand((), generator=g)))
            clips = (clips + 0.04 * torch.randn(clips.shape, generator=g)).clamp(0, 1)
        masks = look.object_masks(clips, look.guess_backgrounds(clips)[1])
        for scene, clip, mask in zip(some, clips, masks):
            for t in range(0, clip.shape[1], 3):  # a turn by 3/7 of a half circle each
                shift = (0.12 * (2 * torch.rand(2, generator=g) - 1)).tolist() if shake else (0.0, 0.0)
                margin = 1.05 + 0.3 * float(torch.rand((), generator=g)) if shake else 1.15
                piece = cut(clip[:, t], mask[t], margin, shift)
                if piece is not None:
                    cuts.append(piece)
                    names.append(world.SHAPES.index(scene["shape"]))
    return torch.stack(cuts), torch.tensor(names)


@torch.no_grad()
def accuracy(net, cuts, names):
    return 100 * float((net(cuts).argmax(1) == names).float().mean())


def train(count=2400, steps=600, side=world.SIDE, seed=3):
    torch.manual_seed(seed)
    net = network()
    cuts, names = examples("train", count, seed, side, True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (steps - step) / (0.5 * steps))
        pick = torch.randint(len(cuts), (64,))
        loss = F.cross_entropy(net(cuts[pick]), names[pick], label_smoothing=0.02)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    net.eval()
    marks = dict(as_drawn=accuracy(net, *examples("held-out", 400, seed, side, False)),
                 shaken=accuracy(net, *examples("held-out", 400, seed + 1, side, True)))
    common.save(FILE, dict(net=net.state_dict(), marks=marks, side=side, shapes=list(world.SHAPES)))
    return marks


def load():
    """(function for look.look, the classifier's own accuracy in per cent)."""
    state = common.load(FILE)
    if state is None or state["shapes"] != list(world.SHAPES):
        raise SystemExit("no classifier for this world: run python -m eval.classify first")
    net = network().eval()
    net.load_state_dict(state["net"])

    @torch.no_grad()
    def name_shape(clip, masks):
        cuts = [cut(clip[:, t], masks[t]) for t in range(0, len(masks), 2)]
        cuts = [c for c in cuts if c is not None]
        if not cuts:
            return "none"
        return world.SHAPES[int(net(torch.stack(cuts)).log_softmax(1).mean(0).argmax())]

    return name_shape, state["marks"]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--count", type=int, default=2400)
    p.add_argument("--steps", type=int, default=600)
    p.add_argument("--side", type=int, default=world.SIDE)
    a = p.parse_args()
    torch.set_num_threads(1)
    print(train(a.count, a.steps, a.side))


if __name__ == "__main__":
    main()
