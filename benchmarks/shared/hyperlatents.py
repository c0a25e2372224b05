"""What the hyperlatents of a picture cost, rounded and with bits-back, bit for bit."""

from __future__ import annotations

from unittest import mock

import numpy as np


def measure(codec, rgb: np.ndarray, quality: float) -> dict[str, float | None]:
    """Sizes in bytes and parts in bits of one picture; `None`s where bits-back is not possible."""
    from vaecodec.coding.latents import group
    from vaecodec.format import container
    from vaecodec.format.ans import Stack
    from vaecodec.format.container import BITS_BACK, ROUNDED
    from vaecodec.format.tables import FRACTIONS
    from vaecodec.pictures import metrics

    accounts = []
    encode = codec.bits_back.encode

    def encode_twice(*args, **kwargs):
        accounts.append(encode(*args, **kwargs))
        with mock.patch.object(Stack, "whiten", lambda stack: None):
            accounts.append(encode(*args, **kwargs))
        return accounts[0]

    codec.bits_back.encode = encode_twice
    try:
        code = codec.stored.qualities.code(quality)
        rounded = codec.encode(rgb, code, effort=0, coding=ROUNDED)
        codec.encode(rgb, code, effort=0, coding=BITS_BACK)
    finally:
        del codec.bits_back.encode
    z = codec.prior.at(code).z
    symbols, numbers = group(rounded.z - z.offset / FRACTIONS, z.numbers)
    row = {
        "pixels": rgb.shape[0] * rgb.shape[1],
        "rounded_bytes": container.HEADER_BYTES + len(rounded.payload),
        "rounded_z_bits": float(codec.stored.tables.bits(symbols.astype(np.int64), numbers).sum()),
        "bits_back_bytes": None,
        "not_whitened_surplus_bits": accounts[1] and accounts[1][1].net - accounts[1][1].kl,
    }
    if accounts[0]:
        latents, account = accounts[0]
        row |= {
            "bits_back_bytes": container.HEADER_BYTES + len(latents.payload),
            "sampled_rows": account.rows[0],
            "rows": account.rows[1],
            "pushed_bits": account.pushed,
            "returned_bits": account.returned,
            "expected_bits": account.log2_q - account.log2_p,
            "kl_bits": account.kl,
            "not_covered_bits": account.rounded_z,
            "rounded_psnr_db": metrics.psnr_db(rgb, codec.synthesize(rounded)),
            "bits_back_psnr_db": metrics.psnr_db(rgb, codec.synthesize(latents)),
        }
    return row
