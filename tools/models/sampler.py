# SPDX-License-Identifier: LGPL-2.1-or-later
"""Samples clips with the training's own fast forward and the shipped scheduler."""
import torch
from diffusers import UniPCMultistepScheduler

import dit_fast
import make_latents


SHIFT = 12.0  # what a prompt says is decided above sigma 0.9: see RECIPE.md
TURBO_STEPS = (1000, 750, 500, 250)  # of the schedule before its shift: WanStepDistillScheduler's denoising_step_list


def scheduler(shift=SHIFT):
    """The scheduler that is shipped: UniPC on flow sigmas; the network predicts the clean sample."""
    return UniPCMultistepScheduler(
        prediction_type="sample", use_flow_sigmas=True, flow_shift=shift, solver_order=2,
        solver_type="bh2", predict_x0=True, lower_order_final=True, final_sigmas_type="zero",
        timestep_spacing="linspace", num_train_timesteps=1000)


@torch.no_grad()
def sample_texts(pair, vae, info, texts, steps=16, guidance=3.0, seed=0, shift=SHIFT):
    """Clips [N, 3, T, H, W] in [-1, 1] for a list of prompts."""
    pieces = make_latents.spiece()
    n = len(texts)
    ids, mask = dit_fast.pad_ids([pieces.encode(t) + [1] for t in list(texts) + [""] * n])
    rows = dit_fast.encode_text(pair.text, ids, mask, dit_fast.buckets_of(pair.text, ids.shape[1]))
    z, t, h, w = info["size"]
    rope = dit_fast.rotations(pair.dit, t, h, w)
    x = torch.randn(n, z, t, h, w, generator=torch.Generator().manual_seed(seed))
    solver = scheduler(shift)
    solver.set_timesteps(steps)
    for time in solver.timesteps:
        tokens = dit_fast.tokens_of(x)
        out = dit_fast.denoise(pair.dit, tokens.repeat(2, 1, 1), time.float().expand(2 * n), rows, mask,
                               rope)
        cond, uncond = dit_fast.latents_of(out, t, h, w).chunk(2)
        x = solver.step(uncond + guidance * (cond - uncond), time, x).prev_sample
    x = x * torch.tensor(info["std"]).view(1, -1, 1, 1, 1) + torch.tensor(info["mean"]).view(1, -1, 1, 1, 1)
    return torch.cat([vae.decode(part).sample for part in x.split(8)])
