from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari_builtins.io import napari_write_points, napari_write_shapes

from napari_synth.augmentation import Flip, Pipeline
from napari_synth.cli import main
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "labels").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_image(folder / f"{name}.tif", Image(rng.integers(0, 999, (48, 48), dtype=np.uint16), "YX"))
        labels = rng.integers(0, 9, (48, 48), dtype=np.uint8)
        write_image(tmp_path / "labels" / f"{name}_label.tif", Image(labels, "YX"))
    return folder


def test_a_folder_becomes_a_data_set(images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--labels", str(tmp_path / "labels" / "*_label.tif"), "--count", "4", "--crop", "16"]
    assert main(["augment", str(images), str(tmp_path / "out"), *words]) == 0
    assert "4 crops to train on" in capfd.readouterr().err
    found = sorted((tmp_path / "out" / "train" / "labels").iterdir())
    assert len(found) == 4
    assert read_image(found[0]).shape == (16, 16)


def test_points_and_shapes_that_napari_saved(images: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        napari_write_points(str(tmp_path / f"{name}_points.csv"), np.full((1, 2), 20.0), {})
        box = np.array([[10.0, 10.0], [10.0, 30.0], [30.0, 30.0], [30.0, 10.0]])
        napari_write_shapes(str(tmp_path / f"{name}.csv"), [box, box[:2]], {"shape_type": ["ellipse", "line"]})
    words = ["--points", str(tmp_path / "*_points.csv"), "--shapes", str(tmp_path), "--count", "2", "--crop", "40"]
    assert main(["augment", str(images), str(tmp_path / "out"), *words, "--quiet"]) == 0
    found = sorted((tmp_path / "out" / "train" / "shapes").iterdir())
    assert len(found) == len(list((tmp_path / "out" / "train" / "points").iterdir())) == 2
    kinds = [line.split(",")[1] for line in found[0].read_text().splitlines()[1:]]
    assert kinds == ["polygon"] * 48 + ["path"] * 2


def test_one_image_and_a_pipeline_of_ones_own(images: Path, tmp_path: Path) -> None:
    own = Pipeline(transforms=(Flip(),))
    (tmp_path / "own.yaml").write_text(own.to_yaml())
    words = ["--pipeline", str(tmp_path / "own.yaml"), "--count", "1", "--crop", "16", "--quiet"]
    assert main(["augment", str(images / "a.tif"), str(tmp_path / "out"), *words]) == 0
    assert Pipeline.from_file(tmp_path / "out" / "pipeline.yaml") == own
    assert not (tmp_path / "out" / "train" / "labels").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pipeline", "moonlight"], "no augmentation 'moonlight'"),
        (["--pipeline", "missing.yaml"], "cannot be read"),
        (["--labels", "missing/*.tif"], "no labels file for 'a'"),
        (["--points", "missing/*.csv"], "no table of points for 'a'"),
        (["--points", "missing.csv"], "cannot be read"),
        (["--shapes", "a_points.csv"], "cannot be read"),
        (["--crop", "64"], "too few for a crop"),
        (["--count", "0"], "0 crops"),
    ],
)
def test_errors_are_sentences_and_nothing_is_written(
    images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["augment", str(images), str(tmp_path / "out"), *words]) == 2
    assert said in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "out").exists()
