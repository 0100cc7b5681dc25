"""The panel: one class for every task. It shows, asks and places; what computes runs in a `Job`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.layers import Labels as LabelsLayer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_synth.contract.generator import Generator, Task
from napari_synth.contract.params import Params
from napari_synth.core.errors import SynthError
from napari_synth.gui.judging import removed_signal, trust_map
from napari_synth.gui.layers import (
    CONFIDENCE,
    DERIVED,
    FILLED,
    METADATA_KEY,
    REMOVED,
    RESULT,
    TRUST,
    TRUST_LIMIT,
    Placement,
    appearance,
    fresh_name,
    mark,
    trust_colormap,
)
from napari_synth.gui.mask_picker import MaskPicker
from napari_synth.gui.placing import insert_layer
from napari_synth.gui.preview import Preview
from napari_synth.gui.reference_picker import ReferencePicker
from napari_synth.gui.result_layers import result_look, result_placement
from napari_synth.gui.results import Finished, ResultBox
from napari_synth.gui.rows import label, line, put_in_scroll_area
from napari_synth.gui.runs import Outcome, Request, confidence, restore
from napari_synth.gui.settings import read_settings
from napari_synth.gui.source import SourcePicker
from napari_synth.gui.work_panel import MethodPanel

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_synth.engine.image_run import PreparedImage


_ADDS = "Add a model file of your own: .safetensors, .pth, TorchScript, or a bioimage.io package (zip, or its .yaml)"
_DONE = {
    Task.DENOISE: "denoised",
    Task.SUPER_RESOLUTION: "upscaled",
    Task.INPAINT: "inpainted",
    Task.TRANSLATE: "translated",
    Task.SYNTHESIZE: "synthesized",
    Task.PREDICT_FRAMES: "predicted",
    Task.AUGMENT: "augmented",
}
_DOING = {
    Task.DENOISE: "Denoising",
    Task.SUPER_RESOLUTION: "Upscaling",
    Task.INPAINT: "Inpainting",
    Task.TRANSLATE: "Translating",
    Task.SYNTHESIZE: "Synthesizing",
    Task.PREDICT_FRAMES: "Predicting",
    Task.AUGMENT: "Augmenting",
}


class TaskPanel(MethodPanel[Generator[Params]]):
    """The panel of one task.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    task : Task
    """

    def __init__(self, napari_viewer: napari.Viewer, task: Task) -> None:
        super().__init__(napari_viewer, Generator, task, _ADDS)
        self._running: tuple[napari.layers.Image, Placement, Request] | None = None

        self.source = SourcePicker(self.viewer, self)
        self.mask_picker = MaskPicker(self.viewer, self.source, self._wanted, self) if task == Task.INPAINT else None
        self.reference_picker = ReferencePicker(self.viewer, self.source, self)
        self.preview_button = QPushButton("Preview", self)
        self.preview_button.setCheckable(True)
        self.preview_button.setToolTip(
            "Show the result on the visible field and the current slice, again whenever a setting or the view changes"
        )
        self.run_button.setToolTip(
            "Work on the whole image in the background; the result is a new layer beside the source"
        )
        self.result: ResultBox[PreparedImage] = ResultBox(self.viewer, self)
        self.preview = Preview(self.viewer, self._wanted, self, look=self._look)
        self._lay_out()
        self._connect()
        self._on_method()
        self._on_source()
        self._on_theme()

    # What the user does

    def run(self) -> None:
        """Run the generator over the chosen layer."""
        if self._job is not None:
            return
        self.preview_button.setChecked(False)
        self._clear()
        if self.mask_picker is not None:
            self.mask_picker.stop()
            self.mask_picker.renew()
        try:
            layer, request = self._wanted()
        except SynthError as error:
            self._on_failed(error)
            return
        self._running = (layer, Placement.of(layer), request)
        self._start(partial(restore, request), _DOING[self.task], self._on_restored)

    def show_and_run(self, layer: napari.layers.Image, generator: str | None = None, **params: Any) -> None:
        """Choose a layer, and a generator by its id where one is given, and run with what is set but for ``params``."""
        if self._job is not None:
            self.messages.show_error("The panel is at work: wait until it is done or cancel it, then do this again.")
            return
        self.source.choose(layer)
        if generator is not None:
            if refusal := self.methods.refusal(generator):
                self.messages.show_error(refusal)
                return
            self.methods.choose(generator)
        self.form.set_values(params)
        self.run()

    def show_for(self, layer: napari.layers.Image) -> None:
        """Choose a layer; what else is needed the user has to say."""
        self.source.choose(layer)

    def cancel(self) -> None:
        """Stop whatever is computed."""
        super().cancel()
        self.preview.cancel()

    def stop(self) -> None:
        """Cancel everything and take the preview away; the panel was closed."""
        super().stop()
        self.preview_button.setChecked(False)
        if self.mask_picker is not None:
            self.mask_picker.stop()
        self.result.reset_comparison()

    # Layout

    def _lay_out(self) -> None:
        inner = QWidget(self)
        self.source.rows.addRow(label("Method", self.methods), self.method_row)
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        layout.addWidget(self.source)
        layout.addWidget(self.summary)
        layout.addLayout(self.form_place)
        layout.addWidget(line(self))
        buttons = QHBoxLayout()
        buttons.addWidget(self.preview_button, 1)
        buttons.addWidget(self.run_button, 2)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.device)
        layout.addWidget(self.result)
        layout.addWidget(self.messages)
        layout.addStretch(1)
        put_in_scroll_area(inner, self)

    def _connect(self) -> None:
        self.source.changed.connect(self._on_source)
        self.preview_button.toggled.connect(self._on_preview)
        self.result.removed_wanted.connect(self._add_removed)
        self.result.trust_wanted.connect(self._add_trust)
        self.result.confidence_wanted.connect(self._add_confidence)
        self.preview.began.connect(self._on_preview_began)
        self.preview.progressed.connect(self.progress.show_progress)
        self.preview.updated.connect(self._on_preview_updated)
        self.preview.failed.connect(self._on_failed)
        self.preview.ended.connect(self._on_preview_ended)
        self.preview.switched_off.connect(self._on_preview_off)
        if self.mask_picker is not None:
            self.mask_picker.changed.connect(self.preview.request)
            self.mask_picker.preview.began.connect(self._on_mask_began)
            self.mask_picker.preview.updated.connect(self._on_preview_updated)
            self.mask_picker.preview.failed.connect(self._on_failed)
        self.reference_picker.changed.connect(self.preview.request)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)

    # What changes

    @property
    def generator(self) -> Generator[Params]:
        """The chosen generator."""
        return self.method

    def _wanted(self) -> tuple[napari.layers.Image, Request]:
        image = self.source.image()
        layer = self.source.layer
        if layer is None:
            raise AssertionError
        params = self.form.params().model_dump()
        mask = self.mask_picker.request(layer, image) if self.mask_picker is not None else None
        reference = self.reference_picker.image(image)
        return layer, Request(self.generator.info.id, image, params, read_settings(), mask, reference)

    def _look(self, source: napari.layers.Image) -> dict[str, Any]:
        """Return how a result is shown: as its source, but with the contrast limits of what it should look like."""
        reference = self.reference_picker.layer
        limits = (
            {} if reference is None or source.rgb or reference.rgb else {"contrast_limits": reference.contrast_limits}
        )
        return appearance(source) | limits

    def _on_method(self) -> None:
        super()._on_method()
        self.reference_picker.offer(self.generator.info.reference_image)
        self.form.changed.connect(self.preview.request)
        self.preview.request()

    def _on_source(self) -> None:
        there = self.source.layer is not None
        if roles := self.source.roles:
            self.methods.offer_for(roles)
        self.preview_button.setEnabled(there)
        self._show_state()
        if not there:
            self.preview_button.setChecked(False)
        self.preview.request()

    def _on_preview(self, on: bool) -> None:
        self.messages.show_error("")
        self.preview.switch(on)
        if not on:
            self._on_preview_ended()

    def _on_preview_began(self) -> None:
        self.messages.show_error("")
        self.progress.begin("Preview")

    def _on_mask_began(self) -> None:
        self.messages.show_error("")

    def _on_preview_updated(self, sentences: tuple[str, ...]) -> None:
        self.messages.show_notes(sentences)

    def _on_preview_ended(self) -> None:
        if self._job is None:
            self.progress.end()

    def _on_preview_off(self) -> None:
        self.preview_button.setChecked(False)

    def _on_layer_removed(self, _event: object = None) -> None:
        """Release what a run holds in memory once its result is gone."""
        finished = self.result.finished
        if finished is not None and finished.result not in self.viewer.layers:
            self.result.show_run(None)

    # The worker

    def _show_state(self) -> None:
        self.run_button.setEnabled(self.source.layer is not None and self._job is None)
        self.result.set_busy(self._job is not None)

    def _on_finished(self) -> None:
        self._running = None
        super()._on_finished()

    def _on_restored(self, outcome: Outcome) -> None:
        if self._running is None:
            return
        source, placement, request = self._running
        if source.ndim == len(placement.scale):
            placement = Placement.of(source)
        prepared = outcome.prepared
        info = prepared.method.info
        synthetic = " (synthetic)" if info.invents else ""
        placement = result_placement(placement, prepared)
        result = self._add(
            outcome.levels,
            f"{source.name} {_DONE[self.task]}{synthetic}",
            mark(RESULT, prepared.recipe.model_dump(mode="json"), synthetic=info.invents),
            placement,
            source,
            **result_look(self._look(source), prepared),
        )
        if source.blending == "additive":
            source.visible = False
        filled = self._add_filled(outcome.filled, source, placement, result)
        self.result.show_run(Finished(prepared, source, result, request.image, outcome.pixels, placement))
        self.device.show_device(prepared.device)
        stored = f"The result is larger than the memory budget: it is in {outcome.path}." if outcome.path else ""
        self.messages.show_notes([stored, *outcome.verdict, *prepared.notes, filled])

    def _add(
        self,
        levels: tuple[Any, ...],
        name: str,
        metadata: dict[str, Any],
        placement: Placement,
        above: napari.layers.Layer,
        **kwargs: Any,
    ) -> napari.layers.Image:
        if metadata[METADATA_KEY]["kind"] in DERIVED:
            self.result.uncover()
        pyramid = len(levels) > 1
        layer = ImageLayer(
            levels if pyramid else levels[0],
            name=fresh_name(name, (other.name for other in self.viewer.layers)),
            metadata=metadata,
            **placement.as_kwargs(),
            **(kwargs | {"multiscale": pyramid}),
        )
        insert_layer(self.viewer, layer, above)
        return layer

    def _add_filled(
        self, levels: tuple[Any, ...], source: napari.layers.Image, placement: Placement, above: napari.layers.Layer
    ) -> str:
        """Add which pixels are invented, hidden since they would cover what was put there, and say so."""
        if self.mask_picker is None or not levels:
            return ""
        self.mask_picker.uncover()
        pyramid = len(levels) > 1
        layer = LabelsLayer(
            levels if pyramid else levels[0],
            name=fresh_name(f"{source.name} filled pixels", (other.name for other in self.viewer.layers)),
            metadata=mark(FILLED),
            multiscale=pyramid,
            visible=False,
            **placement.as_kwargs(),
        )
        insert_layer(self.viewer, layer, above)
        return f"The pixels that were filled are in {layer.name!r}."

    # After a run

    def _add_removed(self) -> None:
        finished = self.result.finished
        if finished is None or self._job is not None:
            return
        work = partial(removed_signal, finished.image, finished.pixels, read_settings())
        self._start(work, "Subtracting", self._on_removed)

    def _on_removed(self, result: tuple[tuple[Any, ...], float]) -> None:
        finished = self.result.finished
        if finished is None:
            return
        levels, limit = result
        self._add(
            levels,
            f"{finished.source.name} removed signal",
            mark(REMOVED),
            finished.placement,
            finished.result,
            rgb=False,
            colormap="gray",
            contrast_limits=(-limit, limit),
        )

    def _add_trust(self) -> None:
        finished = self.result.finished
        if finished is None or self._job is not None:
            return
        work = partial(trust_map, finished.prepared, finished.pixels, read_settings())
        self._start(work, "Comparing with the noise", self._on_trust)

    def _on_trust(self, levels: tuple[Any, ...]) -> None:
        finished = self.result.finished
        if finished is None:
            return
        self._add(
            levels,
            f"{finished.source.name} trust",
            mark(TRUST),
            finished.placement,
            finished.result,
            rgb=False,
            colormap=trust_colormap(),
            contrast_limits=(-TRUST_LIMIT, TRUST_LIMIT),
        )

    def _add_confidence(self) -> None:
        finished = self.result.finished
        if finished is None or self._job is not None:
            return
        self._start(
            partial(confidence, finished.prepared, read_settings()), "Computing the confidence", self._on_confidence
        )

    def _on_confidence(self, outcome: Outcome) -> None:
        finished = self.result.finished
        if finished is None:
            return
        self._add(
            outcome.levels,
            f"{finished.source.name} confidence",
            mark(CONFIDENCE),
            finished.placement,
            finished.result,
            rgb=False,
            colormap="inferno",
            contrast_limits=(0.0, outcome.limit),
        )
        if outcome.verdict:
            self.messages.show_notes(outcome.verdict)


class DenoisePanel(TaskPanel):
    """The panel for denoising, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.DENOISE)


class InpaintPanel(TaskPanel):
    """The panel for inpainting, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.INPAINT)


class UpscalePanel(TaskPanel):
    """The panel for super-resolution, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.SUPER_RESOLUTION)


class TranslatePanel(TaskPanel):
    """The panel for translating stains, modalities and textures, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.TRANSLATE)
