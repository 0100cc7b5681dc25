"""A batch remembers what it has done, whatever stops it, and never mixes results of different settings."""

from __future__ import annotations

import hashlib
import json
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

import napari_synth
from napari_synth.batches import jobs
from napari_synth.batches.inputs import Tiles
from napari_synth.batches.manifest import JobRecord, Manifest, Status, read_manifest
from napari_synth.batches.settings import Settings
from napari_synth.cli import main
from napari_synth.core.errors import (
    Cancelled,
    ImageFileError,
    InvalidParameterError,
    RecipeError,
)
from napari_synth.core.progress import CancelToken
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image

MEDIAN = ["--generator", "median", "--radius", "1", "--device", "cpu"]


def batch(folder: Path, **options: Any) -> Any:
    return napari_synth.batch(
        "denoise/median", folder / "in", folder / "out", {"radius": 1}, **{"device": "cpu", **options}
    )


def command(folder: Path, *words: str) -> int:
    return main(["denoise", str(folder / "in"), str(folder / "out"), *MEDIAN, *words])


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tif"))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = rng.poisson(np.linspace(50, 400, 64), (64, 64)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "in" / f"{number}.tif", pixels)
    return tmp_path


def test_every_job_is_remembered_with_what_came_of_it(folder: Path) -> None:
    report = batch(folder)
    assert [len(report.done), len(report.kept), len(report.failed)] == [4, 0, 0]
    manifest, records = read_manifest(folder / "out")
    record = records["0.tif"]
    assert record.status == Status.DONE
    source = manifest.path_of(record.source)
    assert source == folder / "in" / "0.tif"
    assert (record.bytes, record.time) == (source.stat().st_size, source.stat().st_mtime_ns)
    assert record.hash == hashlib.sha256(source.read_bytes()).hexdigest()
    assert record.target_bytes == (folder / "out" / "0.tif").stat().st_size
    assert record.device == "cpu"
    assert record.seconds > 0
    assert record.noise == pytest.approx(15, rel=0.3)
    assert record.gain == pytest.approx(1, rel=0.3)
    made = Recipe.from_file(folder / "out" / "0.tif.recipe.yaml")
    assert made.verdict is not None
    assert (made.verdict.verdict, made.verdict.chi2) == (record.verdict, pytest.approx(record.chi2, rel=1e-5))
    assert made.verdict.sentences[0] in record.notes
    assert made.noise[0] is not None
    assert made.noise[0].sigma == record.noise


def test_a_second_run_does_nothing_and_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(folder) == 0
    before = hashes(folder / "out")
    monkeypatch.setattr(jobs, "read_image", None)
    assert command(folder) == 0
    assert hashes(folder / "out") == before
    assert len(batch(folder).kept) == 4


def test_a_touched_source_is_not_done_again_but_a_changed_one_is(folder: Path) -> None:
    batch(folder)
    os.utime(folder / "in" / "0.tif", ns=(1, 1))
    pixels = tifffile.imread(folder / "in" / "1.tif")
    tifffile.imwrite(folder / "in" / "1.tif", pixels[:, ::-1].copy())
    report = batch(folder)
    assert [record.target for record in report.done] == ["1.tif"]
    assert tifffile.imread(folder / "out" / "1.tif")[0, 0] > 300


def test_a_new_file_and_a_lost_result_are_done(folder: Path) -> None:
    batch(folder)
    (folder / "out" / "2.tif").unlink()
    (folder / "in" / "9.tif").write_bytes((folder / "in" / "3.tif").read_bytes())
    assert [record.target for record in batch(folder).done] == ["2.tif", "9.tif"]


def test_a_torn_result_is_done_again_and_one_that_somebody_changed_is_kept(folder: Path) -> None:
    batch(folder)
    before = hashes(folder / "out")
    torn = folder / "out" / "0.tif"
    torn.write_bytes(torn.read_bytes()[:5000])
    tifffile.imwrite(folder / "out" / "1.tif", np.zeros((8, 8), np.uint16))
    report = batch(folder)
    assert [record.target for record in report.done] == ["0.tif"]
    assert hashes(folder / "out")["0.tif"] == before["0.tif"]
    assert "was changed after the batch had made it" in report.failed[0].error
    assert tifffile.imread(folder / "out" / "1.tif").shape == (8, 8)


def test_other_settings_never_mix(folder: Path) -> None:
    batch(folder)
    with pytest.raises(RecipeError, match="results of different settings never mix"):
        napari_synth.batch("denoise/median", folder / "in", folder / "out", {"radius": 2}, device="cpu")
    report = napari_synth.batch(
        "denoise/median", folder / "in", folder / "out", {"radius": 2}, device="cpu", overwrite=True
    )
    assert len(report.done) == 4
    assert len({record.recipe for record in read_manifest(folder / "out")[1].values()}) == 1


def test_a_bad_file_is_named_and_nothing_else_suffers(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "in" / "bad.tif").write_bytes((folder / "in" / "0.tif").read_bytes()[:4000])
    assert command(folder) == 1
    assert "Skipped" in (said := capfd.readouterr().err)
    assert "bad.tif" in said
    record = read_manifest(folder / "out")[1]["bad.tif"]
    assert record.status == Status.FAILED
    assert "ends too early" in record.error
    assert command(folder) == 1
    assert "4 of 5 images are done by an earlier run, 1 skipped." in capfd.readouterr().err
    (folder / "in" / "bad.tif").write_bytes((folder / "in" / "0.tif").read_bytes())
    assert command(folder) == 0


def test_somebody_else_s_result_is_left_alone(folder: Path) -> None:
    (folder / "out").mkdir()
    tifffile.imwrite(folder / "out" / "0.tif", np.zeros((8, 8), np.uint16))
    (folder / "out" / "0.tif.recipe.yaml").write_text("generator: denoise/median\n")
    report = batch(folder)
    assert "exists already" in report.failed[0].error
    assert len(report.done) == 3


def test_a_result_whose_line_was_lost_is_taken_up_with_all_that_is_known_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {record.target: record for record in batch(folder).done}
    (folder / "out" / "manifest.jsonl").unlink()
    monkeypatch.setattr("napari_synth.batches.work.run_job", None)
    for record in batch(folder).done:
        old = first[record.target]
        assert (record.noise, record.gain, record.chi2, record.verdict) == (
            old.noise,
            old.gain,
            old.chi2,
            old.verdict,
        )
        assert record.target_bytes == old.target_bytes


def test_without_recipes_a_result_whose_line_was_lost_is_recognised_by_its_pixels(folder: Path) -> None:
    batch(folder, write_recipe=False)
    path = folder / "out" / "manifest.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    report = batch(folder, write_recipe=False)
    assert (len(report.done), len(report.kept), len(report.failed)) == (2, 2, 0)


def test_a_torn_line_is_ignored_and_the_next_begins_on_its_own(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.append(JobRecord("a", "a.tif", Status.DONE))
    with manifest.path.open("a") as file:
        file.write('{"source": "b", "targ')
    manifest.append(JobRecord("c", "c.tif", Status.FAILED, error="zerrissen, ärgerlich"))
    found = manifest.read()
    assert list(found) == ["a.tif", "c.tif"]
    assert found["c.tif"].error == "zerrissen, ärgerlich"


def test_a_dry_run_writes_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(folder, "--dry-run") == 0
    assert "4 of 4 images would be done" in capfd.readouterr().err
    assert not (folder / "out").exists()
    command(folder)
    (folder / "out" / "1.tif").unlink()
    capfd.readouterr()
    assert command(folder, "--dry-run") == 0
    said = capfd.readouterr().err
    assert "1.tif (result gone)" in said
    assert "1 of 4 images would be done, 3 are done already." in said


def test_a_cancel_keeps_what_is_done(folder: Path) -> None:
    token, done = CancelToken(), []

    def tell(record: JobRecord) -> None:
        done.append(record.target)
        if len(done) == 2:
            token.cancel()

    with pytest.raises(Cancelled):
        batch(folder, cancel=token, tell=tell)
    assert len(batch(folder).kept) == 2


def test_two_runs_do_not_work_in_one_folder(folder: Path) -> None:
    from filelock import FileLock

    (folder / "out").mkdir()
    with FileLock(folder / "out" / ".manifest.jsonl.lock"), pytest.raises(ImageFileError, match="Another run works"):
        batch(folder)


def test_all_results_have_the_dtype_that_the_first_decided_also_on_the_next_day(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for name, level in (("a", 0.8), ("b", 400)):
        field = level * (1 + np.sin(np.arange(64) / 6)[:, None]) + np.zeros(64)
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", rng.poisson(field).astype(np.uint16))
    token = CancelToken()
    with pytest.raises(Cancelled):
        napari_synth.batch(
            "denoise/blind",
            tmp_path / "in",
            tmp_path / "out",
            device="cpu",
            cancel=token,
            tell=lambda _: token.cancel(),
        )
    napari_synth.batch("denoise/blind", tmp_path / "in", tmp_path / "out", device="cpu")
    dtypes = {tifffile.imread(tmp_path / "out" / f"{name}.tif").dtype for name in "ab"}
    assert dtypes == {np.dtype(np.float32)}


class TestOneYardstick:
    @pytest.fixture
    def series(self, tmp_path: Path) -> Path:
        """Return a folder with the same scene at one exposure, fading by ten."""
        (tmp_path / "in").mkdir()
        rng = np.random.default_rng(0)
        scene = 400 + 300 * np.sin(np.arange(96) / 5)[:, None] * np.sin(np.arange(96) / 7)
        for number, light in enumerate((1.0, 0.5, 0.1)):
            pixels = (rng.poisson(scene * light) * 2 + 100).astype(np.uint16)
            tifffile.imwrite(tmp_path / "in" / f"{number}.tif", pixels)
        return tmp_path

    @pytest.mark.parametrize("of_all", [False, True])
    def test_noise_and_normalisation_are_those_of_one(self, series: Path, of_all: bool) -> None:
        report = napari_synth.batch(
            "denoise/blind",
            series / "in",
            series / "out",
            device="cpu",
            measure_on="all" if of_all else series / "in" / "0.tif",
        )
        assert not report.failed
        assert len({(record.noise, record.gain) for record in report.done}) == 1
        assert report.done[0].gain == pytest.approx(2.0, rel=0.4)
        made = Recipe.from_file(series / "out" / "2.tif.recipe.yaml")
        assert made.measured_on is not None
        assert (series / "out" / "measured-on.ome.tif").exists() == of_all
        # The counts of each image stay its own.
        for number in range(3):
            source, result = (tifffile.imread(series / part / f"{number}.tif") for part in ("in", "out"))
            assert result.mean() == pytest.approx(source.mean(), rel=0.02)

    def test_another_yardstick_is_another_setting(self, series: Path) -> None:
        common = ("denoise/median", series / "in", series / "out")
        napari_synth.batch(*common, measure_on=series / "in" / "0.tif", device="cpu")
        with pytest.raises(RecipeError, match="other settings"):
            napari_synth.batch(*common, measure_on=series / "in" / "1.tif", device="cpu")

    def test_counts_must_mean_the_same(self, series: Path) -> None:
        tifffile.imwrite(series / "other.tif", np.zeros((32, 32), np.uint8))
        report = napari_synth.batch(
            "denoise/median", series / "in", series / "out", measure_on=series / "other.tif", device="cpu"
        )
        assert "of uint8, the image of uint16" in report.failed[0].error


class TestShards:
    def test_shards_and_finish_equal_the_single_run(self, folder: Path) -> None:
        batch(folder)
        whole, records = hashes(folder / "out"), read_manifest(folder / "out")[1]
        (folder / "out").rename(folder / "whole")
        for index in range(3):
            assert command(folder, "--shard", f"{index}/3") == 0
        assert main(["finish", str(folder / "out")]) == 0
        assert hashes(folder / "out") == whole
        joined = read_manifest(folder / "out")[1]
        assert set(joined) == set(records)
        assert [joined[name].chi2 for name in records] == [records[name].chi2 for name in records]
        assert len(batch(folder).kept) == 4
        assert [path.name for path in (folder / "out").glob("manifest*")] == ["manifest.jsonl"]

    def test_finish_waits_for_all(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert command(folder, "--shard", "0/2") == 0
        assert main(["finish", str(folder / "out")]) == 2
        assert "The shard 1/2 was not run" in capfd.readouterr().err
        (folder / "in" / "new.tif").write_bytes((folder / "in" / "0.tif").read_bytes())
        assert command(folder, "--shard", "1/2") == 0
        assert main(["finish", str(folder / "out")]) == 2
        assert "not of one batch" in capfd.readouterr().err

    def test_finish_names_what_failed(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        (folder / "in" / "bad.tif").write_bytes(b"II*\0")
        codes = [command(folder, "--shard", f"{index}/2") for index in range(2)]
        assert sorted(codes) == [0, 1]
        capfd.readouterr()
        assert main(["finish", str(folder / "out")]) == 1
        assert "bad.tif" in capfd.readouterr().err

    @pytest.mark.parametrize("shard", ["3/3", "a/b", "1", "-1/3"])
    def test_a_wrong_shard_is_one_sentence(self, folder: Path, shard: str) -> None:
        with pytest.raises(InvalidParameterError, match="such as 0/3"):
            batch(folder, shard=shard)

    def test_a_plan_as_json(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        recipe = folder / "recipe.yaml"
        recipe.write_text("generator: denoise/median\nparams: {radius: 1}\ndevice: cpu\n")
        words = [str(recipe), str(folder / "in"), str(folder / "out")]
        assert main(["plan", *words, "--json"]) == 0
        plan = json.loads(capfd.readouterr().out)
        assert [Path(job["source"]).name for job in plan["jobs"]] == ["0.tif", "1.tif", "2.tif", "3.tif"]
        assert plan["left"] == 4
        assert main(["run", *words]) == 0
        capfd.readouterr()
        assert main(["plan", *words, "--json"]) == 0
        plan = json.loads(capfd.readouterr().out)
        assert (plan["left"], plan["jobs"][0]["state"]) == (0, "done")

    def test_a_plan_of_a_task_with_its_settings(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        words = ["denoise", str(folder / "in"), str(folder / "out"), *MEDIAN]
        assert main(["plan", *words, "--json"]) == 0
        plan = json.loads(capfd.readouterr().out)
        assert (plan["left"], plan["generator"]) == (4, "denoise/median")
        assert not (folder / "out").exists()
        assert main([*words, "--quiet"]) == 0
        capfd.readouterr()
        assert main(["plan", *words]) == 0
        assert "0 of 4 images would be done" in capfd.readouterr().err
        assert main([*words, "--json"]) == 2
        assert "add --dry-run" in capfd.readouterr().err

    def test_other_tiles_are_other_settings(self, folder: Path) -> None:
        hashes = []
        for seed in range(2):
            tile = np.random.default_rng(seed).poisson(100, (3, 64, 64)).astype(np.uint16)
            tifffile.imwrite(folder / "tiles.tif", tile, metadata={"axes": "TYX"}, photometric="minisblack")
            recipe = Recipe(generator="correct/flat-field")
            hashes.append(Settings(recipe, referenced=Tiles(pattern=str(folder / "tiles.tif"))).hash)
        assert hashes[0] != hashes[1]


def test_killed_at_any_moment_it_goes_on_to_the_same_results(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        tifffile.imwrite(tmp_path / "in" / f"{number}.tif", rng.poisson(90, (160, 160)).astype(np.uint16))
    assert main(["denoise", str(tmp_path / "in"), str(tmp_path / "whole"), *MEDIAN]) == 0
    words = ["denoise", str(tmp_path / "in"), str(tmp_path / "out"), *MEDIAN, "--quiet"]
    code = [sys.executable, "-c", "import sys; from napari_synth.cli import main; sys.exit(main())", *words]
    kills, manifest = 0, tmp_path / "out" / "manifest.jsonl"
    while kills < 3:
        done = manifest.read_text().count("\n") if manifest.exists() else 0
        process = subprocess.Popen(code, env={**os.environ, "OMP_NUM_THREADS": "1"})
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            if manifest.exists() and manifest.read_text().count("\n") >= done + 2:
                time.sleep(float(rng.uniform(0, 0.02)))
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        if process.wait() == 0:
            break
    assert kills == 3
    report = napari_synth.batch("denoise/median", tmp_path / "in", tmp_path / "out", {"radius": 1}, device="cpu")
    assert len(report.kept) >= 6
    assert not report.failed
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")
    assert not [path for path in (tmp_path / "out").iterdir() if ".part" in path.name]


def test_results_that_are_only_held_as_tiff_are_found_again(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    from PIL import Image as Pillow

    pixels = np.random.default_rng(0).poisson(3, (48, 48)).astype(np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "in" / "a.png")
    for _ in range(2):
        report = napari_synth.batch("denoise/median", tmp_path / "in", tmp_path / "out", device="cpu", dtype="float32")
    assert [record.target for record in report.kept] == ["a.ome.tif"]
    assert read_image(tmp_path / "out" / "a.ome.tif").dtype == np.float32
