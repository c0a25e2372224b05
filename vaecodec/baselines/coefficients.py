"""The entropy coding that the baselines share: quantised coefficients against one table a channel.

A channel's distribution is kept as its empirical CDF at fixed knots, in standard deviations from the mean. Integrated
over the intervals of any step, that gives the table of any quality, and the centroid of each interval, which is what a
decoder restores. Nothing here knows of its neighbours: that is the point of comparison.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vaecodec.errors import Corrupt, ImageError
from vaecodec.format.ans import COUNT_BITS, Decoder, Encoder, Tables

_SIDE = np.geomspace(0.004, 40, 40)
KNOTS = np.concatenate((-_SIDE[::-1], [0.0], _SIDE))
TOTAL = 1 << COUNT_BITS
MAX_RADIUS = 2000
RDO_WEIGHT = np.log(2) / 6
"""Squared error, in steps, that a bit is worth: d(Δ²/12)/dR at high rate."""

DEAD_ZONE = 0.2
"""By how much, in steps, that choice moves the borders between symbols away from 0, about; the tables allow for it."""

_HEADER = struct.Struct("<HHH")


def pack_header(shape: tuple[int, ...], code: int) -> bytes:
    """Size of a picture `[H, W, ...]` and a quality code from 0 to 65535, in six bytes.

    Raises:
        ImageError: the picture is too large for the baselines.
    """
    if max(shape[:2]) > 0xFFFF:
        raise ImageError(f"a picture of {shape[1]}x{shape[0]} is too large: sides go up to {0xFFFF}")
    return _HEADER.pack(shape[0], shape[1], code)


def unpack_header(data: bytes) -> tuple[int, int, int, bytes]:
    """Height, width, quality code and what follows.

    Raises:
        Corrupt: the data is shorter than a header.
    """
    if len(data) < _HEADER.size:
        raise Corrupt("the file ends within its header")
    return *_HEADER.unpack_from(data), data[_HEADER.size :]


class LogSteps:
    """Qualities 1 to 100, as codes, to quantisation steps that fall geometrically.

    Args:
        largest, smallest: the steps of qualities 1 and 100.
    """

    CODES = 0xFFFF

    def __init__(self, largest: float, smallest: float):
        self.largest, self.smallest = largest, smallest

    def code(self, quality: float) -> int:
        """Raises `ValueError` outside of 1 to 100."""
        if not 1 <= quality <= 100:
            raise ValueError(f"quality {quality} is not between 1 and 100")
        return round((quality - 1) / 99 * self.CODES)

    def step(self, code: int) -> float:
        return self.largest * (self.smallest / self.largest) ** (code / self.CODES)


@dataclass(frozen=True)
class Statistics:
    """Distributions of C channels.

    Attributes:
        mean, scale: `[C]` float32; the scale is the standard deviation.
        cdf: `[C, len(KNOTS)]` uint16, in 65535ths.
    """

    mean: np.ndarray
    scale: np.ndarray
    cdf: np.ndarray

    @classmethod
    def fit(cls, batches: Iterable[np.ndarray]) -> Statistics:
        """From samples, `[n, C]` each."""
        samples = np.concatenate([np.asarray(batch, np.float32) for batch in batches])
        mean, scale = samples.mean(0), np.maximum(samples.std(0), 1e-6)
        cdf = np.empty((samples.shape[1], len(KNOTS)))
        for channel, values in enumerate(samples.T):
            cdf[channel] = np.searchsorted(np.sort((values - mean[channel]) / scale[channel]), KNOTS) / len(samples)
        return cls(mean, scale, np.rint(cdf * 0xFFFF).astype(np.uint16))

    @classmethod
    def of(cls, tensors: dict[str, np.ndarray]) -> Statistics:
        """The inverse of `tensors`."""
        return cls(tensors["mean"], tensors["scale"], tensors["cdf"])

    def tensors(self) -> dict[str, np.ndarray]:
        """For a file."""
        return {"mean": self.mean, "scale": self.scale, "cdf": self.cdf}


class _Channel:
    """A channel's table and centroids at a step, both for the symbols -radius to radius.

    Args:
        cdf: `[len(KNOTS)]`, from 0 to 1.
        step: in standard deviations.
        dead_zone: see `DEAD_ZONE`.
    """

    def __init__(self, cdf: np.ndarray, step: float, dead_zone: float):
        reach = KNOTS[np.flatnonzero((cdf > 2e-5) & (cdf < 1 - 2e-5))]
        furthest = float(np.abs(reach).max(initial=0.0))
        self.radius = int(np.clip(np.ceil(furthest / step), 1, MAX_RADIUS))
        edges = np.arange(-self.radius, self.radius + 2) - 0.5
        edges = (edges + dead_zone * np.sign(edges)) * step
        at_edges = np.interp(edges, KNOTS, cdf)
        probability = np.diff(at_edges)
        outside = max(1 - probability.sum(), 0.0)
        counts = np.append(np.rint(probability * TOTAL), max(1.0, np.rint(outside * TOTAL))).astype(np.int64)
        counts[np.argmax(counts)] += TOTAL - counts.sum()
        self.counts = counts.astype(np.uint16)
        middle = np.arange(-self.radius, self.radius + 1) * step
        moment = np.diff(_moment(edges, cdf))
        centroid = np.divide(moment, probability, out=middle.copy(), where=probability > 1e-7)
        self.centroids = np.clip(centroid, edges[:-1], edges[1:]) / step


def _moment(x: np.ndarray, cdf: np.ndarray) -> np.ndarray:
    """Integral of x dF up to each x, of the density that is constant between knots."""
    mass = np.diff(cdf)
    whole = np.concatenate(([0.0], np.cumsum(mass * (KNOTS[1:] + KNOTS[:-1]) / 2)))
    x = np.clip(x, KNOTS[0], KNOTS[-1])
    left = np.clip(np.searchsorted(KNOTS, x, side="right") - 1, 0, len(mass) - 1)
    density = mass / np.diff(KNOTS)
    return whole[left] + density[left] * (x * x - KNOTS[left] ** 2) / 2


class _Coding:
    """All channels at their steps, laid out flat."""

    def __init__(self, statistics: Statistics, steps: np.ndarray, dead_zone: float):
        cdf = statistics.cdf / 0xFFFF
        channels = [_Channel(*pair, dead_zone) for pair in zip(cdf, steps / statistics.scale, strict=True)]
        self.radii = np.array([channel.radius for channel in channels])
        self.tables = Tables(np.concatenate([channel.counts for channel in channels]), self.radii, 1)
        self.starts = np.cumsum(2 * self.radii + 1) - (2 * self.radii + 1)
        self.centroids = np.concatenate([channel.centroids for channel in channels])
        counts = np.concatenate([channel.counts[:-1] for channel in channels])
        self.bits = -np.log2(np.maximum(counts / TOTAL, 2.0**-24))

    def _look_up(self, values: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        entry = np.clip(symbols, -self.radii, self.radii) + self.radii + self.starts
        return values[entry]

    def restored(self, symbols: np.ndarray) -> np.ndarray:
        """`[N, C]` symbols to centroids, in steps; beyond the tables the middle of the interval."""
        return np.where(np.abs(symbols) > self.radii, symbols, self._look_up(self.centroids, symbols))

    def cost(self, scaled: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Squared error and rate, in squared steps."""
        return (scaled - self.restored(symbols)) ** 2 + RDO_WEIGHT * self._look_up(self.bits, symbols)


class CoefficientCoder:
    """Codes `[N, C]` coefficients; `optimise` adds what an encoder and a decoder can do without a better model.

    Steps are `[C]`, or one for all channels.

    Args:
        statistics: fitted on training data.
        optimise: choose between the nearest symbol and the next smaller one by rate and error, and restore centroids.
            Without it: plain rounding, and the middle of the interval.
    """

    def __init__(self, statistics: Statistics, *, optimise: bool):
        self.statistics, self.optimise = statistics, optimise
        dead_zone = DEAD_ZONE * optimise
        self._coding = functools.lru_cache(16)(lambda steps: _Coding(statistics, np.frombuffer(steps), dead_zone))

    def _at(self, steps: np.ndarray | float) -> _Coding:
        return self._coding(np.broadcast_to(steps, self.statistics.scale.shape).astype(np.float64).tobytes())

    def quantise(self, values: np.ndarray, steps: np.ndarray | float) -> np.ndarray:
        """Coefficients to symbols, int32 `[N, C]`."""
        scaled = (values - self.statistics.mean) / steps
        symbols = np.rint(scaled).astype(np.int64)
        if self.optimise:
            coding, smaller = self._at(steps), symbols - np.sign(symbols)
            symbols = np.where(coding.cost(scaled, smaller) < coding.cost(scaled, symbols), smaller, symbols)
        return symbols.astype(np.int32)

    def encode(self, symbols: np.ndarray, steps: np.ndarray | float) -> bytes:
        """Symbols `[N, C]` to bytes."""
        encoder = Encoder()
        encoder.push(symbols.ravel(), self._numbers(len(symbols)), self._at(steps).tables)
        return encoder.getvalue()

    def decode(self, data: bytes, count: int, steps: np.ndarray | float) -> np.ndarray:
        """The symbols again, `[count, C]`.

        Raises:
            Corrupt: the data holds something else.
        """
        decoder = Decoder(data)
        symbols = decoder.pop(self._numbers(count), self._at(steps).tables)
        decoder.finish()
        return symbols.reshape(count, -1)

    def restore(self, symbols: np.ndarray, steps: np.ndarray | float) -> np.ndarray:
        """Symbols to coefficients, `[N, C]` float64."""
        scaled = self._at(steps).restored(symbols) if self.optimise else symbols
        return scaled * steps + self.statistics.mean

    def _numbers(self, count: int) -> np.ndarray:
        return np.tile(np.arange(len(self.statistics.scale), dtype=np.uint16), count)
