"""Adapts the inpainting network to one image or stack: holes like its own are punched into what is intact, and filled.

Some holes are held out: their pixels are never seen. What was learnt is used only where it fills those better than the bundled
network, by more than chance.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from napari_synth.contract.generator import Context, Prepared
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import holes
from napari_synth.imaging.sampling import sample_windows
from napari_synth.methods.adapting import CONVINCING, NOT_SETTLED, adapt_to_image
from napari_synth.methods.inpaint.filling import MODEL, prepare_learned
from napari_synth.methods.noise_conditioning import bundled_network, to_opponents
from napari_synth.networks.gated_inpainter import GatedInpainter

if TYPE_CHECKING:
    from napari_synth.methods.inpaint.catalogue import AdaptedParams

Bools = npt.NDArray[np.bool_]

_RATE = 3e-4
_MOST_PIXELS = 2**22
_MOST_HELD_OUT = 2**17
_HELD_OUT = 0.1
_FEWEST_HELD_OUT = 6
_HOLES_A_PATCH = 3
# Of a punched hole, in pixels, and of the edge of a window: several must fit beside each other.
_LARGEST_EDGE = 48
_LARGEST_SHARE = 8
_DISC = 9
_LEAST_SPREAD = 0.01
# Of the squared error: less is not worth another network.
_WORTH = 0.01


def adapt(image: Image, params: AdaptedParams, context: Context) -> Prepared:
    """Return the filling by the adapted network where that is better in held-out holes, else by the bundled one.

    For its parameters see `Generator.prepare`.
    """
    network, weights = bundled_network(MODEL, context.device)
    bundled = prepare_learned(network, weights, image, params, context)
    # Colours are looked at together.
    windows = [at for at in sample_windows(image, _MOST_PIXELS) if at.pop("S", 0) == 0]
    planes = [_plane(image, at, context) for at in windows]
    setup = PunchedHoles(planes, params.patch, context.seed, context.device.torch_name)
    if setup.count < _FEWEST_HELD_OUT:
        return bundled.saying("The intact part of the image is too small to learn from: the bundled network is used.")
    learner = copy.deepcopy(network).requires_grad_(True)
    if not adapt_to_image(learner, setup, context, steps=params.steps, rate=_RATE, batch=params.batch):
        return bundled.saying(NOT_SETTLED)
    before, after, error = setup.compare(network, learner.eval())
    change = after / before - 1.0 if before > 0 else 0.0
    if before - after <= max(CONVINCING * error, _WORTH * before):
        return bundled.saying(
            f"Adapting does not clearly help in held-out holes ({change:+.1%}): the bundled network is used."
        )
    adapted = prepare_learned(learner, weights, image, params, context)
    return adapted.saying(
        f"The adapted network fills held-out holes better (squared error {change:+.1%}), so it is used."
    )


def _plane(image: Image, at: dict[str, slice | int], context: Context) -> tuple[Tensor, Bools]:
    """Return a window as planes (C, Y, X), colours as opponents, and what is unknown in it (Y, X)."""
    pixels = image.read(**at)
    order = [axis for axis in image.axes if axis in "YXS"]
    turned = pixels.transpose([order.index(axis) for axis in "SYX" if axis in order]).reshape(-1, *_size(order, pixels))
    marked = np.broadcast_to(holes(image, at), pixels.shape)
    marked = marked.transpose([order.index(axis) for axis in "SYX" if axis in order]).reshape(turned.shape)
    values = torch.from_numpy(context.intensity.forward(turned))[None]
    known: Bools = np.asarray((torch.isfinite(values[0]).numpy() & ~marked).all(0))
    return to_opponents(values.nan_to_num(), values)[0][0], ~known


def _size(order: Sequence[str], pixels: npt.NDArray[Any]) -> tuple[int, int]:
    return pixels.shape[order.index("Y")], pixels.shape[order.index("X")]


class PunchedHoles:
    """The error in holes that are punched into what is known; an `Objective`.

    Parameters
    ----------
    planes : sequence of (Tensor, numpy.ndarray)
        Windows (C, Y, X), each with what is unknown in it (Y, X).
    patch : int
        Edge of a training patch in pixels, a multiple of 8; smaller where the windows are.
    seed : int
        Decides which holes are held out.
    device : str
        As torch names it.
    """

    def __init__(self, planes: Sequence[tuple[Tensor, Bools]], patch: int, seed: int, device: str) -> None:
        rng = np.random.default_rng(seed)
        self.shapes = _shapes([unknown for _, unknown in planes], min(planes[0][1].shape) // _LARGEST_SHARE)
        self.device = device
        self.count = 0
        self.windows: list[tuple[Tensor, Bools, npt.NDArray[np.int32]]] = []
        looked_at = 0
        for values, unknown in planes:
            values, unknown = _padded(values, unknown)
            marks = np.zeros(unknown.shape, np.int32)
            if looked_at < _MOST_HELD_OUT:
                looked_at += unknown.size
                self.count = _hold_out(marks, unknown, self.shapes, self.count, rng)
            self.windows.append((values.to(device), unknown, marks))
        height, width = self.windows[0][1].shape
        self.patch = (min(patch, height), min(patch, width))

    def loss(self, network: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        """See `Objective.loss`."""
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator, device=generator.device)))
        clean, missing, counted = (
            torch.stack(part).to(self.device)
            for part in zip(*(self._draw(rng) for _ in range(batch_size)), strict=True)
        )
        error = self._error(network, clean, missing) * counted
        size = counted.sum((1, 2, 3)).clamp_min(1.0)
        absolute, square = (values.sum((1, 2, 3)) / size for values in (error.abs(), error.square()))
        return 0.5 * (absolute + (square + 1e-8).sqrt()).mean()

    def held_out(self, network: nn.Module) -> float:
        """See `Objective.held_out`."""
        return float(self._by_hole(network).mean())

    def compare(self, before: nn.Module, after: nn.Module) -> tuple[float, float, float]:
        """Return the mean squared error of two networks in held-out holes, and the standard error of its difference."""
        old, new = self._by_hole(before), self._by_hole(after)
        difference = old - new
        return float(old.mean()), float(new.mean()), float(difference.std(ddof=1)) / len(difference) ** 0.5

    def _by_hole(self, network: nn.Module) -> npt.NDArray[np.float64]:
        """Return the mean squared error in every held-out hole."""
        found = []
        for values, unknown, marks in self.windows:
            if not marks.any():
                continue
            missing = torch.from_numpy(unknown | (marks > 0)).float()[None, None].to(self.device)
            with torch.no_grad():
                planes = [self._error(network, plane[None, None], missing)[0, 0] for plane in values]
            square = torch.stack(planes).square().mean(0).cpu().numpy()
            found.append(ndimage.mean(square, marks, np.unique(marks[marks > 0])))
        return np.concatenate(found)

    def _error(self, network: nn.Module, clean: Tensor, missing: Tensor) -> Tensor:
        """Return the errors (N, 1, Y, X) in units of what surrounds the holes."""
        unit = GatedInpainter.prepared(clean, missing).spread.clamp_min(_LEAST_SPREAD)
        answer: Tensor = network(clean, missing)
        return (answer.float() - clean) / unit

    def _draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return a patch, what is missing in it and what of that counts, each (1, Y, X)."""
        values, unknown, marks = self.windows[rng.integers(len(self.windows))]
        top, left = (int(rng.integers(size - edge + 1)) for size, edge in zip(unknown.shape, self.patch, strict=True))
        window = (slice(top, top + self.patch[0]), slice(left, left + self.patch[1]))
        hidden = unknown[window] | (marks[window] > 0)
        punched = np.zeros_like(hidden)
        for _ in range(rng.integers(1, _HOLES_A_PATCH + 1)):
            _punch(punched, self.shapes[int(rng.integers(len(self.shapes)))], rng)
        parts = [values[rng.integers(len(values))][window]]
        parts += [torch.from_numpy(part).float().to(self.device) for part in (hidden | punched, punched & ~hidden)]
        flips = [axis for axis in (0, 1) if rng.random() < 0.5]
        clean, missing, counted = (part.flip(flips)[None] for part in parts)
        return clean, missing, counted


def _shapes(unknown: Sequence[Bools], edge: int) -> list[Bools]:
    """Return the shapes of the holes, cut to an edge in pixels; a disc where there are none."""
    found = []
    edge = max(1, min(edge, _LARGEST_EDGE))
    for plane in unknown:
        labels, _ = ndimage.label(plane, np.ones((3, 3), bool))
        for number, box in enumerate(ndimage.find_objects(labels)[:64], 1):
            shape = labels[box][:edge, :edge] == number
            if shape.sum() > 4:
                found.append(shape)
    if not found:
        y, x = np.ogrid[-_DISC : _DISC + 1, -_DISC : _DISC + 1]
        found.append(y**2 + x**2 <= _DISC**2)
    return found


def _punch(where: Bools, shape: Bools, rng: np.random.Generator) -> None:
    """Mark a shape, turned at random, at a random place."""
    turned = np.rot90(shape, int(rng.integers(4)))[: where.shape[0], : where.shape[1]]
    top, left = (int(rng.integers(size - edge + 1)) for size, edge in zip(where.shape, turned.shape, strict=True))
    where[top : top + turned.shape[0], left : left + turned.shape[1]] |= turned


def _hold_out(
    marks: npt.NDArray[np.int32], unknown: Bools, shapes: Sequence[Bools], count: int, rng: np.random.Generator
) -> int:
    """Mark holes, each with a number, that touch neither each other nor what is unknown; return how many there are by now."""
    for _ in range(200):
        if (marks > 0).sum() > _HELD_OUT * marks.size:
            break
        hole = np.zeros(marks.shape, bool)
        _punch(hole, shapes[int(rng.integers(len(shapes)))], rng)
        around = ndimage.binary_dilation(hole, iterations=3)
        if not (around & (unknown | (marks > 0))).any() and hole.sum() < 0.1 * hole.size:
            count += 1
            marks[hole] = count
    return count


def _padded(values: Tensor, unknown: Bools) -> tuple[Tensor, Bools]:
    """Return a window whose sizes are multiples of 8; what is added is unknown."""
    height, width = unknown.shape
    more = (-height % GatedInpainter.multiple, -width % GatedInpainter.multiple)
    values = functional.pad(values[None], (0, more[1], 0, more[0]), mode="replicate")[0]
    return values, np.pad(unknown, ((0, more[0]), (0, more[1])), constant_values=True)
