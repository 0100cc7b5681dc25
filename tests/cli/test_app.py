"""The command line from its words to the files and exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_synth.cli import main
from napari_synth.core.progress import Reporter
from napari_synth.engine.image_run import PreparedImage
from napari_synth.engine.recipe import Recipe
from napari_synth.files import read_image, write_image
from napari_synth.imaging.image import Image

MEDIAN = ["--generator", "median", "--radius", "1", "--device", "cpu"]


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """Return a small noisy stack."""
    pixels = np.random.default_rng(0).poisson(50, (3, 40, 50)).astype(np.uint16)
    path = tmp_path / "noisy.ome.tif"
    write_image(path, Image(pixels, "ZYX", {"Z": 0.5, "Y": 0.2, "X": 0.2}, dict.fromkeys("ZYX", "micrometer")))
    return path


def denoise(*words: str | Path) -> int:
    return main(["denoise", *map(str, words), *MEDIAN])


def test_a_result_has_the_axes_spacing_and_dtype_of_its_source(noisy: Path, tmp_path: Path) -> None:
    assert denoise(noisy, tmp_path / "out.ome.tif") == 0
    source, result = read_image(noisy), read_image(tmp_path / "out.ome.tif")
    assert (result.axes, result.dtype, result.shape) == (source.axes, source.dtype, source.shape)
    assert dict(result.spacing) == pytest.approx(dict(source.spacing))
    assert result.units == source.units
    assert result.read().std() < 0.6 * source.read().std()


@pytest.mark.parametrize("suffix", [".ome.zarr", ".npy", ".tif"])
def test_every_format_holds_the_same_pixels(noisy: Path, tmp_path: Path, suffix: str) -> None:
    assert denoise(noisy, tmp_path / "out.ome.tif") == 0
    assert denoise(noisy, tmp_path / f"out{suffix}", "--tile", "16") == 0
    expected = read_image(tmp_path / "out.ome.tif").read()
    np.testing.assert_array_equal(read_image(tmp_path / f"out{suffix}").read(), expected)


def test_a_result_larger_than_the_budget_goes_to_ome_zarr(
    noisy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert denoise(noisy, tmp_path / "out.tif", "--memory-budget", "0.000001") == 0
    assert read_image(tmp_path / "out.ome.zarr").shape == (3, 40, 50)
    assert not (tmp_path / "out.tif").exists()
    assert "written to out.ome.zarr" in capfd.readouterr().err


def test_the_record_of_a_run_repeats_it(noisy: Path, tmp_path: Path) -> None:
    assert denoise(noisy, tmp_path / "a.ome.tif") == 0
    recipe = tmp_path / "a.ome.tif.recipe.yaml"
    assert Recipe.from_file(recipe).params["radius"] == 1
    assert main(["run", str(recipe), str(noisy), str(tmp_path / "b.ome.tif")]) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif").read(), read_image(tmp_path / "b.ome.tif").read())


def test_a_recipe_of_a_stack_runs_on_a_plane(noisy: Path, tmp_path: Path) -> None:
    assert denoise(noisy, tmp_path / "a.ome.tif") == 0
    write_image(tmp_path / "plane.png", Image(read_image(noisy).read()[0], "YX"))
    recipe = tmp_path / "a.ome.tif.recipe.yaml"
    assert main(["run", str(recipe), str(tmp_path / "plane.png"), str(tmp_path / "out.png"), "--no-recipe"]) == 0
    assert not (tmp_path / "out.png.recipe.yaml").exists()


@pytest.mark.parametrize(
    ("said", "own", "kept"),
    [("YXS", "ZYX", "ZYX"), ("ZYX", "CYX", "CYX"), ("ZYX", "TYX", "TYX")],
)
@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr"])
def test_a_file_with_axes_keeps_them_under_any_recipe(
    tmp_path: Path, suffix: str, said: str, own: str, kept: str
) -> None:
    pixels = np.random.default_rng(0).poisson(50, (5, 32, 3)).astype(np.uint16)
    write_image(tmp_path / f"in{suffix}", Image(pixels, own))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(Recipe(generator="denoise/median", params={"radius": 1}, axes=said).to_yaml())
    words = [str(recipe), str(tmp_path / f"in{suffix}")]
    assert main(["run", *words, str(tmp_path / f"out{suffix}")]) == 0
    assert read_image(tmp_path / f"out{suffix}").axes == kept
    assert main(["run", *words, str(tmp_path / f"told{suffix}"), "--axes", "TYX"]) == 0
    assert read_image(tmp_path / f"told{suffix}").axes == "TYX"


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".zarr"])
def test_a_file_without_axes_takes_those_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    pixels = np.random.default_rng(0).poisson(50, (6, 32, 40)).astype(np.uint16)
    source = tmp_path / f"in{suffix}"
    if suffix == ".npy":
        np.save(source, pixels)
    elif suffix == ".tif":
        tifffile.imwrite(source, pixels)
    else:
        zarr.save_array(str(source), pixels)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(Recipe(generator="denoise/median", params={"radius": 1}, axes="TYX").to_yaml())
    reads: list[Path] = []

    def counted(path: Path, axes: str | None = None, **options: Any) -> Image:
        reads.append(path)
        return read_image(path, axes, **options)

    monkeypatch.setattr("napari_synth.batches.jobs.read_image", counted)
    assert main(["run", str(recipe), str(source), str(tmp_path / "out.ome.tif")]) == 0
    assert read_image(tmp_path / "out.ome.tif").axes == "TYX"
    assert reads == [source]


def test_axes_that_are_said_are_kept(noisy: Path, tmp_path: Path) -> None:
    assert denoise(noisy, tmp_path / "out.ome.tif", "--axes", "TYX") == 0
    assert read_image(tmp_path / "out.ome.tif").axes == "TYX"


def test_a_bad_file_is_skipped_and_the_rest_goes_on(
    noisy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.tif").write_bytes(b"no image")
    for name in ("b", "c"):
        (folder / f"{name}.ome.tif").write_bytes(noisy.read_bytes())
    assert denoise(folder, tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == ["b.ome.tif", "c.ome.tif"]
    said = capfd.readouterr().err
    assert "Skipped" in said
    assert "2 of 3 images are done, 1 skipped." in said


def test_a_file_that_fails_as_nobody_foresaw_is_skipped_too(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.ome.tif").write_bytes(noisy.read_bytes())

    def read(path: Path, axes: str | None = None, **options: Any) -> Image:
        if path.name.startswith("a"):
            raise ZeroDivisionError("of all\nthings")
        return read_image(path, axes, **options)

    monkeypatch.setattr("napari_synth.batches.jobs.read_image", read)
    assert denoise(folder, tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == ["b.ome.tif", "c.ome.tif"]
    said = capfd.readouterr().err
    assert "a.ome.tif: Something that was not foreseen went wrong (ZeroDivisionError: of all things)." in said
    assert "2 of 3 images are done, 1 skipped." in said
    assert "Traceback" not in said


def test_other_weights_than_the_recipe_s_are_told_of(
    noisy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "plane.tif", Image(read_image(noisy).read()[0], "YX"))
    source, recipe = str(tmp_path / "plane.tif"), tmp_path / "a.tif.recipe.yaml"
    assert main(["denoise", source, str(tmp_path / "a.tif"), "--generator", "blind", "--device", "cpu"]) == 0
    own = Recipe.from_file(recipe)
    assert main(["run", str(recipe), source, str(tmp_path / "b.tif")]) == 0
    assert "differ from those of the recipe" not in capfd.readouterr().err
    recipe.write_text(own.model_copy(update={"weights": dict.fromkeys(own.weights, "0" * 64)}).to_yaml())
    assert main(["run", str(recipe), source, str(tmp_path / "c.tif")]) == 0
    assert "differ from those of the recipe" in capfd.readouterr().err


def test_the_result_is_judged_channel_by_channel(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    bars = np.where(np.arange(96) % 8 < 4, 20.0, 400.0) * np.ones((96, 1))
    pixels = rng.poisson(np.stack([np.full((96, 96), 200.0), bars])).astype(np.uint16)
    write_image(tmp_path / "in.ome.tif", Image(pixels, "CYX"))
    words = [str(tmp_path / "in.ome.tif"), str(tmp_path / "out.ome.tif"), "--generator", "median", "--radius", "5"]
    assert main(["denoise", *words]) == 0
    said = capfd.readouterr().err
    assert "Channel 1: What was removed looks like the measured noise" in said
    assert "Channel 2: Signal was removed with the noise" in said


def test_a_whole_folder_is_success(noisy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert denoise(str(noisy.parent / "*.tif"), tmp_path / "out", "--quiet") == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone.tif", "out.tif"], "There is no file"),
        (["{noisy}", "out.xyz"], "cannot be written as .xyz"),
        (["{noisy}", "no/out.tif"], "does not exist: make it first"),
        (["{noisy}", "{noisy}", "--overwrite"], "would replace its source"),
        (["{noisy}", "out.png"], "PNG holds one plane"),
        (["{noisy}", "out.tif", "--axes", "YX"], "Axes 'YX'"),
        (["{noisy}", "out.tif", "--device", "cuda:99"], "CUDA cannot be used"),
        (["{noisy}", "out.tif", "--tile", "0"], "tile of 0 pixels cannot be"),
        (["{noisy}", "out.tif", "--memory-budget", "0"], "memory budget of 0 GiB"),
        (["{noisy}", "out.tif", "--memory-budget", "-2"], "memory budget of -2 GiB"),
        (["{noisy}", "out.tif", "--memory-budget", "nan"], "memory budget of nan GiB"),
        (["{noisy}", "out.tif", "--generator", "median", "--generator", "wavelet"], "specified multiple times"),
        (["{noisy}", "out.tif", "--generator", "medain"], "did you mean denoise/median"),
        (["{noisy}", "out.tif", "--radius", "99"], "Parameter 'radius'"),
        (["{noisy}", "out.tif", "--strength", "1"], "Unknown option"),
        (["{noisy}"], "requires an argument"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    noisy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [word.format(noisy=noisy) for word in words]
    chosen = [] if "--generator" in words else ["--generator", "median"]
    assert main(["denoise", *chosen, *given]) == 2
    error = capfd.readouterr().err
    assert said in error
    assert error.startswith("napari-synth: ")
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == [noisy.name]


@pytest.mark.parametrize("words", [["frobnicate"], ["list", "--task", "cook"], ["run", "gone.yaml", "a.tif", "b.tif"]])
def test_other_commands_fail_as_plainly(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capfd.readouterr().err.startswith("napari-synth: ")


def test_a_result_is_not_replaced_unless_that_is_said(noisy: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.ome.tif"
    target.write_bytes(b"mine")
    assert denoise(noisy, target) == 2
    assert target.read_bytes() == b"mine"
    assert denoise(noisy, target, "--overwrite") == 0
    assert read_image(target).shape == (3, 40, 50)


def test_list_names_all_that_there_is(capfd: pytest.CaptureFixture[str]) -> None:
    from napari_synth.augmentation import TRANSFORMS
    from napari_synth.registry import generators, trainables

    assert main(["list"]) == 0
    shown = capfd.readouterr().out
    for found in generators():
        assert found.info.name in shown
        assert found.info.summary in shown
    assert all(f"train {found.info.id}: {found.info.summary}" in shown for found in trainables())
    assert all(f"  {name}: {transform.summary}" in shown for name, transform in TRANSFORMS.items())


def test_list_of_a_task_names_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--task", "augment"]) == 0
    shown = capfd.readouterr().out
    assert "denoise" not in shown.splitlines()
    assert "light-microscopy" in shown


def test_progress_is_drawn_on_request(noisy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert denoise(noisy, tmp_path / "a.tif") == 0
    assert "Restoring" not in capfd.readouterr().err
    assert denoise(noisy, tmp_path / "b.tif", "--progress") == 0
    assert "Restoring" in capfd.readouterr().err


def test_bench_hands_its_words_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmark

    seen: list[list[str]] = []
    monkeypatch.setattr(benchmark, "main", lambda words: seen.append(words) or 3)
    assert main(["bench", "denoise", "--images", "x", "--help"]) == 3
    assert seen == [["denoise", "--images", "x", "--help"]]


def test_bench_says_where_the_benchmarks_are_when_they_are_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "benchmark", None)
    assert main(["bench", "denoise"]) == 2
    assert capfd.readouterr().err.startswith("napari-synth: The benchmarks do not come with the installed package")
    # One of somebody else's is not run instead.
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "__init__.py").write_text("raise SystemExit('of somebody else')")
    monkeypatch.delitem(sys.modules, "benchmark")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["bench", "denoise"]) == 2
    assert "copy of the source" in capfd.readouterr().err


@pytest.mark.parametrize("suffix", [".zarr", ".tif"])
def test_ctrl_c_stops_after_the_block_and_leaves_nothing(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    compute = PreparedImage.compute

    def interrupted(run: PreparedImage, *, report: Reporter, **options: Any) -> Any:
        def press(state: Any) -> None:
            if state.done == 1:
                signal.raise_signal(signal.SIGINT)

        return compute(run, report=Reporter(press, report.cancel), **options)

    monkeypatch.setattr(PreparedImage, "compute", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    assert denoise(noisy, tmp_path / f"out{suffix}", "--tile", "16") == 130
    assert [path.name for path in tmp_path.iterdir()] == [noisy.name]
    assert "Cancelled" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_in_a_real_process(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", np.random.default_rng(0).poisson(50, (80, 256, 256)).astype(np.uint16))
    words = ["denoise", "in.tif", "out.zarr", "--generator", "median", "--radius", "3", "--tile", "64", "--progress"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from napari_synth.cli import main; sys.exit(main())", *words],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    killer = threading.Timer(600, process.kill)
    killer.start()
    try:
        seen = b""
        while b"Restoring" not in seen:
            seen += process.stderr.read1(4096)
            assert process.poll() is None or seen, "it ended before it began"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(600) == 130, (seen + rest)[-2000:]
    finally:
        killer.cancel()
        process.stderr.close()
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


@pytest.mark.parametrize("words", [["--help"], ["list"], ["denoise", "--help"], ["--version"]])
def test_help_and_list_load_nothing_heavy(words: list[str]) -> None:
    code = (
        "import json, sys; from napari_synth.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'napari', 'qtpy', 'zarr', 'dask', 'skimage', 'tifffile'};"
        "print(json.dumps([code, sorted(heavy & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr"])
def test_a_finer_result_covers_the_same_place(noisy: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"fine{suffix}"
    assert main(["upscale", str(noisy), str(target), "--factor", "1.5", "--generator", "lanczos", "--quiet"]) == 0
    before, after = read_image(noisy), read_image(target)
    assert after.axes == before.axes
    for axis in "YX":
        assert after.sizes[axis] == round(1.5 * before.sizes[axis])
        extents = [image.sizes[axis] * image.spacing[axis] for image in (before, after)]
        assert extents[1] == pytest.approx(extents[0], rel=1e-5)


def test_a_volume_is_made_isotropic(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).poisson(50, (8, 40, 40)).astype("u2")
    source, target = tmp_path / "slices.ome.tif", tmp_path / "cubic.ome.tif"
    write_image(source, Image(volume, "ZYX", {"Z": 2.0, "Y": 1.0, "X": 1.0}))
    assert main(["make-isotropic", str(source), str(target), "--steps", "2", "--quiet"]) == 0
    result = read_image(target)
    assert result.shape == (16, 40, 40)
    assert len(set(result.spacing.values())) == 1


@pytest.mark.parametrize(
    ("command", "generator"), [("denoise", "super-resolution/network"), ("upscale", "denoise/median")]
)
def test_a_generator_of_another_task_is_refused(
    noisy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str, generator: str
) -> None:
    assert main([command, str(noisy), str(tmp_path / "out.tif"), "--generator", generator]) == 2
    assert f"{generator!r} is not for {command}" in capfd.readouterr().err
