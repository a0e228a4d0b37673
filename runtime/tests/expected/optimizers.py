#!/usr/bin/env python3
"""Makes optimizers.json: what PyTorch's own optimizers, and Lion, do to two small parameters in twelve steps.

    python optimizers.py            # needs torch 2.13; writes the file beside this script

Every case holds all that a test needs: the initial values, the gradient of each parameter at each step (null: it has
none at that step), and the values after each step, flat and row by row. Steps count from 0. `options` (and what a
group says over them) are PyTorch's names; an option that is not named has PyTorch's default (AdamW's weight decay is
0.01, not 0). `lr_at` {"6": x} sets the learning rate of all groups just before step 6. An f32 value is written as the
f64 that equals it.

The numbers are those of the fused kernels, for RMSprop of the foreach ones; the script checks that the plain
implementation agrees. PyTorch has no Lion: it is written out here, operation by operation as in the authors' own
implementation (google/automl, lion/lion_pytorch.py), and again in plain numbers to check it.
"""

import json
from itertools import combinations
from pathlib import Path

import torch

SHAPES = [[3, 2], [4]]
STEPS = 12
DTYPES = {"f64": torch.float64, "f32": torch.float32}
AGREE = {"f64": 1e-12, "f32": 1e-6}


class Lion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al., "Symbolic Discovery of Optimization Algorithms" (arXiv 2302.06675)."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False, fused=True):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})
        self.update = self.by_tensors if fused else self.by_numbers

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    state.setdefault("exp_avg", torch.zeros_like(parameter))
                    gradient = -parameter.grad if group["maximize"] else parameter.grad
                    self.update(parameter, gradient, state["exp_avg"], group)

    def by_tensors(self, parameter, gradient, exp_avg, group):
        beta1, beta2 = group["betas"]
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        update = exp_avg.clone().mul_(beta1).add(gradient, alpha=1 - beta1).sign_()
        parameter.add_(update, alpha=-group["lr"])
        exp_avg.mul_(beta2).add_(gradient, alpha=1 - beta2)

    def by_numbers(self, parameter, gradient, exp_avg, group):
        (beta1, beta2), lr = group["betas"], group["lr"]
        rows = zip(parameter.flatten().tolist(), gradient.flatten().tolist(), exp_avg.flatten().tolist(), strict=True)
        values, means = [], []
        for theta, g, m in rows:
            c = beta1 * m + (1 - beta1) * g
            values.append(theta - lr * ((c > 0) - (c < 0) + group["weight_decay"] * theta))
            means.append(beta2 * m + (1 - beta2) * g)
        parameter.copy_(torch.tensor(values, dtype=parameter.dtype).reshape(parameter.shape))
        exp_avg.copy_(torch.tensor(means, dtype=parameter.dtype).reshape(parameter.shape))


OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "lion": Lion,
}


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
    kernel = {"foreach": fused} if case["optimizer"] == "rmsprop" else {"fused": fused}
    optimizer = OPTIMIZERS[case["optimizer"]](groups, **case["options"], **kernel)
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
    rmsprop = {"lr": 0.01}
    everything = {"centered": True, "momentum": 0.8, "weight_decay": 0.05, "maximize": True}
    adagrad = {"lr": 0.1}
    lion = {"lr": 0.01}
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
        make("rmsprop", "rmsprop", rmsprop),
        make("rmsprop_centered", "rmsprop", rmsprop | {"centered": True, "eps": 1e-4}),
        make("rmsprop_momentum", "rmsprop", rmsprop | {"momentum": 0.9, "alpha": 0.9}),
        make("rmsprop_everything", "rmsprop", rmsprop | everything),
        make("rmsprop_maximize", "rmsprop", rmsprop | {"maximize": True}),
        make("rmsprop_weight_decay", "rmsprop", rmsprop | {"weight_decay": 0.1}),
        make("rmsprop_groups", "rmsprop", rmsprop | {"centered": True}, groups=two_groups),
        make("rmsprop_lr_at", "rmsprop", rmsprop, lr_at={"6": 0.002}),
        make("rmsprop_missing_gradient", "rmsprop", rmsprop | {"momentum": 0.9}, missing=gap),
        make("rmsprop_f32", "rmsprop", rmsprop | everything, "f32"),
        make("adagrad", "adagrad", adagrad),
        make("adagrad_lr_decay", "adagrad", adagrad | {"lr_decay": 0.1}),
        make("adagrad_initial", "adagrad", adagrad | {"initial_accumulator_value": 0.5, "eps": 1e-3}),
        make("adagrad_weight_decay", "adagrad", adagrad | {"weight_decay": 0.1}),
        make("adagrad_maximize", "adagrad", adagrad | {"weight_decay": 0.1, "maximize": True}),
        make("adagrad_groups", "adagrad", adagrad | {"lr_decay": 0.01}, groups=two_groups),
        make("adagrad_missing_gradient", "adagrad", adagrad | {"lr_decay": 0.1}, missing=[(0, 1), *gap]),
        make("adagrad_f32", "adagrad", adagrad | {"lr_decay": 0.1, "initial_accumulator_value": 0.1}, "f32"),
        make("lion", "lion", lion),
        make("lion_weight_decay", "lion", lion | {"weight_decay": 0.1, "betas": [0.95, 0.98]}),
        make("lion_maximize", "lion", lion | {"weight_decay": 0.1, "maximize": True}),
        make("lion_groups", "lion", lion, groups=two_groups),
        make("lion_lr_at", "lion", lion, lr_at={"6": 0.002}),
        make("lion_missing_gradient", "lion", lion, missing=gap),
        make("lion_f32", "lion", lion | {"weight_decay": 0.1}, "f32"),
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
