from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark import large, main
from benchmark.report import Report
from napari_synth import cli
from napari_synth.core.errors import InvalidParameterError


def test_help_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for name in (
        "denoise",
        "neighbours",
        "runner",
        "large",
        "gui",
        "train",
        "synthesize",
        "predict-frames",
        "careamics",
        "batch",
        "assess",
        "curate",
    ):
        assert name in said


def test_sizes_and_report_reach_the_benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []

    def bench(sizes: object, **options: object) -> Report:
        asked.append(sizes)
        return Report("Large")

    monkeypatch.setattr(large, "bench_large", bench)
    assert main(["large", "--size", "100", "--size", "200", "--out", str(tmp_path / "r.json")]) == 0
    assert main(["large"]) == 0
    assert asked == [[100, 200], large.SIZES]
    assert json.loads((tmp_path / "r.json").read_text())["title"] == "Large"


@pytest.mark.parametrize("out", ["missing/report.md", "report.txt", "report"])
def test_report_without_a_place_is_refused_before_the_work(out: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="report"):
        main(["denoise", "--quick", "--out", str(tmp_path / out)])


def test_impossible_size_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="at least 1"):
        main(["large", "--size", "0"])


def test_errors_are_sentences_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["bench", "denoise", "--quick", "--set12", str(tmp_path)]) == 2
    assert "no PNG image" in " ".join(capsys.readouterr().err.split())
