"""Optimisers: one for the matrices of the networks, AdamW for everything else.

A step reads nothing back from the device: rates are tensors there, and so is whether a step counts. The same kernels
run whatever these say, so that a step can be recorded once and replayed (`graph`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from vaecodec.networks.precision import fast_type

OPTIMIZERS = ("muon", "adamw")
MATRIX_RATES = {"muon": 0.02, "adamw": 1.5e-3}
VECTOR_RATE = 1.5e-3
LINEAR_RATE = 1e-4
"""For the linear path, which starts as PCA."""
Params = Iterable[nn.Parameter] | list[dict[str, Any]]


class OnDevice(torch.optim.Optimizer):
    """Rates are tensors beside the parameters; each group remembers its full one as `peak_lr`."""

    def __init__(self, params: Params, defaults: dict[str, Any]):
        super().__init__(params, defaults)
        for group in self.param_groups:
            group["peak_lr"] = float(group["lr"])
            group["lr"] = torch.tensor(group["peak_lr"], device=group["params"][0].device)

    @torch.no_grad()
    def step(self, closure: None = None, *, share: Tensor | float = 1.0) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient; a closure, as other optimisers take, there is none.

        Args:
            share: of the update that is made, 1, or 0 for none, in which case averages stay as they are too.
        """
        self._update(share)

    def _update(self, share: Tensor | float) -> None:
        raise NotImplementedError

    def _buffers(self, parameters: list[Tensor], key: str) -> list[Tensor]:
        """The parameters' states of a name, zero at first."""
        return [
            self.state[p][key] if key in self.state[p] else self.state[p].setdefault(key, torch.zeros_like(p))
            for p in parameters
        ]


class Muon(OnDevice):
    """Momentum, orthogonalised by Newton-Schulz (Jordan et al. 2024).

    The same update as `torch.optim.Muon`, but matrices of one shape go through the iteration together: on a CPU that
    takes a third of the time, a tenth of a training step of `light`.
    """

    def __init__(self, params: Params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def _update(self, share: Tensor | float) -> None:
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[tuple(parameter.shape)].append(parameter)
            rate = group["lr"] * share
            for (rows, columns), parameters in shapes.items():
                buffers = self._buffers(parameters, "momentum_buffer")
                gradients = _gradients(parameters)
                move(buffers, gradients, (1 - group["momentum"]) * share)
                ahead = torch.stack(torch._foreach_lerp(gradients, buffers, group["momentum"]))
                updates = orthogonalise(ahead) * (-rate * max(1.0, rows / columns) ** 0.5)
                torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
                torch._foreach_add_(parameters, list(updates.to(parameters[0].dtype)))


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


class AdamW(OnDevice):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), as a rule without correcting the first averages.

    With these decays that correction is a factor between 0.45 and 1.1 over the first fifty steps, which the warm-up
    covers; without it there is no count of steps, so that states can be taken over by another run as they are.

    Attributes:
        count: steps made, for runs so short that they want the correction; `None` for none. Not for recorded graphs.
    """

    count: int | None = None

    def __init__(self, params: Params, lr: float, betas: tuple[float, float] = (0.9, 0.95), weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def _update(self, share: Tensor | float) -> None:
        if self.count is not None:
            self.count += 1
        for group in self.param_groups:
            parameters: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            first, second = (1.0 if self.count is None else 1 - beta**self.count for beta in group["betas"])
            gradients = _gradients(parameters)
            means, squares = (self._buffers(parameters, key) for key in ("exp_avg", "exp_avg_sq"))
            rate = group["lr"] * share
            move(means, gradients, (1 - group["betas"][0]) * share)
            move(squares, list(torch._foreach_mul(gradients, gradients)), (1 - group["betas"][1]) * share)
            updates = torch._foreach_sqrt(squares)
            if self.count is not None:
                torch._foreach_mul_(updates, second**-0.5)
            torch._foreach_add_(updates, 1e-8)
            updates = torch._foreach_div(means, updates)
            torch._foreach_mul_(updates, -rate / first)
            if group["weight_decay"]:
                torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
            torch._foreach_add_(parameters, updates)


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    """Of those that have one."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


@torch.no_grad()
def move(values: list[Tensor], targets: list[Tensor], share: Tensor | float) -> None:
    """Moves each of some tensors towards another by a share of the way, which may lie on the device."""
    ways = torch._foreach_sub(targets, values)
    torch._foreach_mul_(ways, share)
    torch._foreach_add_(values, ways)


def build_optimizers(model: nn.Module, name: str, scale: float = 1.0) -> list[OnDevice]:
    """Optimisers for the parameters of a model, on the device where those are.

    Args:
        model: an `ImageVAE`.
        name: what turns the matrices: `muon` or `adamw`.
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
        {"params": vectors, "lr": VECTOR_RATE * scale},
        {"params": linear, "lr": LINEAR_RATE * scale},
    ]
    rate = MATRIX_RATES[name] * scale
    if name == "adamw":
        adam_groups.append({"params": matrices, "lr": rate, "weight_decay": 0.01})
    adam = AdamW([group for group in adam_groups if group["params"]], lr=rate)
    return [adam, Muon(matrices, lr=rate, weight_decay=0.01)] if name == "muon" else [adam]


def correct_averages(optimizers: list[OnDevice], step: int) -> None:
    """Has `AdamW` correct its first averages, in a run that has made so many steps."""
    for optimizer in optimizers:
        if isinstance(optimizer, AdamW):
            optimizer.count = step


def set_rate(optimizers: list[OnDevice], fraction: float) -> None:
    """Sets every group to a fraction of its full rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"].fill_(group["peak_lr"] * fraction)


@torch.no_grad()
def apply_gradients(optimizers: list[OnDevice], model: nn.Module, clip: float) -> Tensor:
    """One update by the gradients that a model has, their norm clipped.

    Returns:
        1.0, or 0.0 if a gradient was not finite: then nothing has changed. On the device, `[]` float32.
    """
    trained: list[Tensor] = [parameter for parameter in model.parameters() if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in _gradients(trained)])
    norm = flat.norm()
    finite = torch.isfinite(norm)
    flat = torch.where(finite, flat * (clip / (norm + 1e-6)).clamp_max(1.0), 0.0)
    parts = flat.split([parameter.numel() for parameter in trained])
    for parameter, part in zip(trained, parts, strict=True):
        parameter.grad = part.view(parameter.shape)
    finite = finite.float()
    for optimizer in optimizers:
        optimizer.step(share=finite)
    return finite


def minimise(loss: Tensor, optimizers: list[OnDevice], model: nn.Module, clip: float) -> None:
    """One update by the gradients of a loss; see `apply_gradients`."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    apply_gradients(optimizers, model, clip)


def average_share(decay: float, step: int) -> float:
    """By how much averaged weights move in a step: 1 - `decay`, and at first more, so that they forget the start."""
    return 1 - min(decay, step / (step + 20))


def update_average(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Moves averaged weights towards a model's, as `average_share` says for a step."""
    move(list(ema.parameters()), list(model.parameters()), average_share(decay, step))
