"""Model files that claim more than they are, and what is done with them."""

from __future__ import annotations

import json
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save_file

import napari_synth
from napari_synth import registry
from napari_synth.contract.generator import BlockSpec, GeneratorInfo, Prepared, Task
from napari_synth.core.errors import GeneratorError, ModelFileError
from napari_synth.models import ModelCard, bundled, load_model, save_model
from napari_synth.models._claims import check_archive
from napari_synth.models._sniffing import kind_of, read_weights
from napari_synth.models.architectures import ARCHITECTURES
from napari_synth.networks import NoiseConditionedUNet

SMALL = {"widths": [4, 6, 8], "encoder_blocks": [1, 1], "decoder_blocks": [1, 1], "bottom_blocks": 1}
CARD = ModelCard(name="small", title="Small", task="denoise", architecture="noise-conditioned-unet", config=SMALL)
_MIB = 2**20


def with_card(path: Path, text: str) -> Path:
    """Write a file of one number whose card is this text."""
    save_file({"weight": torch.zeros(1)}, path, metadata={"napari_synth": text})
    return path


def card(**changes: Any) -> str:
    return json.dumps(CARD.model_dump(mode="json") | changes)


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("noise-conditioned-unet", {"widths": [2**14, 2**14, 2**14]}),
        ("noise-conditioned-unet", SMALL | {"bottom_blocks": 10**9}),
        ("residual-unet", {"width": 20_000}),
        ("translation-unet", {"in_channels": 10**7}),
        ("velocity-unet", {"width": 20_000}),
        ("dcgan-generator", {"width": 20_000}),
        ("simvp", {"width": 20_000}),
    ],
)
def test_a_small_file_that_claims_a_large_network_takes_no_memory(
    tmp_path: Path, architecture: str, config: dict[str, Any]
) -> None:
    path = with_card(tmp_path / "m.safetensors", card(architecture=architecture, config=config))
    load_model(bundled("denoise-blind"))
    process, before = psutil.Process(), psutil.Process().memory_info().rss
    with pytest.raises(ModelFileError, match=r"cannot be built|do not fit"):
        load_model(path)
    assert process.memory_info().rss - before < 64 * _MIB


def test_every_architecture_is_known_by_its_sizes_alone() -> None:
    from napari_synth.models._claims import on_paper
    from napari_synth.models.architectures import build_network

    built = 0
    for name in ARCHITECTURES:
        try:
            real = build_network(name, {})
        except TypeError:
            continue  # it has no defaults
        shapes = {key: tuple(tensor.shape) for key, tensor in real.state_dict().items()}
        with on_paper(shapes.values()):
            claimed = build_network(name, {})
        assert {key: tuple(tensor.shape) for key, tensor in claimed.state_dict().items()} == shapes
        built += 1
    assert built > len(ARCHITECTURES) / 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_neither_read_nor_written(tmp_path: Path, value: float) -> None:
    network = NoiseConditionedUNet(**SMALL)
    path = save_model(tmp_path / "m.safetensors", network, CARD)
    with torch.no_grad():
        network.head.weight.view(-1)[0] = value
    with pytest.raises(ModelFileError, match="not finite"):
        save_model(tmp_path / "n.safetensors", network, CARD)
    assert not (tmp_path / "n.safetensors").exists()
    from safetensors.torch import load_file

    weights = load_file(path)
    weights["head.weight"].view(-1)[0] = value
    save_file(weights, path, metadata={"napari_synth": card()})
    with pytest.raises(ModelFileError, match=r"not finite \(head.weight\)"):
        load_model(path)
    torch.save({"a.weight": torch.tensor([1.0, value])}, tmp_path / "foreign.pth")
    with pytest.raises(ModelFileError, match=r"not finite \(a.weight\)"):
        read_weights(tmp_path / "foreign.pth")


def test_a_weight_beyond_half_precision_is_kept(tmp_path: Path) -> None:
    network = NoiseConditionedUNet(**SMALL)
    with torch.no_grad():
        network.head.weight.view(-1)[0] = 1e6
    loaded, _ = load_model(save_model(tmp_path / "m.safetensors", network, CARD))
    assert float(loaded.get_parameter("head.weight").reshape(-1)[0]) == 1e6


def test_a_pickled_weight_that_repeats_one_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.pth"
    torch.save({"conv.weight": torch.zeros(1).expand(10**5, 10**5)}, path)
    with pytest.raises(ModelFileError, match="claim more numbers than the file holds"):
        read_weights(path)


def test_pickled_mappings_without_end_are_no_weights(tmp_path: Path) -> None:
    endless: dict[str, Any] = {"weight": torch.zeros(2)}
    endless["again"] = endless
    torch.save(endless, tmp_path / "endless.pth")
    assert set(read_weights(tmp_path / "endless.pth")) == {"weight", "again"}
    torch.save({3: torch.zeros(2)}, tmp_path / "numbers.pth")
    with pytest.raises(ModelFileError, match="no weights by name"):
        read_weights(tmp_path / "numbers.pth")


def test_a_zip_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rdf.yaml", "type: model")
        for number in range(4):
            archive.writestr(f"weights{number}.pt", bytes(40 * _MIB))
    with pytest.raises(ModelFileError, match="GiB"):
        kind_of(path)
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        archive.writestr("rdf.yaml", "type: model")
    check_archive(tmp_path / "plain.zip")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        card(name="x").replace('"format_version": 1', '"format_version": ' + "9" * 5000),
        card(name="x").replace('"format_version": 1', '"format_version": ' + "9" * 50),
        card(normalisation={"source": [{"offset": 0, "scale": 0}]}),
        card(extras={"reach": [float("nan")]}),
        card(config={"widths": float("inf")}),
        "3",
        "null",
        '{"format_version": [1]}',
    ],
)
def test_a_card_of_any_kind_is_one_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(ModelFileError, match=r"card|newer|format") as caught:
        load_model(with_card(tmp_path / "m.safetensors", text))
    assert len(str(caught.value)) < 400


def test_reading_a_model_leaves_the_random_generators_alone() -> None:
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    load_model(bundled("denoise-blind"))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]


class _Broken(Prepared):
    spec = BlockSpec.plane(0)

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        """Return NaN at one pixel."""
        block = block.clone()
        block[..., 5, 7] = float("nan")
        return block


class BrokenGenerator:
    """Answers finite pixels with NaN."""

    info = GeneratorInfo("denoise/broken", "Broken", "Breaks.", Task.DENOISE)

    def prepare(self, image: Any, params: Any, context: Any) -> Prepared:
        """Look at nothing."""
        return _Broken()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_nan_of_finite_pixels_is_an_error_with_its_place(dtype: str) -> None:
    registry.register(BrokenGenerator())
    image = np.arange(2 * 32 * 32).reshape(2, 32, 32).astype(dtype)
    with pytest.raises(GeneratorError, match=r"Broken made values that are not finite .* Y 0 to 31, X 0 to 31"):
        napari_synth.denoise(image, "broken", axes="ZYX")


def test_nan_of_the_image_itself_is_none() -> None:
    image = np.random.default_rng(0).normal(100, 5, (32, 32)).astype("f4")
    image[3, 4] = np.nan
    result = napari_synth.denoise(image)
    assert np.isnan(result).sum() == 1


def test_what_is_pickled_with_programs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.pth"
    path.write_bytes(pickle.dumps({"weight": _Program()}))
    with pytest.raises(ModelFileError):
        read_weights(path)


class _Program:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (Path.home, ())  # type: ignore[return-value]


@pytest.mark.parametrize(
    "changes",
    [
        {"extras": {}},
        {"extras": {"reach": 3, "gap": 3, "axes": "YX"}},
        {"extras": {"reach": [0, 0], "gap": "wide", "axes": "YX"}},
        {"extras": {"reach": [], "gap": 3}},
    ],
)
def test_a_card_without_what_the_model_needs_is_one_sentence(tmp_path: Path, changes: dict[str, Any]) -> None:
    from napari_synth.networks.blind_spot_unet import BlindSpotUNet

    network = BlindSpotUNet(dims=2, width=4)
    content = CARD.model_dump() | {"architecture": "blind-spot-unet", "config": network.config} | changes
    path = save_model(tmp_path / "spots.safetensors", network, ModelCard.model_validate(content))
    generator = napari_synth.load_model(path)
    image = np.random.default_rng(0).normal(100, 20, (32, 32)).astype("f4")
    with pytest.raises(ModelFileError, match="damaged: download or train"):
        napari_synth.denoise(image, generator)


@pytest.mark.parametrize(
    "sample",
    [
        None,
        {"size": [10**9, 10**9], "channels": 1, "axis": "", "dtype": "uint8"},
        {"size": [16, 16], "channels": 10**9, "axis": "C", "dtype": "uint8"},
        {"size": [16, 16], "channels": 1, "axis": "Q", "dtype": "uint8"},
        {"size": [16, 16], "channels": 1, "axis": "", "dtype": "picture"},
        {"size": [16], "channels": 1, "axis": "", "dtype": "uint8"},
    ],
)
def test_a_sampler_beyond_all_bounds_is_one_sentence(sample: Any) -> None:
    from napari_synth.contract.synthesis import SampleSpec
    from napari_synth.models.card import reading_card

    with pytest.raises(ModelFileError, match="'small' is damaged"), reading_card("small"):
        SampleSpec.from_record(sample)
