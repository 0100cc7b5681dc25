"""The store of clean training crops: 256 x 256 planes in ``.npy`` shards that are memory-mapped, so a start is instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CROP = 256
"""Height and width of a stored crop in pixels."""

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
    """Shards of crops in one folder, in two groups that are sampled with fixed shares.

    Parameters
    ----------
    photographs, generated : tuple of array
        Memory-mapped shards, each of shape (N, 256, 256).
    """

    photographs: tuple[NDArray[np.float16], ...]
    generated: tuple[NDArray[np.float16], ...]

    @classmethod
    def open(cls, folder: Path) -> CropStore:
        """Map every shard of `folder`: ``photographs*.npy`` and ``generated*.npy``, in the order of their names."""

        def shards(pattern: str) -> tuple[NDArray[np.float16], ...]:
            return tuple(np.load(path, mmap_mode="r") for path in sorted(folder.glob(pattern)))

        store = cls(shards("photographs*.npy"), shards("generated*.npy"))
        if not store.photographs and not store.generated:
            raise FileNotFoundError(f"No training crops in {folder}: make them with 'python -m pretraining data'.")
        return store

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.photographs + self.generated)

    def pick(self, generated: bool, position: float) -> NDArray[np.float16]:
        """Return the crop at relative `position` (0..1) of one group, or of the other where that is empty."""
        group = self.generated if generated else self.photographs
        group = group or self.photographs or self.generated
        index = min(int(position * sum(map(len, group))), sum(map(len, group)) - 1)
        for shard in group:
            if index < len(shard):
                crop: NDArray[np.float16] = shard[index]
                return crop
            index -= len(shard)
        raise IndexError(position)
