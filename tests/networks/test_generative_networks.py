from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_synth.models.architectures import build_network
from napari_synth.networks.discriminators import DomainDiscriminator
from napari_synth.networks.refined_autoencoder import RefinedAutoencoder, Refiner
from napari_synth.networks.variational_autoencoder import VariationalAutoencoder, drawn_latents
from napari_synth.networks.velocity_unet import VelocityUNet, flow, mixing_times, spread_times

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "variational-autoencoder": {"channels": 2, "size": 24, "latent_size": 5, "width": 8},
    "refined-autoencoder": {"channels": 2, "size": 24, "latent_size": 5, "width": 8, "refiner_width": 8, "domains": 2},
    "velocity-unet": {
        "channels": 2,
        "width": 8,
        "levels": 2,
        "mean": [0.0, 0.1],
        "deviation": [0.5, 0.6],
    },
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(network: nn.Module) -> Tensor:
    latents, noise = torch.randn(2, 5, generator=seeded()), torch.randn(2, 2, 24, 24, generator=seeded())
    if isinstance(network, VelocityUNet):
        result: Tensor = network(noise, torch.tensor([0.2, 0.7]))
    elif isinstance(network, RefinedAutoencoder):
        result = network.decode(latents, 1)
    else:
        assert isinstance(network, VariationalAutoencoder)
        result = network.decode(latents)
    return result


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_configuration_rebuilds_it(name: str) -> None:
    network: Any = build_network(name, ARCHITECTURES[name])
    again: Any = build_network(name, network.config)
    again.load_state_dict(network.state_dict())
    assert torch.equal(run(network), run(again))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_generator_decides_on_the_weights(name: str) -> None:
    ones, others, more = (build_network(name, ARCHITECTURES[name] | {"generator": seeded(seed)}) for seed in (3, 3, 4))
    assert torch.equal(run(ones), run(others))
    assert not torch.equal(run(ones), run(more))


@pytest.mark.parametrize("size", [16, 24, 40, 64, 72])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_autoencoder_returns_images_of_its_size(size: int, channels: int) -> None:
    network = VariationalAutoencoder(channels, size, 6, 8, seeded())
    image, mean, log_variance = network(torch.rand(2, channels, size, size), torch.randn(2, 6))
    assert image.shape == (2, channels, size, size)
    assert mean.shape == log_variance.shape == (2, 6)
    assert 4 <= network.edge < 12
    assert network.first_weight.shape[1] == 6


def test_what_is_drawn_is_mean_and_deviation() -> None:
    network = VariationalAutoencoder(1, 16, 3, 8, seeded())
    x, noise = torch.rand(2, 1, 16, 16), torch.randn(2, 3)
    mean, log_variance = network.encode(x)
    drawn = drawn_latents(mean, log_variance, noise)
    assert torch.allclose((drawn - mean).square(), log_variance.exp() * noise.square(), atol=1e-6)
    assert torch.allclose(network(x, noise)[0], network.decode(drawn), atol=1e-5)


def test_a_refiner_adds_little_at_first_and_differs_by_domain_and_noise() -> None:
    network = Refiner(3, 8, 1, 2, seeded())
    x, noise = torch.rand(2, 3, 16, 24), torch.randn(2, 1, 16, 24)
    first, second = network(x, noise, 0), network(x, noise, 1)
    assert first.shape == x.shape
    assert (first - x).abs().mean() < 0.5
    assert not torch.equal(first, second)
    assert not torch.equal(first, network(x, -noise, 0))


def test_a_step_of_a_refined_autoencoder_keeps_the_game_away_from_the_autoencoder() -> None:
    network = RefinedAutoencoder(1, 16, 4, 8, 8, 1, 2, seeded())
    made = network(torch.rand(3, 1, 16, 16), torch.randn(3, 4), torch.randn(2, 4))
    assert [image.shape for image in made.refined] == [(3, 1, 16, 16)] * 2
    assert made.back is not None
    (made.refined[0].mean() + made.refined[1].mean() + made.back.mean()).backward()
    assert all(weight.grad is None for weight in network.autoencoder.parameters())
    assert any(bool(weight.grad.any()) for weight in network.refiner.parameters() if weight.grad is not None)


def test_a_discriminator_judges_each_domain_and_shows_what_it_sees() -> None:
    network = DomainDiscriminator(3, 8, 2, 2, seeded())
    judged, features = network(torch.rand(2, 3, 16, 24))
    assert judged.shape == (2, 2, 4, 6)
    assert [part.shape[1] for part in features] == [8, 16, 16]


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_velocities_are_those_of_white_images_at_first(levels: int) -> None:
    network = VelocityUNet(1, 8, levels, generator=seeded())
    assert network.multiple == 2**levels
    nn.init.zeros_(network.tail.weight)
    noise, image = (torch.randn(8, 1, 32, 32, generator=seeded(seed)) for seed in (1, 2))
    for t in (0.0, 0.3, 1.0):
        x = (1 - t) * noise + t * image
        with torch.no_grad():
            found = network(x, torch.full((8,), t))
        least = (image - noise - found).square().mean()
        assert abs(float(((image - noise - found) * x).mean())) < 0.05
        assert float(least) == pytest.approx(1.0 / ((1 - t) ** 2 + t**2), rel=0.1)


def test_images_can_be_standardised_and_back() -> None:
    network = VelocityUNet(2, 8, 1, mean=(0.25, -0.5), deviation=(0.5, 2.0))
    image = torch.rand(1, 2, 8, 8)
    assert torch.allclose(network.unstandardised(network.standardised(image)), image, atol=1e-6)
    assert float(network.standardised(torch.tensor([0.75, 1.5]).view(1, 2, 1, 1))[0, 1]) == pytest.approx(1.0)


class Turning(nn.Module):
    """Velocities whose paths are known: x(t) = x(0) exp(t)."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return x


def test_heun_is_more_exact_than_euler_and_the_way_back_leads_to_the_noise() -> None:
    x = torch.ones(1, 1, 2, 2)
    exact = torch.tensor(1.0).exp()
    euler, heun = (float((flow(Turning(), x, 8, solver) - exact).abs().max()) for solver in ("euler", "heun"))  # type: ignore[arg-type]
    assert heun < 0.05 * euler
    there = flow(Turning(), x, 32)
    assert torch.allclose(flow(Turning(), there, 32, back=True), x, atol=1e-3)


def test_a_flow_can_be_stopped_between_steps() -> None:
    class StoppedError(Exception):
        pass

    seen: list[int] = []

    def check() -> None:
        seen.append(1)
        if len(seen) == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        flow(Turning(), torch.ones(1, 1, 2, 2), 10, check=check)


def test_times_lie_in_the_middle_more_often() -> None:
    drawn, spread = mixing_times(4000, seeded(), "cpu"), spread_times(400)
    for times in (drawn, spread):
        assert 0.0 <= float(times.min()) < 0.1 < 0.9 < float(times.max()) <= 1.0
        assert 0.62 < float(((times - 0.5).abs() < 0.25).float().mean()) < 0.82
    assert float(spread.mean()) == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: VariationalAutoencoder(size=20),
        lambda: VariationalAutoencoder(latent_size=0),
        lambda: VelocityUNet(2),
        lambda: VelocityUNet(1, deviation=(0.0,)),
        lambda: Refiner(domains=0),
        lambda: RefinedAutoencoder(domains=3),
        lambda: DomainDiscriminator(halvings=0),
    ],
)
def test_what_makes_no_network_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"needs|learnt from|domains"):
        wrong()
