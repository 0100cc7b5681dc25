"""What is said of a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from foreign_models import weights_file

from napari_synth import registry
from napari_synth.core.errors import ModelFileError, UnknownGeneratorError
from napari_synth.models import bundled, bundled_names, library, read_card, weights_hash
from napari_synth.models.show import photographs, show


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty library."""
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "shelf"))
    registry.refresh()
    yield tmp_path / "shelf"
    monkeypatch.undo()
    registry.refresh()


@pytest.mark.parametrize("name", bundled_names())
def test_a_bundled_model_tells_all_of_its_card(name: str) -> None:
    card, shown = read_card(bundled(name)), "\n".join(show(name))
    for said in (card.title, card.version, card.architecture, card.training_command, *card.limits):
        assert said in shown
    for source in card.training_data:
        assert f"{source.name}: {source.licence}" in shown
        assert all(author in shown for author in source.authors)
    for test, values in card.metrics.items():
        assert f"{test}: " in shown
        assert f"mean {values['mean']:g}" in shown
    assert f"Licence of the weights: {card.weights_licence}" in shown
    assert weights_hash(bundled(name)) in shown


def test_the_photographs_behind_the_bundled_weights_are_named() -> None:
    listed = photographs()
    assert listed is not None
    assert f"Each photograph is named with its author in {listed}" in "\n".join(show("denoise-blind"))
    text = listed.read_text(encoding="utf-8")
    for source in read_card(bundled("denoise-blind")).training_data:
        if "wallpapers" in source.name:
            assert all(author.replace("'", '"') in text or author in text for author in source.authors)


def test_ours_in_the_library_or_at_a_path_tells_its_card(tmp_path: Path) -> None:
    registry.add_model(bundled("inpaint"), name="mine")
    for name in ("mine", "inpaint/mine", bundled("inpaint")):
        assert show(name)[0].startswith("Inpainting (inpaint, version ")
    assert "Each photograph" not in "\n".join(show("mine"))


def test_a_file_from_elsewhere_tells_what_was_measured_of_it(tmp_path: Path) -> None:
    registry.add_model(weights_file(tmp_path, "span"))
    shown = "\n".join(show("my-span-v1"))
    assert "(super-resolution/my-span-v1)" in shown
    assert "Network: SPAN, 2D, 3 to 3 channels" in shown
    assert "Scale: 2" in shown
    assert "Licence of the weights: not known" in shown


def test_a_name_that_nothing_has_is_answered_with_those_there_are(tmp_path: Path) -> None:
    registry.add_model(bundled("inpaint"), name="mine")
    with pytest.raises(UnknownGeneratorError, match=r"choose one of denoise-blind, .*inpaint/mine"):
        show("nothing")
    (tmp_path / "other.safetensors").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="damaged"):
        show(tmp_path / "other.safetensors")
