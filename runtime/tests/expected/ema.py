#!/usr/bin/env python3
"""Makes ema.json: averages of torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn.

    python ema.py            # needs torch 2.13; writes the file beside this script

For each case the bits, in hexadecimal, of the average after each of ten updates. The parameters before update n are
sin(n * 7 + i) for i in 0..5, computed in float64 and rounded to the dtype.
"""

import json
import math
import struct
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

CASES = [{"decay": decay, "double": double} for decay in [0.0, 0.25, 0.9, 0.999, 1.0] for double in [True, False]]


class Net(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(5, dtype=kind))


def bits(value, double):
    return struct.pack(">d" if double else ">f", value).hex()


def run(decay, double):
    kind = torch.float64 if double else torch.float32
    net = Net(kind)
    ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay))
    averages = []
    for update in range(10):
        with torch.no_grad():
            values = [math.sin(update * 7 + index) for index in range(5)]
            net.weight.copy_(torch.tensor(values, dtype=torch.float64).to(kind))
        ema.update_parameters(net)
        averages.append([bits(value, double) for value in ema.module.weight.tolist()])
    return averages


def main():
    result = {
        "torch": torch.__version__.split("+")[0],
        "cases": [case | {"averages": run(**case)} for case in CASES],
    }
    text = json.dumps(result)
    Path(__file__).with_suffix(".json").write_text(text.replace('{"decay"', '\n{"decay"') + "\n")


if __name__ == "__main__":
    main()
