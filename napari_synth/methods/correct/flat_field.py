"""Uneven light: the shading and the dark field of a microscope, learnt from many of its images, and taken out of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import log, pi

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import InvalidImageError, InvalidParameterError
from napari_synth.core.progress import check_cancelled
from napari_synth.imaging.image import Image
from napari_synth.methods.correct.catalogue import Fit, FlatFieldParams

# Planes are averaged to this edge at most; so many of them are looked at.
_EDGE, _MOST_TILES, _FEWEST, _FEW = 128, 512, 3, 8
# Cosines along each axis that make up a shading and a dark field.
_ORDER, _DARK_ORDER = 8, 3
_STEPS, _RIDGE = 30, 1e-9
# Relative spread of the baseline from which on a dark field can be told from the light.
_VARIED = 0.05
# Standard deviations from which on pixels stand out of the model.
_STANDS_OUT = 3.0
_DARKEST = 0.02
_DIGITS, _BYTES_PER_PIXEL = 6, 48


@dataclass(frozen=True)
class Fields:
    """What a microscope does to the light of a field.

    Attributes
    ----------
    shading, dark : torch.Tensor, (K, K)
        Cosines of the shading, whose mean is 1, and of the dark field in counts: a field of any size is made of them.
    baseline : numpy.ndarray, (tiles,)
        How bright the light of each tile was, in counts.
    """

    shading: Tensor
    dark: Tensor
    baseline: npt.NDArray[np.float64]


def fit_fields(tiles: Tensor, *, dark: bool = True) -> Fields:
    """Return the shading and the dark field that many tiles have in common.

    The model is that of BaSiC: tile i is ``S * B_i + D + R_i``, with a smooth shading S, a baseline B_i, a smooth dark
    field D, and cells R_i in some of its pixels. It is solved otherwise: by least squares that are weighed anew again and again.
    What stands out of the model by more than three times the spread of what lies below it, the cells, counts no more in the end.
    S and D are sums of few cosines, so that neither noise nor cells that are in every tile fit into them.

    Parameters
    ----------
    tiles : torch.Tensor, (N, Y, X)
        In counts, at most about 128 pixels across.
    dark : bool
        Whether there is a dark field to fit; else it is 0. It can be told from the light only where the baseline varies.

    References
    ----------
    Peng et al., A BaSiC tool for background and shading correction of optical microscopy images, Nature Communications 2017.
    """
    height, width = tiles.shape[1:]
    unit = tiles.double().mean().abs().clamp_min(1e-12)
    data = (tiles.double() / unit).flatten(1)
    waves, darks = (_waves(height, width, order).to(data) for order in (_ORDER, _DARK_ORDER))
    solved = _solved(data, waves, darks[:, :0])
    varied = float(solved.baseline.std() / solved.baseline.mean()) if len(data) > 1 else 0.0
    if dark and varied > _VARIED:
        other = _solved(data, waves, darks)
        # In even light a dark field is the same as a brighter baseline: it is believed where tiles say so, by Schwarz's criterion.
        gain = solved.misfit(solved.spread) - other.misfit(solved.spread)
        told = gain > darks.shape[1] * log(data.numel())
        level = float((darks @ other.shade).mean())
        if told and level > 0.0 and float(other.baseline.min()) > _VARIED * float(other.baseline.mean()):
            solved = other
    shade = torch.zeros(darks.shape[1]).to(data)
    shade[: len(solved.shade)] = solved.shade
    return Fields(
        _square(solved.light, _ORDER), _square(shade * unit, _DARK_ORDER), (solved.baseline * unit).cpu().numpy()
    )


@dataclass(frozen=True)
class _Solved:
    """The cosines of shading and dark field, the brightness of each tile, and what is left of the tiles (tiles, pixels)."""

    light: Tensor
    shade: Tensor
    baseline: Tensor
    left: Tensor

    @property
    def spread(self) -> Tensor:
        """The standard deviation of what lies below the model in each tile, (tiles, 1)."""
        return torch.stack([_spread(tile) for tile in self.left])[:, None].clamp_min(1e-9)

    def misfit(self, spread: Tensor) -> float:
        """Return how badly the model explains the tiles, in squares of a spread; what stands out of it counts no more."""
        return float((self.left / spread).square().clamp_max(_STANDS_OUT**2).sum())


def _solved(data: Tensor, waves: Tensor, darks: Tensor) -> _Solved:
    """Solve for the light of tiles (tiles, pixels), by cosines (pixels, cosines) of the shading and, if any, of a dark field."""
    baseline = data.median(1).values.clamp_min(1e-3)
    shading, offset = torch.ones_like(data[0]), torch.zeros_like(data[0])
    weights, off = torch.ones_like(data), torch.zeros_like(data)
    light, shade = torch.zeros(waves.shape[1]).to(data), torch.zeros(darks.shape[1]).to(data)
    for step in range(_STEPS):
        check_cancelled()
        varied = float(baseline.std() / baseline.mean()) if len(baseline) > 1 else 0.0
        fits_dark = darks.shape[1] > 0 and step >= _STEPS // 2 and varied > _VARIED
        per_light = (weights * baseline[:, None] ** 2).sum(0)
        wanted = (weights * baseline[:, None] * data).sum(0)
        matrix = waves.T @ (per_light[:, None] * waves)
        right = waves.T @ wanted
        if fits_dark:
            cross, alone = (weights * baseline[:, None]).sum(0), weights.sum(0)
            # A dark field like the shading is the same as a brighter baseline: that part is fitted, and left to the baseline.
            both = torch.cat([darks, shading[:, None]], 1)
            mixed = waves.T @ (cross[:, None] * both)
            matrix = torch.cat(
                [torch.cat([matrix, mixed], 1), torch.cat([mixed.T, both.T @ (alone[:, None] * both)], 1)]
            )
            right = torch.cat([right, both.T @ (weights * data).sum(0)])
        matrix = matrix + _RIDGE * matrix.diagonal().mean() * torch.eye(len(matrix)).to(matrix)
        found = torch.linalg.solve(matrix, right)
        light = found[: waves.shape[1]]
        if fits_dark:
            shade = found[waves.shape[1] : -1]
        mean = light[0].clamp_min(1e-6)
        light = light / mean
        shading, offset = (waves @ light).clamp_min(_DARKEST), darks @ shade
        brightness = (weights * shading * (data - offset)).sum(1) / (weights * shading**2).sum(1).clamp_min(1e-12)
        baseline = brightness.clamp_min(1e-6)
        off = data - shading * baseline[:, None] - offset
        # The lower side is background alone; cells are on the upper one.
        spread = torch.stack([_spread(tile) for tile in off])[:, None].clamp_min(1e-9)
        reach = max(_STANDS_OUT, 8.0 * 0.8**step)
        weights = (1.0 - (off / (reach * spread)).square()).clamp_min(0.0).square()
    return _Solved(light, shade, baseline, off)


def _spread(off: Tensor) -> Tensor:
    """Return the standard deviation of what lies below the model."""
    below = off[off < 0]
    return 1.4826 * below.abs().median() if len(below) else off.abs().median()


def _orders(order: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(order) for j in range(order) if i + j < order]


def _waves(height: int, width: int, order: int) -> Tensor:
    """Return cosines at every pixel, (pixels, cosines), the constant first."""
    y, x = (_cosines(size, slice(0, size), order) for size in (height, width))
    return torch.stack([torch.outer(y[:, i], x[:, j]).ravel() for i, j in _orders(order)], 1)


def _cosines(size: int, part: slice, order: int) -> Tensor:
    """Return cosines of unit variance at a part of so many pixels, (pixels, order)."""
    at = (torch.arange(part.start, part.stop, dtype=torch.float64) + 0.5) / size
    orders = torch.arange(order, dtype=torch.float64)
    return torch.cos(pi * at[:, None] * orders) * torch.where(orders > 0, 2.0**0.5, 1.0)


def _square(values: Tensor, order: int) -> Tensor:
    """Return cosines as a square, (order, order)."""
    square = torch.zeros((order, order), dtype=torch.float64)
    for (i, j), value in zip(_orders(order), values.tolist(), strict=True):
        square[i, j] = value
    return square


def field(coefficients: Tensor, sizes: tuple[int, int], part: tuple[slice, slice]) -> Tensor:
    """Return a part of a field of any size from its cosines.

    Parameters
    ----------
    coefficients : torch.Tensor, (K, K)
    sizes : (int, int)
        Of the whole field along Y and X.
    part : (slice, slice)
        The pixels that are wanted.
    """
    y, x = (_cosines(size, wanted, len(coefficients)) for size, wanted in zip(sizes, part, strict=True))
    return y @ coefficients @ x.T


class Flattened(Prepared):
    """An image in even light.

    Parameters
    ----------
    shading, dark : torch.Tensor, (K, K)
        Cosines; those of the dark field in normalised intensities.
    zero : float
        Normalised intensity of no counts.
    sizes : (int, int)
        Of the field along Y and X.
    at : (slice, slice), optional
        Where the blocks lie; nowhere yet where left out.
    """

    def __init__(
        self, shading: Tensor, dark: Tensor, zero: float, sizes: tuple[int, int], at: tuple[slice, slice] | None = None
    ) -> None:
        self.spec = BlockSpec.plane(0, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._shading, self._dark, self._zero, self._sizes, self._at = shading, dark, zero, sizes, at
        self.noise_level, self.multiplies = 0.0, True

    @property
    def is_placed(self) -> bool:
        """The light is that of a place in the field."""
        return True

    def at(self, place: Mapping[str, slice]) -> Prepared:
        """Return what corrects the blocks at one place; see `Prepared.at`."""
        return Flattened(self._shading, self._dark, self._zero, self._sizes, (place["Y"], place["X"]))

    def apply(self, block: Tensor) -> Tensor:
        """Correct one batch of blocks; see `Prepared.apply`."""
        dark = self._field(self._dark, block)
        return (block - self._zero - dark) / self._light(block) + self._zero

    def gains(self, block: Tensor) -> Tensor:
        """Return how much brighter the corners were made; see `Prepared.gains`."""
        return (1.0 / self._light(block)).expand_as(block)

    @property
    def learnt(self) -> dict[str, tuple[str, npt.NDArray[np.float32]]]:
        """What was learnt, as images with their axes, by name: the shading, whose mean is 1, and the dark field in counts."""
        shading, dark = fields_of(self.resolved["fitted"][0], self._sizes)
        return {"shading": ("YX", shading), "dark field": ("YX", dark)}

    def _light(self, block: Tensor) -> Tensor:
        return self._field(self._shading, block).clamp_min(_DARKEST)

    def _field(self, coefficients: Tensor, block: Tensor) -> Tensor:
        part = self._at or (slice(0, self._sizes[0]), slice(0, self._sizes[1]))
        return field(coefficients, self._sizes, part).to(block)


def prepare_flat_field(image: Image, params: FlatFieldParams, context: Context) -> Prepared:
    """Learn the light from the tiles of the reference, or from the planes of the image, unless a recipe holds it.

    Parameters
    ----------
    image : Image
    params : FlatFieldParams
    context : Context

    Raises
    ------
    InvalidImageError
        There are too few tiles, or they are of another size than the image: it was stitched of them, or is of another camera.
    InvalidParameterError
        What a recipe holds is of another size than the image, or of fewer channels.
    """
    context.report.start("Learning the light")
    sizes = (image.sizes["Y"], image.sizes["X"])
    notes: tuple[str, ...] = ()
    if params.fitted is not None and context.reference is None:
        fit = _held(params.fitted, context.channel or 0, sizes)
    else:
        tiles = image if context.reference is None else context.reference
        if (tiles.sizes["Y"], tiles.sizes["X"]) != sizes:
            raise InvalidImageError(
                f"The tiles have {tiles.sizes['Y']} by {tiles.sizes['X']} pixels and the image {sizes[0]} by {sizes[1]}: the light"
                " of a microscope is that of one field, so correct the tiles first and stitch them then."
            )
        small = torch.stack(list(_small_planes(tiles, context)))
        fields = fit_fields(small - params.dark, dark=params.dark_field)
        fit = {
            "size": tuple(float(size) for size in sizes),
            "shading": _numbers(fields.shading),
            "dark": _numbers(fields.dark),
            "level": (params.dark,),
            "baseline": tuple(float(f"{value:.{_DIGITS}g}") for value in fields.baseline),
        }
        notes = _notes(fields, params)
    shading, dark = (_squared(fit[name]) for name in ("shading", "dark"))
    dark = dark.clone()
    dark[0, 0] += fit["level"][0]
    scale, offset = context.intensity.scale, context.intensity.offset
    prepared = Flattened(shading, dark / scale, -offset / scale, sizes)
    prepared.notes, prepared.resolved = notes, {"fitted": [fit]}
    return prepared


def fields_of(fit: Fit, sizes: tuple[int, int]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the shading, whose mean is 1, and the dark field in counts, as images.

    Parameters
    ----------
    fit : mapping
        What the recipe of a run with the flat field holds as ``fitted``, of one channel.
    sizes : (int, int)
        Of the field along Y and X.
    """
    whole = (slice(0, sizes[0]), slice(0, sizes[1]))
    shading, dark = (
        field(_squared(fit[name]), sizes, whole).numpy().astype(np.float32) for name in ("shading", "dark")
    )
    return shading, dark + np.float32(fit["level"][0])


def _small_planes(tiles: Image, context: Context) -> Iterator[Tensor]:
    """Yield evenly spread planes of many tiles, averaged to a small size, in counts."""
    lead = [axis for axis in tiles.axes if axis not in "YX"]
    places = list(product(*(range(tiles.sizes[axis]) for axis in lead)))
    if len(places) < _FEWEST:
        have = "is one plane" if len(places) == 1 else f"are {len(places)} planes"
        raise InvalidImageError(
            f"There {have} to learn the light from, and cells cannot be told from it: give at least {_FEWEST} fields of the same"
            " microscope, better 25, with --from or as the reference; those that an image was stitched of, not the image."
        )
    chosen = sorted({int(i) for i in np.linspace(0, len(places) - 1, min(len(places), _MOST_TILES))})
    height, width = (tiles.sizes[axis] for axis in "YX")
    edges = (min(_EDGE, height), min(_EDGE, width))
    context.report.start("Learning the light", len(chosen))
    for index in chosen:
        plane = tiles.read(**dict(zip(lead, places[index], strict=True)))
        plane = plane if tiles.axes.index("Y") < tiles.axes.index("X") else plane.T
        values = np.asarray(plane, np.float64)
        finite = np.isfinite(values)
        if not finite.all():
            values = np.where(finite, values, np.median(values[finite]) if finite.any() else 0.0)
        yield functional.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(values))[None, None], edges)[0, 0]
        context.report.advance()


def _held(fitted: tuple[Fit, ...], channel: int, sizes: tuple[int, int]) -> Fit:
    """Return what a recipe holds of the light of a channel."""
    if len(fitted) > 1 and channel >= len(fitted):
        raise InvalidParameterError(
            f"The recipe holds the light of {len(fitted)} channels, and the image has more: learn it from tiles with all of them."
        )
    fit = fitted[min(channel, len(fitted) - 1)]
    if not {"shading", "dark", "level"} <= set(fit) or any(_edge(fit[name]) is None for name in ("shading", "dark")):
        raise InvalidParameterError(
            "The fitted fields are not those of a flat field: take them from a recipe of this method."
        )
    if fit.get("size") and tuple(fit["size"]) != sizes:
        height, width = (int(size) for size in fit["size"][:2])
        raise InvalidParameterError(
            f"The recipe holds the light of fields of {height} by {width} pixels, and the image has {sizes[0]} by {sizes[1]}: an"
            " image that was stitched, or is of another camera, has another light."
        )
    return fit


def _edge(values: tuple[float, ...]) -> int | None:
    edge = round(len(values) ** 0.5)
    return edge if edge > 0 and edge * edge == len(values) else None


def _squared(values: tuple[float, ...]) -> Tensor:
    edge = _edge(values) or 1
    return torch.tensor(values, dtype=torch.float64).reshape(edge, edge)


def _numbers(square: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in square.ravel().tolist())


def _notes(fields: Fields, params: FlatFieldParams) -> tuple[str, ...]:
    """Say how uneven the light is, and what could not be told."""
    edge = slice(0, _EDGE)
    shading = field(fields.shading, (_EDGE, _EDGE), (edge, edge))
    count = len(fields.baseline)
    said = [
        f"Learnt from {count} planes: the light goes from {float(shading.min()):.2f} to {float(shading.max()):.2f} of its mean."
    ]
    if count < _FEW:
        said.append(f"{count} planes are few: cells may be taken for light; 25 are enough.")
    if params.dark_field and not fields.dark.any():
        said.append(
            "These planes do not tell what is there without light, so that nothing was subtracted for it: set the dark level where"
            " the camera has one."
        )
    return tuple(said)
