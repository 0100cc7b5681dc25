from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from napari.layers import Labels
from pydantic import Field
from qtpy.QtGui import QGuiApplication

from napari_synth import registry
from napari_synth.batches.manifest import read_manifest
from napari_synth.cli import main
from napari_synth.contract.generator import GeneratorInfo, Task
from napari_synth.contract.synthesis import Sampler, SampleSpec, SynthesisContext, SynthesisParams, Synthesizer
from napari_synth.files import read_image, write_image
from napari_synth.gui.layers.marks import METADATA_KEY, PREVIEW, kind_of
from napari_synth.gui.panels import base
from napari_synth.gui.panels.synthesize import SynthesizePanel
from napari_synth.gui.settings import RunSettings
from napari_synth.imaging.image import Image


class FakeParams(SynthesisParams):
    level: float = Field(0.0, ge=0.0, le=1000.0, title="Level", description="Added to all pixels.")


class FakeSampler(Sampler):
    can_encode = True

    def __init__(self, level: float, size: tuple[int, int], axis: Any) -> None:
        self.spec = SampleSpec(
            {"S": 3, "C": 2, "": 1}[axis],
            axis,
            "uint8" if axis == "S" else "uint16",
            size,
            4,
            {"Y": 0.5, "X": 0.5},
            {"Y": "um", "X": "um"},
        )
        self.level, self.notes = level, ("It is a fake.",)

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        return (2,)

    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        plane = self.level + 100 + 10 * latents.sum(1)
        return plane.view(-1, 1, 1, 1).expand(-1, self.spec.channels, *size).contiguous()

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return ((pixels.mean((1, 2, 3)) - 100) / 20).view(-1, 1).expand(-1, 2)


class PairSampler(FakeSampler):
    makes_labels = True

    def labels(self, latents: torch.Tensor) -> torch.Tensor:
        found = torch.zeros((len(latents), *self.spec.size), dtype=torch.long)
        found[:, 2:5, 3:6] = 7
        return found


def fake(name: str, axis: str = "", needs_: Any = "nothing") -> Synthesizer[FakeParams]:
    class Fake:
        info = GeneratorInfo(f"synthesize/{name}", f"Fake {name}", "Makes planes.", Task.SYNTHESIZE, invents=True)
        params_type = FakeParams
        needs = needs_

        def prepare(self, source: Image | None, params: FakeParams, context: SynthesisContext) -> Sampler:
            level = params.level if source is None else float(source.read().max())
            size = (8, 8) if source is None else (source.sizes["Y"], source.sizes["X"])
            drawn = needs_ == "optional labels" and source is None
            return (PairSampler if drawn else FakeSampler)(level, size, axis)

    return Fake()


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(base, "read_settings", lambda: RunSettings("cpu", "auto", None, tmp_path))
    fakes = {
        one.info.id: one
        for one in (
            fake("gray"),
            fake("colours", "S"),
            fake("like", needs_="image"),
            fake("for", needs_="labels"),
            fake("pairs", "S", "optional labels"),
        )
    }
    monkeypatch.setattr(registry, "_registered", lambda: {name: registry.adopted(one) for name, one in fakes.items()})


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(viewer, qtbot) -> SynthesizePanel:
    made = SynthesizePanel(viewer)
    qtbot.addWidget(made)
    return made


def finish(qtbot, panel: SynthesizePanel) -> None:
    qtbot.waitUntil(
        lambda: panel._job is None and panel.preview._job is None and not panel.preview._timer.isActive(),
        timeout=60_000,
    )


def looks(viewer: ViewerModel) -> list[Any]:
    return [layer for layer in viewer.layers if kind_of(layer) == PREVIEW]


def test_images_become_a_stack_that_is_marked_and_placed(panel, viewer, qtbot) -> None:
    panel.form.set_values({"count": 3})
    panel.seed.setValue(5)
    panel.run()
    finish(qtbot, panel)
    (layer,) = viewer.layers
    assert layer.name == "Fake gray (synthetic)"
    assert layer.data.shape == (3, 8, 8)
    assert layer.data.dtype == np.uint16
    assert tuple(layer.scale) == (1.0, 0.5, 0.5)
    assert layer.metadata[METADATA_KEY]["synthetic"] is True
    assert layer.metadata[METADATA_KEY]["recipe"]["seed"] == 5
    assert "It is a fake" in panel.messages.notes.text()
    panel.run()
    finish(qtbot, panel)
    np.testing.assert_array_equal(viewer.layers[1].data, layer.data)


def test_colours_are_shown_as_such(panel, viewer, qtbot) -> None:
    panel.choose_method("synthesize/colours")
    panel.run()
    finish(qtbot, panel)
    assert viewer.layers[0].rgb
    assert viewer.layers[0].data.shape == (1, 8, 8, 3)


def test_what_needs_an_image_says_so_and_takes_one(panel, viewer, qtbot) -> None:
    panel.choose_method("synthesize/like")
    assert not panel.source.isHidden()
    panel.run()
    assert "needs an image" in panel.messages.error.text()
    assert len(viewer.layers) == 0
    viewer.add_image(np.full((12, 16), 7, np.uint16))
    panel.run()
    finish(qtbot, panel)
    assert panel.messages.error.isHidden()
    assert viewer.layers[-1].data.shape == (1, 12, 16)


def test_what_needs_labels_lists_no_images(panel, viewer, qtbot) -> None:
    panel.choose_method("synthesize/for")
    viewer.add_image(np.zeros((12, 16)))
    assert panel.source.layer is None
    labels = viewer.add_labels(np.ones((12, 16), int))
    assert panel.source.layer is labels
    panel.run()
    finish(qtbot, panel)
    assert panel.messages.error.isHidden(), panel.messages.error.text()


def test_images_for_labels_lie_on_them(panel, viewer, qtbot) -> None:
    panel.choose_method("synthesize/for")
    turned = np.eye(4)
    turned[1:3, 1:3] = [[0.0, -1.0], [1.0, 0.0]]
    turned[1, 3] = 5.0
    labels = viewer.add_labels(
        np.ones((3, 12, 16), int), scale=(2.0, 0.5, 0.5), translate=(1.0, 2.0, 3.0), affine=turned, axis_labels="zyx"
    )
    panel.run()
    finish(qtbot, panel)
    made = viewer.layers[-1]
    assert made.data.shape == (1, 3, 12, 16)
    for pixel in ((0, 0, 0), (2, 11, 5)):
        np.testing.assert_allclose(made.data_to_world((0, *pixel))[1:], labels.data_to_world(pixel))


def test_made_images_lie_beside_what_is_open(panel, viewer, qtbot) -> None:
    panel.run()
    finish(qtbot, panel)
    np.testing.assert_allclose(viewer.layers[-1].translate, 0.0)
    viewer.layers.clear()
    opened = viewer.add_image(np.zeros((40, 60)), scale=(0.25, 0.25), translate=(3.0, 5.0))
    for _ in range(2):
        panel.run()
        finish(qtbot, panel)
    (_, top, left), _ = viewer.layers[-1].extent.world
    assert top == pytest.approx(opened.extent.world[0, 0])
    # A twentieth of its width away, however many were made before.
    assert left == pytest.approx(opened.extent.world[1, 1] + 0.05 * 59 * 0.25)


@pytest.mark.parametrize("are_points_first", [True, False])
def test_what_has_no_extent_or_other_units_is_beside(panel, viewer, qtbot, are_points_first: bool) -> None:
    if are_points_first:
        viewer.add_points(None, ndim=2)
    panel.run()
    finish(qtbot, panel)
    np.testing.assert_allclose(viewer.layers[-1].translate, 0.0)
    viewer.add_image(np.zeros((40, 61)), scale=(500.0, 500.0), units=("nm", "nm"))
    viewer.add_points(None, ndim=2)
    panel.run()
    finish(qtbot, panel)
    # The made images are in micrometres.
    assert str(viewer.layers[-1].units[-1]) == "micrometer"
    np.testing.assert_allclose(viewer.layers[-1].translate, [0.0, 0.0, 1.05 * 60 * 0.5])


def test_a_look_for_other_labels_lies_on_them(panel, viewer, qtbot) -> None:
    panel.choose_method("synthesize/for")
    labels = viewer.add_labels(np.ones((12, 16), int))
    panel.explorer.fold.setChecked(True)
    finish(qtbot, panel)
    labels.translate = (7.0, 8.0)
    panel.explorer.sliders[0].setValue(50)
    finish(qtbot, panel)
    (layer,) = looks(viewer)
    np.testing.assert_allclose(layer.translate, (7.0, 8.0))


def test_sliders_change_the_look_live(panel, viewer, qtbot) -> None:
    panel.explorer.fold.setChecked(True)
    finish(qtbot, panel)
    (layer,) = looks(viewer)
    before = int(layer.data[0, 0])
    assert sum(not slider.isHidden() for slider in panel.explorer.sliders) == 2
    for value in range(0, 101, 20):
        panel.explorer.sliders[0].setValue(value)
    finish(qtbot, panel)
    assert int(layer.data[0, 0]) == pytest.approx(before + 30, abs=1)
    panel.explorer.reset.click()
    finish(qtbot, panel)
    assert int(layer.data[0, 0]) == before
    panel.explorer.fold.setChecked(False)
    assert not looks(viewer)


def test_a_path_leads_from_one_image_to_another(panel, viewer, qtbot) -> None:
    explorer = panel.explorer
    explorer.fold.setChecked(True)
    assert not explorer.add.isEnabled()
    explorer.take[0].click()
    panel.seed.setValue(1)
    explorer.take[1].click()
    finish(qtbot, panel)
    explorer.frames.setValue(5)
    explorer.add.click()
    finish(qtbot, panel)
    path = next(layer for layer in viewer.layers if layer.name.endswith("path (synthetic)")).data
    assert path.shape == (5, 8, 8)
    explorer.share.setValue(100)
    finish(qtbot, panel)
    (look,) = looks(viewer)
    np.testing.assert_array_equal(look.data, path[-1])


def test_the_sliders_can_begin_at_a_layer(panel, viewer, qtbot) -> None:
    panel.explorer.fold.setChecked(True)
    finish(qtbot, panel)
    assert not panel.encoded.isHidden()
    panel.encoded.choose(viewer.add_image(np.full((3, 20, 20), 140, np.uint16)))
    finish(qtbot, panel)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    assert int(looks(viewer)[0].data[0, 0]) == pytest.approx(140, abs=1)


def test_a_layer_too_small_is_said_and_the_look_stays(panel, viewer, qtbot) -> None:
    panel.explorer.fold.setChecked(True)
    finish(qtbot, panel)
    panel.encoded.choose(viewer.add_image(np.full((4, 4), 140, np.uint16)))
    finish(qtbot, panel)
    assert "at least as large" in panel.messages.error.text()
    assert len(looks(viewer)) == 1


def test_a_look_that_is_removed_is_over(panel, viewer, qtbot) -> None:
    panel.explorer.fold.setChecked(True)
    finish(qtbot, panel)
    viewer.layers.remove(looks(viewer)[0])
    assert not panel.explorer.is_on


def test_a_size_that_cannot_be_made_is_refused(panel, viewer, qtbot) -> None:
    panel.form.set_values({"size": 10})
    panel.run()
    finish(qtbot, panel)
    assert "multiples of 4" in panel.messages.error.text()
    assert len(viewer.layers) == 0


def test_the_quality_report_is_shown_with_its_pairs(panel, viewer, qtbot) -> None:
    panel.form.set_values({"count": 9, "size": 32})
    assert panel.quality.isHidden()
    panel.run()
    finish(qtbot, panel)
    assert not panel.quality.isHidden()
    assert panel.quality.table.isHidden()
    panel.real.choose(viewer.add_image(np.random.default_rng(0).integers(0, 200, (128, 128)).astype(np.uint16)))
    panel.quality.ask.click()
    finish(qtbot, panel)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    assert "Precision" in panel.quality.table.text()
    assert "A fresh network tells the made images" in panel.messages.notes.text()
    assert viewer.layers["made images, nearest real crops"].data.shape == (9, 32, 64)


def test_too_few_images_for_a_report_are_said(panel, viewer, qtbot) -> None:
    panel.form.set_values({"count": 2, "size": 32})
    panel.run()
    finish(qtbot, panel)
    panel.real.choose(viewer.add_image(np.random.default_rng(0).integers(0, 200, (128, 128)).astype(np.uint16)))
    panel.quality.ask.click()
    finish(qtbot, panel)
    assert "at least 8" in panel.messages.error.text()


def test_drawn_labels_lie_on_their_images(panel, viewer, qtbot) -> None:
    viewer.add_labels(np.ones((12, 16), int), name="own")
    panel.choose_method("synthesize/pairs")
    # Labels that are there are taken only by choice.
    assert panel.source.layer is None
    panel.form.set_values({"count": 3})
    panel.run()
    finish(qtbot, panel)
    assert panel.messages.error.isHidden(), panel.messages.error.text()
    images, labels = viewer.layers[-2:]
    assert (images.name, labels.name) == ("Fake pairs (synthetic)", "Fake pairs (synthetic) labels")
    assert images.rgb
    assert isinstance(labels, Labels)
    assert images.data.shape[:3] == labels.data.shape == (3, 8, 8)
    np.testing.assert_array_equal(labels.extent.world, images.extent.world)
    assert labels.data[1, 3, 4] == 7
    assert labels.metadata[METADATA_KEY]["synthetic"] is True
    assert not panel.real_labels.isHidden()
    assert panel.real_labels.layer is viewer.layers["own"]
    panel.source.choose(viewer.layers["own"])
    panel.run()
    finish(qtbot, panel)
    assert viewer.layers[-1].data.shape == (1 if panel.form.params().count == 1 else 3, 12, 16, 3)
    assert panel.real_labels.isHidden()


def test_runs_are_listed_their_settings_come_back_and_are_remembered(viewer, qtbot) -> None:
    panel = SynthesizePanel(viewer)
    qtbot.addWidget(panel)
    panel.show()
    assert panel.history.isHidden()
    panel.choose_method("synthesize/colours")
    panel.form.set_values({"level": 20.0})
    panel.seed.setValue(7)
    panel.run_button.click()
    qtbot.waitUntil(lambda: panel._job is None)
    (run,) = panel.history.runs
    assert run.recipe.seed == 7
    assert "Fake colours" in panel.history.list.item(0).text()

    panel.choose_method("synthesize/gray")
    panel.seed.setValue(1)
    panel.use_again(run)
    assert (panel.method.info.id, panel.form.values()["level"], panel.seed.value()) == ("synthesize/colours", 20.0, 7)

    other = SynthesizePanel(viewer)
    qtbot.addWidget(other)
    assert (other.method.info.id, other.form.values()["level"]) == ("synthesize/colours", 20.0)
    QGuiApplication.clipboard().setText(run.recipe.to_yaml())
    other.reset()
    assert (other.method.info.id, other.form.values()["level"]) == ("synthesize/gray", 0.0)
    other.settings_row.paste.click()
    assert (other.method.info.id, other.form.values()["level"], other.seed.value()) == ("synthesize/colours", 20.0, 7)
    QGuiApplication.clipboard().setText("generator: denoise/median\nparams: {}\n")
    other.settings_row.paste.click()
    assert "open the panel Denoise" in other.messages.error.text()


# Into a folder


def folder_box(panel: SynthesizePanel, folder: Path) -> Any:
    box = panel.files_box
    box.fold.setChecked(True)
    assert not box.start.isEnabled()
    box.folder.setText(str(folder))
    assert box.start.isEnabled()
    return box


def test_many_images_go_into_a_folder_and_on_tomorrow(panel, viewer, qtbot, tmp_path) -> None:
    box = folder_box(panel, tmp_path / "made")
    assert box.images.isHidden()
    panel.form.set_values({"count": 5})
    panel.seed.setValue(3)
    panel.run_on_files()
    finish(qtbot, panel)
    assert len(viewer.layers) == 0
    assert [box.list.item(row).text() for row in range(box.list.count())] == [f"✓ 000{n}.png" for n in range(1, 6)]
    assert "5 of 5 images are done: they are in" in panel.messages.notes.toPlainText()
    panel.run()
    panel.form.set_values({"count": 5})
    finish(qtbot, panel)
    for number, made in enumerate(viewer.layers[0].data, 1):
        np.testing.assert_array_equal(read_image(tmp_path / "made" / f"{number:04d}.png").read(), made)
    # Tomorrow: another panel remembers the folder, two images are gone, and two more are wanted.
    (tmp_path / "made" / "0002.png").unlink()
    other = SynthesizePanel(viewer)
    qtbot.addWidget(other)
    assert other.files_box.folder.text() == str(tmp_path / "made")
    other.form.set_values({"count": 6})
    other.seed.setValue(3)
    other.run_on_files()
    finish(qtbot, other)
    assert [other.files_box.list.item(row).text() for row in range(2)] == ["✓ 0002.png", "✓ 0006.png"]
    assert "6 of 6 images are done, 4 of them by an earlier run" in other.messages.notes.toPlainText()
    other.seed.setValue(4)
    other.run_on_files()
    finish(qtbot, other)
    assert "results of other settings" in other.messages.error.toPlainText()


def test_images_are_made_for_each_of_many_files_of_labels(panel, viewer, qtbot, tmp_path) -> None:
    (tmp_path / "labels").mkdir()
    for number in (1, 2):
        labels = np.full((12, 16), 40 * number, np.uint16)
        write_image(tmp_path / "labels" / f"{number}.tif", Image(labels, "YX"))
    panel.choose_method("synthesize/for")
    box = folder_box(panel, tmp_path / "made")
    assert not box.images.isHidden()
    panel.run_on_files()
    assert "needs labels" in panel.messages.error.toPlainText()
    box.images.text.setText(str(tmp_path / "labels"))
    panel.form.set_values({"count": 2})
    panel.run_on_files()
    finish(qtbot, panel)
    first = read_image(tmp_path / "made" / "1.tif")
    assert first.sizes == {"T": 2, "Y": 12, "X": 16}
    # The command does the same, and finds that all is done.
    words = ["synthesize", "for", str(tmp_path / "made"), "--source", str(tmp_path / "labels"), "--count", "2"]
    before = (tmp_path / "made" / "1.tif").stat().st_mtime_ns
    assert main([*words, "--device", "cpu"]) == 0
    assert (tmp_path / "made" / "1.tif").stat().st_mtime_ns == before


def test_pairs_of_the_panel_are_remembered_in_the_folder(panel, qtbot, tmp_path) -> None:
    panel.choose_method("synthesize/pairs")
    folder_box(panel, tmp_path / "made")
    panel.form.set_values({"count": 2})
    panel.run_on_files()
    finish(qtbot, panel)
    assert (read_image(tmp_path / "made" / "labels" / "0002.png").read() == 7).sum() == 9
    _, records = read_manifest(tmp_path / "made")
    assert list(records) == ["images/0001.png", "images/0002.png"]
