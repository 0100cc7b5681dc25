from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

import napari_synth
from napari_synth import registry
from napari_synth.contract.generator import BlockSpec, Context, Generator, GeneratorInfo, Prepared, Task
from napari_synth.contract.params import NoParams
from napari_synth.core.errors import Cancelled, ModelFileError, OutOfMemoryError
from napari_synth.core.progress import CancelToken
from napari_synth.imaging.image import Image
from napari_synth.methods.denoise import selection
from napari_synth.methods.denoise.catalogue import Noise2VoidParams
from napari_synth.verbs import prepare

QUICK = ["denoise/blind", "denoise/wavelet", "denoise/non-local-means", "denoise/total-variation", "denoise/median"]


def camera(size: int = 256) -> np.ndarray:
    return data.camera()[100 : 100 + size, 150 : 150 + size].astype(np.float32)


def noisy(clean: np.ndarray, sigma: float = 20.0, seed: int = 0) -> np.ndarray:
    return (clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)).astype(np.float32)


def taken(notes: tuple[str, ...]) -> str:
    (sentence,) = [note for note in notes if note.startswith("Took ")]
    return sentence.removeprefix("Took ").split(":")[0]


class Fake(Prepared):
    def __init__(self, restore: Callable[[torch.Tensor], torch.Tensor], spec: BlockSpec) -> None:
        self._restore, self.spec = restore, spec
        self.notes = ("Fake.",)

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        return self._restore(block)


class FakeGenerator:
    """Records the images that it is shown."""

    def __init__(self, identifier: str, restore: Callable[[torch.Tensor], torch.Tensor], spec: BlockSpec) -> None:
        self.info = GeneratorInfo(identifier, "Fake", "A fake.", Task.DENOISE)  # type: ignore[misc]
        self.restore, self.spec = restore, spec
        self.seen: list[Image] = []

    def prepare(self, image: Image, params: NoParams, context: Context) -> Prepared:
        self.seen.append(image)
        return Fake(self.restore, self.spec)


@pytest.fixture
def replace(monkeypatch: pytest.MonkeyPatch) -> Callable[[Generator[Any]], None]:
    known = dict(selection.CANDIDATES)
    monkeypatch.setattr(selection, "CANDIDATES", known)

    def add(generator: Generator[Any]) -> None:
        known[generator.info.id] = registry.adopted(generator)

    return add


def blur(block: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(block, 5, 1, 2, count_include_pad=False)


def test_impulse_noise_is_given_to_the_median() -> None:
    clean = camera()
    source = clean.copy()
    chance = np.random.default_rng(0).random(clean.shape)
    source[chance < 0.04], source[chance > 0.96] = 0, 255
    run = prepare("denoise/auto", Image.from_array(source))
    assert taken(run.notes) == "Median"
    (figures,) = [note for note in run.notes if "held-out pixels" in note and "Error" in note]
    assert figures.index("Median") < figures.index("Total variation")
    assert np.mean((run.compute() - clean) ** 2) < 0.1 * np.mean((source - clean) ** 2)


@pytest.mark.parametrize("name", ["camera", "moon"])
def test_takes_what_is_best_in_truth_for_gaussian_noise(name: str) -> None:
    clean = getattr(data, name)()[100:356, 150:406].astype(np.float32)
    source = noisy(clean)
    truth = {
        identifier: peak_signal_noise_ratio(clean, napari_synth.run(identifier, source), data_range=255)
        for identifier in QUICK
    }
    result = peak_signal_noise_ratio(clean, napari_synth.denoise(source, "auto"), data_range=255)
    assert result > max(truth.values()) - 0.4
    assert result > sorted(truth.values())[1] + 0.5


def test_classical_candidates_alone() -> None:
    run = prepare("denoise/auto", Image.from_array(noisy(camera(128))), {"candidates": "classical"})
    assert not any("Blind" in note for note in run.notes)
    assert not run.recipe.weights


def test_neighbours_of_correlated_noise_are_hidden_too() -> None:
    clean = camera()
    blurred = gaussian_filter(np.random.default_rng(0).normal(0, 1, clean.shape), 1)
    run = prepare("denoise/auto", Image.from_array((clean + 25 * blurred / blurred.std()).astype(np.float32)))
    assert any("were not shown either" in note for note in run.notes)


def test_what_copies_its_input_is_not_taken(replace: Callable[[Generator[Any]], None]) -> None:
    replace(FakeGenerator("denoise/blind", lambda block: block, BlockSpec.plane(0)))
    run = prepare("denoise/auto", Image.from_array(noisy(camera(128))))
    assert taken(run.notes) != "Fake"


def test_earlier_candidate_is_taken_where_others_are_not_measurably_better(
    replace: Callable[[Generator[Any]], None],
) -> None:
    fakes = [FakeGenerator(identifier, lambda block: 1.00001 * blur(block), BlockSpec.plane(2)) for identifier in QUICK]
    fakes[-1].restore = blur
    for fake in fakes:
        replace(fake)
    run = prepare("denoise/auto", Image.from_array(noisy(np.full((128, 128), 50.0))))
    assert any("no other predicts measurably better" in note for note in run.notes)
    assert run.channels[0].prepared._taken._restore is fakes[0].restore  # type: ignore[attr-defined]


def test_missing_weights_leave_the_network_out(replace: Callable[[Generator[Any]], None]) -> None:
    class Broken(FakeGenerator):
        def prepare(self, image: Image, params: NoParams, context: Context) -> Prepared:
            raise ModelFileError("The weights are missing: install the package again.")

    replace(Broken("denoise/blind", blur, BlockSpec.plane(2)))
    run = prepare("denoise/auto", Image.from_array(noisy(camera(128))))
    assert any("denoise/blind was left out" in note and "install" in note for note in run.notes)
    assert taken(run.notes) in {"Wavelet", "Non-local means", "Total variation"}
    for identifier in QUICK:
        replace(Broken(identifier, blur, BlockSpec.plane(2)))
    with pytest.raises(ModelFileError):
        prepare("denoise/auto", Image.from_array(noisy(camera(128))))


def test_trained_candidates_never_see_held_out_pixels(replace: Callable[[Generator[Any]], None]) -> None:
    spec = BlockSpec.plane(2)
    trained = ["denoise/adapted", "denoise/zero-shot-noise2noise", "denoise/noise2void"]
    fakes = {identifier: FakeGenerator(identifier, lambda block: block, spec) for identifier in [*QUICK, *trained]}
    fakes["denoise/noise2void"].restore = blur
    fakes["denoise/noise2void"].params_type = Noise2VoidParams  # type: ignore[misc]
    for fake in fakes.values():
        replace(fake)
    source = Image.from_array(noisy(np.full((128, 128), 50.0)))
    run = prepare("denoise/auto", source, {"trained": True})
    shown = fakes["denoise/noise2void"].seen
    # First with pixels held out, and, since it was taken, again with the whole image.
    assert len(shown) == 2
    assert shown[0].sizes == {"T": 1, "Y": 128, "X": 128}
    changed = np.abs(shown[0].read()[0] - source.read()) > 1e-3
    assert 0.05 < changed.mean() < 0.08
    assert shown[1] is source or np.array_equal(shown[1].read(), source.read())
    assert [len(fake.seen) for fake in fakes.values() if fake is not fakes["denoise/noise2void"]] == [1] * 7
    assert run.notes


def failing_with(error: Exception) -> type[FakeGenerator]:
    class Failing(FakeGenerator):
        def prepare(self, image: Image, params: NoParams, context: Context) -> Prepared:
            raise error

    return Failing


@pytest.mark.parametrize(
    ("error", "said"),
    [(torch.OutOfMemoryError("17 GiB"), "does not fit into the memory"), (KeyError("layer"), "failed on")],
)
def test_a_candidate_that_fails_is_left_out(
    error: Exception, said: str, replace: Callable[[Generator[Any]], None]
) -> None:
    replace(failing_with(error)("denoise/wavelet", blur, BlockSpec.plane(2)))

    def fail(block: torch.Tensor) -> torch.Tensor:
        raise error

    replace(FakeGenerator("denoise/median", fail, BlockSpec.plane(2)))
    source = noisy(camera(128))
    run = prepare("denoise/auto", Image.from_array(source))
    for identifier in ("denoise/wavelet", "denoise/median"):
        assert any(note.startswith(f"{identifier} was left out") and said in note for note in run.notes)
    assert np.isfinite(run.compute()).all()


def test_no_candidate_that_fits_is_a_clear_error(replace: Callable[[Generator[Any]], None]) -> None:
    for identifier in QUICK:
        replace(failing_with(torch.OutOfMemoryError("17 GiB"))(identifier, blur, BlockSpec.plane(2)))
    with pytest.raises(OutOfMemoryError, match="does not fit"):
        prepare("denoise/auto", Image.from_array(noisy(camera(64))))


@pytest.mark.parametrize("name", ["adapted", "zero-shot-noise2noise", "noise2void"])
def test_colour_reaches_methods_that_take_one_sample(
    name: str, monkeypatch: pytest.MonkeyPatch, replace: Callable[[Generator[Any]], None]
) -> None:
    for identifier in QUICK:
        replace(failing_with(ModelFileError("Not in this test."))(identifier, blur, BlockSpec.plane(2)))
    monkeypatch.setattr(selection, "TRAINED", {f"denoise/{name}": {"steps": 2}})
    source = noisy(data.astronaut()[:64, :64].astype(np.float32))
    run = prepare("denoise/auto", Image(source, "YXS"), {"trained": True})
    assert taken(run.notes) == registry.generator(f"denoise/{name}").info.title
    restored = run.compute()
    assert restored.shape == source.shape
    assert (np.abs(restored - source).max(axis=(0, 1)) > 0).all()


def test_the_choice_among_trained_methods_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert selection.TRAINED["denoise/noise2void"]["steps"] == 300
    monkeypatch.setattr(selection, "TRAINED", {identifier: {"steps": 3} for identifier in selection.TRAINED})
    source = noisy(camera(64))
    first, second = (napari_synth.denoise(source, "auto", trained=True, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_volumes_reach_candidates_in_their_axes(axes: str, replace: Callable[[Generator[Any]], None]) -> None:
    shapes = []

    def across_planes(block: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(block.shape))
        return block.mean(2, keepdim=True).expand_as(block)

    replace(FakeGenerator("denoise/blind", across_planes, BlockSpec.volume(axes, (5, 0, 0))))
    clean = np.stack([camera(96)] * 5)
    run = prepare("denoise/auto", Image(noisy(clean), axes))
    assert taken(run.notes) == "Fake"
    assert shapes[0][1:] == (1, 5, 96, 96)
    assert run.compute().shape == clean.shape


def test_blocks_have_the_multiple_that_a_candidate_needs(replace: Callable[[Generator[Any]], None]) -> None:
    shapes = []

    def record(block: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(block.shape[-2:]))
        return block

    replace(FakeGenerator("denoise/blind", record, BlockSpec.plane(16, multiple=16)))
    prepare("denoise/auto", Image.from_array(noisy(camera(256)[:70, :101])))
    assert all(size % 16 == 0 for shape in shapes for size in shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (7, 9), (2, 1, 6, 5)])
def test_tiny_images_get_the_default(shape: tuple[int, ...]) -> None:
    source = np.random.default_rng(0).random(shape).astype(np.float32)
    run = prepare("denoise/auto", Image(source, "TZYX"[-len(shape) :]))
    assert taken(run.notes) == "Blind network"
    assert run.compute().shape == shape


def test_colour_and_alpha() -> None:
    source = np.dstack([data.astronaut()[:96, :96], np.full((96, 96), 255, np.uint8)])
    restored = napari_synth.denoise(source, "auto", axes="YXS")
    assert restored.shape == source.shape
    np.testing.assert_array_equal(restored[..., 3], 255)


def test_same_choice_every_time() -> None:
    source = noisy(camera(128))
    first, second = (napari_synth.denoise(source, "auto", seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_cancel_is_obeyed() -> None:
    token = CancelToken()
    stages = []

    def stop(progress: Any) -> None:
        stages.append(progress.stage)
        if len(stages) == 4:
            token.cancel()

    with pytest.raises(Cancelled):
        prepare("denoise/auto", Image.from_array(noisy(camera())), progress=stop, cancel=token)
    assert len(stages) == 4


def test_few_photons_are_no_impulses() -> None:
    smooth = np.clip(gaussian_filter(np.random.default_rng(0).normal(size=(96, 96)), 5), 0.01, None)
    photons = np.random.default_rng(1).poisson(smooth / smooth.mean() * 0.1).astype(np.uint16)
    run = prepare("denoise/auto", Image.from_array(photons))
    assert taken(run.notes) != "Median"
    assert run.compute().sum() == pytest.approx(photons.sum(), rel=0.05)
