"""Pictures on the device, and the crops that are taken from them there.

All pixels lie in one tensor of fixed size and address, so that pictures may be added while a recorded step (`graph`) is
replayed. A crop is index arithmetic and one gather: where it begins, and how far it is from a pixel to the next one
below and to the right, which a turn exchanges and a flip negates.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NUMBERS = 6
"""Random numbers that a crop takes: picture, whether it is reduced, to which scale, row, column, orientation."""
MAX_PICTURES = 1 << 16


class Store:
    """Pictures, each at some scales, of which it may lack the smaller ones.

    Args:
        memory_bytes: for pixels. A CPU gives them as they are filled.
        scales: at most how many a picture has.

    Attributes:
        count: pictures that are in it.
    """

    def __init__(self, memory_bytes: float, scales: int, device: torch.device | str):
        self.device = torch.device(device)
        self.pixels = torch.empty(int(memory_bytes // 3), 3, dtype=torch.uint8, device=self.device)
        self.starts = torch.zeros(MAX_PICTURES, scales, dtype=torch.int64, device=self.device)
        self.sides = torch.zeros(MAX_PICTURES, scales, 2, dtype=torch.int64, device=self.device)
        self.count = self._used = 0
        self._largest: list[tuple[int, int, bool]] = []
        self._chances: dict[int, Tensor] = {}
        self._graphics_share = 0.0

    def add(self, scaled: list[np.ndarray], *, graphics: bool = False) -> bool:
        """Appends a picture, `[H, W, 3]` uint8 at each scale, largest first; returns whether there was room."""
        pixels = sum(picture.shape[0] * picture.shape[1] for picture in scaled)
        if self.count == MAX_PICTURES or self._used + pixels > len(self.pixels):
            return False
        starts, sides = torch.zeros_like(self.starts[0], device="cpu"), torch.zeros_like(self.sides[0], device="cpu")
        for scale, picture in enumerate(scaled):
            size = picture.shape[0] * picture.shape[1]
            self.pixels[self._used : self._used + size].copy_(torch.from_numpy(picture.reshape(size, 3)))
            starts[scale], sides[scale] = self._used, torch.tensor(picture.shape[:2])
            self._used += size
        self.starts[self.count], self.sides[self.count] = starts.to(self.device), sides.to(self.device)
        self._largest.append((*scaled[0].shape[:2], graphics))
        self.count += 1
        return True

    def choose(self, graphics_share: float) -> None:
        """Takes pictures that were added into the choice; to be called between steps.

        Args:
            graphics_share: share of crops that come from graphics, where there are any.
        """
        self._graphics_share = graphics_share
        for size in self._chances:
            self._fill_chances(size)

    def _fill_chances(self, size: int) -> None:
        """Cumulative chances of the pictures: by the root of their area, 0 for those that are smaller than a crop."""
        rows = np.array(self._largest, np.float64).reshape(-1, 3)
        weights = np.sqrt(rows[:, 0] * rows[:, 1]) * (rows[:, :2].min(1) >= size)
        kinds = [np.where(rows[:, 2] == kind, weights, 0.0) for kind in (0, 1)]
        shares = [1 - self._graphics_share, self._graphics_share]
        present = [(kind / kind.sum(), share) for kind, share in zip(kinds, shares, strict=True) if kind.any()]
        if not present:
            raise ValueError(f"no training pictures of at least {size} pixels a side")
        weights = sum(kind * share for kind, share in present)
        cumulative = np.ones(MAX_PICTURES)
        cumulative[: len(weights)] = np.cumsum(weights) / weights.sum()
        cumulative[int(np.flatnonzero(weights)[-1]) :] = 1.0
        if size not in self._chances:
            self._chances[size] = torch.empty(MAX_PICTURES, dtype=torch.float64, device=self.device)
        self._chances[size].copy_(torch.from_numpy(cumulative))

    def prepare(self, size: int) -> None:
        """Makes crops of a size possible.

        Raises:
            ValueError: no picture is large enough.
        """
        if size not in self._chances:
            self._fill_chances(size)

    def crops(self, numbers: Tensor, size: int, clean: Tensor | None = None) -> Tensor:
        """Crops at random, flipped and turned; sizes are to be prepared.

        Args:
            numbers: `[B, NUMBERS]` in [0, 1), on the device.
            clean: `[B]` bool: those that come from reduced pictures, where these are large enough, since sources have
                been compressed themselves.

        Returns:
            `[B, 3, size, size]` uint8, channels last.
        """
        which, reduced, scale, top, left, orientation = numbers.unbind(1)
        row = torch.searchsorted(self._chances[size], which.double(), right=True)
        usable = (self.sides[row].amin(2) >= size).sum(1)
        clean = torch.zeros_like(usable, dtype=torch.bool) if clean is None else clean
        least = torch.minimum(clean.long(), usable - 1)
        scale = torch.where(clean | (reduced < 0.5), least + _pick(scale, usable - least), 0)
        height, width = self.sides[row, scale].unbind(1)
        first = self.starts[row, scale] + _pick(top, height - size + 1) * width + _pick(left, width - size + 1)
        orientation = _pick(orientation, torch.full_like(usable, 8))
        turned, up, back = (orientation >> bit & 1 == 1 for bit in range(3))
        down, right = torch.where(up, -width, width), torch.where(back, -1, 1)
        first = first + (size - 1) * (torch.where(up, width, 0) + torch.where(back, 1, 0))
        down, right = torch.where(turned, right, down), torch.where(turned, down, right)
        line = torch.arange(size, device=self.device)
        index = (first[:, None] + line * down[:, None])[:, :, None] + (line * right[:, None])[:, None]
        crops = self.pixels.index_select(0, index.flatten())
        return crops.view(len(numbers), size, size, 3).permute(0, 3, 1, 2)


def _pick(number: Tensor, count: Tensor) -> Tensor:
    """Integers from 0 to below a count, by numbers in [0, 1)."""
    return torch.minimum((number.double() * count).long(), count - 1)
