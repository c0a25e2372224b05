"""Makes the golden files: run once for a format version, never again for a file that is there.

    python tests/golden/make.py

Good files are what this version's encoder made of pictures from arithmetic; a decoder of this format version has to
give the same symbols for ever, and the same pixels up to a rounding. Bad files are wrong in one way each. A file that
exists is left alone; only missing ones are made.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER.parents[1])]

from conftest import TINY, TINY_BITS_BACK  # noqa: E402
from support import chunk, in_mode, png_alpha, with_body, with_fields  # noqa: E402

from vaecodec.codec.codec import Codec  # noqa: E402
from vaecodec.format.container import ALPHA, BITS_BACK, ROUNDED, unpack  # noqa: E402
from vaecodec.networks.model import ImageVAE, ModelConfig  # noqa: E402
from vaecodec.networks.weights import load_model, save_model  # noqa: E402

# name: mode, width, height, seed, quality
GOOD = {
    "rgb-q1": ("RGB", 96, 80, 0, 1),
    "rgb-q50": ("RGB", 96, 80, 0, 50),
    "rgb-q100": ("RGB", 96, 80, 0, 100),
    "rgb-odd": ("RGB", 47, 33, 1, 60),
    "rgb-wide": ("RGB", 96, 1, 2, 73.5),
    "rgb-tall": ("RGB", 3, 95, 3, 20),
    "rgb-1x1": ("RGB", 1, 1, 4, 50),
    "l": ("L", 64, 48, 5, 40),
    "la": ("LA", 31, 17, 6, 40),
    "rgba": ("RGBA", 40, 50, 7, 30),
    "1": ("1", 48, 32, 8, 50),
    "p": ("P", 33, 32, 9, 50),
    "pa": ("PA", 16, 16, 10, 50),
    "cmyk": ("CMYK", 32, 20, 11, 80),
    "ycbcr": ("YCbCr", 20, 20, 12, 10),
    "hsv": ("HSV", 17, 18, 13, 90),
    "i16": ("I;16", 65, 64, 14, 55),
    "i": ("I", 15, 16, 15, 45),
    "f": ("F", 16, 15, 16, 35),
    "metadata": ("RGBA", 40, 24, 21, 60),
}

METADATA = {"icc_profile": b"a profile", "exif": b"Exif\0\0MM\0*\0\0\0\x08" + bytes(6), "xmp": b"<x:xmpmeta/>"}
"""As Pillow has it in `image.info`; for the file of that name."""

SAMPLED = {
    "bits-back-q10": ("RGB", 96, 200, 17, 10),
    "bits-back-q60": ("RGB", 130, 290, 18, 60),
    "bits-back-odd": ("LA", 75, 141, 19, 85),
    "bits-back-grey": ("L", 64, 129, 20, 35),
}
"""Coded with bits-back by the model that has a posterior."""


def fingerprint(values) -> str:
    """SHA-256 of latents as little-endian int32, in sixteenths of a symbol."""
    return hashlib.sha256((values * 16).numpy().astype("<i4").tobytes()).hexdigest()


def make_model_with_posterior() -> None:
    """The frozen model with a posterior that was never trained: narrower than p(z), its mean wanders with y."""
    stored = load_model(TINY)
    model = ImageVAE(ModelConfig(**stored.config.to_dict() | {"bits_back": True}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.posterior.parameters():
            if parameter.ndim > 1:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        model.posterior.networks.head.bias[stored.config.z_channels :] -= 0.5
    model.load_state_dict(stored.weights(), strict=False)
    save_model(model, TINY_BITS_BACK)


def bad_files(rgb: bytes, rgba: bytes) -> dict[str, tuple[bytes, str]]:
    """Name to content and the exception that it must end in."""
    body, payload = unpack(rgba), unpack(rgb).payload
    alpha = body.chunks[ALPHA]
    flipped = bytearray(rgb)
    flipped[60] ^= 4
    head_flipped = bytearray(rgb)
    head_flipped[13] ^= 1
    random = np.random.default_rng(0).bytes(len(payload))
    return {
        "empty": (b"", "NotAVaeFile"),
        "text": (b"This is no picture.\n", "NotAVaeFile"),
        "header-cut": (rgb[:35], "Truncated"),
        "header-flipped": (bytes(head_flipped), "Corrupt"),
        "payload-cut": (rgb[:-1], "Truncated"),
        "payload-flipped": (bytes(flipped), "Corrupt"),
        "payload-random": (with_body(rgb, [], random), "Corrupt"),
        "payload-missing": (with_body(rgb, [], b""), "Corrupt"),
        "payload-longer": (with_body(rgb, [], b"\1\0\0\0" + payload), "Corrupt"),
        "payload-odd": (with_fields(rgb, payload_bytes=len(payload) - 1), "Corrupt"),
        "symbols-crc": (with_fields(rgb, symbols_crc=0), "Corrupt"),
        "other-quality": (with_fields(rgb, quality=0), "Corrupt"),
        "trailing-byte": (rgb + b"\0", "Corrupt"),
        "version-2": (with_fields(rgb, version=2), "Unsupported"),
        "coding-1": (with_fields(rgb, coding=1), "Unsupported"),
        "mode-13": (with_fields(rgb, mode=13), "Unsupported"),
        "chunk-unknown": (with_body(rgb, [chunk(b"NEXT", b"?")], payload), "Unsupported"),
        "chunk-twice": (with_body(rgba, [chunk(ALPHA, alpha)] * 2, body.payload), "Corrupt"),
        "alpha-missing": (with_body(rgba, [], body.payload), "Corrupt"),
        "alpha-size": (
            with_body(rgba, [chunk(ALPHA, png_alpha(np.zeros((3, 3), np.uint8)))], body.payload),
            "Corrupt",
        ),
        "alpha-text": (with_body(rgba, [chunk(ALPHA, b"no PNG")], body.payload), "Corrupt"),
        "zero-width": (with_fields(rgb, width=0), "Corrupt"),
        "bomb": (with_fields(rgb, width=2**24 - 1, height=2**24 - 1), "LimitError"),
        "other-model": (with_fields(rgb, model_id=b"\xde\xad\xbe\xef"), "ModelError"),
    }


def bad_bits_back_files(rgb: bytes) -> dict[str, tuple[bytes, str]]:
    """The same for files that are coded with bits-back."""
    payload = unpack(rgb).payload
    return {
        "bits-back-as-rounded": (with_fields(rgb, coding=0), "Corrupt"),
        "bits-back-payload-missing": (with_body(rgb, [], b""), "Corrupt"),
        "bits-back-payload-random": (with_body(rgb, [], np.random.default_rng(1).bytes(len(payload))), "Corrupt"),
        "bits-back-one-row": (with_fields(rgb, height=64), "Corrupt"),
        "bits-back-other-quality": (with_fields(rgb, quality=20_000), "Corrupt"),
        "coding-2": (with_fields(rgb, coding=2), "Unsupported"),
    }


def make(index: dict, pictures: dict[str, tuple], codec: Codec, coding: int) -> None:
    """Files of good pictures, and what decoding them has to give."""
    for name, (mode, width, height, seed, quality) in pictures.items():
        path = FOLDER / f"{name}.vae"
        if path.exists():
            print(f"{path.name}: is there and stays")
            continue
        image = in_mode(mode, width, height, seed)
        image.info |= METADATA if name == "metadata" else {}
        data = codec.compress(image, quality=quality, coding=coding)
        latents = codec.decode(unpack(data))
        if latents.coding != coding:
            raise SystemExit(f"{name}: could not be coded like that")
        path.write_bytes(data)
        Image.fromarray(codec.synthesize(latents)).save(path.with_suffix(".png"), optimize=True)
        alpha = unpack(data).chunks.get(ALPHA)
        image = codec.decompress(data)
        index["good"][name] = {
            "model": codec.name,
            "width": width, "height": height, "mode": unpack(data).header.mode, "decoded_mode": image.mode,
            "quality": latents.quality, "symbols_crc": latents.symbols_crc, "z": fingerprint(latents.z),
            "y_hat": fingerprint(latents.y_hat),
            "alpha": alpha and hashlib.sha256(image.getchannel("A").tobytes()).hexdigest(),
            "metadata": {key: image.info[key].hex() for key in METADATA if key in image.info},
        }  # fmt: skip


def main() -> None:
    if not TINY_BITS_BACK.exists():
        make_model_with_posterior()
    index_path = FOLDER / "index.json"
    index = json.loads(index_path.read_text()) if index_path.exists() else {"good": {}, "bad": {}}
    make(index, GOOD, Codec(TINY), ROUNDED)
    make(index, SAMPLED, Codec(TINY_BITS_BACK), BITS_BACK)
    good = {name: (FOLDER / f"{name}.vae").read_bytes() for name in (*GOOD, *SAMPLED)}
    bad = bad_files(good["rgb-q50"], good["rgba"]) | bad_bits_back_files(good["bits-back-q60"])
    for name, (data, error) in bad.items():
        path = FOLDER / f"bad-{name}.vae"
        if not path.exists():
            path.write_bytes(data)
            index["bad"][name] = error
    index_path.write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
