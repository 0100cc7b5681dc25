"""Tells by how much the channels of a microscope are displaced against each other.

Light of another colour is focused elsewhere, and filters and cameras are not quite aligned: what one channel shows at a place,
another shows a little beside it, further towards the border of the field, and in another plane. `estimate_channel_maps` measures
that from beads that shine in all channels, or from what the channels of the image itself have in common.

References
----------
Kozubek & Matula, "An efficient algorithm for measurement and correction of chromatic aberrations in fluorescence microscopy",
Journal of Microscopy 200 (2000).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_synth.core.errors import InvalidImageError, InvalidParameterError
from napari_synth.core.progress import Reporter
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.registration import estimate_shift

Movement = Literal["auto", "shift", "affine"]
"""How a displacement may change over the field."""
Doubles = npt.NDArray[np.float64]

_FRAMES = 8
_TILES = 12
_SMALLEST_TILE, _LARGEST_TILE = 48, 160
_SMALLEST_FIELD = 16
_SMOOTHING = 1.0
# In pixels: how far a part of the field may lie from where the whole does.
_FARTHEST = 6.0
# In standard deviations of what displaced parts have in common by chance; and a correlation that beads in noise still reach.
_BY_CHANCE = 5.0
_LEAST_CORRELATION = 0.05
_FEW = 4
_FEWEST_FOR_AFFINE = 9
# In pixels at a corner of the field: less is not worth a map.
_WORTH = 0.1
# In pixels: parts that disagree by more hardly count.
_DOUBT = 0.15
_ROUNDS = 10
_LATERAL = 128


@dataclass(frozen=True)
class ChannelMap:
    """Where what the reference channel shows lies in another channel.

    What is at ``x`` in the reference is at ``x + shift + slope (x - centre)`` in this channel, in pixels.

    Attributes
    ----------
    shift : tuple of float
        Along (Z,) Y and X.
    slope : tuple of float
        How the displacement changes over the field: of Y along Y, of Y along X, of X along Y, of X along X.
    centre : tuple of float
        The middle of the field along Y and X, from which `slope` counts.
    parts : int
        Of the field that were compared with each other and agree; 0 for the reference.
    error : float
        About how far the map is from the truth, in pixels, by how well these parts agree.
    """

    shift: tuple[float, ...]
    slope: tuple[float, float, float, float]
    centre: tuple[float, float]
    parts: int = 0
    error: float = 0.0

    def displacement(self, y: Any, x: Any) -> tuple[Any, Any]:
        """Return the displacement along Y and X at places.

        Parameters
        ----------
        y, x : array-like
            Places in pixels; numbers, numpy arrays or tensors.
        """
        (yy, yx, xy, xx), (cy, cx) = self.slope, self.centre
        return (
            self.shift[-2] + yy * (y - cy) + yx * (x - cx),
            self.shift[-1] + xy * (y - cy) + xx * (x - cx),
        )

    def largest(self, size: tuple[int, int]) -> tuple[float, float]:
        """Return the largest displacement along Y and X in a field of a size."""
        corners = [self.displacement(y, x) for y in (0, size[0] - 1) for x in (0, size[1] - 1)]
        return max(abs(y) for y, _ in corners), max(abs(x) for _, x in corners)


def estimate_channel_maps(
    image: Image, *, reference: int = 0, movement: Movement = "auto", report: Reporter | None = None
) -> tuple[ChannelMap, ...]:
    """Measure by how much the channels of an image are displaced against one of them.

    Parts of the field are compared one by one, by their intensities and by the strength of their edges, whichever agrees better:
    stains of different structures may share no more than outlines. A part counts where it agrees with its place in the other
    channel far better than with places beside it. A volume is compared in projection, and along Z as a whole.

    Parameters
    ----------
    image : Image
        With channels (C), or colours (S). Of a movie, frames are averaged.
    reference : int
        The channel that stays.
    movement : {"auto", "shift", "affine"}
        One shift for the whole field, or one that changes over it (magnification, rotation); "auto" takes the latter where the
        parts say so.
    report : Reporter, optional
        Told of every channel.

    Returns
    -------
    tuple of ChannelMap
        One a channel.

    Raises
    ------
    InvalidImageError
        There is one channel alone, the field is too small, or two channels have too little in common.
    InvalidParameterError
        There is no such channel.
    """
    image, report = without_alpha(image), report or Reporter()
    axis = "C" if "C" in image.axes else "S"
    count = image.sizes.get(axis, 1)
    if count < 2:
        raise InvalidImageError(
            "There is one channel alone, so that nothing can be compared: give an image of several."
        )
    if not 0 <= reference < count:
        raise InvalidParameterError(f"There is no channel {reference}: the image has {count}, the first is 0.")
    size = (image.sizes["Y"], image.sizes["X"])
    if min(size) < _SMALLEST_FIELD:
        raise InvalidImageError(
            f"A field of {size[0]} by {size[1]} pixels is too small to compare channels in: it needs {_SMALLEST_FIELD} along each."
        )
    report.start("Comparing the channels", count)
    first = _Channel(image, axis, reference)
    maps = []
    for channel in range(count):
        maps.append(
            _unmoved(image) if channel == reference else _map(first, _Channel(image, axis, channel), movement, channel)
        )
        report.advance()
    return tuple(maps)


class _Channel:
    """What is looked at of one channel.

    Parameters
    ----------
    image : Image
    axis : str
        That of the channels.
    channel : int
    """

    def __init__(self, image: Image, axis: str, channel: int) -> None:
        volume = np.zeros([image.sizes.get(name, 1) for name in "ZYX"])
        frames = image.sizes.get("T", 1)
        for frame in sorted({int(t) for t in np.linspace(0, frames - 1, min(frames, _FRAMES))}):
            where = {axis: channel} | ({"T": frame} if "T" in image.axes else {})
            kept = [name for name in image.axes if name not in where]
            pixels = image.read(**where).astype(np.float64)
            if other := [i for i, name in enumerate(kept) if name not in "ZYX"]:
                pixels, kept = pixels.mean(tuple(other)), [name for name in kept if name in "ZYX"]
            pixels = pixels.transpose([kept.index(name) for name in "ZYX" if name in kept])
            volume += pixels.reshape(volume.shape)
        finite = np.isfinite(volume)
        self.volume = np.where(finite, volume, np.median(volume[finite]) if finite.any() else 0.0)
        plane = self.volume.mean(0)
        self.features = (_normed(plane), _normed(_edges(plane)))

    def lateral(self) -> Doubles:
        """Return the volume in pixels that are coarser along Y and X."""
        steps = [-(-size // _LATERAL) for size in self.volume.shape[1:]]
        z, y, x = self.volume.shape
        cut = self.volume[:, : y // steps[0] * steps[0], : x // steps[1] * steps[1]]
        coarse = cut.reshape(z, y // steps[0], steps[0], x // steps[1], steps[1]).mean((2, 4))
        return _normed(coarse)


def _edges(plane: Doubles) -> Doubles:
    from scipy.ndimage import gaussian_gradient_magnitude

    return np.asarray(gaussian_gradient_magnitude(plane, _SMOOTHING))


def _normed(pixels: Doubles) -> Doubles:
    """Return intensities in units of their spread, what is far brighter than the rest cut off."""
    centred = pixels - np.median(pixels)
    spread = float(np.quantile(np.abs(centred), 0.99)) or float(np.abs(centred).max()) or 1.0
    return np.asarray(np.clip(centred / spread, -3.0, 3.0))


def _unmoved(image: Image) -> ChannelMap:
    shift = (0.0,) * (3 if image.sizes.get("Z", 1) > 1 else 2)
    return ChannelMap(shift, (0.0,) * 4, _middle((image.sizes["Y"], image.sizes["X"])))


def _middle(size: Sequence[int]) -> tuple[float, float]:
    return (size[0] - 1) / 2, (size[1] - 1) / 2


@dataclass(frozen=True)
class _Parts:
    """Places (n, 2), displacements (n, 2) and how sure these are (n,), of the parts of a field that agree."""

    places: Doubles
    displacements: Doubles
    certainty: Doubles


def _map(first: _Channel, second: _Channel, movement: Movement, channel: int) -> ChannelMap:
    """Return the map of one channel against the reference."""
    size = first.volume.shape[1:]
    fits = []
    for a, b in zip(first.features, second.features, strict=True):
        parts, tried = _agreeing(a, b)
        if not len(parts.places):
            continue
        fit = _fitted(parts, _middle(size), movement)
        # A few parts may agree by chance where many were asked, but not with each other.
        if fit.parts >= (1 if tried < _FEW else _FEW):
            fits.append(fit)
    if not fits:
        raise InvalidImageError(
            f"Channel {channel} has too little in common with the one that stays to tell how they are displaced: give an image of"
            " beads that shine in all channels, with --from or as the reference."
        )
    best = min(fits, key=lambda fit: fit.error)
    if len(first.volume) < 2:
        return best
    # The projection tells nothing of Z.
    along = estimate_shift(first.lateral(), second.lateral(), _SMOOTHING).displacement[0]
    return ChannelMap((along, *best.shift), best.slope, best.centre, best.parts, best.error)


def _agreeing(a: Doubles, b: Doubles) -> tuple[_Parts, int]:
    """Return the parts of two planes that agree, and how many were tried."""
    whole = np.rint(estimate_shift(a, b, _SMOOTHING).displacement).astype(int)
    edge = min(int(np.clip(min(a.shape) // 4, _SMALLEST_TILE, _LARGEST_TILE)), *a.shape)
    # What is alike by chance is compared as smooth as the parts are.
    fine_a, fine_b = (_fine(plane, edge) for plane in (a, b))
    places, displacements, certainty, tried = [], [], [], 0
    for top, left in _tiles(a.shape, edge):
        there = np.array((top, left)) + whole
        if (there < 0).any() or (there + edge > a.shape).any():
            continue
        tried += 1
        here = a[top : top + edge, left : left + edge]
        moved = estimate_shift(here, b[there[0] : there[0] + edge, there[1] : there[1] + edge], _SMOOTHING)
        far = max(abs(one) for one in moved.displacement)
        part = fine_a[top : top + edge, left : left + edge]
        chance = [_alike(part, fine_b, place, edge) for place in _beside(there, a.shape, edge)]
        least = max(_LEAST_CORRELATION, _BY_CHANCE * float(np.sqrt(np.mean(np.square(chance)))) if chance else 0.5)
        sure = float(np.linalg.eigvalsh(np.asarray(moved.certainty)).min())
        if far > _FARTHEST or moved.correlation < min(least, 0.9) or sure <= 0.0:
            continue
        places.append((top + (edge - 1) / 2, left + (edge - 1) / 2))
        displacements.append(whole + moved.displacement)
        certainty.append(sure)
    shape = (-1, 2)
    return _Parts(
        np.array(places, float).reshape(shape),
        np.array(displacements, float).reshape(shape),
        np.array(certainty, float),
    ), tried


def _fine(plane: Doubles, edge: int) -> Doubles:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(plane, _SMOOTHING) - gaussian_filter(plane, edge / 16))


def _tiles(shape: Sequence[int], edge: int) -> Iterator[tuple[int, int]]:
    """Yield the corners of parts that are spread evenly over a field."""
    rows, columns = (
        np.unique(np.linspace(0, size - edge, min(_TILES, max(1, 2 * (size // edge) - 1))).astype(int))
        for size in shape
    )
    for top in rows:
        for left in columns:
            yield int(top), int(left)


def _beside(there: npt.NDArray[Any], shape: Sequence[int], edge: int) -> Iterator[tuple[int, int]]:
    """Yield places around one, far enough away that nothing of it is there by more than chance."""
    for y in (-edge // 2, 0, edge // 2):
        for x in (-edge // 2, 0, edge // 2):
            top, left = int(there[0]) + y, int(there[1]) + x
            if (y or x) and 0 <= top <= shape[0] - edge and 0 <= left <= shape[1] - edge:
                yield top, left


def _alike(here: Doubles, b: Doubles, place: tuple[int, int], edge: int) -> float:
    there = b[place[0] : place[0] + edge, place[1] : place[1] + edge]
    pair = here - here.mean(), there - there.mean()
    norm = float(np.sqrt((pair[0] ** 2).sum() * (pair[1] ** 2).sum()))
    return float((pair[0] * pair[1]).sum()) / norm if norm else 0.0


def _fitted(parts: _Parts, centre: tuple[float, float], movement: Movement) -> ChannelMap:
    """Return the map through the displacements of parts, by least squares in which those that disagree hardly count."""
    shift = _solved(parts, centre, affine=False)
    enough = len(parts.places) >= _FEWEST_FOR_AFFINE
    if movement == "shift" or (movement == "auto" and not enough):
        return shift[0]
    if not enough:
        raise InvalidImageError(
            f"Only {len(parts.places)} parts of the field agree, and a map that changes over it needs {_FEWEST_FOR_AFFINE}: choose"
            " the movement 'shift', or give an image of more beads."
        )
    affine = _solved(parts, centre, affine=True)
    numbers = 2 * len(parts.places)
    # Schwarz's criterion: 4 numbers more have to pay.
    gain = numbers * np.log(max(shift[1], 1e-12) / max(affine[1], 1e-12)) - 4 * np.log(numbers)
    over = max(abs(one) for one in affine[0].slope) * max(centre)
    return affine[0] if movement == "affine" or (gain > 0.0 and over > _WORTH) else shift[0]


def _solved(parts: _Parts, centre: tuple[float, float], *, affine: bool) -> tuple[ChannelMap, float]:
    """Return a map and the mean squared disagreement of the parts with it."""
    away = parts.places - centre
    columns = np.column_stack([np.ones(len(away)), away]) if affine else np.ones((len(away), 1))
    base = parts.certainty / parts.certainty.max()
    weight, found = base, np.zeros((columns.shape[1], 2))
    left = np.zeros(len(away))
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)[:, None]
        found = np.linalg.lstsq(columns * root, parts.displacements * root, rcond=None)[0]
        left = np.square(parts.displacements - columns @ found).sum(1)
        weight = base / (1.0 + left / _DOUBT**2)
    mean = float((weight * left).sum() / weight.sum()) / 2
    error = float(np.sqrt(mean * columns.shape[1] / max(1.0, weight.sum() ** 2 / (weight**2).sum())))
    slope = found[1:].T.ravel() if affine else np.zeros(4)
    yy, yx, xy, xx = (float(one) for one in slope)
    count = int((left < (4 * _DOUBT) ** 2).sum())
    return ChannelMap((float(found[0, 0]), float(found[0, 1])), (yy, yx, xy, xx), centre, count, error), mean
