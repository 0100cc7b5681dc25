"""The panel for augmentation: what is set is what is drawn, and everything lands where it belongs."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from napari_synth.augmentation import PRESETS, Crop, Flip, Pipeline, Resize, Rotate, Sample
from napari_synth.core.errors import AxesError, InvalidImageError
from napari_synth.files import read_image, write_image
from napari_synth.gui.jobs.augment import in_words
from napari_synth.gui.jobs.result_store import free_folder
from napari_synth.gui.layers.augmentation_layers import placed, result_layers, sample_layers, vectors_of
from napari_synth.gui.layers.images import to_image
from napari_synth.gui.layers.marks import PREVIEW, kind_of
from napari_synth.gui.panels.augment import AugmentPanel
from napari_synth.gui.widgets import help as helping
from napari_synth.gui.widgets import live_layer
from napari_synth.imaging.image import Image

ALONG_X = Flip(along_x=True, along_y=False)
SCALE = (2.0, 3.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_layer, "DEBOUNCE_MS", 20)


@pytest.fixture
def viewer() -> ViewerModel:
    """An image of which one pixel is bright, with all that can lie on it there."""
    made = ViewerModel()
    pixels = np.zeros((40, 50), np.uint16)
    pixels[10, 12] = 1000
    made.add_image(pixels, name="cells", scale=SCALE, translate=(5, 7))
    made.add_labels((pixels > 0).astype(np.int64) * 2**40, name="ids", scale=SCALE, translate=(5, 7))
    at = np.array([5 + 2 * 10, 7 + 3 * 12.0])
    made.add_points(at[None], name="dots", size=4)
    made.add_vectors(np.array([[at, [2.0, 6.0]]]), name="arrows")
    box = at + np.array([[-2, -3], [-2, 3], [2, 3], [2, -3]])
    made.add_shapes([box], shape_type="rectangle", name="boxes")
    made.add_tracks(np.array([[1, 0, *at], [1, 1, *at]]), name="paths")
    return made


@pytest.fixture
def panel(viewer: ViewerModel, qtbot: Any) -> AugmentPanel:
    made = AugmentPanel(viewer)
    qtbot.addWidget(made)
    made.transforms.show_transforms((ALONG_X,))
    for layer in viewer.layers[1:]:
        made.along.tick(layer, False)
    return made


def tick_all(panel: AugmentPanel) -> None:
    for name in ("ids", "dots", "arrows", "boxes", "paths"):
        panel.along.tick(panel.viewer.layers[name])


def done(qtbot: Any, panel: AugmentPanel) -> None:
    qtbot.waitUntil(lambda: panel._job is None, timeout=20_000)


def flipping_seed(panel: AugmentPanel) -> int:
    """A seed with which the coin says to flip."""
    sample = panel._sample_layers().sample
    return next(
        seed for seed in range(50) if panel.pipeline().draw(seed, sample).steps[0].values["signs"] == (1.0, -1.0)
    )


# The list


def test_a_preset_fills_the_list_and_a_change_makes_it_ones_own(panel: AugmentPanel) -> None:
    panel.load_preset("mri")
    assert panel.pipeline() == PRESETS["mri"]
    panel.transforms.rows[0].box.setChecked(False)
    assert panel.pipeline().transforms == PRESETS["mri"].transforms[1:]
    assert panel.presets.presets.currentText() == "Own"


def test_settings_are_folded_under_each_transform(panel: AugmentPanel, qtbot: Any) -> None:
    row = panel.transforms.rows[0]
    row.fold.setChecked(True)
    with qtbot.waitSignal(panel.transforms.changed):
        row.form.set_values({"probability": 0.25})
    assert panel.pipeline().transforms == (Flip(along_y=False, probability=0.25),)


def test_rows_are_dragged_past_each_other(panel: AugmentPanel, qtbot: Any) -> None:
    panel.transforms.show_transforms((ALONG_X, Rotate(), Crop()))
    panel.show()
    qtbot.waitExposed(panel)
    first, _, third = panel.transforms.rows[:3]
    first.grip.dragged.emit(third.mapToGlobal(third.rect().bottomLeft()).y())
    assert [transform.kind for transform in panel.pipeline().transforms] == ["rotate", "crop", "flip"]
    first.grip.dragged.emit(-1000)
    assert panel.pipeline().transforms[0].kind == "flip"
    panel.close()


def test_one_layer_of_each_kind_moves_along(panel: AugmentPanel) -> None:
    other = panel.viewer.add_points(np.zeros((1, 2)), name="more dots")
    panel.along.tick(panel.viewer.layers["dots"])
    panel.along.tick(other)
    assert panel.along.chosen == (other,)
    panel.viewer.layers.remove(other)
    assert panel.along.chosen == ()


# Results


def test_one_sample_lies_where_the_source_lies_and_all_moved(panel: AugmentPanel, qtbot: Any) -> None:
    tick_all(panel)
    panel.presets.seed.setValue(flipping_seed(panel))
    before = panel.viewer.layers["cells"].data.copy()
    panel.show_samples(1)
    done(qtbot, panel)
    assert panel.messages.error.text() == ""
    layers = panel.viewer.layers
    image = layers["cells augmented"]
    (place,) = np.argwhere(image.data > 500)
    np.testing.assert_array_equal(place, (10, 50 - 1 - 12))
    world = np.asarray(image.data_to_world(place))
    (point,) = layers["dots augmented"].data
    np.testing.assert_allclose(layers["dots augmented"].data_to_world(point), world, atol=1e-4)
    assert layers["ids augmented"].data[tuple(place)] == 2**40
    start, direction = layers["arrows augmented"].data[0]
    np.testing.assert_allclose(layers["arrows augmented"].data_to_world(start), world, atol=1e-4)
    np.testing.assert_allclose(direction * SCALE, [2.0, -6.0], atol=1e-4)
    vertices = layers["boxes augmented"].data[0]
    np.testing.assert_allclose(layers["boxes augmented"].data_to_world(vertices.mean(0)), world, atol=1e-4)
    track = layers["paths augmented"]
    assert next(iter(track.axis_labels)) == "time"
    np.testing.assert_allclose(np.asarray(track.data_to_world(track.data[0, 1:]))[-2:], world, atol=1e-4)
    np.testing.assert_array_equal(layers["cells"].data, before)
    assert layers.selection.active is not image


def test_samples_are_a_stack_with_everything_beside_it(panel: AugmentPanel, qtbot: Any) -> None:
    for name in ("ids", "dots", "boxes"):
        panel.along.tick(panel.viewer.layers[name])
    panel.show_samples(5)
    done(qtbot, panel)
    layers = panel.viewer.layers
    image, points = layers["cells 5 samples"], layers["dots 5 samples"]
    assert image.data.shape == layers["ids 5 samples"].data.shape == (5, 40, 50)
    assert image.axis_labels[0] == "sample"
    assert sorted(points.data[:, 0].tolist()) == [0, 1, 2, 3, 4]
    for row in points.data:
        assert image.data[tuple(row.round().astype(int))] > 500
    assert layers["boxes 5 samples"].edge_width[0] == pytest.approx(1 / np.sqrt(6))
    assert [int(shape[0, 0]) for shape in layers["boxes 5 samples"].data] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(image.data_to_world((0, 0, 0))[1:], (5, 7))


def test_a_crop_lies_where_it_was_cut_and_a_resized_image_on_the_same_field(viewer: ViewerModel) -> None:
    source = viewer.layers["cells"]
    content = sample_layers(source, to_image(source, "YX"), ())
    pipeline = Pipeline(transforms=(Crop(height=20, width=16), Resize(height=40, width=32)))
    draw = pipeline.draw(3, content.sample)
    (layer,) = result_layers(content, [pipeline.apply(content.sample, draw)], placed(source, "YX", draw), "augmented")
    start = draw.steps[0].values["starts"]
    assert isinstance(start, tuple)
    np.testing.assert_allclose(layer.scale, (1.0, 1.5))
    # Outer edges of the crop stay where they are.
    np.testing.assert_allclose(layer.data_to_world((-0.5, -0.5)), source.data_to_world(np.array(start) - 0.5))


def test_a_draw_is_replayed_on_another_layer(panel: AugmentPanel, qtbot: Any) -> None:
    panel.presets.seed.setValue(flipping_seed(panel))
    panel.show_samples(1)
    done(qtbot, panel)
    other = panel.viewer.add_image(np.arange(2000, dtype=np.float32).reshape(40, 50), name="other channel")
    panel.source.choose(other)
    panel.transforms.show_transforms(())
    panel.replay()
    done(qtbot, panel)
    np.testing.assert_array_equal(panel.viewer.layers["other channel replayed"].data, other.data[:, ::-1])


def test_samples_are_shown_side_by_side(panel: AugmentPanel, qtbot: Any) -> None:
    tick_all(panel)
    panel.show_samples(5, grid=True)
    done(qtbot, panel)
    assert panel.messages.error.text() == ""
    layers = panel.viewer.layers
    image = layers["cells 5 samples"]
    assert image.data.shape == layers["ids 5 samples"].data.shape == (80, 150)
    points = layers["dots 5 samples"].data
    assert len(points) == len(layers["boxes 5 samples"].data) == len(layers["arrows 5 samples"].data) == 5
    for row in points.round().astype(int):
        assert image.data[tuple(row)] > 500
        assert layers["ids 5 samples"].data[tuple(row)] == 2**40
    np.testing.assert_allclose(layers["arrows 5 samples"].data[:, 0], points, atol=1e-4)


def test_what_was_moved_is_moved_back_to_its_place(panel: AugmentPanel, qtbot: Any) -> None:
    panel.transforms.show_transforms((Crop(height=24, width=40, position="centre"), ALONG_X))
    panel.show_samples(1)
    done(qtbot, panel)
    panel.source.choose(panel.viewer.layers["cells augmented"])
    panel.replay("back")
    done(qtbot, panel)
    assert panel.messages.error.text() == ""
    source, back = panel.viewer.layers["cells"], panel.viewer.layers["cells augmented moved back"]
    np.testing.assert_array_equal(back.data, source.data)
    np.testing.assert_allclose(back.data_to_world((0, 0)), source.data_to_world((0, 0)))


def test_a_layer_of_another_size_cannot_take_the_draw_and_is_told_so(panel: AugmentPanel, qtbot: Any) -> None:
    panel.show_samples(1)
    done(qtbot, panel)
    panel.source.choose(panel.viewer.add_image(np.zeros((8, 8)), name="small"))
    panel.replay()
    done(qtbot, panel)
    assert "draw anew" in panel.messages.error.text()


@pytest.mark.parametrize("how", ["vectors", "image"])
def test_the_field_is_a_layer(panel: AugmentPanel, qtbot: Any, how: str) -> None:
    panel.presets.seed.setValue(flipping_seed(panel))
    panel.show_samples(1)
    done(qtbot, panel)
    panel.show_field(how)
    done(qtbot, panel)
    layer = panel.viewer.layers["cells displacement"]
    np.testing.assert_allclose(layer.scale, SCALE)
    if how == "image":
        np.testing.assert_allclose(layer.data[0], np.abs(49 - 2 * np.arange(50)))
    else:
        np.testing.assert_allclose(layer.data[:, 1, 1], 49 - 2 * layer.data[:, 0, 1])


def test_arrows_begin_on_a_lattice() -> None:
    arrows = vectors_of(np.ones((2, 10, 12), np.float32), 4)
    assert sorted(set(arrows[:, 0, 1])) == [2, 6, 10]
    assert (arrows[:, 1] == 1).all()


def test_the_pipeline_is_copied(panel: AugmentPanel) -> None:
    panel.copy("yaml")
    assert Pipeline.from_yaml(QGuiApplication.clipboard().text()) == panel.pipeline()
    panel.copy("python")
    assert "Flip(along_y=False)" in QGuiApplication.clipboard().text()


# Errors


def test_a_saved_pipeline_is_loaded_again(panel: AugmentPanel, tmp_path: Path) -> None:
    panel.load_preset("histology")
    panel.sampling.set_values({"interpolation": "cubic"})
    wanted = panel.pipeline()
    panel.save_pipeline(tmp_path / "own.yaml")
    panel.load_preset("ct")
    panel.load_pipeline(tmp_path / "own.yaml")
    assert panel.pipeline() == wanted
    assert panel.presets.presets.currentText() == "Own"


@pytest.mark.parametrize("text", ["", "steps: [{kind: moonlight}]"])
def test_a_file_that_is_no_pipeline_changes_nothing(panel: AugmentPanel, tmp_path: Path, text: str) -> None:
    before = panel.pipeline()
    (tmp_path / "own.yaml").write_text(text)
    panel.load_pipeline(tmp_path / "own.yaml")
    assert panel.messages.error.text()
    assert panel.pipeline() == before
    panel.save_pipeline(tmp_path / "missing" / "own.yaml")
    assert "cannot be saved" in panel.messages.error.text()


def test_labels_that_lie_elsewhere_are_refused(viewer: ViewerModel) -> None:
    source = viewer.layers["cells"]
    viewer.layers["ids"].translate = (0, 0)
    with pytest.raises(InvalidImageError, match="pixel by pixel"):
        sample_layers(source, to_image(source, "YX"), [viewer.layers["ids"]])


def test_points_with_more_dimensions_than_the_image_are_refused(viewer: ViewerModel) -> None:
    source, deep = viewer.layers["cells"], viewer.add_points(np.zeros((1, 4)), name="deep")
    with pytest.raises(AxesError):
        sample_layers(source, to_image(source, "YX"), [deep])


def test_too_many_samples_are_refused_before_the_first(
    panel: AugmentPanel, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    panel.show_samples(4)
    done(qtbot, panel)
    assert "show fewer" in panel.messages.error.text()


def test_without_an_image_the_buttons_are_off(qtbot: Any) -> None:
    panel = AugmentPanel(ViewerModel())
    qtbot.addWidget(panel)
    assert not panel.actions_box.samples.isEnabled()
    assert not panel.actions_box.preview.isEnabled()
    assert not panel.dataset.write.isEnabled()


# The preview


def shown(qtbot: Any, panel: AugmentPanel) -> Any:
    qtbot.waitUntil(lambda: bool(panel.preview.layers), timeout=20_000)
    qtbot.waitUntil(lambda: panel.preview._job is None and not panel.preview._timer.isActive(), timeout=20_000)
    return panel.preview.layers[0]


def test_the_preview_shows_one_draw_and_goes(panel: AugmentPanel, qtbot: Any) -> None:
    panel.along.tick(panel.viewer.layers["ids"])
    panel.presets.seed.setValue(flipping_seed(panel))
    count = len(panel.viewer.layers)
    panel.actions_box.preview.click()
    layer = shown(qtbot, panel)
    assert kind_of(layer) == PREVIEW
    np.testing.assert_array_equal(layer.data, panel.viewer.layers["cells"].data[:, ::-1])
    assert "Flip: signs 1 -1" in panel.actions_box.drawn.text()
    assert panel.source.layer is panel.viewer.layers["cells"]
    panel.actions_box.preview.click()
    assert len(panel.viewer.layers) == count


def test_the_preview_follows_the_settings(panel: AugmentPanel, qtbot: Any) -> None:
    panel.presets.seed.setValue(flipping_seed(panel))
    panel.actions_box.preview.click()
    layer = shown(qtbot, panel)
    panel.transforms.show_transforms(())
    source = panel.viewer.layers["cells"].data
    qtbot.waitUntil(lambda: np.array_equal(panel.preview.layers[0].data, source), timeout=20_000)
    assert panel.preview.layers == (layer,)
    panel.stop()
    assert panel.preview.layers == ()


def test_the_preview_of_a_stack_is_its_slice(panel: AugmentPanel, qtbot: Any) -> None:
    stack = np.random.default_rng(0).integers(0, 99, (4, 20, 24), dtype=np.uint8)
    panel.source.choose(panel.viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x")))
    panel.presets.seed.setValue(flipping_seed(panel))
    panel.viewer.dims.set_point(0, 2)
    panel.actions_box.preview.click()
    layer = shown(qtbot, panel)
    np.testing.assert_array_equal(layer.data, stack[2:3, :, ::-1])
    assert layer.translate[0] == 2
    panel.stop()


def test_the_preview_goes_with_its_source(panel: AugmentPanel, qtbot: Any) -> None:
    panel.actions_box.preview.click()
    shown(qtbot, panel)
    panel.viewer.layers.remove("cells")
    assert not panel.actions_box.preview.isChecked()
    assert not any(kind_of(layer) == PREVIEW for layer in panel.viewer.layers)


def test_what_was_drawn_is_told_in_words() -> None:
    sample = Sample(np.zeros((40, 50), np.uint8), "YX")
    pipeline = Pipeline(transforms=(Rotate(), Flip(probability=0.0)))
    said = in_words(pipeline.draw(0, sample))
    assert said[0].startswith("Rotate: degrees ")
    assert said[-1] == "Not this time: Flip."


# The data set


def test_a_data_set_is_written(panel: AugmentPanel, qtbot: Any, tmp_path: Path) -> None:
    panel.along.tick(panel.viewer.layers["ids"])
    panel.dataset.form.set_values({"count": 3, "crop": 16})
    panel.write_dataset(tmp_path)
    done(qtbot, panel)
    assert "Wrote 3 crops" in panel.messages.notes.text()
    with (tmp_path / "cells augmented" / "table.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    assert free_folder(tmp_path, "cells augmented").name == "cells augmented 2"


def test_a_data_set_that_cannot_be_is_told_and_leaves_nothing(panel: AugmentPanel, qtbot: Any, tmp_path: Path) -> None:
    panel.write_dataset(tmp_path)
    done(qtbot, panel)
    assert "make the crop smaller" in panel.messages.error.text()
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_of_many_files_needs_no_layer(qtbot: Any, tmp_path: Path) -> None:
    for name in ("images", "labels", "sets"):
        (tmp_path / name).mkdir()
    for number in range(3):
        pixels = np.full((40, 50), 100 * (number + 1), np.uint16)
        write_image(tmp_path / "images" / f"field {number}.tif", Image(pixels, "YX"))
        write_image(tmp_path / "labels" / f"field {number}_label.tif", Image(pixels // 100, "YX"))
    panel = AugmentPanel(ViewerModel())
    qtbot.addWidget(panel)
    box = panel.dataset
    box.fold.setChecked(True)
    assert not box.write.isEnabled()
    assert box.beside["labels"].isHidden()
    box.images.text.setText(str(tmp_path / "images"))
    assert box.write.isEnabled()
    assert not box.beside["labels"].isHidden()
    box.beside["labels"].text.setText(str(tmp_path / "labels" / "*_label.tif"))
    panel.transforms.show_transforms((ALONG_X,))
    box.form.set_values({"count": 4, "crop": 16, "validation": 0.34})
    panel.write_dataset(tmp_path / "sets")
    done(qtbot, panel)
    made = tmp_path / "sets" / "images augmented"
    with (made / "table.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["split"] for line in lines].count("train") == 4
    held = {line["source"] for line in lines if line["split"] == "validation"}
    assert len(held) == 1
    assert not held & {line["source"] for line in lines if line["split"] == "train"}
    for line in lines:
        image, labels = (read_image(made / line[what]).read() for what in ("image", "labels"))
        np.testing.assert_array_equal(image, labels.astype(np.uint16) * 100)
    other = AugmentPanel(ViewerModel())
    qtbot.addWidget(other)
    assert other.dataset.kept() == box.kept()
    # What is missing is told, and nothing is left.
    (tmp_path / "labels" / "field 1_label.tif").unlink()
    panel.write_dataset(tmp_path / "sets")
    done(qtbot, panel)
    assert "no labels file for 'field 1'" in panel.messages.error.text()
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["images augmented"]


@pytest.mark.parametrize(
    ("shape", "labels", "rgb"),
    [
        ((5, 20, 24), "zyx", False),
        ((2, 5, 20, 24), "czyx", False),
        ((20, 24, 3), "yx", True),
        ((6, 20, 24), "tyx", False),
    ],
)
def test_images_of_every_kind_keep_their_place(
    panel: AugmentPanel, qtbot: Any, shape: tuple[int, ...], labels: str, rgb: bool
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    scale = np.arange(2.0, 2.0 + len(labels))
    image = panel.viewer.add_image(pixels, name="other", rgb=rgb, axis_labels=tuple(labels), scale=scale)
    spatial = [axis for axis in labels if axis in "zyx"]
    at = np.array([shape[labels.index(axis)] // 2 for axis in spatial], dtype=float)
    points = panel.viewer.add_points(at[None], name="middle", scale=scale[-len(spatial) :])
    panel.source.choose(image)
    panel.along.tick(points)
    panel.transforms.show_transforms(PRESETS["mri"].transforms)
    for count, name in ((1, "other augmented"), (2, "other 2 samples")):
        panel.show_samples(count)
        done(qtbot, panel)
        assert panel.messages.error.text() == ""
        layer = panel.viewer.layers[name]
        assert layer.rgb == rgb
        assert layer.data.shape == ((2,) if count == 2 else ()) + shape
        np.testing.assert_allclose(layer.scale[-len(labels) :], scale)
    stack = panel.viewer.layers["middle 2 samples"]
    assert stack.ndim == len(labels) + 1
    lead = labels[: len(labels) - len(spatial)]
    expected = 2 * int(np.prod([shape[labels.index(axis)] for axis in lead]))
    assert len(stack.data) <= expected
    assert set(stack.data[:, 0]) <= {0, 1}


def test_opening_the_panel_does_not_load_torch() -> None:
    code = "import sys; import napari_synth.gui.panels.augment; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_what_lies_on_the_image_moves_along_unless_it_is_unticked(viewer: ViewerModel, qtbot: Any) -> None:
    viewer.add_points([[900.0, 900.0]], name="elsewhere")
    panel = AugmentPanel(viewer)
    qtbot.addWidget(panel)
    assert {layer.name for layer in panel.along.chosen} == {"ids", "dots", "arrows", "boxes", "paths"}
    panel.along.tick(viewer.layers["boxes"], False)
    viewer.add_labels(np.ones((40, 50), np.uint8), name="more ids", scale=SCALE, translate=(5, 7))
    assert {layer.name for layer in panel.along.chosen} == {"more ids", "dots", "arrows", "paths"}


def test_a_pipeline_is_pasted_remembered_and_put_back(viewer, panel, qtbot) -> None:
    usual = PRESETS["light-microscopy"]
    QGuiApplication.clipboard().setText(Pipeline(transforms=(Rotate(degrees=7.0),)).to_yaml())
    qtbot.mouseClick(panel.actions_box.paste, Qt.MouseButton.LeftButton)
    assert panel.pipeline().active == (Rotate(degrees=7.0),)
    assert panel.presets.presets.currentText() == "Own"
    panel.actions_box.count.setValue(1)
    panel.actions_box.samples.click()
    done(qtbot, panel)

    other = AugmentPanel(viewer)
    qtbot.addWidget(other)
    assert other.pipeline().active == (Rotate(degrees=7.0),)
    assert other.presets.presets.currentText() == "Own"
    other.presets.seed.setValue(5)
    qtbot.mouseClick(other.actions_box.reset, Qt.MouseButton.LeftButton)
    assert other.pipeline().active == usual.active
    assert other.presets.presets.currentText() == "Light microscopy"
    assert other.presets.seed.value() == 0
    QGuiApplication.clipboard().setText("")
    other.actions_box.paste.click()
    assert "no pipeline on the clipboard" in other.messages.error.text()
    third = AugmentPanel(viewer)
    qtbot.addWidget(third)
    assert third.pipeline().active == usual.active


def test_help_says_what_every_transform_does(panel, qtbot, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(helping.napari_synth, "__file__", str(tmp_path / "napari_synth" / "__init__.py"))
    panel.show()
    qtbot.mouseClick(panel.presets.help, Qt.MouseButton.LeftButton)
    words = panel.findChild(helping.HelpDialog).text.toPlainText()
    assert Rotate.title in words
    assert Rotate.summary in words


def test_what_was_drawn_is_listed_and_its_pipeline_and_seed_are_used_again(panel: AugmentPanel, qtbot: Any) -> None:
    assert panel.history.isHidden()
    panel.presets.seed.setValue(7)
    panel.actions_box.count.setValue(2)
    qtbot.mouseClick(panel.actions_box.samples, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel._job is None and bool(panel.history.runs))
    drawn = panel.pipeline()
    assert not panel.history.isHidden()
    (past,) = panel.history.runs
    assert (past.layer, past.seed, past.what, past.pipeline) == ("cells", 7, "2 samples", drawn)
    item = panel.history.list.item(0)
    assert item.text().endswith("cells\nOwn, seed 7 · 2 samples")
    assert "Flip" in item.toolTip()

    panel.load_preset("mri")
    panel.presets.seed.setValue(0)
    qtbot.mouseClick(panel.history.fold, Qt.MouseButton.LeftButton)
    rect = panel.history.list.visualItemRect(item)
    qtbot.mouseClick(panel.history.list.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
    qtbot.mouseClick(panel.history.use, Qt.MouseButton.LeftButton)
    assert panel.pipeline() == drawn
    assert panel.presets.seed.value() == 7
    assert panel.presets.presets.currentData() == ""
