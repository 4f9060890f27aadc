#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/golden/tiny: what the reference class of TAEHV makes of random weights and latents.

    goldens_taehv.py --reference taehv.py
    goldens_taehv.py --reference taehv.py --full taew2_1 --latents 5x30x52 DIR

The reference is on no package index: taehv.py is that of github.com/madebyollin/taehv at the revision below, and another
one is refused.  The first form writes three narrow checkpoints, put together from the reference's own blocks, their
latents and their frames.  The second writes a checkpoint of full size under the names and types of the published one,
latents and frames, for a comparison by hand: DIR/taew2_1.safetensors, latents.safetensors, frames.safetensors.
"""

import argparse
import hashlib
import importlib.util
import json
import os

import torch
import torch.nn as nn
from safetensors.torch import save_file

REVISION = "1f14a568f24bf8811e0a0ac601613e04fc1581e8"
SHA256 = "28b452ad74f924d2d0922d6b3e805dfa7f504c523ced240435fefad5f6f650a7"
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "tiny")
FAMILIES = {"taew2_1": (16, 1), "taew2_2": (48, 2)}
FULL = (256, 128, 64, 64)

# name, family, widths, type, seed, cases: latent frames, height, width, lines that are kept (one of so many)
SMALL = [
    ("taew2_1-a", "taew2_1", (5, 6, 4, 5), torch.float16, 1, [(1, 3, 5, 1), (2, 3, 1, 1), (5, 1, 2, 2)]),
    ("taew2_2-b", "taew2_2", (4, 3, 2, 6), torch.float32, 2, [(1, 1, 3, 1), (2, 1, 1, 1), (5, 1, 1, 4)]),
    ("taew2_1-c", "taew2_1", (3, 2, 4, 18), torch.float16, 3, [(1, 5, 1, 1), (2, 1, 3, 1), (5, 1, 1, 1)]),
]


def load_reference(path):
    with open(path, "rb") as f:
        found = hashlib.sha256(f.read()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{path} is not taehv.py of revision {REVISION}: its SHA-256 is {found}")
    spec = importlib.util.spec_from_file_location("taehv", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def decoder_of(ref, z, widths, patch):
    """The decoder of TAEHV with other widths: its own are fixed."""
    n = widths
    parts = [ref.Clamp(), ref.conv(z, n[0]), nn.ReLU()]
    for i, stretch in enumerate((1, 2, 2)):
        parts += [ref.MemBlock(n[i], n[i]) for _ in range(3)]
        parts += [nn.Upsample(scale_factor=2), ref.TGrow(n[i], stretch), ref.conv(n[i], n[i + 1], bias=False)]
    return nn.Sequential(*parts, nn.ReLU(), ref.conv(n[3], 3 * patch * patch))


def shapes(decoder):
    return {k: tuple(v.shape) for k, v in decoder.state_dict().items()}


@torch.no_grad()
def random_model(ref, family, widths, dtype, g):
    """Weights that keep the signal's size through the blocks, rounded to the stored type; pictures around one half."""
    z, patch = FAMILIES[family]
    model = ref.TAEHV(checkpoint_path=None, latent_channels=z, patch_size=patch)
    if shapes(model.decoder) != shapes(decoder_of(ref, z, FULL, patch)):
        raise SystemExit("the reference's decoder is put together in another way")
    model.decoder = decoder_of(ref, z, widths, patch)
    for name, p in model.named_parameters():
        if p.ndim == 1:
            p.copy_(torch.randn(p.shape, generator=g) * 0.1)
        else:
            p.copy_(torch.randn(p.shape, generator=g) * (p[0].numel() / 1.5) ** -0.5)
    last = model.decoder[-1]
    x = torch.randn(1, 3, z, 4, 4, generator=g) * 1.5
    raw = ref.apply_model_with_memblocks(model.decoder, x, True, False)
    last.weight.mul_(0.2 / raw.std())
    last.bias.copy_(torch.full_like(last.bias, 0.5) + torch.randn(last.bias.shape, generator=g) * 0.02)
    for p in model.parameters():
        p.copy_(p.to(dtype).float())
    return model.eval()


@torch.no_grad()
def case(model, t, h, w, g):
    """Latents [C, T, H, W] as a denoiser gives them, which is what TAEHV takes, and frames [F, Y, X, 3] in 0..1."""
    latents = torch.randn(model.latent_channels, t, h, w, generator=g) * 1.5
    x = latents.transpose(0, 1)[None]
    frames = model.decode_video(x, parallel=True, show_progress_bar=False)
    steps = model.decode_video(x, parallel=False, show_progress_bar=False)
    if (frames - steps).abs().max() > 1e-5:
        raise SystemExit("the reference's two ways of decoding differ")
    return latents, frames[0].permute(0, 2, 3, 1).contiguous()


def make_small(ref):
    os.makedirs(OUT, exist_ok=True)
    tensors, cases = {}, []
    for name, family, widths, dtype, seed, sizes in SMALL:
        g = torch.Generator().manual_seed(seed)
        model = random_model(ref, family, widths, dtype, g)
        state = {f"decoder.{k}": v.to(dtype) for k, v in model.decoder.state_dict().items()}
        state["encoder.0.weight"] = torch.zeros(2, 3, 3, 3, dtype=dtype)  # the published files hold the encoder, too
        save_file(state, os.path.join(OUT, f"{name}.safetensors"))
        for t, h, w, every in sizes:
            key = f"{name}.t{t}-{h}x{w}"
            latents, frames = case(model, t, h, w, g)
            clamped = ((frames == 0) | (frames == 1)).float().mean()
            print(f"{key}: {tuple(frames.shape)}, {float(clamped):.1%} at a limit")
            tensors[f"{key}.latents"], tensors[f"{key}.frames"] = latents, frames[:, ::every].contiguous()
            cases.append({"name": key, "model": f"{name}.safetensors", "frames": frames.shape[0], "every": every})
    save_file(tensors, os.path.join(OUT, "cases.safetensors"))
    book = {"reference": {"repository": "madebyollin/taehv", "revision": REVISION, "file": "taehv.py", "sha256": SHA256},
            "made_with": {"torch": torch.__version__.split("+")[0]}, "cases": cases}
    with open(os.path.join(OUT, "index.json"), "w", encoding="utf-8") as f:
        json.dump(book, f, indent=1)
        f.write("\n")


def make_full(ref, family, size, folder):
    t, h, w = (int(n) for n in size.split("x"))
    g = torch.Generator().manual_seed(4)
    model = random_model(ref, family, FULL, torch.float16, g)
    os.makedirs(folder, exist_ok=True)
    save_file({k: v.half() for k, v in model.state_dict().items()}, os.path.join(folder, f"{family}.safetensors"))
    latents, frames = case(model, t, h, w, g)
    save_file({"latents": latents}, os.path.join(folder, "latents.safetensors"))
    save_file({"frames": frames}, os.path.join(folder, "frames.safetensors"))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("--reference", required=True, metavar="FILE", help=f"taehv.py of revision {REVISION[:12]}")
    args.add_argument("--full", choices=sorted(FAMILIES), help="one of full size instead")
    args.add_argument("--latents", default="5x30x52", metavar="TxHxW", help="of the full one")
    args.add_argument("folder", nargs="?", help="where the full one goes")
    a = args.parse_args()
    if bool(a.full) != bool(a.folder):
        args.error("--full and a folder belong together")
    torch.set_num_threads(1)
    ref = load_reference(a.reference)
    if a.full:
        make_full(ref, a.full, a.latents, a.folder)
    else:
        make_small(ref)


if __name__ == "__main__":
    main()
