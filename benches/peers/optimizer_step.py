#!/usr/bin/env python3
"""One round of `cargo xtask bench optimizer-step --peers`: PyTorch's side of src/bin/optimizer-step.rs."""

import argparse
import json
import time

import torch

TENSORS, ELEMENTS, STEPS, WARM_UP = 100, 16 * 1024, 300, 50


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fused", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    parameters = [torch.ones(ELEMENTS, requires_grad=True) for _ in range(TENSORS)]
    for parameter in parameters:
        parameter.grad = torch.ones(ELEMENTS)
    options = {"fused": True} if args.fused else {}
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, **options)
    for _ in range(WARM_UP):
        optimizer.step()
    began = time.perf_counter()
    for _ in range(STEPS):
        optimizer.step()
    print(json.dumps({"adamw_100_of_64ki": (time.perf_counter() - began) * 1e6 / STEPS}))


if __name__ == "__main__":
    main()
