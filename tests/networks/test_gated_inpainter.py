from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from napari_synth.networks.gated_inpainter import GatedBlock, GatedInpainter, smooth_fill

SMALL = {"widths": (4, 6, 8), "dilations": (1, 2)}


@pytest.fixture(scope="module")
def network() -> GatedInpainter:
    torch.manual_seed(0)
    made = GatedInpainter(**SMALL)
    with torch.no_grad():
        made.tail.weight.mul_(10.0)
    return made.eval().requires_grad_(False)


def image_and_holes(height: int = 64, width: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.from_numpy(data.camera()[100 : 100 + height, 200 : 200 + width] / 255.0).float()[None, None]
    holes = torch.zeros_like(image)
    holes[..., 20:41, 10:31] = 1.0
    holes[..., :3, :] = 1.0
    return image, holes


@pytest.mark.parametrize(("height", "width"), [(8, 8), (64, 40), (136, 24)])
def test_only_holes_are_filled(network: GatedInpainter, height: int, width: int) -> None:
    image = torch.rand(2, 1, height, width)
    holes = (torch.rand(2, 1, height, width) < 0.3).float()
    found = network(image, holes)
    assert found.shape == image.shape
    assert torch.equal(found[holes == 0], image[holes == 0])
    assert (found[holes == 1] != image[holes == 1]).all()


def test_what_lies_in_a_hole_does_not_count(network: GatedInpainter) -> None:
    image, holes = image_and_holes()
    other = torch.where(holes > 0, torch.rand_like(image) * 1e3, image)
    torch.testing.assert_close(network(other, holes), network(image, holes))


@pytest.mark.parametrize(("scale", "offset"), [(1e-2, 0.0), (4000.0, 0.0), (1.0, 5.0), (300.0, -2000.0)])
def test_the_result_moves_and_scales_with_the_image(network: GatedInpainter, scale: float, offset: float) -> None:
    image, holes = image_and_holes()
    expected = scale * network(image, holes) + offset
    # A large offset leaves fewer digits to the image.
    tolerance = 1e-3 * scale + 1e-5 * abs(offset)
    torch.testing.assert_close(network(scale * image + offset, holes), expected, rtol=0.0, atol=tolerance)


def test_constant_images_stay_constant(network: GatedInpainter) -> None:
    _, holes = image_and_holes()
    torch.testing.assert_close(
        network(torch.full_like(holes, 0.7), holes), torch.full_like(holes, 0.7), atol=1e-4, rtol=0
    )


def test_an_image_that_is_a_hole_as_a_whole_gives_numbers(network: GatedInpainter) -> None:
    assert torch.isfinite(network(torch.rand(1, 1, 16, 16), torch.ones(1, 1, 16, 16))).all()


def test_neither_rectifiers_nor_gates_close_on_constant_parts() -> None:
    torch.manual_seed(0)
    block = GatedBlock(16)
    with torch.no_grad():
        block.first.bias.fill_(-10.0)
        block.gate.bias.fill_(-10.0)
    opened = []
    block.second.register_forward_hook(lambda _module, given, _result: opened.append(given[0]))
    block(torch.randn(1, 16, 12, 12))
    assert (opened[0] > 0).float().mean() > 0.3
    assert opened[0].abs().mean() > 0.1


def test_its_configuration_rebuilds_it(network: GatedInpainter) -> None:
    again = GatedInpainter(**network.config)
    again.load_state_dict(network.state_dict())
    image, holes = image_and_holes()
    torch.testing.assert_close(again(image, holes), network(image, holes))


class TestSmoothFill:
    def test_a_slope_is_continued(self) -> None:
        y, x = np.indices((64, 64), dtype=np.float32)
        image = torch.from_numpy(y + 2 * x)[None, None]
        holes = torch.zeros_like(image)
        holes[..., 20:44, 20:44] = 1.0
        error = (smooth_fill(image, holes) - image).abs()
        assert error.max() < 0.08 * float(image.max())
        assert error[holes == 0].max() == 0

    def test_it_stays_within_what_is_known(self) -> None:
        image = torch.rand(1, 1, 40, 24)
        holes = torch.zeros_like(image)
        holes[..., 8:30, :] = 1.0
        filled = smooth_fill(image, holes)
        assert filled.min() >= image[holes == 0].min()
        assert filled.max() <= image[holes == 0].max()

    def test_most_of_the_image_may_be_missing(self) -> None:
        image, holes = torch.full((1, 1, 33, 20), 3.0), torch.ones(1, 1, 33, 20)
        holes[..., 5, 5] = 0.0
        torch.testing.assert_close(smooth_fill(image, holes), image)
