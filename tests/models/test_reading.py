"""What is found in model files, and what is refused."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from foreign_models import (
    ARCHITECTURES,
    CHANNELS,
    SCALES,
    StridedUNet,
    filling_script,
    lama_file,
    script_file,
    script_of,
    weights,
    weights_file,
)

from napari_synth.core.errors import Cancelled, ModelFileError, UntrustedModelError
from napari_synth.core.progress import CancelToken, Reporter
from napari_synth.models import ModelCard, bundled, save_model
from napari_synth.models.reading import describe
from napari_synth.networks import NoiseConditionedUNet


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_spandrel_detects(tmp_path: Path, architecture: str) -> None:
    found = describe(weights_file(tmp_path, architecture))
    assert found.name == f"my-{architecture}-v1"
    assert (found.scale, found.input_channels) == (SCALES[architecture], CHANNELS[architecture])
    assert found.task == ("super-resolution" if SCALES[architecture] > 1 else "denoise")
    assert found.multiple == (8 if architecture == "swinir" else 1)
    assert 4 <= found.halo <= 24
    assert found.tile_error < 1e-5
    assert not found.whole


def test_lama_fills_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = describe(lama_file(tmp_path, monkeypatch))
    assert (found.architecture, found.task) == ("LaMa", "inpaint")
    assert (found.input_channels, found.output_channels, found.multiple, found.half) == (3, 3, 8, False)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".ckpt", ".SAFETENSORS", ".PTH"])
def test_other_suffixes(tmp_path: Path, suffix: str) -> None:
    assert describe(weights_file(tmp_path, "compact", suffix)).architecture == "RealESRGAN Compact"


def test_what_our_own_card_says() -> None:
    found = describe(bundled("denoise-blind"))
    assert (found.kind, found.task, found.architecture) == ("napari-synth", "denoise", "noise-conditioned-unet")


@pytest.mark.parametrize("old", [True, False])
def test_a_malicious_pickle_is_refused_and_does_nothing(tmp_path: Path, old: bool) -> None:
    path, target = tmp_path / "model.pth", tmp_path / "harm"
    torch.save({"weight": Malicious(target)}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(ModelFileError, match="can run programs"):
        describe(path)
    assert not target.exists()


def test_a_bare_malicious_pickle_is_refused_and_does_nothing(tmp_path: Path) -> None:
    path, target = tmp_path / "model.ckpt", tmp_path / "harm"
    path.write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(ModelFileError, match=r"can run programs|damaged"):
        describe(path)
    assert not target.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 20, 3000, -1000])
def test_a_file_that_is_cut_off(tmp_path: Path, suffix: str, kept: int) -> None:
    path = weights_file(tmp_path, "compact", suffix)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelFileError, match="damaged"):
        describe(path)


def test_a_zip_with_damaged_content(tmp_path: Path) -> None:
    path = weights_file(tmp_path, "compact")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"?")
    with pytest.raises(ModelFileError, match="damaged"):
        describe(path)


@pytest.mark.parametrize("content", [{"weight": torch.zeros(3)}, {"epoch": 3}])
def test_an_unknown_architecture(tmp_path: Path, content: dict[str, object]) -> None:
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(ModelFileError, match="architecture"):
        describe(tmp_path / "model.pth")


def test_weights_without_names(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "model.pth")
    with pytest.raises(ModelFileError, match="no weights by name"):
        describe(tmp_path / "model.pth")


def test_weights_of_which_some_are_missing(tmp_path: Path) -> None:
    path = weights_file(tmp_path, "compact")
    content = torch.load(path, weights_only=True)
    del content["body.3.weight"]
    torch.save(content, path)
    with pytest.raises(ModelFileError, match="fit no network completely") as caught:
        describe(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    content = {name: tensor.to(dtype) for name, tensor in weights("compact").items()}
    torch.save(content, tmp_path / "model.pth")
    assert describe(tmp_path / "model.pth").scale == 2


def test_a_zip_whose_list_of_contents_is_damaged(tmp_path: Path) -> None:
    path = weights_file(tmp_path, "compact")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"PK\x01\x02", b"????"))
    assert zipfile.is_zipfile(path)
    with pytest.raises(ModelFileError, match="damaged"):
        describe(path)


def test_a_file_is_named_without_its_last_suffix(tmp_path: Path) -> None:
    path = weights_file(tmp_path, "compact")
    assert describe(path.rename(tmp_path / "4x_v1.5.pth")).name == "4x-v1-5"


@pytest.mark.parametrize(
    ("architecture", "task", "words"),
    [
        ("span", "denoise", "2 times finer"),
        ("restoring", "super-resolution", "same size"),
        ("span", "inpaint", "takes no mask"),
        ("span", "count-cells", "cannot be run for"),
    ],
)
def test_the_wrong_task(tmp_path: Path, architecture: str, task: str, words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        describe(weights_file(tmp_path, architecture), task=task)


def test_the_wrong_task_for_our_own() -> None:
    with pytest.raises(ModelFileError, match="is for denoise"):
        describe(bundled("denoise-blind"), task="super-resolution")


def test_a_task_of_ours_that_files_cannot_do(tmp_path: Path) -> None:
    network = NoiseConditionedUNet((4, 6, 8))
    card = ModelCard(name="a", title="A", task="count", architecture="noise-conditioned-unet", config=network.config)
    with pytest.raises(ModelFileError, match="is for count"):
        describe(save_model(tmp_path / "a.safetensors", network, card))


@pytest.mark.parametrize("name", ["model.pt", "model.pth"])
def test_torchscript_needs_trust_whatever_its_suffix(tmp_path: Path, name: str) -> None:
    path = script_file(tmp_path / name, lambda image: image.repeat_interleave(2, 2).repeat_interleave(2, 3))
    with pytest.raises(UntrustedModelError, match="trust"):
        describe(path)
    found = describe(path, trusted=True)
    assert (found.kind, found.scale, found.task, found.trusted) == ("torchscript", 2, "super-resolution", True)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_torchscript_that_takes_a_mask_fills_holes(tmp_path: Path, channels: int) -> None:
    found = describe(filling_script(tmp_path / "model.pt", channels), trusted=True)
    assert (found.task, found.input_channels, found.scale, found.multiple) == ("inpaint", channels, 1, 8)
    with pytest.raises(ModelFileError, match="takes a mask"):
        describe(filling_script(tmp_path / "model.pt", channels), task="denoise", trusted=True)


def test_a_file_that_does_not_say_what_it_is_for(tmp_path: Path) -> None:
    path = script_file(tmp_path / "model.pt", lambda image: image * 0.9)
    with pytest.raises(ModelFileError, match="--task denoise"):
        describe(path, trusted=True)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda image: image.mean(1), "does not return one image"),
        (lambda image: image[..., ::2, ::2], "no whole number of times"),
        (lambda image: image.expand(-1, 7, -1, -1), "7 channels"),
        (lambda image: image * float("nan"), "NaN"),
    ],
)
def test_networks_that_make_no_image_of_an_image(tmp_path: Path, function, words: str) -> None:
    path = script_file(tmp_path / "model.pt", function, 1)
    with pytest.raises(ModelFileError, match=words):
        describe(path, trusted=True)


def test_a_deep_network_says_how_much_tiles_may_differ(tmp_path: Path) -> None:
    def wide(image: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(1, 0.2, 61).square()
        kernel = torch.cat((ramp.flip(0), ramp[1:]))
        return torch.nn.functional.conv2d(image, (kernel / kernel.sum()).reshape(1, 1, 1, -1), padding=(0, 60))

    found = describe(script_file(tmp_path / "wide.pt", wide), task="denoise", trusted=True)
    assert found.halo == 48
    assert found.tile_error > 1e-3
    assert "may differ" in found.notes[0]


@pytest.mark.parametrize("levels", [3, 5, 6])
def test_a_network_with_strides_is_given_sizes_that_it_takes(tmp_path: Path, levels: int) -> None:
    script = script_of(tmp_path / "unet.pt", StridedUNet(levels), torch.rand(1, 1, 64, 64))
    found = describe(script, task="denoise", trusted=True)
    assert found.multiple == 2**levels
    # What the network sees lies around the cell of the coarsest grid in which a pixel is.
    assert found.halo >= 2**levels
    assert found.tile_error < 1e-5


def test_a_script_in_double_precision(tmp_path: Path) -> None:
    network = StridedUNet(1).double()
    script = script_of(tmp_path / "double.pt", network, torch.rand(1, 1, 64, 64).double())
    assert describe(script, task="denoise", trusted=True).multiple == 2


class Picky(torch.nn.Module):
    """Refuses what is larger than a stamp."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.shape[-1] > 64:
            raise ValueError("It is too large.")
        return image


class Rigid(torch.nn.Module):
    """Takes the size of the probe image, and no other."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.shape[-1] != 64 and image.shape[-1] != 160:
            raise ValueError("It is another size.")
        return image


@pytest.mark.parametrize(("network", "words"), [(Picky(), "too large"), (Rigid(), "one size only")])
def test_a_script_that_refuses_an_image_is_told_of_in_one_line(
    tmp_path: Path, network: torch.nn.Module, words: str
) -> None:
    with pytest.raises(ModelFileError, match=words) as caught:
        describe(script_of(tmp_path / "model.pt", network), task="denoise", trusted=True)
    assert "\n" not in str(caught.value)


def test_memory_is_measured_inside_scripts_too(tmp_path: Path) -> None:
    def wide(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(image, torch.ones(100, 1, 1, 1)).mean(1, keepdim=True)

    found = describe(script_file(tmp_path / "wide.pt", wide), task="denoise", trusted=True)
    assert found.bytes_per_pixel == 4 * 100 * 4


def test_a_cancel_takes_effect_at_the_next_run_of_the_network(tmp_path: Path) -> None:
    cancel, stages = CancelToken(), []

    def stop(progress: object) -> None:
        stages.append(progress)
        if len(stages) == 2:
            cancel.cancel()

    with pytest.raises(Cancelled):
        describe(weights_file(tmp_path, "compact"), report=Reporter(stop, cancel))
    assert len(stages) == 2


@pytest.mark.parametrize("name", ["", "With Space", "../up", "a/b"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match="cannot be named"):
        describe(weights_file(tmp_path, "compact"), name=name)


def test_what_is_no_model_file(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    for path, words in ((tmp_path, "no bioimage.io package"), (tmp_path / "no.pth", "no model file")):
        with pytest.raises(ModelFileError, match=words):
            describe(path)
    with pytest.raises(ModelFileError, match="no model file that can be read"):
        describe(tmp_path / "picture.png")
