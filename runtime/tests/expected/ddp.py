#!/usr/bin/env python3
"""Makes ddp.json: losses and weights of PyTorch's own DistributedDataParallel over two ranks, step by step.

    python ddp.py            # needs torch 2.13; starts two processes, writes the file beside this script

A small network in float64 (Linear 4→8, tanh, Linear 8→3; cross entropy) learns 24 samples with SGD and momentum. Rank r
takes samples r, r + 2, r + 4, … in order (DistributedSampler without shuffling), `batch_size` at a time. The file holds
all that a test needs: initial values (flat, weights as [out, in] row by row), inputs, labels, and for each step the
loss of each rank and the values after it. The ranks meet in a file and talk over loopback.
"""

import json
import os
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

WORLD, SAMPLES, BATCH_SIZE, EPOCHS, LR, MOMENTUM = 2, 24, 4, 2, 0.1, 0.9


def problem():
    torch.manual_seed(5)
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    return network, torch.randn(SAMPLES, 4, dtype=torch.float64), torch.randint(3, (SAMPLES,))


def values(network):
    return [parameter.flatten().tolist() for parameter in network.parameters()]


def train(network, inputs, labels, batch_size):
    """(loss, values after the step) for each step."""
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    steps = []
    for _ in range(EPOCHS):
        for images, wanted in zip(inputs.split(batch_size), labels.split(batch_size), strict=True):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(images), wanted)
            loss.backward()
            optimizer.step()
            steps.append((loss.item(), values(network)))
    return steps


def run_rank(rank, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    network, inputs, labels = problem()
    steps = train(DistributedDataParallel(network), inputs[rank::WORLD], labels[rank::WORLD], BATCH_SIZE)
    Path(folder, f"rank-{rank}.json").write_text(json.dumps(steps))
    dist.destroy_process_group()


def check(steps):
    """One process with the double batch must do the same, up to rounding."""
    alone = train(*problem(), WORLD * BATCH_SIZE)
    for step, (loss, parameters) in zip(steps, alone, strict=True):
        assert abs(sum(step["losses"]) / WORLD - loss) < 1e-12
        for left, right in zip(step["parameters"], parameters, strict=True):
            assert all(abs(a - b) < 1e-12 for a, b in zip(left, right, strict=True))


def main():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run_rank, (folder,), nprocs=WORLD)
        ranks = [json.loads(Path(folder, f"rank-{rank}.json").read_text()) for rank in range(WORLD)]
    steps = []
    for first, second in zip(*ranks, strict=True):
        assert first[1] == second[1], "the ranks' weights differ"
        steps.append({"losses": [first[0], second[0]], "parameters": first[1]})
    check(steps)
    network, inputs, labels = problem()
    content = {
        "torch": torch.__version__,
        "world": WORLD,
        "batch_size": BATCH_SIZE,
        "epochs": EPOCHS,
        "lr": LR,
        "momentum": MOMENTUM,
        "names": [name for name, _ in network.named_parameters()],
        "shapes": [list(parameter.shape) for parameter in network.parameters()],
        "initial": values(network),
        "inputs": inputs.tolist(),
        "labels": labels.tolist(),
        "steps": steps,
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    Path(__file__).with_suffix(".json").write_text(f"{{\n{lines}\n}}\n")
    print(f"{len(steps)} steps, first losses {steps[0]['losses']}, last {steps[-1]['losses']}")


if __name__ == "__main__":
    main()
