"""`.vae` as a Pillow format: `import vaecodec.pillow_plugin` registers it.

`Image.open` reads the header and the metadata; pixels are decoded, and torch is imported, when they are asked for.
`image.save("x.vae", quality=70)` takes what `vaecodec.compress` takes, and `exif=`, `icc_profile=`, `xmp=`.
"""

from __future__ import annotations

from typing import IO

from PIL import Image, ImageFile

import vaecodec
from vaecodec.container import HEADER_BYTES, MAGIC, quality_of, read_chunks
from vaecodec.errors import NotAVaeFile, VaecodecError
from vaecodec.images import METADATA

FORMAT = "VAE"
_OPENS_AS = {"P": "RGB", "PA": "RGBA"}
_OPTIONS = ("quality", "size", "bpp", "psnr", "effort", "model")


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


class VaeImageFile(ImageFile.ImageFile):
    """A `.vae` file that has been opened and not yet decoded."""

    format = FORMAT
    format_description = "vaecodec, a variational autoencoder"

    def _open(self) -> None:
        try:
            header = vaecodec.read_info(self.fp.read(HEADER_BYTES))
            chunks = read_chunks(self.fp, header.chunks)
        except NotAVaeFile as error:
            raise SyntaxError(str(error)) from error
        except VaecodecError as error:
            raise OSError(str(error)) from error
        self._size = (header.width, header.height)
        self._mode = _OPENS_AS.get(header.mode, header.mode)
        self.info["quality"] = quality_of(header.quality)
        self.info |= {key: chunks[kind] for kind, key in METADATA.values() if kind in chunks}
        self.tile = [ImageFile._Tile("vae", (0, 0, *self._size), 0, None)]

    def load(self):
        """Decodes the pixels.

        Raises:
            OSError: the file is damaged, or its model is not installed.
        """
        if self.tile:
            self.fp.seek(0)
            limit = Image.MAX_IMAGE_PIXELS and 2 * Image.MAX_IMAGE_PIXELS
            try:
                decoded = vaecodec.decompress(self.fp.read(), max_pixels=limit)
            except VaecodecError as error:
                raise OSError(str(error)) from error
            self.im, self._mode, self.tile = decoded.im, decoded.mode, []
            self.info |= decoded.info
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    given = image.encoderinfo
    image = image.copy()
    for _, key in METADATA.values():
        if given.get(key) is not None:
            value = given[key]
            image.info[key] = value.tobytes() if isinstance(value, Image.Exif) else value
    try:
        data = vaecodec.compress(image, **{key: given[key] for key in _OPTIONS if key in given})
    except VaecodecError as error:
        raise OSError(str(error)) from error
    file.write(data)


def register() -> None:
    """Tells Pillow of the format; to do it twice does no harm."""
    Image.register_open(FORMAT, VaeImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, ".vae")
    Image.register_mime(FORMAT, "image/x-vaecodec")


register()
