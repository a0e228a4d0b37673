#!/usr/bin/env python3
"""Makes clip.json: what PyTorch's clip_grad_norm_ and clip_grad_value_ do to the gradients of three parameters.

    python clip.py            # needs torch 2.13; writes the file beside this script

Each case: the gradients before (flat; null: that parameter has none), `max_norm`, `norm_type` (a string, "inf" among
them), the total norm that the call returns, and the gradients after. An f32 value is written as the f64 that equals it.
"""

import json
from pathlib import Path

import torch

SHAPES = [[3, 2], [4], [2]]
DTYPES = {"f64": torch.float64, "f32": torch.float32}
ORDINARY = [[0.5, -1.25, 2.0, 0.125, -0.75, 3.1], [-0.3, 0.0, 1.7, -2.2], [0.9, -0.05]]
ONE_MISSING = [ORDINARY[0], None, ORDINARY[2]]
ZERO = [[0.0] * 6, [0.0] * 4, [0.0] * 2]
UNIT = [[0.0] * 6, [0.6, 0.0, 0.0, 0.0], [0.8, 0.0]]  # its 2-norm is 1: the 1e-6 in the divisor still shrinks it


def make(gradients, max_norm, norm_type, dtype="f64"):
    parameters = [torch.zeros(shape, dtype=DTYPES[dtype], requires_grad=True) for shape in SHAPES]
    for parameter, values in zip(parameters, gradients, strict=True):
        if values is not None:
            parameter.grad = torch.tensor(values, dtype=DTYPES[dtype]).reshape(parameter.shape)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm, float(norm_type))
    return {
        "dtype": dtype,
        "max_norm": max_norm,
        "norm_type": norm_type,
        "shapes": SHAPES,
        "gradients": gradients,
        "total_norm": norm.item(),
        "clipped": [None if p.grad is None else p.grad.flatten().tolist() for p in parameters],
    }


def make_value(gradients, clip_value, dtype="f64"):
    parameters = [torch.zeros(shape, dtype=DTYPES[dtype], requires_grad=True) for shape in SHAPES]
    for parameter, values in zip(parameters, gradients, strict=True):
        if values is not None:
            parameter.grad = torch.tensor(values, dtype=DTYPES[dtype]).reshape(parameter.shape)
    torch.nn.utils.clip_grad_value_(parameters, clip_value)
    clipped = [None if p.grad is None else p.grad.flatten().tolist() for p in parameters]
    case = {"dtype": dtype, "clip_value": clip_value, "shapes": SHAPES}
    return case | {"gradients": gradients, "clipped": clipped}


def make_nonfinite(value, norm_type):
    gradients = [[float(value), *ORDINARY[0][1:]], *ORDINARY[1:]]
    parameters = [torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES]
    for parameter, values in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(values, dtype=torch.float64).reshape(parameter.shape)
    try:
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, float(norm_type), error_if_nonfinite=True)
    except RuntimeError:
        return {"value": value, "norm_type": norm_type}
    raise AssertionError(f"{value} passed")


def main():
    cases = [make(ORDINARY, max_norm, kind) for kind in ("1", "2", "inf", "3.5") for max_norm in (1.0, 100.0)]
    assert all((case["clipped"] == ORDINARY) == (case["max_norm"] == 100.0) for case in cases)
    cases += [make(gradients, 1.0, "2") for gradients in (ONE_MISSING, ZERO, UNIT)]
    cases += [make(ORDINARY, 1.0, kind, "f32") for kind in ("2", "inf")]
    values = [make_value(ORDINARY, 0.7), make_value(ONE_MISSING, 0.3, "f32"), make_value(ORDINARY, 100.0)]
    values += [make_value(ORDINARY, 0.0)]
    nonfinite = [make_nonfinite(value, kind) for value in ("inf", "-inf", "nan") for kind in ("1", "2", "inf")]
    lines = ",\n".join(json.dumps(case) for case in cases)
    by_value = ",\n".join(json.dumps(case) for case in values)
    refused = ", ".join(json.dumps(case) for case in nonfinite)
    text = f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n], "values": [\n{by_value}\n],\n'
    text += f'"nonfinite": [{refused}]}}\n'
    Path(__file__).with_suffix(".json").write_text(text)
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
