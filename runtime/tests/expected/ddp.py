#!/usr/bin/env python3
"""Makes ddp.json: 100 steps of PyTorch's own DistributedDataParallel over two ranks, for several nets and optimizers.

    python ddp.py            # needs torch 2.13; starts two processes, writes the file beside this script

Small nets learn 40 samples, shared out and shuffled by DistributedSampler with a seed, `batch_size` at a time and
rank. The file holds all that a test needs: inputs, labels, initial values (flat, weights as [out, in] row by row), and
for each case the loss of every step on each rank, and rank 0's values at the end, running means included. Data and
initial values are rounded to three digits. The ranks meet in a file and talk over loopback.
"""

import json
import os
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DistributedSampler

WORLD, SAMPLES, BATCH_SIZE, EPOCHS, SHUFFLE = 2, 40, 4, 20, 17
SGD = {"Sgd": {"lr": 0.1, "momentum": 0.9}}
ADAM = {"Adam": {"lr": 0.01}}
ADAMW = {"AdamW": {"lr": 0.01}}
# None stands for the default of 25 MiB, and so for one bucket.
CASES = [
    {"net": "Mlp", "optimizer": SGD, "double": True, "bucket_bytes": None, "gradient_as_bucket_view": False},
    {"net": "Mlp", "optimizer": ADAM, "double": True, "bucket_bytes": 64, "gradient_as_bucket_view": False},
    {"net": "Norm", "optimizer": SGD, "double": True, "bucket_bytes": 256, "gradient_as_bucket_view": True},
    {"net": "Norm", "optimizer": ADAM, "double": True, "bucket_bytes": None, "gradient_as_bucket_view": False},
    {"net": "Conv", "optimizer": ADAMW, "double": True, "bucket_bytes": 64, "gradient_as_bucket_view": True},
    {"net": "Mlp", "optimizer": SGD, "double": False, "bucket_bytes": 64, "gradient_as_bucket_view": False},
    {"net": "Mlp", "optimizer": ADAM, "double": False, "bucket_bytes": None, "gradient_as_bucket_view": False},
    {"net": "Norm", "optimizer": ADAMW, "double": False, "bucket_bytes": 64, "gradient_as_bucket_view": False},
]


def build(net):
    nn = torch.nn
    match net:
        case "Mlp":
            return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        case "Norm":
            # The norm takes a bias before it away again: its gradient would be mere rounding, which Adam enlarges.
            return nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
        case "Conv":
            head = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
            return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), *head)


def three_digits(tensor):
    return (tensor.double() * 1000).round() / 1000


def problem(net):
    """The net with its first values in float64, 4 or 16 inputs for each sample, and labels that follow from them."""
    torch.manual_seed(5)
    # First, so that they are every net's.
    inputs = three_digits(torch.randn(SAMPLES, 16))
    network = build(net).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(three_digits(parameter))
    labels = (inputs[:, 0] > 0).long() + (inputs[:, 1] + inputs[:, 2] > 0.3).long()
    return network, inputs if net == "Conv" else inputs[:, :4], labels


def named(tensors):
    return {name: tensor.flatten().tolist() for name, tensor in tensors if tensor.is_floating_point()}


def optimizer(network, choice):
    (name, options), = choice.items()
    return {"Sgd": torch.optim.SGD, "Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}[name](
        network.parameters(), **options
    )


def train(network, rows, choice, shape):
    """The loss of each step; `rows(epoch)` gives the inputs and labels of an epoch's batches."""
    steps = optimizer(network, choice)
    losses = []
    for epoch in range(EPOCHS):
        for inputs, labels in rows(epoch):
            steps.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(inputs.view(-1, *shape)), labels)
            loss.backward()
            steps.step()
            losses.append(loss.item())
    return losses


def run_case(rank, case):
    network, inputs, labels = problem(case["net"])
    if not case["double"]:
        network, inputs = network.float(), inputs.float()
    sampler = DistributedSampler(range(SAMPLES), WORLD, rank, seed=SHUFFLE)

    def rows(epoch):
        sampler.set_epoch(epoch)
        own = torch.tensor(list(sampler))
        return [(inputs[places], labels[places]) for places in own.split(BATCH_SIZE)]

    size = case["bucket_bytes"]
    options = {} if size is None else {"bucket_cap_mb": size / 2**20}
    ddp = DistributedDataParallel(network, gradient_as_bucket_view=case["gradient_as_bucket_view"], **options)
    losses = train(ddp, rows, case["optimizer"], (1, 4, 4) if case["net"] == "Conv" else (4,))
    buckets = len(ddp.reducer._get_zeros_like_grad_buckets())
    return {"losses": losses, "buckets": buckets, "last": named(network.state_dict().items())}


def run_rank(rank, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    cases = [run_case(rank, case) for case in CASES]
    Path(folder, f"rank-{rank}.json").write_text(json.dumps(cases))
    dist.destroy_process_group()


def main():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run_rank, (folder,), nprocs=WORLD)
        ranks = [json.loads(Path(folder, f"rank-{rank}.json").read_text()) for rank in range(WORLD)]
    cases = []
    for case, *found in zip(CASES, *ranks, strict=True):
        several = case["bucket_bytes"] is not None
        assert all((rank["buckets"] > 1) == several for rank in found), f"{case}: {found[0]['buckets']} buckets"
        trainable = [name for name, _ in build(case["net"]).named_parameters()]
        assert all(found[0]["last"][name] == found[1]["last"][name] for name in trainable), "the ranks' weights differ"
        losses = list(zip(*(rank["losses"] for rank in found), strict=True))
        first, last = sum(losses[0]), sum(losses[-1])
        assert len(losses) == 100 and last < 0.75 * first, f"{case}: nothing was learnt, from {first} to {last}"
        cases.append({**case, "buckets": found[0]["buckets"], "losses": losses, "last": found[0]["last"]})
    nets = {}
    for net in dict.fromkeys(case["net"] for case in CASES):
        network, inputs, labels = problem(net)
        initial = named((name, parameter.detach()) for name, parameter in network.named_parameters())
        nets[net] = {"initial": initial, "inputs": inputs.tolist()}
    content = {
        "torch": torch.__version__,
        "world": WORLD,
        "batch_size": BATCH_SIZE,
        "epochs": EPOCHS,
        "shuffle": SHUFFLE,
        "labels": labels.tolist(),
        "nets": nets,
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    lines.append('"cases": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]")
    Path(__file__).with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    for case in cases:
        losses = case["losses"]
        print(f"{case['net']} {case['optimizer']}: {case['buckets']} buckets, losses {losses[0]} to {losses[-1]}")


if __name__ == "__main__":
    main()
