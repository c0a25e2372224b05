"""The processes that train together: torchrun's, or one alone."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import nn


def training_device() -> torch.device:
    """Where this process trains: its own GPU, or the CPU."""
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu")


class Team:
    """This process and its peers.

    Args:
        device: where this process works.

    Attributes:
        size, rank: how many processes, and which this is.
    """

    def __init__(self, device: torch.device):
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        self.device = device
        if self.size > 1:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")

    def average_gradients(self, model: nn.Module) -> None:
        """Makes every process's gradients the mean of all."""
        if self.size > 1:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= self.size

    def agree(self, value: float) -> float:
        """Process 0's value, everywhere."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared)

    def close(self) -> None:
        """Takes the processes apart."""
        if self.size > 1:
            dist.destroy_process_group()
