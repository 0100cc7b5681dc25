"""The panels that restore an image: one class for denoising, correcting, filling, upscaling and translating."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image, Labels
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QHBoxLayout, QPushButton

from napari_synth import registry
from napari_synth.batches.inputs import Masked
from napari_synth.contract.generator import Generator, Task
from napari_synth.contract.params import Params
from napari_synth.core.errors import MaskError, SynthError
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.recipe import Recipe, Step
from napari_synth.gui.jobs.comparison import Compared, compare
from napari_synth.gui.jobs.files import FilesRequest
from napari_synth.gui.jobs.pace import is_worth_measuring
from napari_synth.gui.jobs.requests import RestoreRequest
from napari_synth.gui.jobs.restore import RunResult, restore
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.keys import PREVIEW, RUN, with_key
from napari_synth.gui.layers.appearance import appearance, result_look
from napari_synth.gui.layers.marks import FILLED, LIGHT, PSF, RESULT, mark
from napari_synth.gui.layers.placement import Placement, result_placement
from napari_synth.gui.layers.viewer_layers import insert_layer, layer_of_levels
from napari_synth.gui.layers.visible_field import VisibleField, visible_field
from napari_synth.gui.panels.layer_panel import WORTH_SAYING, LayerPanel, pixels_of
from napari_synth.gui.remembered import speed_of
from napari_synth.gui.widgets.block_pace import BlockPace
from napari_synth.gui.widgets.comparison_box import ComparisonBox
from napari_synth.gui.widgets.curves_box import CurvesBox
from napari_synth.gui.widgets.files_box import FilesBox, FilesParams
from napari_synth.gui.widgets.form_rows import line
from napari_synth.gui.widgets.hint import Hint
from napari_synth.gui.widgets.mask_picker import MaskPicker
from napari_synth.gui.widgets.reference_picker import PsfPicker, ReferencePicker, TilesPicker
from napari_synth.gui.widgets.region_picker import WHOLE, RegionPicker
from napari_synth.gui.widgets.result_box import Finished
from napari_synth.gui.widgets.run_preview import RunPreview
from napari_synth.gui.widgets.status import duration
from napari_synth.gui.widgets.stop_box import StopBox
from napari_synth.gui.widgets.then_box import ThenBox
from napari_synth.imaging.image import Image as SomeImage
from napari_synth.methods.correct.curves import curves_of

if TYPE_CHECKING:
    import napari
    import napari.layers

_ADDS = "Add a model file of your own: .safetensors, .pth, TorchScript, or a bioimage.io package (zip, or its .yaml)"
_PREVIEW = "Show the result on the visible field and the current slice, again whenever a setting or the view changes"
_RUN = "Work on the image in the background; the result is a new layer beside the source"
_NO_MASK = "Nothing is marked that could be filled: paint it, or choose a rule as the mask."
_WORDS = {
    Task.DENOISE: ("denoised", "Denoising"),
    Task.CORRECT: ("corrected", "Correcting"),
    Task.DECONVOLVE: ("deconvolved", "Deconvolving"),
    Task.SUPER_RESOLUTION: ("upscaled", "Upscaling"),
    Task.INPAINT: ("inpainted", "Inpainting"),
    Task.TRANSLATE: ("translated", "Translating"),
}
"""What is said of a result, and during a run."""
_REFERENCES: dict[Task, Literal["point", "tiles"]] = {Task.DECONVOLVE: "point", Task.CORRECT: "tiles"}
_ANY = SomeImage(np.zeros((2, 2), np.uint8), "YX")
"""What a reference is for where no layer is open."""


class RestorePanel(LayerPanel[Generator[Params], PreparedImage]):
    """The panel of one task that restores images.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    task : Task
    """

    stop_box: StopBox | None = None
    curves_box: CurvesBox | None = None

    def __init__(self, napari_viewer: napari.Viewer, task: Task) -> None:
        super().__init__(napari_viewer, Generator, task, _ADDS)
        self._done, self._doing = _WORDS[task]
        self.mask_picker = MaskPicker(self.viewer, self.source, self._wanted, self) if task == Task.INPAINT else None
        picker = {Task.DECONVOLVE: PsfPicker, Task.CORRECT: TilesPicker}.get(task, ReferencePicker)
        self.reference_picker = picker(self.viewer, self.source, self)
        self.preview_button = QPushButton("Preview", self)
        self.preview_button.setCheckable(True)
        self.preview_hint = Hint(self)
        self.mask_hint = Hint(self)
        self.run_button.setToolTip(with_key(_RUN, RUN))
        self._previewed: tuple[RestoreRequest, PreparedImage] | None = None
        self.preview = RunPreview(self.viewer, self._wanted, self, look=self._look)
        self._attach(self.preview, self.preview_button)
        self.reference_picker.changed.connect(self.preview.request)
        self.reference_picker.changed.connect(self._clear_error)
        if self.mask_picker is not None:
            self._attach(self.mask_picker.preview, self.mask_picker.preview_button, with_progress=False)
            self.mask_picker.changed.connect(self._show_state)
            self.mask_picker.changed.connect(self.preview.request)
            self.mask_picker.changed.connect(self._clear_error)
        self._compared: VisibleField | None = None
        self.then = ThenBox(self)
        self.then.changed.connect(self.preview.request)
        self.then.changed.connect(self._clear_error)
        self.pace = BlockPace(self._to_measure, self)
        self.pace.measured.connect(self._show_estimate)
        self.preview_button.toggled.connect(self.pace.request)
        self.then.changed.connect(self._show_estimate)
        if task == Task.DECONVOLVE:
            self.stop_box = StopBox(self)
        if task == Task.CORRECT:
            self.curves_box = CurvesBox(self)
        self.comparison = ComparisonBox(self.viewer, self)
        self.comparison.wanted.connect(self.compare)
        self.comparison.taken.connect(self.choose_method)
        self._add_method_row()
        self.region = RegionPicker(self.viewer, self.source, self)
        self.region.changed.connect(self.preview.request)
        self.region.changed.connect(self._clear_error)
        self.region.changed.connect(self._show_estimate)
        buttons = QHBoxLayout()
        buttons.addWidget(self.preview_button, 1)
        buttons.addWidget(self.run_button, 2)
        self._lay_out(
            self.source,
            self.summary,
            self.form_place,
            self.then,
            self.settings_row,
            line(self),
            buttons,
            self.estimate,
            self.mask_hint,
            self.preview_hint,
            self.progress,
            self.device,
            self.result,
            self.result_actions,
            self.messages,
            *(box for box in (self.stop_box, self.curves_box) if box is not None),
            self.history,
            self.comparison,
            self.files_box,
        )
        self.viewer.dims.events.ndisplay.connect(self._offer_preview)
        self._on_method()
        self._on_source()
        self._on_theme()
        self._recall()

    def toggle_preview(self) -> None:
        """Switch the preview on or off, where there can be one."""
        self.preview_button.click()

    def run(self) -> None:
        """Run the generator over the chosen layer; its preview goes."""
        if self._job is None:
            self._previewed = self.preview.made
            self.preview_button.setChecked(False)
            if self.mask_picker is not None:
                self.mask_picker.stop()
                self.mask_picker.renew()
        super().run()
        self._previewed = None

    def compare(self) -> None:
        """Run the ticked methods on the visible field, and show what they make beside each other."""
        self.preview_button.setChecked(False)
        layer = self.source.layer
        if layer is None or self._job is not None:
            return
        self._attempt(partial(self._ask_to_compare, layer), "Comparing", partial(self._on_compared, layer))

    def stop(self) -> None:
        """See `Panel.stop`."""
        super().stop()
        self.pace.cancel()
        self.comparison.clear()

    # The time before a run

    def _show_estimate(self) -> None:
        """Say what is known of the time, and have a block measured where nothing is."""
        super()._show_estimate()
        self.pace.request()

    def _to_measure(self) -> tuple[str, RestoreRequest] | None:
        """Return what is to be measured; None where it is known, is not asked for, or would itself take long."""
        layer, device = self.source.layer, self.device.device
        is_idle = self._job is None and not self.preview_button.isChecked() and self.isVisible()
        if layer is None or device is None or not is_idle or self._why_unmeasured() or self.mask_picker is not None:
            return None
        image = self.source.image(layer)
        if speed_of(self._speed_key(), device.title) is not None or not is_worth_measuring(image):
            return None
        return self._pace_key(layer), self._wanted(layer)[1]

    def _why_unmeasured(self) -> str:
        """Return why nothing is measured before a run, "" where it is."""
        steps = (self.method.info.id, *(step.generator for step in self.then.steps))
        methods = [registry.generator(one) for one in steps]
        if any(method.info.trains for method in methods) or self._is_slow:
            return (
                "How long this takes is known after its first run: it learns or computes long before the first pixel."
            )
        if any(method.model is not None for method in methods):
            return "How long this takes is known after its first run: a model of your own is not opened before you ask."
        return ""

    @property
    def _is_slow(self) -> bool:
        """Whether a setting is chosen that takes long."""
        quick = self.method.params_type()
        fields, values = self.method.params_type.settable(), self.form.values()
        extras = {name: field.json_schema_extra for name, field in fields.items()}
        slow = [name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("slow")]
        return any(values.get(name) != getattr(quick, name) for name in slow)

    def _pace_key(self, layer: napari.layers.Image) -> str:
        device = self.device.device
        image = self.source.axes.axes_of(layer)
        return f"{self._speed_key()} {'' if device is None else device.title} {image} {pixels_of(layer)} {layer.dtype}"

    def _words_on_time(self) -> str:
        """See `LayerPanel._words_on_time`; where the method was not run yet, from one block or why there is none."""
        layers, device = self.source.selected, self.device.device
        known = device is not None and speed_of(self._speed_key(), device.title) is not None
        if not layers or device is None or known or self.mask_picker is not None:
            return super()._words_on_time()
        try:
            if not is_worth_measuring(self.source.image(layers[0])):
                return ""
        except SynthError:
            # What is wrong with the layer is said when it is run.
            return ""
        if why := self._why_unmeasured():
            return why
        key = self._pace_key(layers[0])
        if self.pace.took_too_long(key):
            return "A run takes long: one small block of this image alone was not done after 20 s."
        speed = self.pace.speed_of(key)
        if speed is None:
            return ""
        # Most of what is prepared is once for a layer.
        seconds = sum(speed.preparing + speed.computing * pixels_of(layer) / speed.pixels for layer in layers)
        return f"About {duration(seconds)}, as fast as one block of this image was." if seconds >= WORTH_SAYING else ""

    # What is wanted

    def _ask_to_compare(self, layer: napari.layers.Image) -> Work:
        """Return the work of all ticked methods on what is seen of the layer now: the view may be moved meanwhile."""
        base = self._wanted(layer)[1]
        self._compared = visible_field(layer, self.viewer, base.image.axes)
        part = self._compared.region(base.image.axes)
        mask = base.mask
        if mask is not None:
            mask = mask.within(part)
        requests = []
        for identifier in self.comparison.ticked:
            own = identifier == self.method.info.id
            params = base.params if own else {}
            takes = self.methods.named(identifier).info.reference_image != "none"
            image, reference = base.image.select(**part), base.reference if takes else None
            requests.append(RestoreRequest(identifier, image, params, base.settings, mask, reference))
        return partial(compare, requests)

    def _on_compared(self, layer: napari.layers.Image, found: tuple[Compared, ...]) -> None:
        if self._compared is not None and layer in self.viewer.layers:
            self.comparison.show_compared(found, layer, self._look(layer), self._compared)

    def _wanted(self, layer: napari.layers.Image | None = None) -> tuple[napari.layers.Image, RestoreRequest]:
        image = self.source.image(layer)
        # What is shown in the view alone is limited to it already.
        limited = layer is not None or not self.region.follows_view
        layer = layer or self.source.layer
        assert layer is not None
        params = self.form.params().model_dump()
        mask = self.mask_picker.request(layer, image) if self.mask_picker is not None else None
        reference = self.reference_picker.image(image)
        region = self.region.request(layer, image) if limited else None
        settings, then = self._settings(), self.then.steps
        return layer, RestoreRequest(self.method.info.id, image, params, settings, mask, reference, region, then)

    def _steps_behind(self) -> tuple[Step, ...]:
        """See `LayerPanel._steps_behind`."""
        return self.then.steps

    @property
    def _is_whole(self) -> bool:
        return self.region.chosen == WHOLE

    def _ask_for_files(self, recipe: Recipe, box: FilesBox[FilesParams]) -> FilesRequest:
        layer = self.source.layer
        image = None if layer is None else self.source.image(layer)
        how, axes = box.how, None if image is None else image.axes
        request = FilesRequest(
            recipe.model_copy(update={"axes": axes, "region": self.region.record(layer, image)}),
            box.images.files,
            box.target,
            how.workers,
            how.together,
            how.overwrite,
            self._settings().memory_budget,
            reference=self.reference_picker.image(image or _ANY),
            reference_kind=_REFERENCES.get(self.task, "image"),
        )
        if self.mask_picker is None:
            return request
        if box.masks.files:
            masked = Masked(box.masks.files[0], grow=self.mask_picker.grow.value() or None)
            return replace(request, masked=masked)
        if self.mask_picker.rule is not None:
            masked = Masked(mask_from=self.mask_picker.rule, grow=self.mask_picker.grow.value() or None)
            return replace(request, masked=masked)
        if layer is None or image is None or self.mask_picker.is_missing:
            raise MaskError("Nothing says what is to be filled: name a folder of masks, or choose a rule as the mask.")
        return replace(request, mask=self.mask_picker.request(layer, image))

    def _take_more(self, recipe: Recipe) -> tuple[str, ...]:
        """Choose the region and the rule of the mask."""
        said = []
        self.region.take(recipe.region)
        if recipe.region is not None and recipe.region.is_drawn:
            said.append("Its region was drawn: choose the layer of the region.")
        if self.mask_picker is not None and recipe.mask is not None:
            self.mask_picker.grow.setValue(recipe.mask.grow)
            if recipe.mask.rule is not None:
                self.mask_picker.choose(recipe.mask.rule)
            else:
                said.append("Its mask was drawn: choose the layer of the mask.")
        first, *behind = recipe.steps
        said += self.then.set_steps(behind)
        if first.reference is not None:
            said.append("It had a reference image: choose the reference.")
        return tuple(said)

    def _ask(self, layer: napari.layers.Image) -> Work:
        request = self._wanted(layer)[1]
        # What a preview has measured need not be measured again.
        is_same = self._previewed is not None and self._previewed[0].is_like(request)
        return partial(restore, request, before=self._previewed[1] if self._previewed and is_same else None)

    # What changes

    def _on_method(self) -> None:
        super()._on_method()
        self.reference_picker.offer(self.method.info.reference_image)
        self.form.changed.connect(self.preview.request)
        self.preview.request()

    def _on_source(self) -> None:
        super()._on_source()
        self.then.offer_for(self.source.roles or "")
        self.comparison.list_methods(self.methods.possible())
        self.preview.request()

    def _on_theme(self, _event: object = None) -> None:
        super()._on_theme()
        theme = get_theme(self.viewer.theme)
        for box in (self.stop_box, self.curves_box):
            if box is not None:
                box.set_theme(theme.text.as_hex(), theme.background.as_hex())

    def _show_said(self, finished: Finished[PreparedImage] | None) -> None:
        """Show what is known of the chosen result: where a deconvolution stopped and with which PSF, what a correction found."""
        super()._show_said(finished)
        if self.stop_box is not None:
            fitted = () if finished is None else finished.recipe.params.get("fitted") or ()
            run = None if finished is None else finished.prepared
            psf = None if run is None else getattr(run.channels[0].prepared, "psf", None)
            self.stop_box.show_run(fitted, None if psf is None else psf.pixels)
        if self.curves_box is not None:
            found = None if finished is None else curves_of(finished.recipe.generator, finished.recipe.params)
            self.curves_box.show_run(found, "" if finished is None else finished.result.name)

    def _offer_preview(self, _event: object = None) -> None:
        """Enable the preview, or say why there can be none and how there will be one."""
        there = self.source.layer is not None
        self._offer_preview_on(
            self.preview_button, self.preview_hint, with_key(_PREVIEW, PREVIEW), there=there and not self._lacks_mask
        )
        if self.mask_picker is not None:
            self.mask_hint.say(_NO_MASK if there and self._lacks_mask else "", "Draw", self.mask_picker.add_layer)

    @property
    def _lacks_mask(self) -> bool:
        return self.mask_picker is not None and self.mask_picker.is_missing

    def _show_state(self) -> None:
        """Say before the click where nothing is marked to be filled."""
        super()._show_state()
        if self._lacks_mask:
            self.run_button.setEnabled(False)
        self.run_button.setToolTip(_NO_MASK if self._lacks_mask else with_key(_RUN, RUN))
        self.comparison.set_busy(self._job is not None or self.source.layer is None)
        self._offer_preview()

    # The result

    def _look(self, source: napari.layers.Image) -> dict[str, Any]:
        """Return how a result is shown: as its source, but with the contrast limits of what it should look like."""
        deconvolves = any(step.generator.startswith(f"{Task.DECONVOLVE}/") for step in self.then.steps)
        if self.task == Task.DECONVOLVE or deconvolves:
            # Light that was spread is put back together: points become brighter than they were.
            return {name: value for name, value in appearance(source).items() if name != "contrast_limits"}
        reference = None if self.task == Task.CORRECT else self.reference_picker.layer
        limits = (
            {} if reference is None or source.rgb or reference.rgb else {"contrast_limits": reference.contrast_limits}
        )
        return appearance(source) | limits

    def _described(
        self, source: napari.layers.Image, place: Placement, run: PreparedImage
    ) -> tuple[str, dict[str, Any], Placement, dict[str, Any]]:
        invents = run.method.info.invents
        steps = [Task(step.generator.split("/")[0]) for step in run.recipe.steps]
        done = ", ".join(dict.fromkeys(_WORDS[task][0] for task in steps))
        name = f"{source.name} {done}{' (synthetic)' if invents else ''}"
        metadata = mark(RESULT, run.recipe.model_dump(mode="json"), synthetic=invents)
        return name, metadata, result_placement(place, run), result_look(self._look(source), run)

    def _add_more(self, result: RunResult[PreparedImage], finished: Finished[PreparedImage]) -> str:
        """Add which pixels are invented, hidden since they would cover what was put there, and say so."""
        run = result.prepared
        every = (*run.before, run)
        said = " ".join(filter(None, (add(one, finished) for one in every for add in (self._add_psf, self._add_light))))
        if said:
            return said
        if self.mask_picker is None or not result.filled:
            return ""
        assert finished.source is not None
        self.mask_picker.uncover()
        name = f"{finished.source.name} filled pixels"
        metadata = mark(FILLED, of=str(finished.result.unique_id))
        layer = layer_of_levels(Labels, result.filled, name, metadata, finished.placement, visible=False)
        insert_layer(self.viewer, layer, finished.result)
        return f"The pixels that were filled are in {layer.name!r}."

    def _add_psf(self, run: PreparedImage, finished: Finished[PreparedImage]) -> str:
        """Add the point spread function that was used, hidden, and say so."""
        psf = getattr(run.channels[0].prepared, "psf", None)
        if psf is None or finished.source is None:
            return ""
        placed = _placed(run, finished.source, "ZYX"[-psf.pixels.ndim :])
        name = f"{finished.source.name} PSF"
        layer = Image(psf.pixels, name=name, visible=False, metadata=mark(PSF), **placed)
        insert_layer(self.viewer, layer, finished.result)
        return f"The point spread function is in {layer.name!r}."

    def _add_light(self, run: PreparedImage, finished: Finished[PreparedImage]) -> str:
        """Add the fields of light that were taken out, hidden, and say so."""
        source = finished.source
        learnt = [getattr(one.prepared, "learnt", None) for one in run.channels]
        if not learnt[0] or source is None:
            return ""
        named = []
        for what, (axes, pixels) in learnt[0].items():
            if len(learnt) > 1:
                # Channels have each their own, and lie in the order of the sliders then.
                pixels, axes = np.stack([one[what][1] for one in learnt if one]), "C" + axes
            placed = _placed(run, source, axes) if set(axes) <= set(run.source.axes) else {}
            layer = Image(pixels, name=f"{source.name} {what}", visible=False, metadata=mark(LIGHT), **placed)
            insert_layer(self.viewer, layer, finished.result)
            named.append(repr(layer.name))
        return f"The light that was learnt is in {' and '.join(named)}."


def _placed(run: PreparedImage, source: napari.layers.Image, axes: str) -> dict[str, Any]:
    """Return the place of a layer along some axes of a source; with other units, napari would show none for any layer."""
    known = run.source.axes.replace("S", "")
    at = [known.index(axis) for axis in axes]
    return {name: [getattr(source, name)[i] for i in at] for name in ("scale", "units", "axis_labels")}


class DenoisePanel(RestorePanel):
    """The panel for denoising, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.DENOISE)


class CorrectPanel(RestorePanel):
    """The panel for light, background, bleaching and stripes, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.CORRECT)


class DeconvolvePanel(RestorePanel):
    """The panel for deconvolution, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.DECONVOLVE)


class InpaintPanel(RestorePanel):
    """The panel for inpainting, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.INPAINT)


class UpscalePanel(RestorePanel):
    """The panel for super-resolution, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.SUPER_RESOLUTION)


class TranslatePanel(RestorePanel):
    """The panel for translating stains, modalities and textures, as napari's menu opens it."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, Task.TRANSLATE)
