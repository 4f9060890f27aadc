# SPDX-License-Identifier: LGPL-2.1-or-later
"""The classifiers of tiers 2 and 3, whose objects are the same: of an object's shape, and of the style it is drawn in.

    python -m eval.classify2

As in classify.py they see the generator's renderings alone (tier 3's, a sixth of which is in no style), shaken by blur, noise
and a shifted cut, and name the cuts of objects as parts.py finds them.  Their own accuracy, of single cuts, is measured on
renderings of held-out scenes, as they are and shaken.
"""
import argparse

import torch
import torch.nn.functional as F

import common
import scenes2
import world
import world2
from eval import classify, look2, parts
from eval.look2 import STYLES

FRAMES = 3  # of each clip that is learned from: its first, middle and last
FILE = "classifier-2.pt"


def _shaken(clips, g):
    clips = classify.blurred(clips, 0.4 + 1.2 * float(torch.rand((), generator=g)))
    return (clips + 0.04 * torch.randn(clips.shape, generator=g)).clamp(0, 1)


def _who(mask, covers):
    """Which of the scene's objects a found mask is, or None: covers [2, H, W]."""
    shared = (mask * covers).sum((1, 2))
    best = int(shared.argmax())
    return best if float(shared[best]) > 0.5 * float(mask.sum()) else None


def examples(part, count, seed, side, shake):
    """Cuts [M, 4, S, S], and the indices of their shapes and of their styles."""
    g = torch.Generator().manual_seed(seed)
    cuts, names, looks = [], [], []
    pool = world2.sample_styled(count, seed, part)
    for i in range(0, count, 24):
        some = pool[i:i + 24]
        clips = (scenes2.draw(some, FRAMES, side, side) + 1) / 2
        covers = scenes2.cover(some, FRAMES, side, side)
        if shake:
            clips = _shaken(clips, g)
        for scene, clip, cover in zip(some, clips, covers):
            masks, kept = parts.take_apart(*look2.segment(clip, scene["style"])[1:])
            for own in masks if kept else ():
                for k in range(len(kept)):
                    who = _who(own[k], cover[:, kept[k]])
                    shift = (0.12 * (2 * torch.rand(2, generator=g) - 1)).tolist() if shake else (0.0, 0.0)
                    margin = 1.05 + 0.3 * float(torch.rand((), generator=g)) if shake else 1.15
                    piece = classify.cut(clip[:, kept[k]], own[k], margin, shift)
                    if piece is not None and who is not None and who < len(scene["objects"]):
                        cuts.append(piece)
                        names.append(world2.SHAPES.index(scene["objects"][who]["shape"]))
                        looks.append(STYLES.index(scene["style"]))
    return torch.stack(cuts), torch.tensor(names), torch.tensor(looks)


def _fit(net, xs, names, steps, batch=64):
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (steps - step) / (0.5 * steps))
        pick = torch.randint(len(xs), (batch,))
        loss = F.cross_entropy(net(xs[pick]), names[pick], label_smoothing=0.02)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 99:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    return net.eval()


@torch.no_grad()
def _accuracy(net, xs, names):
    right = torch.cat([net(some).argmax(1) for some in xs.split(256)]) == names
    return round(100 * float(right.float().mean()), 2)


def train(count=1200, steps=1200, side=world.SIDE, seed=3):
    torch.manual_seed(seed)
    cuts, names, looks = examples("train", count, seed, side, True)
    sharp = examples("train", count // 4, seed + 2, side, False)
    cuts, names, looks = (torch.cat(pair) for pair in zip((cuts, names, looks), sharp))
    print(f"{len(cuts)} cuts of objects", flush=True)
    shapes = _fit(classify.network(len(world2.SHAPES)), cuts, names, steps)
    looking = _fit(classify.network(len(STYLES)), cuts, looks, steps // 2)
    marks = {}
    for name, shake in (("as drawn", False), ("shaken", True)):
        cuts, names, looks = examples("held-out", count // 4, seed + 1, side, shake)
        marks[f"shape, {name}"] = _accuracy(shapes, cuts, names)
        marks[f"style, {name}"] = _accuracy(looking, cuts, looks)
    common.save(FILE, dict(shapes_net=shapes.state_dict(), styles_net=looking.state_dict(), marks=marks, side=side,
                           shapes=list(world2.SHAPES), styles=list(STYLES)))
    return marks


def load():
    """((style_scores, name_shape) for look2, the classifiers' own accuracy in per cent)."""
    state = common.load(FILE)
    if state is None or (state["shapes"], state["styles"]) != (list(world2.SHAPES), list(STYLES)):
        raise SystemExit("no classifier for this world: run python -m eval.classify2 first")
    shapes = classify.network(len(world2.SHAPES)).eval()
    shapes.load_state_dict(state["shapes_net"])
    looking = classify.network(len(STYLES)).eval()
    looking.load_state_dict(state["styles_net"])

    @torch.no_grad()
    def scores(net, clip, masks):
        cuts = [classify.cut(clip[:, t], masks[t]) for t in range(0, len(masks), 2)]
        cuts = [c for c in cuts if c is not None]
        return net(torch.stack(cuts)).log_softmax(1).mean(0) if cuts else None

    def style_scores(clip, masks):
        return scores(looking, clip, masks)

    def name_shape(clip, masks):
        found = scores(shapes, clip, masks)
        return "none" if found is None else world2.SHAPES[int(found.argmax())]

    return (style_scores, name_shape), state["marks"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--count", type=int, default=1200)
    p.add_argument("--steps", type=int, default=1200)
    p.add_argument("--side", type=int, default=world.SIDE)
    a = p.parse_args()
    torch.set_num_threads(1)
    print(train(a.count, a.steps, a.side))


if __name__ == "__main__":
    main()
