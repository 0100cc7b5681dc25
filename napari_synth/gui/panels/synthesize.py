"""The panel that makes new images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QHBoxLayout, QSpinBox

from napari_synth.contract.generator import Task
from napari_synth.contract.synthesis import Synthesizer
from napari_synth.core.errors import InvalidImageError
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.gui.history import PastRun, history_of
from napari_synth.gui.jobs.files import FilesRequest, MakingRequest, OnFiles
from napari_synth.gui.jobs.requests import LatentPoint, SynthesisRequest
from napari_synth.gui.jobs.synthesize import Synthesized, interpolate, plain_place, report_on, synthesize
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.keys import RUN, with_key
from napari_synth.gui.layers.appearance import contrast
from napari_synth.gui.layers.images import guess_layer_axes, to_image
from napari_synth.gui.layers.marks import DRAWN, PAIRS, PREVIEW, RESULT, is_source, kind_of, mark
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.viewer_layers import insert_layer, layer_of_levels
from napari_synth.gui.layers.visible_field import slice_of
from napari_synth.gui.panels.file_panel import FilePanel
from napari_synth.gui.remembered import remember
from napari_synth.gui.widgets.files_box import MAKE_INTO_FOLDER, FilesBox, MakingParams
from napari_synth.gui.widgets.form_rows import button, label, line, rows
from napari_synth.gui.widgets.latent_explorer import LatentExplorer, LatentPreview, PointRequest
from napari_synth.gui.widgets.layer_lists import LayerChoice
from napari_synth.gui.widgets.quality_box import QualityBox
from napari_synth.imaging.image import Image

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_synth.methods.synthesize.quality import Quality

_ADDS = "Add a model file of your own; the Train panel makes one of your images"
_GAP = 0.05
"""Before made images, as a share of the width of what is open, or of the height of those above."""
_NEED = {"nothing": "", "image": "choose an image", "labels": "choose labels", "optional labels": "draw new ones"}
_NEED_LABEL = {"nothing": "Image", "image": "Image", "labels": "Labels", "optional labels": "Labels"}
_NEED_FILES = {"nothing": "", "image": "Images", "labels": "Labels", "optional labels": "Labels"}
_NEED_TIP = {
    "nothing": "",
    "image": "The image that others are made like",
    "labels": "The labels that images are made for",
    "optional labels": "The labels that images are made for; or new ones are drawn for each image, and come beside it as a layer",
}
_FILES_TIP = (
    "A folder or a pattern of files, each of which gets a file of images; what is chosen above where none is named"
)
_CONTRAST = (0.1, 99.9)


class SynthesizePanel(FilePanel[Synthesizer[Any]]):
    """The panel for synthesis, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    _doing = "Synthesizing"

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Synthesizer, Task.SYNTHESIZE, _ADDS, MAKE_INTO_FOLDER)
        self._made: Synthesized | None = None
        self._asked: dict[str, Any] = {}

        self.source = LayerChoice(self.viewer, self._is_needed, "", self, likely=self._is_likely_source)
        self.seed = QSpinBox(self)
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("The same seed gives the same images")
        self.another = button(self, "Another", "Take another seed")
        self.run_button.setToolTip(with_key("Make the images in the background; they become a stack layer", RUN))
        self.encoded = LayerChoice(self.viewer, is_source, "the seed", self)
        self.encoded.setToolTip(
            "Where the sliders begin: at an image of the seed, or at the middle of an image layer, as the model sees it"
        )
        self.explorer = LatentExplorer(self._origin, self)
        self.preview = LatentPreview(self.viewer, self._wanted, self._preview_layer, self)
        self.real = LayerChoice(self.viewer, is_source, "choose real images", self, likely=self._is_likely)
        self.real.setToolTip("What the model was trained on, or more of its kind: the images are held against it")
        self.real_labels = LayerChoice(self.viewer, _is_labels, "none", self, likely=self._is_likely)
        self.real_labels.setToolTip(
            "Labels of the real images: the report then says whether a segmenter that learns from the made pairs finds real objects"
        )
        self.quality = QualityBox(self)
        self._put_together()
        self._connect()
        self._on_method()
        self._on_theme()
        self._offer_quality(None)
        self._recall()

    # What the user does

    def run(self) -> None:
        """Make the images."""
        self._attempt(self._ask_for_images, "Synthesizing", self._on_made)

    def add_path(self) -> None:
        """Make the images along the path as a layer."""
        ends, count = self.explorer.ends, self.explorer.frames.value()
        if ends is not None:
            self._attempt(lambda: partial(interpolate, self._request(), ends, count), "Interpolating", self._on_path)

    def report_quality(self) -> None:
        """Hold the last images against the chosen layer."""
        if self._made is not None:
            self._attempt(partial(self._ask_for_report, self._made), "Comparing", self._on_report)

    def take_another_seed(self) -> None:
        """Take a seed that was not drawn by hand."""
        self.seed.setValue(int(np.random.default_rng().integers(0, 10_000)))

    # Layout

    def _put_together(self) -> None:
        top, bottom, explore, against = rows(), rows(), rows(), rows()
        top.addRow(label("Model", self.methods), self.method_row)
        self._source_label = label("Image", self.source)
        top.addRow(self._source_label, self.source)
        seeds = QHBoxLayout()
        seeds.addWidget(self.seed, 1)
        seeds.addWidget(self.another, 1)
        bottom.addRow(label("Seed", self.seed), seeds)
        self._encoded_label = label("Begin at", self.encoded)
        explore.addRow(self._encoded_label, self.encoded)
        self._real_label = label("Real images", self.real)
        against.addRow(self._real_label, self.real)
        self._real_labels_label = label("Real labels", self.real_labels)
        against.addRow(self._real_labels_label, self.real_labels)
        self._lay_out(
            top,
            self.summary,
            self.form_place,
            bottom,
            self.settings_row,
            self.run_button,
            self.progress,
            self.device,
            line(self),
            explore,
            self.explorer,
            against,
            self.quality,
            self.messages,
            self.history,
            self.files_box,
        )

    def _connect(self) -> None:
        self._attach(self.preview, self.explorer.fold, with_progress=False)
        self.preview.opened.connect(self._on_opened)
        self.source.changed.connect(self.explorer.forget)
        self.seed.valueChanged.connect(self.preview.request)
        self.encoded.changed.connect(self.preview.request)
        self.another.clicked.connect(self.take_another_seed)
        self.explorer.moved.connect(self.preview.request)
        self.explorer.path_wanted.connect(self.add_path)
        self.quality.wanted.connect(self.report_quality)

    # What is wanted

    def _ask_for_images(self) -> Work:
        request = self._request()
        self._asked = self.form.params().model_dump(mode="json", include=set(self.form.values()))
        remember(self.task, self.method.info.id, self._asked)
        return partial(synthesize, request)

    def _ask_for_files(self, recipe: Recipe, box: FilesBox[MakingParams]) -> OnFiles:
        if not box.sources:
            return MakingRequest(self._request(), box.target, box.how.overwrite)
        made = recipe.model_copy(update={"seed": self.seed.value()})
        budget = self._settings().memory_budget
        return FilesRequest(made, box.sources, box.target, overwrite=box.how.overwrite, memory_budget=budget)

    def _take_more(self, recipe: Recipe) -> tuple[str, ...]:
        """Take the seed; what images are made of or for is chosen by hand."""
        self.seed.setValue(recipe.seed)
        given = "image" if self.methods.named(recipe.generator).needs == "image" else "labels"
        return () if recipe.source is None else (f"It had {recipe.source.name!r}: choose the {given}.",)

    def _request(self) -> SynthesisRequest:
        params = self.form.params().model_dump()
        labelled = self.method.takes_labels and self.source.layer is not None
        place = Placement.of(self.source.layer) if labelled else None
        return SynthesisRequest(self.method.info.id, params, self.seed.value(), self._given(), self._settings(), place)

    def _given(self) -> Image | None:
        if self.method.needs == "nothing":
            return None
        layer = self.source.layer
        if layer is None and self.method.needs == "optional labels":
            return None
        if layer is None:
            what = "labels: open or draw a Labels layer" if self.method.needs == "labels" else "an image: open one"
            raise InvalidImageError(f"{self.method.info.title} needs {what}, and choose it.")
        return to_image(layer, guess_layer_axes(layer))

    def _wanted(self) -> PointRequest:
        return PointRequest(self._request(), self.explorer.point)

    def _origin(self) -> LatentPoint:
        layer, model = self.encoded.layer, self.preview.model
        if layer is None or self.encoded.isHidden() or model is None:
            return LatentPoint(self.seed.value())
        axes = guess_layer_axes(layer)
        at = slice_of(layer, self.viewer, axes[: layer.ndim])
        plane = to_image(layer, axes).select(
            **{axis: place for axis, place in at.items() if axis not in model.spec.axes}
        )
        return LatentPoint(self.seed.value(), plane)

    def _ask_for_report(self, made: Synthesized) -> Work:
        layer = self.real.layer
        if layer is None:
            raise InvalidImageError("There is nothing to compare with: choose the layer of real images.")
        labels = self.real_labels.layer if made.labels is not None else None
        known = None if labels is None else to_image(labels, guess_layer_axes(labels))
        return partial(report_on, made, to_image(layer, guess_layer_axes(layer)), known)

    def _is_needed(self, layer: napari.layers.Layer) -> bool:
        kind = Labels if self.method.takes_labels else ImageLayer
        return isinstance(layer, kind) and kind_of(layer) != PREVIEW

    def _is_likely(self, layer: napari.layers.Layer) -> bool:
        return not kind_of(layer)

    def _is_likely_source(self, layer: napari.layers.Layer) -> bool:
        # Labels that are no more than allowed are chosen by hand.
        return self._is_likely(layer) and self.method.needs != "optional labels"

    # What changes

    def _on_method(self) -> None:
        super()._on_method()
        needs = self.method.needs
        self.source.none = _NEED[needs]
        self.source.setToolTip(_NEED_TIP[needs])
        self.source.refresh()
        self._source_label.setText(_NEED_LABEL[needs])
        for widget in (self._source_label, self.source):
            widget.setVisible(needs != "nothing")
        self.files_box.ask_for(_NEED_FILES[needs], _FILES_TIP)
        self.form.changed.connect(self.explorer.forget)
        self._offer_encoder(False)
        self.explorer.allow(0)
        self.explorer.forget()

    def _on_opened(self, model: PreparedSynthesis) -> None:
        self._offer_encoder(model.sampler.can_encode)
        self.explorer.allow(model.sampler.latent_size)

    def _offer_encoder(self, able: bool) -> None:
        """Offer to begin at a layer where the model can find its latents."""
        for widget in (self._encoded_label, self.encoded):
            widget.setVisible(able)

    def _offer_quality(self, made: Synthesized | None) -> None:
        """Offer the report for images, or for none."""
        self._made = made
        self.quality.show_quality(None)
        for widget in (self._real_label, self.real, self.quality):
            widget.setVisible(made is not None)
        for widget in (self._real_labels_label, self.real_labels):
            widget.setVisible(made is not None and made.labels is not None)

    def _on_theme(self, _event: object = None) -> None:
        super()._on_theme()
        theme = get_theme(self.viewer.theme)
        self.quality.set_theme(theme.text.as_hex(), theme.background.as_hex())

    def _show_state(self) -> None:
        super()._show_state()
        self.run_button.setEnabled(self._job is None)

    # Results

    def _on_made(self, made: Synthesized) -> None:
        self._offer_quality(made)
        layer = self._add(made, f"{made.prepared.method.info.title} (synthetic)")
        run = PastRun(layer.name, made.prepared.recipe, self._asked, datetime.now(), made.prepared.notes)
        history_of(self.viewer).add(run)

    def _on_path(self, made: Synthesized) -> None:
        self._add(made, f"{made.prepared.method.info.title} path (synthetic)")

    def _on_report(self, quality: Quality) -> None:
        self.quality.show_quality(quality)
        self.messages.show_notes(quality.notes)
        if self._made is not None:
            prepared, pairs = self._made.prepared, quality.pairs
            # Images that were made for labels lie on these, and leave the place beside them free.
            above = prepared.size[0] if self._made.request.place is None else 0
            place = self._beside(plain_place(prepared, pairs.axes.replace("S", "")), above)
            name = "made images, nearest real crops"
            self._insert(_new_layer((pairs.data,), place, name, mark(PAIRS), rgb="S" in pairs.axes))

    def _add(self, made: Synthesized, name: str) -> napari.layers.Image:
        prepared = made.prepared
        place = self._place(made.request, prepared, prepared.axes)
        metadata = mark(RESULT, prepared.recipe.model_dump(mode="json"), synthetic=True)
        layer = _new_layer(made.levels, place, name, metadata, rgb="S" in prepared.axes)
        self._insert(layer)
        if made.labels is not None:
            # The same grid: an image and its labels lie on each other, and go through the stack together.
            axes = f"{prepared.stack_axis}YX"
            own = place.along(prepared.axes.replace("S", ""), axes)
            drawn = mark(DRAWN, prepared.recipe.model_dump(mode="json"), synthetic=True)
            self._insert(layer_of_levels(Labels, (made.labels,), f"{name} labels", drawn, own))
        self.device.show_device(prepared.device)
        stored = f"The images are larger than the memory budget: they are in {made.path}." if made.path else ""
        self.messages.show_notes([stored, *prepared.notes])
        return layer

    def _preview_layer(
        self, request: SynthesisRequest, model: PreparedSynthesis, pixels: npt.NDArray[Any]
    ) -> napari.layers.Image:
        axes, name = model.spec.axes, f"{model.method.info.title} preview"
        return _new_layer((pixels,), self._place(request, model, axes), name, mark(PREVIEW), rgb="S" in axes)

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

    def _insert(self, layer: napari.layers.Layer) -> None:
        """Insert a layer; where nothing lay before, it is brought into view."""
        before = self.viewer.layers.extent.world[:, -2:]
        insert_layer(self.viewer, layer)
        if not np.array_equal(before, self.viewer.layers.extent.world[:, -2:]):
            self.viewer.reset_view()


def _new_layer(
    levels: tuple[Any, ...], place: Placement, name: str, metadata: dict[str, Any], *, rgb: bool
) -> napari.layers.Image:
    coarsest = levels[-1]
    # Contrast limits are found on some of the images, so that little is read.
    some = coarsest[:: max(1, len(coarsest) // 16)]
    look = {} if rgb else {"contrast_limits": contrast(some, _CONTRAST)}
    return layer_of_levels(ImageLayer, levels, name, metadata, place, rgb=rgb, **look)


def _is_labels(layer: napari.layers.Layer) -> bool:
    return isinstance(layer, Labels) and kind_of(layer) != PREVIEW


def _extent(layer: napari.layers.Layer, units: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Return the first and the last place (2, 2) of a layer along Y and X, in other units where they measure the same."""
    found = np.array(layer.extent.world[:, -2:], dtype=float)
    for index, (own, other) in enumerate(zip(layer.units[-2:], units, strict=True)):
        if own.is_compatible_with(other):
            found[:, index] *= float((1 * own).to(other).magnitude)
    return found
