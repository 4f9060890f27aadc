# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every training stage shares: where state lives, logs, checkpoints, averaged weights."""
import ctypes
import json
import os
import pathlib
import time

import torch


def keep_memory():
    """Tells glibc to keep freed memory: a step's large tensors would else be fresh pages each time (a third of the time)."""
    libc = ctypes.CDLL(None)
    for option, value in ((-1, 2**31 - 1), (-2, 2**28), (-3, 2**30)):  # TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD
        if hasattr(libc, "mallopt"):
            libc.mallopt(option, value)


keep_memory()


def state_dir():
    """Training state lives outside the tree; SORA_TRAINING_DIR moves it."""
    default = pathlib.Path.home() / ".cache" / "sora-training"
    path = pathlib.Path(os.environ.get("SORA_TRAINING_DIR", default))
    path.mkdir(parents=True, exist_ok=True)
    return path


def log_line(name, **values):
    """Appends one JSON line to the state folder's log and prints it."""
    values = dict(time=time.strftime("%H:%M:%S", time.gmtime()), **values)
    line = json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()})
    with open(state_dir() / name, "a", encoding="utf-8") as log:
        log.write(line + "\n")
    print(line, flush=True)


def save(name, state):
    """Writes a checkpoint whole or not at all."""
    path = state_dir() / name
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def load(name):
    """The checkpoint of that name, or None."""
    path = state_dir() / name
    return torch.load(path, weights_only=False) if path.exists() else None


class Average:
    """An exponential moving average of a module's weights, warmed up so that early steps fade fast."""

    def __init__(self, module, decay):
        self.decay, self.steps = decay, 0
        self.shadow = [p.detach().clone() for p in module.parameters()]

    def update(self, module):
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.shadow, [p.detach() for p in module.parameters()], 1 - decay)

    def copy_to(self, module):
        with torch.no_grad():
            for p, s in zip(module.parameters(), self.shadow):
                p.copy_(s)

    def state(self):
        return dict(steps=self.steps, shadow=self.shadow)

    def restore(self, state):
        self.steps = state["steps"]
        with torch.no_grad():
            for mine, theirs in zip(self.shadow, state["shadow"]):
                mine.copy_(theirs)


class Swapped:
    """`with Swapped(module, average):` runs the module with the averaged weights for a while."""

    def __init__(self, module, average):
        self.module, self.average = module, average

    def __enter__(self):
        self.kept = [p.detach().clone() for p in self.module.parameters()]
        self.average.copy_to(self.module)

    def __exit__(self, *_):
        with torch.no_grad():
            for p, k in zip(self.module.parameters(), self.kept):
                p.copy_(k)
