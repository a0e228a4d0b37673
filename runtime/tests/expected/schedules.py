#!/usr/bin/env python3
"""Makes schedules.json: learning rates of PyTorch's schedules, step by step.

    python schedules.py            # needs torch 2.13; writes the file beside this script

Each case: the schedule's name and numbers as Rust has them, `lr` of the optimizer, and `rates`, that of each step from
the first. They are PyTorch's closed forms; its step-by-step forms, which gather rounding, are checked against them here.
After its end a cosine stays where it is, where PyTorch's goes up again.
"""

import json
import math
import warnings
from pathlib import Path

import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, SequentialLR, StepLR

warnings.simplefilter("ignore")  # there is no optimizer's step between the schedule's


def optimizer(lr):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)


def closed(schedule, step):
    schedule.last_epoch = step
    return schedule._get_closed_form_lr()[0]


def chained(lr, make, steps):
    sgd = optimizer(lr)
    schedule = make(sgd)
    rates = []
    for _ in range(steps):
        rates.append(sgd.param_groups[0]["lr"])
        schedule.step()
    return rates


def case(name, numbers, lr, rates, make, until=None):
    until = len(rates) if until is None else until
    for ours, theirs in zip(rates[:until], chained(lr, make, until), strict=True):
        assert math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12 * lr), (name, numbers, ours, theirs)
    return {"schedule": name, "numbers": numbers, "lr": lr, "rates": rates}


def constant(lr, factor, steps):
    make = lambda sgd: ConstantLR(sgd, factor, steps)
    schedule = make(optimizer(lr))
    rates = [closed(schedule, step) for step in range(steps + 5)]
    return case("ConstantLr", {"factor": factor, "steps": steps}, lr, rates, make)


def warmup(lr, steps, start):
    make = lambda sgd: LinearLR(sgd, start, 1.0, steps)
    schedule = make(optimizer(lr))
    rates = [closed(schedule, step) for step in range(steps + 5)]
    return case("LinearWarmup", {"steps": steps, "start_factor": start}, lr, rates, make)


def stairs(lr, every, gamma):
    make = lambda sgd: StepLR(sgd, every, gamma)
    schedule = make(optimizer(lr))
    rates = [closed(schedule, step) for step in range(5 * every + 3)]
    return case("StepLr", {"every": every, "gamma": gamma}, lr, rates, make)


def cosine(lr, total, warmup_steps, start, minimum):
    fall = lambda sgd: CosineAnnealingLR(sgd, total - warmup_steps, minimum * lr)
    rise = lambda sgd: LinearLR(sgd, start, 1.0, warmup_steps)
    both = lambda sgd: SequentialLR(sgd, [rise(sgd), fall(sgd)], [warmup_steps])
    fallen = fall(optimizer(lr))
    rates = []
    if warmup_steps:
        risen = rise(optimizer(lr))
        rates = [closed(risen, step) for step in range(warmup_steps)]
    rates += [closed(fallen, step) for step in range(total - warmup_steps + 1)]
    rates += [rates[-1]] * 5
    numbers = {"total_steps": total, "warmup_steps": warmup_steps, "start_factor": start, "min_factor": minimum}
    # The step-by-step form divides by what is nearly 0 at the end of a long cosine.
    until = total + 1 if total < 50 else total * 9 // 10
    return case("CosineLr", numbers, lr, rates, both if warmup_steps else fall, until)


def main():
    cases = [constant(0.1, 1 / 3, 5), constant(3e-3, 0.75, 1)]
    cases += [warmup(0.1, 10, 1 / 3), warmup(3e-3, 1, 0.5), warmup(1.7, 33, 1e-3)]
    cases += [stairs(0.1, 30, 0.1), stairs(3e-3, 1, 0.97), stairs(1.7, 7, 1.1)]
    cases += [cosine(0.1, 20, 0, 0.0, 0.0), cosine(3e-3, 1, 0, 0.0, 0.2), cosine(3e-3, 103, 0, 0.0, 0.01)]
    cases += [cosine(0.1, 40, 8, 0.25, 0.1), cosine(3e-3, 300, 17, 1e-3, 0.01), cosine(1.7, 12, 11, 0.5, 0.0)]
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n'
    Path(__file__).with_suffix(".json").write_text(text)
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
