#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes model folders of full size with random weights: for memory, speed and loaders, not for pictures.

    make_random.py OUT                                  Wan 2.1 1.3B: f32 transformer and VAE, bf16 text encoder
    make_random.py OUT --model wan2.1-14b --dtype bf16  the others by name: wan2.2-5b
    make_random.py OUT --only transformer --dtype bf16  one component
    make_random.py OUT --single-file                    original names: one file a component, for the same weights
    make_random.py OUT --scale 16                       narrower and shallower, for tests
    make_random.py OUT --dry-run                        counts and sizes alone

Names, shapes and configurations are those of the reference's classes on the meta device, so that a folder has
exactly what from_pretrained() expects; the single-file forms (the transformer's with an optional prefix, the VAE's, and
ComfyUI's T5 with the tokenizer as a tensor `spiece_model`) are turned back by diffusers' own converters before
anything is written, and have to give the same names.  Tensors are drawn and written a few million values at a time: a file of
any size takes some tens of megabytes of memory.  A tensor's values follow from the seed and its Diffusers name, so that
the same weights come out in each form, dtype and number of shards.
"""

import argparse
import hashlib
import json
import math
import os
import struct
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers, convert_wan_vae_to_diffusers
from transformers import UMT5Config, UMT5EncoderModel

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden")
CHUNK = 1 << 22
DTYPES = {"f32": ("F32", 4, torch.float32), "f16": ("F16", 2, torch.float16), "bf16": ("BF16", 2, torch.bfloat16)}

TEXT = dict(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
            relative_attention_num_buckets=32, relative_attention_max_distance=128, dropout_rate=0.1,
            layer_norm_epsilon=1e-6, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
VAE_2_1 = dict(base_dim=96, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
               temperal_downsample=[False, True, True], dropout=0.0)
VAE_2_2 = dict(base_dim=160, decoder_base_dim=256, z_dim=48, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
               temperal_downsample=[False, True, True], dropout=0.0, is_residual=True, in_channels=12, out_channels=12,
               patch_size=2, scale_factor_spatial=16, scale_factor_temporal=4,
               latents_mean=[0.0] * 48, latents_std=[1.0] * 48)


def dit(heads, ffn, layers, channels=16):
    return dict(num_attention_heads=heads, attention_head_dim=128, ffn_dim=ffn, num_layers=layers,
                in_channels=channels, out_channels=channels, text_dim=4096, freq_dim=256, patch_size=(1, 2, 2),
                qk_norm="rms_norm_across_heads", cross_attn_norm=True, eps=1e-6, rope_max_seq_len=1024)


# transformer, VAE, the scheduler's shift, what model_index.json says besides
MODELS = {
    "wan2.1-1.3b": (dit(12, 8960, 30), VAE_2_1, 3.0, {}),
    "wan2.1-14b": (dit(40, 13824, 40), VAE_2_1, 3.0, {}),
    "wan2.2-5b": (dit(24, 14336, 30, 48), VAE_2_2, 5.0, {"expand_timesteps": True}),
}
# Counted in the published checkpoints; a class of another version that has other tensors is found out.
PUBLISHED = {
    ("wan2.1-1.3b", "transformer"): (825, 1418996800),
    ("wan2.1-1.3b", "text_encoder"): (242, 5680910336),
    ("wan2.1-1.3b", "vae"): (194, 126892531),
}


def narrower(n, scale, multiple, least):
    return max(least, n // scale // multiple * multiple)


def scaled(config, scale):
    """Widths and depths by the factor, nothing else: heads keep their size, latents their channels."""
    out = dict(config)
    for key, multiple, least in (("num_attention_heads", 1, 1), ("num_heads", 1, 1), ("num_layers", 1, 2),
                                 ("ffn_dim", 16, 64), ("d_ff", 16, 64), ("d_model", 16, 64), ("text_dim", 16, 64),
                                 ("base_dim", 8, 8), ("decoder_base_dim", 8, 8)):
        if key in out and scale > 1:
            out[key] = narrower(out[key], scale, multiple, least)
    if "vocab_size" in out and scale > 1:
        out["vocab_size"] = 8192  # all that the tokenizer has
    return out


# ---- what there is to write

def classes(name, scale):
    """component -> module on the meta device."""
    transformer, vae, _, _ = MODELS[name]
    with torch.device("meta"):
        return {
            "text_encoder": UMT5EncoderModel(UMT5Config(**scaled(TEXT, scale))),
            "transformer": WanTransformer3DModel(**scaled(transformer, scale)),
            "vae": AutoencoderKLWan(**scaled(vae, scale)),
        }


def shapes(component, module):
    out = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    if component == "text_encoder":  # the same tensor under a second name, which files do not hold
        out.pop("encoder.embed_tokens.weight", None)
    return out


TRANSFORMER_NAMES = [
    ("condition_embedder.text_embedder.linear_1.", "text_embedding.0."),
    ("condition_embedder.text_embedder.linear_2.", "text_embedding.2."),
    ("condition_embedder.time_embedder.linear_1.", "time_embedding.0."),
    ("condition_embedder.time_embedder.linear_2.", "time_embedding.2."),
    ("condition_embedder.time_proj.", "time_projection.1."), ("proj_out.", "head.head."),
    (".attn1.", ".self_attn."), (".attn2.", ".cross_attn."), (".to_out.0.", ".o."), (".to_q.", ".q."),
    (".to_k.", ".k."), (".to_v.", ".v."), (".norm2.", ".norm3."), (".ffn.net.0.proj.", ".ffn.0."),
    (".ffn.net.2.", ".ffn.2."),
]
VAE_NAMES = [
    (".norm1.", ".residual.0."), (".conv1.", ".residual.2."), (".norm2.", ".residual.3."), (".conv2.", ".residual.6."),
    (".conv_shortcut.", ".shortcut."), (".mid_block.resnets.0.", ".middle.0."), (".mid_block.attentions.0.", ".middle.1."),
    (".mid_block.resnets.1.", ".middle.2."), (".conv_in.", ".conv1."), (".norm_out.", ".head.0."),
    (".conv_out.", ".head.2."), (".down_blocks.", ".downsamples."),
]


def single_name(component, key):
    """The name that the authors' own file has."""
    if component == "transformer":
        if key == "scale_shift_table":
            return "head.modulation"
        if key.endswith(".scale_shift_table"):
            return key.replace("scale_shift_table", "modulation")
        for there, here in TRANSFORMER_NAMES:
            key = key.replace(there, here)
    elif component == "vae":
        if key.startswith(("quant_conv.", "post_quant_conv.")):
            return key.replace("post_quant_conv", "conv2").replace("quant_conv", "conv1")
        for there, here in VAE_NAMES:
            key = key.replace(there, here)
        part = key.split(".")
        if part[1] == "up_blocks":
            at = 4 * int(part[2]) + (int(part[4]) if part[3] == "resnets" else 3)
            key = ".".join([part[0], "upsamples", str(at)] + part[5:])
    return key


def check_names(name, component, want, names):
    """diffusers' converters, on tensors without data, must give the class's names and shapes back."""
    converter = {"transformer": convert_wan_transformer_to_diffusers, "vae": convert_wan_vae_to_diffusers}.get(component)
    if converter is None:
        return
    if len(set(names.values())) != len(names):
        sys.exit(f"{name}: two tensors of the {component} have one name in the single file")
    with torch.device("meta"):
        back = converter({names[key]: torch.empty(shape) for key, shape in want.items()})
    got = {key: tuple(value.shape) for key, value in back.items()}
    if got != want:
        odd = sorted(set(got) ^ set(want)) or sorted(k for k in want if got[k] != want[k])
        sys.exit(f"{name}: diffusers turns the single file of the {component} into other names: {odd[:5]}")


# ---- values

def values(key, shape, seed, q_scale):
    """f32 chunks; as in goldens_tiny.fill(), so that activations keep an order of one."""
    count, last = math.prod(shape), key.rsplit(".", 2)[-2:]
    near, std = 0.0, 1.0
    if last[-1] == "scale_shift_table":
        std = 0.3
    elif len(shape) == 1 or last[-1] == "gamma":
        near, std = (0.0 if last[-1] == "bias" else 1.0), 0.1
    elif last[0] not in ("relative_attention_bias", "shared"):
        std = 1.0 / math.sqrt(math.prod(shape[1:]))
        if last[0] == "q":  # UMT5 does not divide by the root of d_kv
            std *= q_scale
        elif last[0] in ("conv1", "conv2", "conv_in", "time_conv"):
            std *= 1.4
    bits = hashlib.sha256(f"{seed}/{key}".encode()).digest()[:16]
    draw = np.random.Generator(np.random.Philox(int.from_bytes(bits, "little")))
    for start in range(0, count, CHUNK):
        yield near + np.float32(std) * draw.standard_normal(min(CHUNK, count - start), dtype=np.float32)


def stored(chunk, dtype):
    if dtype == "f32":
        return chunk.astype("<f4").tobytes()
    if dtype == "f16":
        return chunk.astype("<f2").tobytes()
    bits = chunk.astype("<f4").view("<u4")  # to the nearest, to even
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()


# ---- files

def write_safetensors(path, tensors, metadata):
    """tensors: name -> (dtype's name, shape, bytes, chunks())."""
    header, at = ({"__metadata__": metadata} if metadata else {}), 0
    for name, (dtype, shape, size, _) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, (_, _, size, chunks) in tensors.items():
            start = f.tell()
            for chunk in chunks():
                f.write(chunk)
            assert f.tell() - start == size, name
    os.replace(path + ".part", path)


def shards(want, item, limit):
    """As the reference cuts them: in order, none above the limit unless it is one tensor."""
    out, size = [[]], 0
    for key, shape in want.items():
        bytes_of = math.prod(shape) * item
        if out[-1] and size + bytes_of > limit:
            out.append([])
            size = 0
        out[-1].append(key)
        size += bytes_of
    return out


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def tokenizer_model():
    """make_token_goldens.py's 8,000 pieces, with its normaliser put back."""
    with open(os.path.join(GOLDEN, "scripts", "pieces.model"), "rb") as f:
        model = f.read()
    from sentencepiece import sentencepiece_model_pb2 as pb
    with open(os.path.join(GOLDEN, "models", "small-a", "tokenizer", "spiece.model"), "rb") as f:
        normalizer = pb.ModelProto.FromString(f.read()).normalizer_spec
    proto = pb.ModelProto.FromString(model)
    proto.normalizer_spec.CopyFrom(normalizer)
    return proto.SerializeToString()


def write_tokenizer(folder):
    from make_token_goldens import fast_of
    os.makedirs(folder, exist_ok=True)
    model, special = tokenizer_model(), {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    with open(os.path.join(folder, "spiece.model"), "wb") as f:
        f.write(model)
    fast_of(model).save(os.path.join(folder, "tokenizer.json"))
    write_json(os.path.join(folder, "special_tokens_map.json"), special)
    write_json(os.path.join(folder, "tokenizer_config.json"),
               dict(special, tokenizer_class="T5Tokenizer", model_max_length=512, extra_ids=0, legacy=True))


def config_of(component, module):
    if component == "text_encoder":
        config = module.config.to_dict()
        config["architectures"] = ["UMT5EncoderModel"]
        return config
    return json.loads(module.to_json_string())


def write_component(args, component, module, dtype):
    kind, item, _ = DTYPES[dtype]
    want = shapes(component, module)
    q_scale = module.config.d_kv ** -0.5 if component == "text_encoder" else 1.0
    names = {key: single_name(component, key) for key in want}
    if args.single_file and component == "vae" and module.config.is_residual:
        sys.exit("--single-file: the names of the Wan 2.2 VAE's own file are not known here; leave it out with --only")
    if args.single_file:
        check_names(args.model, component, want, names)
    count, parts = sum(math.prod(s) for s in want.values()), shards(want, item, args.shard_size)
    files = 1 if args.single_file else len(parts)
    print(f"{component}: {len(want)} tensors, {count:,} parameters, {count * item:,} bytes in {files} file"
          f"{'s' if files > 1 else ''} of {dtype}", flush=True)
    published = PUBLISHED.get((args.model, component))
    if args.scale == 1 and published is not None and published != (len(want), count):
        sys.exit(f"{component}: the published checkpoint has {published[0]} tensors, {published[1]:,} parameters")
    if args.dry_run:
        return

    def entry(key):
        shape = want[key]

        def chunks():
            for chunk in values(key, shape, args.seed, q_scale):
                yield stored(chunk, dtype)
        return kind, shape, math.prod(shape) * item, chunks

    if args.single_file:
        prefix = args.prefix if component == "transformer" else ""
        tensors = {prefix + names[key]: entry(key) for key in want}
        if component == "text_encoder":
            model = tokenizer_model()
            tensors["spiece_model"] = ("U8", (len(model),), len(model), lambda: [model])
        os.makedirs(args.out, exist_ok=True)
        write_safetensors(os.path.join(args.out, f"{component}.safetensors"), tensors, None)
        return
    folder = os.path.join(args.out, component)
    os.makedirs(folder, exist_ok=True)
    write_json(os.path.join(folder, "config.json"), config_of(component, module))
    stem = "model" if component == "text_encoder" else "diffusion_pytorch_model"
    weight_map = {}
    for i, keys in enumerate(parts):
        file = f"{stem}.safetensors" if len(parts) == 1 else f"{stem}-{i + 1:05}-of-{len(parts):05}.safetensors"
        write_safetensors(os.path.join(folder, file), {key: entry(key) for key in keys}, {"format": "pt"})
        weight_map.update({key: file for key in keys})
    if len(parts) > 1:
        write_json(os.path.join(folder, f"{stem}.safetensors.index.json"),
                   {"metadata": {"total_size": count * item}, "weight_map": weight_map})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--model", choices=sorted(MODELS), default="wan2.1-1.3b")
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="of the transformer (f32)")
    parser.add_argument("--text-dtype", choices=DTYPES, default="bf16", help="of the text encoder (bf16)")
    parser.add_argument("--vae-dtype", choices=DTYPES, default="f32", help="of the VAE (f32)")
    parser.add_argument("--only", default="text_encoder,transformer,vae", help="components, with commas between")
    parser.add_argument("--single-file", action="store_true", help="original names, one file a component")
    parser.add_argument("--prefix", default="", help="before the transformer's names: model.diffusion_model.")
    parser.add_argument("--scale", type=int, default=1, help="so many times narrower and shallower")
    parser.add_argument("--shard-size", type=float, default=5e9, help="bytes of a file, at most (5e9)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry-run", action="store_true", help="count, write nothing")
    args = parser.parse_args()
    if args.scale < 1 or args.shard_size < 1:
        parser.error("--scale and --shard-size are above 0")
    modules = classes(args.model, args.scale)
    only = args.only.split(",")
    if not set(only) <= set(modules):
        parser.error(f"--only takes {', '.join(modules)}")
    _, _, shift, besides = MODELS[args.model]
    dtypes = {"text_encoder": args.text_dtype, "transformer": args.dtype, "vae": args.vae_dtype}
    for component in only:
        write_component(args, component, modules[component], dtypes[component])
    if args.single_file or args.dry_run:
        return
    write_tokenizer(os.path.join(args.out, "tokenizer"))
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    os.makedirs(os.path.join(args.out, "scheduler"), exist_ok=True)
    write_json(os.path.join(args.out, "scheduler", "scheduler_config.json"), json.loads(scheduler.to_json_string()))
    write_json(os.path.join(args.out, "model_index.json"), dict({
        "_class_name": "WanPipeline", "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"], "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"], "transformer": ["diffusers", "WanTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"]}, **besides))


if __name__ == "__main__":
    main()
