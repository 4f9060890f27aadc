# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes tests/golden/wan-names.txt: original and Diffusers names of the same tensors, by diffusers' own converters.

A line is "TABLE ORIGINAL DIFFUSERS"; "-" stands for no name. The original names are listed here as the modules of the
Wan repositories give them; that the list is whole is held by the classes: what the converters make of it must be
exactly the names that the class has. T5 and the VAE of Wan 2.2 have no converter in diffusers: their Diffusers names
come from the classes, and are paired here.
"""
import argparse
import re
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel, WanVACETransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers, convert_wan_vae_to_diffusers
from transformers import UMT5Config, UMT5EncoderModel

both = lambda name: [name + ".weight", name + ".bias"]


def block(prefix, image):
    names = [prefix + "modulation"]
    for attn in ("self_attn", "cross_attn"):
        for part in "qkvo":
            names += both(f"{prefix}{attn}.{part}")
        names += [f"{prefix}{attn}.norm_q.weight", f"{prefix}{attn}.norm_k.weight"]
    if image:
        names += both(prefix + "cross_attn.k_img") + both(prefix + "cross_attn.v_img")
        names += [prefix + "cross_attn.norm_k_img.weight"]
    return names + both(prefix + "norm3") + both(prefix + "ffn.0") + both(prefix + "ffn.2")


def transformer(layers, image=False, vace=False):
    names = both("patch_embedding")
    for name in ("text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2", "time_projection.1"):
        names += both(name)
    for i in range(layers):
        names += block(f"blocks.{i}.", image)
    if image:
        for i in (0, 1, 3, 4):
            names += both(f"img_emb.proj.{i}")
    if vace:
        names += both("vace_patch_embedding") + both("vace_blocks.0.before_proj")
        for i in range(layers):
            names += block(f"vace_blocks.{i}.", False) + both(f"vace_blocks.{i}.after_proj")
    return names + ["head.modulation"] + both("head.head")


def residual(prefix, shortcut):
    names = [prefix + ".residual.0.gamma"] + both(prefix + ".residual.2")
    names += [prefix + ".residual.3.gamma"] + both(prefix + ".residual.6")
    return names + (both(prefix + ".shortcut") if shortcut else [])


def ends(half):
    names = both(half + ".conv1") + residual(half + ".middle.0", False) + residual(half + ".middle.2", False)
    names += [half + ".middle.1.norm.gamma"] + both(half + ".middle.1.to_qkv") + both(half + ".middle.1.proj")
    return names + [half + ".head.0.gamma"] + both(half + ".head.2")


def vae():
    names = both("conv1") + both("conv2") + ends("encoder") + ends("decoder")
    i = 0
    for level in range(4):
        for r in range(2):
            names += residual(f"encoder.downsamples.{i}", r == 0 and level in (1, 2))
            i += 1
        if level < 3:
            names += both(f"encoder.downsamples.{i}.resample.1")
            names += both(f"encoder.downsamples.{i}.time_conv") if level > 0 else []
            i += 1
    for b in range(4):
        for r in range(3):
            names += residual(f"decoder.upsamples.{4 * b + r}", b == 1 and r == 0)
        if b < 3:
            names += both(f"decoder.upsamples.{4 * b + 3}.resample.1")
            names += both(f"decoder.upsamples.{4 * b + 3}.time_conv") if b < 2 else []
    return names


def vae22():
    names = both("conv1") + both("conv2") + ends("encoder") + ends("decoder")
    for b in range(4):
        for r in range(2):
            names += residual(f"encoder.downsamples.{b}.downsamples.{r}", r == 0 and b in (1, 2))
        if b < 3:
            names += both(f"encoder.downsamples.{b}.downsamples.2.resample.1")
            names += both(f"encoder.downsamples.{b}.downsamples.2.time_conv") if b > 0 else []
        for r in range(3):
            names += residual(f"decoder.upsamples.{b}.upsamples.{r}", r == 0 and b in (2, 3))
        if b < 3:
            names += both(f"decoder.upsamples.{b}.upsamples.3.resample.1")
            names += both(f"decoder.upsamples.{b}.upsamples.3.time_conv") if b < 2 else []
    return names


def pair_vae22(names):
    """As in diffusers' scripts/convert_wan_to_diffusers.py, convert_vae_22."""
    flat = [n for n in names if ".downsamples." not in n and ".upsamples." not in n]
    pairs = [(n, pair[1]) for n, pair in zip(flat, convert(convert_wan_vae_to_diffusers, flat))]
    parts = {".residual.0.": ".norm1.", ".residual.2.": ".conv1.", ".residual.3.": ".norm2.",
             ".residual.6.": ".conv2.", ".shortcut.": ".conv_shortcut."}
    for name in names:
        if name in flat:
            continue
        new = name
        for a, b in parts.items():
            new = new.replace(a, b)
        kind = "resnets.\\2" if new != name else None
        new = re.sub(r"encoder\.downsamples\.(\d)\.downsamples\.(\d)",
                     rf"encoder.down_blocks.\1.{kind or 'downsampler'}", new)
        new = re.sub(r"decoder\.upsamples\.(\d)\.upsamples\.(\d)", rf"decoder.up_blocks.\1.{kind or 'upsampler'}", new)
        pairs.append((name, new))
    return pairs


def convert(converter, names):
    """By one number per tensor, which the converter carries to its new name; rank 4 because it slices some biases."""
    made = converter({name: torch.full((1, 1, 1, 1), i, device="cpu") for i, name in enumerate(names)})
    new = {int(value.flatten()[0]): name for name, value in made.items()}
    return [(name, new[i]) for i, name in enumerate(names)]


def check(pairs, module):
    made, own = {b for _, b in pairs}, set(module.state_dict())
    extra = {n for n in own - made if "norm_added_q" in n}  # of Diffusers alone, and used by nobody
    assert made == own - extra, (sorted(made - own)[:5], sorted(own - made)[:5])
    return pairs + [("-", n) for n in sorted(extra)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    args = parser.parse_args()
    small = dict(num_attention_heads=1, attention_head_dim=128, num_layers=2, ffn_dim=128, text_dim=32, freq_dim=32)
    image = dict(in_channels=36, image_dim=32, added_kv_proj_dim=128, pos_embed_seq_len=4)
    residual_vae = dict(base_dim=16, decoder_base_dim=32, z_dim=48, is_residual=True, in_channels=12, out_channels=12,
                        patch_size=2, latents_mean=[0.0] * 48, latents_std=[1.0] * 48)
    # Not in this converter, but in diffusers' scripts/convert_wan_to_diffusers.py.
    place = ("img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed")
    dit = convert_wan_transformer_to_diffusers
    with torch.device("meta"):
        tables = {
            "transformer": check(convert(dit, transformer(2)), WanTransformer3DModel(**small))
            + check(convert(dit, transformer(2, image=True)) + [place], WanTransformer3DModel(**small, **image))
            + check(convert(dit, transformer(2, vace=True)),
                    WanVACETransformer3DModel(**small, vace_layers=[0, 1], vace_in_channels=96)),
            "vae": check(convert(convert_wan_vae_to_diffusers, vae()), AutoencoderKLWan(base_dim=16)),
            "vae22": check(pair_vae22(vae22()), AutoencoderKLWan(**residual_vae)),
            "text": [("-", n) for n in UMT5EncoderModel(UMT5Config(
                vocab_size=16, d_model=16, d_kv=4, d_ff=16, num_layers=2, num_heads=4)).state_dict()],
        }
    seen = set()
    with open(args.output, "w") as out:
        for table, pairs in tables.items():
            for a, b in pairs:
                line = f"{table} {a} {b}\n"
                if line not in seen:
                    out.write(line)
                seen.add(line)


if __name__ == "__main__":
    main()
