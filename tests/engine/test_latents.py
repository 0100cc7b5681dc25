from __future__ import annotations

import pytest
import torch

from napari_synth.engine.synthesis_run import between, path


def test_a_path_begins_and_ends_where_it_should() -> None:
    first, second = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = path(first, second, 5)
    torch.testing.assert_close(found[0], first)
    torch.testing.assert_close(found[-1], second)
    steps = (found[1:] - found[:-1]).flatten(1).norm(dim=1)
    assert float(steps.max() / steps.min()) < 1.05


def test_the_middle_is_as_long_as_the_ends() -> None:
    first, second = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    middle = between(first, second, 0.5)
    assert float(middle.norm()) == pytest.approx(3.0)
    assert float(middle[0]) == pytest.approx(float(middle[1]))


@pytest.mark.parametrize("second", [torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 0.0]), torch.zeros(2)])
def test_parallel_opposite_and_zero_are_no_trouble(second: torch.Tensor) -> None:
    assert torch.isfinite(between(torch.tensor([1.0, 0.0]), second, 0.3)).all()
