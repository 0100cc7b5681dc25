"""A batch in parts that know nothing of each other, for workflow engines: each has a manifest, and `finish` joins them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_synth.batches.jobs import Job
from napari_synth.batches.manifest import (
    NAME,
    BatchReport,
    JobRecord,
    Manifest,
    Status,
    key_of,
    last_of_each,
    manifests_of,
)
from napari_synth.batches.planning import Shard
from napari_synth.batches.settings import Settings
from napari_synth.core.errors import ImageFileError, RecipeError
from napari_synth.files import replacing


@dataclass(frozen=True)
class Beginning:
    """The first line of a shard's manifest: which part of which batch it is.

    Attributes
    ----------
    shard, shards : int
        Its number, counted from 0, and how many there are.
    recipe : str
        Hash of the settings.
    jobs : list of str
        The sources of its part, as the manifest calls them.
    batch : str
        Hash of all sources and targets of the batch: the same for all its shards.
    """

    shard: int
    shards: int
    recipe: str
    jobs: list[str]
    batch: str


def begin(manifest: Manifest, shard: Shard, jobs: Sequence[Job], settings: Settings) -> None:
    """Write the first line of a shard's manifest, or see that the one that is there is of the same batch.

    Parameters
    ----------
    manifest : Manifest
        Of the shard.
    shard : Shard
    jobs : sequence of Job
        All of the batch.
    settings : Settings

    Raises
    ------
    RecipeError
        It is of another one.
    """
    names = [("" if job.source is None else manifest.name_of(job.source), manifest.name_of(job.target)) for job in jobs]
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]
    part = [source for source, _ in names[shard.index :: shard.count]]
    new = Beginning(shard.index, shard.count, settings.hash, part, digest)
    before = _beginning(manifest) if manifest.path.exists() else None
    if before is not None and before != new and not settings.overwrite:
        raise RecipeError(
            f"{str(manifest.path)!r} is of a batch of other images or settings: choose another folder, or remove it."
        )
    if before != new:
        records = [record.to_json() for record in manifest.read().values()]
        with replacing(manifest.path, overwrite=True) as path:
            path.write_text("\n".join([json.dumps(new.__dict__), *records, ""]), encoding="utf-8")


def finish(folder: Path) -> BatchReport:
    """Join the manifests of all shards of a batch into one, once each of them has done its part.

    Parameters
    ----------
    folder : pathlib.Path
        Of the results.

    Returns
    -------
    BatchReport
        Of all shards; what failed is named in it.

    Raises
    ------
    ImageFileError
        A shard is missing, or not at its end.
    RecipeError
        Shards are of different settings, or saw different images.
    """
    whole = Manifest(folder)
    parts = [manifest for manifest in manifests_of(folder) if manifest.path.name != NAME]
    known = whole.read()
    if not parts and not known:
        raise ImageFileError(f"There is no batch in {str(folder)!r}: name the folder of its results.")
    records: dict[str, JobRecord] = known
    if parts:
        found = {manifest: _beginning(manifest) for manifest in parts}
        begun = [one for one in found.values() if one is not None]
        if len(begun) < len(parts) or len({(one.batch, one.recipe, one.shards) for one in begun}) > 1:
            raise RecipeError(
                f"The shards in {str(folder)!r} are not of one batch: give all of them the same images, settings and count."
            )
        count = begun[0].shards
        if missing := sorted(set(range(count)) - {one.shard for one in begun}):
            raise ImageFileError(f"The shard {missing[0]}/{count} was not run: run it, then finish again.")
        records = last_of_each([*known.values(), *(one for part in parts for one in part.read().values())])
        ended = {key_of(record)[0] for record in records.values()}
        for one in begun:
            if left := [name for name in one.jobs if name not in ended]:
                raise ImageFileError(
                    f"The shard {one.shard}/{count} is not at its end, {len(left)} of its images are left: run it again."
                )
        with replacing(whole.path, overwrite=True) as path:
            path.write_text("".join(record.to_json() + "\n" for record in records.values()), encoding="utf-8")
        for part in parts:
            part.path.unlink()
            part.path.with_name(f".{part.path.name}.lock").unlink(missing_ok=True)
    report = BatchReport(whole.path)
    for record in records.values():
        (report.kept if record.status == Status.DONE else report.failed).append(record)
    return report


def _beginning(manifest: Manifest) -> Beginning | None:
    with manifest.path.open(encoding="utf-8", errors="replace") as file:
        line = file.readline()
    try:
        return Beginning(**json.loads(line))
    except (ValueError, TypeError):
        return None
