from __future__ import annotations

import pytest
import torch

from napari_synth.networks.translation_unet import TranslationUNet


@pytest.mark.parametrize(("dims", "shape"), [(2, (32, 48)), (3, (3, 16, 32))])
@pytest.mark.parametrize("normalisation", ["none", "pixel", "instance"])
def test_any_channels_come_out_at_the_size_that_went_in(dims: int, shape: tuple[int, ...], normalisation: str) -> None:
    network = TranslationUNet(dims, 2, 3, 4, normalisation)
    assert network(torch.rand(2, 2, *shape)).shape == (2, 3, *shape)
    assert TranslationUNet(**network.config).config == network.config
    assert network.needs_whole == (normalisation == "instance")


@pytest.mark.parametrize("dims", [2, 3])
def test_it_starts_from_the_mix_that_it_is_given(dims: int) -> None:
    network = TranslationUNet(dims, 2, 1, 4)
    torch.nn.init.zeros_(network.tail.weight)
    network.start_from(torch.tensor([[2.0, -1.0]]), torch.tensor([0.5]))
    image = torch.rand(1, 2, *((2,) * (dims - 2)), 16, 16)
    torch.testing.assert_close(network(image), 2 * image[:, :1] - image[:, 1:] + 0.5)


@pytest.mark.parametrize("normalisation", ["none", "pixel"])
def test_nothing_changes_beyond_the_receptive_field(normalisation: str) -> None:
    network = TranslationUNet(2, 1, 1, 4, normalisation).eval()
    reach = network.receptive_field[-1]
    image = torch.rand(1, 1, 16, 32 * (reach // 16 + 1))
    other = image.clone()
    place = image.shape[-1] // 2
    other[..., place] += 1.0
    with torch.no_grad():
        change = (network(other) - network(image)).abs().amax((0, 1, 2))
    changed = torch.nonzero(change > 1e-6).flatten()
    assert changed.min() >= place - reach
    assert changed.max() <= place + reach
    assert changed.max() - changed.min() > 40


def test_a_network_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one channel"):
        TranslationUNet(2, 0, 1)
