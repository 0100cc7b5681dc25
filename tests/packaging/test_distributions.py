"""What is built can be tested and installed, and an installed napari-synth needs nothing of the checkout."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from packaging.licenses import canonicalize_license_expression

import napari_synth
from napari_synth import samples

ROOT = Path(__file__).parents[2]
NOT_IN_A_SOURCE = {"build", "dist", "__pycache__"}

# Building and installing take a quarter of a minute.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, and the wheel from it."""
    folder = tmp_path_factory.mktemp("dist")
    ran = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def source(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the source distribution."""
    (found,) = built.glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(found) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own, which borrows the packages that it depends on; return its programs."""
    folder = tmp_path_factory.mktemp("environment")
    builder = venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt")
    builder.create(folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = programs / ("python.exe" if os.name == "nt" else "python")
    ran = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # What such a file names is searched last, and the .pth files in there, that of the checkout among them, are not read.
    (packages / "borrowed.pth").write_text("".join(f"{path}\n" for path in sorted(lent)), encoding="utf-8")
    return programs


def run(programs: Path, *words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment in a folder, with nothing of the checkout on its path."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    words = (programs / words[0], *words[1:])
    return subprocess.run([*map(str, words)], cwd=folder, env=known, capture_output=True, text=True, check=False)


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_has_all_that_a_run_needs_and_nothing_of_the_workshop(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = Path(napari_synth.__file__).parent
    inside = {
        f"napari_synth/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside <= names
    for path in samples.folder().rglob("*"):
        if path.suffix in {".tif", ".md", ".txt"}:
            assert f"napari_synth/sample_data/{path.relative_to(samples.folder()).as_posix()}" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"napari_synth"}
    assert not any(name.endswith("make.py") or "benchmark" in name for name in names)
    assert wheel.stat().st_size < 16 * 2**20


def test_its_metadata_say_the_licences_of_all_that_is_inside(wheel: Path) -> None:
    said = metadata_of(wheel)
    expression = said["License-Expression"]
    assert canonicalize_license_expression(expression) == expression
    known = {sample.licence for sample in samples.SAMPLES.values()} - {"no known copyright restrictions"}
    assert {*known, "BSD-3-Clause", "LicenseRef-No-Known-Copyright-Restrictions"} == set(expression.split(" AND "))
    with zipfile.ZipFile(wheel) as archive:
        kept = {name.split("/licenses/")[1] for name in archive.namelist() if ".dist-info/licenses/" in name}
    assert kept == set(said.get_all("License-File"))
    assert {"LICENSE", "pretraining/PHOTOGRAPHS.md"} < kept
    assert {f"sample_data/licences/{path.name}" for path in (samples.folder() / "licences").iterdir()} < kept


def test_the_citation_is_of_this_version(wheel: Path) -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == metadata_of(wheel)["Version"] == napari_synth.__version__
    assert [author["name"] for author in cited["authors"]] == [metadata_of(wheel)["Author"]]


def test_the_source_distribution_is_complete_and_can_be_tested(source: Path) -> None:
    there = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert tracked() <= there
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/test_samples.py",
            "tests/models/test_show.py",
        ],
        cwd=source,
        # Before the checkout, where that is installed.
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_installed_wheel_is_sound_and_denoises_a_sample(environment: Path, tmp_path: Path) -> None:
    where = run(environment, "python", "-c", "import napari_synth; print(napari_synth.__file__)", folder=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(environment.parent), where.stderr
    doctor = run(environment, "napari-synth", "doctor", folder=tmp_path)
    assert f"  napari-synth: {napari_synth.__version__}" in doctor.stdout
    assert "as installed" in doctor.stdout
    # Little memory or disk is a fault of the machine, not of the wheel.
    faults = [line for line in doctor.stdout.splitlines() if line.startswith("! ")]
    assert [line for line in faults if not line.startswith(("! memory", "! disk"))] == [], doctor.stderr
    code = "from napari_synth import samples; print(samples.folder())"
    folder = Path(run(environment, "python", "-c", code, folder=tmp_path).stdout.strip())
    assert folder.is_relative_to(environment.parent)
    denoised = tmp_path / "denoised.ome.tif"
    done = run(environment, "napari-synth", "denoise", folder / "actin.ome.tif", denoised, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    noisy, result, truth = (
        tifffile.imread(path).astype(float)
        for path in (folder / "actin.ome.tif", denoised, folder / "actin_truth.ome.tif")
    )
    assert np.square(result - truth).mean() < 0.25 * np.square(noisy - truth).mean()


def test_the_installed_wheel_names_the_photographs_and_has_no_benchmarks(environment: Path, tmp_path: Path) -> None:
    shown = run(environment, "napari-synth", "model", "show", "denoise-blind", folder=tmp_path)
    (line,) = (line for line in shown.stdout.splitlines() if "Each photograph" in line)
    assert Path(line.split(" in ", 1)[1]).is_relative_to(environment.parent)
    bench = run(environment, "napari-synth", "bench", "denoise", folder=tmp_path)
    assert bench.returncode == 2
    assert bench.stderr.startswith("napari-synth: The benchmarks do not come with the installed package")


def tracked() -> set[str]:
    """Return the files of the repository; where this is no checkout, those that are there."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        return {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return {
        path.as_posix()
        for path in files
        if not any(part.startswith(".") or part in NOT_IN_A_SOURCE for part in path.parts)
    }
