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
import zlib
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER.parents[1])]

from conftest import TINY, TINY_BITS_BACK, picture  # noqa: E402
from support import alpha_plane, chunk, drawn, in_mode, png_alpha, with_body, with_fields  # noqa: E402

from vaecodec.codec import alpha  # noqa: E402
from vaecodec.codec.codec import Codec  # noqa: E402
from vaecodec.codec.descriptions import Describer, Options  # noqa: E402
from vaecodec.format.container import (  # noqa: E402
    ALPHA,
    BITS_BACK,
    COLOUR,
    EXACT,
    EXIF,
    ICC,
    IPTC,
    MADE,
    RESOLUTION,
    ROUNDED,
    SOFT_ALPHA,
    XMP,
    unpack,
)
from vaecodec.networks.config import ModelConfig  # noqa: E402
from vaecodec.networks.model import ImageVAE  # noqa: E402
from vaecodec.networks.weights import load_model, save_model  # noqa: E402
from vaecodec.pictures import exact, lossless  # noqa: E402
from vaecodec.pictures.images import Planes  # noqa: E402

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


def held_files(codec: Codec) -> dict[str, bytes]:
    """Files with parts without loss, of each kind and form."""
    photo, lines = picture(150, 140, 5), drawn(150, 140, 3)
    mixed, mask = photo.copy(), np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1]], bool)
    there = exact.as_pixels(mask, mixed.shape)
    mixed[there] = lines[there]
    soft = alpha_plane(150, 140)
    tiles = lambda image, alpha, **options: with_tiles(codec, image, alpha, mask, **options)
    metadata = {ICC: bytes(200), COLOUR: b"\4\1", EXIF: b"Exif\0\0MM\0*\0\0\0\x08" + bytes(60), XMP: b"<x/>" * 20}
    metadata |= {IPTC: bytes(99), RESOLUTION: (300).to_bytes(2, "little")}
    files = {
        "exact-rgb": codec_free(Planes(lines, None, "RGB", None)),
        "exact-rgba": codec_free(Planes(lines[:40, :50], soft[:40, :50], "RGBA", None)),
        "exact-la": codec_free(Planes(lines[:20, :30, :1].repeat(3, 2), soft[:20, :30], "LA", None)),
        "exact-1x1": codec_free(Planes(lines[:1, :1], None, "RGB", None)),
        "exact-cmyk": codec_free(Planes(lines[:30, :20], None, "CMYK", None)),
        "tiles": tiles(mixed, None),
        "tiles-alpha-exact": tiles(mixed, soft),
        "tiles-alpha-coded": tiles(mixed, soft, coded=True),
        "alpha-coded": with_tiles(codec, photo[:33, :47], soft[:33, :47], None, coded=True),
        "metadata-deflated": codec_free(Planes(lines[:8, :8], None, "RGB", None, metadata)),
        "made": codec_free(Planes(lines[:8, :8], None, "RGB", None, {MADE: bytes(range(12)) + b"png lossless"})),
    }
    wide, tall = (np.tile(lines[:2, :25], (1, 660, 1)), np.tile(lines[:25, :2], (660, 1, 1)))
    files |= {
        "exact-strips-wide": codec_free(Planes(wide, None, "RGB", None)),
        "exact-strips-tall": codec_free(Planes(tall, None, "RGB", None)),
        "tiles-strips": with_tiles(codec, tall, None, np.arange(258)[:, None] == 257),
    }
    with mock.patch.object(lossless.features, "check", lambda name: False):  # as where there is no WebP: PNG
        files |= {
            "exact-png-palette": codec_free(Planes(lines[:30, :41], None, "RGB", None)),
            "exact-png-rgb": codec_free(Planes(photo[:30, :41], None, "RGB", None)),
            "exact-png-rgba": codec_free(Planes(lines[:30, :41], soft[:30, :41], "RGBA", None)),
            "tiles-png-alpha": tiles(mixed, soft),
        }
    plain = unpack(files["exact-rgb"])
    chunks = [chunk(b"news", b"for later readers"), chunk(EXACT, plain.chunks[EXACT])]
    return files | {"chunk-skippable": with_body(files["exact-rgb"], chunks, b"")}


def codec_free(planes: Planes) -> bytes:
    """A file that is exact as a whole."""
    return exact.file_of(planes, exact.pack_all(planes, keep_invisible=True))


def with_tiles(
    codec: Codec, rgb: np.ndarray, plane: np.ndarray | None, mask: np.ndarray | None, *, coded: bool = False
) -> bytes:
    """A file of the model with exact tiles over it, and a plane of alpha with loss or without."""
    latents = codec.encode(rgb, 16_000, effort=0)
    chunks = {} if mask is None else {EXACT: exact.pack_tiles(rgb, mask)}
    if plane is not None:
        grey = codec.encode(alpha.as_grey(plane), 20_000, effort=0)
        chunks[SOFT_ALPHA] = alpha.pack_coded(grey) if coded else alpha.pack_exact(plane)
    planes = Planes(rgb, plane, "RGB" if plane is None else "RGBA", None)
    return Describer(codec, planes, Options()).file(latents, chunks)


def make_held(index: dict, codec: Codec) -> None:
    """Files with parts without loss, and the pictures that they stand for."""
    for name, data in held_files(codec).items():
        path = FOLDER / f"{name}.vae"
        if path.exists():
            print(f"{path.name}: is there and stays")
            continue
        path.write_bytes(data)
        image = codec.decompress(data)
        image.convert("RGBA" if "A" in image.getbands() else "RGB").save(path.with_suffix(".png"), optimize=True)
        file = unpack(data)
        index["held"][name] = {
            "width": image.width, "height": image.height, "mode": file.header.mode, "decoded_mode": image.mode,
            "share": round(exact.share(file), 6), "chunks": {k.decode(): zlib.crc32(v) for k, v in file.chunks.items()},
        }  # fmt: skip


def bad_held_files(whole: bytes, tiles: bytes, coded: bytes) -> dict[str, tuple[bytes, str]]:
    """The same as `bad_files` for what is held without loss, and what came with it."""
    content, over, grey = (unpack(f).chunks[kind] for f, kind in ((whole, EXACT), (tiles, EXACT), (coded, SOFT_ALPHA)))
    payload = unpack(tiles).payload
    exactly = lambda new, **fields: with_fields(with_body(whole, [chunk(EXACT, new)], b""), **fields)
    tiled = lambda new: with_body(tiles, [chunk(EXACT, new)], payload)
    softly = lambda new: with_body(coded, [chunk(SOFT_ALPHA, new)], unpack(coded).payload)
    length, stream = int.from_bytes(content[1:5], "little"), content[6:]
    strip = lambda form, data: content[:1] + len(data).to_bytes(4, "little") + bytes([form]) + data
    empty = zlib.compress(b"")
    return {
        "exact-with-payload": (with_body(whole, [chunk(EXACT, content)], b"word"), "Corrupt"),
        "exact-with-model": (exactly(content, model_id=b"\1\2\3\4"), "Corrupt"),
        "exact-with-coding": (exactly(content, coding=1), "Corrupt"),
        "exact-missing": (with_body(whole, [], b""), "Corrupt"),
        "exact-empty": (exactly(b""), "Corrupt"),
        "exact-kind-2": (with_body(tiles, [chunk(EXACT, b"\2" + over[1:])], payload), "Unsupported"),
        "exact-form-2": (exactly(strip(2, stream)), "Unsupported"),
        "exact-cut": (exactly(content[:-1]), "Corrupt"),
        "exact-longer": (exactly(content + b"?"), "Corrupt"),
        "exact-stream-cut": (exactly(strip(0, stream[: length // 2])), "Corrupt"),
        "exact-stream-random": (exactly(strip(0, np.random.default_rng(2).bytes(length))), "Corrupt"),
        "exact-png-colour-4": (exactly(strip(1, b"\x08\4" + empty)), "Corrupt"),
        "exact-png-depth-16": (exactly(strip(1, b"\x10\2" + empty)), "Corrupt"),
        "exact-png-empty": (exactly(strip(1, b"\x08\2" + empty)), "Corrupt"),
        "exact-png-bomb": (exactly(strip(1, b"\x08\2" + zlib.compress(bytes(10**7), 9))), "Corrupt"),
        "exact-png-palette-cut": (exactly(strip(1, b"\x08\3\xff123")), "Corrupt"),
        "tiles-mask-empty": (tiled(over[:1] + bytes(2) + over[3:]), "Corrupt"),
        "tiles-mask-beyond": (tiled(over[:2] + b"\xff" + over[3:]), "Corrupt"),
        "tiles-mask-cut": (tiled(over[:2]), "Corrupt"),
        "alpha-coded-kind-2": (softly(b"\2" + grey[1:]), "Unsupported"),
        "alpha-coded-cut": (softly(grey[:-1]), "Corrupt"),
        "alpha-coded-crc": (softly(grey[:3] + bytes(4) + grey[7:]), "Corrupt"),
        "alpha-coded-quality": (softly(grey[:1] + b"\1\x80" + grey[3:]), "Corrupt"),
        "deflated-twice": (
            with_body(
                whole, [chunk(EXACT, content), chunk(ICC, b"i"), chunk(b"ICCZ", b"\1\0\0\0" + zlib.compress(b"i"))], b""
            ),
            "Corrupt",
        ),
        "deflated-longer": (
            with_body(whole, [chunk(EXACT, content), chunk(b"EXIZ", b"\2\0\0\0" + zlib.compress(b"123"))], b""),
            "Corrupt",
        ),
        "exact-png-beyond-palette": (
            with_fields(exactly(strip(1, b"\x08\3\0abc" + zlib.compress(b"\0\1"))), width=1, height=1),
            "Corrupt",
        ),
        "deflated-bomb": (
            with_body(whole, [chunk(EXACT, content), chunk(b"EXIZ", b"\xff" * 4 + zlib.compress(bytes(10**6)))], b""),
            "LimitError",
        ),
    }


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
    index.setdefault("held", {})
    make(index, GOOD, Codec(TINY), ROUNDED)
    make(index, SAMPLED, Codec(TINY_BITS_BACK), BITS_BACK)
    good = {name: (FOLDER / f"{name}.vae").read_bytes() for name in (*GOOD, *SAMPLED)}
    make_held(index, Codec(TINY))
    held = [(FOLDER / f"{name}.vae").read_bytes() for name in ("exact-rgb", "tiles", "alpha-coded")]
    bad = bad_files(good["rgb-q50"], good["rgba"]) | bad_bits_back_files(good["bits-back-q60"])
    bad |= bad_held_files(*held)
    for name, (data, error) in bad.items():
        path = FOLDER / f"bad-{name}.vae"
        if not path.exists():
            path.write_bytes(data)
            index["bad"][name] = error
    index_path.write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
