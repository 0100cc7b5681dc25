"""Sets training up on one device or on several, of one machine or of many, with Lightning Fabric.

Every process holds all weights and draws the same batch, of which it takes its share; the gradients are averaged before each step
of an optimiser. So the number of processes changes nothing but rounding, and a training module may have as many networks,
backward passes and gradients of gradients as it likes. Only what looks at a whole batch (batch norms, the spread that the critics
of GANs see) sees the share of its process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn

from napari_synth.core.device import Device
from napari_synth.core.errors import DeviceError

T = TypeVar("T")


class MemoryShortElsewhereError(Exception):
    """Another process has no memory for its share of the batch."""


class ProcessGroup:
    """The processes that train together; one that is alone agrees with itself at no cost.

    Parameters
    ----------
    fabric : Fabric
        Launched.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric

    @property
    def is_alone(self) -> bool:
        """Whether there is but one process."""
        return bool(self.fabric.world_size == 1)

    @property
    def size(self) -> int:
        """How many processes there are."""
        return int(self.fabric.world_size)

    def share(self, batch: Tensor) -> Tensor:
        """Return this process' share of a batch (N, ...)."""
        return batch if self.is_alone else batch[self.fabric.global_rank :: self.size]

    def divisible(self, batch_size: int) -> int:
        """Return a batch size that all can have an equal share of."""
        return max(self.size, batch_size // self.size * self.size)

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean over all processes, the same to the last bit in each."""
        if self.is_alone:
            return tensor
        reduced: Any = self.fabric.all_reduce(tensor, reduce_op="mean")
        return reduced  # type: ignore[no-any-return]

    def agreed(self, value: float) -> float:
        """Return the mean of a number over all processes."""
        return value if self.is_alone else float(self.mean(torch.tensor(value, device=self.fabric.device)))

    def from_main(self, value: T) -> T:
        """Return what the main process has."""
        return value if self.is_alone else self.fabric.broadcast(value)

    def average_gradients(self, optimizers: Sequence[Any]) -> None:
        """Give the weights of optimisers the mean of their gradients, unless another process is short of memory.

        Raises
        ------
        MemoryShortElsewhereError
            It is, and calls `tell_memory_is_short` at this very moment.
        """
        if self.is_alone:
            return
        if self.agreed(0.0) > 0:
            raise MemoryShortElsewhereError
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        gradients = [weight.grad for group in groups for weight in group["params"] if weight.grad is not None]
        flat = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def tell_memory_is_short(self) -> None:
        """Let the others, which are about to average gradients, know that there are none here."""
        self.agreed(1.0)

    def wait(self) -> None:
        """Wait for the others."""
        if not self.is_alone:
            self.fabric.barrier()


class _Replicas(DDPStrategy):
    """Starts and connects processes as DDP does, and leaves networks and gradients to the trainer."""

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        return module


def single_process(device: Device, *, full_precision: bool = False) -> Fabric:
    """Return what trains on one device; in float32 where `full_precision` is wanted, else in what suits the device."""
    index = int(device.torch_name.partition(":")[2] or 0)
    return Fabric(
        accelerator=device.kind,
        devices=1 if device.kind == "cpu" else [index],
        **({"precision": "32-true"} if full_precision else _arithmetic(device)),
    )


def several_processes(device: Device, devices: int, nodes: int) -> Fabric:
    """Return what trains on several devices, after the other processes were started.

    They run this program with the same arguments again, or were started by torchrun, SLURM and their like.

    Parameters
    ----------
    device : Device
        Its kind is what counts.
    devices : int
        Of each machine.
    nodes : int
        Machines.

    Raises
    ------
    DeviceError
        There are fewer devices, or the processes cannot be started from here.
    """
    if devices < 1 or nodes < 1:
        raise DeviceError(f"{devices} devices on {nodes} machines cannot be: give at least one of each.")
    if device.kind == "mps":
        raise DeviceError("There is only one MPS device: leave --devices and --nodes out.")
    if device.kind == "cuda" and devices > torch.cuda.device_count():
        raise DeviceError(
            f"{devices} GPUs are wanted and there are {torch.cuda.device_count()}: ask for fewer devices."
        )
    try:
        fabric = Fabric(
            accelerator=device.kind,
            devices=devices,
            num_nodes=nodes,
            strategy=_Replicas(),
            **_arithmetic(device),
        )
        fabric.launch()
    except RuntimeError as error:
        cause = " ".join(str(error).split())
        raise DeviceError(f"The {devices * nodes} processes could not be started: {cause}") from error
    return fabric


def _arithmetic(device: Device) -> dict[str, Any]:
    """Return what tells Fabric the precision of a device."""
    precision = training_precision(device)
    return {"plugins": [Bfloat16(device.kind)]} if precision == "bf16-mixed" else {"precision": precision}


def is_helper() -> bool:
    """Return whether this process was started to help another, so that it should say and write nothing."""
    return any(
        os.environ.get(name, "0") not in {"", "0"} for name in ("LOCAL_RANK", "RANK", "NODE_RANK", "SLURM_PROCID")
    )


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
