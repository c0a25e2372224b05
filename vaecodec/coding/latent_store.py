"""Latents of whole pictures, compactly: what has been coded, and the symbols of a step in their order.

A picture of a hundred megapixels has 125 million latents, so each is kept in the smallest integer that holds it: as a
rule int16 for y_hat and int8 for symbols. One that does not fit turns all of them into larger ones.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaecodec.networks.prior import Cells
from vaecodec.pictures.tiles import Area, window


def _holding(store: Tensor, values: Tensor) -> Tensor:
    """A store of integers, or the same in a larger type, if it is too small for some values."""
    low, high = torch.aminmax(values.permute(0, 2, 3, 1))  # as it lies in memory
    for dtype in (store.dtype, torch.int16, torch.int32):
        limits = torch.iinfo(dtype)
        if dtype.itemsize >= store.dtype.itemsize and limits.min <= low and high <= limits.max:
            return store.to(dtype)
    raise OverflowError(f"latents from {low} to {high}")


class Coded:
    """y_hat as far as it has been coded.

    Args:
        channels: M.
        shape: rows and columns of y.
        device: where it is kept.

    Attributes:
        cells: rows and columns in cells of 2x2 positions.
        values: `[1, M, H, W]` in sixteenths of a symbol, sides made even, channels last; int16 or int32. What a step
            has not put yet is undefined. Beyond an odd side lies the lattice's offset.
    """

    def __init__(self, channels: int, shape: tuple[int, int], device: torch.device):
        self.shape = shape
        self.cells = (-(-shape[0] // 2), -(-shape[1] // 2))
        rows, columns = (2 * side for side in self.cells)
        self.values = torch.empty((1, rows, columns, channels), dtype=torch.int16, device=device).permute(0, 3, 1, 2)

    def window(self, area: Area) -> Tensor:
        """`[1, M, 2 h, 2 w]`, a view of an area of cells."""
        return window(self.values, area, 2)

    def part(self, step: int, area: Area) -> Tensor:
        """What a step coded in an area of cells, `[1, M, h, w]`."""
        return Cells.part(self.window(area), step)

    def put(self, step: int, area: Area, values: Tensor) -> None:
        """Sets what a step coded in an area of cells, `[1, M, h, w]`."""
        self.values = _holding(self.values, values)
        Cells.place(self.window(area), step, values)

    def merged(self) -> Tensor:
        """`[1, M, H, W]`, when all steps have been put."""
        return self.values[:, :, : self.shape[0], : self.shape[1]]

    def clear_outside(self, values: Tensor, area: Area) -> None:
        """Sets to 0 what lies beyond an odd side, in `[1, M, h, w]` of an area of cells."""
        parts = values.chunk(4, 1)
        if self.shape[0] % 2 and area[0].stop == self.cells[0]:
            parts[2][..., -1, :] = parts[3][..., -1, :] = 0
        if self.shape[1] % 2 and area[1].stop == self.cells[1]:
            parts[1][..., -1] = parts[3][..., -1] = 0

    def step_values(self, dtype: torch.dtype) -> StepValues:
        """Zeros for the symbols, or the like, of one step."""
        return StepValues(self.values.shape[1], self.shape, dtype)


class StepValues:
    """Integers of one step, on the CPU, in the order of its symbols.

    Args:
        channels: M.
        shape: rows and columns of y.
        dtype: of integers, to begin with.
    """

    def __init__(self, channels: int, shape: tuple[int, int], dtype: torch.dtype):
        self._shape = shape
        self._values = torch.zeros((channels, -(-shape[0] // 2), -(-shape[1] // 2)), dtype=dtype)

    def put(self, area: Area, values: Tensor) -> None:
        """Sets `[1, M, h, w]` of an area of cells."""
        self._values = _holding(self._values, values)
        window(self._values, area).copy_(values[0])

    def part(self, area: Area) -> Tensor:
        """`[1, M, h, w]` of an area of cells."""
        return window(self._values, area)[None]

    def _inside(self) -> list[np.ndarray]:
        """A view for each position within the cells, without what lies beyond odd sides."""
        rows, columns = self._shape
        return [
            part[:, : (rows + 1 - p // 2) // 2, : (columns + 1 - p % 2) // 2].numpy()
            for p, part in enumerate(self._values.chunk(4))
        ]

    def flat(self) -> np.ndarray:
        """`[n]` in the order of symbols: position in the cell, channel, row, column; none beyond odd sides."""
        if self._shape[0] % 2 == self._shape[1] % 2 == 0:
            return self._values.numpy().reshape(-1)
        return np.concatenate([part.reshape(-1) for part in self._inside()])

    def restore(self, flat: np.ndarray) -> StepValues:
        """Other values of the same step from `flat` ones; 0 beyond odd sides."""
        result = StepValues(len(self._values), self._shape, torch.int32)
        if self._shape[0] % 2 == self._shape[1] % 2 == 0:
            result._values = torch.from_numpy(flat).view(self._values.shape)
            return result
        start = 0
        for part in result._inside():
            part[...] = flat[start : start + part.size].reshape(part.shape)
            start += part.size
        return result
