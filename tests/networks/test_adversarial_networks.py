from __future__ import annotations

import pytest
import torch

from napari_synth.models.architectures import build_network
from napari_synth.networks.adversarial_pair import halvings_of, widths_of, with_spread
from napari_synth.networks.image_gans import DcganDiscriminator, DcganGenerator, FastganDiscriminator, FastganGenerator
from napari_synth.networks.latent_generator import Grain
from napari_synth.training.losses import steepness


@pytest.mark.parametrize("architecture", ["dcgan-generator", "fastgan-generator"])
@pytest.mark.parametrize(("size", "channels"), [(16, 1), (48, 2), (64, 3), (96, 1)])
def test_vectors_become_images_of_one_size(architecture: str, size: int, channels: int) -> None:
    network = build_network(architecture, {"size": size, "channels": channels, "width": 8, "latent_size": 5}).eval()
    images = network(torch.randn(2, 5))
    assert images.shape == (2, channels, size, size)
    assert float(images.detach().abs().max()) < 1.25
    again = build_network(architecture, network.config).eval()
    again.load_state_dict(network.state_dict())
    latents = torch.randn(1, 5)
    torch.testing.assert_close(again(latents), network(latents))


@pytest.mark.parametrize("kind", [DcganGenerator, FastganGenerator])
def test_initial_weights_come_from_the_generator(kind: type[DcganGenerator]) -> None:
    one, other, third = (kind(16, 1, 8, 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    for name, weight in one.state_dict().items():
        torch.testing.assert_close(weight, other.state_dict()[name])
    assert not torch.equal(one.first_weight, third.first_weight)


@pytest.mark.parametrize("size", [16, 64, 96])
def test_discriminators_judge_and_are_not_steep(size: int) -> None:
    images = torch.rand(3, 2, size, size) * 2 - 1
    critic = DcganDiscriminator(size, 2, 8).requires_grad_(False)
    judged = critic(images)
    assert judged.shape[:2] == (3, 2)
    # The whole is judged once, every part by itself.
    assert float(judged[:, 0].std(dim=(1, 2)).max()) == 0.0
    assert float(judged[:, 1].std(dim=(1, 2)).min()) > 0.0
    light = FastganDiscriminator(size, 2, 8)
    judged = light(images)
    assert isinstance(judged, torch.Tensor)
    assert judged.shape[:2] == (3, 1)
    both = light(images, (0, 1))
    assert isinstance(both, tuple)
    torch.testing.assert_close(both[0].shape, judged.shape)
    assert float(both[1].detach()) > 0
    for _ in range(20):
        critic(images)
    for module in critic.downs:
        weight = module.weight.detach().flatten(1)
        assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1.0, abs=0.05)


def test_sizes_that_cannot_be_made() -> None:
    for size in (8, 40, 0):
        with pytest.raises(ValueError, match="multiple of 16"):
            DcganGenerator(size)
    with pytest.raises(ValueError, match="at least one"):
        FastganGenerator(16, latent_size=0)
    assert [halvings_of(size) for size in (16, 48, 64, 256)] == [2, 3, 4, 6]
    assert widths_of(8, 6) == [8, 16, 32, 32, 32, 32]


def test_how_much_images_differ_is_seen() -> None:
    alike = torch.ones(4, 2, 3, 3)
    assert float(with_spread(alike)[:, -1].max()) == pytest.approx(0.0, abs=1e-3)
    assert float(with_spread(torch.randn(4, 2, 3, 3))[:, -1].min()) > 0.1


@pytest.mark.parametrize("kind", [DcganDiscriminator, FastganDiscriminator])
def test_the_steepness_of_one_image_has_a_gradient(kind: type[DcganDiscriminator | FastganDiscriminator]) -> None:
    critic = kind(16, 1, 8)
    image = torch.rand(1, 1, 16, 16, requires_grad=True)
    steepness(critic(image), image).backward()
    for name, weight in critic.named_parameters():
        assert weight.grad is None or bool(torch.isfinite(weight.grad).all()), name


@pytest.mark.parametrize("kind", [DcganGenerator, FastganGenerator])
def test_what_is_half_precise_stays_so(kind: type[DcganGenerator | FastganGenerator]) -> None:
    network = kind(16, 1, 8, 5)
    seen = []
    for up in network.ups:
        up.register_forward_hook(lambda _module, _given, made: seen.append(made.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(torch.randn(2, 5))
    assert set(seen) == {torch.bfloat16}


def test_noise_belongs_to_the_latents() -> None:
    latents = torch.randn(200, 64)
    coarse, fine = (each.detach() for each in Grain(64, 16, (3, 2))(latents))
    assert coarse.shape == (200, 3, 8, 8)
    assert fine.shape == (200, 2, 16, 16)
    # White, of one spread in every channel at first, and no two images have the same.
    assert float(fine.std()) == pytest.approx(0.1, rel=0.05)
    neighbours = (fine[..., 1:] * fine[..., :-1]).mean(dim=(0, 1, 2))
    assert float(neighbours.abs().max()) < 0.3 * 0.1**2
    grain = Grain(64, 16, (3, 2))
    again, near = (list(grain(each))[1].detach() for each in (latents, latents + 0.01 * latents.roll(1, 0)))
    torch.testing.assert_close(again, fine)
    assert float((near - fine).std()) < 0.02 * float(fine.std())
    assert float((fine[1:] - fine[:-1]).std()) > float(fine.std())
