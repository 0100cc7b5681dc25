"""Writes the images that were accepted as a set that others can read: files, a table, decisions, and how all that came to be."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from napari_synth.batches.states import content_hash
from napari_synth.core.errors import ImageFileError, InvalidParameterError, MissingExtraError
from napari_synth.core.progress import CancelToken, ProgressCallback, Reporter
from napari_synth.curation.crate import Contents, write_crate
from napari_synth.curation.decisions import Combined, Decision, Verdict, combined
from napari_synth.curation.images import CuratedImage, ImageSet
from napari_synth.curation.journal import JOURNAL
from napari_synth.curation.splitting import PARTS, groups_of_copies, split
from napari_synth.engine.recipe import Recipe
from napari_synth.files import replacing

HowChoice = Literal["copy", "link", "list"]
HOW: tuple[str, ...] = get_args(HowChoice)

TABLE, FILE_LIST = "curation.csv", "file_list.tsv"
_PLAIN_FOLDER = "images"
_RECIPE = ".recipe.yaml"
_OF_OUR_TABLE = ("file", "part", "decision", "disputed", "grade", "by", "when", "reason", "sha256", "name", "source")
_PRIVATE = {"error", "notes", "duplicate_of", "time"}
"""Columns that may hold paths."""


@dataclass(frozen=True)
class ExportPlan:
    """How a set is written.

    Attributes
    ----------
    how : {"copy", "link", "list"}
        Copies, hard links (which take no room, and must stay on the same disk), or lists of paths.
    wanted : tuple of Verdict
        Which images: those that everybody who decided gave one of these verdicts.
    shares : tuple of float, optional
        Of images to train, to validate and to test on; one folder of all where it is left out. Duplicates stay together.
    together : str, optional
        A column whose equal values are kept in one part, such as ``well``.
    seed : int
        Of the split.
    anonymous : bool
        Whether paths and names of people are left out. What the images themselves hold is not changed.
    crate : bool, optional
        Whether a description as an RO-Crate is written, which needs the extra ``curation``; where it is left out, it is written
        if that is there.
    title, licence : str
        For the description: what the set is called, and under which licence it is, best as the address of its text.
    """

    how: HowChoice = "copy"
    wanted: tuple[Verdict, ...] = (Verdict.ACCEPT,)
    shares: tuple[float, float, float] | None = None
    together: str | None = None
    seed: int = 0
    anonymous: bool = False
    crate: bool | None = None
    title: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise InvalidParameterError(f"Images cannot be exported by {self.how!r}: choose one of {', '.join(HOW)}.")
        if self.anonymous and self.how == "list":
            raise InvalidParameterError("A list is made of paths, which shall be left out: export copies instead.")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    folder : pathlib.Path
    files : mapping of str to str
        For each exported image its file in the folder; its path where a list was asked for.
    parts : mapping of str to int
        How many images are in each part.
    missing : mapping of str to str
        Images that were wanted and could not be had, each with the reason.
    notes : tuple of str
        What the user should know, a sentence each.
    """

    folder: Path
    files: Mapping[str, str]
    parts: Mapping[str, int]
    missing: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Copy:
    """An image of the set as it was written."""

    image: CuratedImage
    file: str
    part: str
    sha256: str
    recipe: str = ""


def export_set(
    images: ImageSet,
    decisions: Iterable[Decision],
    target: str | Path,
    plan: ExportPlan = ExportPlan(),
    *,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
) -> Exported:
    """Write the wanted images of a set, with all decisions, ``curation.csv``, a file list for the BioImage Archive and an RO-Crate.

    The folder appears whole or not at all. ``file_list.tsv`` is a file list as the BioImage Archive takes it; the RO-Crate is of
    the profile Process Run Crate 0.5.

    Parameters
    ----------
    images : ImageSet
    decisions : iterable of Decision
        The last of each person and image, see `napari_synth.curation.journal.Journal.last`.
    target : str or pathlib.Path
        The folder that is made; it must not be there.
    plan : ExportPlan
    progress, cancel
        As for `napari_synth.run`.

    Returns
    -------
    Exported

    Raises
    ------
    ImageFileError
        No image is wanted, none can be had, the folder is there already, or it cannot be written.
    InvalidParameterError
        The split cannot be made.
    MissingExtraError
        An RO-Crate was asked for and the extra is not installed.
    """
    target, report, told = Path(target), Reporter(progress, cancel), list(decisions)
    opinions = combined(told)
    chosen = [image for image in images.images if opinions.get(image.name, Combined()).verdict in plan.wanted]
    if not chosen:
        words = " or ".join(plan.wanted)
        raise ImageFileError(
            f"No image has the decision {words}: decide on some in the board, or name another journal."
        )
    parts = _parts(images, chosen, plan)
    with replacing(target, overwrite=False) as place:
        place.mkdir()
        report.start("Exporting images", len(chosen))
        copies, missing = _copies(chosen, parts, place, plan, report)
        if not copies:
            first, why = next(iter(missing.items()))
            raise ImageFileError(f"None of the images can be exported: {first!r} {why}.")
        people = _people(told, plan.anonymous)
        _write_decisions(told, people, images, place / JOURNAL, plan)
        _write_table(images, copies, opinions, people, place / TABLE, plan)
        if plan.how == "list":
            _write_lists(copies, place)
        else:
            _write_file_list(copies, opinions, place / FILE_LIST)
        notes = _notes(copies, opinions, plan)
        if plan.how != "list":
            notes += _describe(place, copies, opinions, people, plan)
    found = Counter(copy.part for copy in copies)
    counts = {part: found[part] for part in PARTS if found[part]}
    return Exported(target, {copy.image.name: copy.file for copy in copies}, counts, missing, tuple(notes))


def _hash(path: Path) -> str:
    """Return the SHA-256 of what is exported, however large it is, as a batch's manifest has it."""
    return content_hash(path, sys.maxsize)


# Files


def _parts(images: ImageSet, chosen: list[CuratedImage], plan: ExportPlan) -> dict[str, str]:
    """Return the part of each image, "" for all where they are not split; groups are those of the whole set."""
    if plan.shares is None:
        return dict.fromkeys((image.name for image in chosen), "")
    groups = groups_of_copies(images, plan.together)
    return split({image.name: groups[image.name] for image in chosen}, plan.shares, plan.seed)


def _copies(
    chosen: list[CuratedImage], parts: Mapping[str, str], place: Path, plan: ExportPlan, report: Reporter
) -> tuple[list[_Copy], dict[str, str]]:
    copies: list[_Copy] = []
    missing: dict[str, str] = {}
    taken: set[str] = set()
    for image in chosen:
        report.cancel.check()
        part = parts[image.name]
        if not image.path.exists():
            missing[image.name] = "is not there any more"
        elif plan.how == "list":
            copies.append(_Copy(image, str(image.path), part, _hash(image.path), _recipe_of(image)))
        else:
            file = _free(PurePosixPath(part or _PLAIN_FOLDER) / _placed(image, plan.anonymous), taken)
            try:
                sha256 = _copied(image.path, place / file, plan.how)
            except PermissionError:
                missing[image.name] = "may not be read"
                continue
            copies.append(_Copy(image, file, part, sha256, _copied_recipe(image, place / file, plan.anonymous)))
        report.advance()
    return copies, missing


def _placed(image: CuratedImage, anonymous: bool) -> PurePosixPath:
    """Return where an image lies below the folder of its part."""
    name = PurePosixPath(image.name)
    return PurePosixPath(image.path.name) if anonymous or name.is_absolute() or ":" in image.name else name


def _free(file: PurePosixPath, taken: set[str]) -> str:
    """Return a file name that no other image has, on systems that do not tell cases apart too."""
    stem, dot, suffix = file.name.partition(".")
    made, number = file, 2
    while str(made).casefold() in taken:
        made, number = file.with_name(f"{stem}-{number}{dot}{suffix}"), number + 1
    taken.add(str(made).casefold())
    return str(made)


def _copied(source: Path, target: Path, how: HowChoice) -> str:
    """Copy or link an image, and return its hash; what was copied is read again and must be the same.

    Raises
    ------
    ImageFileError
        It changed meanwhile, or cannot be linked.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    before = _hash(source)
    if how == "link":
        _linked(source, target)
        return before
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
    if _hash(target) != before:
        raise ImageFileError(f"{source.name!r} changed while it was copied: export again once nothing writes it.")
    return before


def _linked(source: Path, target: Path) -> None:
    try:
        if source.is_dir():
            shutil.copytree(source, target, copy_function=os.link)
        else:
            os.link(source, target)
    except (OSError, shutil.Error) as error:
        raise ImageFileError(
            f"{source.name!r} cannot be linked from there: export to a folder on the same disk, or export copies."
        ) from error


def _recipe_of(image: CuratedImage) -> str:
    """Return the hash of the settings that made an image, as a batch knows it, or that of the recipe beside it."""
    if known := image.values.get("recipe"):
        return str(known)
    beside = _recipe_file(image)
    return "" if beside is None else _hash(beside)


def _recipe_file(image: CuratedImage) -> Path | None:
    beside = image.path.with_name(f"{image.path.name}{_RECIPE}")
    return beside if beside.is_file() else None


def _copied_recipe(image: CuratedImage, target: Path, anonymous: bool) -> str:
    """Copy the record of the run that made an image, where there is one, and return its hash."""
    beside = _recipe_file(image)
    if beside is not None:
        recipe = Recipe.from_file(beside)
        if anonymous:
            source = None if recipe.source is None else recipe.source.model_copy(update={"name": ""})
            recipe = recipe.model_copy(update={"notes": (), "source": source})
        target.with_name(f"{target.name}{_RECIPE}").write_text(recipe.to_yaml(), encoding="utf-8")
    return _recipe_of(image)


# Tables


def _people(decisions: Iterable[Decision], anonymous: bool) -> dict[str, str]:
    """Return how each person is called in what is written."""
    names = sorted({one.by for one in decisions})
    return {name: f"person {number}" if anonymous else name for number, name in enumerate(names, 1)}


def _write_decisions(
    decisions: Iterable[Decision], people: Mapping[str, str], images: ImageSet, path: Path, plan: ExportPlan
) -> None:
    names = {image.name: image.path.name if plan.anonymous else image.name for image in images.images}
    lines = [
        replace(
            one,
            image=names[one.image],
            by=people[one.by],
            better_than=names.get(one.better_than, ""),
            comment=_without(one.comment, people, plan.anonymous),
        ).to_json()
        for one in decisions
        if one.image in names
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_table(
    images: ImageSet,
    copies: Iterable[_Copy],
    opinions: Mapping[str, Combined],
    people: Mapping[str, str],
    path: Path,
    plan: ExportPlan,
) -> None:
    """Write a row for every image of the set, those that were not taken too."""
    of_image = {copy.image.name: copy for copy in copies}
    measures = [name for name in images.columns if name not in {*_OF_OUR_TABLE, "recipe"}]
    if plan.anonymous:
        measures = [name for name in measures if name not in _PRIVATE]
    own = [name for name in _OF_OUR_TABLE if not (plan.anonymous and name == "source")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*own, "recipe", *measures])
        writer.writeheader()
        for image in images.images:
            opinion = opinions.get(image.name, Combined())
            copy = of_image.get(image.name)
            row: dict[str, Any] = {
                "file": copy.file if copy else "",
                "part": copy.part if copy else "",
                "decision": opinion.verdict or "",
                "disputed": "yes" if opinion.is_disputed else "",
                "grade": "" if opinion.grade is None else f"{opinion.grade:g}",
                "by": "; ".join(people[name] for name in opinion.by),
                "when": opinion.when,
                "reason": _without("; ".join(opinion.comments), people, plan.anonymous),
                "sha256": copy.sha256 if copy else "",
                "name": image.path.name if plan.anonymous else image.name,
                "source": str(image.path),
                "recipe": copy.recipe if copy else image.values.get("recipe") or "",
                **{name: _cell(image.values.get(name)) for name in measures},
            }
            writer.writerow({name: row[name] for name in writer.fieldnames})


def _write_lists(copies: Iterable[_Copy], place: Path) -> None:
    """Write the paths of each part, one a line."""
    of_part: dict[str, list[str]] = {}
    for copy in copies:
        of_part.setdefault(copy.part or _PLAIN_FOLDER, []).append(copy.file)
    for part, files in of_part.items():
        (place / f"{part}.txt").write_text("".join(f"{file}\n" for file in files), encoding="utf-8")


def _write_file_list(copies: Iterable[_Copy], opinions: Mapping[str, Combined], path: Path) -> None:
    """Write the file list of a submission: tab-separated, paths under ``Files``, then what is known of each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["Files", "Part", "Grade", "SHA-256", "Recipe"])
        for copy in copies:
            grade = opinions[copy.image.name].grade
            writer.writerow([copy.file, copy.part, "" if grade is None else f"{grade:g}", copy.sha256, copy.recipe])


def _without(text: str, people: Mapping[str, str], anonymous: bool) -> str:
    """Return a comment, with people called as in the rest of what is written."""
    if anonymous:
        for name, called in people.items():
            text = text.replace(name, called) if name else text
    return text


def _cell(value: float | str | None) -> str:
    if isinstance(value, float):
        return f"{value:.7g}"
    return value or ""


# Words


def _notes(copies: list[_Copy], opinions: Mapping[str, Combined], plan: ExportPlan) -> list[str]:
    notes = []
    disputed = sum(one.is_disputed for one in opinions.values())
    if disputed:
        notes.append(
            f"{disputed} image{'s' * (disputed != 1)} on which people do not agree {'are' if disputed != 1 else 'is'} left out."
        )
    changed = [
        copy.image.name
        for copy in copies
        if copy.image.path.is_file() and copy.image.values.get("hash") not in (None, "", copy.sha256)
    ]
    if changed:
        notes.append(
            f"{changed[0]!r} and {len(changed) - 1} more changed after they were measured: measure them again."
            if len(changed) > 1
            else f"{changed[0]!r} changed after it was measured: measure it again."
        )
    parts = Counter(copy.part for copy in copies)
    empty = [part for part, share in zip(PARTS, plan.shares or (), strict=False) if share and not parts[part]]
    if empty:
        notes.append(f"There are too few images that do not belong together to fill {' and '.join(empty)}.")
    if plan.anonymous:
        notes.append(
            "Paths and names of people are left out; what the image files themselves hold of them is unchanged."
        )
    return notes


def _describe(
    place: Path, copies: list[_Copy], opinions: Mapping[str, Combined], people: Mapping[str, str], plan: ExportPlan
) -> list[str]:
    """Write the RO-Crate where it is wanted, and return what is to be said of it."""
    recipes: dict[str, list[str]] = {}
    for copy in copies:
        if (place / f"{copy.file}{_RECIPE}").is_file():
            recipes.setdefault(copy.recipe, []).append(copy.file)
    used = sorted({name for copy in copies for name in opinions[copy.image.name].by})
    contents = Contents(
        title=plan.title or "Curated images",
        licence=plan.licence,
        files={copy.file: copy.sha256 for copy in copies},
        described={
            TABLE: "Every image with its decision and measures",
            FILE_LIST: "File list for the BioImage Archive",
        },
        decisions=JOURNAL,
        people=tuple(people[name] for name in used),
        ended=max(opinions[copy.image.name].when for copy in copies),
        recipes={f"{files[0]}{_RECIPE}": tuple(files) for files in recipes.values()},
    )
    try:
        write_crate(place, contents)
    except MissingExtraError:
        if plan.crate:
            raise
        if plan.crate is None:
            return ["No RO-Crate was written: pip install 'napari-synth[curation]' brings what writes it."]
    return []
