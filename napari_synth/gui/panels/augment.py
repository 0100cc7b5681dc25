"""The panel for augmentation: what moves along, how, one draw or many, and a data set on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers import Tracks, Vectors
from qtpy.QtWidgets import QLabel

from napari_synth.augmentation.draws import Draw
from napari_synth.augmentation.export import Written
from napari_synth.augmentation.pipeline import PRESETS, TRANSFORMS, Pipeline, preset
from napari_synth.augmentation.sample import Sample
from napari_synth.augmentation.transform import Sampling
from napari_synth.core.errors import InvalidImageError, RecipeError, SynthError
from napari_synth.gui.history import PastDraw, history_of
from napari_synth.gui.jobs.augment import Drawn, displacement, draw_samples, in_words, magnitude, mosaic, replay, undo
from napari_synth.gui.jobs.requests import PreviewRequest
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.layers.augmentation_layers import (
    SampleLayers,
    placed,
    placed_back,
    result_layers,
    sample_layers,
    vectors_of,
)
from napari_synth.gui.layers.marks import RESULT, mark
from napari_synth.gui.layers.placement import Placement
from napari_synth.gui.layers.viewer_layers import insert_layer
from napari_synth.gui.panels.base import Panel
from napari_synth.gui.remembered import forget, remember, remembered
from napari_synth.gui.widgets.augmentation_actions import PREVIEW_TOOLTIP, ActionBox, PresetRows
from napari_synth.gui.widgets.augmentation_preview import AugmentationPreview
from napari_synth.gui.widgets.dataset_box import DatasetBox
from napari_synth.gui.widgets.form import ParamsForm
from napari_synth.gui.widgets.form_rows import copied_text, line, put_on_clipboard
from napari_synth.gui.widgets.help import show_page, site_page
from napari_synth.gui.widgets.hint import Hint
from napari_synth.gui.widgets.history_box import HistoryBox
from napari_synth.gui.widgets.layer_lists import CompanionList
from napari_synth.gui.widgets.source_picker import SourcePicker
from napari_synth.gui.widgets.text_drops import TextDrops
from napari_synth.gui.widgets.transform_list import TransformList

if TYPE_CHECKING:
    import napari
    import napari.layers
    from napari.components import ViewerModel

Then = Callable[[Any], None]

_REMEMBERED, _REMEMBERED_FILES = "augment", "augment-files"
_ARROWS = 24
"""About as many arrows along the longest side of a displacement field."""
_WHAT_FOR = (
    "Augmentation changes an image, its labels, points and shapes together, at random and within what such images show, so that a"
    " network that learns from few of them does not learn them by heart."
)


class AugmentPanel(Panel):
    """The panel for augmentation, as napari's menu opens it.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._last: tuple[SampleLayers, Pipeline, Draw] | None = None
        self._then: Then
        self._filling = False
        self._preset = ""

        self.source = SourcePicker(self.viewer, self)
        self.along_label = QLabel("Moves along", self)
        self.along = CompanionList(self.viewer, self)
        self.presets = PresetRows(self)
        self.transforms = TransformList(self)
        self.sampling = ParamsForm(Sampling, self)
        self.actions_box = ActionBox(self)
        self.preview_hint = Hint(self)
        self.dataset = DatasetBox(self)
        self.history = HistoryBox(self.viewer, None, self)
        self.history.wanted.connect(self.use_again)
        self.preview = AugmentationPreview(self.viewer, self._wanted, self)
        self._lay_out(
            self.source,
            self.along_label,
            self.along,
            self.presets,
            line(self),
            self.actions_box,
            self.preview_hint,
            self.progress,
            self.messages,
            self.dataset,
            self.history,
            line(self),
            self.transforms,
            self.sampling,
        )
        self._connect()
        self._drops = TextDrops(self, self._take_text)
        self._recall()
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
        self.presets.show_preset(name)

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

    def paste_pipeline(self) -> None:
        """Fill the list with the pipeline on the clipboard."""
        self._take_text(copied_text())

    def use_again(self, past: PastDraw) -> None:
        """Fill the list with the pipeline of an earlier augmentation, and take its seed."""
        self._clear()
        self._fill(past.pipeline)
        self.presets.seed.setValue(past.seed)
        if past.preset in PRESETS:
            self.presets.show_preset(past.preset)
        else:
            self.presets.show_own()
        self.messages.show_notes(["The list and the seed are as they were then."])

    def reset(self) -> None:
        """Put everything back to how a new installation begins, and forget what was remembered."""
        forget(_REMEMBERED)
        self._clear()
        self.load_preset(next(iter(PRESETS)))
        self.presets.seed.setValue(0)
        self.messages.show_notes(["All settings are as in a new installation."])

    def show_help(self) -> None:
        """Open the page on augmentation, or what the transforms say of themselves."""
        said = "".join(f"<p><b>{escape(one.title)}</b><br>{escape(one.summary)}</p>" for one in TRANSFORMS.values())
        html = f"<h3>Augmentation</h3><p>{escape(_WHAT_FOR)}</p>{said}"
        show_page(site_page("tutorials/augment.html"), "Augmentation", html, self)

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

    def show_samples(self, count: int, grid: bool = False) -> None:
        """Add draws of the chosen layers: one where its image lies, several as a stack or side by side."""

        def ask() -> tuple[Work, Then]:
            wanted = self._wanted()
            seeds = range(wanted.seed, wanted.seed + count)
            work = partial(draw_samples, wanted.pipeline, wanted.layers.sample, seeds)
            return work, partial(self._add_samples, wanted.layers, wanted.pipeline, grid)

        self._augment(ask, "Augmenting")

    def replay(self, how: str = "again") -> None:
        """Apply the last draw to the layers that are chosen now, or move them ``"back"`` to where they came from."""
        if self._last is None:
            return
        _, pipeline, draw = self._last

        def ask() -> tuple[Work, Then]:
            layers = self._sample_layers()
            work = partial(undo if how == "back" else replay, pipeline, layers.sample, draw)
            return work, partial(self._add_replayed, layers, pipeline, how)

        self._augment(ask, "Augmenting")

    def show_field(self, how: str) -> None:
        """Add the displacement field of the last draw, as ``"vectors"`` or as an ``"image"`` of distances."""
        if self._last is not None:
            layers, pipeline, draw = self._last
            work = partial(displacement, pipeline, draw)
            self._augment(lambda: (work, partial(self._add_field, layers, draw, how)), "Computing the displacement")

    def copy(self, how: str) -> None:
        """Put the pipeline on the clipboard, as ``"yaml"`` or ``"python"``."""
        try:
            pipeline = self.pipeline()
        except SynthError as error:
            self._on_failed(error)
            return
        put_on_clipboard(pipeline.to_yaml() if how == "yaml" else pipeline.to_python())
        self.messages.show_notes(["The pipeline is on the clipboard."])

    def write_dataset(self, folder: Path) -> None:
        """Write a data set of the chosen layers, or of the files that are named, into a new folder in ``folder``."""

        def ask() -> tuple[Work, Then]:
            layers = None if self.dataset.is_of_files else self._sample_layers()
            pipeline, seed = self.pipeline(), self.presets.seed.value()
            work = self.dataset.work(layers, pipeline, seed, folder)
            remember(_REMEMBERED_FILES, "", self.dataset.kept())
            return work, partial(self._on_written, "files" if layers is None else layers.source.name, pipeline, seed)

        self._augment(ask, "Writing the data set")

    # Settings from elsewhere

    def _take_text(self, text: str) -> None:
        """Take a pipeline that is written out, or that is in the file of which the path is written."""
        text = text.strip()
        try:
            if not text:
                raise RecipeError("There is no pipeline on the clipboard: copy one first, here or from a file.")
            loaded = Pipeline.from_yaml(text) if "\n" in text else Pipeline.from_file(text)
        except SynthError as error:
            self._on_failed(error)
            return
        self._clear()
        self._fill(loaded)
        self.presets.show_own()
        self.messages.show_notes(["The list is filled with the pipeline."])

    def _recall(self) -> None:
        """Begin with what was used last, where that is still understood."""
        if (files := remembered(_REMEMBERED_FILES)) is not None:
            self.dataset.show_kept(files[1])
        kept = remembered(_REMEMBERED)
        try:
            pipeline = None if kept is None else Pipeline.from_dict(kept[1])
        except SynthError:
            pipeline = None
        if kept is None or pipeline is None:
            self.load_preset(next(iter(PRESETS)))
            return
        self._fill(pipeline)
        if kept[0] in PRESETS:
            self.presets.show_preset(kept[0])
        else:
            self.presets.show_own()

    # What changes

    def _connect(self) -> None:
        self.source.changed.connect(self._on_source)
        self.along.changed.connect(self._on_changed)
        self.presets.chosen.connect(self.load_preset)
        self.presets.seed_changed.connect(self._on_changed)
        self.transforms.changed.connect(self._on_pipeline)
        self.sampling.changed.connect(self._on_pipeline)
        box = self.actions_box
        self._attach(self.preview, box.preview)
        self.preview.drawn.connect(self._on_drawn)
        self.viewer.dims.events.ndisplay.connect(self._offer_preview)
        box.samples_wanted.connect(self.show_samples)
        box.replay_wanted.connect(self.replay)
        box.field_wanted.connect(self.show_field)
        box.copy_wanted.connect(self.copy)
        box.paste_wanted.connect(self.paste_pipeline)
        box.reset_wanted.connect(self.reset)
        self.presets.help.clicked.connect(self.show_help)
        box.save_wanted.connect(self.save_pipeline)
        box.load_wanted.connect(self.load_pipeline)
        self.dataset.wanted.connect(self.write_dataset)
        self.dataset.changed.connect(self._show_state)
        self.viewer.layers.events.inserted.connect(self._on_layers)
        self.viewer.layers.events.removed.connect(self._on_layers)

    def _fill(self, pipeline: Pipeline) -> None:
        self._filling = True
        self.transforms.show_transforms(pipeline.transforms)
        self.sampling.set_values(pipeline.sampling.model_dump())
        self._filling = False
        self.transforms.only.setChecked(True)
        self.preview.request()

    def _sample_layers(self) -> SampleLayers:
        image = self.source.image()
        layer = self.source.layer
        if layer is None:
            raise InvalidImageError(self.source.why_empty())
        return sample_layers(layer, image, self.along.chosen)

    def _wanted(self) -> PreviewRequest:
        return PreviewRequest(self._sample_layers(), self.pipeline(), self.presets.seed.value())

    def _on_source(self) -> None:
        self.along.follow(self.source.layer)
        if self.source.layer is None:
            self.actions_box.preview.setChecked(False)
        self._show_state()
        self._on_changed()

    def _on_layers(self, _event: object = None) -> None:
        self.along_label.setVisible(self.along.count() > 0)

    def _on_changed(self) -> None:
        self.messages.show_error("")
        self.preview.request()

    def _on_pipeline(self) -> None:
        if not self._filling:
            self.presets.show_own()
            self._on_changed()

    def _on_drawn(self, request: PreviewRequest, draw: Draw) -> None:
        self._remember(request.layers, request.pipeline, draw)

    def _remember(self, layers: SampleLayers, pipeline: Pipeline, draw: Draw) -> None:
        self._last = layers, pipeline, draw
        self.actions_box.show_drawn(in_words(draw))
        self._show_state()

    def _show_state(self) -> None:
        there, busy = self.source.layer is not None, self._job is not None
        self.actions_box.set_ready(image=there, draw=self._last is not None, busy=busy)
        self.dataset.write.setEnabled((there or self.dataset.is_of_files) and not busy)
        self._offer_preview()

    def _offer_preview(self, _event: object = None) -> None:
        there = self.source.layer is not None
        self._offer_preview_on(self.actions_box.preview, self.preview_hint, PREVIEW_TOOLTIP, there=there)

    # The worker

    def _augment(self, ask: Callable[[], tuple[Work, Then]], what: str) -> None:
        """Do what is asked for in a thread, in place of the preview; ``ask`` says what becomes of its result too."""

        def asked() -> Work:
            work, self._then = ask()
            self._preset = self.presets.presets.currentData() or ""
            remember(_REMEMBERED, self._preset, self.pipeline().to_dict())
            self.actions_box.preview.setChecked(False)
            return work

        self._attempt(asked, what, self._on_returned)

    def _on_returned(self, result: Any) -> None:
        try:
            self._then(result)
        except SynthError as error:
            self._on_failed(error)

    # Results

    def _add_samples(self, layers: SampleLayers, pipeline: Pipeline, grid: bool, result: Drawn) -> None:
        several = len(result.samples) > 1
        place = placed(layers.source, layers.sample.axes, result.draws[0], at_start=not several)
        samples = (mosaic(result.samples),) if several and grid else result.samples
        suffix = f"{len(result.samples)} samples" if several else "augmented"
        self._add(layers, pipeline, samples, place, suffix, result.draws)
        self._remember(layers, pipeline, result.draws[0])
        made = f"{len(result.samples)} samples" if several else "one sample"
        self._note(layers.source.name, pipeline, result.draws[0].seed, made, in_words(result.draws[0]))
        if several and any(isinstance(layer, Tracks) for layer in layers.companions):
            self.messages.show_notes(["Tracks are left out of several samples: show one sample to see them moved."])

    def _add_replayed(self, layers: SampleLayers, pipeline: Pipeline, how: str, result: Drawn) -> None:
        where = placed_back if how == "back" else placed
        place = where(layers.source, layers.sample.axes, result.draws[0])
        suffix = "moved back" if how == "back" else "replayed"
        self._add(layers, pipeline, result.samples, place, suffix, result.draws)

    def _add(
        self,
        layers: SampleLayers,
        pipeline: Pipeline,
        samples: Sequence[Sample],
        place: Placement,
        suffix: str,
        draws: Sequence[Draw],
    ) -> None:
        """Add the layers of samples over those that they were made from."""
        record = {"pipeline": pipeline.to_dict(), "draws": [draw.model_dump(mode="json") for draw in draws]}
        above = _uppermost(self.viewer, (layers.source, *layers.companions))
        for layer in result_layers(layers, samples, place, suffix):
            layer.metadata = mark(RESULT, record)
            insert_layer(self.viewer, layer, above=above)
            above = layer

    def _add_field(self, layers: SampleLayers, draw: Draw, how: str, field: Any) -> None:
        axes = layers.sample.axes
        place = placed(layers.source, axes, draw)
        kept = [axes.index(axis) for axis in draw.axes]
        where = place.as_kwargs()
        if len(kept) < layers.source.ndim:
            # Other axes have no displacement: the field holds along them.
            where = {
                "scale": place.scale[kept],
                "translate": place.translate[kept],
                "units": tuple(place.units[index] for index in kept),
                "axis_labels": tuple(place.axis_labels[index] for index in kept),
            }
        name = f"{layers.source.name} displacement"
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

    def _note(self, name: str, pipeline: Pipeline, seed: int, what: str, said: tuple[str, ...] = ()) -> None:
        """List what was made of a layer or of files in the history."""
        past = PastDraw(name, pipeline, self._preset, seed, what, datetime.now(), said)
        history_of(self.viewer).add_draw(past)

    def _on_written(self, name: str, pipeline: Pipeline, seed: int, written: Written) -> None:
        self._note(name, pipeline, seed, f"a data set of {written.training + written.validation} crops")
        self.messages.show_notes(
            [f"Wrote {written.training} crops to train on and {written.validation} for validation to {written.folder}."]
        )


def _uppermost(viewer: ViewerModel, layers: Iterable[napari.layers.Layer]) -> napari.layers.Layer | None:
    """Return the layer that lies over the others, None where all are gone."""
    there = [layer for layer in layers if layer in viewer.layers]
    return max(there, key=viewer.layers.index, default=None)
