"""A large result is made in units: killed at any moment it goes on, and what is torn is made again, nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from contents import content

from napari_synth.batches.jobs import Job, run_job
from napari_synth.cli import main
from napari_synth.core.errors import Cancelled, ImageFileError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import CancelToken, Reporter
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.recipe import Recipe
from napari_synth.files import clear_abandoned, read_image

RECIPE = Recipe(generator="denoise/median", params={"radius": 1}, tile=64, device="cpu")
WORDS = ["--generator", "median", "--radius", "1", "--device", "cpu", "--tile", "64", "--quiet"]


@pytest.fixture(autouse=True)
def three_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_synth.files.ome_zarr.SMALLEST_LEVEL", 128)


def make(source: Path, name: str, report: Reporter | None = None, **options: Any) -> Path:
    target = source.parent / name
    run_job(
        Job(source, target),
        RECIPE,
        RunOptions(tile=64, device="cpu"),
        report or Reporter(),
        overwrite=False,
        write_recipe=False,
        **options,
    )
    return target


def stopped_after(count: int, source: Path, name: str) -> None:
    """Make a part of a result, as much as a kill would leave."""
    token = CancelToken()

    def look(state: Any) -> None:
        if state.stage == "Restoring" and state.done >= count:
            token.cancel()

    with pytest.raises(Cancelled):
        make(source, name, Reporter(look, token), batch="kept")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what is asked of runs from now on."""
    seen: list[Any] = []
    compute = PreparedImage.compute

    def counted(run: PreparedImage, **options: Any) -> Any:
        if options.get("region") and "T" in options["region"] and len(options["region"]) == 3:
            seen.append(tuple(sorted((axis, part.start) for axis, part in options["region"].items())))
        return compute(run, **options)

    monkeypatch.setattr(PreparedImage, "compute", counted)
    return seen


def test_units_give_what_one_run_gives(source: Path) -> None:
    target = make(source, "out.zarr")
    run_job(
        Job(source, source.with_name("out.tif")),
        RECIPE,
        RunOptions(tile=64, device="cpu"),
        Reporter(),
        overwrite=False,
        write_recipe=False,
    )
    np.testing.assert_array_equal(read_image(target).read(), tifffile.imread(source.with_name("out.tif")))
    assert sorted(path.name for path in source.parent.iterdir()) == ["in.tif", "out.tif", "out.zarr"]


def test_what_is_done_is_not_done_again(source: Path, asked: list[Any]) -> None:
    whole = content(make(source, "whole.zarr"))
    units = len(asked)
    assert units == 30
    asked.clear()
    stopped_after(20, source, "out.zarr")
    first = asked[:20]
    asked.clear()
    target = make(source, "out.zarr", batch="kept")
    assert len(asked) == units - 20
    assert not set(first) & set(asked)
    assert content(target) == whole
    assert len(list(target.glob("[0-9]"))) == 3


def test_a_torn_file_is_made_again_and_nothing_else(source: Path, asked: list[Any]) -> None:
    whole = content(make(source, "whole.zarr"))
    stopped_after(20, source, "out.zarr")
    store = source.with_name(".out.zarr.underway") / "store"
    chunks = sorted(path for path in (store / "0" / "c").rglob("*") if path.is_file())
    chunks[3].write_bytes(chunks[3].read_bytes()[:100])
    flipped = bytearray(chunks[7].read_bytes())
    flipped[len(flipped) // 2] ^= 255
    chunks[7].write_bytes(bytes(flipped))
    asked.clear()
    target = make(source, "out.zarr", batch="kept")
    assert len(asked) == 30 - 20 + 2
    assert content(target) == whole


def test_other_settings_or_another_source_begin_anew(source: Path, asked: list[Any]) -> None:
    stopped_after(20, source, "out.zarr")
    os.utime(source, ns=(1, 1))
    asked.clear()
    make(source, "out.zarr", batch="kept")
    assert len(asked) == 30


def test_a_single_run_that_is_stopped_leaves_nothing(source: Path) -> None:
    token = CancelToken()

    def look(state: Any) -> None:
        if state.done == 3:
            token.cancel()

    with pytest.raises(Cancelled):
        make(source, "out.zarr", Reporter(look, token))
    assert [path.name for path in source.parent.iterdir()] == ["in.tif"]


def test_two_processes_do_not_write_one_result(source: Path) -> None:
    from filelock import FileLock

    with FileLock(source.with_name(".out.zarr.lock")), pytest.raises(ImageFileError, match="Another process writes"):
        make(source, "out.zarr")


def test_what_a_killed_run_left_goes_with_the_next_run_in_the_folder(source: Path) -> None:
    from filelock import FileLock

    stopped_after(3, source, "out.zarr")
    stopped_after(3, source, "gone.zarr")
    stopped_after(3, source, "busy.zarr")
    finished = source.with_name(".whole.zarr.underway")
    make(source, "whole.zarr")
    finished.mkdir()
    with FileLock(source.with_name(".busy.zarr.lock")):
        # A batch knows its results: only what is under way of these is gone on with.
        assert clear_abandoned(source.parent, [source.with_name("out.zarr")]) == 2
    left = {path.name for path in source.parent.iterdir() if path.name.endswith(".underway")}
    assert left == {".out.zarr.underway", ".busy.zarr.underway"}
    # Whoever does not know them leaves them for a week.
    assert clear_abandoned(source.parent) == 0
    for path in (source.with_name(".busy.zarr.underway"), source.with_name(".busy.zarr.underway") / "units"):
        os.utime(path, (1, 1))
    assert clear_abandoned(source.parent) == 1
    assert not list(source.parent.glob(".*.lock"))


def test_a_batch_clears_away_what_a_batch_of_other_images_left(source: Path, asked: list[Any]) -> None:
    folder = source.parent / "out"
    folder.mkdir()
    stopped_after(3, source, "out/gone.zarr")
    assert main(["denoise", str(source.parent / "*.tif"), str(folder), *WORDS]) == 0
    assert sorted(path.name for path in folder.iterdir() if "lock" not in path.name) == [
        "in.tif",
        "in.tif.recipe.yaml",
        "manifest.jsonl",
    ]


@pytest.mark.slow
def test_killed_at_random_moments_the_result_is_the_same(source: Path) -> None:
    assert main(["denoise", str(source), str(source.with_name("whole.zarr")), *WORDS]) == 0
    target = source.with_name("out.zarr")
    code = "import sys; from napari_synth.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "denoise", str(source), str(target), *WORDS]
    markers = source.with_name(".out.zarr.underway") / "units"
    rng = np.random.default_rng(0)
    for kill in range(3):
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        end = time.monotonic() + 120
        wanted = 4 + 8 * kill
        while process.poll() is None and time.monotonic() < end:
            if markers.is_dir() and len(list(markers.iterdir())) >= wanted:
                time.sleep(float(rng.uniform(0, 0.01)))
                process.send_signal(signal.SIGKILL)
            time.sleep(0.001)
        assert process.wait() == -signal.SIGKILL
        assert not target.exists()
    assert main(["denoise", str(source), str(target), *WORDS]) == 0
    assert content(target) == content(source.with_name("whole.zarr"))
    assert not source.with_name(".out.zarr.underway").exists()
