"""What a data set on disk holds, and that there is never half of one."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from napari_builtins.io import csv_to_layer_data

from napari_synth.augmentation import PRESETS, Flip, Pipeline, Rotate
from napari_synth.augmentation.export import AnnotatedImage, DatasetPlan, export_dataset
from napari_synth.core.errors import AxesError, Cancelled, ImageFileError, InvalidParameterError
from napari_synth.core.progress import CancelToken, Progress
from napari_synth.files import read_image
from napari_synth.imaging.image import Image

PLAIN = Pipeline(transforms=(Flip(), Rotate()))


def ramp(*shape: int, name: str = "cells", axes: str = "YX", offset: int = 0) -> AnnotatedImage:
    """An image of which every pixel says where it lies, with labels that are the same, and a point on each 8th pixel."""
    pixels = (np.arange(np.prod(shape)) + offset).reshape(shape)
    image = Image(pixels.astype(np.float32), axes, {"Y": 0.5, "X": 0.5}, {"Y": "micrometer", "X": "micrometer"}, name)
    points = np.stack(np.meshgrid(*(np.arange(0, size, 8) for size in shape), indexing="ij"), -1).reshape(
        -1, len(shape)
    )
    return AnnotatedImage.of(image, pixels.astype(np.int64), points)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def written(folder: Path, split: str, kind: str) -> list[np.ndarray]:
    return [read_image(folder / row[kind]).read() for row in table(folder) if row["split"] == split]


@pytest.mark.parametrize("form", ["tiff", "ome-zarr"])
def test_images_labels_and_points_lie_side_by_side(tmp_path: Path, form: Any) -> None:
    plan = DatasetPlan(PLAIN, (16, 20), count=3, format=form)
    done = export_dataset([ramp(64, 48)], plan, tmp_path / "set")
    assert (done.training, done.validation) == (3, 1)
    rows = table(tmp_path / "set")
    assert [row["split"] for row in rows] == ["train"] * 3 + ["validation"]
    for row in rows:
        image, labels = read_image(tmp_path / "set" / row["image"]), read_image(tmp_path / "set" / row["labels"])
        assert image.shape == labels.shape == (16, 20)
        assert image.spacing == {"Y": 0.5, "X": 0.5}
        assert (tmp_path / "set" / row["points"]).read_text().startswith("index,axis-0,axis-1\n")
    assert Pipeline.from_file(tmp_path / "set" / "pipeline.yaml") == PLAIN
    assert yaml.safe_load((tmp_path / "set" / "recipe.yaml").read_text())["sources"][0]["name"] == "cells"


def test_all_that_lies_in_an_image_is_written_as_napari_reads_it(tmp_path: Path) -> None:
    """The image is its own ruler: the value of a pixel tells where it lay."""
    size = (64, 48)
    image = Image(np.arange(np.prod(size), dtype=np.float32).reshape(size), "YX")
    spots = np.argwhere(np.ones(size, bool))[::37]
    source = AnnotatedImage.of(
        image,
        points=spots,
        shapes=[spot + np.array([[0, 0], [0, 3], [3, 3]]) for spot in spots] + [np.array([[9, 9], [9, 20], [5, 5]])],
        vectors=np.stack([spots, np.ones_like(spots)], 1),
        tracks=np.concatenate([np.arange(len(spots))[:, None] % 5, np.arange(len(spots))[:, None], spots], 1),
        shape_types=["polygon"] * len(spots) + ["path"],
    )
    export_dataset([source], DatasetPlan(Pipeline(transforms=(Flip(),)), (16, 20), count=6), tmp_path / "set")
    for row in table(tmp_path / "set"):
        pixels = read_image(tmp_path / "set" / row["image"]).read()
        points, _, _ = csv_to_layer_data(str(tmp_path / "set" / row["points"]), "points")
        expected = np.argwhere(np.isin(pixels, image.data[tuple(spots.T)]))
        assert {tuple(point) for point in points} == {tuple(spot) for spot in expected}
        shapes, looks, kind = csv_to_layer_data(str(tmp_path / "set" / row["shapes"]), "shapes")
        assert kind == "shapes"
        assert len(shapes) >= len(points)
        assert set(looks["shape_type"]) <= {"polygon", "path"}
        with (tmp_path / "set" / row["vectors"]).open() as file:
            assert len(list(csv.DictReader(file))) == len(points)
        with (tmp_path / "set" / row["tracks"]).open() as file:
            tracks = list(csv.DictReader(file))
        assert {(float(line["axis-1"]), float(line["axis-2"])) for line in tracks} == {tuple(p) for p in points}
        for line in tracks:
            time = float(line["axis-0"])
            assert float(line["track-id"]) == time % 5
            assert pixels[int(float(line["axis-1"])), int(float(line["axis-2"]))] == image.data[tuple(spots[int(time)])]


def test_planes_of_a_volume_keep_the_shapes_tracks_and_vectors_that_lie_in_them(tmp_path: Path) -> None:
    movie = Image(np.zeros((3, 32, 32), np.uint8), "TYX")
    corner = np.array([[0, 4, 4], [0, 4, 9], [0, 9, 9]])
    source = AnnotatedImage.of(
        movie,
        shapes=[corner, corner + np.array([1, 0, 0])],
        vectors=np.array([[[2, 5, 5], [0, 1, 2]]]),
        tracks=np.array([[7, 1, 6, 6], [7, 2, 7, 7]]),
    )
    export_dataset([source], DatasetPlan(Pipeline(), (32, 32), count=12, validation=0), tmp_path / "set")
    seen = set()
    for row in table(tmp_path / "set"):
        time = int(row["time"])
        seen.add(time)
        lines = {
            kind: (tmp_path / "set" / row[kind]).read_text().splitlines() for kind in ("shapes", "vectors", "tracks")
        }
        assert len(lines["shapes"]) == 1 + (3 if time < 2 else 0)
        assert lines["vectors"][1:] == (["0,5.0,5.0,1.0,2.0"] if time == 2 else [])
        assert lines["tracks"][1:] == ([f"0,{time}.0,{time + 5}.0,{time + 5}.0,7"] if time else [])
    assert len(seen) == 3


def test_a_part_of_the_image_is_kept_for_validation(tmp_path: Path) -> None:
    export_dataset([ramp(80, 40)], DatasetPlan(PLAIN, (16, 16), count=20), tmp_path / "set")
    trained = np.concatenate([labels.ravel() for labels in written(tmp_path / "set", "train", "labels")])
    validated = np.concatenate([labels.ravel() for labels in written(tmp_path / "set", "validation", "labels")])
    assert not set(trained[trained > 0].tolist()) & set(validated.tolist())
    assert len(set(validated.tolist())) == validated.size, "crops for validation overlap"


def test_whole_images_are_kept_for_validation(tmp_path: Path) -> None:
    sources = [ramp(32, 32, name=f"image {i}", offset=2000 * i) for i in range(5)]
    export_dataset(sources, DatasetPlan(PLAIN, (16, 16), count=20), tmp_path / "set")
    names = {
        split: {row["source"] for row in table(tmp_path / "set") if row["split"] == split}
        for split in ("train", "validation")
    }
    assert len(names["validation"]) == 1
    assert not names["train"] & names["validation"]


def test_what_is_kept_is_not_changed(tmp_path: Path) -> None:
    source = ramp(4, 64, 48, axes="ZYX")
    export_dataset([source], DatasetPlan(PLAIN, (16, 16), count=4, validation=0.5), tmp_path / "set")
    for row in table(tmp_path / "set"):
        if row["split"] == "validation":
            y, x = (int(start) for start in row["start"].split())
            expected = np.asarray(source.sample.image)[int(row["plane"]), y : y + 16, x : x + 16]
            np.testing.assert_array_equal(read_image(tmp_path / "set" / row["image"]).read(), expected)
            points = (tmp_path / "set" / row["points"]).read_text().splitlines()[1:]
            assert len(points) == (4 if int(row["plane"]) == 0 else 0)


def test_volumes(tmp_path: Path) -> None:
    plan = DatasetPlan(PRESETS["mri"], (8, 16, 16), count=2)
    export_dataset([ramp(2, 12, 40, 32, axes="TZYX")], plan, tmp_path / "set")
    assert {image.shape for image in written(tmp_path / "set", "train", "image")} == {(8, 16, 16)}
    with pytest.raises(AxesError, match="has no Z"):
        export_dataset([ramp(40, 40)], plan, tmp_path / "other")


def test_the_same_seed_gives_the_same_data_set(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        export_dataset([ramp(64, 48)], DatasetPlan(PLAIN, (16, 16), count=3, seed=seed), tmp_path / name)
    a, b, c = (np.stack(written(tmp_path / name, "train", "image")) for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_ids_of_all_crops_have_one_small_dtype(tmp_path: Path) -> None:
    labels = np.zeros((64, 48), np.int64)
    labels[:4, :4] = 70_000
    source = AnnotatedImage.of(Image(np.zeros((64, 48), np.uint8), "YX"), labels)
    export_dataset([source], DatasetPlan(PLAIN, (16, 16), count=6, validation=0), tmp_path / "set")
    assert {labels.dtype for labels in written(tmp_path / "set", "train", "labels")} == {np.dtype(np.uint32)}


@pytest.mark.parametrize("how", ["cancel", "error", "interrupt"])
def test_nothing_is_left_of_half_a_data_set(tmp_path: Path, how: str) -> None:
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.done == 2:
            if how == "interrupt":
                raise KeyboardInterrupt
            if how == "error":
                raise OSError(28, "No space left on device")
            token.cancel()

    with pytest.raises((Cancelled, ImageFileError, KeyboardInterrupt)):
        export_dataset([ramp(64, 48)], DatasetPlan(PLAIN, (16, 16)), tmp_path / "set", progress=stop, cancel=token)
    assert list(tmp_path.iterdir()) == []


def test_only_an_earlier_data_set_is_replaced(tmp_path: Path) -> None:
    plan = DatasetPlan(PLAIN, (16, 16), count=1)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("mine")
    with pytest.raises(ImageFileError, match="not empty"):
        export_dataset([ramp(64, 48)], plan, tmp_path / "own", overwrite=True)
    assert (tmp_path / "own" / "thesis.txt").read_text() == "mine"
    (tmp_path / "set").mkdir()
    export_dataset([ramp(64, 48)], plan, tmp_path / "set")
    with pytest.raises(ImageFileError, match="data set already"):
        export_dataset([ramp(64, 48)], plan, tmp_path / "set")
    export_dataset([ramp(64, 48)], DatasetPlan(PLAIN, (16, 16), count=2), tmp_path / "set", overwrite=True)
    assert len(table(tmp_path / "set")) == 3


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"crop": (100, 16)}, "too few"),
        ({"crop": (40, 40)}, "too small to keep"),
        ({"split": "image"}, "cannot be split by image"),
        ({"count": 0}, "0 crops"),
        ({"validation": 0.95}, "share"),
        ({"crop": (4,)}, "two or three"),
        ({"format": "jpeg"}, "no format"),
        ({"split": "luck"}, "split"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidParameterError, match=match):
        export_dataset([ramp(64, 48)], DatasetPlan(PLAIN, **{"crop": (16, 16), **options}), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []
