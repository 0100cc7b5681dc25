"""An image as methods see it: without outliers, and without regions that hold no data.

Statistics, networks and everything else that looks at an image read it through a `ScreenedImage`. An outlier (see
`napari_synth.imaging.outliers`) is there the median of its neighbours, and what holds no data (see
`napari_synth.imaging.no_data`) is NaN, so that neither can change what is made of the rest. What is decided here depends on a few
pixels around each, and on numbers that were measured once: a part of an image is screened like the same pixels of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.core.texts import three_digits
from napari_synth.imaging import no_data
from napari_synth.imaging import outliers as hot
from napari_synth.imaging.image import Image
from napari_synth.imaging.jpeg import BRIGHTNESS, jpeg_grid, sigma_before_jpeg
from napari_synth.imaging.masks import holes
from napari_synth.imaging.noise import NoiseModel, NoiseReport, estimate_noise
from napari_synth.imaging.sampling import MOST_PIXELS, evened, sample_even_planes, sample_planes, sample_windows

Bools = npt.NDArray[np.bool_]

_PERCENTILES = (0.1, 99.9)
_ENOUGH = 2**12
# Share of outliers that leaves no trace in what is measured of noise.
_FEW = 1e-4
# Of a value that was rounded to whole counts.
_ROUNDING = 12**-0.5
# Of the range: a hole is filled from what is beside it, of which a sharp detail may be no less than a hot pixel.
_BESIDE_HOLES = 0.5
_NEIGHBOURS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


@dataclass(frozen=True)
class Screen:
    """What is taken out of one channel.

    Attributes
    ----------
    noise : NoiseModel or None
        By which outliers are told, in counts; None where there are none.
    no_data : tuple of float
        Values whose constant regions hold no data.
    """

    noise: NoiseModel | None = None
    no_data: tuple[float, ...] = ()


@dataclass(frozen=True)
class Screened:
    """A part of an image.

    Attributes
    ----------
    pixels : numpy.ndarray
        In counts, of the image's dtype; of floats that hold its counts where a pixel has no data.
    source : numpy.ndarray
        The same as it is in the image.
    outliers, no_data : numpy.ndarray of bool or None
        Of the same shape; None where there is no such pixel.
    """

    pixels: npt.NDArray[Any]
    source: npt.NDArray[Any]
    outliers: Bools | None = None
    no_data: Bools | None = None

    def part(self, index: tuple[Any, ...]) -> Screened:
        """Return a part of it."""
        marked = [None if one is None else one[index] for one in (self.outliers, self.no_data)]
        outliers, no_data = (None if one is None or not one.any() else one for one in marked)
        return Screened(self.pixels[index], self.source[index], outliers, no_data)


@dataclass(frozen=True)
class ScreenedImage(Image):
    """An image that is read without its outliers and with NaN where it has no data.

    Its `dtype` is that of the image; what is read of an image of integers are floats where a pixel has no data.

    Parameters
    ----------
    screens : tuple of Screen
        One a position along C, or one for all.
    report : NoiseReport or None
        The noise of the image that is read, where it was measured on the way.
    whole : Screened or None
        All of it, where it is small and in memory.
    """

    screens: tuple[Screen, ...] = (Screen(),)
    report: NoiseReport | None = None
    whole: Screened | None = None

    def read(self, **selection: slice | int) -> npt.NDArray[Any]:
        """Load a part of the image into memory, see `Image.read`."""
        return self.screened(**selection).pixels

    def select(self, **selection: slice | int) -> Image:
        """Return a part of the image without loading it, see `Image.select`."""
        part = super().select(**selection)
        assert isinstance(part, ScreenedImage)
        screens = self.screens
        if len(screens) > 1 and "C" in selection:
            chosen = selection["C"]
            screens = (screens[chosen],) if isinstance(chosen, int) else screens[chosen]
        whole = all(isinstance(at, slice) and at == slice(None) for at in selection.values())
        return replace(part, screens=screens, report=self.report if whole else None, whole=None)

    def original(self) -> Image:
        """Return the image as it is."""
        return Image(self.data, self.axes, self.spacing, self.units, self.name, self.mask)

    def screened(self, **selection: slice | int) -> Screened:
        """Load a part of the image, and what was taken out of it."""
        if all(screen == Screen() for screen in self.screens):
            pixels = super().read(**selection)
            return Screened(pixels, pixels)
        if self.whole is not None:
            return self.whole.part(tuple(selection.get(axis, slice(None)) for axis in self.axes))
        wide, crop, dropped = self._with_margin(selection)
        source = super().read(**wide)
        hidden = None if self.mask is None else np.broadcast_to(holes(self, wide), source.shape)
        axes = [axis for axis in self.axes if not isinstance(wide[axis], int)]
        outliers, empty = self._taken_out(source, hidden, axes, wide)

        def part(found: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.squeeze(found[crop], axis=dropped)

        taken = [None if marked is None or not marked[crop].any() else marked for marked in (outliers, empty)]
        pixels = source if outliers is None else _replaced(source, outliers, hidden, empty, axes)
        if taken[1] is not None:
            pixels = pixels.astype(np.result_type(pixels.dtype, np.float32))
            pixels[taken[1]] = np.nan
        return Screened(part(pixels), part(source), *(None if marked is None else part(marked) for marked in taken))

    def _with_margin(
        self, selection: dict[str, slice | int]
    ) -> tuple[dict[str, slice | int], tuple[slice, ...], tuple[int, ...]]:
        """Return what to read, where in it the part lies, and which of its axes are dropped in the end."""
        margin = 2 * hot.MARGIN + (no_data.MARGIN if any(screen.no_data for screen in self.screens) else 0)
        wide: dict[str, slice | int] = {}
        crop: list[slice] = []
        dropped = []
        for axis, size in self.sizes.items():
            part = selection.get(axis, slice(None))
            if axis in "YX":
                if isinstance(part, int):
                    dropped.append(len(crop))
                    part = slice(part % size, part % size + 1)
                start, stop, step = part.indices(size)
                first, last = max(0, start - margin), min(size, stop + margin)
                part = slice(first, last)
                crop.append(slice(start - first, stop - first, step))
            elif not isinstance(part, int):
                crop.append(slice(None))
            wide[axis] = part
        return wide, tuple(crop), tuple(dropped)

    def _taken_out(
        self, pixels: npt.NDArray[Any], hidden: Bools | None, axes: list[str], selection: dict[str, slice | int]
    ) -> tuple[Bools | None, Bools | None]:
        """Return the outliers of what was read, and where it has no data; None where there is no such pixel."""
        channels = selection.get("C", 0)
        in_plane = (axes.index("Y"), axes.index("X"))
        lead = [axis for axis in axes if axis not in "YX"]
        outliers, empty = np.zeros(pixels.shape, bool), np.zeros(pixels.shape, bool)
        even = self.even_noise(pixels, **selection) if self.gains else pixels
        planes, even_planes, hot_planes, empty_planes = (
            np.moveaxis(part, in_plane, (-2, -1)) for part in (pixels, even, outliers, empty)
        )
        screens = self.screens[channels] if isinstance(channels, slice) and len(self.screens) > 1 else self.screens
        for at in np.ndindex(planes.shape[:-2]):
            screen = screens[at[lead.index("C")] if "C" in lead and len(screens) > 1 else 0]
            if screen.no_data:
                empty_planes[at] = no_data.no_data(planes[at], screen.no_data)
            if screen.noise is not None:
                hot_planes[at] = hot.hot_pixels(even_planes[at], screen.noise)
        if "S" in axes and empty.any():
            # A pixel has data where one of its colours has.
            empty &= empty.all(axis=axes.index("S"), keepdims=True)
        outliers &= ~empty
        if hidden is not None:
            outliers &= ~hidden
            empty &= ~hidden
        return outliers if outliers.any() else None, empty if empty.any() else None


def noise_of(image: Image) -> NoiseReport:
    """Return the noise of an image in counts: what was measured on the way, where nothing was taken out since."""
    if isinstance(image, ScreenedImage) and image.report is not None:
        return image.report
    planes = sample_even_planes(image)
    return _with_gains(image, _before_compression(image, planes, estimate_noise(planes)))


def _with_gains(image: Image, report: NoiseReport) -> NoiseReport:
    """Let a report say how the corrections before multiplied the noise."""
    if not image.gains:
        return report
    factors = np.concatenate([image.gain(**at).ravel()[::7] for at in sample_windows(image)])
    low, high = np.percentile(factors, _PERCENTILES)
    said = (
        f"The corrections before multiplied the noise, by {three_digits(float(low))} to {three_digits(float(high))} from place to"
        " place: what is said of it holds where they left it as it was."
    )
    return replace(report, notes=(*report.notes, said))


def _brightness(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the brightness of colours (3, Y, X); 0 where one of them is cut off, and noise with it."""
    bright = np.tensordot(np.asarray(BRIGHTNESS, np.float32), colours.astype(np.float32), 1)
    limits = np.iinfo(colours.dtype)
    return np.asarray(np.where(((colours == limits.min) | (colours == limits.max)).any(axis=0), 0.0, bright))


def _before_compression(image: Image, planes: Sequence[npt.NDArray[Any]], report: NoiseReport) -> NoiseReport:
    """Return the noise that a JPEG had before it was one, as far as that can be told."""
    if image.dtype != np.uint8:
        return report
    found, share, bright = None, 1.0, []
    if image.sizes.get("S", 1) == len(BRIGHTNESS):
        samples = zip(*(sample_planes(image.select(S=i)) for i in range(len(BRIGHTNESS))), strict=True)
        bright = [_brightness(np.stack(colours)) for colours in samples]
    # What a JPEG holds of colours is their brightness, and little else: single colours hardly show the grid.
    grid = jpeg_grid([np.rint(plane).astype(np.uint8) for plane in bright] or planes)
    if grid is None:
        return report
    if bright:
        found = sigma_before_jpeg(bright, grid)
        # Noise that is independent between the colours is weaker in their sum.
        share = float(np.linalg.norm(BRIGHTNESS))
    elif "S" not in image.axes:
        found = sigma_before_jpeg(planes, grid)
    if found is None:
        said = "The image is a JPEG, which hides noise from the measurement: set the noise level where noise is left."
        return replace(report, notes=(*report.notes, said))
    sigma, certain = found[0] / share, found[1]
    if certain:
        said = f"The image is a JPEG, which hides its noise: {three_digits(sigma)} counts are estimated from what is left of it."
        return report.with_sigma(sigma, planes, said)
    said = (
        "The image is a JPEG, which hides noise from the measurement: where noise is left, set the noise level,"
        f" to {three_digits(sigma)} counts at most, since texture looks the same."
    )
    return replace(report, notes=(*report.notes, said))


def screened(image: Image) -> ScreenedImage:
    """Measure what has to be taken out of an image.

    Parameters
    ----------
    image : Image
        Without an alpha sample.

    Returns
    -------
    ScreenedImage
    """
    if "C" in image.axes and image.sizes["C"] > 1:
        screens: tuple[Screen, ...] = tuple(_screen_of(image.select(C=i))[0] for i in range(image.sizes["C"]))
        report = None
    else:
        screen, report = _screen_of(image)
        screens = (screen,)
    own = {field.name: getattr(image, field.name) for field in fields(Image)}
    found = ScreenedImage(**own, screens=screens, report=report)
    if image.is_lazy or image.n_pixels > MOST_PIXELS:
        # How many outliers there are is not known before all of it is read.
        return replace(found, report=None)
    whole = found.screened()
    if whole.outliers is None and whole.no_data is None:
        return replace(found, screens=(Screen(),))
    few = whole.outliers is None or np.count_nonzero(whole.outliers) <= _FEW * image.n_pixels
    # What was measured beside many outliers is measured again without them, where it is needed.
    return replace(found, report=report if few else None, whole=whole)


def _screen_of(image: Image) -> tuple[Screen, NoiseReport | None]:
    """Return what is taken out of one channel, and its noise as far as outliers do not matter."""
    planes = sample_planes(image)
    if image.mask is not None:
        planes = [_without_holes(plane, image, at) for plane, at in zip(planes, sample_windows(image), strict=True)]
    values, report = no_data.no_data_values(planes)
    if values:
        planes = [_without(plane, no_data.no_data(plane, values)) for plane in planes]
    if image.gains:
        # One noise for all of the image is that before the corrections.
        planes, report = evened(image, planes), None
    if report is None:
        report = _with_gains(image, _before_compression(image, planes, estimate_noise(planes)))
    noise = _never_none(report.model, planes, image.dtype, 0.0 if image.mask is None else _BESIDE_HOLES)
    if noise is None:
        return Screen(None, values), report
    return Screen(noise, values), report


def _never_none(
    model: NoiseModel, planes: Sequence[npt.NDArray[Any]], dtype: np.dtype[Any], share: float
) -> NoiseModel | None:
    """Return the noise by which outliers are told.

    Where there is none, only what exceeds its neighbours by the whole range is an outlier, else what does by a share of the range.
    """
    faintest = _ROUNDING if dtype.kind in "iu" else 0.0
    is_clean = model.gain <= 0.0 and model.read_noise <= 0.0
    if is_clean or share > 0.0:
        finite = np.concatenate([plane[np.isfinite(plane)].ravel() for plane in planes]).astype(np.float64)
        if is_clean and finite.size < _ENOUGH:
            return None
        low, high = np.percentile(finite, _PERCENTILES) if finite.size else (0.0, 0.0)
        extent = (high - low) or np.ptp(finite)
        faintest = max(faintest, (1.0 if is_clean else share) * extent / hot.SIGMAS)
    noise = replace(model, read_noise=max(model.read_noise, faintest))
    return noise if noise.gain > 0.0 or noise.read_noise > 0.0 else None


def _without(plane: npt.NDArray[Any], region: Bools) -> npt.NDArray[Any]:
    return np.where(region, np.nan, plane.astype(np.result_type(plane.dtype, np.float32))) if region.any() else plane


def _without_holes(plane: npt.NDArray[Any], image: Image, at: dict[str, slice | int]) -> npt.NDArray[Any]:
    hidden = np.broadcast_to(
        holes(image, at), plane.shape if image.axes.index("Y") < image.axes.index("X") else plane.T.shape
    )
    return _without(plane, hidden if image.axes.index("Y") < image.axes.index("X") else hidden.T)


def _replaced(
    pixels: npt.NDArray[Any], outliers: Bools, hidden: Bools | None, empty: Bools | None, axes: list[str]
) -> npt.NDArray[Any]:
    """Return pixels with the median of the neighbours of each outlier in its place."""
    result = pixels.copy()
    order = [i for i, axis in enumerate(axes) if axis not in "YX"] + [axes.index("Y"), axes.index("X")]
    unknown = ~np.isfinite(pixels) | outliers
    for taken in (hidden, empty):
        if taken is not None:
            unknown |= taken
    source, bad, written = (part.transpose(order) for part in (pixels, unknown, result))
    *lead, rows, columns = np.nonzero(outliers.transpose(order))
    height, width = source.shape[-2:]
    around = np.full((rows.size, len(_NEIGHBOURS)), np.nan)
    for i, (y, x) in enumerate(_NEIGHBOURS):
        inside = (rows + y >= 0) & (rows + y < height) & (columns + x >= 0) & (columns + x < width)
        at = (*(index[inside] for index in lead), rows[inside] + y, columns[inside] + x)
        around[inside, i] = np.where(bad[at], np.nan, source[at].astype(np.float64))
    # One that has no known neighbour stays.
    known = np.isfinite(around).any(axis=1)
    at = tuple(index[known] for index in (*lead, rows, columns))
    middle = np.nanmedian(around[known], axis=1)
    written[at] = middle if result.dtype.kind == "f" else np.rint(middle)
    return result
