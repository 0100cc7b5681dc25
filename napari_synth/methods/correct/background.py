"""The background that runs below the structures of an image: a ball that rolls under them, an opening, or a smooth surface."""

from __future__ import annotations

from itertools import product
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import InvalidImageError, InvalidParameterError
from napari_synth.core.progress import check_cancelled
from napari_synth.core.texts import three_digits, unit_of
from napari_synth.imaging.image import Image
from napari_synth.imaging.sampling import sample_windows
from napari_synth.imaging.screening import noise_of
from napari_synth.methods.correct.catalogue import BackgroundParams

# A ball of this many pixels is rolled at most; larger ones roll under a coarser image.
_LARGEST_BALL, _LARGEST_VOLUME_BALL = 14, 5
# A ball is as high in counts as it is wide in pixels where an image spans 8 bits.
_LEVELS = 255.0
_BYTES_PER_PIXEL, _SURFACE_BYTES = 64, 160
_WINDOW, _SAMPLED = 512, 2**21
# Of pixels that lie near their background, in an image that has one.
_FEWEST = 0.05
_NEAR, _NEAR_RANGE = 3.0, 0.03
_CLIPPED = 0.01
_MOST_LIFT = 4.0
# Cells along each axis to which a smooth surface is fitted, its order, and how often outliers are left out.
_CELLS, _ORDER, _ROUNDS = 48, 4, 12


class Opened(Prepared):
    """An image without the background that a ball or a square finds below its structures.

    Parameters
    ----------
    radius : tuple of int
        Of the ball or the square along each axis of a block, in pixels.
    is_ball : bool
    then : _Then
        What is done with the background.

    Attributes
    ----------
    lift : float
        By how much noise lets it lie below the background: what runs below an image runs below its darkest noise.
    """

    lift = 0.0

    def __init__(self, radius: tuple[int, ...], is_ball: bool, then: _Then) -> None:
        volume = len(radius) == 3
        most = _LARGEST_VOLUME_BALL if volume else _LARGEST_BALL
        steps = [ceil(one / most) if is_ball else 1 for one in radius]
        if volume:
            steps[0] = 1
        self._steps = tuple(steps)
        self._radius = tuple(ceil(one / step) for one, step in zip(radius, steps, strict=True))
        # The mean, the coarser pixel, the ball down and up again, and what lies between coarse pixels.
        halo = tuple(step * (2 * one + 3) for one, step in zip(self._radius, steps, strict=True))
        self._is_ball, self._height, self._then = is_ball, max(radius) / _LEVELS, then
        self.spec = BlockSpec(
            "ZYX" if volume else "YX", halo, self._steps, (1,) * len(radius), bytes_per_pixel=_BYTES_PER_PIXEL
        )

    def background(self, block: Tensor) -> Tensor:
        """Return the background of blocks (N, C, *spatial), without `lift`."""
        image = block.flatten(0, 1).unsqueeze(1)
        sizes = image.shape[2:]
        smooth = _mean(image)
        if any(step > 1 for step in self._steps):
            smooth = -_pooled(-smooth, self._steps)
        found = self._ball(smooth) if self._is_ball else _square(_square(smooth, self._radius, -1), self._radius, 1)
        if any(step > 1 for step in self._steps):
            mode = "trilinear" if len(sizes) == 3 else "bilinear"
            found = functional.interpolate(found, size=sizes, mode=mode, align_corners=False)
        return torch.minimum(found, _mean(image)).reshape(block.shape)

    def apply(self, block: Tensor) -> Tensor:
        """Take the background away; see `Prepared.apply`."""
        return self._then.of(block, self.background(block) + self.lift)

    def gains(self, block: Tensor) -> Tensor:
        """Return by what the image was multiplied where it was divided by its background; see `Prepared.gains`."""
        return self._then.gains(self.background(block) + self.lift)

    def _ball(self, image: Tensor) -> Tensor:
        """Return how high the ball reaches at every pixel when it rolls below the image."""
        spans = [range(-one, one + 1) for one in self._radius]
        offsets = []
        for offset in product(*spans):
            squared = sum((at / one) ** 2 for at, one in zip(offset, self._radius, strict=True))
            if squared <= 1.0:
                offsets.append((offset, self._height * ((1.0 - squared) ** 0.5 - 1.0)))
        lowest = _shifted(image, offsets, self._radius, np.inf)
        return _shifted(lowest, offsets, self._radius, -np.inf)


class Surfaced(Prepared):
    """An image without a smooth surface through the pixels that hold no structure, plane by plane.

    Parameters
    ----------
    then : _Then
    """

    lift = 0.0

    def __init__(self, then: _Then) -> None:
        self.spec = BlockSpec.plane(0, whole=True, bytes_per_pixel=_SURFACE_BYTES)
        self._then = then

    def background(self, block: Tensor) -> Tensor:
        """Return the background of planes (N, C, Y, X)."""
        return torch.stack([smooth_surface(plane) for plane in block.flatten(0, 1)]).reshape(block.shape)

    def apply(self, block: Tensor) -> Tensor:
        """Take the background away; see `Prepared.apply`."""
        return self._then.of(block, self.background(block) + self.lift)

    def gains(self, block: Tensor) -> Tensor:
        """Return by what the image was multiplied where it was divided by its background; see `Prepared.gains`."""
        return self._then.gains(self.background(block) + self.lift)


class _Then:
    """What is done with the background, in normalised intensities: it is subtracted, or the image is divided by it."""

    def __init__(self, divides: bool, zero: float, level: float = 0.0) -> None:
        self.divides, self.zero, self.level = divides, zero, level

    def of(self, block: Tensor, background: Tensor) -> Tensor:
        if not self.divides:
            return block - background + self.level
        return (block - self.zero) * self.gains(background) + self.zero

    def gains(self, background: Tensor) -> Tensor:
        """Return by what it is multiplied where it is divided."""
        # Where there is no light, nothing was seen: it is not made infinitely bright.
        least = 1e-3 * abs(self.level - self.zero)
        return (self.level - self.zero) / (background - self.zero).clamp_min(least)


def prepare_background(image: Image, params: BackgroundParams, context: Context) -> Prepared:
    """Look at a sample of the image: at which level its background lies, and whether it has any.

    Parameters
    ----------
    image : Image
    params : BackgroundParams
    context : Context

    Raises
    ------
    InvalidImageError
        It is to be divided by a background that is no brighter than the dark level.
    InvalidParameterError
        Planes are to be taken together of an image that has no Z axis.
    """
    context.report.start("Looking at the background")
    scale, offset = context.intensity.scale, context.intensity.offset
    divides = params.operation == "divide"
    then = _Then(divides, (params.dark if divides else 0.0) / scale - offset / scale)
    prepared: Opened | Surfaced
    if params.shape == "smooth surface":
        prepared = Surfaced(then)
    else:
        radius: tuple[int, ...] = (params.radius,) * 2
        if params.volume:
            if "Z" not in image.axes:
                raise InvalidParameterError(
                    f"Planes cannot be taken together in an image with the axes {image.axes}: set the axes, or leave volume off."
                )
            finer = image.spacing.get("X", 1.0) / image.spacing.get("Z", 1.0)
            radius = (max(1, round(params.radius * finer)), *radius)
        prepared = Opened(radius, params.shape == "rolling ball", then)
    pixels, found = _sampled(image, prepared, context)
    prepared.lift = lift = _bias(pixels - found, noise_of(image).sigma_typical / scale)
    found = found + lift
    level = float(np.median(found.cpu()))
    if divides and not level > then.zero:
        raise InvalidImageError(
            "The background is no brighter than the dark level, so that nothing can be divided by it: subtract it, or set the dark"
            " level lower."
        )
    if divides or params.level == "keep":
        then.level = level
    else:
        then.level = then.zero
    prepared.notes = _notes(image, params, pixels, found, context, then)
    prepared.noise_level, prepared.multiplies = (params.dark if divides else 0.0), divides
    return prepared


def smooth_surface(plane: Tensor) -> Tensor:
    """Return the smooth surface through the pixels of a plane that hold no structure.

    Means of small cells are fitted with a polynomial again and again, without those that stand out of it: bright ones, and dark
    ones that stand out as far as bright ones may.

    Parameters
    ----------
    plane : torch.Tensor, (Y, X)

    Returns
    -------
    torch.Tensor, (Y, X)
    """
    cells = (min(_CELLS, plane.shape[0]), min(_CELLS, plane.shape[1]))
    means = functional.adaptive_avg_pool2d(plane[None, None].double(), cells)[0, 0]
    bases = [_polynomials(size, min(_ORDER, size - 1), plane.device) for size in cells]
    orders = [(i, j) for i in range(bases[0].shape[1]) for j in range(bases[1].shape[1]) if i + j <= _ORDER]
    design = torch.stack([torch.outer(bases[0][:, i], bases[1][:, j]).ravel() for i, j in orders], 1)
    values = means.ravel()
    centre = values.median()
    # A plane first, and bends only once the structures are out.
    kept = values <= centre + (centre - values.quantile(0.05)).clamp_min(0.0) + 1e-9
    few = [index for index, (i, j) in enumerate(orders) if i + j <= 1]
    chosen = few
    for round_ in range(_ROUNDS):
        if int(kept.sum()) < 2 * len(chosen):
            break
        columns = design[:, chosen]
        weights = kept.double()[:, None]
        driver = "gelsd" if plane.device.type == "cpu" else None
        fitted = torch.linalg.lstsq(columns * weights, (values * kept)[:, None], driver=driver)
        surface = (columns @ fitted.solution)[:, 0]
        off = values - surface
        spread = 1.4826 * off[kept].abs().median()
        kept = (off < 2.0 * spread + 1e-9) & (off > -3.0 * spread - 1e-9)
        solution, used = fitted.solution[:, 0], chosen
        if round_ >= 2:
            chosen = list(range(len(orders)))
    full = [
        _polynomials(size, min(_ORDER, cell - 1), plane.device) for size, cell in zip(plane.shape, cells, strict=True)
    ]
    matrix = torch.zeros((full[0].shape[1], full[1].shape[1]), dtype=torch.float64, device=plane.device)
    for value, index in zip(solution, used, strict=True):
        matrix[orders[index]] = value
    return (full[0] @ matrix @ full[1].T).to(plane.dtype)


def _polynomials(size: int, order: int, device: torch.device) -> Tensor:
    """Return Chebyshev's polynomials at the middles of so many equal parts of (-1, 1), (size, order + 1)."""
    at = (torch.arange(size, dtype=torch.float64, device=device) + 0.5) / size * 2.0 - 1.0
    return torch.cos(torch.arange(order + 1, device=device)[None] * torch.arccos(at)[:, None])


def _sampled(image: Image, prepared: Opened | Surfaced, context: Context) -> tuple[Tensor, Tensor]:
    """Return evenly spread windows of the image and their background, one dimension each, normalised."""
    edge = max(_WINDOW, 4 * prepared.spec.halo[-1])
    pixels, found = [], []
    looked = 0
    for at in sample_windows(image, _SAMPLED, edge):
        if prepared.spec.whole:
            at = {**at, "Y": slice(None), "X": slice(None)}
        order = [axis for axis in image.axes if axis in "YX"]
        plane = image.read(**at)
        plane = context.intensity.forward(plane if order == ["Y", "X"] else plane.T)
        finite = np.isfinite(plane)
        if not finite.any():
            continue
        block = torch.from_numpy(np.where(finite, plane, np.median(plane[finite])).astype(np.float32))
        block = block.to(context.device.torch_name)[None, None]
        if len(prepared.spec.axes) == 3:
            block = block[:, :, None]
        pixels.append(block.ravel())
        found.append(_of_any_size(prepared, block).ravel())
        check_cancelled()
        looked += plane.size
        if looked >= _SAMPLED:
            break
    return torch.cat(pixels), torch.cat(found)


def _bias(off: Tensor, noise: float) -> float:
    """Return how far the middle of the background's pixels lies above what runs below them, as far as noise explains it."""
    if noise <= 0.0:
        return 0.0
    kept = off
    for _ in range(_ROUNDS):
        middle = kept.median()
        below = (middle - kept).clamp_min(0.0)
        spread = 1.4826 * below[below > 0].median() if bool((below > 0).any()) else below.sum()
        kept = off[off <= middle + 2.0 * spread]
    return float(kept.median().clamp(0.0, _MOST_LIFT * noise))


def _of_any_size(prepared: Opened | Surfaced, block: Tensor) -> Tensor:
    """Return the background of a block whose size is no multiple of what it should be."""
    multiple = prepared.spec.multiple
    pads = [-size % step for size, step in zip(block.shape[2:], multiple, strict=True)]
    padded = np.pad(block.cpu().numpy(), [(0, 0), (0, 0), *((0, pad) for pad in pads)], mode="reflect")
    found = prepared.background(torch.from_numpy(padded).to(block.device))
    return found[tuple(slice(0, size) for size in block.shape)]


def _notes(
    image: Image, params: BackgroundParams, pixels: Tensor, found: Tensor, context: Context, then: _Then
) -> tuple[str, ...]:
    """Say where the background lies, and what the user should know of it."""
    counts = context.intensity.inverse(np.percentile(found.cpu().numpy(), [1, 99]))
    ends = " and ".join(three_digits(level) for level in counts)
    said = [f"The background lies between {ends} {unit_of(image.dtype)}."]
    noise = noise_of(image).sigma_typical / context.intensity.scale
    near = float(((pixels - found).abs() <= max(_NEAR * noise, _NEAR_RANGE)).float().mean())
    if near < _FEWEST:
        said.append(
            f"Only {100 * near:.1f} % of the pixels lie near this background: where structures fill the field there is none to"
            " see, and signal is taken away with it; a larger radius takes less."
        )
    below = float((then.of(pixels, found) < then.zero - 0.5 / context.intensity.scale).float().mean())
    if image.dtype.kind == "u" and below > _CLIPPED:
        said.append(
            f"{100 * below:.0f} % of the pixels come out below 0, which {image.dtype} cannot hold: keep the level of the"
            " background, or take float32."
        )
    return tuple(said)


def _mean(image: Tensor) -> Tensor:
    """Return the mean over three pixels along Y and X, which noise cannot pull down as far as the pixels."""
    kernel = (1,) * (image.ndim - 4) + (3, 3)
    pad = (1, 1, 1, 1) + (0, 0) * (image.ndim - 4)
    padded = functional.pad(image, pad, mode="replicate")
    pool = functional.avg_pool3d if image.ndim == 5 else functional.avg_pool2d
    return pool(padded, kernel, stride=1)


def _pooled(image: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Return the greatest of each cell of so many pixels."""
    pool = functional.max_pool3d if image.ndim == 5 else functional.max_pool2d
    pooled: Tensor = pool(image, steps)
    return pooled


def _square(image: Tensor, radius: tuple[int, ...], sign: int) -> Tensor:
    """Return the greatest (or least, for ``sign`` -1) in a box around every pixel, one axis after the other."""
    found = image * sign
    for axis, one in enumerate(radius):
        length = found.shape[axis + 2]
        moved = found.movedim(axis + 2, -1)
        rows = moved.reshape(-1, 1, length)
        highest = _highest(rows, one)
        found = highest.reshape(moved.shape).movedim(-1, axis + 2)
    return found * sign


def _highest(rows: Tensor, radius: int) -> Tensor:
    """Return the greatest within a radius along rows (N, 1, L), by doubling (the time grows with the radius' logarithm)."""
    width = 2 * radius + 1
    padded = functional.pad(rows, (radius, radius), value=-torch.inf)
    reach = 1
    while 2 * reach <= width:
        padded = torch.maximum(padded[..., : padded.shape[-1] - reach], padded[..., reach:])
        reach *= 2
    rest = width - reach
    if rest:
        padded = torch.maximum(padded[..., : padded.shape[-1] - rest], padded[..., rest:])
    return padded


def _shifted(
    image: Tensor, offsets: list[tuple[tuple[int, ...], float]], radius: tuple[int, ...], outside: float
) -> Tensor:
    """Return the least of the image minus the ball over all its offsets (``outside`` inf), or the greatest of both added."""
    pads = [one for at in reversed(radius) for one in (at, at)]
    padded = functional.pad(image, pads, value=outside)
    found = torch.full_like(image, outside)
    for offset, height in offsets:
        spans = zip(offset, radius, image.shape[2:], strict=True)
        part: tuple[Any, ...] = (..., *(slice(one + at, one + at + size) for at, one, size in spans))
        if outside > 0:
            torch.minimum(found, padded[part] - height, out=found)
        else:
            torch.maximum(found, padded[part] + height, out=found)
    return found
