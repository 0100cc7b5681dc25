"""Finds the blocks of code in the README and in the pages of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))


@dataclass(frozen=True)
class CodeBlock:
    """A block of code: the page, its number there, the language, the text."""

    page: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def code_blocks(language: str) -> Iterator[CodeBlock]:
    """Yield all blocks of a language."""
    for page in PAGES:
        found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for number, (named, text) in enumerate(found):
            if named == language:
                yield CodeBlock(str(page.relative_to(ROOT)), number, named, text)
