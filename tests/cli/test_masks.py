"""Masks on the command line: by file, folder, pattern and rule, from words to filled pixels and recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_synth import registry
from napari_synth.batches.inputs import find_mask
from napari_synth.cli import main
from napari_synth.contract.generator import BlockSpec, Context, GeneratorInfo, Prepared, Task
from napari_synth.contract.params import Params
from napari_synth.core.errors import ImageFileError
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image


class Doubled(Prepared):
    """Fills with twice the range of the image."""

    spec = BlockSpec.plane(4)

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        return block[:, :-1] * 0 + 2.0


class Fill:
    info = GeneratorInfo("inpaint/fake", "Fake", "Fills.", Task.INPAINT, colour="joint", invents=True)

    def prepare(self, image: Image, params: Params, context: Context) -> Prepared:
        return Doubled()


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"inpaint/fake": registry.adopted(Fill())}
    monkeypatch.setattr(registry, "_registered", lambda: known)


PIXELS = np.random.default_rng(0).integers(50, 200, (3, 40, 50)).astype(np.uint16)
HOLE = np.zeros((40, 50), np.uint8)
HOLE[10:14, 20:25], HOLE[30, 30] = 1, 3


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write_image(tmp_path / "a.ome.tif", Image(PIXELS, "ZYX"))
    return tmp_path / "a.ome.tif"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "mask.tif", HOLE)
    return tmp_path / "mask.tif"


def inpaint(*words: str | Path) -> int:
    return main(["inpaint", *map(str, words), "--device", "cpu"])


def filled(path: Path, before: np.ndarray = PIXELS) -> np.ndarray:
    """Return which pixels were changed."""
    changed: np.ndarray = read_image(path).read() != before
    return changed


def test_a_plane_is_filled_in_every_plane_of_a_stack(image: Path, mask: Path, tmp_path: Path) -> None:
    assert inpaint(image, tmp_path / "out.ome.tif", "--mask", mask) == 0
    assert np.array_equal(filled(tmp_path / "out.ome.tif"), np.broadcast_to(HOLE > 0, PIXELS.shape))


def test_chosen_labels_and_growth(image: Path, mask: Path, tmp_path: Path) -> None:
    assert inpaint(image, tmp_path / "out.ome.tif", "--mask", mask, "--mask-ids", "3", "--grow", "1") == 0
    assert filled(tmp_path / "out.ome.tif").sum() == 3 * 5
    recorded = Recipe.from_file(tmp_path / "out.ome.tif.recipe.yaml").mask
    assert recorded is not None
    assert (recorded.ids, recorded.grow, recorded.pixels) == ((3,), 1, 5)
    assert inpaint(image, tmp_path / "both.ome.tif", "--mask", mask, "--mask-ids", "3", "--mask-ids", "1") == 0
    assert filled(tmp_path / "both.ome.tif").sum() == 3 * 21


def test_a_rule_is_repeated_on_another_image(image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dead = PIXELS.copy()
    dead[1, 20, 20] = 0
    write_image(tmp_path / "dead.ome.tif", Image(dead, "ZYX"))
    assert inpaint(tmp_path / "dead.ome.tif", tmp_path / "out.ome.tif", "--mask-from", "zero", "--grow", "1") == 0
    assert "The mask marks 5 pixels" in capfd.readouterr().err
    other = PIXELS.copy()
    other[2, 5, 5] = other[0, 9, 9] = 0
    write_image(tmp_path / "other.ome.tif", Image(other, "ZYX"))
    recipe = str(tmp_path / "out.ome.tif.recipe.yaml")
    assert main(["run", recipe, str(tmp_path / "other.ome.tif"), str(tmp_path / "again.ome.tif")]) == 0
    assert filled(tmp_path / "again.ome.tif", other).sum() == 10


def test_a_drawn_mask_is_asked_for(image: Path, mask: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert inpaint(image, tmp_path / "out.ome.tif", "--mask", mask, "--mask-ids", "3") == 0
    recipe = str(tmp_path / "out.ome.tif.recipe.yaml")
    assert main(["run", recipe, str(image), str(tmp_path / "b.ome.tif")]) == 2
    assert "was drawn: add --mask" in capfd.readouterr().err
    assert main(["run", recipe, str(image), str(tmp_path / "b.ome.tif"), "--mask", str(mask)]) == 0
    assert np.array_equal(filled(tmp_path / "b.ome.tif"), filled(tmp_path / "out.ome.tif"))


@pytest.mark.parametrize("where", ["masks", "masks/*.tif", "named/*_mask.tif"])
def test_every_image_of_a_batch_has_its_own_mask(
    image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], where: str
) -> None:
    for name in ("in", "masks", "named"):
        (tmp_path / name).mkdir()
    for index, name in enumerate("abc"):
        write_image(tmp_path / "in" / f"{name}.ome.tif", Image(PIXELS, "ZYX"))
        if name != "c":
            tifffile.imwrite(tmp_path / "masks" / f"{name}.tif", np.roll(HOLE, index, 0))
            tifffile.imwrite(tmp_path / "named" / f"{name}_mask.tif", np.roll(HOLE, index, 0))
    assert inpaint(tmp_path / "in", tmp_path / "out", "--mask", tmp_path / where) == 1
    assert np.array_equal(filled(tmp_path / "out" / "a.ome.tif")[0], HOLE > 0)
    assert np.array_equal(filled(tmp_path / "out" / "b.ome.tif")[0], np.roll(HOLE, 1, 0) > 0)
    assert "There is no mask for 'c'" in capfd.readouterr().err


def test_one_mask_for_all_images_of_a_batch(image: Path, mask: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / f"{name}.ome.tif").write_bytes(image.read_bytes())
    assert inpaint(tmp_path / "in", tmp_path / "out", "--mask", mask) == 0
    assert all(filled(tmp_path / "out" / f"{name}.ome.tif").sum() == 63 for name in "ab")


def test_two_masks_of_one_name_are_told(tmp_path: Path) -> None:
    for name in ("a.tif", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(ImageFileError, match=r"'a.png' and 'a.tif'"):
        find_mask(str(tmp_path), Path("elsewhere/a.ome.tif"))


def test_a_pattern_names_the_image_with_its_first_star(tmp_path: Path) -> None:
    for name in ("a_mask.tif", "a_b_mask.tif"):
        (tmp_path / name).touch()
    assert find_mask(str(tmp_path / "*_mask.tif"), Path("a.ome.tif")).name == "a_mask.tif"
    assert find_mask(str(tmp_path / "*_mask.tif"), Path("a_b.png")).name == "a_b_mask.tif"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "There is no mask: add --mask"),
        (["--mask", "gone.tif"], "There is no mask 'gone.tif'"),
        (["--mask", "{mask}", "--mask-from", "nan"], "give --mask or --mask-from"),
        (["--mask", "{small}"], "does not fit an image of shape (3, 40, 50)"),
        (["--mask", "{named}"], "39 pixels along Y, the image 40"),
        (["--mask", "{mask}", "--mask-ids", "9"], "no label 9: it has 1, 3"),
        (["--mask", "{mask}", "--grow", "999"], "from 0 to 256"),
        (["--mask-from", "zero"], "The rule 'zero' marks no pixel"),
        (["--mask-from", "ugly"], "--mask-from"),
    ],
)
def test_what_is_wrong_with_a_mask_is_one_sentence(
    image: Path, mask: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    small, named = tmp_path / "small.npy", tmp_path / "named.ome.tif"
    np.save(small, HOLE[:39])
    write_image(named, Image(HOLE[:39], "YX"))
    given = [word.format(mask=mask, small=small, named=named) for word in words]
    assert inpaint(image, tmp_path / "out.tif", *given) == 2
    error = capfd.readouterr().err
    assert said in error
    assert error.startswith("napari-synth: ")
    assert not (tmp_path / "out.tif").exists()


def test_help_tells_of_masks(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inpaint", "--help"]) == 0
    shown = capfd.readouterr().out
    assert all(option in shown for option in ("--mask", "--mask-from", "--mask-ids", "--grow"))
