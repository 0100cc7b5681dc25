"""The site builds without a warning, holds all methods, and needs nothing but its own files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from code_blocks import ROOT

from napari_synth import registry
from napari_synth.contract.generator import Method
from napari_synth.models.files import bundled, bundled_names, read_card

FIGURES = json.loads((ROOT / "docs" / "figures.json").read_text(encoding="utf-8"))
BUILT_IN = [
    one
    for one in (*registry.listed(Method), *registry.trainables())
    if isinstance(one.function, str) and one.function.startswith("napari_synth.")
]


class Links(HTMLParser):
    """Collects what a page loads, what it links to, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        if given.get("src"):
            self.loads.append(str(given["src"]))
        if given.get("href"):
            (self.links if tag == "a" else self.loads).append(str(given["href"]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    answer = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    found = {}
    for path in site.rglob("*.html"):
        if path.name != "404.html":
            found[path] = Links()
            found[path].feed(path.read_text(encoding="utf-8"))
    return found


def test_nothing_is_fetched_from_the_network(site: Path, pages: dict[Path, Links]) -> None:
    for path, links in pages.items():
        assert not [one for one in links.loads if urlsplit(one).scheme not in ("", "data")], path
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_links_pictures_and_anchors_are_there(site: Path, pages: dict[Path, Links]) -> None:
    for path, links in pages.items():
        for link in (*links.links, *links.loads):
            parts = urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)}: {link}"
            if parts.fragment and target in pages and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.relative_to(site)}: {link}"


def test_every_method_has_a_page_with_all_its_settings(site: Path) -> None:
    for method in BUILT_IN:
        trained = "" if isinstance(method, Method) else "train-"
        text = (site / "methods" / f"{trained}{method.info.id.replace('/', '-')}.html").read_text(encoding="utf-8")
        assert f"<code>{method.info.id}</code>" in text
        for name in method.params_type.settable():
            assert f"<code>{name}</code>" in text, (method.info.id, name)


def test_the_command_line_page_shows_every_command(site: Path) -> None:
    text = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    for command in ("denoise", "upscale", "synthesize", "augment", "model export", "doctor"):
        assert f"Usage: napari-synth {command}" in text


def test_search_works_from_files(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert "denoise/median" in index
    assert "iframe-worker.js" in (site / "index.html").read_text(encoding="utf-8")


def test_figures_are_on_the_page_of_their_method(site: Path) -> None:
    text = (site / "methods" / "denoise-blind.html").read_text(encoding="utf-8")
    (report,) = [one for one in FIGURES["reports"] if one["task"] == "denoise"]
    (row,) = [one for one in report["tables"][0]["rows"] if one[0] == "denoise/blind"]
    for value in row[1:]:
        assert f"<strong>{value:.2f}</strong>" in text


def test_the_cards_of_the_bundled_models_are_shown(site: Path) -> None:
    text = (site / "how-it-works" / "weights.html").read_text(encoding="utf-8")
    for name in bundled_names():
        card = read_card(bundled(name))
        for shown in (card.name, card.weights_licence, *(data.licence for data in card.training_data)):
            assert escape(shown, quote=False) in text, (card.name, shown)


def test_the_file_of_figures_is_well_formed() -> None:
    assert FIGURES["napari_synth_figures"] == 1
    titles = [report["title"] for report in FIGURES["reports"]]
    assert len(set(titles)) == len(titles)
    known = {method.info.id for method in BUILT_IN}
    for report in FIGURES["reports"]:
        assert {"title", "task", "command", "machine", "tables", "remarks"} == set(report)
        for table in report["tables"]:
            assert {"title", "columns", "rows", "digits"} == set(table)
            for row in table["rows"]:
                assert len(row) == len(table["columns"])
                assert "/" not in row[0].split()[0] or row[0] in known, row[0]
