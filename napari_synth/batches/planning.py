"""What of a batch is left to do: which jobs the manifest knows as done, and whether source and result are still what they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_synth.batches.jobs import Job
from napari_synth.batches.manifest import JobRecord, Manifest, Status, check_same_settings, key_of
from napari_synth.batches.settings import Settings
from napari_synth.batches.states import FileState, content_hash
from napari_synth.core.errors import InvalidParameterError

Reason = Literal["done", "new", "failed before", "source changed", "result gone", "result changed", "other settings"]


@dataclass(frozen=True)
class Planned:
    """A job, and why it is to be done or is not.

    Attributes
    ----------
    job : Job
    reason : str
        ``"done"`` where nothing is to be done.
    record : JobRecord or None
        What the manifest knows of it.
    """

    job: Job
    reason: Reason
    record: JobRecord | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is to be done."""
        return self.reason == "done"

    @property
    def replaces(self) -> bool:
        """Whether a result that the batch itself made is there in the way."""
        return self.reason in {"source changed", "result changed", "other settings"}


@dataclass(frozen=True)
class Shard:
    """A part of a batch: every so many-th job.

    Attributes
    ----------
    index, count : int
        The first one is 0 of ``count``.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read what a user writes, ``"0/3"``.

        Raises
        ------
        InvalidParameterError
            It is none.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise InvalidParameterError(
                f"A shard cannot be {text!r}: give its number, counted from 0, and how many there are, such as 0/3."
            )
        return cls(int(index), int(count))

    def of(self, jobs: Sequence[Job]) -> list[Job]:
        """Return its share of the jobs."""
        return list(jobs[self.index :: self.count])

    @property
    def manifest(self) -> str:
        """The name of its manifest."""
        return f"manifest.{self.index}-of-{self.count}.jsonl"


def plan(jobs: Iterable[Job], settings: Settings, manifest: Manifest, known: Mapping[str, JobRecord]) -> list[Planned]:
    """Say of every job whether it is to be done.

    A job is done where the manifest says so of the same settings, its source has the size and the time of then (or, where these
    differ, the same content), and its result is there with the size that it had.

    Parameters
    ----------
    jobs : iterable of Job
    settings : Settings
    manifest : Manifest
    known : mapping of str to JobRecord
        What the manifests of the folder hold.

    Raises
    ------
    RecipeError
        The folder holds results of other settings, and may not be overwritten.
    """
    by_key = {key_of(record): record for record in known.values()}
    check_same_settings(known, settings.hash, manifest, overwrite=settings.overwrite)
    planned = []
    for job in jobs:
        target = manifest.name_of(job.target)
        # As `key_of` tells records apart.
        key = ("", target) if job.source is None else (manifest.name_of(job.source), target.rpartition("/")[0])
        record = by_key.get(key)
        planned.append(Planned(job, _reason(job, record, settings, manifest), record))
    return planned


def _reason(job: Job, record: JobRecord | None, settings: Settings, manifest: Manifest) -> Reason:
    if record is None:
        return "new"
    if record.status != Status.DONE:
        return "failed before"
    if record.recipe != settings.hash:
        return "other settings"
    result = FileState.of(manifest.path_of(record.target))
    if result is None:
        return "result gone"
    if result.bytes != record.target_bytes:
        return "result changed"
    return "done" if job.source is None or _is_same(job.source, record) else "source changed"


def _is_same(source: Path, record: JobRecord) -> bool:
    """Return whether a source is what it was: by size and time, else by its content."""
    state = FileState.of(source)
    if state is None:
        return False
    if state == FileState(record.bytes, record.time):
        return True
    if state.bytes != record.bytes or not record.hash:
        return False
    try:
        return content_hash(source) == record.hash
    except OSError:
        return False


def as_table(planned: Sequence[Planned], settings: Settings, manifest: Manifest) -> dict[str, Any]:
    """Return a plan as JSON holds it, for workflow engines: the hash of the settings, and a row a job.

    Parameters
    ----------
    planned : sequence of Planned
    settings : Settings
    manifest : Manifest
        Of the folder of results.
    """
    return {
        "recipe": settings.hash,
        "generator": ", ".join(step.generator for step in settings.recipe.steps),
        "out": str(manifest.folder),
        "jobs": [
            {
                "source": "" if item.job.source is None else str(item.job.source),
                "target": str(item.job.target if item.record is None else manifest.path_of(item.record.target)),
                "bytes": 0 if item.job.source is None else getattr(FileState.of(item.job.source), "bytes", 0),
                "state": item.reason,
            }
            for item in planned
        ],
        "left": sum(not item.is_done for item in planned),
    }
