#!/usr/bin/env python3
"""Makes the four files of handwritten digits beside this script, in MNIST's names and format (gzipped IDX).

    python3 make.py                   # fetches the scikit-learn wheel with pip, through its configured index
    python3 make.py --wheel PATH      # takes a wheel that is already here

The source is the UCI test set of 1,797 scans, which the wheel carries as one CSV file (README.md says whose it is).
Needs nothing beyond Python's standard library. The same scans give the same files, byte for byte, with the same zlib.
"""

import argparse
import gzip
import hashlib
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMBER = "sklearn/datasets/data/digits.csv.gz"
CSV_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
SIDE = 8
TEST_EVERY = 5


def download_wheel(folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", folder, "scikit-learn"], check=True)
    (wheel,) = Path(folder).glob("*.whl")
    return wheel


def read_scans(wheel):
    """(pixels, label) for each scan in the file's order; 64 pixels, row by row, each 0..16."""
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(MEMBER))
    if hashlib.sha256(text).hexdigest() != CSV_SHA256:
        sys.exit(f"{MEMBER} in {wheel} is not the file this script was written for")
    rows = [[int(float(value)) for value in line.split(",")] for line in text.decode().split()]
    return [(row[:-1], row[-1]) for row in rows]


def split(scans):
    """Every fifth scan *of the scans ordered by label* is for testing; both halves keep the file's order.

    Every fifth of the file itself would not do: much of it runs 0, 1, …, 9 again and again, so that a fifth of it
    holds 52 threes and 21 ones.
    """
    by_label = sorted(range(len(scans)), key=lambda index: scans[index][1])
    test = set(by_label[::TEST_EVERY])
    return (
        [scan for index, scan in enumerate(scans) if index not in test],
        [scan for index, scan in enumerate(scans) if index in test],
    )


def idx(shape, values):
    """IDX: two zero bytes, 8 for unsigned bytes, the number of dimensions, each dimension, the values."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(values)


def write(name, content):
    with open(HERE / name, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(content)


def write_set(prefix, scans):
    # 0..16 becomes 0..255; adding half of the divisor rounds to the nearest.
    pixels = [(value * 255 + 8) // 16 for scan, _ in scans for value in scan]
    write(f"{prefix}-images-idx3-ubyte.gz", idx((len(scans), SIDE, SIDE), pixels))
    write(f"{prefix}-labels-idx1-ubyte.gz", idx((len(scans),), [label for _, label in scans]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="a scikit-learn wheel; without it pip fetches one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scans = read_scans(arguments.wheel or download_wheel(folder))
    train, test = split(scans)
    write_set("train", train)
    write_set("t10k", test)
    print(f"{len(train)} scans for training, {len(test)} for testing")


if __name__ == "__main__":
    main()
