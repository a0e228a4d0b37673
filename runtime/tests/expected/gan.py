#!/usr/bin/env python3
"""Makes gan.json: a small GAN, trained with PyTorch in one process over the whole global batch, in float64.

    python gan.py            # needs torch 2.13; writes the file beside this script

A generator and a discriminator with an Adam each learn in turns: the discriminator from real samples and from detached made
ones, in two passes and one step; the generator through the discriminator, whose parameters stay as they are. 22 samples, each
with its noise, are taken in their order in batches of 4: the last one has 2. The file has the data, the first values, both
losses of every step, and the values at the end. Data and first values are rounded to three digits.
"""

import json
from pathlib import Path

import torch
from torch import nn

WORLD, SAMPLES, BATCH_SIZE, EPOCHS = 2, 22, 2, 4


def three_digits(tensor):
    return (tensor.double() * 1000).round() / 1000


def net(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs)).double()


def named(tensors):
    return {name: tensor.detach().flatten().tolist() for name, tensor in tensors}


def main():
    torch.manual_seed(5)
    real = three_digits(torch.randn(SAMPLES, 3) + torch.tensor([1.0, -1.0, 0.5]))
    noise = three_digits(torch.randn(SAMPLES, 2))
    generator, discriminator = net(2, 3), net(3, 1)
    with torch.no_grad():
        for parameter in [*generator.parameters(), *discriminator.parameters()]:
            parameter.copy_(three_digits(parameter))
    content = {"torch": torch.__version__.split("+")[0], "world": WORLD, "batch_size": BATCH_SIZE, "epochs": EPOCHS}
    content |= {"real": real.tolist(), "noise": noise.tolist()}
    content["generator"] = named(generator.named_parameters())
    content["discriminator"] = named(discriminator.named_parameters())
    of_generator = torch.optim.Adam(generator.parameters(), lr=0.01, betas=(0.5, 0.999))
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=0.02, betas=(0.5, 0.999))
    entropy = nn.functional.binary_cross_entropy_with_logits
    losses = []
    for _ in range(EPOCHS):
        for samples, noises in zip(real.split(WORLD * BATCH_SIZE), noise.split(WORLD * BATCH_SIZE), strict=True):
            made = generator(noises)
            of_discriminator.zero_grad()
            right, wrong = discriminator(samples), discriminator(made.detach())
            loss_d = entropy(right, torch.ones_like(right)) + entropy(wrong, torch.zeros_like(wrong))
            loss_d.backward()
            of_discriminator.step()

            of_generator.zero_grad()
            judged = discriminator(made)
            loss_g = entropy(judged, torch.ones_like(judged))
            loss_g.backward()
            of_generator.step()
            losses.append([loss_d.item(), loss_g.item()])
    content["losses"] = losses
    content["last_generator"] = named(generator.named_parameters())
    content["last_discriminator"] = named(discriminator.named_parameters())
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    Path(__file__).with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
