"""Millions of pictures on many machines, by Ray Data: a class for `Dataset.map_batches`. docs/scale.md has a script.

Imports neither ray nor torch: what is here is sent to Ray's workers, and each of them loads a model once.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vaecodec.codec import api
from vaecodec.format.catalog import model_for
from vaecodec.format.container import DEFAULT_MAX_PIXELS, METADATA
from vaecodec.inference import arguments
from vaecodec.inference.effort import DEFAULT_EFFORT
from vaecodec.pictures import images

if TYPE_CHECKING:
    import pyarrow as pa

BYTES, PATH = "bytes", "path"
"""Columns that are read: picture files, or where they lie; the first of these that is there."""
VAE, BPP, ERROR = "vae", "bpp", "error"
"""Columns that are added: the compressed file, its bits per pixel; or why there is none."""


class Compress:
    """Compresses the pictures of a table, a row at a time; a row that fails says why and harms no other.

    To be passed to `map_batches` as a class with `batch_format="pyarrow"`, so that each actor loads one model. The
    column `bytes` is left out of the result, all others are kept; added are `vae` (binary), `bpp` (float64) and
    `error` (string), where either the last is null or the first two are.

    Args:
        model: a name from `list_models` or a path that every machine has; `None` for the default.
        tune: instead of a model, as for `compress`.
        effort: as for `compress`.
        metadata: which of "icc", "exif", "xmp", "iptc" and "dpi" to keep.
        frame: of animations and files of several pages, from 1; by default the first.
        max_pixels: larger pictures fail before they are read; `None` for no limit.
        threads: for each actor; ask Ray for as many CPUs.
        graphics, lossless, keep_invisible: as for `compress`.
        asked: at most one of `quality`, `size`, `bpp`, `psnr` and `ssimulacra2`, as for `compress`.

    Raises:
        TypeError, ValueError: as of `compress`; no row is waited for.
    """

    def __init__(
        self,
        *,
        model: str | Path | None = None,
        tune: str | None = None,
        effort: int = DEFAULT_EFFORT,
        metadata: Collection[str] = tuple(METADATA),
        frame: int | None = None,
        max_pixels: int | None = DEFAULT_MAX_PIXELS,
        threads: int = 1,
        graphics: bool = True,
        lossless: bool = False,
        keep_invisible: bool = False,
        **asked: float,
    ):
        if unknown := set(asked) - set(arguments.GOALS):
            raise TypeError(f"there is no option {min(unknown)!r}")
        how = arguments.checked(effort=effort, graphics=graphics, keep_invisible=keep_invisible, **asked)
        arguments.checked(lossless=lossless, model=model, tune=tune, threads=threads)
        self._opening = arguments.checked(frame=frame, max_pixels=max_pixels)
        self._metadata = arguments.checked(metadata=metadata)["metadata"]
        if lossless:
            if asked or model or tune:
                raise ValueError("lossless takes no model, and nothing else can be asked for")
            self._compress: Callable[[images.Planes], bytes] = partial(
                api.compress_lossless, keep_invisible=keep_invisible, max_pixels=None
            )
            return
        import torch

        from vaecodec.codec.codec import Codec

        torch.set_num_threads(threads)
        codec = Codec(model_for(model, tune, psnr=asked.get("psnr")))
        self._compress = partial(codec.compress, max_pixels=None, **how)

    def __call__(self, table: pa.Table) -> pa.Table:
        """A batch.

        Raises:
            ValueError: it has neither of the columns that are read.
        """
        import pyarrow as pa

        column = next((name for name in (BYTES, PATH) if name in table.column_names), None)
        if column is None:
            raise ValueError(f"a column {BYTES!r} or {PATH!r} is needed; there are {', '.join(table.column_names)}")
        rows = [self._row(value.as_py()) for value in table[column]]
        table = table.drop_columns([n for n in (BYTES, VAE, BPP, ERROR) if n in table.column_names])
        types = {VAE: pa.binary(), BPP: pa.float64(), ERROR: pa.string()}
        for name, values in zip(types, zip(*rows, strict=True) if rows else [()] * 3, strict=True):
            table = table.append_column(name, pa.array(values, types[name]))
        return table

    def _row(self, source: bytes | str | None) -> tuple[bytes | None, float | None, str | None]:
        try:
            data = Path(source).read_bytes() if isinstance(source, str) else source
            image = images.open_image(io.BytesIO(data or b""), **self._opening)
            planes = images.take_apart(image, self._metadata)
            compressed = self._compress(planes)
        except Exception as error:  # whatever it is, the job goes on
            return None, None, f"{type(error).__name__}: {error}"
        return compressed, 8 * len(compressed) / planes.rgb[..., 0].size, None
