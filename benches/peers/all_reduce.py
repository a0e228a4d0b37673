#!/usr/bin/env python3
"""One rank of one round of `cargo xtask bench all-reduce --peers`: torch.distributed's side of src/bin/all-reduce.rs."""

import argparse
import json
import os
import time

import torch
import torch.distributed as dist

# Name, float32 elements, calls of a round.
CASES = [("bytes_4", 1, 1000), ("bytes_64ki", 16 * 1024, 1000), ("bytes_25mi", 25 * 256 * 1024, 24)]
WARM_UP = 4


def measure(elements, calls):
    tensor = torch.zeros(elements)
    for _ in range(calls // WARM_UP):
        dist.all_reduce(tensor)
    dist.barrier()
    micros = []
    for _ in range(calls):
        began = time.perf_counter()
        dist.all_reduce(tensor)
        micros.append((time.perf_counter() - began) * 1e6)
    return sorted(micros)[calls // 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rank", type=int)
    parser.add_argument("--ranks", type=int)
    parser.add_argument("--store")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = dist.FileStore(args.store, args.ranks)
    dist.init_process_group("gloo", store=store, rank=args.rank, world_size=args.ranks)
    times = {name: measure(elements, calls) for name, elements, calls in CASES}
    if args.rank == 0:
        print(json.dumps(times))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
