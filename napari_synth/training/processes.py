"""Sets training up on one device or on several, of one machine or of many, with Lightning Fabric.

Every process holds all weights and draws the same batch, of which it takes its share; the gradients are averaged before each step
of an optimiser. So the number of processes changes nothing but rounding, and a trainee may have as many networks, backward passes
and gradients of gradients as it likes.
"""

from __future__ import annotations

import os

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn

from napari_synth.core.device import Device
from napari_synth.core.errors import DeviceError
from napari_synth.training.precision import training_precision


class _Replicas(DDPStrategy):
    """Starts and connects processes as DDP does, and leaves networks and gradients to the session."""

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        return module


def single_process(device: Device) -> Fabric:
    """Return what trains on one device."""
    index = int(device.torch_name.partition(":")[2] or 0)
    return Fabric(
        accelerator=device.kind,
        devices=1 if device.kind == "cpu" else [index],
        precision=training_precision(device),
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
            precision=training_precision(device),
        )
        fabric.launch()
    except RuntimeError as error:
        cause = " ".join(str(error).split())
        raise DeviceError(f"The {devices * nodes} processes could not be started: {cause}") from error
    return fabric


def is_helper() -> bool:
    """Return whether this process was started to help another, so that it should say and write nothing."""
    return any(
        os.environ.get(name, "0") not in {"", "0"} for name in ("LOCAL_RANK", "RANK", "NODE_RANK", "SLURM_PROCID")
    )
