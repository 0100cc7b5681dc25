"""Images made by fakes of synthesizers that are small enough to reason about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import Field

import napari_synth
from napari_synth import registry
from napari_synth.contract.generator import GeneratorInfo, Task
from napari_synth.contract.synthesis import Needs, Sampler, SampleSpec, SynthesisContext, SynthesisParams, Synthesizer
from napari_synth.core.errors import (
    AxesError,
    Cancelled,
    GeneratorError,
    InvalidImageError,
    InvalidParameterError,
    OutOfMemoryError,
    SynthError,
    UnknownGeneratorError,
)
from napari_synth.core.progress import CancelToken, Progress, Reporter
from napari_synth.engine.recipe import Recipe
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.imaging.image import Image
from napari_synth.spelling import as_command, as_python
from napari_synth.verbs import prepare


class FlatParams(SynthesisParams):
    gain: float = Field(1.0, gt=0, le=1000, title="Gain", description="Multiplies the images.")


class Flat(Sampler):
    """Images of one value a channel: the first latents, times the gain, plus 100."""

    can_encode = True
    notes = ("It is a fake.",)

    def __init__(self, spec: SampleSpec, gain: float, labels: Image | None = None) -> None:
        self.spec, self.gain, self.labels = spec, gain, labels
        self.weights = {"flat": "0123"}
        self.batches: list[int] = []
        self.most = 10**6

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        return (5,)

    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        if len(latents) > self.most:
            raise MemoryError
        self.batches.append(len(latents))
        values = 100.0 + self.gain * latents[:, : self.spec.channels, None, None]
        images = values.expand(-1, -1, *size)
        return images if self.labels is None else images + torch.from_numpy(self.labels.read()).float()

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad((pixels.mean((2, 3)) - 100.0) / self.gain, (0, 5 - pixels.shape[1]))


class FlatSynthesizer:
    info = GeneratorInfo("synthesize/flat", "Flat", "Fake.", Task.SYNTHESIZE, invents=True)
    params_type = FlatParams
    needs: Needs = "nothing"
    spec = SampleSpec(1, "", "uint16", (8, 12), grid=4, spacing={"Y": 0.5, "X": 0.25}, units={"Y": "um"})

    def prepare(self, source: Image | None, params: FlatParams, context: SynthesisContext) -> Sampler:
        spec = self.spec
        if source is not None and self.needs == "labels":
            spec = SampleSpec(1, "", "uint16", (source.shape[0], source.shape[1]))
        return Flat(spec, params.gain, source if self.needs == "labels" else None)


def registered(**changes: Any) -> type[FlatSynthesizer]:
    made = type("FlatSynthesizer", (FlatSynthesizer,), changes)
    registry.register(made())
    return made


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    registered()
    yield
    registry._of_session.pop("synthesize/flat")


def prepared(source: Image | None = None, seed: int = 0, **params: Any) -> PreparedSynthesis:
    return prepare("synthesize/flat", source, params, device="cpu", seed=seed)


def made(source: Image | None = None, seed: int = 0, **params: Any) -> npt.NDArray[Any]:
    result: npt.NDArray[Any] = prepared(source, seed, **params).compute()
    return result


def test_the_same_seed_gives_the_same_images_however_many_are_made_at_once() -> None:
    many = made(count=9, gain=50.0)
    assert many.shape == (9, 8, 12)
    assert many.dtype == np.uint16
    np.testing.assert_array_equal(many[:4], made(count=4, gain=50.0))
    assert len(np.unique(many[:, 0, 0])) > 5
    assert not np.array_equal(many, made(count=9, gain=50.0, seed=1))
    one_by_one = prepared(count=9, gain=50.0)
    sampler = one_by_one.sampler
    assert isinstance(sampler, Flat)
    sampler.bytes_per_pixel = 2**62
    np.testing.assert_array_equal(one_by_one.compute(), many)
    assert sampler.batches == [1] * 9


def test_counts_are_rounded_and_clipped_to_the_dtype() -> None:
    images = made(count=40, gain=1000.0)
    assert images.min() == 0
    assert images.max() > 1000


def test_short_memory_halves_the_batch_and_is_told_where_nothing_is_left_to_halve() -> None:
    run = prepared(count=8)
    sampler = run.sampler
    assert isinstance(sampler, Flat)
    sampler.most = 3
    np.testing.assert_array_equal(run.compute(), made(count=8))
    assert sampler.batches == [2] * 4
    sampler.most = 0
    with pytest.raises(OutOfMemoryError, match="8 x 12 pixels does not fit"):
        run.compute()


@pytest.mark.parametrize(
    ("spec", "axes", "shape"),
    [
        (SampleSpec(3, "C", "float32", (8, 8)), "TCYX", (2, 3, 8, 8)),
        (SampleSpec(3, "S", "uint8", (8, 8)), "TYXS", (2, 8, 8, 3)),
        (SampleSpec(1, "C", "uint8", (8, 8)), "TCYX", (2, 1, 8, 8)),
        (SampleSpec(1, "", "int16", (8, 8)), "TYX", (2, 8, 8)),
    ],
)
def test_images_lie_along_an_axis_of_their_own(spec: SampleSpec, axes: str, shape: tuple[int, ...]) -> None:
    registered(spec=spec)
    run = prepared(count=2)
    result = run.image(run.compute())
    assert (result.axes, result.shape, str(result.dtype)) == (axes, shape, spec.dtype)


def test_spacing_is_that_of_the_images_that_were_learnt_from() -> None:
    run = prepared()
    result = run.image(run.compute())
    assert result.spacing == {"Y": 0.5, "X": 0.25}
    assert result.units == {"Y": "um"}


def test_sizes_that_can_be_made_and_those_that_cannot() -> None:
    assert made(size=16, width=8).shape == (1, 16, 8)
    assert made(size=16).shape == (1, 16, 16)
    with pytest.raises(InvalidParameterError, match="multiples of 4, not 18 x 18"):
        prepared(size=18)
    registered(spec=SampleSpec(1, "", "uint8", (8, 8)))
    assert made(size=8).shape == (1, 8, 8)
    with pytest.raises(InvalidParameterError, match="of 8 x 8 pixels, not of 16 x 16"):
        prepared(size=16)


@pytest.mark.parametrize(("axes", "expected"), [("ZYX", "TZYX"), ("TYX", "ZTYX"), ("TZYX", "CTZYX"), ("YX", "TYX")])
def test_labels_get_images_for_each_of_their_planes(axes: str, expected: str) -> None:
    registered(needs="labels")
    labels = np.zeros((*range(2, len(axes)), 8, 12), np.uint8)
    labels[..., :4, :] = np.arange(labels[..., 0, 0].size).reshape(*labels.shape[:-2], 1, 1)
    source = Image(labels, axes, {axes[0]: 3.0})
    run = prepared(source, count=3)
    result = run.image(run.compute())
    assert result.axes == expected
    assert result.shape == (3, *labels.shape)
    np.testing.assert_array_equal(
        result.data[..., :4, :] - result.data[..., 4:, :],
        np.broadcast_to(labels[..., :4, :], (3, *labels.shape[:-2], 4, 12)),
    )
    if axes != "YX":
        assert result.spacing[axes[0]] == 3.0


@pytest.mark.parametrize(
    ("needs", "source", "error", "message"),
    [
        ("nothing", Image(np.zeros((8, 8)), "YX"), InvalidImageError, "leave the source out"),
        ("image", None, InvalidImageError, "needs an image to make others like"),
        ("labels", None, InvalidImageError, "needs labels to make images for"),
        ("labels", Image(np.zeros((8, 8)), "YX"), InvalidImageError, "whole numbers, not float64"),
        ("labels", Image(np.zeros((8, 8, 3), int), "YXS"), AxesError, "neither channels nor colours"),
        ("labels", Image(np.zeros((1, 1, 1, 8, 8), int), "TCZYX"), AxesError, "neither channels nor colours"),
    ],
)
def test_a_source_that_does_not_fit(needs: Needs, source: Image | None, error: type[SynthError], message: str) -> None:
    registered(needs=needs)
    with pytest.raises(error, match=message):
        prepared(source)


def test_a_run_can_be_cancelled_and_tells_how_far_it_is() -> None:
    token, seen = CancelToken(), []

    def stop(state: Progress) -> None:
        seen.append(state.done)
        if state.done:
            token.cancel()

    run = prepared(count=5)
    run.sampler.bytes_per_pixel = 2**62
    with pytest.raises(Cancelled):
        run.compute(report=Reporter(stop, token))
    assert seen == [0, 1]


def test_what_goes_wrong_inside_is_told_in_a_sentence() -> None:
    def broken(*_: Any) -> torch.Tensor:
        raise RuntimeError("no such kernel")

    run = prepared()
    run.sampler.decode = broken  # type: ignore[method-assign]
    with pytest.raises(GeneratorError, match="Flat failed on CPU"):
        run.compute()


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_bounds(seed: int) -> None:
    with pytest.raises(InvalidParameterError, match="whole number"):
        prepared(seed=seed)


def test_a_generator_of_another_task_makes_no_images() -> None:
    with pytest.raises(UnknownGeneratorError, match="it is for denoise"):
        napari_synth.synthesize("denoise/median")
    with pytest.raises(UnknownGeneratorError, match="it is for synthesize"):
        registry.generator("synthesize/flat")


def test_a_recipe_repeats_the_run() -> None:
    run = prepared(seed=3, count=2, gain=20.0)
    assert run.recipe.weights == {"flat": "0123"}
    assert run.recipe.notes == ("It is a fake.",)
    again = Recipe.from_yaml(run.recipe.to_yaml())
    np.testing.assert_array_equal(napari_synth.run(again), run.compute())
    assert napari_synth.run(again, count=3).shape == (3, 8, 12)
    with pytest.warns(UserWarning, match="weights of flat differ"):
        napari_synth.run(again.model_copy(update={"weights": {"flat": "other"}}))
    scope: dict[str, Any] = {}
    exec(as_python(again), scope)
    np.testing.assert_array_equal(scope["images"], run.compute())
    words = as_command(again)
    assert words.startswith("napari-synth synthesize flat OUT.tif ")
    assert "--count 2" in words
    assert "--gain 20.0" in words


def test_a_recipe_of_labels_asks_for_them() -> None:
    registered(needs="labels")
    labels = np.arange(96).reshape(8, 12)
    run = prepared(Image(labels, "YX"))
    assert "source=source" in as_python(run.recipe)
    assert "--source IN.tif" in as_command(run.recipe)
    np.testing.assert_array_equal(napari_synth.run(run.recipe, labels), run.compute())


def test_the_verb_takes_names_ids_and_methods_and_returns_arrays() -> None:
    expected = made(count=2)
    for model in ("flat", "synthesize/flat", registry.found(Synthesizer, "synthesize/flat")):
        np.testing.assert_array_equal(napari_synth.synthesize(model, 2, device="cpu"), expected)
    assert napari_synth.synthesize("flat", size=(16, 8), device="cpu").shape == (1, 16, 8)


def test_a_path_between_seeds_or_images() -> None:
    found = napari_synth.interpolate("flat", 0, 1, 5, gain=50.0, device="cpu")
    assert found.shape == (5, 8, 12)
    np.testing.assert_array_equal(found[0], made(gain=50.0)[0])
    np.testing.assert_array_equal(found[-1], made(gain=50.0, seed=1)[0])
    image = np.full((20, 20), 130, np.uint16)
    np.testing.assert_array_equal(napari_synth.interpolate("flat", image, 1, 2, gain=50.0, device="cpu")[0], 130)
    with pytest.raises(InvalidParameterError, match="at least 2"):
        napari_synth.interpolate("flat", 0, 1, 1)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image(np.zeros((8, 11)), "YX"), "at least as large"),
        (Image(np.zeros((20, 20, 3)), "YXS"), "choose one"),
        (Image(np.zeros((2, 20, 20)), "ZYX"), "choose one"),
        (Image(np.full((20, 20), np.nan), "YX"), "not finite"),
    ],
)
def test_images_that_cannot_be_looked_at(image: Image, message: str) -> None:
    with pytest.raises(InvalidImageError, match=message):
        prepared().encoded(image)


def test_channels_are_found_again_in_any_order_of_axes() -> None:
    registered(spec=SampleSpec(2, "C", "uint8", (8, 12)))
    values = np.array([110.0, 130.0], np.float32)
    image = Image(np.broadcast_to(values[:, None, None], (2, 9, 14)), "CYX")
    np.testing.assert_allclose(prepared(gain=10.0).encoded(image)[0], [1.0, 3.0, 0, 0, 0])
    flipped = Image(np.broadcast_to(values, (14, 9, 2)), "XYC")
    np.testing.assert_allclose(prepared(gain=10.0).encoded(flipped)[0], [1.0, 3.0, 0, 0, 0])
