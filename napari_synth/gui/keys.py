"""Keys of the panels: bound to the viewer, they go to the panel that was used last, and collide with none of napari's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from qtpy.QtGui import QKeySequence

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_synth.gui.panels.base import Panel

RUN, PREVIEW, SOURCE, NEXT, REPEAT = (
    "Control-Alt-R",
    "Control-Alt-P",
    "Control-Alt-S",
    "Control-Alt-N",
    "Control-Alt-A",
)
"""Run, preview, show the source while it is held, choose the next result, and the last settings on the selected layers."""

_uses = count(1)
_last_use: WeakKeyDictionary[Panel, int] = WeakKeyDictionary()
_bound: WeakSet[ViewerModel] = WeakSet()


def attend(panel: Panel) -> None:
    """Bind the keys to the viewer of a panel, which is the one that was used last now."""
    if panel.viewer not in _bound:
        _bound.add(panel.viewer)
        for key, function in _FUNCTIONS.items():
            panel.viewer.bind_key(key, function, overwrite=True)
    note_use(panel)


def note_use(panel: Panel) -> None:
    """Make a panel the one that was used last."""
    _last_use[panel] = next(_uses)


def last_used(viewer: ViewerModel) -> Any:
    """Return the panel of a viewer that was used last and is still open, None where there is none."""
    open_ones = [panel for panel in _last_use if panel.viewer is viewer and not panel.is_closed]
    return max(open_ones, key=_last_use.__getitem__, default=None)


def with_key(tooltip: str, key: str) -> str:
    """Return a tooltip with a key as this system writes it."""
    native = QKeySequence(key.replace("Control", "Ctrl").replace("-", "+")).toString(
        QKeySequence.SequenceFormat.NativeText
    )
    return f"{tooltip} ({native})"


def run_last_used(viewer: ViewerModel) -> None:
    """Run the method of the panel that was used last."""
    _call(viewer, "press_main_button")


def preview_last_used(viewer: ViewerModel) -> None:
    """Switch the preview of the panel that was used last on or off."""
    _call(viewer, "toggle_preview")


def choose_next_result(viewer: ViewerModel) -> None:
    """Choose the next result in the panel that was used last."""
    _call(viewer, "choose_next_result")


def repeat_last_run(viewer: ViewerModel) -> None:
    """Run the settings of the last run on the layers that are selected now."""
    _call(viewer, "repeat_last")


def show_source_while_held(viewer: ViewerModel) -> Generator[None]:
    """Show the source of the chosen result as long as the key is down."""
    panel = last_used(viewer)
    result = getattr(panel, "result", None)
    if result is None or not hasattr(result, "hold_source"):
        yield
        return
    result.hold_source(True)
    yield
    result.hold_source(False)


def _call(viewer: ViewerModel, name: str) -> None:
    """Call something of the panel that was used last; say what to do where there is none, or where it cannot be done there."""
    from napari.utils.notifications import show_info

    panel = last_used(viewer)
    if panel is None:
        show_info("Open a panel of napari-synth first: it is in the menu Plugins.")
        return
    function: Callable[[], object] | None = getattr(panel, name, None)
    if function is None:
        show_info(f"The panel that was used last, {type(panel).__name__.removesuffix('Panel')}, cannot do this.")
        return
    function()


_FUNCTIONS: dict[str, Callable[[ViewerModel], Any]] = {
    RUN: run_last_used,
    PREVIEW: preview_last_used,
    SOURCE: show_source_while_held,
    NEXT: choose_next_result,
    REPEAT: repeat_last_run,
}
