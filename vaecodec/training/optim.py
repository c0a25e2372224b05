"""Optimisers: one for the matrices of the networks, AdamW for everything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vaecodec.precision import fast_type

OPTIMIZERS = ("muon", "soap", "adamw")
MATRIX_RATES = {"muon": 0.02, "soap": 2e-3, "adamw": 1.5e-3}
VECTOR_RATE = 1.5e-3
LINEAR_RATE = 1e-4
"""For the linear path, which starts as PCA."""


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton-Schulz (Jordan et al. 2024).

    The same update as `torch.optim.Muon`, but matrices of one shape go through the iteration together: on a CPU that
    takes a third of the time, a tenth of a training step of `light`.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of all matrices that have a gradient."""
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[tuple(parameter.shape)].append(parameter)
            for (rows, columns), parameters in shapes.items():
                buffers = [self.state[p].setdefault("momentum_buffer", torch.zeros_like(p)) for p in parameters]
                gradients = [p.grad for p in parameters]
                torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
                ahead = torch.stack(torch._foreach_lerp(gradients, buffers, group["momentum"]))
                updates = orthogonalise(ahead) * max(1.0, rows / columns) ** 0.5
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(updates.to(parameters[0].dtype)), alpha=-group["lr"])


def orthogonalise(matrices: Tensor) -> Tensor:
    """`[N, rows, columns]` to nearly orthogonal matrices with the same singular vectors, in the `fast_type`."""
    x = matrices.to(fast_type(matrices.device))
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


def build_optimizers(model: nn.Module, name: str, scale: float = 1.0) -> list[torch.optim.Optimizer]:
    """Optimisers whose groups remember their full rate as `peak_lr`.

    Args:
        model: an `ImageVAE`.
        name: what turns the matrices: `muon`, `soap` (Vyas et al. 2024; from the package pytorch_optimizer) or
            `adamw`.
        scale: multiplies all rates.
    """
    matrices, vectors, linear = [], [], []
    for key, parameter in model.named_parameters():
        if ".linear." in key:
            linear.append(parameter)
        elif parameter.ndim == 2 and not key.endswith(".table"):
            matrices.append(parameter)
        else:
            vectors.append(parameter)
    adam_groups = [
        {"params": vectors, "lr": VECTOR_RATE * scale, "weight_decay": 0.0},
        {"params": linear, "lr": LINEAR_RATE * scale, "weight_decay": 0.0},
    ]
    rate = MATRIX_RATES[name] * scale
    if name == "adamw":
        adam_groups.append({"params": matrices, "lr": rate, "weight_decay": 0.01})
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(adam_groups, betas=(0.9, 0.95))]
    if name == "muon":
        optimizers.append(Muon(matrices, lr=rate, weight_decay=0.01))
    elif name == "soap":
        from pytorch_optimizer import SOAP

        optimizers.append(SOAP(matrices, lr=rate, betas=(0.95, 0.95), weight_decay=0.01, precondition_frequency=10))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def set_rate(optimizers: list[torch.optim.Optimizer], fraction: float) -> None:
    """Sets every group to a fraction of its full rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * fraction


def apply_gradients(optimizers: list[torch.optim.Optimizer], model: nn.Module, clip: float) -> bool:
    """One update by the gradients that a model has, their norm clipped; returns whether they were finite.

    Nothing changes if they were not.
    """
    trained = [parameter for parameter in model.parameters() if parameter.grad is not None]
    finite = bool(torch.isfinite(nn.utils.clip_grad_norm_(trained, clip)))
    if finite:
        for optimizer in optimizers:
            optimizer.step()
    return finite


@torch.no_grad()
def update_average(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Moves averaged weights towards a model's; at first faster, so that they forget the start.

    Args:
        decay: a step, later on.
        step: how many have been made.
    """
    decay = min(decay, step / (step + 20))
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
