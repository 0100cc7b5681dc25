"""Chooses the arithmetic of a training run: half precision only where the processor computes faster in it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from lightning_fabric.plugins import Precision
from lightning_fabric.utilities.apply_func import apply_to_collection
from torch import Tensor

from napari_synth.core.device import Device

TrainingPrecision = Literal["32-true", "16-mixed", "bf16-mixed"]

_BFLOAT16_UNITS = ("amx_bf16", "avx512_bf16")


def training_precision(device: Device) -> TrainingPrecision:
    """Return the precision in which networks train on ``device``, as lightning-fabric calls it.

    A half precision that was chosen for the device is taken. Else CUDA trains in bfloat16 where it has it (float16 with a scaled
    loss where not), a CPU with matrix or vector units for bfloat16 in bfloat16, and everything else in float32.
    """
    if device.kind == "cuda":
        if device.precision == "float32":
            return "32-true"
        wants_float16 = device.precision == "float16" and not torch.cuda.is_bf16_supported(including_emulation=False)
        return "16-mixed" if wants_float16 else "bf16-mixed"
    if device.kind == "cpu" and (device.precision == "bfloat16" or _has_bfloat16_units()):
        return "bf16-mixed"
    return "32-true"


class Bfloat16(Precision):
    """Computes networks in bfloat16 where that is safe, and everything around them in float32.

    Lightning's own rounds what a network is given to bfloat16 before the network sees it, which takes more from an image than its
    noise does, and forbids gradients of gradients, which some discriminators are trained with. Neither is needed: bfloat16 has the
    range of float32, so that the loss is not scaled.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Where the networks are.
    """

    precision = "bf16-mixed"

    def __init__(self, device: str) -> None:
        self.device = device

    def forward_context(self) -> AbstractContextManager[Any]:
        """Return the context in which a network is called."""
        return torch.autocast(self.device, dtype=torch.bfloat16)

    def convert_input(self, data: Any) -> Any:
        """Return what a network is given: every floating-point tensor as float32."""
        return _in_single_precision(data)

    def convert_output(self, data: Any) -> Any:
        """Return what a network answers: every floating-point tensor as float32."""
        return _in_single_precision(data)


def _in_single_precision(data: Any) -> Any:
    return apply_to_collection(data, Tensor, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)


def _has_bfloat16_units() -> bool:
    # torch before 2.10 does not tell; its CPUs train in float32.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(unit, False) for unit in _BFLOAT16_UNITS)
