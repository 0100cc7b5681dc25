from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.report import Report, Table, describe_machine, mean
from napari_synth.core.errors import ImageFileError


def report() -> Report:
    table = Table("Quality", ("method", "PSNR"), (("blind", 32.456), ("none", None)))
    return Report("Test", tables=[table], remarks=["All is well."])


def test_markdown_is_a_table_with_remarks() -> None:
    lines = report().to_markdown().splitlines()
    assert "| method | PSNR |" in lines
    assert "| --- | ---: |" in lines
    assert "| blind | 32.46 |" in lines
    assert "| none |  |" in lines
    assert "- All is well." in lines


def test_reports_are_joined() -> None:
    joined = report()
    joined.add(Report("Other", tables=[Table("Speed", ("loop", "s"), (("plain", 1.0),))], remarks=["It was quick."]))
    said = joined.to_markdown()
    assert (
        said.index("### Quality")
        < said.index("### Speed")
        < said.index("- All is well.")
        < said.index("- It was quick.")
    )


def test_json_keeps_full_precision(tmp_path: Path) -> None:
    report().write(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["tables"][0]["rows"] == [["blind", 32.456], ["none", None]]
    assert content["remarks"] == ["All is well."]
    report().write(tmp_path / "report.md")
    assert (tmp_path / "report.md").read_text().startswith("## Test")


def test_machine_is_described() -> None:
    machine = describe_machine()
    assert {"torch", "Python", "processor", "threads", "load"} <= set(machine)


def test_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="cannot be written"):
        report().write(tmp_path / "missing" / "report.md")


def test_mean() -> None:
    assert mean([1.0, 2.0, 6.0]) == 3.0


def test_a_report_takes_its_place_in_a_file_of_figures(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    other = {
        "title": "Other",
        "task": "",
        "command": "napari-synth bench other",
        "machine": {},
        "tables": [],
        "remarks": [],
    }
    known = other | {"title": "Test", "task": "denoise", "command": "napari-synth bench denoise", "remarks": ["Old."]}
    path.write_text(json.dumps({"napari_synth_figures": 1, "reports": [known, other]}))
    report().write(path)
    figures = json.loads(path.read_text())
    assert [one["title"] for one in figures["reports"]] == ["Test", "Other"]
    written = figures["reports"][0]
    assert (written["task"], written["command"]) == ("denoise", "napari-synth bench denoise")
    assert written["remarks"] == ["All is well."]
    assert written["tables"][0]["rows"] == [["blind", 32.456], ["none", None]]
    assert figures["reports"][1] == other
