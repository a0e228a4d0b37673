#!/usr/bin/env python3
"""Makes sampler.json: which samples PyTorch's DistributedSampler gives to each rank.

    python sampler.py            # needs torch 2.13; writes the file beside this script

Each case: `length` of the dataset, `world`, `drop_last`, `shuffle`, `seed`, `epoch`, and `ranks`, each rank's indices
in their order. Shuffled tables rest on libtorch's `randperm` on the CPU, seeded with `seed + epoch`.
"""

import json
from itertools import product
from pathlib import Path

import torch
from torch.utils.data import DistributedSampler

LENGTHS = [0, 1, 2, 3, 7, 10, 16, 17, 103]
WORLDS = [1, 2, 3, 4, 8]
ORDERS = [(False, 0, 0)] + [(True, seed, epoch) for seed in (0, 17) for epoch in (0, 1, 5)]


def make(length, world, drop_last, shuffle, seed, epoch):
    case = {"length": length, "world": world, "drop_last": drop_last, "shuffle": shuffle, "seed": seed, "epoch": epoch}
    case["ranks"] = []
    for rank in range(world):
        sampler = DistributedSampler(range(length), world, rank, shuffle, seed, drop_last)
        sampler.set_epoch(epoch)
        case["ranks"].append(list(sampler))
    return case


def main():
    cases = [make(*spread, *order) for *spread, order in product(LENGTHS, WORLDS, (False, True), ORDERS)]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    text = f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n'
    Path(__file__).with_suffix(".json").write_text(text)
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
