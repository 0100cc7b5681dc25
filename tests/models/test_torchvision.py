"""spandrel imports beside any build of torch."""

from __future__ import annotations

import importlib

import pytest
import torch

from napari_synth.core.errors import MissingExtraError
from napari_synth.models import _torchvision
from napari_synth.models._torchvision import import_spandrel


def test_spandrel_is_there_with_all_its_architectures() -> None:
    assert len(import_spandrel().MAIN_REGISTRY) > 30


def test_an_operator_that_is_only_declared_still_says_why_it_fails() -> None:
    import_spandrel()
    import torchvision

    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    if _torchvision._declared:
        with pytest.raises(RuntimeError, match="ops"):
            torchvision.ops.nms(boxes, torch.ones(1), 0.5)
    else:
        assert torchvision.ops.nms(boxes, torch.ones(1), 0.5).tolist() == [0]


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(_torchvision, "import_module", fail)
    import_spandrel.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'napari-synth\[spandrel\]'"):
        import_spandrel()
    monkeypatch.setattr(_torchvision, "import_module", importlib.import_module)
    assert import_spandrel().ModelLoader
