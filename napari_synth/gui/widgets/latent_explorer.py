"""Moves through the latents of a model by sliders and along a path, and shows the image of the point that is reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSlider, QSpinBox, QVBoxLayout, QWidget

from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.gui.jobs.requests import LatentPoint, PointBetween, SynthesisRequest
from napari_synth.gui.jobs.synthesize import preview_point
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.widgets.form_rows import FoldButton, button
from napari_synth.gui.widgets.live_layer import LiveLayer

if TYPE_CHECKING:
    import napari.layers
    from napari.components import ViewerModel


_SLIDERS = 6
_STEPS = 100
_FARTHEST = 3.0
"""Standard deviations of a latent that a slider moves to each side."""
_FRAMES = 16


class LatentExplorer(QWidget):
    """Sliders along the directions in which images change most, and a path from A to B.

    Parameters
    ----------
    origin : callable
        Returns where the sliders begin: at the seed of the panel, or at a layer.
    parent : QWidget, optional
    """

    moved = Signal()
    """Another point is wanted."""
    path_wanted = Signal()
    """The images along the path are wanted as a layer."""

    def __init__(self, origin: Callable[[], LatentPoint], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._origin = origin
        self._ends: list[LatentPoint | None] = [None, None]
        self._on_path = False
        self.fold = FoldButton(
            self, "Explore", "Show one image and change it with sliders, or move from one image to another, live"
        )
        self.sliders = [self._slider(f"Direction {number + 1}, in standard deviations") for number in range(_SLIDERS)]
        self.reset = button(self, "Reset", "Move all sliders back to the middle")
        self.reset.clicked.connect(self.to_middle)
        self.take = [button(self, f"Take as {name}", f"Make what is shown now end {name} of a path") for name in "AB"]
        self.take[0].clicked.connect(self._take_first)
        self.take[1].clicked.connect(self._take_second)
        self.share = QSlider(Qt.Orientation.Horizontal, self)
        self.share.setRange(0, _STEPS)
        self.share.setToolTip("Move from A to B")
        self.share.valueChanged.connect(self._on_share)
        self.frames = QSpinBox(self)
        self.frames.setRange(2, 1000)
        self.frames.setValue(_FRAMES)
        self.frames.setToolTip("How many images the path has")
        self.add = button(self, "Add path", "Add the images from A to B as a stack layer")
        self.add.clicked.connect(self.path_wanted)
        self._lay_out()
        self.allow(0)
        self._show_ends()
        self._inner.hide()
        self.fold.toggled.connect(self._inner.setVisible)

    @property
    def is_on(self) -> bool:
        """Whether there is something to look at."""
        return self.fold.isChecked()

    @property
    def point(self) -> LatentPoint | PointBetween:
        """The point that is to be shown."""
        first, second = self._ends
        if self._on_path and first is not None and second is not None:
            return PointBetween(first, second, self.share.value() / _STEPS)
        moves = tuple(slider.value() / _STEPS * _FARTHEST for slider in self._allowed)
        return replace(self._origin(), moves=moves)

    @property
    def ends(self) -> tuple[LatentPoint, LatentPoint] | None:
        """Both ends of the path, where they are known."""
        first, second = self._ends
        return None if first is None or second is None else (first, second)

    def allow(self, latent_size: int) -> None:
        """Show as many sliders as a model has use for; none where its latents are no vector."""
        self._allowed = self.sliders[: min(_SLIDERS, latent_size)]
        for slider in self.sliders:
            slider.setVisible(slider in self._allowed)
        self.reset.setVisible(bool(self._allowed))

    def forget(self) -> None:
        """Forget the ends: another model has other latents."""
        self._ends = [None, None]
        self._on_path = False
        self.to_middle()
        self._show_ends()

    def to_middle(self) -> None:
        """Move all sliders back."""
        for slider in self.sliders:
            blocked = slider.blockSignals(True)
            slider.setValue(0)
            slider.blockSignals(blocked)
        self._on_slider()

    def _slider(self, tooltip: str) -> QSlider:
        made = QSlider(Qt.Orientation.Horizontal, self)
        made.setRange(-_STEPS, _STEPS)
        made.setToolTip(tooltip)
        made.valueChanged.connect(self._on_slider)
        return made

    def _lay_out(self) -> None:
        self._inner = QWidget(self)
        inner = QVBoxLayout(self._inner)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        grid = QGridLayout()
        for number, slider in enumerate(self.sliders):
            grid.addWidget(slider, number // 2, number % 2)
        inner.addLayout(grid)
        inner.addWidget(self.reset)
        take = QHBoxLayout()
        for made in self.take:
            take.addWidget(made, 1)
        inner.addLayout(take)
        walk = QHBoxLayout()
        walk.addWidget(QLabel("A", self._inner))
        walk.addWidget(self.share, 1)
        walk.addWidget(QLabel("B", self._inner))
        inner.addLayout(walk)
        path = QHBoxLayout()
        path.addWidget(self.frames, 1)
        path.addWidget(self.add, 1)
        inner.addLayout(path)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.fold)
        layout.addWidget(self._inner)

    def _on_slider(self, _value: int = 0) -> None:
        self._on_path = False
        self.moved.emit()

    def _on_share(self, _value: int) -> None:
        self._on_path = True
        self.moved.emit()

    def _take_first(self) -> None:
        self._take(0)

    def _take_second(self) -> None:
        self._take(1)

    def _take(self, which: int) -> None:
        point = self.point
        if isinstance(point, LatentPoint):
            self._ends[which] = point
        self._show_ends()

    def _show_ends(self) -> None:
        for made, end, name in zip(self.take, self._ends, "AB", strict=True):
            made.setText(f"{name} is taken" if end is not None else f"Take as {name}")
        for widget in (self.share, self.add, self.frames):
            widget.setEnabled(self.ends is not None)


@dataclass(frozen=True)
class PointRequest:
    """The latent point that is to be shown, and the model whose it is."""

    synthesis: SynthesisRequest
    point: LatentPoint | PointBetween


class LatentPreview(LiveLayer[PointRequest]):
    """Keeps a temporary layer up to date with the latent point that a function returns; the model stays open.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    ask : callable
        Returns what is to be shown; raises a `SynthError` where that cannot be.
    make : callable
        Returns the layer of an image, from the `SynthesisRequest`, the opened model and the pixels.
    parent : QObject, optional
    """

    opened = Signal(object)
    """The `PreparedSynthesis` of the model that is shown."""

    def __init__(
        self,
        viewer: ViewerModel,
        ask: Callable[[], PointRequest],
        make: Callable[[SynthesisRequest, PreparedSynthesis, Any], napari.layers.Image],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(viewer, parent, is_quick=True)
        self._ask, self._make = ask, make
        self._open: tuple[SynthesisRequest, PreparedSynthesis] | None = None

    @property
    def model(self) -> PreparedSynthesis | None:
        """The model that was opened last."""
        return None if self._open is None else self._open[1]

    def _wanted(self) -> PointRequest:
        return self._ask()

    def _work(self, wanted: PointRequest) -> Work:
        kept = self._open[1] if self._open is not None and self._open[0].is_like(wanted.synthesis) else None
        return partial(preview_point, wanted.synthesis, wanted.point, kept)

    def _show(self, wanted: PointRequest, result: tuple[PreparedSynthesis, Any]) -> None:
        prepared, pixels = result
        self._open = wanted.synthesis, prepared
        self.opened.emit(prepared)
        self.shown.show([self._make(wanted.synthesis, prepared, pixels)], into_view=True)
