#!/usr/bin/env python3
"""One round of `cargo xtask bench loader --peers`: PyTorch's side of src/bin/loader.rs."""

import json
import time

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

IMAGES, SIDE, BATCH, WORKERS, SHIFT = 60_000, 28, 64, 2, 2


class Images(Dataset):
    def __init__(self):
        self.images = torch.randint(256, (IMAGES, 1, SIDE, SIDE), dtype=torch.uint8)
        self.labels = torch.randint(10, (IMAGES,))

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        image = self.images[index].float().div_(255)
        dy, dx = torch.randint(2 * SHIFT + 1, (2,)).tolist()
        image = F.pad(image, (SHIFT, SHIFT, SHIFT, SHIFT))[:, dy : dy + SIDE, dx : dx + SIDE]
        if torch.rand(()) < 0.5:
            image = image.flip(-1)
        return image, self.labels[index]


def main():
    torch.set_num_threads(1)
    loader = iter(DataLoader(Images(), batch_size=BATCH, shuffle=True, num_workers=WORKERS))
    first = len(next(loader)[1])
    began = time.perf_counter()
    samples = 0
    for images, labels in loader:
        samples += len(labels)
        assert images.shape[1:] == (1, SIDE, SIDE)
    micros = (time.perf_counter() - began) * 1e6
    assert first + samples == IMAGES
    print(json.dumps({"images_28x28": micros / samples}))


if __name__ == "__main__":
    main()
