"""What the README and the documentation tell readers to type works."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from code_blocks import PAGES, ROOT, CodeBlock, code_blocks

import napari_synth
from napari_synth import registry
from napari_synth.cli import app
from napari_synth.samples import copy_curation

IN_ONE_NAMESPACE = "docs/developers/method.md"
PYTHON = [block for block in code_blocks("python") if block.page != IN_ONE_NAMESPACE]
# Enough to show that it runs.
FEW_STEPS = {
    "train": {"steps": 2, "patch": 32, "batch": 2},
    "denoise": {"steps": 2, "patch": 32, "batch": 1},
    "make_isotropic": {"steps": 2, "batch": 2},
}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> dict[str, Any]:
    """What the blocks take for granted, as small as it can be; ``minutes`` become a few steps."""
    for verb, settings in FEW_STEPS.items():
        monkeypatch.setattr(napari_synth, verb, shortened(getattr(napari_synth, verb), settings))
    monkeypatch.setenv("NAPARI_SYNTH_MODELS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", random.poisson(100, (48, 48)).astype(np.uint16))
    image = random.poisson(100, (64, 64)).astype(np.uint16)
    image[50, 50] = 9000
    mask = np.zeros((64, 64), np.uint8)
    mask[20:24, 10:40] = 1
    slide = random.integers(90, 220, (64, 64, 3)).astype(np.uint8)
    # Objects that are numbered one by one.
    numbers = np.arange(1, 37, dtype=np.uint16).reshape(6, 6)
    outlines = np.kron(numbers, np.pad(np.ones((8, 8), np.uint16), 4))
    folder = copy_curation(tmp_path / "plate")
    return {
        "image": image,
        "stack": random.poisson(100, (3, 64, 64)).astype(np.uint16),
        "movie": random.poisson(100, (4, 48, 48)).astype(np.uint16),
        "volume": random.poisson(100, (12, 48, 48)).astype(np.uint16),
        "noisy": random.poisson(100, (128, 128)).astype(np.uint16),
        "clean": np.add.outer(np.arange(128), np.arange(128)).astype(np.uint16),
        "mask": mask,
        "dust": mask[:48, :48],
        "labels": mask,
        "outlines": outlines,
        "nuclei": random.poisson(100 + 400 * (outlines > 0)).astype(np.uint16),
        "channels": random.poisson(np.stack([outlines > 0, outlines > 0]) * 400 + 20).astype(np.uint16),
        "beads": random.poisson(np.stack([outlines == 8, outlines == 8]) * 900 + 20).astype(np.uint16),
        "points": np.array([[10.0, 20.0]]),
        "folder": folder,
        "slide": slide,
        "reference": slide[::-1] // 2,
    }


def shortened(verb: Callable[..., Any], settings: dict[str, Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def called(*arguments: Any, **options: Any) -> Any:
        if options.pop("minutes", None) is not None:
            options |= settings
        return verb(*arguments, **options)

    return called


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs_as_it_is_written(block: CodeBlock, names: dict[str, Any]) -> None:
    exec(compile(block.text, block.page, "exec"), names)


def test_a_method_is_written_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    declared, checked, as_tests = [block.text for block in code_blocks("python") if block.page == IN_ONE_NAMESPACE]
    names: dict[str, Any] = {}
    exec(declared, names)
    exec(checked, names)
    assert "denoise/box" not in [one.info.id for one in registry.generators()]
    exec(as_tests, names)
    monkeypatch.setattr(registry, "_of_session", {})
    registry.register(names["BOX"])
    image = np.random.default_rng(0).random((40, 50)) * 100
    result = napari_synth.denoise(image, "box", radius=2)
    assert result[20, 20] == pytest.approx(image[18:23, 18:23].mean(), abs=1e-3)


def commands() -> list[tuple[str, str]]:
    lines = [(str(block), line) for block in code_blocks("sh") for line in block.text.splitlines()]
    return [(place, line) for place, line in lines if line.startswith("napari-synth ")]


@pytest.mark.parametrize(("place", "line"), commands())
def test_commands_are_understood(place: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    # A name that the reader's own model would have stands for one that is there.
    words = app.spelt_out(["patches" if word == "my-cells" and words[0] == "synthesize" else word for word in words])
    command, _, ignored = app._build_app(words).parse_args(words, exit_on_error=False, print_error=False)
    assert callable(command)
    assert not ignored


def test_linked_files_are_there() -> None:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for path in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            made = (page.parent / path).resolve().is_relative_to(ROOT / "docs/methods") or path.endswith(
                "command-line.md"
            )
            assert made or (page.parent / path).is_file(), f"{page.name}: {path}"


def test_the_readme_is_short_and_its_commands_are_executable() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= 6 * 1024
    for path in re.findall(r"\./(scripts/\w+)", text):
        assert (ROOT / path).stat().st_mode & 0o111, path
