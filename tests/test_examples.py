"""The examples for workflow engines: their commands do the work that they say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_synth.batches.manifest import read_manifest
from napari_synth.cli import main

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = {"snakemake": "snakemake/Snakefile", "nextflow": "nextflow/main.nf", "slurm": "slurm/shard.sh"}
# What each engine fills in, as the two shards of this test.
NAMES = {
    r"\{wildcards\.index\}|\$\{index\}|\$SLURM_ARRAY_TASK_ID": "INDEX",
    r"\{SHARDS\}|\$\{params\.shards\}|\$SHARDS": "2",
    r"\{RECIPE\}|\$\{params\.recipe\}": "recipe.yaml",
    r"\{IMAGES\}|\$\{params\.images\}": "in/*.tif",
    r"\{OUT\}|\$\{params\.out\}": "out",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder, which is the current one, with three images and a recipe."""
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        tifffile.imwrite(tmp_path / "in" / f"{number}.tif", rng.poisson(60, (48, 48)).astype(np.uint16))
    (tmp_path / "recipe.yaml").write_text("generator: denoise/median\nparams: {radius: 1}\ndevice: cpu\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """Return a folder with this copy's napari-synth, to be put before all others in the path."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "napari-synth"
    code = "import sys; from napari_synth.cli import main; sys.exit(main())"
    root = shlex.quote(str(EXAMPLES.parent))
    script.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
    script.chmod(0o755)
    return script.parent


@pytest.mark.parametrize("engine", FILES)
def test_the_commands_of_an_example_do_the_batch(engine: str, folder: Path) -> None:
    tmp_path = folder
    text = (EXAMPLES / FILES[engine]).read_text(encoding="utf-8")
    run = next(line for line in re.findall(r"napari-synth run [^\n]*", text))
    finish = re.findall(r"napari-synth finish [^\n\"]*", text + (EXAMPLES / "slurm/submit.sh").read_text())[0]
    for pattern, value in NAMES.items():
        run, finish = (re.sub(pattern, value, line) for line in (run, finish))
    for index in "01":
        assert main(shlex.split(run.replace("INDEX", index).removesuffix('"'))[1:]) == 0
    assert main(shlex.split(finish)[1:]) == 0
    assert len(read_manifest(tmp_path / "out")[1]) == 3


@pytest.mark.slow
def test_snakemake_itself_runs_its_example(folder: Path, command: Path) -> None:
    snakemake = shutil.which("snakemake")
    if snakemake is None:
        pytest.skip("snakemake is not installed: its Snakefile was not run, only the commands in it")
    environment = {
        **os.environ,
        "PATH": f"{command}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    words = [snakemake, "--cores", "1", "-s", str(EXAMPLES / FILES["snakemake"]), "--config", "shards=2"]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_manifest(folder / "out")[1]) == 3
    assert sorted(path.name for path in (folder / "out").glob("*.tif")) == ["0.tif", "1.tif", "2.tif"]
    again = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.slow
def test_the_script_for_slurm_runs_as_it_stands(folder: Path, command: Path) -> None:
    """An sbatch of ours runs at once what Slurm would queue."""
    sbatch = command / "sbatch"
    sbatch.write_text(
        """#!/bin/sh
set -eu
array=
while [ $# -gt 0 ]; do
    case "$1" in
        --parsable) ;;
        --array) shift; array=$1 ;;
        --export | --dependency) shift ;;
        --wrap) shift; sh -c "$1" >&2; exit ;;
        *) script=$1 ;;
    esac
    shift
done
for index in $(seq "${array%-*}" "${array#*-}"); do SLURM_ARRAY_TASK_ID=$index sh "$script" >&2; done
echo 1
"""
    )
    sbatch.chmod(0o755)
    environment = {**os.environ, "PATH": f"{command}{os.pathsep}{os.environ['PATH']}", "SHARDS": "2"}
    words = ["sh", str(EXAMPLES / "slurm/submit.sh")]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_manifest(folder / "out")[1]) == 3


@pytest.mark.slow
def test_the_scripts_for_nextflow_run_as_they_stand(folder: Path, command: Path) -> None:
    """What the engine fills in is filled in, and each script is given to the shell as the engine does."""
    text = (EXAMPLES / FILES["nextflow"]).read_text(encoding="utf-8")
    shard, finish = re.findall(r"script:\s+\"\"\"(.*?)\"\"\"", text, flags=re.DOTALL)
    environment = {**os.environ, "PATH": f"{command}{os.pathsep}{os.environ['PATH']}"}
    for index, script in ((0, shard), (1, shard), (0, finish)):
        for pattern, value in {**NAMES, r"\$\{launchDir\}": shlex.quote(str(folder))}.items():
            script = re.sub(pattern, value.replace("INDEX", str(index)), script)
        done = subprocess.run(["sh", "-eu", "-c", script], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert len(read_manifest(folder / "out")[1]) == 3
