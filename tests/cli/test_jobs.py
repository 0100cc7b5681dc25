"""Which files a command takes, and where it puts their results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_synth.batches.jobs import Job, Outcome, plan_jobs, run_job
from napari_synth.core.errors import ImageFileError
from napari_synth.core.options import RunOptions
from napari_synth.core.progress import Reporter
from napari_synth.engine.recipe import Recipe
from napari_synth.files import atomic, read_image, write_image
from napari_synth.imaging.image import Image


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_one_image_goes_where_it_was_told(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    jobs, is_batch = plan_jobs(str(tmp_path / "a.tif"), tmp_path / "b.png")
    assert jobs == [Job(tmp_path / "a.tif", tmp_path / "b.png")]
    assert not is_batch


def test_one_image_keeps_its_name_in_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "out/keep")
    jobs, _ = plan_jobs(str(tmp_path / "a.tif"), tmp_path / "out")
    assert jobs[0].target == tmp_path / "out" / "a.tif"


def test_a_zarr_is_one_image_and_not_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.zarr/zarr.json", "plain/zarr.json")
    for name in ("a.zarr", "plain"):
        jobs, is_batch = plan_jobs(str(tmp_path / name), tmp_path / "b.zarr")
        assert [job.source for job in jobs] == [tmp_path / name]
        assert not is_batch


def test_a_folder_gives_its_images_only(tmp_path: Path) -> None:
    touch(tmp_path, "in/b.tif", "in/a.png", "in/c.zarr/zarr.json", "in/notes.txt", "in/.hidden.tif", "in/deeper/d.tif")
    jobs, is_batch = plan_jobs(str(tmp_path / "in"), tmp_path / "out")
    assert [job.target.name for job in jobs] == ["a.png", "b.tif", "c.zarr"]
    assert is_batch


def test_a_pattern_keeps_the_folders_below_their_common_one(tmp_path: Path) -> None:
    touch(tmp_path, "in/day1/a.tif", "in/day2/a.tif", "in/day2/b.tif.recipe.yaml")
    jobs, is_batch = plan_jobs(str(tmp_path / "in" / "**" / "*"), tmp_path / "out")
    assert [job.target for job in jobs] == [tmp_path / "out" / "day1" / "a.tif", tmp_path / "out" / "day2" / "a.tif"]
    assert is_batch


def test_results_get_a_format_that_can_be_written(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg", "in/b.czi")
    jobs, _ = plan_jobs(str(tmp_path / "in" / "*"), tmp_path / "out")
    assert [job.target.name for job in jobs] == ["a.png", "b.ome.tif"]


def test_no_two_results_share_a_name(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg", "in/a.png", "in/a.bmp")
    jobs, _ = plan_jobs(str(tmp_path / "in"), tmp_path / "out")
    assert len({job.target for job in jobs}) == 3


@pytest.mark.parametrize("name", ["gone.tif", "empty", "*.tif"])
def test_no_image_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageFileError, match="There is no"):
        plan_jobs(str(tmp_path / name), tmp_path / "out")


def test_many_images_do_not_go_into_one_file(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.tif", "out.tif")
    with pytest.raises(ImageFileError, match="need a folder"):
        plan_jobs(str(tmp_path / "in"), tmp_path / "out.tif")


def test_files_are_taken_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, *(f"in/img_{number}.tif" for number in (1, 10, 11, 2, 9)), "in/day10/a.tif", "in/day9/a.tif")
    jobs, _ = plan_jobs(str(tmp_path / "in"), tmp_path / "out")
    assert [job.source.name for job in jobs] == [f"img_{number}.tif" for number in (1, 2, 9, 10, 11)]
    jobs, _ = plan_jobs(str(tmp_path / "in" / "day*" / "*.tif"), tmp_path / "out")
    assert [job.source.parent.name for job in jobs] == ["day9", "day10"]


def test_results_below_a_pattern_are_no_sources(tmp_path: Path) -> None:
    touch(tmp_path, "b/a.tif", "b/deep/c.tif", "b/out/a.tif", "b/out/deep/c.tif", "b/other/d.tif")
    jobs, _ = plan_jobs(str(tmp_path / "b" / "**" / "*.tif"), tmp_path / "b" / "out")
    assert [job.source.relative_to(tmp_path).as_posix() for job in jobs] == ["b/a.tif", "b/deep/c.tif", "b/other/d.tif"]
    jobs, _ = plan_jobs(str(tmp_path / "b" / "out" / "**" / "*.tif"), tmp_path / "b" / "out")
    assert len(jobs) == 2


def test_formats_that_are_only_read_get_one_that_holds_them(tmp_path: Path) -> None:
    touch(tmp_path, *(f"in/a.{suffix}" for suffix in ("dcm", "nii.gz", "lsm", "svs", "jpeg")))
    jobs, _ = plan_jobs(str(tmp_path / "in" / "*"), tmp_path / "out")
    names = {job.source.name: job.target.name for job in jobs}
    assert names["a.jpeg"] == "a.png"
    assert all(name.endswith(".ome.tif") for source, name in names.items() if source != "a.jpeg")
    assert len(set(names.values())) == 5


def test_a_folder_of_dicom_is_a_volume_where_one_file_is_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "scan/1.dcm", "scan/2.dcm")
    jobs, is_batch = plan_jobs(str(tmp_path / "scan"), tmp_path / "volume.ome.tif")
    assert jobs == [Job(tmp_path / "scan", tmp_path / "volume.ome.tif")]
    assert not is_batch
    jobs, is_batch = plan_jobs(str(tmp_path / "scan"), tmp_path / "results")
    assert len(jobs) == 2
    assert is_batch


class TestOneRun:
    @pytest.fixture
    def noisy(self, tmp_path: Path) -> Path:
        pixels = np.random.default_rng(0).poisson(50, (40, 50)).astype(np.uint8)
        (tmp_path / "in").mkdir()
        write_image(tmp_path / "in" / "a.png", Image(pixels, "YX"))
        return tmp_path / "in" / "a.png"

    RECIPE = Recipe(generator="denoise/median", params={"radius": 1})

    def run(self, job: Job, **options: Any) -> Outcome:
        return run_job(
            job,
            self.RECIPE,
            RunOptions(device="cpu"),
            Reporter(),
            **{"overwrite": False, "write_recipe": True, **options},
        )

    def test_the_recipe_is_there_before_the_result_is(
        self, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[str, bool]] = []
        move = atomic.move_into_place

        def watched(part: Path, path: Path) -> None:
            seen.append((path.name, (tmp_path / "b.tif").exists()))
            move(part, path)

        monkeypatch.setattr(atomic, "move_into_place", watched)
        self.run(Job(noisy, tmp_path / "b.tif"))
        assert seen == [("b.tif.recipe.yaml", False), ("b.tif", False)]

    @pytest.mark.parametrize("suffix", [".tif", ".zarr"])
    def test_a_recipe_goes_with_a_result_that_fails_to_appear(
        self, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
    ) -> None:
        move = atomic.move_into_place

        def fail(part: Path, path: Path) -> None:
            if path.suffix == suffix:
                raise OSError(28, "No space left on device")
            move(part, path)

        monkeypatch.setattr(atomic, "move_into_place", fail)
        with pytest.raises(ImageFileError, match="disk is full"):
            self.run(Job(noisy, tmp_path / f"b{suffix}"))
        assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def test_a_result_of_a_batch_that_lost_its_recipe_gets_it_again(self, noisy: Path, tmp_path: Path) -> None:
        job = Job(noisy, tmp_path / "b.png", is_named=False)
        self.run(job)
        record, before = tmp_path / "b.png.recipe.yaml", (tmp_path / "b.png").stat()
        text = record.read_text()
        record.unlink()
        outcome = self.run(job)
        assert record.read_text() == text
        assert (tmp_path / "b.png").stat().st_mtime_ns == before.st_mtime_ns
        assert "b.png was there without its recipe, which is written now." in outcome.notes
        with pytest.raises(ImageFileError, match="exists already"):
            self.run(job)

    def test_a_file_of_somebody_else_is_not_taken_for_a_result(self, noisy: Path, tmp_path: Path) -> None:
        write_image(tmp_path / "b.png", Image(np.zeros((40, 50), np.uint8), "YX"))
        with pytest.raises(ImageFileError, match="exists already"):
            self.run(Job(noisy, tmp_path / "b.png", is_named=False))
        assert not (tmp_path / "b.png.recipe.yaml").exists()

    def test_a_result_that_its_format_cannot_hold_gets_another(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).random((2, 40, 50), np.float32)
        write_image(tmp_path / "a.ome.tif", Image(pixels, "ZYX"))
        outcome = self.run(Job(tmp_path / "a.ome.tif", tmp_path / "b.png", is_named=False))
        assert outcome.target == tmp_path / "b.ome.tif"
        assert ".png cannot hold the result: it is written to b.ome.tif." in outcome.notes
        assert (tmp_path / "b.ome.tif.recipe.yaml").exists()
        with pytest.raises(ImageFileError, match="PNG holds one plane"):
            self.run(Job(tmp_path / "a.ome.tif", tmp_path / "c.png"))

    def test_a_source_that_changes_during_the_run_gives_no_result(
        self, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def changing(path: Path, *arguments: Any, **options: Any) -> None:
            noisy.write_bytes(noisy.read_bytes() + b"more")
            write_image(path, *arguments, **options)

        monkeypatch.setattr("napari_synth.batches.jobs.write_image", changing)
        with pytest.raises(ImageFileError, match="changed while it was worked on"):
            self.run(Job(noisy, tmp_path / "b.tif"))
        assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def test_a_disk_without_room_is_known_before_the_work(
        self, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(atomic.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100})())
        monkeypatch.setattr(
            "napari_synth.engine.image_run.PreparedImage.compute", lambda *_, **__: pytest.fail("it worked")
        )
        with pytest.raises(ImageFileError, match="MiB left"):
            self.run(Job(noisy, tmp_path / "b.tif"))

    def test_what_the_file_says_is_told(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).poisson(50, (3, 40, 50)).astype(np.uint8)
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            writer.write(pixels[0], metadata=None, contiguous=False)
            writer.write(pixels[1:, :30], metadata=None, contiguous=False, photometric="minisblack")
        outcome = self.run(Job(tmp_path / "a.tif", tmp_path / "b.tif"))
        assert "holds 2 images" in outcome.notes[0]
        self.run(Job(tmp_path / "a.tif", tmp_path / "c.tif"), series=1)
        assert read_image(tmp_path / "c.tif").shape == (2, 30, 50)
