"""Several processes share a batch, and lose nothing when one of them is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile

import napari_synth
from napari_synth.core.errors import InvalidParameterError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        tifffile.imwrite(tmp_path / "in" / f"{number}.tif", rng.poisson(60, (256, 256)).astype(np.uint16))
    return tmp_path


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tif"))}


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_equal_one_process(folder: Path) -> None:
    recipe = ("denoise/median", folder / "in")
    napari_synth.batch(*recipe, folder / "one", {"radius": 3}, device="cpu")
    (folder / "in" / "bad.tif").write_bytes(b"II*\0")
    ended = threading.Event()
    killed: list[int] = []

    def kill_one() -> None:
        # A worker is a process below the nanny's, which is this one.
        while not ended.is_set():
            for child in psutil.Process().children(recursive=True):
                name = ""
                with suppress(psutil.Error):
                    name = " ".join(child.cmdline())
                if not killed and "spawn_main" in name and list((folder / "two").glob("*.tif")):
                    os.kill(child.pid, signal.SIGKILL)
                    killed.append(child.pid)
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    report = napari_synth.batch(*recipe, folder / "two", {"radius": 3}, device="cpu", workers=2)
    ended.set()
    killer.join()
    assert killed
    assert hashes(folder / "two") == hashes(folder / "one")
    assert [record.target for record in report.failed] == ["bad.tif"]
    assert len(report.done) == 8


@pytest.mark.parametrize("text", ["class: os.system\n", "class: dask_jobqueue.job\n", "- 1\n", "a: [\n"])
def test_a_cluster_file_that_names_no_cluster_is_one_sentence(folder: Path, text: str) -> None:
    path = folder / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(InvalidParameterError, match="cluster file"):
        napari_synth.batch("denoise/median", folder / "in", folder / "out", device="cpu", dask=str(path))
