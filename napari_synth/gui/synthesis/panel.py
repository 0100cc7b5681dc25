"""The panel that makes new images. It shows, asks and places; what computes runs in a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from napari_synth.contract.generator import Task
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.errors import InvalidImageError, SynthError
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.gui.layer_choice import LayerChoice
from napari_synth.gui.layers import (
    PAIRS,
    PREVIEW,
    RESULT,
    Placement,
    fresh_name,
    guess_layer_axes,
    is_source,
    kind_of,
    mark,
    to_image,
)
from napari_synth.gui.placing import insert_layer, remove_layer
from napari_synth.gui.rows import button, label, line, put_in_scroll_area, rows
from napari_synth.gui.settings import read_settings
from napari_synth.gui.synthesis.explorer import Explorer
from napari_synth.gui.synthesis.quality_box import QualityBox
from napari_synth.gui.synthesis.work import Made, Spot, SynthesisRequest, judge, look, make, plain_place, walk
from napari_synth.gui.work_panel import MethodPanel
from napari_synth.gui.worker import Job
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import napari
    import napari.layers
    from napari.components import ViewerModel

    from napari_synth.methods.synthesize.quality import Quality

_GAP = 0.05
"""Before made images, as a share of the width of what is open, or of the height of those above."""
_NEED = {"nothing": "", "image": "choose an image", "labels": "choose labels"}
_NEED_LABEL = {"nothing": "Image", "image": "Image", "labels": "Labels"}


class SynthesizePanel(MethodPanel[Synthesizer[Any]]):
    """The panel for synthesis, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(
            napari_viewer,
            Synthesizer,
            Task.SYNTHESIZE,
            "Add a model file of your own; the Train panel makes one of your images",
        )
        self._looking: Job | None = None
        self._again = False
        self._asked: SynthesisRequest | None = None
        self._opened: tuple[SynthesisRequest, PreparedSynthesis] | None = None
        self._shown: napari.layers.Image | None = None
        self._made: Made | None = None

        self.source = LayerChoice(self.viewer, self._is_needed, "", self, likely=self._is_likely)
        self.seed = QSpinBox(self)
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("The same seed gives the same images")
        self.another = button(self, "Another", "Take another seed")
        self.run_button.setToolTip("Make the images in the background; they become a stack layer")
        self.encoded = LayerChoice(self.viewer, is_source, "the seed", self)
        self.encoded.setToolTip(
            "Where the sliders begin: at an image of the seed, or at the middle of an image layer, as the model sees it"
        )
        self.explorer = Explorer(self._spot, self)
        self.real = LayerChoice(self.viewer, is_source, "choose real images", self, likely=self._is_likely)
        self.real.setToolTip("What the model was trained on, or more of its kind: the images are held against it")
        self.quality = QualityBox(self)
        self._lay_out()
        self._connect()
        self._on_method()
        self._on_theme()
        self._offer_quality(None)

    # What the user does

    def run(self) -> None:
        """Make the images."""
        if self._job is not None:
            return
        self._clear()
        try:
            request = self._request()
        except SynthError as error:
            self._on_failed(error)
            return
        self._start(partial(make, request), "Synthesizing", self._on_made)

    def add_path(self) -> None:
        """Make the images along the path as a layer."""
        ends = self.explorer.ends
        if self._job is not None or ends is None:
            return
        self._clear()
        try:
            request = self._request()
        except SynthError as error:
            self._on_failed(error)
            return
        work = partial(walk, request, *ends, self.explorer.frames.value())
        self._start(work, "Walking", self._on_walked)

    def report_quality(self) -> None:
        """Hold the last images against the chosen layer."""
        made, layer = self._made, self.real.layer
        if self._job is not None or made is None:
            return
        self._clear()
        try:
            if layer is None:
                raise InvalidImageError("There is nothing to compare with: choose the layer of real images.")
            real = to_image(layer, guess_layer_axes(layer))
        except SynthError as error:
            self._on_failed(error)
            return
        self._start(partial(judge, made, real), "Judging", self._on_judged)

    def take_another_seed(self) -> None:
        """Take a seed that was not drawn by hand."""
        self.seed.setValue(int(np.random.default_rng().integers(0, 10_000)))

    def cancel(self) -> None:
        """Stop whatever is computed."""
        super().cancel()
        if self._looking is not None:
            self._looking.cancel()

    def stop(self) -> None:
        """Cancel everything and take the look away; the panel was closed."""
        super().stop()
        self.explorer.fold.setChecked(False)

    # Layout

    def _lay_out(self) -> None:
        inner = QWidget(self)
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        top = rows()
        top.addRow(label("Model", self.methods), self.method_row)
        self._source_label = label("Image", self.source)
        top.addRow(self._source_label, self.source)
        layout.addLayout(top)
        layout.addWidget(self.summary)
        layout.addLayout(self.form_place)
        seeds = QHBoxLayout()
        seeds.addWidget(self.seed, 1)
        seeds.addWidget(self.another, 1)
        bottom = rows()
        bottom.addRow(label("Seed", self.seed), seeds)
        self._encoded_label = label("Begin at", self.encoded)
        layout.addLayout(bottom)
        layout.addWidget(self.run_button)
        layout.addWidget(self.progress)
        layout.addWidget(self.device)
        layout.addWidget(line(self))
        explore = rows()
        explore.addRow(self._encoded_label, self.encoded)
        layout.addLayout(explore)
        layout.addWidget(self.explorer)
        against = rows()
        self._real_label = label("Real images", self.real)
        against.addRow(self._real_label, self.real)
        layout.addLayout(against)
        layout.addWidget(self.quality)
        layout.addWidget(self.messages)
        layout.addStretch(1)
        put_in_scroll_area(inner, self)

    def _connect(self) -> None:
        self.source.changed.connect(self._on_change)
        self.seed.valueChanged.connect(self._look)
        self.encoded.changed.connect(self._look)
        self.another.clicked.connect(self.take_another_seed)
        self.explorer.moved.connect(self._look)
        self.explorer.path_wanted.connect(self.add_path)
        self.quality.wanted.connect(self.report_quality)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)

    # What changes

    def _request(self) -> SynthesisRequest:
        params = self.form.params().model_dump()
        labelled = self.method.needs == "labels" and self.source.layer is not None
        place = Placement.of(self.source.layer) if labelled else None
        return SynthesisRequest(self.method.info.id, params, self.seed.value(), self._given(), read_settings(), place)

    def _given(self) -> Image | None:
        if self.method.needs == "nothing":
            return None
        layer = self.source.layer
        if layer is None:
            what = "labels: open or draw a Labels layer" if self.method.needs == "labels" else "an image: open one"
            raise InvalidImageError(f"{self.method.info.title} needs {what}, and choose it.")
        return to_image(layer, guess_layer_axes(layer))

    def _spot(self) -> Spot:
        layer = self.encoded.layer
        if layer is None or self.encoded.isHidden() or self._opened is None:
            return Spot(self.seed.value())
        return Spot(self.seed.value(), _shown_plane(layer, self.viewer, self._opened[1].spec.axes))

    def _is_needed(self, layer: napari.layers.Layer) -> bool:
        kind = LabelsLayer if self.method.needs == "labels" else ImageLayer
        return isinstance(layer, kind) and kind_of(layer) != PREVIEW

    def _is_likely(self, layer: napari.layers.Layer) -> bool:
        return not kind_of(layer)

    def _on_method(self) -> None:
        super()._on_method()
        needs = self.method.needs
        self.source.none = _NEED[needs]
        self.source.setToolTip(
            "The labels that images are made for" if needs == "labels" else "The image that others are made like"
        )
        self.source.refresh()
        self._source_label.setText(_NEED_LABEL[needs])
        for widget in (self._source_label, self.source):
            widget.setVisible(needs != "nothing")
        self.form.changed.connect(self._on_change)
        self._show_encoder(None)
        self.explorer.allow(0)
        self.explorer.forget()

    def _on_change(self) -> None:
        self.explorer.forget()

    def _show_encoder(self, prepared: PreparedSynthesis | None) -> None:
        """Offer to begin at a layer where the model can find its latents."""
        able = prepared is not None and prepared.sampler.can_encode
        for widget in (self._encoded_label, self.encoded):
            widget.setVisible(able)

    def _on_theme(self, _event: object = None) -> None:
        super()._on_theme()
        theme = get_theme(self.viewer.theme)
        self.quality.set_theme(theme.text.as_hex(), theme.background.as_hex())

    def _on_layer_removed(self, _event: object = None) -> None:
        """End the look where the user removed its layer."""
        if self._shown is not None and self._shown not in self.viewer.layers:
            self._shown = None
            self.explorer.fold.setChecked(False)

    # The live look

    def _look(self, _value: object = None) -> None:
        """Show the place that is wanted now; the latest wish wins."""
        if not self.explorer.is_on:
            self._again = False
            shown, self._shown = self._shown, None
            remove_layer(self.viewer, shown)
            return
        if self._looking is not None:
            self._again = True
            return
        try:
            request, where = self._request(), self.explorer.where
        except SynthError as error:
            self._on_failed(error)
            return
        self.messages.show_error("")
        opened = self._opened[1] if self._opened is not None and self._opened[0].is_like(request) else None
        self._asked = request
        self._looking = job = Job(partial(look, request, where, opened), "The look")
        job.returned.connect(self._on_looked)
        job.failed.connect(self._on_failed)
        job.finished.connect(self._on_look_finished)
        self.destroyed.connect(job.cancel)
        job.start()

    def _on_looked(self, result: tuple[PreparedSynthesis, Any]) -> None:
        prepared, pixels = result
        self._opened = None if self._asked is None else (self._asked, prepared)
        self._show_encoder(prepared)
        self.explorer.allow(prepared.sampler.latent_size)
        if self._asked is None or not self.explorer.is_on:
            return
        place = self._place(self._asked, prepared, prepared.spec.axes)
        if self._shown is not None and self._shown.data.shape == pixels.shape and _lies_at(self._shown, place):
            self._shown.data = pixels
            return
        shown, self._shown = self._shown, None
        remove_layer(self.viewer, shown)
        name = fresh_name(f"{self.method.info.title} look", (layer.name for layer in self.viewer.layers))
        self._shown = _layer((pixels,), place, name, mark(PREVIEW), rgb="S" in prepared.spec.axes)
        self._insert(self._shown)

    def _on_look_finished(self) -> None:
        self._looking = None
        if self._again:
            self._again = False
            self._look()

    # The worker

    def _show_state(self) -> None:
        self.run_button.setEnabled(self._job is None)

    def _offer_quality(self, made: Made | None) -> None:
        """Offer the report for images, or for none."""
        self._made = made
        self.quality.show_quality(None)
        for widget in (self._real_label, self.real, self.quality):
            widget.setVisible(made is not None)

    def _on_judged(self, quality: Quality) -> None:
        self.quality.show_quality(quality)
        self.messages.show_notes(quality.notes)
        if self._made is not None:
            prepared, pairs = self._made.prepared, quality.pairs
            name = fresh_name("made images, nearest real crops", (layer.name for layer in self.viewer.layers))
            # Images that were made for labels lie on these, and leave the place beside them free.
            above = prepared.size[0] if self._made.request.place is None else 0
            place = self._beside(plain_place(prepared, pairs.axes.replace("S", "")), above)
            self._insert(_layer((pairs.data,), place, name, mark(PAIRS), rgb="S" in pairs.axes))

    def _on_made(self, made: Made) -> None:
        self._offer_quality(made)
        self._add(made, f"{made.prepared.method.info.title} (synthetic)")

    def _on_walked(self, made: Made) -> None:
        self._add(made, f"{made.prepared.method.info.title} path (synthetic)")

    def _add(self, made: Made, name: str) -> None:
        prepared = made.prepared
        recipe = prepared.recipe.model_dump(mode="json")
        name = fresh_name(name, (layer.name for layer in self.viewer.layers))
        place = self._place(made.request, prepared, prepared.axes)
        marks = mark(RESULT, recipe, synthetic=True)
        self._insert(_layer(made.levels, place, name, marks, rgb="S" in prepared.axes))
        self.device.show_device(prepared.device)
        stored = f"The images are larger than the memory budget: they are in {made.path}." if made.path else ""
        self.messages.show_notes([stored, *prepared.notes])

    def _place(self, request: SynthesisRequest, prepared: PreparedSynthesis, axes: str) -> Placement:
        """Return where images lie: on the labels that they are made for, else beside what the user opened."""
        shown = axes.replace("S", "")
        if request.place is not None and request.source is not None:
            return request.place.along(request.source.axes, shown)
        return self._beside(plain_place(prepared, shown))

    def _beside(self, place: Placement, above: int = 0) -> Placement:
        """Return a place on the right of what the user opened, where made images hide nothing; below so many pixels."""
        translate = place.translate.copy()
        translate[-2] += (1 + _GAP) * above * place.scale[-2]
        opened = [_extent(layer, place.units[-2:]) for layer in self.viewer.layers if not kind_of(layer)]
        # A layer without points has no extent.
        known = np.array([each for each in opened if np.isfinite(each).all()])
        if len(known):
            (top, left), (_, right) = known[:, 0].min(axis=0), known[:, 1].max(axis=0)
            translate[-2:] += (top, right + _GAP * (right - left))
        return replace(place, translate=translate)

    def _insert(self, layer: napari.layers.Image) -> None:
        """Insert a layer; where nothing lay before, it is brought into view."""
        before = self.viewer.layers.extent.world[:, -2:]
        insert_layer(self.viewer, layer)
        if not np.array_equal(before, self.viewer.layers.extent.world[:, -2:]):
            self.viewer.reset_view()


def _layer(
    levels: tuple[Any, ...], place: Placement, name: str, metadata: dict[str, Any], *, rgb: bool
) -> napari.layers.Image:
    pyramid = len(levels) > 1
    limits = {} if rgb else {"contrast_limits": _limits(levels[-1])}
    return ImageLayer(
        levels if pyramid else levels[0],
        name=name,
        metadata=metadata,
        rgb=rgb,
        multiscale=pyramid,
        **place.as_kwargs(),
        **limits,
    )


def _lies_at(layer: napari.layers.Layer, place: Placement) -> bool:
    """Tell whether a layer has the pixels and the place that are wanted."""
    own = Placement.of(layer)
    numbers = ("scale", "translate", "rotate", "shear", "affine")
    return all(np.allclose(getattr(own, one), getattr(place, one)) for one in numbers)


def _extent(layer: napari.layers.Layer, units: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Return the first and the last place (2, 2) of a layer along Y and X, in other units where they measure the same."""
    found = np.array(layer.extent.world[:, -2:], dtype=float)
    for index, (own, other) in enumerate(zip(layer.units[-2:], units, strict=True)):
        if own.is_compatible_with(other):
            found[:, index] *= float((1 * own).to(other).magnitude)
    return found


def _limits(pixels: Any) -> tuple[float, float]:
    """Return the contrast limits of images, found on some of them so that little is read."""
    some = np.asarray(pixels[:: max(1, len(pixels) // 16)])
    low, high = (float(limit) for limit in np.percentile(some, [0.1, 99.9]))
    return low, max(high, low + 1e-6)


def _shown_plane(layer: napari.layers.Layer, viewer: ViewerModel, axes: str) -> Image:
    """Return the part of a layer with these axes that the canvas shows."""
    image = to_image(layer, guess_layer_axes(layer))
    ahead = viewer.dims.ndim - layer.ndim
    position = layer.world_to_data(np.asarray(viewer.dims.point)[ahead:])
    at = {
        axis: int(np.clip(round(float(position[number])), 0, image.sizes[axis] - 1))
        for number, axis in enumerate(image.axes[: layer.ndim])
        if axis not in axes
    }
    return image.select(**at)
