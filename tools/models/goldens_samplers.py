#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes tests/golden/samplers/{rng,samplers,more,few}.json: what torch's CPU generator and diffusers' schedulers
give, for tests/kit/test-rng and test-sampler.  Numbers are written as f32 in their shortest form, so that
the files are exact."""

import json
import os

import diffusers
import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

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

DPM = {
    "_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver++", "flow_shift": 3.0,
    "lambda_min_clipped": float("-inf"), "num_train_timesteps": 1000, "prediction_type": "flow_prediction",
    "solver_order": 2, "solver_type": "midpoint", "use_flow_sigmas": True, "variance_type": None,
}

# In a file of their own, so that the first one stays as it is; more.json.  A case of many steps has fewer
# values, which are what takes room.
MORE = [
    ("dpm-50", DPM, {}, 50),
    ("dpm-20-shift-5", DPM, {"flow_shift": 5.0}, 20),
    ("dpm-1", DPM, {}, 1),
    ("dpm-2", DPM, {}, 2),
    ("dpm-3-shift-8", DPM, {"flow_shift": 8.0}, 3),
    ("dpm-7-shift-1", DPM, {"flow_shift": 1.0}, 7),
    ("dpm-15", DPM, {}, 15),
    ("dpm-x0", DPM, {"prediction_type": "sample"}, 8),
    ("dpm-heun", DPM, {"solver_type": "heun"}, 9),
    ("dpm-order-1", DPM, {"solver_order": 1}, 5),
    ("dpm-order-3", DPM, {"solver_order": 3}, 12),
    ("dpm-order-3-16", DPM, {"solver_order": 3, "flow_shift": 12.0}, 16),
    ("dpm-bh2", DPM, {"solver_type": "bh2"}, 3),
    ("dpm-keep-order", DPM, {"solver_order": 3, "lower_order_final": False}, 6),
    ("dpm-train-500", DPM, {"num_train_timesteps": 500}, 6),
]

# Few-step rules: kind, prediction, training steps, shift, the list.  Where the list and the shift are the
# rule's own, "own" has the test ask for neither.
FEW = [
    ("dmd", "flow_prediction", 1000, 8.0, [1000, 757, 522], True),
    ("dmd", "flow_prediction", 1000, 5.0, [1000, 750, 500, 250], False),
    ("dmd", "flow_prediction", 1000, 5.0, [1000, 937.5, 833.25, 625], False),
    ("dmd", "flow_prediction", 1000, 1.0, [999], False),
    ("dmd", "sample", 1000, 3.0, [1000, 850, 700, 550, 350, 275, 200, 125, 1], False),
    ("dmd", "flow_prediction", 1000, 12.0, list(range(1000, 0, -20)), False),
    ("distill", "flow_prediction", 1000, 5.0, [1000, 750, 500, 250], True),
    ("distill", "flow_prediction", 1000, 8.0, [1000, 757, 522], False),
    ("distill", "flow_prediction", 1000, 3.0, [400], False),
    ("distill", "sample", 1000, 1.0, [1000, 600, 200, 1], False),
    ("distill", "flow_prediction", 500, 5.0, [500, 375, 250, 125], False),
    ("distill", "flow_prediction", 1000, 5.0, list(range(1000, 0, -20)), False),
]


def f32(values):
    return [float(np.format_float_scientific(np.float32(v), unique=True)) for v in np.ravel(values)]


def sampler_case(name, base, change, steps, n=N):
    config = dict(base, **change)
    cls = {c.__name__: c for c in (UniPCMultistepScheduler, FlowMatchEulerDiscreteScheduler,
                                   DPMSolverMultistepScheduler)}[config["_class_name"]]
    scheduler = cls.from_config(config)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    generator = torch.Generator().manual_seed(len(name) * 1000 + steps)
    noise = torch.randn(1, n, 1, 1, 1, generator=generator)
    target = torch.randn(1, n, 1, 1, 1, generator=generator)
    sample, outputs, samples = noise, [], []
    for i, t in enumerate(scheduler.timesteps):
        # A model that is right but for a tenth of noise: differences between its outputs matter, as they do.
        wobble = 0.1 * torch.randn(1, n, 1, 1, 1, generator=generator)
        output = (target if config.get("prediction_type") == "sample" else noise - target) + wobble
        outputs.append(f32(output))
        sample = scheduler.step(output, t, sample, return_dict=False)[0]
        assert torch.isfinite(sample).all(), name
        samples.append(f32(sample))
    return {"name": name, "config": config, "steps": steps,
            "timesteps": f32(scheduler.timesteps.numpy()), "sigmas": f32(scheduler.sigmas.numpy()),
            "noise": f32(noise), "outputs": outputs, "samples": samples}


def dmd_sigmas(train, shift, steps):
    """FastVideo at 2f3d4074, pred_noise_to_pred_video() and add_noise(): the sigma of the timestep of the
    training schedule that lies nearest.  Its class is diffusers' but for add_noise()."""
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=train, shift=shift)
    timesteps = torch.tensor(steps, dtype=torch.float64)
    nearest = (scheduler.timesteps.double()[None] - timesteps[:, None]).abs().argmin(1)
    return timesteps.float(), scheduler.sigmas[nearest]


def distill_sigmas(train, shift, steps):
    """lightx2v at 21ef47a4, WanStepDistillScheduler.set_denoising_timesteps()."""
    sigmas = torch.linspace(1.0, 0.0, train + 1)[:-1]
    sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    chosen = sigmas[[train - t for t in steps]]
    return chosen * train, chosen


def few_case(kind, prediction, train, shift, steps, own):
    n = 4
    generator = torch.Generator().manual_seed(len(steps) * 100 + int(shift))
    noise, target = (torch.randn(n, generator=generator) for _ in range(2))
    timesteps, sigmas = (dmd_sigmas if kind == "dmd" else distill_sigmas)(train, shift, steps)
    sample, outputs, noises, samples = noise, [], [], []
    for i, sigma in enumerate(sigmas):
        output = (target if prediction == "sample" else noise - target) \
            + 0.1 * torch.randn(n, generator=generator)
        v = (sample - output) / sigma if prediction == "sample" else output
        if kind == "dmd":
            x0 = output if prediction == "sample" else \
                (sample.double() - sigma.double() * output.double()).float()
        else:
            x0 = output if prediction == "sample" else sample - sigma.item() * v
        if i < len(sigmas) - 1 and kind == "dmd":
            fresh = torch.randn(n, generator=generator)
            noises.append(f32(fresh))
            sample = (1 - sigmas[i + 1]) * x0 + sigmas[i + 1] * fresh
        elif i < len(sigmas) - 1:
            sample = x0 + sigmas[i + 1].item() * v
        else:
            sample = x0
        outputs.append(f32(output))
        samples.append(f32(sample))
    return {"kind": kind, "prediction": prediction, "train": train, "shift": 0 if own else shift,
            "list": [] if own else steps, "timesteps": f32(timesteps), "sigmas": f32(sigmas),
            "noise": f32(noise), "outputs": outputs, "noises": noises, "samples": samples}


def draws_case(seed, sizes):
    """Several draws of one generator, the last 20 values of each."""
    generator = torch.Generator().manual_seed(seed)
    return {"seed": str(seed), "draws": [{"n": n, "last": f32(torch.randn(n, generator=generator)[-20:])}
                                         for n in sizes]}


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
    write("more.json", [sampler_case(*case, n=2 if case[3] > 20 else 4) for case in MORE])
    write("few.json", [few_case(*case) for case in FEW])
    write("draws.json", [draws_case(42, [40, 40, 17, 100, 5, 3, 1, 16, 2, 999, 1]), draws_case(7, [3, 20, 3, 33])])


if __name__ == "__main__":
    main()
