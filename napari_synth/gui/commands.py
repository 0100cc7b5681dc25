"""What the manifest names: neither Qt nor napari nor torch is loaded before it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_synth.gui.panel import DenoisePanel, UpscalePanel

__all__ = [
    "DenoisePanel",
    "UpscalePanel",
    "denoise_active_layer",
    "make_active_layer_isotropic",
    "upscale_active_layer",
]


def __getattr__(name: str) -> Any:
    """Load a panel's class when napari opens it."""
    if name in ("DenoisePanel", "UpscalePanel"):
        from napari_synth.gui import panel

        return getattr(panel, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def denoise_active_layer() -> None:
    """Denoise the active layer with the default generator."""
    _run_on_active_layer("Denoise")


def upscale_active_layer() -> None:
    """Make the active layer finer with the default generator."""
    _run_on_active_layer("Upscale")


def make_active_layer_isotropic() -> None:
    """Restore the planes between the planes of the active layer."""
    _run_on_active_layer("Upscale", "super-resolution/isotropic")


def _run_on_active_layer(panel: str, generator: str | None = None) -> None:
    """Open a panel (or take the open one) and run it on the active layer.

    napari would hand over any active layer, and nothing where there is none: the type is checked here, and said plainly.
    """
    import napari
    from napari.utils.notifications import show_warning

    from napari_synth.gui.layers import is_source

    viewer = napari.current_viewer()
    if viewer is None:
        return
    layer = viewer.layers.selection.active
    if layer is None:
        show_warning("No layer is selected: select an image layer in the layer list, then do this again.")
        return
    if not is_source(layer):
        show_warning(f"{layer.name!r} is a {type(layer).__name__} layer: select an Image layer, then do this again.")
        return
    _, widget = viewer.window.add_plugin_dock_widget("napari-synth", panel)
    widget.show_and_run(layer, generator)
