#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/golden/samplers/{rng,samplers}.json: what torch's CPU generator and diffusers' schedulers
give, for tests/kit/test-rng and test-sampler.  Numbers are written as f32 in their shortest form, so that
the files are exact."""

import json
import os

import diffusers
import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "samplers")
N = 8

WAN = {
    "_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.33.0.dev0", "beta_end": 0.02,
    "beta_schedule": "linear", "beta_start": 0.0001, "disable_corrector": [],
    "dynamic_thresholding_ratio": 0.995, "final_sigmas_type": "zero", "flow_shift": 3.0,
    "lower_order_final": True, "num_train_timesteps": 1000, "predict_x0": True,
    "prediction_type": "flow_prediction", "rescale_betas_zero_snr": False, "sample_max_value": 1.0,
    "solver_order": 2, "solver_p": None, "solver_type": "bh2", "steps_offset": 0, "thresholding": False,
    "timestep_spacing": "linspace", "trained_betas": None, "use_beta_sigmas": False,
    "use_exponential_sigmas": False, "use_flow_sigmas": True, "use_karras_sigmas": False,
}
EULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0,
    "use_dynamic_shifting": False,
}

# name, configuration, what differs in it, steps
CASES = [
    ("wan-50", WAN, {}, 50),
    ("wan-20-shift-5", WAN, {"flow_shift": 5.0}, 20),
    ("wan-1", WAN, {}, 1),
    ("wan-2", WAN, {}, 2),
    ("wan-3", WAN, {}, 3),
    ("shift-1", WAN, {"flow_shift": 1.0}, 7),
    ("shift-12", WAN, {"flow_shift": 12.0}, 4),
    ("bh1-order-1", WAN, {"solver_type": "bh1", "solver_order": 1, "final_sigmas_type": "sigma_min"}, 6),
    ("bh1-order-2", WAN, {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}, 6),
    ("bh2-order-1", WAN, {"solver_order": 1}, 6),
    ("bh2-order-3", WAN, {"solver_order": 3}, 12),
    ("bh1-order-3", WAN, {"solver_type": "bh1", "solver_order": 3, "final_sigmas_type": "sigma_min"}, 12),
    ("no-lower-order", WAN, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}, 5),
    ("x0", WAN, {"prediction_type": "sample"}, 8),
    ("train-500", WAN, {"num_train_timesteps": 500}, 10),
    ("euler-30", EULER, {}, 30),
    ("euler-1", EULER, {}, 1),
    ("euler-2-shift-8", EULER, {"shift": 8.0}, 2),
    ("euler-shift-1", EULER, {"shift": 1.0}, 9),
]


def f32(values):
    return [float(np.format_float_scientific(np.float32(v), unique=True)) for v in np.ravel(values)]


def sampler_case(name, base, change, steps):
    config = dict(base, **change)
    cls = UniPCMultistepScheduler if "UniPC" in config["_class_name"] else FlowMatchEulerDiscreteScheduler
    scheduler = cls.from_config(config)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    generator = torch.Generator().manual_seed(len(name) * 1000 + steps)
    noise = torch.randn(1, N, 1, 1, 1, generator=generator)
    target = torch.randn(1, N, 1, 1, 1, generator=generator)
    sample, outputs, samples = noise, [], []
    for i, t in enumerate(scheduler.timesteps):
        # A model that is right but for a tenth of noise: differences between its outputs matter, as they do.
        wobble = 0.1 * torch.randn(1, N, 1, 1, 1, generator=generator)
        output = (target if config.get("prediction_type") == "sample" else noise - target) + wobble
        outputs.append(f32(output))
        sample = scheduler.step(output, t, sample, return_dict=False)[0]
        assert torch.isfinite(sample).all(), name
        samples.append(f32(sample))
    return {"name": name, "config": config, "steps": steps,
            "timesteps": f32(scheduler.timesteps.numpy()), "sigmas": f32(scheduler.sigmas.numpy()),
            "noise": f32(noise), "outputs": outputs, "samples": samples}


def rng_case(seed, n, last=None):
    values = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    case = {"seed": str(seed), "n": n, "values": f32(values if last is None else values[-last:])}
    return case


def write(name, value):
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(v) for v in value) + "\n]\n")


def main():
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, diffusers {diffusers.__version__}")
    rng = [rng_case(seed, n) for seed in (0, 42, 4294967295, 4294967301, 9007199254740993)
           for n in (1, 2, 5, 15, 16, 17, 31, 40)]
    rng += [rng_case(7, 700), rng_case(7, 16 * 21 * 30 * 52, last=64), rng_case(7, 100003, last=64)]
    write("rng.json", rng)
    write("samplers.json", [sampler_case(*case) for case in CASES])


if __name__ == "__main__":
    main()
