"""PNG, JPEG and BMP: pictures, with what they say of themselves."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import ImageFileError
from napari_synth.files.pixels import oriented
from napari_synth.imaging.image import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First row and column, and steps, of the seven passes of an interlaced PNG.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_ORIENTATION = 0x0112


def read_picture(path: Path) -> Image:
    """Read a PNG, JPEG or BMP upright: gray, gray with alpha, RGB or RGBA, of 8 or 16 bits.

    Black and white of 1 bit become 0 and 255; palettes, CMYK and other colour spaces become RGB.

    Raises
    ------
    ImageFileError
        The picture ends too early, or is damaged.
    """
    from PIL import Image as Pillow

    content = path.read_bytes()
    if content.startswith(_PNG):
        header = _check_png(path, content)
    elif content.startswith(_JPEG) and not _ends(content):
        raise ImageFileError(f"{path.name!r} ends too early, a part of the picture is missing: copy it again.")
    notes = []
    with Pillow.open(io.BytesIO(content)) as picture:
        if (count := getattr(picture, "n_frames", 1)) > 1:
            notes.append(f"{path.name!r} holds {count} pictures: the first is read.")
        orientation = int(picture.getexif().get(_ORIENTATION, 1))
        if content.startswith(_PNG) and header["depth"] == 16 and header["colour"] not in (0, 3):
            # Pillow would keep 8 of the 16 bits of a colour.
            import imagecodecs

            data: Any = imagecodecs.png_decode(content)
        else:
            picture.load()
            data = _pixels(picture)
    data = np.asarray(data)
    axes = "YX" if data.ndim == 2 else "YXS"
    data, _ = oriented(data, axes, orientation)
    return Image(np.ascontiguousarray(data), axes, notes=tuple(notes))


def check_png(image: Image) -> None:
    """Raise `ImageFileError` where a PNG cannot hold this image without loss."""
    gray = set(image.axes) == set("YX") and image.dtype.name in {"uint8", "uint16"}
    colour = set(image.axes) == set("YXS") and image.dtype.name == "uint8" and image.sizes["S"] in (2, 3, 4)
    if not (gray or colour):
        raise ImageFileError(
            f"PNG holds one plane of 8 or 16 bits (8 in colour), not {image.axes} of {image.dtype}: write .ome.tif."
        )


def write_png(path: Path, image: Image) -> None:
    """Write an 8-bit or 16-bit gray plane, or an 8-bit plane of gray with alpha, RGB or RGBA; see `check_png`."""
    from PIL import Image as Pillow

    data = image.read().transpose([image.axes.index(axis) for axis in ("YXS" if "S" in image.axes else "YX")])
    Pillow.fromarray(np.ascontiguousarray(data)).save(path, format="PNG")


def _pixels(picture: Any) -> npt.NDArray[Any]:
    """Return the pixels of a picture of Pillow as gray, gray with alpha, RGB or RGBA."""
    mode, transparent = picture.mode, "transparency" in picture.info
    if mode == "1":
        return np.asarray(picture.convert("L"))
    if mode == "P":
        coloured = np.asarray(picture.convert("RGBA" if transparent else "RGB"))
        colours = coloured[..., :3]
        if (colours == colours[..., :1]).all():
            return coloured[..., [0, 3]] if transparent else np.ascontiguousarray(coloured[..., 0])
        return coloured
    if mode in {"L", "LA", "RGB", "RGBA"}:
        return np.asarray(picture.convert({"L": "LA", "RGB": "RGBA"}.get(mode, mode)) if transparent else picture)
    if mode in {"La", "RGBa", "PA"}:
        return np.asarray(picture.convert("LA" if mode == "La" else "RGBA"))
    if mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if mode in {"I", "F"}:
        data = np.asarray(picture)
        return data.astype(np.uint16) if mode == "I" and data.min() >= 0 and data.max() < 2**16 else data
    return np.asarray(picture.convert("RGB"))


def _check_png(path: Path, content: bytes) -> dict[str, int]:
    """Return depth and colour type of a PNG whose pixels are all there.

    Raises
    ------
    ImageFileError
        They are not: readers fill what is missing with zeros.
    """
    broken = ImageFileError(
        f"{path.name!r} ends too early, or is damaged: copy it again, since a part of the picture is missing."
    )
    header: dict[str, int] = {}
    there, closed, stream = 0, False, zlib.decompressobj()
    try:
        for kind, body in _png_chunks(content):
            if kind == b"IHDR":
                width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
                header = {"width": width, "height": height, "depth": depth, "colour": colour, "interlaced": interlaced}
            elif kind == b"IDAT":
                there += len(stream.decompress(body))
            elif kind == b"IEND":
                closed = True
                break
        there += len(stream.flush())
        needed = _png_bytes(**header)
    except (struct.error, zlib.error, KeyError, TypeError) as error:
        raise broken from error
    if not closed or there < needed:
        raise broken
    return header


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a PNG that are there whole, and raise `struct.error` where one is not."""
    at = len(_PNG)
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", content, at + 8 + length)
        if zlib.crc32(kind + body) != checksum and kind in {b"IHDR", b"IDAT", b"PLTE"}:
            raise struct.error("wrong checksum")
        yield kind, body
        at += 12 + length


def _png_bytes(width: int, height: int, depth: int, colour: int, interlaced: int) -> int:
    """Return how many bytes the pixels of a PNG take once they are no longer compressed, each row with one for its filter."""
    bits = depth * _PNG_SAMPLES[colour]

    def rows(wide: int, high: int) -> int:
        return high * (1 + ceil(wide * bits / 8)) if wide > 0 else 0

    if not interlaced:
        return rows(width, height)
    return sum(rows(ceil((width - x) / dx), max(ceil((height - y) / dy), 0)) for y, x, dy, dx in _PASSES)


def _ends(content: bytes) -> bool:
    """Return whether a JPEG has its end: readers fill what is missing with gray."""
    at = 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            return False
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xD9:
            return True
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xDA:
            # Behind this comes the picture, in which 0xFF is followed by 0 or by one of the marks to start over.
            while True:
                at = content.find(b"\xff", at)
                if at < 0 or at + 1 >= len(content):
                    return False
                if content[at + 1] == 0xD9:
                    return True
                if content[at + 1] != 0 and not 0xD0 <= content[at + 1] <= 0xD7:
                    break
                at += 2
    return False
