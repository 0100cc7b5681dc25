from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from napari_synth.core.device import Device, Precision
from napari_synth.training.distributed import single_process, training_precision


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


def test_bfloat16_keeps_what_a_network_is_given_and_allows_gradients_of_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)

    class Network(nn.Linear):
        def forward(self, values: Tensor) -> Tensor:
            seen.append(values.detach())
            answer = super().forward(values)
            computed.append(answer.dtype)
            return answer

    seen: list[Tensor] = []
    computed: list[torch.dtype] = []
    fabric = single_process(Device("cpu", "CPU", ""))
    network = fabric.setup_module(Network(3, 1))
    values = torch.tensor([[1.0001, 2.0003, 1000.1]], requires_grad=True)
    judged = network(values)
    assert torch.equal(seen[0], values)
    assert computed == [torch.bfloat16]
    assert judged.dtype == torch.float32
    (slope,) = torch.autograd.grad(judged.square().sum(), values, create_graph=True)
    fabric.backward(slope.square().sum())
    assert network.weight.grad.abs().sum() > 0


def test_apple_gpus_train_in_single_precision() -> None:
    assert training_precision(Device("mps", "GPU", "")) == "32-true"
