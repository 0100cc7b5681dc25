"""Model files of other projects, made with random weights."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from napari_synth.models._torchvision import import_spandrel


def _esrgan() -> nn.Module:
    from spandrel.architectures.ESRGAN import ESRGAN

    return ESRGAN(num_filters=8, num_blocks=1, scale=4)


def _compact() -> nn.Module:
    from spandrel.architectures.Compact import Compact

    return Compact(num_feat=16, num_conv=4, upscale=2)


def _restoring() -> nn.Module:
    from spandrel.architectures.Compact import Compact

    return Compact(num_feat=16, num_conv=4, upscale=1)


def _span() -> nn.Module:
    from spandrel.architectures.SPAN import SPAN

    return SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2)


def _swinir() -> nn.Module:
    from spandrel.architectures.SwinIR import SwinIR

    return SwinIR(
        img_size=32,
        in_chans=1,
        embed_dim=12,
        depths=[2, 2],
        num_heads=[2, 2],
        window_size=8,
        mlp_ratio=2,
        upscale=2,
        upsampler="pixelshuffledirect",
    )


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "esrgan": _esrgan,
    "compact": _compact,
    "restoring": _restoring,
    "span": _span,
    "swinir": _swinir,
}
SCALES = {"esrgan": 4, "compact": 2, "restoring": 1, "span": 2, "swinir": 2}
CHANNELS = {"esrgan": 3, "compact": 3, "restoring": 3, "span": 3, "swinir": 1}


def weights(architecture: str) -> dict[str, torch.Tensor]:
    """Return random weights of an architecture that spandrel detects, the same at every call."""
    import_spandrel()
    with warnings.catch_warnings(), torch.random.fork_rng():
        # The architectures are older than what torch has deprecated since.
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return ARCHITECTURES[architecture]().state_dict()


def weights_file(folder: Path, architecture: str, suffix: str = ".pth") -> Path:
    """Write random weights of an architecture."""
    path = folder / f"My {architecture}_v1{suffix}"
    if suffix.lower() == ".safetensors":
        from safetensors.torch import save_file

        save_file(weights(architecture), path)
    else:
        torch.save(weights(architecture), path)
    return path


def lama_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write random weights of LaMa, which spandrel knows in one size alone: here it is made small."""
    import_spandrel()
    from spandrel.architectures.LaMa import LaMa

    generator = sys.modules[LaMa.__module__].FFCResNetGenerator
    _, _, _, *others = generator.__init__.__defaults__
    monkeypatch.setattr(generator.__init__, "__defaults__", (8, 3, 1, *others))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(LaMa(in_nc=4, out_nc=3).state_dict(), folder / "lama.pth")
    return folder / "lama.pth"


class _Filling(nn.Module):
    """Fills holes with the mean of what is known of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels)[:, :, None, None])

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        known = 1.0 - mask
        mean = (image * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
        return nn.functional.conv2d(image * known + mean * mask, self.weight)


def filling_script(path: Path, channels: int) -> Path:
    """Write a TorchScript that fills the holes of images with their mean."""
    return script_of(path, _Filling(channels))


class _Called(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.function(image)


class StridedUNet(nn.Module):
    """Halves the image some times, and takes only sizes that can be halved so often."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Conv2d(1, 4, 3, padding=1)
            self.downs = nn.ModuleList(nn.Conv2d(4, 4, 2, stride=2) for _ in range(levels))
            self.ups = nn.ModuleList(nn.ConvTranspose2d(8, 4, 2, stride=2) for _ in range(levels))
            self.last = nn.Conv2d(8, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        image = self.first(image)
        skipped = []
        for down in self.downs:
            skipped.append(image)
            image = torch.relu(down(image))
        image = torch.cat((image, image), 1)
        for up in self.ups:
            image = torch.cat((up(image), skipped.pop()), 1)
        return self.last(image)


def script_file(path: Path, function: Callable[[torch.Tensor], torch.Tensor], channels: int = 1) -> Path:
    """Write a function of an image as TorchScript."""
    return script_of(path, _Called(function), torch.rand(1, channels, 16, 16))


def script_of(path: Path, network: nn.Module, example: torch.Tensor | None = None) -> Path:
    """Write a network as TorchScript, traced where there is an example, else compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made: Any = torch.jit.script(network) if example is None else torch.jit.trace(network, example)
    made.save(path)
    return path
