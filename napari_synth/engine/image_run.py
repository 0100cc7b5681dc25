"""From an image to its result: prepare once, then restore any blocks that are asked for.

Eager numpy, lazy dask, the preview of the visible field and a file on the command line differ only in who asks for which blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_synth.contract.generator import BlockSpec, Generator, Prepared, Task
from napari_synth.core.device import resolve_device
from napari_synth.core.errors import AxesError, InvalidImageError, InvalidParameterError, ReferenceImageError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.core.texts import unit_of
from napari_synth.engine.block_run import BlockItem, BlockRun, BlockWork, as_block, in_order, notes_of, put, weights_of
from napari_synth.engine.channels import Channel, prepare_channels
from napari_synth.engine.codec import Codec, add_back, keep_nonfinite, mixture, put_back
from napari_synth.engine.computing import arithmetic, check_finite, computing, said_place
from napari_synth.engine.prepared import Inputs
from napari_synth.engine.queue import completed
from napari_synth.engine.recipe import MaskRecord, NoiseRecord, Recipe, Source, current_versions
from napari_synth.engine.references import has_content
from napari_synth.engine.region import ChosenRegion, open_region
from napari_synth.engine.resampling import resampled
from napari_synth.engine.result_axes import ResultLayout
from napari_synth.engine.rotations import RotationEnsemble
from napari_synth.engine.tiling import nearest
from napari_synth.imaging.content import said_of_content
from napari_synth.imaging.image import Image, without_alpha
from napari_synth.imaging.intensity import IntensityTransform
from napari_synth.imaging.masks import check_mask, holes
from napari_synth.imaging.outliers import without_glare
from napari_synth.imaging.sampling import sample_windows

if TYPE_CHECKING:
    import torch

_RESTORING = {Task.DENOISE, Task.DECONVOLVE, Task.SUPER_RESOLUTION}
# What they make of a pixel is no estimate of its own value: outliers are moved with what is around them.
_MOVING = {Task.TRANSLATE, Task.CORRECT}
# Pixels of the source by which the dtype of a result is decided.
_SAMPLED, _WINDOW = 2**16, 128


def open_image(
    method: Generator[Any],
    recipe: Recipe,
    inputs: Inputs,
    options: RunOptions,
    report: Reporter,
    interim: Callable[[PreparedImage], None] | None = None,
    before: tuple[PreparedImage, ...] = (),
    made: Image | None = None,
) -> PreparedImage:
    """Let a generator look at an image: load weights, measure the noise, or train; see `napari_synth.engine.door.open`.

    Parameters
    ----------
    method, recipe, inputs, options, report, interim
        As for `napari_synth.engine.door.open`.
    before : tuple of PreparedImage
        The steps of a chain before it.
    made : Image, optional
        What they make of the image, which is looked at in its place.
    """
    image = inputs.image
    if image is None:
        raise InvalidImageError("There is no image: only what makes new images can do without one.")
    if refusal := method.info.refusal(image.axes):
        raise AxesError(refusal)
    params = method.params_type.parse(recipe.params)
    region = open_region(inputs.region, recipe.region, image)
    device = resolve_device(options.device, options.precision)
    if method.info.task == Task.INPAINT:
        check_mask(image)
    else:
        image = replace(image, mask=None)
    if made is not None:
        made = replace(made, mask=image.mask)
    _check_reference(method, image, inputs.reference)
    _check_yardstick(image, inputs.yardstick)
    bare = PreparedImage(
        image, method, params, device, options, Recipe(generator=method.info.id), (), before=before, made=made
    )
    channels = prepare_channels(
        method,
        bare.seen,
        params,
        device,
        options.seed,
        report,
        restores=method.info.task in _RESTORING,
        reference=inputs.reference,
        yardstick=inputs.yardstick,
        interim=None if interim is None else lambda made: interim(replace(bare, channels=made)),
    )
    for channel in channels:
        if missing := [axis for axis in channel.prepared.spec.axes if axis not in image.axes]:
            raise AxesError(
                f"{method.info.title} needs the axis {missing[0]}, the image has {image.axes}: set the axes."
            )
    # Last, since a method can say better what it misses.
    if inputs.reference is not None and not has_content(without_alpha(inputs.reference)):
        raise ReferenceImageError(
            "All pixels of the reference image are equal: say which image the result should look like."
        )
    masked = None if image.mask is None else MaskRecord.of(image.mask)
    settled = params.model_dump(mode="json") | _resolved(channels)
    record = Recipe(
        generator=method.info.id,
        params=settled,
        axes=image.axes,
        seed=options.seed,
        device=device.kind,
        precision=device.precision,
        dtype=options.dtype,
        tile=options.tile,
        versions=dict(current_versions()),
        weights=weights_of(channels),
        source=Source.of(image),
        mask=masked,
        blend=recipe.blend,
        reference=None if inputs.reference is None else Source.of(inputs.reference),
        measured_on=None if inputs.yardstick is None else Source.of(inputs.yardstick),
        noise=_noise_of(channels),
        notes=(
            *(() if method.info.task == Task.CORRECT else _said_of_reference(image, inputs.reference)),
            *_said_of_content(channels),
            *(masked.sentences() if masked else ()),
            *notes_of(
                channels,
                labelled=True,
                unit=unit_of(image.dtype),
                more=partial(_said_of_outliers, method.info.task, settled),
            ),
        ),
    )
    run = replace(bare, channels=channels, recipe=record).with_grid(recipe)
    run = run if run.layout.spec is not None else run.with_dtype()
    if recipe.blend < 1.0 and (run.layout.spec is not None or run.layout.shape != image.shape):
        raise InvalidParameterError("The result lies on another grid than its source: it cannot be blended with it.")
    return run if region is None else run.limited_to(region)


class Gains(Prepared):
    """By what a correction multiplies the noise.

    Parameters
    ----------
    prepared : Prepared
        With a `noise_level`.
    scale : float
        Of its intensity transform, which results are multiplied with.
    """

    def __init__(self, prepared: Prepared, scale: float) -> None:
        self.spec, self.intensity, self.noise_level = prepared.spec, prepared.intensity, prepared.noise_level
        self._prepared, self._scale = prepared, scale

    @property
    def is_placed(self) -> bool:
        """As the correction is."""
        return self._prepared.is_placed

    def at(self, place: Mapping[str, slice]) -> Prepared:
        """See `Prepared.at`."""
        return Gains(self._prepared.at(place), self._scale)

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        """Return the gains of a batch of blocks; another channel of the run may multiply where this one does not."""
        import torch

        gains = self._prepared.gains(block) if self._prepared.multiplies else torch.ones_like(block)
        return gains / self._scale


@dataclass(frozen=True)
class PreparedImage(BlockRun):
    """A generator that has seen an image, ready to restore any part of it.

    Attributes
    ----------
    region : ChosenRegion or None
        What it is limited to.
    before : tuple of PreparedImage
        The steps of a chain before it.
    made : Image or None
        What they make of the source, which is what the method looks at then; on the grid of the source, in float32.
    """

    region: ChosenRegion | None = None
    before: tuple[PreparedImage, ...] = ()
    made: Image | None = None

    @property
    def seen(self) -> Image:
        """What the method looks at: the source, or in a chain what the steps before make of it."""
        return self.source if self.made is None else self.made

    def limited_to(self, region: ChosenRegion) -> PreparedImage:
        """Return the run with a region in its recipe: the rest of the result is the source, or is left out."""
        limited = replace(self, region=region)
        notes = (*self.recipe.notes, region.sentence(cropped=limited.is_cropped))
        return replace(limited, recipe=self.recipe.model_copy(update={"region": region.record(), "notes": notes}))

    @property
    def is_cropped(self) -> bool:
        """Whether the result is the region alone, since it lies on another grid than its source or in other counts."""
        layout = self.layout
        return self.region is not None and (layout.spec is not None or layout.shape != self.source.shape)

    @property
    def is_limited(self) -> bool:
        """Whether pixels of the source come back, or are mixed with those of the result."""
        return (self.region is not None and not self.is_cropped) or self.recipe.blend < 1.0

    @property
    def extent(self) -> dict[str, slice]:
        """The part of the source that the result shows, along each of its axes."""
        whole = super().extent
        if self.region is None or not self.is_cropped:
            return whole
        bounds = self.region.bounds
        return {axis: whole[axis] if axis in self.joint_axes else bounds.get(axis, whole[axis]) for axis in whole}

    @property
    def layout(self) -> ResultLayout:
        """Between the axes of the source and those of the result."""
        sizes, prepared = self.source.sizes, self.channels[0].prepared
        return ResultLayout(
            sizes, prepared.spec.ratios(sizes), self.method.info.joint(self.source.axes), prepared.result
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the source, unless another was chosen; that of the generator's own results; float32 for a spread."""
        if self.is_spread:
            return np.dtype(np.float32)
        made = self.layout.spec
        return (self.chosen_dtype or self.source.dtype) if made is None else np.dtype(made.dtype)

    @property
    def result_range(self) -> tuple[float, float] | None:
        """The counts between which results are to be expected; None where they are those of the source."""
        made = self.layout.spec
        if made is None:
            return None
        return min(one.offset for one in made.intensity), max(one.offset + one.scale for one in made.intensity)

    def block_spec(self, channel: Channel[Prepared]) -> BlockSpec:
        """Return what the blocks of a channel must be like; channels may differ, e.g. in whether planes beside are evidence."""
        return channel.prepared.spec

    @property
    def is_gains(self) -> bool:
        """Whether results are by what a step multiplies the noise, rather than its result."""
        return self.is_spread and all(isinstance(channel.prepared, Gains) for channel in self.channels)

    def gains(self) -> PreparedImage | None:
        """Return the run whose result is by what this one multiplies the noise of each pixel; None where it does not."""
        if any(channel.prepared.noise_level is None for channel in self.channels):
            return None
        channels = tuple(
            replace(one, prepared=Gains(one.prepared, (one.prepared.intensity or one.intensity)[0].scale))
            for one in self.channels
        )
        return replace(self, channels=channels, is_spread=True)

    def ensembled(self, prepared: Prepared) -> Prepared:
        """Return what gives the spread of a prepared generator over flips and rotations."""
        return RotationEnsemble(prepared.upright if isinstance(prepared, RotationEnsemble) else prepared, "std")

    @property
    def keeps_outliers(self) -> bool:
        """Whether outliers come back as they are; else the result has what the generator makes in their place."""
        return bool(self.recipe.params.get("outliers", "keep") == "keep")

    def sample(self) -> npt.NDArray[Any]:
        """Return a few evenly spread parts of the result, one dimension."""
        lead = "".join(axis for axis in self.source.axes if axis not in "YX" + self.joint_axes)
        whole = self.block_spec(self.channels[0]).whole
        parts: list[npt.NDArray[Any]] = []
        for at in sample_windows(self.source.select(**dict.fromkeys(self.joint_axes, 0)), _SAMPLED, _WINDOW):
            region = {axis: at[axis] for axis in lead + ("" if whole else "YX")}
            parts.append(np.ravel(self.compute(region=region)))
            if whole or sum(part.size for part in parts) >= _SAMPLED:
                break
        return np.concatenate(parts)

    def fill(self, asked: Mapping[str, slice], out: Any, wanted: Mapping[str, slice], report: Reporter) -> None:
        """Restore the blocks of a region, and hand the alpha sample on.

        Parameters
        ----------
        asked : mapping of str to slice
            The region of the result to make, by axis.
        out : array-like
            Of the shape of ``wanted``.
        wanted : mapping of str to slice
            Where in the result the array lies.
        report : Reporter
            Told of each block; its cancel stops the run.
        """
        layout = self.layout
        channels = self.channels[slice(0, 1) if "C" in layout.joint else asked.get("C", slice(0, 1))]
        total = sum(
            self.grid(channel).count(asked) * self.n_positions(asked, channel.prepared.spec.axes)
            for channel in channels
        )
        report.start("Restoring", total)
        work = _ImageWork(self, report)
        for item, counts in completed(work, self._items(channels, asked), report):
            put(out, counts, layout.within({**asked, **self.where(item, self.block_spec(item.channel).axes)}), wanted)
        self._copy_alpha(asked, out)

    def _items(self, channels: tuple[Channel[Any], ...], asked: Mapping[str, slice]) -> Iterator[BlockItem]:
        """Yield the work for a region, block after block and, within each, position after position."""
        for channel in channels:
            for core in self.grid(channel).cores(asked):
                for position in self.positions(asked, channel.prepared.spec.axes):
                    yield BlockItem(channel, position, core)

    def _copy_alpha(self, asked: Mapping[str, slice], out: Any) -> None:
        """Hand the alpha sample on as it is (zero for a spread)."""
        samples, ratios = self.samples, self.layout.ratios
        if self.source.sizes.get("S", samples) == samples or self.layout.spec is not None:
            return
        alpha = self.source.read(**{**asked, "S": slice(samples, None)})
        for i, (axis, ratio) in enumerate((axis, ratios.get(axis)) for axis in self.source.axes):
            if ratio is not None:
                alpha = np.take(alpha, nearest(asked[axis], ratio), i)
        index = tuple(slice(samples, None) if axis == "S" else slice(None) for axis in self.source.axes)
        out[index] = 0 if self.is_spread else alpha


@dataclass(frozen=True)
class _Pixels:
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
    chosen : numpy.ndarray of bool, (C, *spatial), or None
        Which pixels belong to the region that the run is limited to.
    gains : numpy.ndarray, (C, *spatial), or None
        By what the steps before multiplied the noise, where the generator wants to know.
    original : numpy.ndarray, (C, *spatial), or None
        What is in the image where the steps before changed it, and it may come back.
    """

    counts: npt.NDArray[Any]
    holes: npt.NDArray[np.bool_] | None = None
    source: npt.NDArray[Any] | None = None
    kept: npt.NDArray[np.bool_] | None = None
    outliers: npt.NDArray[np.bool_] | None = None
    chosen: npt.NDArray[np.bool_] | None = None
    gains: npt.NDArray[np.float32] | None = None
    original: npt.NDArray[Any] | None = None


class _ImageWork(BlockWork):
    """Reads, restores and returns blocks of an image."""

    _run: PreparedImage

    def group(self, item: BlockItem) -> tuple[Any, ...]:
        """Return the channel of an item and the layout of its block."""
        lies = self._lies(item).items() if item.channel.prepared.is_placed else ()
        place = tuple((axis, part.start, part.stop) for axis, part in lies)
        return item.channel.index, self.block(item).layout, place

    def _lies(self, item: BlockItem) -> dict[str, slice]:
        """Return the pixels of the image that the block of an item is read from."""
        place = {axis: slice(at, at + 1) for axis, at in item.position if axis != "S"}
        spans = (span.read for span in self.block(item).spans)
        return place | dict(zip(item.channel.prepared.spec.axes, spans, strict=True))

    def read(self, item: BlockItem) -> _Pixels:
        """Read the block of an item, and which of its pixels are to be filled."""
        image, axes, joint = item.channel.image, item.channel.prepared.spec.axes, self._run.layout.joint
        block = self.block(item)
        at: dict[str, slice | int] = {**dict(item.position)}
        at |= {axis: slice(0, size) for axis, size in self._run.joint_sizes().items()}
        selection = {**at, **{axis: span.read for axis, span in zip(axes, block.spans, strict=True)}}
        part = image.screened(**selection)
        counts, outliers = part.pixels, part.outliers
        moves = self._run.method.info.task in _MOVING
        if outliers is not None and moves and item.channel.prepared.is_pointwise:
            # Nothing else depends on them there, and what is made of them is what was asked for.
            counts, outliers = np.where(outliers, part.source, counts), None

        def block_of(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return as_block(pixels, image, selection, block, axes, joint)

        hidden = None
        if image.mask is not None:
            hidden = block_of(np.broadcast_to(holes(image, selection), counts.shape))[:1]
        region, chosen = self._run.region, None
        if region is not None and not self._run.is_cropped:
            of_channel = {} if item.channel.index is None else {"C": item.channel.index}
            sizes = image.sizes | ({"C": self._run.source.sizes["C"]} if of_channel else {})
            chosen = block_of(np.broadcast_to(region.part(selection | of_channel, sizes), counts.shape))
        gains = None
        if image.gains and item.channel.prepared.wants_gains and not self._run.is_gains:
            gains = block_of(image.gain(**selection))
        original = None
        if self._run.before and self._run.is_limited:
            source = without_alpha(self._run.source)
            source = source if item.channel.index is None else source.select(C=item.channel.index)
            original = block_of(source.read(**selection))
        if outliers is None and part.no_data is None:
            return _Pixels(block_of(counts), hidden, chosen=chosen, gains=gains, original=original)
        kept = np.zeros(counts.shape, bool) if part.no_data is None else part.no_data
        standing = None
        if outliers is not None and moves:
            standing = block_of(outliers)
        elif outliers is not None and self._run.keeps_outliers:
            kept = kept | outliers
        return _Pixels(
            block_of(counts), hidden, block_of(part.source), block_of(kept), standing, chosen, gains, original
        )

    def apply(self, items: list[BlockItem], read: list[_Pixels]) -> list[npt.NDArray[Any]]:
        """Restore a batch on the device; return the cores in counts, with the axes of the result."""
        run, layout = self._run, self._run.layout
        results = self._within_region(items, read) if run.is_limited else self._results(items, read)
        joint, axes = layout.channel_axes, items[0].channel.prepared.spec.axes
        sizes = run.joint_sizes() if layout.spec is None else {}
        return [
            in_order(
                result.reshape(*(sizes.get(axis, len(result)) for axis in joint), *result.shape[1:]),
                joint + axes,
                layout.axes,
            )
            for result in results
        ]

    def _results(self, items: list[BlockItem], read: list[_Pixels]) -> list[npt.NDArray[Any]]:
        """Restore a batch, and put back what comes back as it is."""
        run = self._run
        if run.source.mask is not None:
            return self._filled(items, read)
        results = list(self._restored(items, read))
        for item, result, source in zip(items, results, read, strict=True):
            block, mixed = self.block(item), run.layout.spec is not None
            keep_nonfinite(result, source.counts, block, mixed=mixed)
            if source.source is not None and source.kept is not None:
                put_back(result, source.source, source.kept, block, mixed=mixed, difference=run.is_spread)
                if source.outliers is not None and not mixed and not run.is_spread:
                    add_back(result, source.source, source.counts, source.outliers, block)
        return results

    def _as_seen(self, item: BlockItem, source: _Pixels, original: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """Return the pixels that were looked at where those of the result are, bit by bit; zeros of a spread."""
        shown = source.counts if source.source is None else source.source
        kept = self.block(item).at_results(shown if original is None else original)
        kept = kept.astype(self._run.dtype, copy=False)
        return np.zeros_like(kept) if self._run.is_spread else kept

    def _within_region(self, items: list[BlockItem], read: list[_Pixels]) -> list[npt.NDArray[Any]]:
        """Restore the pixels of the region, mixed with the source; all others are those of the source, and are not computed."""
        results = [self._as_seen(item, source, source.original) for item, source in zip(items, read, strict=True)]
        chosen = [
            np.ones(results[i].shape, bool) if source.chosen is None else self.block(item).at_results(source.chosen)
            for i, (item, source) in enumerate(zip(items, read, strict=True))
        ]
        inside = [i for i, part in enumerate(chosen) if part.any()]
        if inside:
            made = self._results([items[i] for i in inside], [read[i] for i in inside])
            share = self._run.recipe.blend
            for i, result in zip(inside, made, strict=True):
                mixed = result if share == 1.0 else mixture(results[i], result, share)
                results[i] = np.where(chosen[i], mixed, results[i])
        return results

    def _filled(self, items: list[BlockItem], read: list[_Pixels]) -> list[npt.NDArray[Any]]:
        """Restore the pixels that are to be filled; all others are those of the source, bit by bit."""
        results, filled = [], []
        for item, source in zip(items, read, strict=True):
            block = self.block(item)
            kept = self._as_seen(item, source)
            results.append(kept)
            filled.append(np.zeros_like(kept, bool) if source.holes is None else block.at_results(source.holes))
        # Most blocks of a large image have no hole.
        marked = [i for i, hole in enumerate(filled) if hole.any()]
        if marked:
            restored = self._restored([items[i] for i in marked], [read[i] for i in marked])
            for i, result in zip(marked, restored, strict=True):
                results[i] = np.where(filled[i], result, results[i])
        return results

    def _restored(self, items: list[BlockItem], read: list[_Pixels]) -> npt.NDArray[Any]:
        """Restore a batch on the device; return the cores in counts, (N, C, *spatial)."""
        run, channel = self._run, items[0].channel
        prepared: Prepared = channel.prepared
        seen = prepared.intensity or channel.intensity
        made = seen if prepared.result is None else prepared.result.intensity
        counts = np.stack([source.counts for source in read])
        codec = Codec(seen, made, self.device, counts.dtype, run.dtype, run.is_spread)
        masks = [source.holes for source in read if source.holes is not None]
        samplings = [span.sampling for span in self.block(items[0]).spans]
        with computing(run.method, self.device, self.cancel):
            tensor = codec.encode(counts, np.stack(masks) if masks else None)
            with arithmetic(self.device):
                restored = self._applied(channel, tensor, seen[0], items[0], [source.gains for source in read])
            restored = resampled(restored, samplings, prepared.spec.kernel)
            check_finite(restored, run.method, self.device, lambda number: _place(items[number]))
            return codec.decode(restored)

    def _applied(
        self,
        channel: Channel[Prepared],
        tensor: torch.Tensor,
        seen: IntensityTransform,
        item: BlockItem,
        gains: list[npt.NDArray[np.float32] | None],
    ) -> torch.Tensor:
        """Apply the generator to a batch like an item of it, apart to what is far brighter than the rest."""
        prepared = channel.prepared.at(self._lies(item)) if channel.prepared.is_placed else channel.prepared
        if known := [one for one in gains if one is not None]:
            import torch

            prepared = prepared.with_gains(torch.from_numpy(np.stack(known)).to(tensor.device))
        if channel.ceiling is None:
            return prepared.apply(tensor)
        model = None
        # What takes blur away changes pixels by more than noise can.
        sharpens = self._run.method.info.task == Task.DECONVOLVE
        if prepared.noise is not None and not self._run.is_spread and not sharpens and not known:
            model = prepared.noise.model.scaled(seen.scale, seen.offset)
        level = (channel.ceiling - seen.offset) / seen.scale
        return without_glare(prepared.apply, tensor, level, prepared.spec.axes, model)


def _place(item: BlockItem) -> str:
    channel = () if item.channel.index is None else (("C", item.channel.index),)
    return said_place((*channel, *item.position), item.channel.prepared.spec.axes, item.core)


def _check_reference(method: Generator[Any], image: Image, reference: Image | None) -> None:
    info = method.info
    if reference is None:
        if info.reference_image == "needed":
            raise ReferenceImageError(
                f"{info.title} needs a reference image: say which image the result should look like."
            )
        return
    if info.reference_image == "none":
        raise ReferenceImageError(f"{info.title} takes no reference image: leave it out, or choose another generator.")
    for axis, what in (("C", "channels"), ("S", "colours")):
        if axis == "S" and info.task == Task.DECONVOLVE:
            # The image of a point has no colours.
            continue
        wanted, found = (without_alpha(one).sizes.get(axis, 1) for one in (image, reference))
        if wanted != found and not (axis == "C" and found == 1):
            raise ReferenceImageError(
                f"The reference image has {found} {what}, the image {wanted}: give a reference image with as many."
            )


def _check_yardstick(image: Image, yardstick: Image | None) -> None:
    if yardstick is None:
        return
    for axis, what in (("C", "channels"), ("S", "colours")):
        wanted, found = (without_alpha(one).sizes.get(axis, 1) for one in (image, yardstick))
        if wanted != found and not (axis == "C" and found == 1):
            raise InvalidImageError(
                f"The image to measure on has {found} {what}, the image {wanted}: measure on one with as many."
            )
    if yardstick.dtype != image.dtype:
        raise InvalidImageError(
            f"The image to measure on is of {yardstick.dtype}, the image of {image.dtype}: counts of both must mean the same."
        )


def _noise_of(channels: Sequence[Channel[Prepared]]) -> tuple[NoiseRecord | None, ...]:
    """Return the measured noise of each channel; nothing where none was measured in any."""
    reports = [channel.prepared.noise for channel in channels]
    return tuple(None if one is None else NoiseRecord.of(one) for one in reports) if any(reports) else ()


def _said_of_content(channels: Sequence[Channel[Prepared]]) -> tuple[str, ...]:
    """Say what an image in memory is, where it is nothing that was measured."""
    image = channels[0].image
    return () if image.is_lazy or image.mask is not None else said_of_content(image.original())


def _said_of_reference(image: Image, reference: Image | None) -> tuple[str, ...]:
    if (
        reference is None
        or reference.shape != image.shape
        or Source.of(reference).fingerprint != Source.of(image).fingerprint
    ):
        return ()
    return ("The reference image is the image itself: there is nothing to take over from it.",)


def _said_of_outliers(task: Task, settled: Mapping[str, Any], channel: Channel[Prepared]) -> tuple[str, ...]:
    """Say how many pixels were taken out, and what becomes of them."""
    count, pixels = channel.statistics[0].outliers, channel.statistics[0].pixels
    if not count:
        return ()
    fate = "they stay as they are"
    if task in _MOVING:
        fate = "they stand out of the result as far as out of the image"
    elif settled.get("outliers", "keep") == "replace":
        fate = "they are replaced"
    verb = "is an outlier" if count == 1 else "are outliers"
    return (f"{count} of {pixels} pixels looked at {verb} (hot or dead): nothing else depends on them, and {fate}.",)


def _resolved(channels: tuple[Channel[Prepared], ...]) -> dict[str, Any]:
    """Return the settings that the generator decided on: lists joined in the order of channels, else the largest."""
    resolved: dict[str, Any] = {}
    for channel in channels:
        for name, value in channel.prepared.resolved.items():
            if isinstance(value, list):
                resolved[name] = resolved.get(name, []) + value
            else:
                resolved[name] = max(value, resolved.get(name, value))
    return resolved
