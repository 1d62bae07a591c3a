"""How small networks are trained on measured data: AdamW over one cycle of the learning rate, the same on every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Torch with random numbers of `seed` and one thread inside the block, afterwards as before.

    Small batches lose time with more threads, and the result would depend on their number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def train_one_cycle(
    network: nn.Module, loss: Callable[[], Tensor], steps: int, learning_rate: float, weight_decay: float
) -> None:
    """Minimises what `loss` gives, one new batch per step; leaves the network in training mode.

    Args:
        network: on the CPU.
        loss: the scalar loss of the next batch.
        steps: optimiser steps.
        learning_rate: highest; it rises over the first tenth of the steps and falls to zero.
        weight_decay: of AdamW.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.1)
    network.train()
    for _ in range(steps):
        value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()


def smoothed_loss(log_belief: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Cross entropy of (N, L) log beliefs and (N,) classes, with a share `smoothing` spread over all labels."""
    return (1 - smoothing) * functional.nll_loss(log_belief, target) - smoothing * log_belief.mean()
