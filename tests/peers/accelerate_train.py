#!/usr/bin/env python3
"""One rank of the training of tests/src/bin/accelerate.rs, with Hugging Face's Accelerate: `accelerate_train.py CONFIG.json`.

Prints, on rank 0, each batch's mean loss over the ranks, the learning rate after it, and the norm of a window's gradients;
the samples that `gather_for_metrics` gives; and the weights at the end.
"""

import json
import sys

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset


def main():
    with open(sys.argv[1]) as file:
        work = json.load(file)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=work["accumulate"])

    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(torch.tensor(work["initial"][name]).reshape(parameter.shape))
    optimizer = torch.optim.SGD(net.parameters(), lr=work["lr"], momentum=work["momentum"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, work["schedule"])
    data = TensorDataset(torch.tensor(work["inputs"]), torch.tensor(work["labels"]))
    loader = DataLoader(data, batch_size=work["batch_size"])
    held_out = DataLoader(list(range(work["held_out"])), batch_size=work["batch_size"])
    net, optimizer, loader, held_out, schedule = accelerator.prepare(net, optimizer, loader, held_out, schedule)

    batches = []
    for _ in range(work["epochs"]):
        for index, (inputs, labels) in enumerate(loader):
            with accelerator.accumulate(net):
                loss = torch.nn.functional.cross_entropy(net(inputs), labels)
                weighted = loss
                if work["mend_short_windows"]:
                    # Accelerate divides every loss by the length of a whole window, also in a short one.
                    whole = work["accumulate"]
                    weighted = loss * whole / min(whole, len(loader) - index // whole * whole)
                accelerator.backward(weighted)
                norm = None
                if accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(net.parameters(), work["max_norm"]).item()
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            mean = accelerator.gather(loss.detach()).mean().item()
            batches.append({"loss": mean, "lr": schedule.get_last_lr()[0], "norm": norm})

    gathered = []
    for batch in held_out:
        gathered += accelerator.gather_for_metrics(batch).tolist()
    if accelerator.is_main_process:
        module = accelerator.unwrap_model(net)
        weights = {name: parameter.flatten().tolist() for name, parameter in module.named_parameters()}
        print(json.dumps({"batches": batches, "gathered": gathered, "weights": weights}))
    accelerator.end_training()


if __name__ == "__main__":
    main()
