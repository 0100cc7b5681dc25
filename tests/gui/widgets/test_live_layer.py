from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Points

from napari_synth.core.errors import AxesError
from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.gui.jobs.worker import Work
from napari_synth.gui.layers.marks import PREVIEW, kind_of
from napari_synth.gui.widgets import live_layer
from napari_synth.gui.widgets.live_layer import LiveLayer, TemporaryLayers


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_layer, "DEBOUNCE_MS", 1)


@pytest.fixture
def viewer(qapp: Any) -> ViewerModel:
    return ViewerModel()


def plane(value: float, size: int = 8, name: str = "shown", **kwargs: Any) -> ImageLayer:
    return ImageLayer(np.full((size, size), value, np.float32), name=name, contrast_limits=(0, 10 + value), **kwargs)


# The layers


def test_pixels_go_into_the_layer_that_is_there_and_its_contrast_stays(viewer: ViewerModel) -> None:
    shown = TemporaryLayers(viewer)
    shown.show([plane(1)])
    layer = shown.layer
    layer.contrast_limits = (2, 3)
    shown.show([plane(2, size=12, scale=(3, 3), translate=(5, 6))])
    assert shown.layer is layer
    assert kind_of(layer) == PREVIEW
    assert layer.data.shape == (12, 12)
    assert (layer.scale.tolist(), layer.translate.tolist()) == ([3, 3], [5, 6])
    assert layer.contrast_limits == [2, 3]
    shown.show([plane(4)], with_contrast=True)
    assert layer.contrast_limits == [0, 14]


@pytest.mark.parametrize(
    "other",
    [
        lambda: plane(2, name="another"),
        lambda: plane(2, rotate=30),
        lambda: plane(2, units=("um", "um")),
        lambda: ImageLayer(np.zeros((2, 8, 8)), name="shown"),
        lambda: ImageLayer(np.zeros((8, 8, 3)), name="shown", rgb=True),
        lambda: Points(np.zeros((1, 2)), name="shown"),
    ],
)
def test_what_cannot_be_shown_by_the_layer_that_is_there_replaces_it(
    viewer: ViewerModel, other: Callable[[], Any]
) -> None:
    shown = TemporaryLayers(viewer)
    heard: list[int] = []
    shown.removed.connect(lambda: heard.append(1))
    shown.show([plane(1)])
    made = other()
    shown.show([made])
    assert list(viewer.layers) == [made]
    assert heard == []


def test_names_are_fresh_and_the_place_among_the_layers_is_as_asked(viewer: ViewerModel) -> None:
    below = viewer.add_image(np.zeros((8, 8)), name="shown")
    viewer.add_image(np.zeros((8, 8)), name="above")
    shown = TemporaryLayers(viewer)
    shown.show([plane(1)], above=below)
    shown.show([plane(2)], above=below)
    assert [layer.name for layer in viewer.layers] == ["shown", "shown 2", "above"]


def test_where_the_user_deletes_one_the_others_go(viewer: ViewerModel) -> None:
    shown = TemporaryLayers(viewer)
    heard: list[int] = []
    shown.removed.connect(lambda: heard.append(1))
    shown.show([plane(1), plane(2, name="other")])
    viewer.layers.remove(viewer.layers["other"])
    assert len(viewer.layers) == 0
    assert heard == [1]
    shown.drop()
    assert heard == [1]


# The machine


class Numbers(LiveLayer[int]):
    """Shows a number; it takes until it may go on."""

    def __init__(self, viewer: ViewerModel, *, is_quick: bool = False) -> None:
        super().__init__(viewer, is_quick=is_quick)
        self.number: int | None = 1
        self.done: list[int] = []
        self.stopped: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def _wanted(self) -> int:
        if self.number is None:
            raise AxesError("There is no number: choose one.")
        return self.number

    def _work(self, wanted: int) -> Work:
        def work(_progress: ProgressCallback, cancel: CancelToken) -> int:
            while not self.go_on.wait(0.005):
                if cancel.is_cancelled:
                    self.stopped.append(wanted)
                    cancel.check()
            return wanted

        return work

    def _show(self, wanted: int, result: int) -> None:
        self.done.append(result)
        self.shown.show([plane(result)])


def idle(qtbot: Any, live: Numbers) -> None:
    qtbot.waitUntil(lambda: live._job is None and not live._timer.isActive())


@pytest.fixture
def make(viewer: ViewerModel, qtbot: Any) -> Any:
    made: list[Numbers] = []

    def of(**kwargs: Any) -> Numbers:
        made.append(Numbers(viewer, **kwargs))
        return made[-1]

    yield of
    for one in made:
        one.go_on.set()
        one.switch(False)
        idle(qtbot, one)


def change_while_it_computes(qtbot: Any, live: Numbers) -> None:
    live.go_on.clear()
    live.switch(True)
    qtbot.waitUntil(lambda: live._job is not None)
    live.number = 2
    live.request()
    qtbot.waitUntil(lambda: live._again or bool(live.stopped))


def test_what_is_stale_is_stopped(make: Any, qtbot: Any) -> None:
    live = make()
    change_while_it_computes(qtbot, live)
    live.go_on.set()
    qtbot.waitUntil(lambda: bool(live.done))
    idle(qtbot, live)
    assert live.done == [2]


def test_what_takes_a_moment_is_shown_before_the_next_begins(make: Any, qtbot: Any) -> None:
    live = make(is_quick=True)
    change_while_it_computes(qtbot, live)
    assert live.stopped == []
    live.go_on.set()
    qtbot.waitUntil(lambda: live.done == [1, 2])


def test_what_cannot_be_shown_is_said_and_what_is_shown_stays(make: Any, qtbot: Any) -> None:
    live = make()
    said: list[str] = []
    live.failed.connect(lambda error: said.append(str(error)))
    live.switch(True)
    qtbot.waitUntil(lambda: live.layer is not None)
    live.number = None
    live.request()
    qtbot.waitUntil(lambda: bool(said))
    assert said == ["There is no number: choose one."]
    assert live.layer is not None


def test_it_goes_off_with_its_layer(make: Any, viewer: ViewerModel, qtbot: Any) -> None:
    live = make()
    heard: list[int] = []
    live.switched_off.connect(lambda: heard.append(1))
    live.switch(True)
    qtbot.waitUntil(lambda: live.layer is not None)
    idle(qtbot, live)
    viewer.layers.remove(live.layer)
    assert heard == [1]
    assert not live.is_on
