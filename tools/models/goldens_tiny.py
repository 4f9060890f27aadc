# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small random models in Diffusers folders, which the golden tensors are computed from.

Three of them, as different as the classes allow: widths, heads, layers, buckets, upsampling, and the
way they are stored (f32, f16, bf16, all three in one file; one file, shards).  The weights are drawn so that activations
keep an order of one through every layer: an error anywhere shows in the output.
"""

import io
import json
import math
import os
import shutil
import zlib

import sentencepiece
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import save_file
from transformers import UMT5Config, UMT5EncoderModel

TEXT = {
    "small-a": dict(d_model=48, d_kv=16, num_heads=4, d_ff=96, num_layers=2,
                    relative_attention_num_buckets=32, relative_attention_max_distance=128),
    "small-b": dict(d_model=32, d_kv=8, num_heads=6, d_ff=80, num_layers=3,
                    relative_attention_num_buckets=16, relative_attention_max_distance=40),
    "small-c": dict(d_model=16, d_kv=6, num_heads=3, d_ff=28, num_layers=2,
                    relative_attention_num_buckets=8, relative_attention_max_distance=20),
}
DIT = {
    "small-a": dict(num_attention_heads=2, attention_head_dim=24, in_channels=4, out_channels=4,
                    text_dim=48, freq_dim=64, ffn_dim=112, num_layers=2),
    "small-b": dict(num_attention_heads=4, attention_head_dim=16, in_channels=16, out_channels=16,
                    text_dim=32, freq_dim=48, ffn_dim=160, num_layers=3),
    "small-c": dict(num_attention_heads=2, attention_head_dim=10, in_channels=16, out_channels=16,
                    text_dim=16, freq_dim=32, ffn_dim=28, num_layers=1),
}
VAE = {
    "small-a": dict(base_dim=16, z_dim=4, dim_mult=[1, 1, 2], num_res_blocks=2,
                    temperal_downsample=[True, True], scale_factor_spatial=4),
    "small-b": dict(base_dim=8, z_dim=16, dim_mult=[1, 2, 2, 2], num_res_blocks=1,
                    temperal_downsample=[False, True, True], scale_factor_spatial=8),
    "small-c": dict(base_dim=4, z_dim=16, dim_mult=[1, 2, 1, 1], num_res_blocks=1,
                    temperal_downsample=[True, False, True], scale_factor_spatial=8),
}
# How each component is stored: dtype (some: each tensor in one of them) and number of files.  The reference always computes in f32, on
# the values as stored.
MIXED = (torch.float32, torch.float16, torch.bfloat16)
STORED = {
    "small-a": dict(text_encoder=(torch.float16, 1), transformer=(torch.float32, 2),
                    vae=(torch.float16, 1)),
    "small-b": dict(text_encoder=(torch.float32, 2), transformer=(torch.bfloat16, 1),
                    vae=(torch.float16, 1)),
    "small-c": dict(text_encoder=(torch.bfloat16, 1), transformer=(MIXED, 3),
                    vae=(torch.float16, 1)),
}
SCHEDULER = {
    "small-a": {
        "_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.33.0",
        "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": False,
    },
    "small-b": {
        "_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.33.0",
        "num_train_timesteps": 1000, "prediction_type": "flow_prediction",
        "use_flow_sigmas": True, "flow_shift": 3.0, "solver_order": 2, "solver_type": "bh2",
        "predict_x0": True, "lower_order_final": True, "final_sigmas_type": "zero",
        "timestep_spacing": "linspace", "thresholding": False, "disable_corrector": [],
        "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
    },
}
SCHEDULER["small-c"] = dict(SCHEDULER["small-b"], flow_shift=8.0)


def corpus():
    """Sentences enough to train a vocabulary of a few hundred pieces on."""
    things = "ball square triangle star cat dog boat house cloud tree kite lantern whale".split()
    colours = "red green blue yellow white black orange purple grey".split()
    moves = ["rolls right", "moves left", "drifts up", "falls down", "spins slowly", "stands still",
             "jumps over a fence", "turns around"]
    places = ["over green grass", "on white snow", "in the night sky", "on a plain background",
              "under water", "at the sea, at dusk", "inside a glass house", "café naïve façade"]
    out = []
    for i, thing in enumerate(things):
        for j, colour in enumerate(colours):
            for k, move in enumerate(moves):
                place = places[(i + 2 * j + 3 * k) % len(places)]
                size = ("small", "large", "tiny", "huge")[(i + j + k) % 4]
                out.append(f"A {size} {colour} {thing} {move} {place}.")
                out.append(f"{place}, the {thing} is {colour}; {1900 + i * j + k} frames")
    return out


def make_tokenizer(name, folder):
    """small-a folds by nmt_nfkc and knows <unk>; the others have bytes to fall back on and fold nothing."""
    bytes_too = name != "small-a"
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, model_type="unigram",
        vocab_size=520 if bytes_too else 320, character_coverage=1.0 if bytes_too else 0.9995,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, byte_fallback=bytes_too, num_threads=1,
        hard_vocab_limit=False,
        normalization_rule_name="identity" if bytes_too else "nmt_nfkc", minloglevel=2,
    )
    os.makedirs(folder)
    with open(os.path.join(folder, "spiece.model"), "wb") as f:
        f.write(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def fill(module, seed, q_scale=None):
    """Gives every parameter a value: matrices keep the variance, norms lie near one, biases are small."""
    g = torch.Generator().manual_seed(seed)
    for key, p in sorted(module.named_parameters()):
        last = key.rsplit(".", 2)[-2:]
        with torch.no_grad():
            if p.ndim == 1 or last[-1] == "gamma":
                near = 0.0 if last[-1] == "bias" else 1.0
                p.copy_(near + 0.1 * torch.randn(p.shape, generator=g))
            elif last[-1] == "scale_shift_table":
                p.copy_(0.3 * torch.randn(p.shape, generator=g))
            elif last[0] in ("relative_attention_bias", "shared", "embed_tokens"):
                p.copy_(torch.randn(p.shape, generator=g))
            else:
                std = 1.0 / math.sqrt(p[0].numel())
                if q_scale is not None and last[0] == "q":
                    std *= q_scale
                if last[0] in ("conv1", "conv2", "conv_in", "time_conv"):
                    std *= 1.4
                p.copy_(std * torch.randn(p.shape, generator=g))
    return module.eval().float()


def dtype_of(name, dtype):
    """Of one tensor: `dtype`, or one of several, by its name."""
    return dtype[zlib.crc32(name.encode()) % len(dtype)] if isinstance(dtype, tuple) else dtype


def round_to(module, dtype):
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(p.to(dtype_of(name, dtype)).float())
    return module


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False, sort_keys=True)
        f.write("\n")


def write_safetensors(path, tensors):
    save_file(tensors, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)  # it makes them for the owner alone


def save_component(folder, config, tensors, dtype, shards, stem):
    """Writes config.json and the weights: one file, or shards with their index."""
    os.makedirs(folder, exist_ok=True)
    write_json(os.path.join(folder, "config.json"), config)
    tensors = {k: v.detach().to(dtype_of(k, dtype)).contiguous() for k, v in sorted(tensors.items())}
    if shards == 1:
        write_safetensors(os.path.join(folder, f"{stem}.safetensors"), tensors)
        return
    names, weight_map = list(tensors), {}
    for i in range(shards):
        part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
        file = f"{stem}-{i + 1:05d}-of-{shards:05d}.safetensors"
        write_safetensors(os.path.join(folder, file), {k: tensors[k] for k in part})
        weight_map.update({k: file for k in part})
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    write_json(os.path.join(folder, f"{stem}.safetensors.index.json"),
               {"metadata": {"total_size": size}, "weight_map": weight_map})


class Tiny:
    """One small model: its parts in f32, and the folder that it is stored in."""

    def __init__(self, name, folder, seed):
        self.name, self.folder = name, folder
        shutil.rmtree(folder, ignore_errors=True)
        self.spm = make_tokenizer(name, os.path.join(folder, "tokenizer"))
        stored = STORED[name]

        config = UMT5Config(vocab_size=self.spm.vocab_size() + 24, tie_word_embeddings=True,
                            feed_forward_proj="gated-gelu", dropout_rate=0.0, **TEXT[name])
        self.text = fill(UMT5EncoderModel(config), seed, q_scale=TEXT[name]["d_kv"] ** -0.5)
        round_to(self.text, stored["text_encoder"][0])
        tensors = {k: v for k, v in self.text.named_parameters()}
        tensors.pop("encoder.embed_tokens.weight", None)
        d = dict(TEXT[name], architectures=["UMT5EncoderModel"], model_type="umt5",
                 vocab_size=config.vocab_size, feed_forward_proj="gated-gelu",
                 dense_act_fn="gelu_new", is_gated_act=True, layer_norm_epsilon=1e-6,
                 pad_token_id=0, eos_token_id=1, tie_word_embeddings=True)
        save_component(os.path.join(folder, "text_encoder"), d, tensors, *stored["text_encoder"], "model")

        config = dict(DIT[name], patch_size=[1, 2, 2], cross_attn_norm=True, eps=1e-6,
                      qk_norm="rms_norm_across_heads", rope_max_seq_len=1024, image_dim=None,
                      added_kv_proj_dim=None)
        self.dit = fill(WanTransformer3DModel(**config), seed + 1)
        round_to(self.dit, stored["transformer"][0])
        save_component(os.path.join(folder, "transformer"),
                       dict(config, _class_name="WanTransformer3DModel", _diffusers_version="0.33.0"),
                       dict(self.dit.named_parameters()), *stored["transformer"],
                       "diffusion_pytorch_model")

        g = torch.Generator().manual_seed(seed + 2)
        z = VAE[name]["z_dim"]
        mean = [round(float(v), 4) for v in 0.5 * torch.randn(z, generator=g)]
        std = [round(float(v), 4) for v in 1.0 + torch.rand(z, generator=g)]
        config = dict(VAE[name], latents_mean=mean, latents_std=std, attn_scales=[], dropout=0.0,
                      scale_factor_temporal=4)
        self.vae = fill(AutoencoderKLWan(**config), seed + 2)
        round_to(self.vae, stored["vae"][0])
        # Only the decoder is kept: nothing here encodes, and the encoder would be half of the file.
        tensors = {k: v for k, v in self.vae.named_parameters()
                   if k.startswith(("decoder.", "post_quant_conv."))}
        save_component(os.path.join(folder, "vae"),
                       dict(config, _class_name="AutoencoderKLWan", _diffusers_version="0.33.0"),
                       tensors, *stored["vae"], "diffusion_pytorch_model")

        os.makedirs(os.path.join(folder, "scheduler"))
        write_json(os.path.join(folder, "scheduler", "scheduler_config.json"), SCHEDULER[name])
        write_json(os.path.join(folder, "sora_defaults.json"),
                   {"width": 64, "height": 64, "frames": 17, "fps": 8, "steps": 20, "guidance-scale": 3})
        write_json(os.path.join(folder, "model_index.json"), {
            "_class_name": "WanPipeline", "_diffusers_version": "0.33.0",
            "scheduler": ["diffusers", SCHEDULER[name]["_class_name"]],
            "text_encoder": ["transformers", "UMT5EncoderModel"],
            "tokenizer": ["transformers", "T5TokenizerFast"],
            "transformer": ["diffusers", "WanTransformer3DModel"],
            "vae": ["diffusers", "AutoencoderKLWan"],
        })
