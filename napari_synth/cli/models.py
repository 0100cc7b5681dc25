"""The command ``model``: adds, lists, shows, removes, trusts and exports models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from napari_synth.cli.progress import say
from napari_synth.models.library import Entry

File = Annotated[
    Path,
    Parameter(name="FILE", help="A .safetensors, .pth or .ckpt file, a TorchScript, or a bioimage.io zip or folder."),
]
Name = Annotated[str, Parameter(name="NAME", help="What the command list shows, with or without its task.")]
Package = Annotated[Path, Parameter(name="OUT", help="The bioimage.io package to write, a new .zip file.")]


def app() -> App:
    """Return the command with its own commands."""
    made = App(
        name="model",
        help="Add, list, show, remove, trust and export model files.",
        version_flags=[],
        help_format="plaintext",
    )
    made.command(_add, name="add")
    made.command(_list, name="list")
    made.command(_show, name="show")
    made.command(_remove, name="remove")
    made.command(_trust, name="trust")
    made.command(_export, name="export")
    return made


def _add(
    file: File,
    /,
    *,
    task: Annotated[str | None, Parameter(help="denoise or super-resolution, where the file does not say.")] = None,
    name: Annotated[str | None, Parameter(help="What the generator will be called; made from the file's name.")] = None,
    trust: Annotated[
        bool, Parameter(negative=(), help="Let it execute what it holds: you trust where it is from.")
    ] = False,
) -> int:
    """Copy a model file into your library; from then on it is a generator like any other."""
    from napari_synth import registry

    say(Console(stderr=True), "Reading the file and measuring its network; the largest take a minute.")
    entry = registry.add_model(file, task=task, name=name, trusted=trust)
    console = Console()
    say(console, f"Added {entry.description.id}: {_facts(entry)}.")
    for note in entry.description.notes:
        say(console, note)
    return 0


def _list() -> int:
    """List the models that come with napari-synth and those of your library, and the folder in which these are."""
    from napari_synth.models import bundled, bundled_names, library, read_card

    console = Console()
    for name in bundled_names():
        card = read_card(bundled(name))
        say(console, f"{name}: {card.title}, {card.architecture}, comes with napari-synth")
    found, broken = library.entries()
    for entry in found:
        say(console, f"{entry.description.id}: {_facts(entry)}")
    for sentence in broken:
        say(console, sentence)
    say(console, f"{len(found) or 'No'} model{'' if len(found) == 1 else 's'} in {library.folder()}.")
    return 0


def _show(
    name: Annotated[str, Parameter(name="NAME", help="A bundled model, one of your library, or a path.")], /
) -> int:
    """Say what a model is: what it was trained on and under which licences, how good it is, and where it fails."""
    from napari_synth.models.show import show

    console = Console()
    for line in show(name):
        say(console, line)
    return 0


def _remove(name: Name, /) -> int:
    """Remove a model from your library."""
    from napari_synth import registry

    say(Console(), f"Removed {registry.remove_model(name).id}.")
    return 0


def _trust(name: Name, /) -> int:
    """Allow a model of your library to execute what it holds: you trust where it is from."""
    from napari_synth import registry

    say(Console(), f"You trust {registry.trust_model(name).id} on this computer.")
    return 0


def _export(
    name: Annotated[str, Parameter(name="NAME", help="A bundled model, one of your library, or a path.")],
    out: Package,
    /,
    *,
    scale: Annotated[
        int | None, Parameter(help="How many times finer a super-resolution network makes images; its smallest.")
    ] = None,
) -> int:
    """Write one of our models as a bioimage.io package."""
    from napari_synth.models import export_bioimageio

    say(Console(), f"Wrote {export_bioimageio(name, out, scale=scale)}.")
    return 0


def _facts(entry: Entry) -> str:
    """Say what is known of a model, in a few words."""
    known = entry.description
    channels = {1: "one channel", 3: "RGB", 4: "RGB with alpha"}.get(
        known.input_channels, f"{known.input_channels} channels"
    )
    tiling = (
        "whole planes" if known.whole else f"tiles at multiples of {known.multiple} px with a halo of {known.halo} px"
    )
    if known.kind == "napari-synth":
        return f"{known.title}, {known.architecture}"
    return f"{known.architecture}, {known.scale} times, {channels}, {tiling}"
