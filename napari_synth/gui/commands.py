"""What the manifest names: neither Qt nor napari nor torch is loaded before it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_synth.gui.panel import DenoisePanel

__all__ = ["DenoisePanel", "denoise_active_layer"]


def __getattr__(name: str) -> Any:
    """Load a panel's class when napari opens it."""
    if name == "DenoisePanel":
        from napari_synth.gui import panel

        return panel.DenoisePanel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def denoise_active_layer() -> None:
    """Open the panel (or take the open one) and denoise the active layer with the default generator.

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
        show_warning("No layer is selected: select an image layer in the layer list, then denoise it.")
        return
    if not is_source(layer):
        show_warning(f"{layer.name!r} is a {type(layer).__name__} layer: select an Image layer to denoise it.")
        return
    _, panel = viewer.window.add_plugin_dock_widget("napari-synth", "Denoise")
    panel.show_and_run(layer)
