"""Chooses the arithmetic of a training run: half precision only where the processor computes faster in it."""

from __future__ import annotations

from typing import Literal

import torch

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


def _has_bfloat16_units() -> bool:
    # torch before 2.10 does not tell; its CPUs train in float32.
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(capabilities.get(unit, False) for unit in _BFLOAT16_UNITS)
