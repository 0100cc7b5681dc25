"""Results whose channels are not those of their source: where their layers lie, and how they look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from napari_synth import registry, verbs
from napari_synth.contract.generator import BlockSpec, Context, GeneratorInfo, Prepared, ResultSpec, Task
from napari_synth.contract.params import NoParams, Params
from napari_synth.engine.image_run import PreparedImage
from napari_synth.gui.layers.appearance import result_look
from napari_synth.gui.layers.marks import METADATA_KEY
from napari_synth.gui.layers.placement import Placement, result_placement
from napari_synth.gui.panels import base
from napari_synth.gui.panels.restore import RestorePanel
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image
from napari_synth.imaging.intensity import IntensityTransform


class Summed(Prepared):
    """The sum of what it sees, for every channel that it makes."""

    def __init__(self, result: ResultSpec, seen: int) -> None:
        self.spec, self.result, self.made = BlockSpec.plane(0), result, len(result.intensity)
        self.intensity = (IntensityTransform(0.0, 100.0),) * seen

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        return block.sum(1, keepdim=True).expand(-1, self.made, *(-1,) * (block.ndim - 2))


class Summing:
    params_type = NoParams

    def __init__(self, name: str, result: ResultSpec) -> None:
        self.info = GeneratorInfo(  # type: ignore[misc]
            f"translate/{name}", name, "Sums.", Task.TRANSLATE, channels="joint", colour="joint", invents=True
        )
        self.result = result

    def prepare(self, image: Image, params: Params, context: Context) -> Prepared:
        return Summed(self.result, image.sizes.get("C", 1) * image.sizes.get("S", 1))


@pytest.fixture(autouse=True)
def generators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scaled = IntensityTransform(0.0, 100.0)
    made = (
        Summing("colours", ResultSpec("S", (scaled,) * 3, "uint8")),
        Summing("channels", ResultSpec("C", (scaled, IntensityTransform(10.0, 40.0)), "float32")),
        Summing("plane", ResultSpec("", (scaled,), "float32")),
    )
    monkeypatch.setattr(registry, "_registered", lambda: {one.info.id: registry.adopted(one) for one in made})
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer: ViewerModel, qtbot: Any) -> RestorePanel:
    made = RestorePanel(viewer, Task.TRANSLATE)
    qtbot.addWidget(made)
    return made


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 50, shape).astype(np.uint16)


def run(name: str, pixels: np.ndarray, axes: str) -> PreparedImage:
    return verbs.prepare(f"translate/{name}", Image(pixels, axes))


def placed(layer: ImageLayer, name: str, axes: str, result_shape: tuple[int, ...], **first: int) -> ImageLayer:
    place = result_placement(Placement.of(layer), run(name, layer.data, axes), first)
    return ImageLayer(np.zeros(result_shape), rgb=False, **place.as_kwargs())


def test_axes_that_stay_keep_their_place_and_new_ones_begin_at_zero() -> None:
    turned = ImageLayer(
        image(2, 3, 8, 10),
        scale=(5, 1, 0.5, 0.25),
        translate=(7, 3, 10, 20),
        axis_labels=("time", "channel", "y", "x"),
        units=("second", "pixel", "um", "um"),
        shear=(0, 0, 0, 0, 0, 0.2),
        affine=np.diag([1.0, 1.0, 2.0, 3.0, 1.0]),
    )
    flat = placed(turned, "plane", "TCYX", (2, 8, 10))
    assert flat.axis_labels == ("time", "y", "x")
    assert [str(unit) for unit in flat.units] == ["second", "micrometer", "micrometer"]
    np.testing.assert_allclose(flat.data_to_world((1, 2, 3)), np.array(turned.data_to_world((1, 0, 2, 3)))[[0, 2, 3]])
    more = placed(flat, "channels", "TYX", (2, 2, 8, 10))
    assert more.axis_labels == ("time", "c", "y", "x")
    np.testing.assert_allclose(
        more.data_to_world((1, 1, 2, 3)), np.insert(np.array(flat.data_to_world((1, 2, 3))), 1, 1.0)
    )


def test_a_part_begins_where_it_was_asked_for_but_has_all_channels() -> None:
    layer = ImageLayer(image(3, 8, 10), scale=(1, 0.5, 0.5))
    part = placed(layer, "channels", "CYX", (2, 4, 5), C=2, Y=4, X=3)
    np.testing.assert_allclose(part.translate, (0, 2, 1.5))


def test_counts_of_the_source_say_nothing_of_the_result() -> None:
    look = {"rgb": False, "colormap": "green", "contrast_limits": (0, 9), "gamma": 2.0, "blending": "additive"}
    colours, channels = (run(name, image(2, 8, 10), "CYX") for name in ("colours", "channels"))
    assert result_look(look, colours) == {"rgb": True, "blending": "additive"}
    shown = result_look(look, channels)
    assert shown["contrast_limits"] == (0.0, 100.0)
    assert (shown["colormap"], shown["blending"]) == ("gray", "additive")


@pytest.mark.parametrize(
    ("name", "shape", "is_rgb"),
    [("colours", (8, 10, 3), True), ("channels", (2, 8, 10), False), ("plane", (8, 10), False)],
)
def test_the_panel_adds_results_and_their_uncertainty(panel, viewer, qtbot, name, shape, is_rgb) -> None:
    pixels = image(3, 8, 10)
    source = viewer.add_image(pixels, name="cells", scale=(1, 0.5, 0.5), axis_labels=("c", "y", "x"))
    panel.source.choose(source)
    panel.methods.choose(f"translate/{name}")
    panel.run()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    result = panel.result.finished.result
    assert (result.data.shape, bool(result.rgb)) == (shape, is_rgb)
    assert result.name.endswith("(synthetic)")
    assert result.metadata[METADATA_KEY]["synthetic"]
    np.testing.assert_allclose(result.scale[-2:], 0.5)
    total = pixels.sum(0)
    plane = result.data[..., 0] if is_rgb else result.data[0] if name == "channels" else result.data
    np.testing.assert_allclose(plane, np.clip(total, 0, 255) if is_rgb else total, atol=0.51)
    panel.result.uncertainty.click()
    qtbot.waitUntil(lambda: panel._job is None, timeout=60_000)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    assert viewer.layers[-1].name == "cells relative uncertainty"
    assert viewer.layers[-1].ndim == result.ndim


def test_a_preview_shows_all_channels_and_becomes_another_layer_where_it_must(panel, viewer, qtbot) -> None:
    pixels = image(3, 8, 10)
    source = viewer.add_image(pixels, name="cells", scale=(1, 0.5, 0.5), axis_labels=("c", "y", "x"))
    viewer.dims.set_current_step(0, 2)
    panel.source.choose(source)
    panel.methods.choose("translate/plane")
    panel.preview_button.setChecked(True)
    qtbot.waitUntil(lambda: panel.preview.layer is not None, timeout=60_000)
    np.testing.assert_allclose(panel.preview.layer.data, pixels.sum(0), atol=0.01)
    panel.methods.choose("translate/colours")
    qtbot.waitUntil(lambda: panel.preview.layer is not None and bool(panel.preview.layer.rgb), timeout=60_000)
    assert panel.preview.layer.data.shape == (8, 10, 3)
    assert len([layer for layer in viewer.layers if "preview" in layer.name]) == 1
    panel.preview_button.setChecked(False)
