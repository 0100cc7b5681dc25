"""The models that a user added."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from foreign_models import script_file, weights_file

import napari_synth
from napari_synth import registry
from napari_synth.core.errors import ModelFileError, UnknownGeneratorError, UntrustedModelError
from napari_synth.models import bundled, library, trusted


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty library."""
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "shelf"))
    registry.refresh()
    yield tmp_path / "shelf"
    monkeypatch.undo()
    registry.refresh()


def ids() -> list[str]:
    return [generator.info.id for generator in registry.generators()]


def test_a_model_that_is_added_is_a_generator_until_it_is_removed(tmp_path: Path) -> None:
    before = ids()
    file = weights_file(tmp_path, "span")
    entry = registry.add_model(file)
    file.unlink()
    assert ids() == [*before, "super-resolution/my-span-v1"]
    assert [found.description for found in library.entries()[0]] == [entry.description]
    generator = registry.generator("super-resolution/my-span-v1")
    assert "My span_v1.pth (SPAN)" in generator.info.summary
    image = np.random.default_rng(0).integers(0, 60000, (30, 40), dtype=np.uint16)
    assert napari_synth.upscale(image, 2, "my-span-v1").shape == (60, 80)
    assert registry.remove_model("my-span-v1") == entry.description
    assert ids() == before
    assert not entry.path.exists()


def test_our_own_models_are_taken_too() -> None:
    registry.add_model(bundled("denoise-blind"), name="mine")
    image = np.random.default_rng(0).poisson(40, (40, 40)).astype("u2")
    np.testing.assert_array_equal(napari_synth.denoise(image, "mine"), napari_synth.denoise(image))


def test_a_task_and_trust_are_kept(tmp_path: Path) -> None:
    script = script_file(tmp_path / "half.pt", lambda image: image * 0.5)
    with pytest.raises(UntrustedModelError):
        registry.add_model(script, task="denoise")
    registry.add_model(script, task="denoise", trusted=True)
    result = napari_synth.denoise(np.array([[0.0, 1.0], [0.5, 1.0]], "f4"), "half")
    assert result.max() == pytest.approx(0.5, abs=0.01)


def test_the_list_loads_neither_torch_nor_a_reader(tmp_path: Path) -> None:
    registry.add_model(weights_file(tmp_path, "compact"))
    code = (
        "import sys; from napari_synth import registry;"
        "print([g.info.id for g in registry.generators()][-1]);"
        "print([name for name in ('torch', 'spandrel', 'bioimageio', 'torchvision') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n")[:2] == ["super-resolution/my-compact-v1", "[]"]


@pytest.mark.parametrize("name", ["blind", "network"])
def test_the_names_of_others_are_refused(tmp_path: Path, name: str) -> None:
    model = bundled("denoise-blind") if name == "blind" else weights_file(tmp_path, "span")
    with pytest.raises(ModelFileError, match="another name"):
        registry.add_model(model, name=name)


def test_the_same_model_twice_is_refused(tmp_path: Path, shelf: Path) -> None:
    file = weights_file(tmp_path, "compact")
    registry.add_model(file)
    with pytest.raises(ModelFileError, match="another name"):
        registry.add_model(file)
    assert len(list(shelf.glob("*/*"))) == 1


def test_a_model_that_cannot_be_read_leaves_nothing(tmp_path: Path, shelf: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(ModelFileError):
        registry.add_model(tmp_path / "bad.pth")
    assert not list(shelf.rglob("*"))


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy", fail)
    with pytest.raises(ModelFileError, match="No space left"):
        registry.add_model(weights_file(tmp_path, "compact"))
    assert not [path for path in shelf.rglob("*") if path.is_file()]
    assert "super-resolution/my-compact-v1" not in ids()


def break_description(entry: library.Entry) -> None:
    (entry.path.parent / "description.json").write_text("{")


def lose_file(entry: library.Entry) -> None:
    entry.path.unlink()


def rename(entry: library.Entry) -> None:
    entry.path.parent.rename(entry.path.parent.with_name("other"))


def name_unknown_architecture(entry: library.Entry) -> None:
    path = entry.path.parent / "description.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": "napari-synth", "architecture": "newer"}))


def point_elsewhere(entry: library.Entry) -> None:
    path = entry.path.parent / "description.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"file": "../my-restoring-v1/My restoring_v1.pth"}))


def speak_of_another_task(entry: library.Entry) -> None:
    path = entry.path.parent / "description.json"
    changed = {"kind": "napari-synth", "architecture": "noise-conditioned-unet"}
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.parametrize(
    "harm",
    [break_description, lose_file, rename, name_unknown_architecture, point_elsewhere, speak_of_another_task],
)
def test_a_broken_entry_is_told_of_once_and_takes_nothing_away(tmp_path: Path, harm) -> None:
    registry.add_model(weights_file(tmp_path, "restoring"))
    entry = registry.add_model(weights_file(tmp_path, "compact"))
    harm(entry)
    registry.refresh()
    with pytest.warns(UserWarning, match=r"add the model again|remove it|left out") as caught:
        found = ids()
    assert len(caught) == 1
    assert "denoise/my-restoring-v1" in found
    assert "denoise/blind" in found
    assert "super-resolution/my-compact-v1" not in found
    assert ids() == found


@pytest.mark.parametrize("file", ["..", ".", "", "../../treasure/gold"])
def test_a_description_cannot_have_other_folders_removed(tmp_path: Path, shelf: Path, file: str) -> None:
    (tmp_path / "treasure").mkdir()
    (tmp_path / "treasure" / "gold").touch()
    entry = registry.add_model(weights_file(tmp_path, "compact"))
    path = entry.path.parent / "description.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"file": file}))
    with pytest.raises(UnknownGeneratorError):
        registry.remove_model("my-compact-v1")
    assert (tmp_path / "treasure" / "gold").exists()
    assert entry.path.exists()


def test_a_link_is_taken_by_its_own_name(tmp_path: Path) -> None:
    blob = tmp_path / "3fa9c1"
    blob.write_bytes(weights_file(tmp_path, "compact", ".safetensors").read_bytes())
    link = tmp_path / "nice.safetensors"
    link.symlink_to(blob)
    entry = registry.add_model(link)
    assert entry.description.name == "nice"
    assert not entry.path.is_symlink()


def test_a_file_that_changes_while_it_is_added_is_refused(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchange(_: object, copy: Path) -> None:
        copy.write_bytes(b"something else")

    monkeypatch.setattr("shutil.copy", exchange)
    with pytest.raises(ModelFileError, match="has changed"):
        registry.add_model(weights_file(tmp_path, "compact"))
    assert not [path for path in shelf.rglob("*") if path.is_file()]


def test_removing_what_is_not_there_names_what_is(tmp_path: Path) -> None:
    with pytest.raises(UnknownGeneratorError, match="none"):
        registry.remove_model("nothing")
    registry.add_model(weights_file(tmp_path, "compact"))
    with pytest.raises(UnknownGeneratorError, match="super-resolution/my-compact-v1"):
        registry.remove_model("nothing")


def test_a_file_that_was_changed_in_the_library_is_refused(tmp_path: Path) -> None:
    script = script_file(tmp_path / "half.pt", lambda image: image * 0.5)
    entry = registry.add_model(script, task="denoise", trusted=True)
    script_file(entry.path, lambda image: image * 2.0)
    with pytest.raises(ModelFileError, match="has changed"):
        napari_synth.denoise(np.eye(8, dtype="f4"), "half")


def test_a_folder_cannot_say_that_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shelf: Path) -> None:
    monkeypatch.setenv(trusted.VARIABLE, str(tmp_path / "others settings"))
    registry.add_model(script_file(tmp_path / "half.pt", lambda image: image * 0.5), task="denoise", trusted=True)
    assert json.loads((shelf / "denoise" / "half" / "description.json").read_text())["trusted"]
    # The folder comes to somebody else.
    monkeypatch.setenv(trusted.VARIABLE, str(tmp_path / "own settings"))
    registry.refresh()
    image = np.array([[0.0, 1.0], [0.5, 1.0]], "f4")
    with pytest.raises(UntrustedModelError, match="model trust denoise/half"):
        napari_synth.denoise(image, "half")
    assert not library.find("half").description.trusted
    registry.trust_model("half")
    assert napari_synth.denoise(image, "half").max() == pytest.approx(0.5, abs=0.01)
    # Trust is that of the content, not of the name.
    entry = library.find("half")
    entry.path.write_bytes(script_file(tmp_path / "other.pt", lambda image: image * 0.25).read_bytes())
    with pytest.raises(ModelFileError, match="changed since it was added"):
        registry.trust_model("half")
    registry.remove_model("half")
    assert not trusted.is_trusted(entry.description.sha256)


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": 10**9},
        {"scale": 17},
        {"task": "fly"},
        {"halo": 2**40},
        {"input_channels": 10**6},
        {"spatial_dims": []},
        {"tile_error": float("nan")},
        {"file": "../../../etc/passwd"},
        {"notes": [[["deep"] * 2] * 2]},
    ],
)
def test_a_description_beyond_all_bounds_is_left_out(shelf: Path, changes: dict[str, object]) -> None:
    entry = registry.add_model(bundled("denoise-blind"), name="mine")
    path = entry.path.parent / "description.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    registry.refresh()
    with pytest.warns(UserWarning, match="damaged"):
        assert "denoise/mine" not in ids()
    assert "denoise/blind" in ids()


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_description_of_any_kind_is_left_out(shelf: Path, text: str | bytes) -> None:
    entry = registry.add_model(bundled("denoise-blind"), name="mine")
    content = text if isinstance(text, bytes) else text.encode()
    (entry.path.parent / "description.json").write_bytes(content)
    assert "is damaged" in library.entries()[1][0]


def test_the_variable_may_name_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(library.VARIABLE, "~/x")
    assert library.folder() == tmp_path / "x"
    monkeypatch.setenv(library.VARIABLE, "~nobody-of-this-name/x")
    assert library.entries() == ([], [])
