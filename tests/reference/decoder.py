"""From bytes to latents."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from reference.ans import Stack, Tables, pop_group, push_group
from reference.container import File, parse, require
from reference.model import Model
from reference.prior import Posterior, Prior


@dataclass(frozen=True)
class Decoded:
    """What a file holds.

    Attributes:
        file: its header and chunks.
        symbols: of each group, in the group's order.
        tables: their tables.
        z: `[Cz, h, w]` in sixteenths.
        y_hat: `[M, H, W]` in sixteenths of a symbol.
    """

    file: File
    symbols: list[list[int]]
    tables: list[list[int]]
    z: np.ndarray
    y_hat: np.ndarray

    @property
    def symbols_crc(self) -> int:
        return crc_of(self.symbols)


def crc_of(groups: list[list[int]]) -> int:
    """CRC-32 of all symbols as signed 32-bit integers."""
    return zlib.crc32(b"".join(s.to_bytes(4, "little", signed=True) for group in groups for s in group))


def decode(data: bytes, model: Model, max_pixels: int = 2**28, *, trusting: bool = False) -> Decoded:
    """The latents of a file, or `Refused`.

    Args:
        trusting: check neither that the stack is empty at the end nor the symbols' CRC; for tests.
    """
    return decode_file(parse(data, max_pixels), model, trusting=trusting)


def decode_file(file: File, model: Model, *, trusting: bool = False) -> Decoded:
    """The same of a file that has been parsed, and is not exact as a whole."""
    require(file.coding < len(model.ids) and file.model_id == model.ids[file.coding][:4], "model")
    tables = Tables(model.tensors["tables.counts"].tolist(), model.tensors["tables.radii"].tolist())
    prior, stack = Prior(model.part("exact."), file.quality), Stack.from_bytes(file.payload)
    groups: list[list[int]] = []
    numbers: list[list[int]] = []

    def take(table: np.ndarray, within: np.ndarray) -> np.ndarray:
        """Pops the symbols of a group where it lies within the picture; 0 elsewhere."""
        numbers.append(table[within].tolist())
        groups.append(pop_group(stack, numbers[-1], tables))
        symbols = np.zeros(table.shape, np.int64)
        symbols[within] = groups[-1]
        return symbols

    m, channels = model.config["y_channels"], model.config["z_channels"]

    def take_z(offset: np.ndarray, table: np.ndarray, rows: int, columns: int) -> np.ndarray:
        shape = (channels, -(-rows // 4), -(-columns // 4))
        offset, table = (np.broadcast_to(a[:, None, None], shape) for a in (offset, table))
        return offset // 16 + take(table, np.ones(shape, bool))

    def take_y(h: np.ndarray, rows: int, columns: int) -> np.ndarray:
        y_hat = np.zeros((m, rows + rows % 2, columns + columns % 2), np.int64)
        known = np.zeros(y_hat.shape, bool)
        inside = np.zeros(y_hat.shape[1:], bool)
        inside[:rows, :columns] = True
        for step in range(4):
            offset, table = prior.predict(step, h, y_hat, known)
            within = np.stack([np.broadcast_to(inside[p // 2 :: 2, p % 2 :: 2], table.shape[1:]) for p in range(4)])
            values = offset + 16 * take(table, within)
            for p in range(4):
                g = (p + step) % 4
                place = (slice(m // 4 * g, m // 4 * (g + 1)), slice(p // 2, None, 2), slice(p % 2, None, 2))
                y_hat[place], known[place] = values[p], True
        return y_hat[:, :rows, :columns]

    rows, columns = -(-file.height // 16), -(-file.width // 16)
    upper = 0
    if file.coding == 1:
        tensors = model.part("exact.posterior.")
        require(bool(tensors), "a model with a posterior")
        posterior = Posterior(tensors, file.quality, prior)
        total = -(-rows // 4)
        upper = stack.pop_bits((total - 1).bit_length())
        require(0 < upper < total, "row of the cut")
        symbols = take_z(*posterior.predict_z(), 4 * upper, columns)
        z_above = 4 * symbols
        above = take_y(prior.hyper(z_above), 4 * upper, columns)
        offset, table = posterior.predict(above)
        push_group(stack, (symbols - offset // 16).flatten().tolist(), table.flatten().tolist(), tables)
        stack.whiten()
    z = 16 * take_z(*prior.predict_z(), rows - 4 * upper, columns)
    y_hat = take_y(prior.hyper(z), rows - 4 * upper, columns)
    if upper:
        z, y_hat = np.concatenate((z_above, z), 1), np.concatenate((above, y_hat), 1)
    require(trusting or stack.is_empty, "words left over")
    require(trusting or crc_of(groups) == file.symbols_crc, "CRC of the symbols")
    return Decoded(file, groups, numbers, z, y_hat)
