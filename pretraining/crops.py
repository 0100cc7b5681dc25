"""The store of clean training crops: 256 x 256 planes in ``.npy`` shards that are memory-mapped, so a start is instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CROP = 256
"""Height and width of a stored crop in pixels."""

_SIGNED = "packed-signed"
_MOST_IN_FILE = 500
_WHITE = 255.0

Plane = NDArray[np.float32]


def write_shard(folder: Path, name: str, crops: Iterable[Plane]) -> int:
    """Write `crops` (each 256 x 256, gray in 0..1 or signed chroma) as one float16 shard and return their number.

    The shard appears under its name only when it is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stack = [np.asarray(crop, np.float16) for crop in crops]
    if not stack:
        return 0
    partial = folder / f"{name}.partial"
    with partial.open("wb") as file:
        np.save(file, np.stack(stack))
    partial.replace(folder / f"{name}.npy")
    return len(stack)


def pack(crops: Path, out: Path) -> int:
    """Write the photographs of a folder of crops as 8-bit PNG, and return how many bytes these take.

    They are small enough then to be sent to another machine; generated images are made there again.

    Parameters
    ----------
    crops : Path
        Folder with shards of `write_shard`.
    out : Path
        Folder for ``photographs-packed-*.png`` and, of differences of colours, ``photographs-packed-signed-*.png``: crops one below
        the other.
    """
    stack = np.concatenate([np.load(path) for path in sorted(crops.glob("photographs*.npy"))]).astype(np.float32)
    signed = stack.min(axis=(1, 2)) < 0.0
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, planes in (("packed", stack[~signed]), (_SIGNED, 0.5 + 0.5 * stack[signed])):
        for start in range(0, len(planes), _MOST_IN_FILE):
            tall = planes[start : start + _MOST_IN_FILE].reshape(-1, CROP)
            written.append(out / f"photographs-{name}-{start // _MOST_IN_FILE}.png")
            iio.imwrite(written[-1], np.rint(np.clip(tall, 0.0, 1.0) * _WHITE).astype(np.uint8), optimize=True)
    return sum(path.stat().st_size for path in written)


def _unpacked(path: Path) -> NDArray[np.float16]:
    """Return the crops of one file of `pack`, (N, 256, 256)."""
    planes = iio.imread(path).reshape(-1, CROP, CROP).astype(np.float32) / _WHITE
    return np.asarray(2.0 * planes - 1.0 if _SIGNED in path.name else planes, np.float16)


def cut(plane: Plane, *, stride: int = 208, least_texture: float = 0.012) -> Iterator[Plane]:
    """Yield the 256 x 256 crops of `plane` whose fine detail is worth learning.

    Parameters
    ----------
    plane : array
        Shape (H, W), 0..1.
    stride : int
        Distance between neighbouring crops in pixels.
    least_texture : float
        Smallest mean absolute difference between neighbouring pixels.
    """
    height, width = plane.shape
    for y in range(0, height - CROP + 1, stride):
        for x in range(0, width - CROP + 1, stride):
            crop = plane[y : y + CROP, x : x + CROP]
            texture = float(np.abs(np.diff(crop, axis=0)).mean() + np.abs(np.diff(crop, axis=1)).mean()) / 2
            if texture >= least_texture:
                yield crop


@dataclass(frozen=True)
class CropStore:
    """All crops of one folder in memory, in two groups that are sampled with fixed shares.

    Parameters
    ----------
    crops : Tensor
        Shape (N, 256, 256), float16: first the photographs, then the generated images.
    photographs : int
        How many of them are photographs.
    """

    crops: Tensor
    photographs: int

    @classmethod
    def open(cls, folder: Path, device: torch.device | str = "cpu") -> CropStore:
        """Load every shard of `folder`: ``photographs*`` and ``generated*``, in the order of their names.

        Raises
        ------
        FileNotFoundError
            There is none.
        """

        def shards(pattern: str) -> list[Tensor]:
            files = [path for path in sorted(folder.glob(pattern)) if path.suffix in (".npy", ".png")]
            return [torch.from_numpy(np.load(path) if path.suffix == ".npy" else _unpacked(path)) for path in files]

        photographs, generated = shards("photographs*"), shards("generated*")
        if not photographs and not generated:
            raise FileNotFoundError(f"No training crops in {folder}: make them with 'python -m pretraining data'.")
        return cls(torch.cat(photographs + generated).to(device), sum(map(len, photographs)))

    def __len__(self) -> int:
        return len(self.crops)

    def places(self, generated: Tensor, position: Tensor) -> Tensor:
        """Return the indices of crops at relative positions of one group each, or of the other where that one is empty.

        Parameters
        ----------
        generated : Tensor of bool, (count,)
            Which group.
        position : Tensor, (count,)
            0 to 1.
        """
        drawn = len(self) - self.photographs
        if not self.photographs or not drawn:
            return (position * len(self)).long().clamp(max=len(self) - 1)
        size = torch.where(generated, drawn, self.photographs)
        within = torch.minimum((position * size).long(), size - 1)
        return within + self.photographs * generated
