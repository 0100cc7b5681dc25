"""Restores blocks on the device: which there are, in which batches, and what happens where memory is short."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.generator import BlockSpec, Generator, Method, Prepared, Task
from napari_synth.contract.params import Params
from napari_synth.core.device import Device
from napari_synth.core.errors import GeneratorError, OutOfMemoryError, SynthError
from napari_synth.core.memory import is_memory_short
from napari_synth.core.progress import Reporter, cancellable
from napari_synth.core.sanity import check_finite, said_place
from napari_synth.engine.codec import Codec, add_back, keep_nonfinite, put_back
from napari_synth.engine.resampling import resampled
from napari_synth.engine.result_axes import ResultLayout
from napari_synth.engine.tiling import Block, full_region, make_block, plan_cores, split_core
from napari_synth.imaging.glare import without_glare
from napari_synth.imaging.image import Image, colour_samples
from napari_synth.imaging.intensity import IntensityTransform, Statistics
from napari_synth.imaging.masks import holes
from napari_synth.imaging.screening import ScreenedImage

SMALLEST_CORE = 64
"""Edge of a block below which it is not halved."""
MOST_PIXELS = {"cpu": 9 * 2**18, "cuda": 2**24, "mps": 2**22}
"""Of a block, by the kind of the device."""
MOST_BATCH_PIXELS = {"cpu": 2**18, "cuda": 2**24, "mps": 2**22}
"""Of the blocks of a batch."""
ONE_AT_A_TIME = threading.RLock()
"""Held while the device computes."""


@dataclass(frozen=True)
class Channel:
    """One channel of an image (the whole of it where there is no C axis, or it is seen whole) with its prepared generator.

    Attributes
    ----------
    image : ScreenedImage
        Without a C axis unless that is seen whole.
    index : int or None
        Position along C; None for all of it.
    statistics : Statistics
    intensity : IntensityTransform
    prepared : Prepared
    ceiling : float or None
        Counts above which it is far brighter than the rest, see `napari_synth.imaging.glare`.
    """

    image: ScreenedImage
    index: int | None
    statistics: Statistics
    intensity: IntensityTransform
    prepared: Prepared
    ceiling: float | None = None

    @property
    def spec(self) -> BlockSpec:
        """What its blocks must be like; channels may differ, e.g. in whether neighbouring planes are evidence."""
        return self.prepared.spec


@dataclass(frozen=True)
class Item:
    """A block of a channel at one position along the axes that are mapped over."""

    channel: Channel
    position: tuple[tuple[str, int], ...]
    core: tuple[slice, ...]


@dataclass(frozen=True)
class Pixels:
    """What was read for an item: its block with halo, padded by reflection at the far end.

    Attributes
    ----------
    counts : numpy.ndarray, (C, *spatial)
    holes : numpy.ndarray of bool, (1, *spatial), or None
        Which of them are to be filled, where the image has a mask.
    source : numpy.ndarray, (C, *spatial), or None
        The same as it is in the image, where pixels were taken out (see `napari_synth.imaging.screening`).
    kept : numpy.ndarray of bool, (C, *spatial), or None
        Which pixels come back as they are in the image.
    outliers : numpy.ndarray of bool, (C, *spatial), or None
        Which pixels stand out of the result as far as out of the image.
    """

    counts: npt.NDArray[Any]
    holes: npt.NDArray[np.bool_] | None = None
    source: npt.NDArray[Any] | None = None
    kept: npt.NDArray[np.bool_] | None = None
    outliers: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Execution:
    """Reads, restores and returns blocks of one image.

    Attributes
    ----------
    source : Image
    layout : ResultLayout
        Of the result.
    generator : Generator
    device : Device
    result_dtype : numpy.dtype
    tile : int or None
        Edge of a block, where the user set one: it is never changed.
    memory_budget : int or None
        In bytes, where the user set one.
    is_difference : bool
        Whether results are differences of intensities, see `Codec`.
    keeps_outliers : bool
        Whether outliers come back as they are; else the result has what the generator makes in their place.
    """

    source: Image
    layout: ResultLayout
    generator: Generator[Params]
    device: Device
    result_dtype: np.dtype[Any]
    tile: int | None = None
    memory_budget: int | None = None
    is_difference: bool = False
    keeps_outliers: bool = True

    @property
    def joint(self) -> dict[str, slice]:
        """What is the channels of a block, by the axes of the source, in their order there; alpha is not."""
        sizes = self.source.sizes | {"S": self.samples}
        return {axis: slice(0, sizes[axis]) for axis in self.layout.joint}

    @property
    def samples(self) -> int:
        """RGB samples that are restored: alpha is not."""
        return colour_samples(self.source.sizes.get("S", 1))

    def plan(self, spec: BlockSpec, region: tuple[slice, ...]) -> list[tuple[slice, ...]]:
        """Cut a region into cores that fit into the memory."""
        budget = min(self.device.free_memory() // 2, self.memory_budget or 2**62)
        most = min(MOST_PIXELS[self.device.kind], budget // spec.bytes_per_pixel)
        return plan_cores(region, spec, most, self.tile)

    def items(self, channels: tuple[Channel, ...], asked: Mapping[str, slice]) -> list[Item]:
        """Return the work for a region, block after block and, within each, position after position."""
        items = []
        joint = self.layout.joint
        for channel in channels[slice(0, 1) if "C" in joint else asked.get("C", slice(0, 1))]:
            spec = channel.spec
            mapped = [a for a in self.source.axes if a not in spec.axes + "C" + joint]
            ranges = [
                range(asked[a].start, asked[a].stop if a != "S" else min(asked[a].stop, self.samples)) for a in mapped
            ]
            for core in self.plan(spec, tuple(asked[axis] for axis in spec.axes)):
                items += [Item(channel, tuple(zip(mapped, at, strict=True)), core) for at in product(*ranges)]
        return items

    def bounds(self, spec: BlockSpec) -> dict[str, list[int]]:
        """Return where along each axis of the specification the blocks of the whole image begin, and the end."""
        plan = self.plan(spec, full_region(spec.axes, self.source.sizes))
        return {
            axis: sorted({part[i].start for part in plan} | {self.source.sizes[axis]})
            for i, axis in enumerate(spec.axes)
        }

    def where(self, item: Item) -> dict[str, slice]:
        """Return the pixels of the source that an item restores; axes that are not named are whole."""
        part = {axis: slice(at, at + 1) for axis, at in item.position}
        part |= dict(zip(item.channel.spec.axes, item.core, strict=True))
        if item.channel.index is not None:
            part["C"] = slice(item.channel.index, item.channel.index + 1)
        return part | self.joint

    def restored(self, items: list[Item], reporter: Reporter) -> Iterator[tuple[Item, npt.NDArray[Any]]]:
        """Restore items in batches, reading ahead; where memory is short, halve the blocks and go on."""
        queue = deque(items)
        batch_pixels = MOST_BATCH_PIXELS[self.device.kind]
        with ThreadPoolExecutor(1, thread_name_prefix="synth-read") as reader:
            batch = self._next_batch(queue, batch_pixels)
            reading = reader.submit(self._read, batch)
            while batch:
                upcoming: list[Item] = []
                results: list[npt.NDArray[Any]] | None = None
                with suppress(MemoryShortError, MemoryError):
                    pixels = reading.result()
                    upcoming = self._next_batch(queue, batch_pixels)
                    reading = reader.submit(self._read, upcoming)
                    with cancellable(reporter.cancel):
                        results = self._apply(batch, pixels)
                if results is None:
                    self.device.release_memory()
                    batch_pixels = prod(self._block(batch[0]).shape) * len(batch) // 2
                    pieces = self._smaller(batch)
                    reporter.extend(len(pieces) - len(batch))
                    reporter.message("The device's memory is short: going on with smaller blocks.")
                    queue.extendleft(reversed(upcoming))
                    queue.extendleft(reversed(pieces))
                    upcoming = self._next_batch(queue, batch_pixels)
                    reading = reader.submit(self._read, upcoming)
                else:
                    yield from zip(batch, results, strict=True)
                    reporter.advance(len(batch))
                batch = upcoming

    def _next_batch(self, queue: deque[Item], most_pixels: int) -> list[Item]:
        """Take items of one channel and one layout that together fit."""
        if not queue:
            return []
        batch = [queue.popleft()]
        block = self._block(batch[0])
        while (
            queue
            and queue[0].channel is batch[0].channel
            and self._block(queue[0]).layout == block.layout
            and prod(block.shape) * (len(batch) + 1) <= most_pixels
        ):
            batch.append(queue.popleft())
        return batch

    def _smaller(self, batch: list[Item]) -> list[Item]:
        """Return the same work in pieces of half the size."""
        if len(batch) > 1:
            return batch
        item = batch[0]
        pieces = [item.core] if self.tile else split_core(item.core, item.channel.spec, SMALLEST_CORE)
        if len(pieces) == 1:
            what = f"A tile of {self.tile} pixels" if self.tile else "The smallest block"
            advice = "set a smaller tile" if self.tile else "free memory"
            raise OutOfMemoryError(
                f"{what} does not fit into the memory of {self.device.title}: {advice}, or run on the cpu."
            )
        return [replace(item, core=core) for core in pieces]

    def _block(self, item: Item) -> Block:
        return make_block(item.core, self.source.sizes, item.channel.spec)

    def _read(self, batch: list[Item]) -> list[Pixels]:
        return [self._read_one(item, self._block(item)) for item in batch]

    def _read_one(self, item: Item, block: Block) -> Pixels:
        image, spec = item.channel.image, item.channel.spec
        selection: dict[str, slice | int] = dict(item.position)
        selection |= {axis: span.read for axis, span in zip(spec.axes, block.spans, strict=True)}
        selection |= self.joint
        axes = [axis for axis in image.axes if not isinstance(selection.get(axis), int)]
        order = [axes.index(axis) for axis in self.layout.joint + spec.axes]
        pads = [(0, 0), *((0, span.pad) for span in block.spans)]

        def block_of(found: npt.NDArray[Any]) -> npt.NDArray[Any]:
            found = found.transpose(order)
            found = found.reshape(-1, *found.shape[len(self.layout.joint) :])
            return np.pad(found, pads, mode="reflect") if any(pad for _, pad in pads) else found

        part = image.screened(**selection)
        counts, outliers = part.pixels, part.outliers
        if outliers is not None and self.generator.info.task == Task.TRANSLATE and item.channel.prepared.is_pointwise:
            # Nothing else depends on them there, and what is made of them is what was asked for.
            counts, outliers = np.where(outliers, part.source, counts), None
        masked = None
        if image.mask is not None:
            masked = block_of(np.broadcast_to(holes(image, selection), counts.shape))[:1]
        if outliers is None and part.no_data is None:
            return Pixels(block_of(counts), masked)
        kept = np.zeros(counts.shape, bool) if part.no_data is None else part.no_data
        standing = None
        if outliers is not None and self.generator.info.task == Task.TRANSLATE:
            standing = block_of(outliers)
        elif outliers is not None and self.keeps_outliers:
            kept = kept | outliers
        return Pixels(block_of(counts), masked, block_of(part.source), block_of(kept), standing)

    def _apply(self, batch: list[Item], pixels: list[Pixels]) -> list[npt.NDArray[Any]]:
        """Restore a batch on the device; return the cores in counts, with the axes of the result."""
        if self.source.mask is not None:
            results = self._filled(batch, pixels)
        else:
            results = list(self._restore(batch, pixels))
            for item, result, source in zip(batch, results, pixels, strict=True):
                block, mixed = self._block(item), self.layout.spec is not None
                keep_nonfinite(result, source.counts, block, mixed=mixed)
                if source.source is not None and source.kept is not None:
                    put_back(result, source.source, source.kept, block, mixed=mixed, difference=self.is_difference)
                    if source.outliers is not None and not mixed and not self.is_difference:
                        add_back(result, source.source, source.counts, source.outliers, block)
        return [self._as_result_axes(result, batch[0].channel.spec) for result in results]

    def _filled(self, batch: list[Item], pixels: list[Pixels]) -> list[npt.NDArray[Any]]:
        """Restore the pixels that are to be filled; all others are those of the source, bit by bit."""
        results, filled = [], []
        for item, source in zip(batch, pixels, strict=True):
            block = self._block(item)
            kept = block.at_results(source.counts if source.source is None else source.source)
            kept = kept.astype(self.result_dtype, copy=False)
            results.append(np.zeros_like(kept, self.result_dtype) if self.is_difference else kept)
            filled.append(np.zeros_like(kept, bool) if source.holes is None else block.at_results(source.holes))
        # Most blocks of a large image have no hole.
        marked = [i for i, hole in enumerate(filled) if hole.any()]
        if marked:
            restored = self._restore([batch[i] for i in marked], [pixels[i] for i in marked])
            for i, result in zip(marked, restored, strict=True):
                results[i] = np.where(filled[i], result, results[i])
        return results

    def _restore(self, batch: list[Item], pixels: list[Pixels]) -> npt.NDArray[Any]:
        """Restore a batch on the device; return the cores in counts, (N, C, *spatial)."""
        import torch

        channel = batch[0].channel
        read = channel.prepared.intensity or (channel.intensity,)
        made = read if channel.prepared.result is None else channel.prepared.result.intensity
        counts = np.stack([source.counts for source in pixels])
        codec = Codec(read, made, self.device, counts.dtype, self.result_dtype, self.is_difference)
        masks = [source.holes for source in pixels if source.holes is not None]
        samplings = [span.sampling for span in self._block(batch[0]).spans]
        with ONE_AT_A_TIME, translated_errors(self.generator, self.device), torch.inference_mode():
            tensor = codec.encode(counts, np.stack(masks) if masks else None)
            with arithmetic(self.device):
                if channel.ceiling is None:
                    restored = channel.prepared.apply(tensor)
                else:
                    level = (channel.ceiling - read[0].offset) / read[0].scale
                    noise = channel.prepared.noise
                    model = (
                        noise.model.scaled(read[0].scale, read[0].offset) if noise and not self.is_difference else None
                    )
                    restored = without_glare(channel.prepared.apply, tensor, level, channel.spec.axes, model)
            restored = resampled(restored, samplings, channel.spec.kernel)
            check_finite(restored, self.generator, self.device, lambda number: self._place(batch[number]))
            return codec.decode(restored)

    def _place(self, item: Item) -> str:
        channel = () if item.channel.index is None else (("C", item.channel.index),)
        return said_place((*channel, *item.position), item.channel.spec.axes, item.core)

    def _as_result_axes(self, result: npt.NDArray[Any], spec: BlockSpec) -> npt.NDArray[Any]:
        """Bring (C, *spatial) into the order of the result, with length 1 along the axes that were mapped over."""
        joint, axes = self.layout.channel_axes, self.layout.axes
        sizes = {axis: part.stop for axis, part in self.joint.items()} if self.layout.spec is None else {}
        present = joint + spec.axes
        pixels = result.reshape(*(sizes.get(axis, len(result)) for axis in joint), *result.shape[1:])
        kept = [axis for axis in axes if axis in present]
        pixels = pixels.transpose([present.index(axis) for axis in kept])
        return np.expand_dims(pixels, [i for i, axis in enumerate(axes) if axis not in present])


class MemoryShortError(Exception):
    """The device's memory is short; blocks are made smaller."""


@contextmanager
def translated_errors(method: Method[Any], device: Device) -> Iterator[None]:
    """Let no error of torch reach the user raw."""
    try:
        yield
    except (SynthError, MemoryShortError):
        raise
    except Exception as error:
        if is_memory_short(error):
            raise MemoryShortError from error
        raise GeneratorError(
            f"{method.info.title} failed on {device.title} ({type(error).__name__}: {error}):"
            " please report it with the recipe, or choose another generator."
        ) from error


def arithmetic(device: Device) -> AbstractContextManager[object]:
    """Return the context in which networks compute in the precision that was asked for."""
    import torch

    if device.precision != "float32":
        return torch.autocast(device.kind, getattr(torch, device.precision))
    if device.kind != "cuda":
        return nullcontext()
    # By default cuDNN rounds float32 to ten bits, too few for images of 16.
    usual = torch.backends.cudnn
    return usual.flags(
        enabled=usual.enabled,
        benchmark=usual.benchmark,
        benchmark_limit=usual.benchmark_limit,
        deterministic=usual.deterministic,
        allow_tf32=False,
    )
