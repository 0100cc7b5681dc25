"""bioimage.io packages: written, tested by their own library, and run."""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from bioimageio import core
from bioimageio.spec import save_bioimageio_package, save_bioimageio_package_as_folder
from bioimageio.spec.model import v0_5
from skimage import data

import napari_synth
from napari_synth import registry
from napari_synth.core.errors import ModelFileError, UntrustedModelError
from napari_synth.models import ModelCard, bundled, export_bioimageio, library, load_model, save_model
from napari_synth.models._in_counts import BlindEnlarger
from napari_synth.models.processing import Processing
from napari_synth.models.reading import describe
from napari_synth.networks.enlargers import SuperResolutionUNet

# The library leaves files for the garbage collector, and torch would rather have new packages in another format.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

SOURCE = '''
import torch


class Doubling(torch.nn.Module):
    """Makes an image twice as fine, and adds to it."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image):
        return image.repeat_interleave(self.factor, 2).repeat_interleave(self.factor, 3) + self.bias
'''


@pytest.fixture(autouse=True)
def nothing_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_of_session", {})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_bioimageio("denoise-blind", tmp_path_factory.mktemp("exported") / "denoiser.zip")


def package(
    folder: Path,
    *,
    bias: float = 0.0,
    before: tuple[Any, ...] = (),
    behind: tuple[Any, ...] = (),
    size: Any = None,
    inputs: int = 1,
    as_folder: bool = True,
    source: str = SOURCE,
) -> Path:
    """Write a package with a state dict and Python that doubles images."""
    parts = folder / "parts"
    parts.mkdir()
    (parts / "network.py").write_text(source)
    torch.save({"bias": torch.full((1,), bias)}, parts / "weights.pt")
    image = np.random.default_rng(0).random((1, 1, 32, 32)).astype("f4")
    np.save(parts / "input.npy", image)
    np.save(parts / "output.npy", image.repeat(2, 2).repeat(2, 3) + bias)
    channel = v0_5.ChannelAxis(channel_names=[v0_5.Identifier("grey")])
    size = size or v0_5.ParameterizedSize(min=8, step=4)
    reference = v0_5.TensorId("raw")
    described = v0_5.ModelDescr(
        name="Doubling",
        description="Twice as fine.",
        authors=[v0_5.Author(name="Nobody")],
        license=v0_5.LicenseId("MIT"),
        inputs=[
            v0_5.InputTensorDescr(
                id=v0_5.TensorId("raw" if not index else f"more{index}"),
                axes=[
                    v0_5.BatchAxis(),
                    channel,
                    v0_5.SpaceInputAxis(id=v0_5.AxisId("y"), size=size),
                    v0_5.SpaceInputAxis(id=v0_5.AxisId("x"), size=size),
                ],
                preprocessing=list(before),
                test_tensor=v0_5.FileDescr(source=parts / "input.npy"),
            )
            for index in range(inputs)
        ],
        outputs=[
            v0_5.OutputTensorDescr(
                id=v0_5.TensorId("fine"),
                axes=[
                    v0_5.BatchAxis(),
                    channel,
                    *(
                        v0_5.SpaceOutputAxis(
                            id=v0_5.AxisId(axis),
                            scale=0.5,
                            size=v0_5.SizeReference(tensor_id=reference, axis_id=v0_5.AxisId(axis)),
                        )
                        for axis in "yx"
                    ),
                ],
                postprocessing=list(behind),
                test_tensor=v0_5.FileDescr(source=parts / "output.npy"),
            )
        ],
        weights=v0_5.WeightsDescr(
            pytorch_state_dict=v0_5.PytorchStateDictWeightsDescr(
                source=parts / "weights.pt",
                pytorch_version=v0_5.Version("2.4"),
                architecture=v0_5.ArchitectureFromFileDescr(
                    source=parts / "network.py", callable=v0_5.Identifier("Doubling"), kwargs={"factor": 2}
                ),
            )
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if as_folder:
            return Path(save_bioimageio_package_as_folder(described, output_path=folder / "package"))
        return Path(save_bioimageio_package(described, output_path=folder / "package.zip"))


def test_an_exported_model_passes_the_test_of_its_own_library(exported: Path) -> None:
    summary = core.test_description(exported)
    assert summary.status == "passed", summary.format()


def test_an_exported_model_runs_here_and_removes_noise(exported: Path) -> None:
    with pytest.raises(UntrustedModelError, match="trust"):
        napari_synth.load_model(exported)
    generator = napari_synth.load_model(exported, trusted=True)
    assert generator.info.id == "denoise/denoiser"
    y, x = np.mgrid[:100, :90] / 6
    clean = 1000 + 300 * np.sin(y) * np.cos(x)
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 60, clean.shape), 0, None).astype("u2")
    result = napari_synth.denoise(noisy, generator)
    assert result.dtype == np.uint16
    assert np.std(result - clean) < 0.35 * np.std(noisy - clean)
    assert abs(result.mean() - noisy.mean()) < 5


def test_an_exported_model_keeps_what_has_no_noise(exported: Path) -> None:
    generator = napari_synth.load_model(exported, trusted=True)
    flat = np.full((64, 72), 7, "u1")
    np.testing.assert_array_equal(napari_synth.denoise(flat, generator), flat)


def test_what_cannot_be_exported(tmp_path: Path, exported: Path) -> None:
    for name, out, words in (
        ("denoise-blind", exported, "new file"),
        ("denoise-blind", tmp_path / "model.bin", r"\.zip"),
        ("denoise-everything", tmp_path / "model.zip", "denoise-blind"),
    ):
        with pytest.raises(ModelFileError, match=words):
            export_bioimageio(name, out)
    for name, scale, words in (
        ("denoise-blind", 2, "leave the scale out"),
        ("super-resolution", 5, "scale of 2, 3, 4"),
        ("super-resolution", 1, "scale of 2, 3, 4"),
    ):
        with pytest.raises(ModelFileError, match=words):
            export_bioimageio(name, tmp_path / "model.zip", scale=scale)
    assert not (tmp_path / "model.zip").exists()


@pytest.fixture(scope="module")
def small_enlarger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small network that enlarges, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SuperResolutionUNet((6, 8), 1, 1, 1)
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    card = ModelCard(
        name="finer",
        title="Finer",
        task="super-resolution",
        architecture="super-resolution-unet",
        config=network.config,
        weights_licence="MIT",
    )
    return save_model(tmp_path_factory.mktemp("small") / "finer.safetensors", network, card)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_exported_enlarger_passes_its_test_and_is_run_back(tmp_path: Path, small_enlarger: Path, scale: int) -> None:
    path = export_bioimageio(small_enlarger, tmp_path / "finer.zip", scale=scale)
    summary = core.test_description(path)
    assert summary.status == "passed", summary.format()
    generator = napari_synth.load_model(path, trusted=True)
    assert generator.info.id == "super-resolution/finer"
    assert generator.params_type().model_dump()["factor"] == scale

    image = np.random.default_rng(0).poisson(300, (72, 88)).astype("u2")
    result = napari_synth.upscale(image, scale, generator)
    with torch.inference_mode():
        wrapped = BlindEnlarger(load_model(small_enlarger)[0], scale)
        expected = wrapped(torch.from_numpy(image.astype("f4"))[None, None])[0, 0].numpy()
    np.testing.assert_allclose(result, expected.clip(0), atol=0.51)


def test_the_exported_bundled_enlarger_neither_amplifies_noise_nor_loses_detail(tmp_path: Path) -> None:
    path = export_bioimageio("super-resolution", tmp_path / "finer.zip")
    generator = napari_synth.load_model(path, trusted=True)
    fine = data.camera()[128:384, 128:384].astype("f4") + 100
    coarse = fine.reshape(128, 2, 128, 2).mean((1, 3))
    for noise, gain in ((0.0, 0.0), (12.0, 1.0)):
        noisy = coarse + np.random.default_rng(0).normal(0, noise, coarse.shape).astype("f4")
        errors = [np.sqrt(np.mean((napari_synth.upscale(noisy, 2, by) - fine) ** 2)) for by in (generator, "lanczos")]
        assert 20 * np.log10(errors[1] / errors[0]) > gain


def test_a_model_of_the_library_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, str(tmp_path / "shelf"))
    registry.refresh()
    registry.add_model(bundled("denoise-blind"), name="mine")
    assert export_bioimageio("mine", tmp_path / "mine.zip").is_file()
    monkeypatch.undo()
    registry.refresh()


@pytest.mark.parametrize("as_folder", [True, False])
def test_packaged_python_runs_only_with_trust(tmp_path: Path, as_folder: bool) -> None:
    harm = tmp_path / "harm"
    path = package(tmp_path, as_folder=as_folder, source=f"open({str(harm)!r}, 'w').close()\n{SOURCE}")
    with pytest.raises(UntrustedModelError, match="trust"):
        describe(path)
    assert not harm.exists()
    found = describe(path, trusted=True)
    assert harm.exists()
    assert (found.scale, found.multiple, found.task) == (2, 4, "super-resolution")
    assert found.licence == "MIT"


def test_a_state_dict_doubles_a_16_bit_image(tmp_path: Path) -> None:
    generator = napari_synth.load_model(package(tmp_path), trusted=True)
    image = np.random.default_rng(0).integers(0, 65535, (37, 50), dtype=np.uint16)
    np.testing.assert_array_equal(napari_synth.upscale(image, 2, generator), image.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("before", "behind", "unit"),
    [
        # What the network adds is worth one step of what it was given.
        ((v0_5.ZeroMeanUnitVarianceDescr(),), (), lambda image: image.std()),
        (
            (v0_5.ScaleRangeDescr(kwargs=v0_5.ScaleRangeKwargs(min_percentile=1, max_percentile=90)),),
            (),
            lambda image: np.diff(np.percentile(image, [1, 90]))[0],
        ),
        ((v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=0.01, offset=3)),), (), lambda image: 100.0),
        (
            (v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=0.5, offset=0)),),
            (v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=2, offset=0)),),
            lambda image: 2.0,
        ),
        (
            (v0_5.ZeroMeanUnitVarianceDescr(),),
            (v0_5.ScaleMeanVarianceDescr(kwargs=v0_5.ScaleMeanVarianceKwargs(reference_tensor=v0_5.TensorId("raw"))),),
            lambda image: image.std(),
        ),
    ],
)
def test_steps_use_the_whole_image_and_are_undone(tmp_path: Path, before, behind, unit) -> None:
    generator = napari_synth.load_model(package(tmp_path, bias=1.0, before=before, behind=behind), trusted=True)
    image = np.random.default_rng(0).gamma(2, 500, (64, 48)).astype("f4")
    expected = image.repeat(2, 0).repeat(2, 1) + unit(image.astype("f8"))
    for tile in (None, 16):
        np.testing.assert_allclose(napari_synth.upscale(image, 2, generator, tile=tile), expected, rtol=1e-3)


def test_a_clip_limits_what_the_network_is_given(tmp_path: Path) -> None:
    steps = (
        v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=0.01, offset=0)),
        v0_5.ClipDescr(kwargs=v0_5.ClipKwargs(min=0.0, max=1.0)),
    )
    generator = napari_synth.load_model(package(tmp_path, before=steps), trusted=True)
    result = napari_synth.upscale(np.linspace(-50, 200, 64).reshape(8, 8).astype("f4"), 2, generator)
    assert (result.min(), result.max()) == pytest.approx((0, 100), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 32}, "one size only"),
        ({"size": v0_5.ParameterizedSize(min=14, step=9)}, "multiples of 9 more"),
        ({"before": (v0_5.SigmoidDescr(),)}, "sigmoid"),
        ({"behind": (v0_5.BinarizeDescr(kwargs=v0_5.BinarizeKwargs(threshold=0.5)),)}, "binarize"),
        ({"inputs": 2}, "2 inputs"),
        ({"source": "raise ValueError('broken')"}, "cannot be built"),
    ],
)
def test_packages_that_cannot_be_run(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        describe(package(tmp_path, **options), trusted=True)


def test_damaged_packages(tmp_path: Path, exported: Path) -> None:
    (tmp_path / "rdf.yaml").write_text("type: model\nname: [")
    with pytest.raises(ModelFileError, match="damaged"):
        describe(tmp_path, trusted=True)
    with zipfile.ZipFile(exported) as archive, zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        for name in archive.namelist():
            bad.writestr(name, b"?" if name.endswith(".pt") else archive.read(name))
    with pytest.raises(ModelFileError, match="damaged"):
        describe(tmp_path / "bad.zip", trusted=True)


def test_a_package_with_broken_compression(tmp_path: Path) -> None:
    path = tmp_path / "broken.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rdf.yaml", "type: model\n" * 100)
    content = bytearray(path.read_bytes())
    content[40:50] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(UntrustedModelError):
        describe(path)
    with pytest.raises(ModelFileError, match="damaged"):
        describe(path, trusted=True)


@pytest.mark.parametrize("where", ["absolute", "climbing", "url"])
@pytest.mark.parametrize("what", ["weights", "network"])
def test_trust_in_a_package_is_none_in_what_lies_outside(tmp_path: Path, where: str, what: str) -> None:
    path, harm = package(tmp_path), tmp_path / "harm"
    outside = {"weights": tmp_path / "parts" / "weights.pt", "network": tmp_path / "parts" / "network.py"}[what]
    if what == "network":
        outside.write_text(f"open({str(harm)!r}, 'w').close()\n{SOURCE}")
    description = yaml.safe_load((path / "rdf.yaml").read_text())
    changed = description["weights"]["pytorch_state_dict"]
    if what == "network":
        changed = changed["architecture"]
    changed["source"] = {
        "absolute": str(outside),
        "climbing": f"../parts/{outside.name}",
        "url": f"https://example.invalid/{outside.name}",
    }[where]
    del changed["sha256"]
    (path / "rdf.yaml").write_text(yaml.safe_dump(description))
    with pytest.raises(ModelFileError, match="download the whole package"):
        describe(path, trusted=True)
    assert not harm.exists()


def test_a_zip_cannot_write_outside_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = package(tmp_path, as_folder=False)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../climbed", "x")
        archive.writestr(str(tmp_path / "absolute"), "x")
    describe(path, trusted=True)
    assert not (tmp_path / "absolute").exists()
    assert not (tmp_path / "climbed").exists()


def test_a_package_is_named_by_its_description_too(tmp_path: Path) -> None:
    folder = package(tmp_path)
    description = next(path for path in folder.iterdir() if path.suffix == ".yaml")
    assert library.resolved(description) == folder.resolve()


def test_processing_without_steps_is_the_way_to_counts_and_back() -> None:
    from napari_synth.contract.generator import Context
    from napari_synth.core.device import resolve_device
    from napari_synth.imaging.image import Image
    from napari_synth.imaging.intensity import IntensityTransform, measure_statistics

    image = Image.from_array(np.arange(100.0, dtype="f4").reshape(10, 10))
    statistics = measure_statistics(image)
    context = Context(resolve_device("cpu"), IntensityTransform(20.0, 5.0), statistics)
    processing = Processing.of((), (), image, context)
    normalised = torch.tensor([-1.0, 0.0, 2.0])
    assert processing.forward(normalised).tolist() == [15.0, 20.0, 30.0]
    assert processing.backward(processing.forward(normalised)).tolist() == [-1.0, 0.0, 2.0]
