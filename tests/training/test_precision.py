from __future__ import annotations

import pytest
import torch

from napari_synth.core.device import Device, Precision
from napari_synth.training.precision import training_precision


@pytest.mark.parametrize(
    ("units", "expected"), [({"amx_bf16": True}, "bf16-mixed"), ({"avx512_bf16": True}, "bf16-mixed"), ({}, "32-true")]
)
def test_the_cpu_decides(monkeypatch: pytest.MonkeyPatch, units: dict[str, bool], expected: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)
    assert training_precision(Device("cpu", "CPU", "")) == expected


@pytest.mark.parametrize(
    ("precision", "has_bfloat16", "expected"),
    [("float16", True, "bf16-mixed"), ("float16", False, "16-mixed"), ("float32", True, "32-true")],
)
def test_a_gpu_decides(
    monkeypatch: pytest.MonkeyPatch, precision: Precision, has_bfloat16: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bfloat16)
    assert training_precision(Device("cuda:0", "GPU", "", precision)) == expected


def test_apple_gpus_train_in_single_precision() -> None:
    assert training_precision(Device("mps", "GPU", "")) == "32-true"
