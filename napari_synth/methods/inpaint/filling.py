"""Fills the holes of blocks, each by the method that suits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage, signal
from torch import Tensor
from torch.nn import functional

from napari_synth.contract.generator import BlockSpec, Context, Prepared
from napari_synth.core.errors import MaskError
from napari_synth.core.progress import check_cancelled
from napari_synth.imaging.image import Image, colour_samples
from napari_synth.methods.inpaint.biharmonic import fill_smoothly
from napari_synth.methods.inpaint.catalogue import AutoParams, FillerParams, NeighbourParams, PatchParams
from napari_synth.methods.inpaint.mosaic import seen_together
from napari_synth.methods.inpaint.neighbours import alikeness, between, between_in_motion, explained
from napari_synth.methods.inpaint.patches import Search, copied, levelled
from napari_synth.methods.noise_conditioning import bundled_network, from_opponents, to_opponents

# Of a volume that is filled as a whole; larger ones are filled plane by plane.
_MOST_PIXELS = 2**28
_BYTES_PER_PIXEL = 64
_PLANES_AROUND = 3


@dataclass(frozen=True)
class Method:
    """What fills which holes.

    Attributes
    ----------
    thick : Fill, optional
        What fills thick holes; smoothly where there is none.
    along : bool
        Whether thick holes are filled from neighbouring planes where these tell what is missing.
    thin : float
        Radius in pixels up to which a hole is filled smoothly.
    context : int
        How far around a thick hole is looked at, in pixels; around a large one further.
    apart : int
        Thick holes nearer to each other than this are filled together.
    """

    thick: Fill | None = None
    along: bool = True
    thin: float = 3.0
    context: int = 64
    apart: int = 7

    def sorted(self, holes: Tensor) -> Holes:
        """Sort the holes (A, Y, X)."""
        return Holes.of(holes.cpu().numpy(), float("inf") if self.thick is None else self.thin, self.apart)


def prepare_filling(image: Image, method: Method, neighbours: bool, context: Context) -> Filling:
    """Choose the blocks of an image with a mask, and look which holes there are.

    Parameters
    ----------
    image : Image
        With a mask.
    method : Method
        What fills the holes.
    neighbours : bool
        Whether neighbouring planes and frames are looked at.
    context : Context

    Raises
    ------
    MaskError
        A plane is a hole as a whole, and there are no neighbours to fill it from.
    """
    axes, notes = _block_axes(image, neighbours)
    filling = Filling(axes, method, context)
    filling.notes = (*notes, *_tell(image, axes, method, context))
    return filling


class Filling(Prepared):
    """Fills the holes of blocks.

    Parameters
    ----------
    axes : str
        Of a block: a plane, or a stack of planes along Z or T.
    method : Method
    context : Context
    """

    def __init__(self, axes: str, method: Method, context: Context) -> None:
        n = len(axes)
        self.spec = BlockSpec(axes, (0,) * n, (1,) * n, (1,) * n, whole=True, bytes_per_pixel=_BYTES_PER_PIXEL)
        self._method, self._context = method, context

    def saying(self, sentence: str) -> Filling:
        """Add a note, and return this."""
        self.notes = (*self.notes, sentence)
        return self

    def apply(self, block: Tensor) -> Tensor:
        """Fill the holes of blocks (N, C + 1, [A,] Y, X); see `Prepared.apply`."""
        stacked = block if block.dim() == 5 else block.unsqueeze(2)
        with torch.autocast(block.device.type, enabled=False):
            filled = torch.stack([self._filled(part[:-1].float(), part[-1] > 0) for part in stacked])
        return filled.reshape(len(block), -1, *block.shape[2:])

    def _filled(self, pixels: Tensor, unknown: Tensor) -> Tensor:
        """Fill the holes (A, Y, X) of pixels (C, A, Y, X)."""
        if not bool(unknown.any()) or bool(unknown.all()):
            return pixels
        known = pixels[:, ~unknown]
        low, high = (getattr(known, end)(1).reshape(-1, 1, 1, 1) for end in ("amin", "amax"))
        holes = self._method.sorted(unknown)
        missing = torch.from_numpy(holes.missing).to(pixels.device)
        if holes.missing.any():
            pixels = between(pixels, missing)
        partial = unknown & ~missing[:, None, None]
        weights = (alikeness(pixels, ~unknown), 1.0, 1.0)
        pixels = fill_smoothly(pixels, partial, weights, check_cancelled).clamp(low, high)
        left = torch.from_numpy(holes.is_thick).to(pixels.device) | missing[:, None, None]
        generator = self._context.torch_generator()
        for box in holes.boxes:
            check_cancelled()
            pixels, left = self._textured(pixels, left, box, generator)
        if holes.missing.any():
            pixels = between_in_motion(pixels, missing)
        return pixels.clamp(low, high)

    def _textured(self, pixels: Tensor, left: Tensor, box: Box, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fill the thick holes in a box, and return which are left."""
        deep, *wide = (part.stop - part.start for part in box)
        margin = max(self._method.context, 3 * max(wide) // 2)
        around = grown(box, (max(_PLANES_AROUND, deep // 2), margin, margin), tuple(left.shape))
        at = tuple(
            slice(part.start - crop.start, part.stop - crop.start) for part, crop in zip(box, around, strict=True)
        )
        crop, unknown = pixels[:, *around], left[around]
        holes = torch.zeros_like(unknown)
        holes[at] = unknown[at]
        thick = self._method.thick
        assert thick is not None

        def fill(plane: Tensor, holes: Tensor, unknown: Tensor) -> Tensor:
            return thick(Crop(plane, holes, unknown), generator)

        filled = explained(crop, holes, unknown) if self._method.along else None
        if filled is None and self._method.along:
            filled = seen_together(crop, holes, unknown, fill)
        if filled is None:
            filled = fill(crop, holes, unknown)
        pixels = pixels.clone()
        pixels[:, *around] = torch.where(holes, filled, crop)
        left = left.clone()
        left[around] &= ~holes
        return pixels, left


def _block_axes(image: Image, neighbours: bool) -> tuple[str, tuple[str, ...]]:
    """Return the axes of blocks, and what is to be told of them: neighbours along Z or T count where a hole may end along it."""
    assert image.mask is not None
    stacks = [a for a in "ZT" if neighbours and image.sizes.get(a, 1) > 1 and a in image.mask.axes]
    samples = colour_samples(image.sizes.get("S", 1))
    fitting = [a for a in stacks if samples * prod(image.sizes[axis] for axis in a + "YX") <= _MOST_PIXELS]
    for axes in (*(axis + "YX" for axis in fitting), "YX"):
        if not _covers(image.mask, axes):
            notes = ("The volume is too large to be filled as a whole: planes are filled one by one.",)
            return axes, notes if stacks and not fitting else ()
    what = "a whole stack of planes" if stacks else "a whole plane"
    raise MaskError(
        f"The mask covers {what}, which leaves nothing to learn from: mark less of it"
        + ("." if stacks or not _is_stack(image) else ", or let neighbouring planes and frames count.")
    )


def _is_stack(image: Image) -> bool:
    return any(image.sizes.get(axis, 1) > 1 for axis in "ZT")


def _covers(mask: Image, axes: str) -> bool:
    """Return whether a mask covers a whole block anywhere."""
    mapped = "".join(axis for axis in mask.axes if axis not in axes)
    return any(bool((mask.read(**at) != 0).all()) for at in mask.indices(mapped))


def _tell(image: Image, axes: str, method: Method, context: Context) -> tuple[str, ...]:
    """Say how many holes there are of which kind, and what is done with them."""
    assert image.mask is not None
    mask = image.mask
    mapped = "".join(axis for axis in mask.axes if axis not in axes)
    thin = thick = missing = 0
    for at in mask.indices(mapped):
        context.report.cancel.check()
        block = mask.read(**at) != 0
        order = [axis for axis in mask.axes if axis in axes]
        block = block.transpose([order.index(axis) for axis in axes if axis in order])
        found = method.sorted(torch.from_numpy(np.ascontiguousarray(block.reshape((-1, *block.shape[-2:])))))
        thin, thick, missing = thin + found.thin, thick + found.thick, missing + int(found.missing.sum())
    said = []
    if thin:
        said.append(f"{_counted(thin, 'hole' if method.thick is None else 'thin hole')} filled smoothly.")
    if thick and method.thick is not None:
        how = (
            "from neighbouring planes where these tell what is missing, else " if method.along and len(axes) > 2 else ""
        )
        said.append(f"{_counted(thick, 'thick hole')} filled {how}{method.thick.said}.")
    if missing:
        said.append(
            f"{_counted(missing, 'missing plane')} interpolated between those before and behind, along motion where that is better."
        )
    return tuple(said)


def _counted(count: int, what: str) -> str:
    return f"1 {what} is" if count == 1 else f"{count} {what}s are"


def prepare_biharmonic(image: Image, params: NeighbourParams, context: Context) -> Prepared:
    """Look which holes there are.

    For its parameters see `Generator.prepare`.
    """
    return prepare_filling(image, Method(), params.neighbours, context)


Bools = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Holes:
    """The holes of a volume (A, Y, X), or of a plane with A = 1.

    Attributes
    ----------
    missing : numpy.ndarray of bool, (A,)
        Planes that are holes as a whole.
    thin : int
        How many of the others are thin.
    thick : int
        How many are not, at least in a part.
    is_thick : numpy.ndarray of bool, (A, Y, X)
        The pixels of those parts.
    boxes : tuple of tuple of slice
        Boxes around the thick ones; where boxes would lie too near to each other, around several.
    """

    missing: Bools
    thin: int
    thick: int
    is_thick: Bools
    boxes: tuple[Box, ...]

    @classmethod
    def of(cls, holes: Bools, thin: float, apart: int) -> Holes:
        """Sort the holes.

        Parameters
        ----------
        holes : numpy.ndarray of bool, (A, Y, X)
        thin : float
            Radius in pixels, of the largest circle in a plane of a hole, up to which it is thin.
        apart : int
            Boxes around thick holes are at least so many pixels apart.
        """
        missing = np.asarray(holes.all((1, 2)))
        labels, count = ndimage.label(holes & ~missing[:, None, None], np.ones((3, 3, 3), bool))
        is_thick, thick = np.zeros(holes.shape, bool), 0
        for index, box in enumerate(ndimage.find_objects(labels), 1):
            if min(part.stop - part.start for part in box[1:]) >= thin:
                around = grown(box, (0, 1, 1), labels.shape)
                found = _thick_part(labels[around] == index, thin)
                is_thick[around] |= found
                thick += bool(found.any())
        pieces, _ = ndimage.label(is_thick, np.ones((3, 3, 3), bool))
        boxes = list(ndimage.find_objects(pieces))
        return cls(missing, count - thick, thick, is_thick, tuple(_merged(boxes, apart)))


def _thick_part(hole: Bools, thin: float) -> Bools:
    """Return what of a hole (A, Y, X) lies around circles larger than ``thin``: a scratch that runs into a spot stays a scratch.

    Beyond the border of the image nothing ends a circle.
    """
    found = np.zeros_like(hole)
    for plane, part in zip(hole, found, strict=True):
        middle = ndimage.distance_transform_edt(plane) > thin
        if middle.any():
            # The corners of a hole belong to it.
            part |= plane & (ndimage.distance_transform_edt(~middle) <= 2 * (thin + 1))
    return found


def grown(box: Box, by: tuple[int, int, int], shape: tuple[int, ...]) -> Box:
    """Return a box that is larger on each side, as far as the image goes.

    Parameters
    ----------
    box : Box
    by : (int, int, int)
        Pixels on each side, along each axis.
    shape : tuple of int
        Of the image.
    """
    a, y, x = (
        slice(max(0, part.start - more), min(size, part.stop + more))
        for part, more, size in zip(box, by, shape, strict=True)
    )
    return a, y, x


def _merged(boxes: list[Box], apart: int) -> list[Box]:
    """Join boxes that are nearer to each other than ``apart`` along all axes."""
    left, found = list(boxes), []
    while left:
        box = left.pop()
        near = [
            other
            for other in left
            if all(a.start < b.stop + apart and b.start < a.stop + apart for a, b in zip(box, other, strict=True))
        ]
        if not near:
            found.append(box)
            continue
        left = [other for other in left if other not in near]
        a, y, x = (
            slice(min(part.start for part in parts), max(part.stop for part in parts))
            for parts in zip(box, *near, strict=True)
        )
        left.append((a, y, x))
    return found[::-1]


_SHARES = (0.0, 0.35, 0.65, 1.0)
_USUAL_SHARE = 0.65
# In pixels: what is finer than this is the texture's and not the guide's.
_TEXTURE_SPREAD = 2.0
# In pixels: finer, where the guide knows more than the patches do.
_DETAIL_SPREAD = 1.5
# Of the squared error: what one hole says is much chance.
_CLEARLY = 0.8
# In pixels: of the patches that give detail to what a network fills.
_RADIUS = 3
# In pixels: radius up to which a hole is a band or a spot that shows no texture of its own.
_NARROW = 6.0
# Of the variance of what is missing: an error below is no lack of texture.
_EXPLAINED = 0.5
# What is tried on: pixels along each side of a hole, around it, and planes.
_TRIED_EDGE, _TRIED_CONTEXT, _TRIED_PLANES = 64, 64, 3


@dataclass(frozen=True)
class Crop:
    """What lies around holes.

    Attributes
    ----------
    pixels : torch.Tensor, (C, A, Y, X)
        The holes are filled smoothly.
    holes : torch.Tensor of bool, (A, Y, X)
        Pixels to be filled.
    unknown : torch.Tensor of bool, (A, Y, X)
        Pixels that say nothing, the holes among them.
    """

    pixels: Tensor
    holes: Tensor
    unknown: Tensor


class Fill(Protocol):
    """Fills the holes of a crop."""

    @property
    def said(self) -> str:
        """With what, as a sentence says it."""

    def __call__(self, crop: Crop, generator: torch.Generator) -> Tensor:
        """Return the pixels (C, A, Y, X); outside the holes they do not count."""


@dataclass(frozen=True)
class PatchFill:
    """Fills holes with patches of the image.

    Attributes
    ----------
    radius : int
        Of a patch, in pixels.
    share : float or None
        How far what varies slowly is that of the guide. None where that is tried out: a hole of the same shape is punched beside,
        and what fills that clearly better than the usual share is taken.
    guide : Fill, optional
        The smooth surface through the hole where left out.
    """

    radius: int = 3
    share: float | None = 0.0
    guide: Fill | None = None

    @property
    def said(self) -> str:
        """With what, as a sentence says it."""
        return "with patches of the image" + ("" if self.guide is None else f", guided {self.guide.said}")

    def __call__(self, crop: Crop, generator: torch.Generator) -> Tensor:
        """Copy patches; see `Fill`."""
        share = self._tried(crop, generator) if self.share is None else self.share
        if share == "smooth":
            return crop.pixels
        if share == "guide":
            assert self.guide is not None
            return self.guide(crop, generator)
        return levelled(*self._parts(crop, generator), crop.holes, share, _TEXTURE_SPREAD)

    def _parts(self, crop: Crop, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the texture and the guide."""
        return from_patches(crop, self.radius, self.share != 0.0, generator), self._guided(crop, generator)

    def _guided(self, crop: Crop, generator: torch.Generator) -> Tensor:
        if self.guide is None or self.share == 0.0:
            return crop.pixels
        return torch.where(crop.holes, self.guide(crop, generator), crop.pixels)

    def _tried(self, crop: Crop, generator: torch.Generator) -> float | Literal["guide", "smooth"]:
        """Return the share that fills a hole beside best; the usual one unless another is clearly better.

        In bands so narrow that texture does not show, it is the guide alone, or the smooth surface where that is nearer. There
        patches, which take far longer than both, are tried only where these explain little of what is missing.
        """
        crop = part_to_try_on(crop)
        beside = punched(crop)
        if beside is None:
            return _USUAL_SHARE
        guide = self._guided(beside, generator)
        alone: Literal["guide", "smooth"] | None = None
        least = float("inf")
        if self.guide is not None and _radius(crop.holes) <= _NARROW:
            network, smooth = (
                float((filled - crop.pixels)[:, beside.holes].square().mean()) for filled in (guide, beside.pixels)
            )
            alone, least = ("guide", network) if network <= smooth else ("smooth", smooth)
        if alone and least < _EXPLAINED * float(crop.pixels[:, beside.holes].var(1, correction=0).mean()):
            return alone
        parts = from_patches(beside, self.radius, self.share != 0.0, generator), guide
        errors: dict[float, float] = {}
        for share in _SHARES:
            off = (levelled(*parts, beside.holes, share, _TEXTURE_SPREAD) - crop.pixels)[:, beside.holes]
            errors[share] = float(off.square().mean())
        best = min(errors, key=lambda share: errors[share])
        if alone and least < errors[best]:
            return alone
        return best if errors[best] < _CLEARLY * errors[_USUAL_SHARE] else _USUAL_SHARE


@dataclass(frozen=True)
class DetailedFill:
    """Gives what another fills fine detail that the image has elsewhere.

    Attributes
    ----------
    guide : Fill
        What has no detail of its own, such as a network that answers with the mean of what could be there.
    strength : float
        Of the detail, 0 to 1.
    """

    guide: Fill
    strength: float

    @property
    def said(self) -> str:
        """With what, as a sentence says it."""
        return f"{self.guide.said}, with fine detail from patches of the image"

    def __call__(self, crop: Crop, generator: torch.Generator) -> Tensor:
        """Fill the holes; see `Fill`."""
        guide = torch.where(crop.holes, self.guide(crop, generator), crop.pixels)
        rough = from_patches(crop, _RADIUS, False, generator)
        return torch.lerp(guide, levelled(rough, guide, crop.holes, 1.0, _DETAIL_SPREAD), self.strength)


def from_patches(crop: Crop, radius: int, level: bool, generator: torch.Generator) -> Tensor:
    """Return a crop whose holes are filled with patches of the image; see `copied`.

    Parameters
    ----------
    crop : Crop
    radius : int
        Of a patch in pixels.
    level : bool
        Whether what varies slowly is taken out before and put back behind.
    generator : torch.Generator
    """
    deep = (len(crop.holes) - 1) // 2 if int(crop.holes.any(2).any(1).sum()) > 2 else 0
    search = Search((min(1, deep), radius, radius), level=level)
    return copied(crop.pixels, crop.holes, ~crop.unknown, search, generator, check_cancelled)


def part_to_try_on(crop: Crop) -> Crop:
    """Return a crop around a part of holes that are long or go through many planes: a trial must be shorter than the work."""
    wide = [along.nonzero() for along in (crop.holes.any(0).any(1), crop.holes.any(0).any(0))]
    if len(crop.holes) <= _TRIED_PLANES and all(int(at.max() - at.min()) < _TRIED_EDGE for at in wide):
        return crop
    plane = int(crop.holes.sum((1, 2)).argmax())
    first = min(max(0, plane - _TRIED_PLANES // 2), max(0, len(crop.holes) - _TRIED_PLANES))
    planes = slice(first, first + _TRIED_PLANES)
    marked = crop.holes[plane].float()[None, None]
    crowded = functional.avg_pool2d(marked, _TRIED_EDGE + 1, stride=1, padding=_TRIED_EDGE // 2)[0, 0]
    # In the middle of a hole rather than beside it.
    at = divmod(int((crowded * crop.holes[plane]).argmax()), crowded.shape[1])
    core, around = (
        tuple(slice(max(0, centre - reach), centre + reach + 1) for centre in at)
        for reach in (_TRIED_EDGE // 2, _TRIED_EDGE // 2 + _TRIED_CONTEXT)
    )
    holes = torch.zeros_like(crop.holes)
    holes[planes, *core] = crop.holes[planes, *core]
    part = (planes, *around)
    return Crop(crop.pixels[:, *part], holes[part], crop.unknown[part])


def _radius(holes: Tensor) -> float:
    """Return the radius of the largest circle in any plane of holes (A, Y, X); beyond the border nothing ends it."""
    return max(float(ndimage.distance_transform_edt(plane).max()) for plane in holes.cpu().numpy())


def punched(crop: Crop) -> Crop | None:
    """Return the crop with a hole of the same shape nearby, to try on; None where there is no room."""
    holes, unknown = (part.any(0).cpu().numpy() for part in (crop.holes, crop.unknown))
    (top, left), (bottom, right) = (end(np.argwhere(holes), 0) for end in (np.min, np.max))
    shape = holes[top : bottom + 1, left : right + 1]
    covered = signal.fftconvolve(unknown.astype(np.float32), shape[::-1, ::-1].astype(np.float32), mode="valid")
    places = np.argwhere(covered < 0.5)
    if not len(places):
        return None
    moves = places - (top, left)
    move = tuple(moves[(moves**2).sum(1).argmin()].tolist())
    # What is rolled past a border of the crop is none of the hole.
    moved = torch.roll(crop.holes, move, (1, 2))
    pixels = fill_smoothly(crop.pixels, moved, (0.0, 1.0, 1.0), check_cancelled)
    return Crop(pixels, moved, crop.unknown | moved)


@dataclass(frozen=True)
class NetworkFill:
    """Fills holes with what a network makes of them, plane by plane.

    Attributes
    ----------
    complete : callable
        Takes planes (1, C, Y, X) and holes (1, 1, Y, X), 1 where a pixel is missing, and returns planes.
    multiple : int
        Height and width that it takes are multiples of this.
    least : int
        And no smaller.
    """

    complete: Callable[[Tensor, Tensor], Tensor]
    multiple: int = 8
    least: int = 16

    said = "by the network"

    def __call__(self, crop: Crop, generator: torch.Generator) -> Tensor:
        """Ask the network; see `Fill`."""
        result = crop.pixels.clone()
        height, width = crop.holes.shape[1:]
        for plane in crop.holes.any((1, 2)).nonzero().squeeze(1).tolist():
            check_cancelled()
            image, holes = crop.pixels[None, :, plane], crop.unknown[None, None, plane].to(crop.pixels.dtype)
            wanted = [max(self.least, -(-size // self.multiple) * self.multiple) for size in (height, width)]
            more = (0, wanted[1] - width, 0, wanted[0] - height)
            image = functional.pad(image, more, mode="replicate")
            # What lies beyond the border is not known either.
            holes = functional.pad(holes, more, value=1.0)
            result[:, plane] = self.complete(image, holes)[0, :, :height, :width]
        return result


def own_network(network: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what a network of ours for one channel makes of planes: of colours, it is asked for each opponent colour."""

    def complete(image: Tensor, holes: Tensor) -> Tensor:
        with torch.inference_mode():
            planes, _ = to_opponents(image, image)
            n, c, h, w = planes.shape
            filled = network(planes.reshape(n * c, 1, h, w), holes.repeat_interleave(c, 0))
        return from_opponents(filled.float().reshape(n, c, h, w))

    return complete


def prepare_patches(image: Image, params: PatchParams, context: Context) -> Prepared:
    """Look which holes there are.

    For its parameters see `Generator.prepare`.
    """
    fill = PatchFill(params.patch_radius, params.surface)
    method = Method(fill, along=False, thin=1.0, context=params.context, apart=2 * params.patch_radius + 1)
    return prepare_filling(image, method, params.neighbours, context)


MODEL = "inpaint"
"""Name of the bundled weights."""
# Radius in pixels of holes that are left to a smooth surface, which is nearer to the truth there: by 2 dB in scratches.
_THIN = 3.0


def learned(network: Any, params: FillerParams) -> Method:
    """Return the method that fills holes with a network of ours."""
    return filling_network(NetworkFill(own_network(network), network.multiple), params, _THIN)


def filling_network(fill: NetworkFill, params: FillerParams, thin: float) -> Method:
    """Return the method that fills holes with a network.

    Parameters
    ----------
    fill : NetworkFill
    params : FillerParams
    thin : float
        Radius in pixels up to which a hole is filled smoothly.
    """
    thick = DetailedFill(fill, params.texture) if params.texture else fill
    return Method(thick, thin=thin, context=params.context)


def prepare_learned(
    network: Any, weights: Mapping[str, str], image: Image, params: FillerParams, context: Context
) -> Filling:
    """Look which holes there are; see `prepare_filling`."""
    prepared = prepare_filling(image, learned(network, params), params.neighbours, context)
    prepared.weights = dict(weights)
    return prepared


def prepare_auto(image: Image, params: AutoParams, context: Context) -> Prepared:
    """Look which holes there are.

    For its parameters see `Generator.prepare`.
    """
    network, weights = bundled_network(MODEL, context.device)
    guide = NetworkFill(own_network(network), network.multiple)
    method = Method(
        PatchFill(params.patch_radius, params.surface, guide),
        thin=params.thin,
        context=params.context,
        apart=2 * params.patch_radius + 1,
    )
    prepared = prepare_filling(image, method, params.neighbours, context)
    prepared.weights = dict(weights)
    return prepared


def prepare_network(image: Image, params: FillerParams, context: Context) -> Prepared:
    """Load the network, and look which holes there are.

    For its parameters see `Generator.prepare`.
    """
    network, weights = bundled_network(MODEL, context.device)
    return prepare_learned(network, weights, image, params, context)
