"""The command synthesize, from its words to files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_synth import registry
from napari_synth.batches import writing
from napari_synth.batches.manifest import Status, read_manifest
from napari_synth.cli import main
from napari_synth.contract.generator import GeneratorInfo, Task
from napari_synth.contract.synthesis import Sampler, SampleSpec, SynthesisContext, SynthesisParams
from napari_synth.core.errors import ImageFileError
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image


class Even(Sampler):
    """Images of one value."""

    def __init__(self, spec: SampleSpec) -> None:
        self.spec = spec

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        return (1,)

    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return (100.0 + 10.0 * latents[..., None, None]).expand(-1, self.spec.channels, *size)


class EvenSynthesizer:
    info = GeneratorInfo("synthesize/even", "Even", "Fake.", Task.SYNTHESIZE, invents=True)
    spec = SampleSpec(1, "", "uint8", (8, 8), grid=8)

    def prepare(self, source: Image | None, params: SynthesisParams, context: SynthesisContext) -> Sampler:
        return Even(self.spec)


class EvenChannels(EvenSynthesizer):
    spec = SampleSpec(2, "C", "float32", (8, 8), grid=8)


class OfLabels(EvenSynthesizer):
    needs = "labels"


class WithLabels(Even):
    """Images of one value, each with an object in its middle."""

    makes_labels = True

    def labels(self, latents: torch.Tensor) -> torch.Tensor:
        found = torch.zeros((len(latents), 8, 8), dtype=torch.long)
        found[:, 2:6, 2:6] = 1
        return found


class EvenPairs(EvenSynthesizer):
    needs = "optional labels"

    def prepare(self, source: Image | None, params: SynthesisParams, context: SynthesisContext) -> Sampler:
        return Even(self.spec) if source is not None else WithLabels(self.spec)


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    registry.register(EvenSynthesizer())
    yield
    registry._of_session.pop("synthesize/even")


def test_a_stack_in_one_file_and_again_from_its_recipe(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, again = tmp_path / "out.tif", tmp_path / "again.tif"
    words = ["synthesize", "even", str(out), "--count", "3", "--seed", "2", "--size", "16", "--device", "cpu"]
    assert main(words) == 0
    made = read_image(out)
    assert made.sizes == {"T": 3, "Y": 16, "X": 16}
    assert main(["run", f"{out}.recipe.yaml", str(again)]) == 0
    np.testing.assert_array_equal(read_image(again).read(), made.read())
    assert main(words) == 2
    assert "exists already" in capfd.readouterr().err


@pytest.mark.parametrize(("kind", "suffix"), [(EvenSynthesizer, ".png"), (EvenChannels, ".ome.tif")])
def test_one_file_each_in_a_folder(tmp_path: Path, kind: type[EvenSynthesizer], suffix: str) -> None:
    registry.register(kind())
    assert main(["synthesize", "even", str(tmp_path / "out"), "--count", "2", "--device", "cpu"]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith("."))
    assert names == [f"0001{suffix}", f"0002{suffix}", "images.recipe.yaml", "manifest.jsonl"]
    assert read_image(tmp_path / "out" / names[0]).dtype == np.dtype(kind.spec.dtype)


def of_folder(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.png")
    }


def test_a_folder_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    words = ["--count", "9", "--device", "cpu"]
    assert main(["synthesize", "even", str(whole), *words]) == 0
    made: list[Path] = []

    def failing(path: Path, image: Image, **options: Any) -> None:
        if len(made) == 4:
            raise ImageFileError("The disk is full: make room.")
        write_image(path, image, **options)
        made.append(path)

    monkeypatch.setattr(writing, "write_image", failing)
    assert main(["synthesize", "even", str(out), *words]) == 2
    assert sorted(path.name for path in out.glob("*.png")) == [f"000{n}.png" for n in range(1, 5)]
    # A file that a full disk or a crash left torn is made again, and nothing else that is there.
    (out / "0002.png").write_bytes((out / "0002.png").read_bytes()[:20])
    untouched = (out / "0001.png").stat().st_mtime_ns
    monkeypatch.setattr(writing, "write_image", write_image)
    assert main(["synthesize", "even", str(out), *words]) == 0
    assert "3 of 9 images were there already" in capfd.readouterr().err
    assert (out / "0001.png").stat().st_mtime_ns == untouched
    assert of_folder(out) == of_folder(whole)
    # More of them go on behind; the first ones are the same.
    assert main(["synthesize", "even", str(out), "--count", "12", "--device", "cpu"]) == 0
    more = of_folder(out)
    assert len(more) == 12
    assert of_folder(whole).items() <= more.items()
    _, records = read_manifest(out)
    assert [record.status for record in records.values()] == [Status.DONE] * 12


def test_a_folder_never_mixes_settings_and_leaves_others_files_alone(tmp_path: Path, capfd: Any) -> None:
    out = tmp_path / "out"
    assert main(["synthesize", "even", str(out), "--count", "2", "--device", "cpu"]) == 0
    before = of_folder(out)
    assert main(["synthesize", "even", str(out), "--count", "2", "--seed", "1", "--device", "cpu"]) == 2
    assert "results of other settings" in capfd.readouterr().err
    assert of_folder(out) == before
    assert main(["synthesize", "even", str(out), "--count", "2", "--seed", "1", "--device", "cpu", "--overwrite"]) == 0
    assert of_folder(out) != before
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "0001.png").write_bytes(b"mine")
    assert main(["synthesize", "even", str(strange), "--device", "cpu"]) == 2
    assert "exists already" in capfd.readouterr().err
    assert (strange / "0001.png").read_bytes() == b"mine"


def test_pairs_in_a_folder_go_on_too(tmp_path: Path) -> None:
    registry.register(EvenPairs())
    out = tmp_path / "out"
    assert main(["synthesize", "even", str(out), "--count", "3", "--device", "cpu"]) == 0
    before = of_folder(out)
    assert set(before) == {f"{kind}/000{n}.png" for kind in ("images", "labels") for n in (1, 2, 3)}
    (out / "labels" / "0002.png").unlink()
    assert main(["synthesize", "even", str(out), "--count", "3", "--device", "cpu"]) == 0
    assert of_folder(out) == before


def test_one_image_needs_no_axis_of_its_own(tmp_path: Path) -> None:
    assert main(["synthesize", "even", str(tmp_path / "out.png"), "--no-recipe", "--device", "cpu"]) == 0
    assert read_image(tmp_path / "out.png").sizes == {"Y": 8, "X": 8}
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_an_ome_zarr_is_written_image_by_image(tmp_path: Path) -> None:
    assert main(["synthesize", "even", str(tmp_path / "out.zarr"), "--count", "3", "--device", "cpu"]) == 0
    assert main(["synthesize", "even", str(tmp_path / "out.npy"), "--count", "3", "--device", "cpu"]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "out.zarr").read(), np.load(tmp_path / "out.npy"))


def test_labels_are_read_from_a_file(tmp_path: Path) -> None:
    registry.register(OfLabels())
    write_image(tmp_path / "labels.tif", Image(np.zeros((8, 8), np.uint16), "YX"))
    labels, out = str(tmp_path / "labels.tif"), tmp_path / "out.tif"
    assert main(["synthesize", "even", str(out), "--source", labels, "--device", "cpu"]) == 0
    assert main(["run", f"{out}.recipe.yaml", labels, str(tmp_path / "again.tif")]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "again.tif").read(), read_image(out).read())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evn", "out.tif"], "did you mean synthesize/even"),
        (["even", "out.png", "--count", "2"], "PNG holds one plane"),
        (["even", "out.xyz"], "cannot be written as .xyz"),
        (["even", "out.tif", "--size", "12"], "multiples of 8"),
        (["even", "out.tif", "--source", "no.tif"], "There is no file"),
        (["even", "out.tif", "--count", "0"], "greater than or equal to 1"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    tmp_path: Path, words: list[str], message: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["synthesize", *words, "--device", "cpu"]) == 2
    said = capfd.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_recipe_says_whether_it_needs_a_source(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out.tif")
    assert main(["synthesize", "even", out, "--quiet", "--device", "cpu"]) == 0
    assert capfd.readouterr().err == ""
    assert main(["run", f"{out}.recipe.yaml", out, str(tmp_path / "again.tif")]) == 2
    assert "of random numbers alone" in capfd.readouterr().err
    registry.register(OfLabels())
    assert main(["run", f"{out}.recipe.yaml", str(tmp_path / "again.tif")]) == 2
    assert "needs labels" in capfd.readouterr().err


def test_what_can_make_images_is_listed(capfd: pytest.CaptureFixture[str]) -> None:
    registry.register(OfLabels())
    assert main(["synthesize"]) == 0
    assert "even --source LABELS: Fake." in capfd.readouterr().out
    assert main(["list", "synthesize"]) == 0
    assert "even" in capfd.readouterr().out


def test_pairs_go_into_two_folders_under_the_same_names(tmp_path: Path) -> None:
    registry.register(EvenPairs())
    out = tmp_path / "out"
    words = ["synthesize", "even", str(out), "--count", "2", "--seed", "3", "--device", "cpu"]
    assert main(words) == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("[!.]*") if path.is_file()) == [
        "images.recipe.yaml",
        "images/0001.png",
        "images/0002.png",
        "labels/0001.png",
        "labels/0002.png",
        "manifest.jsonl",
    ]
    labels = read_image(out / "labels" / "0002.png").read()
    assert labels.sum() == 16
    assert labels[3, 3] == 1
    again = tmp_path / "again"
    again.mkdir()
    assert main(["run", str(out / "images.recipe.yaml"), str(again)]) == 0
    for name in ("images/0002.png", "labels/0002.png"):
        np.testing.assert_array_equal(read_image(out / name).read(), read_image(again / name).read())
    write_image(tmp_path / "own.tif", Image(np.ones((8, 8), np.uint8), "YX"))
    alone = tmp_path / "alone"
    assert main(["synthesize", "even", str(alone), "--source", str(tmp_path / "own.tif"), "--device", "cpu"]) == 0
    assert sorted(path.name for path in alone.glob("[!.]*")) == ["0001.png", "images.recipe.yaml", "manifest.jsonl"]


def test_labels_of_one_file_lie_beside_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    registry.register(EvenPairs())
    out = tmp_path / "out.tif"
    assert main(["synthesize", "even", str(out), "--count", "3", "--device", "cpu"]) == 0
    assert read_image(tmp_path / "out_labels.tif").sizes == read_image(out).sizes == {"T": 3, "Y": 8, "X": 8}
    assert "The labels are in out_labels.tif" in capfd.readouterr().err
    assert main(["synthesize", "even", str(tmp_path / "out.zarr"), "--device", "cpu"]) == 2
    assert "name a folder" in " ".join(capfd.readouterr().err.split())
