from __future__ import annotations

import pytest
import torch

from napari_synth.training.losses import Game, discriminator_loss, frozen, generator_loss, relative_loss, steepness

GAMES: tuple[Game, ...] = ("lsgan", "vanilla", "hinge")


@pytest.mark.parametrize("game", GAMES)
def test_who_judges_well_loses_little_and_who_deceives_too(game: Game) -> None:
    real, made = torch.ones(4, 1, 3, 3), torch.full((4, 1, 3, 3), 0.0 if game == "lsgan" else -1.0)
    assert discriminator_loss(game, real, made) < discriminator_loss(game, made, real)
    assert generator_loss(game, real) < generator_loss(game, made)


@pytest.mark.parametrize("game", GAMES)
def test_each_moves_the_judgement_its_way(game: Game) -> None:
    judged = torch.full((3,), 0.5, requires_grad=True)
    generator_loss(game, judged).backward()
    assert judged.grad is not None
    assert (judged.grad < 0).all()
    judged.grad = None
    discriminator_loss(game, torch.ones(3), judged).backward()
    assert (judged.grad > 0).all()


def test_gradients_pass_a_held_network_and_leave_its_weights() -> None:
    network = torch.nn.Linear(2, 1)
    network.bias.requires_grad_(False)
    x = torch.ones(1, 2, requires_grad=True)
    with frozen(network):
        network(x).sum().backward()
    assert x.grad is not None
    assert network.weight.grad is None
    assert network.weight.requires_grad
    assert not network.bias.requires_grad


def test_a_judgement_rises_above_its_partner() -> None:
    above, below = torch.tensor([2.0, 1.0], requires_grad=True), torch.tensor([-1.0, 3.0], requires_grad=True)
    assert relative_loss(above, below) < relative_loss(below, above)
    relative_loss(above, below).backward()
    assert above.grad is not None
    assert below.grad is not None
    torch.testing.assert_close(above.grad, -below.grad)
    # The pair that is in the wrong order counts most.
    assert -above.grad[1] > -above.grad[0] > 0


def test_steepness_is_that_of_the_judgement() -> None:
    images = torch.rand(3, 2, 4, 4, requires_grad=True)
    weight = torch.tensor(0.5, requires_grad=True)
    found = steepness((weight * images).flatten(1).sum(1, keepdim=True), images)
    assert float(found.detach()) == pytest.approx(0.5**2 * 32)
    found.backward()
    assert float(weight.grad) == pytest.approx(32.0)  # type: ignore[arg-type]
