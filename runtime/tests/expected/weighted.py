#!/usr/bin/env python3
"""Makes weighted.json: what PyTorch's WeightedRandomSampler draws.

    python weighted.py            # needs torch 2.13; writes the file beside this script

Each case: `weights`, `seed`, `epoch`, and `indices`, 400 with replacement, drawn by a generator seeded `seed + epoch`.
"""

import json
from itertools import product
from pathlib import Path

import torch
from torch.utils.data import WeightedRandomSampler

WEIGHTS = [[1.0], [1.0, 1.0, 1.0], [0.5, 0.0, 3.0, 0.25], [(i * 37 % 11) / 7 for i in range(50)]]
DRAWS = 400
ORDERS = [(0, 0), (17, 0), (17, 3)]


def make(weights, seed, epoch):
    generator = torch.Generator().manual_seed(seed + epoch)
    indices = list(WeightedRandomSampler(weights, DRAWS, generator=generator))
    case = {"weights": weights, "seed": seed, "epoch": epoch}
    return {**case, "indices": indices}


def main():
    cases = [make(weights, *order) for weights, order in product(WEIGHTS, ORDERS)]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    text = f'{{"torch": "{torch.__version__}", "cases": [\n{lines}\n]}}\n'
    Path(__file__).with_suffix(".json").write_text(text)
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
