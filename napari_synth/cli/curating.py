"""The command ``curate``: exports what was decided of many images, and brings the decisions of several people together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console

from napari_synth.cli.progress import cancel_on_interrupt, progress_bar, say
from napari_synth.curation import ExportPlan, Journal, Verdict, agreement, export_set, open_images
from napari_synth.curation.journal import journal_of

SKIPPED = 1

Source = Annotated[
    str,
    Parameter(
        name="TABLE", help="A table of measures, a batch's manifest or folder, a folder of images, or a pattern."
    ),
]
Target = Annotated[Path, Parameter(name="SET", help="The folder to make.")]
JournalFile = Annotated[Path, Parameter(name="JOURNAL", help="Decisions, as the board keeps them in decisions.jsonl.")]


def app() -> App:
    """Return the command with its own commands."""
    made = App(
        name="curate",
        help="Export the images that were accepted in the board, and merge the decisions of several people.",
        version_flags=[],
        help_format="plaintext",
    )
    made.command(_export, name="export")
    made.command(_merge, name="merge")
    made.command(_agreement, name="agreement")
    return made


def _export(
    source: Source,
    target: Target,
    /,
    *,
    decisions: Annotated[
        Path | None, Parameter(help="The journal; decisions.jsonl in the folder of the images where left out.")
    ] = None,
    by: Annotated[
        str | None, Parameter(help="Whose decisions count; where left out, all who decided must agree.")
    ] = None,
    how: Annotated[
        Literal["copy", "link", "list"], Parameter(help="Copies, hard links on the same disk, or lists of paths.")
    ] = "copy",
    verdict: Annotated[tuple[Verdict, ...], Parameter(help="Which images; may be given several times.")] = (
        Verdict.ACCEPT,
    ),
    split: Annotated[
        tuple[float, float, float] | None,
        Parameter(help="Shares to train, to validate and to test on, e.g. 0.8 0.1 0.1. Duplicates stay together."),
    ] = None,
    together: Annotated[
        str | None, Parameter(help="A column whose equal values stay in one part too, e.g. well.")
    ] = None,
    seed: Annotated[int, Parameter(help="Of the split.")] = 0,
    anonymous: Annotated[bool, Parameter(negative=(), help="Leave out paths and the names of people.")] = False,
    title: Annotated[str, Parameter(help="What the set is called in its description.")] = "",
    licence: Annotated[str, Parameter(help="Of the set, best as the address of its text.")] = "",
    progress: Annotated[
        bool | None, Parameter(help="Show the progress on stderr; on a terminal where left out.")
    ] = None,
) -> int:
    """Write accepted images as a set: files, curation.csv, decisions, an RO-Crate and a file list for the BioImage Archive."""
    plan = ExportPlan(how, verdict, split, together, seed=seed, anonymous=anonymous, title=title, licence=licence)
    images = open_images(source)
    journal = Journal(decisions or journal_of(images.folder))
    errors = Console(stderr=True)
    shown = errors.is_terminal if progress is None else progress
    with cancel_on_interrupt() as cancel, progress_bar(errors, shown) as bar:
        made = export_set(images, journal.last(by), target, plan, progress=bar, cancel=cancel)
    parts = ", ".join(f"{count} to {_PURPOSE[part]}" for part, count in made.parts.items())
    count = len(made.files)
    say(Console(), f"{count} image{'s' * (count != 1)}{f' ({parts})' if parts else ''} in {made.folder}.")
    for note in made.notes:
        say(errors, note)
    for name, why in made.missing.items():
        say(errors, f"{name} {why}.")
    return SKIPPED if made.missing else 0


_PURPOSE = {"train": "train", "validation": "validate", "test": "test"}


def _merge(
    journal: JournalFile,
    other: Annotated[Path, Parameter(name="OTHER", help="The journal of another person about the same images.")],
    /,
    *,
    called: Annotated[str | None, Parameter(help="What the other person is called, where both have one name.")] = None,
) -> int:
    """Take over what another person decided, and say how well people agree."""
    ours = Journal(journal)
    count = ours.merge(other, called)
    say(Console(), f"{count} decision{'s' * (count != 1)} taken over into {journal}.")
    return _say_agreement(ours)


def _agreement(journal: JournalFile, /) -> int:
    """Say how well the people of a journal agree: the share of equal decisions and Cohen's kappa."""
    return _say_agreement(Journal(journal))


def _say_agreement(journal: Journal) -> int:
    found = agreement(journal.last())
    console = Console()
    for one in found:
        say(console, str(one))
    if not found:
        say(console, "There are no decisions of two people to compare.")
    return 0
