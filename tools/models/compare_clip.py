#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes one clip twice, with diffusers and with soractl, and tells how far the frames are apart.

    compare_clip.py FOLDER [--model PATH] [--prompt TEXT] [--steps N] ...

FOLDER is a Diffusers folder; --model names another form of the same weights for soractl (single files).  What is not given
is what the folder says (sampler, flow shift) or what both are told here.  The frames of soractl are those of the pipeline
text-to-frames, without mark: pixels as the decoder gave them.  Ends with 1 where they are further apart than 2 of 255 in
the mean.  The reference computes in f32 on the CPU, without ftfy, and cleans the prompt itself.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer, BatchEncoding, UMT5EncoderModel

MOST = 2.0  # of 255, in the mean
EOS = 1


class SpmTokenizer:
    """As the pipeline calls a tokenizer, for folders that have spiece.model alone.  What transformers makes of such a file
    has no bytes to fall back on, whatever the file says."""

    def __init__(self, path):
        import sentencepiece
        self.spm = sentencepiece.SentencePieceProcessor(model_file=path)

    def __call__(self, prompts, max_length, **ignored):
        ids = torch.zeros(len(prompts), max_length, dtype=torch.long)
        for row, prompt in zip(ids, prompts):
            found = self.spm.encode(prompt)[:max_length - 1] + [EOS]
            row[:len(found)] = torch.tensor(found)
        # A row has its end mark at the place of its length, and zeros behind.
        mask = (torch.arange(max_length) <= (ids == EOS).int().argmax(1, keepdim=True)).long()
        return BatchEncoding({"input_ids": ids, "attention_mask": mask})


def load_vae(folder):
    """All of it, or the decoder alone: then the encoder, which no clip needs, keeps what the class starts with."""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        vae = AutoencoderKLWan.from_config(json.load(f))
    tensors = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
        tensors.update(load_file(path))
    missing, extra = vae.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.startswith(("encoder.", "quant_conv."))]
    if missing or extra:
        raise SystemExit(f"{folder}: missing {missing[:3]}, unknown {extra[:3]}")
    return vae.float().eval()


def load_pipeline(folder):
    with open(os.path.join(folder, "model_index.json"), encoding="utf-8") as f:
        index = json.load(f)
    tokenizer = os.path.join(folder, "tokenizer")
    own = os.path.exists(os.path.join(tokenizer, "tokenizer.json"))
    experts = {name: WanTransformer3DModel.from_pretrained(folder, subfolder=name, torch_dtype=torch.float32).eval()
               for name in ("transformer", "transformer_2") if (index.get(name) or [None])[0]}
    pipe = WanPipeline(
        tokenizer=None, vae=load_vae(os.path.join(folder, "vae")),
        text_encoder=UMT5EncoderModel.from_pretrained(folder, subfolder="text_encoder", dtype=torch.float32).eval(),
        scheduler=getattr(diffusers, index["scheduler"][1]).from_pretrained(folder, subfolder="scheduler"),
        **experts, **{k: index[k] for k in ("boundary_ratio", "expand_timesteps") if index.get(k) is not None})
    pipe.tokenizer = AutoTokenizer.from_pretrained(tokenizer) if own else SpmTokenizer(
        os.path.join(tokenizer, "spiece.model"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def reference_clip(pipe, params):
    """Frames u8 [T, H, W, 3] of the same parameters as soractl takes."""
    p = params
    more = {"guidance_scale_2": p["guidance-scale-2"]} if p.get("guidance-scale-2") else {}
    video = pipe(prompt=p["prompt"], negative_prompt=p["negative-prompt"], height=p["height"], width=p["width"],
                 num_frames=p["frames"], num_inference_steps=p["steps"], guidance_scale=p["guidance-scale"],
                 generator=torch.Generator().manual_seed(p["seed"]), output_type="np", **more).frames[0]
    return np.ascontiguousarray(np.rint(video * 255.0).astype(np.uint8))


def soractl_clip(program, model, params):
    options = [word for name, value in params.items() if name != "prompt" for word in (f"--{name}={value}",)]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*program, "run", "--local", "-q", "-m", os.path.join(os.path.abspath(model), ""), "--no-mark",
                        "--metadata", "none", "--layout", "frames", *options, "-o", os.path.join(folder, "f.png"),
                        "text-to-frames", params["prompt"]], check=True, stdout=subprocess.DEVNULL)
        return np.stack([np.asarray(Image.open(path)) for path in sorted(glob.glob(os.path.join(folder, "f*.png")))])


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("folder")
    args.add_argument("--model", help="what soractl opens; default: the folder")
    args.add_argument("--soractl", default="soractl", help="the program, with its first words if need be")
    args.add_argument("--prompt", default="a red ball rolls right over green grass")
    args.add_argument("--negative-prompt", default="")
    for name, kind, value in (("seed", int, 7), ("steps", int, 4), ("width", int, 96), ("height", int, 96),
                              ("frames", int, 17), ("guidance-scale", float, 5.0), ("guidance-scale-2", float, None)):
        args.add_argument(f"--{name}", type=kind, default=value)
    a = vars(args.parse_args())
    params = {k.replace("_", "-"): v for k, v in a.items() if k not in ("folder", "model", "soractl") and v is not None}
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    ours = soractl_clip(a["soractl"].split(), a["model"] or a["folder"], params)
    with torch.no_grad():
        theirs = reference_clip(load_pipeline(a["folder"]), params)
    if ours.shape != theirs.shape:
        raise SystemExit(f"soractl gave {ours.shape}, diffusers {theirs.shape}")
    apart = np.abs(ours.astype(int) - theirs.astype(int))
    print(f"{len(ours)} frames {ours.shape[2]}x{ours.shape[1]}: {apart.mean():.4f} of 255 in the mean (at most {MOST:g}), "
          f"{apart.max()} at most, {100 * (apart == 0).mean():.2f} % of the bytes equal")
    sys.exit(int(apart.mean() > MOST))


if __name__ == "__main__":
    main()
