"""Which files a command takes, and where it puts their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_synth.cli.jobs import Job, plan_jobs
from napari_synth.core.errors import ImageFileError


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
