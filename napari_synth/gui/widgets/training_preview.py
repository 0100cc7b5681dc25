"""The layer that shows what a network makes of a part of the data while it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from qtpy.QtCore import QObject

from napari_synth.gui.layers.appearance import appearance, contrast
from napari_synth.gui.layers.images import full_resolution
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.widgets.live_layer import TemporaryLayers
from napari_synth.training.events import Preview

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel

_GAP = 0.05
"""Between an image and samples beside it, of the image's width."""
_CONTRAST = (0.5, 99.8)


@dataclass(frozen=True)
class Shown:
    """Pixels along the axes of the layer that they belong to.

    Attributes
    ----------
    pixels : numpy.ndarray
    rgb : bool
    start : tuple of float
        The pixel of the layer at which they begin.
    """

    pixels: npt.NDArray[np.float32]
    rgb: bool
    start: tuple[float, ...]


class TrainingPreview(QObject):
    """Keeps a temporary layer up to date with the previews of a training.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    parent : QObject, optional
    """

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._sources: tuple[tuple[napari.layers.Image, str], ...] = ()
        self._look: napari.layers.Image | None = None
        self._name = ""
        self._is_off = True
        self._shown = TemporaryLayers(viewer, self)
        self._shown.removed.connect(self._on_removed)

    @property
    def layer(self) -> napari.layers.Image | None:
        """The temporary layer."""
        layer: napari.layers.Image | None = self._shown.layer
        return layer

    def begin(
        self, name: str, sources: tuple[tuple[napari.layers.Image, str], ...], look: napari.layers.Image | None
    ) -> None:
        """Follow another training; the layer of the last one goes.

        Parameters
        ----------
        name : str
            Of the layer.
        sources : tuple of (napari.layers.Image, str)
            The layers that are learnt from and the roles of their dimensions; none for files.
        look : napari.layers.Image or None
            Whose contrast and colours the previews have.
        """
        self.end()
        self._name, self._sources, self._look, self._is_off = name, sources, look, False

    def show(self, preview: Preview) -> None:
        """Show a preview, unless the user deleted the layer."""
        if self._is_off:
            return
        source, axes = self._sources[preview.image] if preview.image < len(self._sources) else (None, "")
        if source is None:
            self._put(laid_out(preview, preview.axes.replace("S", "")), {}, source)
            return
        full = full_scale(full_resolution(self._look or source).dtype)
        if not preview.place:
            roles = preview.axes.replace("S", "")
            shown = laid_out(preview, roles, full)
            place = beside(source, axes, roles) if shown.pixels.ndim - shown.rgb == len(roles) else {}
            # It lies where nothing was before, most likely out of view.
            self._put(shown, place, source, into_view=True)
            return
        shown = laid_out(preview, axes[: source.ndim], full)
        if shown.pixels.ndim - shown.rgb != source.ndim:
            self._put(shown, {}, source)
            return
        there = Placement.of(source).refined([1.0] * source.ndim, shown.start)
        self._put(shown, there.as_kwargs(), source)

    def end(self) -> None:
        """Take the layer away."""
        self._is_off = True
        self._sources, self._look = (), None
        self._shown.drop()

    def _on_removed(self) -> None:
        self._is_off = True

    def _put(
        self, shown: Shown, place: dict[str, Any], source: napari.layers.Image | None, *, into_view: bool = False
    ) -> None:
        layer = ImageLayer(shown.pixels, name=self._name, **self._appearance(shown), **place)
        own_contrast = not self._has_look(shown)
        self._shown.show([layer], above=source, into_view=into_view, with_contrast=own_contrast)

    def _has_look(self, shown: Shown) -> bool:
        return self._look is not None and bool(self._look.rgb) == shown.rgb

    def _appearance(self, shown: Shown) -> dict[str, Any]:
        if self._look is not None and self._has_look(shown):
            return appearance(self._look) | {"blending": "translucent_no_depth"}
        return {"rgb": True} if shown.rgb else {"rgb": False, "contrast_limits": contrast(shown.pixels, _CONTRAST)}


def full_scale(dtype: Any) -> float | None:
    """Return the largest value of an integer type; None for others."""
    return float(np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else None


def beside(source: napari.layers.Image, axes: str, roles: str) -> dict[str, Any]:
    """Return where samples lie that are no part of an image: on its right, with pixels of the same size.

    Parameters
    ----------
    source : napari.layers.Image
    axes : str
        Roles of its dimensions.
    roles : str
        Of the samples' dimensions, without those of colours.
    """
    place = Placement.of(source)
    found = [axes.find(axis) for axis in roles]
    shape = full_resolution(source).shape
    shift = [
        (1 + _GAP) * shape[axes.index("X")] * place.scale[axes.index("X")] if axis == "X" else 0.0 for axis in roles
    ]
    return {
        "scale": [place.scale[index] if index >= 0 else 1.0 for index in found],
        "translate": [
            more + (place.translate[index] if index >= 0 else 0.0) for index, more in zip(found, shift, strict=True)
        ],
        "units": [place.units[index] if index >= 0 else "pixel" for index in found],
        "axis_labels": [
            place.axis_labels[index] if index >= 0 else axis.lower() for index, axis in zip(found, roles, strict=True)
        ],
    }


def laid_out(preview: Preview, roles: str, full: float | None = None) -> Shown:
    """Return a preview along the axes of a layer.

    Parameters
    ----------
    preview : Preview
        Of colours, three samples are shown as RGB; other channels are left along the axis C, where the layer has one, or in front.
    roles : str
        Of the layer's dimensions, without RGB samples.
    full : float, optional
        The value of a colour that is shown fully; found from the pixels where it is left out.
    """
    pixels, axes = np.asarray(preview.pixels, dtype=np.float32), preview.axes
    rgb = "S" in axes and "C" not in axes and pixels.shape[axes.index("S")] in (3, 4) and "C" not in roles
    if rgb:
        pixels, axes = np.moveaxis(pixels, axes.index("S"), -1), axes.replace("S", "")
        # What napari shows of floats is 0 to 1.
        pixels = _unit(pixels, full)
    else:
        axes = axes.replace("S", "C") if "C" not in axes else axes
    extra = [axis for axis in axes if axis not in roles]
    order = [axes.index(axis) for axis in (*extra, *(axis for axis in roles if axis in axes))]
    pixels = pixels.transpose([*order, pixels.ndim - 1] if rgb else order)
    for index, axis in enumerate(roles):
        if axis not in axes:
            pixels = np.expand_dims(pixels, len(extra) + index)
    start = [float(preview.place.get(axis, 0)) if axis not in "C" or axis not in axes else 0.0 for axis in roles]
    return Shown(pixels, rgb, (0.0,) * len(extra) + tuple(start))


def _unit(pixels: npt.NDArray[np.float32], full: float | None) -> npt.NDArray[np.float32]:
    """Return colours between 0 and 1; where it is not known what they hold, of 0 to 1, of 8 or of 16 bits by the largest."""
    top = float(pixels.max(initial=0.0))
    found = next((scale for scale in (1.0, 255.0, 65535.0) if top <= 1.3 * scale), top)
    return np.asarray(np.clip(pixels / (full or found), 0.0, 1.0), dtype=np.float32)
