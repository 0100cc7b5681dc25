"""Shows the main job on a sample image: in napari where there is a screen, else as pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from rich.console import Console

from napari_synth import samples
from napari_synth.core.errors import GeneratorError, SynthError, UnknownGeneratorError
from napari_synth.pictures import STRIPS

_PATIENCE_MS = 300_000
_WINDOW = (1400, 850)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    app = App(name="napari-synth-demo", help=__doc__, help_format="plaintext")
    app.default(_demo)
    return int(app(sys.argv[1:] if arguments is None else list(arguments), result_action="return_value") or 0)


def _demo(
    *,
    sample: Annotated[str, Parameter(help=f"For napari: one of {', '.join(samples.SAMPLES)}.")] = "actin",
    task: Annotated[str, Parameter(help=f"For the picture: one of {', '.join(STRIPS)}.")] = "denoise",
    screenshot: Annotated[Path | None, Parameter(help="Save a picture of napari's window here, and close it.")] = None,
    picture: Annotated[Path | None, Parameter(help="Save a sample before and after here, without napari.")] = None,
) -> int:
    console = Console()
    try:
        if picture is not None:
            if task not in STRIPS:
                raise UnknownGeneratorError(f"There is no picture of {task!r}: choose one of {', '.join(STRIPS)}.")
            strip = STRIPS[task]()
            strip.write(picture)
            console.print(f"{strip.said()}: {picture}", markup=False, soft_wrap=True)
        if screenshot is not None or picture is None:
            show_in_napari(sample, screenshot)
    except SynthError as error:
        console.print(f"napari-synth: {error}", markup=False, soft_wrap=True)
        return 2
    if screenshot is not None:
        console.print(f"napari's window: {screenshot}", markup=False, soft_wrap=True)
    return 0


def show_in_napari(sample: str, screenshot: Path | None = None) -> None:
    """Open a sample in napari with the panel, denoise it, and show both side by side.

    Parameters
    ----------
    sample : str
        A key of `napari_synth.samples.SAMPLES`.
    screenshot : pathlib.Path, optional
        Where to save a picture of the window once the result is there; the window is then closed.

    Raises
    ------
    GeneratorError
        A picture was asked for, and no result came within five minutes.
    """
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(title="napari-synth: what the noise was hiding")
    viewer.window.resize(*_WINDOW)
    (source,) = viewer.open_sample("napari-synth", sample)
    if not source.rgb:
        # A few bright pixels would leave the rest in the dark.
        source.contrast_limits = np.percentile(source.data, [0.5, 99.8])
    _, panel = viewer.window.add_plugin_dock_widget("napari-synth", "Denoise")
    finished: list[bool] = []

    def on_layer(event: Any) -> None:
        if "napari_synth" not in event.value.metadata:
            return
        viewer.layers.events.inserted.disconnect(on_layer)
        viewer.grid.enabled = True
        viewer.reset_view()
        if screenshot is not None:
            # The panel fills in its verdict after the layer is there, and the canvas wants to be drawn.
            QTimer.singleShot(2000, save)

    def save() -> None:
        QApplication.processEvents()
        screenshot_path = Path(str(screenshot))
        screenshot_path.parent.mkdir(parents=True, exist_ok=True)
        viewer.window.screenshot(str(screenshot_path), canvas_only=False, flash=False)
        finished.append(True)
        viewer.close()

    viewer.layers.events.inserted.connect(on_layer)
    QTimer.singleShot(500, lambda: panel.show_and_run(source))
    if screenshot is not None:
        QTimer.singleShot(_PATIENCE_MS, viewer.close)
    napari.run()
    if screenshot is not None and not finished:
        raise GeneratorError("The demo made no result in five minutes: run napari-synth doctor to see what is wrong.")


if __name__ == "__main__":
    sys.exit(main())
