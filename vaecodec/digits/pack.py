"""A set of small pictures in one file, without loss: bits-back coding with ANS (BB-ANS; Townsend, Bird, Barber 2019).

    pack, for each batch:         pop z under q(z | x);   push x under p(x | z);  push z under p(z)
    unpack, from the last batch:  pop z under p(z);       pop x under p(x | z);   push z under q(z | x)

So a picture costs −log2 p(x | z) − log2 p(z) + log2 q(z | x) bits, on average the bound. The bits from which z is
popped are those of the batches before. The first batch has none, and takes the mean of q for z, which is paid in full;
so does a batch for which too few bits lie on the stack. Batches double from one picture to 64.

    offset  bytes  field
         0      4  signature 89 56 50 4B (\\x89VPK)
         4      1  version, 1
         5      1  pixels a side, 28
         6      2  reserved, 0
         8      4  model id
        12      4  number of pictures, 1 to 2^32 − 1
        16      4  payload length, bytes; a multiple of 4
        20      4  CRC-32 of the payload
        24      4  CRC-32 of the pictures, 784 bytes each
        28      4  CRC-32 of bytes 0 to 27
        32      …  payload: words of the stack, as in a .vae file; a batch's last push is one bit, 1 if z was popped
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vaecodec.digits import SIDE
from vaecodec.digits.data import as_images
from vaecodec.digits.fixed_point import PIXEL_RADIUS, PRIOR, ExactVAE, images_of, symbols_of
from vaecodec.digits.weights import StoredDigits
from vaecodec.errors import Corrupt, LimitError, ModelError, NotAVaeFile, Truncated, Unsupported
from vaecodec.format.ans import Stack

MAGIC = b"\x89VPK"
VERSION = 1
HEADER = struct.Struct("<4sBBH4sIIII")
HEADER_BYTES = HEADER.size + 4
MAX_COUNT = 2**32 - 1
DEFAULT_MAX_IMAGES = 2**17
"""The largest set that is unpacked unless the caller says otherwise; training sets have 60,000."""
LARGEST_BATCH = 64
Progress = Callable[[int], None]
"""Is told how many more pictures are done."""


@dataclass(frozen=True)
class PackHeader:
    """What the header of a pack says; see the table above."""

    model_id: bytes
    count: int
    payload_bytes: int
    payload_crc: int
    images_crc: int


@dataclass(frozen=True)
class Account:
    """Where the bits of a pack are.

    Attributes:
        images: number of pictures.
        pixel_bits: −log2 p(x | z), summed.
        prior_bits: −log2 p(z).
        posterior_bits: −log2 q(z | x): what was popped, or would have been.
        initial_bits: the part of those that had nothing to be popped from, and so did not come back.
        payload_bits: what was written.
    """

    images: int
    pixel_bits: float
    prior_bits: float
    posterior_bits: float
    initial_bits: float
    payload_bits: int

    @property
    def bound_bpp(self) -> float:
        """The bound by the z that were coded, in bits per pixel: what the payload would be in the ideal."""
        return (self.pixel_bits + self.prior_bits - self.posterior_bits) / (self.images * SIDE * SIDE)

    @property
    def payload_bpp(self) -> float:
        """What it is."""
        return self.payload_bits / (self.images * SIDE * SIDE)


def batches(count: int) -> list[slice]:
    """The batches of a set: 1, 1, 2, 4, 8, 16, 32, 64, 64, … pictures."""
    result, start = [], 0
    while start < count:
        stop = min(count, start + min(max(1, start), LARGEST_BATCH))
        result.append(slice(start, stop))
        start = stop
    return result


def encode(images: np.ndarray, vae: ExactVAE, progress: Progress = lambda done: None) -> tuple[bytes, Account]:
    """The payload of `[N, 28, 28]` uint8."""
    stack = Stack()
    pixel_bits = prior_bits = posterior_bits = initial_bits = 0.0
    for batch in batches(len(images)):
        x = images[batch]
        q = vae.posterior(x)
        means, numbers = q.means.reshape(-1), q.numbers.reshape(-1)
        sample = stack.borrow(numbers, vae.latent_tables)
        symbols = np.zeros_like(means) if sample is None else sample
        z = means + symbols
        pixels, tables = symbols_of(x), vae.pixel_numbers(z.reshape(q.means.shape)).reshape(-1)
        stack.push(pixels, tables, vae.pixel_tables)
        stack.push(z, np.full_like(z, PRIOR), vae.latent_tables)
        stack.push_bits(int(sample is not None), 1)

        pixel_bits += vae.pixel_tables.bits(pixels.astype(np.int64), tables).sum()
        prior_bits += vae.latent_tables.bits(z.astype(np.int64), np.full_like(z, PRIOR)).sum()
        lent = vae.latent_tables.bits(symbols.astype(np.int64), numbers).sum()
        posterior_bits += lent
        initial_bits += lent if sample is None else 0.0
        progress(len(x))
    payload = stack.getvalue()
    pixel_sum, prior_sum, posterior_sum, initial_sum = map(
        float, (pixel_bits, prior_bits, posterior_bits, initial_bits)
    )
    return payload, Account(len(images), pixel_sum, prior_sum, posterior_sum, initial_sum, 8 * len(payload))


def decode(payload: bytes, count: int, vae: ExactVAE, progress: Progress = lambda done: None) -> np.ndarray:
    """The `[count, 28, 28]` uint8 pictures of a payload.

    Raises:
        Corrupt: it is none of that many pictures.
    """
    stack = Stack(payload)
    images = np.empty((count, SIDE, SIDE), np.uint8)
    for batch in reversed(batches(count)):
        x = images[batch]
        lent = stack.pop_bits(1)
        z = stack.pop(np.full(len(x) * vae.latents, PRIOR), vae.latent_tables)
        tables = vae.pixel_numbers(z.reshape(len(x), -1))
        pixels = stack.pop(tables.reshape(-1), vae.pixel_tables)
        if pixels.min() < -PIXEL_RADIUS or pixels.max() >= PIXEL_RADIUS:
            raise Corrupt("the payload holds a pixel that is no grey level")
        x[:] = images_of(pixels)
        q = vae.posterior(x)
        symbols = z - q.means.reshape(-1)
        if lent:
            stack.give_back(symbols, q.numbers.reshape(-1), vae.latent_tables)
        elif symbols.any():
            raise Corrupt("the payload holds latents that are not those of its pictures")
        progress(len(x))
    stack.finish()
    return images


def pack(images: np.ndarray, stored: StoredDigits, progress: Progress = lambda done: None) -> tuple[bytes, Account]:
    """A set of pictures as the bytes of a pack.

    Args:
        images: `[N, 28, 28]` uint8.

    Raises:
        ImageError: it is something else.
        ModelError: the model does not code losslessly.
    """
    images = np.ascontiguousarray(as_images(images))
    payload, account = encode(images, stored.exact_vae, progress)
    checksums = zlib.crc32(payload), zlib.crc32(images.data)
    header = HEADER.pack(MAGIC, VERSION, SIDE, 0, stored.model_id, len(images), len(payload), *checksums)
    return header + zlib.crc32(header).to_bytes(4, "little") + payload, account


def read_header(data: bytes) -> PackHeader:
    """Parses and checks the first 32 bytes of a pack.

    Raises:
        NotAVaeFile, Truncated, Corrupt, Unsupported: as their names say.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise NotAVaeFile("not a pack: it does not begin with the signature of packs")
    if len(data) < HEADER_BYTES:
        raise Truncated(f"the pack ends after {len(data)} of the header's {HEADER_BYTES} bytes")
    raw = data[: HEADER.size]
    if zlib.crc32(raw) != int.from_bytes(data[HEADER.size : HEADER_BYTES], "little"):
        raise Corrupt("the pack's header is damaged: its checksum does not fit")
    _, version, side, reserved, model_id, count, size, payload_crc, images_crc = HEADER.unpack(raw)
    if version != VERSION or reserved:
        raise Unsupported(f"the pack has format version {version}; this program reads version {VERSION}")
    if side != SIDE:
        raise Unsupported(f"the pack holds pictures of {side} pixels a side; this program reads {SIDE}")
    if not count:
        raise Corrupt("the pack holds no pictures")
    if size % 4:
        raise Corrupt("the pack's payload length is not a multiple of 4")
    return PackHeader(model_id, count, size, payload_crc, images_crc)


def unpack(
    data: bytes,
    stored: StoredDigits,
    *,
    max_images: int | None = DEFAULT_MAX_IMAGES,
    progress: Progress = lambda done: None,
) -> np.ndarray:
    """The pictures of a pack, `[N, 28, 28]` uint8.

    Raises:
        BitstreamError: it is not a whole and sound pack.
        LimitError: it holds more pictures than `max_images`.
        ModelError: another model made it.
    """
    header = read_header(data)
    if max_images is not None and header.count > max_images:
        raise LimitError(f"the pack holds {header.count} pictures, more than the limit of {max_images}")
    payload = data[HEADER_BYTES:]
    if len(payload) < header.payload_bytes:
        raise Truncated(f"the pack ends after {len(payload)} of the payload's {header.payload_bytes} bytes")
    if len(payload) > header.payload_bytes:
        raise Corrupt(f"{len(payload) - header.payload_bytes} bytes follow the end of the pack")
    if zlib.crc32(payload) != header.payload_crc:
        raise Corrupt("the pack's payload is damaged: its checksum does not fit")
    if header.model_id != stored.model_id:
        raise ModelError(
            f"the pack was made by model {header.model_id.hex()}, this is {stored.name} ({stored.model_id.hex()})"
        )
    images = decode(payload, header.count, stored.exact_vae, progress)
    if zlib.crc32(images.data) != header.images_crc:
        raise Corrupt("the pictures do not match their checksum")
    return images
