#!/usr/bin/env python3
"""Makes optimizers.json: what PyTorch's own SGD, Adam and AdamW do to two small parameters in twelve steps.

    python optimizers.py            # needs torch 2.13; writes the file beside this script

Every case holds all that a test needs: the initial values, the gradient of each parameter at each step (null: it has
none at that step), and the values after each step, flat and row by row. Steps count from 0. `options` (and what a
group says over them) are PyTorch's names; an option that is not named has PyTorch's default (AdamW's weight decay is
0.01, not 0). `lr_at` {"6": x} sets the learning rate of all groups just before step 6. An f32 value is written as the
f64 that equals it.

The numbers are those of the fused kernels; the script checks that the plain implementation agrees.
"""

import json
from itertools import combinations
from pathlib import Path

import torch

SHAPES = [[3, 2], [4]]
STEPS = 12
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
DTYPES = {"f64": torch.float64, "f32": torch.float32}
AGREE = {"f64": 1e-12, "f32": 1e-6}


def problem(missing):
    """Initial values, and gradients that shrink after half the steps (so that amsgrad's maximum matters)."""
    generator = torch.Generator().manual_seed(20)

    def draw(shape, scale):
        values = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
        return [round(value, 5) for value in values.flatten().tolist()]

    initial = [draw(shape, 1.0) for shape in SHAPES]
    gradients = [[draw(shape, 1.0 if step < STEPS / 2 else 0.03) for shape in SHAPES] for step in range(STEPS)]
    for step in gradients:
        step[1][2] = 0.0  # an element that never has a gradient: nothing may divide by its zero moments
    for step, parameter in missing:
        gradients[step][parameter] = None
    return initial, gradients


def train(case, fused):
    """The parameters after each step, flat."""
    dtype = DTYPES[case["dtype"]]
    parameters = [
        torch.tensor(values, dtype=dtype).reshape(shape).requires_grad_()
        for values, shape in zip(case["initial"], SHAPES, strict=True)
    ]
    groups = [
        group | {"params": [parameters[index] for index in group["parameters"]]}
        for group in case.get("groups", [{"parameters": [0, 1]}])
    ]
    optimizer = OPTIMIZERS[case["optimizer"]](groups, **case["options"], fused=fused)
    after = []
    for step, gradients in enumerate(case["gradients"]):
        for parameter, values in zip(parameters, gradients, strict=True):
            parameter.grad = None if values is None else torch.tensor(values, dtype=dtype).reshape(parameter.shape)
        for group in optimizer.param_groups:
            group["lr"] = case.get("lr_at", {}).get(str(step), group["lr"])
        optimizer.step()
        after.append([parameter.flatten().tolist() for parameter in parameters])
    return after


def distance(left, right):
    def flat(steps):
        return [value for step in steps for parameter in step for value in parameter]

    return max(abs(a - b) for a, b in zip(flat(left), flat(right), strict=True))


def make(name, optimizer, options, dtype="f64", missing=(), **more):
    initial, gradients = problem(missing)
    case = {"name": name, "optimizer": optimizer, "dtype": dtype, "options": options, **more}
    case |= {"shapes": SHAPES, "initial": initial, "gradients": gradients}
    case["parameters"] = train(case, fused=True)
    apart = distance(case["parameters"], train(case, fused=False))
    assert apart <= AGREE[dtype], f"{name}: fused and plain are {apart} apart"
    return case


def all_cases():
    momentum = {"lr": 0.1, "momentum": 0.9}
    adam = {"lr": 0.01}
    adamw = {"lr": 0.01}
    two_groups = [
        {"parameters": [0], "lr": 0.05, "weight_decay": 0.1},
        {"parameters": [1], "lr": 0.002, "weight_decay": 0.0},
    ]
    gap = [(3, 1), (4, 1)]
    return [
        make("sgd", "sgd", {"lr": 0.1}),
        make("sgd_momentum", "sgd", momentum),
        make("sgd_dampening", "sgd", momentum | {"dampening": 0.1}),
        make("sgd_nesterov", "sgd", momentum | {"nesterov": True}),
        make("sgd_weight_decay", "sgd", {"lr": 0.1, "weight_decay": 0.01}),
        make("sgd_nesterov_weight_decay", "sgd", momentum | {"nesterov": True, "weight_decay": 0.01}),
        make("sgd_maximize", "sgd", momentum | {"weight_decay": 0.01, "maximize": True}),
        make("sgd_groups", "sgd", momentum, groups=two_groups),
        make("sgd_missing_gradient", "sgd", momentum, missing=gap),
        make("sgd_f32", "sgd", momentum | {"nesterov": True, "weight_decay": 0.01}, "f32"),
        make("adam", "adam", adam),
        make("adam_weight_decay", "adam", adam | {"weight_decay": 0.01, "betas": [0.8, 0.95], "eps": 1e-6}),
        make("adam_amsgrad", "adam", adam | {"amsgrad": True, "betas": [0.9, 0.95]}),
        make("adam_maximize", "adam", adam | {"weight_decay": 0.01, "maximize": True}),
        make("adam_f32", "adam", adam, "f32"),
        make("adamw", "adamw", adamw),
        make("adamw_weight_decay", "adamw", adamw | {"weight_decay": 0.1}),
        make("adamw_amsgrad", "adamw", adamw | {"amsgrad": True}),
        make("adamw_groups", "adamw", adamw, groups=two_groups),
        make("adamw_lr_at", "adamw", adamw, lr_at={"6": 0.002}),
        make("adamw_missing_gradient", "adamw", adamw, missing=gap),
        make("adamw_f32", "adamw", adamw | {"weight_decay": 0.1}, "f32"),
    ]


def main():
    cases = all_cases()
    for left, right in combinations([case for case in cases if case["dtype"] == "f64"], 2):
        apart = distance(left["parameters"], right["parameters"])
        assert apart > 1e-6, f"{left['name']} and {right['name']} are only {apart} apart: one of them tests nothing"
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n'
    assert json.loads(text)["cases"] == cases
    Path(__file__).with_suffix(".json").write_text(text)
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
