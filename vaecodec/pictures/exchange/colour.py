"""Which colours a picture's values stand for: what PNG says of it in chunks, in few bytes and as ICC profiles.

Of PNG's four ways to say it (third edition, 4.3) the first that is there counts: cICP, iCCP, sRGB, then gAMA and cHRM.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from vaecodec.errors import Corrupt

UNIT = 100_000
"""Gamma and chromaticities are whole numbers of 1/100000, as in PNG."""
_GAMMA, _PRIMARIES, _SRGB, _CICP = 1, 2, 4, 8
_BYTES = {_GAMMA: 3, _PRIMARIES: 24, _GAMMA | _PRIMARIES: 27, _SRGB: 1, _CICP: 4}
"""What a first byte may say is there, and how many bytes follow."""

_D65, _WHITE_C = (31270, 32900), (31000, 31600)
_SRGB_PRIMARIES = (*_D65, 64000, 33000, 30000, 60000, 15000, 6000)
_CICP_PRIMARIES = {
    1: _SRGB_PRIMARIES,
    4: (*_WHITE_C, 67000, 33000, 21000, 71000, 14000, 8000),
    5: (*_D65, 64000, 33000, 29000, 60000, 15000, 6000),
    6: (*_D65, 63000, 34000, 31000, 59500, 15500, 7000),
    7: (*_D65, 63000, 34000, 31000, 59500, 15500, 7000),
    9: (*_D65, 70800, 29200, 17000, 79700, 13100, 4600),
    11: (31400, 35100, 68000, 32000, 26500, 69000, 15000, 6000),
    12: (*_D65, 68000, 32000, 26500, 69000, 15000, 6000),
    22: (*_D65, 63000, 34000, 29500, 60500, 15500, 7700),
}
"""White, red, green and blue by H.273's `ColourPrimaries`."""
_UNSPECIFIED = 2
_NO_CURVE = {16: "PQ", 18: "HLG"}
"""Transfer functions of H.273 that no curve of a profile can stand for: they go beyond white."""


def _srgb_curve(value: np.ndarray) -> np.ndarray:
    return np.where(value < 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _bt709_curve(value: np.ndarray) -> np.ndarray:
    return np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))


Curve = float | Callable[[np.ndarray], np.ndarray]
"""From values to light, both from 0 to 1: an exponent or a function."""
_CICP_CURVES: dict[int, Curve] = {
    4: 2.2, 5: 2.8, 8: 1.0, 13: _srgb_curve, 17: 2.6, **dict.fromkeys((1, 6, 14, 15), _bt709_curve),
}  # fmt: skip
"""By H.273's `TransferCharacteristics`."""


@dataclass(frozen=True)
class Colour:
    """What a PNG says of its colours without a profile: cICP alone, sRGB alone, or gamma and primaries or one of them.

    Attributes:
        gamma: of the encoding, as in gAMA: 45455 for 1/2.2. From 1 to 2^24 − 1.
        primaries: x and y of white, red, green and blue, as in cHRM: from 0 to 100000, white within the triangle.
        srgb: a rendering intent, 0 to 3.
        cicp: H.273's colour primaries, transfer function, matrix (0: RGB) and whether values take the full range.

    Raises:
        ValueError: a field is out of range, or there are others than may stand together.
    """

    gamma: int | None = None
    primaries: tuple[int, ...] | None = None
    srgb: int | None = None
    cicp: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        sound = (
            self._there in _BYTES
            and (self.gamma is None or 0 < self.gamma < 2**24)
            and (self.primaries is None or _is_triangle(self.primaries))
            and (self.srgb is None or 0 <= self.srgb <= 3)
            and (self.cicp is None or _is_cicp(self.cicp))
        )
        if not sound:
            raise ValueError(f"{self} describes no colours")

    @property
    def _there(self) -> int:
        fields = ((_GAMMA, self.gamma), (_PRIMARIES, self.primaries), (_SRGB, self.srgb), (_CICP, self.cicp))
        return sum(flag for flag, value in fields if value is not None)

    @classmethod
    def from_info(cls, info: Mapping[Any, Any], *, profiled: bool = False) -> Colour | None:
        """What Pillow's `image.info` says, as `info` gives it; `None` if nothing that makes sense.

        Args:
            profiled: there is an ICC profile, which counts for more than anything but cICP.
        """
        if _is_cicp(cicp := info.get("cicp", ())):
            return cls(cicp=tuple(cicp))
        if profiled:
            return None
        if (srgb := info.get("srgb")) in (0, 1, 2, 3):
            return cls(srgb=int(srgb))
        (gamma,) = _in_units([info.get("gamma")]) or (0,)
        primaries = _in_units(info.get("chromaticity"))
        kept = gamma if 0 < gamma < 2**24 else None, primaries if _is_triangle(primaries) else None
        return cls(*kept) if kept != (None, None) else None

    def info(self) -> dict[str, Any]:
        """As in Pillow's `image.info`; cICP, which Pillow does not know, as a tuple under "cicp"."""
        found: dict[str, Any] = {"srgb": self.srgb, "cicp": self.cicp}
        found["gamma"] = None if self.gamma is None else self.gamma / UNIT
        found["chromaticity"] = None if self.primaries is None else tuple(value / UNIT for value in self.primaries)
        return {key: value for key, value in found.items() if value is not None}

    def to_bytes(self) -> bytes:
        """2 to 28 bytes: which fields there are, then these."""
        whole = [] if self.gamma is None else [self.gamma]
        data = b"".join(value.to_bytes(3, "little") for value in [*whole, *(self.primaries or ())])
        return bytes([self._there]) + data + bytes(() if self.srgb is None else [self.srgb]) + bytes(self.cicp or ())

    @classmethod
    def from_bytes(cls, data: bytes) -> Colour:
        """The inverse of `to_bytes`.

        Raises:
            Corrupt: it is nothing that `to_bytes` makes.
        """
        if not data or _BYTES.get(data[0]) != len(data) - 1:
            raise Corrupt(f"the chunk on colours has {len(data)} bytes, which do not fit what it says is there")
        there, rest = data[0], data[1:]
        numbers = tuple(int.from_bytes(rest[at : at + 3], "little") for at in range(0, len(rest), 3))
        try:
            if there == _SRGB:
                return cls(srgb=rest[0])
            if there == _CICP:
                return cls(cicp=tuple(rest))
            with_gamma = there & _GAMMA
            return cls(numbers[0] if with_gamma else None, numbers[with_gamma:] or None)
        except ValueError as error:
            raise Corrupt("the chunk on colours has values out of range") from error

    def png_chunks(self) -> list[tuple[bytes, bytes]]:
        """Type and content of PNG's chunks, which have to stand before PLTE and IDAT."""
        chunks = []
        if self.cicp is not None:
            chunks.append((b"cICP", bytes(self.cicp)))
        if self.srgb is not None:
            chunks.append((b"sRGB", bytes([self.srgb])))
        if self.gamma is not None:
            chunks.append((b"gAMA", struct.pack(">I", self.gamma)))
        if self.primaries is not None:
            chunks.append((b"cHRM", struct.pack(">8I", *self.primaries)))
        return chunks

    @property
    def beyond_profiles(self) -> str | None:
        """What no ICC profile can say of it, for a message; `None` if one can say all."""
        if self.cicp is None:
            return None
        primaries, transfer, _, full = self.cicp
        if transfer in _NO_CURVE:
            return f"the transfer function {_NO_CURVE[transfer]}, for which there is no ICC profile"
        if not full or primaries not in _CICP_PRIMARIES or transfer not in _CICP_CURVES:
            return f"colours of cICP {'-'.join(map(str, self.cicp))}, for which there is no ICC profile"
        return None

    def icc_profile(self, *, grey: bool = False) -> bytes | None:
        """A profile that says the same, of three primaries or of grey; `None` where there is none."""
        if self.beyond_profiles:
            return None
        if self.cicp is not None:
            return _profile(_CICP_PRIMARIES[self.cicp[0]], _CICP_CURVES[self.cicp[1]], 0, grey)
        curve = _srgb_curve if self.gamma is None else UNIT / self.gamma
        return _profile(self.primaries or _SRGB_PRIMARIES, curve, self.srgb or 0, grey)


def _in_units(values: Any) -> tuple[int, ...] | None:
    """Numbers in units of 1/100000; `None` if any is none."""
    if not isinstance(values, (tuple, list)) or not all(isinstance(value, Real) for value in values):
        return None
    with contextlib.suppress(ZeroDivisionError, ValueError, OverflowError):  # a rational of nothing, NaN, infinity
        return tuple(round(float(value) * UNIT) for value in values)
    return None


def _is_cicp(values: Any) -> bool:
    """Whether these are four bytes that may stand in a PNG, and say something."""
    if not isinstance(values, (tuple, list, bytes)) or len(values) != 4:
        return False
    if not all(isinstance(value, int) and 0 <= value <= 255 for value in values):
        return False
    primaries, transfer, matrix, full = values
    return _UNSPECIFIED not in (primaries, transfer) and matrix == 0 and full <= 1


def _is_triangle(primaries: Any) -> bool:
    """Whether these are x and y of white, red, green and blue, and white lies within the triangle of the others."""
    if primaries is None or len(primaries) != 8 or not all(0 <= value <= UNIT for value in primaries):
        return False
    white, *corners = zip(primaries[::2], primaries[1::2], strict=True)
    sides = [
        (ax - white[0]) * (by - white[1]) - (bx - white[0]) * (ay - white[1])
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    return min(sides) > 0 or max(sides) < 0


# --- ICC profiles

_PROFILE_HEAD = 128
_SPACES = {"RGB ": "RGB", "GRAY": "grey", "CMYK": "CMYK"}
GREY_MODES = ("L", "LA", "1", "I;16", "I", "F")
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0xF6D6, 0x10000, 0xD32D]) / 2**16


def misfit(profile: bytes, mode: str) -> str | None:
    """Why a picture of a mode can do nothing with an ICC profile, for a message; `None` if it can."""
    if len(profile) < _PROFILE_HEAD or profile[36:40] != b"acsp":
        return "which is none"
    space = profile[16:20].decode("latin-1")
    fits = "GRAY" if mode in GREY_MODES else "CMYK" if mode == "CMYK" else "RGB "
    return None if space == fits else f"which is for {_SPACES.get(space, space.strip())}"


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """A picture in sRGB instead of an ICC profile's colours; `None` if the profile is of no use for that.

    Only modes RGB, RGBA, L, LA and CMYK are converted; grey becomes grey of sRGB's curve, CMYK becomes RGB.
    """
    if image.mode == "LA":
        grey = to_srgb(image.getchannel("L"), profile)
        return grey and Image.merge("LA", (grey, image.getchannel("A")))
    target = Colour(srgb=0).icc_profile(grey=image.mode == "L")
    if image.mode not in ("RGB", "RGBA", "L", "CMYK") or target is None:
        return None
    try:
        source, destination = (ImageCms.ImageCmsProfile(io.BytesIO(data)) for data in (profile, target))
        exactly = ImageCms.Flags.NOOPTIMIZE if image.mode == "L" else ImageCms.Flags.NONE  # its grey is 10 levels off
        mode = "RGB" if image.mode == "CMYK" else image.mode
        return ImageCms.profileToProfile(image, source, destination, outputMode=mode, flags=exactly)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _profile(primaries: tuple[int, ...], curve: Curve, intent: int, grey: bool) -> bytes:
    """An ICC profile, version 2, for a display with these primaries and one curve."""
    text = b"vaecodec\0"
    tags = {
        b"desc": b"desc" + struct.pack(">II", 0, len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"no copyright\0",
        b"wtpt": _xyz(_D50),
    }
    if grey:
        tags[b"kTRC"] = _curve(curve)
    else:
        tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, _columns(primaries)), strict=True))
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve))
    places: dict[bytes, int] = {}
    body, start = b"", _PROFILE_HEAD + 4 + 12 * len(tags)
    for data in tags.values():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
    table = b"".join(struct.pack(">4sII", name, places[data], len(data)) for name, data in tags.items())
    head = struct.pack(
        ">I4sI4s4s4s6H4s24xI12s48x", start + len(body), b"", 0x02100000, b"mntr", b"GRAY" if grey else b"RGB ", b"XYZ ",
        2026, 1, 1, 0, 0, 0, b"acsp", intent, _xyz(_D50)[8:],
    )  # fmt: skip
    return head + struct.pack(">I", len(tags)) + table + body


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + struct.pack(">i3i", 0, *(round(float(value) * 2**16) for value in values))


def _curve(curve: Curve) -> bytes:
    if isinstance(curve, float):
        return b"curv" + struct.pack(">IIH", 0, 1, min(max(round(curve * 256), 1), 2**16 - 1))
    samples = np.rint(curve(np.linspace(0, 1, 1024)) * (2**16 - 1)).astype(">u2")
    return b"curv" + struct.pack(">II", 0, samples.size) + samples.tobytes()


def _columns(primaries: tuple[int, ...]) -> np.ndarray:
    """`[3, 3]`: XYZ of red, green and blue at their full value, a row each, for an eye that is used to D50."""
    x, y = np.array(primaries[::2]) / UNIT, np.array(primaries[1::2]) / UNIT
    white, *corners = np.stack([x, y, 1 - x - y], axis=1)
    white = white / white[1]
    to_xyz = np.stack(corners, axis=1)
    to_xyz = to_xyz * np.linalg.solve(to_xyz, white)
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    adapted: np.ndarray = np.linalg.solve(_BRADFORD, cones @ _BRADFORD) @ to_xyz
    return adapted.T
