"""Prepares a method for an image: once, or once a channel where it is mapped over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from napari_synth.contract.generator import Context
from napari_synth.contract.params import Params
from napari_synth.core.device import Device
from napari_synth.core.errors import OutOfMemoryError
from napari_synth.core.progress import Reporter, cancellable
from napari_synth.engine.computing import MemoryShortError, translated_errors
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.intensity import IntensityTransform, Statistics, measure_statistics
from napari_synth.imaging.outliers import ceiling
from napari_synth.imaging.screening import ScreenedImage, noise_of, screened

A = TypeVar("A")


@dataclass(frozen=True)
class Channel(Generic[A]):
    """One channel of an image (the whole of it where there is no C axis, or it is seen whole) with its prepared method.

    Attributes
    ----------
    image : ScreenedImage
        Without alpha; without a C axis unless that is seen whole.
    index : int or None
        Position along C; None for all of it.
    statistics : tuple of Statistics
        Of the channel, or of each channel of a block where they are measured apart.
    intensity : tuple of IntensityTransform
        For each channel of a block, or one for all of them.
    prepared : Prepared or PreparedFrames
    ceiling : float or None
        Counts above which it is far brighter than the rest, see `napari_synth.imaging.outliers`.
    """

    image: ScreenedImage
    index: int | None
    statistics: tuple[Statistics, ...]
    intensity: tuple[IntensityTransform, ...]
    prepared: A
    ceiling: float | None = None


def prepare_channels(
    method: Any,
    image: Image,
    params: Params,
    device: Device,
    seed: int,
    report: Reporter,
    *,
    apart: bool = False,
    restores: bool = False,
    reference: Image | None = None,
    yardstick: Image | None = None,
    interim: Callable[[tuple[Channel[Any], ...]], None] | None = None,
) -> tuple[Channel[Any], ...]:
    """Let a method look at an image.

    Parameters
    ----------
    method : Generator or FramePredictor
    image : Image
    params : Params
        Of the method.
    device : Device
    seed : int
    report : Reporter
    apart : bool
        Whether the intensities of channels that are seen together are measured for each of them.
    restores : bool
        Whether what was measured is restored: its noise is measured before, and what is far brighter than the rest is restored
        apart.
    reference : Image, optional
        How the result should look.
    yardstick : Image, optional
        Whose intensities and noise are taken for those of the image.
    interim : callable, optional
        Called with the channels while the last of them is trained: only then there is something of each.

    Raises
    ------
    SynthError
        One of its subclasses for every cause that lies with the image.
    """
    joint = method.info.joint(image.axes)
    count = 0 if "C" in joint else image.sizes.get("C", 0)
    channels: tuple[Channel[Any], ...] = ()
    for index in range(count) if count else [None]:
        report.start("Preparing" if index is None else f"Preparing (channel {index + 1} of {count})")
        try:
            with cancellable(report.cancel), translated_errors(method, device):
                part = screened(without_alpha(image if index is None else image.select(C=index)))
                measured = part if yardstick is None else screened(_part_of(yardstick, index, joint))
                if restores:
                    measured = replace(measured, report=noise_of(measured))
                    part = replace(part, report=measured.report)
                each = range(part.sizes["C"]) if apart and "C" in joint else [None]
                statistics = tuple(measure_statistics(measured if i is None else measured.select(C=i)) for i in each)
                glaring = _ceiling(measured, statistics) if restores else None
                calm = [one if glaring is None else replace(one, high=min(one.high, glaring)) for one in statistics]
                intensity = tuple(IntensityTransform.from_statistics(one) for one in calm)
                # The samples of a channel are as bright as the channel.
                repeats = part.sizes["S"] if "S" in joint and len(intensity) > 1 else 1
                of_block = tuple(one for one in intensity for _ in range(repeats))
                channel = partial(Channel[Any], part, index, statistics, of_block)
                told = None
                if interim is not None and index in (None, count - 1):
                    told = partial(_tell, interim, channels, channel)
                likeness = None if reference is None else _part_of(reference, index, joint)
                context = Context(device, intensity[0], statistics[0], seed, report, likeness, index, told)
                prepared = method.prepare(part, params, context)
                if glaring is not None and (prepared.intensity is not None or not any(prepared.spec.halo)):
                    glaring = None
                channels = (*channels, channel(prepared, ceiling=glaring))
        except MemoryShortError as error:
            raise OutOfMemoryError(
                f"{method.info.title} does not fit into the memory of {device.title}: choose smaller settings, or the cpu."
            ) from error
    return channels


def _ceiling(image: ScreenedImage, statistics: tuple[Statistics, ...]) -> float | None:
    """Return above which counts an image is restored apart; None where it need not be, or counts are not all of one kind."""
    return None if "C" in image.axes else ceiling(image, noise_of(image).model, statistics[0].maximum)


def _tell(
    interim: Callable[[tuple[Channel[Any], ...]], None],
    others: tuple[Channel[Any], ...],
    channel: Callable[[Any], Channel[Any]],
    prepared: Any,
) -> None:
    interim((*others, channel(prepared)))


def _part_of(other: Image, channel: int | None, joint: str) -> Image:
    """Return the part of a reference image or yardstick that belongs to a channel; one without channels belongs to all."""
    if "C" in other.axes and "C" not in joint:
        other = other.select(C=(channel or 0) if other.sizes["C"] > 1 else 0)
    return without_alpha(other)
