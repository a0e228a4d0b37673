#!/usr/bin/env python3
"""Makes scaler.json: what torch.amp.GradScaler("cpu") does in scripted runs, with gradients that are not finite.

    python scaler.py            # needs torch 2.13; writes the file beside this script

Each case: the numbers of the scaler, the optimizer and its options, the gradient of each step (of the loss, before it is
scaled; a string is a number that JSON has not), the norm that unscaled gradients are clipped to (null: they are not), and
after each step whether it was taken, the scale, the growth tracker, and the parameters, flat. A float32 is written as the
float64 that equals it. A gradient of 1e35 overflows in float32 until the scale has come down.
"""

import json
from pathlib import Path

import torch

SHAPE = [5]
INITIAL = [1.5, -0.25, 3.0, 0.0, -2.0]
OPTIMIZERS = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}


def gradients(bad):
    """Thirty steps; `bad` {3: ["inf", 1]} puts a number in place of the second value of step 3."""
    generator = torch.Generator().manual_seed(4)
    steps = [[round(value, 5) for value in torch.randn(5, generator=generator).tolist()] for _ in range(30)]
    for step, (value, index) in bad.items():
        steps[step][index] = value
    return steps


def make(optimizer, options, numbers, bad, clip=None):
    parameter = torch.tensor(INITIAL, requires_grad=True)
    own = OPTIMIZERS[optimizer]([parameter], **options, fused=True)
    scaler = torch.amp.GradScaler("cpu", **numbers)
    after = []
    steps = gradients(bad)
    for values in steps:
        own.zero_grad()
        before = parameter.detach().clone()
        # The gradient alone: a product of zero and infinity would be NaN.
        scale = scaler.scale(torch.ones(()))
        parameter.grad = torch.tensor([float(value) for value in values]) * scale
        scaler.unscale_(own)
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([parameter], clip)
        scaler.step(own)
        scaler.update()
        state = scaler.state_dict()
        row = {"taken": not torch.equal(before, parameter), "parameters": parameter.flatten().tolist()}
        after.append(row | {"scale": state["scale"], "growth_tracker": state["_growth_tracker"]})
    case = {"optimizer": optimizer, "options": options, "scaler": numbers, "clip": clip}
    return case | {"initial": INITIAL, "gradients": steps, "after": after}


def main():
    sgd, adamw = {"lr": 0.1, "momentum": 0.9}, {"lr": 0.01}
    numbers = {"init_scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 4}
    bad = {3: ("inf", 1), 4: ("nan", 0), 9: ("-inf", 4), 20: ("nan", 2)}
    overflow = {2: (1e35, 0), 3: (1e35, 0), 15: (-1e36, 2)}
    odd = {"init_scale": 1000.0, "growth_factor": 3.0, "backoff_factor": 0.3, "growth_interval": 2}
    great = {"init_scale": 2.0**125, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 1}
    cases = [
        make("sgd", sgd, numbers, bad),
        make("sgd", sgd, numbers, bad, clip=0.5),
        make("sgd", sgd, numbers, overflow),
        make("sgd", sgd, odd, bad),
        make("sgd", sgd, great, {}),
        make("adamw", adamw, numbers, bad),
        make("adamw", adamw, odd, overflow, clip=0.5),
    ]
    for case in cases:
        assert {row["taken"] for row in case["after"]} == {True, False}, case["scaler"]
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n'
    Path(__file__).with_suffix(".json").write_text(text)
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
