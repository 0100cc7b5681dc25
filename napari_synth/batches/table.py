"""The table of a folder's images: a row each with what was measured of it, alone and beside the others.

What is measured of an image is kept beside the table as soon as it is known, in ``.NAME.measured.jsonl``: whatever stops the
measuring, the next call goes on, and measures again only what has changed.
"""

from __future__ import annotations

import base64
import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_synth.batches.cluster import client_of, results_of
from napari_synth.batches.manifest import append_line, name_of
from napari_synth.batches.states import FileState, content_hash
from napari_synth.core.errors import Cancelled, ImageFileError, MissingExtraError, SynthError
from napari_synth.core.progress import Reporter
from napari_synth.files import Series, naming_the_cause, read_image, replacing
from napari_synth.imaging.assess import MEASURES, SIGNATURE, assess, signature

FORMATS = (".csv", ".parquet")
NEAR = 0.85
"""Correlation of signatures, but for their noise, from which on two images show the same."""
UNUSUAL = 8.0
"""Robust standard deviations from which on an image is called unusual."""
_LISTED = 5
_SAME_FIELD = 0.5
# What is less alike even without its noise is not looked at closely.
_PERHAPS = 0.25
_FARTHEST = SIGNATURE // 4
_OUTLIERS_OF = tuple(name for name in MEASURES if name not in {"minimum", "maximum"})
_DESCRIBES = ("shape", "dtype", "axes", "spacing")
_FEWEST = 5
# Spreads below this share of the usual value are none, nor are those below what each measure is known to.
_SPREAD, _SHARE = 0.02, 1e-3
_KNOWN_TO = {"focus": 0.02, "correlation": 0.02, "unevenness": 0.02, "stripes": 0.05, "snr": 0.5}
# Images that are compared at once, and of how many the correlation is looked at closely.
_AT_ONCE, _LOOKED_AT = 1024, 4

COLUMNS = (
    "source",
    "bytes",
    "time",
    "hash",
    "error",
    "shape",
    "dtype",
    "axes",
    "spacing",
    *MEASURES,
    "drift_y",
    "drift_x",
    "duplicate",
    "duplicate_of",
    "similarity",
    "outlier",
    "outlier_in",
    "deviates",
)
"""Columns of a table, in their order.

``source`` is relative to the folder of the table; ``bytes``, ``time`` and ``hash`` as in a batch's manifest; ``error`` says why an
image cannot be read, and then all measures are empty; ``shape`` is written ``512x512``; the measures are those of
`napari_synth.imaging.assess.Quality`. ``drift_y`` and ``drift_x`` are the shift in pixels against the image before, where the two
show the same field; ``duplicate`` is ``exact``, ``near`` or empty, ``duplicate_of`` the source of the first such image,
``similarity`` the highest correlation with another image; ``outlier`` is the largest robust z of the measures and ``outlier_in``
the measure that has it; ``deviates`` names in which of shape, dtype, axes and spacing the image differs from most others.
"""


@dataclass(frozen=True)
class Measured:
    """What was measured of a file by itself.

    Attributes
    ----------
    source : str
        Path relative to the folder of the table.
    bytes, time : int
        Its size, and when it was last changed.
    hash : str
        SHA-256 of its content.
    settings : str
        How it was read: axes and series.
    quality : dict
        The fields of `napari_synth.imaging.assess.Quality`; empty where it cannot be read.
    signature : str
        The pixels of `napari_synth.imaging.assess.signature`, in base 64.
    reliability : float
        Of the signature; 0 where it is not known.
    error : str
        Why it cannot be read.
    """

    source: str
    bytes: int
    time: int
    hash: str
    settings: str
    quality: dict[str, Any]
    signature: str = ""
    reliability: float = 0.0
    error: str = ""

    @property
    def pixels(self) -> npt.NDArray[np.float32]:
        """The signature, (64, 64)."""
        read = np.frombuffer(base64.b64decode(self.signature), np.int8)
        return read.reshape(SIGNATURE, SIGNATURE).astype(np.float32)


def assess_files(
    sources: Sequence[Path],
    table: Path,
    *,
    axes: str | None = None,
    series: Series = None,
    workers: int = 1,
    report: Reporter | None = None,
    tell: Callable[[Measured], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Measure images and write a table of them.

    Parameters
    ----------
    sources : sequence of pathlib.Path
        In their order, by which drift is measured.
    table : pathlib.Path
        Ends in ``.csv`` or ``.parquet``; replaced where it is there.
    axes : str, optional
        Roles of the dimensions, where the files do not say.
    series : int or "all", optional
        Which image of each file.
    workers : int
        Processes; with more than one the extra ``cluster`` is needed.
    report : Reporter, optional
        Told of every image; its cancel stops the measuring.
    tell : callable
        Called with what was measured of each image that was not measured before.

    Returns
    -------
    list of dict
        The rows, with a value for each of `COLUMNS`; None where there is none.

    Raises
    ------
    ImageFileError
        The table cannot be written.
    MissingExtraError
        Parquet needs pyarrow, several workers the extra ``cluster``.
    Cancelled
        The user wishes to stop: what is measured is kept.
    """
    _check_table(table)
    told = report or Reporter()
    kept = table.with_name(f".{table.name}.measured.jsonl")
    known = _known(kept)
    how = json.dumps([axes, series])
    names = {name_of(path, table.parent): path.absolute() for path in sources}
    left = {name: path for name, path in names.items() if not _is_known(known.get(name), path, how)}
    told.start("Measuring", len(names))
    told.advance(len(names) - len(left))

    def keep(measured: Measured) -> None:
        append_line(kept, json.dumps(asdict(measured)))
        known[measured.source] = measured
        tell(measured)
        told.advance()

    if workers > 1 and len(left) > 1:
        with client_of(workers, None) as client:
            tasks = {
                client.submit(measure_file, path, name, axes, series, pure=False): (name, path)
                for name, path in left.items()
            }
            for task, (name, path) in results_of(tasks, told):
                if task.status == "finished":
                    keep(task.result())
                else:
                    keep(
                        _unreadable(path, name, how, "The workers that read it were lost, perhaps for want of memory.")
                    )
    else:
        for name, path in left.items():
            keep(measure_file(path, name, axes, series))
    rows = beside_each_other([known[name] for name in names])
    write_table(table, rows)
    return rows


def measure_file(path: Path, name: str, axes: str | None = None, series: Series = None) -> Measured:
    """Measure the image of a file by itself.

    Parameters
    ----------
    path : pathlib.Path
    name : str
        What the table calls it.
    axes, series
        As for `assess_files`.

    Raises
    ------
    Cancelled
        The user wishes to stop.
    """
    how = json.dumps([axes, series])
    try:
        state = FileState.of(path) or FileState(0, 0)
        digest = content_hash(path)
        image = read_image(path, axes, series=series)
        quality = asdict(assess(image))
        seen = signature(image)
        small = base64.b64encode(seen.pixels.tobytes()).decode()
        if image.origin is not None:
            image.origin.check()
        return Measured(name, state.bytes, state.time, digest, how, quality, small, seen.reliability)
    except Cancelled:
        raise
    except SynthError as error:
        return _unreadable(path, name, how, str(error))
    except Exception as error:  # noqa: BLE001 - one image must not take the others away, whatever is wrong with it
        return _unreadable(
            path, name, how, " ".join(f"It cannot be measured ({type(error).__name__}: {error}).".split())
        )


def beside_each_other(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return the rows of a table: what was measured of each image, and how it differs from the others.

    Parameters
    ----------
    measured : sequence of Measured
        In the order of the images.
    """
    rows = []
    for one in measured:
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row |= {name: getattr(one, name) for name in ("source", "bytes", "time", "hash", "error")}
        row |= {name: _plain(value) for name, value in one.quality.items()}
        if one.quality:
            row["shape"] = "x".join(str(size) for size in one.quality["shape"])
        rows.append(row)
    readable = [index for index, one in enumerate(measured) if one.quality]
    _add_drift(rows, measured)
    _add_duplicates(rows, measured)
    _add_outliers([rows[index] for index in readable])
    _add_deviations([rows[index] for index in readable])
    return rows


def write_table(table: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as CSV or Parquet; the table appears whole or not at all.

    Parameters
    ----------
    table : pathlib.Path
    rows : sequence of dict
        With a value for each of `COLUMNS`.

    Raises
    ------
    ImageFileError
        It cannot be written.
    """
    with replacing(table, overwrite=True) as part:
        if table.suffix == ".csv":
            with part.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows({name: _short(row[name]) for name in COLUMNS} for row in rows)
        else:
            import pyarrow
            import pyarrow.parquet

            columns = {name: [row[name] for row in rows] for name in COLUMNS}
            pyarrow.parquet.write_table(pyarrow.table(columns, schema=_schema()), part)


def read_table(table: Path) -> list[dict[str, Any]]:
    """Read a table that `write_table` wrote.

    Parameters
    ----------
    table : pathlib.Path

    Raises
    ------
    ImageFileError
        It is missing, or none of ours.
    """
    _check_table(table)
    if not table.is_file():
        raise ImageFileError(f"There is no table {str(table)!r}: check the name.")
    if table.suffix == ".parquet":
        import pyarrow.parquet

        found: list[dict[str, Any]] = pyarrow.parquet.read_table(table).to_pylist()
    else:
        with table.open(encoding="utf-8", newline="") as file:
            found = [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]
    if found and "source" not in found[0]:
        raise ImageFileError(f"{str(table)!r} is no table of images: make one with napari-synth assess.")
    return [{**dict.fromkeys(COLUMNS), **row} for row in found]


def said_of_table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Say what a user should look at, a sentence each."""
    for kind in ("exact", "near"):
        if count := sum(row["duplicate"] == kind for row in rows):
            what = f"{'an' if kind == 'exact' else 'a'} {kind} duplicate" if count == 1 else f"{kind} duplicates"
            yield f"{count} of {len(rows)} images {'is' if count == 1 else 'are'} {what} of another."
    if found := [row for row in rows if row["deviates"]]:
        named = ", ".join(sorted({name for row in found for name in row["deviates"].split(", ")}))
        yield f"{len(found)} of {len(rows)} images differ{'s' * (len(found) == 1)} from most in {named}."
    unusual = sorted((row for row in rows if (row["outlier"] or 0) > UNUSUAL), key=lambda row: -row["outlier"])
    for row in unusual[:_LISTED]:
        yield f"{row['source']} is unusual in {row['outlier_in']} ({_short(row[row['outlier_in']])})."
    if len(unusual) > _LISTED:
        yield f"{len(unusual) - _LISTED} more images are unusual: sort the table by outlier."


_TEXTS = frozenset(
    {
        "source",
        "hash",
        "error",
        "shape",
        "dtype",
        "axes",
        "spacing",
        "duplicate",
        "duplicate_of",
        "outlier_in",
        "deviates",
    }
)
_WHOLE = frozenset({"bytes", "time"})


def _schema() -> Any:
    import pyarrow

    kinds = {name: pyarrow.string() for name in _TEXTS} | {name: pyarrow.int64() for name in _WHOLE}
    return pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in COLUMNS])


def _value(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    if not text:
        return None
    return int(text) if name in _WHOLE else float(text)


def _short(value: Any) -> Any:
    """Return a number with the digits that it is worth."""
    return f"{value:.6g}" if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _check_table(table: Path) -> None:
    if table.suffix not in FORMATS:
        raise ImageFileError(f"A table cannot be written as {table.name!r}: use a name that ends in .csv or .parquet.")
    if not table.absolute().parent.is_dir():
        raise ImageFileError(f"The folder {str(table.parent)!r} does not exist: make it first.")
    if table.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise MissingExtraError.of("curation", "Tables as Parquet", error) from error


def _known(path: Path) -> dict[str, Measured]:
    """Return what was measured before, the last of each; lines that were torn are left out."""
    found = {}
    if path.is_file():
        with naming_the_cause(path), path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    one = Measured(**json.loads(line))
                except (ValueError, TypeError):
                    continue
                found[one.source] = one
    return found


def _is_known(measured: Measured | None, path: Path, how: str) -> bool:
    # What could not be read is tried again, and so is what an earlier version measured otherwise.
    if measured is None or measured.settings != how or not set(MEASURES) <= set(measured.quality):
        return False
    if measured.signature and not measured.reliability:
        return False
    return FileState.of(path) == FileState(measured.bytes, measured.time)


def _unreadable(path: Path, name: str, how: str, error: str) -> Measured:
    state = FileState.of(path) or FileState(0, 0)
    return Measured(name, state.bytes, state.time, "", how, {}, error=error)


def _add_drift(rows: Sequence[dict[str, Any]], measured: Sequence[Measured]) -> None:
    """Add the shift of each image against the one before, in its own pixels, where both show the same field."""
    for row, now, before in zip(rows[1:], measured[1:], measured, strict=False):
        if not (now.signature and before.signature) or now.quality["shape"] != before.quality["shape"]:
            continue
        found = _shift(before.pixels, now.pixels)
        if found is not None:
            axes, shape = now.quality["axes"], now.quality["shape"]
            for name, axis, cells in zip(("drift_y", "drift_x"), "YX", found, strict=True):
                row[name] = cells * shape[axes.index(axis)] / SIGNATURE


def _shift(before: npt.NDArray[np.float32], now: npt.NDArray[np.float32]) -> tuple[float, float] | None:
    """Return by how many cells ``now`` lies further down and right; None where they have nothing in common."""
    cross = _correlation(before, now)
    if cross is None:
        return None
    top = np.unravel_index(int(np.argmax(cross)), cross.shape)
    if cross[top] < _SAME_FIELD:
        return None
    shifts = []
    for axis, place in enumerate(top):
        # The top of a parabola through the peak and its neighbours.
        index = [*top]
        index[axis] = (place - 1) % SIGNATURE
        left = cross[tuple(index)]
        index[axis] = (place + 1) % SIGNATURE
        right = cross[tuple(index)]
        bend = left - 2 * cross[top] + right
        cells = float(place + (0.5 * (left - right) / bend if bend < 0 else 0.0))
        shifts.append(cells - SIGNATURE if cells > SIGNATURE / 2 else cells)
    return None if max(map(abs, shifts)) > _FARTHEST else (shifts[0], shifts[1])


def _add_duplicates(rows: Sequence[dict[str, Any]], measured: Sequence[Measured]) -> None:
    """Name the first image with the same content, or one that shows the same."""
    first: dict[str, int] = {}
    for index, (row, one) in enumerate(zip(rows, measured, strict=True)):
        row["duplicate"], row["duplicate_of"] = "", ""
        if one.hash and one.quality:
            if one.hash in first:
                row["duplicate"], row["duplicate_of"] = "exact", measured[first[one.hash]].source
            first.setdefault(one.hash, index)
    there = [index for index, one in enumerate(measured) if one.signature]
    if len(there) < 2:
        return
    vectors = np.stack([_halved(measured[index].pixels).ravel() for index in there])
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(norms > 0, norms, 1.0)
    # Noise takes so much away of a correlation.
    kept = np.sqrt([measured[index].reliability for index in there])
    for start in range(0, len(there), _AT_ONCE):
        part = vectors[start : start + _AT_ONCE] @ vectors.T
        for offset, alike in enumerate(part):
            at = start + offset
            alike[at] = -1.0
            # A shift by less than a part of the signature takes away more than another light does, and noise more than both.
            perhaps = alike / (kept[at] * kept)
            likeliest = np.argpartition(perhaps, -min(_LOOKED_AT, alike.size))[-min(_LOOKED_AT, alike.size) :]
            for candidate in likeliest[(perhaps[likeliest] >= _PERHAPS) & (alike[likeliest] < NEAR)]:
                now, other = (measured[there[index]].pixels for index in (at, int(candidate)))
                found = _best_correlation(now, other) / (kept[at] * kept[candidate])
                alike[candidate] = min(1.0, max(alike[candidate], found))
            row = rows[there[at]]
            row["similarity"] = float(alike.max())
            earlier = np.nonzero(alike[:at] >= NEAR)[0]
            if earlier.size and not row["duplicate"]:
                row["duplicate"], row["duplicate_of"] = "near", measured[there[int(earlier[0])]].source


def _halved(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    half = SIGNATURE // 2
    return np.asarray(pixels.reshape(half, 2, half, 2).mean(axis=(1, 3)))


def _correlation(before: npt.NDArray[np.float32], now: npt.NDArray[np.float32]) -> npt.NDArray[np.floating[Any]] | None:
    """Return the correlation of two signatures at every shift; None where one has no structure."""
    norm = float(np.linalg.norm(before) * np.linalg.norm(now))
    if norm == 0.0:
        return None
    return np.asarray(np.fft.irfft2(np.fft.rfft2(now) * np.conj(np.fft.rfft2(before)), s=now.shape) / norm)


def _best_correlation(before: npt.NDArray[np.float32], now: npt.NDArray[np.float32]) -> float:
    """Return the correlation of two signatures at the best shift by a part of the field, or between two such shifts."""
    cross = _correlation(before, now)
    if cross is None:
        return 0.0
    near = np.roll(cross, (2, 2), axis=(0, 1))[:5, :5]
    y, x = (int(i) for i in np.unravel_index(int(np.argmax(near)), near.shape))
    best = float(near[y, x])
    for left, right in (
        (near[max(y - 1, 0), x], near[min(y + 1, 4), x]),
        (near[y, max(x - 1, 0)], near[y, min(x + 1, 4)]),
    ):
        bend = float(left - 2 * near[y, x] + right)
        if bend < 0:
            best += float(left - right) ** 2 / (-8.0 * bend)
    return min(best, 1.0)


def _add_outliers(rows: Sequence[dict[str, Any]]) -> None:
    """Add how far the most unusual measure of each image lies from the middle of all, in robust standard deviations."""
    if len(rows) < _FEWEST:
        return
    zs = np.zeros((len(rows), len(_OUTLIERS_OF)))
    for column, name in enumerate(_OUTLIERS_OF):
        values = np.array([np.nan if row[name] is None else row[name] for row in rows], np.float64)
        known = np.isfinite(values)
        if np.count_nonzero(known) < _FEWEST:
            continue
        middle = float(np.median(values[known]))
        spread = 1.4826 * float(np.median(np.abs(values[known] - middle)))
        spread = max(spread, _SPREAD * abs(middle), _KNOWN_TO.get(name, _SHARE))
        zs[known, column] = np.abs(values[known] - middle) / spread
    for row, z in zip(rows, zs, strict=True):
        row["outlier"] = float(z.max())
        row["outlier_in"] = _OUTLIERS_OF[int(z.argmax())] if z.max() > 0 else ""


def _add_deviations(rows: Sequence[dict[str, Any]]) -> None:
    """Name what is not as in most images."""
    usual = {name: Counter(row[name] for row in rows).most_common(1)[0][0] for name in _DESCRIBES} if rows else {}
    for row in rows:
        row["deviates"] = ", ".join(name for name in _DESCRIBES if row[name] != usual[name])
