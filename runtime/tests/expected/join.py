#!/usr/bin/env python3
"""Makes join.json: PyTorch's DistributedDataParallel.join over three ranks with different numbers of inputs.

    python join.py           # needs torch 2.13; starts three processes, writes the file beside this script

A net of two parameters and a buffer that counts what it has seen. For each case: every rank's gradients after each of
its passes (the first element; null for none), and what it has in the end. All in float64.
"""

import json
import os
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

INPUTS = [[1.0, 2.0, 3.0, 4.0], [16.0], [32.0, 64.0]]
LR = 0.125
CASES = [
    {"divide_by_initial_world_size": divide, "find_unused_parameters": unused}
    for divide in [True, False]
    for unused in [False, True]
]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.spare = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(1, dtype=torch.float64))

    def forward(self, x, with_spare):
        self.seen += x
        out = (self.weight * x).sum()
        return out + (self.spare * x).sum() if with_spare else out


def run(rank, folder):
    store = dist.FileStore(f"{folder}/store", len(INPUTS))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=len(INPUTS))
    results = []
    for case in CASES:
        net = Net()
        ddp = DistributedDataParallel(net, find_unused_parameters=case["find_unused_parameters"])
        gradients = []
        with ddp.join(divide_by_initial_world_size=case["divide_by_initial_world_size"]):
            for step, x in enumerate(INPUTS[rank]):
                with_spare = not case["find_unused_parameters"] or step % 2 == 0
                ddp(x, with_spare).backward()
                parameters = [net.weight, net.spare]
                gradients.append([None if p.grad is None else p.grad[0].item() for p in parameters])
                with torch.no_grad():
                    for parameter in parameters:
                        if parameter.grad is not None:
                            parameter -= LR * parameter.grad
                        parameter.grad = None
        end = {name: tensor.tolist() for name, tensor in net.state_dict().items()}
        results.append({"gradients": gradients, "end": end})
    Path(folder, f"{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


def main():
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run, (folder,), len(INPUTS))
        ranks = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(len(INPUTS))]
    cases = [case | {"ranks": [rank[index] for rank in ranks]} for index, case in enumerate(CASES)]
    result = {"torch": torch.__version__, "inputs": INPUTS, "lr": LR, "cases": cases}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
