#!/usr/bin/env python3
"""Makes state_dict.json and the files in state_dict/: what torch.save writes, and what torch.load reads from it.

    python state_dict.py            # needs torch 2.13; writes beside this script

Each file is one that `torch.save` wrote, with options as they come in the wild. The JSON has, for each, the dtype, shape
and values (row by row, as float64) of every tensor that `torch.load` gives, by the path of its keys.
Further files hold what is no state dict.
"""

import argparse
import collections
import json
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "state_dict"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 3)


def values(shape, kind, start=0):
    count = int(torch.tensor(shape).prod()) if shape else 1
    return ((torch.arange(count) + start) % 7 - 3).to(kind).reshape(shape)


def net():
    model = Net()
    for place, tensor in enumerate(model.state_dict().values()):
        tensor.copy_(values(tuple(tensor.shape), torch.float32, place))
    return model


def dtypes():
    kinds = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64".split()
    return {kind: values((2, 3), getattr(torch, kind)) for kind in kinds}


def views():
    whole = torch.arange(12, dtype=torch.float32)
    matrix = whole.view(3, 4)
    return {
        "whole": whole,
        "transposed": matrix.t(),
        "slice": matrix[1:, ::2],
        "expanded": whole[5].expand(2, 3),
        "row": matrix[2],
        "scalar": torch.tensor(0.5, dtype=torch.float64),
        "empty": torch.zeros(0, 4),
        "same": matrix,
    }


def nested():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 300,
        "best": 0.25,
        "done": False,
        "name": "größer",
        "history": [1, 70000, -5, 2**40, None, torch.ones(2)],
        "parameter": model.head.bias,
    }


# What is saved, and how.
CASES = {
    "net": (lambda: net().state_dict(), {}),
    "protocol-4": (lambda: net().state_dict(), {"pickle_protocol": 4}),
    "dtypes": (dtypes, {}),
    "views": (views, {}),
    "nested": (nested, {}),
    "many": (lambda: collections.OrderedDict((f"layer.{i}.weight", values((2,), torch.float32, i)) for i in range(300)), {}),
}


def flat(value, path=""):
    """Every tensor in dictionaries and lists, by path."""
    join = (lambda key: f"{path}.{key}") if path else str
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, join(key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from flat(inner, join(index))


def described(tensor):
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "values": tensor.detach().to(torch.float64).flatten().tolist(),
    }


class Other:
    def __init__(self):
        self.weight = torch.ones(2)


def refused():
    """Files that hold something else."""
    import __main__

    __main__.Other = Other
    torch.save({"weights": Other()}, FOLDER / "object.pt")
    torch.save({"weight": torch.ones(2).to_sparse()}, FOLDER / "sparse.pt")
    torch.save({"weight": torch.ones(2, dtype=torch.complex64)}, FOLDER / "complex.pt")
    torch.save({"weight": torch.ones(2)}, FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.ones(2), FOLDER / "tensor.pt")
    torch.jit.script(nn.Linear(2, 2)).save(FOLDER / "script.pt")


def main():
    FOLDER.mkdir(exist_ok=True)
    files = {}
    for name, (make, options) in CASES.items():
        path = FOLDER / f"{name}.pt"
        torch.save(make(), path, **options)
        # Without `weights_only`, which does not know protocol 4; the file was made here.
        tensors = dict(flat(torch.load(path, weights_only=False)))
        files[name] = {key: described(tensor) for key, tensor in tensors.items()}
    refused()
    lines = [f'"torch": {json.dumps(torch.__version__.split("+")[0])}']
    lines += [f"{json.dumps(name)}: {json.dumps(file)}" for name, file in files.items()]
    (HERE / "state_dict.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
