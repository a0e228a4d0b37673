#!/usr/bin/env python3
"""Makes schedules.json: learning rates of PyTorch's and Transformers' schedules, step by step.

    python schedules.py            # needs torch 2.13; writes the file beside this script

Each case: the schedule's name and numbers as Rust has them, `lr` of the optimizer, and `rates`, that of each step from
the first. They are PyTorch's closed forms; its step-by-step forms, which gather rounding, are checked against them here.
After its end a cosine stays where it is, where PyTorch's goes up again. OneCycleLR has a closed form alone, and also
`momenta`. Cases with `"of": "transformers"` are by the formulas of transformers/optimization.py, which are written out here
under its names, as `lr` times what its lambda gives: Transformers runs them through LambdaLR.

`plateaus` holds what ReduceLROnPlateau does to a list of metrics: the rate after each.
"""

import json
import math
import warnings
from pathlib import Path

import torch
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

SHAPES = ("linear", "cosine", "1-sqrt")

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


def multi_step(lr, milestones, gamma):
    make = lambda sgd: MultiStepLR(sgd, milestones, gamma)
    schedule = make(optimizer(lr))
    rates = [closed(schedule, step) for step in range(milestones[-1] + 5)]
    return case("MultiStepLr", {"milestones": milestones, "gamma": gamma}, lr, rates, make)


def exponential(lr, gamma, steps):
    make = lambda sgd: ExponentialLR(sgd, gamma)
    schedule = make(optimizer(lr))
    rates = [closed(schedule, step) for step in range(steps)]
    return case("ExponentialLr", {"gamma": gamma}, lr, rates, make)


def polynomial(lr, total, power):
    make = lambda sgd: PolynomialLR(sgd, total, power)
    schedule = make(optimizer(lr))
    rates = [closed(schedule, step) for step in range(total + 5)]
    numbers = {"total_steps": total, "power": power, "warmup_steps": 0, "start_factor": 0.0, "end_factor": 0.0}
    return case("PolynomialLr", numbers, lr, rates, make)


def restarts(lr, first, multiplier, minimum, steps):
    make = lambda sgd: CosineAnnealingWarmRestarts(sgd, first, multiplier, minimum * lr)
    rates = chained(lr, make, steps)  # its steps are its closed form
    numbers = {"first_cycle": first, "multiplier": multiplier, "min_factor": minimum, "cycles": None}
    return case("CosineRestartsLr", numbers, lr, rates, make)


def one_cycle(lr, total, curve="cosine", momentum=(0.85, 0.95), adam=False, **options):
    anneal = {"cosine": "cos", "linear": "linear"}[curve]
    defaults = {"pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4, "three_phase": False}
    base, top = momentum or (0.85, 0.95)
    make = lambda sgd: OneCycleLR(
        sgd,
        lr,
        total,
        anneal_strategy=anneal,
        cycle_momentum=momentum is not None,
        base_momentum=base,
        max_momentum=top,
        **options,
    )
    weights = [torch.zeros(1, requires_grad=True)]
    own = torch.optim.Adam(weights, lr) if adam else torch.optim.SGD(weights, lr, momentum=0.9)
    schedule = make(own)
    rates, momenta = [], []
    for step in range(total):
        group = own.param_groups[0]
        rates.append(group["lr"])
        momenta.append(group["betas"][0] if adam else group["momentum"])
        if step + 1 < total:
            schedule.step()
    numbers = {"total_steps": total, "curve": curve, "momentum": momentum and list(momentum), **(defaults | options)}
    # PyTorch's goes past its end; ours stays.
    rates += rates[-1:] * 3
    momenta += momenta[-1:] * 3
    more = {"optimizer": "adam" if adam else "sgd", "momenta": momenta}
    return {"schedule": "OneCycleLr", "numbers": numbers, "lr": lr, "rates": rates} | more


def warmed(lr, steps, start, milestones, gamma):
    """SequentialLR of a warm-up and stairs."""
    rise = lambda sgd: LinearLR(sgd, start, 1.0, steps)
    fall = lambda sgd: MultiStepLR(sgd, milestones, gamma)
    risen, fallen = rise(optimizer(lr)), fall(optimizer(lr))
    rates = [closed(risen, step) for step in range(steps)]
    rates += [closed(fallen, step) for step in range(milestones[-1] + 5)]
    both = lambda sgd: SequentialLR(sgd, [rise(sgd), fall(sgd)], [steps])
    first = {"steps": steps, "start_factor": start}
    numbers = {"first": first, "steps": steps, "next": {"milestones": milestones, "gamma": gamma}}
    return case("SequentialLr", numbers, lr, rates, both)


def warmup_factor(step, warmup_steps):
    return float(step) / float(max(1, warmup_steps))


def get_polynomial_decay_schedule_with_warmup(step, lr, warmup_steps, training_steps, lr_end, power):
    """With a power of 1 and an end of 0 this is get_linear_schedule_with_warmup."""
    if step < warmup_steps:
        return warmup_factor(step, warmup_steps)
    if step > training_steps:
        return lr_end / lr
    remaining = 1 - (step - warmup_steps) / (training_steps - warmup_steps)
    return ((lr - lr_end) * remaining**power + lr_end) / lr


def get_linear_schedule_with_warmup(step, warmup_steps, training_steps):
    if step < warmup_steps:
        return warmup_factor(step, warmup_steps)
    return max(0.0, float(training_steps - step) / float(max(1, training_steps - warmup_steps)))


def get_cosine_with_min_lr_schedule_with_warmup(step, warmup_steps, training_steps, min_lr_rate, num_cycles=0.5):
    if step < warmup_steps:
        return warmup_factor(step, warmup_steps)
    progress = float(step - warmup_steps) / float(max(1, training_steps - warmup_steps))
    factor = 0.5 * (1.0 + math.cos(math.pi * float(num_cycles) * 2.0 * progress))
    return max(0, factor * (1 - min_lr_rate) + min_lr_rate)


def get_cosine_with_hard_restarts_schedule_with_warmup(step, warmup_steps, training_steps, num_cycles):
    if step < warmup_steps:
        return warmup_factor(step, warmup_steps)
    progress = float(step - warmup_steps) / float(max(1, training_steps - warmup_steps))
    if progress >= 1.0:
        return 0.0
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((float(num_cycles) * progress) % 1.0))))


def get_inverse_sqrt_schedule(step, warmup_steps, timescale=None):
    timescale = (warmup_steps or 10_000) if timescale is None else timescale
    if step < warmup_steps:
        return warmup_factor(step, warmup_steps)
    shift = timescale - warmup_steps
    return 1.0 / math.sqrt((step + shift) / timescale)


def get_wsd_schedule(step, warmup_steps, stable_steps, decay_steps, warmup_type, decay_type, min_lr_ratio):
    num_cycles = 0.5
    if step < warmup_steps:
        progress = warmup_factor(step, warmup_steps)
        factor = {
            "linear": progress,
            "cosine": 0.5 * (1.0 - math.cos(math.pi * progress)),
            "1-sqrt": 1.0 - math.sqrt(1.0 - progress),
        }[warmup_type]
        return max(0.0, factor * (1.0 - min_lr_ratio) + min_lr_ratio)
    if step < warmup_steps + stable_steps:
        return 1.0
    if step < warmup_steps + stable_steps + decay_steps:
        progress = float(step - warmup_steps - stable_steps) / float(max(1, decay_steps))
        factor = {
            "linear": 1.0 - progress,
            "cosine": 0.5 * (1.0 + math.cos(math.pi * float(num_cycles) * 2.0 * progress)),
            "1-sqrt": 1.0 - math.sqrt(progress),
        }[decay_type]
        return max(0.0, factor * (1.0 - min_lr_ratio) + min_lr_ratio)
    return min_lr_ratio


def transformers(name, numbers, lr, steps, factor):
    rates = chained(lr, lambda sgd: LambdaLR(sgd, factor), steps)
    return {"of": "transformers", "schedule": name, "numbers": numbers, "lr": lr, "rates": rates}


def transformers_polynomial(lr, total, warmup_steps, power, end):
    factor = lambda step: get_polynomial_decay_schedule_with_warmup(step, lr, warmup_steps, total, end * lr, power)
    numbers = {"total_steps": total, "power": power, "warmup_steps": warmup_steps, "start_factor": 0.0, "end_factor": end}
    return transformers("PolynomialLr", numbers, lr, total + 5, factor)


def transformers_linear(lr, total, warmup_steps):
    factor = lambda step: get_linear_schedule_with_warmup(step, warmup_steps, total)
    numbers = {"total_steps": total, "power": 1.0, "warmup_steps": warmup_steps, "start_factor": 0.0, "end_factor": 0.0}
    return transformers("PolynomialLr", numbers, lr, total + 5, factor)


def transformers_cosine(lr, total, warmup_steps, minimum):
    factor = lambda step: get_cosine_with_min_lr_schedule_with_warmup(step, warmup_steps, total, minimum)
    numbers = {"total_steps": total, "warmup_steps": warmup_steps, "start_factor": 0.0, "min_factor": minimum}
    return transformers("CosineLr", numbers, lr, total + 1, factor)


def transformers_restarts(lr, warmup_steps, cycle, cycles):
    total = warmup_steps + cycle * cycles
    factor = lambda step: get_cosine_with_hard_restarts_schedule_with_warmup(step, warmup_steps, total, cycles)
    after = {"first_cycle": cycle, "multiplier": 1, "min_factor": 0.0, "cycles": cycles}
    numbers = {"first": {"steps": warmup_steps, "start_factor": 0.0}, "steps": warmup_steps, "next": after}
    return transformers("SequentialLr", numbers, lr, total + 5, factor)


def inverse_sqrt(lr, warmup_steps, timescale, steps):
    factor = lambda step: get_inverse_sqrt_schedule(step, warmup_steps, timescale)
    numbers = {"warmup_steps": warmup_steps, "timescale": timescale or warmup_steps or 10_000}
    return transformers("InverseSqrtLr", numbers, lr, steps, factor)


def stable(lr, lengths, warmup_type, decay_type, minimum):
    factor = lambda step: get_wsd_schedule(step, *lengths, warmup_type, decay_type, minimum)
    curve = {"linear": "linear", "cosine": "cosine", "1-sqrt": "one_minus_sqrt"}
    numbers = dict(zip(("warmup_steps", "stable_steps", "decay_steps"), lengths, strict=True))
    numbers |= {"warmup_curve": curve[warmup_type], "decay_curve": curve[decay_type], "min_factor": minimum}
    return transformers("WarmupStableDecayLr", numbers, lr, sum(lengths) + 5, factor)


def plateau(lr, metrics, mode="min", threshold_mode="rel", threshold=1e-4, min_lr=0.0, **options):
    sgd = optimizer(lr)
    limits = {"mode": mode, "threshold_mode": threshold_mode, "threshold": threshold, "min_lr": min_lr}
    schedule = ReduceLROnPlateau(sgd, **limits, **options)
    rates = []
    for value in metrics:
        schedule.step(value)
        rates.append(sgd.param_groups[0]["lr"])
    numbers = {"factor": 0.1, "patience": 10, "cooldown": 0, "eps": 1e-8, "min_lr": min_lr} | options
    numbers |= {"better": mode, "threshold": {{"rel": "relative", "abs": "absolute"}[threshold_mode]: threshold}}
    best = None if math.isinf(schedule.best) else schedule.best
    state = {"best": best, "bad_steps": schedule.num_bad_epochs, "cooldown_left": schedule.cooldown_counter}
    # JSON has no NaN: null is one.
    metrics = [None if math.isnan(value) else value for value in metrics]
    return {"numbers": numbers, "lr": lr, "metrics": metrics, "rates": rates, "state": state}


def plateaus():
    flat = [1.0, 0.5, 0.4, 0.4, 0.41, 0.39999, 0.45, 0.3, 0.3, 0.31, 0.32, 0.33, 0.34, 0.2] + [0.25] * 12
    rising = [0.1, 0.5, 0.55, 0.5505, 0.56, 0.56, 0.561, 0.7, 0.7, 0.6, 0.7002, 0.65, 0.7, 0.9] + [0.8] * 10
    gaps = [1.0, math.nan, math.nan, 0.5, math.nan, 0.6, 0.6, 0.6, 0.4, 0.5, 0.5]
    cases = [
        plateau(0.1, flat + [0.25] * 12),
        plateau(0.1, flat, factor=0.5, patience=2),
        plateau(0.1, flat, factor=0.5, patience=1, cooldown=3),
        plateau(0.1, flat, factor=0.3, patience=0, min_lr=2e-3),
        plateau(0.1, flat, factor=0.5, patience=0, eps=0.01),
        plateau(0.1, flat, factor=0.5, patience=1, threshold_mode="abs", threshold=0.05),
        plateau(3e-3, rising, "max", factor=0.7, patience=1, threshold=0.01),
        plateau(3e-3, rising, "max", "abs", 0.02, factor=0.7, patience=1, cooldown=1),
        plateau(3e-3, gaps, factor=0.5, patience=1),
        plateau(3e-3, [-value for value in flat], factor=0.5, patience=1),
    ]
    for case in cases:
        assert case["rates"][-1] < case["lr"], case
    return cases


def main():
    cases = [constant(0.1, 1 / 3, 5), constant(3e-3, 0.75, 1)]
    cases += [warmup(0.1, 10, 1 / 3), warmup(3e-3, 1, 0.5), warmup(1.7, 33, 1e-3)]
    cases += [stairs(0.1, 30, 0.1), stairs(3e-3, 1, 0.97), stairs(1.7, 7, 1.1)]
    cases += [cosine(0.1, 20, 0, 0.0, 0.0), cosine(3e-3, 1, 0, 0.0, 0.2), cosine(3e-3, 103, 0, 0.0, 0.01)]
    cases += [cosine(0.1, 40, 8, 0.25, 0.1), cosine(3e-3, 300, 17, 1e-3, 0.01), cosine(1.7, 12, 11, 0.5, 0.0)]
    cases += [multi_step(0.1, [3, 8, 9, 20], 0.1), multi_step(3e-3, [1], 0.3)]
    cases += [exponential(0.1, 0.97, 60), exponential(1.7, 1.01, 10)]
    cases += [polynomial(0.1, 20, 1.0), polynomial(3e-3, 300, 0.9), polynomial(1.7, 7, 2.5)]
    cases += [restarts(0.1, 10, 1, 0.0, 35), restarts(3e-3, 5, 2, 0.01, 100), restarts(1.7, 1, 3, 0.1, 45)]
    cases += [one_cycle(0.1, 100), one_cycle(3e-3, 301, adam=True), one_cycle(1.7, 10, momentum=None)]
    cases += [one_cycle(0.1, 57, "linear", (0.8, 0.9), pct_start=0.4, div_factor=10.0, final_div_factor=100.0)]
    cases += [one_cycle(0.1, 57, three_phase=True), one_cycle(0.1, 40, "linear", pct_start=0.0)]
    cases += [one_cycle(0.1, 3, three_phase=True), one_cycle(0.1, 1), one_cycle(0.1, 20, pct_start=1.0)]
    cases += [warmed(0.1, 10, 1 / 3, [5, 9], 0.1)]
    cases += [transformers_linear(5e-5, 100, 10), transformers_linear(3e-3, 37, 0)]
    cases += [transformers_polynomial(5e-5, 100, 10, 1.0, 1e-2), transformers_polynomial(0.1, 60, 0, 3.0, 0.25)]
    cases += [transformers_cosine(5e-5, 100, 10, 0.0), transformers_cosine(3e-3, 250, 25, 0.1)]
    cases += [transformers_restarts(5e-5, 10, 15, 3)]
    cases += [inverse_sqrt(0.1, 10, None, 200), inverse_sqrt(3e-3, 0, None, 50), inverse_sqrt(3e-3, 5, 12, 50)]
    cases += [stable(0.1, [10, 20, 15], up, down, 0.0) for up, down in zip(SHAPES, SHAPES[::-1], strict=True)]
    cases += [stable(3e-3, [7, 0, 30], "linear", "1-sqrt", 0.1), stable(3e-3, [0, 5, 0], "cosine", "cosine", 0.2)]
    lines = ",\n".join(json.dumps(case) for case in cases)
    watched = ",\n".join(json.dumps(case) for case in plateaus())
    text = f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n], "plateaus": [\n{watched}\n]}}\n'
    Path(__file__).with_suffix(".json").write_text(text)
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
