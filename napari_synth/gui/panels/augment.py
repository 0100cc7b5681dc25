"""The panel for augmentation. It shows, asks and places; what computes runs in a `Job`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers import Tracks, Vectors
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_synth.augmentation.draws import Draw
from napari_synth.augmentation.export import Written
from napari_synth.augmentation.pipeline import Pipeline, Sampling
from napari_synth.augmentation.presets import PRESETS, preset
from napari_synth.augmentation.sample import Sample
from napari_synth.core.errors import InvalidImageError, SynthError
from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.gui.jobs.augment import (
    Drawn,
    displacement,
    draw_samples,
    in_words,
    magnitude,
    mosaic,
    replay,
    undo,
)
from napari_synth.gui.layers.augmentation_layers import (
    Content,
    content_of,
    placed,
    placed_back,
    result_layers,
    vectors_of,
)
from napari_synth.gui.layers.images import RESULT, Placement, fresh_name, mark
from napari_synth.gui.layers.viewer_layers import insert_layer
from napari_synth.gui.panels.base import WorkPanel
from napari_synth.gui.widgets.augmentation_actions import ActionBox, PresetRows
from napari_synth.gui.widgets.augmentation_preview import LiveDraw, Wish
from napari_synth.gui.widgets.companions import CompanionList
from napari_synth.gui.widgets.dataset_box import DatasetBox
from napari_synth.gui.widgets.form import ParamsForm
from napari_synth.gui.widgets.form_rows import line, put_in_scroll_area
from napari_synth.gui.widgets.source_picker import SourcePicker
from napari_synth.gui.widgets.transform_list import TransformList

if TYPE_CHECKING:
    import napari
    import napari.layers
    from napari.components import ViewerModel

_ARROWS = 24
"""About as many arrows along the longest side of a displacement field."""


class AugmentPanel(WorkPanel):
    """The panel for augmentation, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._last: tuple[Content, Pipeline, Draw] | None = None
        self._filling = False

        self.source = SourcePicker(self.viewer, self)
        self.along_label = QLabel("Moves along", self)
        self.along = CompanionList(self.viewer, self)
        self.presets = PresetRows(self)
        self.transforms = TransformList(self)
        self.sampling = ParamsForm(Sampling, self)
        self.actions_box = ActionBox(self)
        self.dataset = DatasetBox(self)
        self.live = LiveDraw(self.viewer, self._wish, self)
        self._lay_out()
        self._connect()
        self.load_preset(next(iter(PRESETS)))
        self._on_layers()
        self._on_source()
        self._on_theme()

    # What the user does

    def pipeline(self) -> Pipeline:
        """Return the pipeline as it is set.

        Raises
        ------
        InvalidParameterError
            Settings do not go together.
        """
        sampling = self.sampling.params()
        assert isinstance(sampling, Sampling)
        return Pipeline(transforms=self.transforms.transforms(), sampling=sampling)

    def load_preset(self, name: str) -> None:
        """Fill the list with a preset."""
        self._fill(preset(name))

    def load_pipeline(self, path: Path) -> None:
        """Fill the list with the pipeline of a YAML file."""
        try:
            loaded = Pipeline.from_file(path)
        except SynthError as error:
            self._on_failed(error)
            return
        self.messages.show_error("")
        self._fill(loaded)
        self.presets.show_own()

    def save_pipeline(self, path: Path) -> None:
        """Write the pipeline to a YAML file."""
        try:
            text = self.pipeline().to_yaml()
            path.write_text(text, encoding="utf-8")
        except SynthError as error:
            self._on_failed(error)
        except OSError as error:
            self.messages.show_error(f"The pipeline cannot be saved to {str(path)!r}: {error.strerror}.")
        else:
            self.messages.show_notes([f"The pipeline is in {path.name}."])

    def _fill(self, pipeline: Pipeline) -> None:
        self._filling = True
        self.transforms.show_transforms(pipeline.transforms)
        self.sampling.set_values(pipeline.sampling.model_dump())
        self._filling = False
        self.transforms.only.setChecked(True)
        self.live.request()

    def show_samples(self, count: int, grid: bool = False) -> None:
        """Add draws of the chosen layers: one where its image lies, several as a stack or side by side."""
        try:
            wish = self._wish()
        except SynthError as error:
            self._on_failed(error)
            return
        seeds = range(wish.seed, wish.seed + count)
        work = partial(draw_samples, wish.pipeline, wish.content.sample, seeds)
        self._work(work, "Augmenting", partial(self._add_samples, wish.content, wish.pipeline, grid))

    def replay(self, how: str = "again") -> None:
        """Apply the last draw to the layers that are chosen now, or move them ``"back"`` to where they came from."""
        if self._last is None:
            return
        _, pipeline, draw = self._last
        try:
            content = self._content()
        except SynthError as error:
            self._on_failed(error)
            return
        work = partial(undo if how == "back" else replay, pipeline, content.sample, draw)
        self._work(work, "Augmenting", partial(self._add_replayed, content, pipeline, how))

    def show_field(self, how: str) -> None:
        """Add the displacement field of the last draw, as ``"vectors"`` or as an ``"image"`` of distances."""
        if self._last is not None:
            content, pipeline, draw = self._last
            work = partial(displacement, pipeline, draw)
            self._work(work, "Computing the displacement", partial(self._add_field, content, draw, how))

    def copy(self, how: str) -> None:
        """Put the pipeline on the clipboard, as ``"yaml"`` or ``"python"``."""
        try:
            pipeline = self.pipeline()
        except SynthError as error:
            self._on_failed(error)
            return
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(pipeline.to_yaml() if how == "yaml" else pipeline.to_python())
            self.messages.show_notes(["The pipeline is on the clipboard."])

    def write_dataset(self, folder: Path) -> None:
        """Write a data set of the chosen layers into a new folder in ``folder``."""
        try:
            wish = self._wish()
            work = self.dataset.work(wish.content, wish.pipeline, wish.seed, folder)
        except SynthError as error:
            self._on_failed(error)
            return
        self._work(work, "Writing the data set", self._on_written)

    def cancel(self) -> None:
        """Stop whatever is computed."""
        super().cancel()
        self.live.cancel()

    def stop(self) -> None:
        """Cancel everything and take the preview away; the panel was closed."""
        super().stop()
        self.actions_box.preview.setChecked(False)

    # Layout

    def _lay_out(self) -> None:
        inner = QWidget(self)
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        for widget in (
            self.source,
            self.along_label,
            self.along,
            self.presets,
            line(self),
            self.actions_box,
            self.progress,
            self.messages,
            self.dataset,
            line(self),
            self.transforms,
            self.sampling,
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        put_in_scroll_area(inner, self)

    def _connect(self) -> None:
        self.source.changed.connect(self._on_source)
        self.along.changed.connect(self._on_changed)
        self.presets.chosen.connect(self.load_preset)
        self.presets.seed_changed.connect(self._on_changed)
        self.transforms.changed.connect(self._on_pipeline)
        self.sampling.changed.connect(self._on_pipeline)
        box = self.actions_box
        box.preview.toggled.connect(self._on_preview)
        box.samples_wanted.connect(self.show_samples)
        box.replay_wanted.connect(self.replay)
        box.field_wanted.connect(self.show_field)
        box.copy_wanted.connect(self.copy)
        box.save_wanted.connect(self.save_pipeline)
        box.load_wanted.connect(self.load_pipeline)
        self.dataset.wanted.connect(self.write_dataset)
        self.live.began.connect(self._on_live_began)
        self.live.drawn.connect(self._on_drawn)
        self.live.failed.connect(self._on_failed)
        self.live.ended.connect(self._on_live_ended)
        self.live.switched_off.connect(self._on_live_off)
        self.viewer.layers.events.inserted.connect(self._on_layers)
        self.viewer.layers.events.removed.connect(self._on_layers)

    # What changes

    def _content(self) -> Content:
        image = self.source.image()
        layer = self.source.layer
        if layer is None:
            raise InvalidImageError(self.source.why_empty())
        return content_of(layer, image, self.along.chosen)

    def _wish(self) -> Wish:
        return Wish(self._content(), self.pipeline(), self.presets.seed.value())

    def _on_source(self) -> None:
        if self.source.layer is None:
            self.actions_box.preview.setChecked(False)
        self._show_state()
        self._on_changed()

    def _on_layers(self, _event: object = None) -> None:
        self.along_label.setVisible(self.along.count() > 0)

    def _on_changed(self) -> None:
        self.messages.show_error("")
        self.live.request()

    def _on_pipeline(self) -> None:
        if not self._filling:
            self.presets.show_own()
            self._on_changed()

    def _on_preview(self, on: bool) -> None:
        self.messages.show_error("")
        self.live.switch(on)

    def _on_live_began(self) -> None:
        self.messages.show_error("")
        self.progress.begin("Preview")

    def _on_drawn(self, wish: Wish, draw: Draw) -> None:
        self._remember(wish.content, wish.pipeline, draw)

    def _on_live_ended(self) -> None:
        if self._job is None:
            self.progress.end()

    def _on_live_off(self) -> None:
        self.actions_box.preview.setChecked(False)

    def _remember(self, content: Content, pipeline: Pipeline, draw: Draw) -> None:
        self._last = content, pipeline, draw
        self.actions_box.show_drawn(in_words(draw))
        self._show_state()

    def _show_state(self) -> None:
        there, busy = self.source.layer is not None, self._job is not None
        self.actions_box.set_ready(image=there, draw=self._last is not None, busy=busy)
        self.dataset.write.setEnabled(there and not busy)

    # The worker

    def _work(
        self, work: Callable[[ProgressCallback, CancelToken], Any], what: str, then: Callable[[Any], None]
    ) -> None:
        """Run work in a thread; ``then`` gets its result in this one."""
        if self._job is not None:
            return
        self.actions_box.preview.setChecked(False)
        self._clear()
        self._then = then
        self._start(work, what, self._on_returned)

    def _on_returned(self, result: Any) -> None:
        try:
            self._then(result)
        except SynthError as error:
            self._on_failed(error)

    # Results

    def _add_samples(self, content: Content, pipeline: Pipeline, grid: bool, result: Drawn) -> None:
        several = len(result.samples) > 1
        place = placed(content.source, content.sample.axes, result.draws[0], at_start=not several)
        samples = (mosaic(result.samples),) if several and grid else result.samples
        suffix = f"{len(result.samples)} samples" if several else "augmented"
        self._add(content, pipeline, samples, place, suffix, result.draws)
        self._remember(content, pipeline, result.draws[0])
        if several and any(isinstance(layer, Tracks) for layer in content.companions):
            self.messages.show_notes(["Tracks are left out of several samples: show one sample to see them moved."])

    def _add_replayed(self, content: Content, pipeline: Pipeline, how: str, result: Drawn) -> None:
        where = placed_back if how == "back" else placed
        place = where(content.source, content.sample.axes, result.draws[0])
        suffix = "moved back" if how == "back" else "replayed"
        self._add(content, pipeline, result.samples, place, suffix, result.draws)

    def _add(
        self,
        content: Content,
        pipeline: Pipeline,
        samples: Sequence[Sample],
        place: Placement,
        suffix: str,
        draws: Sequence[Draw],
    ) -> None:
        """Add the layers of samples over those that they were made from, under fresh names."""
        record = {"pipeline": pipeline.to_dict(), "draws": [draw.model_dump(mode="json") for draw in draws]}
        above = _uppermost(self.viewer, (content.source, *content.companions))
        for layer in result_layers(content, samples, place, suffix):
            layer.name = fresh_name(layer.name, (other.name for other in self.viewer.layers))
            layer.metadata = mark(RESULT, record)
            insert_layer(self.viewer, layer, above=above)
            above = layer

    def _add_field(self, content: Content, draw: Draw, how: str, field: Any) -> None:
        axes = content.sample.axes
        place = placed(content.source, axes, draw)
        kept = [axes.index(axis) for axis in draw.axes]
        where = place.as_kwargs()
        # Other axes have no displacement: the field holds along them.
        where = (
            {
                "scale": place.scale[kept],
                "translate": place.translate[kept],
                "units": tuple(place.units[index] for index in kept),
                "axis_labels": tuple(place.axis_labels[index] for index in kept),
            }
            if len(kept) < content.source.ndim
            else where
        )
        name = fresh_name(f"{content.source.name} displacement", (layer.name for layer in self.viewer.layers))
        metadata = mark(RESULT, {"draw": draw.model_dump(mode="json")})
        layer: napari.layers.Layer
        if how == "vectors":
            arrows = vectors_of(field, max(1, max(field.shape[1:]) // _ARROWS))
            layer = Vectors(
                arrows, name=name, edge_width=max(1.0, max(field.shape[1:]) / 300), metadata=metadata, **where
            )
        else:
            layer = ImageLayer(magnitude(field), name=name, colormap="viridis", metadata=metadata, **where)
        insert_layer(self.viewer, layer)

    def _on_written(self, written: Written) -> None:
        self.messages.show_notes(
            [
                f"Wrote {written.training} crops to train on and {written.validation} for validation to {written.folder}.",
            ]
        )


def _uppermost(viewer: ViewerModel, layers: Iterable[napari.layers.Layer]) -> napari.layers.Layer | None:
    """Return the layer that lies over the others, None where all are gone."""
    there = [layer for layer in layers if layer in viewer.layers]
    return max(there, key=viewer.layers.index, default=None)
