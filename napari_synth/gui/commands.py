"""What the manifest names: neither Qt nor napari nor torch is loaded before it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_synth.gui.panels.augment import AugmentPanel
    from napari_synth.gui.panels.curate import CuratePanel
    from napari_synth.gui.panels.frames import PredictFramesPanel
    from napari_synth.gui.panels.restore import (
        CorrectPanel,
        DeconvolvePanel,
        DenoisePanel,
        InpaintPanel,
        TranslatePanel,
        UpscalePanel,
    )
    from napari_synth.gui.panels.synthesize import SynthesizePanel
    from napari_synth.gui.panels.train import TrainPanel

__all__ = [
    "AugmentPanel",
    "CorrectPanel",
    "CuratePanel",
    "DeconvolvePanel",
    "DenoisePanel",
    "InpaintPanel",
    "PredictFramesPanel",
    "SynthesizePanel",
    "TrainPanel",
    "TranslatePanel",
    "UpscalePanel",
    "choose_next_result",
    "correct_active_layer",
    "deconvolve_active_layer",
    "denoise_active_layer",
    "inpaint_active_layer",
    "make_active_layer_isotropic",
    "preview_last_used",
    "repeat_last_run",
    "run_last_used",
    "translate_active_layer",
    "upscale_active_layer",
]


_PANELS = {
    "AugmentPanel": "napari_synth.gui.panels.augment",
    "CorrectPanel": "napari_synth.gui.panels.restore",
    "CuratePanel": "napari_synth.gui.panels.curate",
    "DeconvolvePanel": "napari_synth.gui.panels.restore",
    "DenoisePanel": "napari_synth.gui.panels.restore",
    "InpaintPanel": "napari_synth.gui.panels.restore",
    "PredictFramesPanel": "napari_synth.gui.panels.frames",
    "SynthesizePanel": "napari_synth.gui.panels.synthesize",
    "TrainPanel": "napari_synth.gui.panels.train",
    "TranslatePanel": "napari_synth.gui.panels.restore",
    "UpscalePanel": "napari_synth.gui.panels.restore",
}


def __getattr__(name: str) -> Any:
    """Load a panel's class when napari opens it."""
    if name in _PANELS:
        return getattr(import_module(_PANELS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def denoise_active_layer() -> None:
    """Denoise the active layer with the default generator."""
    _run_on_active_layer("Denoise")


def correct_active_layer() -> None:
    """Open the panel for the active layer: what is wrong with its light has to be said first."""
    _show_active_layer("Correct")


def deconvolve_active_layer() -> None:
    """Open the panel for the active layer: what its point spread function is has to be said first."""
    _show_active_layer("Deconvolve")


def upscale_active_layer() -> None:
    """Make the active layer twice as fine with the default generator, whatever the panel was last used for."""
    _run_on_active_layer("Upscale", "super-resolution/network", factor=2.0)


def inpaint_active_layer() -> None:
    """Open the panel for the active layer: what is to be filled has to be drawn or chosen first."""
    _show_active_layer("Inpaint")


def translate_active_layer() -> None:
    """Open the panel for the active layer: what it should look like has to be chosen first."""
    _show_active_layer("Translate")


def make_active_layer_isotropic() -> None:
    """Restore the planes between the planes of the active layer."""
    _run_on_active_layer("Upscale", "super-resolution/isotropic")


def run_last_used() -> None:
    """Run the panel that was used last."""
    _by_key("run_last_used")


def preview_last_used() -> None:
    """Switch the preview of the panel that was used last on or off."""
    _by_key("preview_last_used")


def choose_next_result() -> None:
    """Choose the next result in the panel that was used last."""
    _by_key("choose_next_result")


def repeat_last_run() -> None:
    """Run the last settings of the panel that was used last on the layers that are selected now."""
    _by_key("repeat_last_run")


def _by_key(name: str) -> None:
    """Do what a key does in the current viewer."""
    import napari

    from napari_synth.gui import keys

    viewer = napari.current_viewer()
    if viewer is not None:
        getattr(keys, name)(getattr(viewer, "__wrapped__", viewer))


def _show_active_layer(panel: str) -> None:
    """Open a panel (or take the open one) and choose the active layer in it."""
    opened = _open_for_active_layer(panel)
    if opened is not None:
        widget, layer = opened
        widget.show_for(layer)


def _run_on_active_layer(panel: str, generator: str | None = None, **params: Any) -> None:
    """Open a panel (or take the open one) and run it on the active layer."""
    opened = _open_for_active_layer(panel)
    if opened is not None:
        widget, layer = opened
        widget.show_and_run(layer, generator, **params)


def _open_for_active_layer(panel: str) -> tuple[Any, Any] | None:
    """Open a panel (or take the open one) and return it with the active layer; None where that is no image.

    napari would hand over any active layer, and nothing where there is none: the type is checked here, and said plainly.
    """
    import napari
    from napari.utils.notifications import show_warning

    from napari_synth.gui.layers.marks import is_source

    viewer = napari.current_viewer()
    if viewer is None:
        return None
    layer = viewer.layers.selection.active
    if layer is None:
        show_warning("No layer is selected: select an image layer in the layer list, then do this again.")
        return None
    if not is_source(layer):
        show_warning(f"{layer.name!r} is a {type(layer).__name__} layer: select an Image layer, then do this again.")
        return None
    _, widget = viewer.window.add_plugin_dock_widget("napari-synth", panel)
    return widget, layer
