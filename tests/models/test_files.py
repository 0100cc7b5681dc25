from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from napari_synth.core.errors import ModelFileError
from napari_synth.models import (
    FORMAT_VERSION,
    ModelCard,
    TrainingData,
    bundled,
    load_model,
    read_card,
    save_model,
    weights_hash,
)
from napari_synth.networks import NoiseConditionedUNet

SMALL = {"widths": [4, 6, 8], "encoder_blocks": [1, 1], "decoder_blocks": [1, 1], "bottom_blocks": 1}


def make_card(**changes: object) -> ModelCard:
    content = {
        "name": "small-one",
        "title": "A small one",
        "task": "denoise",
        "architecture": "noise-conditioned-unet",
        "config": SMALL,
        "training_data": (TrainingData(name="nothing", licence="CC0-1.0", authors=("Élise",)),),
        "metrics": {"PSNR": {"camera": 29.5}},
        "limits": ("It was never trained.",),
    }
    return ModelCard.model_validate(content | changes)


@pytest.fixture
def network() -> NoiseConditionedUNet:
    torch.manual_seed(1)
    return NoiseConditionedUNet(**SMALL)


@pytest.fixture
def model(tmp_path, network):
    return save_model(tmp_path / "small.safetensors", network, make_card())


def with_card(model, path, change):
    """Copy a model with its card changed by `change`, a function of the card's JSON text."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(model, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(model), path, metadata={key: change(text) for key, text in metadata.items()})
    return path


def test_a_model_comes_back_as_it_was(model, network):
    loaded, card = load_model(model)
    assert card == make_card()
    assert not loaded.training
    for name, weight in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.half().float())


def test_weights_are_stored_in_half_precision(model):
    weights = sum(weight.numel() for weight in NoiseConditionedUNet(**SMALL).parameters())
    assert model.stat().st_size < 2 * weights + 6000


def test_two_loads_share_no_weights(model):
    first, second = load_model(model)[0], load_model(model)[0]
    with torch.no_grad():
        first.head.weight.zero_()
    assert second.head.weight.abs().sum() > 0


def test_the_card_is_read_without_torch(model):
    code = (
        "import sys; from napari_synth.models import read_card;"
        f"assert read_card({str(model)!r}).name == 'small-one'; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_saving_replaces_whole_files_and_leaves_nothing_else(model, network, monkeypatch):
    before = model.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(ModelFileError, match="cannot be written: No space left"):
        save_model(model, network, make_card(version="2"))
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_saving_into_a_missing_folder_is_a_clear_error(tmp_path, network):
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_model(tmp_path / "no" / "model.safetensors", network, make_card())


@pytest.mark.parametrize("read", [load_model, read_card, weights_hash])
def test_a_missing_file(tmp_path, read):
    with pytest.raises(ModelFileError, match=r"nothing\.safetensors"):
        read(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("kept", [0, 5, 400, -1])
def test_a_truncated_file(model, kept):
    model.write_bytes(model.read_bytes()[:kept])
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(model)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "notes.safetensors"
    path.write_text("weights will follow")
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(path)


def test_a_safetensors_file_of_others(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ModelFileError, match="not written by napari-synth"):
        load_model(path)


def test_a_file_of_a_newer_version(model, tmp_path):
    def newer(text: str) -> str:
        return json.dumps(json.loads(text) | {"format_version": FORMAT_VERSION + 1, "a_new_field": 1})

    with pytest.raises(ModelFileError, match="update"):
        load_model(with_card(model, tmp_path / "newer.safetensors", newer))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-5],
        lambda text: "[]",
        lambda text: json.dumps({"format_version": 1}),
        lambda text: json.dumps(json.loads(text) | {"format_version": "new"}),
    ],
)
def test_a_damaged_card(model, tmp_path, change):
    with pytest.raises(ModelFileError, match="card"):
        load_model(with_card(model, tmp_path / "changed.safetensors", change))


def test_weights_of_another_shape(tmp_path, network):
    path = save_model(tmp_path / "m.safetensors", network, make_card(config=SMALL | {"widths": [4, 6, 10]}))
    with pytest.raises(ModelFileError, match="do not fit"):
        load_model(path)


@pytest.mark.parametrize("config", [{"colour": "red"}, {"widths": [-4, 6, 8]}, {"widths": [10**9, 6, 8]}])
def test_a_config_that_builds_nothing(tmp_path, network, config):
    path = save_model(tmp_path / "m.safetensors", network, make_card(config=config))
    with pytest.raises(ModelFileError, match="cannot be built"):
        load_model(path)


def test_an_unknown_architecture(model, tmp_path, network):
    with pytest.raises(ModelFileError, match="unknown architecture"):
        save_model(tmp_path / "m.safetensors", network, make_card(architecture="transformer"))
    path = with_card(model, tmp_path / "n.safetensors", lambda text: text.replace("noise-conditioned-unet", "other"))
    with pytest.raises(ModelFileError, match="unknown architecture 'other'"):
        load_model(path)


def test_the_hash_follows_the_content(model, network):
    before = weights_hash(model)
    assert len(before) == 64
    assert weights_hash(model) == before
    save_model(model, network, make_card(version="2"))
    assert weights_hash(model) != before


def test_an_unknown_bundled_model_names_the_known_ones():
    with pytest.raises(ModelFileError, match="denoise-blind"):
        bundled("denoise-everything")
