from __future__ import annotations

import torch

from napari_synth.training.adversarial import ImagePool


def images(start: int, count: int) -> torch.Tensor:
    return torch.arange(start, start + count, dtype=torch.float32).view(-1, 1, 1, 1)


def test_a_full_pool_returns_old_images_about_every_other_time() -> None:
    pool, generator = ImagePool(10), torch.Generator().manual_seed(0)
    assert torch.equal(pool.exchanged(images(0, 10), generator), images(0, 10))
    old = 0
    for start in range(10, 210, 4):
        new = images(start, 4)
        returned = pool.exchanged(new, generator)
        old += int((returned != new).sum())
        assert bool((returned <= start + 3).all())
    assert 70 < old < 130


def test_a_restored_pool_goes_on_exactly() -> None:
    pool, generator = ImagePool(3), torch.Generator().manual_seed(0)
    pool.exchanged(images(0, 5), generator)
    other, same = ImagePool(3), torch.Generator()
    other.restore(pool.state(), "cpu")
    same.set_state(generator.get_state())
    for start in range(5, 25, 2):
        one, two = (p.exchanged(images(start, 2), g) for p, g in ((pool, generator), (other, same)))
        assert torch.equal(one, two)


def test_what_is_kept_does_not_change_with_the_batch() -> None:
    pool, generator = ImagePool(1), torch.Generator().manual_seed(0)
    batch = images(7, 1)
    pool.exchanged(batch, generator)
    batch.zero_()
    assert pool.state()["kept"][0].item() == 7


def test_no_pool_hands_everything_on() -> None:
    batch = images(0, 3)
    assert ImagePool(0).exchanged(batch, torch.Generator()) is batch
