"""Writes our models as bioimage.io packages, which other programs run without napari-synth."""

from __future__ import annotations

import re
import tempfile
import warnings
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_synth.core.errors import ModelFileError
from napari_synth.models._bioimageio import import_bioimageio
from napari_synth.models.architectures import ARCHITECTURES
from napari_synth.models.card import ModelCard
from napari_synth.models.exported import Content, Linear
from napari_synth.models.files import bundled, load_model

_TEST_SIZE = 128
_LEAST = 64
_PLANES = 8


def export_bioimageio(name_or_path: str | Path, out: Path | str, *, scale: int | None = None) -> Path:
    """Write one of our models as a bioimage.io package.

    The package holds TorchScript, so that it runs without napari-synth and without Python of its own. It takes images in counts,
    and returns them. What the format has no place for is left out, and the documentation in the package says so: a network that
    is told the noise measures it itself there, taken for independent and equally strong everywhere, which is less than what
    `denoise/blind` and `super-resolution/network` do; a blind-spot network does not weigh in the pixel itself. A network that
    enlarges is exported for one scale.

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
    if not can_export(card.architecture):
        raise ModelFileError(f"Models of the architecture {card.architecture!r} cannot be exported.")
    describe = resolve_name(ARCHITECTURES[card.architecture].export)
    content: Content = describe(network.to(memory_format=torch.contiguous_format), card, scale)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        noisy = _test_image(content.dims, content.channels[0])
        given = torch.from_numpy(_stepped(noisy, content.before))
        script = _script(content.network.eval(), given)
        script.save(folder / "weights.pt")
        np.save(folder / "input.npy", noisy)
        with torch.inference_mode():
            np.save(folder / "output.npy", _stepped(script(given).numpy(), content.behind))
        (folder / "README.md").write_text(_documentation(card, content), encoding="utf-8")
        with warnings.catch_warnings():
            # What is recommended for models of the public collection, such as a cover.
            warnings.simplefilter("ignore")
            spec.save_bioimageio_package(_description(card, content, folder), output_path=out)
    return out


def can_export(architecture: str) -> bool:
    """Return whether models of an architecture can be written as bioimage.io packages."""
    return architecture in ARCHITECTURES and bool(ARCHITECTURES[architecture].export)


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


def _test_image(dims: int, channels: int) -> npt.NDArray[np.float32]:
    """Return a noisy image in counts, (1, C, [Z,] Y, X)."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:_TEST_SIZE, :_TEST_SIZE] / 8.0
    clean = 400 + 200 * np.sin(y) * np.cos(x)
    if dims == 3:
        clean = np.broadcast_to(clean[:_LEAST, :_LEAST], (_PLANES, _LEAST, _LEAST))
    noisy = clean + random.normal(0, 30, (1, channels, *clean.shape))
    return np.asarray(noisy, dtype=np.float32)


def _stepped(image: npt.NDArray[np.float32], step: Linear | None) -> npt.NDArray[np.float32]:
    """Return (N, C, *spatial) after a step before or behind the network."""
    if step is None:
        return image
    gain, offset = (
        np.asarray(values, dtype=np.float32).reshape(-1, *(1 for _ in image.shape[2:]))
        for values in (step.gain, step.offset)
    )
    return image * gain + offset


def _documentation(card: ModelCard, content: Content) -> str:
    limits = "".join(f"- {limit}\n" for limit in card.limits)
    measured = "".join(
        f"| {test} | {image} | {value:g} |\n" for test, row in card.metrics.items() for image, value in row.items()
    )
    return "\n\n".join(
        (
            f"# {content.title}",
            "Exported from napari-synth. The image is given in counts, and so is the result.",
            content.explanation,
            "## Validation",
            f"Measured in napari-synth {content.measured}:",
            f"| test | image | value |\n|---|---|---|\n{measured}",
            "## Limits",
            limits or "- None is known.",
        )
    )


def _description(card: ModelCard, content: Content, folder: Path) -> Any:
    """Return the description of a network with one input and one output."""
    v5 = import_bioimageio("bioimageio.spec.model.v0_5")
    plane = v5.ParameterizedSize(min=_LEAST, step=content.multiple)
    spatial = {"z": v5.ParameterizedSize(min=_PLANES, step=1)} if content.dims == 3 else {}
    spatial |= {"y": plane, "x": plane}

    def file(name: str) -> Any:
        return v5.FileDescr(source=folder / name)

    def channel(count: int) -> Any:
        names = {1: ("intensity",), 3: ("red", "green", "blue")}.get(count) or [f"channel{i}" for i in range(count)]
        return v5.ChannelAxis(channel_names=[v5.Identifier(name) for name in names])

    def restored(axis: str) -> Any:
        scale = 1.0 if axis == "z" else 1 / content.scale
        reference = v5.SizeReference(tensor_id=v5.TensorId("image"), axis_id=v5.AxisId(axis))
        return v5.SpaceOutputAxis(id=v5.AxisId(axis), scale=scale, size=reference)

    def steps(step: Linear | None) -> list[Any]:
        if step is None:
            return []
        if len(step.gain) == 1:
            kwargs = v5.ScaleLinearKwargs(gain=step.gain[0], offset=step.offset[0])
        else:
            kwargs = v5.ScaleLinearAlongAxisKwargs(
                axis=v5.AxisId("channel"), gain=list(step.gain), offset=list(step.offset)
            )
        return [v5.ScaleLinearDescr(kwargs=kwargs)]

    return v5.ModelDescr(
        name=_plain(content.title),
        description=f"{content.does} (napari-synth, {card.name} {card.version}).",
        authors=[v5.Author(name="The napari-synth founders" if card.weights_licence else "A user of napari-synth")],
        cite=[v5.CiteEntry(text=paper, doi=v5.Doi(doi)) for paper, doi in content.cite.items()],
        license=v5.LicenseId(card.weights_licence) if card.weights_licence else None,
        tags=[*content.tags, f"{content.dims}d", "pytorch"],
        documentation=file("README.md"),
        inputs=[
            v5.InputTensorDescr(
                id=v5.TensorId("image"),
                axes=[
                    v5.BatchAxis(),
                    channel(content.channels[0]),
                    *(v5.SpaceInputAxis(id=v5.AxisId(axis), size=size) for axis, size in spatial.items()),
                ],
                preprocessing=steps(content.before),
                test_tensor=file("input.npy"),
            )
        ],
        outputs=[
            v5.OutputTensorDescr(
                id=v5.TensorId("restored"),
                axes=[v5.BatchAxis(), channel(content.channels[1]), *(restored(axis) for axis in spatial)],
                postprocessing=steps(content.behind),
                test_tensor=file("output.npy"),
            )
        ],
        weights=v5.WeightsDescr(
            torchscript=v5.TorchscriptWeightsDescr(
                source=folder / "weights.pt", pytorch_version=v5.Version(torch.__version__.split("+")[0])
            )
        ),
    )


def _plain(title: str) -> str:
    """Return a title without what the format does not take in names."""
    return re.sub(r"[^\w+\- ()]+", " ", title).strip()
