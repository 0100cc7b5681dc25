"""The blocks of one large image are shared among workers: as one process, and a killed worker costs only its block."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from contents import content

import napari_synth
from napari_synth.batches import spreading
from napari_synth.batches.jobs import Job, prepare_job, run_job
from napari_synth.batches.manifest import JobRecord
from napari_synth.batches.spreading import RUN, WorkerWatch, share, write_units_in_workers
from napari_synth.cli import main
from napari_synth.core.errors import Cancelled, GeneratorError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import CancelToken, Reporter
from napari_synth.engine.block_run import BlockRun
from napari_synth.engine.recipe import Recipe
from napari_synth.files import OmeZarrTarget, write_image
from napari_synth.imaging.image import Image

RECIPE = Recipe(generator="denoise/median", params={"radius": 1}, tile=64, device="cpu")
WORDS = ["--generator", "median", "--radius", "1", "--device", "cpu", "--tile", "64", "--quiet"]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Return a client of a cluster of two threads in this process."""
    from distributed import Client

    with Client(processes=False, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as made:
        yield made


def make(source: Path, name: str, report: Reporter | None = None, **options: Any) -> Path:
    target = source.with_name(name)
    how = RunOptions(tile=64, device="cpu")
    run_job(Job(source, target), RECIPE, how, report or Reporter(), overwrite=False, write_recipe=False, **options)
    return target


def shared(client: Any) -> Any:
    def write(run: Any, target: OmeZarrTarget, report: Reporter) -> None:
        write_units_in_workers(run, target, report, client=client)

    return write


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the units that workers make from now on."""
    seen: list[Any] = []
    write = OmeZarrTarget.write_unit

    def counted(target: OmeZarrTarget, index: Any, fill: Any) -> None:
        def noted() -> Any:
            seen.append(tuple(part.start for part in index))
            return fill()

        write(target, index, noted)

    monkeypatch.setattr(OmeZarrTarget, "write_unit", counted)
    return seen


def test_workers_give_what_one_process_gives(source: Path, client: Any, done: list[Any]) -> None:
    whole = content(make(source, "whole.zarr"))
    done.clear()
    target = make(source, "out.zarr", write=shared(client))
    assert len(done) == len(set(done)) == 30
    assert content(target) == whole
    assert sorted(path.name for path in source.parent.iterdir()) == ["in.tif", "out.zarr", "whole.zarr"]


def test_what_one_process_has_done_is_not_done_again_by_workers(source: Path, client: Any, done: list[Any]) -> None:
    whole = content(make(source, "whole.zarr"))
    done.clear()
    token = CancelToken()

    def look(state: Any) -> None:
        if state.stage == "Restoring" and state.done >= 12:
            token.cancel()

    with pytest.raises(Cancelled):
        make(source, "out.zarr", Reporter(look, token), batch="kept")
    marked = len(list((source.with_name(".out.zarr.underway") / "units").iterdir()))
    first = set(done[:marked])
    assert 12 <= marked < 30
    done.clear()
    target = make(source, "out.zarr", batch="kept", write=shared(client))
    assert len(done) == 30 - marked
    assert not set(done) & first
    assert content(target) == whole


def test_a_cancel_stops_workers_and_keeps_what_is_done(source: Path, client: Any, done: list[Any]) -> None:
    whole = content(make(source, "whole.zarr"))
    done.clear()
    token = CancelToken()

    def look(state: Any) -> None:
        if state.stage == "Restoring" and state.done >= 5:
            token.cancel()

    with pytest.raises(Cancelled):
        make(source, "out.zarr", Reporter(look, token), batch="kept", write=shared(client))
    folder = source.with_name(".out.zarr.underway")
    assert not (folder / RUN).exists()
    marked = len(list((folder / "units").iterdir()))
    assert 5 <= marked < 30
    time.sleep(0.2)
    assert len(list((folder / "units").iterdir())) == marked
    done.clear()
    assert content(make(source, "out.zarr", batch="kept", write=shared(client))) == whole
    assert len(done) == 30 - marked


def test_what_fails_in_a_worker_is_said_as_one_process_says_it(
    source: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise GeneratorError("It cannot be done.")

    monkeypatch.setattr(spreading, "do_unit", fail)
    with pytest.raises(GeneratorError, match="It cannot be done"):
        make(source, "out.zarr", write=shared(client))
    assert [path.name for path in source.parent.iterdir()] == ["in.tif"]


def test_where_all_workers_are_lost_it_ends_with_a_sentence() -> None:
    class LocalCluster:
        pass

    class Client:
        def __init__(self) -> None:
            self.cluster: Any = LocalCluster()
            self.workers: dict[str, int] = {}

        def scheduler_info(self) -> dict[str, Any]:
            return {"workers": self.workers}

    client = Client()
    watch = WorkerWatch(client, patience=0.05)
    watch.check()
    client.workers = {"one": 1}
    time.sleep(0.1)
    watch.check()
    client.workers = {}
    watch.check()
    time.sleep(0.1)
    with pytest.raises(GeneratorError, match="All workers were lost"):
        watch.check()
    client.cluster = None
    elsewhere = WorkerWatch(client, patience=0.0)
    for _ in range(3):
        elsewhere.check()


def test_pixels_of_a_mapped_file_do_not_travel(source: Path, tmp_path: Path) -> None:
    large = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint16, (3, 512, 512))
    large[...] = np.random.default_rng(0).poisson(100, large.shape)
    large.flush()
    part = np.load(tmp_path / "large.npy", mmap_mode="r")[1:, ::-2, 7:]
    run = prepare_job(Job(source, tmp_path / "o.zarr"), RECIPE, RunOptions(tile=64, device="cpu"), Reporter())
    assert isinstance(run, BlockRun)
    whole = replace(run, source=replace(run.source, data=part))
    found = share(whole, tmp_path / RUN)
    small = share(replace(run, source=replace(run.source, data=part[:, :1, :1])), tmp_path / "small")
    assert abs(found.path.stat().st_size - small.path.stat().st_size) < 200
    loaded = pickle.loads(found.path.read_bytes())
    np.testing.assert_array_equal(loaded.source.data, part)
    assert isinstance(loaded.source.data, np.memmap)


def test_one_image_of_another_format_is_one_sentence(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["denoise", str(source), str(source.with_name("out.tif")), *WORDS, "--workers", "2"]) == 2
    assert "let OUT end in .ome.zarr" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_equal_one(source: Path) -> None:
    whole = content(make(source, "whole.zarr"))
    ended = threading.Event()
    killed: list[int] = []
    markers = source.with_name(".out.zarr.underway") / "units"

    def kill_one() -> None:
        while not ended.is_set():
            for child in psutil.Process().children(recursive=True):
                name = ""
                with suppress(psutil.Error):
                    name = " ".join(child.cmdline())
                if not killed and "spawn_main" in name and markers.is_dir() and len(list(markers.iterdir())) > 2:
                    os.kill(child.pid, signal.SIGKILL)
                    killed.append(child.pid)
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    try:
        assert main(["denoise", str(source), str(source.with_name("out.zarr")), *WORDS, "--workers", "2"]) == 0
    finally:
        ended.set()
        killer.join()
    assert killed
    assert content(source.with_name("out.zarr")) == whole


def test_a_batch_of_one_large_image_shares_its_blocks(
    source: Path, client: Any, done: list[Any], tmp_path: Path
) -> None:
    """A cluster that is there is used by its address."""
    pixels = tifffile.imread(source)
    (tmp_path / "many").mkdir()
    write_image(tmp_path / "many" / "a.zarr", Image(pixels, "TYX"))
    told: list[JobRecord] = []
    done.clear()
    report = napari_synth.batch(
        "denoise/median",
        str(tmp_path / "many" / "*.zarr"),
        tmp_path / "out",
        {"radius": 1},
        tile=64,
        device="cpu",
        dask=client.scheduler_info()["address"],
        tell=told.append,
    )
    assert [record.error for record in report.failed] == []
    assert len(report.done) == len(told) == 1
    assert len(done) == 30
    assert content(tmp_path / "out" / "a.zarr" / "0") == content(make(source, "whole.zarr") / "0")
