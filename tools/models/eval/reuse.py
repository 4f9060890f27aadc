# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a step that computes nothing should take instead: whole walks in diffusers, compared with the full one.

    python -m eval.reuse --model ../../models/sora-shapes-1

The steps left out are the same in all ways (every second one, from the fifth on), so that only what stands in for
them differs.  Prints the mean absolute distance of the final latents from those of all steps, as a share of theirs.
"""
import argparse
import copy

import torch
from diffusers import WanPipeline

import train_dit


class Walks:
    def __init__(self, a):
        self.pipe = WanPipeline.from_pretrained(a.model)
        self.steps, self.guidance = a.steps, a.guidance
        prompts = train_dit.held_out_prompts(a.count)[1]
        self.positive, self.negative = self.pipe.encode_prompt(prompts, negative_prompt="", max_sequence_length=512)
        config = self.pipe.transformer.config
        size = (1, config.in_channels, a.latent_frames, a.latent_side, a.latent_side)
        self.noise = torch.cat([torch.randn(size, generator=torch.Generator().manual_seed(i)) for i in range(a.count)])

    def forward(self, x, time):
        time = time.expand(len(x))
        cond = self.pipe.transformer(x, time, self.positive, return_dict=False)[0]
        uncond = self.pipe.transformer(x, time, self.negative, return_dict=False)[0]
        return uncond + self.guidance * (cond - uncond)

    def schedule(self, steps, without=()):
        solver = copy.deepcopy(self.pipe.scheduler)
        solver.set_timesteps(steps)
        keep = [i for i in range(steps) if i not in without]
        solver.timesteps, solver.num_inference_steps = solver.timesteps[keep], len(keep)
        solver.sigmas = torch.cat([solver.sigmas[:-1][keep], solver.sigmas[-1:]])
        return solver

    def plain(self, solver):
        x = self.noise.clone()
        for time in solver.timesteps:
            x = solver.step(self.forward(x, time), time, x, return_dict=False)[0]
        return x

    def reuse(self, skip, stand_in):
        """`stand_in(history, x, sigma, i)` gives the output of a step in `skip`; history: (i, x, output, sigma)."""
        solver, x, history = self.schedule(self.steps), self.noise.clone(), []
        for i, time in enumerate(solver.timesteps):
            sigma = float(solver.sigmas[i])
            if i in skip:
                out = stand_in(history, x, sigma, i)
            else:
                out = self.forward(x, time)
                history.append((i, x, out, sigma))
            x = solver.step(out, time, x, return_dict=False)[0]
        return x


def velocity(entry):
    return (entry[1] - entry[2]) / entry[3]


def ahead(share):
    """The velocity, with `share` of its last change added for each step since."""
    def stand_in(history, x, sigma, i):
        before, last = history[-2:]
        change = (velocity(last) - velocity(before)) / (last[0] - before[0])
        return x - sigma * (velocity(last) + share * change * (i - last[0]))
    return stand_in


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", required=True, help="a Diffusers folder whose transformer predicts the clean sample")
    p.add_argument("--count", type=int, default=10)
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--guidance", type=float, default=3.0)
    p.add_argument("--latent-frames", type=int, default=5)
    p.add_argument("--latent-side", type=int, default=8)
    a = p.parse_args()
    torch.set_num_threads(1)
    walks = Walks(a)
    if walks.pipe.scheduler.config.prediction_type != "sample":
        raise SystemExit(f"{a.model}: the transformer predicts {walks.pipe.scheduler.config.prediction_type}, expected sample")
    skip = range(4, a.steps - 1, 2)
    full = walks.plain(walks.schedule(a.steps))
    ways = {
        "the last velocity": lambda: walks.reuse(skip, ahead(0.0)),
        "the last velocity, and half its last change": lambda: walks.reuse(skip, ahead(0.5)),
        "the last velocity, and its last change": lambda: walks.reuse(skip, ahead(1.0)),
        "the last clean sample": lambda: walks.reuse(skip, lambda h, x, s, i: h[-1][2]),
        "the last velocity less its sample, plus the new one (EasyCache)":
            lambda: walks.reuse(skip, lambda h, x, s, i: x - s * (x + velocity(h[-1]) - h[-1][1])),
        "those steps taken out of the schedule": lambda: walks.plain(walks.schedule(a.steps, skip)),
        f"{a.steps - len(skip)} steps": lambda: walks.plain(walks.schedule(a.steps - len(skip))),
    }
    for name, way in ways.items():
        print(f"{(way() - full).abs().mean() / full.abs().mean():.3f}  {name}", flush=True)


if __name__ == "__main__":
    main()
