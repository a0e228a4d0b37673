#!/usr/bin/env python3
"""One round of `cargo xtask bench small-step --peers`: PyTorch's side of src/bin/small-step.rs."""

import argparse
import json
import time

import torch
from torch.utils.data import DataLoader, TensorDataset

SAMPLES, FEATURES, BATCH = 64_000, 32, 32


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = TensorDataset(torch.rand(SAMPLES, FEATURES), torch.randint(2, (SAMPLES,)))
    loader = DataLoader(data, batch_size=BATCH, shuffle=True)
    net = torch.nn.Linear(FEATURES, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    micros = []
    for _ in range(args.epochs + 1):
        began = time.perf_counter()
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
        micros.append((time.perf_counter() - began) * 1e6 / len(loader))
    micros = sorted(micros[1:])
    print(json.dumps({"small_step": micros[len(micros) // 2]}))


if __name__ == "__main__":
    main()
