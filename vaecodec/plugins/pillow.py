"""`.vae` as a Pillow format: `import vaecodec.pillow_plugin` registers it.

`Image.open` reads the header and the metadata; pixels are decoded, and torch is imported, when they are asked for.
`image.save("x.vae", quality=70)` takes what `vaecodec.compress` takes, and `exif=`, `icc_profile=`, `xmp=`, `dpi=`.
`verify` reads all of a file and holds it against its checksums; it decodes nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from typing import IO, TYPE_CHECKING

from PIL import Image, ImageFile

from vaecodec.codec import api
from vaecodec.errors import ModelError, NotAVaeFile, VaecodecError
from vaecodec.format.catalog import find_model
from vaecodec.format.container import HEADER_BYTES, MAGIC, read_chunks, unpack
from vaecodec.pictures.exchange import metadata
from vaecodec.pictures.region import REDUCTIONS

if TYPE_CHECKING:
    from PIL._imaging import PixelAccess

FORMAT = "VAE"
_OPENS_AS = {"P": "RGB", "PA": "RGBA"}
_OPTIONS = tuple(name for name in inspect.signature(api.compress).parameters if name not in ("image", "frame"))
_METADATA = ("icc_profile", "exif", "xmp", "dpi")
_OTHERS = (
    "optimize", "progressive", "subsampling", "qtables", "smooth", "keep_rgb",  # JPEG
    "compress_level", "compress_type", "bits",  # PNG
    "method", "alpha_quality", "minimize_size", "speed", "compression",  # WebP, AVIF, TIFF
)  # fmt: skip
"""How formats of Pillow's own compress: of no meaning here, and no reason to refuse what is saved in several."""


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


class VaeImageFile(ImageFile.ImageFile):
    """A `.vae` file that has been opened and not yet decoded."""

    format = FORMAT
    format_description = "vaecodec, a variational autoencoder"

    def _open(self) -> None:
        file = self._opened()
        try:
            header = api.read_info(file.read(HEADER_BYTES))
            info = metadata.to_info(read_chunks(file, header.chunks))
        except NotAVaeFile as error:
            raise SyntaxError(str(error)) from error
        except VaecodecError as error:
            raise OSError(str(error)) from error
        self._size = (header.width, header.height)
        self._mode = _OPENS_AS.get(header.mode, header.mode)
        with contextlib.suppress(ModelError):  # only its model knows what the code in the header means
            self.info["quality"] = find_model(header).qualities.quality(header.quality)
        self.info |= info
        self.tile = [ImageFile._Tile("vae", (0, 0, *self._size), 0, None)]
        self._reduction, self._loading = 1, threading.Lock()

    def _opened(self) -> IO[bytes]:
        """What it is read from, until it is decoded."""
        if self.fp is None:
            raise ValueError("operation on a closed image")
        return self.fp

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decodes smaller, by 2, 4 or 8, as long as that is not below a size; `thumbnail` asks for it.

        Returns:
            As for JPEG: the mode, which stays, and the box of the picture within the smaller one.
        """
        if not self.tile or self._reduction != 1 or size is None:
            return None
        ratio = min(self.width // max(size[0], 1), self.height // max(size[1], 1))
        self._reduction = max(reduction for reduction in REDUCTIONS if reduction <= max(ratio, 1))
        box = (0, 0, self.width / self._reduction, self.height / self._reduction)
        self._size = (-(-self.width // self._reduction), -(-self.height // self._reduction))
        return self.mode, box

    def load_seek(self, pos: int) -> None:
        """There is no decoder that could be fed by and by; Pillow's `ImageFile.Parser` looks for this method."""

    def verify(self) -> None:
        """Holds all of the file against its checksums, and closes it, as Pillow's other formats do.

        Raises:
            OSError: the file is damaged.
            RuntimeError: the pixels have been loaded, or this has been called before.
        """
        if self.fp is None:
            raise RuntimeError("verify must be called directly after open")
        self.fp.seek(0)
        try:
            unpack(self.fp.read(), max_pixels=None)
        except VaecodecError as error:
            raise OSError(str(error)) from error
        finally:
            super().verify()

    def load(self) -> PixelAccess | None:
        """Decodes the pixels, once, for whichever thread comes first.

        Raises:
            OSError: the file is damaged, or its model is not installed.
        """
        if self.tile:
            with self._loading:
                if self.tile:
                    self._decode()
        return super().load()

    def _decode(self) -> None:
        file = self._opened()
        file.seek(0)
        limit = Image.MAX_IMAGE_PIXELS and 2 * Image.MAX_IMAGE_PIXELS
        try:
            decoded = api.decompress(file.read(), scale=1 / self._reduction, max_pixels=limit)
        except VaecodecError as error:
            raise OSError(str(error)) from error
        self.im, self._mode, self.readonly = decoded.im, decoded.mode, 0
        self.info |= decoded.info
        if self._exclusive_fp:
            file.close()
        self.fp = None
        self.tile = []  # last, as other threads take it for done then


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    given = image.encoderinfo
    called_with = getattr(image, "_default_encoderinfo", given)  # the rest may be meant for other formats
    if called_with.get("append_images"):
        _save_all(image, file, filename)
    known = (*_OPTIONS, *_METADATA)
    if unknown := sorted(set(called_with) - {*known, *_OTHERS, "append_images"}):
        raise TypeError(f"there is no option {unknown[0]!r} for .vae files; there are {', '.join(known)}")
    image = image.copy()
    for key in _METADATA:
        if given.get(key) is not None:
            value = given[key]
            image.info[key] = value.tobytes() if isinstance(value, Image.Exif) else value
    try:
        data = api.compress(image, **{key: given[key] for key in _OPTIONS if key in given})
    except VaecodecError as error:
        raise OSError(str(error)) from error
    file.write(data)


def _save_all(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    raise ValueError("a .vae file holds one picture: save_all and append_images are not for it")


def register() -> None:
    """Tells Pillow of the format; to do it twice does no harm."""
    Image.register_open(FORMAT, VaeImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_save_all(FORMAT, _save_all)
    Image.register_extension(FORMAT, ".vae")
    Image.register_mime(FORMAT, "image/x-vaecodec")


register()
