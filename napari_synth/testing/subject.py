"""Methods under test: which images suit them, what they are run with, and how large their results must be."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import napari_synth
from napari_synth import registry
from napari_synth.contract.frames import FramePredictor
from napari_synth.contract.generator import Generator, Method, Task
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.imaging.image import Image
from napari_synth.imaging.masks import as_mask

Pixels = npt.NDArray[Any]

_EDGE = 96
_RAMP = 8


@dataclass(frozen=True)
class Subject:
    """A generator that restores planes, with what it is run with.

    Attributes
    ----------
    generator : Generator
    settings : mapping of str to object
        What every run is given: for a method that trains, a few small steps.
    thorough : mapping of str to object
        What is given instead where the quality of the result is looked at.
    scale : int
        How many times finer its results are along Y and X.
    """

    generator: Generator[Any]
    settings: Mapping[str, Any]
    thorough: Mapping[str, Any]
    scale: int

    @property
    def task(self) -> Task:
        """What the generator is for."""
        return self.generator.info.task

    def expected(self, shape: tuple[int, ...], axes: str = "YX") -> tuple[int, ...]:
        """Return the shape that the result of an image of this shape must have."""
        return tuple(size * self.scale if axis in "YX" else size for axis, size in zip(axes, shape, strict=True))

    def at_every_pixel(self, plane: Pixels) -> Pixels:
        """Return, for every pixel of a result, the value of the plane where that pixel lies."""
        enlarged: Pixels = np.kron(plane, np.ones((self.scale, self.scale), plane.dtype))
        return enlarged

    def given(self, pixels: Pixels, axes: str = "YX") -> Image:
        """Return an image that the generator takes: in colours where it needs them, with a hole where it fills holes."""
        if self.task == Task.INPAINT:
            return Image(pixels, axes, mask=as_mask(hole(pixels.shape, axes), Image(pixels, axes)))
        if not self.generator.info.needs_colour or "S" in axes:
            return Image(pixels, axes)
        return Image(np.stack([pixels, pixels[::-1], pixels], -1), f"{axes}S")

    def beside(self, image: Image) -> dict[str, Any]:
        """Return what a run needs besides the image: a reference of the same kind, which is the image turned over.

        A blank image would be refused as a reference: then it is a ramp.
        """
        if self.generator.info.reference_image != "needed":
            return {}
        flipped = tuple(slice(None, None, -1) if axis in "YX" else slice(None) for axis in image.axes)
        pixels = image.data[flipped]
        if np.ptp(pixels) == 0:
            shape = tuple(max(size, _RAMP) if axis in "YX" else size for axis, size in image.sizes.items())
            pixels = np.arange(np.prod(shape)).reshape(shape).astype(image.dtype)
        return {"reference": image.with_data(pixels)}

    def run(self, pixels: Pixels, axes: str = "YX", **options: Any) -> Pixels:
        """Run the generator with its settings and return the pixels, without the colours that were only made for it.

        Parameters
        ----------
        pixels : numpy.ndarray
        axes : str
            The role of each dimension.
        **options : object
            Settings and options of `napari_synth.run`, which take the place of the subject's own.
        """
        image = self.given(pixels, axes)
        options = {**self.settings, **self.beside(image), **options}
        result: Pixels = napari_synth.run(self.generator.info.id, image, **options).data
        return result if image.axes == axes else result[..., 0]


@dataclass(frozen=True)
class FrameSubject:
    """A predictor of frames, with what it is run with."""

    predictor: FramePredictor[Any]
    settings: Mapping[str, Any]

    def predict(self, movie: Pixels, count: int, **options: Any) -> Pixels:
        """Return a movie (T, Y, X) with ``count`` frames behind it.

        Parameters
        ----------
        movie : numpy.ndarray, (T, Y, X)
        count : int
        **options : object
            Of `napari_synth.predict_frames`.
        """
        options = {**self.settings, **options}
        result: Pixels = napari_synth.predict_frames(movie, count, self.predictor.info.id, axes="TYX", **options)
        return result


@dataclass(frozen=True)
class SynthesisSubject:
    """A synthesizer, with what it is run with."""

    synthesizer: Synthesizer[Any]
    settings: Mapping[str, Any]

    def synthesize(self, count: int, **options: Any) -> Pixels:
        """Return new images along the first axis, of the source that the synthesizer needs.

        Parameters
        ----------
        count : int
        **options : object
            Of `napari_synth.synthesize`.
        """
        labels = hole((48, 48), "YX").astype(np.int64)
        known = {"nothing": None, "image": noisy((48, 48))}
        source = known.get(self.synthesizer.needs, labels)
        options = {**self.settings, **options}
        result: Pixels = napari_synth.synthesize(self.synthesizer.info.id, count, source=source, **options)
        return result


@contextmanager
def known(method: Method[Any]) -> Iterator[None]:
    """Take a method up in the registry for as long as it is run, where it is not there already."""
    identifier = method.info.id
    if any(one.info.id == identifier for one in registry.listed(Method)):
        yield
        return
    registry.register(method)
    try:
        yield
    finally:
        registry.forget(identifier)


def hole(shape: tuple[int, ...], axes: str) -> npt.NDArray[np.bool_]:
    """Return a mask of a box in every plane, with a scratch beside it.

    Parameters
    ----------
    shape : tuple of int
    axes : str
        The role of each dimension. The mask has all of them but S.
    """
    sizes = {axis: size for axis, size in zip(axes, shape, strict=True) if axis != "S"}
    mask = np.zeros(tuple(sizes.values()), bool)
    for start, stop in ((1 / 5, 1 / 4), (1 / 3, 2 / 3)):
        part = {axis: slice(int(size * start), int(size * stop) + 1) for axis, size in sizes.items() if size > 1}
        mask[tuple(part[axis] if axis in part and axis in "YX" else slice(None) for axis in sizes)] = True
    return mask


@functools.cache
def clean() -> Pixels:
    """Return a part of a photograph, (96, 96), float32, 0 to 255."""
    from skimage import data

    start = 150
    pixels: Pixels = data.camera()[start : start + _EDGE, start : start + _EDGE].astype("f4")
    return pixels


def noisy(shape: tuple[int, ...] = (_EDGE, _EDGE), dtype: str = "u2", *, sigma: float = 20.0) -> Pixels:
    """Return the same photograph behind Gaussian noise, on an offset of 100 counts.

    Parameters
    ----------
    shape : tuple of int
        Its last two sizes are those of a plane, at most twice those of the photograph, which is mirrored beyond its borders;
        all planes show the same.
    dtype : str
    sigma : float
        Standard deviation of the noise in counts, independent in every pixel; the same at every call.
    """
    height, width = shape[-2:]
    beyond = [(0, max(0, size - _EDGE)) for size in (height, width)]
    plane = np.pad(clean(), beyond, mode="reflect")[:height, :width]
    image = np.broadcast_to(plane, shape) + np.random.default_rng(0).normal(0, sigma, shape) + 100
    return np.clip(image, 0, None).astype(dtype)
