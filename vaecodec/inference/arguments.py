"""What can be asked for, in one table: the types and values of all options, looked at before any work is done.

Imports neither torch nor numpy; numpy's numbers are taken as Python's are.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from vaecodec.format.catalog import TUNES
from vaecodec.format.container import CODINGS, METADATA, QUALITIES
from vaecodec.inference.effort import LEVELS
from vaecodec.pictures.region import SCALES

GOALS = ("quality", "size", "bpp", "psnr", "ssimulacra2")
"""Of which one can be asked for."""
_GOALS = f"{', '.join(GOALS[:-1])} and {GOALS[-1]}"


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")  # as numpy calls its own


def _is_region(value: object) -> bool:
    sequence = hasattr(value, "__getitem__") and hasattr(value, "__iter__") and not isinstance(value, (str, Mapping))
    return sequence and all(_is_whole(side) for side in value)  # type: ignore[attr-defined]


def _are_names(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str)


@dataclass(frozen=True)
class Option:
    """What can be given for an option; `None` leaves it open where that is its default.

    Attributes:
        what: in words, for the error.
        has_type: whether a value is of a type that is taken.
        plain: makes it one of Python's own types.
        allowed: whether a plain value is in range.
    """

    what: str
    has_type: Callable[[object], bool]
    plain: Callable[[Any], Any] = lambda value: value
    allowed: Callable[[Any], bool] = lambda value: True
    may_be_none: bool = True


def _number(what: str, allowed: Callable[[float], bool], *, may_be_none: bool = True) -> Option:
    return Option(what, _is_number, float, allowed, may_be_none)


def _whole(what: str, allowed: Callable[[int], bool], *, may_be_none: bool = True) -> Option:
    return Option(what, _is_whole, int, allowed, may_be_none)


_FLAG = Option("True or False", _is_flag, bool, may_be_none=False)

OPTIONS = {
    "quality": _number("a number from {:g} to {:g}".format(*QUALITIES), lambda q: QUALITIES[0] <= q <= QUALITIES[1]),
    "size": _number("a number of bytes above 0", lambda size: 0 < size < math.inf),
    "bpp": _number("a number of bits per pixel above 0", lambda bpp: 0 < bpp < math.inf),
    "psnr": _number("a finite number of dB", math.isfinite),
    "ssimulacra2": _number("a finite number up to 100", lambda score: -math.inf < score <= 100),
    "effort": _whole(f"a whole number from 0 to {LEVELS - 1}", lambda e: e in range(LEVELS), may_be_none=False),
    "coding": _whole(f"one of {', '.join(map(str, CODINGS))} and None", lambda coding: coding in CODINGS),
    "progress": Option("a function or None", callable),
    "graphics": _FLAG,
    "lossless": _FLAG,
    "keep_invisible": _FLAG,
    "tune": Option(f"one of {', '.join(TUNES)}", lambda v: isinstance(v, str), allowed=lambda tune: tune in TUNES),
    "model": Option("a model's name or path", lambda v: isinstance(v, (str, os.PathLike))),
    "frame": _whole("a whole number", lambda frame: True),  # the picture says whether there is such a frame
    "max_pixels": _whole("a whole number above 0 or None", lambda pixels: pixels > 0),
    "region": Option("four whole numbers: left, top, width and height", _is_region,
                     lambda value: tuple(int(side) for side in value), lambda region: len(region) == 4),
    "scale": _number(f"one of {', '.join(SCALES)}", lambda scale: scale in SCALES.values(), may_be_none=False),
    "precision": Option("the name of a precision", lambda v: isinstance(v, str)),
    "metadata": Option(f"some of {', '.join(METADATA)}", _are_names, tuple, lambda v: set(v) <= set(METADATA), False),
    "threads": _whole("a whole number above 0", lambda threads: threads > 0, may_be_none=False),
}  # fmt: skip


def checked(**given: Any) -> dict[str, Any]:
    """Options as they were given, in Python's own types.

    Raises:
        TypeError: one is of a type that is not taken, or unknown.
        ValueError: one is out of range, or more than one goal is asked for.
    """
    plain = {name: _checked(name, value) for name, value in given.items()}
    goals = [name for name in GOALS if plain.get(name) is not None]
    if goals and plain.get("lossless"):
        raise ValueError(f"ask for lossless, or for one of {_GOALS}")
    if len(goals) > 1:
        raise ValueError(f"ask for one of {_GOALS}, not for {' and '.join(goals)}")
    return plain


def _checked(name: str, value: Any) -> Any:
    if name not in OPTIONS:
        raise TypeError(f"there is no option {name!r}")
    option = OPTIONS[name]
    if value is None and option.may_be_none:
        return None
    if not option.has_type(value):
        raise TypeError(f"{name} {reprlib.repr(value)} is not {option.what}")
    try:
        plain = option.plain(value)
        allowed = option.allowed(plain)
    except OverflowError:  # a whole number that is too large for a float
        plain, allowed = value, False
    if not allowed:
        raise ValueError(f"{name} {reprlib.repr(plain)} is not {option.what}")
    return plain
