"""The manifest of a batch: ``manifest.jsonl`` in the folder of the results, a line of JSON for each job that has ended.

A line is written in one piece and flushed when its job ends, so that whatever kills the process, only the job under way is lost.
Of several lines for one job the last one holds. A last line that a kill or a full disk has torn is ignored, and the next line
begins on a line of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ImageFileError, RecipeError
from napari_synth.files import naming_the_cause

NAME = "manifest.jsonl"


class Status(StrEnum):
    """How a job ended."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class JobRecord:
    """What is remembered of a job.

    Attributes
    ----------
    source : str
        Path of the image, relative to the folder of the manifest with ``/`` between its parts; absolute on another drive.
    target : str
        Path of the result, in the same way.
    status : Status
        ``"done"`` or ``"failed"``.
    recipe : str
        Hash of the settings (`napari_synth.batches.settings.Settings.hash`): results of one hash were made alike.
    bytes : int
        Size of the source; of all its files where it is a folder.
    time : int
        When the source was last changed, in nanoseconds since 1970.
    hash : str
        SHA-256 of the content of the source; empty where it is too large to be read for that.
    target_bytes : int
        Size of the result; of all its files where it is a folder.
    ended : str
        When the job ended, as ISO 8601 in UTC.
    seconds : float
        How long it took.
    device : str
        The kind of device that did it, e.g. ``"cpu"``.
    dtype : str
        What was decided of the result's dtype: ``"source"`` or ``"float32"``; empty where nothing was decided.
    noise : float or None
        Measured standard deviation of the noise at the median signal, in counts; of several channels the largest.
    gain : float or None
        Counts per photo-electron of that channel; 0 where the noise does not depend on the signal.
    chi2 : float or None
        Mean square of what was removed over the variance of the noise, about 1 for an honest result; of several channels that
        furthest from 1.
    verdict : str
        ``"honest"``, ``"under-denoised"``, ``"over-smoothed"``, ``"invented"``, the worst of several channels; empty where none.
    notes : tuple of str
        What was told of the run, a sentence each, verdicts in words among them.
    error : str
        Why it failed, a sentence; empty where it did not.
    """

    source: str
    target: str
    status: Status
    recipe: str = ""
    bytes: int = 0
    time: int = 0
    hash: str = ""
    target_bytes: int = 0
    ended: str = ""
    seconds: float = 0.0
    device: str = ""
    dtype: str = ""
    noise: float | None = None
    gain: float | None = None
    chi2: float | None = None
    verdict: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""

    def to_json(self) -> str:
        """Return the record as one line of JSON, without its end."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> JobRecord | None:
        """Read what `to_json` wrote, with fields of later versions left out; None where the line is torn or of something else."""
        try:
            content = json.loads(line)
            known = {field.name: content[field.name] for field in fields(cls) if field.name in content}
            return cls(**{**known, "status": Status(known["status"]), "notes": tuple(known.get("notes", ()))})
        except (ValueError, TypeError, KeyError):
            return None


class Manifest:
    """The records of a batch, in its folder of results.

    Parameters
    ----------
    folder : pathlib.Path
        Of the results.
    name : str
        Of the file; shards of a batch have one each.
    """

    def __init__(self, folder: Path, name: str = NAME) -> None:
        self.folder = folder
        self.path = folder / name

    def read(self) -> dict[str, JobRecord]:
        """Return the last record of each job by the name of its target; nothing where there is no manifest.

        Raises
        ------
        ImageFileError
            The manifest cannot be read.
        """
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ImageFileError(f"The manifest {str(self.path)!r} cannot be read: {error.strerror}.") from error
        return last_of_each(JobRecord.from_json(line) for line in text.splitlines())

    def append(self, record: JobRecord) -> None:
        """Write a record behind the others, in one piece, and see to it that it is on the disk.

        Raises
        ------
        ImageFileError
            It cannot be written.
        """
        append_line(self.path, record.to_json())

    def name_of(self, path: Path) -> str:
        """Return how the manifest calls a path."""
        return name_of(path, self.folder)

    def path_of(self, name: str) -> Path:
        """Return the path that a record calls so."""
        return Path(os.path.normpath(self.folder / name))


def key_of(record: JobRecord) -> tuple[str, str]:
    """Return what tells a job from others: its source, and the folder of its result, whose name may follow from its format.

    What was made of nothing is told by its own name.
    """
    return record.source, record.target.rpartition("/")[0] if record.source else record.target


def last_of_each(records: Iterable[JobRecord | None]) -> dict[str, JobRecord]:
    """Return the last record of each job by the name of its target, in the order of their first ones."""
    found: dict[tuple[str, str], JobRecord] = {}
    for record in records:
        if record is not None:
            found[key_of(record)] = record
    return {record.target: record for record in found.values()}


@dataclass(frozen=True)
class BatchReport:
    """What became of a batch.

    Attributes
    ----------
    manifest : pathlib.Path
        Where every job is remembered.
    done, failed : list of JobRecord
        By this run.
    kept : list of JobRecord
        Done by an earlier run.
    """

    manifest: Path
    done: list[JobRecord] = field(default_factory=list)
    failed: list[JobRecord] = field(default_factory=list)
    kept: list[JobRecord] = field(default_factory=list)


def manifests_of(folder: Path) -> list[Manifest]:
    """Return the manifest of a folder of results and those of shards beside it, as far as they are there."""
    shards = sorted(folder.glob("manifest.*-of-*.jsonl"))
    return [Manifest(folder, path.name) for path in (folder / NAME, *shards) if path.is_file()]


def known_records(folder: Path) -> dict[str, JobRecord]:
    """Return the last record of each job that any manifest of a folder holds, by the name of its target."""
    return last_of_each(record for manifest in manifests_of(folder) for record in manifest.read().values())


def read_manifest(path: str | Path) -> tuple[Manifest, dict[str, JobRecord]]:
    """Return the manifest in a folder of results, or of this name, with the last record of each job.

    Parameters
    ----------
    path : str or pathlib.Path
        The folder of a batch's results, or its ``manifest.jsonl``.

    Raises
    ------
    ImageFileError
        There is none.
    """
    path = Path(path)
    manifest = Manifest(path) if path.is_dir() else Manifest(path.parent, path.name)
    if not manifest.path.is_file():
        raise ImageFileError(f"There is no manifest {str(manifest.path)!r}: name the folder of a batch's results.")
    return manifest, known_records(manifest.folder) if manifest.path.name == NAME else manifest.read()


def check_same_settings(known: Mapping[str, JobRecord], settings: str, manifest: Manifest, *, overwrite: bool) -> None:
    """Raise `RecipeError` where a folder holds results of other settings, and may not be overwritten.

    Parameters
    ----------
    known : mapping of str to JobRecord
        What the manifests of the folder hold.
    settings : str
        The hash of the settings.
    manifest : Manifest
    overwrite : bool
    """
    others = [
        record
        for record in known.values()
        if record.recipe != settings and record.status == Status.DONE and manifest.path_of(record.target).exists()
    ]
    if others and not overwrite:
        raise RecipeError(
            f"{str(manifest.folder)!r} holds results of other settings, such as {others[0].target!r}: choose another folder,"
            " since results of different settings never mix, or allow to overwrite them."
        )


@contextmanager
def only_writer(manifest: Manifest) -> Iterator[None]:
    """See to it that no other run writes the same manifest.

    Raises
    ------
    ImageFileError
        Another one does, or the folder may not be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(manifest.path.with_name(f".{manifest.path.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise ImageFileError(
            f"Another run works in {str(manifest.folder)!r}: wait for it, choose another folder, or give each a shard."
        ) from error
    except OSError as error:
        raise ImageFileError(f"{str(manifest.folder)!r} may not be written: choose a folder that is yours.") from error
    try:
        yield
    finally:
        lock.release()


def records_as_rows(records: Iterable[JobRecord]) -> Iterator[dict[str, Any]]:
    """Yield records as flat rows of a table: notes joined into one text."""
    for record in records:
        yield {**asdict(record), "status": record.status.value, "notes": " ".join(record.notes)}


def append_line(path: Path, text: str) -> None:
    """Write a line behind the others of a file, in one piece, and see to it that it is on the disk.

    Parameters
    ----------
    path : pathlib.Path
        Made where it is not there.
    text : str
        Without the end of the line.

    Raises
    ------
    ImageFileError
        It cannot be written.
    """
    line = (text + "\n").encode()
    with naming_the_cause(path), path.open("ab+") as file:
        if file.tell() and _lacks_its_end(file):
            line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def name_of(path: Path, folder: Path) -> str:
    """Return a path relative to a folder, with ``/`` between its parts; absolute on another drive."""
    try:
        return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def _lacks_its_end(file: Any) -> bool:
    """Return whether the last line was torn."""
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) != b"\n")
