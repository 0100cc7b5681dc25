"""The examples for workflow engines: their commands do the work that they say."""

from __future__ import annotations

import re
import shlex
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


@pytest.mark.parametrize("engine", FILES)
def test_the_commands_of_an_example_do_the_batch(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        tifffile.imwrite(tmp_path / "in" / f"{number}.tif", rng.poisson(60, (48, 48)).astype(np.uint16))
    (tmp_path / "recipe.yaml").write_text("generator: denoise/median\nparams: {radius: 1}\ndevice: cpu\n")
    monkeypatch.chdir(tmp_path)
    text = (EXAMPLES / FILES[engine]).read_text(encoding="utf-8")
    run = next(line for line in re.findall(r"napari-synth run [^\n]*", text))
    finish = re.findall(r"napari-synth finish [^\n\"]*", text + (EXAMPLES / "slurm/submit.sh").read_text())[0]
    for pattern, value in NAMES.items():
        run, finish = (re.sub(pattern, value, line) for line in (run, finish))
    for index in "01":
        assert main(shlex.split(run.replace("INDEX", index).removesuffix('"'))[1:]) == 0
    assert main(shlex.split(finish)[1:]) == 0
    assert len(read_manifest(tmp_path / "out")[1]) == 3
