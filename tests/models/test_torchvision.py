"""spandrel imports beside any build of torch."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from napari_synth.core.errors import MissingExtraError
from napari_synth.models import _torchvision
from napari_synth.models._torchvision import import_spandrel


def test_spandrel_is_there_with_all_its_architectures() -> None:
    assert len(import_spandrel().MAIN_REGISTRY) > 30


def test_an_operator_that_is_only_declared_still_says_why_it_fails() -> None:
    code = (
        "from napari_synth.models._torchvision import _declared, import_spandrel; import_spandrel()\n"
        "import torch, torchvision\n"
        "try: torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5); print('works', len(_declared))\n"
        "except RuntimeError as error: print('ops' in str(error), len(_declared))\n"
    )
    answer = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    # Where torchvision's own library loads nothing is declared, and its operators work.
    assert answer.stdout.strip() in {"True 1", "works 0"}


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(_torchvision, "import_module", fail)
    import_spandrel.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'napari-synth\[spandrel\]'"):
        import_spandrel()
    monkeypatch.setattr(_torchvision, "import_module", importlib.import_module)
    assert import_spandrel().ModelLoader
