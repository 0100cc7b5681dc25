"""Crops from freely licensed images: Debian's wallpaper packages, textures of a game, and images that scikit-image ships.

Authors and licences are listed in PHOTOGRAPHS.md; the lists here and in `track_textures` name the files that are used, and nothing
else is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from skimage import data

from pretraining.crops import Plane, cut
from pretraining.track_textures import TRACK_TEXTURES

LOMIRI = (
    "Bridge_by_Sander_Klootwijk.jpg",
    "Dragonfly_by_Bolly.jpg",
    "Picture_0B_by_freespace.jpg",
    "Picture_1A_by_freespace.jpg",
    "Wine_by_Jakkub_Mede.jpg",
    "aitzgorri_by_Aitzol_Berasategi.jpg",
    "analogpattern_by_Peter_Nerlich.jpg",
    "free_by_Peter_Nerlich.jpg",
    "friends_by_Aitzol_Berasategi.jpg",
    "greentock_by_Peter_Nerlich.jpg",
    "life_by_Aitzol_Berasategi.jpg",
    "picosdeeuropa_by_Aitzol_Berasategi.jpg",
    "seeding_by_Clements_Engelhardt.jpg",
    "sunset_by_Aitzol_Berasategi.jpg",
    "umang_by_Abhishek_Mudgal.jpg",
    "Fossa_by_Jasper_Roks.jpg",
    "Infinite-Sea_by_Aury88.jpg",
    "Kleiber_by_Lukas_Baubkus.jpg",
    "Painting-Colors_by__herobrine7gamer.jpg",
)
"""Files of Debian's lomiri-wallpapers-16.04 and lomiri-wallpapers-20.04, by name."""

MATE = (
    "abstract/Elephants_5640x3172.jpg",
    "nature/Aqua.jpg",
    "nature/Blinds.jpg",
    "nature/Dune.jpg",
    "nature/FreshFlower.jpg",
    "nature/Garden.jpg",
    "nature/GreenMeadow.jpg",
    "nature/LadyBird.jpg",
    "nature/RainDrops.jpg",
    "nature/Storm.jpg",
    "nature/TwoWings.jpg",
    "nature/Wood.jpg",
    "nature/YellowFlower.jpg",
)
"""Files of Debian's mate-backgrounds."""

PLASMA = (
    "Altai",
    "Autumn",
    "BytheWater",
    "Canopee",
    "Cascade",
    "Cluster",
    "ColdRipple",
    "ColorfulCups",
    "DarkestHour",
    "EveningGlow",
    "FallenLeaf",
    "Grey",
    "Honeywave",
    "IceCold",
    "Kay",
    "Kite",
    "Kokkini",
    "MilkyWay",
    "OneStandsOut",
    "Opal",
    "PastelHills",
    "Patak",
    "Path",
    "Shell",
    "Volna",
    "summer_1am",
)
"""Wallpapers of Debian's plasma-workspace-wallpapers whose own metadata names an author and a free licence."""

SKIMAGE = ("brick", "grass", "gravel", "coffee", "rocket", "hubble_deep_field")
"""Images of scikit-image; none of those that are used for validation."""
NOT_IN_BENCHES = ("rocket", "hubble_deep_field")
"""Those that the bench of inpainting does not show either."""


def wallpaper_files(folder: Path) -> list[Path]:
    """Return the files below `folder` that `LOMIRI`, `MATE` and `PLASMA` name, sorted, the largest of each wallpaper."""
    files = [path for path in folder.rglob("*") if path.name in LOMIRI]
    files += [path for path in folder.rglob("*") if "/".join(path.parts[-2:]) in MATE]
    for name in PLASMA:
        sizes = [p for p in folder.rglob(f"wallpapers/{name}/contents/images/*") if p.is_file()]
        files += sorted(sizes, key=lambda path: path.stat().st_size)[-1:]
    return sorted(files)


def track_texture_files(folder: Path) -> list[Path]:
    """Return the files below `folder` that `TRACK_TEXTURES` names, in its order."""
    root = next(iter(sorted(folder.rglob("games/supertuxkart/data"))), folder)
    return [path for path in (root / name for name in TRACK_TEXTURES) if path.is_file()]


def _shrunk(image: Plane, factor: int) -> Plane:
    height, width = (size // factor for size in image.shape[:2])
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _planes(image: Plane, rng: np.random.Generator) -> Iterator[Plane]:
    """Yield the luminance crops of an RGB image and, now and then, those of a colour channel or an opponent plane."""
    red, green, blue = np.moveaxis(image, -1, 0)
    yield from cut(0.299 * red + 0.587 * green + 0.114 * blue)
    planes = (red, green, blue, (red - blue) / np.sqrt(2), (red - 2 * green + blue) / np.sqrt(6))
    for plane, least in zip(planes, (0.012, 0.012, 0.012, 0.005, 0.004), strict=True):
        for crop in cut(plane, least_texture=least):
            if rng.random() < 0.1:
                yield crop


def _read(path: Path) -> Plane:
    """Return an image as RGB, 0..1."""
    pixels = np.asarray(iio.imread(path))
    scale = 65535.0 if pixels.dtype == np.uint16 else 255.0
    image = np.atleast_3d(pixels)[..., :3].astype(np.float32) / scale
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def track_texture_crops(folder: Path, *, seed: int = 0) -> Iterator[Plane]:
    """Yield crops of the track textures below `folder`, shrunk by 2."""
    rng = np.random.default_rng(seed)
    for path in track_texture_files(folder):
        yield from _planes(_shrunk(_read(path), 2), rng)


def photograph_crops(folder: Path | None, *, shipped: Sequence[str] = SKIMAGE, seed: int = 0) -> Iterator[Plane]:
    """Yield crops of the wallpapers below `folder` (where given) and of scikit-image's images.

    Wallpapers are shrunk by 2 and, where they stay large enough, by 3 or more, which takes away the traces of JPEG.

    Parameters
    ----------
    folder : Path, optional
        Where the Debian packages were unpacked.
    shipped : sequence of str
        Which of scikit-image's images.
    seed : int
        Decides which colour planes are kept.
    """
    rng = np.random.default_rng(seed)
    for path in wallpaper_files(folder) if folder is not None else []:
        image = _read(path)
        side = min(image.shape[:2])
        coarse = 3 if side < 2000 else 5
        for factor in (2, coarse):
            if side // factor >= 256:
                yield from _planes(_shrunk(image, factor), rng)
    for name in shipped:
        image = np.atleast_3d(getattr(data, name)())[..., :3].astype(np.float32) / 255.0
        image = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
        if name in ("hubble_deep_field", "rocket", "coffee"):
            image = _shrunk(image, 2) if min(image.shape[:2]) >= 512 else image
        yield from _planes(image, rng)
