"""What a benchmark says: tables and remarks, as Markdown and as JSON, with the machine they were measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from napari_synth.core.errors import ImageFileError

_FIGURES = "napari_synth_figures"
_PACKAGES = (
    "napari-synth",
    "torch",
    "numpy",
    "scipy",
    "scikit-image",
    "bm3d",
    "opencv-python-headless",
    "kornia",
    "albumentations",
    "torchio",
    "zarr",
)


@dataclass(frozen=True)
class Table:
    """Figures with the names of their rows and columns.

    Attributes
    ----------
    title : str
    columns : tuple of str
        The first names the rows.
    rows : tuple of tuple
        Strings and numbers; None where there is none.
    digits : int
        Decimals in Markdown.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]
    digits: int = 2

    def to_markdown(self) -> str:
        """Return the table under its title."""
        lines = [f"### {self.title}", "", _line(self.columns), _line(["---", *["---:"] * (len(self.columns) - 1)])]
        lines += [_line([self._cell(value) for value in row]) for row in self.rows]
        return "\n".join(lines)

    def _cell(self, value: str | float | None) -> str:
        if value is None:
            return ""
        return value if isinstance(value, str) else f"{value:.{self.digits}f}"


@dataclass
class Report:
    """One run of a benchmark.

    Attributes
    ----------
    title : str
    machine : dict
        Where and when it was measured.
    tables : list of Table
    remarks : list of str
        Sentences: what was reached, what was left out.
    """

    title: str
    machine: dict[str, Any] = field(default_factory=lambda: describe_machine())
    tables: list[Table] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take up the tables and remarks of another report of the same machine."""
        self.tables += other.tables
        self.remarks += other.remarks

    def to_markdown(self) -> str:
        """Return the report for reading."""
        said = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        parts = [f"## {self.title}", said, *(table.to_markdown() for table in self.tables)]
        if self.remarks:
            parts.append("\n".join(f"- {remark}" for remark in self.remarks))
        return "\n\n".join(parts) + "\n"

    def to_json(self) -> str:
        """Return the report for other programs."""
        return json.dumps(asdict(self), indent=1)

    def write(self, path: Path) -> None:
        """Write JSON where the name ends so, and Markdown otherwise.

        Where there is a file of figures already, as the documentation shows them, the report takes its place among the others.

        Raises
        ------
        ImageFileError
            The file cannot be written.
        """
        try:
            written = self._within(path) if path.suffix == ".json" else self.to_markdown()
            path.write_text(written, encoding="utf-8")
        except OSError as error:
            raise ImageFileError(f"The report {str(path)!r} cannot be written: {error.strerror}.") from error

    def _within(self, path: Path) -> str:
        """Return the report as JSON, among the others of a file of figures where ``path`` is one."""
        try:
            figures = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return self.to_json()
        if not isinstance(figures, dict) or _FIGURES not in figures:
            return self.to_json()
        reports = {report["title"]: report for report in figures["reports"]}
        known = reports.get(self.title, {"task": "", "command": "napari-synth bench"})
        reports[self.title] = known | asdict(self)
        return json.dumps(figures | {"reports": list(reports.values())}, ensure_ascii=False, indent=1) + "\n"


def describe_machine() -> dict[str, Any]:
    """Return versions, processor, threads and load."""
    import torch

    described: dict[str, Any] = {name: _version(name) for name in _PACKAGES}
    described = {name: version for name, version in described.items() if version}
    described["Python"] = platform.python_version()
    described["processor"] = f"{_processor()} ({os.cpu_count()} logical)"
    described["threads"] = torch.get_num_threads()
    described["load"] = load()
    return described


def load() -> str:
    """Return how many processes wanted the processor in the last minute, "?" where the system does not say."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "?"


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
