"""Where a run computes, in which precision, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import psutil

from napari_synth.core.errors import DeviceError, InvalidParameterError
from napari_synth.core.texts import shown

Precision = Literal["float32", "float16", "bfloat16"]
PrecisionChoice = Literal["auto", "float32", "float16", "bfloat16"]
_PRECISIONS: tuple[PrecisionChoice, ...] = get_args(PrecisionChoice)
_NAMES = r"(auto|cpu|cuda|mps)(:[0-9]{1,4})?"


@dataclass(frozen=True)
class Device:
    """A device that was chosen, and the reason.

    Attributes
    ----------
    torch_name : str
        As torch calls it: ``"cpu"``, ``"cuda:0"``, ``"mps"``.
    title : str
        As the user calls it: ``"NVIDIA H100"``, ``"CPU (8 threads)"``.
    reason : str
        Why it was chosen, in plain words.
    precision : {"float32", "float16", "bfloat16"}
        Of the network's arithmetic; images stay float32.
    """

    torch_name: str
    title: str
    reason: str
    precision: Precision = "float32"

    @property
    def kind(self) -> str:
        """``"cpu"``, ``"cuda"`` or ``"mps"``: results are reproducible within a kind."""
        return self.torch_name.split(":")[0]

    def free_memory(self) -> int:
        """Return the bytes that a run may still take on this device."""
        if self.kind == "cuda":
            import torch

            free, _ = torch.cuda.mem_get_info(self.torch_name)
            reserved = torch.cuda.memory_reserved(self.torch_name) - torch.cuda.memory_allocated(self.torch_name)
            return int(free + reserved)
        return int(psutil.virtual_memory().available)

    def release_memory(self) -> None:
        """Give cached memory back to the system."""
        import torch

        if self.kind == "cuda":
            torch.cuda.empty_cache()
        elif self.kind == "mps":
            torch.mps.empty_cache()


def resolve_device(name: str = "auto", precision: PrecisionChoice = "auto") -> Device:
    """Choose the device: CUDA, then MPS, then the CPU, unless one is named.

    Parameters
    ----------
    name : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision : {"auto", "float32", "float16", "bfloat16"}
        ``"auto"`` is float16 on CUDA, and float32 elsewhere: networks predict the noise, which needs no more digits.

    Raises
    ------
    DeviceError
        The named device is not there, or this torch build cannot use it.
    InvalidParameterError
        There is no such precision.
    """
    import torch

    if not isinstance(name, str) or re.fullmatch(_NAMES, name.lower()) is None:
        raise DeviceError(f"There is no device {shown(name)}: use auto, cpu, cuda, cuda:1 or mps.")
    if not isinstance(precision, str) or precision not in _PRECISIONS:
        raise InvalidParameterError(
            f"The precision cannot be {shown(precision)}: use {', '.join(_PRECISIONS[:-1])} or {_PRECISIONS[-1]}."
        )
    kind, _, index = name.lower().partition(":")
    problem = _cuda_problem(int(index or 0))
    if kind == "cuda" and problem:
        raise DeviceError(f"CUDA cannot be used: {problem}; choose cpu, or auto to take what there is.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("MPS cannot be used: this is no Apple GPU or torch was built without it; choose cpu or auto.")

    chosen_reason = "you chose it" if kind != "auto" else ""
    if kind == "cuda" or (kind == "auto" and not problem):
        torch_name = f"cuda:{index or 0}"
        title = torch.cuda.get_device_name(torch_name)
        return Device(torch_name, title, chosen_reason or "a CUDA GPU is there", _precision(precision, "float16"))
    if kind == "mps" or (kind == "auto" and torch.backends.mps.is_available()):
        return Device("mps", "Apple GPU", chosen_reason or "an Apple GPU is there", _precision(precision, "float32"))
    threads = torch.get_num_threads()
    title = f"CPU ({threads} thread{'s' * (threads != 1)})"
    return Device("cpu", title, chosen_reason or f"no GPU: {problem}", _precision(precision, "float32"))


def _precision(choice: PrecisionChoice, automatic: Precision) -> Precision:
    return automatic if choice == "auto" else choice


def _cuda_problem(index: int) -> str:
    """Say why CUDA device ``index`` cannot be used; "" where it can."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is a CPU build"
    if not torch.cuda.is_available():
        return "no CUDA GPU or driver was found"
    if index >= torch.cuda.device_count():
        return f"there are only {torch.cuda.device_count()} CUDA GPUs"
    if torch.version.cuda is not None:
        major, minor = torch.cuda.get_device_capability(index)
        majors = {
            int(arch.removeprefix("sm_").rstrip("af")) // 10
            for arch in torch.cuda.get_arch_list()
            if arch.startswith("sm_")
        }
        if majors and major not in majors and major < max(majors):
            return f"this torch build has no kernels for compute capability {major}.{minor}"
    return ""
