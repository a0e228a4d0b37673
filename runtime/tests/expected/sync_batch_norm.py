#!/usr/bin/env python3
"""Makes sync_batch_norm.json: PyTorch's BatchNorm over the whole global batch, in one process and in float64.

    python sync_batch_norm.py            # needs torch 2.13; writes the file beside this script

That is what a synchronized batch norm is over several ranks; PyTorch's own SyncBatchNorm runs on GPUs alone. Two small
nets, after a linear layer (`SyncNorm`) and after a convolution (`SyncConv`), learn 22 samples, taken in their order in global
batches of 4: the last one has 2. For each the data, the first values, the loss of every step and the values at the end,
running ones included. Data and first values are rounded to three digits.
"""

import json
from pathlib import Path

import torch
from torch import nn

WORLD, SAMPLES, BATCH_SIZE, EPOCHS = 2, 22, 2, 5


def build(net):
    if net == "SyncNorm":
        return nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    head = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Tanh(), *head)


def three_digits(tensor):
    return (tensor.double() * 1000).round() / 1000


def named(tensors):
    return {name: tensor.flatten().tolist() for name, tensor in tensors if tensor.is_floating_point()}


def run(net):
    torch.manual_seed(5)
    inputs = three_digits(torch.randn(SAMPLES, 16 if net == "SyncConv" else 4))
    labels = (inputs[:, 0] > 0).long() + (inputs[:, 1] + inputs[:, 2] > 0.3).long()
    network = build(net).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(three_digits(parameter))
        # One that differs between channels.
        network[1].weight.copy_(three_digits(torch.linspace(0.5, 1.5, len(network[1].weight))))
    result = {"net": net, "inputs": inputs.tolist(), "labels": labels.tolist()}
    result["initial"] = named((name, parameter.detach()) for name, parameter in network.named_parameters())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(EPOCHS):
        for rows, targets in zip(inputs.split(WORLD * BATCH_SIZE), labels.split(WORLD * BATCH_SIZE), strict=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(rows.view(-1, 1, 4, 4) if net == "SyncConv" else rows), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return result | {"losses": losses, "last": named(network.state_dict().items())}


def main():
    content = {"torch": torch.__version__.split("+")[0], "world": WORLD, "batch_size": BATCH_SIZE, "epochs": EPOCHS}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    cases = [json.dumps(run(net)) for net in ("SyncNorm", "SyncConv")]
    lines.append('"cases": [\n' + ",\n".join(cases) + "\n]")
    Path(__file__).with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
