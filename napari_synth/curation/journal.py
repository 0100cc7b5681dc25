"""The journal of decisions: a line of JSON each, written at once, so that nothing that ends the program loses one."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs

from napari_synth.core.errors import ImageFileError, InvalidParameterError
from napari_synth.curation.decisions import GRADES, Decision, Verdict
from napari_synth.files import naming_the_cause

JOURNAL = "decisions.jsonl"
"""The name of a journal, in the folder of the images."""
_CHANGEABLE = {"verdict", "grade", "comment", "better_than", "blind"}


class Journal:
    """Who decided what, in a file that only grows.

    Every line holds one person's whole opinion of one image; the last of a person and an image counts. A last line that was torn is
    left out, and the next begins on a line of its own. Several programs may write to one journal.

    Parameters
    ----------
    path : pathlib.Path
        It is made with the first decision.
    by : str, optional
        Who decides; the name of the system's user where it is left out.

    Raises
    ------
    ImageFileError
        It is there and cannot be read, or is something else.
    """

    def __init__(self, path: str | Path, by: str | None = None) -> None:
        self.path = Path(path)
        self.by = by or _user()
        self._lines = read_journal(self.path) if self.path.exists() else []
        self._last = {(one.image, one.by): one for one in self._lines}
        self._people = {one.by for one in self._lines}
        self._undo: list[Decision] = []

    def of(self, image: str, by: str | None = None) -> Decision | None:
        """Return what a person thinks of an image, the one who decides here where none is named; None where nothing is known."""
        found = self._last.get((image, by or self.by))
        return None if found is None or found.is_empty else found

    def last(self, by: str | None = None) -> list[Decision]:
        """Return the last decision of each person and image, or of one person."""
        return [one for one in self._last.values() if by in (None, one.by) and not one.is_empty]

    def about(self, image: str) -> list[Decision]:
        """Return what everybody thinks of an image."""
        return [found for by in self._people if (found := self.of(image, by)) is not None]

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody who decided anything, or took it back."""
        return tuple(sorted(self._people))

    def decide(self, image: str, **changes: Any) -> Decision:
        """Note a decision on the disk before anything else happens.

        Parameters
        ----------
        image : str
            The name of the image in its set.
        **changes
            What is new of ``verdict``, ``grade``, ``comment``, ``better_than`` and ``blind``; the rest of what the person thought
            of the image stays.

        Raises
        ------
        InvalidParameterError
            There is no such thing to decide.
        ImageFileError
            The journal cannot be written.
        """
        if changes.keys() - _CHANGEABLE:
            raise InvalidParameterError(
                f"Images cannot be given a {min(changes.keys() - _CHANGEABLE)!r}: give {', '.join(sorted(_CHANGEABLE))}."
            )
        if changes.get("grade") not in (None, *GRADES):
            raise InvalidParameterError(f"A grade cannot be {changes['grade']!r}: give 1, 2, 3, 4 or 5.")
        if changes.get("verdict") is not None:
            try:
                changes["verdict"] = Verdict(changes["verdict"])
            except ValueError as error:
                raise InvalidParameterError(
                    f"A verdict cannot be {changes['verdict']!r}: give {', '.join(Verdict)} or None."
                ) from error
        before = self._last.get((image, self.by)) or Decision(image, self.by, "")
        decision = replace(before, when=_now(), **changes)
        self._write([decision])
        self._undo.append(before)
        return decision

    def undo(self) -> str | None:
        """Take the last decision of this session back, by a line that says what was thought before; return the name of its image.

        None where there is nothing to take back; raises as `decide`.
        """
        if not self._undo:
            return None
        before = self._undo[-1]
        self._write([replace(before, when=_now())])
        self._undo.pop()
        return before.image

    def merge(self, other: str | Path, called: str | None = None) -> int:
        """Take over what another journal says, and return how many lines were new.

        Parameters
        ----------
        other : str or pathlib.Path
            Of the same images: their names are compared.
        called : str, optional
            The name of the person whose journal it is, where both people have the same name.

        Raises
        ------
        ImageFileError
            It cannot be read, is no journal, or this one cannot be written.
        """
        given = read_journal(Path(other))
        if called:
            given = [replace(one, by=called) for one in given]
        known = {one.key for one in self._lines}
        new = [one for one in given if one.key not in known]
        self._write(new)
        return len(new)

    def _write(self, decisions: Iterable[Decision]) -> None:
        added = list(decisions)
        text = "".join(f"{one.to_json()}\n" for one in added)
        if not text:
            return
        with naming_the_cause(self.path), self.path.open("ab+") as file:
            if file.tell() and not _ends_a_line(file):
                text = f"\n{text}"
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        self._lines += added
        self._people |= {one.by for one in added}
        for one in sorted(added, key=lambda one: one.when):
            there = self._last.get((one.image, one.by))
            if there is None or there.when <= one.when:
                self._last[one.image, one.by] = one


def read_journal(path: Path) -> list[Decision]:
    """Return every line of a journal that can be read, in the order of their times.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    ImageFileError
        It cannot be read, or holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ImageFileError(f"The journal {str(path)!r} cannot be read: check the path.") from error
    found = [decision for line in lines if (decision := Decision.from_json(line)) is not None]
    if not found and any(line.strip() for line in lines[:-1]):
        raise ImageFileError(f"{str(path)!r} is no journal of decisions: give one that the board has written.")
    return sorted(found, key=lambda one: one.when)


def journal_of(folder: Path) -> Path:
    """Return where the journal of a folder of images lies: in it, or in the user's own data where nothing may be written there."""
    there = folder / JOURNAL
    if there.exists() or os.access(folder, os.W_OK):
        return there
    own = platformdirs.user_data_path("napari-synth", appauthor=False) / "decisions"
    own.mkdir(parents=True, exist_ok=True)
    return own / f"{folder.as_posix().strip('/').replace('/', '%').replace(':', '')}.jsonl"


def _ends_a_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # A container whose user has no name.
        return "unknown"
