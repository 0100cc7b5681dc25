"""Autoencoders and flows, from images to new images: small networks, few steps."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors import safe_open
from skimage import data

from napari_synth import registry
from napari_synth.core.errors import Cancelled, InvalidParameterError, ModelFileError, TrainingDataError
from napari_synth.core.progress import Progress
from napari_synth.engine.synthesis_run import PreparedSynthesis
from napari_synth.imaging.image import Image
from napari_synth.methods.synthesize.vae import divergence, negative_evidence, principal_psnr, psnr, usage, warmed
from napari_synth.models import library
from napari_synth.studio.examples import augmented_examples
from napari_synth.studio.train import Trained, train_model
from napari_synth.training.control import TrainingControl
from napari_synth.training.dataset import gather
from napari_synth.training.events import Previewed, Validated
from napari_synth.verbs import prepare

BRIEF: dict[str, Any] = {"width": 8, "patch": 16, "batch": 4, "steps": 3}
LATENT = BRIEF | {"latent_size": 6}
FOUR = {"vae": LATENT, "vae-gan": LATENT, "vae-gan-translated": LATENT, "flow-matching": BRIEF}


def source() -> Image:
    return Image(data.grass()[:72, :64], "YX", {"Y": 0.5, "X": 0.5}, {"Y": "um", "X": "um"}, name="grass")


def target() -> Image:
    return Image(data.gravel()[:72, :64].astype(np.uint16) * 100 + 5000, "YX", name="gravel")


@pytest.fixture(scope="module", autouse=True)
def own_library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(library.VARIABLE, str(tmp_path_factory.mktemp("models")))
        registry.refresh()
        yield
    registry.refresh()


def train(name: str, out: Path, image: Image | None = None, second: Image | None = None, **params: Any) -> Trained:
    other = second or (target() if name.endswith("translated") else None)
    settings = FOUR[name] | params
    return train_model(f"synthesize/{name}", image or source(), other, settings, out=out, name=out.name, device="cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    return {name: train(name, tmp_path_factory.mktemp(name) / f"a-{name}") for name in FOUR}


def opened(found: Trained, seed: int = 0, **params: Any) -> PreparedSynthesis:
    return prepare(found.generator.info.id, None, params, device="cpu", seed=seed)


def images(found: Trained, seed: int = 0, **params: Any) -> npt.NDArray[Any]:
    return np.asarray(opened(found, seed, **params).compute())


def weights(found: Trained) -> dict[str, npt.NDArray[Any]]:
    with safe_open(found.path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping


@pytest.mark.parametrize("name", FOUR)
def test_new_images_are_made_by_the_seed_and_are_as_those_that_were_learnt_from(
    name: str, trained: dict[str, Trained]
) -> None:
    made = images(trained[name], count=3)
    like = target() if name.endswith("translated") else source()
    assert made.shape == (3, 16, 16)
    assert made.dtype == like.dtype
    assert abs(float(made.mean()) - like.data.mean()) < 0.5 * np.ptp(like.data)
    np.testing.assert_array_equal(made, images(trained[name], count=3))
    # Fewer at once are summed in another order, which may round a count the other way.
    assert np.abs(made[:1].astype(np.int64) - images(trained[name], count=1)).max() <= 1
    assert not np.array_equal(made[0], made[1])
    assert not np.array_equal(made, images(trained[name], seed=1, count=3))


@pytest.mark.parametrize("name", FOUR)
def test_images_are_found_again_and_changed_into_each_other(name: str, trained: dict[str, Trained]) -> None:
    run = opened(trained[name])
    one, other = (run.encoded(source().select(Y=slice(i, i + 16), X=slice(0, 16))) for i in (0, 40))
    assert one.shape == (1, *run.sampler.latent_shape((16, 16)))
    assert not torch.equal(one, other)
    path = run.decoded(torch.cat([torch.lerp(one, other, share) for share in (0.0, 0.5, 1.0)])).astype(np.float64)
    ends = [run.decoded(latents)[0] for latents in (one, other)]
    assert np.abs(path[0] - ends[0]).max() <= 1
    assert np.abs(path[2] - ends[1]).max() <= 1
    apart = [np.abs(path[a] - path[b]).mean() for a, b in ((0, 1), (1, 2), (0, 2))]
    assert max(apart[:2]) < apart[2] * 1.05 + 1


@pytest.mark.parametrize("name", ["vae", "vae-gan"])
def test_sliders_move_along_unit_vectors(name: str, trained: dict[str, Trained]) -> None:
    sampler = opened(trained[name]).sampler
    assert sampler.latent_size == 6
    found = sampler.directions(4)
    assert torch.allclose(found @ found.T, torch.eye(4), atol=1e-5)


@pytest.mark.parametrize("name", FOUR)
def test_the_card_tells_how_good_it_is_beside_what_needs_no_learning(name: str, trained: dict[str, Trained]) -> None:
    metrics = trained[name].card.metrics
    own = metrics["held-out pixels, this model"]
    assert {"held-out pixels, real crops", "held-out pixels, noise"} <= set(metrics)
    for what in ("real crops", "noise"):
        assert "Told from real (%)" in metrics[f"held-out pixels, {what}"]
    assert "Told from real (%)" in own
    assert trained[name].card.images[0]["name"] == "grass"
    if name != "flow-matching":
        assert {"Latents in use (of 6)", "Divergence of the latents (nats)"} <= set(own)


def test_a_flow_makes_other_sizes_and_finds_the_noise_of_an_image(trained: dict[str, Trained]) -> None:
    found = trained["flow-matching"]
    assert images(found, size=24, width=40, steps=2).shape == (1, 24, 40)
    with pytest.raises(InvalidParameterError, match="multiples of 8"):
        opened(found, size=20)
    run = opened(found, steps=40)
    image = source().select(Y=slice(0, 16), X=slice(0, 16))
    noise = run.encoded(image)
    assert 0.3 < float(noise.std()) < 3.0
    again = run.decoded(noise)[0].astype(np.float64)
    assert np.abs(again - np.asarray(image.data)).mean() < 8


def test_more_steps_change_little_where_few_are_enough(trained: dict[str, Trained]) -> None:
    few, many, euler = (
        images(trained["flow-matching"], **how).astype(np.float64)
        for how in ({"steps": 10}, {"steps": 40}, {"steps": 10, "solver": "euler"})
    )
    assert np.abs(few - many).mean() < np.abs(euler - many).mean()


def test_an_autoencoder_makes_one_size(trained: dict[str, Trained]) -> None:
    with pytest.raises(InvalidParameterError, match="16 x 16"):
        opened(trained["vae"], size=32)


def test_a_translating_model_knows_both_kinds(trained: dict[str, Trained]) -> None:
    found = trained["vae-gan-translated"]
    second, first, blurred = (images(found, manner=manner) for manner in ("auto", "source", "blurred"))
    assert second.dtype == np.uint16
    assert second.min() > 3000
    assert first.dtype == blurred.dtype == np.uint8
    assert not np.array_equal(first, blurred)
    part = source().select(Y=slice(0, 16), X=slice(0, 16))
    assert torch.equal(opened(found).encoded(part), opened(found, manner="source").encoded(part))


def test_a_damaged_card_is_a_clear_error(trained: dict[str, Trained]) -> None:
    from napari_synth.methods.synthesize.catalogue import RefinedParams
    from napari_synth.methods.synthesize.samplers import RefinedSampler
    from napari_synth.models import load_model

    network, card = load_model(trained["vae-gan-translated"].path)
    damaged = card.model_copy(update={"extras": card.extras | {"encoded": {}}})
    with pytest.raises(ModelFileError, match="damaged"):
        RefinedSampler(network, damaged, {}, RefinedParams())


@pytest.mark.parametrize("name", ["vae", "vae-gan", "flow-matching"])
@pytest.mark.parametrize(("axes", "shape"), [("YXS", (2, 16, 16, 3)), ("CYX", (2, 2, 16, 16))])
def test_colours_and_channels_are_learnt_together(name: str, axes: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = {"YXS": data.astronaut()[:64, :64], "CYX": np.stack((data.grass()[:64, :64], data.brick()[:64, :64]))}
    found = train(name, tmp_path / f"kinds-{name}-{axes.lower()}", Image(pixels[axes], axes), steps=1)
    assert images(found, count=2).shape == shape


def test_images_of_other_channels_are_no_second_kind(tmp_path: Path) -> None:
    colours = Image(data.astronaut()[:64, :64], "YXS")
    with pytest.raises(TrainingDataError, match="1 channels and the target 3"):
        train("vae-gan-translated", tmp_path / "wrong", second=colours)
    with pytest.raises(TrainingDataError, match="needs a target"):
        train_model("synthesize/vae-gan-translated", source(), None, LATENT, out=tmp_path / "wrong")


def test_a_smaller_second_kind_decides_on_the_size(tmp_path: Path) -> None:
    small = target().select(Y=slice(0, 40))
    found = train("vae-gan-translated", tmp_path / "smaller", second=small, patch=48, steps=1)
    made = images(found)
    assert made.shape[1] == made.shape[2] < 40


@pytest.mark.parametrize("name", FOUR)
def test_patches_can_be_looked_at_before(name: str) -> None:
    second = target() if name.endswith("translated") else None
    images = gather(source(), second, kind="one" if second is None else "unpaired")
    plain, moved = (
        augmented_examples(f"synthesize/{name}", images, FOUR[name] | {"augmentation": chosen}, 3)
        for chosen in ("none", "geometry")
    )
    assert plain.shape == moved.shape == (3, 16, 16)
    assert np.abs(plain - moved).max() > 0.01


def test_an_autoencoder_learns_and_shows_it(tmp_path: Path) -> None:
    seen: list[Progress] = []
    found = train_model(
        "synthesize/vae",
        source(),
        None,
        LATENT | {"steps": 80, "warm_up": 20, "batch": 8},
        out=tmp_path / "learner",
        device="cpu",
        progress=seen.append,
    )
    validated = [item.event for item in seen if isinstance(item.event, Validated)]
    assert validated[-1].metrics["PSNR of images found again (dB)"] > 1 + float(
        validated[0].metrics["PSNR of images found again (dB)"]
    )
    assert "principal components" in validated[0].baselines
    previews = [item.event.preview for item in seen if isinstance(item.event, Previewed)]
    assert previews[-1].axes == "YX"
    assert previews[-1].pixels.shape == (4 * 18 - 2, 4 * 18 - 2)
    assert found.result.curve[-1].losses["squared error"] < found.result.curve[0].losses["squared error"]


@pytest.mark.parametrize("name", ["vae-gan-translated", "flow-matching"])
def test_a_training_that_was_thrown_away_goes_on_exactly(
    name: str, tmp_path: Path, trained: dict[str, Trained]
) -> None:
    control = TrainingControl()

    def stop(progress: Progress) -> None:
        if progress.stage.startswith("Training") and progress.done == 1:
            control.cancel()

    whole = f"a-{name}"
    out, other = tmp_path / "run", target() if name.endswith("translated") else None
    call: dict[str, Any] = {"out": out, "name": f"again-{name}", "device": "cpu", "checkpoint_seconds": 0.0}
    with pytest.raises(Cancelled):
        train_model(f"synthesize/{name}", source(), other, FOUR[name], progress=stop, cancel=control, **call)
    found = train_model(f"synthesize/{name}", source(), other, FOUR[name], resume=True, **call)
    assert found.result.steps == 3
    ones, others = weights(found), weights(trained[name])
    assert whole in str(trained[name].path)
    assert all(np.array_equal(ones[key], others[key]) for key in others)


def test_normal_numbers_do_not_diverge_and_what_tells_nothing_is_out_of_use() -> None:
    mean, log_variance = torch.zeros(5, 4), torch.zeros(5, 4)
    assert float(divergence(mean, log_variance).sum()) == 0.0
    mean[:, 1], log_variance[:, 2] = 2.0, -4.0
    apart = divergence(mean, log_variance)
    assert apart.tolist() == pytest.approx([0.0, 2.0, 0.5 * (np.exp(-4.0) + 3.0), 0.0], abs=1e-5)
    told = usage(apart)
    assert told["Latents in use (of 4)"] == 2.0
    assert told["Divergence of the latents (nats)"] == pytest.approx(float(apart.sum()))


def test_the_divergence_is_priced_later() -> None:
    assert [warmed(2.0, step, 4) for step in (0, 1, 4, 9)] == [0.0, 0.5, 2.0, 2.0]
    assert warmed(0.5, 0, 0) == 0.5


def test_the_bound_weighs_likelihood_and_divergence_as_they_are() -> None:
    made, image, apart = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.1), torch.tensor([3.0, 5.0])
    found = float(negative_evidence(made, image, apart, 0.5))
    assert found == pytest.approx(0.5 * np.log(0.01) + 0.5 * 8.0 / 16, rel=1e-5)


def test_principal_components_find_again_what_lies_in_their_plane() -> None:
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(3, 64, generator=generator)
    some, others = (torch.randn(40, 3, generator=generator) @ plane for _ in range(2))
    some, others = some.view(-1, 1, 8, 8), others.view(-1, 1, 8, 8)
    assert principal_psnr(some, others, 3) > 80
    assert principal_psnr(some, others, 1) < 20
    assert psnr(others, others + 0.2) == pytest.approx(10 * log10(4 / 0.04), rel=1e-4)
