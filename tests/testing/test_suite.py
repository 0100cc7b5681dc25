"""The contract suite: what is right passes it, and each kind of fault is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from pydantic import Field

from napari_synth import registry
from napari_synth.contract.frames import FramePredictor, PreparedFrames
from napari_synth.contract.generator import BlockSpec, Generator, GeneratorInfo, Prepared, Task
from napari_synth.contract.params import NoParams, Params
from napari_synth.contract.synthesis import Sampler, SampleSpec, SynthesisParams, Synthesizer
from napari_synth.contract.trainable import Trainable, TrainableInfo, TrainParams
from napari_synth.testing import Check, check_method, contract_checks

INFO = GeneratorInfo("translate/fault", "Fault", "Does what a test wants.", Task.TRANSLATE)


class Pointwise(Prepared):
    """Applies a function to blocks."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor], halo: int = 0) -> None:
        self.change, self.spec = change, BlockSpec.plane(halo)

    def apply(self, block: torch.Tensor) -> torch.Tensor:
        return self.change(block)


def method(change: Callable[[torch.Tensor], torch.Tensor], info: GeneratorInfo = INFO) -> Generator[Any]:
    return Generator(info, NoParams, lambda image, params, context: Pointwise(change))


def check(name: str, subject: Any, **options: Any) -> Check:
    (found,) = [one for one in contract_checks(subject, **options) if one.name == name]
    return found


def test_a_good_method_passes_the_whole_and_leaves_the_registry_alone() -> None:
    check_method(method(lambda block: block))
    assert "translate/fault" not in [one.info.id for one in registry.generators()]


def test_a_method_that_looks_at_the_whole_block_is_found() -> None:
    mean_of_block = method(lambda block: block - block.mean((-2, -1), keepdim=True))
    with pytest.raises(AssertionError, match="the halo is too small"):
        check("a_tile_equals_the_whole", mean_of_block)()


def test_a_method_that_draws_without_the_seed_is_found() -> None:
    with pytest.raises(AssertionError):
        check("the_same_seed_gives_the_same_result", method(lambda block: block + torch.rand_like(block)))()


def test_a_method_that_moves_constant_images_is_found() -> None:
    with pytest.raises(AssertionError):
        check("constant_images_stay_as_they_are", method(lambda block: block + 1))()


def test_a_denoiser_that_does_nothing_is_found() -> None:
    idle = method(lambda block: block, GeneratorInfo("denoise/idle", "Idle", "Does nothing.", Task.DENOISE))
    with pytest.raises(AssertionError, match=r"gained 0\.0 dB"):
        check("noise_is_removed_and_the_mean_is_kept", idle)()
    with pytest.raises(AssertionError, match="says nothing of the noise"):
        check("notes_are_sentences_and_none_is_said_twice", idle)()


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (GeneratorInfo("denoise/odd", "Odd", "Is elsewhere.", Task.TRANSLATE), "does not begin with its task"),
        (GeneratorInfo("translate/odd", "Odd", "No sentence", Task.TRANSLATE), "no sentence"),
        (GeneratorInfo("translate/odd", "", "A sentence.", Task.TRANSLATE), "no title"),
    ],
)
def test_wrong_declarations_are_found(info: GeneratorInfo, words: str) -> None:
    with pytest.raises(AssertionError, match=words) as caught:
        check("it_says_what_it_is", method(lambda block: block, info))()
    assert caught.value.__notes__ == ["The contract of methods says: it says what it is."]


class Untitled(Params):
    radius: int = Field(1, ge=1)


class WithoutDefault(TrainParams):
    patience: int = Field(ge=1, title="Patience", description="How long to wait.")


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (Generator(INFO, Untitled, print), "'radius' of translate/fault lacks a title"),
        (
            Trainable(
                TrainableInfo("translate/odd", "Odd", "A sentence.", Task.TRANSLATE), WithoutDefault, "none:none"
            ),
            "'patience' of translate/odd has no default",
        ),
    ],
)
def test_settings_that_say_too_little_are_found(subject: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        contract_checks(subject)[0]()


def test_the_scale_that_is_told_is_the_one_that_is_wanted() -> None:
    twice = check("shape_and_dtype_are_kept[u2]", method(lambda block: block), scale=2)
    with pytest.raises(AssertionError, match=r"\(40, 48\) instead of \(80, 96\)"):
        twice()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert not registry._of_session


class Restless(PreparedFrames):
    def predict(self, past: torch.Tensor, count: int) -> torch.Tensor:
        return past[:, -1:].expand(-1, count, -1, -1, -1) + 1


def test_frames_that_change_where_nothing_moves_are_found() -> None:
    info = GeneratorInfo("predict-frames/restless", "Restless", "Goes on.", Task.PREDICT_FRAMES, invents=True)
    restless = FramePredictor(info, NoParams, lambda movie, params, context: Restless())
    with pytest.raises(AssertionError):
        check("where_nothing_moves_nothing_changes", restless)()
    check("measured_frames_stay_as_they_are[u2]", restless)()


class Stubborn(Sampler):
    spec = SampleSpec(1, "", "uint8", (16, 16))

    def latent_shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        return (2,)

    def decode(self, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return torch.full((len(latents), 1, *size), 7.0)


def test_images_that_do_not_depend_on_the_seed_are_found() -> None:
    info = GeneratorInfo("synthesize/stubborn", "Stubborn", "Makes one image.", Task.SYNTHESIZE, invents=True)
    stubborn = Synthesizer(info, SynthesisParams, lambda source, params, context: Stubborn())
    with pytest.raises(AssertionError, match="Two seeds gave the same image"):
        check("a_seed_gives_the_same_images_however_many", stubborn)()
    check("images_come_in_the_number_that_is_asked_for", stubborn)()
