"""Writes our models as bioimage.io packages, which other programs run without napari-synth."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_synth.core.errors import ModelFileError
from napari_synth.models._bioimageio import import_bioimageio
from napari_synth.models._blind import BlindDenoiser, BlindEnlarger
from napari_synth.models.card import ModelCard
from napari_synth.models.files import bundled, load_model

_TEST_SIZE = 128
_LEAST = 64


def export_bioimageio(name_or_path: str | Path, out: Path | str, *, scale: int | None = None) -> Path:
    """Write one of our models as a bioimage.io package.

    The package holds TorchScript, so that it runs without napari-synth and without Python of its own. The network
    measures the noise itself there, taken for independent and equally strong everywhere: that is less than what
    `denoise/blind` and `super-resolution/network` do. A network that enlarges is exported for one scale.

    Parameters
    ----------
    name_or_path : str or Path
        A bundled model such as ``"denoise-blind"``, one of the library, or a path.
    out : Path or str
        The package, a file that ends in ``.zip`` and does not exist.
    scale : int, optional
        How many times finer a super-resolution network makes images; its smallest where it is left out.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    ModelFileError
        The model cannot be exported, or not for this scale, or `out` cannot be written.
    MissingExtraError
        bioimageio.core is not installed.
    """
    out = Path(out)
    spec = import_bioimageio()
    if out.suffix != ".zip" or out.exists() or not out.parent.is_dir():
        raise ModelFileError(f"The package cannot be written to {out}: give the name of a new file that ends in .zip.")
    network, card = load_model(_find(name_or_path))
    if card.architecture not in _CONTENTS:
        raise ModelFileError(f"Models of the architecture {card.architecture!r} cannot be exported.")
    content = _CONTENTS[card.architecture](network.to(memory_format=torch.contiguous_format), card, scale)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noisy = _test_image()
        script = _script(content.network.eval(), torch.from_numpy(noisy))
        script.save(folder / "weights.pt")
        np.save(folder / "input.npy", noisy)
        with torch.inference_mode():
            np.save(folder / "output.npy", script(torch.from_numpy(noisy)).numpy())
        (folder / "README.md").write_text(_documentation(card, content), encoding="utf-8")
        with warnings.catch_warnings():
            # What is recommended for models of the public collection, such as a cover.
            warnings.simplefilter("ignore")
            spec.save_bioimageio_package(_description(card, content, folder), output_path=out)
    return out


def can_export(architecture: str) -> bool:
    """Return whether models of an architecture can be written as bioimage.io packages."""
    return architecture in _CONTENTS


@dataclass(frozen=True)
class _Content:
    """What is exported of a model.

    Attributes
    ----------
    network : nn.Module
        Takes an image in counts, returns one.
    title, does : str
        Its name, and what it does, as the beginning of a sentence.
    tags : tuple of str
    cite : mapping of str to str
        DOIs by paper.
    explanation : str
        What the user of the package should know of it besides.
    multiple : int
        What sizes must be a multiple of, in pixels.
    scale : int
    """

    network: nn.Module
    title: str
    does: str
    tags: tuple[str, ...]
    cite: Mapping[str, str]
    explanation: str
    multiple: int
    scale: int = 1


def _denoiser(network: Any, card: ModelCard, scale: int | None) -> _Content:
    if scale is not None:
        raise ModelFileError(f"The model {card.name!r} makes nothing finer: leave the scale out.")
    return _Content(
        BlindDenoiser(network),
        title=card.title,
        does="Removes noise from grey images of any range",
        tags=("denoising", "restoration"),
        cite={"Zhang et al., FFDNet, IEEE TIP 2018": "10.1109/TIP.2018.2839891"},
        explanation="",
        multiple=network.multiple,
    )


def _enlarger(network: Any, card: ModelCard, scale: int | None) -> _Content:
    scale = min(network.scales) if scale is None else scale
    if scale not in network.scales:
        known = ", ".join(map(str, network.scales))
        raise ModelFileError(
            f"The model {card.name!r} cannot make images {scale} times finer in one step: choose a scale of {known}."
        )
    return _Content(
        BlindEnlarger(network, scale),
        title=f"Super-resolution x{scale}",
        does=f"Makes grey images of any range {scale} times finer and removes their noise on the way",
        tags=("super-resolution",),
        cite={
            "Kim et al., VDSR, CVPR 2016": "10.1109/CVPR.2016.182",
            "Shi et al., ESPCN, CVPR 2016": "10.1109/CVPR.2016.207",
        },
        explanation=f"This package makes images {scale} times finer. Its result is not corrected to the measured pixels, as"
        " napari-synth does afterwards. In an image without noise, very fine structure is taken for a little noise.",
        multiple=network.multiple,
        scale=scale,
    )


_CONTENTS: dict[str, Callable[[Any, ModelCard, int | None], _Content]] = {
    "noise-conditioned-unet": _denoiser,
    "super-resolution-unet": _enlarger,
}
"""What is exported, by the architecture in the card."""


def _find(name_or_path: str | Path) -> Path:
    """Return the path of a bundled model, of one in the library, or of a file."""
    from napari_synth.models import library

    path = Path(name_or_path)
    if path.is_file():
        return path
    found, _ = library.entries()
    for entry in found:
        if (
            str(name_or_path) in {entry.description.id, entry.description.name}
            and entry.description.kind == "napari-synth"
        ):
            return entry.path
    return bundled(str(name_or_path))


def _script(network: nn.Module, example: torch.Tensor) -> Any:
    """Return a network as TorchScript, for any size and batch."""
    with warnings.catch_warnings(), torch.inference_mode():
        # The format of the packages; torch would rather have new ones in another.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(network, example)  # type: ignore[no-untyped-call]


def _test_image() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a noisy image in counts, (1, 1, Y, X)."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:_TEST_SIZE, :_TEST_SIZE] / 8.0
    clean = 400 + 200 * np.sin(y) * np.cos(x)
    noisy = clean + random.normal(0, 30, clean.shape)
    return np.asarray(noisy[None, None], dtype=np.float32)


def _documentation(card: ModelCard, content: _Content) -> str:
    limits = "".join(f"- {limit}\n" for limit in card.limits)
    measured = "".join(
        f"| {test} | {image} | {value:g} |\n" for test, row in card.metrics.items() for image, value in row.items()
    )
    return "\n\n".join(
        (
            f"# {content.title}",
            "Exported from napari-synth. The image is given in counts, of any range. The noise is measured inside, taken for"
            " independent between pixels and equally strong everywhere. Tiles would measure it each for themselves: give whole"
            " images where they fit.",
            *([content.explanation] if content.explanation else []),
            "## Validation",
            "Measured in napari-synth with the true noise level:",
            f"| test | image | value |\n|---|---|---|\n{measured}",
            "## Limits",
            limits or "- None is known.",
        )
    )


def _description(card: ModelCard, content: _Content, folder: Path) -> Any:
    """Return the description of a network with one channel."""
    v5 = import_bioimageio("bioimageio.spec.model.v0_5")
    size = v5.ParameterizedSize(min=_LEAST, step=content.multiple)

    def file(name: str) -> Any:
        return v5.FileDescr(source=folder / name)

    def restored(axis: str) -> Any:
        return v5.SpaceOutputAxis(
            id=v5.AxisId(axis),
            scale=1 / content.scale,
            size=v5.SizeReference(tensor_id=v5.TensorId("image"), axis_id=v5.AxisId(axis)),
        )

    channel = v5.ChannelAxis(channel_names=[v5.Identifier("intensity")])
    return v5.ModelDescr(
        name=content.title,
        description=f"{content.does} (napari-synth, {card.name} {card.version}).",
        authors=[v5.Author(name="The napari-synth founders")],
        cite=[v5.CiteEntry(text=paper, doi=v5.Doi(doi)) for paper, doi in content.cite.items()],
        license=v5.LicenseId(card.weights_licence),
        tags=[*content.tags, "2d", "pytorch"],
        documentation=file("README.md"),
        inputs=[
            v5.InputTensorDescr(
                id=v5.TensorId("image"),
                axes=[
                    v5.BatchAxis(),
                    channel,
                    v5.SpaceInputAxis(id=v5.AxisId("y"), size=size),
                    v5.SpaceInputAxis(id=v5.AxisId("x"), size=size),
                ],
                test_tensor=file("input.npy"),
            )
        ],
        outputs=[
            v5.OutputTensorDescr(
                id=v5.TensorId("restored"),
                axes=[v5.BatchAxis(), channel, restored("y"), restored("x")],
                test_tensor=file("output.npy"),
            )
        ],
        weights=v5.WeightsDescr(
            torchscript=v5.TorchscriptWeightsDescr(
                source=folder / "weights.pt", pytorch_version=v5.Version(torch.__version__.split("+")[0])
            )
        ),
    )
