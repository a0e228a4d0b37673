#!/usr/bin/env python3
"""One rank of one round of `cargo xtask bench ddp-step --peers`: PyTorch's side of src/bin/ddp-step.rs."""

import argparse
import json
import os
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

# Name, widths, batch size, steps of a round.
CASES = [("mlp_64_128_10", [64, 128, 10], 32, 1000), ("mlp_784_1024_1024_10", [784, 1024, 1024, 10], 64, 40)]
WARM_UP = 4


def perceptron(widths):
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        if layers:
            layers.append(torch.nn.ReLU())
        layers.append(torch.nn.Linear(inputs, outputs))
    return torch.nn.Sequential(*layers)


def measure(widths, batch_size, steps, options):
    model = DistributedDataParallel(perceptron(widths))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **options)
    inputs, labels = torch.rand(batch_size, widths[0]), torch.randint(10, (batch_size,))
    micros = []
    for step in range(steps + steps // WARM_UP):
        began = time.perf_counter()
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= steps // WARM_UP:
            micros.append((time.perf_counter() - began) * 1e6)
    return sorted(micros)[steps // 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rank", type=int)
    parser.add_argument("--ranks", type=int)
    parser.add_argument("--store")
    parser.add_argument("--fused", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(args.store, args.ranks)
    dist.init_process_group("gloo", store=store, rank=args.rank, world_size=args.ranks)
    options = {"fused": True} if args.fused else {}
    times = {name: measure(*case, options) for name, *case in CASES}
    if args.rank == 0:
        print(json.dumps(times))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
