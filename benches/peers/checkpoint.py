#!/usr/bin/env python3
"""One round of `cargo xtask bench checkpoint --peers`: PyTorch's side of src/bin/checkpoint.rs, in the folder it is started in."""

import json
import os
import time

import torch

PARAMETERS, ELEMENTS = 64, 4 * 1024 * 1024


def main():
    state = {f"p{index}": torch.ones(ELEMENTS) for index in range(PARAMETERS)}
    times = {}

    began = time.perf_counter()
    with open("torch", "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    times["save"] = (time.perf_counter() - began) * 1e6

    # What PyTorch's asynchronous checkpoints begin with: a copy of the state on the CPU.
    copy = {name: tensor.clone() for name, tensor in state.items()}
    began = time.perf_counter()
    for name, tensor in state.items():
        copy[name].copy_(tensor)
    times["stall"] = (time.perf_counter() - began) * 1e6

    with open("torch", "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    began = time.perf_counter()
    loaded = torch.load("torch", weights_only=True)
    for name, tensor in state.items():
        tensor.copy_(loaded[name])
    times["restore"] = (time.perf_counter() - began) * 1e6
    print(json.dumps(times))


if __name__ == "__main__":
    main()
